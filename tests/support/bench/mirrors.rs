//! One large package from several mirrors: one of them dies, one of them lies, or all share the work.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::large::{SIZE, package, speed};
use super::measure::{BenchRun, Outcome, Skipped};
use super::relay::Relay;
use super::scene::{BenchScene, Setup, Who, packages_served};
use super::wire;
use crate::real::{Host, Lan, Mirror, Pkgbuild, scratch};

const MIB: u64 = 1 << 20;
/// The rate of a mirror, in bytes a second: a good line at home.
const RATE: u64 = 50_000_000;
/// The rate of each of three mirrors that share one file.
const SLOW: u64 = 10_000_000;

/// The default of `download.stall`.
pub const STALL_SECONDS: f64 = 5.0;
/// Leaves of the liar that are false: 1 % of its 200.
const LIES: [u64; 2] = [50, 150];
/// The time for these at [`RATE`].
pub const LIES_SECONDS: f64 = (LIES.len() as u64 * MIB) as f64 / RATE as f64;

/// Measures seconds of a transfer whose first mirror falls silent for ever at half of the file, against one
/// undisturbed.
pub fn takeover(run: &BenchRun) -> Vec<Outcome> {
    let package = package();
    let scene = Setup::of(std::slice::from_ref(&package)).index().build();
    let [dying, living] = [(); 2].map(|()| Mirror::serve_slowly(scene.tree(), RATE));
    let scene = RefCell::new(scene);
    let ours = || {
        let relay = Relay::to(&dying.url(), SIZE / 2);
        let before = packages_served(&living);
        let seconds = seconds_of(&mut scene.borrow_mut(), &[&relay.url(), &living.url()], &package);
        run.traffic.add(relay.passed() + packages_served(&living) - before, scene.borrow().size());
        seconds
    };
    run.pairs(ours, || seconds_of(&mut scene.borrow_mut(), &[&living.url()], &package))
}

/// Measures megabytes a second from three mirrors that share the file, against the first of them alone.
pub fn split(run: &BenchRun) -> Result<Vec<Outcome>, Skipped> {
    let package = package();
    let mut place = Place::new(&package);
    place.scene.swarm.set("PKGSWARM_MIRRORS_SPLIT", "3");
    let trees = [(); 3].map(|()| place.scene.tree().to_owned());
    let mirrors = place.mirrors(&trees, SLOW)?;
    Ok(place.compare(run, &package, &mirrors, &mirrors[..1], speed))
}

/// Measures seconds with a first mirror of which 1 % of the leaves are false and an honest second one, against the
/// honest one alone.
pub fn liar(run: &BenchRun) -> Result<Vec<Outcome>, Skipped> {
    let package = package();
    let mut place = Place::new(&package);
    let false_tree = scratch("liar");
    let lying = place.scene.repo.copy_to(false_tree.path());
    let file = fs::File::options().write(true).open(lying.dir().join(package.file_name())).expect("a copy");
    LIES.iter().for_each(|leaf| file.write_all_at(b"a lie", leaf * MIB).expect("a false copy"));
    let trees = [false_tree.path().to_owned(), place.scene.tree().to_owned()];
    let mirrors = place.mirrors(&trees, RATE)?;
    Ok(place.compare(run, &package, &mirrors, &mirrors[1..], |seconds| seconds))
}

/// A client with an index, on a network for mirrors.
struct Place {
    lan: Lan,
    client: Host,
    scene: BenchScene,
    _origin: Host,
}

impl Place {
    fn new(package: &Pkgbuild) -> Place {
        let lan = Lan::new();
        let (client, origin) = (lan.host(), lan.host());
        let scene = Setup::of(std::slice::from_ref(package)).index().between(&client, &origin).build();
        Place { lan, client, scene, _origin: origin }
    }

    /// Starts mirrors of these trees, each on a host that sends so many bytes a second.
    fn mirrors(&mut self, trees: &[impl AsRef<Path>], rate: u64) -> Result<Vec<(Host, Mirror)>, Skipped> {
        let one = |tree: &Path| {
            let host = self.lan.host();
            wire::throttle(&host, &self.client, rate)?;
            let mirror = Mirror::serve_on(&host, tree, "");
            Ok((host, mirror))
        };
        trees.iter().map(|tree| one(tree.as_ref())).collect()
    }

    /// Compares fetching the package from these mirrors with fetching it from those.
    fn compare(
        self,
        run: &BenchRun,
        package: &Pkgbuild,
        ours: &[(Host, Mirror)],
        theirs: &[(Host, Mirror)],
        figure: fn(f64) -> f64,
    ) -> Vec<Outcome> {
        let scene = RefCell::new(self.scene);
        let fetch = |mirrors: &[(Host, Mirror)]| {
            let served = || mirrors.iter().map(|(_, mirror)| packages_served(mirror)).sum::<u64>();
            let before = served();
            let urls: Vec<String> = mirrors.iter().map(|(_, mirror)| mirror.url()).collect();
            let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
            let seconds = seconds_of(&mut scene.borrow_mut(), &urls, package);
            run.traffic.add(served() - before, scene.borrow().size());
            figure(seconds)
        };
        run.pairs(|| fetch(ours), || fetch(theirs))
    }
}

/// Measures seconds for a package from these mirrors.
fn seconds_of(scene: &mut BenchScene, mirrors: &[&str], package: &Pkgbuild) -> f64 {
    let servers: Vec<String> = mirrors.iter().map(|mirror| format!("{mirror}/core")).collect();
    scene.serve_from(&servers.iter().map(String::as_str).collect::<Vec<_>>());
    scene.empty_store();
    scene.xfer(Who::User, &format!("{}/{}", servers[0], package.file_name())).0
}
