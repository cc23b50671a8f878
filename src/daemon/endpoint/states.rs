//! The states in which files of this machine were proven: as long as one stays as it was, it is not hashed again.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::base::digest::Sha256;
use crate::base::fsx::FileKey;

/// States that are remembered. Origin: chosen by us; a store and a cache rarely hold more files.
const REMEMBERED: usize = 20_000;

/// The states in which files were proven, by their digest.
#[derive(Default)]
pub(super) struct ProvenHere(Mutex<HashMap<Sha256, FileKey>>);

impl ProvenHere {
    pub(super) fn is_known(&self, sha256: Sha256, state: FileKey) -> bool {
        self.0.lock().expect("nothing panics while it is held").get(&sha256) == Some(&state)
    }

    pub(super) fn note(&self, sha256: Sha256, state: FileKey) {
        let mut states = self.0.lock().expect("nothing panics while it is held");
        if states.len() >= REMEMBERED {
            states.clear();
        }
        states.insert(sha256, state);
    }
}
