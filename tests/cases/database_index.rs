//! Databases whose bytes an index saves: the same bytes as the mirror's, from the nearest source.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::mirror::MODIFIED;
use crate::support::run::Run;
use crate::support::*;

/// Repositories whose packages pacman takes only with a signature.
pub const SIGNED: &[&str] = &["PackageRequired"];

/// Packages enough for a database that is worth asking a peer for.
pub fn packages(count: usize, version: &str) -> Vec<Package> {
    (0..count).map(|n| Package::new(&format!("p{n:05}"), 20).version(version)).collect()
}

pub fn database_of(packages: &[Package], compression: Compression) -> Vec<u8> {
    database(&packages.iter().collect::<Vec<_>>(), compression)
}

/// Fetches the database in a pacman run of its own and moves it to pacman's place.
pub fn sync(world: &World, mirror: &FakeMirror) -> Run {
    let out = world.out("core.db");
    let run = world.xfer_of_another_pacman(&mirror.url("core", "core.db"), &out);
    run.succeeds();
    fs::rename(out, world.path("root/var/lib/pacman/sync/core.db")).unwrap();
    run
}

pub fn in_use(world: &World) -> Vec<u8> {
    fs::read(world.path("root/var/lib/pacman/sync/core.db")).unwrap()
}

pub fn date_in_use(world: &World) -> u64 {
    fs::metadata(world.path("root/var/lib/pacman/sync/core.db")).unwrap().mtime() as u64
}

#[test]
fn what_the_index_describes_and_the_mirror_has_comes_from_peers_and_is_proven() {
    for (count, compression) in [(800, Compression::Gzip), (800, Compression::Xz), (16_000, Compression::Gzip)] {
        for world in [World::new(), World::new().run_by_user()] {
            let new = database_of(&packages(count, "1.1-1"), compression);
            assert_eq!(new.len() > 1 << 20, count > 10_000, "by its root, or by its sha256 alone: {}", new.len());
            let (mirror, kubo) = (FakeMirror::serving(&[("core.db", &new)]), FakeKubo::empty().holding(&new));
            let world = world.servers("core", &[mirror.repo("core")], SIGNED).kubo(&kubo);
            // The publisher's date differs: the end of the file decides.
            let world = FakeIndex::called("arch").with_database("core.db", &new, MODIFIED + 7).in_use(world);
            let run = sync(&world, &mirror);
            assert!(in_use(&world) == new);
            assert_eq!(date_in_use(&world), MODIFIED, "the mirror's date, by which it is asked the next time");
            assert!(mirror.bytes() <= 256 && run.stderr.ends_with(" from Kubo\n"), "{} {compression:?}", run.stderr);
            sync(&world, &mirror);
            assert_eq!((mirror.hits("core.db"), mirror.bytes() <= 256), (2, true), "and then it is unchanged");
        }
    }
}

#[test]
fn where_packages_need_no_signature_the_mirror_itself_sends_the_database() {
    // Size, date and last bytes can be made to match, so the index would choose the database by which it is
    // checked.
    let new = database_of(&packages(800, "1.1-1"), Compression::Gzip);
    for level in [&[][..], &["PackageOptional"], &["PackageNever"]] {
        let (mirror, kubo) = (FakeMirror::serving(&[("core.db", &new)]), FakeKubo::empty().holding(&new));
        let world = World::new().servers("core", &[mirror.repo("core")], level).kubo(&kubo);
        let world = FakeIndex::called("arch").with_database("core.db", &new, MODIFIED).in_use(world);
        let run = sync(&world, &mirror);
        assert!(in_use(&world) == new);
        assert!(mirror.bytes() >= new.len() as u64, "{level:?}: {}", run.stderr);
    }
}

#[test]
fn a_database_without_a_checksum_at_its_end_needs_the_same_date_and_size() {
    // The library's zstd writes none, unlike the program that repo-add runs.
    let cases =
        [Compression::None, Compression::Zstd].map(|compression| database_of(&packages(800, "1.1-1"), compression));
    for (new, (date, from_peers)) in
        cases.iter().flat_map(|new| [(new, (MODIFIED, true)), (new, (MODIFIED + 1, false))])
    {
        let (mirror, kubo) = (FakeMirror::serving(&[("core.db", new)]), FakeKubo::empty().holding(new));
        let world = World::new().servers("core", &[mirror.repo("core")], SIGNED).kubo(&kubo);
        let world = FakeIndex::called("arch").with_database("core.db", new, date).in_use(world);
        sync(&world, &mirror);
        assert!(in_use(&world) == *new);
        assert_eq!(mirror.bytes() <= 256, from_peers);
    }
}

