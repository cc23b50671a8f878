//! The command line: the grammar alone. The comments here are the help and the manual.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub(crate) mod examples;
mod group;
mod groups;
mod haiku;
mod index;
mod keep;
mod sharing;
mod upkeep;

pub(crate) use upkeep::{DoctorArgs, PrefetchArgs, SetupArgs, StatsArgs, StatusArgs, WhyArgs};

pub(crate) use group::{GroupCommand, GroupInitArgs, GroupJoinArgs, GroupLeaveArgs, GroupStatusArgs};
pub(crate) use groups::{GLOBAL, GROUPS, grammar};
pub(crate) use haiku::{HaikuAddArgs, HaikuCommand, HaikuRefreshArgs, HaikuStepsArgs};
pub(crate) use index::{AuditArgs, IndexAddArgs, IndexCommand, RefreshArgs, ShowArgs};
pub(crate) use keep::{KeepArgs, KeepCommand, KeepRunArgs, KeepStatusArgs, KeepStopArgs};
pub(crate) use sharing::{LanCommand, NetworksArgs, OnOff, SharedArgs, TrustArgs};
pub(crate) use upkeep::{CleanArgs, StoreCommand};

mod quick;

/// Package downloader that stands in for curl
///
/// pkgswarm fetches packages by content id from the nearest source (this machine, the local network, the local Kubo daemon, HTTP mirrors), proves every byte against the package manager's own database or a signed index, and never leaves you worse off than plain curl.
///
/// To use it with pacman, put this line into the `[options]` section of /etc/pacman.conf:
///
///     XferCommand = /usr/bin/pkgswarm xfer %u %o
#[derive(Parser, Debug)]
#[command(name = "pkgswarm", version, arg_required_else_help = true, max_term_width = 100, disable_help_flag = true)]
#[command(
    after_help = "`pkgswarm COMMAND --help` and `man pkgswarm` say more.\n\nExit status: 0 proven, 1 no source, 2 usage or configuration, 3 corrupt everywhere, 4 local input or output, 130 interrupted."
)]
pub struct Cli {
    /// Set one setting for this run, above every other layer
    ///
    /// `pkgswarm config` lists all settings.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", help_heading = GLOBAL)]
    pub(crate) set: Vec<String>,
    /// Print data, errors and warnings alone
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = GLOBAL)]
    pub(crate) quiet: bool,
    /// Name every source that failed, also when another one delivered
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub(crate) verbose: bool,
    /// Print help: in short with -h, in full with --help
    #[arg(short, long, global = true, action = ArgAction::Help, help_heading = GLOBAL)]
    pub(crate) help: Option<bool>,

    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Fetch one file for pacman (XferCommand) or makepkg (DLAGENTS)
    ///
    /// Exit status 0 means that OUTPUT is complete and proven, or accepted under a named waiver. Any other status leaves nothing at OUTPUT.
    ///
    /// A package is proven by the sha256 and size in its repository's sync database, else by a signed index. Signatures and databases, which no list proves, are accepted under a waiver that the output names, after a check of their shape.
    ///
    /// The first call for a package in a pacman run starts a process in the background that fetches the rest of this run's files; later calls find it in the store. It ends with pacman. The settings ahead.enabled and ahead.parallel control it.
    ///
    /// Run by root, a child that has dropped to an unprivileged user does everything with foreign bytes.
    Xfer(XferArgs),
    /// Fetch files by name, package, digest, CID or URL
    ///
    /// WHAT is one of: a package file name, a package name, name-version, a sha256, a CID, ipfs://CID[/path], or an http, https or file URL. Names, sha256 and CIDs are looked up in pacman's sync databases and in the indexes in use; a file that is found there comes from the repository's servers as well, and is written under its file name. A CID that is in no list comes from neighbours, Kubo or a gateway, whatever the shape of the file. A package of one of Haiku's repositories in the configuration (NAME.hpkg, the package's name, a sha256) is looked up in its proven list: pkgswarm-haiku(7).
    ///
    /// What none of these lists have is looked for in the archives of the indexes: files that a repository had before, by file name, name-version or sha256, as long as the index's publisher remembers them. --as-of DATE finds what was current then, also of a package that is gone.
    ///
    /// Where the sync database and an index, or two indexes, disagree about a file, a warning names each with its entry; where pacman does not check the file's signature, the file is refused.
    Fetch(FetchArgs),
    /// Print the CIDs of files, offline, like sha256sum
    ///
    /// The profile is unixfs-v1-2025 (CIDv1, sha2-256, 1 MiB chunks, raw leaves), the same as `ipfs add --cid-version=1 --raw-leaves --chunker=size-1048576 --max-file-links=1024`.
    Cid(CidArgs),
    /// Manage the signed indexes in use
    ///
    /// An index is a publisher's signed list of packages with their content ids: with it Kubo, neighbours and gateways can be asked for large files too, and files of repositories without a sync database here are proven. Using one is a decision to trust its key for the repositories that it may speak for.
    #[command(subcommand)]
    Index(IndexCommand),
    /// Serve repositories of Haiku's pkgman
    ///
    /// pkgman checks no signature: its server, and every machine between, can have it install anything. Through the endpoint it gets one snapshot of a repository that was proven by the repository's key (minisign), and packages with the sums of that, from this machine, neighbours, Kubo and mirrors. The manual page pkgswarm-haiku(7) says how.
    #[command(subcommand)]
    Haiku(HaikuCommand),
    /// Keep a share of an index alive, within a quota
    ///
    /// Volunteers who keep shares of the same index hold all of it together, without talking to each other: most of a share follows from a random number of this machine, the rest from what few others hold. The files come from neighbours, Kubo, gateways and, where --mirrors says so, mirrors; each is proven, goes into Kubo, and is announced and served by it. One pin, pkgswarm-keep:NAME, holds all of them. On a machine without Kubo a share is kept in the store, and pkgswarm daemon serves it to trusted networks.
    ///
    /// It never takes more than the quota, leaves --min-free of Kubo's disk free whatever else fills it, and touches neither your own pins nor MFS nor files that were in Kubo before. Called again, it changes the settings. The first round is made at once; pkgswarm-keep.timer makes the others.
    Keep(KeepArgs),
    /// Build, sign and publish an index from repo-add directories
    ///
    /// Checks every package against its database, stops at the first mismatch, prints the disk cost before anything is copied, puts the blocks into Kubo, publishes under an IPNS key, and reads back its own work. A second run with nothing changed copies no blocks; it renews the index when under half of its life is left. Meant for a timer.
    ///
    /// Standard output gets the IPNS name to give to users; with --offline, the CID of the tree.
    Publish(PublishArgs),
    /// Hold the same pins on the machines of a closed group
    ///
    /// A group is a private network of Kubo nodes and an ipfs-cluster in it, made of keys that its members alone have: what one of them pins, all of them hold, and what is unpinned all of them let go of. Each machine has a Kubo and a cluster peer for it, beside whatever else runs there, and nothing of the group is announced anywhere.
    ///
    /// doc/groups.md tells of it as a whole.
    #[command(subcommand)]
    Group(GroupCommand),
    /// Fetch pending updates in advance
    ///
    /// Looks for updates as `checkupdates` does, in databases of its own, so that those of the system stay as they are. Packages and signatures go into the store, where a later `pacman -Su` finds them without a network; with Kubo running they are pinned there, so that neighbours can have them. Superseded versions are removed. Packages in `IgnorePkg` are not fetched.
    ///
    /// Prints the updates that are pending, one a line. Does nothing on a metered connection, on battery, through a VPN, and outside prefetch.window; pkgswarm.toml(5) lists these settings, and those for quota, age and rate. Can be interrupted at any time; the next run goes on.
    ///
    /// Run by root, it works as the owner of the store, the user of pacman's downloads. Run by another user, it fills that user's own store, which pacman cannot use.
    ///
    /// Exit status 0 when there are updates, 2 when there are none or it is not the time, 1 after an error, 130 when interrupted.
    Prefetch(PrefetchArgs),
    /// Configure this machine to use pkgswarm, or undo that
    ///
    /// Asks numbered questions, each with the exact change: the XferCommand in pacman.conf, the timer that refreshes indexes, fetching updates ahead with a notification, settings of the local Kubo daemon that you have not changed, and sharing packages with the network that this machine is in. Enter takes the answer in capitals, q quits. An existing XferCommand becomes a comment.
    ///
    /// pacman.conf keeps its owner, mode and place (a symbolic link is followed), and is never half written. The change is tried on pacman-conf first. A change that pacman-conf does not understand, or that would keep pacman from downloading, is refused, with instructions for doing it by hand.
    ///
    /// --undo restores the earlier state, byte for byte. Where pacman.conf was edited since, only the lines of setup are removed; if they cannot be told apart, nothing is changed. The file as it was stays in /etc/pkgswarm/setup until then.
    Setup(SetupArgs),
    /// Find configuration problems and suggest fixes
    ///
    /// Checks pacman, the store, the indexes in use and the local Kubo daemon; changes nothing. The manual lists the checks.
    ///
    /// Exit status 0 when there is nothing to fix, 1 when there is. Notes, which --notes shows, do not count: everything works.
    Doctor(DoctorArgs),
    /// Share packages with the local network, until it is stopped
    ///
    /// The daemon is a small IPFS peer of its own: with it, machines on a trusted network share the files in their package caches, and each update crosses the uplink once. It needs no Kubo and no index, and finds Kubo on the network too. It offers files of public repositories only, and only those that a sync database or an index lists; files in the cache are served from there, without a second copy.
    ///
    /// The daemon does nothing on networks that are not trusted: `pkgswarm lan trust` adds the one this machine is in. lan.interfaces restricts it to some interfaces. `pkgswarm status` shows its neighbours. Not for root; the unit pkgswarm-daemon.service runs it as a user of its own.
    Daemon,
    /// Serve packages over HTTP to pacman's own downloader
    ///
    /// The second door, beside XferCommand: with `CacheServer = http://127.0.0.1:4011/$repo/os/$arch` in each repository, pacman 6.1 and later asks here first, with its own parallel downloads and bars, and so does every program that is built on libalpm. Only proven bytes leave. What is not here, and cannot be had in time, is answered with 404, and pacman asks its next server, as if there were no endpoint.
    ///
    /// With a browser, http://127.0.0.1:4011/ shows what comes from where, what is on the way, what is pending and what is wrong; nothing on it changes anything. http://127.0.0.1:4011/metrics has figures for Prometheus, and /status.json the document of `pkgswarm status --json`, with those of stats and doctor in members of these names. Other machines see them only where endpoint.page names their network.
    ///
    /// It listens on 127.0.0.1:4011 once endpoint.enabled is set; endpoint.listen and endpoint.allow open it to other machines of a house, which ask it by endpoint.peers, and find it where endpoint.announce is set. Not for root.
    Endpoint,
    /// List the files that are offered, or switch sharing on or off
    ///
    /// One line a file: its size, its repository, its path; then the networks that it is offered to. Only files of repositories that share.repos allows, and that a sync database or an index lists, are ever offered.
    ///
    /// `on` and `off` are for root, because the daemon is the system's. They end when the daemon has applied them, and print what it says.
    Shared(SharedArgs),
    /// Trust a network with shared files, or stop doing so
    ///
    /// Files of public repositories are offered to every machine of a trusted network, and asked of them. No network is trusted until you say so.
    #[command(subcommand)]
    Lan(LanCommand),
    /// Show what is in use, shared and pending
    ///
    /// Tells whether pacman downloads with pkgswarm, which networks files are shared with, which updates are ready, what the store holds, which indexes are in use, and whether Kubo runs; then the neighbours, with the bytes that came from them and went to them.
    ///
    /// Takes two seconds at most, even when Kubo or the daemon does not answer. Pending updates are those that `pkgswarm prefetch` saw last, without those installed since.
    Status(StatusArgs),
    /// Explain where a file would come from, and by which proof
    ///
    /// Tells from where a download would take it now and where the last copy came from; in which order the sources would be asked, and which of them have it (asked in parallel, three seconds at most, without moving any of it); which would not be asked, and why; and by which digest of which list the file is proven.
    Why(WhyArgs),
    /// Show how much each source sent, and what that saved
    ///
    /// Counts the bytes of file contents, as servers count them; bytes that were discarded are included. `here already` counts the bytes that the store, a package cache or an unchanged database saved.
    ///
    /// Mirror traffic saved is the bytes delivered less those that mirrors sent. Time saved is an estimate: for each file that pacman did not get from a mirror, the time that a mirror would have needed less the time that it took; the wait and the rate of mirrors are measured over the files that they did send to a waiting pacman in the same time.
    Stats(StatsArgs),
    /// Show every setting with its value and its origin
    ///
    /// The origin is the default, a file with its line, an environment variable, or --set. pkgswarm.toml(5) says what each setting does.
    Config(ConfigArgs),
    /// List what is kept on this machine, or make room
    ///
    /// The store holds files until pacman has them: pending updates, what was fetched ahead of a run, and the beginnings of interrupted downloads. It never grows beyond store.max. Root's commands are about the store of pacman's downloads; an ordinary user has one of their own.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Print the version, as --version does
    #[command(hide = true)]
    Version,
    /// Housekeeping in the background: due indexes, the store, Kubo's cache
    #[command(hide = true)]
    Upkeep(UpkeepArgs),
    /// Fetch the rest of a pacman run, started by xfer
    #[command(hide = true)]
    Ahead(AheadArgs),
    /// Write man pages, completions or the example configuration
    #[command(hide = true)]
    Generate(GenerateArgs),
}

