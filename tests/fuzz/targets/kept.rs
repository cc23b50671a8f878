//! Files kept between two runs: the sequences seen, pending updates, the shelf of the node. A damaged file is
//! refused or costs its line, sequences never fall, and names that are shown or joined to a path stay plain.
#![no_main]

use pkgswarm::base::size::CHUNK;
use pkgswarm::base::digest::Sha256;
use pkgswarm::index::state::{SeenSequence, SequenceMemory};
use pkgswarm::node::shelf::saved;
use pkgswarm::pacman::prefetch::state::PrefetchState;
use pkgswarm_fuzz::parts;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [key, kept] = parts(data);
    if let Ok(memory) = SequenceMemory::from_bytes(kept) {
        let keys = [String::from_utf8_lossy(key).into_owned()];
        let before = memory.highest(&keys).map_or(0, |seen| seen.sequence);
        let mut after = memory.clone();
        after.note(&keys, &SeenSequence { sequence: 7, manifest: Sha256::of(key), fetched: 1, expires: 2 });
        assert_eq!(after.highest(&keys).map(|seen| seen.sequence), Some(before.max(7)));
        assert_eq!(SequenceMemory::from_bytes(&after.to_bytes()).expect("what we write we read"), after);
    }
    for update in PrefetchState::from_bytes(kept).updates {
        let texts = [&update.repo, &update.name, &update.new, &update.file].into_iter().chain(&update.old);
        for text in texts {
            assert!(!text.contains('/') && !text.chars().any(char::is_control), "{text:?}");
        }
    }
    for line in kept.split(|byte| *byte == b'\n') {
        if let Some(file) = saved::parse(line) {
            assert_eq!(file.leaves.len() as u64, file.key.size.div_ceil(CHUNK as u64).max(1));
        }
    }
});
