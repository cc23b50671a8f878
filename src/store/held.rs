//! The content of a store, file by file, for the user who wants to know or to clean up.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::note::Note;
use super::sweep::{list, remove};
use super::{Stay, Store};

/// A file of a store, seen from outside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KeptFile {
    /// Its key there: the sha256 of most.
    pub(crate) key: String,
    /// pacman's name for it, as the note beside it has it; none for a partial file.
    pub(crate) name: Option<String>,
    /// The source that delivered it.
    pub(crate) from: Option<String>,
    /// The bytes that are here.
    pub(crate) size: u64,
    /// Seconds since it was last written to or handed out.
    pub(crate) age: u64,
    /// Its state.
    pub(crate) state: KeptState,
}

/// The state of a kept file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeptState {
    /// Proven and complete.
    Whole,
    /// The same, and it stays until it is handed out once.
    Passing,
    /// Not complete: the next fetch of it goes on there.
    Partial,
}

/// Lists the files of the store in `dir`, the largest first. Needs no right to write there.
///
/// # Errors
/// Those of the file system: no store, or no right to look into it.
pub(crate) fn held(dir: &Path) -> io::Result<Vec<KeptFile>> {
    let mut found = Vec::new();
    for (part, is_partial) in [("files", false), ("partial", true)] {
        for (path, meta) in list(&dir.join(part))? {
            let Some(key) = path.file_name().and_then(|key| key.to_str()).filter(|key| !key.ends_with(".name")) else {
                continue;
            };
            let note = Note::beside(&path);
            let age = meta.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            let state = match (is_partial, note.stay) {
                (true, _) => KeptState::Partial,
                (false, Stay::Passing) => KeptState::Passing,
                (false, Stay::Lasting) => KeptState::Whole,
            };
            found.push(KeptFile {
                key: key.to_owned(),
                name: note.name.filter(|_| !is_partial),
                from: Some(note.from.source).filter(|from| !is_partial && !from.is_empty()),
                size: meta.len(),
                age: age.map_or(0, |age| age.as_secs()),
                state,
            });
        }
    }
    found.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.key.cmp(&b.key)));
    Ok(found)
}

impl Store {
    /// Removes a file, unless a process is fetching it now; tells whether it is gone.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn remove(&self, file: &KeptFile) -> io::Result<bool> {
        let part = if file.state == KeptState::Partial { "partial" } else { "files" };
        let path = self.dir().join(part).join(&file.key);
        self.unless_fetched(&path, remove)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{keep, store};
    use super::*;

    #[test]
    fn what_is_kept_is_told_and_goes_when_it_is_not_being_fetched() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1 << 20);
        let (small, large) = (keep(&store, b"package"), keep(&store, &[7; 100]));
        std::fs::write(store.dir().join("partial/abc"), b"abc").unwrap();
        let found = held(store.dir()).unwrap();
        let told: Vec<_> = found.iter().map(|file| (file.key.as_str(), file.size, file.state)).collect();
        let (small, large) = (small.to_string(), large.to_string());
        let want = [(&*large, 100, KeptState::Whole), (&*small, 7, KeptState::Whole), ("abc", 3, KeptState::Partial)];
        assert_eq!(told, want);
        assert_eq!(found[0].name.as_deref(), Some("a-1-1-any.pkg.tar.zst"));
        let locked = store.try_lock(&small).unwrap();
        let gone: Vec<bool> = found.iter().map(|file| store.remove(file).unwrap()).collect();
        assert_eq!(gone, [true, false, true], "one is being fetched");
        drop(locked);
        assert_eq!(held(store.dir()).unwrap().len(), 1);
        assert!(held(&dir.path().join("none")).is_err());
    }
}
