//! The highest sequence seen from each key, as stored in the state file.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::Sha256;

/// The memory of a publisher's key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SeenSequence {
    /// Highest sequence accepted.
    pub sequence: u64,
    /// Sha256 of the manifest with that sequence: a publisher has one manifest for a sequence.
    pub manifest: Sha256,
    /// Unix seconds at which a source last confirmed it.
    pub fetched: u64,
    /// Unix seconds.
    pub expires: u64,
}

/// The memory of all keys.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct SequenceMemory(BTreeMap<String, SeenSequence>);

impl SequenceMemory {
    /// Reads the state file.
    ///
    /// # Errors
    /// The damage, if there is any: a damaged file counts in no part.
    pub fn from_bytes(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }

    /// Writes the state file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("texts and numbers always make JSON");
        json.push(b'\n');
        json
    }

    /// Returns the memory of `keys` with the highest sequence.
    pub fn highest(&self, keys: &[String]) -> Option<&SeenSequence> {
        keys.iter().filter_map(|key| self.0.get(key)).max_by_key(|seen| seen.sequence)
    }

    /// Remembers `seen` for each of `keys`; a higher sequence remembered before stays.
    pub fn note(&mut self, keys: &[String], seen: &SeenSequence) {
        for key in keys {
            let old = self.0.entry(key.clone()).or_insert_with(|| seen.clone());
            if seen.sequence >= old.sequence {
                *old = seen.clone();
            }
        }
    }
}
