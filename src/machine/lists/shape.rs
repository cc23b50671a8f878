//! What pacman's files look like, as far as it shows without an expectation: an archive, a database that parses, an
//! OpenPGP packet.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};

use crate::base::name::FileName;
use crate::lists::pacman::names;
use crate::lists::pacman::syncdb::{self, DatabaseError};
use crate::lists::system::NameKind;
use crate::trust::look::{FileShape, ShapeError};

/// Returns the shape of the file called `name`.
pub(crate) fn of(name: &FileName) -> FileShape {
    let kind = names::kind(name);
    FileShape::new(
        kind,
        match kind {
            NameKind::Package => package,
            NameKind::PackageSignature | NameKind::DatabaseSignature => signature,
            NameKind::Database => database,
            NameKind::Other => return FileShape::ANY,
        },
    )
}

fn package(head: &[u8], _file: &File, _len: u64) -> Result<(), ShapeError> {
    if is_archive(head) { Ok(()) } else { Err(ShapeError::NotAnArchive) }
}

fn signature(head: &[u8], _file: &File, len: u64) -> Result<(), ShapeError> {
    if is_signature(head, len) { Ok(()) } else { Err(ShapeError::NotASignature) }
}

fn database(_head: &[u8], mut file: &File, _len: u64) -> Result<(), ShapeError> {
    file.seek(SeekFrom::Start(0))?;
    match syncdb::check(file) {
        // libalpm reads more compressions than we do, and larger ones; that is no sign of a wrong file.
        Ok(_) | Err(DatabaseError::Unsupported { .. } | DatabaseError::TooLarge(_)) => Ok(()),
        Err(e) => Err(ShapeError::NotADatabase(e.to_string())),
    }
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
        of(&FileName::new(name).unwrap()).look(&file, bytes.len() as u64)
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
}
