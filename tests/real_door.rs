//! Real pacman with its own downloader, once against its mirrors alone and once through the endpoint: it must record and
//! install the same, whatever happens to mirrors, neighbours and the endpoint itself.

#[path = "support/real/mod.rs"]
mod real;
#[allow(dead_code, reason = "a part of each is used")]
mod support {
    pub mod daemon;
    pub(crate) mod queues;
    pub mod server;
}

use real::{
    EndpointProcess, Mirror, PacmanRoot, Parts, Pkgbuild, Recorded, Release, Repo, Signer, Swarm, assert_recorded,
    recorded, scratch, until,
};
use rustix::process::Signal;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};
use support::daemon::{Daemon, FakeDaemon, Stock};
use tempfile::TempDir;

const KIB: u64 = 1 << 10;

/// The packages of version `version`: two of one leaf, and one of several.
fn packages(version: &str) -> Vec<Pkgbuild> {
    let sizes = [("alpha", 90 * KIB), ("beta", 700 * KIB), ("gamma", 2500 * KIB)];
    sizes.into_iter().map(|(name, size)| Pkgbuild::new(name, version).size(size)).collect()
}

/// A signed repository in two states, and mirrors of the later one, some of them bad.
struct House {
    parts: Parts,
    signer: Rc<Signer>,
    tree: TempDir,
    repo: Repo,
}

impl House {
    fn new() -> House {
        let (parts, signer, tree) = (Parts::demand(), Rc::new(Signer::new()), scratch("tree"));
        let repo = Repo::new(&parts, &tree.path().join("now"), "core").signed(&signer);
        repo.add(&packages("1-1"));
        repo.copy_to(&tree.path().join("then"));
        // Two databases of one second are one to If-Modified-Since.
        let then = [tree.path().join("then/core/core.db.tar.gz"), tree.path().join("then/core/core.db")];
        real::run(real::command("touch").args(["--date", "2 hours ago"]).args(then)).ok();
        repo.add(&packages("2-1"));
        House { parts, signer, tree, repo }
    }

    /// Copies the later state for a mirror of its own, and has `spoil` change it.
    fn spoilt(&self, name: &str, spoil: impl Fn(&Repo)) -> PathBuf {
        spoil(&self.repo.copy_to(&self.tree.path().join(name)));
        self.tree.path().join(name)
    }

    fn pacman(&self, release: Release, xfer_command: &str, servers: &[&str]) -> PacmanRoot {
        PacmanRoot::new(&self.parts, release, xfer_command)
            .repo(&self.repo, servers)
            .sig_level("Required DatabaseNever")
            .trusting(&self.signer)
            .parallel(5)
    }

    /// Reads what pacman records and installs with a good mirror alone.
    fn reference(&self, release: Release) -> Recorded {
        let mirror = Mirror::serve(self.tree.path());
        let pacman = self.pacman(release, "", &[&format!("{}/now/core", mirror.url())]);
        pacman.run(&["-Sy", "alpha", "beta", "gamma"]).ok();
        recorded(&pacman)
    }
}

fn names(pacman: &PacmanRoot) -> Vec<String> {
    pacman.installed().into_iter().map(|(name, version)| format!("{name} {version}")).collect()
}

