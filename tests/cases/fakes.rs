//! The fakes misbehave as told, and only as told: checked with bare sockets, without the program.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::Compression;
use crate::support::mirror::{MODIFIED, http_date};
use crate::support::repo::{Package, compressed, noise};
use crate::support::script::{JUNK, PORTAL};
use crate::support::*;

/// The received bytes, and how the connection ended.
struct Answer {
    head: String,
    body: Vec<u8>,
    /// The kind of I/O error that ended the reading; `None` for a clean end.
    error: Option<std::io::ErrorKind>,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Makes one request on a connection of its own; gives up after two seconds of silence.
fn ask(at: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    let error = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break None,
            Ok(n) => all.extend_from_slice(&buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => break Some(e.kind()),
        }
    };
    let split = all.windows(4).position(|four| four == b"\r\n\r\n").map_or(all.len(), |at| at + 4);
    let body = all.split_off(split);
    Answer { head: String::from_utf8(all).unwrap(), body, error }
}

fn get(mirror: &FakeMirror, headers: &str) -> Answer {
    ask(mirror.address(), &format!("GET /core/os/x86_64/f HTTP/1.1\r\nHost: m\r\n{headers}Connection: close\r\n\r\n"))
}

fn mirror() -> (Vec<u8>, FakeMirror) {
    let bytes = noise("f", 10_000);
    let mirror = FakeMirror::serving(&[("f", &bytes)]);
    (bytes, mirror)
}

const SILENT: Option<std::io::ErrorKind> = Some(std::io::ErrorKind::WouldBlock);
const RESET: Option<std::io::ErrorKind> = Some(std::io::ErrorKind::ConnectionReset);

#[test]
fn an_honest_mirror_serves_files_ranges_and_dates() {
    let (bytes, mirror) = mirror();
    let whole = get(&mirror, "User-Agent: me/1\r\n");
    assert_eq!((whole.status(), whole.body == bytes, whole.error), (200, true, None));
    assert_eq!(whole.header("Last-Modified"), Some("Mon, 02 Jun 2025 10:00:00 GMT"));

    let part = get(&mirror, "Range: bytes=9000-\r\n");
    assert_eq!((part.status(), part.body.as_slice()), (206, &bytes[9000..]));
    assert_eq!(part.header("Content-Range"), Some("bytes 9000-9999/10000"));
    assert_eq!(get(&mirror, "Range: bytes=5-9\r\n").body, &bytes[5..10]);
    assert_eq!(get(&mirror, "Range: bytes=10000-\r\n").status(), 416);
    assert_eq!(get(&mirror, "Range: bytes=5-\r\nIf-Range: \"other\"\r\n").status(), 200);

    let unchanged = get(&mirror, &format!("If-Modified-Since: {}\r\n", http_date(MODIFIED)));
    assert_eq!((unchanged.status(), unchanged.body.len()), (304, 0));
    assert_eq!(ask(mirror.address(), "GET /g HTTP/1.1\r\nConnection: close\r\n\r\n").status(), 404);

    assert_eq!((mirror.hits("f"), mirror.hits("core/os/x86_64/f"), mirror.hits("g")), (6, 6, 1));
    assert_eq!(mirror.requests()[0].header("user-agent"), Some("me/1"));
    assert_eq!(mirror.requests_of("f")[1].header("range"), Some("bytes=9000-"));
}