/// Arguments of `xfer`.
#[derive(Args, Debug)]
pub(crate) struct XferArgs {
    /// The URL that pacman asks for: its %u
    pub(crate) url: String,
    /// Where to put the file: pacman's %o
    pub(crate) output: PathBuf,
}

/// Arguments of `fetch`.
#[derive(Args, Debug)]
pub(crate) struct FetchArgs {
    /// What to fetch
    #[arg(required = true)]
    pub(crate) what: Vec<String>,
    /// Write to this file; `-` is standard output
    #[arg(short, long, value_name = "FILE", conflicts_with = "directory")]
    pub(crate) output: Option<PathBuf>,
    /// Write into this directory
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Ask only this kind of source
    #[arg(long)]
    pub(crate) source: Option<SourceArg>,
    /// The version of each package that its repository had then: a day, which means its end in UTC, or a moment
    ///
    /// WHAT is the name of a package. Needs an index that keeps an archive; where that does not reach back so far, the error names the oldest version that it knows.
    #[arg(long, value_name = "DATE")]
    pub(crate) as_of: Option<String>,
    /// Ask this mirror too, with $repo and $arch as in pacman's mirror list; may be repeated
    ///
    /// For files that the repository's own servers have no more: what it sends is proven like everything else.
    #[arg(long, value_name = "URL")]
    pub(crate) mirror: Vec<String>,
    /// Print one JSON object a file on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Kinds of sources, as `--source` names them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum SourceArg {
    /// The store and pacman's caches on this machine
    Here,
    /// The machines of the local network, through `pkgswarm daemon`
    Lan,
    /// The local Kubo daemon
    Kubo,
    /// The configured trustless gateways
    Gateway,
    /// The repository's servers
    Mirror,
}

