//! Real pacman against real mirrors, with pkgswarm and with curl as its downloader: the outcome must be the same.

#[path = "support/real/mod.rs"]
mod real;

use real::{CURL, Compression, Mirror, Package, PacmanRoot, Parts, Release, Repo, Signer, Swarm, run, scratch};

#[test]
fn harness_works() {
    let parts = Parts::demand();
    for release in Release::ALL {
        let tree = scratch("tree");
        let repo = Repo::new(&parts, tree.path(), "core");
        repo.add(&[Package::new("alpha", "1:2.0-1"), Package::new("g++x", "1-1").depends("alpha")]);
        let made = Package::new("made", "1.0-1").makepkg(repo.dir());
        repo.add_files(&[made]);
        let mirror = Mirror::serve(tree.path());
        let pacman = PacmanRoot::new(&parts, release, CURL).repo(&repo, &[&format!("{}/core", mirror.url())]);
        println!("{}", pacman.run(&["-Sy"]).ok());
        println!("{}", pacman.run(&["-S", "g++x", "made"]).ok());
        println!("{:?} {:?}", pacman.installed(), pacman.cache_files());
        println!("{:?}", pacman.local_db_snapshot().keys());
        println!("{:?}\n{}", mirror.requests(), mirror.bytes_served());
    }
}
