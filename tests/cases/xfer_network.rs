//! `file://` servers, proxies, credentials: the same as with curl.

use std::fs;
use std::time::Duration;

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::support::*;

const SIZE: usize = 40_000;

/// Makes a repo on this machine's disk, as a `Server =` line.
fn local_repo(world: &World, files: &[(String, Vec<u8>)]) -> String {
    let dir = world.path("srv/core/os/x86_64");
    fs::create_dir_all(&dir).unwrap();
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).unwrap();
    }
    format!("file://{}", dir.display())
}

#[test]
fn a_file_server_delivers_packages_and_databases() {
    for world in [World::new(), World::new().run_by_user()] {
        let zlib = Package::new("zlib", SIZE);
        let bytes = database(&[&zlib], Compression::Gzip);
        let server = local_repo(&world, &[zlib.file(), ("core.db".into(), bytes.clone())]);
        let world = world.sync_database("core", &bytes).servers("core", &[&server], &[]);
        let out = world.out(&zlib.file_name());
        world.xfer(&format!("{server}/{}", zlib.file_name()), &out).succeeds();
        world.has(&out, &zlib.bytes);
        fs::remove_file(out).unwrap();
        let out = world.out("core.db");
        world.xfer(&format!("{server}/core.db"), &out).succeeds();
        world.has(&out, &bytes);
    }
}

