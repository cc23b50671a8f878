//! Real pacman against real mirrors, once with curl as its downloader and once with pkgswarm: pacman must record
//! and install the same, and a mirror that makes pacman fail with curl must not do so with pkgswarm.

#[path = "support/real/mod.rs"]
mod real;
#[path = "real_pacman/small_disk.rs"]
mod small_disk;

use real::{CURL, Compression, Mirror, PacmanRoot, Parts, Pkgbuild, Release, Repo, Signer, Swarm, scratch};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Does the same with both downloaders, for one release of pacman, and compares the results.
fn as_with_curl(
    parts: &Parts,
    release: Release,
    setup: impl Fn(PacmanRoot) -> PacmanRoot,
    steps: impl Fn(&mut PacmanRoot),
) {
    let swarm = Swarm::install();
    let curl = setup(PacmanRoot::new(parts, release, CURL));
    let ours = swarm.around(setup(PacmanRoot::new(parts, release, &swarm.xfer_command())));
    compare(curl, ours, steps);
}

fn compare(mut curl: PacmanRoot, mut ours: PacmanRoot, steps: impl Fn(&mut PacmanRoot)) {
    steps(&mut curl);
    steps(&mut ours);
    assert_same("the local database", &curl.local_db_snapshot(), &ours.local_db_snapshot());
    assert_same("the sync databases", &curl.sync_db_snapshot(), &ours.sync_db_snapshot());
    assert_same("what is installed", &curl.root_snapshot(), &ours.root_snapshot());
    assert_eq!(curl.cache_files(), ours.cache_files(), "the package cache");
    assert!(ours.leftovers().len() <= curl.leftovers().len(), "left behind: {:?}", ours.leftovers());
}

#[track_caller]
fn assert_same(what: &str, curl: &BTreeMap<PathBuf, Vec<u8>>, ours: &BTreeMap<PathBuf, Vec<u8>>) {
    let differing: Vec<_> = curl.keys().chain(ours.keys()).filter(|path| curl.get(*path) != ours.get(*path)).collect();
    assert!(differing.is_empty(), "{what} differs from that of curl in {differing:?}");
}

fn versions(pacman: &PacmanRoot) -> Vec<String> {
    pacman.installed().into_iter().map(|(name, version)| format!("{name} {version}")).collect()
}

#[test]
fn databases_of_every_compression_are_synchronised_as_with_curl() {
    let parts = Parts::demand();
    let tree = scratch("tree");
    let repo = |name: &str, compression| {
        let repo = Repo::new(&parts, tree.path(), name).compressed(compression);
        repo.add(&[Pkgbuild::new(name, "1-1")]);
        repo
    };
    let repos = [
        repo("core", Compression::Gzip),
        repo("extra", Compression::Zstd),
        repo("multilib", Compression::Xz),
        repo("custom", Compression::None),
    ];
    let mirror = Mirror::serve(tree.path());
    for release in Release::ALL {
        let setup = |pacman| {
            repos.iter().fold(pacman, |pacman: PacmanRoot, repo| {
                pacman.repo(repo, &[&format!("{}/{}", mirror.url(), repo.name())])
            })
        };
        as_with_curl(&parts, release, setup, |pacman| {
            pacman.run(&["-Sy"]).ok();
            pacman.run(&["-Sy"]).ok();
            pacman.run(&["-Syy"]).ok();
            pacman.run(&["-Fy"]).ok();
            assert_eq!(pacman.sync_db_snapshot().len(), 8, "a database and a file list for each repository");
        });
    }
}

