//! `archive/<repo>-<arch>.ndjson.zst`: the files that have left a table, with the times between which they were in it.
//!
//! A line is that of the table, and `from` and `until` after it. Lines are sorted by name, then by `until`: a file that
//! came back and left again has two. All lines of one name have the same bytes, and no other than the table's, so that a
//! name means one file (`lines_of_one_name_are_of_one_file`).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::io::{self, BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};

use super::manifest::ArchiveTable;
use super::table::{Entry, TableError, TableLines, WireEntry, bad, unpack};
use super::time::LAST;
use crate::base::digest::{Hasher, Sha256};

/// A file that has left a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArchivedEntry {
    /// The entry that it had.
    pub entry: Entry,
    /// Unix seconds at which it came into the table; `None` when it was there before the archive began.
    pub from: Option<u64>,
    /// Unix seconds at which it was not there any more.
    pub until: u64,
}

/// The reason why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// Not the lines of an archive.
    #[error(transparent)]
    Lines(#[from] TableError),
    /// Other lines than the manifest names.
    #[error("the archive unpacks to other bytes than the manifest says")]
    Other,
}

/// A reader of an archive, line by line in constant memory.
pub struct ArchiveReader<R: BufRead> {
    lines: TableLines<R>,
    last: Option<ArchivedEntry>,
    over: bool,
}

impl<R: BufRead> ArchiveReader<R> {
    /// Starts reading an archive that is not compressed; `announced` is the number of lines in the manifest.
    pub fn plain(lines: R, announced: u64) -> Self {
        Self { lines: TableLines::of(lines, announced), last: None, over: false }
    }

    fn read(&mut self) -> Result<Option<ArchivedEntry>, TableError> {
        let Some(text) = self.lines.next()? else { return Ok(None) };
        let found = read_line(text);
        let line = self.lines.number;
        let found = found.map_err(|why| bad(line, &why))?;
        if let Some(last) = &self.last {
            if (&last.entry.name, last.until) >= (&found.entry.name, found.until) {
                return Err(TableError::Order(line));
            }
            let is_same = (last.entry.size, last.entry.sha256) == (found.entry.size, found.entry.sha256);
            if last.entry.name == found.entry.name && !is_same {
                return Err(bad(line, "another file of the same name"));
            }
        }
        self.last = Some(found.clone());
        Ok(Some(found))
    }
}

impl<R: BufRead> Iterator for ArchiveReader<R> {
    type Item = Result<ArchivedEntry, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let item = self.read().transpose();
        self.over = !matches!(item, Some(Ok(_)));
        item
    }
}

/// Reads a compressed archive to its end, and passes on each line. Nothing of it counts before this has returned without
/// an error: then it is what `archive` says, byte for byte.
///
/// # Errors
/// See [`ArchiveError`]; and that of `each`, which ends the reading.
pub(crate) fn read<E: From<ArchiveError>>(
    packed: impl BufRead,
    archive: &ArchiveTable,
    mut each: impl FnMut(ArchivedEntry) -> Result<(), E>,
) -> Result<(), E> {
    let failed = |error: TableError| E::from(ArchiveError::Lines(error));
    let plain = unpack(packed, archive.size + 1).map_err(|e| failed(e.into()))?;
    let mut measured = MeasuredArchive { from: plain, hasher: Hasher::default(), size: 0 };
    for line in ArchiveReader::plain(BufReader::new(&mut measured), archive.entries) {
        each(line.map_err(failed)?)?;
    }
    match (measured.size, measured.hasher.finish()) == (archive.size, archive.sha256) {
        true => Ok(()),
        false => Err(ArchiveError::Other.into()),
    }
}

/// Counts and hashes the bytes that are read.
struct MeasuredArchive<R> {
    from: R,
    hasher: Hasher,
    size: u64,
}

impl<R: Read> Read for MeasuredArchive<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.hasher.update(&into[..read]);
        self.size += read as u64;
        Ok(read)
    }
}

/// Writes the lines of an archive in their one form.
///
/// # Errors
/// `InvalidInput` when they are not sorted, or of two files with one name.
pub fn write(files: &[ArchivedEntry]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    for file in files {
        serde_json::to_writer(&mut plain, &WireArchived::of(file))?;
        plain.write_all(b"\n")?;
    }
    let read = ArchiveReader::plain(&plain[..], files.len() as u64).try_for_each(|line| line.map(drop));
    read.map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why.to_string()))?;
    Ok(plain)
}

/// Returns the digest of the lines, and their bytes.
pub(crate) fn measure(plain: &[u8]) -> (Sha256, u64) {
    (Sha256::of(plain), plain.len() as u64)
}

#[derive(Serialize)]
struct WireArchived {
    #[serde(flatten)]
    entry: WireEntry,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
    until: u64,
}

impl WireArchived {
    fn of(file: &ArchivedEntry) -> Self {
        Self { entry: WireEntry::of(&file.entry), from: file.from, until: file.until }
    }
}

