//! Configures this machine to use pkgswarm, and undoes that: pacman.conf, units, Kubo's settings, trust in a
//! network.
//!
//! Each [`SetupPart`] inspects first and makes an [`SetupOffer`]: a [`Change`], which can be shown exactly as it
//! will be made, or the reason why there is none. Applying one first writes into the [`record`] all that undoing
//! needs. Undoing makes offers of the same kind, and touches nothing that the user or another program has changed
//! since.

use std::ffi::OsString;

use clap::ValueEnum;

use crate::base::env::Env;
use crate::base::error::Error;
use crate::config::Settings;

mod conf;
mod diff;
pub(crate) mod door;
mod endpoint;
mod file;
mod kubo;
mod lan;
mod pacman;
pub(crate) mod record;
mod units;

use door::PacmanDoor;
use record::SetupRecord;
use units::Unit;

const INDEX: Unit = Unit {
    name: "pkgswarm-index.timer",
    about: "refreshes the indexes in use",
    otherwise: "a line for /etc/crontab: 17 * * * * root pkgswarm index refresh --due",
    of_users: false,
};
const PREFETCH: Unit = Unit {
    name: "pkgswarm-prefetch.timer",
    about: "fetches pending updates ahead, every four hours",
    otherwise: "a line for /etc/crontab: 7 */4 * * * root pkgswarm prefetch",
    of_users: false,
};
const NOTIFY: Unit = Unit {
    name: "pkgswarm-notify.path",
    about: "tells desktop users once when the updates that were fetched are here",
    otherwise: "`pkgswarm prefetch --notify` in a desktop session does the same",
    of_users: true,
};
const DAEMON: Unit = Unit {
    name: "pkgswarm-daemon.service",
    about: "shares packages with trusted networks",
    otherwise: "start `pkgswarm daemon` as user pkgswarm at boot; its socket is daemon.socket",
    of_users: false,
};

/// A part that can be set up by itself. The words of `--only` and their help.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum SetupPart {
    /// The endpoint for pacman's own downloader, where --door names it
    Endpoint,
    /// XferCommand and CacheServer in pacman.conf
    Pacman,
    /// More parallel downloads in pacman.conf, where pacman asks the endpoint
    Parallel,
    /// The timer that refreshes indexes, where any is in use
    Index,
    /// The timer that fetches pending updates ahead
    Prefetch,
    /// The notification on desktops that updates are here
    Notify,
    /// Settings of the local Kubo daemon, where one answers
    Kubo,
    /// The daemon that shares packages with the local network
    Daemon,
    /// Trust in the network that this machine is in, where the daemon is enabled
    Lan,
}

impl SetupPart {
    /// All, in the order in which they are offered.
    pub(crate) const ALL: [SetupPart; 9] = [
        SetupPart::Endpoint,
        SetupPart::Pacman,
        SetupPart::Parallel,
        SetupPart::Index,
        SetupPart::Prefetch,
        SetupPart::Notify,
        SetupPart::Kubo,
        SetupPart::Daemon,
        SetupPart::Lan,
    ];

    /// Returns its name on the command line and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            SetupPart::Endpoint => "endpoint",
            SetupPart::Pacman => "pacman",
            SetupPart::Parallel => "parallel",
            SetupPart::Index => "index",
            SetupPart::Prefetch => "prefetch",
            SetupPart::Notify => "notify",
            SetupPart::Kubo => "kubo",
            SetupPart::Daemon => "daemon",
            SetupPart::Lan => "lan",
        }
    }
}

/// The inputs of the parts.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// The process.
    pub(crate) env: &'a Env,
    /// The configuration.
    pub(crate) settings: &'a Settings,
    /// `--set` and its values, for a child that does a part of the work.
    pub(crate) flags: &'a [OsString],
    /// True if the daemon is to be enabled in the same run, before its networks are trusted.
    pub(crate) daemon_comes: bool,
    /// The way on which pacman is to reach this program.
    pub(crate) door: PacmanDoor,
    /// True if pacman.conf is to be changed to it in the same run, before its downloads become more.
    pub(crate) door_comes: bool,
}

/// The offer of a part.
pub(crate) enum SetupOffer {
    /// A change that it would make.
    Change(Box<dyn Change>),
    /// Nothing, for this reason.
    Nothing(String),
}

/// A change that was prepared and not made yet.
pub(crate) trait Change {
    /// Describes all that it changes, for people to decide on. Lines, the last one ended.
    fn shown(&self) -> String;

    /// Describes the same in fewer lines, below a title that says what it is for.
    fn brief(&self) -> String {
        self.shown()
    }

    /// Makes the change and returns the messages to print afterwards, one line each.
    ///
    /// # Errors
    /// Those of the part. The record then suffices to undo what was done.
    fn apply(&self, record: &mut SetupRecord) -> Result<Vec<String>, Error>;
}

/// Offers the change of `part`.
///
/// # Errors
/// `Usage` if a configuration is not understood, or the change would break downloads: the hint tells what to do by
/// hand. `Local` if a file cannot be read or a program cannot be run.
pub(crate) fn offer(context: &Context<'_>, part: SetupPart, record: &SetupRecord) -> Result<SetupOffer, Error> {
    match part {
        SetupPart::Endpoint => endpoint::offer(context, record),
        SetupPart::Pacman => pacman::offer(context, record),
        SetupPart::Parallel => pacman::offer_parallel(context, record),
        SetupPart::Index if context.settings.indexes.is_empty() => {
            Ok(SetupOffer::Nothing("no index is in use; `pkgswarm index add` adds one".to_owned()))
        }
        SetupPart::Index => units::offer(INDEX),
        SetupPart::Prefetch => units::offer(PREFETCH),
        SetupPart::Notify => units::offer(NOTIFY),
        SetupPart::Kubo => kubo::offer(context, record),
        SetupPart::Daemon => units::offer(DAEMON),
        SetupPart::Lan => lan::offer(context),
    }
}

/// Offers to undo `part`.
///
/// # Errors
/// `Usage` if setup's changes cannot be told from later ones: the hint tells what to do by hand.
pub(crate) fn offer_undo(context: &Context<'_>, part: SetupPart, record: &SetupRecord) -> Result<SetupOffer, Error> {
    match part {
        SetupPart::Endpoint => Ok(endpoint::offer_undo(record)),
        SetupPart::Pacman => pacman::offer_undo(record),
        SetupPart::Parallel => pacman::offer_undo_parallel(context, record),
        SetupPart::Index => Ok(units::offer_undo(INDEX, record)),
        SetupPart::Prefetch => Ok(units::offer_undo(PREFETCH, record)),
        SetupPart::Notify => Ok(units::offer_undo(NOTIFY, record)),
        SetupPart::Kubo => kubo::offer_undo(context, record),
        SetupPart::Daemon => Ok(units::offer_undo(DAEMON, record)),
        SetupPart::Lan => lan::offer_undo(context, record),
    }
}
