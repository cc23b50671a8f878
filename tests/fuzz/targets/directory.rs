//! Directories: two ways of look-up agree on any block, and every added name is found.
#![no_main]

use std::collections::{BTreeMap, HashMap};

use pkgswarm::base::cid::Cid;
use pkgswarm::dag::DagError;
use pkgswarm::dag::dir::{DirectoryEntry, DirectoryError, DirectorySearch, SearchState, build, entry};
use pkgswarm::base::digest::Sha256;
use pkgswarm_fuzz::{cid_of, parts};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [name, names, block] = parts(data);
    let name = String::from_utf8_lossy(name);
    foreign(block, &name);
    ours(&String::from_utf8_lossy(names), &name);
});

fn foreign(block: &[u8], name: &str) {
    let root = cid_of(block);
    let found = entry(root, block, name);
    let mut search = DirectorySearch::new(root, name);
    match (found, search.push(block)) {
        (Ok(Some((cid, size))), Ok(other)) => assert_eq!(other, SearchState::Entry(cid, size)),
        (Ok(None), Ok(other)) => assert_eq!(other, SearchState::Nothing),
        (Err(DagError::NotFlat), Ok(other)) => {
            let next = if let SearchState::Below(cid) = other { cid } else { root };
            assert_eq!(search.wanted(), next);
        }
        (Err(DagError::NotFlat), Err(DagError::Foreign(_))) => {}
        (Err(one), Err(other)) => assert_eq!(one, other),
        (one, other) => panic!("one block, two answers: {one:?} {other:?}"),
    }
}

fn ours(names: &str, name: &str) {
    let there: BTreeMap<&str, Cid> =
        names.split('\n').map(|name| (name, Cid::raw(Sha256::of(name.as_bytes())))).collect();
    let entries: Vec<DirectoryEntry> =
        there.iter().map(|(name, cid)| DirectoryEntry { name: (*name).to_owned(), cid: *cid, dag_size: 1 }).collect();
    let mut blocks = HashMap::new();
    let root = match build(&entries, |block| drop(blocks.insert(block.cid, block.bytes))) {
        Ok(built) => built.root,
        Err(DirectoryError::Name(bad)) => {
            return assert!(matches!(&*bad, "" | "." | "..") || bad.contains(['/', '\0']));
        }
        Err(other) => panic!("sorted and unique, and yet: {other}"),
    };
    // A few of many names: each is looked up from the root down.
    for wanted in there.keys().copied().step_by(there.len().div_ceil(6)).chain([name]) {
        let mut search = DirectorySearch::new(root, wanted);
        let found = loop {
            match search.push(&blocks[&search.wanted()]).expect("our own directories are sound") {
                SearchState::Below(_) => {}
                found => break found,
            }
        };
        assert_eq!(
            found,
            there.get(wanted).map_or(SearchState::Nothing, |cid| SearchState::Entry(*cid, 1)),
            "{wanted:?}"
        );
    }
}
