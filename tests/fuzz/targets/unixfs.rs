//! dag-pb nodes: sizes add up, and a node that is read is written to a block that is read as the same node.
#![no_main]

use pkgswarm::dag::MAX_LINKS;
use pkgswarm::dag::unixfs::{self, DagNode};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    match unixfs::decode(data) {
        Ok(DagNode::File { inline, pieces, size }) => {
            assert!(pieces.len() <= MAX_LINKS);
            let below: u64 = pieces.iter().map(|piece| piece.size).sum();
            assert_eq!(inline.len() as u64 + below, size);
            let again = unixfs::file(&pieces);
            assert_eq!(unixfs::decode(&again), Ok(DagNode::File { inline: b"", pieces, size: below }));
        }
        Ok(DagNode::Directory(links)) => {
            let again = unixfs::directory(links.iter().copied());
            assert_eq!(unixfs::decode(&again), Ok(DagNode::Directory(links.clone())));
            let empty = unixfs::directory([]).len();
            assert_eq!(again.len(), empty + links.iter().map(unixfs::link_len).sum::<usize>());
        }
        Ok(DagNode::Shard { links, fan_out }) => {
            let again = unixfs::shard(links.iter().copied(), fan_out, &[1; 32]);
            assert_eq!(unixfs::decode(&again), Ok(DagNode::Shard { links, fan_out }));
        }
        Err(_) => {}
    }
    if let Ok(DagNode::Directory(links) | DagNode::Shard { links, .. }) = unixfs::decode(data) {
        assert_eq!(unixfs::hashes(data).map(|hashes| hashes.len()), Ok(links.len()));
    }
});
