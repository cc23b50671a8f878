//! Arguments of the commands about Haiku's repositories.

use std::net::SocketAddr;

use clap::{Args, Subcommand};

use super::{JsonArgs, NameArgs};

/// Verbs of `haiku`.
#[derive(Subcommand, Debug)]
pub(crate) enum HaikuCommand {
    /// Serve a repository of Haiku's
    ///
    /// Shows the fingerprint of the key and asks, then fetches the list of packages and proves it. The endpoint serves it from then on, at the path that it has at its server.
    Add(HaikuAddArgs),
    /// List the repositories, with the age of their snapshots
    ///
    /// One line a repository: its name here, its path at the endpoint, the number of its packages, the time of the signature, and the time at which a server last had it.
    #[command(visible_alias = "list")]
    Ls(JsonArgs),
    /// Fetch and prove the newest list of packages
    ///
    /// The servers are asked in their order, the next one also where those before it take long, until one sends a list with the right signature that is not older than the one in use; then the others tell whether they have a newer one. The endpoint does the same by itself whenever pkgman asks.
    Refresh(HaikuRefreshArgs),
    /// Print what to type on Haiku to switch to the endpoint, and to switch back
    ///
    /// The lines keep the name and the identifier of the repository and change its address alone, so that installed packages and pkgman's cache stay valid. The list must have been fetched here once.
    Steps(HaikuStepsArgs),
    /// Stop serving a repository
    ///
    /// Removes what `pkgswarm haiku add` wrote. Haiku machines that still have it get error 404 then: switch them back first.
    #[command(alias = "remove")]
    Rm(NameArgs),
}

/// Arguments of `haiku add`.
#[derive(Args, Debug)]
pub(crate) struct HaikuAddArgs {
    /// Name for it on this machine
    pub(crate) name: String,
    /// Address of the repository, as pkgman has it in baseurl; several are asked in their order
    #[arg(required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,
    /// minisign public key that must have signed its list [default: that of Haiku's own repositories]
    #[arg(long, value_name = "PUBKEY")]
    pub(crate) minisign: Option<String>,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
}

/// Arguments of `haiku refresh`.
#[derive(Args, Debug)]
pub(crate) struct HaikuRefreshArgs {
    /// Only these [default: all]
    pub(crate) names: Vec<String>,
}

/// Arguments of `haiku steps`.
#[derive(Args, Debug)]
pub(crate) struct HaikuStepsArgs {
    /// Which repository
    pub(crate) name: String,
    /// Address at which Haiku reaches the endpoint [default: this machine's, with the port of endpoint.listen]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) address: Option<SocketAddr>,
}
