//! Neighbours that attack this machine's memory and time with data for its daemon: the memory stays within the
//! unit's limit, and others are served meanwhile.

use super::attacker::{Attacker, field, framed};
use super::packages;
use super::real::{DaemonProcess, Host, Scene, until};
use super::strangers::resident;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The result of one host's attack.
#[derive(Default)]
struct Attack {
    /// Connections that have filled all they could.
    filled: AtomicUsize,
    /// Connections that the daemon ended.
    ended: AtomicUsize,
    is_over: AtomicBool,
}

/// The way of filling the windows.
#[derive(Clone, Copy)]
struct Fill {
    /// Time to grow the windows first.
    grow: Duration,
    /// Bytes of a message for that.
    message: usize,
    /// Bytes of a frame.
    piece: usize,
}

/// Opens so many connections from a host, and on each 16 streams: lets the windows grow, makes the readers wait,
/// and fills every window. Holds them until the end of the attack.
fn attack(host: &Host, to: SocketAddr, connections: usize, fill: Fill, attack: Arc<Attack>) -> JoinHandle<()> {
    let from = host.address().parse().expect("an address");
    host.inside(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let one = async |attack: &Attack| {
                let Ok(mut attacker) = Attacker::new(from, to, Duration::from_millis(500)).await else { return };
                // An unread connection waits, until it is cut off or the attack is over.
                let over = async {
                    while !attacker_is_over(attack) {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                tokio::select! {
                    _ = fill_windows(&mut attacker, fill) => {}
                    () = over => {}
                }
                attack.filled.fetch_add(1, Ordering::Relaxed);
                while !attacker_is_over(attack) && !attacker.is_over() {
                    let _ = attacker.answer_pings().await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                attack.ended.fetch_add(usize::from(attacker.is_over()), Ordering::Relaxed);
            };
            futures_util::future::join_all((0..connections).map(|_| one(&attack))).await;
        });
    })
}

fn attacker_is_over(attack: &Attack) -> bool {
    attack.is_over.load(Ordering::Relaxed)
}

