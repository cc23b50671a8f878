//! The end of the process that reads ahead. It leaves nothing behind, and in the store no file that is in pacman's
//! cache.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use crate::base::digest::Sha256;
use crate::engine::want::Want;
use crate::machine::call::Call;
use crate::store::coming::ComingFiles;
use crate::store::health::Health;
use crate::store::{Aside, Store};
use crate::trust::plan::Expect;

/// Interval of the check for a ^C in this run, or for the last file handed out.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// Longest interval of the check whether pacman has every file in its cache.
pub(super) const LAST_LOOK: Duration = Duration::from_secs(4);

/// The state to clear away at the end; shared by the thread that fetches and the one that watches pacman.
#[derive(Clone)]
pub(super) struct Cleanup {
    store: Arc<Store>,
    pacman_run: String,
    health_dir: PathBuf,
    uid: u32,
    coming: ComingFiles,
    /// Files that may have been kept for this run alone.
    passing: Arc<Mutex<Vec<Sha256>>>,
    /// The directories in which pacman puts the files.
    cache_dirs: Arc<Mutex<Vec<PathBuf>>>,
}

impl Cleanup {
    /// Prepares the clean-up for the run of pacman that `call` is for. `None` when the store cannot be opened a second time.
    pub(crate) fn of(call: &Call) -> Option<Self> {
        let store =
            Store::open(call.machine.store.dir(), call.machine.env.uid, call.machine.settings.store_max).ok()?;
        let (pacman_run, health_dir, uid) = (call.pacman_run.name.clone(), store.health_dir(), call.machine.env.uid);
        let (passing, cache_dirs) = (Arc::default(), Arc::default());
        let coming = call.coming();
        Some(Self { store: Arc::new(store), pacman_run, health_dir, uid, coming, passing, cache_dirs })
    }

    /// Sets the directories of pacman's cache.
    pub(crate) fn cached_in(&self, dirs: &[PathBuf]) {
        dirs.clone_into(&mut self.cache_dirs.lock().expect("nothing panics while it holds this"));
    }

    /// Removes from the store the files that are proven to be in a cache of pacman's.
    pub(crate) fn clear_up(&self) {
        let dirs = self.cache_dirs.lock().expect("nothing panics while it holds this").clone();
        // A file that cannot be removed now is removed with the next -Sy.
        let _ = self.store.leave_to(&dirs);
    }

    /// Adds files that may be kept until they are handed out, and that are removed at the end if pacman did not
    /// ask for them.
    pub(crate) fn expect(&self, wants: &[Want]) {
        let exact = wants.iter().filter_map(|want| match want.plan.expect {
            Expect::Exact { sha256, .. } => Some(sha256),
            Expect::Waived(_) => None,
        });
        *self.passing.lock().expect("nothing panics while it holds this") = exact.collect();
    }

    /// Returns true when no later call can find a file here that would disappear with this process.
    pub(crate) fn is_all_handed_out(&self) -> bool {
        let passing = self.passing.lock().expect("nothing panics while it holds this");
        self.aside().is_empty() && !passing.iter().any(|sha256| self.store.is_passing_on(*sha256))
    }

    /// Waits for the end of pacman, or a ^C in it, and then kills this process and all that it has started.
    pub(crate) fn watch(&self, pidfd: &OwnedFd) {
        let look = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
        loop {
            let ended = poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&look));
            let is_stopped =
                Health::read(&self.health_dir, &self.pacman_run, self.uid, SystemTime::now()).is_interrupted();
            if ended.is_ok_and(|ready| ready > 0) || is_stopped {
                self.tidy();
                self.clear_up();
                self.coming.remove();
                // Kills this process too, which leads its process group; a later run resumes partial files.
                let _ = rustix::process::kill_current_process_group(Signal::KILL);
                std::process::exit(0);
            }
        }
    }

    /// Removes the files that pacman did not ask for.
    pub(crate) fn tidy(&self) {
        self.aside().remove();
        for sha256 in self.passing.lock().expect("nothing panics while it holds this").drain(..) {
            drop(self.store.take_passing(sha256));
        }
    }

    fn aside(&self) -> Aside {
        self.store.aside(&self.pacman_run)
    }
}
