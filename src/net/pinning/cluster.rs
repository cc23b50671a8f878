//! ipfs-cluster's REST API, as far as a publisher needs it (ipfs-cluster 1.1.6, `api/rest/restapi.go`).
//!
//! Traps that are avoided here: a query parameter that cannot be read is answered with 400, and the pin is made all the
//! same, with default options, so that each parameter is built from what was checked; `GET /pins/CID` of an unknown CID
//! is 200, so that membership is asked of `/allocations/CID`; an empty list is 204; a list that fails midway ends like a
//! complete one, so that what it does not name may be there all the same; a status of all peers is by the names that these
//! give themselves, so that a stranger among them can speak for any other (`Cluster.globalPinInfoCid`).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::{RemoteApi, RemoteError, RemoteErrorKind, RemoteState};
use crate::base::cid::Cid;

/// Time that a list has; one of 2,029 pins took 0.07 s.
const LIST: Duration = Duration::from_secs(120);
/// Most bytes of a list, and of a line in it: a pin may have metadata.
const LIST_MOST: u64 = 512 << 20;
const LINE_MOST: usize = 1 << 20;
/// Most roots of a list that is kept, and most bytes of the text of one.
const ROOTS_MOST: usize = 1_000_000;
const ROOT_MOST: usize = 256;
/// Attempts of a peer after which it no longer keeps others waiting, as long as one of them has the pin.
const ATTEMPTS: u64 = 3;

/// A cluster.
#[derive(Clone)]
pub struct ClusterApi {
    api: RemoteApi,
    /// Whether the peer that is asked tells of itself alone.
    is_alone: bool,
}

/// A pin of a cluster, of which its pinset tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterPin {
    /// The root.
    pub cid: Cid,
    /// Its name; empty if it has none.
    pub name: String,
    /// Peers that shall hold it; `None` where it does not tell.
    pub copies: Option<Copies>,
}

/// How far the peers of a cluster are with a root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClusterProgress {
    /// All of them together.
    pub state: RemoteState,
    /// Those that hold it.
    pub copies: u32,
}

/// Least and most peers that shall hold a pin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Copies {
    /// At least 1, or -1 with the other one: each peer.
    pub least: i32,
    /// At least as many.
    pub most: i32,
}

impl Copies {
    /// One at each peer, those that join later included.
    pub const EACH: Self = Self { least: -1, most: -1 };
}

/// A peer of a cluster, as it tells of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ClusterSelf {
    /// Its id in the cluster's network.
    pub(crate) id: String,
    /// Addresses at which it may be reached; private ones are among them.
    pub(crate) addresses: Vec<String>,
}

#[derive(Deserialize)]
struct WireSelf {
    id: String,
    #[serde(default)]
    addresses: Option<Vec<String>>,
    /// Why it does not answer, where another peer tells of it.
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct WireAllotted {
    cid: String,
    #[serde(default)]
    name: String,
    replication_factor_min: Option<i32>,
    replication_factor_max: Option<i32>,
}

impl WireAllotted {
    /// Returns the pin; `None` for one of another kind than ours.
    fn pin(self) -> Option<ClusterPin> {
        let both = self.replication_factor_min.zip(self.replication_factor_max);
        let copies = both.map(|(least, most)| Copies { least, most });
        Some(ClusterPin { cid: self.cid.parse().ok()?, name: self.name, copies })
    }
}

#[derive(Deserialize)]
struct WireProgress {
    peer_map: Option<BTreeMap<String, WirePeerProgress>>,
}

#[derive(Deserialize)]
struct WirePeerProgress {
    status: String,
    #[serde(default)]
    attempt_count: u64,
}

impl ClusterApi {
    /// Makes the client of one.
    pub fn new(api: RemoteApi) -> Self {
        Self { api, is_alone: false }
    }

    /// Has the peer that is asked tell of itself alone how far it is with a pin: what other peers say counts for nothing, and
    /// however many there are, they cost nothing.
    pub fn alone(self) -> Self {
        Self { is_alone: true, ..self }
    }

    /// Lists the pins whose names begin so.
    ///
    /// # Errors
    /// [`RemoteError`]; trying again later may help unless the secret is refused.
    pub async fn pins_beginning(&self, start: &str) -> Result<Vec<ClusterPin>, RemoteError> {
        let mut found = Vec::new();
        self.each_of(&["allocations"], &[], &mut |line| {
            let Ok(pin) = serde_json::from_slice::<WireAllotted>(line) else { return false };
            if pin.name.starts_with(start) {
                found.extend(pin.pin());
            }
            true
        })
        .await?;
        Ok(found)
    }

    /// Lists the roots of all pins as they are written there, of whatever kind they are; a million at most.
    ///
    /// # Errors
    /// As of [`pins_beginning`](Self::pins_beginning).
    pub(crate) async fn roots(&self) -> Result<Vec<String>, RemoteError> {
        let mut found = Vec::new();
        self.each_of(&["allocations"], &[], &mut |line| {
            let Ok(pin) = serde_json::from_slice::<WireAllotted>(line) else { return false };
            let is_one = pin.cid.len() <= ROOT_MOST && found.len() < ROOTS_MOST;
            found.push(pin.cid);
            is_one
        })
        .await?;
        Ok(found)
    }

