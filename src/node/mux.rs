//! Streams over one connection: Yamux as Kubo uses it, by the `yamux` crate, with a bound on the memory that a
//! peer can take on this machine.
//!
//! A peer may send 256 KiB on each stream before any of it is read, and a window grows with the round trip that
//! the peer itself measures: up to 1 GiB a connection with libp2p's own upgrade, which has no setting for it. So
//! here the windows grow within narrow limits, streams are few, and all unread bytes of a connection are counted,
//! with the overhead of keeping them: beyond [`HELD_MOST`], the connection is not read from. A peer for which that
//! lasts longer than [`PATIENCE`] is cut off. (`tests/real_node/floods.rs`)

use std::collections::{HashMap, VecDeque};
use std::io;
use std::iter;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_util::future::{self, Ready};
use futures_util::io::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use tokio::time::Sleep;
use yamux::{Connection, ConnectionError, Mode};

/// Bytes on a stream before its reader allows more (`hashicorp/yamux:spec.md`, "Flow Control"); no frame is
/// longer.
pub(super) const WINDOW: usize = yamux::DEFAULT_CREDIT as usize;

/// Most streams of one connection, both sides together. With more the connection ends, as Yamux has no way to refuse one.
const STREAMS_MOST: usize = 48;

/// Most streams that the peer may have open; further ones are reset. Kubo has about 12. Origin: chosen by us.
pub(super) const INBOUND_MOST: usize = 32;

/// Growth of all windows of a connection together: one stream can fill 1 Gbit/s over 10 ms. Origin: chosen by us.
pub(super) const GROWTH: usize = 1 << 20;

/// Bytes held for one connection before it is not read from: with 64 connections, a quarter of the unit's
/// `MemoryMax`.
pub(super) const HELD_MOST: usize = 2 << 20;

/// Overhead of keeping a frame, in bytes.
pub(super) const FRAME: usize = 96;

/// Longest time that a connection may wait until some of its bytes are read.
const PATIENCE: Duration = Duration::from_secs(2);

/// Length of a frame's header, and its contents (`hashicorp/yamux:spec.md`, "Framing").
const HEADER: usize = 12;
const DATA: u8 = 0;
const SYN: u16 = 1;

/// The upgrade of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Yamux;

impl Yamux {
    fn on<C: AsyncRead + AsyncWrite + Unpin>(io: C, mode: Mode) -> Muxer<C> {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(STREAMS_MOST);
        config.set_max_connection_receive_window(Some(STREAMS_MOST * WINDOW + GROWTH));
        let held = Arc::new(Mutex::new(Held::default()));
        let io = Counted { io, held: Arc::clone(&held), header: [0; HEADER], got: 0, body: 0, full: None };
        Muxer { connection: Connection::new(io, config, mode), held, inbound: VecDeque::new(), waker: None }
    }
}

