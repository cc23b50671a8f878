//! On a disk that suffices for a transaction with curl, pkgswarm succeeds too, and keeps no file twice afterwards.

use std::fs;
use std::time::Duration;

use crate::real::{CURL, Disk, Mirror, PacmanRoot, Parts, Pkgbuild, Release, Repo, Swarm, scratch, until};
use crate::{KIB, MIB};

/// Most time for the read-ahead to clean up after pacman.
const A_MINUTE: Duration = Duration::from_secs(60);

struct Scene {
    parts: Parts,
    repo: Repo,
    mirror: Mirror,
    names: Vec<String>,
    _tree: tempfile::TempDir,
}

impl Scene {
    fn of(sizes: &[u64]) -> Scene {
        let (parts, tree) = (Parts::demand(), scratch("tree"));
        let repo = Repo::new(&parts, tree.path(), "core");
        let package = |(i, size): (usize, &u64)| Pkgbuild::new(&format!("package{i}"), "1-1").size(*size);
        let packages: Vec<Pkgbuild> = sizes.iter().enumerate().map(package).collect();
        repo.add(&packages);
        let mirror = Mirror::serve(tree.path());
        Scene { parts, repo, mirror, names: packages.iter().map(Pkgbuild::name).collect(), _tree: tree }
    }

    fn pacman(&self, release: Release, xfer: &str) -> PacmanRoot {
        let pacman = PacmanRoot::new(&self.parts, release, xfer).parallel(5);
        pacman.repo(&self.repo, &[&format!("{}/core", self.mirror.url())])
    }

    fn download(&self, pacman: &PacmanRoot) -> crate::real::Ran {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        pacman.run(&[&["-Sw"], &names[..]].concat())
    }
}

#[test]
fn three_packages_on_a_disk_of_twelve_mib_fit_as_with_curl_once_and_again() {
    let scene = Scene::of(&[2970 * KIB; 3]);
    for (release, size) in Release::ALL.into_iter().flat_map(|release| [(release, 12 * MIB), (release, 10 * MIB)]) {
        let (disk, mut swarm) = (Disk::slot(), Swarm::install());
        swarm.set("PKGSWARM_STORE_DIR", &disk.store().display().to_string());
        let curl = scene.pacman(release, CURL);
        let ours = swarm.around(scene.pacman(release, &swarm.xfer_command()));
        for pacman in [&curl, &ours] {
            pacman.run(&["-Sy"]).ok();
            disk.holds_cache_of(pacman);
            let _inserted = disk.insert(size).expect("a disk");
            // The second time with an emptied cache, and the first one's files in the store.
            for _ in 0..2 {
                scene.download(pacman).ok();
                let cached = pacman.cache_files();
                assert_eq!(cached.len(), 3, "{release:?}, {size} bytes: {cached:?}");
                until("the store to be cleared up", A_MINUTE, || disk.stored().is_empty().then_some(()));
                cached.iter().for_each(|name| fs::remove_file(pacman.cache().join(name)).expect("a package"));
            }
            assert_eq!(pacman.leftovers(), [""; 0]);
        }
    }
}

#[test]
fn a_minute_after_a_transaction_the_store_holds_nothing_that_a_cache_has() {
    let scene = Scene::of(&[40 * KIB; 30]);
    for release in Release::ALL {
        let swarm = Swarm::install();
        let pacman = swarm.around(scene.pacman(release, &swarm.xfer_command()));
        pacman.run(&["-Sy"]).ok();
        scene.download(&pacman).ok();
        assert_eq!(pacman.cache_files().len(), 30);
        let stored = || fs::read_dir(swarm.store().join("files")).map_or(0, |entries| entries.count());
        until("the store to be cleared up", A_MINUTE, || (stored() == 0).then_some(()));
    }
}

/// Without read-ahead too, and with URLs as pacman's targets.
#[test]
fn what_was_not_read_ahead_is_cleared_up_too() {
    let scene = Scene::of(&[40 * KIB; 3]);
    for release in Release::ALL {
        let mut swarm = Swarm::install();
        swarm.set("PKGSWARM_AHEAD_ENABLED", "false");
        let pacman = swarm.around(scene.pacman(release, &swarm.xfer_command()));
        pacman.run(&["-Sy"]).ok();
        scene.download(&pacman).ok();
        let stored = || fs::read_dir(swarm.store().join("files")).map_or(0, |entries| entries.count());
        until("the store to be cleared up", A_MINUTE, || (stored() == 0).then_some(()));
    }
}
