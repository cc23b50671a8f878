//! Ports for programs that cannot choose one by themselves.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// The first port that is given away: below it are those of well-known services.
const FIRST: u16 = 10_000;

/// The last one that was given away; 0 before the first.
static LAST: AtomicU16 = AtomicU16::new(0);

/// Returns a port of 127.0.0.1 at which nothing listens, and which this process gives away once.
///
/// The kernel never takes it for a connection: those have ports of the range in `ip_local_port_range`, and between the
/// choice of such a port and the start of a program another one's connection may get it.
pub fn free_port() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let above = range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768_u16);
    assert!(above > FIRST + 1000, "the kernel leaves too few ports to programs: from {FIRST} to {above}");
    let start = FIRST + (std::process::id() % u32::from(above - FIRST)) as u16;
    let next = |port: u16| if port == 0 { start } else { FIRST + (port + 1 - FIRST) % (above - FIRST) };
    for _ in FIRST..above {
        let former = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |port| Some(next(port)));
        let port = next(former.expect("always a next one"));
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {FIRST} to {above} is free");
}
