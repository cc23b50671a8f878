//! Arguments of the commands that configure this machine, fetch ahead, and explain its state.

use clap::{Args, Subcommand};

use super::JsonArgs;
use crate::host::setup::SetupPart;
use crate::host::setup::door::PacmanDoor;

/// Verbs of `store`.
#[derive(Subcommand, Debug)]
pub(crate) enum StoreCommand {
    /// List what the stores keep, and why
    ///
    /// One line a file: its size, its age, its name, and the reason why it is kept. Lists the stores that this user may look into.
    #[command(visible_alias = "list")]
    Ls(JsonArgs),
    /// Remove what may be removed, and say what that freed
    ///
    /// Pending updates stay, and files that came within the last hour, which a run of pacman may be waiting for; files that are being fetched stay too. All else goes: what pacman's caches have by now, what was superseded, and partial files. All of it can be fetched again.
    Clean(CleanArgs),
}

/// Arguments of `store clean`.
#[derive(Args, Debug)]
pub(crate) struct CleanArgs {
    /// Show what would go, and remove nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `prefetch`.
#[derive(Args, Debug)]
pub(crate) struct PrefetchArgs {
    /// Only these packages [default: all that are pending]
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) only: Vec<String>,
    /// Look for updates and fetch none
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Ignore the settings about battery, connection and time of day
    #[arg(long)]
    pub(crate) now: bool,
    /// Fetch nothing; notify this desktop of updates that are here, once
    ///
    /// For a unit of the user's session. Silent without a desktop.
    #[arg(long, conflicts_with_all = ["only", "dry_run", "now", "json"])]
    pub(crate) notify: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `setup`.
#[derive(Args, Debug)]
pub(crate) struct SetupArgs {
    /// Undo what setup did
    #[arg(long)]
    pub(crate) undo: bool,
    /// The way on which pacman reaches pkgswarm [default: as it is, else xfer]
    ///
    /// xfer serves pacman's command line and needs no process that runs. cache serves pacman's own downloader, with its bars and parallel downloads, and every front-end of libalpm, through an endpoint on this machine; it needs pacman 6.1. With both, pacman's command line uses XferCommand and front-ends use the endpoint. Another door replaces the one before.
    #[arg(long, value_name = "DOOR", conflicts_with = "undo")]
    pub(crate) door: Option<PacmanDoor>,
    /// Only these parts; may be repeated [default: all]
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub(crate) only: Vec<SetupPart>,
    /// Do not ask
    ///
    /// Sharing is then set up only where --only names daemon and lan, and more parallel downloads only where it names parallel.
    #[arg(short = 'y', long, conflicts_with = "dry_run")]
    pub(crate) yes: bool,
    /// Show what would be changed, and change nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Print one JSON object a part: part, state, change, said
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `status`.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// Show peer ids, addresses and every pending update as well
    #[arg(short, long)]
    pub(crate) long: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `why`.
#[derive(Args, Debug)]
pub(crate) struct WhyArgs {
    /// A package file name, a package name, name-version, or a sha256; also of Haiku's repositories
    pub(crate) name: String,
    /// Show digests, the CID and paths as well
    #[arg(short, long)]
    pub(crate) long: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Show notes as well
    #[arg(long)]
    pub(crate) notes: bool,
    /// Print JSON: every check with its findings
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `stats`.
#[derive(Args, Debug)]
pub(crate) struct StatsArgs {
    /// Number of days to look back, today included; 0 for the whole journal
    #[arg(long, default_value_t = 30, value_name = "N")]
    pub(crate) days: u32,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
