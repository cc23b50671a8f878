//! A link with a delay, for machines whose kernel has no netem: a relay in front of a server.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Relays TCP connections to one server. The handshake costs a round trip, and so do request and answer together;
/// bytes that follow each other are late by the same time, not one after the other.
pub struct Link {
    address: SocketAddr,
}

impl Link {
    /// To the server at `target` (`host:port`), that far away. It lasts as long as this process.
    pub fn to(target: &str, round_trip: Duration) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let target = target.to_owned();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let target = target.clone();
                thread::spawn(move || {
                    let since = Instant::now();
                    let Ok(far) = TcpStream::connect(&target) else { return };
                    let _ = (near.set_nodelay(true), far.set_nodelay(true));
                    let (Ok(back_from), Ok(back_to)) = (far.try_clone(), near.try_clone()) else { return };
                    // The client's connect() returns before a packet of a real link would have come back.
                    thread::spawn(move || pump(back_from, back_to, round_trip / 2, since));
                    pump(near, far, round_trip / 2, since + round_trip);
                });
            }
        });
        Link { address }
    }

    /// What goes before a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Copies what comes, each piece `late` after it came, and nothing before `opens` + `late`.
fn pump(mut from: TcpStream, mut to: TcpStream, late: Duration, opens: Instant) {
    let (send, receive) = mpsc::channel::<(Instant, Vec<u8>)>();
    let writer = thread::spawn(move || {
        for (due, piece) in receive {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(got) = from.read(&mut buffer) {
        if got == 0 || send.send((opens.max(Instant::now()) + late, buffer[..got].to_vec())).is_err() {
            break;
        }
    }
    drop(send);
    let _ = writer.join();
}
