//! The second door: the endpoint, asked by pacman's own downloader, against pacman and the same server without it.

use std::cell::Cell;
use std::process::Command;
use std::time::Duration;

use super::measure::{BenchRun, Outcome, Skipped};
use super::scene::{BenchScene, Setup, Who};
use super::{small, wire};
use crate::real::{Mirror, PacmanRoot, Pkgbuild, Process, Release, Scene, free_port, run, until};

/// Downloads at a time that `setup` offers for a pacman whose server is on its own machine.
const STREAMS: u32 = 16;

/// An endpoint, gone when dropped.
pub struct Door(Process);

impl Door {
    /// Starts one at this address, and returns once it answers `curl`, a call of curl on the same host without arguments.
    pub fn open(mut endpoint: Command, mut curl: Command, address: &str) -> Door {
        endpoint.env("PKGSWARM_ENDPOINT_ENABLED", "true").env("PKGSWARM_ENDPOINT_LISTEN", address);
        let mut process = Process::start(&mut endpoint);
        // It knows no such file, and looks nowhere for it.
        curl.args(["--silent", "--output", "/dev/null"]).arg(format!("http://{address}/none"));
        until("the endpoint answers", Duration::from_secs(20), || {
            assert!(process.runs(), "the endpoint ended at its start:\n{}", process.said());
            run(&mut curl).status.success().then_some(())
        });
        Door(process)
    }

