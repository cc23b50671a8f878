//! The disk of a fake Kubo's repository, as the daemon speaks of it.

use std::path::Path;
use std::sync::{Arc, Mutex};

/// What it says; clones share it.
#[derive(Clone, Default)]
pub struct FakeDisk(Arc<Mutex<DiskFacts>>);

#[derive(Default)]
struct DiskFacts {
    /// The path of the repository; `/` where none was named.
    path: Option<String>,
    /// True if the daemon was started with `IPFS_PATH`.
    is_named: bool,
    /// True if it does not come to an end with counting its blocks.
    is_endless: bool,
    /// Its free bytes; those of the machine's root where none were named.
    free: Option<u64>,
    /// How often its blocks were counted.
    counts: usize,
}

impl FakeDisk {
    /// Puts the repository at this path.
    pub fn lies_at(&self, path: &Path) {
        self.0.lock().unwrap().path = Some(path.display().to_string());
    }

    /// Has the daemon know the path by `IPFS_PATH`.
    pub fn named_by_variable(&self) {
        self.0.lock().unwrap().is_named = true;
    }

    /// Has the count of its blocks never end, or end.
    pub fn counting_without_end(&self, is_endless: bool) {
        self.0.lock().unwrap().is_endless = is_endless;
    }

    /// Sets the free bytes that the daemon sees.
    pub fn freeing(&self, bytes: u64) {
        self.0.lock().unwrap().free = Some(bytes);
    }

    /// Returns how often the blocks were counted.
    pub fn counts(&self) -> usize {
        self.0.lock().unwrap().counts
    }

    /// Answers `repo/stat` without `size-only`: the path; `None` where that does not end.
    pub(super) fn path_after_counting(&self) -> Option<String> {
        let mut facts = self.0.lock().unwrap();
        facts.counts += 1;
        (!facts.is_endless).then(|| facts.path.clone().unwrap_or_else(|| "/".to_owned()))
    }

    /// Answers `diag/sys`.
    pub(super) fn diag_sys(&self) -> String {
        let facts = self.0.lock().unwrap();
        let variable = facts.path.as_deref().filter(|_| facts.is_named).unwrap_or_default();
        let root = rustix::fs::statvfs("/").expect("a root");
        let free = facts.free.unwrap_or(root.f_bfree * root.f_frsize);
        format!(
            r#"{{"diskinfo":{{"free_space":{free},"fstype":"61267","total_space":1}},"environment":{{"GOPATH":"","IPFS_PATH":"{variable}"}}}}"#
        )
    }
}
