//! Answers that bend HTTP, from old, home-made and inspecting servers: answers that curl accepts are accepted.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use crate::support::mirror::MODIFIED;
use crate::support::*;

const SIZE: usize = 40_000;

/// Asserts that a proven package, and an unlisted one, arrive from a mirror with this behaviour.
fn delivers(what: &str, bend: Bend) {
    let zlib = Package::new("zlib", SIZE);
    let bytes = database(&[&zlib], Compression::Gzip);
    let mirror = bend(FakeMirror::serving(&[zlib.file(), ("core.db".into(), bytes.clone())]));
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    for (file, bytes) in [(zlib.file_name(), &zlib.bytes), ("core.db".to_owned(), &bytes)] {
        let out = world.out(&file);
        let run = world.xfer(&mirror.url("core", &file), &out);
        assert_eq!(run.code(), 0, "{what}, {file}: {}", run.stderr);
        world.has(&out, bytes);
        std::fs::remove_file(out).unwrap();
    }
}

#[test]
fn a_header_over_several_lines_is_read() {
    delivers("folded", |m| m.with_header("X-Policy", "allow;\r\n  report;\r\n\tlog"));
}

#[test]
fn a_blank_before_the_colon_is_overlooked() {
    delivers("blank", |m| m.with_header("X-Cache ", "MISS").with_header("X-Served-By\t", "edge"));
}

#[test]
fn a_line_that_is_no_header_is_overlooked() {
    delivers("no header", |m| m.with_header("X(Bad)", "value").with_header("Sp ace d", "value"));
}

#[test]
fn hundreds_of_headers_are_read() {
    delivers("150", |m| (0..150).fold(m, |m, i| m.with_header(&format!("X-Header-{i}"), "value")));
    delivers("1000", |m| (0..1000).fold(m, |m, i| m.with_header(&format!("X-Header-{i}"), "value")));
    delivers("one of 60 KB", |m| m.with_header("X-Long", &"x".repeat(60_000)));
}

#[test]
fn every_status_of_success_with_a_file_is_one() {
    for code in [201, 202, 203, 226, 299] {
        // Functions in tables cannot hold a number.
        let bend: Bend = match code {
            201 => |m| m.calling_success(201),
            202 => |m| m.calling_success(202),
            203 => |m| m.calling_success(203),
            226 => |m| m.calling_success(226),
            _ => |m| m.calling_success(299),
        };
        delivers(&format!("status {code}"), bend);
    }
}

#[test]
fn a_redirect_to_raw_utf_8_is_followed() {
    let zlib = Package::new("zlib", SIZE);
    let real = FakeMirror::serving(&[zlib.file()]);
    let target = format!("http://{}/größe/日本/{}", real.address(), zlib.file_name());
    let mirror = FakeMirror::serving(&[zlib.file()]).redirecting_to(&target);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert_eq!(real.requests()[0].path(), format!("größe/日本/{}", zlib.file_name()));
}

#[test]
fn a_server_that_answers_something_else_than_http_is_not_called_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let mut got = 0;
        while !request[..got].windows(4).any(|end| end == b"\r\n\r\n") {
            got += stream.read(&mut request[got..]).unwrap();
        }
        stream.write_all(b"220 ftp.example.org FTP server ready\r\n\r\n").unwrap();
        let _ = stream.read(&mut request);
    });
    let world = World::new().servers("core", &[format!("http://{address}")], &[]);
    let run = world.xfer(&format!("http://{address}/core.db"), &world.out("core.db"));
    serve.join().unwrap();
    assert_eq!(run.code(), 1, "{}", run.stderr);
    assert!(run.said.contains("  mirror  127.0.0.1:A  broken: its answer is not HTTP: "), "{}", run.said);
    world.has_no_output();
}

#[test]
fn what_happens_after_a_redirect_names_the_last_host() {
    let zlib = Package::new("zlib", SIZE);
    let bytes = database(&[&zlib], Compression::Gzip);
    let real = FakeMirror::serving(&[("core.db", &bytes)]);
    let mirror = FakeMirror::serving(&[("core.db", &bytes)]).redirecting_to(&real.url("core", "core.db"));
    let world = World::new().servers("core", &[mirror.repo("core")], &[]);
    let out = world.out("core.db");
    let run = world.xfer(&mirror.url("core", "core.db"), &out);
    run.succeeds();
    assert!(run.said.contains("  from 127.0.0.1:A, redirected to 127.0.0.1:B"), "{}", run.said);
    std::fs::remove_file(out).unwrap();
    let ways: [(Bend, &str); 3] = [
        (|m| m.status(404), "absent: HTTP 404 (redirected to 127.0.0.1:B)"),
        (|m| m.cut_after(10), "broken: end of file before message length reached (redirected to 127.0.0.1:B)"),
        (|m| m.redirecting_to("ftp://x/y"), "broken: redirected to a ftp address (redirected to 127.0.0.1:B)"),
    ];
    for (bend, line) in ways {
        let real = bend(FakeMirror::serving(&[("core.db", &bytes)])).modified(MODIFIED);
        let mirror = FakeMirror::serving(&[("core.db", &bytes)]).redirecting_to(&real.url("core", "core.db"));
        let world = World::new().servers("core", &[mirror.repo("core")], &[]);
        let run = world.xfer(&mirror.url("core", "core.db"), &world.out("core.db"));
        assert!(run.code() == 1 && run.said.contains(line), "{line}: {}", run.said);
    }
}

#[test]
fn a_database_does_not_come_from_a_private_address_that_a_public_mirror_names() {
    let zlib = Package::new("zlib", SIZE);
    let bytes = database(&[&zlib], Compression::Gzip);
    let inside = FakeMirror::serving(&[zlib.file(), ("core.db".into(), bytes.clone())]);
    for private in [inside.address().to_string(), "router.lan".to_owned(), "[::1]:8".to_owned(), "localhost".to_owned()]
    {
        let outside = FakeMirror::serving(&[zlib.file(), ("core.db".into(), bytes.clone())]);
        let outside = outside.on("core.db").redirecting_to(&format!("http://{private}/core/os/x86_64/core.db"));
        let hosts = [("mirror.example.org", outside.address()), ("router.lan", inside.address())];
        let proxy = FakeProxy::forwarding(&hosts);
        let server = "http://mirror.example.org/core/os/x86_64";
        let world = World::new().servers("core", &[server], &[]).set("http_proxy", &proxy.url());
        let run = world.xfer(&format!("{server}/core.db"), &world.out("core.db"));
        assert_eq!(run.code(), 1, "{private}: {}", run.stderr);
        let line = format!("broken: a redirect from a public host to {private}, a private address, is not followed");
        assert!(run.stderr.contains(&line), "{}", run.stderr);
        world.has_no_output();
    }
    assert_eq!(inside.requests().len(), 0, "it is not even asked");

    // A proven file may come from any place.
    let outside = FakeMirror::serving(&[zlib.file()]).redirecting_to(&inside.url("core", &zlib.file_name()));
    let proxy = FakeProxy::forwarding(&[("mirror.example.org", outside.address())]);
    let server = "http://mirror.example.org/core/os/x86_64";
    let world =
        World::new().sync_database("core", &bytes).servers("core", &[server], &[]).set("http_proxy", &proxy.url());
    let out = world.out(&zlib.file_name());
    world.xfer(&format!("{server}/{}", zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
}
