//! The signatures in hand, and the clients that have had them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::digest::Sha256;
use crate::base::name::{FileName, RepoName};

/// Time for which a signature stays in hand.
const HELD: Duration = Duration::from_secs(600);

/// Time for which one that came a second time, with the same bytes, is not asked for again.
const BELIEVED: Duration = Duration::from_secs(60);

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

/// A signature by its repository, its name and the digest of its package: one that is built again under the same name has
/// another signature.
pub(super) type SignatureKey = (RepoName, FileName, Sha256);

/// The signatures in hand.
#[derive(Default)]
pub(super) struct SignaturesInHand(Mutex<BTreeMap<SignatureKey, SignatureInHand>>);

struct SignatureInHand {
    held: HeldSignature,
    since: Instant,
    /// Clients that have had it. One that asks again did not like it.
    given: Vec<IpAddr>,
    /// Set from then on until it comes again.
    is_disliked: bool,
    /// The time at which it came again with the same bytes.
    again: Option<Instant>,
}

impl SignaturesInHand {
    pub(super) fn get(&self, key: &SignatureKey) -> Option<HeldSignature> {
        let all = self.0.lock().expect("nothing panics while it is held");
        all.get(key).filter(|one| !one.is_disliked && one.since.elapsed() < HELD).map(|one| one.held.clone())
    }

    pub(super) fn put(&self, key: SignatureKey, held: &HeldSignature) {
        let mut all = self.0.lock().expect("nothing panics while it is held");
        if all.values().map(|one| one.held.bytes.len()).sum::<usize>() > HELD_MOST {
            all.clear();
        }
        let now = Instant::now();
        let is_same = all.get(&key).is_some_and(|one| one.is_disliked && one.held.bytes == held.bytes);
        let (given, is_disliked, again) = (Vec::new(), false, is_same.then_some(now));
        all.insert(key, SignatureInHand { held: held.clone(), since: now, given, is_disliked, again });
    }

    /// Returns the one that `client` has had before, and lets go of it: the client did not like it. `None` for one that
    /// has just come a second time: a third one would be the same, and a `-Sw` may be made again and again.
    pub(super) fn disliked(&self, key: &SignatureKey, client: IpAddr) -> Option<HeldSignature> {
        let mut all = self.0.lock().expect("nothing panics while it is held");
        let is_believed = |one: &SignatureInHand| one.again.is_some_and(|again| again.elapsed() < BELIEVED);
        let one =
            all.get_mut(key).filter(|one| !one.is_disliked && one.given.contains(&client) && !is_believed(one))?;
        one.is_disliked = true;
        Some(one.held.clone())
    }

    /// Records that `client` gets this one.
    pub(super) fn give(&self, key: &SignatureKey, client: IpAddr) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_that_came_twice_alike_is_believed_for_a_minute() {
        let signatures = SignaturesInHand::default();
        let name = FileName::new("a-1-1-any.pkg.tar.zst.sig").unwrap();
        let key = (RepoName::new("core").unwrap(), name, Sha256([1; 32]));
        let client = IpAddr::from([127, 0, 0, 1]);
        let held = |bytes: &'static [u8]| HeldSignature { bytes: Bytes::from_static(bytes), modified: None };
        let given = |bytes| {
            signatures.put(key.clone(), &held(bytes));
            signatures.give(&key, client);
        };
        given(b"one");
        assert_eq!(signatures.disliked(&key, client).unwrap().bytes, "one");
        assert!(signatures.get(&key).is_none() && signatures.disliked(&key, client).is_none());
        // Another one is no better known than the first.
        given(b"two");
        assert_eq!(signatures.disliked(&key, client).unwrap().bytes, "two");
        given(b"two");
        assert!(signatures.disliked(&key, client).is_none());
        assert_eq!(signatures.get(&key).unwrap().bytes, "two");
        tokio::time::advance(BELIEVED).await;
        assert!(signatures.disliked(&key, client).is_some() && signatures.get(&key).is_none());
    }
}
