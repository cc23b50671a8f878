//! A client's connection whose writes make progress: one that reads nothing, or next to nothing, is closed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::{Instant, Sleep, sleep_until};

/// Longest time in which a client takes nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// The time over which a client's rate is measured while it is behind.
const STRETCH: Duration = Duration::from_secs(60);

/// Bytes that a client takes at least in that time.
const LEAST: u64 = 64 << 10;

/// A connection, with a limit on the time of its writes.
pub(super) struct PatientStream<T> {
    inner: T,
    /// Set while a write waits for the client.
    limit: Option<Pin<Box<Sleep>>>,
    /// Since when the client is behind, and the bytes that it has taken from then on.
    behind: Option<(Instant, u64)>,
}

impl<T> PatientStream<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, limit: None, behind: None }
    }

    /// Passes a result of the connection on; an error where the client has had its time.
    fn judge(&mut self, cx: &mut Context<'_>, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        match wrote {
            Poll::Ready(Ok(bytes)) => {
                let waited = self.limit.take().is_some();
                match &mut self.behind {
                    Some((_, taken)) if waited => *taken += bytes as u64,
                    // It takes what comes.
                    behind => *behind = None,
                }
                if let Some((since, taken)) = self.behind
                    && now.duration_since(since) >= STRETCH
                {
                    if taken < LEAST {
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                    self.behind = Some((now, 0));
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Pending => {
                self.behind.get_or_insert((now, 0));
                let limit = self.limit.get_or_insert_with(|| Box::pin(sleep_until(now + SILENCE)));
                ready!(limit.as_mut().poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            failed => failed,
        }
    }
}

impl<T: Read + Unpin> Read for PatientStream<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, into)
    }
}

impl<T: Write + Unpin> Write for PatientStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.judge(cx, wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.judge(cx, wrote)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// A client that takes so many bytes every so often.
    struct SlowClient {
        takes: usize,
        every: Duration,
        next: Pin<Box<Sleep>>,
    }

    impl Write for SlowClient {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            ready!(self.next.as_mut().poll(cx));
            let next = Instant::now() + self.every;
            self.next.as_mut().reset(next);
            Poll::Ready(Ok(self.takes.min(bytes.len())))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Returns the bytes that such a client is given within an hour, and whether it was closed before.
    async fn given(takes: usize, every: Duration) -> (usize, bool) {
        let next = Box::pin(sleep_until(Instant::now() + every));
        let mut stream = PatientStream::new(SlowClient { takes, every, next });
        let (begun, mut sum) = (Instant::now(), 0);
        while begun.elapsed() < Duration::from_secs(3600) {
            match poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, &[0; 1 << 16])).await {
                Ok(bytes) => sum += bytes,
                Err(_) => return (sum, true),
            }
        }
        (sum, false)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_or_drops_is_closed_and_a_slow_one_is_served() {
        assert_eq!(given(1 << 16, Duration::from_secs(31)).await, (0, true));
        let (sum, closed) = given(1, Duration::from_secs(1)).await;
        assert!(closed && sum < 100, "{sum}");
        assert!(!given(4096, Duration::from_secs(1)).await.1);
    }
}
