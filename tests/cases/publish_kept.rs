//! A publication that does not keep all bytes of its packages: what it has on its disk, what it offers, what clients get.

use std::fs;
use std::path::Path;

use pkgswarm::dag::build::build;
use serde_json::Value;

use crate::support::follow::{following, keeping, key_of, listed, publish, published, requests, upstream, wanted};
use crate::support::publisher::files_below;
use crate::support::repo::{Package, database};
use crate::support::tier1::Upstream;
use crate::support::world::listing;
use crate::support::{Compression, FakeMirror, Misbehaves as _, World};

const MIB: usize = 1 << 20;

fn bytes_here(world: &World) -> Vec<String> {
    listing(&world.path("state-publish/arch/follow/packages"))
}

fn root_of(package: &Package) -> String {
    build(&package.bytes[..]).unwrap().root.to_string()
}

#[test]
fn without_content_each_package_comes_once_and_leaves_its_entry_and_root_block() {
    let mut upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "");
    keeping(&world, "content = \"none\"");
    let first = published(&world);
    assert_eq!((&first["did"], &first["files"], &first["without_bytes"]), (&"published".into(), &12.into(), &5.into()));
    assert_eq!(listed(&world.path("plain")), wanted(&upstream), "the index is the whole one");
    let content = |world: &World| {
        let manifest: Value = serde_json::from_slice(&fs::read(world.path("plain/pkgswarm.json")).unwrap()).unwrap();
        manifest["tables"].as_array().unwrap().iter().map(|table| table["content"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(content(&world), ["none", "none"], "and says that it has no bytes");
    assert_eq!(bytes_here(&world), [""; 0]);
    let big: Vec<String> = upstream.packages().filter(|package| package.bytes.len() > MIB).map(root_of).collect();
    let mut roots = listing(&world.path("plain/ipfs"));
    roots.sort();
    assert!(roots.len() == 2 && big.iter().all(|root| roots.contains(root)), "{roots:?}");
    assert_eq!(&published(&world)["did"], "unchanged");

    let git = Package::new("git", 3 * MIB).version("2.0-1");
    upstream.change("extra", &git, |_| {});
    upstream.clean();
    for mirror in [&a, &b] {
        upstream.sync(mirror);
    }
    published(&world);
    assert_eq!(listed(&world.path("plain")), wanted(&upstream));
    assert!(world.path("plain/ipfs").join(root_of(&git)).exists() && bytes_here(&world).is_empty());
    for package in upstream.packages() {
        assert!(requests(&[&a, &b], &package.file_name()) <= 2, "{}: fetched again", package.file_name());
    }
    // A root block that was lost makes its package come again.
    fs::remove_file(world.path("plain/ipfs").join(root_of(&git))).unwrap();
    let asked = requests(&[&a, &b], &git.file_name());
    published(&world);
    assert!(requests(&[&a, &b], &git.file_name()) > asked);
    assert!(world.path("plain/ipfs").join(root_of(&git)).exists() && bytes_here(&world).is_empty());
}

#[test]
fn a_run_without_content_that_fails_has_let_go_of_the_bytes_and_goes_on_with_what_is_missing() {
    let upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let bash = Package::new("bash", 20_000);
    let path = format!("core/os/x86_64/{}", bash.file_name());
    let (a, b) = (a.on(&path).status(404).times(1), b.on(&path).status(404).times(1));
    let world = following(&[&a, &b], "");
    keeping(&world, "content = \"none\"");
    assert_eq!(publish(&world).code(), 1);
    assert_eq!(bytes_here(&world), [""; 0], "proven, hashed, dropped");
    let git = Package::new("git", 60_000).file_name();
    let asked = requests(&[&a, &b], &git);
    published(&world);
    assert_eq!(listed(&world.path("plain")), wanted(&upstream));
    assert_eq!(requests(&[&a, &b], &git), asked, "its root is known");
}

#[test]
fn a_late_run_keeps_the_root_blocks_that_it_has_earned() {
    let mut upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "");
    keeping(&world, "content = \"none\"");
    published(&world);
    let (git, bash) = (Package::new("git", 3 * MIB).version("2.0-1"), Package::new("bash", 100).version("2.0-1"));
    upstream.change("extra", &git, |_| {});
    upstream.change("core", &bash, |_| {});
    let path = format!("core/os/x86_64/{}", bash.file_name());
    let [a, b] = [a, b].map(|mirror| {
        upstream.sync(&mirror);
        mirror.on(&path).status(404).times(2)
    });
    // The copy is written again.
    fs::remove_file(world.path("plain/pkgswarm.json")).unwrap();
    assert_eq!(publish(&world).code(), 1);
    let asked = requests(&[&a, &b], &git.file_name());
    assert!(asked > 0 && world.path("plain/ipfs").join(root_of(&git)).exists());
    assert_eq!(publish(&world).code(), 1);
    published(&world);
    assert_eq!(listed(&world.path("plain")), wanted(&upstream));
    assert_eq!(requests(&[&a, &b], &git.file_name()), asked, "it came once");
    assert_eq!(listing(&world.path("plain/ipfs")).len(), 3, "glibc, vim, git");
}

#[test]
fn root_blocks_move_to_a_new_plain_copy_without_their_packages() {
    let upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "");
    keeping(&world, "content = \"none\"");
    published(&world);
    let asked = requests(&[&a, &b], ".zst");
    // As without a plain copy until now.
    let own = world.path("state-publish/arch/ipfs");
    fs::rename(world.path("plain/ipfs"), &own).unwrap();
    let file = world.path("config/publish.d/arch.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("/plain\"", "/other\"")).unwrap();
    published(&world);
    assert_eq!(listed(&world.path("other")), wanted(&upstream));
    assert_eq!(requests(&[&a, &b], ".zst"), asked);
    assert_eq!((listing(&world.path("other/ipfs")).len(), listing(&own).len()), (2, 0));
}

