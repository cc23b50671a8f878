//! Trust in the network of this machine, offered only if the daemon is enabled.
//!
//! `pkgswarm lan` knows the networks and keeps the list; it is run as a program, like pacman-conf.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::record::SetupRecord;
use super::{Change, Context, SetupOffer};
use crate::base::error::Error;
use crate::base::program;

/// Longest wait for an answer, which needs no network.
const PATIENCE: Duration = Duration::from_secs(10);

/// Networks to trust, or to trust no more.
struct Trust {
    program: PathBuf,
    networks: Vec<String>,
    on: bool,
}

impl Change for Trust {
    fn shown(&self) -> String {
        let verb = if self.on { "trust" } else { "forget" };
        let about = "  its machines can see and fetch the public packages in pacman's cache here\n";
        let mut shown = format!("pkgswarm lan {verb} {}\n", self.networks.join(" "));
        if self.on {
            shown += about;
            for network in self.networks.iter().filter(|network| !network.contains(['@', ':'])) {
                shown += &format!(
                    "  {network}: no router is seen there, so every network that uses this range would be trusted\n"
                );
            }
        }
        shown
    }

    fn apply(&self, record: &mut SetupRecord) -> Result<Vec<String>, Error> {
        if self.on {
            record.done.networks.extend(self.networks.iter().cloned());
            record.write()?;
        }
        let mut command = Command::new(&self.program);
        command.args(["lan", if self.on { "trust" } else { "forget" }]).args(&self.networks);
        program::hear(command, b"", PATIENCE, 64 << 10).map_err(|e| Error::local("lan", e))?;
        if !self.on {
            record.done.networks.clear();
            record.write()?;
        }
        let word = if self.on { "trusted" } else { "not trusted any more" };
        Ok(vec![format!("{}: {word}", self.networks.join(", "))])
    }
}

/// A line of `pkgswarm lan ls --json`, as far as it is read.
#[derive(Deserialize)]
struct ListedNetworks {
    here: Vec<ListedAddress>,
    trusted: Vec<String>,
}

#[derive(Deserialize)]
struct ListedAddress {
    network: String,
    trusted: bool,
    chosen: bool,
}

/// Offers to trust the networks of this machine.
pub(crate) fn offer(context: &Context<'_>) -> Result<SetupOffer, Error> {
    if !context.daemon_comes && !super::DAEMON.is_enabled() {
        return Ok(SetupOffer::Nothing("the daemon is not enabled, so no network needs to be trusted".to_owned()));
    }
    let (program, listed) = list(context)?;
    let missing = listed.here.into_iter().filter(|here| here.chosen && !here.trusted);
    let networks: Vec<String> = missing.map(|here| here.network).collect();
    if networks.is_empty() {
        return Ok(SetupOffer::Nothing("no network here that could be trusted and is not".to_owned()));
    }
    Ok(SetupOffer::Change(Box::new(Trust { program, networks, on: true })))
}

/// Offers to trust them no more.
pub(crate) fn offer_undo(context: &Context<'_>, record: &SetupRecord) -> Result<SetupOffer, Error> {
    if record.done.networks.is_empty() {
        return Ok(SetupOffer::Nothing("setup has trusted no network".to_owned()));
    }
    let (program, listed) = list(context)?;
    let still = record.done.networks.iter().filter(|network| listed.trusted.contains(network));
    let networks: Vec<String> = still.cloned().collect();
    if networks.is_empty() {
        return Ok(SetupOffer::Nothing("the networks that setup trusted are not trusted any more".to_owned()));
    }
    Ok(SetupOffer::Change(Box::new(Trust { program, networks, on: false })))
}

fn list(context: &Context<'_>) -> Result<(PathBuf, ListedNetworks), Error> {
    let program = context.env.program().map_err(|e| Error::local("pkgswarm", e))?;
    let mut command = Command::new(&program);
    command.args(["lan", "ls", "--json"]);
    let said = program::hear(command, b"", PATIENCE, 1 << 20).map_err(|e| Error::local("lan", e))?;
    let listed = serde_json::from_str(said.trim()).map_err(|e| Error::local("lan", format!("malformed reply: {e}")))?;
    Ok((program, listed))
}
