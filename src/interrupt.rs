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

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The flag that the handler sets.
static CAME: OnceLock<Arc<AtomicBool>> = OnceLock::new();

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
pub fn is_waiting() -> bool {
    let waiting = SignalFd::with_flags(&interrupt(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
    waiting.and_then(|waiting| waiting.read_signal()).is_ok_and(|signal| signal.is_some())
}

/// Keeps interrupts from ending the process from now on, and lets [`came`] report them; then unblocks them.
pub fn listen() {
    let flag = CAME.get_or_init(Arc::default);
    // Without a handler an interrupt ends this process, as by default.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(flag));
    release();
}

/// Returns true when an interrupt has come since [`listen`], or was pending before it.
pub fn came() -> bool {
    CAME.get().is_some_and(|came| came.load(Ordering::Relaxed))
}
