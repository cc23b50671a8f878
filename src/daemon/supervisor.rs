//! Messages to systemd, if it asked for them (sd_notify(3), sd_watchdog_enabled(3)).

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Times that the watchdog's wait has passed when threads count as stuck.
const STUCK: u64 = 5;

/// Notifies systemd.
pub(super) fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    // Other supervisors do not wait for this; one that does not read what it is sent stops nothing here.
    let send = |address| {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to_addr(state.as_bytes(), &address)
    };
    let _ = address.and_then(send);
}

/// Returns true where systemd has started this process, and waits to be told that it is ready.
pub(super) fn is_awaited() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Tells systemd for ever that the tasks of this thread go on, twice as often as it wants to hear it; a thread that hangs
/// tells nothing, and is ended. So is a process whose other threads hang: one that `are_stuck` for so long. Does nothing
/// where that is not wanted.
pub(super) async fn watchdog(are_stuck: impl Fn(Duration) -> bool) {
    let every =
        std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse::<u64>().ok()).filter(|every| *every > 0);
    let Some(every) = every else { return std::future::pending().await };
    let mut tick = tokio::time::interval(Duration::from_micros((every / 2).max(1000)));
    loop {
        tick.tick().await;
        // Looking into many lists for the first time takes seconds on a slow machine.
        if !are_stuck(Duration::from_micros(every.saturating_mul(STUCK))) {
            notify("WATCHDOG=1");
        }
    }
}
