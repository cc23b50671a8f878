//! The one asynchronous runtime of a thread: the seam between the commands, which block, and the network.

use std::mem::ManuallyDrop;

use tokio::signal::unix::{SignalKind, signal};

use crate::interrupt;

thread_local! {
    /// The runtime of all races of a thread: connections belong to it, and the next request uses the same one.
    ///
    /// Never dropped: that would wait up to half a minute for a name look-up whose result is no longer needed.
    static RUNTIME: ManuallyDrop<tokio::runtime::Runtime> = ManuallyDrop::new(
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made"),
    );
}

/// Runs a race, or other work on the network, on this thread; `None` when the user interrupts it, or has done so
/// since this program [listens](interrupt::listen).
pub fn block_on<T>(race: impl Future<Output = T>) -> Option<T> {
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            // Listen first, then look for an earlier one, so that none falls between the two.
            let mut interrupts = signal(SignalKind::interrupt()).ok()?;
            if interrupt::came() {
                return None;
            }
            tokio::select! {
                biased;
                outcome = race => Some(outcome),
                _ = interrupts.recv() => None,
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_name_look_up_that_hangs_is_not_waited_for_at_the_end() {
        let begun = Instant::now();
        let race = async {
            // A stand-in for the HTTP client's name look-up: in a thread, by a call that cannot be interrupted.
            let _look_up = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(20)));
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        // At the end of a thread its runtime would be dropped, as at the end of the program.
        assert_eq!(std::thread::spawn(|| block_on(race)).join().unwrap(), Some(()));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