#[test]
fn one_connection_serves_several_requests() {
    let (bytes, mirror) = mirror();
    let twice = ask(mirror.address(), "HEAD /f HTTP/1.1\r\n\r\nGET /f HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(twice.body.ends_with(&bytes) && twice.body.len() > bytes.len());
    assert_eq!((mirror.requests().len(), mirror.server().connections(), mirror.bytes()), (2, 1, 10_000));
}

#[test]
fn connections_end_as_told() {
    let cut = |mirror: FakeMirror| {
        let answer = get(&mirror, "");
        assert_eq!(answer.header("Content-Length"), Some("10000"));
        (answer.body.len(), answer.error)
    };
    assert_eq!(cut(mirror().1.cut_after(1000)), (1000, None));
    assert_eq!(cut(mirror().1.reset_after(1000)), (1000, RESET));
    assert_eq!(cut(mirror().1.stall_after(1000)), (1000, SILENT));
    let hung = get(&mirror().1.hanging(), "");
    assert_eq!((hung.head.as_str(), hung.error), ("", SILENT));
}

#[test]
fn a_stalled_connection_ends_with_its_mirror() {
    let mirror = mirror().1.stall_after(10);
    let mut stream = TcpStream::connect(mirror.address()).unwrap();
    stream.write_all(b"GET /f HTTP/1.1\r\n\r\n").unwrap();
    mirror.server().wait_for_bytes(10);
    drop(mirror);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > 10);
}

#[test]
fn bodies_lie_as_told() {
    let (bytes, mirror) = mirror();
    let mirror = mirror.lying();
    let lie = get(&mirror, "").body;
    assert_eq!((lie.len(), lie[..9999] == bytes[..9999], lie[9999] == bytes[9999]), (10_000, true, false));
    assert_ne!(get(&mirror, "Range: bytes=9999-\r\n").body, bytes[9999..]);
    assert_eq!(get(&mirror, "Range: bytes=0-99\r\n").body, bytes[..100]);

    let mirror = mirror.honest().oversized(5);
    let more = get(&mirror, "");
    assert_eq!((more.body.len(), more.header("Content-Length")), (10_005, Some("10005")));
    let more = get(&mirror.without_content_length(), "");
    assert_eq!((more.body.len(), more.header("Content-Length"), more.error), (10_005, None, None));
}

#[test]
fn ranges_are_mistreated_as_told() {
    let (bytes, mirror) = mirror();
    let mirror = mirror.ignoring_range();
    let whole = get(&mirror, "Range: bytes=9000-\r\n");
    assert_eq!((whole.status(), whole.body == bytes, whole.header("Accept-Ranges")), (200, true, None));
    let wrong = get(&mirror.honest().with_wrong_content_range(), "Range: bytes=9000-\r\n");
    assert_eq!((wrong.status(), wrong.header("Content-Range")), (206, Some("bytes 1-2/3")));
}

