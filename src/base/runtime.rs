//! The one asynchronous runtime of a thread: the seam between the commands, which block and own ^C, and the
//! network. Only commands, and threads that they start, come here. What they run knows of no signal. It may block, by
//! hashing a file or asking pacman-conf: the runtime has no other work meanwhile (`doc/decisions/0011-one-hub.md`).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::mem::ManuallyDrop;
use std::pin::pin;

use futures_util::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::base::interrupt;

thread_local! {
    /// The runtime of a thread: connections belong to it, and the next request uses the same one.
    ///
    /// Never dropped: that would wait up to half a minute for a name look-up whose result is no longer needed.
    static RUNTIME: ManuallyDrop<tokio::runtime::Runtime> = ManuallyDrop::new(
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made"),
    );
}

/// Runs work on this thread; `None` when the user interrupts it, or has done so since this program
/// [listens](interrupt::listen). The work is then dropped.
pub fn block_on<T>(work: impl Future<Output = T>) -> Option<T> {
    let cancel = CancellationToken::new();
    run(&cancel, cancel.run_until_cancelled(work))
}

/// Runs work on this thread until it ends by itself. When the user interrupts it, or has done so since this program
/// [listens](interrupt::listen), `cancel` is cancelled: work that looks at it ends soon, and has its result all the
/// same.
pub(crate) fn run<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> T {
    run_heeding(&[SignalKind::interrupt()], cancel, work)
}

/// The same for the work of a timer, which a service manager stops with SIGTERM: that counts as an interrupt.
pub(crate) fn run_stoppable<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> T {
    run_heeding(&[SignalKind::interrupt(), SignalKind::terminate()], cancel, work)
}

fn run_heeding<T>(kinds: &[SignalKind], cancel: &CancellationToken, work: impl Future<Output = T>) -> T {
    let _heeding = interrupt::heed();
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            // Listen first, then look for an earlier one, so that none falls between the two.
            let mut signals: Vec<Signal> = kinds.iter().filter_map(|kind| signal(*kind).ok()).collect();
            if interrupt::came() {
                cancel.cancel();
            }
            let mut work = pin!(work);
            loop {
                let stopped = async {
                    match signals.is_empty() {
                        false => drop(select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await),
                        true => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    ended = &mut work => return ended,
                    () = stopped => cancel.cancel(),
                }
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

    #[test]
    fn cancelled_work_is_dropped_or_ends_by_itself() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        assert_eq!(run(&cancel, async { cancel.run_until_cancelled(std::future::pending::<()>()).await }), None);
        assert_eq!(run(&cancel, async { 7 }), 7, "its result counts");
    }

    #[test]
    fn the_stop_of_a_service_manager_counts_as_an_interrupt_where_work_says_so() {
        let cancel = CancellationToken::new();
        run_stoppable(&cancel, async {
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).unwrap();
            cancel.cancelled().await;
        });
        assert!(cancel.is_cancelled());
    }
}