#[test]
fn a_system_is_upgraded_through_every_door_as_with_mirrors_alone() {
    let house = House::new();
    let mirror = Mirror::serve(house.tree.path());
    let (server, live) = (format!("{}/live/core", mirror.url()), house.tree.path().join("live"));
    // What the mirror has changes, and its address does not.
    let shows = |state: &str| {
        let _ = fs::remove_file(&live);
        std::os::unix::fs::symlink(state, &live).expect("a link");
    };
    for release in [Release::New, Release::Between] {
        let reference = house.reference(release);
        for (door, as_cache, as_server, as_xfer) in [
            ("CacheServer", true, false, false),
            ("Server", false, true, false),
            ("CacheServer and Server", true, true, false),
            ("CacheServer and XferCommand", true, false, true),
        ] {
            if as_xfer && release != Release::New {
                continue;
            }
            let what = format!("{release:?}, {door}");
            let swarm = Swarm::install();
            let command = if as_xfer { swarm.xfer_command() } else { String::new() };
            let mut pacman = house.pacman(release, &command, &[&server]);
            if as_xfer {
                pacman = swarm.around(pacman);
            }
            let endpoint = EndpointProcess::of(&pacman);
            if as_server {
                pacman.set_servers(&house.repo, &[&endpoint.url, &server]);
            }
            if as_cache {
                pacman.set_cache_server(&endpoint.url);
            }
            shows("then");
            let first = pacman.run(&["-Sy", "alpha", "beta", "gamma"]).ok();
            assert_eq!(names(&pacman), ["alpha 1-1", "beta 1-1", "gamma 1-1"], "{what}: {first}");
            shows("now");
            let upgraded = pacman.run(&["-Syu"]).ok();
            assert!(!format!("{upgraded}").contains("error"), "{what}: {upgraded}");
            assert_recorded(&what, &pacman, &reference);
            assert!(endpoint.process.said().lines().count() < 20, "{what}: {}", endpoint.process.said());
        }
    }
}

#[test]
fn what_a_machine_has_is_served_to_another_pacman_and_no_mirror_is_asked() {
    let house = House::new();
    let mirror = Mirror::serve(house.tree.path());
    let now = format!("{}/now/core", mirror.url());
    let reference = house.reference(Release::New);
    let first = house.pacman(Release::New, "", &[&now]);
    first.run(&["-Syw", "alpha", "beta", "gamma"]).ok();
    let endpoint = EndpointProcess::of(&first);
    let mut second = house.pacman(Release::New, "", &[&now]);
    second.set_cache_server(&endpoint.url);
    let before = mirror.requests().len();
    second.run(&["-Sy", "alpha", "beta", "gamma"]).ok();
    assert_recorded("hits", &second, &reference);
    let asked: Vec<_> = mirror.requests().into_iter().skip(before).filter(|it| it.path.contains(".pkg.")).collect();
    assert!(asked.iter().all(|it| !it.path.ends_with(".zst")), "{asked:?}");
}

/// What crosses the line for the files of an upgrade.
const FILES: [&str; 6] = [
    "alpha-2-1-any.pkg.tar.zst",
    "beta-2-1-any.pkg.tar.zst",
    "gamma-2-1-any.pkg.tar.zst",
    "alpha-2-1-any.pkg.tar.zst.sig",
    "beta-2-1-any.pkg.tar.zst.sig",
    "gamma-2-1-any.pkg.tar.zst.sig",
];

/// A mirror whose address stays while it goes on from the earlier state of its repository to the later one.
struct MovingMirror {
    mirror: Mirror,
    live: PathBuf,
}

impl MovingMirror {
    fn of(house: &House) -> MovingMirror {
        MovingMirror { mirror: Mirror::serve(house.tree.path()), live: house.tree.path().join("live") }
    }

    fn server(&self) -> String {
        format!("{}/live/core", self.mirror.url())
    }

    fn shows(&self, state: &str) {
        let _ = fs::remove_file(&self.live);
        std::os::unix::fs::symlink(state, &self.live).expect("a link");
    }

    /// Counts the requests for each file of the upgrade that were answered with bytes, since `before` requests.
    fn crossings(&self, before: usize) -> Vec<usize> {
        let all: Vec<_> = self.mirror.requests().into_iter().skip(before).collect();
        let of = |name: &str| {
            let sent = all.iter().filter(|it| it.method == "GET" && it.body > 0);
            sent.filter(|it| it.path.ends_with(&format!("/{name}"))).count()
        };
        FILES.into_iter().map(of).collect()
    }
}

