//! The HTTP endpoint: what is on this machine, its headers, its life.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::endpoint::Endpoint;
use crate::support::mirror::{MODIFIED, http_date};
use crate::support::run::{Run, Running};
use crate::support::server::eventually;
use crate::support::*;

/// A machine whose `core` lists these packages, at a mirror that is not there.
fn machine(packages: &[&Package]) -> World {
    let dead = format!("http://{}/core/os/x86_64", dead_address());
    World::new().run_by_user().sync_database("core", &database(packages, Compression::Gzip)).servers(
        "core",
        &[dead],
        &[],
    )
}

fn put(world: &World, package: &Package) {
    fs::write(world.path("cache").join(package.file_name()), &package.bytes).unwrap();
}

fn path(package: &Package) -> String {
    format!("/core/os/x86_64/{}", package.file_name())
}

#[test]
fn a_file_that_is_here_is_served_whole_in_part_and_not_twice() {
    let (small, large) = (Package::new("small", 70_000), Package::new("large", 3 << 20));
    let world = machine(&[&small, &large]);
    put(&world, &small);
    put(&world, &large);
    let (_world, endpoint) = Endpoint::of(world);
    let date = http_date(MODIFIED);
    // All over one connection, as pacman does it.
    let mut client = endpoint.client();
    for package in [&small, &large, &small] {
        let (size, path) = (package.bytes.len(), path(package));
        let answer = client.get(&path, &[]);
        assert_eq!((answer.status, answer.is_whole), (200, true));
        assert!(answer.body == package.bytes);
        assert_eq!(answer.header("content-length"), Some(&*size.to_string()));
        assert_eq!((answer.header("last-modified"), answer.header("accept-ranges")), (Some(&*date), Some("bytes")));
        assert_eq!(answer.header("content-encoding"), None);
        let head = client.ask("HEAD", &path, &[]).unwrap();
        assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some(&*size.to_string()), 0));
        let part = client.get(&path, &[("Range", "bytes=60000-")]);
        assert_eq!(
            (part.status, part.header("content-range")),
            (206, Some(&*format!("bytes 60000-{}/{size}", size - 1)))
        );
        assert!(part.body == package.bytes[60_000..]);
        let middle = client.get(&path, &[("Range", "bytes=5-9"), ("If-Range", &date)]);
        assert_eq!((middle.status, &*middle.body), (206, &package.bytes[5..10]));
        let other = client.get(&path, &[("Range", "bytes=5-9"), ("If-Range", &http_date(MODIFIED - 9))]);
        assert_eq!((other.status, other.body.len()), (200, size), "the part of another file is of no use");
        let beyond = client.get(&path, &[("Range", &format!("bytes={size}-"))]);
        assert_eq!((beyond.status, beyond.header("content-range")), (416, Some(&*format!("bytes */{size}"))));
        let many = client.get(&path, &[("Range", "bytes=0-1,5-9")]);
        assert_eq!((many.status, many.body.len()), (200, size));
        for (since, status) in [(MODIFIED, 304), (MODIFIED + 5, 304), (MODIFIED - 1, 200)] {
            let answer = client.get(&path, &[("If-Modified-Since", &http_date(since))]);
            assert_eq!((answer.status, answer.header("last-modified")), (status, Some(&*date)));
        }
    }
    let prefixed = client.get(&format!("/any/prefix{}", path(&small)), &[]);
    assert_eq!(prefixed.status, 200);
}

#[test]
fn what_no_list_knows_or_is_damaged_is_a_404_without_a_body_and_the_connection_stays() {
    let (good, damaged, absent) =
        (Package::new("good", 900), Package::new("damaged", 900), Package::new("absent", 900));
    let unlisted = Package::new("unlisted", 900);
    let world = machine(&[&good, &damaged, &absent]);
    put(&world, &good);
    put(&world, &unlisted);
    fs::write(world.path("cache").join(damaged.file_name()), vec![7; 900]).unwrap();
    let (_world, endpoint) = Endpoint::of(world);
    let mut client = endpoint.client();
    let name = good.file_name();
    for path in [
        path(&damaged),
        path(&absent),
        path(&unlisted),
        format!("/extra/os/x86_64/{name}"),
        format!("/core/os/aarch64/{name}"),
        "/core/os/x86_64/".to_owned(),
        "/favicon.ico".to_owned(),
    ] {
        let answer = client.get(&path, &[]);
        assert_eq!((answer.status, answer.header("content-length")), (404, Some("0")), "{path}");
        assert_eq!(client.get(&self::path(&good), &[]).status, 200, "after {path}");
    }
    assert_eq!(client.get(&format!("/{name}"), &[]).status, 200, "the only repository that lists it");
}

#[test]
fn only_requests_that_name_this_machine_are_answered() {
    let package = Package::new("it", 900);
    let world = machine(&[&package]);
    put(&world, &package);
    let (_world, endpoint) = Endpoint::of(world.set("PKGSWARM_ENDPOINT_NAMES", "cache.lan"));
    let asked = |line: &str, headers: &str| {
        let mut client = endpoint.client();
        client.send(format!("{line}\r\n{headers}\r\n").as_bytes());
        client.answer(line.starts_with("HEAD")).map(|answer| answer.status)
    };
    let path = path(&package);
    for (line, headers, status) in [
        (format!("GET {path} HTTP/1.1"), "Host: localhost:4011\r\n", 200),
        (format!("GET {path} HTTP/1.1"), "Host: cache.lan\r\n", 200),
        (format!("GET {path} HTTP/1.1"), "Host: evil.example\r\n", 421),
        (format!("GET {path} HTTP/1.1"), "Host: 192.168.1.1\r\n", 421),
        (format!("GET http://mirror.example{path} HTTP/1.1"), "Host: localhost\r\n", 421),
        (format!("GET {path} HTTP/1.1"), "", 400),
        (format!("GET {path} HTTP/1.0"), "", 200),
        (format!("POST {path} HTTP/1.1"), "Host: localhost\r\nContent-Length: 0\r\n", 405),
        (format!("DELETE {path} HTTP/1.1"), "Host: localhost\r\n", 405),
    ] {
        assert_eq!(asked(&line, headers), Some(status), "{line} {headers}");
    }
}

