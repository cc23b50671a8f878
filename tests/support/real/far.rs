//! Two distant hosts: a TUN device in each, and threads of this process that carry every packet over.
//!
//! netem would do that in the kernel, but not every kernel has it. The hosts' side of the line is real: their own
//! TCP, its handshakes and its slow start.

use super::lan::{Host, Namespace, network};
use super::{command, run};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use tappers::Tun;

/// Makes two hosts and a line between them, with this round trip. The error tells why this machine cannot do that.
pub fn far_apart(round_trip: Duration) -> Result<[Host; 2], String> {
    let network = network();
    let end = |number: u8| -> Result<(Host, Arc<Tun>), String> {
        let no_tun = |error: std::io::Error| format!("no TUN device: {error}");
        let tun = Tun::new().map_err(no_tun)?;
        let device = tun.name().map_err(no_tun)?.name();
        let namespace = Namespace::new(&format!("{network}-far{number}"));
        run(command("ip").args(["link", "set"]).arg(device).args(["netns", &namespace.name, "name", "eth0"])).ok();
        Ok((Host::up(namespace, format!("10.78.0.{number}"), None), Arc::new(tun)))
    };
    let ((one, near), (other, far)) = (end(1)?, end(2)?);
    carry(Arc::clone(&near), Arc::clone(&far), round_trip / 2);
    carry(far, near, round_trip / 2);
    Ok([one, other])
}

/// Passes every packet of one device to the other, `late` after it came, until one of them is gone.
fn carry(from: Arc<Tun>, to: Arc<Tun>, late: Duration) {
    let (send, receive) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        for (due, packet) in receive {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // An unplugged host loses packets.
            let _ = to.send(&packet);
        }
    });
    thread::spawn(move || {
        let mut packet = [0; 2048];
        while let Ok(size) = from.recv(&mut packet) {
            if send.send((Instant::now() + late, packet[..size].to_vec())).is_err() {
                break;
            }
        }
    });
}
