//! A transfer that is dropped amid a write.

use super::*;
use crate::node::tests::Started;

#[test]
fn a_write_that_outlives_its_transfer_leaves_nothing_in_the_file() {
    // One thread for blocking work, so that the write waits until the transfer is gone.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    runtime.unwrap().block_on(async {
        let peer = Started::new(&[]).await;
        let (file, block) = (tempfile::tempfile().unwrap(), Bytes::from_static(b"block"));
        let digest = Sha256::of(&block);
        let mut transfer = BlockTransfer {
            bitswap: &peer.node.bitswap,
            root: Cid::raw(digest),
            arriving: Some(Arriving::new(Cid::raw(digest), 5, file.try_clone().unwrap())),
            tell: mpsc::unbounded_channel().0,
            providers: HashMap::new(),
            silent: HashSet::new(),
            blocks: Ordered { ready: [(digest, block)].into(), ..Ordered::default() },
            senders: HashSet::new(),
            dropped: Arc::default(),
        };
        peer.node.bitswap.transfer_begins();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || wait.recv().is_ok());
        let progress = watch::channel(TransferProgress::default()).0;
        {
            let writing = transfer.put_together(&progress);
            tokio::pin!(writing);
            assert!(futures_util::poll!(writing.as_mut()).is_pending());
        }
        drop(transfer);
        file.set_len(0).unwrap();
        drop(go);
        busy.await.unwrap();
        // The write comes before this.
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
    });
}