    /// Explains that it has not told all of it in time.
    pub(crate) fn too_slow(&self, patience: Duration) -> RemoteError {
        self.api.error(RemoteErrorKind::Unreachable, format!("no whole answer in {} s", patience.as_secs()))
    }

    /// Counts the peers that answer, the one that is asked included, and those that do not.
    ///
    /// # Errors
    /// As of [`pins_beginning`](Self::pins_beginning).
    pub async fn peers(&self) -> Result<(usize, usize), RemoteError> {
        let (mut here, mut away) = (0, 0);
        self.each_of(&["peers"], &[], &mut |line| {
            let Ok(peer) = serde_json::from_slice::<WireSelf>(line) else { return false };
            *(if peer.error.is_empty() { &mut here } else { &mut away }) += 1;
            true
        })
        .await?;
        Ok((here, away))
    }

    /// Counts the pins that the peer which is asked holds, and those that it gave up on.
    ///
    /// # Errors
    /// As of [`pins_beginning`](Self::pins_beginning).
    pub async fn held_here(&self) -> Result<(usize, usize), RemoteError> {
        let (mut held, mut failed) = (0, 0);
        self.each_of(&["pins"], &[("local", "true".to_owned())], &mut |line| {
            let Ok(pin) = serde_json::from_slice::<WireProgress>(line) else { return false };
            for peer in pin.peer_map.unwrap_or_default().values() {
                held += usize::from(peer.status == "pinned");
                failed += usize::from(matches!(&*peer.status, "pin_error" | "unexpectedly_unpinned"));
            }
            true
        })
        .await?;
        Ok((held, failed))
    }

    /// Passes each line of a list to `take`, which returns false for one that does not belong there.
    async fn each_of(
        &self,
        parts: &[&str],
        query: &[(&str, String)],
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), RemoteError> {
        let mut answer = self.api.send(Method::GET, self.api.at(parts, query), None, LIST).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let (mut line, mut all) = (Vec::new(), 0);
        loop {
            let piece = answer.chunk().await.map_err(|e| self.api.unreachable(e))?;
            let Some(piece) = piece else { break };
            all += piece.len() as u64;
            for part in piece.split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(part);
                if line.len() > LINE_MOST || all > LIST_MOST {
                    return Err(self.api.broken("its list has no end"));
                }
                if status.is_success() && line.ends_with(b"\n") {
                    if !line.trim_ascii().is_empty() && !take(&line) {
                        return Err(self.api.broken("its list is none"));
                    }
                    line.clear();
                }
            }
        }
        if !status.is_success() {
            return Err(self.api.refusal(status, &headers, &line));
        }
        if !line.trim_ascii().is_empty() && !take(&line) {
            return Err(self.api.broken("its list is none"));
        }
        Ok(())
    }

    /// Asks the peer that answers for the cluster who it is.
    ///
    /// # Errors
    /// As of [`pins_beginning`](Self::pins_beginning).
    pub(crate) async fn own(&self) -> Result<ClusterSelf, RemoteError> {
        let answer = self.api.call(Method::GET, self.api.at(&["id"], &[]), None).await?;
        let own = serde_json::from_slice::<WireSelf>(&answer.body);
        let WireSelf { id, addresses, .. } = own.map_err(|_| self.api.broken("its answer is no peer"))?;
        Ok(ClusterSelf { id, addresses: addresses.unwrap_or_default() })
    }