    /// Starts one for the pacman of a scene, on its host.
    pub fn of(scene: &BenchScene, address: &str, settings: &[(&str, &str)]) -> Door {
        let mut endpoint = scene.ours(Who::User, &["endpoint"]);
        endpoint.envs(settings.iter().copied());
        Door::open(endpoint, scene.inside("curl"), address)
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

/// Returns an address for an endpoint.
pub fn address() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// Returns the line of a server for pacman.
pub fn server(address: &str) -> String {
    format!("http://{address}/$repo/os/$arch")
}

/// Makes a pacman that asks an endpoint at `address` before its mirror.
fn cached(scene: &BenchScene, address: &str) -> PacmanRoot {
    let mut pacman = scene.pacman_with("", &scene.server());
    pacman.set_cache_server(&server(address));
    pacman
}

/// Makes a pacman whose first server is an endpoint at `address`, with the number of downloads that setup offers for it.
fn through(scene: &BenchScene, address: &str) -> PacmanRoot {
    let mut pacman = scene.pacman_with("", &scene.server());
    pacman.set_servers(&scene.repo, &[&server(address), &scene.server()]);
    pacman.parallel(STREAMS)
}

/// Measures seconds of `-Sw` through an endpoint that begins with nothing and has the configuration of this pacman.
fn anew(scene: &BenchScene, run: &BenchRun, address: &str, pacman: &PacmanRoot, packages: &[Pkgbuild]) -> f64 {
    let (before, config) = (asked(&scene.mirror), pacman.config().display().to_string());
    // So that no miss is the machine's, after which pacman asks the mirror itself.
    let settings = [("PKGSWARM_PACMAN_CONF", config.as_str()), ("PKGSWARM_ENDPOINT_WAIT", "3 s")];
    let seconds = scene.count(run, || {
        let _door = Door::of(scene, address, &settings);
        scene.download(pacman, packages)
    });
    assert_eq!(asked(&scene.mirror) - before, packages.len(), "each package comes once");
    seconds
}

/// Counts the packages, without signatures, that a mirror was asked for.
pub fn asked(mirror: &Mirror) -> usize {
    mirror.requests().iter().filter(|request| request.path.ends_with(".zst")).count()
}

/// Measures seconds of `-Sw` of fifty packages that the endpoint has, against an nginx that has them.
pub fn store(run: &BenchRun) -> Vec<Outcome> {
    let packages = small::fifty();
    stored(run, &Setup::of(&packages).signed().build(), &packages)
}

/// Measures the same for 3,000 packages.
pub fn large_store(run: &BenchRun) -> Vec<Outcome> {
    let packages = small::packages(3000);
    // Most of a run is pacman's, which starts gpg for each file.
    stored(&run.at_most(2), &Setup::of(&packages).signed().of_noise().build(), &packages)
}

fn stored(run: &BenchRun, scene: &BenchScene, packages: &[Pkgbuild]) -> Vec<Outcome> {
    let (own, address) = (scene.pacman_with("", &scene.server()), address());
    let pacman = cached(scene, &address);
    // What pacman has in its cache leaves the store; the cache that this endpoint knows is that of another pacman.
    let _door = Door::of(scene, &address, &[]);
    scene.download(&pacman, packages);
    let ours = || {
        let before = asked(&scene.mirror);
        let took = scene.download(&pacman, packages);
        assert_eq!(asked(&scene.mirror), before, "the mirror was asked for a package");
        took
    };
    run.pairs(ours, || scene.download(&own, packages))
}

/// Measures seconds of `-Sw` of fifty packages that a neighbour's daemon has, against an nginx cache on its host.
pub fn lan(run: &BenchRun) -> Vec<Outcome> {
    let packages = small::fifty();
    let scene = Scene::signed(&packages, 2);
    let [has, wants] = &scene.machines[..] else { panic!("two machines") };
    let names: Vec<String> = packages.iter().map(Pkgbuild::name).collect();
    let words =
        |operation| -> Vec<&str> { std::iter::once(operation).chain(names.iter().map(String::as_str)).collect() };
    has.pacman.run(&["-Sy"]).ok();
    has.pacman.run(&words("-Sw")).ok();
    has.daemon.offers(packages.len());
    wants.pacman.run(&["-Sy"]).ok();
    wants.daemon.meets(1);
    let (cache, address) = (Mirror::serve_cache(&has.host, &scene.mirror.url()), address());
    let pacman = |server: &str| {
        let pacman = PacmanRoot::new(&scene.parts, Release::New, "").repo(&scene.repo, &[server]).parallel(5);
        let pacman = scene.trusted(wants.swarm.around(pacman));
        pacman.run(&["-Sy"]).ok();
        pacman
    };
    let mut ours = pacman(&format!("{}/core", scene.mirror.url()));
    ours.set_cache_server(&server(&address));
    let theirs = pacman(&format!("{}/core", cache.url()));
    let download = |pacman: &PacmanRoot| {
        pacman.clear_cache();
        let took = pacman.run(&words("-Sw")).ok().took.as_secs_f64();
        let files = pacman.cache_files();
        assert_eq!(files.iter().filter(|file| file.ends_with(".zst")).count(), packages.len(), "{files:?}");
        took
    };
    let ours = || {
        wants.daemon.forget();
        wants.swarm.forget();
        let before = asked(&scene.mirror);
        let _door = Door::open(wants.endpoint(), wants.host.command("curl"), &address);
        let took = download(&ours);
        assert_eq!(asked(&scene.mirror), before, "the mirror was asked for a package");
        took
    };
    run.pairs(ours, || download(&theirs))
}

/// Measures seconds of `-Sw` from a distant mirror, through the endpoint as the first server.
pub fn far(run: &BenchRun) -> Result<Vec<Outcome>, Skipped> {
    let [client, server] = wire::far()?;
    let packages = small::fifty();
    let scene = Setup::of(&packages).signed().between(&client, &server).build();
    let (own, address) = (scene.pacman_with("", &scene.server()), address());
    let door = through(&scene, &address);
    Ok(run.pairs(|| anew(&scene, run, &address, &door, &packages), || scene.download(&own, &packages)))
}

/// Measures the same for 500 packages without signatures from a mirror that speaks HTTP/2, over one connection to it.
pub fn far_multiplexed(run: &BenchRun) -> Result<Vec<Outcome>, Skipped> {
    let [client, server] = wire::far()?;
    let packages = small::five_hundred();
    let scene = Setup::of(&packages).between(&client, &server).over_http_2().build();
    let (own, address) = (scene.pacman_with("", &scene.server()), address());
    let door = through(&scene, &address);
    let before = Cell::new(0);
    let ours = || {
        before.set(scene.mirror.connections());
        let took = anew(&scene, run, &address, &door, &packages);
        assert_eq!(scene.mirror.connections() - before.get(), 1, "connections to the mirror");
        took
    };
    Ok(run.pairs(ours, || scene.download(&own, &packages)))
}

/// Measures seconds of `-Sw` with an endpoint before the mirror that has nothing and may ask no mirror.
pub fn miss(run: &BenchRun) -> Vec<Outcome> {
    let (packages, address) = (small::fifty(), address());
    let scene = Setup::of(&packages).signed().build();
    let own = scene.pacman_with("", &scene.server());
    let pacman = cached(&scene, &address);
    let ours = || {
        scene.empty_store();
        let _door = Door::of(&scene, &address, &[("PKGSWARM_ENDPOINT_MIRRORS", "false")]);
        scene.download(&pacman, &packages)
    };
    run.pairs(ours, || scene.download(&own, &packages))
}
