//! What a publication tells those who would follow the cluster that pins it: read from the file, and from the cluster itself.

use std::path::Path;

use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind};
use crate::base::fsx;
use crate::base::runtime::block_on;
use crate::cmd::publish::described;
use crate::config::Settings;
use crate::config::followers::FollowersRule;
use crate::config::peer_address::PeerAddress;
use crate::config::publication::PublicationFile;
use crate::net::pinning::{ClusterApi, RemoteError};
use crate::publish::FollowerTemplate;
use crate::report;

/// Where the addresses are kept that a cluster told last, beside the publisher's memory.
const TOLD: &str = "follower-writers";
/// Most bytes of it, and most addresses that are told.
const TOLD_MOST: u64 = 64 << 10;
const WRITERS_MOST: usize = 16;

/// Returns what followers are told; `None` where the file asks for nothing, or where the cluster was never reached: then a
/// warning says so, because a cluster holds no publication up. One that was reached before is told as it was then.
///
/// # Errors
/// Usage errors: the secret cannot be read, or is none.
pub(super) fn told(
    env: &Env,
    settings: &Settings,
    publication: &PublicationFile,
    state_dir: &Path,
) -> Result<Option<FollowerTemplate>, Error> {
    let Some(rule) = &publication.followers else { return Ok(None) };
    let secret = rule.secret.read(env)?.trim().to_ascii_lowercase();
    if secret.len() != 64 || !secret.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let why = "is no secret of a cluster, which has 64 hexadecimal digits";
        return Err(Error::usage(format!("{}: followers.secret", publication.file.display()), why)
            .hint("it is cluster.secret in the service.json of the cluster"));
    }
    let writers = match rule.writers.is_empty() {
        true => by_cluster(env, settings, rule, &state_dir.join(TOLD))?,
        false => rule.writers.clone(),
    };
    let cluster_name = rule.cluster_name.clone();
    Ok((!writers.is_empty()).then_some(FollowerTemplate { cluster_name, secret, writers }))
}

/// Asks the cluster's peer for its public addresses, and remembers them in the file `told`.
fn by_cluster(env: &Env, settings: &Settings, rule: &FollowersRule, told: &Path) -> Result<Vec<PeerAddress>, Error> {
    let cluster = ClusterApi::new(described::api(env, settings, &rule.cluster)?);
    let interrupted = || Error::new(ErrorKind::Interrupted, "publish", "interrupted; run it again");
    let asked = block_on(cluster.own()).ok_or_else(interrupted)?;
    let warn = |why: &dyn std::fmt::Display| report::say(&format!("warning: followers: {why}"));
    match asked.map(|own| public(&own.id, &own.addresses)) {
        Ok(found) if found.is_empty() => {
            warn(&"the cluster's peer tells no public address of itself; followers.writers can name one");
            Ok(found)
        }
        Ok(found) => {
            let lines: String = found.iter().map(|address| format!("{address}\n")).collect();
            if let Err(e) = fsx::replace(told, lines.as_bytes(), 0o644) {
                warn(&format!("{}: {e}", told.display()));
            }
            Ok(found)
        }
        Err(e) => Ok(remembered(env, told, &e, &warn)),
    }
}

/// Returns the addresses that the cluster told last.
fn remembered(env: &Env, told: &Path, why: &RemoteError, warn: &dyn Fn(&dyn std::fmt::Display)) -> Vec<PeerAddress> {
    let lines = fsx::read_small(told, env.uid, TOLD_MOST).unwrap_or_default();
    let lines = String::from_utf8(lines).unwrap_or_default();
    let found: Vec<PeerAddress> = lines.lines().filter_map(|line| line.parse().ok()).collect();
    if found.is_empty() {
        warn(&format!("{why}; there is no template for them yet"));
    }
    found
}

/// Chooses what of a peer's own addresses all may know, in an order that does not change by itself.
fn public(id: &str, addresses: &[String]) -> Vec<PeerAddress> {
    let whole = |text: &String| if text.contains("/p2p/") { text.clone() } else { format!("{text}/p2p/{id}") };
    let read = addresses.iter().filter_map(|text| whole(text).parse::<PeerAddress>().ok());
    let mut found: Vec<PeerAddress> = read.filter(|address| address.is_public() && address.id() == id).collect();
    found.sort();
    found.dedup();
    found.truncate(WRITERS_MOST);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_of_the_writer_itself_are_told_and_no_others() {
        let id = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";
        let other = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
        let of = |host: &str, id: &str| format!("/ip4/{host}/tcp/9096/p2p/{id}");
        let all = [
            of("81.2.69.161", id),
            of("127.0.0.1", id),
            of("10.0.0.4", id),
            of("81.2.69.160", other),
            of("81.2.69.160", id),
        ];
        let told: Vec<String> = public(id, &all).iter().map(ToString::to_string).collect();
        assert_eq!(told, [of("81.2.69.160", id), of("81.2.69.161", id)]);
        assert_eq!(public(id, &["/ip4/81.2.69.160/tcp/9096".to_owned()])[0].to_string(), of("81.2.69.160", id));
    }
}
