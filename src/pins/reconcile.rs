//! Works off the difference between the pins that are wanted and those that a target has.
//!
//! First what is missing is added, then what is over is removed. A pin with the name of a wanted one is its
//! predecessor, and goes only once that one is held (`a_predecessor_stays_until_its_successor_is_held`), or accepted
//! where there are as many copies of it (`a_predecessor_with_no_more_copies_makes_way`). Each failure is of one pin; the others are worked off all the same, unless the target itself has failed. A run that
//! was cut short at any point is continued by the next (`a_second_run_does_the_rest`).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::base::cid::Cid;
use crate::pins::{Addition, PinError, PinMark, PinState, PinTarget, PresentPin, Removal, WantedPin};

/// The bounds of one run.
#[derive(Clone, Copy, Debug)]
pub struct ReconcileLimits {
    /// Most changes.
    pub changes: usize,
    /// Time after which no further change is begun. One that was begun has its own limit.
    pub time: Duration,
}

/// The result of a run.
#[derive(Default, Debug)]
pub struct Reconciled {
    /// Wanted roots that the target held before.
    pub held: Vec<Cid>,
    /// Roots that were added and are held now.
    pub added: Vec<Cid>,
    /// Wanted roots that the target is still at work on.
    pub pending: Vec<Cid>,
    /// Wanted roots that the user has pinned: held, and not ours.
    pub of_user: Vec<Cid>,
    /// Pins that were removed.
    pub removed: Vec<PresentPin>,
    /// Pins that had to go, and that the user keeps by other means.
    pub(crate) kept_by_user: Vec<PresentPin>,
    /// Changes that failed.
    pub failed: Vec<PinFailure>,
    /// Changes that are left to the next run: the limits were reached, the target failed, or a successor is not
    /// held yet.
    pub left: usize,
}

/// A change that failed.
#[derive(Debug)]
pub struct PinFailure {
    /// The root.
    pub cid: Cid,
    /// The reason.
    pub error: PinError,
}

/// Makes the pins of `target` that are ours by `mark` those of `desired`.
///
/// # Errors
/// When the target cannot be listed: then nothing was changed. Failures of single pins are in the result.
pub async fn reconcile(
    desired: &[WantedPin],
    target: &dyn PinTarget,
    mark: &PinMark,
    limits: &ReconcileLimits,
) -> Result<Reconciled, PinError> {
    let (mut work, changes) = begin(desired, target, mark, limits).await?;
    let held = work.add(&changes).await;
    work.remove(changes, &held).await;
    Ok(work.done)
}

/// Adds what is missing and removes nothing: the first half of [`reconcile`], for work that comes between the two.
///
/// # Errors
/// As with [`reconcile`].
pub async fn extend(
    desired: &[WantedPin],
    target: &dyn PinTarget,
    mark: &PinMark,
    limits: &ReconcileLimits,
) -> Result<Reconciled, PinError> {
    let (mut work, changes) = begin(desired, target, mark, limits).await?;
    work.add(&changes).await;
    Ok(work.done)
}

async fn begin<'a>(
    desired: &'a [WantedPin],
    target: &'a dyn PinTarget,
    mark: &'a PinMark,
    limits: &ReconcileLimits,
) -> Result<(Worker<'a>, PinChanges<'a>), PinError> {
    let until = Instant::now() + limits.time;
    let changes = PinChanges::between(desired, target.list(mark).await?, mark);
    Ok((Worker { target, mark, until, changes: limits.changes, done: Reconciled::default() }, changes))
}

/// The difference between wanted and present pins.
struct PinChanges<'d> {
    /// Wanted pins that the target lacks, in the order of the wanted ones, each root once.
    missing: Vec<&'d WantedPin>,
    /// Wanted pins that it is at work on.
    pending: Vec<Cid>,
    /// Names of the wanted pins that it holds, that it is at work on, and of all of them.
    held: HashSet<String>,
    accepted: HashMap<String, u32>,
    wanted: HashSet<String>,
    /// Wanted roots that it holds.
    at_hand: Vec<Cid>,
    /// Pins of ours that are not wanted, in the order of the list.
    over: Vec<PresentPin>,
}

