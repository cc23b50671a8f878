//! The identity and state of a file: whether it is still the one that was read.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::Stat;

/// The state of one file: it changes when the file is replaced or written to.
///
/// All zero stands for "not from a file".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct FileKey {
    /// Device number.
    pub(crate) dev: u64,
    /// Inode number.
    pub(crate) ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last modification, nanoseconds since 1970.
    pub(crate) mtime_ns: i64,
    /// Last status change, nanoseconds since 1970; unlike the modification time no program can set it.
    pub(crate) ctime_ns: i64,
}

impl FileKey {
    /// Returns the state of an open file.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub(crate) fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(Self::from_stat(&rustix::fs::fstat(file)?))
    }

    /// Returns the state of the file at `path`, symbolic links followed, as pacman follows them.
    ///
    /// # Errors
    /// Those of stat(2).
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self::from_stat(&rustix::fs::stat(path)?))
    }

    /// Writes the state as five numbers, in the order of the fields, with `between` between them. Files on disk hold
    /// it so: their readers compare texts or use [`FileKey::from_words`].
    pub(crate) fn text(&self, between: char) -> String {
        let Self { dev, ino, size, mtime_ns, ctime_ns } = self;
        format!("{dev}{between}{ino}{between}{size}{between}{mtime_ns}{between}{ctime_ns}")
    }

    /// Reads what [`FileKey::text`] wrote from the next five of `words`; `None` when one is no such number.
    pub(crate) fn from_words<'w>(words: &mut impl Iterator<Item = &'w str>) -> Option<Self> {
        Some(Self {
            dev: words.next()?.parse().ok()?,
            ino: words.next()?.parse().ok()?,
            size: words.next()?.parse().ok()?,
            mtime_ns: words.next()?.parse().ok()?,
            ctime_ns: words.next()?.parse().ok()?,
        })
    }

    // The widths of these fields differ between architectures.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    fn from_stat(stat: &Stat) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            size: stat.st_size as u64,
            mtime_ns: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime_ns: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fsx::replace_synced;

    #[test]
    fn the_key_changes_with_every_replacement() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        replace_synced(&path, b"1").unwrap();
        let kept = std::fs::File::open(&path).unwrap();
        let key = FileKey::at(&path).unwrap();
        assert_eq!(FileKey::of(&kept).unwrap(), key);
        replace_synced(&path, b"2").unwrap();
        assert_ne!(FileKey::at(&path).unwrap(), key);
    }

    #[test]
    fn a_written_key_has_the_spelling_of_earlier_releases_and_is_read_again() {
        let key = FileKey { dev: 66307, ino: 2, size: u64::MAX, mtime_ns: -4, ctime_ns: 1_700_000_000_000_000_005 };
        let text = key.text(' ');
        assert_eq!(text, "66307 2 18446744073709551615 -4 1700000000000000005");
        assert_eq!(key.text('-'), "66307-2-18446744073709551615--4-1700000000000000005");
        assert_eq!(FileKey::from_words(&mut text.split(' ')), Some(key));
        assert_eq!(FileKey::from_words(&mut "1 2 3 4".split(' ')), None);
        assert_eq!(FileKey::from_words(&mut "1 2 -3 4 5".split(' ')), None);
        let json = r#"{"dev":66307,"ino":2,"size":18446744073709551615,"mtime_ns":-4,"ctime_ns":1700000000000000005}"#;
        assert_eq!(serde_json::to_string(&key).unwrap(), json);
        assert_eq!(serde_json::from_str::<FileKey>(json).unwrap(), key);
    }
}
