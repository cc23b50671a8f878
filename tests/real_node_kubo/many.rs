//! A Kubo with many wants and many addresses, as honest ones have at times.

use super::kubo_beside;
use super::real::{Kubo, Pkgbuild, Routing, Scene, run, scratch, until};
use pkgswarm::base::cid::Cid;
use pkgswarm::base::digest::Sha256;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Number of wants of one pin at a time (boxo v0.42.1, ipld/merkledag, `defaultConcurrentFetch`).
const LEAVES: usize = 32;

/// Encodes a field of bytes (protobuf), of less than 128 bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).expect("a short field")], bytes].concat()
}

/// Makes a node of a DAG with so many leaves that no peer has, and its CID.
fn root(number: usize) -> (Vec<u8>, Vec<u8>) {
    let leaf = |i: usize| Cid::raw(Sha256::of(format!("leaf {i} of {number}").as_bytes())).to_bytes();
    let links = (0..LEAVES).flat_map(|i| field(2, &[field(1, &leaf(i)), field(2, b""), vec![0x18, 1]].concat()));
    let block: Vec<u8> = links.collect();
    let mut cid = Cid::raw(Sha256::of(&block)).to_bytes();
    // The codec of a node with links.
    cid[1] = 0x70;
    (cid, block)
}

/// Adds such nodes to Kubo's store, and returns their CIDs as text.
fn import(kubo: &Kubo, count: usize) -> Vec<String> {
    // A CAR (`ipld/specs:transport/car/carv1`): each part behind its length, as a varint.
    let part = |bytes: &[u8]| {
        let len = bytes.len();
        let varint = if len < 128 { vec![len as u8] } else { vec![len as u8 | 0x80, (len >> 7) as u8] };
        [varint, bytes.to_vec()].concat()
    };
    let roots: Vec<_> = (0..count).map(root).collect();
    // {"roots": [the first], "version": 1} in CBOR.
    let tag = [&[0xd8, 42, 0x58, 37, 0][..], &roots[0].0].concat();
    let header = [b"\xa2\x65roots\x81".as_slice(), &tag, b"\x67version\x01"].concat();
    let mut car = part(&header);
    roots.iter().for_each(|(cid, block)| car.extend(part(&[&cid[..], block].concat())));
    let (dir, base32) = (scratch("car"), |cid: &[u8]| {
        let (mut text, mut bits, mut held) = ("b".to_owned(), 0_u32, 0);
        for byte in cid {
            bits = bits << 8 | u32::from(*byte);
            held += 8;
            while held >= 5 {
                held -= 5;
                text.push(char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(bits >> held & 31) as usize]));
            }
        }
        if held > 0 {
            text.push(char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(bits << (5 - held) & 31) as usize]));
        }
        text
    });
    let file = dir.path().join("roots.car");
    std::fs::write(&file, car).expect("a CAR");
    kubo.ipfs(&["dag", "import", "--pin-roots=false", "--silent", &file.display().to_string()]).ok();
    roots.iter().map(|(cid, _)| base32(cid)).collect()
}

/// Counts the blocks that it wants.
fn wants(kubo: &Kubo) -> usize {
    let stat = kubo.ipfs(&["bitswap", "stat"]).ok().stdout;
    let line = stat.lines().find_map(|line| line.trim().strip_prefix("wantlist ["));
    line.and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no wantlist in:\n{stat}"))
}

#[test]
fn a_kubo_that_wants_twenty_thousand_blocks_is_not_cut_off() {
    let packages = [Pkgbuild::new("alpha", "1-1").size(300 << 10), Pkgbuild::new("beta", "1-1").size(900 << 10)];
    let scene = Scene::new(&packages, 1);
    let machine = &scene.machines[0];
    machine.pacman.run(&["-Sy"]).ok();
    machine.pacman.run(&["-Sw", "alpha", "beta"]).ok();
    machine.daemon.offers(2);
    let (host, kubo) = kubo_beside(&scene);
    machine.daemon.meets(1);
    let gets = |package: &Pkgbuild| {
        let path = machine.pacman.cache().join(package.file_name());
        let root = machine.swarm.run(&["cid", &path.display().to_string()]).ok().stdout;
        let root = root.split_whitespace().next().expect("a CID").to_owned();
        kubo.ipfs(&["block", "get", "--timeout", "60s", &root]).ok();
    };
    gets(&packages[0]);
    // A new connection is counted from zero.
    let sent = || machine.daemon.status()["peers"][0]["bytes_sent"].as_u64().unwrap_or_default();
    assert!(sent() >= 300 << 10);
    let roots = import(&kubo, 20_000 / LEAVES + 1);
    let api = kubo.api().trim_start_matches("http://").to_owned();
    let asking = host.inside(move || {
        let ask = |root: &String| {
            let mut socket = TcpStream::connect(&api).expect("its API");
            let path = format!("/api/v0/pin/add?arg={root}&progress=true");
            write!(socket, "POST {path} HTTP/1.1\r\nHost: {api}\r\nContent-Length: 0\r\n\r\n").expect("a request");
            socket
        };
        roots.iter().map(ask).collect::<Vec<_>>()
    });
    let _asking = asking.join().expect("requests");
    until("it wants 20,000 blocks", Duration::from_secs(120), || (wants(&kubo) >= 20_000).then_some(()));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        assert!(sent() >= 300 << 10, "the connection was cut off");
        std::thread::sleep(Duration::from_millis(50));
    }
    // It is served as before, all the time.
    gets(&packages[1]);
    assert!(sent() >= 1200 << 10, "the connection was cut off");
    assert!(wants(&kubo) >= 20_000);
}

#[test]
fn a_kubo_on_a_host_with_many_bridges_is_found() {
    let scene = Scene::new(&[Pkgbuild::new("alpha", "1-1")], 1);
    let host = scene.lan.host();
    run(host.command("ip").args(["link", "add", "bridges", "type", "bridge"])).ok();
    run(host.command("ip").args(["link", "set", "bridges", "up"])).ok();
    // Two addresses of each, over TCP and QUIC, make more than 9000 bytes.
    let add = "for i in $(seq 1 90); do ip addr add 172.20.$i.1/24 dev bridges; done";
    run(host.command("sh").args(["-c", add])).ok();
    let _kubo = Kubo::start_on(&scene.parts, &host, Routing::None);
    // It also searches on its own; the daemon is found by it, and must find it.
    scene.machines[0].daemon.meets(1);
    let known = || scene.machines[0].daemon.status()["known_peers"].as_u64().unwrap_or_default();
    until("it is known", Duration::from_secs(30), || (known() >= 1).then_some(()));
}
