//! The bytes of a catalogue: header, fixed records sorted by name, then names and optional fields.
//!
//! All numbers are little-endian. Every record has a check of its own, so that zeros or stray bytes are reported
//! as damage and never as "not listed", which would waive a proof.
//!
//! ```text
//! header   96  magic 8, version 4, record size 4, count 4, length of the tails 4,
//!              source: dev 8, ino 8, size 8, mtime_ns 8, ctime_ns 8, sha256 of the 64 bytes before 32
//! record   50  offset in the tails 4, length of the name 1, flags 1, size 8, sha256 32, check 4
//! tail         name, root 32 if flag 1, signature size 2 and sha256 32 if flag 2, time of building 4 if flag 4
//! check        the first 4 bytes of the sha256 of the record's other 46 bytes and its tail
//! ```
//!
//! About 130 bytes a package with its signature; 12 MB would hold everything Arch publishes.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::io;
use std::path::Path;

use crate::base::digest::{Hasher, Sha256};
use crate::base::fsx::{self, FileKey};
use crate::base::name::FileName;
use crate::base::size;
use crate::lists::system::Signature;

use super::{CatalogueEntry, CatalogueError};

pub(super) const HEADER: usize = 96;
pub(super) const FIXED: usize = 50;
pub(super) const LONGEST_TAIL: usize = 255 + 32 + SIGNATURE + BUILT;
const SIGNATURE: usize = 2 + 32;
const BUILT: usize = 4;
const MAGIC: &[u8; 8] = b"pkgswcat";
const VERSION: u32 = 1;
const HAS_ROOT: u8 = 1;
const HAS_SIGNATURE: u8 = 2;
/// Added later: a table without it is valid.
const HAS_BUILT: u8 = 4;

/// Writes `records`, in any order, as the catalogue at `path`, replacing what was there, mode 0644.
///
/// `source` is the database, all zero for a table that is not from a file. Writes a temporary file in the same
/// directory and renames it.
///
/// # Errors
/// `Twice` for two records of one name, `TooLarge`, `File`; then the old file stays.
pub fn write(path: &Path, records: Vec<CatalogueEntry>, source: FileKey) -> Result<(), CatalogueError> {
    let bytes = encode(records, source)?;
    store(path, &bytes).map_err(|cause| CatalogueError::File { path: path.to_owned(), cause })
}

pub(super) fn store(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fsx::replace_synced(path, bytes)
}

pub(super) fn encode(mut records: Vec<CatalogueEntry>, source: FileKey) -> Result<Vec<u8>, CatalogueError> {
    records.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = records.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(CatalogueError::Twice(pair[0].name.clone()));
    }
    let count = u32::try_from(records.len()).map_err(|_| CatalogueError::TooLarge)?;
    let (mut fixed, mut tails) = (Vec::with_capacity(records.len() * FIXED), Vec::new());
    for record in &records {
        let offset = u32::try_from(tails.len()).map_err(|_| CatalogueError::TooLarge)?;
        push(&mut fixed, &mut tails, offset, record);
    }
    let tail_length = u32::try_from(tails.len()).map_err(|_| CatalogueError::TooLarge)?;
    let header = Header { count, tails: tail_length, source };
    Ok([header.encode().as_slice(), &fixed, &tails].concat())
}

fn push(fixed: &mut Vec<u8>, tails: &mut Vec<u8>, offset: u32, record: &CatalogueEntry) {
    let (start, tail) = (fixed.len(), tails.len());
    let name = record.name.as_str().as_bytes();
    tails.extend(name);
    let mut flags = 0;
    if let Some(root) = record.root.filter(|_| !size::is_own_block(record.size)) {
        flags |= HAS_ROOT;
        tails.extend(root.0);
    }
    if let Some(signature) = record.signature {
        // A larger signature is refused wherever signatures are read (16 KiB); it is left out, not cut.
        if let Ok(size) = u16::try_from(signature.size) {
            flags |= HAS_SIGNATURE;
            tails.extend(size.to_le_bytes());
            tails.extend(signature.sha256.0);
        }
    }
    if let Some(built) = record.built {
        flags |= HAS_BUILT;
        tails.extend(built.to_le_bytes());
    }
    fixed.extend(offset.to_le_bytes());
    fixed.push(u8::try_from(name.len()).expect("a FileName has at most 255 bytes"));
    fixed.push(flags);
    fixed.extend(record.size.to_le_bytes());
    fixed.extend(record.sha256.0);
    let check = check(&fixed[start..], &tails[tail..]);
    fixed.extend(check);
}

