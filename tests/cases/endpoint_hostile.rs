//! Clients of the endpoint that break every rule: each costs a bounded amount, and honest ones go on.

use std::fs;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

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
    // Half of a header, and nothing.
    let mut open = Vec::new();
    for i in 0..2_000 {
        if let Ok(stream) = TcpStream::connect_timeout(&endpoint.address(), Duration::from_secs(10)) {
            if i % 2 == 0 {
                use std::io::Write as _;
                let _ = (&stream).write_all(b"GET /core HTTP/1.1\r\nHo");
            }
            open.push(stream);
        }
        // This process has a limit of its own.
        if open.len() > 400 {
            open.drain(..200);
        }
    }
    let answer = endpoint.get(&path);
    assert!(answer.status == 200 && answer.is_whole && answer.body == package.bytes);
    assert!(descriptors(&endpoint) < 700, "{} descriptors", descriptors(&endpoint));
    assert!(resident(&endpoint) < 100 << 20, "{} bytes", resident(&endpoint));
    drop((open, slow));
    eventually("connections that are closed are forgotten", || descriptors(&endpoint) < 40);
}

#[test]
fn two_hundred_clients_of_one_cold_file_cost_one_transfer_and_little_memory() {
    let package = Package::new("it", 4 << 20);
    let mirror = FakeMirror::serving(&[package.file()]).slow(3 << 20);
    let (_world, endpoint) = Endpoint::of(World::new().run_by_user().repo("core", &[&package], &[&mirror]));
    let (address, path) = (endpoint.address(), format!("/core/os/x86_64/{}", package.file_name()));
    let (bytes, idle) = (Arc::new(package.bytes.clone()), resident(&endpoint));
    let ask = || {
        let (path, bytes) = (path.clone(), Arc::clone(&bytes));
        thread::spawn(move || Client::at(address).compares(&path, &bytes))
    };
    // So that the transfer has begun.
    let mut clients = vec![ask()];
    mirror.server().wait_for_bytes(1);
    clients.extend((0..199).map(|_| ask()));
    assert!(clients.into_iter().all(|client| client.join().unwrap()));
    assert_eq!(mirror.bytes(), package.bytes.len() as u64);
    let most = resident(&endpoint);
    assert!(most - idle < 45 << 20, "{most} bytes, and {idle} before");
}
