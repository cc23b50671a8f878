//! The contract that every `PinTarget` keeps, run over each of them and over the fake.

use std::time::Duration;

use pkgswarm::base::cid::Cid;
use pkgswarm::pins::{PinMark, PinTarget, ReconcileLimits, Reconciled, WantedPin, reconcile};

/// One target and what its user does to it.
pub struct PinRig<'a> {
    pub target: &'a dyn PinTarget,
    /// The same target, which gives up soon.
    pub hasty: &'a dyn PinTarget,
    /// Roots that it can hold at once.
    pub roots: [Cid; 5],
    /// A root that it can get nowhere.
    pub absent: Cid,
    /// True for a target that goes on looking for it after the call.
    pub looks_on: bool,
    /// Pins a root as the user does, past us.
    pub pin_by_hand: &'a dyn Fn(Cid, &str),
    /// Lists all pins and their names.
    pub all: &'a dyn Fn() -> Vec<(Cid, String)>,
}

const UNBOUNDED: ReconcileLimits = ReconcileLimits { changes: usize::MAX, time: Duration::from_secs(600) };

/// Runs one piece of work to its end.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

pub fn wanted(cid: Cid, label: &str) -> WantedPin {
    WantedPin { cid, label: label.to_owned(), content: None }
}

fn settle(target: &dyn PinTarget, mark: &PinMark, desired: &[WantedPin], limits: &ReconcileLimits) -> Reconciled {
    wait(reconcile(desired, target, mark, limits)).expect("a target that answers")
}

/// Asserts the whole contract. The target holds none of the roots before.
pub fn keeps_the_contract(rig: &PinRig<'_>) {
    let [a, b, c, users, rolled] = rig.roots;
    let mark = PinMark::beginning("ours ");
    let settle = |desired: &[WantedPin]| settle(rig.target, &mark, desired, &UNBOUNDED);
    let with = |expected: &[(Cid, &str)]| {
        let found = (rig.all)();
        let is_there = |(cid, name): &(Cid, &str)| found.contains(&(*cid, (*name).to_owned()));
        assert!(expected.iter().all(is_there), "{expected:?} in {found:?}");
        assert_eq!(found.iter().filter(|(_, name)| name.starts_with("ours")).count(), {
            expected.iter().filter(|(_, name)| name.starts_with("ours")).count()
        });
    };
    (rig.pin_by_hand)(users, "the user's");

    let done = settle(&[wanted(a, "a"), wanted(b, "b")]);
    assert_eq!((done.added, done.removed.len(), done.failed.len()), (vec![a, b], 0, 0));
    with(&[(a, "ours a"), (b, "ours b"), (users, "the user's")]);
    let again = settle(&[wanted(a, "a"), wanted(b, "b")]);
    assert_eq!((again.added.len(), again.removed.len(), again.left), (0, 0, 0), "nothing is left to do");

    // What the user has pinned is held, and keeps its name.
    let done = settle(&[wanted(b, "b"), wanted(c, "c"), wanted(users, "d")]);
    assert_eq!((done.added, done.of_user), (vec![c], vec![users]));
    assert_eq!(done.removed.iter().map(|pin| pin.cid).collect::<Vec<_>>(), [a]);
    with(&[(b, "ours b"), (c, "ours c"), (users, "the user's")]);

    // One that the target cannot get is one failure; all others are as they shall be.
    let done = wait(reconcile(&[wanted(rig.absent, "x"), wanted(c, "c")], rig.hasty, &mark, &UNBOUNDED));
    let done = done.expect("a target that answers");
    let failed: Vec<Cid> = done.failed.iter().map(|failure| failure.cid).collect();
    assert_eq!(failed, if rig.looks_on { vec![] } else { vec![rig.absent] });
    with(&[(c, "ours c"), (users, "the user's")]);

    if rig.looks_on {
        settle(&[wanted(c, "c")]);
    }

    // One change a run comes to the same in the end.
    let one = ReconcileLimits { changes: 1, ..UNBOUNDED };
    let desired = [wanted(a, "a"), wanted(b, "b")];
    let left: Vec<usize> = (0..4).map(|_| self::settle(rig.target, &mark, &desired, &one).left).collect();
    assert_eq!(left, [2, 1, 0, 0]);
    with(&[(a, "ours a"), (b, "ours b"), (users, "the user's")]);

    // A successor that cannot be held leaves its predecessor.
    let rolling = PinMark::exactly("rolling");
    let roll = |target: &dyn PinTarget, to: Cid| self::settle(target, &rolling, &[wanted(to, "")], &UNBOUNDED);
    roll(rig.target, rolled);
    let done = roll(rig.hasty, rig.absent);
    assert_eq!((done.failed.len(), done.left), (usize::from(!rig.looks_on), 1));
    with(&[(rolled, "rolling"), (a, "ours a"), (b, "ours b")]);
    roll(rig.target, c);
    let found = (rig.all)();
    assert!(found.contains(&(c, "rolling".to_owned())) && found.iter().all(|(cid, _)| *cid != rolled), "{found:?}");

    // Nothing wanted is nothing of ours left.
    settle(&[]);
    wait(reconcile(&[], rig.target, &rolling, &UNBOUNDED)).expect("a target that answers");
    with(&[(users, "the user's")]);
}
