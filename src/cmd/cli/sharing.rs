//! Arguments of the commands about the local network.

use clap::{Args, Subcommand, ValueEnum};

use super::JsonArgs;

/// Verbs of `lan`.
#[derive(Subcommand, Debug)]
pub(crate) enum LanCommand {
    /// Trust the networks that this machine is in, or those that are named
    ///
    /// A network is a range with the hardware address of its router, because the same range is found behind many routers: 192.168.1.0/24@aa:bb:cc:dd:ee:ff. Where its router does not answer, the range alone could be trusted, wherever it is used: that is asked. `any` trusts every private network. A running daemon applies the change at once, and its own judgement is printed.
    ///
    /// For root: the daemon is the system's. A user's own daemon, whose daemon.socket is in a directory of that user, reads that user's configuration, which this then changes.
    #[command(alias = "add")]
    Trust(TrustArgs),
    /// List the networks that this machine is in, and those that are trusted
    ///
    /// One line a network: as `pkgswarm lan trust` writes it, the daemon's judgement, and this machine's address there.
    #[command(visible_alias = "list")]
    Ls(JsonArgs),
    /// Do not trust a network any more: one that is named, or those that this machine is in
    ///
    /// A range without a router means that range with every router.
    #[command(alias = "rm")]
    Forget(NetworksArgs),
}

/// Arguments of `shared`.
#[derive(Args, Debug)]
pub(crate) struct SharedArgs {
    /// Offer files from now on, or none
    #[arg(value_name = "on|off")]
    pub(crate) switch: Option<OnOff>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// On or off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum OnOff {
    /// Offer files
    On,
    /// Offer none
    Off,
}

/// Arguments of `lan trust`.
#[derive(Args, Debug)]
pub(crate) struct TrustArgs {
    /// RANGE, RANGE@ROUTER or any [default: those that this machine is in]
    #[arg(value_name = "NETWORK")]
    pub(crate) networks: Vec<String>,
    /// Do not ask, also where no router tells a network from others of its range
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
}

/// Networks.
#[derive(Args, Debug)]
pub(crate) struct NetworksArgs {
    /// RANGE, RANGE@ROUTER or any [default: those that this machine is in]
    #[arg(value_name = "NETWORK")]
    pub(crate) networks: Vec<String>,
}