#[test]
fn other_answers_come_as_told() {
    let (bytes, mirror) = mirror();
    let mirror = mirror.status(503).retry_after(60);
    let busy = get(&mirror, "");
    assert_eq!((busy.status(), busy.header("Retry-After")), (503, Some("60")));
    let mirror = mirror.honest().redirecting_in_circles();
    assert_eq!(get(&mirror, "").header("Location"), Some("/core/os/x86_64/f?lap=1"));
    let mirror = mirror.honest().redirecting_to("http://elsewhere/f");
    assert_eq!(get(&mirror, "").header("Location"), Some("http://elsewhere/f"));
    let mirror = mirror.honest().captive_portal();
    let page = ask(mirror.address(), "GET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!((page.status(), page.body.as_slice()), (200, PORTAL.as_bytes()));

    let mirror = mirror.honest().on("g").status(404).on("f").status(503).times(1);
    assert_eq!((get(&mirror, "").status(), get(&mirror, "").body), (503, bytes));
}

#[test]
fn a_slow_mirror_keeps_its_rate() {
    let mirror = mirror().1.slow(50_000);
    let started = Instant::now();
    assert_eq!(get(&mirror, "").body.len(), 10_000);
    assert!(started.elapsed() > Duration::from_millis(150), "{:?}", started.elapsed());
}

#[test]
fn chunks_end_early_and_trailers_carry_errors() {
    let early = get(&mirror().1.chunked_ending_early(100), "");
    assert_eq!((early.header("Transfer-Encoding"), early.error), (Some("chunked"), None));
    assert!(early.body.starts_with(b"64\r\n") && early.body.ends_with(b"\r\n0\r\n\r\n"));
    let early = get(&mirror().1.trailer_error_after(100), "");
    assert_eq!(early.header("Trailer"), Some("X-Stream-Error"));
    assert!(
        String::from_utf8_lossy(&early.body)
            .ends_with("0\r\nX-Stream-Error: block was not found locally (offline)\r\n\r\n")
    );
}

#[test]
fn nothing_listens_at_a_dead_address() {
    assert_eq!(TcpStream::connect(dead_address()).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_healthy_kubo_answers_as_the_real_one() {
    let package = Package::new("zlib", 5000);
    let kubo = FakeKubo::empty().holding(&package.bytes).naming("k51", b"record");
    let cid = pkgswarm::base::cid::Cid::raw(package.sha256()).to_string();
    let gateway = |host: &str, path: &str, headers: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n");
        ask(kubo.gateway_address(), &request)
    };
    let at = kubo.gateway_address().to_string();
    let file = gateway(&at, &format!("/ipfs/{cid}"), "");
    assert_eq!(
        (file.status(), file.body == package.bytes, file.header("X-Ipfs-Roots")),
        (200, true, Some(cid.as_str()))
    );
    assert_eq!(gateway(&at, &format!("/ipfs/{cid}"), "Range: bytes=4990-\r\n").body, package.bytes[4990..]);
    let block = gateway(&at, &format!("/ipfs/{cid}?format=raw"), "");
    assert_eq!((block.body == package.bytes, block.header("Content-Type")), (true, Some("application/vnd.ipld.raw")));
    let moved = gateway("localhost:8080", &format!("/ipfs/{cid}"), "");
    assert_eq!((moved.status(), moved.header("Location")), (301, Some(&*format!("http://{cid}.ipfs.localhost:8080/"))));
    let other = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
    assert_eq!(gateway(&at, &format!("/ipfs/{other}"), "Cache-Control: only-if-cached\r\n").status(), 412);
    assert_eq!(gateway(&at, &format!("/ipfs/{other}"), "").error, SILENT);

    let rpc = |method: &str, call: &str| {
        let api = kubo.api().address();
        ask(
            api,
            &format!("{method} /api/v0/{call} HTTP/1.1\r\nHost: k\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        )
    };
    assert_eq!(rpc("GET", "version").status(), 405);
    assert!(String::from_utf8_lossy(&rpc("POST", "version").body).contains(r#""Version":"0.43.1""#));
    assert_eq!(rpc("POST", &format!("block/get?arg={cid}&timeout=900ms")).body, package.bytes);
    let (started, none) = (Instant::now(), rpc("POST", &format!("block/get?arg={other}&timeout=200ms")));
    assert_eq!(none.status(), 500);
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(rpc("POST", "name/get?arg=/ipns/k51").body, b"record");
    assert_eq!(rpc("POST", &format!("pin/ls?arg={cid}")).status(), 500);
    assert_eq!(rpc("POST", &format!("block/rm?arg={cid}")).status(), 200);
    assert!(!kubo.has_block(&cid));
    assert!(String::from_utf8_lossy(&rpc("POST", "repo/stat?size-only=true").body).contains(r#""RepoSize":0"#));
    let kubo = kubo.holding(&package.bytes).pinning(&cid);
    let rm = format!("POST /api/v0/block/rm?arg={cid} HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n");
    assert!(String::from_utf8_lossy(&ask(kubo.api().address(), &rm).body).contains("pinned: recursive"));
    assert!(kubo.has_block(&cid), "what is pinned stays");
}

#[test]
fn a_kubo_with_a_big_file_has_its_root_and_its_leaves() {
    let bytes = noise("linux", (2 << 20) + 5);
    let kubo = FakeKubo::empty().holding(&bytes);
    let root = pkgswarm::dag::build::build(&*bytes).unwrap().root;
    let get =
        |path: String| ask(kubo.gateway_address(), &format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n")).body;
    assert!(get(format!("/ipfs/{root}")) == bytes);
    assert!(root.proves(&get(format!("/ipfs/{root}?format=raw"))));
    let leaf = pkgswarm::base::cid::Cid::raw(pkgswarm::base::digest::Sha256::of(&bytes[2 << 20..]));
    assert_eq!(get(format!("/ipfs/{leaf}?format=raw")), bytes[2 << 20..]);
}

#[test]
fn a_broken_gateway_leaves_junk_and_resets() {
    let package = Package::new("zlib", 5000);
    let kubo = FakeKubo::empty().holding(&package.bytes).junk_and_reset_after(1000);
    let cid = pkgswarm::base::cid::Cid::raw(package.sha256());
    let broken = ask(kubo.gateway_address(), &format!("GET /ipfs/{cid} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"));
    assert_eq!((broken.header("Content-Length"), broken.error), (Some("5000"), RESET));
    assert_eq!(broken.body, [&package.bytes[..1000], JUNK.as_bytes()].concat());
}

#[test]
fn a_proxy_forwards_and_remembers() {
    let (bytes, mirror) = mirror();
    let proxy = FakeProxy::forwarding(&[("mirror.test", mirror.address())]);
    let at: SocketAddr = proxy.url().strip_prefix("http://").unwrap().parse().unwrap();
    let answer = ask(at, "GET http://mirror.test/f HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!((answer.status(), answer.body == bytes), (200, true));
    assert_eq!(ask(at, "GET http://nowhere.test/f HTTP/1.1\r\nConnection: close\r\n\r\n").status(), 502);
    assert_eq!(proxy.asked(), ["http://mirror.test/f", "http://nowhere.test/f"]);
}

#[test]
fn databases_unpack_to_what_went_in() {
    let (zlib, gamma) = (Package::new("zlib", 100), Package::new("gamma+x", 10).version("1:2.0-1"));
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Xz] {
        let bytes = database(&[&zlib, &gamma], compression);
        let plain = match compression {
            Compression::None => bytes.clone(),
            Compression::Zstd => zstd::decode_all(&*bytes).unwrap(),
            Compression::Gzip => read_all(flate2::read::GzDecoder::new(&*bytes)),
            Compression::Xz => read_all(liblzma::read::XzDecoder::new(&*bytes)),
        };
        assert_eq!(bytes, compressed(&plain, compression));
        let mut archive = tar::Archive::new(&*plain);
        let names: Vec<String> =
            archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names, ["zlib-1.0-1/", "zlib-1.0-1/desc", "gamma+x-1:2.0-1/", "gamma+x-1:2.0-1/desc"]);
    }
}

#[test]
fn pacman_conf_prints_what_the_real_one_prints() {
    let servers = ["http://m/core/os/x86_64".to_owned(), "file:///srv/core".to_owned()];
    let world = World::new().servers("core", &servers, &[]).servers("extra", &servers[..1], &[]);
    let print = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).arg("--config").arg(world.path("pacman.conf")).args(arguments).output();
        output.map(|output| String::from_utf8(output.stdout).unwrap())
    };
    let fake = world.path("bin/pacman-conf");
    let fake = fake.to_str().unwrap();
    if print("pacman-conf", &[]).is_err() {
        world::loudly("no pacman-conf here to compare the fake with");
        return;
    }
    let queries: [&[&str]; 6] =
        [&[], &["DBPath"], &["CacheDir"], &["--repo-list"], &["-r", "core", "Server"], &["--repo=extra"]];
    for query in queries {
        assert_eq!(print(fake, query).unwrap(), print("pacman-conf", query).unwrap(), "{query:?}");
    }
}

fn read_all(mut from: impl Read) -> Vec<u8> {
    let mut out = Vec::new();
    from.read_to_end(&mut out).unwrap();
    out
}