#[test]
fn packages_with_dependencies_and_odd_names_are_installed_as_with_curl() {
    let parts = Parts::demand();
    let tree = scratch("tree");
    let (core, extra) = (Repo::new(&parts, tree.path(), "core"), Repo::new(&parts, tree.path(), "extra"));
    core.add(&[Pkgbuild::new("base", "1-1"), Pkgbuild::new("libsigc++", "1:2.0-1").size(700 * KIB).depends("base")]);
    extra.add(&[Pkgbuild::new("gtk+x", "3:4.0+r5+gabc-2").size(3 * MIB).depends("libsigc++")]);
    extra.add_files(&[Pkgbuild::new("made", "1:1.0-1").size(2 * MIB).makepkg(extra.dir())]);
    let mirror = Mirror::serve(tree.path());
    let server = |repo: &Repo| format!("{}/{}", mirror.url(), repo.name());
    for release in Release::ALL {
        let setup = |pacman: PacmanRoot| pacman.repo(&core, &[&server(&core)]).repo(&extra, &[&server(&extra)]);
        as_with_curl(&parts, release, setup, |pacman| {
            pacman.run(&["-Sy"]).ok();
            pacman.run(&["-S", "gtk+x", "made"]).ok();
            let expected = ["base 1-1", "gtk+x 3:4.0+r5+gabc-2", "libsigc++ 1:2.0-1", "made 1:1.0-1"];
            assert_eq!(versions(pacman), expected);
        });
    }
}

#[test]
fn packages_downloaded_only_are_installed_later_without_a_mirror() {
    let parts = Parts::demand();
    let tree = scratch("tree");
    let core = Repo::new(&parts, tree.path(), "core");
    core.add(&[Pkgbuild::new("alpha", "1-1"), Pkgbuild::new("beta", "1-1").size(2 * MIB)]);
    let gone = Mirror::refused();
    for release in Release::ALL {
        let mirror = Mirror::serve(tree.path());
        let setup = |pacman: PacmanRoot| pacman.repo(&core, &[&format!("{}/core", mirror.url())]);
        as_with_curl(&parts, release, setup, |pacman| {
            pacman.run(&["-Syw", "alpha", "beta"]).ok();
            assert_eq!(pacman.installed(), [], "downloading installs nothing");
            pacman.set_servers(&core, &[&gone]);
            pacman.run(&["-S", "alpha", "beta"]).ok();
            assert_eq!(versions(pacman), ["alpha 1-1", "beta 1-1"]);
        });
    }
}

#[test]
fn a_system_is_upgraded_and_taken_back_to_an_older_archive_as_with_curl() {
    let parts = Parts::demand();
    let tree = scratch("tree");
    let core = Repo::new(&parts, &tree.path().join("now"), "core");
    core.add(&[Pkgbuild::new("alpha", "1-1"), Pkgbuild::new("beta", "1-1").size(1300 * KIB)]);
    core.copy_to(&tree.path().join("then"));
    core.add(&[Pkgbuild::new("alpha", "1:0.5-1"), Pkgbuild::new("beta", "2-1").size(1300 * KIB)]);
    let mirror = Mirror::serve(tree.path());
    let (then, now) = (format!("{}/then/core", mirror.url()), format!("{}/now/core", mirror.url()));
    for release in Release::ALL {
        as_with_curl(
            &parts,
            release,
            |pacman| pacman.repo(&core, &[&then]),
            |pacman| {
                pacman.run(&["-Sy", "alpha", "beta"]).ok();
                pacman.set_servers(&core, &[&now]);
                pacman.run(&["-Syu"]).ok();
                assert_eq!(versions(pacman), ["alpha 1:0.5-1", "beta 2-1"]);
                pacman.set_servers(&core, &[&then]);
                pacman.run(&["-Syyuu"]).ok();
                assert_eq!(versions(pacman), ["alpha 1-1", "beta 1-1"]);
            },
        );
    }
}

#[test]
fn a_package_given_as_a_url_is_installed_as_with_curl() {
    let parts = Parts::demand();
    let tree = scratch("tree");
    let core = Repo::new(&parts, tree.path(), "core");
    core.add(&[Pkgbuild::new("alpha", "1:1-1").size(MIB + 1)]);
    let mirror = Mirror::serve(tree.path());
    let url = format!("{}/core/alpha-1:1-1-any.pkg.tar.zst", mirror.url());
    let elsewhere = format!("{}/unknown/beta-1-1-any.pkg.tar.zst", mirror.url());
    let unlisted = Repo::new(&parts, tree.path(), "unknown");
    Pkgbuild::new("beta", "1-1").pack(unlisted.dir());
    // Release 6.0.2 itself fails after such a download.
    let setup = |pacman: PacmanRoot| pacman.repo(&core, &[&format!("{}/core", mirror.url())]);
    as_with_curl(&parts, Release::New, setup, |pacman| {
        pacman.run(&["-Sy"]).ok();
        pacman.run(&["-U", &url]).ok();
        pacman.run(&["-U", &elsewhere]).ok();
        assert_eq!(versions(pacman), ["alpha 1:1-1", "beta 1-1"]);
    });
}

