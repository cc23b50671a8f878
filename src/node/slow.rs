//! A peer on a slow line, on the runtime's paused clock: what it says comes from the tests, not from a network.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::node::Node;
use crate::node::bitswap::{Bitswap, BlockAnswer, PROTOCOL, UploadLimits};
use crate::node::blocks::{BlockFetch, BlockMiss, SearchPatience};
use crate::node::fetch::{Arriving, FetchError, TransferProgress, fetch};
use crate::node::shelf::Shelf;
use crate::node::streams::Streams;

/// Peers that are connected; nothing is ever sent to them.
pub(crate) struct SlowPath {
    bitswap: Bitswap,
    _streams: Streams,
}

impl SlowPath {
    pub(crate) fn new() -> Self {
        let (streams, opener) = Streams::new(PROTOCOL, Arc::new(|_, _, _| ()));
        let (cut, _) = mpsc::unbounded_channel();
        let bitswap = Bitswap::new(Arc::new(Shelf::default()), opener, UploadLimits::default(), cut);
        Self { bitswap, _streams: streams }
    }

    /// Returns this node with these peers in place of its own.
    pub(crate) fn under(&self, node: &Node) -> Node {
        Node { bitswap: self.bitswap.clone(), ..node.clone() }
    }

    pub(crate) fn peer(&self) -> PeerId {
        let id = PeerId::random();
        self.bitswap.connected(id);
        id
    }

    /// Notes that bytes of something come from a peer for so long.
    pub(crate) async fn sends(&self, id: PeerId, long: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < long {
            self.bitswap.peer(id).hear();
            sleep(Duration::from_millis(500)).await;
        }
    }

    pub(crate) fn says(&self, id: PeerId, digest: Sha256, answer: &BlockAnswer) -> bool {
        self.bitswap.peer(id).state().answer(id, digest, answer)
    }
}

fn block() -> (Cid, Bytes) {
    let block = Bytes::from(vec![7; 100_000]);
    (Cid::raw(Sha256::of(&block)), block)
}

const LONG: Duration = Duration::from_secs(40);

