//! How a group is, as its cluster peer and its Kubo on this machine tell.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::base::digest::{Hasher, Sha256};
use crate::config::Settings;
use crate::host::group::{GroupPorts, MemberIds};
use crate::net::http::Http;
use crate::net::kubo::{Door, Kubo, KuboErrorKind};
use crate::net::pinning::{ApiSecret, ClusterApi, RemoteApi, RemoteError};

/// Time that a group has to tell how it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// A group at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GroupStatus {
    /// Members that answer, this one included, and those that do not.
    pub(crate) peers: (usize, usize),
    /// Roots that the group pins.
    pub(crate) pins: usize,
    /// Those that this machine holds, and those that it gave up on.
    pub(crate) held: (usize, usize),
    /// Digest of the list of roots: equal on two machines when they know of the same pins.
    pub(crate) root: Sha256,
    /// Whether its Kubo takes connections.
    pub(crate) kubo: bool,
}

/// Asks the cluster peer of a group.
///
/// # Errors
/// [`RemoteError`]; of the kind `Unreachable` where it does not run, or has not told all of it within 10 s.
pub(crate) async fn status(
    settings: &Settings,
    ports: GroupPorts,
    (user, password): (String, String),
) -> Result<GroupStatus, RemoteError> {
    let client = Http::new(settings.connect).loopback().clone();
    let url = format!("http://127.0.0.1:{}/", ports.rest()).parse().expect("a URL");
    let api = ClusterApi::new(RemoteApi::new(url, ApiSecret::Basic(user, password), client));
    let kubo = timeout(PATIENCE, TcpStream::connect((IpAddr::from([127, 0, 0, 1]), ports.kubo_api())));
    let asked = async {
        let roots = api.roots().await?;
        let (peers, held) = (api.peers().await?, api.held_here().await?);
        let kubo = matches!(kubo.await, Ok(Ok(_)));
        Ok(GroupStatus { peers, pins: roots.len(), held, root: digest(roots), kubo })
    };
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(api.too_slow(PATIENCE)))
}

/// Returns which of a group's two programs run: what listens at their ports is asked who it is, and may be any other program.
/// One that takes connections and does not answer within 10 s is counted, because it may be a program of the group that hangs.
pub(crate) async fn running(
    settings: &Settings,
    ports: GroupPorts,
    ids: &MemberIds,
    (user, password): (String, String),
) -> Vec<&'static str> {
    let client = Http::new(settings.connect).loopback().clone();
    let url = |port: u16| -> Url { format!("http://127.0.0.1:{port}/").parse().expect("a URL") };
    let kubo = async {
        let api = Some(url(ports.kubo_api()));
        let kubo = Kubo { api, gateway: url(ports.kubo_api()), client: client.clone(), door: Door::default() };
        match kubo.peer_id().await {
            Ok(id) => id == ids.kubo,
            Err(e) => e.kind == KuboErrorKind::Deadline,
        }
    };
    let secret = ApiSecret::Basic(user, password);
    let cluster = async {
        let api = ClusterApi::new(RemoteApi::new(url(ports.rest()), secret, client.clone()));
        api.own().await.is_ok_and(|own| own.id == ids.cluster)
    };
    let mut found = Vec::new();
    let (kubo, cluster) = tokio::join!(timeout(PATIENCE, kubo), timeout(PATIENCE, cluster));
    for (name, is_it) in [("ipfs", kubo), ("ipfs-cluster-service", cluster)] {
        if is_it.unwrap_or(true) {
            found.push(name);
        }
    }
    found
}

/// Returns the sha256 of the roots, sorted, each with the end of a line after it.
fn digest(mut roots: Vec<String>) -> Sha256 {
    roots.sort_unstable();
    let mut hasher = Hasher::default();
    roots.iter().for_each(|root| hasher.update(format!("{root}\n").as_bytes()));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::env::Env;

    #[test]
    fn the_root_of_a_group_depends_on_its_pins_and_not_on_their_order() {
        let of = |roots: &[&str]| digest(roots.iter().map(|root| (*root).to_owned()).collect());
        assert_eq!(of(&["b", "a"]), of(&["a", "b"]));
        assert_eq!(of(&["b", "a"]), Sha256::of(b"a\nb\n"), "`sort | sha256sum` tells the same");
        assert_ne!(of(&["a"]), of(&["a", "b"]));
        assert_eq!(of(&[]), Sha256::of(b""));
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_takes_connections_and_says_nothing_is_waited_for_ten_seconds() {
        let silent: Vec<_> = (0..100)
            .find_map(|nth| {
                let base = 4160 + 4 * nth;
                let bound = [base + 2, base + 3].map(|port| std::net::TcpListener::bind(("127.0.0.1", port)));
                let [Ok(kubo), Ok(rest)] = bound else { return None };
                Some(vec![kubo, rest])
            })
            .unwrap();
        let base = silent[0].local_addr().unwrap().port() - 2;
        let before = tokio::time::Instant::now();
        let env = Env { vars: [("HOME".to_owned(), "/nowhere".to_owned())].into(), uid: 0, ..Env::from_process() };
        let settings = Settings::read(&env, &[]).unwrap();
        let (ports, login) = (GroupPorts { base }, ("a".to_owned(), "b".to_owned()));
        let asked = status(&settings, ports, login.clone()).await;
        assert!(asked.unwrap_err().to_string().ends_with("no whole answer in 10 s"));
        assert_eq!(before.elapsed().as_secs(), 10);
        let ids = MemberIds { kubo: "a".to_owned(), cluster: "b".to_owned() };
        let running = running(&settings, ports, &ids, login.clone()).await;
        assert_eq!(running, ["ipfs", "ipfs-cluster-service"], "a program that hangs may be one of the group's");
        drop(silent);
        tokio::time::resume();
        assert_eq!(super::running(&settings, ports, &ids, login).await, [""; 0]);
    }
}