/// The two times of a line.
#[derive(Deserialize)]
struct WireTimes {
    #[serde(default)]
    from: Option<u64>,
    until: u64,
}

fn read_line(text: &[u8]) -> Result<ArchivedEntry, String> {
    let entry = WireEntry::read(text)?;
    let WireTimes { from, until } = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    if until > LAST || from.is_some_and(|from| from >= until) {
        return Err("it left before it came, or after the last of all times".to_owned());
    }
    Ok(ArchivedEntry { entry, from, until })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::manifest::Packed;
    use super::super::table::pack;
    use super::super::table::tests::entry;
    use super::*;
    use crate::base::cid::Cid;

    fn gone(name: &str, from: Option<u64>, until: u64) -> ArchivedEntry {
        ArchivedEntry { entry: entry(name, 3 << 20), from, until }
    }

    fn lines(text: &str) -> Result<Vec<ArchivedEntry>, TableError> {
        ArchiveReader::plain(text.as_bytes(), text.lines().count() as u64).collect()
    }

    fn table(plain: &[u8], entries: u64) -> (Vec<u8>, ArchiveTable) {
        let (packed, (sha256, size)) = (pack(plain), measure(plain));
        let own = Sha256::of(&packed);
        let whole = Packed { cid: Cid::raw(own), sha256: own, size: packed.len() as u64 };
        (packed, ArchiveTable { since: 1, entries, sha256, size, packed: whole })
    }

    #[test]
    fn what_is_written_is_read_back_in_one_form() {
        let files = [gone("a-1", None, 5), gone("a-1", Some(7), 9), gone("b-1", Some(1), 4)];
        let plain = write(&files).unwrap();
        let text = String::from_utf8(plain.clone()).unwrap();
        assert!(text.lines().next().unwrap().ends_with(",\"until\":5}"), "{text}");
        assert!(text.lines().nth(1).unwrap().ends_with(",\"from\":7,\"until\":9}"), "{text}");
        assert_eq!(lines(&text).unwrap(), files);
        let (packed, archive) = table(&plain, 3);
        let mut found = Vec::new();
        read(&packed[..], &archive, |file| {
            found.push(file);
            Ok::<(), ArchiveError>(())
        })
        .unwrap();
        assert_eq!(found, files);
        let mut swapped = files.clone();
        swapped.swap(0, 2);
        assert!(write(&swapped).is_err());
    }

    #[test]
    fn lines_of_one_name_are_of_one_file() {
        let text = |files: &[ArchivedEntry]| {
            let line = |file| serde_json::to_string(&WireArchived::of(file)).unwrap() + "\n";
            files.iter().map(line).collect::<String>()
        };
        let other = ArchivedEntry { entry: Entry { size: 4 << 20, ..entry("a", 3 << 20) }, from: None, until: 9 };
        let why = lines(&text(&[gone("a", None, 5), other])).unwrap_err().to_string();
        assert_eq!(why, "line 2 of the table is malformed: another file of the same name");
        for wrong in [[gone("b", None, 5), gone("a", None, 6)], [gone("a", None, 5), gone("a", None, 5)]] {
            assert!(matches!(lines(&text(&wrong)), Err(TableError::Order(2))));
        }
        for (from, until) in [(Some(5), 5), (Some(6), 5), (None, LAST + 1)] {
            assert!(matches!(lines(&text(&[gone("a", from, until)])), Err(TableError::Line { line: 1, .. })));
        }
        let (without, _) =
            text(&[gone("a", None, 5)]).split_once(",\"until\"").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert!(lines(&format!("{without}}}\n")).unwrap_err().to_string().contains("missing field `until`"));
    }

    #[test]
    fn an_archive_that_is_not_the_one_of_the_manifest_is_refused() {
        let plain = write(&[gone("a", None, 5), gone("b", None, 5)]).unwrap();
        let (packed, archive) = table(&plain, 2);
        let tried = |packed: &[u8], archive: ArchiveTable| read(packed, &archive, |_| Ok::<(), ArchiveError>(()));
        tried(&packed, archive).unwrap();
        for wrong in [
            ArchiveTable { sha256: Sha256::of(b"x"), ..archive },
            ArchiveTable { size: archive.size - 1, ..archive },
            ArchiveTable { size: archive.size + 1, ..archive },
            ArchiveTable { entries: 1, ..archive },
            ArchiveTable { entries: 3, ..archive },
        ] {
            assert!(tried(&packed, wrong).is_err(), "{wrong:?}");
        }
        assert!(tried(&packed[..packed.len() - 1], archive).is_err());
        let bomb = zstd::encode_all(io::repeat(b' ').take(64 << 20), 1).unwrap();
        assert!(matches!(tried(&bomb, archive), Err(ArchiveError::Lines(TableError::Line { line: 1, .. }))));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,100}\n\\PC{0,100}\n") {
            prop_assert!(lines(&text).is_err());
        }
    }
}
