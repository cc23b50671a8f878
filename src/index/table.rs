//! `tables/<repo>-<arch>.ndjson.zst`: one entry a line, sorted by name, read and written as a stream.
//!
//! A line is JSON without blanks, its fields in one order, so that every writer makes the same bytes of the same
//! uncompressed table. The manifest names its sha256, and the result of diffs is checked against that.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::io::{self, BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};
use zstd::zstd_safe::CParameter;

use crate::base::cid::{Cid, Codec};
use crate::base::digest::Sha256;
use crate::base::name::{FileName, shown};
use crate::base::size::{self, SIGNATURE_MOST};

/// Most bytes of a line; real ones have about 200.
pub(crate) const LINE_MOST: usize = 4096;
/// Most bytes of a decompressed table.
pub const PLAIN_MOST: u64 = 256 << 20;
/// Most lines of a table; Arch's largest repo has about 15,000.
pub const ENTRIES_MOST: u64 = 1_000_000;
/// Largest file that can be listed: 1 TiB, far above any package, so that sums cannot overflow.
pub const FILE_MOST: u64 = 1 << 40;

/// zstd can be told to use windows of gigabytes; tables have one of 256 KiB.
pub(super) const WINDOW_LOG_MOST: u32 = 24;
const LEVEL: i32 = 16;
/// The window and the tables of the search, which for 15,000 lines would take 60 MB at level 19, and nine times as long, to
/// save a four-hundredth: half of a line is digests, and what repeats is near.
const SEARCH: [CParameter; 4] =
    [CParameter::WindowLog(18), CParameter::ChainLog(17), CParameter::HashLog(16), CParameter::SearchLog(3)];

/// One file listed by the publisher.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The file's name, unique in its table.
    pub name: FileName,
    /// Bytes.
    pub size: u64,
    /// Digest of the whole file.
    pub sha256: Sha256,
    /// CID of the file as `unixfs-v1-2025`.
    pub cid: Cid,
    /// Size and sha256 of `NAME.sig`, where there is one.
    pub signature: Option<(u64, Sha256)>,
}

/// The reason why a table is refused, with the faulty line (from 1).
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file could not be read or decompressed.
    #[error("the table cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Not an entry.
    #[error("line {line} of the table is malformed: {reason}")]
    Line {
        /// From 1.
        line: u64,
        /// The fault.
        reason: String,
    },
    /// The name is not greater than the one before it.
    #[error("line {0} of the table is out of order")]
    Order(u64),
    /// More lines or bytes than allowed or announced.
    #[error("the table is longer than announced or allowed")]
    TooLong,
    /// Fewer lines than announced.
    #[error("the table has {has} entries, the manifest announces {announced}")]
    Count {
        /// Lines found.
        has: u64,
        /// Lines announced.
        announced: u64,
    },
}

/// A reader of a compressed table or diff: at most as many bytes as requested, in about 20 MiB of memory.
pub(crate) type UnpackedTable<R> = BufReader<io::Take<zstd::stream::read::Decoder<'static, R>>>;

/// Decompresses `packed`, and ends without an error after `most` bytes: the caller counts them.
///
/// # Errors
/// When zstd cannot be set up; damaged input shows while reading, windows above 16 MiB included.
pub(crate) fn unpack<R: BufRead>(packed: R, most: u64) -> io::Result<UnpackedTable<R>> {
    let mut plain = zstd::stream::read::Decoder::with_buffer(packed)?;
    plain.window_log_max(WINDOW_LOG_MOST)?;
    Ok(BufReader::new(plain.take(most)))
}

/// A reader of a table, entry by entry in constant memory.
pub struct Reader<R: BufRead> {
    lines: TableLines<R>,
    last: Option<FileName>,
    over: bool,
}