/// Installs the earlier state through `urls`, as cache and as server.
fn earlier(house: &House, moving: &MovingMirror, swarm: Swarm, is_server: bool) -> (PacmanRoot, EndpointProcess) {
    moving.shows("then");
    let server = moving.server();
    let mut pacman = house.pacman(Release::New, "", &[&server]);
    let endpoint = EndpointProcess::with(&pacman, swarm);
    if is_server {
        pacman.set_servers(&house.repo, &[&endpoint.url, &server]);
    } else {
        pacman.set_cache_server(&endpoint.url);
    }
    pacman.run(&["-Sy", "alpha", "beta", "gamma"]).ok();
    moving.shows("now");
    (pacman, endpoint)
}

#[test]
fn with_the_usual_settings_each_file_of_an_upgrade_crosses_the_line_once() {
    let house = House::new();
    let (moving, reference) = (MovingMirror::of(&house), house.reference(Release::New));
    for is_server in [false, true] {
        let mut seen = Vec::new();
        // A machine that is too busy to ask a mirror within the usual wait leaves that file to pacman: that says nothing.
        let is_once = (0..3).any(|_| {
            let mut swarm = Swarm::install();
            swarm.set("PKGSWARM_ENDPOINT_WAIT", "300 ms");
            let (pacman, endpoint) = earlier(&house, &moving, swarm, is_server);
            let before = moving.mirror.requests().len();
            let ran = pacman.run(&["-Syu"]).ok();
            assert!(!format!("{ran}").contains("error"), "{ran}\n{}", endpoint.process.said());
            assert_recorded("with the usual settings", &pacman, &reference);
            seen.push(moving.crossings(before));
            seen.last().is_some_and(|counts| counts.iter().all(|count| *count == 1))
        });
        assert!(is_once, "as server: {is_server}, requests of {FILES:?}: {seen:?}");
    }
}

#[test]
fn after_a_refresh_pending_updates_are_here_before_pacman_asks_for_them() {
    let house = House::new();
    let (moving, reference) = (MovingMirror::of(&house), house.reference(Release::New));
    let (pacman, endpoint) = earlier(&house, &moving, Swarm::install(), true);
    let before = moving.mirror.requests().len();
    pacman.run(&["-Sy"]).ok();
    until("what is pending is here", Duration::from_secs(60), || {
        let is_here = moving.crossings(before).iter().all(|count| *count == 1);
        (is_here && endpoint.store_bytes() > 3200 * KIB).then_some(())
    });
    let asked = moving.mirror.requests().len();
    pacman.run(&["-Su"]).ok();
    assert_recorded("fetched ahead", &pacman, &reference);
    assert_eq!(moving.crossings(asked), [0; 6], "pacman waits for no mirror: {}", endpoint.process.said());
}

/// One misfortune: its mirrors in their order, and what happens to the endpoint and its sources.
struct Trouble {
    what: &'static str,
    servers: Vec<String>,
    swarm: Box<dyn Fn(&mut Swarm)>,
    most: Duration,
}

