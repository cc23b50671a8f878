//! What a publication tells those who would follow the cluster that pins it: read from the file, and from the cluster itself.

use std::path::Path;

use crate::base::digest::Sha256;
use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind};
use crate::base::fsx;
use crate::base::runtime::block_on;
use crate::cmd::publish::described;
use crate::config::Settings;
use crate::config::followers::FollowersRule;
use crate::config::peer_address::PeerAddress;
use crate::config::pin_place::PinPlaceAddress;
use crate::config::publication::PublicationFile;
use crate::net::pinning::ClusterApi;
use crate::publish::FollowerTemplate;
use crate::report;

/// Where the addresses are kept that a cluster told last, beside the publisher's memory. Its first line says of which cluster:
/// its URL, and a digest of its secret.
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
        true => by_cluster(env, settings, (rule, &secret), &state_dir.join(TOLD))?,
        false => rule.writers.clone(),
    };
    let cluster_name = rule.cluster_name.clone();
    Ok((!writers.is_empty()).then_some(FollowerTemplate { cluster_name, secret, writers }))
}

/// Asks the cluster's peer for its public addresses, and remembers them in the file `told`. Where it tells none, or cannot be
/// reached, what it told last stands, with a warning: a template that vanished would keep each follower from its next start.
fn by_cluster(
    env: &Env,
    settings: &Settings,
    (rule, secret): (&FollowersRule, &str),
    told: &Path,
) -> Result<Vec<PeerAddress>, Error> {
    let interrupted = || Error::new(ErrorKind::Interrupted, "publish", "interrupted; run it again");
    let asked = match described::api(env, settings, &rule.cluster) {
        Ok(api) => block_on(ClusterApi::new(api).own()).ok_or_else(interrupted)?.map_err(|e| e.to_string()),
        Err(unread) => Err(unread.to_string()),
    };
    let warn = |why: &dyn std::fmt::Display| report::say(&format!("warning: followers: {why}"));
    // Of this cluster alone: one with another secret has other peers, or has shut them out.
    let (PinPlaceAddress::Cluster(url) | PinPlaceAddress::Service(url)) = &rule.cluster.at;
    let whose = format!("{url} {}", Sha256::of(secret.as_bytes()));
    let why = match asked.map(|own| public(&own.id, &own.addresses)) {
        Ok(found) if found.is_empty() => {
            "the cluster's peer tells no public address of itself (followers.writers can name one)".to_owned()
        }
        Ok(found) => {
            let lines: String = found.iter().map(|address| format!("{address}\n")).collect();
            if let Err(e) = fsx::replace(told, format!("{whose}\n{lines}").as_bytes(), 0o644) {
                warn(&format!("{}: {e}", told.display()));
            }
            return Ok(found);
        }
        Err(why) => why,
    };
    let found = remembered(env, told, &whose);
    let then = if found.is_empty() { "there is no template for them yet" } else { "what it told last stands" };
    warn(&format!("{why}; {then}"));
    Ok(found)
}

/// Returns the public addresses that this cluster told last.
fn remembered(env: &Env, told: &Path, whose: &str) -> Vec<PeerAddress> {
    let lines = fsx::read_small(told, described::owner(env, told), TOLD_MOST).unwrap_or_default();
    let lines = String::from_utf8(lines).unwrap_or_default();
    let mut lines = lines.lines();
    if lines.next() != Some(whose) {
        return Vec::new();
    }
    lines.filter_map(|line| line.parse().ok()).filter(PeerAddress::is_public).take(WRITERS_MOST).collect()
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
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::config::pin_place::{PinLogin, PinPlace};
    use crate::config::secret::Secret;

    const ID: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

    #[test]
    fn public_addresses_of_the_writer_itself_are_told_and_no_others() {
        let id = ID;
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

    /// A cluster that answers each question for itself with the next of these addresses, and is gone afterwards.
    fn cluster(answers: Vec<&'static str>) -> (PinPlace, std::thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let thread = std::thread::spawn(move || {
            for address in answers {
                let mut stream = listener.accept().unwrap().0;
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    asked.extend(byte);
                }
                let body = format!("{{\"id\":\"{ID}\",\"addresses\":[\"{address}\"]}}");
                let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).unwrap();
            }
        });
        let at = PinPlaceAddress::Cluster(url);
        (PinPlace { name: "home".to_owned(), at, login: PinLogin::None, copies: None }, thread)
    }

    #[test]
    fn what_a_cluster_told_last_stands_while_it_tells_nothing_and_is_none_of_another_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let told = dir.path().join(TOLD);
        let env = Env { vars: [("HOME".to_owned(), "/nowhere".to_owned())].into(), ..Env::from_process() };
        let settings = Settings::read(&env, &[]).unwrap();
        let rule = |cluster: PinPlace| FollowersRule {
            secret: Secret::File("/nowhere".into()),
            cluster,
            cluster_name: "c".to_owned(),
            writers: Vec::new(),
        };
        let asked = |place: &PinPlace, secret: &str| {
            by_cluster(&env, &settings, (&rule(place.clone()), secret), &told).unwrap()
        };
        let (place, thread) =
            cluster(vec!["/ip4/10.0.0.4/tcp/9096", "/ip4/81.2.69.160/tcp/9096", "/ip4/10.0.0.4/tcp/9096"]);
        assert_eq!(asked(&place, "a secret"), [], "it has told no public one yet");
        let first = asked(&place, "a secret");
        assert_eq!(
            first.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [format!("/ip4/81.2.69.160/tcp/9096/p2p/{ID}")]
        );
        assert_eq!(asked(&place, "a secret"), first, "private ones alone for a moment");
        thread.join().unwrap();
        assert_eq!(asked(&place, "a secret"), first, "it is gone");
        let token = PinLogin::Token(Secret::File("/nowhere".into()));
        let unread = PinPlace { login: token, ..place.clone() };
        assert_eq!(asked(&unread, "a secret"), first, "its own secret cannot be read");
        assert_eq!(asked(&place, "another"), [], "a secret that was changed shuts former peers out");
        let (other, thread) = cluster(Vec::new());
        thread.join().unwrap();
        assert_eq!(asked(&other, "a secret"), []);
        let text = std::fs::read_to_string(&told).unwrap();
        std::fs::write(&told, text.replace("81.2.69.160", "192.168.1.4")).unwrap();
        assert_eq!(asked(&place, "a secret"), [], "and no private one is ever told");
    }
}