impl<'d> PinChanges<'d> {
    fn between(desired: &'d [WantedPin], present: Vec<PresentPin>, mark: &PinMark) -> Self {
        let (mut at_hand, mut at_work, mut partly) = (HashSet::new(), HashMap::new(), HashMap::new());
        let ours: Vec<PresentPin> = present.into_iter().filter(|pin| mark.owns(pin.cid, &pin.name)).collect();
        for pin in &ours {
            match pin.state {
                PinState::Held => drop(at_hand.insert(pin.cid)),
                PinState::Pending => drop(at_work.insert(pin.cid, pin.copies)),
                PinState::Failed => drop(partly.insert(pin.cid, pin.copies)),
            }
        }
        let mut changes = Self {
            missing: Vec::new(),
            pending: Vec::new(),
            held: HashSet::new(),
            accepted: HashMap::new(),
            wanted: HashSet::new(),
            at_hand: Vec::new(),
            over: Vec::new(),
        };
        let mut roots = HashSet::new();
        for wanted in desired {
            changes.wanted.insert(mark.name(&wanted.label));
            if at_hand.contains(&wanted.cid) {
                changes.held.insert(mark.name(&wanted.label));
            }
            match (roots.insert(wanted.cid), at_hand.contains(&wanted.cid), at_work.get(&wanted.cid)) {
                (true, true, _) => changes.at_hand.push(wanted.cid),
                (true, false, Some(copies)) => {
                    changes.pending.push(wanted.cid);
                    changes.accepted.insert(mark.name(&wanted.label), *copies);
                }
                (true, false, None) => {
                    changes.missing.push(wanted);
                    // Where peers gave up, those that hold it count: roots that no cluster holds well do not pile up.
                    if let Some(copies @ 1..) = partly.get(&wanted.cid).copied() {
                        changes.accepted.insert(mark.name(&wanted.label), copies);
                    }
                }
                _ => {}
            }
        }
        changes.over = ours.into_iter().filter(|pin| !roots.contains(&pin.cid)).collect();
        changes
    }
}

/// Names of wanted pins, after what was missing was added.
struct SettledNames {
    /// Those that the target holds.
    held: HashSet<String>,
    /// Those that it is at work on, and the copies that there are.
    accepted: HashMap<String, u32>,
}

struct Worker<'a> {
    target: &'a dyn PinTarget,
    mark: &'a PinMark,
    until: Instant,
    /// Changes that may still be begun.
    changes: usize,
    done: Reconciled,
}

impl Worker<'_> {
    /// Adds what is missing, and returns the names of all wanted pins that are held or accepted then.
    async fn add(&mut self, changes: &PinChanges<'_>) -> SettledNames {
        let mut names = SettledNames { held: changes.held.clone(), accepted: changes.accepted.clone() };
        self.done.held.clone_from(&changes.at_hand);
        self.done.pending.clone_from(&changes.pending);
        let (mut target_failed, mut takes_no_more) = (false, false);
        for wanted in &changes.missing {
            let is_refused = target_failed || (takes_no_more && wanted.content.is_some());
            if is_refused || self.changes == 0 || Instant::now() >= self.until {
                self.done.left += 1;
                continue;
            }
            self.changes -= 1;
            let name = self.mark.name(&wanted.label);
            match self.target.add(wanted, &name).await {
                Ok(Addition::Held) => {
                    self.done.added.push(wanted.cid);
                    names.held.insert(name);
                }
                Ok(Addition::OfUser) => {
                    self.done.of_user.push(wanted.cid);
                    names.held.insert(name);
                }
                Ok(Addition::Pending) => {
                    self.done.pending.push(wanted.cid);
                    names.accepted.entry(name).or_insert(0);
                }
                Err(error) => {
                    target_failed |= error.is_of_target();
                    takes_no_more |= error.is_of_intake();
                    self.done.failed.push(PinFailure { cid: wanted.cid, error });
                }
            }
        }
        if target_failed {
            self.changes = 0;
        }
        names
    }

    /// Removes what is over, except predecessors that have more copies than their successors.
    async fn remove(&mut self, changes: PinChanges<'_>, names: &SettledNames) {
        let all = changes.over.len();
        let makes_way = |pin: &PresentPin| names.accepted.get(&pin.name).is_some_and(|copies| pin.copies <= *copies);
        let may_go =
            |pin: &PresentPin| !changes.wanted.contains(&pin.name) || names.held.contains(&pin.name) || makes_way(pin);
        let due: Vec<PresentPin> = changes.over.into_iter().filter(may_go).take(self.changes).collect();
        let results = match due.is_empty() {
            true => Vec::new(),
            false => self.target.remove(&due, self.until).await,
        };
        self.done.left += all - results.len().min(all);
        for (pin, result) in results {
            match result {
                Ok(Removal::Gone) => self.done.removed.push(pin),
                Ok(Removal::KeptByUser) => self.done.kept_by_user.push(pin),
                Err(error) => {
                    self.done.failed.push(PinFailure { cid: pin.cid, error });
                }
            }
        }
    }
}