#[test]
fn a_client_of_an_index_without_content_pays_one_leaf_for_a_lie() {
    let (big, small) = (Package::new("big", 6 * MIB + 11), Package::new("small", 900));
    let upstream = Upstream::of(&[("core", &[big.clone(), small.clone()]), ("extra", &[])]);
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let publisher = following(&[&a, &b], "");
    keeping(&publisher, "content = \"none\"");
    published(&publisher);
    assert_eq!(bytes_here(&publisher), [""; 0]);
    let copy = FakeMirror::serving(&files_below(&publisher.path("plain")));

    let liar = FakeMirror::serving(&[big.file(), small.file()]).lying();
    let honest = FakeMirror::serving(&[big.file(), small.file()]);
    let world = World::new().repo("core", &[&big, &small], &[&liar, &honest]);
    let key = key_of(&publisher);
    let url = format!("http://{}/index", copy.address());
    let add = world.run(&["index", "add", "arch", &key, "--url", &url, "--repo", "core", "--yes"]);
    assert_eq!(add.code(), 0, "{}", add.stderr);
    let out = world.out(&big.file_name());
    let run = world.xfer(&liar.url("core", &big.file_name()), &out);
    run.succeeds();
    world.has(&out, &big.bytes);
    assert!(run.said.contains("sends another leaf than its CID says"), "{}", run.said);
    assert!(honest.bytes() <= MIB as u64, "{} bytes for one leaf", honest.bytes());
    assert!(copy.requests_of(&format!("index/ipfs/{}", root_of(&big))).len() == 1);
    let out = world.out(&small.file_name());
    world.xfer(&liar.url("core", &small.file_name()), &out).succeeds();
    assert_eq!(fs::read(&out).unwrap(), small.bytes);
}

#[test]
fn directories_are_published_without_content_and_the_words_are_those_of_the_file_too() {
    let world = World::new();
    let (big, small) = (Package::new("big", 3 * MIB), Package::new("small", 100));
    fs::create_dir_all(world.path("repo")).unwrap();
    fs::write(world.path("repo/custom.db"), database(&[&big, &small], Compression::Gzip)).unwrap();
    for package in [&big, &small] {
        fs::write(world.path("repo").join(package.file_name()), &package.bytes).unwrap();
    }
    let at = |below: &str| world.path(below).display().to_string();
    let publish = |more: &[&str]| {
        let (repo, out) = (at("repo"), at("plain"));
        world.run(&[&["publish", "--offline", "--json", "--out", &out, &repo], more].concat())
    };
    let root = |run: &crate::support::run::Run| -> String {
        assert_eq!(run.code(), 0, "{}", run.stderr);
        serde_json::from_str::<serde_json::Value>(&run.stdout).unwrap()["root"].as_str().unwrap().to_owned()
    };
    let all = publish(&[]);
    assert!(all.stdout.contains("\"without_bytes\":0"), "{}", all.stdout);
    let whole = links(&world.path("plain/pkgswarm.root"));
    assert_eq!(whole, ["custom", "index.html", "pkgswarm.json", "tables"]);
    let none = publish(&["--content", "none"]);
    assert_ne!(root(&all), root(&none));
    assert!(
        none.stdout.contains("\"did\":\"published\"") && none.stdout.contains("\"without_bytes\":2"),
        "{}",
        none.stdout
    );
    assert_eq!(links(&world.path("plain/pkgswarm.root")), ["custom", "index.html", "ipfs", "pkgswarm.json", "tables"]);
    assert_eq!(listing(&world.path("plain/ipfs")), [root_of(&big)]);
    assert!(publish(&["--content", "none"]).stdout.contains("\"did\":\"unchanged\""));
    publish(&["--content", "recent"])
        .fails(2, "error: --content: expected all or none, found \"recent\"\nhint: \"recent\" needs a bound, and so a file that describes \
         the publication: pkgswarm-publish(1)\n");
}

/// Lists the names in the block of a directory.
fn links(block: &Path) -> Vec<String> {
    let block = fs::read(block).unwrap();
    let text = String::from_utf8_lossy(&block).into_owned();
    let names = ["custom", "diffs", "index.html", "ipfs", "pkgswarm.json", "tables"];
    names.iter().filter(|name| text.contains(&format!("{name}\u{18}"))).map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_repository_that_has_the_name_of_the_root_blocks_is_published_whole_alone() {
    let world = World::new();
    fs::create_dir_all(world.path("repo")).unwrap();
    fs::write(world.path("repo/ipfs.db"), database(&[], Compression::Gzip)).unwrap();
    let (repo, out) = (world.path("repo").display().to_string(), world.path("plain").display().to_string());
    let publish = |content| world.run(&["publish", "--offline", "--content", content, "--out", &out, &repo]);
    publish("none").fails(2, "error: publish: a repo called ipfs cannot be published: the name is used by the index\n");
    assert!(!world.path("plain").exists());
    assert_eq!(publish("all").code(), 0);
}
