//! A check of files without any expectation: is this a database, a signature, a package, or a login page?
//!
//! It proves nothing. It keeps plain mistakes and captive portals from reaching pacman, which would not fail over.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

use crate::base::name::{FileName, NameKind};
use crate::lists::pacman::syncdb::{self, DatabaseError};

/// The reason why a file is plainly not of the type that its name tells. Another source may have the right one.
#[derive(Debug, thiserror::Error)]
pub enum ShapeError {
    /// A captive portal, or an error page with status 200.
    #[error("is a web page, not a file (a login page of this network?)")]
    WebPage,
    /// Not an OpenPGP packet of plausible size.
    #[error("is not an OpenPGP signature")]
    NotASignature,
    /// Does not begin like any archive that libalpm reads.
    #[error("is not a package archive")]
    NotAnArchive,
    /// The archive does not parse as a sync database.
    #[error("is not a sync database: {0}")]
    NotADatabase(String),
    /// Larger than any file of its kind may be.
    #[error("is larger than {0} bytes")]
    TooLarge(u64),
    /// An error while reading it.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// Checks `file` under the name `name`; it is `len` bytes long.
pub fn at(name: &FileName, file: &File, len: u64) -> Result<(), ShapeError> {
    let head = not_a_web_page(file)?;
    match name.kind() {
        NameKind::PackageSignature | NameKind::DatabaseSignature if !is_signature(&head, len) => {
            Err(ShapeError::NotASignature)
        }
        NameKind::Package if !is_archive(&head) => Err(ShapeError::NotAnArchive),
        NameKind::Database => {
            let mut file = file;
            file.seek(SeekFrom::Start(0))?;
            match syncdb::check(file) {
                // libalpm reads more compressions than we do, and larger ones; that is no sign of a wrong file.
                Ok(_) | Err(DatabaseError::Unsupported { .. } | DatabaseError::TooLarge(_)) => Ok(()),
                Err(e) => Err(ShapeError::NotADatabase(e.to_string())),
            }
        }
        _ => Ok(()),
    }
}

/// Refuses web pages and returns the first 512 bytes.
pub fn not_a_web_page(file: &File) -> Result<Vec<u8>, ShapeError> {
    let mut head = vec![0; 512];
    let mut filled = 0;
    while filled < head.len() {
        match file.read_at(&mut head[filled..], filled as u64)? {
            0 => break,
            got => filled += got,
        }
    }
    head.truncate(filled);
    if is_web_page(&head) { Err(ShapeError::WebPage) } else { Ok(head) }
}

fn is_web_page(head: &[u8]) -> bool {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let starts = |prefix: &[u8]| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let has = |part: &[u8]| text.windows(part.len()).any(|here| here.eq_ignore_ascii_case(part));
    // Drawings and metadata are also XML, and makepkg has to fetch those.
    let is_markup = [&b"<!doctype"[..], b"<?xml", b"<!--"].iter().any(|tag| starts(tag));
    [&b"<html"[..], b"<head", b"<body", b"<script"].iter().any(|tag| starts(tag))
        || (is_markup && (has(b"<html") || has(b"doctype html")))
}

/// Recognises a signature packet (tag 2) in the old or new format, RFC 9580 section 4.2, or ASCII armour.
fn is_signature(head: &[u8], len: u64) -> bool {
    let Some(first) = head.first() else { return false };
    let new_format = first & 0xc0 == 0xc0 && first & 0x3f == 2;
    let old_format = first & 0xc0 == 0x80 && (first >> 2) & 0x0f == 2;
    (new_format || old_format || head.starts_with(b"-----BEGIN PGP SIGNATURE")) && len >= 32
}

/// Recognises the compressions that makepkg offers (makepkg.conf(5), PKGEXT), and plain tar, by magic numbers.
fn is_archive(head: &[u8]) -> bool {
    const MAGIC: [&[u8]; 8] =
        [b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh", b"\x04\x22\x4d\x18", b"LRZI", b"LZIP", b"\x1f\x9d"];
    let tar = head.get(257..262) == Some(b"ustar");
    let lzo = head.starts_with(b"\x89LZO");
    let lzma = head.starts_with(b"\x5d\x00\x00");
    tar || lzo || lzma || MAGIC.iter().any(|magic| head.starts_with(magic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn look(name: &str, bytes: &[u8]) -> Result<(), ShapeError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        at(&FileName::new(name).unwrap(), &file, bytes.len() as u64)
    }

    #[test]
    fn signatures_are_openpgp_packets() {
        let mut packet = vec![0x89, 0x01, 0x33, 0x04];
        packet.resize(310, 0);
        assert!(look("a-1-1-any.pkg.tar.zst.sig", &packet).is_ok());
        assert!(matches!(look("a-1-1-any.pkg.tar.zst.sig", b"404 not found"), Err(ShapeError::NotASignature)));
        assert!(matches!(look("core.db.sig", b""), Err(ShapeError::NotASignature)));
    }

    #[test]
    fn packages_begin_like_an_archive() {
        assert!(look("a-1-1-any.pkg.tar.zst", b"\x28\xb5\x2f\xfd....").is_ok());
        assert!(matches!(look("a-1-1-any.pkg.tar.zst", b"oops"), Err(ShapeError::NotAnArchive)));
    }

    #[test]
    fn web_pages_are_known_by_their_first_tag() {
        for page in ["<HTML>", "\u{feff}\n <!DOCTYPE html>", "<html lang=x>", "<script>"] {
            assert!(matches!(look("anything", page.as_bytes()), Err(ShapeError::WebPage)), "{page}");
        }
        for other in ["text", "<?xml version='1.0'?>\n<svg/>", "<!DOCTYPE plist>", "<!-- licence --><component/>"] {
            assert!(look("anything", other.as_bytes()).is_ok(), "{other}");
        }
    }
}
