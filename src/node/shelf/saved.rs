//! The shelf on disk: a file that was hashed once is not hashed again while it has not changed.
//!
//! One JSON object a line, in a file that only its owner can write. A line that does not parse costs one file's hashing.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::digest::Sha256;
use crate::base::fsx::{self, FileKey};
use crate::base::size::CHUNK;

use super::{Shelf, Shelved};

/// Longest line that is read: a file of 128 GiB.
const LINE_MOST: u64 = 8 << 20;

#[derive(serde::Serialize, serde::Deserialize)]
struct SavedLine {
    path: PathBuf,
    #[serde(flatten)]
    key: FileKey,
    sha256: Sha256,
    repo: String,
    /// Omitted when it is the file's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    leaves: Vec<Sha256>,
}

/// Reads the shelf saved at `path`: empty if there is no such file, or another user could have written it.
pub(crate) fn load(path: &Path) -> Vec<Shelved> {
    let Ok(Some(file)) = fsx::open_trusted(path) else { return Vec::new() };
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
    let SavedLine { path, key, sha256, repo, leaves } = line;
    let leaves: Arc<[Sha256]> = if leaves.is_empty() { [sha256].into() } else { leaves.into() };
    let count = key.size.div_ceil(CHUNK as u64).max(1);
    (leaves.len() as u64 == count).then_some(Shelved { path, key, sha256, repo, leaves })
}

/// Makes the line for one file.
fn line(file: Shelved) -> SavedLine {
    let Shelved { path, key, sha256, repo, leaves } = file;
    let leaves = if leaves.len() == 1 { Vec::new() } else { leaves.to_vec() };
    SavedLine { path, key, sha256, repo, leaves }
}

/// Writes the whole shelf to `path`.
///
/// # Errors
/// Those of the file system; the old file stays.
pub(crate) fn save(shelf: &Shelf, path: &Path) -> io::Result<()> {
    fsx::replace_synced_by(path, |out| {
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
        fsx::replace_synced_by(&saved, |out| out.write_all(format!("{{\"path\"\n{text}").as_bytes())).unwrap();
        assert_eq!(load(&saved), shelf.files());
    }

    #[test]
    fn a_line_has_the_spelling_of_earlier_releases() {
        let sha256 = Sha256::of(b"x");
        let key = r#""dev":7,"ino":8,"size":1,"mtime_ns":-9,"ctime_ns":10"#;
        let text = format!(r#"{{"path":"/a","{},"sha256":"{sha256}","repo":"core"}}"#, &key[1..]);
        let file = parse(text.as_bytes()).unwrap();
        assert_eq!(file.key, FileKey { dev: 7, ino: 8, size: 1, mtime_ns: -9, ctime_ns: 10 });
        assert_eq!(serde_json::to_string(&line(file)).unwrap(), text);
        assert_eq!(parse(text.replace(r#""ino":8,"#, "").as_bytes()), None);
    }
}