/// The lines of a table, bounded: each of them, all of them together, and their number.
pub(super) struct TableLines<R> {
    from: R,
    announced: u64,
    /// The number of the line that was read last, from 1.
    pub(super) number: u64,
    bytes: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> TableLines<R> {
    /// Starts at the first of so many lines.
    pub(super) fn of(from: R, announced: u64) -> Self {
        Self { from, announced: announced.min(ENTRIES_MOST), number: 0, bytes: 0, buffer: Vec::new() }
    }

    /// Returns the next line without its line feed; `None` at the end of as many as were announced.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, TableError> {
        self.buffer.clear();
        let read = (&mut self.from).take(LINE_MOST as u64 + 1).read_until(b'\n', &mut self.buffer)?;
        self.bytes += read as u64;
        if read == 0 {
            return match self.number == self.announced {
                true => Ok(None),
                false => Err(TableError::Count { has: self.number, announced: self.announced }),
            };
        }
        self.number += 1;
        if self.number > self.announced || self.bytes > PLAIN_MOST {
            return Err(TableError::TooLong);
        }
        let cut = || bad(self.number, "longer than 4096 bytes or cut short");
        self.buffer.strip_suffix(b"\n").map(Some).ok_or_else(cut)
    }
}

/// Returns the error of a line that is no entry.
pub(super) fn bad(line: u64, reason: &str) -> TableError {
    TableError::Line { line, reason: shown(reason).into_owned() }
}

impl<R: BufRead> Reader<UnpackedTable<R>> {
    /// Starts reading a compressed table; `announced` is the number of entries in the manifest.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "named by tests alone"))]
    pub fn new(from: R, announced: u64) -> Result<Self, TableError> {
        Ok(Self::plain(unpack(from, PLAIN_MOST + 1)?, announced))
    }
}

impl<R: BufRead> Reader<R> {
    /// Starts reading a table that is not compressed.
    pub fn plain(lines: R, announced: u64) -> Self {
        Self { lines: TableLines::of(lines, announced), last: None, over: false }
    }

    fn read(&mut self) -> Result<Option<Entry>, TableError> {
        let Some(text) = self.lines.next()? else { return Ok(None) };
        let entry = WireEntry::read(text);
        let line = self.lines.number;
        let entry = entry.map_err(|why| bad(line, &why))?;
        if self.last.as_ref().is_some_and(|last| *last >= entry.name) {
            return Err(TableError::Order(line));
        }
        self.last = Some(entry.name.clone());
        Ok(Some(entry))
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Entry, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let item = self.read().transpose();
        self.over = !matches!(item, Some(Ok(_)));
        item
    }
}

/// Compresses a table or a diff in its published form.
///
/// # Panics
/// Never: compressing in memory does not fail.
pub fn pack(plain: &[u8]) -> Vec<u8> {
    // All in one call: zstd then sizes its tables to the input, which for a small diff is most of the work.
    let compress = || {
        let mut zstd = zstd::bulk::Compressor::new(LEVEL)?;
        SEARCH.into_iter().try_for_each(|parameter| zstd.set_parameter(parameter))?;
        zstd.compress(plain)
    };
    let mut packed = compress().expect("compressing from memory to memory does not fail");
    packed.shrink_to_fit();
    packed
}

/// A writer of an uncompressed table, in its one canonical form: the same entries always give the same bytes.
pub struct TableWriter<W: Write> {
    out: W,
    last: Option<FileName>,
}

impl<W: Write> TableWriter<W> {
    /// Starts a table.
    pub fn new(to: W) -> Self {
        Self { out: to, last: None }
    }

    /// Adds an entry. Entries must come sorted by name, each name once; anything else is `InvalidInput`.
    pub fn add(&mut self, entry: &Entry) -> io::Result<()> {
        if self.last.as_ref().is_some_and(|last| *last >= entry.name) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is out of order", entry.name)));
        }
        let mut line = serde_json::to_vec(&WireEntry::of(entry)).map_err(io::Error::from)?;
        line.push(b'\n');
        self.last = Some(entry.name.clone());
        self.out.write_all(&line)
    }

    /// Returns the underlying writer.
    pub fn finish(self) -> W {
        self.out
    }
}

