//! Clients of the endpoint that break every rule: each costs a bounded amount, and honest ones go on.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::endpoint::{Client, Endpoint};
use crate::support::server::eventually;
use crate::support::*;

fn scene(size: usize) -> (World, Endpoint, Package) {
    let package = Package::new("it", size);
    let dead = format!("http://{}/core/os/x86_64", dead_address());
    let world = World::new().run_by_user().sync_database("core", &database(&[&package], Compression::Gzip)).servers(
        "core",
        &[dead],
        &[],
    );
    fs::write(world.path("cache").join(package.file_name()), &package.bytes).unwrap();
    fs::write(world.path("secret"), "secret").unwrap();
    let (world, endpoint) = Endpoint::of(world);
    (world, endpoint, package)
}

fn descriptors(endpoint: &Endpoint) -> usize {
    fs::read_dir(format!("/proc/{}/fd", endpoint.id())).map_or(0, |open| open.count())
}

/// Bytes of the process in memory.
pub fn resident(endpoint: &Endpoint) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", endpoint.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a number of proc(5)");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
}

#[test]
fn no_path_and_no_header_leads_out_of_the_repositories() {
    let (world, endpoint, package) = scene(90_000);
    let good = format!("/core/os/x86_64/{}", package.file_name());
    let long = format!("/{}", "a".repeat(100_000));
    let secret = world.path("secret").display().to_string();
    for path in [
        "/../secret",
        "/core/os/x86_64/../../../secret",
        "/core/os/x86_64/..%2f..%2f..%2fsecret",
        "/%2e%2e/%2e%2e/secret",
        "/core/os/x86_64/core.db%00.pkg.tar.zst",
        "//etc/passwd",
        &secret,
        &long,
        "/\u{e9}\u{e9}",
        "*",
        "/core/os/x86_64/\t",
    ] {
        let mut client = endpoint.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        let status = client.answer(false).map(|answer| (answer.status, answer.body.len()));
        assert!(
            status.is_none_or(|(status, body)| (400..500).contains(&status) && body == 0),
            "{path:.60}: {status:?}"
        );
    }
    let many: String = (0..1000).map(|i| format!("X-{i}: {i}\r\n")).collect();
    let wide = format!("X: {}\r\n", "a".repeat(200_000));
    for headers in [many, wide, "Range: bytes=0-1,2-3,4-5\r\n".repeat(50), "Host: two\r\n".to_owned()] {
        let mut client = endpoint.client();
        client.send(format!("GET {good} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes());
        let status = client.answer(false).map(|answer| answer.status);
        assert!(status.is_none_or(|status| status == 200 || (400..500).contains(&status)), "{status:?}");
    }
    let ranges: Vec<String> = (0..1000).map(|at| format!("{at}-{at}")).collect();
    let answer = endpoint.client().get(&good, &[("Range", &format!("bytes={}", ranges.join(",")))]);
    assert_eq!((answer.status, answer.body.len()), (200, package.bytes.len()), "many ranges are no more than the file");
    for noise in
        [&b"\0\0\0\0"[..], b"\x16\x03\x01\x02\x00\x01\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET\r\n\r\n"]
    {
        let mut client = endpoint.client();
        client.send(noise);
        assert!(client.answer(false).is_none_or(|answer| answer.status >= 400));
    }
    assert_eq!(endpoint.get(&good).status, 200);
}

#[test]
fn half_open_connections_and_slow_readers_keep_no_honest_client_out() {
    besieged(2_000);
}

#[test]
#[ignore = "ten thousand connections take their time"]
fn ten_thousand_half_open_connections_keep_no_honest_client_out() {
    besieged(10_000);
}

/// Makes so many connections that ask for nothing, beside slow readers, and checks that an honest client is served.
fn besieged(connections: usize) {
    let (_world, endpoint, package) = scene(8 << 20);
    let path = format!("/core/os/x86_64/{}", package.file_name());
    // Slow readers: they ask, and read nothing.
    let slow: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = endpoint.client();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
            client
        })
        .collect();
    // Half of a header, and nothing; as many at a time as this process may hold.
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let most = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.map_or(10_000, |most| most.saturating_sub(600) as usize).min(10_000),
        Err(_) => 400,
    };
    let mut open = Vec::new();
    for i in 0..connections {
        // From many addresses, so that all places are taken and not only those of one.
        let from = SocketAddr::from(([127, 0, 1 + (i % 8) as u8, 1], 0));
        if let Ok(stream) = connected(from, endpoint.address()) {
            if i % 2 == 0 {
                use std::io::Write as _;
                let _ = (&stream).write_all(b"GET /core HTTP/1.1\r\nHo");
            }
            open.push(stream);
        }
        if open.len() > most {
            open.drain(..most / 2);
        }
    }
    println!("{} half-open connections are held", open.len());
    let answer = endpoint.get(&path);
    assert!(answer.status == 200 && answer.is_whole && answer.body == package.bytes);
    // One that made room is closed a moment later.
    eventually("connections that made room are closed", || descriptors(&endpoint) < 700);
    assert!(resident(&endpoint) < 100 << 20, "{} bytes", resident(&endpoint));
    drop((open, slow));
    eventually("connections that are closed are forgotten", || descriptors(&endpoint) < 40);
}

