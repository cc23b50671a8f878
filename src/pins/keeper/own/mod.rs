//! A share on a machine without Kubo: in the store of pkgswarm, served by `pkgswarm daemon` to the networks
//! that it trusts.
//!
//! The rule, the quota and the free room are those of a share in Kubo (`super`). The directory of the share is
//! the truth: what lies there whole is kept, so that a round that is killed anywhere is continued
//! (`tests/cases/keep_own.rs`). No network is asked for other holders, and so the share goes by the keeper's
//! number alone.
//!
//! A share stays where it was begun, until it ends: Kubo that comes later changes nothing of it.
//!
//! | file | what |
//! |---|---|
//! | `chosen` | which shares are kept here |
//! | `serves` | what the daemon says of it |
//! | `held` | what is here, and what leaves |
//! | `taken` | what comes |
//! | `ended` | the end of a share |

use std::collections::HashSet;
use std::rc::Rc;

use super::RoundTerms;
use super::listed::ShareIndex;
use super::share::{self, ShareFile, ShareView};
use super::state::{KeeperPlace, KeeperState};
use super::take::{Harvest, KeeperProgress};
use super::work::bytes_of;
use crate::base::cid::Cid;
use crate::base::error::Error;
use crate::config::KeepConfig;
use crate::machine::Machine;
use crate::store::kept::StoreShare;

mod chosen;
mod ended;
mod held;
pub(crate) mod serves;
mod taken;

pub(super) use chosen::is_chosen;
pub(crate) use chosen::{share_in_store, share_seen};
pub(crate) use ended::release_from_store;
use serves::ShareServing;

/// Rounds for which a file that no source had is left out of the choice.
const LEFT_OUT: u32 = 3;

/// A keeper of a share in the store, with its lock taken.
struct StoreKeeper<'a> {
    machine: &'a Rc<Machine>,
    config: &'a KeepConfig,
    place: KeeperPlace,
    state: KeeperState,
    index: ShareIndex,
    share: StoreShare,
    notes: Vec<String>,
}

/// How a round ended.
pub(super) struct StoreRound {
    pub(super) state: KeeperState,
    pub(super) index: ShareIndex,
    pub(super) notes: Vec<String>,
    pub(super) harvest: Harvest,
    /// Files that were kept when it began.
    pub(super) before: usize,
}

/// Makes a round.
///
/// # Errors
/// `Interrupted`; `NoSource` where the daemon serves nothing; `Local` when the store or the state cannot be written, or the
/// copy of the index not read. What came is kept, and the next round goes on.
pub(super) async fn round(
    machine: &Rc<Machine>,
    config: &KeepConfig,
    (place, state): (&KeeperPlace, KeeperState),
    terms: &RoundTerms<'_>,
    told: &mut dyn FnMut(KeeperProgress),
) -> Result<StoreRound, Error> {
    let share = StoreShare::of(machine.store.dir(), &config.name);
    if machine.store.is_passing() {
        let why = "a share needs a store that lasts, and there is none";
        return Err(Error::usage(&config.name, why).hint("pkgswarm config store.dir"));
    }
    share.begin(machine.env.uid).map_err(|e| Error::local(share.dir().display(), e))?;
    let index = ShareIndex::read(&machine.settings, config)?;
    let notes = index.unlisted.clone();
    let mut keeper = StoreKeeper { machine, config, place: place.clone(), state, index, share, notes };
    keeper.state.round = keeper.state.round.saturating_add(1);
    keeper.recover()?;
    let before = keeper.state.files.len();
    if keeper.index.not_in_force.is_none() {
        keeper.mark_gone();
        keeper.state.seen.begin(keeper.index.files.keys().copied(), keeper.state.round);
    }
    keeper.make_room()?;
    // Room is made for others whether it is served or not.
    keeper.place.write(&keeper.state)?;
    let serving =
        ShareServing::ask(&machine.settings, machine.store.dir()).await.map_err(|why| why.error(&config.name))?;
    if serving.networks.is_empty() {
        keeper
            .notes
            .push("this machine is in no trusted network now: the share is served where it is in one".to_owned());
    }
    let mut harvest = match keeper.index.not_in_force.clone() {
        Some(why) => {
            keeper.notes.push(format!("nothing new is taken from index {}: {why}", config.name));
            Harvest::default()
        }
        None => {
            let choice = keeper.choose();
            let due = keeper.due(&choice.leave, &choice.take);
            keeper.let_go(&due)?;
            keeper.take(&choice.take, terms, told).await?
        }
    };
    let StoreKeeper { state, index, mut notes, .. } = keeper;
    let without_room = std::mem::take(&mut harvest.without_room);
    if without_room > 0 {
        notes.push(format!("{without_room} files found no room on the disk of the store"));
    }
    Ok(StoreRound { state, index, notes, harvest, before })
}

impl StoreKeeper<'_> {
    /// Lists the files of the index for the rule, but for those that are left out.
    fn files(&self, is_left_out: impl Fn(&Cid) -> bool) -> Vec<ShareFile> {
        let files = self.index.files.iter().filter(|(cid, _)| !is_left_out(cid));
        files.map(|(cid, entry)| ShareFile { cid: *cid, size: super::cost::cost_in_store(entry.known.size) }).collect()
    }

    /// Carries out `with` on what the rule knows.
    fn viewed<T>(&self, with: impl FnOnce(&ShareView) -> T) -> T {
        let state = &self.state;
        let is_missing = |cid: &Cid| {
            let missed = state.missing.get(cid).filter(|_| !state.files.contains_key(cid));
            missed.is_some_and(|round| state.round.saturating_sub(*round) < LEFT_OUT)
        };
        let held: HashSet<Cid> = state.files.keys().copied().collect();
        let (files, key, round) = (self.files(is_missing), state.keeper_key(), state.round);
        with(&ShareView { key, quota: self.config.quota, files: &files, held: &held, seen: &state.seen, round })
    }

    fn choose(&self) -> share::ShareChoice {
        self.viewed(share::choose)
    }

    /// Returns the bytes that the share takes.
    fn used(&self) -> u64 {
        bytes_of(&self.state.files)
    }

    fn local(&self, error: std::io::Error) -> Error {
        Error::local(self.share.dir().display(), error)
    }
}
