//! Copies of files of this machine that have no place in the endpoint's store.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, Weak};

use crate::base::digest::Sha256;

/// Proven copies that have no place in the store, each one for all answers that send it.
#[derive(Default)]
pub(super) struct SharedCopies(Mutex<HashMap<Sha256, Weak<File>>>);

impl SharedCopies {
    pub(super) fn get(&self, sha256: Sha256) -> Option<Arc<File>> {
        self.0.lock().expect("nothing panics while it is held").get(&sha256).and_then(Weak::upgrade)
    }

    pub(super) fn share(&self, sha256: Sha256, copy: File) -> Arc<File> {
        let copy = Arc::new(copy);
        let mut copies = self.0.lock().expect("nothing panics while it is held");
        copies.retain(|_, copy| copy.strong_count() > 0);
        copies.insert(sha256, Arc::downgrade(&copy));
        copy
    }
}
