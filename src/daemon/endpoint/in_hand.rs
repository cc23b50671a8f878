//! The signatures in hand, and the clients that have had them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::name::{FileName, RepoName};

/// Time for which a signature stays in hand.
const HELD: Duration = Duration::from_secs(600);

/// Most clients that are remembered for one.
const GIVEN_MOST: usize = 64;

/// Most bytes of all signatures in hand.
const HELD_MOST: usize = 2 << 20;

/// A signature, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct HeldSignature {
    pub(super) bytes: Bytes,
    pub(super) modified: Option<SystemTime>,
}

/// The signatures in hand.
#[derive(Default)]
pub(super) struct SignaturesInHand(Mutex<BTreeMap<(RepoName, FileName), SignatureInHand>>);

struct SignatureInHand {
    held: HeldSignature,
    since: Instant,
    /// Clients that have had it. One that asks again did not like it.
    given: Vec<IpAddr>,
}

impl SignaturesInHand {
    pub(super) fn get(&self, key: &(RepoName, FileName)) -> Option<HeldSignature> {
        let all = self.0.lock().expect("nothing panics while it is held");
        all.get(key).filter(|one| one.since.elapsed() < HELD).map(|one| one.held.clone())
    }

    pub(super) fn put(&self, key: (RepoName, FileName), held: &HeldSignature) {
        let mut all = self.0.lock().expect("nothing panics while it is held");
        if all.values().map(|one| one.held.bytes.len()).sum::<usize>() > HELD_MOST {
            all.clear();
        }
        all.insert(key, SignatureInHand { held: held.clone(), since: Instant::now(), given: Vec::new() });
    }

    /// Returns the one that `client` has had before, and lets go of it: the client did not like it.
    pub(super) fn disliked(&self, key: &(RepoName, FileName), client: IpAddr) -> Option<HeldSignature> {
        let mut all = self.0.lock().expect("nothing panics while it is held");
        all.get(key).filter(|one| one.given.contains(&client))?;
        all.remove(key).map(|one| one.held)
    }

    /// Records that `client` gets this one.
    pub(super) fn give(&self, key: &(RepoName, FileName), client: IpAddr) {
        if let Some(one) = self
            .0
            .lock()
            .expect("nothing panics while it is held")
            .get_mut(key)
            .filter(|one| one.given.len() < GIVEN_MOST)
        {
            one.given.push(client);
        }
    }
}
