//! The screens of the commands about indexes, and of `publish`.

use std::fs;

use crate::support::keys::now;
use crate::support::run::Running;
use crate::support::screens::{Screens, at_80_columns};
use crate::support::*;

/// Three and a half hours, of which only the three show, even on a slow machine.
const AGO: u64 = 12_600;

#[test]
fn screens_of_index() {
    let mut screens = Screens::of("index");
    let zlib = Package::new("zlib", 300_000);
    let publisher = Keys::new(1);
    let key = publisher.name();
    let index = publisher.index(&[&zlib], now() - AGO, 172_800);
    let mirror = FakeMirror::serving::<&str, &[u8]>(&[]);
    index.publish_on(&mirror);
    let minisign = publisher.minisign.public().to_string();
    let equal = [(minisign.as_str(), "$MINISIGN")];
    let url = format!("http://{}/index", mirror.address());
    let world = World::new();
    screens
        .run("no index is in use", &world, &["index", "ls"])
        .run("refreshing none", &world, &["index", "refresh"])
        .run("one that is not in use", &world, &["index", "refresh", "arch"])
        .run("showing one that is not in use", &world, &["index", "show", "arch"])
        .run("removing one that is not in use", &world, &["index", "rm", "arch"])
        .run("adding without an answer", &world, &["index", "add", "arch", &key])
        .run("adding with a name that is none", &world, &["index", "add", "../arch", &key, "--yes"])
        .run("adding with a key that is none", &world, &["index", "add", "arch", "k51", "--yes"])
        .run_with("adding a minisign key without a URL", &world, &["index", "add", "arch", &minisign, "--yes"], &equal)
        .run("adding one with a URL that is none", &world, &["index", "add", "arch", &key, "--url", "there", "--yes"]);
    let add = ["index", "add", "arch", &key, "--url", &url, "--repo", "core"];
    let no = Running::asked("n\n", world.command(&add), world.base()).finish();
    screens.add("adding, and the answer is no", &world, &add, &no, &equal);
    screens
        .run("adding", &world, &[&add[..], &["--yes"]].concat())
        .run("adding it again", &world, &[&add[..], &["--yes"]].concat())
        .run("refreshing when nothing is new", &world, &["index", "refresh"])
        .run("in use", &world, &["index", "ls"])
        .run("showing it", &world, &["index", "show", "arch"])
        .run("removing", &world, &["index", "rm", "arch"]);
    screens.held();
}

#[test]
fn screens_of_index_in_trouble() {
    let mut screens = Screens::of("index-trouble");
    let zlib = Package::new("zlib", 300_000);
    let publisher = Keys::new(1);
    let good = publisher.index(&[&zlib], now() - AGO, 172_800);
    let world_with = |mirror: &FakeMirror| World::new().config(&publisher.config(Some(mirror)));
    let empty = FakeMirror::serving::<&str, &[u8]>(&[]);
    screens.run("no source has it", &world_with(&empty), &["index", "refresh"]);

    let expired = FakeMirror::serving::<&str, &[u8]>(&[]);
    publisher.index(&[&zlib], now() - AGO - 3600, 3600).publish_on(&expired);
    screens.run("it has expired", &world_with(&expired), &["index", "refresh"]);

    let forged = FakeMirror::serving::<&str, &[u8]>(&[]);
    Keys::new(2).index(&[&zlib], now() - AGO, 172_800).publish_on(&forged);
    screens.run("another key signed it", &world_with(&forged), &["index", "refresh"]);

    let mirror = FakeMirror::serving::<&str, &[u8]>(&[]);
    good.publish_on(&mirror);
    let world = world_with(&mirror);
    assert_eq!(world.run(&["index", "refresh"]).code(), 0);
    publisher.index(&[&zlib], now() - 90_000, 172_800).publish_on(&mirror);
    screens.run("an older one", &world, &["index", "refresh"]);
    drop(mirror);
    screens.run("the server is gone", &world, &["index", "refresh"]);
    screens.held();
}

#[test]
fn screens_of_audit() {
    let mut screens = Screens::of("index-audit");
    let (a, b) = (Package::new("a", 1000), Package::new("b", 2000));
    let mirror = FakeMirror::serving(&[("nothing", b"")]);
    let world = World::new().repo("core", &[&a, &b], &[&mirror]);
    screens.run("an empty cache", &world, &["index", "audit"]);
    fs::write(world.path("cache").join(a.file_name()), &a.bytes).unwrap();
    fs::write(world.path("cache").join(b.file_name()), "damaged").unwrap();
    screens.run_wide("a damaged package", &world, &["index", "audit"]);
    let world = FakeIndex::called("one").saying(&a.file_name(), b"something else").in_use(world);
    screens.run_wide("an index that says something else", &world, &["index", "audit"]);
    screens.run("a folder that does not exist", &world, &["index", "audit", "./missing"]);
    screens.held();
}

#[test]
fn screens_of_publish() {
    let mut screens = Screens::of("publish");
    let zlib = Package::new("zlib", 300_000);
    let world = World::new();
    let repo = world.path("tmp/core/os/x86_64");
    fs::create_dir_all(&repo).unwrap();
    let (repo_text, out) = (repo.display().to_string(), world.path("tmp/out").display().to_string());
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let public = pair.pk.to_base64();
    let secret = world.path("tmp/secret.key");
    fs::write(&secret, pair.sk.to_box(None).unwrap().to_string()).unwrap();
    let secret = secret.display().to_string();
    let publish = |key: &str, directory: &str| -> Vec<String> {
        let words = ["publish", "--offline", "--out", &out, "--minisign-key", key, directory];
        words.map(str::to_owned).to_vec()
    };
    let mut run = |about: &str, words: Vec<String>| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let run = at_80_columns(&world, &words);
        // The index contains its creation time.
        let root = run.stdout.trim();
        let equal = [(root, "$ROOT"), (&*public, "$KEY")];
        screens.add(about, &world, &words, &run, if root.is_empty() { &[] } else { &equal });
    };
    run("a directory without a database", publish(&secret, &repo_text));
    run("a directory that does not exist", publish(&secret, "/nonexistent"));
    fs::write(repo.join("core.db"), database(&[&zlib], Compression::Gzip)).unwrap();
    run("a package that is not there", publish(&secret, &repo_text));
    fs::write(repo.join(zlib.file_name()), "other bytes").unwrap();
    run("a package with other bytes", publish(&secret, &repo_text));
    fs::write(repo.join(zlib.file_name()), &zlib.bytes).unwrap();
    run("a key that does not exist", publish("/nonexistent", &repo_text));
    run("one package", publish(&secret, &repo_text));
    run("nothing changed", publish(&secret, &repo_text));
    run("a lifetime that is none", [publish(&secret, &repo_text), vec!["--lifetime".into(), "long".into()]].concat());
    run("without Kubo", vec!["publish".into(), repo_text.clone()]);
    screens.held();
}
