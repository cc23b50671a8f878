//! Stands in for the daemon in a program that was built without it.

use crate::base::error::Error;
use crate::config::Settings;
use crate::config::network::Network;
use crate::daemon::Nearby;

/// Makes the error of everything that only the node can do.
pub(crate) fn missing() -> Error {
    Error::usage("pkgswarm daemon", "this program was built without the node")
        .hint("build it with the cargo feature `node`, which is on by default")
}

/// Fails: this build does not know networks.
///
/// # Errors
/// Always.
pub(crate) fn here(_: &Settings) -> Result<Vec<Nearby>, Error> {
    Err(missing())
}

/// Fails: this build does not know networks.
///
/// # Errors
/// Always.
pub(crate) fn network(_: &str) -> Result<Network, Error> {
    Err(missing())
}