#[test]
fn required_signatures_of_packages_and_databases_are_fetched_as_with_curl() {
    let parts = Parts::demand();
    let signer = Rc::new(Signer::new());
    let tree = scratch("tree");
    let core = Repo::new(&parts, tree.path(), "core").signed(&signer).with_signed_database();
    core.add(&[Pkgbuild::new("alpha", "1-1"), Pkgbuild::new("beta", "1:1-1").size(2 * MIB)]);
    let mirror = Mirror::serve(tree.path());
    // Release 6.0.2 never asks its downloader for a signature.
    let setup = |pacman: PacmanRoot| {
        pacman.repo(&core, &[&format!("{}/core", mirror.url())]).sig_level("Required").trusting(&signer)
    };
    as_with_curl(&parts, Release::New, setup, |pacman| {
        pacman.run(&["-Sy", "alpha", "beta"]).ok();
        assert_eq!(versions(pacman), ["alpha 1-1", "beta 1:1-1"]);
        assert_eq!(pacman.cache_files().iter().filter(|name| name.ends_with(".sig")).count(), 2);
    });
}

#[test]
fn signatures_inside_the_database_are_enough_for_both_releases() {
    let parts = Parts::demand();
    let signer = Rc::new(Signer::new());
    let tree = scratch("tree");
    let core = Repo::new(&parts, tree.path(), "core").signed(&signer).with_inline_signatures();
    core.add(&[Pkgbuild::new("alpha", "1-1")]);
    let mirror = Mirror::serve(tree.path());
    for release in Release::ALL {
        let setup = |pacman: PacmanRoot| {
            let pacman = pacman.repo(&core, &[&format!("{}/core", mirror.url())]);
            pacman.sig_level("Required DatabaseNever").trusting(&signer)
        };
        as_with_curl(&parts, release, setup, |pacman| {
            pacman.run(&["-Sy", "alpha"]).ok();
            assert_eq!(versions(pacman), ["alpha 1-1"]);
        });
    }
}

#[test]
fn an_optional_database_signature_that_is_missing_does_no_harm() {
    let parts = Parts::demand();
    let tree = scratch("tree");
    let signer = Rc::new(Signer::new());
    let core = Repo::new(&parts, tree.path(), "core").signed(&signer);
    core.add(&[Pkgbuild::new("alpha", "1-1")]);
    let mirror = Mirror::serve(tree.path());
    let setup = |pacman: PacmanRoot| {
        let pacman = pacman.repo(&core, &[&format!("{}/core", mirror.url())]);
        pacman.sig_level("Required DatabaseOptional").trusting(&signer)
    };
    as_with_curl(&parts, Release::New, setup, |pacman| {
        pacman.run(&["-Sy"]).ok();
        pacman.run(&["-S", "alpha"]).ok();
        assert_eq!(versions(pacman), ["alpha 1-1"]);
    });
}

#[test]
fn a_user_checks_for_updates_in_fakeroot_as_with_curl() {
    let parts = Parts::demand();
    let tree = scratch("tree");
    let core = Repo::new(&parts, tree.path(), "core");
    core.add(&[Pkgbuild::new("alpha", "1-1")]);
    let mirror = Mirror::serve(tree.path());
    for release in Release::ALL {
        let swarm = Swarm::install();
        let with = |xfer: &str| {
            let pacman = PacmanRoot::new(&parts, release, xfer).repo(&core, &[&format!("{}/core", mirror.url())]);
            swarm.around(pacman).in_fakeroot()
        };
        compare(with(CURL), with(&swarm.xfer_command()), |pacman| {
            pacman.run(&["-Sy"]).ok();
            assert_eq!(pacman.sync_db_snapshot().len(), 1);
        });
    }
}

