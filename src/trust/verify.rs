//! The sole maker of [`Verified`] and [`Waived`], without one of which no file appears anywhere.
//!
//! A proof is made by hashing; a waiver has a name, and even then the bytes are checked ([`look`]).
//! `output.rs` is the only place that gives a file its name, and it asks for one of the two.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc;
use std::thread;

use crate::base::cid::Cid;
use crate::base::digest::{Hasher, Sha256};
use crate::base::fsx;
use crate::base::size::SIGNATURE_MOST;
use crate::dag::DagError;
use crate::dag::walk::Walk;
use crate::trust::look::{self, FileShape, ShapeError};

/// Proof that a file's bytes are the expected ones. Only this module can make it.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    sha256: Sha256,
    size: u64,
}

impl Verified {
    /// Returns the digest that was proven.
    pub(crate) fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// The reason why no expectation exists for a file. Printed in the log line; never silent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum Waiver {
    /// A signature that no index lists. It proves the package; there is no proof of the signature itself.
    Signature,
    /// A database as the user's mirror has it now. Arch does not sign databases.
    MirrorDatabase,
    /// A database of pacman's that its mirror says is still current.
    DatabaseInUse,
    /// An optional database signature that the mirror definitely does not have: an empty file, which pacman drops.
    NoSignature,
    /// The URL belongs to no configured repository (`pacman -U URL`).
    NotARepoUrl,
    /// No list of the repository has the name with a checksum, and all of them were read.
    NotListed,
    /// pacman's configuration could not be read: the repository of the URL, if any, is unknown.
    NoConfiguration,
    /// A list of the repository could not be read, and none of the others has the name.
    ListUnread,
    /// The list has a compression that libalpm alone reads, and none of the others has the name.
    ListPacked,
    /// The list is larger than what is read of one, and none of the others has the name.
    ListTooLarge,
    /// It is nothing that pacman asks a configured repository for, and another program wants it: makepkg, for a
    /// source. Then the name says nothing about what is in it.
    NotPacmans,
}

impl Waiver {
    /// Returns one or two words for the log line.
    pub fn label(self) -> &'static str {
        match self {
            Waiver::Signature => "signature",
            Waiver::MirrorDatabase => "database from a mirror",
            Waiver::DatabaseInUse => "database in use",
            Waiver::NoSignature => "no signature",
            Waiver::NotARepoUrl | Waiver::NotPacmans => "not a repo URL",
            Waiver::NotListed => "not listed with a checksum",
            Waiver::NoConfiguration => "pacman's configuration was not read",
            Waiver::ListUnread => "its list was not read",
            Waiver::ListPacked => "not listed in any form that is read here",
            Waiver::ListTooLarge => "its list is larger than is read here",
        }
    }

    /// Returns true for one that every file of its kind has, and that a user can do nothing about.
    pub(crate) fn is_usual(self) -> bool {
        matches!(self, Self::Signature | Self::MirrorDatabase | Self::DatabaseInUse | Self::NoSignature)
    }

    /// Returns the most bytes that are accepted without an expectation.
    ///
    /// Signatures 16 KiB, as pacman's own downloader limits them (pacman 7.1, be_sync.c:213). Databases 1 GiB: its 128 MiB
    /// do not hold for an `XferCommand`.
    pub(crate) fn limit(self) -> u64 {
        match self {
            Waiver::Signature => SIGNATURE_MOST as u64,
            Waiver::NoSignature => 0,
            Waiver::MirrorDatabase | Waiver::DatabaseInUse => 1 << 30,
            Waiver::NotARepoUrl | Waiver::NotListed | Waiver::NotPacmans => 16 << 30,
            Waiver::NoConfiguration | Waiver::ListUnread => 16 << 30,
            Waiver::ListPacked | Waiver::ListTooLarge => 16 << 30,
        }
    }
}

/// An unproven file that was checked and accepted for a stated reason. Only this module can make it.
#[derive(Clone, Copy, Debug)]
pub struct Waived {
    why: Waiver,
    size: u64,
}

impl Waived {
    /// Returns the reason.
    pub(crate) fn why(&self) -> Waiver {
        self.why
    }
}

/// The permission for a file to appear.
#[derive(Clone, Copy, Debug)]
pub enum Accepted {
    /// The bytes are the expected ones.
    Proven(Verified),
    /// The expected bytes are unknown.
    Waived(Waived),
}