/// Connects from an address of this machine.
fn connected(from: SocketAddr, to: SocketAddr) -> Result<TcpStream, Errno> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &from)?;
    connect(&socket, &to)?;
    Ok(socket.into())
}

#[test]
#[ignore = "takes as long as the endpoint waits for headers"]
fn headers_that_come_a_byte_at_a_time_end_and_keep_no_honest_client_waiting() {
    let (_world, endpoint, package) = scene(90_000);
    let path = format!("/core/os/x86_64/{}", package.file_name());
    let slow: Vec<_> = (0..100)
        .map(|_| {
            let mut client = endpoint.client();
            thread::spawn(move || {
                // At this rate a request would take a minute.
                let line = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}", "a".repeat(240));
                line.bytes().all(|byte| {
                    thread::sleep(Duration::from_millis(250));
                    client.send(&[byte])
                })
            })
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(endpoint.get(&path).body, package.bytes);
    }
    assert!(slow.into_iter().all(|one| !one.join().unwrap()), "the endpoint waited for one to its end");
}

/// Has 200 clients ask for one file that is not here, and 50 for another one each, all at once.
fn crowd(one: usize, others: usize, rate: u64) -> u64 {
    let package = Package::new("it", one);
    let others: Vec<Package> = (0..50).map(|n| Package::new(&format!("other{n}"), others)).collect();
    let all: Vec<&Package> = others.iter().chain([&package]).collect();
    let files: Vec<_> = all.iter().map(|package| package.file()).collect();
    let mirror = FakeMirror::serving(&files).slow(rate);
    let (_world, endpoint) = Endpoint::of(World::new().run_by_user().repo("core", &all, &[&mirror]));
    let address = endpoint.address();
    let ask = |package: &Package, bytes: &Arc<Vec<u8>>| {
        let (path, bytes) = (format!("/core/os/x86_64/{}", package.file_name()), Arc::clone(bytes));
        // On a busy machine a file may not be whole in time, which is a 404; the next request goes on with it.
        thread::spawn(move || eventually("it is served", || Client::at(address).compares(&path, &bytes)))
    };
    let bytes = Arc::new(package.bytes.clone());
    // So that the transfer has begun.
    let mut clients = vec![ask(&package, &bytes)];
    mirror.server().wait_for_bytes(1);
    clients.extend((0..199).map(|_| ask(&package, &bytes)));
    clients.extend(others.iter().map(|other| ask(other, &Arc::new(other.bytes.clone()))));
    let served = clients.into_iter().filter_map(|client| client.join().ok()).count();
    assert_eq!(served, 250, "all of it, and no wrong byte: {}", endpoint.log());
    let once: u64 = all.iter().map(|package| package.bytes.len() as u64).sum();
    assert!(mirror.bytes() <= once * 102 / 100, "{} bytes came for {once}", mirror.bytes());
    let most = resident(&endpoint);
    println!("{most} bytes resident");
    most
}

#[test]
fn two_hundred_clients_of_one_cold_file_and_fifty_of_others_cost_a_transfer_each_and_little_memory() {
    assert!(crowd(4 << 20, 300 << 10, 3 << 20) < 60 << 20);
}

#[test]
#[ignore = "moves ten gigabytes"]
fn two_hundred_clients_of_fifty_mib_and_fifty_of_others_cost_a_transfer_each_and_little_memory() {
    assert!(crowd(50 << 20, 4 << 20, 40 << 20) < 60 << 20);
}