#[test]
fn another_database_of_the_same_size_is_not_what_the_mirror_has() {
    let new = database_of(&packages(800, "1.1-1"), Compression::Gzip);
    let mut other = new.clone();
    let end = other.len() - 8;
    other[end] ^= 1;
    let (mirror, kubo) = (FakeMirror::serving(&[("core.db", &new)]), FakeKubo::empty().holding(&other));
    let world = World::new().servers("core", &[mirror.repo("core")], SIGNED).kubo(&kubo);
    let world = FakeIndex::called("arch").with_database("core.db", &other, MODIFIED).in_use(world);
    let run = sync(&world, &mirror);
    assert!(in_use(&world) == new);
    assert!(run.stderr.ends_with("(unproven: database from a mirror)\n"), "{}", run.stderr);
}

#[test]
fn an_index_that_is_behind_or_ahead_costs_one_small_question() {
    let (old, new) = (database_of(&packages(700, "1.0-1"), Compression::Gzip), packages(800, "1.1-1"));
    let new = database_of(&new, Compression::Gzip);
    for (theirs, ours) in [(&old, &new), (&new, &old)] {
        let (mirror, kubo) = (FakeMirror::serving(&[("core.db", theirs)]), FakeKubo::empty().holding(ours));
        let world = World::new().servers("core", &[mirror.repo("core")], SIGNED).kubo(&kubo);
        let world = FakeIndex::called("arch").with_database("core.db", ours, MODIFIED + 60).in_use(world);
        sync(&world, &mirror);
        assert!(in_use(&world) == *theirs, "the mirror says what is current");
        assert!(mirror.bytes() <= theirs.len() as u64 + 256 && kubo.requests().is_empty());
        assert_eq!(mirror.hits("core.db"), 2);
        sync(&world, &mirror);
        assert_eq!(mirror.hits("core.db"), 3, "unchanged takes one question, whatever the index says");
    }
}

#[test]
fn whatever_peers_do_the_mirror_delivers_its_database() {
    let new = database_of(&packages(800, "1.1-1"), Compression::Gzip);
    let misdeeds: &[(&str, BendKubo)] = &[
        ("hangs", |k| k.hanging()),
        ("lies", |k| k.lying()),
        ("has it not", |k| k.status(404)),
        ("stalls", |k| k.stall_after(10_000)),
        ("is cut", |k| k.cut_after(10_000)),
    ];
    for (what, bend) in misdeeds {
        let (mirror, kubo) = (FakeMirror::serving(&[("core.db", &new)]), bend(FakeKubo::empty().holding(&new)));
        let world = World::new().servers("core", &[mirror.repo("core")], SIGNED).kubo(&kubo);
        let world = FakeIndex::called("arch").with_database("core.db", &new, MODIFIED).in_use(world);
        sync(&world, &mirror).within(Duration::from_secs(3));
        assert!(in_use(&world) == new, "Kubo {what}");
        assert!(!kubo.requests().is_empty() && mirror.bytes() > 256, "Kubo {what}");
    }
}

#[test]
fn a_mirror_without_ranges_delivers_as_ever() {
    let new = database_of(&packages(800, "1.1-1"), Compression::Gzip);
    let mirror = FakeMirror::serving(&[("core.db", &new)]).ignoring_range();
    let kubo = FakeKubo::empty().holding(&new);
    let world = World::new().servers("core", &[mirror.repo("core")], SIGNED).kubo(&kubo);
    let world = FakeIndex::called("arch").with_database("core.db", &new, MODIFIED).in_use(world);
    sync(&world, &mirror);
    assert!(in_use(&world) == new);
}

/// True if it is asked for files; the refresh in the background asks its gateway for records as well.
fn is_asked_for_files(kubo: &FakeKubo) -> bool {
    kubo.gateway().requests().iter().any(|request| request.path().starts_with("ipfs/"))
}

#[test]
fn an_index_that_expired_or_speaks_for_another_repo_is_not_heard() {
    let new = database_of(&packages(800, "1.1-1"), Compression::Gzip);
    let (mirror, kubo) = (FakeMirror::serving(&[("core.db", &new)]), FakeKubo::empty().holding(&new));
    let world = World::new().servers("core", &[mirror.repo("core")], SIGNED).kubo(&kubo);
    let world = FakeIndex::called("arch").with_database("core.db", &new, MODIFIED).expired().in_use(world);
    sync(&world, &mirror);
    assert!(in_use(&world) == new);
    assert!(!is_asked_for_files(&kubo), "expired");

    let world = World::new().servers("core", &[mirror.repo("core")], SIGNED).kubo(&kubo);
    let world = FakeIndex::called("arch").with_database("core.db", &new, MODIFIED).in_use(world);
    let file = world.path("config/config.d/index-arch.toml");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("\"core\"", "\"extra\"")).unwrap();
    sync(&world, &mirror);
    assert!(!is_asked_for_files(&kubo), "not granted");
}

