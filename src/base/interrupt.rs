//! ^C in a call of pacman's: recorded whenever it comes, so that the rest of the pacman run knows of it.
//!
//! pacman itself ignores a ^C while its downloader runs (7.1.0, src/pacman/conf.c, 230): it learns only that this
//! file has failed, and goes on with the next. The interrupted call therefore records it for all later ones and
//! for the read-ahead. Until it can do so the signal waits: [`hold`] comes first in the small program, and lasts
//! through execve(2) until the full one [`listen`]s.
//!
//! A ^C that comes while root copies the child's file is not recorded: the child, which keeps the record, is gone
//! by then.
//!
//! Tests: `tests/cases/interrupted.rs`, `tests/real_ahead.rs`.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use signal_hook::consts::SIGINT;
use signal_hook::flag;

/// The flag that the handler sets.
static CAME: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// The parts of this process that heed interrupts at the moment.
static HEEDING: Mutex<usize> = Mutex::new(0);

/// True while there is none.
static IS_UNHEEDED: AtomicBool = AtomicBool::new(true);

/// A part of this process that ends by itself on an interrupt, until drop.
#[must_use]
#[derive(Debug)]
pub(crate) struct Heeding(());

impl Drop for Heeding {
    fn drop(&mut self) {
        let mut heeding = HEEDING.lock().expect("nothing panics while it is held");
        *heeding -= 1;
        IS_UNHEEDED.store(*heeding == 0, Ordering::SeqCst);
    }
}

/// Keeps interrupts from ending the process until the value is dropped: the caller looks for them. A handler stays
/// once it is installed, so without this a later question to the user would not hear of a ^C either (test
/// `at_a_question_it_ends_setup_also_where_kubo_was_asked_before`).
pub(crate) fn heed() -> Heeding {
    static IS_INSTALLED: Once = Once::new();
    let mut heeding = HEEDING.lock().expect("nothing panics while it is held");
    *heeding += 1;
    IS_UNHEEDED.store(false, Ordering::SeqCst);
    // Without a handler an interrupt ends this process, as by default.
    IS_INSTALLED.call_once(|| drop(flag::register_conditional_default(SIGINT, &IS_UNHEEDED)));
    Heeding(())
}

fn interrupt() -> SigSet {
    SigSet::from(Signal::SIGINT)
}

/// Blocks interrupts from now on, for this thread, its children and the programs it runs.
pub fn hold() {
    // Fails for no set that exists (sigprocmask(2)).
    let _ = interrupt().thread_block();
}

/// Unblocks interrupts, which then end the process or set the flag of [`listen`].
pub fn release() {
    let _ = interrupt().thread_unblock();
}

/// Returns true when one is pending that came since [`hold`], and clears it.
pub(crate) fn is_waiting() -> bool {
    let waiting = SignalFd::with_flags(&interrupt(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
    waiting.and_then(|waiting| waiting.read_signal()).is_ok_and(|signal| signal.is_some())
}

/// Keeps interrupts from ending the process until the value is dropped, and lets [`came`] report them from now on; then
/// unblocks them.
pub(crate) fn listen() -> Heeding {
    let heeding = heed();
    // Without a handler an interrupt ends this process, as by default.
    let _ = flag::register(SIGINT, Arc::clone(CAME.get_or_init(Arc::default)));
    release();
    heeding
}

/// Returns true when an interrupt has come since [`listen`], or was pending before it.
pub(crate) fn came() -> bool {
    CAME.get().is_some_and(|came| came.load(Ordering::Relaxed))
}
