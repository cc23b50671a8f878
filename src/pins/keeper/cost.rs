//! The room that a file takes on a disk.

use crate::base::size::{CHUNK, WIDTH};

/// The unit in which file systems give room.
const PAGE: u64 = 4096;
/// Bytes of a link in a node, rounded up.
const LINK: u64 = 64;
/// Bytes of a file's entries in the old and the new root together, rounded up as they are on a disk.
const ENTRY: u64 = 512;

/// Returns the bytes that a file of `size` bytes takes on Kubo's disk at most: its blocks, each in a file of its own, and
/// its places in the keeper's roots.
pub(super) fn cost(size: u64) -> u64 {
    let pages = |bytes: u64| bytes.div_ceil(PAGE).max(1).saturating_mul(PAGE);
    let leaves = size.div_ceil(CHUNK as u64);
    let nodes = if leaves > 1 { pages(leaves * LINK).saturating_add(PAGE * (leaves / WIDTH as u64 + 1)) } else { 0 };
    pages(size).saturating_add(nodes).saturating_add(ENTRY)
}

/// Returns the bytes that a file of `size` bytes takes in a store at most, with the note beside it.
pub(super) fn cost_in_store(size: u64) -> u64 {
    cost(size).saturating_add(PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_costs_what_its_blocks_take_on_a_disk() {
        assert_eq!(cost(0), PAGE + ENTRY);
        assert_eq!(cost(PAGE), PAGE + ENTRY);
        assert_eq!(cost(1 << 20), (1 << 20) + ENTRY);
        // Two leaves, the second of one page, and the node over them.
        assert_eq!(cost((1 << 20) + 1), (1 << 20) + PAGE + 2 * PAGE + ENTRY);
        assert!(cost(u64::MAX >> 24) > u64::MAX >> 24);
    }
}