impl Accepted {
    /// Returns size of the file in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Accepted::Proven(proof) => proof.size,
            Accepted::Waived(waived) => waived.size,
        }
    }
}

/// The bytes are not the expected ones. Another source may have them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MismatchError {
    /// Wrong length.
    #[error("has {found} bytes, expected {expected}")]
    Size {
        /// Size that was expected.
        expected: u64,
        /// Size that was found.
        found: u64,
    },
    /// Right length, wrong bytes.
    #[error("sha256 is {}, expected {}", found.short(), expected.short())]
    Digest {
        /// Digest that was expected.
        expected: Sha256,
        /// Digest that was found.
        found: Sha256,
    },
    /// The file could not be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// Bytes that are read at a time. Few, and the same memory each time: a page that was not in use before costs more
/// than the call that it saves.
const AT_A_TIME: usize = 32 * 1024;

/// A hasher of bytes on their way into a file, which counts them.
pub(crate) struct Verifier {
    hasher: Hasher,
    size: u64,
    /// The buffer for reading.
    buffer: Vec<u8>,
}

impl Verifier {
    /// Begins before the first byte.
    pub(crate) fn new() -> Self {
        Self { hasher: Hasher::default(), size: 0, buffer: Vec::new() }
    }

    /// Continues after the first `len` bytes of a partial file, which are hashed again: a record of an earlier
    /// hash could be ahead of the data on disk.
    pub(crate) fn resume(file: &File, len: u64) -> io::Result<Self> {
        let mut verifier = Self::new();
        verifier.read(file, len)?;
        Ok(verifier)
    }

    /// Continues with the bytes of `file` from its own position up to `len`.
    ///
    /// # Errors
    /// `UnexpectedEof` when it has less.
    pub(crate) fn read(&mut self, file: &File, len: u64) -> io::Result<()> {
        let missing = |size: u64| usize::try_from(len.saturating_sub(size)).unwrap_or(usize::MAX);
        if self.buffer.len() < missing(self.size).min(AT_A_TIME) {
            self.buffer.resize(missing(self.size).min(AT_A_TIME), 0);
        }
        while self.size < len {
            let want = self.buffer.len().min(missing(self.size));
            let got = file.read_at(&mut self.buffer[..want], self.size)?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.hasher.update(&self.buffer[..got]);
            self.size += got as u64;
        }
        Ok(())
    }

    /// Returns the number of bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// Ends the hashing and compares.
    pub(crate) fn finish(self, sha256: Sha256, size: u64) -> Result<Verified, MismatchError> {
        if self.size != size {
            return Err(MismatchError::Size { expected: size, found: self.size });
        }
        let found = self.hasher.finish();
        if found != sha256 {
            return Err(MismatchError::Digest { expected: sha256, found });
        }
        Ok(Verified { sha256, size })
    }
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new()
    }
}

/// Proves an open file by reading all of it.
pub(crate) fn prove(file: &File, sha256: Sha256, size: u64) -> Result<Verified, MismatchError> {
    let found = fsx::regular(file)?.st_size.unsigned_abs();
    if found != size {
        return Err(MismatchError::Size { expected: size, found });
    }
    Verifier::resume(file, size)?.finish(sha256, size)
}

/// Size from which [`prove_copy`] hashes while it copies. Below it, a second thread costs more than it saves.
/// Bytes.
pub(crate) const LARGE: u64 = 2 << 20;

/// Copies the first `size` bytes of `from` into the empty file `to`, and proves the copy, not the original. A
/// large file is hashed while its rest is being copied.
///
/// # Errors
/// The outer one when the copy cannot be made, for lack of room for example; the inner one when it has other
/// bytes.
pub(crate) fn prove_copy(
    from: &File,
    to: &File,
    sha256: Sha256,
    size: u64,
) -> io::Result<Result<Verified, MismatchError>> {
    prove_as(to, sha256, size, |told| fsx::copy_telling(from, to, size, told))
}

/// Returns the same, and gives back the room of `from` while it is copied ([`fsx::move_telling`]): what is left of
/// it is of no use.
pub(crate) fn prove_moved(
    from: &File,
    to: &File,
    sha256: Sha256,
    size: u64,
) -> io::Result<Result<Verified, MismatchError>> {
    prove_as(to, sha256, size, |told| fsx::move_telling(from, to, size, told))
}

