//! A server that dies in the middle of a file: a relay before a real one, which falls silent.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Relays TCP connections until so many bytes have come back. From then on it neither sends nor closes, on old
/// connections and new ones alike, like a host without power.
pub struct Relay {
    address: SocketAddr,
    left: Arc<AtomicU64>,
    life: u64,
}

impl Relay {
    /// Starts a relay to the server at `url`, for `life` bytes. Its threads last as long as this process.
    pub fn to(url: &str, life: u64) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let target = url.trim_start_matches("http://").to_owned();
        let left = Arc::new(AtomicU64::new(life));
        let relay = Relay { address, left: Arc::clone(&left), life };
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let (target, left) = (target.clone(), Arc::clone(&left));
                thread::spawn(move || pass_on(near, &target, &left));
            }
        });
        relay
    }

    /// Returns the URL before a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Counts the bytes that came back through it.
    pub fn passed(&self) -> u64 {
        self.life - self.left.load(Ordering::Relaxed)
    }
}

fn pass_on(near: TcpStream, target: &str, left: &AtomicU64) {
    let Ok(far) = TcpStream::connect(target) else { return };
    let (Ok(mut questions), Ok(mut to_server)) = (near.try_clone(), far.try_clone()) else { return };
    let asking = thread::spawn(move || {
        let _ = std::io::copy(&mut questions, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    answer(far, near, left);
    let _ = asking.join();
}

/// Returns when either side has ended. A dead relay keeps the connection until the client gives it up.
fn answer(mut far: TcpStream, mut near: TcpStream, left: &AtomicU64) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let room = usize::try_from(left.load(Ordering::Relaxed)).map_or(buffer.len(), |left| left.min(buffer.len()));
        if room == 0 {
            return;
        }
        match far.read(&mut buffer[..room]) {
            Ok(got) if got > 0 && near.write_all(&buffer[..got]).is_ok() => {
                // Two connections may take the same last bytes; the moment of its death need not be exact.
                let _ = left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(got as u64)));
            }
            _ => {
                let _ = near.shutdown(Shutdown::Both);
                return;
            }
        }
    }
}
