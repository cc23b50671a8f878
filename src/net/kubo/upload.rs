//! A CAR that is made while it is sent to the daemon, in constant memory.

use std::io;

use futures_util::{Stream, stream};
use reqwest::Body;

use crate::base::cid::Cid;
use crate::dag::car;

/// Pieces of a CAR that wait for the connection.
const WAITING: usize = 4;

/// Streams one CAR with the root `root` and the blocks that `write` passes to its argument, which waits for the
/// connection and adds the frames. `write` runs on a thread that ends with its reader.
///
/// An error of `write` cuts the stream, so that the daemon takes no part for the whole. After `BrokenPipe` from its
/// argument the request has ended.
pub(crate) fn car(
    root: Cid,
    write: impl FnOnce(&mut dyn FnMut(Cid, &[u8]) -> io::Result<()>) -> io::Result<()> + Send + 'static,
) -> Body {
    Body::wrap_stream(pieces(root, write))
}

fn pieces(
    root: Cid,
    write: impl FnOnce(&mut dyn FnMut(Cid, &[u8]) -> io::Result<()>) -> io::Result<()> + Send + 'static,
) -> impl Stream<Item = io::Result<Vec<u8>>> {
    let (send, receive) = tokio::sync::mpsc::channel::<io::Result<Vec<u8>>>(WAITING);
    std::thread::spawn(move || {
        let put = |bytes: Vec<u8>| send.blocking_send(Ok(bytes)).map_err(|_| io::ErrorKind::BrokenPipe.into());
        let mut block = |cid: Cid, bytes: &[u8]| put([&car::frame(cid, bytes.len())[..], bytes].concat());
        if let Err(e) = put(car::header(root)).and_then(|()| write(&mut block)) {
            let _the_reader_has_gone = send.blocking_send(Err(e));
        }
    });
    stream::unfold(receive, |mut receive| async move { receive.recv().await.map(|piece| (piece, receive)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Sha256;
    use futures_util::TryStreamExt as _;

    #[tokio::test]
    async fn a_car_comes_whole_or_is_cut() {
        let blocks = [&b"one"[..], b"two"].map(|bytes| (Cid::raw(Sha256::of(bytes)), bytes));
        let root = blocks[1].0;
        let mut whole = car::header(root);
        blocks.iter().for_each(|(cid, bytes)| whole.extend([&car::frame(*cid, bytes.len())[..], bytes].concat()));
        let sent = pieces(root, move |put| blocks.iter().try_for_each(|(cid, bytes)| put(*cid, bytes)));
        assert_eq!(sent.try_concat().await.unwrap(), whole);
        let cut = pieces(root, move |put| put(root, blocks[1].1).and_then(|()| Err(io::Error::other("changed"))));
        assert_eq!(cut.try_concat().await.unwrap_err().to_string(), "changed");
    }
}