#[test]
fn a_file_server_is_not_believed_either() {
    let zlib = Package::new("zlib", SIZE);
    let world = World::new();
    let server = local_repo(&world, &[(zlib.file_name(), vec![0; SIZE])]);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = world.sync_database("core", &database(&[&zlib], Compression::Gzip)).servers(
        "core",
        &[server.clone(), mirror.repo("core")],
        &[],
    );
    let out = world.out(&zlib.file_name());
    world.xfer(&format!("{server}/{}", zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
}

#[test]
fn what_a_file_server_lacks_the_next_server_has() {
    let zlib = Package::new("zlib", SIZE);
    let world = World::new();
    let server = local_repo(&world, &[]);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = world.sync_database("core", &database(&[&zlib], Compression::Gzip)).servers(
        "core",
        &[server.clone(), mirror.repo("core")],
        &[],
    );
    let out = world.out(&zlib.file_name());
    world.xfer(&format!("{server}/{}", zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_fifo_on_a_file_server_is_not_waited_for() {
    let zlib = Package::new("zlib", SIZE);
    let world = World::new();
    let server = local_repo(&world, &[]);
    let fifo = world.path("srv/core/os/x86_64").join(zlib.file_name());
    mkfifoat(CWD, fifo, Mode::from(0o666)).unwrap();
    let world = world.sync_database("core", &database(&[&zlib], Compression::Gzip)).servers("core", &[&server], &[]);
    let run = world.xfer(&format!("{server}/{}", zlib.file_name()), &world.out(&zlib.file_name()));
    assert_eq!(run.code(), 1, "{}", run.stderr);
    run.within(Duration::from_secs(5));
    world.has_no_output();
}

/// Makes a repo whose mirror exists only behind the proxy.
fn behind_proxy() -> (Package, FakeMirror, FakeProxy, World) {
    let zlib = Package::new("zlib", SIZE);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let proxy = FakeProxy::forwarding(&[("mirror.test", mirror.address())]);
    let world = World::new()
        .sync_database("core", &database(&[&zlib], Compression::Gzip))
        .servers("core", &["http://mirror.test/core/os/x86_64".to_owned()], &[])
        .set("http_proxy", &proxy.url());
    (zlib, mirror, proxy, world)
}

#[test]
fn mirrors_are_asked_through_the_proxy_of_the_environment() {
    for variable in ["http_proxy", "all_proxy", "ALL_PROXY"] {
        let (zlib, _mirror, proxy, world) = behind_proxy();
        let world = world.unset("http_proxy").set(variable, &proxy.url());
        let url = format!("http://mirror.test/core/os/x86_64/{}", zlib.file_name());
        let out = world.out(&zlib.file_name());
        let run = world.xfer(&url, &out);
        assert_eq!(run.code(), 0, "{variable}: {}", run.stderr);
        world.has(&out, &zlib.bytes);
        assert_eq!(proxy.asked(), [url], "{variable}");
    }
}

#[test]
fn kubo_on_loopback_is_never_asked_through_a_proxy() {
    let (zlib, mirror, proxy, world) = behind_proxy();
    let kubo = FakeKubo::empty().holding(&zlib.bytes);
    let world = world.kubo(&kubo);
    let out = world.out(&zlib.file_name());
    world.xfer(&format!("http://mirror.test/core/os/x86_64/{}", zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert!(!kubo.gateway().requests().is_empty(), "enabled on purpose, it is asked");
    assert_eq!(mirror.bytes(), 0);
    let port = kubo.gateway_address().port().to_string();
    assert!(!proxy.asked().iter().any(|url| url.contains(&port)), "{:?}", proxy.asked());
}

#[test]
fn with_a_proxy_kubo_is_asked_only_on_purpose() {
    let (zlib, _mirror, _proxy, world) = behind_proxy();
    let kubo = FakeKubo::empty().holding(&zlib.bytes);
    let world = world.kubo(&kubo).set("PKGSWARM_KUBO_ENABLED", "auto");
    let out = world.out(&zlib.file_name());
    world.xfer(&format!("http://mirror.test/core/os/x86_64/{}", zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert!(kubo.requests().is_empty(), "its own connections would go around the proxy");
}

#[test]
fn no_proxy_is_honoured() {
    let zlib = Package::new("zlib", SIZE);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let proxy = FakeProxy::forwarding(&[]);
    let world = World::new()
        .repo("core", &[&zlib], &[&mirror])
        .set("http_proxy", &proxy.url())
        .set("no_proxy", "127.0.0.1,localhost");
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert_eq!(proxy.asked(), [""; 0]);
}

#[test]
fn a_star_in_no_proxy_counts_for_addresses_too() {
    for variable in ["no_proxy", "NO_PROXY"] {
        let zlib = Package::new("zlib", SIZE);
        let mirror = FakeMirror::serving(&[zlib.file()]);
        let proxy = FakeProxy::forwarding(&[]);
        let world = World::new().repo("core", &[&zlib], &[&mirror]).set("all_proxy", &proxy.url()).set(variable, "*");
        let out = world.out(&zlib.file_name());
        world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
        world.has(&out, &zlib.bytes);
        assert_eq!(proxy.asked(), [""; 0], "{variable}");
    }
}

#[test]
fn http_proxy_in_capitals_is_none_as_with_curl() {
    let zlib = Package::new("zlib", SIZE);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let proxy = FakeProxy::forwarding(&[]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]).set("HTTP_PROXY", &proxy.url());
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    assert_eq!(proxy.asked(), [""; 0]);
}

#[test]
fn lower_case_counts_before_upper_case() {
    let (zlib, _mirror, proxy, world) = behind_proxy();
    let other = FakeProxy::forwarding(&[]);
    let world = world.unset("http_proxy").set("all_proxy", &proxy.url()).set("ALL_PROXY", &other.url());
    let url = format!("http://mirror.test/core/os/x86_64/{}", zlib.file_name());
    world.xfer(&url, &world.out(&zlib.file_name())).succeeds();
    assert_eq!((proxy.asked(), other.asked()), (vec![url], vec![]));
}

#[test]
fn a_proxy_that_is_none_is_not_gone_around() {
    let zlib = Package::new("zlib", SIZE);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]).set("http_proxy", "http://user:hunter2@[nonsense");
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &world.out(&zlib.file_name()));
    assert_eq!(run.code(), 1, "{}", run.stderr);
    assert!(run.said.contains("unreachable: http_proxy in the environment is not the URL of a proxy"), "{}", run.said);
    assert!(!run.stderr.contains("hunter2"));
    assert_eq!(mirror.requests().len(), 0);
}

#[test]
fn credentials_reach_the_mirror_and_no_log() {
    let zlib = Package::new("zlib", SIZE);
    let ways: [Bend; 5] = [|m| m, |m| m.status(404), |m| m.lying(), |m| m.hanging(), |m| m.redirecting_in_circles()];
    for bend in ways {
        let mirror = bend(FakeMirror::serving(&[zlib.file()]));
        let server = format!("http://user:hunter2@{}/core/os/x86_64", mirror.address());
        let world =
            World::new().sync_database("core", &database(&[&zlib], Compression::Gzip)).servers("core", &[&server], &[]);
        let run = world.xfer(&format!("{server}/{}", zlib.file_name()), &world.out(&zlib.file_name()));
        let authorization = mirror.requests()[0].header("authorization").map(str::to_owned);
        assert_eq!(authorization.as_deref(), Some("Basic dXNlcjpodW50ZXIy"), "as with curl");
        assert!(!run.stderr.contains("hunter2") && !run.stderr.contains("user:"), "{}", run.stderr);
    }
}

#[test]
fn credentials_in_a_refused_url_reach_no_log() {
    let world = World::new();
    for url in ["http://user:hunter2@/x", "ftp://user:hunter2@127.0.0.1/x", "http://user:hunter2@127.0.0.1:1/"] {
        let run = world.xfer(url, &world.out("x"));
        assert_ne!(run.code(), 0);
        assert!(!run.stderr.contains("hunter2"), "{url}: {}", run.stderr);
    }
}

#[test]
fn a_redirect_does_not_carry_credentials_to_another_host() {
    let zlib = Package::new("zlib", SIZE);
    let other = FakeMirror::serving(&[zlib.file()]);
    let mirror = FakeMirror::serving(&[zlib.file()]).redirecting_to(&other.url("core", &zlib.file_name()));
    let server = format!("http://user:hunter2@{}/core/os/x86_64", mirror.address());
    let world =
        World::new().sync_database("core", &database(&[&zlib], Compression::Gzip)).servers("core", &[&server], &[]);
    let out = world.out(&zlib.file_name());
    world.xfer(&format!("{server}/{}", zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert!(other.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn an_escape_in_a_foreign_name_does_not_reach_the_terminal() {
    let world = World::new();
    let run = world.xfer("http://127.0.0.1:1/core/%1b%5b2Jevil.pkg.tar.zst", &world.out("x"));
    assert_ne!(run.code(), 0);
    assert!(!run.stderr.contains('\u{1b}'), "{:?}", run.stderr);
}

#[test]
fn a_loopback_service_cannot_send_us_elsewhere_past_a_proxy() {
    let zlib = Package::new("zlib", 1000);
    let elsewhere = FakeMirror::serving(&[zlib.file()]);
    let kubo = FakeKubo::empty().redirecting_to(&elsewhere.url("core", &zlib.file_name()));
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]).kubo(&kubo);
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn a_socks_proxy_is_spoken_to() {
    let zlib = Package::new("zlib", 1000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let proxy = FakeMirror::serving::<&str, &[u8]>(&[]);
    let world =
        World::new().repo("core", &[&zlib], &[&mirror]).set("all_proxy", &format!("socks5h://{}", proxy.address()));
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &world.out(&zlib.file_name()));
    assert_eq!(run.code(), 1, "{}", run.stderr);
    assert!(!run.stderr.contains("unsupported scheme"), "{}", run.stderr);
    assert!(mirror.requests().is_empty(), "never past the proxy");
    assert!(proxy.server().connections() > 0);
}
