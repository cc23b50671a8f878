//! The endpoint's thread of connections waits for nothing: neither for a disk nor for a hash nor for its turn at a mirror.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::endpoint::{Client, Endpoint};
use crate::support::server::PATIENCE;
use crate::support::tls::{Certificate, FakeTls, bundle};
use crate::support::two::Two;
use crate::support::world::give;
use crate::support::*;

fn path(package: &Package) -> String {
    format!("/core/os/x86_64/{}", package.file_name())
}

/// A machine whose `core` lists these packages, at these servers.
fn scene(packages: &[Package], servers: &[String]) -> World {
    let packages: Vec<&Package> = packages.iter().collect();
    let world = World::new().run_by_user().sync_database("core", &database(&packages, Compression::Gzip));
    world.servers("core", servers, &[])
}

/// Asks for each package over a connection of its own, all at a time; counts the whole and right ones.
fn ask_for_all(endpoint: &Endpoint, packages: &[Package]) -> usize {
    let (right, address) = (AtomicUsize::new(0), endpoint.address());
    thread::scope(|scope| {
        for package in packages {
            let right = &right;
            let ask = move || {
                let answer = Client::at(address).ask("GET", &path(package), &[]);
                if answer.is_some_and(|answer| answer.status == 200 && answer.body == package.bytes) {
                    right.fetch_add(1, Ordering::Relaxed);
                }
            };
            // Small stacks: there are hundreds of them.
            thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, ask).unwrap();
        }
    });
    right.into_inner()
}

#[test]
fn a_beginning_that_is_hashed_again_holds_up_no_other_client() {
    let big = Package { bytes: vec![0; (96 << 20) + 1], ..Package::new("big", 4) };
    let small = Package::new("small", 900);
    let mirror = FakeMirror::serving(&[(big.file_name(), "")]).hanging();
    let world = scene(&[big.clone(), small.clone()], &[mirror.repo("core")]);
    fs::write(world.path("cache").join(small.file_name()), &small.bytes).unwrap();
    let (world, endpoint) = Endpoint::of(world);
    assert_eq!(endpoint.core(&small.file_name()).status, 200);
    // As an earlier run has left it: a megabyte at a time, all of it written.
    let partial = world.path("store/partial").join(big.sha256().to_string());
    let mut file = fs::File::create(&partial).unwrap();
    (0..96).for_each(|_| file.write_all(&[0; 1 << 20]).unwrap());
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o600)).unwrap();
    give(&partial, owner(&world.path("store/partial")));
    let mut waiting = endpoint.client();
    assert!(waiting.send(format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path(&big)).as_bytes()));
    // The mirror is asked for the rest once the beginning is hashed.
    let (mut client, mut answers) = (endpoint.client(), 0);
    while mirror.hits(&big.file_name()) == 0 {
        assert_eq!(client.get(&path(&small), &[]).status, 200);
        answers += 1;
    }
    assert!(answers >= 1, "{answers} answers meanwhile");
    let asked = mirror.requests_of(&big.file_name());
    assert_eq!(asked[0].header("range"), Some(&*format!("bytes={}-", 96 << 20)));
}

fn owner(path: &Path) -> u32 {
    fs::metadata(path).unwrap().uid()
}

#[test]
fn a_mirror_with_http_1_sees_no_more_connections_than_those_of_pacman_and_no_client_goes_without() {
    let packages: Vec<Package> = (0..40).map(|n| Package::new(&format!("p{n:03}"), 3000 + n)).collect();
    let files: Vec<_> = packages.iter().map(Package::file).collect();
    let mirror = FakeMirror::serving(&files);
    let (_world, endpoint) = Endpoint::of(scene(&packages, &[mirror.repo("core")]));
    assert_eq!(ask_for_all(&endpoint, &packages), packages.len());
    assert!(packages.iter().all(|package| mirror.hits(&package.file_name()) == 1), "each is fetched once");
    // ParallelDownloads = 1, and one for signatures.
    let seen = mirror.server().connections();
    assert!(seen <= 2, "{seen} connections");
}

#[test]
fn a_mirror_with_http_2_sees_one_connection_for_all_clients() {
    let packages: Vec<Package> = (0..40).map(|n| Package::new(&format!("p{n:02}"), 20_000 + n)).collect();
    let files: Vec<_> = packages.iter().map(Package::file).collect();
    let made = Certificate::new().make();
    let two = Arc::new(Two::serving(&files).waiting_for(16));
    let mirror = FakeTls::speaking_two(&two, &made);
    let world = scene(&packages, &[mirror.repo("core")]);
    let trusted = bundle(&world, "trusted.pem", &[&made]);
    fs::set_permissions(&trusted, fs::Permissions::from_mode(0o644)).unwrap();
    let (_world, endpoint) = Endpoint::of(world.set("CURL_CA_BUNDLE", trusted.to_str().unwrap()));
    assert_eq!(ask_for_all(&endpoint, &packages), packages.len());
    assert_eq!((two.connections(), two.requests().len()), (1, packages.len()));
    assert!(two.most_open() >= 16, "{} at a time", two.most_open());
}

