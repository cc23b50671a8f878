//! The endpoint's page in a real browser: what its readers see of a machine that is new, busy and failing, on a desk and
//! on a phone, by day and by night, with scripts and without.
//!
//! The pictures stay in `target/tmp/page`, for the eye.

#[path = "support/real/browser.rs"]
mod browser;
#[allow(dead_code, unused_imports, reason = "these tests need a part of the actors")]
mod support;

use browser::{Browser, Reader, SeenPage};
use pkgswarm::base::name::FileName;
use pkgswarm::store::journal::{By, Contribution, Journal, JournalRecord};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::daemon::{Daemon, FakeDaemon};
use support::endpoint::Endpoint;
use support::*;

/// On a desk, on a phone, on a phone at night, and there without scripts.
const READERS: [(&str, Reader); 4] = [
    ("desk", Reader { width: 1280, is_dark: false, has_scripts: true }),
    ("phone", Reader { width: 360, is_dark: false, has_scripts: true }),
    ("phone-dark", Reader { width: 360, is_dark: true, has_scripts: true }),
    ("phone-scriptless", Reader { width: 360, is_dark: true, has_scripts: false }),
];

/// Text of others that no reader may see as anything but text.
const EVIL: &str = "<img src=x onerror=alert(1)><script>alert(1)</script>";