#[test]
fn whatever_mirrors_neighbours_and_kubo_do_pacman_ends_as_with_good_mirrors() {
    let house = House::new();
    let reference = house.reference(Release::New);
    let of = |tree: &Path| Mirror::serve(tree);
    let package = |name: &str| format!("{name}-2-1-any.pkg.tar.zst");
    let each = |repo: &Repo, ending: &str, change: &dyn Fn(PathBuf)| {
        for name in ["alpha", "beta", "gamma"] {
            change(repo.dir().join(format!("{}{ending}", package(name))));
        }
    };
    let lies =
        house.spoilt("lies", |repo| ["alpha", "beta", "gamma"].iter().for_each(|name| repo.falsify(&package(name))));
    let unsigned = house.spoilt("unsigned", |repo| each(repo, ".sig", &|path| fs::remove_file(path).expect("a file")));
    let lags = house.spoilt("lags", |repo| each(repo, "", &|path| fs::remove_file(path).expect("a file")));
    let [good, lying, unsigned, lagging] =
        [&house.tree.path().join("now"), &lies, &unsigned, &lags].map(|tree| of(tree));
    let server = |mirror: &Mirror| format!("{}/core", mirror.url());
    let bytes = |name: &str| fs::read(house.repo.dir().join(name)).expect("a package");
    let all: Vec<Vec<u8>> = ["alpha", "beta", "gamma"].iter().map(|name| bytes(&package(name))).collect();
    let neighbour = |files: Vec<Vec<u8>>, manner| FakeDaemon::with(Stock { files, ..Stock::default() }, manner);
    let liar = neighbour(all.clone(), Daemon::Lying);
    let stalls = neighbour(all.clone(), Daemon::Stalling);
    // Signatures of other packages.
    let wrong = ["beta", "gamma", "alpha"].map(|name| bytes(&format!("{}.sig", package(name))));
    let wrong = neighbour(all.into_iter().chain(wrong).collect(), Daemon::Honest);
    let hung = TcpListener::bind("127.0.0.1:0").expect("a port");
    let hung_kubo = format!("http://{}", hung.local_addr().expect("its address"));
    let asking = |daemon: &FakeDaemon| {
        let socket = daemon.socket().display().to_string();
        Box::new(move |swarm: &mut Swarm| {
            swarm.set("PKGSWARM_DAEMON_SOCKET", &socket);
            swarm.set("PKGSWARM_SHARE_REPOS", "core");
        })
    };
    let nothing = || Box::new(|_: &mut Swarm| {});
    let quick = Duration::from_secs(15);
    let troubles = [
        Trouble { what: "a mirror lies", servers: vec![server(&lying), server(&good)], swarm: nothing(), most: quick },
        Trouble {
            what: "a mirror lacks signatures",
            servers: vec![server(&unsigned), server(&good)],
            swarm: nothing(),
            most: quick,
        },
        Trouble {
            what: "a mirror lags",
            servers: vec![server(&lagging), server(&good)],
            swarm: nothing(),
            most: quick,
        },
        Trouble { what: "a neighbour lies", servers: vec![server(&good)], swarm: asking(&liar), most: quick },
        Trouble { what: "a neighbour stalls", servers: vec![server(&good)], swarm: asking(&stalls), most: quick },
        Trouble {
            what: "a neighbour has wrong signatures",
            servers: vec![server(&good)],
            swarm: asking(&wrong),
            most: quick,
        },
        Trouble {
            what: "Kubo hangs",
            servers: vec![server(&good)],
            swarm: Box::new(move |swarm| {
                swarm.set("PKGSWARM_KUBO_ENABLED", "true");
                swarm.set("PKGSWARM_KUBO_API", &hung_kubo);
                swarm.set("PKGSWARM_KUBO_GATEWAY", &hung_kubo);
            }),
            most: quick,
        },
    ];
    for Trouble { what, servers, swarm, most } in troubles {
        let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
        let mut pacman = house.pacman(Release::New, "", &servers);
        let mut installed = Swarm::install();
        swarm(&mut installed);
        pacman.run(&["-Sy"]).ok();
        let endpoint = EndpointProcess::with(&pacman, installed);
        pacman.set_cache_server(&endpoint.url);
        let begun = Instant::now();
        let ran = pacman.run(&["-S", "alpha", "beta", "gamma"]);
        assert!(ran.status.success(), "{what}: {ran}\n{}", endpoint.process.said());
        println!("{what}: {:?}", begun.elapsed());
        assert!(begun.elapsed() < most, "{what}: {:?}", begun.elapsed());
        assert_recorded(what, &pacman, &reference);
    }
}

