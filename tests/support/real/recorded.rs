//! What a pacman has recorded and installed, to be compared with another one's.

use super::PacmanRoot;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The local database, the sync databases, and the installed files.
pub type Recorded = [BTreeMap<PathBuf, Vec<u8>>; 3];

/// Reads them.
pub fn recorded(pacman: &PacmanRoot) -> Recorded {
    [pacman.local_db_snapshot(), pacman.sync_db_snapshot(), pacman.root_snapshot()]
}

/// Checks that a pacman has the same as another one had, and nothing is left half done.
#[track_caller]
pub fn assert_recorded(what: &str, pacman: &PacmanRoot, reference: &Recorded) {
    for (part, (ours, plain)) in ["local", "sync", "files"].iter().zip(recorded(pacman).iter().zip(reference)) {
        let differing: Vec<_> =
            ours.keys().chain(plain.keys()).filter(|path| ours.get(*path) != plain.get(*path)).collect();
        assert!(differing.is_empty(), "{what}: {part} differs in {differing:?}");
    }
    assert_eq!(pacman.leftovers(), [""; 0], "{what}");
}
