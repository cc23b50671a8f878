//! What was given to Kubo, so that it is given once: `<store>/kubo-shared`, a line a file, its sha256 and its root, or
//! `-` where it could not be given; and a line `looked TIME` for each look at what Kubo still has.
//!
//! Kubo's own collector, `ipfs repo gc` and a new repository take away what was given, and a limit that is raised makes
//! room for what was trimmed. So all of it is looked at once a day (`what_kubo_lost_is_given_again_a_day_later`).

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::fsx::{self, Lasting};
use crate::net::kubo::{Kubo, KuboError};

/// Most bytes that are read: a quarter of a million files.
const MOST: u64 = 32 << 20;
/// Seconds between two looks at what Kubo still has.
const LOOKS: u64 = 24 * 3600;

/// The list of what was given.
pub(super) struct GivenList {
    path: PathBuf,
    files: HashMap<Sha256, Option<Cid>>,
    looked: u64,
}

impl GivenList {
    /// Reads it; what cannot be read is as if it was never given.
    pub(super) fn read(path: PathBuf, user: u32) -> Self {
        let text = fsx::read_small(&path, user, MOST).unwrap_or_default();
        let (mut files, mut looked) = (HashMap::new(), 0);
        for line in String::from_utf8_lossy(&text).lines() {
            // Before, a line was a sha256 alone.
            let (first, second) = line.split_once(' ').unwrap_or((line, "-"));
            match first.parse::<Sha256>() {
                Ok(sha256) => drop(files.insert(sha256, second.parse().ok())),
                Err(_) if first == "looked" => looked = second.parse().unwrap_or(0),
                Err(_) => {}
            }
        }
        Self { path, files, looked }
    }

    /// True if this file was given, or could not be.
    pub(super) fn has(&self, sha256: &Sha256) -> bool {
        self.files.contains_key(sha256)
    }

    /// True if Kubo was given this root.
    pub(super) fn has_root(&self, root: Cid) -> bool {
        self.files.values().any(|known| *known == Some(root))
    }

    /// Notes a file: its root, where Kubo has it now.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn note(&self, sha256: Sha256, root: Option<Cid>) -> io::Result<()> {
        let root = root.map_or_else(|| "-".to_owned(), |root| root.to_string());
        fsx::add_line(&self.path, &format!("{sha256} {root}\n"), Lasting::Cached)
    }

    /// True if it is time to look at what Kubo still has.
    pub(super) fn is_due(&self, now: u64) -> bool {
        // A clock that was set back delays no look.
        self.looked > now || now - self.looked >= LOOKS
    }

    /// Forgets those of `files` that Kubo has no more, and those that could not be given: they are given again.
    ///
    /// # Errors
    /// Those of the daemon; nothing is forgotten then. `Ok(Err(_))`: the list could not be written.
    pub(super) async fn look(
        &mut self,
        files: impl Iterator<Item = Sha256>,
        kubo: &Kubo,
        now: u64,
    ) -> Result<io::Result<()>, KuboError> {
        let mut lost = HashSet::new();
        for sha256 in files {
            match self.files.get(&sha256) {
                Some(Some(root)) if kubo.has_block(*root).await? => {}
                Some(_) => _ = lost.insert(sha256),
                None => {}
            }
        }
        self.files.retain(|sha256, _| !lost.contains(sha256));
        self.looked = now;
        let line = |(sha256, root): (&Sha256, &Option<Cid>)| {
            format!("{sha256} {}\n", root.map_or_else(|| "-".to_owned(), |root| root.to_string()))
        };
        let text: String = self.files.iter().map(line).chain([format!("looked {now}\n")]).collect();
        Ok(fsx::replace(&self.path, text.as_bytes(), 0o644))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_forms_are_read_and_the_last_one_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubo-shared");
        let [old, gone, given] = [1, 2, 3].map(|n| Sha256([n; 32]));
        let root = Cid::raw(given);
        let text = format!("{old}\n{gone} -\nlooked 5\n{given} -\n{given} {root}\nlooked 100\ncut short");
        std::fs::write(&path, text).unwrap();
        let list = GivenList::read(path.clone(), rustix::process::getuid().as_raw());
        assert!([old, gone, given].iter().all(|sha256| list.has(sha256)) && !list.has(&Sha256([4; 32])));
        assert!(list.has_root(root) && !list.has_root(Cid::raw(old)));
        assert!(!list.is_due(100 + LOOKS - 1) && list.is_due(100 + LOOKS) && list.is_due(99));
        list.note(Sha256([4; 32]), None).unwrap();
        let list = GivenList::read(path, rustix::process::getuid().as_raw());
        assert!(list.has(&Sha256([4; 32])));
    }
}