#[test]
fn whatever_happens_to_the_endpoint_pacman_goes_on_with_its_mirrors() {
    let house = House::new();
    let reference = house.reference(Release::New);
    // Slow enough to be in the middle of it.
    let slow = Mirror::serve_slowly(&house.tree.path().join("now"), 700 * KIB);
    let server = format!("{}/core", slow.url());
    // The one that is stopped costs what libalpm waits for a byte, which the watchdog of its unit shortens.
    for (what, signal, most) in [
        ("killed in the middle", Signal::KILL, Duration::from_secs(15)),
        ("stopped in the middle", Signal::STOP, Duration::from_secs(30)),
    ] {
        let mut pacman = house.pacman(Release::New, "", &[&server]);
        pacman.run(&["-Sy"]).ok();
        let endpoint = EndpointProcess::of(&pacman);
        pacman.set_cache_server(&endpoint.url);
        let begun = Instant::now();
        let running = pacman.start(&["-S", "alpha", "beta", "gamma"]);
        // Between a package and its signature there is no other server for pacman to ask, of a mirror neither.
        let is_here = |name: &str| files_below(&pacman.cache()).iter().any(|file| file == name);
        until("the last file alone is under way", Duration::from_secs(30), || {
            let signed = ["alpha", "beta"].iter().all(|name| is_here(&format!("{name}-2-1-any.pkg.tar.zst.sig")));
            (signed && endpoint.store_bytes() > 200 * KIB).then_some(())
        });
        endpoint.process.signal(signal);
        let ran = running.wait();
        endpoint.process.signal(Signal::CONT);
        assert!(ran.status.success(), "{what}: {ran}");
        println!("{what}: {:?}", begun.elapsed());
        assert!(begun.elapsed() < most, "{what}: {:?}", begun.elapsed());
        assert_recorded(what, &pacman, &reference);
    }
    let mirror = Mirror::serve(&house.tree.path().join("now"));
    let mut pacman = house.pacman(Release::New, "", &[&format!("{}/core", mirror.url())]);
    // As with a broken configuration or a crash at the start: the socket of its unit is closed then.
    pacman.set_cache_server(&format!("{}/$repo/os/$arch", Mirror::refused()));
    let begun = Instant::now();
    let ran = pacman.run(&["-Sy", "alpha", "beta", "gamma"]).ok();
    assert!(!format!("{ran}").contains("error"), "{ran}");
    println!("refused: {:?}", begun.elapsed());
    assert_recorded("refused", &pacman, &reference);
}

#[test]
fn a_broken_configuration_keeps_the_endpoint_from_starting() {
    let swarm = Swarm::install().config("[endpoint]\nenabled = perhaps\n");
    let ran = real::run(&mut swarm.command_as_user(&["endpoint"])).failed();
    assert!(format!("{ran}").contains("config.toml:2"), "{ran}");
}

#[test]
fn a_partial_file_that_is_complete_stops_pacman_as_the_doctor_says() {
    let house = House::new();
    let mirror = Mirror::serve(&house.tree.path().join("now"));
    for release in [Release::New, Release::Between] {
        let pacman = house.pacman(release, "", &[&format!("{}/core", mirror.url())]);
        pacman.run(&["-Sy"]).ok();
        let name = "alpha-2-1-any.pkg.tar.zst";
        let part = pacman.cache().join(format!("{name}.part"));
        fs::copy(house.repo.dir().join(name), &part).expect("a copy");
        let ran = pacman.run(&["-S", "alpha"]).failed();
        assert!(format!("{ran}").contains("could not find"), "{release:?}: {ran}");
        let swarm = swarm_about(&pacman);
        let said = swarm.run(&["doctor", "--json"]);
        assert!(format!("{said}").contains(&format!("sudo rm {}", part.display())), "{release:?}: {said}");
        fs::remove_file(&part).expect("the partial file");
        pacman.run(&["-S", "alpha"]).ok();
    }
}

/// Lists the names of the files in a directory, and in those below it.
fn files_below(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = |entry: fs::DirEntry| match entry.path().is_dir() {
        true => files_below(&entry.path()),
        false => vec![entry.file_name().to_string_lossy().into_owned()],
    };
    entries.flat_map(names).collect()
}

/// Installs the program with this pacman in its settings.
fn swarm_about(pacman: &PacmanRoot) -> Swarm {
    let mut swarm = Swarm::install();
    swarm.set("PKGSWARM_PACMAN_CONF", &pacman.config().display().to_string());
    let path = format!("{}:{}", pacman.bin().display(), std::env::var("PATH").unwrap_or_default());
    swarm.set("PATH", &path);
    swarm
}
