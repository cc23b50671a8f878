//! Packages that go into Kubo as they come: what is on this disk meanwhile, and what a run that was cut short leaves.

use super::real::{Archive, Kubo, Mirror, Parts, Process, Replica, run, until};
use super::{Follower, now};
use pkgswarm::dag::build::build;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Bytes of the packages of a scene, about.
const SIZE: u64 = 3 << 20;

/// Two mirrors with one repository of packages that are larger than a leaf, and a publisher with a node.
struct Scene {
    archive: Archive,
    replica: Replica,
    mirrors: [Mirror; 2],
    follower: Follower,
}

impl Scene {
    fn of(packages: usize, node: Kubo) -> Self {
        let mut archive = Archive::of(&[("core", "x86_64", 1)], now() - 9000);
        let mut replica = archive.replica();
        // Beside one small one.
        let news: Vec<_> = (1..packages).map(|n| (format!("big{n}"), "1.0-1".to_owned(), SIZE as usize)).collect();
        archive.change("core", "x86_64", &news);
        archive.bring(&mut replica, archive.steps());
        let mirrors = ["127.0.0.1", "127.0.0.2"].map(|address| Mirror::serve_at(address, replica.dir.path()));
        let urls = mirrors.each_ref().map(Mirror::url);
        let follower = Follower::of(&urls, "\"core\"", "\"x86_64\"", Some(node));
        Self { archive, replica, mirrors, follower }
    }

    fn node(&self) -> &Kubo {
        self.follower.kubo.as_ref().expect("a node")
    }

    fn followed(&self, file: &str) -> std::path::PathBuf {
        self.follower.own.path().join("state-publish/arch/follow").join(file)
    }

    /// Lists the packages by their sha256: file name and CID.
    fn packages(&self) -> BTreeMap<String, (String, String)> {
        let of = |n: usize| {
            let listed = self.archive.listed("core", "x86_64", &format!("big{n}"));
            let bytes = fs::read(self.replica.dir.path().join("pool/packages").join(&listed.file)).expect("a package");
            let cid = build(&bytes[..]).expect("memory can be read").root.to_string();
            (listed.sha256.to_string(), (listed.file.clone(), cid))
        };
        let count = fs::read_dir(self.replica.dir.path().join("pool/packages")).expect("a directory").count() / 2;
        (1..count).map(of).collect()
    }

    /// Lists what was pinned, by CID, with the names.
    fn pins(&self) -> BTreeMap<String, String> {
        let listing = self.node().ipfs(&["pin", "ls", "--type=recursive", "--names"]).ok().stdout;
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let pin = |words: Vec<String>| (words[0].clone(), words.get(2).cloned().unwrap_or_default());
        listing.lines().map(words).map(pin).collect()
    }

    /// Counts the requests for each package.
    fn asked(&self) -> BTreeMap<String, usize> {
        let mut asked = BTreeMap::new();
        for path in self.mirrors.iter().flat_map(Mirror::requests).map(|request| request.path) {
            if path.ends_with(".pkg.tar.zst") {
                *asked.entry(path.rsplit('/').next().expect("a name").to_owned()).or_default() += 1;
            }
        }
        asked
    }

    fn published(&self) -> Value {
        serde_json::from_str(&run(&mut self.follower.command()).ok().stdout).expect("JSON")
    }

    /// Lists the packages in a file of the publisher's, by the word of that place in each line.
    fn noted(&self, file: &str, word: usize) -> BTreeSet<String> {
        let text = fs::read_to_string(self.followed(file)).unwrap_or_default();
        text.lines().filter_map(|line| line.split(' ').nth(word)).map(str::to_owned).collect()
    }
}

/// Counts files and bytes below a directory, each once, whatever its names.
fn below(dir: &Path, seen: &mut HashSet<u64>) -> (usize, u64) {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        // It may have gone meanwhile.
        let Ok(found) = entry.metadata() else { continue };
        if found.is_dir() {
            let (more, of_them) = below(&entry.path(), seen);
            (files, bytes) = (files + more, bytes + of_them);
        } else if seen.insert(found.ino()) {
            (files, bytes) = (files + 1, bytes + found.blocks() * 512);
        }
    }
    (files, bytes)
}

