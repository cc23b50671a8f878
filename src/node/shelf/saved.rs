//! The shelf on disk: a file that was hashed once is not hashed again while it has not changed.
//!
//! One JSON object a line, in a file that only its owner can write. A line that does not parse costs one file's hashing.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::Sha256;
use crate::distro::trusted::{self, FileKey};
use crate::size::CHUNK;

use super::{Shelf, Shelved};

/// Longest line that is read: a file of 128 GiB.
const LINE_MOST: u64 = 8 << 20;

#[derive(serde::Serialize, serde::Deserialize)]
struct SavedLine {
    path: PathBuf,
    dev: u64,
    ino: u64,
    size: u64,
    mtime_ns: i64,
    ctime_ns: i64,
    sha256: Sha256,
    repo: String,
    /// Omitted when it is the file's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    leaves: Vec<Sha256>,
}

/// Reads the shelf saved at `path`: empty if there is no such file, or another user could have written it.
pub fn load(path: &Path) -> Vec<Shelved> {
    let Ok(Some(file)) = trusted::open(path) else { return Vec::new() };
    let mut reader = BufReader::new(file);
    let mut found = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(LINE_MOST).read_until(b'\n', &mut line) {
            Ok(1..) => found.extend(parse(&line)),
            _ => return found,
        }
    }
}

/// Reads one line; `None` when it is damaged.
pub fn parse(line: &[u8]) -> Option<Shelved> {
    let line: SavedLine = serde_json::from_slice(line).ok()?;
    let SavedLine { path, dev, ino, size, mtime_ns, ctime_ns, sha256, repo, leaves } = line;
    let leaves: Arc<[Sha256]> = if leaves.is_empty() { [sha256].into() } else { leaves.into() };
    let count = size.div_ceil(CHUNK as u64).max(1);
    let key = FileKey { dev, ino, size, mtime_ns, ctime_ns };
    (leaves.len() as u64 == count).then_some(Shelved { path, key, sha256, repo, leaves })
}

/// Makes the line for one file.
fn line(file: Shelved) -> SavedLine {
    let Shelved { path, key, sha256, repo, leaves } = file;
    let FileKey { dev, ino, size, mtime_ns, ctime_ns } = key;
    let leaves = if leaves.len() == 1 { Vec::new() } else { leaves.to_vec() };
    SavedLine { path, dev, ino, size, mtime_ns, ctime_ns, sha256, repo, leaves }
}

/// Writes the whole shelf to `path`.
///
/// # Errors
/// Those of the file system; the old file stays.
pub fn save(shelf: &Shelf, path: &Path) -> io::Result<()> {
    trusted::replace(path, |out| {
        for file in shelf.files() {
            serde_json::to_writer(&mut *out, &line(file))?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded_and_damage_costs_only_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::default();
        for (name, len) in [("a", 5), ("b", CHUNK + 1)] {
            std::fs::write(dir.path().join(name), vec![7; len]).unwrap();
            shelf.add(Shelved::read(&dir.path().join(name), "extra").unwrap());
        }
        let saved = dir.path().join("saved");
        assert_eq!(load(&saved), []);
        save(&shelf, &saved).unwrap();
        assert_eq!(load(&saved), shelf.files());
        let text = std::fs::read_to_string(&saved).unwrap();
        trusted::replace(&saved, |out| out.write_all(format!("{{\"path\"\n{text}").as_bytes())).unwrap();
        assert_eq!(load(&saved), shelf.files());
    }
}
