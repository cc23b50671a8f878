//! Messages on a stream: each has its length before it, as a varint. A promised length reserves no memory.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::base::protobuf;

/// Least growth of the buffer, in bytes.
const PIECE: usize = 64 << 10;

/// Bytes that are written or read between two calls of `moved`: a peer that sends fewer in a few seconds counts as silent.
const HEARD: usize = 16 << 10;

/// Reads the next message, if `admit` accepts its length, within `patience` from its length on; `None` when the
/// peer ended the stream between two messages. `moved` is called as its bytes come, every [`HEARD`] bytes.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    admit: impl FnOnce(usize) -> bool,
    patience: Duration,
    moved: impl Fn(),
) -> io::Result<Option<Bytes>> {
    let Some(len) = read_length(stream).await? else { return Ok(None) };
    if !admit(len) {
        return Err(bad("longer than a message may be"));
    }
    // The buffer grows with the bytes that arrive, not with the promised length.
    let mut buffer = BytesMut::with_capacity(len.min(PIECE));
    let mut told = 0;
    let body = async {
        while buffer.len() < len {
            let at = buffer.len();
            buffer.resize(len.min((at * 2).max(PIECE)), 0);
            let mut there = at;
            while there < buffer.len() {
                match stream.read(&mut buffer[there..]).await? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    got => there += got,
                }
                if there - told >= HEARD {
                    told = there;
                    moved();
                }
            }
        }
        Ok::<_, io::Error>(())
    };
    tokio::time::timeout(patience, body).await.map_err(|_| bad("too slow"))??;
    Ok(Some(buffer.freeze()))
}

/// Returns a message with its length before it.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 3);
    protobuf::push_varint(&mut out, message.len() as u64);
    out.extend_from_slice(message);
    out
}

/// Writes a message that has its length before it already.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8], moved: impl Fn()) -> io::Result<()> {
    for piece in bytes.chunks(HEARD) {
        stream.write_all(piece).await?;
        moved();
    }
    stream.flush().await
}

/// Reads the varint before a message. `None` at the end of the stream.
async fn read_length(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<usize>> {
    let mut len = 0;
    for shift in [0, 7, 14, 21] {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return if shift == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        len |= usize::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(Some(len));
        }
    }
    // Five bytes would be more than 256 MiB.
    Err(bad("the length has no end"))
}

fn bad(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::TryStreamExt as _;
    use tokio::time::Instant;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Returns a stream of `first`, and then a byte every ten seconds.
    fn dripping(first: &[u8]) -> impl AsyncRead + Unpin {
        let drip = futures_util::stream::unfold(first.to_vec(), |next| async move {
            if next.len() == 1 {
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            Some((io::Result::Ok(next), vec![0]))
        });
        Box::pin(drip).into_async_read()
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_drips_is_given_up_in_time() {
        let begun = Instant::now();
        let read = read(&mut dripping(&[0x80, 0x80, 0x04, 1, 2, 3]), |len| len <= 1 << 20, PATIENCE, || {}).await;
        assert!(read.is_err() && begun.elapsed() < PATIENCE * 2, "{read:?} after {:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_is_too_long_is_refused_before_it_comes() {
        let begun = Instant::now();
        for long in [&[0x81, 0x80, 0x40][..], &[0xff, 0xff, 0xff, 0xff, 1]] {
            assert!(read(&mut dripping(long), |len| len <= 1 << 20, PATIENCE, || {}).await.is_err());
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn messages_are_read_as_they_are_written() {
        let mut bytes = Vec::new();
        for message in [&b"one"[..], b"", &[7; 200_000]] {
            write(&mut bytes, &framed(message), || {}).await.unwrap();
        }
        let mut stream = &bytes[..];
        for message in [&b"one"[..], b"", &[7; 200_000]] {
            assert!(read(&mut stream, |len| len <= 1 << 20, PATIENCE, || {}).await.unwrap().unwrap() == message);
        }
        assert!(read(&mut stream, |len| len <= 1 << 20, PATIENCE, || {}).await.unwrap().is_none());
    }
}
