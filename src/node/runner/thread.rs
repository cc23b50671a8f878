//! The thread of a node: it handles the data of other machines, so that a local caller does not wait behind that.

use std::io;
use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};

use super::Runner;
use crate::node::networks::Allowed;

/// A node that runs on a thread of its own, until this is dropped.
pub(crate) struct Running {
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<io::Result<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Runner {
    /// Does what [`Runner::run`] does on a new thread, with at most `reading` more that read files.
    ///
    /// # Errors
    /// When no further thread can be started.
    pub(crate) fn spawn(self, allowed: watch::Receiver<Allowed>, reading: usize) -> io::Result<Running> {
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(reading).build()?;
        let ((stop, stopped), (tell, ended)) = (oneshot::channel::<()>(), oneshot::channel());
        let thread = std::thread::Builder::new().name("node".into()).spawn(move || {
            let ended = runtime.block_on(async {
                tokio::select! {
                    ended = self.run(allowed) => ended,
                    _ = stopped => Ok(()),
                }
            });
            // Does not wait for files on a slow disk.
            runtime.shutdown_background();
            let _ = tell.send(ended);
        })?;
        Ok(Running { stop: Some(stop), ended, thread: Some(thread) })
    }
}

impl Running {
    /// Waits for its end, which comes only with an error.
    ///
    /// # Errors
    /// Those of [`Runner::run`].
    pub(crate) async fn ended(&mut self) -> io::Result<()> {
        (&mut self.ended).await.unwrap_or_else(|_| Err(io::Error::other("the node's thread has failed")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop = None;
        // Says goodbye to the neighbours.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
