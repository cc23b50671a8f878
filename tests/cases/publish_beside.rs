//! What stands beside databases and packages of a mirror that is followed: signatures, their check, lists of files.

use std::fs;
use std::path::Path;

use crate::support::follow::{
    BIG, add_line, following, keeping, listed, publish, published, remembering, requests, upstream, wanted,
};
use crate::support::mirror::FakeMirror;
use crate::support::repo::{Package, database, signature};
use crate::support::tier1::Upstream;
use crate::support::world::listing;
use crate::support::{Compression, Misbehaves as _, World};

const KEYRING: &str = "keyring = \"$WORLD/keyring\"\n";

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

#[test]
fn a_list_of_files_with_a_stranger_or_a_double_is_refused() {
    let upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "files = true\n");
    let core = [Package::new("glibc", BIG), Package::new("bash", 20_000), Package::new("zlib", 5_000)];
    let [glibc, bash, zlib] = &core;
    let stranger = Package::new("stranger", 10);
    let strange = "it names stranger-1.0-1-x86_64.pkg.tar.zst, which is not in the database";
    for (more, said) in [(&stranger, strange), (bash, "bash-1.0-1-x86_64.pkg.tar.zst was listed before")] {
        for mirror in [&a, &b] {
            let extra = mirror.file("extra/os/x86_64/extra.db");
            mirror.publish_dated("extra/os/x86_64/extra.files", &extra, upstream.lastupdate);
            let files = database(&[bash, glibc, zlib, more], Compression::Gzip);
            beside(&upstream, mirror, "files", &files);
        }
        let run = publish(&world);
        assert_eq!(run.code(), 1, "{}", run.stderr);
        assert!(run.stderr.contains("core.files: ") && run.stderr.contains(said), "{}", run.stderr);
    }
    for mirror in [&a, &b] {
        beside(&upstream, mirror, "files", &mirror.file("core/os/x86_64/core.db"));
    }
    published(&world);
    assert_eq!(databases(&world.path("plain")), ["core.db", "core.files"]);
}

/// Returns the signature that is kept of a package.
fn kept(world: &World, package: &Package) -> Vec<u8> {
    fs::read(world.path("state-publish/arch/follow/signatures").join(package.sha256().to_string())).unwrap()
}

#[test]
fn a_package_that_is_signed_anew_gets_its_new_signature_and_one_without_is_asked_again_each_day() {
    let mut upstream = upstream();
    let bash = Package::new("bash", 20_000).signed("first");
    upstream.change("core", &bash, |_| {});
    let path = format!("core/os/x86_64/{}", Package::new("zlib", 1).signature().0);
    let [a, b] = [0, 1].map(|_| upstream.mirror().on(&path).status(404).times(1));
    let world = following(&[&a, &b], "");
    published(&world);
    assert_eq!(kept(&world, &bash), bash.signature().1);
    let zlib = Package::new("zlib", 5_000);
    assert_eq!(kept(&world, &zlib), b"", "no mirror has one");
    let asked = requests(&[&a, &b], ".zst");

    let again = bash.signed("second");
    upstream.change("core", &again, |_| {});
    for mirror in [&a, &b] {
        upstream.sync(mirror);
    }
    published(&world);
    assert_eq!(kept(&world, &again), again.signature().1);
    assert_eq!(requests(&[&a, &b], ".zst"), asked, "its bytes are the same");
    assert_eq!(kept(&world, &zlib), b"");
    // A day later all are compared.
    remembering(&world, |kept| kept["compared"] = 0.into());
    published(&world);
    assert_eq!(kept(&world, &zlib), zlib.signature().1);
}

#[test]
fn a_changed_keyring_checks_again_what_none_of_its_keys_has_signed() {
    let upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    for mirror in [&a, &b] {
        beside(&upstream, mirror, "db.sig", &signature("of the database"));
    }
    let world = following(&[&a, &b], "");
    published(&world);
    assert_eq!(
        databases(&world.path("plain")),
        ["core.db", "core.db.sig"],
        "without a keyring it is published as it came"
    );
    // The signature of the database is from before there was a keyring, and counts no more by itself.
    let (keyring, at) = (world.path("keyring.gpg"), world.base().to_owned());
    fs::write(&keyring, "one").unwrap();
    add_line(&world, &format!("keyring = \"{}\"\n", keyring.display()));
    let core = pkgswarm::base::digest::Sha256::of(&a.file("core/os/x86_64/core.db")).to_string();
    let world = gpgv(world, &core);
    let run = publish(&world);
    assert!(run.code() == 1 && run.stderr.contains("core.db.sig: its signature does not count: "), "{}", run.stderr);

    // Bash is signed by a subkey of its own.
    let bash = Package::new("bash", 20_000).sha256();
    let check = format!(
        "echo \"$5\" >> {at}/checked; case $5 in *{bash}) key=B2;; *) key=A1;; esac; echo \"[GNUPG:] VALIDSIG $key 2026-11-30 1\""
    );
    let world = world.script("gpgv", &check);
    published(&world);
    let checked = world.path("checked");
    let calls = || fs::read_to_string(&checked).unwrap().lines().count();
    let (before, asked) = (calls(), requests(&[&a, &b], ".zst"));
    let key = |name: &str, validity: &str| {
        format!("pub:-:::{name}\nfpr:::::::::{name}1:\nsub:{validity}:\nfpr:::::::::{name}2:\n")
    };
    let list = |keys: &str| fs::write(format!("{at}/keys"), keys).unwrap();
    list(&(key("A", "-") + &key("B", "-")));
    let world = world.script("gpg", &format!("cat {at}/keys"));
    assert_eq!(&published(&world)["did"], "unchanged");
    assert_eq!(calls(), before, "the keyring is the same");
    fs::write(&keyring, "one and others").unwrap();
    published(&world);
    assert_eq!(
        (calls(), requests(&[&a, &b], ".zst")),
        (before + 2, asked),
        "the signature that each mirror has of the database"
    );
    list(&(key("A", "-") + &key("B", "r")));
    fs::write(&keyring, "one less").unwrap();
    published(&world);
    assert_eq!(calls(), before + 5, "those again, and that of bash");
    assert_eq!(requests(&[&a, &b], ".zst"), asked + 1, "for whose check its bytes came");
    assert_eq!(listed(&world.path("plain")), wanted(&upstream));
}

