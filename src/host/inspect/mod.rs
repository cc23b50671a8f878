//! This machine as it is: pacman and its configuration, the stores, the units, the indexes, Kubo, and our daemon.
//!
//! Each part is looked at in one file here, and nowhere else; the commands `doctor`, `status` and `setup` read the
//! same values. Nothing here judges, prints or changes: what a value means is decided by its reader. What asks a
//! program or a network has a deadline.

use std::time::{Duration, SystemTime};

use crate::base::clock;
use crate::base::env::Env;
use crate::base::runtime::block_on;
use crate::config::Settings;
use crate::pacman::prefetch::state::PrefetchState;

pub(crate) mod audit;
pub(crate) mod compare;
pub(crate) mod daemon;
pub(crate) mod endpoint;
pub(crate) mod file;
pub(crate) mod index;
pub(crate) mod keep;
pub(crate) mod kubo;
pub(crate) mod pacman;
pub(crate) mod store;
pub(crate) mod units;

use daemon::DaemonView;
use endpoint::EndpointFacts;
use index::IndexFacts;
use keep::KeepFacts;
use kubo::{KuboQuestion, KuboView};
use pacman::PacmanFacts;
use store::{StoreUse, SystemFacts};

/// Longest wait for Kubo and for pacman-conf where a user waits for one page.
const GLANCE: Duration = Duration::from_secs(2);
/// Longest wait for all answers of Kubo together, where it is examined.
const EXAMINATION: Duration = Duration::from_secs(3);
/// Longest waits for our daemon, which answers from memory.
const DAEMON_GLANCE: Duration = Duration::from_secs(1);
const DAEMON_EXAMINATION: Duration = Duration::from_secs(2);

/// One look at this machine. Parts that its reader does not show were not asked for, and are empty.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    /// Time of the look, Unix seconds.
    pub(crate) now: u64,
    /// Mistakes in the configuration of pkgswarm, each with its location.
    pub(crate) mistakes: Vec<String>,
    /// pacman and its configuration.
    pub(crate) pacman: PacmanFacts,
    /// Our directories and units, and the user that downloads.
    pub(crate) system: SystemFacts,
    /// The stores that exist, and their use.
    pub(crate) stores: Vec<StoreUse>,
    /// The updates that the last prefetch found.
    pub(crate) updates: PrefetchState,
    /// The indexes in use.
    pub(crate) indexes: Vec<IndexFacts>,
    /// The Kubo daemon.
    pub(crate) kubo: KuboView,
    /// Our own daemon.
    pub(crate) daemon: DaemonView,
    /// The endpoint for pacman's own downloader.
    pub(crate) endpoint: EndpointFacts,
    /// The shares that are kept.
    pub(crate) keep: KeepFacts,
}

impl Inspection {
    /// Examines all that can be misconfigured. `settings` are those of the system, as pacman's downloader has them.
    pub(crate) fn examine(env: &Env, settings: &Settings, now: SystemTime) -> Self {
        std::thread::scope(|scope| {
            let here = scope.spawn(|| {
                let pacman = PacmanFacts::examine(settings, now);
                let system = SystemFacts::look(settings, pacman.conf.as_ref().ok());
                let endpoint = EndpointFacts::examine(env, settings, pacman.conf.as_ref().ok(), DAEMON_EXAMINATION);
                let keep = KeepFacts::examine(settings);
                Self { pacman, system, endpoint, keep, indexes: index::look(settings, now), ..Self::default() }
            });
            let kubo = KuboView::ask(env, settings, KuboQuestion::Configuration, EXAMINATION);
            let (kubo, daemon) = asked(kubo, DaemonView::ask(settings, DAEMON_EXAMINATION));
            let here = here.join().expect("looking about does not panic");
            Self { now: clock::unix(now), mistakes: settings.mistakes.clone(), kubo, daemon, ..here }
        })
    }

    /// Looks at what this machine gives and keeps: at Kubo, our daemon and the stores alone.
    pub(crate) fn giving(env: &Env, settings: &Settings, now: SystemTime) -> Self {
        let kubo = KuboView::ask(env, settings, KuboQuestion::Use, GLANCE);
        let (kubo, daemon) = asked(kubo, DaemonView::ask_of(settings, DAEMON_GLANCE));
        Self { now: clock::unix(now), stores: store::in_use(settings), kubo, daemon, ..Self::default() }
    }

    /// Looks at what is in use: needs two seconds at most, and tells nothing of configurations.
    pub(crate) fn glance(env: &Env, settings: &Settings, now: SystemTime) -> Self {
        std::thread::scope(|scope| {
            let pacman = scope.spawn(|| {
                let pacman = PacmanFacts::glance(settings, GLANCE);
                let endpoint = EndpointFacts::glance(env, settings, pacman.conf.as_ref().ok(), DAEMON_GLANCE);
                (pacman, endpoint)
            });
            let kubo = KuboView::ask(env, settings, KuboQuestion::Use, GLANCE);
            let (kubo, daemon) = asked(kubo, DaemonView::ask_of(settings, DAEMON_GLANCE));
            let (pacman, endpoint) = pacman.join().expect("asking pacman-conf does not panic");
            Self {
                now: clock::unix(now),
                pacman,
                endpoint,
                stores: store::in_use(settings),
                updates: store::updates(settings),
                indexes: index::look(settings, now),
                keep: KeepFacts::glance(settings),
                kubo,
                daemon,
                ..Self::default()
            }
        })
    }
}

/// Waits for both at the same time.
fn asked(kubo: impl Future<Output = KuboView>, daemon: impl Future<Output = DaemonView>) -> (KuboView, DaemonView) {
    block_on(async { tokio::join!(kubo, daemon) }).unwrap_or_default()
}