async fn fill_windows(attacker: &mut Attacker, fill: Fill) -> std::io::Result<()> {
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(attacker.open().await?);
    }
    // Each message has one unknown field.
    let small = framed(&field(15, &vec![0; fill.message]));
    let wants = framed(&field(1, &field(1, &field(1, b"a")).repeat(4000))).repeat(4);
    let mut places = vec![0; streams.len()];
    let begun = Instant::now();
    while begun.elapsed() < fill.grow {
        for (stream, place) in streams.iter().zip(&mut places) {
            *place += attacker.send(*stream, &small[*place..]).await?;
            if *place == small.len() {
                *place = 0;
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for (stream, place) in streams.iter().zip(&places) {
        let end = if *place == 0 { &[][..] } else { &small[*place..] };
        let message = [end, &wants].concat();
        let (mut sent, begun) = (0, Instant::now());
        while sent < message.len() && begun.elapsed() < Duration::from_secs(2) {
            sent += attacker.send(*stream, &message[sent..]).await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for stream in &streams {
        let zeros = vec![0; attacker.credit(*stream)];
        attacker.send_in_pieces(*stream, &zeros, fill.piece).await?;
    }
    Ok(())
}

/// Returns the address of a daemon's node.
fn node_of(daemon: &DaemonProcess) -> SocketAddr {
    let address = until("it listens", Duration::from_secs(10), || {
        let listening = daemon.status()["listening"].as_array()?.clone();
        listening.iter().filter_map(|it| it.as_str()).find(|it| it.starts_with("/ip4/10.")).map(str::to_owned)
    });
    let parts: Vec<&str> = address.split('/').collect();
    format!("{}:{}", parts[2], parts[4]).parse().expect("an address and a port")
}

/// Watches a daemon during `work`, and once after it: returns its most memory, in KiB, and the durations of its
/// answers, of which there is at least one.
fn watched(daemon: &DaemonProcess, mut work: impl FnMut() -> bool) -> (u64, Vec<Duration>) {
    let (mut peak, mut took) = (0, Vec::new());
    let mut is_last = false;
    while !is_last {
        is_last = !work();
        let begun = Instant::now();
        assert!(daemon.status().is_object(), "it does not answer");
        took.push(begun.elapsed());
        peak = peak.max(resident(daemon.id()));
        std::thread::sleep(Duration::from_millis(20));
    }
    took.sort();
    (peak, took)
}

/// Returns the unit's limit, in KiB.
fn memory_most() -> u64 {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/dist/systemd/system/pkgswarm-daemon.service");
    let unit = std::fs::read_to_string(unit).expect("the unit");
    let most =
        unit.lines().find_map(|line| line.strip_prefix("MemoryMax=")?.strip_suffix('M')).expect("MemoryMax in MiB");
    most.parse::<u64>().expect("a number") << 10
}

/// Attacks the first machine from hosts with so many connections each; meanwhile another machine joins and is
/// found. Returns the most memory, in KiB.
fn attacked(scene: &mut Scene, hosts: &[Host], connections: usize, fill: Fill) -> u64 {
    let daemon = &scene.machines[0].daemon;
    let (to, id) = (node_of(daemon), daemon.id());
    let all = Arc::new(Attack::default());
    let threads: Vec<_> = hosts.iter().map(|host| attack(host, to, connections, fill, Arc::clone(&all))).collect();
    let (before, count) = (scene.machines.len(), hosts.len() * connections);
    scene.add_machine();
    let found = scene.machines[before].daemon.meets(before);
    println!("the new neighbour was found after {found:?}");
    let begun = Instant::now();
    let (peak, took) = watched(&scene.machines[0].daemon, || {
        let done = all.ended.load(Ordering::Relaxed);
        done < count && begun.elapsed() < fill.grow + Duration::from_secs(15)
    });
    println!(
        "{count} connections: {} filled, {} ended, {} MiB, status in {:?} and at most {:?}",
        all.filled.load(Ordering::Relaxed),
        all.ended.load(Ordering::Relaxed),
        peak >> 10,
        took.get(took.len() / 2),
        took.last(),
    );
    all.is_over.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|it| it.join().expect("an attack"));
    assert_eq!(scene.machines[0].daemon.id(), id, "it runs as before");
    assert!(all.ended.load(Ordering::Relaxed) > 0, "no attacker was cut off");
    // One slow answer can be this machine's own doing; half of them cannot.
    assert!(took[took.len() / 2] < Duration::from_millis(50), "{took:?}");
    peak
}

#[test]
fn windows_that_grow_and_readers_that_wait_do_not_take_the_memory() {
    let mut scene = Scene::new(&packages()[..1], 1);
    let host = [scene.lan.host()];
    for message in [250_000, 50_000] {
        let peak = attacked(&mut scene, &host, 2, Fill { grow: Duration::from_secs(6), message, piece: 60_000 });
        assert!(peak < 100 << 10, "{} MiB for two connections", peak >> 10);
    }
}

#[test]
fn windows_full_of_frames_of_one_byte_do_not_take_the_memory() {
    let mut scene = Scene::new(&packages()[..1], 1);
    let host = [scene.lan.host()];
    let peak = attacked(&mut scene, &host, 2, Fill { grow: Duration::from_secs(1), message: 50_000, piece: 1 });
    assert!(peak < 100 << 10, "{} MiB for two connections", peak >> 10);
}

#[test]
fn as_many_attackers_as_can_connect_fit_what_the_unit_allows() {
    let mut scene = Scene::new(&packages()[..1], 1);
    let hosts: Vec<Host> = (0..8).map(|_| scene.lan.host()).collect();
    let peak = attacked(&mut scene, &hosts, 8, Fill { grow: Duration::from_secs(6), message: 50_000, piece: 60_000 });
    assert!(peak < memory_most(), "{} MiB for 64 connections", peak >> 10);
}
