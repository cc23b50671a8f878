//! Arguments of the commands about closed groups.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Verbs of `group`.
#[derive(Subcommand, Debug)]
pub(crate) enum GroupCommand {
    /// Begin a closed group on this machine
    ///
    /// Shows what it would make and asks; then makes keys, a Kubo in a private network and a peer of an ipfs-cluster, beside whatever else runs here, and writes the group's file. A machine that has that file is a member: carry it to the other machines by a safe way, and run `pkgswarm group join FILE` there.
    ///
    /// Needs the programs ipfs (Kubo) and ipfs-cluster-service. A Kubo that speaks with the public network is left as it is; nothing of the group is announced anywhere.
    Init(GroupInitArgs),
    /// Join a closed group by its file, or take over what the file says now
    ///
    /// Shows what it would make and asks. On a machine that is a member already, only the settings of the group's two programs change to what the file says; they count from their next start on.
    Join(GroupJoinArgs),
    /// Show the members, the pins and the root of each group
    ///
    /// One line a group: members that answer, pins, those held here, and the root, a digest of the sorted list of pins. Two members whose roots are equal know of the same pins.
    ///
    /// Exit status 1 when a group does not run, a member does not answer, or a pin was given up.
    Status(GroupStatusArgs),
    /// Leave a group: remove it from this machine
    ///
    /// Shows what goes and asks; then removes the group's directory, with all that its Kubo holds. Nothing else on this machine was changed by the group, so nothing else is restored. The other members go on.
    Leave(GroupLeaveArgs),
}

/// Arguments of `group init`.
#[derive(Args, Debug)]
pub(crate) struct GroupInitArgs {
    /// Name of the group: 1 to 64 letters, digits, dots, - and _
    #[arg(long, default_value = "group")]
    pub(crate) name: String,
    /// Address or name at which other members reach this machine; may be repeated [default: its own addresses]
    #[arg(long, value_name = "HOST")]
    pub(crate) at: Vec<String>,
    /// First of four ports in a row: two for members, two on 127.0.0.1 [default: 4160, or the next that are free]
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Where to write the group's file, with mode 0600 [default: NAME.group in this directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Let the pins of this machine count alone: other members hold them, and cannot add or remove any
    #[arg(long)]
    pub(crate) only_writer: bool,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
}

/// Arguments of `group join`.
#[derive(Args, Debug)]
pub(crate) struct GroupJoinArgs {
    /// The group's file, which its owner alone may read
    pub(crate) file: PathBuf,
    /// First of four ports in a row: two for members, two on 127.0.0.1 [default: 4160, or the next that are free]
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
}

/// Arguments of `group status`.
#[derive(Args, Debug)]
pub(crate) struct GroupStatusArgs {
    /// Only these groups [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Print one JSON object a group
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `group leave`.
#[derive(Args, Debug)]
pub(crate) struct GroupLeaveArgs {
    /// Which group
    pub(crate) name: String,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
}
