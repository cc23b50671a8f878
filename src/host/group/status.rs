//! How a group is, as its cluster peer and its Kubo on this machine tell.

use std::net::IpAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::base::digest::{Hasher, Sha256};
use crate::config::Settings;
use crate::host::group::GroupPorts;
use crate::net::http::Http;
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

    #[test]
    fn the_root_of_a_group_depends_on_its_pins_and_not_on_their_order() {
        let of = |roots: &[&str]| digest(roots.iter().map(|root| (*root).to_owned()).collect());
        assert_eq!(of(&["b", "a"]), of(&["a", "b"]));
        assert_eq!(of(&["b", "a"]), Sha256::of(b"a\nb\n"), "`sort | sha256sum` tells the same");
        assert_ne!(of(&["a"]), of(&["a", "b"]));
        assert_eq!(of(&[]), Sha256::of(b""));
    }
}