impl UpgradeInfo for Yamux {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> InboundConnectionUpgrade<C> for Yamux {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_inbound(self, io: C, _: Self::Info) -> Self::Future {
        future::ready(Ok(Self::on(io, Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<C> for Yamux {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_outbound(self, io: C, _: Self::Info) -> Self::Future {
        future::ready(Ok(Self::on(io, Mode::Client)))
    }
}

/// One connection.
pub(super) struct Muxer<C> {
    connection: Connection<Counted<C>>,
    held: Arc<Mutex<Held>>,
    /// Streams that came before a caller asked for one.
    inbound: VecDeque<Substream>,
    /// The task that waits for one.
    waker: Option<Waker>,
}

/// The reason why a connection ended.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct MuxError(#[from] ConnectionError);

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    /// Drives the connection until the peer opens a stream that it may have.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Substream, MuxError>> {
        loop {
            let stream = ready!(self.connection.poll_next_inbound(cx)).ok_or(ConnectionError::Closed)??;
            let stream = Substream::new(stream, &self.held, true);
            if stream.held().inbound <= INBOUND_MOST {
                return Poll::Ready(Ok(stream));
            }
            // Dropping it resets it.
        }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = Substream;
    type Error = MuxError;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Substream, MuxError>> {
        if let Some(stream) = self.inbound.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        if let Poll::Ready(stream) = self.next(cx) {
            return Poll::Ready(stream);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Substream, MuxError>> {
        let stream = ready!(self.connection.poll_new_outbound(cx))?;
        Poll::Ready(Ok(Substream::new(stream, &self.held, false)))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), MuxError>> {
        self.connection.poll_close(cx).map_err(MuxError)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, MuxError>> {
        // Yamux makes progress only while the next stream is polled for; a stream that comes is kept for the next
        // caller.
        let stream = ready!(self.next(cx))?;
        self.inbound.push_back(stream);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The unread bytes of one connection.
#[derive(Default)]
struct Held {
    streams: HashMap<u32, UnreadBytes>,
    /// The cost of all unread bytes.
    cost: usize,
    /// Streams that the peer opened.
    inbound: usize,
    /// The connection's task, if it waits for room.
    waker: Option<Waker>,
}

/// The unread bytes of one stream.
#[derive(Clone, Copy, Default)]
struct UnreadBytes {
    bytes: usize,
    cost: usize,
}

impl Held {
    /// Counts the beginning of a frame.
    fn begin(&mut self, stream: u32, len: usize, is_new: bool) {
        if is_new {
            self.streams.entry(stream).or_default();
        }
        // A frame for an unknown stream is discarded, and one without bytes is not kept.
        if let Some(unread) = self.streams.get_mut(&stream).filter(|_| len > 0) {
            unread.bytes += len;
            unread.cost += len + FRAME;
            self.cost += len + FRAME;
        }
    }

    /// Counts bytes of a stream as read.
    fn read(&mut self, stream: u32, len: usize) {
        if let Some(unread) = self.streams.get_mut(&stream) {
            let paid = if len >= unread.bytes { unread.cost } else { unread.cost * len / unread.bytes };
            unread.bytes = unread.bytes.saturating_sub(len);
            unread.cost -= paid;
            self.paid(paid);
        }
    }

    /// Forgets a stream that is over, with its unread bytes.
    fn end(&mut self, stream: u32) {
        if let Some(unread) = self.streams.remove(&stream) {
            self.paid(unread.cost);
        }
    }

    fn paid(&mut self, cost: usize) {
        self.cost -= cost;
        if self.cost < HELD_MOST
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }
}

/// The reader below Yamux, which counts frame by frame.
struct Counted<C> {
    io: C,
    held: Arc<Mutex<Held>>,
    header: [u8; HEADER],
    /// Bytes of the current header so far.
    got: usize,
    /// Bytes of the current frame still to come after its header.
    body: usize,
    /// Runs while the peer has to wait.
    full: Option<Pin<Box<Sleep>>>,
}

impl<C> Counted<C> {
    /// Waits until there is room for a further frame.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = lock(&self.held);
        if held.cost < HELD_MOST {
            drop(held);
            self.full = None;
            return Poll::Ready(Ok(()));
        }
        held.waker = Some(cx.waker().clone());
        drop(held);
        let full = self.full.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
        ready!(full.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer sends more than can be read")))
    }

    /// Counts received bytes.
    fn note(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.body > 0 {
                let of_body = self.body.min(bytes.len());
                self.body -= of_body;
                bytes = &bytes[of_body..];
                continue;
            }
            let of_header = (HEADER - self.got).min(bytes.len());
            self.header[self.got..self.got + of_header].copy_from_slice(&bytes[..of_header]);
            self.got += of_header;
            bytes = &bytes[of_header..];
            if self.got == HEADER {
                self.got = 0;
                self.begin()?;
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        let [_, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = self.header;
        let (flags, stream) = (u16::from_be_bytes([f0, f1]), u32::from_be_bytes([s0, s1, s2, s3]));
        if kind == DATA {
            self.body = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
            if self.body > WINDOW + GROWTH {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame longer than any window"));
            }
        }
        lock(&self.held).begin(stream, self.body, stream != 0 && flags & SYN != 0);
        Ok(())
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Counted<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.got == 0 && self.body == 0 {
            ready!(self.poll_room(cx))?;
        }
        let len = ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        self.note(&buffer[..len])?;
        Poll::Ready(Ok(len))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Counted<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}

/// One stream.
pub(super) struct Substream {
    stream: yamux::Stream,
    held: Arc<Mutex<Held>>,
    is_inbound: bool,
}

impl Substream {
    fn new(stream: yamux::Stream, held: &Arc<Mutex<Held>>, is_inbound: bool) -> Self {
        let this = Self { stream, held: Arc::clone(held), is_inbound };
        let mut held = this.held();
        held.streams.entry(this.stream.id().val()).or_default();
        held.inbound += usize::from(is_inbound);
        drop(held);
        this
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }
}

impl Drop for Substream {
    fn drop(&mut self) {
        let mut held = self.held();
        held.inbound -= usize::from(self.is_inbound);
        held.end(self.stream.id().val());
    }
}

impl AsyncRead for Substream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let len = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.held().read(self.stream.id().val(), len);
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for Substream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().expect("nothing panics while it is held")
}

#[cfg(test)]
mod tests;