#[test]
fn a_first_server_that_is_dead_changes_nothing() {
    let parts = Parts::demand();
    let tree = scratch("tree");
    let core = Repo::new(&parts, tree.path(), "core");
    core.add(&[Pkgbuild::new("alpha", "1-1"), Pkgbuild::new("beta", "1-1").size(2 * MIB)]);
    let mirror = Mirror::serve(tree.path());
    let (dead, alive) = (format!("{}/core", Mirror::refused()), format!("{}/core", mirror.url()));
    for release in Release::ALL {
        as_with_curl(
            &parts,
            release,
            |pacman| pacman.repo(&core, &[&dead, &alive]),
            |pacman| {
                pacman.run(&["-Sy", "alpha", "beta"]).ok();
                assert_eq!(versions(pacman), ["alpha 1-1", "beta 1-1"]);
            },
        );
    }
}

#[test]
fn a_first_server_that_lies_is_overruled_by_an_honest_one() {
    let parts = Parts::demand();
    let tree = scratch("tree");
    let core = Repo::new(&parts, &tree.path().join("honest"), "core");
    core.add(&[Pkgbuild::new("alpha", "1-1"), Pkgbuild::new("beta", "1-1").size(2 * MIB + 5)]);
    let lying = core.copy_to(&tree.path().join("lying"));
    ["alpha", "beta"].iter().for_each(|name| lying.falsify(&format!("{name}-1-1-any.pkg.tar.zst")));
    let mirror = Mirror::serve(tree.path());
    let (lie, truth) = (format!("{}/lying/core", mirror.url()), format!("{}/honest/core", mirror.url()));
    for release in Release::ALL {
        let swarm = Swarm::install();
        // curl would let pacman fail here, so it gets only the honest one.
        let curl = PacmanRoot::new(&parts, release, CURL).repo(&core, &[&truth]);
        let ours = PacmanRoot::new(&parts, release, &swarm.xfer_command()).repo(&core, &[&lie, &truth]);
        compare(curl, swarm.around(ours), |pacman| {
            pacman.run(&["-Sy"]).ok();
            pacman.run(&["-S", "alpha", "beta"]).ok();
            assert_eq!(versions(pacman), ["alpha 1-1", "beta 1-1"]);
        });
    }
}

#[test]
fn nothing_is_installed_when_every_server_lies() {
    let parts = Parts::demand();
    let tree = scratch("tree");
    let core = Repo::new(&parts, tree.path(), "core");
    core.add(&[Pkgbuild::new("alpha", "1-1")]);
    core.falsify("alpha-1-1-any.pkg.tar.zst");
    let mirror = Mirror::serve(tree.path());
    for release in Release::ALL {
        let swarm = Swarm::install();
        let pacman = PacmanRoot::new(&parts, release, &swarm.xfer_command());
        let pacman = swarm.around(pacman.repo(&core, &[&format!("{}/core", mirror.url())]));
        pacman.run(&["-Sy"]).ok();
        pacman.run(&["-S", "alpha"]).failed();
        assert_eq!(pacman.installed(), []);
        assert!(!pacman.cache_files().iter().any(|name| name.ends_with(".zst")), "{:?}", pacman.cache_files());
    }
}

#[test]
fn twenty_rounds_of_upgrades_keep_the_store_within_its_limit() {
    let parts = Parts::demand();
    let limit = 8 * MIB;
    for release in Release::ALL {
        let tree = scratch("tree");
        let core = Repo::new(&parts, tree.path(), "core");
        let mirror = Mirror::serve(tree.path());
        let mut swarm = Swarm::install();
        swarm.set("PKGSWARM_STORE_MAX", &limit.to_string());
        let pacman = PacmanRoot::new(&parts, release, &swarm.xfer_command());
        let pacman = swarm.around(pacman.repo(&core, &[&format!("{}/core", mirror.url())]));
        for round in 1..=20 {
            let version = format!("{round}-1");
            let package = |name| Pkgbuild::new(name, &version).size(MIB + 300 * KIB);
            core.add(&[package("alpha"), package("beta")]);
            pacman.run(&["-Syu", "alpha", "beta"]).ok();
            let expected = [format!("alpha {version}"), format!("beta {version}")];
            assert_eq!(versions(&pacman), expected);
            assert!(swarm.store_bytes() <= limit, "{} bytes in the store after round {round}", swarm.store_bytes());
        }
    }
}
