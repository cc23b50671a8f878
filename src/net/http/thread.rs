//! The thread of shared connections: nothing on it blocks, so no reader stops the connections of the others.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running thread, which ends when this is dropped.
pub(super) struct ConnectionThread {
    /// Runs tasks there.
    pub(super) runtime: Handle,
    _end: DropGuard,
}

impl ConnectionThread {
    /// Starts it.
    ///
    /// # Errors
    /// When this machine allows no more threads or descriptors.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, end) = (runtime.handle().clone(), CancellationToken::new());
        let ended = end.clone();
        thread::Builder::new().name("connections".to_owned()).spawn(move || {
            runtime.block_on(ended.cancelled());
            // Without waiting for a name look-up whose result is not needed any more.
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, _end: end.drop_guard() })
    }
}
