//! A keeper: holds a share of an index in the local Kubo, within a quota, so that volunteers together hold all of it.
//!
//! One round: the pinned root and the state are made to agree, room is made, the rule says what leaves and what is
//! taken, what leaves goes first, the rest comes file by file. A timer makes the rounds; each goes on where the last one
//! ended, however that was.
//!
//! | file | what |
//! |---|---|
//! | `share` | the rule of choice, pure |
//! | `listed` | the files of the index |
//! | `state`, `root` | what is kept: on this machine, and as the one pinned directory |
//! | `located`, `disk`, `cost` | Kubo's disk; its limit and free room; what a file takes |
//! | `holders`, `peers`, `sample` | who else holds files |
//! | `bring`, `take` | one file into Kubo; all of a round |
//! | `letgo`, `release` | files that leave; the end of a share |
//! | `work` | what the steps have in common |
//! | `own` | the same on a machine without Kubo, in the store of pkgswarm |

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::base::cid::Cid;
use crate::base::clock;
use crate::base::error::{Error, ErrorKind};
use crate::config::KeepConfig;
use crate::config::value::show_size;
use crate::machine::Machine;
use crate::machine::conditions::Surroundings;
use crate::net::kubo::Kubo;

mod bring;
mod cost;
mod disk;
pub mod holders;
mod letgo;
mod listed;
mod located;
pub(crate) mod own;
mod peers;
mod release;
pub(crate) mod root;
mod sample;
pub mod share;
pub(crate) mod state;
mod take;
mod work;

pub(crate) use bring::is_whole;
use cost::cost;
use disk::KuboDisk;
use listed::ShareIndex;
use located::RepoPlace;
pub(crate) use peers::known_keepers;
pub(crate) use release::{Released, release};
use state::{KeeperPlace, KeeperState, LastRound};
use take::Harvest;
pub(crate) use take::{AT_ONCE, KeeperProgress};
use work::KeeperAtWork;
pub(crate) use work::bytes_of;

/// How a round ended that did not fail.
#[derive(Debug)]
pub(crate) enum KeeperRound {
    /// Nothing was done.
    Postponed(PostponedRound),
    /// It was made.
    Made(RoundReport),
}

/// The reason why a round was not made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PostponedRound {
    /// A condition of this machine, which `now` overrides.
    Condition(String),
    /// Another round of the share is at work, with the settings that it began with.
    AtWork,
    /// The share was ended meanwhile.
    KeptNoMore,
}

impl fmt::Display for PostponedRound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Condition(why) => why,
            Self::AtWork => "another round of this share is at work; the next one takes the new settings",
            Self::KeptNoMore => "it is kept no more",
        })
    }
}

/// What a round did.
#[derive(Default, Debug)]
pub(crate) struct RoundReport {
    /// The quota that it went by.
    pub(crate) quota: u64,
    /// Files that are kept.
    pub(crate) files: usize,
    /// Bytes that they take.
    pub(crate) bytes: u64,
    /// Files that are new among them.
    pub(crate) taken: usize,
    /// Bytes that sources sent.
    pub(crate) came: u64,
    /// Files that were let go.
    pub(crate) let_go: usize,
    /// Files that no source had.
    pub(crate) missed: usize,
    /// What the user is told, one line each.
    pub(crate) notes: Vec<String>,
}

/// Tells what to do where Kubo's own limit keeps the share from growing to its quota; `None` where it does not, or where Kubo
/// does not answer.
pub(crate) async fn hindrance(kubo: &Kubo, state_dir: &Path, keep: &KeepConfig) -> Option<String> {
    let held = KeeperPlace::of(state_dir, &keep.name).read().map_or(0, |state| bytes_of(&state.files));
    let disk = KuboDisk::find(kubo, RepoPlace::Elsewhere, keep.min_free).await.ok()?;
    let why = disk.too_small(held, keep.quota)?;
    Some(format!("the share cannot grow to {}: {why}", show_size(keep.quota)))
}