#[test]
fn no_more_of_the_bytes_is_here_than_the_files_on_their_way() {
    let scene = Scene::of(40, Kubo::start(&Parts::demand()));
    let before = scene.pins();
    let mut process = Process::start(&mut scene.follower.command());
    let (mut most, mut at_once, mut pinned) = (0, 0, 0);
    while process.runs() {
        let mut seen = HashSet::new();
        let files = fs::read_dir(scene.followed("packages")).map_or(0, Iterator::count);
        let (_, bytes) = below(&scene.followed(""), &mut seen);
        (most, at_once) = (most.max(bytes), at_once.max(files));
        pinned = pinned.max(scene.noted("arrived", 2).len());
        thread::sleep(Duration::from_millis(1));
    }
    process.wait().ok();
    println!("{most} bytes at once, in {at_once} files; {pinned} were pinned by themselves");
    assert!((1..=4).contains(&at_once), "{at_once} packages at once");
    assert!(most <= 5 * SIZE, "{most} bytes of {}", 40 * SIZE);
    assert_eq!((pinned, scene.noted("arrived", 2).len()), (40, 0), "as long as there was no root for them");
    let after = scene.pins();
    let new: Vec<&String> = after.iter().filter(|(cid, _)| !before.contains_key(*cid)).map(|(_, name)| name).collect();
    assert_eq!(new, ["pkgswarm:arch"]);
    let root = after.iter().find(|(_, name)| *name == "pkgswarm:arch").expect("a root").0;
    scene.node().ipfs(&["repo", "gc", "--quiet"]).ok();
    for (file, cid) in scene.packages().into_values() {
        let path = format!("/ipfs/{root}/core/os/x86_64/{file}");
        assert_eq!(scene.node().ipfs(&["resolve", &path]).ok().stdout.trim(), format!("/ipfs/{cid}"));
        scene.node().ipfs(&["block", "stat", "--offline", &cid]).ok();
    }
    assert_eq!(scene.published()["did"], "unchanged");
    assert_eq!(scene.asked().len(), 40);
}

#[test]
fn a_run_that_is_killed_before_its_root_goes_on_with_what_kubo_has_and_no_pin_of_the_users_goes() {
    let scene = Scene::of(40, Kubo::start(&Parts::demand()));
    let packages = scene.packages();
    // The user has one of them already, pinned without a name.
    let own = packages.values().next().expect("a package").clone();
    assert_eq!(scene.node().add(&scene.replica.dir.path().join("pool/packages").join(&own.0)), own.1);
    let before = scene.pins();
    let mut process = Process::start(&mut scene.follower.command());
    until("some packages have come", Duration::from_secs(120), || {
        assert!(process.runs(), "{}", process.said());
        (scene.noted("held", 0).len() >= 8).then_some(())
    });
    process.kill();
    let held: Vec<(String, String)> = scene
        .noted("held", 0)
        .iter()
        .map(|sha256| packages[sha256].clone())
        .filter(|package| *package != own)
        .collect();
    let pins = scene.pins();
    assert!(held.iter().all(|(_, cid)| pins.contains_key(cid)), "{held:?} of {pins:?}");
    assert!(!pins.values().any(|name| name == "pkgswarm:arch"), "there is no root yet");
    assert!(fs::read_dir(scene.followed("packages")).expect("a directory").count() <= 4);

    // One is lost meanwhile, and one is given a name.
    let [lost, named, ..] = &held[..] else { panic!("{held:?}") };
    scene.node().ipfs(&["pin", "rm", &lost.1]).ok();
    scene.node().ipfs(&["pin", "add", "--name=mine", &named.1]).ok();
    scene.node().ipfs(&["repo", "gc", "--quiet"]).ok();
    let asked = scene.asked();
    assert_eq!(scene.published()["did"], "published");
    let again = scene.asked();
    for (file, _) in held.iter().filter(|package| *package != lost) {
        assert_eq!(again[file], asked[file], "{file}: Kubo has it");
    }
    assert!(again[&lost.0] > asked[&lost.0], "what was lost has come again");
    let mut expected = before;
    expected.insert(named.1.clone(), "mine".to_owned());
    let mut pins = scene.pins();
    pins.retain(|_, name| name != "pkgswarm:arch");
    assert_eq!(pins, expected, "the pins of the user's own");
    assert_eq!(scene.noted("arrived", 2).len(), 0);
    assert_eq!(scene.published()["did"], "unchanged");
}

#[test]
fn a_kubo_without_room_is_said_before_a_package_is_fetched_and_the_next_run_goes_on() {
    let node = Kubo::naming(&Parts::demand(), |config| config["Datastore"]["StorageMax"] = json!("20MB"));
    let mut scene = Scene::of(12, node);
    let refused = run(&mut scene.follower.command()).failed();
    assert!(refused.stderr.contains("Kubo has room for ") && refused.stderr.contains("StorageMax"), "{refused}");
    assert_eq!((scene.asked().len(), scene.noted("arrived", 2).len()), (0, 0));
    let node = scene.follower.kubo.as_mut().expect("a node");
    node.stop();
    node.configure(|config| config["Datastore"]["StorageMax"] = json!("200MB"));
    node.start_again();
    assert_eq!(scene.published()["did"], "published");
    assert_eq!((scene.asked().len(), scene.noted("arrived", 2).len()), (12, 0));
}