#[test]
fn a_keyring_that_cannot_be_read_forgets_nothing_and_fetches_nothing() {
    let upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let check = "echo \"[GNUPG:] VALIDSIG A1 2026-11-30 1\"";
    let world = following(&[&a, &b], KEYRING).script("gpgv", check).script("gpg", "exit 2");
    keeping(&world, "content = \"none\"");
    published(&world);
    let (keyring, checked) = (world.path("keyring"), world.path("state-publish/arch/follow/checked"));
    let read = || fs::read_to_string(&checked).unwrap();
    let (before, all, asked) = (read(), requests(&[&a, &b], ""), requests(&[&a, &b], ".zst"));
    fs::rename(&keyring, world.path("away")).unwrap();
    let run = publish(&world);
    assert!(
        run.code() != 0 && run.said.contains("$WORLD/keyring: the keyring cannot be read: it is missing"),
        "{}",
        run.said
    );
    assert_eq!((read(), requests(&[&a, &b], "")), (before.clone(), all));
    fs::rename(world.path("away"), &keyring).unwrap();
    published(&world);
    assert_eq!((read(), requests(&[&a, &b], ".zst")), (before.clone(), asked));

    // gpg cannot list the keys of another one: what was checked stays, in every run with a word.
    fs::write(&keyring, "others").unwrap();
    for _ in 0..2 {
        let run = publish(&world);
        assert!(
            run.code() == 0 && run.stderr.contains("keyring: its keys cannot be listed (gpg failed"),
            "{}",
            run.stderr
        );
    }
    let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    assert_eq!((lines(&read()), requests(&[&a, &b], ".zst")), (lines(&before), asked));
    // A keybox is listed as a keyring alone.
    let list = "case \"$*\" in *--show-keys*) exit 2;; esac; printf 'pub:-:::A\\nfpr:::::::::A1:\\n'";
    let world = world.script("gpg", list);
    let run = publish(&world);
    assert!(run.code() == 0 && !run.stderr.contains("warning"), "{}", run.stderr);
    assert_eq!((lines(&read()), requests(&[&a, &b], ".zst")), (lines(&before), asked));
    assert_ne!(read(), before, "by this keyring from now on");
}

#[test]
fn a_keyring_that_has_signed_nothing_costs_no_more_than_a_few_packages() {
    let all: Vec<Package> = (0..40).map(|n| Package::new(&format!("p{n}"), 500)).collect();
    let upstream = Upstream::of(&[("core", &all), ("extra", &[])]);
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], KEYRING).script("gpgv", "exit 1");
    keeping(&world, "content = \"none\"");
    for _ in 0..2 {
        let run = publish(&world);
        assert!(run.code() == 3 && run.stderr.contains("its signature does not count"), "{}", run.stderr);
        let came = listing(&world.path("state-publish/arch/follow/packages")).len();
        assert!((16..20).contains(&came), "{came}");
    }
}

#[test]
fn packages_without_a_signature_are_asked_for_it_a_hundred_a_day_at_one_mirror() {
    let all: Vec<Package> = (0..130).map(|n| Package::new(&format!("p{n}"), 50)).collect();
    let upstream = Upstream::of(&[("core", &all), ("extra", &[])]);
    let path = |package: &Package| format!("core/os/x86_64/{}", package.signature().0);
    let unsigned = || all.iter().fold(upstream.mirror(), |mirror, package| mirror.on(&path(package)).status(404));
    let (a, b) = (unsigned(), unsigned());
    let world = following(&[&a, &b], "");
    published(&world);
    let asked = requests(&[&a, &b], ".zst.sig");
    remembering(&world, |kept| kept["compared"] = 0.into());
    assert_eq!(&published(&world)["did"], "unchanged");
    assert_eq!(requests(&[&a, &b], ".zst.sig") - asked, 100);
}
