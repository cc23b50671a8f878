//! The one asynchronous runtime of a thread.

use std::mem::ManuallyDrop;

use tokio::signal::unix::{SignalKind, signal};

use crate::interrupt;

thread_local! {
    /// One for all races of a thread: connections belong to it, and the next question goes over the same one.
    ///
    /// Never dropped: that would wait for a name look-up that nobody needs any more, up to half a minute.
    static RUNTIME: ManuallyDrop<tokio::runtime::Runtime> = ManuallyDrop::new(
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made"),
    );
}

/// Runs the race on this thread, or returns `None` when the user interrupts it, or has done so since this program
/// [listens](interrupt::listen).
pub fn block_on<T>(race: impl Future<Output = T>) -> Option<T> {
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            // Before the look at what came earlier, so that nothing falls between the two.
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
            // As the HTTP client looks up names: in a thread, by a call that nobody can interrupt.
            let _look_up = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(20)));
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        // At the end of a thread its runtime would be dropped, as at the end of the program.
        assert_eq!(std::thread::spawn(|| block_on(race)).join().unwrap(), Some(()));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