#[test]
fn a_mirror_that_hangs_holds_up_no_file_of_another_one() {
    let packages: Vec<Package> = (0..20).map(|n| Package::new(&format!("p{n:02}"), 9000 + n)).collect();
    let files: Vec<_> = packages.iter().map(Package::file).collect();
    let (hung, honest) = (FakeMirror::serving(&files).hanging(), FakeMirror::serving(&files));
    let (_world, endpoint) = Endpoint::of(scene(&packages, &[hung.repo("core"), honest.repo("core")]));
    assert_eq!(ask_for_all(&endpoint, &packages), packages.len());
    assert!(hung.server().connections() <= 2 && honest.server().connections() <= 2);
}

#[test]
fn what_another_user_has_is_copied_once_and_only_proven_bytes_of_it_leave() {
    let packages = [Package::new("small", 70_000), Package::new("one", 3 << 20), Package::new("two", (3 << 20) + 1)];
    let [small, one, two] = &packages;
    let world = scene(&packages, &[format!("http://{}/core", dead_address())]);
    let other = world.path("other/files");
    fs::create_dir_all(&other).unwrap();
    let at = |package: &Package| other.join(package.sha256().to_string());
    let put = |package: &Package, bytes: &[u8]| {
        fs::write(at(package), bytes).unwrap();
        // As good as another user's: that one may write to it, too.
        fs::set_permissions(at(package), fs::Permissions::from_mode(0o666)).unwrap();
    };
    packages.iter().for_each(|package| put(package, &package.bytes));
    let world = world.set("PKGSWARM_SHARE_STORES", other.parent().unwrap().to_str().unwrap());
    let (world, endpoint) = Endpoint::of(world.set("PKGSWARM_STORE_MAX", "4 MiB"));
    let copy = |package: &Package| world.path("store/files").join(package.sha256().to_string());
    let served = |package: &Package| {
        let answer = endpoint.core(&package.file_name());
        assert!(answer.status == 404 || answer.body == package.bytes, "only bytes of the package leave");
        answer.status
    };
    assert_eq!((served(small), served(one)), (200, 200));
    assert!(!copy(small).exists() && copy(one).exists(), "a small one needs no copy");
    let first = fs::metadata(copy(one)).unwrap().ino();
    put(one, &two.bytes[..one.bytes.len()]);
    put(small, &two.bytes[..small.bytes.len()]);
    assert_eq!((served(small), served(one)), (404, 200));
    assert_eq!(fs::metadata(copy(one)).unwrap().ino(), first, "it is not copied again");
    assert_eq!(served(two), 200);
    assert!(copy(two).exists() && !copy(one).exists(), "both are more than store.max");
    assert_eq!(served(one), 404);
}

#[test]
fn clients_that_read_nothing_share_one_copy_that_has_no_place_in_the_store() {
    let package = Package::new("large", 16 << 20);
    let packages = [package.clone()];
    let world = scene(&packages, &[format!("http://{}/core", dead_address())]);
    let cached = world.path("cache").join(package.file_name());
    fs::write(&cached, &package.bytes).unwrap();
    fs::set_permissions(&cached, fs::Permissions::from_mode(0o666)).unwrap();
    let (_world, endpoint) = Endpoint::of(world.set("PKGSWARM_STORE_MAX", "4 MiB"));
    let idle = || {
        let mut stream = TcpStream::connect(endpoint.address()).unwrap();
        write!(stream, "GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path(&package)).unwrap();
        let mut begins = [0; 12];
        stream.read_exact(&mut begins).unwrap();
        assert_eq!(&begins, b"HTTP/1.1 200");
        stream
    };
    let clients: Vec<_> = (0..5).map(|_| idle()).collect();
    let open = fs::read_dir(format!("/proc/{}/fd", endpoint.id())).unwrap().flatten();
    let is_copy = |meta: &fs::Metadata| meta.is_file() && meta.nlink() == 0 && meta.len() == package.bytes.len() as u64;
    let copies: BTreeSet<u64> =
        open.filter_map(|fd| fs::metadata(fd.path()).ok()).filter(is_copy).map(|meta| meta.ino()).collect();
    assert_eq!(copies.len(), 1);
    drop(clients);
    assert!(endpoint.core(&package.file_name()).body == package.bytes);
}

#[test]
fn only_what_is_here_or_on_its_way_has_headers_without_a_body() {
    let packages = [Package::new("here", 900), Package::new("coming", 900), Package::new("absent", 900)];
    let [here, coming, absent] = &packages;
    let mirror = FakeMirror::serving(&[coming.file(), absent.file()]).hanging();
    let world = scene(&packages, &[mirror.repo("core")]);
    fs::write(world.path("cache").join(here.file_name()), &here.bytes).unwrap();
    let (_world, endpoint) = Endpoint::of(world);
    let head = |package: &Package| endpoint.client().ask("HEAD", &path(package), &[]).unwrap();
    let mut waiting = endpoint.client();
    assert!(waiting.send(format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path(coming)).as_bytes()));
    eventually("it is on its way", || mirror.hits(&coming.file_name()) > 0);
    assert_eq!([here, coming, absent].map(|package| head(package).status), [200, 200, 404]);
    assert_eq!(head(here).header("content-length"), Some("900"));
    assert_eq!(mirror.hits(&absent.file_name()), 0);
}