#[test]
fn a_mirror_that_is_behind_costs_no_body() {
    let (old, new) = (database_of(&packages(800, "1.0-1"), Compression::Gzip), packages(801, "1.1-1"));
    let new = database_of(&new, Compression::Gzip);
    let mirror = FakeMirror::serving(&[("core.db", &new)]);
    let world = World::new().servers("core", &[mirror.repo("core")], SIGNED);
    sync(&world, &mirror);
    let mirror = mirror.modified(MODIFIED - 86_400).slow(200_000);
    mirror.publish("core.db", &old);
    let before = mirror.bytes();
    let run = sync(&world, &mirror);
    assert!(in_use(&world) == new && run.stderr.contains("1440 min older"), "{}", run.stderr);
    assert!(mirror.bytes() - before < old.len() as u64 / 2, "its date was enough");
}

/// Makes three repos on one mirror, synchronised once.
fn three_repos() -> (FakeMirror, World, Vec<(String, PathBuf)>) {
    let names = ["core", "extra", "multilib"];
    let files: Vec<_> =
        names.map(|name| (format!("{name}.db"), database_of(&packages(50, name), Compression::Gzip))).into();
    let mirror = FakeMirror::serving(&files);
    let world = names.iter().fold(World::new(), |world, name| world.servers(name, &[mirror.repo(name)], SIGNED));
    let wanted = names.map(|name| (mirror.url(name, &format!("{name}.db")), world.out(&format!("{name}.db"))));
    let run = world.refreshing(&wanted);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    put_in_place(&world, &wanted);
    (mirror, world, wanted.into())
}

fn put_in_place(world: &World, wanted: &[(String, PathBuf)]) {
    for (_, out) in wanted {
        let name = out.file_stem().unwrap();
        fs::rename(out, world.path("root/var/lib/pacman/sync").join(name)).unwrap();
    }
}

#[test]
fn a_refresh_asks_about_all_databases_at_once_and_each_of_them_once() {
    let (mirror, world, wanted) = three_repos();
    let (asked, sent) = (mirror.requests().len(), mirror.bytes());
    let run = world.refreshing(&wanted);
    assert_eq!(
        (run.code(), run.stderr.matches(", unchanged (unproven: database in use)").count()),
        (0, 3),
        "{}",
        run.stderr
    );
    put_in_place(&world, &wanted);
    let asked_now: Vec<_> = mirror.requests()[asked..].iter().map(|request| request.method.clone()).collect();
    assert_eq!((asked_now, mirror.bytes() - sent), (vec!["HEAD".to_owned(); 3], 0));
    // Another pacman asks anew.
    world.refreshing(&wanted);
    assert_eq!(mirror.requests().len(), asked + 6);
}

#[test]
fn a_database_that_has_changed_comes_although_the_others_have_not() {
    for changed in ["core", "multilib"] {
        let (mirror, world, wanted) = three_repos();
        let new = database_of(&packages(60, "2-1"), Compression::Gzip);
        let mirror = mirror.on(&format!("{changed}.db")).modified(MODIFIED + 60);
        mirror.publish(&format!("{changed}.db"), &new);
        let sent = mirror.bytes();
        assert_eq!(world.refreshing(&wanted).code(), 0);
        put_in_place(&world, &wanted);
        let got = fs::read(world.path("root/var/lib/pacman/sync").join(format!("{changed}.db"))).unwrap();
        assert!(got == new && mirror.bytes() - sent == new.len() as u64, "{changed}");
    }
}

#[test]
fn a_database_that_was_damaged_since_comes_whole_although_its_mirror_has_nothing_newer() {
    let (mirror, world, wanted) = three_repos();
    let path = world.path("root/var/lib/pacman/sync/extra.db");
    let (whole, date) = (fs::read(&path).unwrap(), path.metadata().unwrap().modified().unwrap());
    let mut damaged = whole.clone();
    damaged[100] ^= 1;
    fs::write(&path, damaged).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(date).unwrap();
    let sent = mirror.bytes();
    let run = world.refreshing(&wanted);
    assert_eq!((run.code(), run.stderr.matches(", unchanged ").count()), (0, 2), "{}", run.stderr);
    put_in_place(&world, &wanted);
    assert!(fs::read(&path).unwrap() == whole && mirror.bytes() - sent == whole.len() as u64);
}
