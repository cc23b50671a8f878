//! What stands beside databases and packages of a mirror that is followed: signatures, their check, lists of files.

use std::fs;
use std::path::Path;

use crate::support::World;
use crate::support::follow::{following, listed, publish, published, requests, upstream, wanted};
use crate::support::mirror::FakeMirror;
use crate::support::repo::{Package, signature};
use crate::support::tier1::Upstream;
use crate::support::world::listing;

const KEYRING: &str = "keyring = \"/etc/keyring.gpg\"\n";

/// Lists the database files of `core` in the plain copy.
fn databases(out: &Path) -> Vec<String> {
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(out.join("pkgswarm.json")).unwrap()).unwrap();
    let tables = manifest["tables"].as_array().unwrap();
    let core = tables.iter().find(|table| table["repo"] == "core").unwrap();
    core["databases"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect()
}

/// Gives the world a gpgv that writes down what it checks, and refuses files with this digest in their name.
fn gpgv(world: World, refused: &str) -> World {
    let at = world.base().to_owned();
    world.script("gpgv", &format!("echo \"$5\" >> {at}/checked; case $5 in *{refused}) echo 'BAD' >&2; exit 1;; esac"))
}

fn add_line(world: &World, line: &str) {
    let file = world.path("config/publish.d/arch.toml");
    let text = fs::read_to_string(&file).unwrap() + line;
    fs::write(file, text).unwrap();
}

#[test]
fn a_keyring_that_is_added_later_checks_what_is_still_listed() {
    let upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "");
    published(&world);
    add_line(&world, KEYRING);
    let bash = Package::new("bash", 20_000);
    let world = gpgv(world, &bash.sha256().to_string());
    let run = publish(&world);
    assert!(run.code() == 3 && run.stderr.contains("its signature does not count"), "{}", run.stderr);
    assert!(run.stderr.contains(&bash.file_name()), "{}", run.stderr);

    let world = gpgv(world, "none");
    published(&world);
    assert_eq!(listed(&world.path("plain")), wanted(&upstream));
    let state = world.path("state-publish/arch/follow");
    let checked = fs::read_to_string(state.join("checked")).unwrap();
    assert!(upstream.packages().all(|package| checked.contains(&package.sha256().to_string())), "{checked}");
    assert_eq!(listing(&state.join("packages")), [""; 0], "their bytes were needed for the check alone");
    let (asked, calls) = (requests(&[&a, &b], ".zst"), fs::read_to_string(world.path("checked")).unwrap());
    assert_eq!(&published(&world)["did"], "unchanged");
    assert_eq!(requests(&[&a, &b], ".zst"), asked, "once is enough");
    assert_eq!(fs::read_to_string(world.path("checked")).unwrap(), calls);
}

/// Gives `core` on this mirror a file beside its database.
fn beside(upstream: &Upstream, mirror: &FakeMirror, suffix: &str, bytes: &[u8]) {
    mirror.publish_dated(&format!("core/os/x86_64/core.{suffix}"), bytes, upstream.lastupdate);
}

#[test]
fn signatures_of_databases_are_followed_and_checked_by_the_keyring() {
    let mut upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    for mirror in [&a, &b] {
        beside(&upstream, mirror, "db.sig", &signature("first"));
    }
    let world = gpgv(following(&[&a, &b], KEYRING), "none");
    published(&world);
    assert_eq!(databases(&world.path("plain")), ["core.db", "core.db.sig"]);
    let first = pkgswarm::base::digest::Sha256::of(&a.file("core/os/x86_64/core.db")).to_string();
    assert!(fs::read_to_string(world.path("checked")).unwrap().contains(&first), "gpgv saw the database");

    upstream.change("core", &Package::new("bash", 100).version("2.0-1"), |_| {});
    for mirror in [&a, &b] {
        upstream.sync(mirror);
        beside(&upstream, mirror, "db.sig", &signature("second"));
    }
    let second = pkgswarm::base::digest::Sha256::of(&a.file("core/os/x86_64/core.db")).to_string();
    let world = gpgv(world, &second);
    let run = publish(&world);
    assert!(run.stderr.contains("core.db.sig: its signature does not count: "), "{}", run.stderr);
    assert!(run.code() == 1 && databases(&world.path("plain")).len() == 2, "{}", run.stderr);
    // A page is no signature.
    let world = gpgv(world, "none");
    for mirror in [&a, &b] {
        beside(&upstream, mirror, "db.sig", b"<html>log in</html>");
    }
    let run = publish(&world);
    assert!(run.code() == 1 && run.stderr.contains("core.db.sig: "), "{}", run.stderr);
    for mirror in [&a, &b] {
        beside(&upstream, mirror, "db.sig", &signature("second"));
    }
    published(&world);
    assert_eq!(listed(&world.path("plain")), wanted(&upstream));
}

#[test]
fn lists_of_files_are_followed_where_they_are_wanted() {
    let mut upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let old = a.file("core/os/x86_64/core.db");
    let dress = |upstream: &Upstream, core: Option<&[u8]>| {
        for mirror in [&a, &b] {
            for repo in ["core", "extra"] {
                let bytes = mirror.file(&format!("{repo}/os/x86_64/{repo}.db"));
                let bytes = core.filter(|_| repo == "core").unwrap_or(&bytes);
                mirror.publish_dated(&format!("{repo}/os/x86_64/{repo}.files"), bytes, upstream.lastupdate);
            }
        }
    };
    dress(&upstream, None);
    let world = following(&[&a, &b], "");
    published(&world);
    assert_eq!((databases(&world.path("plain")), requests(&[&a, &b], ".files")), (vec!["core.db".to_owned()], 0));

    add_line(&world, "files = true\n");
    published(&world);
    assert_eq!(databases(&world.path("plain")), ["core.db", "core.files"], "although the database is the former one");
    let file = world.path("config/publish.d/arch.toml");
    let with = fs::read_to_string(&file).unwrap();
    fs::write(&file, with.replace("files = true\n", "files = false\n")).unwrap();
    published(&world);
    assert_eq!(databases(&world.path("plain")), ["core.db"], "not wanted any more");
    fs::write(&file, with).unwrap();
    upstream.change("core", &Package::new("bash", 100).version("2.0-1"), |_| {});
    for mirror in [&a, &b] {
        upstream.sync(mirror);
    }
    // Those of another state are not those of this database.
    dress(&upstream, Some(&old));
    let run = publish(&world);
    assert_eq!(run.code(), 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("core.files: 2 of the 3 packages in the database are in it as there"),
        "{}",
        run.stderr
    );
    dress(&upstream, None);
    published(&world);
    assert_eq!(databases(&world.path("plain")), ["core.db", "core.files"]);
    let asked = requests(&[&a, &b], ".files");
    assert_eq!(&published(&world)["did"], "unchanged");
    assert_eq!(requests(&[&a, &b], ".files"), asked);
}