/// Hashes `to` while `copy` writes it, which tells how far it is.
fn prove_as(
    to: &File,
    sha256: Sha256,
    size: u64,
    copy: impl FnOnce(&mut dyn FnMut(u64)) -> io::Result<()>,
) -> io::Result<Result<Verified, MismatchError>> {
    let hashed = thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let hash = move || {
            let mut verifier = Verifier::new();
            told.iter().try_for_each(|len| verifier.read(to, len)).map(|()| verifier)
        };
        // If this machine allows no more threads, after the copy.
        let hashing = (size >= LARGE).then(|| thread::Builder::new().spawn_scoped(scope, hash).ok()).flatten();
        copy(&mut |len| {
            let _ = tell.send(len);
        })?;
        drop(tell);
        let hashed = hashing.map(|thread| thread.join().expect("hashing does not panic"));
        io::Result::Ok(hashed.unwrap_or_else(|| Verifier::resume(to, size)))
    })?;
    // An original that grew while its blocks were shared has more than was hashed.
    let found = fsx::regular(to)?.st_size.unsigned_abs();
    if found != size {
        return Ok(Err(MismatchError::Size { expected: size, found }));
    }
    Ok(hashed.map_err(MismatchError::from).and_then(|verifier| verifier.finish(sha256, size)))
}

/// A file put together from proven blocks: complete, it is the one that its CID names.
pub(crate) struct Walked {
    walk: Walk,
    hasher: Hasher,
    size: u64,
}

impl Walked {
    /// Begins at `root`; the file may have `most` bytes.
    pub(crate) fn new(root: Cid, most: u64) -> Self {
        Self { walk: Walk::new(root, most), hasher: Hasher::default(), size: 0 }
    }

    /// Returns the blocks that are needed, in order.
    pub(crate) fn wants(&self) -> impl Iterator<Item = Cid> + '_ {
        self.walk.wants()
    }

    /// Returns the block to push next; `None` when all are here.
    pub(crate) fn next_cid(&self) -> Option<Cid> {
        self.walk.next_cid()
    }

    /// Returns the bytes of the file below the next block; `None` for the root.
    pub(crate) fn next_size(&self) -> Option<u64> {
        self.walk.next_size()
    }

    /// Returns true when all blocks are here.
    pub(crate) fn is_done(&self) -> bool {
        self.walk.is_done()
    }

    /// Returns the size of the file, once the root is here.
    pub fn size(&self) -> Option<u64> {
        self.walk.size()
    }

    /// Proves the next block and returns the bytes of the file in it, which the caller must write in this order.
    pub(crate) fn push<'b>(&mut self, block: &'b [u8]) -> Result<Cow<'b, [u8]>, DagError> {
        let bytes = self.walk.push(block)?;
        self.hasher.update(&bytes);
        self.size += bytes.len() as u64;
        Ok(bytes)
    }

    /// Returns the proof.
    ///
    /// # Panics
    /// When blocks are still missing.
    pub(crate) fn finish(self) -> Verified {
        assert!(self.is_done(), "a walk is a proof only when it is done");
        Verified { sha256: self.hasher.finish(), size: self.size }
    }
}

/// Checks a file without an expectation by the `shape` that it should have, and accepts it for the reason `why`. One that
/// belongs neither to pacman nor to a repository may have any.
///
/// # Errors
/// [`ShapeError`] when it is plainly something else: a login page, an archive that does not parse, no OpenPGP packet.
pub(crate) fn waive(why: Waiver, shape: FileShape, file: &File) -> Result<Waived, ShapeError> {
    let size = fsx::regular(file)?.st_size.unsigned_abs();
    if size > why.limit() {
        return Err(ShapeError::TooLarge(why.limit()));
    }
    match why {
        Waiver::NoSignature | Waiver::NotPacmans => {}
        // It was checked when it came, and pacman has been using it since.
        Waiver::DatabaseInUse => drop(look::not_a_web_page(file)?),
        _ => shape.look(file, size)?,
    }
    Ok(Waived { why, size })
}

/// Accepts a file that an unprivileged process of ours has checked: root does not parse foreign bytes itself.
///
/// The proof shows that it is the very file that was checked.
pub(crate) fn relay(why: Waiver, proof: Verified) -> Waived {
    Waived { why, size: proof.size }
}

/// Returns the digest of the first `size` bytes of a file.
pub fn digest(file: &File, size: u64) -> io::Result<Sha256> {
    Ok(Verifier::resume(file, size)?.hasher.finish())
}

#[cfg(test)]
mod tests;