/// The terms of a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundTerms<'c> {
    /// True if no condition keeps it waiting.
    pub(crate) now: bool,
    /// No file is begun after this; what is on its way then has ten minutes.
    pub(crate) until: Instant,
    /// Ends the round at any moment; what has arrived is kept.
    pub(crate) cancel: &'c CancellationToken,
}

/// Makes a round of the share `name`. `told` receives the progress repeatedly.
///
/// `declared` reads the share's declaration, when the lock is taken: hours may have passed since the process began, in which
/// the share was ended or changed (`a_share_that_is_ended_or_changed_while_another_is_at_work_stays_so`).
///
/// # Errors
/// `Interrupted`; `NoSource` when Kubo does not answer or takes no more; `Local` when the state cannot be written or the
/// copy of the index not read; those of `declared`. What came is kept in any case, and the next round goes on.
pub(crate) async fn round(
    machine: &Rc<Machine>,
    name: &str,
    declared: &dyn Fn() -> Result<Option<KeepConfig>, Error>,
    terms: &RoundTerms<'_>,
    told: &mut dyn FnMut(KeeperProgress),
) -> Result<KeeperRound, Error> {
    let postponed = |why| Ok(KeeperRound::Postponed(why));
    if let (false, Some(why)) = (terms.now, Surroundings::now().objection(&machine.settings)) {
        return postponed(PostponedRound::Condition(why));
    }
    let place = KeeperPlace::of(&machine.settings.state_dir, name);
    let Some(_alone) = place.enter()? else { return postponed(PostponedRound::AtWork) };
    let Some(config) = &declared()? else {
        if !place.exists() {
            // Made by taking the lock.
            place.forget()?;
        }
        return postponed(PostponedRound::KeptNoMore);
    };
    let made = attempt(machine, config, &place, terms, told).await;
    if let Err(error) = &made
        && error.kind != ErrorKind::Interrupted
        && let Some(mut state) = place.read()
    {
        state.last.failed = Some(error.to_string());
        state.last.failures += 1;
        // The failure itself is what the user has to hear of.
        let _ = place.write(&state);
    }
    made.map(KeeperRound::Made)
}

async fn attempt(
    machine: &Rc<Machine>,
    config: &KeepConfig,
    place: &KeeperPlace,
    terms: &RoundTerms<'_>,
    told: &mut dyn FnMut(KeeperProgress),
) -> Result<RoundReport, Error> {
    let (mut state, is_new) = place.open()?;
    if is_new {
        // A failure has a place to be written to.
        place.write(&state)?;
    }
    if own::is_chosen(machine, config, &state).await? {
        let own::StoreRound { state, index, notes, harvest, before } =
            own::round(machine, config, (place, state), terms, told).await?;
        return ended(RoundEnd { config, place: place.clone(), state, index, notes }, &harvest, before);
    }
    let (kubo, index) = (machine.kubo(), ShareIndex::read(&machine.settings, config)?);
    let failed = |fault| bring::failure(&kubo, &fault);
    let finding = async {
        let located = located::locate(&kubo, machine.settings.kubo_api.to_string(), place).await;
        let note = located.note();
        Ok((note, KuboDisk::find(&kubo, located, config.min_free).await.map_err(failed)?))
    };
    let found = terms.cancel.run_until_cancelled(finding).await;
    let (note, disk) = found.ok_or_else(|| work::interrupted(&config.name))??;
    let notes = index.unlisted.iter().cloned().chain(note).collect();
    state.round = state.round.saturating_add(1);
    let place = place.clone();
    let mut keeper = KeeperAtWork { machine, config, kubo: kubo.clone(), place, state, index, disk, notes };
    let mut before = 0;
    // Cut short like a kill, from which the next round goes on as well.
    let prepared = terms.cancel.run_until_cancelled(prepare(&mut keeper, &mut before)).await;
    let harvest = match prepared.ok_or_else(|| work::interrupted(&config.name))?? {
        Some(files) => keeper.take(&files, terms, told).await?,
        None => Harvest::default(),
    };
    end(keeper, &harvest, before)
}