    /// Returns the pin of a root; `None` when it is not in the pinset.
    ///
    /// # Errors
    /// As of [`pins_beginning`](Self::pins_beginning).
    pub async fn pin_of(&self, cid: Cid) -> Result<Option<ClusterPin>, RemoteError> {
        let url = self.api.at(&["allocations", &cid.to_string()], &[]);
        match self.api.call(Method::GET, url, None).await {
            Ok(answer) => {
                let pin = serde_json::from_slice::<WireAllotted>(&answer.body).ok().and_then(WireAllotted::pin);
                pin.map(Some).ok_or_else(|| self.api.broken("its answer is no pin"))
            }
            Err(e) if e.kind == RemoteErrorKind::Absent => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Puts a root into the pinset, and returns before any peer has it. `origins` are addresses at which peers may get it.
    ///
    /// # Errors
    /// As of [`pins_beginning`](Self::pins_beginning). `Refused` where fewer peers have room than there shall be copies.
    pub async fn pin(
        &self,
        cid: Cid,
        name: &str,
        copies: Option<Copies>,
        origins: &[String],
    ) -> Result<(), RemoteError> {
        let mut query = vec![("name", name.to_owned())];
        if let Some(Copies { least, most }) = copies {
            query.extend([("replication-min", least.to_string()), ("replication-max", most.to_string())]);
        }
        if !origins.is_empty() {
            query.push(("origins", origins.join(",")));
        }
        let url = self.api.at(&["pins", &cid.to_string()], &query);
        let answer = self.api.call(Method::POST, url, None).await?;
        match serde_json::from_slice::<WireAllotted>(&answer.body) {
            Ok(pin) if pin.cid.parse() == Ok(cid) => Ok(()),
            _ => Err(self.api.broken("its answer is another pin")),
        }
    }

    /// Takes a root out of the pinset.
    ///
    /// # Errors
    /// As of [`pins_beginning`](Self::pins_beginning); one that is not there is none.
    pub async fn unpin(&self, cid: Cid) -> Result<(), RemoteError> {
        match self.api.call(Method::DELETE, self.api.at(&["pins", &cid.to_string()], &[]), None).await {
            Err(e) if e.kind != RemoteErrorKind::Absent => Err(e),
            _ => Ok(()),
        }
    }

    /// Asks the peers that gave up on a root to try again.
    ///
    /// # Errors
    /// As of [`pins_beginning`](Self::pins_beginning).
    pub async fn recover(&self, cid: Cid) -> Result<(), RemoteError> {
        let url = self.api.at(&["pins", &cid.to_string(), "recover"], &self.of_whom());
        self.api.call(Method::POST, url, None).await.map(drop)
    }

    /// Returns the query for the peers that count.
    fn of_whom(&self) -> Vec<(&'static str, String)> {
        if self.is_alone { vec![("local", "true".to_owned())] } else { Vec::new() }
    }

    /// Explains a root that no peer could get, or fewer of them than there shall be copies.
    pub(crate) fn gave_up(&self, cid: Cid, (copies, least): (u32, u32)) -> RemoteError {
        let text = match copies {
            0 => format!("its peers gave up on {cid}; they were asked to try again"),
            _ => format!(
                "{copies} of at least {least} copies of {cid}: other peers are away or gave up, and were asked to try again"
            ),
        };
        self.api.error(RemoteErrorKind::Refused, text)
    }

    /// Tells how far the peers are with a root: it is held once each of them holds it, but for those that have failed
    /// several times or are away, and it has failed where none holds it and none is at work.
    ///
    /// # Errors
    /// As of [`pins_beginning`](Self::pins_beginning).
    pub async fn progress(&self, cid: Cid) -> Result<ClusterProgress, RemoteError> {
        let url = self.api.at(&["pins", &cid.to_string()], &self.of_whom());
        let answer = self.api.call(Method::GET, url, None).await?;
        if answer.status == StatusCode::NO_CONTENT {
            return Ok(ClusterProgress { state: RemoteState::AtWork, copies: 0 });
        }
        let status = serde_json::from_slice::<WireProgress>(&answer.body);
        let status = status.map_err(|_| self.api.broken("its answer is no status of a pin"))?;
        Ok(of_peers(status.peer_map.unwrap_or_default().values()))
    }
}

/// Puts the peers' words together (ipfs-cluster, `api/types.go`, `TrackerStatus`).
fn of_peers<'p>(peers: impl Iterator<Item = &'p WirePeerProgress>) -> ClusterProgress {
    let (mut held, mut at_work, mut failed) = (0, 0, 0);
    for peer in peers {
        match &*peer.status {
            "pinned" => held += 1,
            "pin_error" | "unexpectedly_unpinned" if peer.attempt_count < ATTEMPTS => failed += 1,
            "pinning" | "pin_queued" => at_work += 1,
            _ => {}
        }
    }
    let state = match (held, at_work, failed) {
        (1.., 0, 0) => RemoteState::Held,
        (0, 0, _) => RemoteState::Failed,
        _ => RemoteState::AtWork,
    };
    ClusterProgress { state, copies: held }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_held_once_each_peer_that_is_there_has_it_or_has_failed_often() {
        let state = |peers: &[(&str, u64)]| {
            let peers: Vec<WirePeerProgress> = peers
                .iter()
                .map(|(status, attempt_count)| WirePeerProgress {
                    status: (*status).to_owned(),
                    attempt_count: *attempt_count,
                })
                .collect();
            of_peers(peers.iter()).state
        };
        for (peers, expected) in [
            (&[("pinned", 0), ("pinned", 0)][..], RemoteState::Held),
            (&[("pinned", 0), ("remote", 0), ("cluster_error", 0)], RemoteState::Held),
            (&[("pinned", 0), ("pin_error", 3)], RemoteState::Held),
            (&[("pinned", 0), ("pinning", 0)], RemoteState::AtWork),
            (&[("pinned", 0), ("pin_queued", 0), ("pin_error", 1)], RemoteState::AtWork),
            (&[("pinned", 0), ("pin_error", 1)], RemoteState::AtWork),
            (&[("pinned", 0), ("unexpectedly_unpinned", 0)], RemoteState::AtWork),
            (&[("pin_error", 7)], RemoteState::Failed),
            (&[("cluster_error", 0)], RemoteState::Failed),
            (&[("unpinned", 0)], RemoteState::Failed),
            (&[], RemoteState::Failed),
        ] {
            assert_eq!(state(peers), expected, "{peers:?}");
        }
    }
}
