//! ^C in a call of pacman's: noted whenever it comes, so that the rest of the transaction knows of it.
//!
//! pacman itself takes no notice of a ^C while its downloader runs (7.1.0, src/pacman/conf.c, 230): what it learns is that
//! this file has failed, and it goes on with the next. The call that is interrupted therefore writes it down for all
//! later ones and for the read-ahead. Until it can do so the signal waits: [`hold`] comes first in the small program, and
//! lasts through execve(2) until the full one [`listen`]s.
//!
//! Not noted is one that comes while root copies what its child has handed over: the child, who keeps the notes, is gone by
//! then.
//!
//! Tests: `tests/cases/interrupted.rs`, `tests/real_ahead.rs`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Set by the handler.
static CAME: OnceLock<Arc<AtomicBool>> = OnceLock::new();

fn interrupt() -> SigSet {
    SigSet::from(Signal::SIGINT)
}

/// Has an interrupt wait from now on, for this thread and whatever it becomes or starts.
pub fn hold() {
    // Fails for no set that exists (sigprocmask(2)).
    let _ = interrupt().thread_block();
}

/// Lets interrupts through again, to what they do by default or to whoever listens.
pub fn release() {
    let _ = interrupt().thread_unblock();
}

/// Whether one waits that came since [`hold`]. It is told once.
pub fn is_waiting() -> bool {
    let waiting = SignalFd::with_flags(&interrupt(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
    waiting.and_then(|waiting| waiting.read_signal()).is_ok_and(|signal| signal.is_some())
}

/// Has interrupts end nothing by themselves from now on, but be told by [`came`]; then lets them through.
pub fn listen() {
    let flag = CAME.get_or_init(Arc::default);
    // What cannot be listened to ends this process, as it does by default.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(flag));
    release();
}

/// Whether an interrupt has come since [`listen`], or had waited for it.
pub fn came() -> bool {
    CAME.get().is_some_and(|came| came.load(Ordering::Relaxed))
}
