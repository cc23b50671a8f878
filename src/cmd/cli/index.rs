//! Arguments of the commands about indexes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{JsonArgs, NameArgs};

/// Verbs of `index`.
#[derive(Subcommand, Debug)]
pub(crate) enum IndexCommand {
    /// Use an index
    ///
    /// Shows the fingerprint of the key and asks. KEY is an IPNS name (k51…), or, with --url, a minisign public key.
    Add(IndexAddArgs),
    /// List the indexes in use, with age and expiry
    ///
    /// One line an index: its name here, its repositories, the age of the copy in use, when that expires, how many files it lists, and how the last refresh went.
    #[command(visible_alias = "list")]
    Ls(JsonArgs),
    /// Fetch and prove the newest version
    ///
    /// All ways are asked at once: neighbours through the daemon, Kubo, the configured gateways, and the index's url. The newest proven version is used; `pkgswarm index ls --json` shows the result of each way.
    Refresh(RefreshArgs),
    /// Show the content of an index
    ///
    /// Shows the manifest of the copy in use: publisher, sequence, dates, keys and tables. It is read from this machine; no network is asked.
    Show(ShowArgs),
    /// Compare packages on this machine with indexes and sync databases
    ///
    /// Reads every package and signature, computes its sha256 and CID, and lists the disagreements: the file, the entry of each list, and the file's own values. A disagreement does not show which side is wrong: a damaged file, a package that was rebuilt under the same name, or a wrong index look alike.
    ///
    /// With --against, two indexes are compared instead: two publishers of the same repositories say the same of each file. Those of which they do not are an alarm; a file that only one of them lists is a matter of their ages, which the last line has.
    ///
    /// Exit status 3 when there is any disagreement, 4 when a file could not be read, else 0.
    Audit(AuditArgs),
    /// Stop using an index
    ///
    /// Removes what `pkgswarm index add` wrote, and the copy. The sequences that were seen of its keys stay known: added again later, it cannot go backwards.
    #[command(alias = "remove")]
    Rm(NameArgs),
}

/// Arguments of `index add`.
#[derive(Args, Debug)]
pub(crate) struct IndexAddArgs {
    /// Name for it on this machine
    pub(crate) name: String,
    /// IPNS name, or minisign public key
    pub(crate) key: String,
    /// minisign public key that must have signed it as well
    #[arg(long, value_name = "PUBKEY")]
    pub(crate) minisign: Option<String>,
    /// Plain HTTP copy of the index; may be repeated
    ///
    /// Where no DHT is reached, this is what brings the name's record: Kubo finds none without it.
    #[arg(long = "url", value_name = "URL")]
    pub(crate) urls: Vec<String>,
    /// Address of a peer that has the index: /ip4/…/tcp/4001/p2p/12D3…; may be repeated
    ///
    /// Kubo keeps a connection to it, so that a first look-up finds it at once, without a search of the network.
    #[arg(long = "peer", value_name = "MULTIADDR")]
    pub(crate) peers: Vec<String>,
    /// Repository that the index may speak for; may be repeated [default: pacman's repositories]
    #[arg(long = "repo", value_name = "REPO")]
    pub(crate) repos: Vec<String>,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
}

/// Arguments of `index refresh`.
#[derive(Args, Debug)]
pub(crate) struct RefreshArgs {
    /// Only these [default: all]
    pub(crate) names: Vec<String>,
    /// Only those older than index.refresh
    #[arg(long)]
    pub(crate) due: bool,
    /// Print one JSON object an index
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `index show`.
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// Which index
    pub(crate) name: String,
    /// List every entry of its tables as well
    #[arg(long)]
    pub(crate) entries: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `index audit`.
#[derive(Args, Debug)]
pub(crate) struct AuditArgs {
    /// Indexes to compare with, and packages or directories of packages to read [default: all indexes, and pacman's CacheDirs]
    ///
    /// A word that is the name of an index in use is that index; write ./NAME for a file or directory of that name. Sync databases are always compared with. Directories are not searched below.
    #[arg(value_name = "NAME|DIR|FILE")]
    pub(crate) what: Vec<PathBuf>,
    /// Compare indexes with this one, entry by entry, and read no packages
    ///
    /// Those that are named, or all others. Their copies on this machine are read; no network is asked.
    #[arg(long, value_name = "NAME")]
    pub(crate) against: Option<String>,
    /// Print one JSON object a file: name, path, size, sha256, cid, the lists that name it, and disagreements
    #[arg(long)]
    pub(crate) json: bool,
}
