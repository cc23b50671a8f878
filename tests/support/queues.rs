//! The bytes that the kernel holds for a connection on loopback.

use std::io;
use std::net::{SocketAddr, TcpStream};

/// Which queues of a connection are not empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Queues {
    /// True if bytes of this end have not reached the other one.
    pub(super) unsent: bool,
    /// True if the other end has not read all that reached it.
    unread: bool,
}

/// Reads `tx_queue` of this end and `rx_queue` of the other one (proc(5), /proc/net/tcp). A closed end has none.
pub(super) fn queues(stream: &TcpStream) -> io::Result<Queues> {
    let (ours, theirs) = (stream.local_addr()?, stream.peer_addr()?);
    let end = |address: SocketAddr| format!("0100007F:{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let holds = |from: SocketAddr, to: SocketAddr, column: usize| {
        let both = format!(" {} {} ", end(from), end(to));
        let queue = table.lines().find_map(|line| line.split_once(&both)?.1.split([' ', ':']).nth(column));
        queue.is_some_and(|bytes| bytes != "00000000")
    };
    Ok(Queues { unsent: holds(ours, theirs, 1), unread: holds(theirs, ours, 2) })
}