/// Listens where an endpoint tells systemd how it is; each word comes once.
fn heard_by_systemd(world: &World) -> mpsc::Receiver<String> {
    let at = world.path("tmp/notify");
    let heard = UnixDatagram::bind(&at).unwrap();
    fs::set_permissions(&at, fs::Permissions::from_mode(0o666)).unwrap();
    let (tell, words) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = [0; 100];
        while let Ok(len) = heard.recv(&mut bytes) {
            let _ = tell.send(String::from_utf8(bytes[..len].to_vec()).unwrap());
        }
    });
    words
}

#[test]
fn desks_that_all_hang_cost_one_wait_and_not_one_for_each_file_and_the_watchdog_hears_of_it() {
    let packages = [Package::new("it", 900)];
    let world = scene(&packages, &[format!("http://{}/core", dead_address())]);
    fs::write(world.path("cache").join(packages[0].file_name()), &packages[0].bytes).unwrap();
    let words = heard_by_systemd(&world);
    let at = world.path("tmp/notify").display().to_string();
    let world = world.set("NOTIFY_SOCKET", &at);
    let (world, endpoint) = Endpoint::of(world.set("WATCHDOG_USEC", "200000"));
    let heard = || words.recv_timeout(PATIENCE).expect("a word");
    assert_eq!(ask_for_all(&endpoint, &packages), 1);
    assert_eq!([heard(), heard()], ["READY=1", "WATCHDOG=1"]);
    // Stands for a share that is gone: what looks there does not come back for a while.
    let world = world.script("pacman-conf", "exec sleep 60").option("Color");
    let ask = || endpoint.core(&packages[0].file_name()).status;
    // Desks take the configuration as it was for a moment.
    let all_hang = || {
        thread::scope(|scope| {
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().map(|asking| asking.join().unwrap()).all(|status| status == 404)
        })
    };
    eventually("all desks hang", all_hang);
    let begun = Instant::now();
    (0..30).for_each(|_| assert_eq!(ask(), 404));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    while words.try_recv().is_ok() {}
    let silence = words.recv_timeout(Duration::from_millis(500));
    assert_eq!(silence, Err(mpsc::RecvTimeoutError::Timeout), "systemd ends it");
    drop(world);
}

#[test]
fn clients_that_leave_have_no_more_files_hashed_at_a_time() {
    let packages: Vec<Package> =
        (0..9).map(|n| Package { bytes: vec![0; (64 << 20) + n], ..Package::new(&format!("p{n}"), 4) }).collect();
    let world = scene(&packages, &[format!("http://{}/core", dead_address())]);
    for package in &packages {
        // All zeros, and none of them on the disk.
        let file = fs::File::create(world.path("cache").join(package.file_name())).unwrap();
        file.set_len(package.bytes.len() as u64).unwrap();
    }
    let (_world, endpoint) = Endpoint::of(world);
    let open = || {
        let files = fs::read_dir(format!("/proc/{}/fd", endpoint.id())).unwrap().flatten();
        let name = |fd: fs::DirEntry| Some(fs::read_link(fd.path()).ok()?.file_name()?.to_str()?.to_owned());
        files.filter_map(name).filter(|name| name.ends_with(".pkg.tar.zst")).collect::<BTreeSet<_>>()
    };
    let mut most = 0;
    for package in &packages {
        let mut client = endpoint.client();
        assert!(client.send(format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path(package)).as_bytes()));
        let begun = Instant::now();
        // It leaves once its file is being hashed, or waits for that.
        while begun.elapsed() < Duration::from_millis(200) {
            let now = open();
            most = most.max(now.len());
            if now.contains(&package.file_name()) {
                break;
            }
        }
    }
    while !open().is_empty() {
        most = most.max(open().len());
    }
    // Four, and those that end and begin while the list of open files is read.
    assert!((1..=6).contains(&most), "{most} at a time");
}
