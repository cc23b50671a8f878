//! Large files and many clients at the endpoint: the rate of one from a neighbour, the memory for hundreds.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;

use super::door::{Door, address, asked};
use super::large;
use super::measure::{BenchRun, Figures, Outcome, high_water, time};
use super::scene::Setup;
use crate::real::{Mirror, Pkgbuild, Scene, scratch};

const MIB: u64 = 1 << 20;

/// Clients that want the same file.
const ALIKE: usize = 200;

/// Clients of which each wants another file.
const DIFFERENT: usize = 50;

/// Measures megabytes a second of a file of 200 MiB that a neighbour has, through the endpoint over a link of 1 Gbit/s,
/// against curl from nginx over the same one: listed by an index, whose root proves each leaf as it comes, and without.
pub fn large(run: &BenchRun) -> Vec<Outcome> {
    let package = [large::package()];
    [Scene::indexed(&package, 2), Scene::signed(&package, 2)]
        .into_iter()
        .flat_map(|scene| from_neighbour(run, &scene, &package[0].file_name()))
        .collect()
}

fn from_neighbour(run: &BenchRun, scene: &Scene, file: &str) -> Vec<Outcome> {
    let [wants, has] = &scene.machines[..] else { panic!("two machines") };
    has.pacman.run(&["-Sy"]).ok();
    has.pacman.run(&["-Sw", "big"]).ok();
    has.daemon.offers(1);
    wants.pacman.run(&["-Sy"]).ok();
    if scene.has_index() {
        wants.swarm.run(&["index", "refresh"]).ok();
    }
    wants.daemon.meets(1);
    let server = Mirror::serve_on(&has.host, &has.pacman.cache(), "");
    has.host.throttle(125_000_000);
    let fetch = |url: &str| {
        let into = scratch("got");
        let output = into.path().join("file");
        let mut curl = wants.host.command("/usr/bin/curl");
        let took = time(curl.args(["-s", "-f", "-o"]).arg(&output).arg(url)).0.as_secs_f64();
        assert!(output.metadata().expect("what was fetched").len() > large::SIZE);
        large::speed(took)
    };
    let address = address();
    let ours = || {
        wants.daemon.forget();
        wants.swarm.forget();
        let before = asked(&scene.mirror);
        let _door = Door::open(wants.endpoint(), wants.host.command("curl"), &address);
        let speed = fetch(&format!("http://{address}/core/os/{}/{file}", std::env::consts::ARCH));
        assert_eq!(asked(&scene.mirror), before, "the mirror was asked for the package");
        speed
    };
    let theirs = format!("{}/{file}", server.url());
    run.pairs(ours, || fetch(&theirs))
}

/// Measures the peak of the resident megabytes of an endpoint that has nothing while hundreds of clients fetch, most of
/// them the same file, and of the nginx that has the files while they fetch the same from it.
pub fn memory() -> Vec<Outcome> {
    let one = Pkgbuild::new("alike", "1-1").size(50 * MIB);
    let others = (0..DIFFERENT).map(|number| Pkgbuild::new(&format!("other{number:02}"), "1-1").size(10 * MIB));
    let packages: Vec<Pkgbuild> = std::iter::once(one).chain(others).collect();
    let scene = Setup::of(&packages).signed().of_noise().build();
    let address = address();
    let door = Door::of(&scene, &address, &[]);
    let wanted: Vec<&Pkgbuild> = std::iter::repeat_n(&packages[0], ALIKE - 1).chain(&packages).collect();
    let fetch_all = |address: &str, path: &str| {
        let failed = thread::scope(|scope| {
            let clients: Vec<_> = wanted
                .iter()
                .map(|package| (format!("{path}/{}", package.file_name()), scene.file(package)))
                .map(|(path, file)| scope.spawn(move || compared(address, &path, &file)))
                .collect();
            clients.into_iter().filter_map(|client| client.join().expect("a client").err()).collect::<Vec<_>>()
        });
        assert!(failed.is_empty(), "{} of {} clients: {:?}", failed.len(), wanted.len(), failed[0]);
    };
    fetch_all(&address, &format!("/core/os/{}", std::env::consts::ARCH));
    for package in &packages {
        let asked = scene.mirror.requests_for(&package.file_name());
        assert_eq!(asked.len(), 1, "{asked:?}");
    }
    let peak = |id: u32| high_water(Path::new(&format!("/proc/{id}"))).expect("a process") as f64 / 1e6;
    let ours = peak(door.id());
    let url = scene.mirror.url();
    fetch_all(url.trim_start_matches("http://"), "/core");
    vec![Ok(Figures::once(ours, peak(scene.mirror.process_id())))]
}

/// Fetches a file and compares it, piece by piece as it comes, with the one that it must be.
fn compared(address: &str, path: &str, with: &Path) -> Result<(), String> {
    let failed = |what: &str| format!("{path}: {what}");
    let with = File::open(with).map_err(|e| failed(&e.to_string()))?;
    let mut stream = TcpStream::connect(address).map_err(|e| failed(&e.to_string()))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|e| failed(&e.to_string()))?;
    let mut answer = BufReader::with_capacity(64 << 10, stream);
    let mut line = String::new();
    answer.read_line(&mut line).map_err(|e| failed(&e.to_string()))?;
    if !line.starts_with("HTTP/1.1 200 ") {
        return Err(failed(&line));
    }
    while line != "\r\n" {
        line.clear();
        answer.read_line(&mut line).map_err(|e| failed(&e.to_string()))?;
    }
    let (mut got, mut right, mut at) = (vec![0; 64 << 10], vec![0; 64 << 10], 0);
    loop {
        let size = answer.read(&mut got).map_err(|e| failed(&e.to_string()))?;
        if size == 0 {
            break;
        }
        with.read_exact_at(&mut right[..size], at).map_err(|_| failed("longer than the file"))?;
        if got[..size] != right[..size] {
            return Err(failed("other bytes"));
        }
        at += size as u64;
    }
    let size = with.metadata().map_err(|e| failed(&e.to_string()))?.len();
    if at == size { Ok(()) } else { Err(failed(&format!("{at} of {size} bytes"))) }
}
