//! The memory that a peer can take, with connections that have sent everything already.

use super::*;
use futures_util::AsyncReadExt as _;
use std::collections::HashSet;
use tokio::time::Instant;

/// A peer that has sent all this already, and then sends no more; bytes sent to it are discarded.
struct Sends {
    bytes: Vec<u8>,
    at: Arc<std::sync::atomic::AtomicUsize>,
}

impl AsyncRead for Sends {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let at = self.at.load(std::sync::atomic::Ordering::Relaxed);
        let len = buffer.len().min(self.bytes.len() - at);
        if len == 0 {
            return Poll::Pending;
        }
        buffer[..len].copy_from_slice(&self.bytes[at..at + len]);
        self.at.store(at + len, std::sync::atomic::Ordering::Relaxed);
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for Sends {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn frame(kind: u8, flags: u16, stream: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[0, kind][..], &flags.to_be_bytes(), &stream.to_be_bytes(), &len, body].concat()
}

/// Most frames of a stream below: with one byte each, all streams together come to more than may be held.
const FRAMES: usize = 4096;

/// Returns the bytes of each stream below.
fn each(len: usize) -> usize {
    WINDOW.min(FRAMES * len)
}

/// Encodes `streams` streams, each filled with frames of `len` bytes.
fn filled(streams: u32, len: usize) -> Vec<u8> {
    let one = |i: u32| {
        let frames = (0..each(len) / len).flat_map(move |_| frame(DATA, 0, 2 * i + 1, &vec![7; len]));
        frame(1, SYN, 2 * i + 1, &[]).into_iter().chain(frames)
    };
    (0..streams).flat_map(one).collect()
}

fn muxer(bytes: Vec<u8>) -> (Muxer<Sends>, Arc<std::sync::atomic::AtomicUsize>) {
    let at = Arc::default();
    (Yamux::on(Sends { bytes, at: Arc::clone(&at) }, Mode::Server), at)
}

async fn inbound(muxer: &mut Muxer<Sends>) -> Result<Substream, MuxError> {
    std::future::poll_fn(|cx| Pin::new(&mut *muxer).poll_inbound(cx)).await
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_not_read_from_beyond_what_may_be_held_and_soon_cut_off() {
    for len in [1 << 14, 100, 1] {
        let (mut muxer, at) = muxer(filled(16, len));
        let (mut streams, begun) = (Vec::new(), Instant::now());
        while let Ok(stream) = inbound(&mut muxer).await {
            streams.push(stream);
        }
        assert!(begun.elapsed() >= PATIENCE && begun.elapsed() < PATIENCE * 2, "{:?}", begun.elapsed());
        let taken = at.load(std::sync::atomic::Ordering::Relaxed);
        // Except for the frames that open the streams.
        let cost = taken.saturating_sub(16 * HEADER) / (len + HEADER) * (len + FRAME);
        assert!(cost <= HELD_MOST + len + FRAME, "{taken} bytes in frames of {len} were taken");
    }
}

#[tokio::test(start_paused = true)]
async fn whose_streams_are_read_is_read_from_to_the_end() {
    for len in [1 << 14, 1] {
        let (mut muxer, at) = muxer(filled(16, len));
        let mut readers = tokio::task::JoinSet::new();
        while readers.len() < 16 {
            let mut stream = inbound(&mut muxer).await.unwrap();
            readers.spawn(async move {
                // Slowly, but never pausing for too long.
                for _ in 0..4 {
                    tokio::time::sleep(PATIENCE / 4).await;
                    stream.read_exact(&mut vec![0; each(len) / len * len / 4]).await.unwrap();
                }
                stream
            });
        }
        let on = async { inbound(&mut muxer).await.is_ok() };
        tokio::select! {
            went_on = on => panic!("it ended: {went_on}"),
            read = readers.join_all() => assert_eq!(read.len(), 16),
        }
        assert_eq!(at.load(std::sync::atomic::Ordering::Relaxed), filled(16, len).len());
        assert_eq!(lock(&muxer.held).cost, 0, "all is paid back");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_on_a_stream_that_ends_is_forgotten_and_streams_beyond_the_most_are_reset() {
    let (mut muxer, _) = muxer((0..40).flat_map(|i| frame(DATA, SYN, 2 * i + 1, &[7; 100])).collect());
    let mut streams = Vec::new();
    while streams.len() < INBOUND_MOST {
        streams.push(inbound(&mut muxer).await.unwrap());
    }
    let more = tokio::time::timeout(Duration::from_secs(1), inbound(&mut muxer)).await;
    assert!(more.is_err(), "further streams are reset");
    let ids: HashSet<u32> = streams.iter().map(|it| it.stream.id().val()).collect();
    assert_eq!((ids.len(), lock(&muxer.held).inbound), (INBOUND_MOST, INBOUND_MOST));
    assert_eq!(lock(&muxer.held).cost, INBOUND_MOST * (100 + FRAME));
    drop(streams);
    let held = lock(&muxer.held);
    assert_eq!((held.cost, held.streams.len()), (0, 0));
}
