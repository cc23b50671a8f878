//! The limits that several modules share, in bytes, and the rule that a file of one chunk is its own block.
//!
//! Each number is a fact of a specification or of another program, so it stands once: in the modules that read from
//! others and in those that write for them it must be the same.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use crate::base::cid::Cid;
use crate::base::digest::Sha256;

/// The profile that CIDs are made by, as the index names it (IPIP-499).
pub(crate) const PROFILE: &str = "unixfs-v1-2025";

/// Bytes of file content in a leaf: 1 MiB (IPIP-499). The last leaf of a file may be shorter.
pub const CHUNK: usize = 1 << 20;

/// Largest file that is one raw block: one chunk.
pub const OWN_BLOCK_MOST: u64 = CHUNK as u64;

/// Most links in a node of a file (IPIP-499).
pub(crate) const WIDTH: usize = 1024;

/// Longest block that is read: 2 MiB (`specs:src/bitswap-protocol.md`; Kubo 0.40 and later take no longer one).
pub const BLOCK_MOST: usize = 2 << 20;

/// Longest IPNS record: 10 KiB (`specs:src/ipns/ipns-record.md`, "Record Size Limit").
pub const RECORD_MOST: usize = 10 << 10;

/// Longest detached signature of a file: 16 KiB, as pacman's own downloader and `repo-add` have it (pacman 7.1,
/// be_sync.c:213).
pub(crate) const SIGNATURE_MOST: usize = 16 << 10;

/// Returns true for a file that is its own block: its CID follows from its sha256, and is left out where both are
/// written.
pub(crate) fn is_own_block(size: u64) -> bool {
    size <= OWN_BLOCK_MOST
}

/// Returns the CID of a file of `size` bytes that is its own block; `None` for a longer one, whose CID is that of
/// its root and does not follow from its sha256.
pub(crate) fn own_block(size: u64, sha256: Sha256) -> Option<Cid> {
    is_own_block(size).then(|| Cid::raw(sha256))
}