/// Returns the CID of a file, which is left out where it follows from the sha256.
pub(super) fn cid(size: u64, sha256: Sha256, written: Option<Cid>) -> Result<Cid, &'static str> {
    if let Some(follows) = size::own_block(size, sha256) {
        return match written.is_none_or(|cid| cid == follows) {
            true => Ok(follows),
            false => Err("its CID contradicts its sha256"),
        };
    }
    match written {
        None => Err("the CID of a file above 1 MiB is missing"),
        // The sha256 of a whole file above 1 MiB is never that of its root block.
        Some(cid) if cid.codec() == Codec::Raw => Err("a raw CID for a file above 1 MiB"),
        Some(cid) => Ok(cid),
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireEntry {
    name: String,
    size: u64,
    sha256: Sha256,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cid: Option<Cid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sig_size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sig_sha256: Option<Sha256>,
}

impl WireEntry {
    /// Reads a line; else returns what is wrong with it.
    pub(super) fn read(line: &[u8]) -> Result<Entry, String> {
        let wire: Self = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        wire.check().map_err(str::to_owned)
    }

    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            name: entry.name.to_string(),
            size: entry.size,
            sha256: entry.sha256,
            cid: (!size::is_own_block(entry.size)).then_some(entry.cid),
            sig_size: entry.signature.map(|(size, _)| size),
            sig_sha256: entry.signature.map(|(_, sha256)| sha256),
        }
    }

    fn check(self) -> Result<Entry, &'static str> {
        let name = FileName::new(self.name).map_err(|_| "not a plain file name")?;
        if self.size > FILE_MOST {
            return Err("a file of more than 1 TiB");
        }
        let cid = cid(self.size, self.sha256, self.cid)?;
        let signature = match (self.sig_size, self.sig_sha256) {
            (None, None) => None,
            (Some(size), Some(sha256)) if (1..=SIGNATURE_MOST as u64).contains(&size) => Some((size, sha256)),
            (Some(_), Some(_)) => return Err("a signature of none or more than 16 KiB"),
            _ => return Err("half a signature"),
        };
        Ok(Entry { name, size: self.size, sha256: self.sha256, cid, signature })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::size::OWN_BLOCK_MOST;

    pub(crate) fn entry(name: &str, size: u64) -> Entry {
        let sha256 = Sha256::of(name.as_bytes());
        let cid = size::own_block(size, sha256).unwrap_or_else(|| Cid::dag_pb(Sha256::of(b"root")));
        Entry { name: FileName::new(name).unwrap(), size, sha256, cid, signature: None }
    }

    /// Returns the canonical bytes of a table.
    pub fn plain(entries: &[Entry]) -> Vec<u8> {
        let mut writer = TableWriter::new(Vec::new());
        entries.iter().for_each(|entry| writer.add(entry).unwrap());
        writer.finish()
    }

    pub(crate) fn written(entries: &[Entry]) -> Vec<u8> {
        pack(&plain(entries))
    }

    fn read(bytes: &[u8], announced: u64) -> Result<Vec<Entry>, TableError> {
        Reader::new(bytes, announced)?.collect()
    }

    fn lines(text: &str) -> Result<Vec<Entry>, TableError> {
        let bytes = zstd::encode_all(text.as_bytes(), 1).unwrap();
        read(&bytes, text.lines().count() as u64)
    }

    #[test]
    fn entries_come_back_as_they_were_written() {
        let mut signed = entry("b-1-1-any.pkg.tar.zst", OWN_BLOCK_MOST + 1);
        signed.signature = Some((310, Sha256::of(b"sig")));
        let entries = [entry("a-1:1-1-any.pkg.tar.zst", OWN_BLOCK_MOST), signed, entry("c++-1-1-any.pkg.tar.zst", 0)];
        let bytes = written(&entries);
        assert_eq!(read(&bytes, 3).unwrap(), entries);
        assert_eq!(Reader::plain(&plain(&entries)[..], 3).map(Result::unwrap).collect::<Vec<_>>(), entries);
        assert_eq!(bytes, written(&entries));
        assert!(read(&written(&[]), 0).unwrap().is_empty());
    }

    #[test]
    fn the_cid_is_left_out_where_it_follows() {
        let plain = String::from_utf8(plain(&[entry("a", OWN_BLOCK_MOST), entry("b", OWN_BLOCK_MOST + 1)])).unwrap();
        let has: Vec<bool> = plain.lines().map(|line| line.contains("\"cid\"")).collect();
        assert_eq!(has, [false, true]);
    }

    #[test]
    fn a_table_that_is_not_sorted_is_neither_written_nor_read() {
        let mut writer = TableWriter::new(Vec::new());
        writer.add(&entry("b", 1)).unwrap();
        assert!(writer.add(&entry("a", 1)).is_err());
        assert!(writer.add(&entry("b", 1)).is_err());
        let [a, b] = ["a", "b"].map(|n| serde_json::to_string(&WireEntry::of(&entry(n, 1))).unwrap());
        assert!(matches!(lines(&format!("{b}\n{a}\n")), Err(TableError::Order(2))));
        assert!(matches!(lines(&format!("{a}\n{a}\n")), Err(TableError::Order(2))));
    }

    #[test]
    fn a_table_of_another_length_than_announced_is_refused() {
        let bytes = written(&[entry("a", 1), entry("b", 1)]);
        assert!(matches!(read(&bytes, 1), Err(TableError::TooLong)));
        assert!(matches!(read(&bytes, 3), Err(TableError::Count { has: 2, announced: 3 })));
        assert!(read(&bytes[..bytes.len() - 1], 2).is_err());
    }

    #[test]
    fn lines_that_are_no_entries_are_refused_with_their_number() {
        let sha = Sha256::of(b"x");
        let root = Cid::dag_pb(sha);
        let good = format!(r#"{{"name":"a","size":1,"sha256":"{sha}","new":[1]}}"#);
        assert_eq!(lines(&format!("{good}\n")).unwrap().len(), 1);
        for bad in [
            "{}".to_owned(),
            "[]".to_owned(),
            format!(r#"{{"name":"../b","size":1,"sha256":"{sha}"}}"#),
            format!(r#"{{"name":"b","size":-1,"sha256":"{sha}"}}"#),
            format!(r#"{{"name":"b","size":1099511627777,"sha256":"{sha}","cid":"{root}"}}"#),
            format!(r#"{{"name":"b","size":1,"sha256":"{sha}","cid":"{root}"}}"#),
            format!(r#"{{"name":"b","size":1048577,"sha256":"{sha}"}}"#),
            format!(r#"{{"name":"b","size":1048577,"sha256":"{sha}","cid":"{}"}}"#, Cid::raw(sha)),
            format!(r#"{{"name":"b","size":1,"sha256":"{sha}","sig_size":3}}"#),
            format!(r#"{{"name":"b","size":1,"sha256":"{sha}","sig_size":16385,"sig_sha256":"{sha}"}}"#),
            format!(r#"{{"name":"b","size":1,"sha256":"{sha}","pad":"{}"}}"#, "x".repeat(LINE_MOST)),
        ] {
            let refused = lines(&format!("{good}\n{bad}\n"));
            assert!(matches!(refused, Err(TableError::Line { line: 2, .. })), "{bad}: {refused:?}");
        }
    }

    #[test]
    fn a_bomb_ends_at_the_first_endless_line() {
        let bomb = zstd::encode_all(io::repeat(b' ').take(64 << 20), 1).unwrap();
        assert!(matches!(read(&bomb, 9), Err(TableError::Line { line: 1, .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read(&bytes, 3).is_err());
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,100}\n\\PC{0,100}\n") {
            prop_assert!(lines(&text).is_err());
        }
    }
}