/// Arguments of `cid`.
#[derive(Args, Debug)]
pub(crate) struct CidArgs {
    /// Files to read; `-` is standard input
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Print one JSON object a file
    #[arg(long)]
    pub(crate) json: bool,
}

/// A name.
#[derive(Args, Debug)]
pub(crate) struct NameArgs {
    /// Which index
    pub(crate) name: String,
}

/// Only `--json`.
#[derive(Args, Debug)]
pub(crate) struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Verbs of `publish`.
#[derive(Subcommand, Debug)]
pub(crate) enum PublishCommand {
    /// Show how the publications of this machine are
    ///
    /// For each publication in publish.d: its last run and how it went, the age and expiry of its index, upstream's time, files and repositories, the targets and whether each has it, what is pending, and when the timer runs it next. Nothing is asked but systemd.
    ///
    /// Exit status 1 when any of them is not well: its last run did not go well, a target lacks it, its index expired or was not renewed in time, or it has not run for long.
    Status(PublishStatusArgs),
}

/// Arguments of `publish status`.
#[derive(Args, Debug)]
pub(crate) struct PublishStatusArgs {
    /// Only these publications [default: all in publish.d]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Print one JSON object a publication
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `publish`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct PublishArgs {
    #[command(subcommand)]
    pub(crate) command: Option<PublishCommand>,
    /// Directories made by repo-add: databases, packages and signatures; or the name of a publication
    ///
    /// Repositories of Haiku's, and its images, are taken as well (see the manual). One NAME without a slash means the publication that /etc/pkgswarm/publish.d/NAME.toml describes, where there is such a file (see the manual). ./NAME is always a directory; so is a directory called status, which is written ./status.
    #[arg(required = true, value_name = "REPO_DIR|NAME")]
    pub(crate) directories: Vec<PathBuf>,
    /// Name of the Kubo key to publish under; made when there is none [default: pkgswarm]
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Name of the publisher in the index [default: pkgswarm]
    #[arg(long)]
    pub(crate) publisher: Option<String>,
    /// minisign secret key file to sign the manifest with
    ///
    /// The password of an encrypted key is read from $PKGSWARM_MINISIGN_PASSWORD; it is never asked for.
    #[arg(long, value_name = "FILE")]
    pub(crate) minisign_key: Option<PathBuf>,
    /// minisign public key that must have signed lists of Haiku's repositories, and images [default: Haiku's own]
    ///
    /// With "none", those without a signature are published too: for clients of this program such a repository does not count.
    #[arg(long, value_name = "KEY|none")]
    pub(crate) haiku_key: Option<String>,
    /// Leave out this repository, which the last publication has; may be repeated
    ///
    /// Without it, a run that names fewer repositories than the last one stops: users of the index would lose them.
    #[arg(long, value_name = "REPO")]
    pub(crate) drop: Vec<String>,
    /// What is kept of the packages: all, or none but their entries and root blocks [default: all]
    ///
    /// With none, their bytes are in no target and not in the plain tree; each MiB of them can be proven all the same, from mirrors too.
    #[arg(long, value_name = "all|none")]
    pub(crate) content: Option<String>,
    /// Days for which files that have left the databases stay in the archive of the index [default: there is none]
    ///
    /// The index goes on proving them, for `pkgswarm fetch NAME-VERSION` and `--as-of DATE`.
    #[arg(long, value_name = "DAYS")]
    pub(crate) retain: Option<String>,
    /// Most superseded files of one package in the archive, the last ones; with --retain, both hold
    #[arg(long, value_name = "NUMBER")]
    pub(crate) retain_versions: Option<u64>,
    /// Most bytes of archived files that Kubo keeps: what left first goes first [default: all]
    #[arg(long, value_name = "SIZE")]
    pub(crate) retain_size: Option<String>,
    /// How long the index is valid [default: 48 h]
    #[arg(long, value_name = "SPAN")]
    pub(crate) lifetime: Option<String>,
    /// Build and sign into --out without a daemon
    #[arg(long, requires = "out")]
    pub(crate) offline: bool,
    /// Also write manifest, signature, tables and root blocks into this directory
    ///
    /// For a plain copy on any HTTP server. With the root blocks each MiB of a file can be proven by itself, from mirrors too.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `config`.
#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    /// Only this setting, and only its value; or a section, as a list
    pub(crate) key: Option<String>,
    /// Only the settings that have another value than their default
    #[arg(long, conflicts_with = "key")]
    pub(crate) changed: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `upkeep`.
#[derive(Args, Debug)]
pub(crate) struct UpkeepArgs {
    /// Leave the terminal's session first
    #[arg(long)]
    pub(crate) detached: bool,
    /// Only remove the copy of an index, by the name under which it is kept
    #[arg(long, value_name = "COPY")]
    pub(crate) forget_index: Option<String>,
}

/// Arguments of `ahead`.
#[derive(Args, Debug)]
pub(crate) struct AheadArgs {
    /// The run of pacman: its process id and its start time, with a dash between
    pub(crate) run: String,
}

/// Arguments of `generate`.
#[derive(Args, Debug)]
pub(crate) struct GenerateArgs {
    /// Directory that holds man/, completions/ and dist/
    pub(crate) directory: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_grammar_does_not_contradict_itself() {
        super::Cli::command().debug_assert();
    }
}
