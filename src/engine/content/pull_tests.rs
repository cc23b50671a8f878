use std::rc::Rc;

use super::*;
use crate::base::digest::Sha256;
use crate::base::size::CHUNK;
use crate::dag::unixfs::{self, Piece};
use crate::engine::content::block_sources::tests::{CLOCKS, Does, Fake, Line, file};
use crate::engine::source::Miss;
use crate::store::Store;

const SPAN: Duration = Duration::from_millis(3750);

/// A store of its own.
fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), rustix::process::getuid().as_raw(), 1 << 30).unwrap();
    (dir, store)
}

async fn pulled(sources: &BlockSources<Fake>, root: Cid, store: &Store) -> Result<Pulled, String> {
    let partial = PartialFile::of(store, root).unwrap();
    match pull(sources, root, &partial, SPAN, |_, _| ()).await {
        Ok(pulled) => {
            partial.finish(pulled.proof.size()).unwrap();
            Ok(pulled)
        }
        Err(PullError::Nowhere(misses)) => Err(format!("{misses:?}")),
        Err(PullError::Content(e)) => Err(e.to_string()),
        Err(PullError::Local(e)) => Err(e.to_string()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_comes_whole_over_every_line_and_takes_no_longer_than_the_line() {
    let (root, blocks) = file(12);
    for (megabits, comes_whole) in [50.0, 16.0, 4.0, 1.6].into_iter().flat_map(|rate| [(rate, false), (rate, true)]) {
        let (_dir, store) = store();
        let rate = megabits * 125_000.0;
        let source = Fake::new("place", &blocks, &Line::of(rate));
        let sources = BlockSources::new(vec![if comes_whole { source.at_a_time() } else { source }], CLOCKS);
        let begun = Instant::now();
        let pulled = pulled(&sources, root, &store).await.unwrap_or_else(|why| panic!("{megabits} Mbit/s: {why}"));
        assert_eq!((pulled.proof.size(), pulled.fetched), (12 << 20, 12 << 20));
        let (took, least) = (begun.elapsed().as_secs_f64(), (12 << 20) as f64 / rate);
        assert!(took < least * 1.05, "{megabits} Mbit/s: {took} s of {least}");
        assert_eq!(sources.list[0].asked.borrow().len(), 13, "{megabits} Mbit/s: nothing is asked for twice");
    }
}

#[tokio::test(start_paused = true)]
async fn few_blocks_are_under_way_on_a_slow_line_and_several_on_a_fast_one() {
    let (root, blocks) = file(20);
    for (rate, least, most) in [(200_000.0, 1, 2), (1e9, 6, 8)] {
        let (_dir, store) = store();
        let sources = BlockSources::new(vec![Fake::new("place", &blocks, &Line::of(rate))], CLOCKS);
        pulled(&sources, root, &store).await.unwrap();
        let open = sources.list[0].open_most.get();
        assert!((least..=most).contains(&open), "{rate} B/s: {open} at once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kubo_that_lacks_the_file_is_waited_for_once() {
    let (root, blocks) = file(9);
    let (_dir, store) = store();
    let line = Line::of(10e6);
    let kubo = Fake::new("kubo", &blocks, &line).at_a_time().doing(|_, _| Does::Hangs);
    let sources = BlockSources::new(vec![kubo, Fake::new("gateway", &blocks, &line)], CLOCKS);
    let begun = Instant::now();
    pulled(&sources, root, &store).await.unwrap();
    assert_eq!(sources.list[0].asked.borrow().len(), 1, "it was asked for the root, and then last");
    assert!(begun.elapsed() < CLOCKS.stall * 2, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_kubo_that_has_but_the_root_is_asked_last_after_two_blocks() {
    let (root, blocks) = file(12);
    for says_so in [true, false] {
        let (_dir, store) = store();
        let line = Line::of(10e6);
        let kubo = Fake::new("kubo", &blocks, &line).at_a_time().doing(move |cid, _| match (cid == root, says_so) {
            (true, _) => Does::Delivers,
            (false, true) => Does::Says(Miss::Absent("HTTP 504".to_owned())),
            (false, false) => Does::Hangs,
        });
        let sources = BlockSources::new(vec![kubo, Fake::new("gateway", &blocks, &line)], CLOCKS);
        let begun = Instant::now();
        pulled(&sources, root, &store).await.unwrap();
        // Those that are under way at the time are asked of it as well.
        let asked = sources.list[0].asked.borrow().len();
        assert!(asked <= 4, "asked {asked} times");
        assert!(begun.elapsed() < CLOCKS.stall * 2, "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_many_blocks_that_is_refused_or_cut_does_not_end_the_file() {
    let (root, blocks) = file(12);
    let leaf = blocks.keys().copied().find(|cid| *cid != root).unwrap();
    for does in [
        Does::Says(Miss::Busy("HTTP 429".to_owned(), Duration::from_secs(2))),
        Does::Says(Miss::Busy("HTTP 503".to_owned(), Duration::ZERO)),
        Does::Breaks(Miss::Broken("connection reset".to_owned())),
        Does::Says(Miss::Unreachable("connection reset".to_owned())),
        Does::Hangs,
    ] {
        let (_dir, store) = store();
        let first = does.clone();
        let gateway = Fake::new("gateway", &blocks, &Line::of(10e6))
            .doing(move |cid, before| if cid == leaf && before < 2 { first.clone() } else { Does::Delivers });
        let sources = BlockSources::new(vec![gateway], CLOCKS);
        let ended = pulled(&sources, root, &store).await;
        // Who never answers is not asked a second time; what has come by then is kept.
        assert_eq!(ended.is_ok(), !matches!(does, Does::Hangs), "{:?}", ended.err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_takes_one_question_at_a_time_is_asked_less() {
    let (root, blocks) = file(12);
    let (_dir, store) = store();
    let open = Rc::new(std::cell::Cell::new(0));
    let busy = Rc::clone(&open);
    // Every third question is refused.
    let gateway = Fake::new("gateway", &blocks, &Line::of(10e6)).doing(move |_, _| {
        busy.set(busy.get() + 1);
        match busy.get() % 3 {
            0 => Does::Says(Miss::Busy("HTTP 429".to_owned(), Duration::from_secs(1))),
            _ => Does::Delivers,
        }
    });
    let sources = BlockSources::new(vec![gateway], CLOCKS);
    pulled(&sources, root, &store).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_has_come_before_an_interrupt_does_not_come_again() {
    let (root, blocks) = file(12);
    let (_dir, store) = store();
    let sources = BlockSources::new(vec![Fake::new("place", &blocks, &Line::of(200_000.0))], CLOCKS);
    let partial = PartialFile::of(&store, root).unwrap();
    // The user interrupts it half-way.
    let half = tokio::time::timeout(Duration::from_secs(32), pull(&sources, root, &partial, SPAN, |_, _| ())).await;
    assert!(half.is_err() && partial.is_kept(&store));
    partial.leave();
    drop(sources);
    let sources = BlockSources::new(vec![Fake::new("place", &blocks, &Line::of(200_000.0))], CLOCKS);
    let pulled = pulled(&sources, root, &store).await.unwrap();
    assert_eq!(pulled.proof.size(), 12 << 20);
    assert!(pulled.fetched <= 8 << 20, "{} bytes came again", pulled.fetched);
    assert_eq!(
        sources.list[0].asked.borrow().len() as u64,
        1 + pulled.fetched / CHUNK as u64,
        "the root, and the rest"
    );
}

#[tokio::test(start_paused = true)]
async fn what_lies_in_the_store_is_not_believed() {
    let (root, blocks) = file(4);
    let (_dir, store) = store();
    let sources = || BlockSources::new(vec![Fake::new("place", &blocks, &Line::of(10e6))], CLOCKS);
    let partial = PartialFile::of(&store, root).unwrap();
    assert!(pull(&sources(), root, &partial, SPAN, |_, _| ()).await.is_ok());
    partial.write(b"damaged", 2 * CHUNK as u64 + 5).unwrap();
    partial.write(b"more than the file has", 4 * CHUNK as u64).unwrap();
    partial.leave();
    let sources = sources();
    let pulled = pulled(&sources, root, &store).await.unwrap();
    // The next one is asked for together with it.
    assert_eq!(pulled.proof.size(), 4 << 20);
    assert!((1..=2).contains(&(pulled.fetched / CHUNK as u64)), "{}", pulled.fetched);
}

#[tokio::test(start_paused = true)]
async fn no_block_of_a_file_of_many_levels_comes_twice() {
    let mut blocks = std::collections::HashMap::new();
    let mut put = |block: Vec<u8>, size: u64| {
        let (cid, tsize) = (Cid::dag_pb(Sha256::of(&block)), block.len() as u64);
        blocks.insert(cid, block);
        Piece { cid, size, tsize }
    };
    let leaf = |i: u32| unixfs::leaves(&vec![i as u8; 100_000 + i as usize])[0].clone();
    let mut level: Vec<Piece> = (0..50).map(|i| put(leaf(i), 100_000 + u64::from(i))).collect();
    while level.len() > 1 {
        let node = |pieces: &[Piece]| (unixfs::file(pieces), pieces.iter().map(|piece| piece.size).sum());
        level = level.chunks(3).map(node).map(|(block, size)| put(block, size)).collect();
    }
    let (_dir, store) = store();
    let sources = BlockSources::new(vec![Fake::new("place", &blocks, &Line::of(1e9))], CLOCKS);
    pulled(&sources, level[0].cid, &store).await.unwrap();
    assert_eq!(sources.list[0].asked.borrow().len(), blocks.len());
}

#[tokio::test(start_paused = true)]
async fn a_block_that_occurs_again_and_again_comes_once() {
    let leaf = vec![0; CHUNK];
    let piece = Piece { cid: Cid::raw(Sha256::of(&leaf)), size: CHUNK as u64, tsize: CHUNK as u64 };
    let root = unixfs::file(&[piece; 30]);
    let cid = Cid::dag_pb(Sha256::of(&root));
    let blocks = std::collections::HashMap::from([(piece.cid, leaf), (cid, root)]);
    let (_dir, store) = store();
    let sources = BlockSources::new(vec![Fake::new("place", &blocks, &Line::of(1e9))], CLOCKS);
    assert_eq!(pulled(&sources, cid, &store).await.unwrap().proof.size(), 30 << 20);
    assert_eq!(sources.list[0].asked.borrow().len(), 2);
}
