//! Arguments of the commands about shares.

use clap::{Args, Subcommand};

/// Arguments of `keep`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct KeepArgs {
    #[command(subcommand)]
    pub(crate) command: Option<KeepCommand>,
    /// Name of the index, as `pkgswarm index ls` has it
    #[arg(required = true)]
    pub(crate) name: Option<String>,
    /// Most room that the share takes on the disk, like 40G; required the first time
    #[arg(long, value_name = "SIZE")]
    pub(crate) quota: Option<String>,
    /// Only these repositories of the index [default: all]
    #[arg(long = "repos", value_name = "REPO", value_delimiter = ',')]
    pub(crate) repos: Vec<String>,
    /// Room that stays free on that disk, whatever else fills it: a size, or a part of the whole [default: 10%]
    #[arg(long, value_name = "SIZE|PART%")]
    pub(crate) min_free: Option<String>,
    /// Of several versions of a package keep only the newest; --newest=false ends that
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) newest: Option<bool>,
    /// Fetch from mirrors, too, what no peer and no gateway has; --mirrors=false ends that
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) mirrors: Option<bool>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Verbs of `keep`.
#[derive(Subcommand, Debug)]
pub(crate) enum KeepCommand {
    /// Make a round of the shares: what the timer does
    ///
    /// Files that left the index go, what the rule gives to this machine comes. Does nothing on a metered connection, on battery, through a VPN and outside prefetch.window: the settings of `pkgswarm prefetch` apply, prefetch.rate as well. Can be interrupted at any time; the next round goes on.
    Run(KeepRunArgs),
    /// List the shares
    ///
    /// One line a share: the index, what is kept of it, its quota, and how the last round went.
    #[command(visible_alias = "list")]
    Ls(KeepLsArgs),
    /// Show what is kept, how the last round went, and how well the index is covered
    ///
    /// The coverage is what a sample of the index says: how many other holders of a file the network named, when it was last asked.
    Status(KeepStatusArgs),
    /// Keep a share no longer
    ///
    /// Takes it out of the configuration, unpins it, and removes the files that came because of it from Kubo; those that you pinned, have in MFS, or had in Kubo before stay. With --leave all of them stay, under one pin of your own with the name of the index. A share in the store leaves there the files that were in it before; with --leave all of them go to its directory left, under pacman's names.
    Stop(KeepStopArgs),
}

/// Arguments of `keep run`.
#[derive(Args, Debug)]
pub(crate) struct KeepRunArgs {
    /// Only these [default: all]
    pub(crate) names: Vec<String>,
    /// Do it also on a metered connection, on battery, through a VPN, and at any time of day
    #[arg(long)]
    pub(crate) now: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `keep ls`.
#[derive(Args, Debug)]
pub(crate) struct KeepLsArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `keep status`.
#[derive(Args, Debug)]
pub(crate) struct KeepStatusArgs {
    /// Only this one [default: all]
    pub(crate) name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `keep stop`.
#[derive(Args, Debug)]
pub(crate) struct KeepStopArgs {
    /// Which share
    pub(crate) name: String,
    /// Leave the files in Kubo under a pin of your own, or in the store's directory left
    #[arg(long)]
    pub(crate) leave: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