#[test]
fn new_databases_and_settings_are_noticed_while_it_runs() {
    let (old, new) = (Package::new("it", 900), Package::new("it", 800).version("2.0-1"));
    let world = machine(&[&old]);
    put(&world, &old);
    put(&world, &new);
    let (world, endpoint) = Endpoint::of(world.unset("PKGSWARM_ENDPOINT_NAMES"));
    assert_eq!((endpoint.core(&old.file_name()).status, endpoint.core(&new.file_name()).status), (200, 404));
    let replaced = world.path("root/var/lib/pacman/sync/new");
    fs::write(&replaced, database(&[&new], Compression::Gzip)).unwrap();
    fs::rename(replaced, world.path("root/var/lib/pacman/sync/core.db")).unwrap();
    assert_eq!((endpoint.core(&old.file_name()).status, endpoint.core(&new.file_name()).status), (404, 200));
    let named = |name: &str| {
        endpoint.client().ask("GET", &path(&new), &[]).unwrap().status == 200 && {
            let mut client = endpoint.client();
            client.send(format!("GET {} HTTP/1.1\r\nHost: {name}\r\n\r\n", path(&new)).as_bytes());
            client.answer(false).unwrap().status == 200
        }
    };
    assert!(!named("cache.lan"));
    let world = world.config("[endpoint]\nnames = \"cache.lan\"\n");
    eventually("the name is known", || named("cache.lan"));
    let world = world.config("[endpoint]\nnames = 7 7\n");
    eventually("the mistake is told", || endpoint.log().contains("the configuration is kept as it was"));
    assert!(named("cache.lan"));
    drop(world);
}

#[test]
fn it_lets_systemd_know_and_takes_the_socket_that_is_handed_over() {
    let package = Package::new("it", 900);
    let world = machine(&[&package]);
    put(&world, &package);
    let notify = world.path("tmp/notify");
    let heard = UnixDatagram::bind(&notify).unwrap();
    fs::set_permissions(&notify, fs::Permissions::from_mode(0o666)).unwrap();
    heard.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // Read as they come: the kernel keeps ten for a reader.
    let (tell, words) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 100];
        while let Ok(len) = heard.recv(&mut bytes) {
            let _ = tell.send(String::from_utf8(bytes[..len].to_vec()).unwrap());
        }
    });
    let said = || words.recv_timeout(std::time::Duration::from_secs(60)).expect("a word within a minute");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let world = world
        .set("PKGSWARM_ENDPOINT_ENABLED", "true")
        .set("PKGSWARM_ENDPOINT_LISTEN", "127.0.0.1:1")
        .set("NOTIFY_SOCKET", &notify.display().to_string())
        .set("WATCHDOG_USEC", "200000")
        .set("LISTEN_FDS", "1");
    // As systemd does it: the socket is descriptor 3, and the process is named in a variable.
    let mut command = Command::new("/bin/sh");
    let like = world.command(&["endpoint"]);
    command.args(["-c", "export LISTEN_PID=$$; exec \"$0\" endpoint 3<&0 </dev/null"]).arg(like.get_program());
    let mut command = world.equipped(command);
    command.stdin(Stdio::from(OwnedFd::from(listener))).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut client = support_client(address);
    assert_eq!(client.get(&path(&package), &[]).status, 200, "asked before it was ready");
    assert_eq!([said(), said(), said()], ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(std::iter::repeat_with(said).take(10_000).any(|word| word == "STOPPING=1"));
}

fn support_client(address: std::net::SocketAddr) -> crate::support::endpoint::Client {
    crate::support::endpoint::Client::at(address)
}

#[test]
fn what_keeps_it_from_starting_is_told() {
    let world = machine(&[]).set("PKGSWARM_ENDPOINT_LISTEN", "127.0.0.1:0");
    let run = |world: &World| -> Run { Running::start(world.command(&["endpoint"]), world.base()).finish() };
    let off = run(&world);
    assert_eq!(off.code(), 2);
    assert!(off.stderr.contains("endpoint.enabled: is false") && off.stderr.contains("hint: "), "{}", off.stderr);
    let notify = world.path("tmp/notify");
    let heard = UnixDatagram::bind(&notify).unwrap();
    fs::set_permissions(&notify, fs::Permissions::from_mode(0o666)).unwrap();
    // Started by systemd, as where a distribution enables units by default, it is no failed unit.
    let world = world.set("NOTIFY_SOCKET", &notify.display().to_string());
    let started = run(&world);
    assert_eq!(started.code(), 0, "{}", started.stderr);
    let mut bytes = [0; 100];
    let len = heard.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..len], b"READY=1");
    assert!(started.stderr.contains("endpoint.enabled is false"), "{}", started.stderr);
    let world = world.unset("NOTIFY_SOCKET");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let world = world.set("PKGSWARM_ENDPOINT_ENABLED", "true").set("PKGSWARM_ENDPOINT_LISTEN", &at);
    let refused = run(&world);
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr.contains(&format!("{at}: another program listens there already")), "{}", refused.stderr);
    let open = run(&world.set("PKGSWARM_ENDPOINT_LISTEN", "0.0.0.0:0"));
    assert!(open.code() == 2 && open.stderr.contains("endpoint.allow"), "{}", open.stderr);
}