#[tokio::test(start_paused = true)]
async fn a_block_that_takes_long_is_waited_for_as_long_as_its_peer_sends() {
    let (line, (cid, block)) = (SlowPath::new(), block());
    let (peer, mut blocks, mut told) = (line.peer(), BlockFetch::new(line.bitswap.clone()), 0);
    let script = async {
        sleep(Duration::from_millis(20)).await;
        line.says(peer, cid.digest(), &BlockAnswer::Have);
        line.sends(peer, LONG).await;
        line.says(peer, cid.digest(), &BlockAnswer::Block(block.clone()))
    };
    let (got, was_wanted) = tokio::join!(blocks.get(cid, SearchPatience::Brief, || told += 1), script);
    assert!(was_wanted && got == Ok(block.clone()));
    assert!(told > 100, "the asker hears of it: {told}");
    assert_eq!(line.bitswap.worth_asking(), [peer]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_waits_behind_other_blocks_is_waited_for() {
    let (line, (cid, block)) = (SlowPath::new(), block());
    let (peer, mut blocks) = (line.peer(), BlockFetch::new(line.bitswap.clone()));
    line.bitswap.peer(peer).hear();
    let script = async {
        line.sends(peer, Duration::from_secs(5)).await;
        line.says(peer, cid.digest(), &BlockAnswer::Have);
        line.sends(peer, Duration::from_secs(5)).await;
        line.says(peer, cid.digest(), &BlockAnswer::Block(block.clone()))
    };
    let (got, was_wanted) = tokio::join!(blocks.get(cid, SearchPatience::Brief, || ()), script);
    assert!(was_wanted && got == Ok(block.clone()), "it was given up");
    assert_eq!(line.bitswap.worth_asking(), [peer], "it is not shunned");
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_behind_a_block_that_another_caller_asked_of_the_same_peer() {
    let (line, (large, block), small) = (SlowPath::new(), block(), Cid::raw(Sha256::of(b"small")));
    let peer = line.peer();
    let (mut one, mut two) = (BlockFetch::new(line.bitswap.clone()), BlockFetch::new(line.bitswap.clone()));
    let script = async {
        sleep(Duration::from_millis(1)).await;
        line.says(peer, large.digest(), &BlockAnswer::Have);
        // Nothing of the large block shows for a second, then it comes for five.
        sleep(Duration::from_secs(1)).await;
        line.sends(peer, Duration::from_secs(5)).await;
        line.says(peer, large.digest(), &BlockAnswer::Block(block.clone()));
        line.says(peer, small.digest(), &BlockAnswer::Have);
        sleep(Duration::from_millis(1)).await;
        line.says(peer, small.digest(), &BlockAnswer::Block(Bytes::from_static(b"small")))
    };
    let later = async {
        sleep(Duration::from_millis(5)).await;
        two.get(small, SearchPatience::Brief, || ()).await
    };
    let (first, second, was_wanted) = tokio::join!(one.get(large, SearchPatience::Brief, || ()), later, script);
    assert!(first == Ok(block.clone()) && second == Ok(Bytes::from_static(b"small")) && was_wanted, "{second:?}");
    assert_eq!(line.bitswap.worth_asking(), [peer], "it is not shunned");
}

#[tokio::test(start_paused = true)]
async fn where_no_other_source_is_left_a_late_answer_is_waited_for() {
    let (line, (cid, block)) = (SlowPath::new(), block());
    let peer = line.peer();
    // It was late a moment ago.
    line.bitswap.shun(peer);
    let mut blocks = BlockFetch::new(line.bitswap.clone());
    assert_eq!(blocks.get(cid, SearchPatience::Brief, || ()).await, Err(BlockMiss::Late), "it did not say no");
    let script = async {
        sleep(Duration::from_secs(3)).await;
        line.says(peer, cid.digest(), &BlockAnswer::Have);
        sleep(Duration::from_millis(500)).await;
        line.says(peer, cid.digest(), &BlockAnswer::Block(block.clone()))
    };
    let (got, was_wanted) = tokio::join!(blocks.get(cid, SearchPatience::Patient, || ()), script);
    assert!(was_wanted && got == Ok(block.clone()), "{got:?}");
    // One that never answers is given up.
    let begun = Instant::now();
    let silent = Cid::raw(Sha256::of(b"silent"));
    assert_eq!(blocks.get(silent, SearchPatience::Patient, || ()).await, Err(BlockMiss::Late));
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_not_waited_for() {
    let (line, (cid, _)) = (SlowPath::new(), block());
    let (_peer, mut blocks, begun) = (line.peer(), BlockFetch::new(line.bitswap.clone()), Instant::now());
    assert_eq!(blocks.get(cid, SearchPatience::Brief, || ()).await, Err(BlockMiss::Late));
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    assert_eq!(line.bitswap.worth_asking(), []);
}

#[tokio::test(start_paused = true)]
async fn once_every_peer_has_said_no_nothing_is_waited_for() {
    let (line, (cid, _)) = (SlowPath::new(), block());
    let (among, begun) = ([line.peer(), line.peer()], Instant::now());
    let say_no = async || {
        sleep(Duration::from_millis(1)).await;
        assert!(among.iter().all(|peer| line.says(*peer, cid.digest(), &BlockAnswer::Absent)), "they were asked");
    };
    let mut blocks = BlockFetch::new(line.bitswap.clone());
    let (block, ()) = tokio::join!(blocks.get(cid, SearchPatience::Brief, || ()), say_no());
    let (file, ()) = tokio::join!(fetched(&line, cid, &among), say_no());
    assert!(block == Err(BlockMiss::Absent) && matches!(file, Err(FetchError::Absent)));
    assert!(begun.elapsed() < Duration::from_millis(20), "{:?}", begun.elapsed());
    assert_eq!(line.bitswap.worth_asking().len(), 2, "they answered, and are not shunned");
}

async fn fetched(line: &SlowPath, cid: Cid, among: &[PeerId]) -> Result<u64, FetchError> {
    let (tell, _told) = watch::channel(TransferProgress::default());
    let arriving = Arriving::new(cid, 1 << 20, tempfile::tempfile().unwrap());
    Ok(fetch(&line.bitswap, arriving, among, &tell).await?.into_verifier().size())
}

#[tokio::test(start_paused = true)]
async fn a_file_that_takes_long_is_waited_for_as_long_as_a_peer_sends_and_asked_of_one_alone() {
    let (line, (cid, block)) = (SlowPath::new(), block());
    let among = [line.peer(), line.peer()];
    let [peer, other] = among;
    let script = async {
        // The peer that says first that it has the file is asked for it.
        line.sends(peer, Duration::from_secs(1)).await;
        line.says(peer, cid.digest(), &BlockAnswer::Have);
        line.says(other, cid.digest(), &BlockAnswer::Absent);
        line.sends(peer, LONG).await;
        line.says(peer, cid.digest(), &BlockAnswer::Block(block.clone()))
    };
    let (got, was_wanted) = tokio::join!(fetched(&line, cid, &among), script);
    assert!(was_wanted && matches!(got, Ok(100_000)), "{:?}", got.err());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_for_ever_and_never_what_is_wanted_is_left() {
    let (line, (cid, _)) = (SlowPath::new(), block());
    let among = [line.peer()];
    let [peer] = among;
    let begun = Instant::now();
    let script = async {
        line.says(peer, cid.digest(), &BlockAnswer::Have);
        line.sends(peer, Duration::from_secs(3600)).await;
    };
    tokio::select! {
        biased;
        got = fetched(&line, cid, &among) => assert!(matches!(got, Err(FetchError::Stalled(0))), "{:?}", got.err()),
        () = script => panic!("it was waited for without end"),
    }
    assert!(begun.elapsed() < Duration::from_secs(125), "{:?}", begun.elapsed());
    assert_eq!(line.bitswap.worth_asking(), []);
}
