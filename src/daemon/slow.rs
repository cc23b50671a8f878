//! A neighbour on a slow line, as a user of the daemon hears of it; on the runtime's paused clock.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::base::cid::Cid;
use crate::base::size::CHUNK;
use crate::daemon::server::Server;
use crate::daemon::transfers::Transfers;
use crate::net::socket::{Connection, SocketListener};
use crate::node::bitswap::BlockAnswer;
use crate::node::shelf::{Shelf, Shelved};
use crate::node::slow::SlowPath;
use crate::node::tests::Started;
use crate::store::Store;

/// Longer than any client waits for a sign of life, and shorter than the daemon waits for a block.
const LONG: Duration = Duration::from_secs(40);

#[tokio::test(start_paused = true)]
async fn a_block_that_takes_long_is_life_for_the_caller() {
    let dir = tempfile::tempdir().unwrap();
    let (started, line) = (Started::new(&[]).await, SlowPath::new());
    let node = line.under(&started.node);
    let uid = rustix::process::getuid().as_raw();
    let store: &'static Store = Box::leak(Box::new(Store::open(&dir.path().join("store"), uid, 1 << 30).unwrap()));
    let socket = dir.path().join("socket");
    let listener = SocketListener::at(&socket).unwrap();
    let (server, _) = Server::new(node.clone(), Transfers::new(node, store), Vec::new());
    tokio::spawn(async move { server.run(&listener).await });

    let path = dir.path().join("file");
    std::fs::write(&path, [vec![5; CHUNK], vec![6; CHUNK]].concat()).unwrap();
    let (file, shelf) = (Shelved::read(&path, "core").unwrap(), Shelf::default());
    shelf.add(file.clone());
    let peer = line.peer();
    let sends = async |cid: Cid| {
        let block = shelf.block(cid.digest()).unwrap();
        while !line.says(peer, cid.digest(), &BlockAnswer::Block(block.clone())) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let script = async {
        while !line.says(peer, file.root().digest(), &BlockAnswer::Have) {
            sleep(Duration::from_millis(10)).await;
        }
        sends(file.root()).await;
        sends(Cid::raw(file.leaves[0])).await;
        line.sends(peer, LONG).await;
        sends(Cid::raw(file.leaves[1])).await;
    };
    let listens = async {
        let connection = Connection::to(&socket).unwrap();
        let request = format!("get {} {} {} a-1-1-any.pkg.tar.zst", file.sha256, file.key.size, file.root());
        connection.send(&request, None).await.unwrap();
        let (mut heard, mut silence, mut last) = (Vec::new(), Duration::ZERO, Instant::now());
        while heard.last().is_none_or(|text| text != "done") {
            heard.push(connection.receive().await.unwrap().unwrap().0);
            silence = silence.max(last.elapsed());
            last = Instant::now();
        }
        (heard, silence)
    };
    let ((heard, silence), ()) = tokio::join!(listens, script);
    let half = format!("have {CHUNK}");
    assert_eq!(heard[..3], ["looking", "coming", &*half], "{heard:?}");
    assert_eq!(heard[heard.len() - 2..], [format!("have {}", 2 * CHUNK), "done".to_owned()], "{heard:?}");
    let repeated = heard.iter().filter(|text| **text == half).count();
    assert!(repeated > 30 && silence < Duration::from_secs(2), "{repeated} times in {LONG:?}, {silence:?} without");
}
