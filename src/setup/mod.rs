//! Making this machine use pkgswarm, and taking that back: pacman.conf, units, Kubo's settings, trust in a network.
//!
//! Each [`SetupPart`] looks first and makes an [`SetupOffer`]: a [`Change`], which can be shown exactly as it will be made, or the
//! reason why there is none. Applying one writes into the [`record`] first what it takes to undo it. Undoing makes
//! offers of the same kind, and touches nothing that somebody else has changed since.

use std::ffi::OsString;

use clap::ValueEnum;

use crate::config::Settings;
use crate::env::Env;
use crate::error::Error;

mod conf;
mod diff;
mod file;
mod kubo;
mod lan;
mod pacman;
pub mod record;
mod units;

use record::SetupRecord;
use units::Unit;

const INDEX: Unit = Unit { name: "pkgswarm-index.timer", about: "refreshes the indexes in use", of_users: false };
const PREFETCH: Unit =
    Unit { name: "pkgswarm-prefetch.timer", about: "fetches pending updates before anyone asks", of_users: false };
const NOTIFY: Unit = Unit {
    name: "pkgswarm-notify.path",
    about: "tells desktop users once when the updates that were fetched are here",
    of_users: true,
};
const DAEMON: Unit = Unit {
    name: "pkgswarm-daemon.service",
    about: "shares packages with machines of networks that are trusted, and none so far",
    of_users: false,
};

/// What can be set up by itself. The words of `--only` and their help.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum SetupPart {
    /// XferCommand in pacman.conf
    Pacman,
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
    pub const ALL: [SetupPart; 7] = [
        SetupPart::Pacman,
        SetupPart::Index,
        SetupPart::Prefetch,
        SetupPart::Notify,
        SetupPart::Kubo,
        SetupPart::Daemon,
        SetupPart::Lan,
    ];

    /// What it is called on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            SetupPart::Pacman => "pacman",
            SetupPart::Index => "index",
            SetupPart::Prefetch => "prefetch",
            SetupPart::Notify => "notify",
            SetupPart::Kubo => "kubo",
            SetupPart::Daemon => "daemon",
            SetupPart::Lan => "lan",
        }
    }
}

/// What the parts work with.
pub struct Context<'a> {
    /// The process.
    pub env: &'a Env,
    /// What is configured.
    pub settings: &'a Settings,
    /// `--set` and what was given with it, for a child that does a part of the work.
    pub flags: &'a [OsString],
}

/// What a part can do.
pub enum SetupOffer {
    /// It would change this.
    Change(Box<dyn Change>),
    /// Nothing, for this reason.
    Nothing(String),
}

/// A change that was worked out and not made yet.
pub trait Change {
    /// All that it changes, for people to decide on. Lines, the last one ended.
    fn shown(&self) -> String;

    /// Makes the change and says what is to be said afterwards, one line each.
    ///
    /// # Errors
    /// As the part has them. What the record then says suffices to undo what was done.
    fn apply(&self, record: &mut SetupRecord) -> Result<Vec<String>, Error>;
}

/// What `part` would change.
///
/// # Errors
/// `Usage` where something is not understood, or would break downloads: the hint says what to do by hand. `Local` where
/// something cannot be read or asked.
pub fn offer(context: &Context<'_>, part: SetupPart) -> Result<SetupOffer, Error> {
    match part {
        SetupPart::Pacman => pacman::offer(context),
        SetupPart::Index if context.settings.indexes.is_empty() => {
            Ok(SetupOffer::Nothing("no index is in use; `pkgswarm index add` adds one".to_owned()))
        }
        SetupPart::Index => Ok(units::offer(INDEX)),
        SetupPart::Prefetch => Ok(units::offer(PREFETCH)),
        SetupPart::Notify => Ok(units::offer(NOTIFY)),
        SetupPart::Kubo => kubo::offer(context),
        SetupPart::Daemon => Ok(units::offer(DAEMON)),
        SetupPart::Lan => lan::offer(context),
    }
}

/// What undoing `part` would change.
///
/// # Errors
/// `Usage` where what was changed cannot be told from what somebody changed since: the hint says what to do by hand.
pub fn offer_undo(context: &Context<'_>, part: SetupPart, record: &SetupRecord) -> Result<SetupOffer, Error> {
    match part {
        SetupPart::Pacman => pacman::offer_undo(context, record),
        SetupPart::Index => Ok(units::offer_undo(INDEX, record)),
        SetupPart::Prefetch => Ok(units::offer_undo(PREFETCH, record)),
        SetupPart::Notify => Ok(units::offer_undo(NOTIFY, record)),
        SetupPart::Kubo => kubo::offer_undo(context, record),
        SetupPart::Daemon => Ok(units::offer_undo(DAEMON, record)),
        SetupPart::Lan => lan::offer_undo(context, record),
    }
}