/// A machine, and what runs on it for as long as it is looked at.
struct PageScene {
    endpoint: Endpoint,
    _world: World,
    _daemon: Option<FakeDaemon>,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

fn package() -> Package {
    // More than the buffers of a connection hold.
    Package::new("linux", 24 << 20)
}

fn world(packages: &[&Package]) -> World {
    let dead = format!("http://{}/core/os/x86_64", dead_address());
    World::new().run_by_user().sync_database("core", &database(packages, Compression::Gzip)).servers(
        "core",
        &[dead],
        &[],
    )
}

/// Starts a machine on which nothing has happened yet.
fn empty() -> PageScene {
    let (world, endpoint) = Endpoint::of(world(&[]));
    PageScene { endpoint, _world: world, _daemon: None }
}

/// Starts one with neighbours, a past, pending updates, and a client that reads slowly.
fn busy() -> PageScene {
    let package = package();
    let daemon = FakeDaemon::holding(&[], Daemon::Sharing);
    let world = world(&[&package]).set("PKGSWARM_DAEMON_SOCKET", &daemon.socket().display().to_string());
    fs::write(world.path("cache").join(package.file_name()), &package.bytes).expect("a file");
    let journal = Journal::at(world.path("store"));
    for back in [0, 1, 2, 3, 5, 8, 9, 13, 14, 21, 28] {
        let lan = (back % 4) * (19 << 20);
        let mirrors = (120 << 20) - lan;
        note(&journal, back, 140 << 20, &[("lan", lan), ("kubo", 9 << 20), ("mirror geo.mirror.example", mirrors)]);
        note(&journal, back, 30 << 20, &[]);
    }
    note(&journal, 0, 1 << 20, &[(&format!("mirror {EVIL}"), 1 << 20)]);
    let updates: Vec<String> = (0..16).map(update).collect();
    let state = format!(r#"{{"checked": {}, "updates": [{}], "since": {{}}}}"#, now() - 600, updates.join(","));
    fs::create_dir_all(world.path("store/prefetch")).expect("a directory");
    fs::write(world.path("store/prefetch/state.json"), state).expect("a file");
    let (world, endpoint) = Endpoint::of(world);
    read_slowly(&endpoint, &format!("/core/os/x86_64/{}", package.file_name()));
    PageScene { endpoint, _world: world, _daemon: Some(daemon) }
}

/// Has a client ask for a file and read a little of it at a time: it lasts, and is never silent.
fn read_slowly(endpoint: &Endpoint, path: &str) {
    let mut stream = TcpStream::connect(endpoint.address()).expect("it listens");
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).expect("a request");
    let mut piece = vec![0; 16 << 10];
    // From its first byte on it is shown.
    assert!(stream.read(&mut piece).is_ok_and(|read| read > 0), "no answer");
    std::thread::spawn(move || {
        while stream.read(&mut piece).is_ok_and(|read| read > 0) {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}

fn note(journal: &Journal, days: u64, delivered: u64, shares: &[(&str, u64)]) {
    let shares = shares.iter().map(|(source, bytes)| Contribution { source: (*source).to_owned(), bytes: *bytes });
    let name = FileName::new("a-1-1-any.pkg.tar.zst").expect("a name");
    let shares = shares.filter(|share| share.bytes > 0).collect();
    let record =
        JournalRecord { at: now() - days * 86_400, took: 1500, by: By::Xfer, repo: None, name, delivered, shares };
    journal.note(&record).expect("a journal");
}

fn update(at: u64) -> String {
    let stands = match at {
        0..9 => r#""stands": "here""#.to_owned(),
        9 => format!(r#""stands": "failed", "why": "no source delivered it: {EVIL}""#),
        _ => r#""stands": "pending""#.to_owned(),
    };
    let name = if at.is_multiple_of(3) { format!("a-package-with-quite-a-long-name-{at}") } else { format!("lib{at}") };
    format!(
        r#"{{"repo": "core", "name": "{name}", "old": "1.{at}-1", "new": "1:2.{at}-1", "file": "{name}-2-1-any.pkg.tar.zst",
        "size": {}, "sha256": null, "since": 1, {stands}, "pinned": false}}"#,
        (at + 1) * 1_234_567
    )
}

/// Starts one whose daemon is silent, and whose configuration has a mistake since.
fn failing() -> PageScene {
    let daemon = FakeDaemon::holding(&[], Daemon::Silent);
    let world = world(&[]).set("PKGSWARM_DAEMON_SOCKET", &daemon.socket().display().to_string());
    let (world, endpoint) = Endpoint::of(world);
    let world = world.config(&format!("[store]\n{EVIL:?} = 1\n"));
    PageScene { endpoint, _world: world, _daemon: Some(daemon) }
}

/// Looks at a machine with the eyes of all readers, each of which is `told` this, and keeps what they see.
fn seen(browser: &mut Browser, state: &str, scene: &PageScene, told: &[&str]) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&dir).expect("a directory");
    let url = format!("http://{}/", scene.endpoint.address());
    for (name, reader) in READERS {
        let seen = browser.look(&url, reader);
        let picture = dir.join(format!("{state}-{name}.png"));
        fs::write(&picture, &seen.picture).expect("a file");
        let SeenPage { scroll_width, letters: (body, least), complaints, fetched, .. } = &seen;
        let at = format!("{state}, {name} ({})", picture.display());
        assert!(complaints.is_empty(), "{at}: {complaints:?}");
        assert!(fetched.iter().all(|one| *one == url || one.starts_with("data:")), "{at}: {fetched:?}");
        assert!(*scroll_width <= f64::from(reader.width), "{at}: {scroll_width} pixels wide");
        assert!(*body >= 14.0 && *least >= 14.0, "{at}: letters of {body} and {least} pixels");
        assert_eq!(seen.text.contains("<script>alert(1)</script>"), state != "empty", "{at}: {}", seen.text);
        for told in told {
            assert!(seen.text.contains(told), "{at}: {told}: {}", seen.text);
        }
    }
}

#[test]
fn readers_see_a_new_a_busy_and_a_failing_machine_whole_and_without_complaints() {
    let mut browser = Browser::start();
    seen(&mut browser, "empty", &empty(), &["sudo pkgswarm setup", "sudo pkgswarm prefetch"]);
    // "On the way" is the transfer that runs at this moment.
    let told =
        ["On the way", "linux-1.0-1", "of 24.0", "10.78.0.1", "geo.mirror.example", "16 pending, 9 ready", "Saved "];
    seen(&mut browser, "busy", &busy(), &told);
    seen(&mut browser, "failing", &failing(), &["What is wrong", "unknown setting", "the daemon does not answer"]);
}
