//! `pkgswarm upkeep` (hidden): the work that downloads leave for later, bounded in time; started by them and by
//! timers.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::base::env::{self, Env};
use crate::base::error::{Error, ErrorKind};
use crate::base::name::FileName;
use crate::base::runtime::block_on;
use crate::cmd::cli::UpkeepArgs;
use crate::config::{IndexConfig, Settings};
use crate::index::in_use;
use crate::index::state::StateError;
use crate::machine::Machine;
use crate::machine::lists::Lists;
use crate::pacman::handover::{self, HandoverTarget};
use crate::pacman::{ahead, background, installed};
use crate::pins::keep::Ledger;
use crate::refresh::all::refresh_all;
use crate::refresh::peering;
use crate::report;
use crate::store::health::Health;

/// Longest time for removing blocks from Kubo; the rest follows next time.
const TRIM: Duration = Duration::from_secs(60);

/// Longest wait for the end of the pacman that has started it.
const TRANSACTION: Duration = Duration::from_secs(3600);

/// Runs the command. Never fails for work that can be done next time as well.
pub(crate) fn run(env: &Env, settings: &Settings, args: &UpkeepArgs) -> anyhow::Result<u8> {
    if args.detached {
        background::detach();
    }
    if let Some(copy) = args.forget_index.as_ref().filter(|_| !env.is_root()) {
        let copy = FileName::new(copy).map_err(|e| Error::usage("--forget-index", e))?;
        forget(env, settings, &copy)?;
        return Ok(0);
    }
    // A store that is gone is not made anew: there is nothing to clean.
    if settings.store_dir.as_ref().is_some_and(|dir| !dir.exists()) {
        return Ok(0);
    }
    handover::through(env, settings, &HandoverTarget::Nowhere, |settings| run_here(env, settings))
}

/// Removes the copy of an index that is in use no more, and Kubo's connections to its peers.
///
/// # Errors
/// Those of the state; a Kubo that does not answer is asked again with the next refresh.
pub(super) fn forget(env: &Env, settings: &Settings, copy: &FileName) -> Result<(), StateError> {
    in_use::state(settings).forget_copy(copy)?;
    let is_gone = |index: &IndexConfig| in_use::copy_name(index) != *copy;
    let indexes = settings.indexes.iter().filter(|index| is_gone(index)).cloned().collect();
    let settings = Settings { indexes, ..settings.clone() };
    if let Ok(machine) = Machine::open(env, &settings, std::path::Path::new("/var/tmp")) {
        block_on(peering::keep(&machine));
    }
    Ok(())
}

fn run_here(env: &Env, settings: &Settings) -> anyhow::Result<u8> {
    let machine = Machine::open(env, settings, std::path::Path::new("/var/tmp"))?;
    let Some(alone) = alone(&machine) else { return Ok(0) };
    let lists = Lists::of(&machine);
    machine.store.sweep(lists.cache_dirs())?;
    super::say_warnings(&lists);
    Health::tidy(&machine.store.health_dir());
    let kubo = machine.kubo();
    let ledger = Ledger::at(machine.store.dir());
    if ledger.total().is_ok_and(|total| total > settings.kubo_keep) {
        block_on(ledger.trim(&kubo, settings.kubo_keep, TRIM));
    }
    let started = Instant::now();
    let refreshed = block_on(refresh_all(&machine, &[], true, |_, _| {}));
    refreshed.ok_or_else(|| Error::new(ErrorKind::Interrupted, "index", "interrupted"))??;
    debug_assert!(started.elapsed() < settings.index_deadline * 100, "each refresh is bounded by index.deadline");
    if settings.kubo_shares_installed {
        drop(alone);
        // What this run of pacman installs goes as well, and nothing while it is at work.
        if lists.pacman_run().is_of_pacman() {
            ahead::outlive(&lists.pacman_run().name, Some(TRANSACTION));
        }
        drop((lists, machine));
        share_installed(&Machine::open(env, settings, std::path::Path::new("/var/tmp"))?);
    }
    Ok(0)
}

/// Puts installed packages into Kubo (`kubo.share`), and keeps `kubo.keep`. What fails is done next time.
pub(super) fn share_installed(machine: &Rc<Machine>) {
    let Some(shared) = block_on(installed::share(machine, &Lists::of(machine))) else { return };
    if let Err(error) = &shared
        && env::is_heard()
    {
        report::say(&format!("warning: not all that is installed went into Kubo: {error}"));
    }
    let ledger = Ledger::at(machine.store.dir());
    if shared.is_ok_and(|shared| shared.files > 0)
        && ledger.total().is_ok_and(|total| total > machine.settings.kubo_keep)
    {
        block_on(ledger.trim(&machine.kubo(), machine.settings.kubo_keep, TRIM));
    }
}

/// Takes the lock of the housekeeping; if another process holds it, leave the work to that one.
fn alone(machine: &Machine) -> Option<std::fs::File> {
    let file = crate::base::fsx::open_own(&machine.store.dir().join("upkeep"), machine.env.uid).ok()?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}