fn check(fixed: &[u8], tail: &[u8]) -> [u8; 4] {
    let mut hasher = Hasher::default();
    hasher.update(fixed);
    hasher.update(tail);
    take(&hasher.finish().0, 0)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Header {
    pub(crate) count: u32,
    pub(crate) tails: u32,
    pub(crate) source: FileKey,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let FileKey { dev, ino, size, mtime_ns, ctime_ns } = self.source;
        let mut out = MAGIC.to_vec();
        for number in [VERSION, FIXED as u32, self.count, self.tails] {
            out.extend(number.to_le_bytes());
        }
        for number in [dev, ino, size, mtime_ns as u64, ctime_ns as u64] {
            out.extend(number.to_le_bytes());
        }
        let check = Sha256::of(&out);
        out.extend(check.0);
        out
    }

    /// Checks everything that the header and the file's length state about each other.
    pub(crate) fn decode(bytes: &[u8; HEADER], length: u64) -> Result<Self, &'static str> {
        if bytes[..8] != *MAGIC {
            return Err("not a catalogue");
        }
        if u32_at(bytes, 8) != VERSION || u32_at(bytes, 12) != FIXED as u32 {
            return Err("another version");
        }
        if Sha256::of(&bytes[..64]).0 != take(bytes, 64) {
            return Err("the header's checksum differs");
        }
        let number = |at| u64_at(bytes, at);
        let source = FileKey {
            dev: number(24),
            ino: number(32),
            size: number(40),
            mtime_ns: number(48) as i64,
            ctime_ns: number(56) as i64,
        };
        let header = Self { count: u32_at(bytes, 16), tails: u32_at(bytes, 20), source };
        if length != header.tails_at() + u64::from(header.tails) {
            return Err("its length differs from what the header says");
        }
        Ok(header)
    }

    fn tails_at(&self) -> u64 {
        HEADER as u64 + u64::from(self.count) * FIXED as u64
    }
}

/// The position of a record's tail in the file.
pub(super) struct TailPosition {
    pub(crate) offset: u64,
    pub(crate) length: usize,
}

impl TailPosition {
    pub(crate) fn decode(fixed: &[u8; FIXED], header: &Header) -> Result<Self, &'static str> {
        let start = u64::from(u32_at(fixed, 0));
        let flags = fixed[5];
        let root = if flags & HAS_ROOT > 0 { 32 } else { 0 };
        let signature = if flags & HAS_SIGNATURE > 0 { SIGNATURE } else { 0 };
        let built = if flags & HAS_BUILT > 0 { BUILT } else { 0 };
        let length = usize::from(fixed[4]) + root + signature + built;
        if start + length as u64 > u64::from(header.tails) {
            return Err("a record points past the end");
        }
        Ok(Self { offset: header.tails_at() + start, length })
    }
}

/// Puts a record together from its fixed part and the `tail` that its [`TailPosition`] names.
pub(super) fn decode(fixed: &[u8; FIXED], tail: &[u8]) -> Result<CatalogueEntry, &'static str> {
    if check(&fixed[..46], tail) != take::<4>(fixed, 46) {
        return Err("a record's checksum differs");
    }
    let (name, mut rest) = tail.split_at_checked(usize::from(fixed[4])).ok_or("a record is too short")?;
    let mut more = |has: bool, length: usize| -> Result<Option<&[u8]>, &'static str> {
        if !has {
            return Ok(None);
        }
        let (part, after) = rest.split_at_checked(length).ok_or("a record is too short")?;
        rest = after;
        Ok(Some(part))
    };
    let root = more(fixed[5] & HAS_ROOT > 0, 32)?.map(|bytes| Sha256(take(bytes, 0)));
    let signature = more(fixed[5] & HAS_SIGNATURE > 0, SIGNATURE)?
        .map(|bytes| Signature { size: u32::from(u16::from_le_bytes(take(bytes, 0))), sha256: Sha256(take(bytes, 2)) });
    let built = more(fixed[5] & HAS_BUILT > 0, BUILT)?.map(|bytes| u32::from_le_bytes(take(bytes, 0)));
    let name = std::str::from_utf8(name).map_err(|_| "a name is not UTF-8")?;
    Ok(CatalogueEntry {
        name: FileName::new(name).map_err(|_| "a name is not a plain file name")?,
        size: u64_at(fixed, 6),
        sha256: Sha256(take(fixed, 14)),
        root,
        signature,
        built,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(take(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(take(bytes, at))
}

/// Returns `N` bytes from a position that the layout guarantees; every caller has an array or a checked length.
fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a range of N bytes makes an array of N")
}
