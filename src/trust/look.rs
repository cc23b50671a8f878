//! A check of files without any expectation: is this a database, a signature, a package, or a login page?
//!
//! It proves nothing. It keeps plain mistakes and captive portals from reaching the package manager, which would not
//! fail over. What files of a kind look like is told by the list of their system.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::lists::system::NameKind;

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

/// A look at the beginning of a file (at most 512 bytes, and no web page), the file, and its length in bytes.
type ShapeCheck = fn(&[u8], &File, u64) -> Result<(), ShapeError>;

/// What a file is by its name: its kind, and what such a file looks like.
#[derive(Clone, Copy, Debug)]
pub struct FileShape {
    /// The kind.
    pub kind: NameKind,
    check: ShapeCheck,
}

impl FileShape {
    /// The shape of a file that may be anything but a web page.
    pub const ANY: Self = Self::new(NameKind::Other, |_, _, _| Ok(()));

    /// Makes the shape of files that pass `check`.
    pub const fn new(kind: NameKind, check: ShapeCheck) -> Self {
        Self { kind, check }
    }

    /// Looks at `file`, which is `len` bytes long. No web page has any shape.
    ///
    /// # Errors
    /// The reason why it is plainly something else.
    pub fn look(&self, file: &File, len: u64) -> Result<(), ShapeError> {
        (self.check)(&not_a_web_page(file)?, file, len)
    }
}

/// Refuses web pages and returns the first 512 bytes.
pub(crate) fn not_a_web_page(file: &File) -> Result<Vec<u8>, ShapeError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn look(bytes: &[u8]) -> Result<(), ShapeError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        FileShape::ANY.look(&file, bytes.len() as u64)
    }

    #[test]
    fn web_pages_are_known_by_their_first_tag() {
        for page in ["<HTML>", "\u{feff}\n <!DOCTYPE html>", "<html lang=x>", "<script>"] {
            assert!(matches!(look(page.as_bytes()), Err(ShapeError::WebPage)), "{page}");
        }
        for other in ["text", "<?xml version='1.0'?>\n<svg/>", "<!DOCTYPE plist>", "<!-- licence --><component/>"] {
            assert!(look(other.as_bytes()).is_ok(), "{other}");
        }
    }
}
