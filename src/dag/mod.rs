//! Files and directories as the blocks that their content ids name: built, read and proven here, without a daemon.
//!
//! A file of at most [`CHUNK`](crate::base::size::CHUNK) bytes is its own block. A longer one is cut into leaves of that
//! size, and nodes of at most [`WIDTH`](crate::base::size::WIDTH) links are put over them, level by level, until one is
//! left: the root. Its CID is the file's.
//! Nothing here reads or writes a file or a socket; callers hand bytes in.
//!
//! | to | use |
//! |---|---|
//! | get the CID (and the blocks) of a file | [`build`] |
//! | prove a file leaf by leaf, in any order, once its root block is known | [`proof`] |
//! | put together a file of any shape, as others published it | [`walk`] |
//! | make a directory, look a name up in one | [`dir`] |
//! | hand blocks to Kubo in one request (`dag/import`) | [`car`] |
//!
//! The shape is the profile `unixfs-v1-2025` (IPIP-499, ratified 2026-03-05); `vectors` holds Kubo's own vectors for
//! it.
//!
//! # Room
//!
//! - In: bytes and blocks of a caller
//! - Out: CIDs, blocks, proofs of leaves; nothing is read or written
//! - May use: base
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! car murmur unixfs
//! build dir proof walk
//! vectors
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

pub mod build;
pub(crate) mod car;
pub mod dir;
mod murmur;
pub mod proof;
pub mod unixfs;
pub mod walk;

#[cfg(test)]
mod vectors;

use crate::base::cid::{Cid, CidError, Codec};
use crate::base::protobuf::ProtobufError;
use crate::base::size::BLOCK_MOST;

/// Most nodes between a root and a leaf, both counted. 174 links of 256 KiB, the narrowest shape in use, hold
/// 40 TiB in 5 levels. Origin: chosen by us.
pub(crate) const MAX_DEPTH: usize = 8;

/// Most links in a node of a file that is read. Kubo makes 174 or 1024; more is a setting there. Origin: chosen by us.
/// Directories are bounded by [`BLOCK_MOST`] alone.
pub const MAX_LINKS: usize = 8192;

/// Most blocks in a file that is read, the same block counted as often as it occurs: 256 GiB in leaves of 256 KiB.
/// Origin: chosen by us, so that a small node linked again and again ends.
pub(crate) const MAX_NODES: u64 = 1 << 20;

/// A block and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The CID, which follows from `bytes` and the codec.
    pub cid: Cid,
    /// The content, at most [`BLOCK_MOST`].
    pub bytes: Vec<u8>,
}

/// The reason why blocks are not the expected file or directory.
///
/// For `NotTheBlock` and `TooLong` the source is at fault: another one may have the right block. All the others
/// are in the content that the CID names, so no source can do better.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DagError {
    /// The bytes are not those that the CID names.
    #[error("the delivered block is not {0}")]
    NotTheBlock(Box<Cid>),
    /// Longer than [`BLOCK_MOST`], so not even hashed.
    #[error("a block of {0} bytes is longer than the allowed 2 MiB")]
    TooLong(usize),
    /// Not protocol buffers.
    #[error("malformed node: {0}")]
    Protobuf(#[from] ProtobufError),
    /// Not a dag-pb node, or not a UnixFS one, for the reason given.
    #[error("malformed node: {0}")]
    Malformed(&'static str),
    /// The parts differ in length from the declaration.
    #[error("a part says it is {declared} bytes long and is {found}")]
    Size {
        /// Length that the parent, or the caller, declares.
        declared: u64,
        /// Length that the block declares or has.
        found: u64,
    },
    /// A directory where a file was wanted. A name in it can be asked for instead.
    #[error("it is a directory, not a file")]
    Directory,
    /// A file where a directory was wanted.
    #[error("it is a file, not a directory")]
    NotADirectory,
    /// The requested content, or a piece of it, has a CID of a kind that is not read here.
    #[error("{0}")]
    Foreign(CidError),
    /// A symbolic link, or the metadata type that no program writes.
    #[error("UnixFS type {0} is neither a file nor a directory")]
    Type(u64),
    /// Sound, but not one root over raw leaves: [`walk::Walk`] reads it.
    #[error("its blocks are nested deeper than one level")]
    NotFlat,
    /// More than the caller or this module allows.
    #[error("it has more than the allowed {limit} {what}")]
    Limit {
        /// The unit: bytes, levels, links or blocks.
        what: &'static str,
        /// The largest number allowed.
        limit: u64,
    },
}

/// Checks that `block` is the one that `cid` names and not too long to be a block.
pub(crate) fn prove(cid: Cid, block: &[u8]) -> Result<(), DagError> {
    if block.len() > BLOCK_MOST {
        return Err(DagError::TooLong(block.len()));
    }
    if cid.proves(block) { Ok(()) } else { Err(DagError::NotTheBlock(Box::new(cid))) }
}

/// Reads the node that `cid` names from its block, which it proves first.
pub(crate) fn open(cid: Cid, block: &[u8]) -> Result<unixfs::DagNode<'_>, DagError> {
    prove(cid, block)?;
    match cid.codec() {
        Codec::Raw => Ok(unixfs::DagNode::leaf(block)),
        Codec::DagPb => unixfs::decode(block),
    }
}