/// Makes all agree, lets go of what leaves, and returns the files to take; `None` of an index that is not in force.
async fn prepare(keeper: &mut KeeperAtWork<'_>, before: &mut usize) -> Result<Option<Vec<Cid>>, Error> {
    keeper.recover().await?;
    *before = keeper.state.files.len();
    if keeper.index.not_in_force.is_none() {
        keeper.mark_gone();
        keeper.state.seen.begin(keeper.index.files.keys().copied(), keeper.state.round);
    }
    keeper.make_room().await?;
    if let Some(why) = &keeper.index.not_in_force {
        keeper.notes.push(format!("nothing new is taken from index {}: {why}", keeper.config.name));
        return Ok(None);
    }
    keeper.look().await;
    let sight = keeper.sight();
    let choice = share::choose(&keeper.view(&sight));
    let leave = keeper.due(&choice.leave, &choice.take);
    let leave = keeper.spare_last_copies(&leave).await;
    keeper.let_go(&leave).await?;
    Ok(Some(choice.take))
}

/// A round at its end.
struct RoundEnd<'a> {
    config: &'a KeepConfig,
    place: KeeperPlace,
    state: KeeperState,
    index: ShareIndex,
    notes: Vec<String>,
}

/// Writes down how a round in Kubo ended.
fn end(mut keeper: KeeperAtWork<'_>, harvest: &Harvest, before: usize) -> Result<RoundReport, Error> {
    let held = bytes_of(&keeper.state.files);
    let wanted = keeper.index.files.values().map(|entry| cost(entry.known.size)).sum::<u64>().min(keeper.config.quota);
    if harvest.without_room > 0 {
        let limit = keeper.disk.limit(held, wanted);
        keeper.notes.push(format!("{} files found no room on Kubo's disk: {limit}", harvest.without_room));
    }
    let KeeperAtWork { config, place, state, index, notes, .. } = keeper;
    ended(RoundEnd { config, place, state, index, notes }, harvest, before)
}

/// Writes down how a round ended.
fn ended(round: RoundEnd<'_>, harvest: &Harvest, before: usize) -> Result<RoundReport, Error> {
    let RoundEnd { config, place, mut state, index, mut notes } = round;
    let missed = harvest.missed.len();
    if missed > 0 {
        let mirrors = match config.mirrors {
            false => "; --mirrors would have such files fetched from mirrors",
            true => "",
        };
        notes.push(format!("no source had {missed} of the files{mirrors}"));
        notes.extend(harvest.why.as_ref().map(|why| format!("one of them: {why}")));
    }
    if harvest.left > 0 {
        notes.push(format!("{} files are left to the next round", harvest.left));
    }
    let (index_files, index_bytes) = match index.not_in_force {
        None => (index.files.len() as u64, index.files.values().map(|entry| entry.known.size).sum()),
        Some(_) => (state.last.index_files, state.last.index_bytes),
    };
    state.missing.retain(|cid, _| index.files.contains_key(cid));
    let mut coverage = [0; 4];
    for others in index.files.keys().filter_map(|cid| state.seen.others(cid)) {
        coverage[(others as usize).min(3)] += 1;
    }
    state.last = LastRound {
        at: clock::now(),
        failed: None,
        notes: notes.clone(),
        index_files,
        index_bytes,
        failures: 0,
        came: state.last.came.saturating_add(harvest.came),
        coverage,
    };
    place.write(&state)?;
    let files = state.files.len();
    let let_go = (before + harvest.files).saturating_sub(files);
    let bytes = bytes_of(&state.files);
    let (quota, taken, came) = (config.quota, harvest.files, harvest.came);
    Ok(RoundReport { quota, files, bytes, taken, came, let_go, missed, notes })
}
