//! The choice of pending updates to fetch: quota and age. Pure.

use std::time::Duration;

use crate::base::budget::Budget;

/// A pending file, as known before it is fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct UpdateChoice {
    /// Its size in bytes.
    pub(crate) size: u64,
    /// For how long some version of this package has been pending.
    pub(crate) waits: Duration,
    /// True if the user named it, or named nothing.
    pub(crate) wanted: bool,
    /// True if it is here already: in the store or in a package cache.
    pub(crate) here: bool,
}

/// The reason for leaving one out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LeftOut {
    /// It does not fit any more.
    Quota,
    /// It has been pending for too long: the user does not seem to upgrade.
    Age,
    /// The user asked for others.
    Unasked,
}

impl LeftOut {
    /// Describes it for people, with the setting that decides.
    pub(crate) fn words(self) -> &'static str {
        match self {
            LeftOut::Quota => "does not fit (prefetch.max)",
            LeftOut::Age => "pending for too long (prefetch.age)",
            LeftOut::Unasked => "was not asked for",
        }
    }
}

/// Decides on each of `candidates`, in their order; `None` means that it is fetched, or kept.
///
/// Those that fit are taken in pacman's order, and one that does not fit keeps no smaller one out. A file that is
/// here already is kept as long as it fits, so that no file is removed and fetched in turns.
pub(crate) fn choose(choices: &[UpdateChoice], most: u64, age: Duration) -> Vec<Option<LeftOut>> {
    let mut verdicts = vec![None; choices.len()];
    let mut filling = Budget::of(most).filling(u64::MAX);
    let mut admit = |at: usize, verdicts: &mut Vec<Option<LeftOut>>| {
        if !filling.admit(choices[at].size) {
            verdicts[at] = Some(LeftOut::Quota);
        }
    };
    let is_old = |choice: &UpdateChoice| choice.waits > age;
    for at in (0..choices.len()).filter(|at| choices[*at].here && !is_old(&choices[*at])) {
        admit(at, &mut verdicts);
    }
    for (at, choice) in choices.iter().enumerate() {
        match (is_old(choice), choice.here, choice.wanted) {
            (true, ..) => verdicts[at] = Some(LeftOut::Age),
            (_, true, _) => {}
            (_, _, false) => verdicts[at] = Some(LeftOut::Unasked),
            _ => admit(at, &mut verdicts),
        }
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn new(size: u64) -> UpdateChoice {
        UpdateChoice { size, waits: Duration::ZERO, wanted: true, here: false }
    }

    #[test]
    fn what_does_not_fit_keeps_no_smaller_one_out() {
        let verdicts = choose(&[new(60), new(50), new(40)], 100, DAY);
        assert_eq!(verdicts, [None, Some(LeftOut::Quota), None]);
    }

    #[test]
    fn what_is_here_is_kept_before_anything_new_is_fetched() {
        let here = UpdateChoice { here: true, ..new(60) };
        assert_eq!(choose(&[new(60), here], 100, DAY), [Some(LeftOut::Quota), None]);
    }

    #[test]
    fn what_has_waited_too_long_is_let_go_even_when_it_is_here() {
        let old = UpdateChoice { waits: DAY * 2, here: true, ..new(60) };
        assert_eq!(choose(&[old, new(60)], 100, DAY), [Some(LeftOut::Age), None]);
    }

    #[test]
    fn what_was_not_asked_for_is_not_fetched_and_not_thrown_away() {
        let unasked = UpdateChoice { wanted: false, ..new(1) };
        let verdicts = choose(&[unasked, UpdateChoice { here: true, ..unasked }], 100, DAY);
        assert_eq!(verdicts, [Some(LeftOut::Unasked), None]);
    }

    proptest! {
        #[test]
        fn the_quota_always_holds(sizes in prop::collection::vec((0_u64..u64::MAX, any::<bool>()), 0..20), most: u64) {
            let all: Vec<_> = sizes.iter().map(|(size, here)| UpdateChoice { here: *here, ..new(*size) }).collect();
            let verdicts = choose(&all, most, DAY);
            let kept = all.iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_none());
            prop_assert!(kept.map(|(one, _)| u128::from(one.size)).sum::<u128>() <= u128::from(most));
        }
    }
}
