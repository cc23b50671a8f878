//! Databases that are newer than the mirror's: whole snapshots of an index, on request or when no mirror answers.

use std::fs;
use std::time::Duration;

use super::database_index::{database_of, date_in_use, in_use, packages, sync};
use pkgswarm::index::manifest::TableContent;

use crate::support::mirror::MODIFIED;
use crate::support::repo::signature;
use crate::support::*;

const LATER: u64 = MODIFIED + 3600;

/// A mirror with an old state, and an index and a Kubo with a newer state with one more package of 3 MB.
struct Scene {
    old: Vec<u8>,
    new: Vec<u8>,
    big: Package,
    mirror: FakeMirror,
    kubo: FakeKubo,
    index: FakeIndex,
}

fn scene() -> Scene {
    let big = Package::new("big", 3 << 20);
    let old = database_of(&packages(50, "1.0-1"), Compression::Gzip);
    let mut listed = packages(50, "1.1-1");
    listed.push(big.clone());
    let new = database_of(&listed, Compression::Gzip);
    let mirror = FakeMirror::serving(&[("core.db", &old)]);
    let kubo = FakeKubo::empty().holding(&new).holding(&big.bytes);
    let index = FakeIndex::called("arch").listing(&big).with_database("core.db", &new, LATER);
    Scene { old, new, big, mirror, kubo, index }
}

fn asked_for(world: World) -> World {
    world.config("[database]\nfrom_index = [\"core\"]\n")
}

#[test]
fn a_newer_snapshot_is_taken_only_where_the_user_asked() {
    let Scene { old, new, mirror, kubo, index, .. } = scene();
    let world = World::new().servers("core", &[mirror.repo("core")], &[]).kubo(&kubo);
    let world = index.in_use(world);
    sync(&world, &mirror);
    assert!(in_use(&world) == old);
    let world = asked_for(world);
    let run = sync(&world, &mirror);
    assert!(in_use(&world) == new);
    assert_eq!(date_in_use(&world), LATER, "its date at the publisher");
    let line = run.stderr.trim_end();
    let end = format!(" old, newer than {}'s)", mirror.address());
    assert!(line.contains("from Kubo (index arch, ") && line.ends_with(&end), "{line}");
}

#[test]
fn an_index_without_the_bytes_of_what_is_new_is_no_reason_to_leave_the_mirrors_database() {
    for (content, takes_it) in [(TableContent::All, true), (TableContent::Recent, true), (TableContent::None, false)] {
        let Scene { old, new, mirror, kubo, index, .. } = scene();
        let world = asked_for(World::new().servers("core", &[mirror.repo("core")], &[]).kubo(&kubo));
        let world = index.having(content).in_use(world);
        let run = sync(&world, &mirror);
        assert!(in_use(&world) == if takes_it { new } else { old }, "{content:?}: {}", run.stderr);
    }
}

#[test]
fn where_the_newest_index_has_no_bytes_one_that_has_them_is_taken() {
    let Scene { mirror, kubo, index, new, .. } = scene();
    let newest = database_of(&packages(60, "1.2-1"), Compression::Gzip);
    let bare = FakeIndex::called("bare").with_database("core.db", &newest, LATER + 60).having(TableContent::None);
    let kubo = kubo.holding(&newest);
    let world = asked_for(World::new().servers("core", &[mirror.repo("core")], &[]).kubo(&kubo));
    let world = bare.in_use(index.in_use(world));
    let run = sync(&world, &mirror);
    assert!(in_use(&world) == new, "{}", run.stderr);
}

#[test]
fn without_any_mirror_an_index_without_bytes_is_better_than_none() {
    let Scene { kubo, index, new, .. } = scene();
    let dead = format!("http://{}/core/os/x86_64", dead_address());
    let world = World::new().servers("core", &[&dead], &[]).kubo(&kubo);
    let world = index.having(TableContent::None).in_use(world);
    let out = world.out("core.db");
    world.xfer(&format!("{dead}/core.db"), &out).succeeds();
    world.has(&out, &new);
}

#[test]
fn packages_of_a_snapshot_come_from_peers_although_mirrors_have_them_not_and_the_index_moved_on() {
    let Scene { mirror, kubo, index, big, .. } = scene();
    let world = asked_for(World::new().servers("core", &[mirror.repo("core")], &[]).kubo(&kubo));
    let world = index.in_use(world);
    sync(&world, &mirror);
    fs::remove_dir_all(copy_of_index(&world, "arch")).unwrap();
    let out = world.out(&big.file_name());
    world.xfer(&mirror.url("core", &big.file_name()), &out).succeeds();
    world.has(&out, &big.bytes);
    assert_eq!(mirror.requests_of(&big.file_name()).len(), 0, "Kubo had it at once");
}

#[test]
fn a_package_that_no_source_has_any_more_says_how_to_go_back() {
    let Scene { mirror, kubo, index, big, .. } = scene();
    let world = asked_for(World::new().servers("core", &[mirror.repo("core")], &[]).kubo(&kubo));
    let world = index.in_use(world);
    sync(&world, &mirror);
    let kubo = kubo.status(404);
    let run = world.xfer(&mirror.url("core", &big.file_name()), &world.out(&big.file_name()));
    assert_eq!(run.code(), 1, "{}", run.stderr);
    let hint = "\nhint: its database is an index's, newer than the mirrors'; `pacman -Syy` goes back to theirs\n";
    assert!(run.said.ends_with(hint), "{}", run.said);
    drop(kubo);
}

#[test]
fn a_snapshot_in_use_stays_until_the_mirror_has_caught_up() {
    let Scene { new, mirror, kubo, index, .. } = scene();
    let world = asked_for(World::new().servers("core", &[mirror.repo("core")], &[]).kubo(&kubo));
    let world = index.in_use(world);
    sync(&world, &mirror);
    let run = sync(&world, &mirror);
    assert!(in_use(&world) == new && run.stderr.contains("60 min older"), "{}", run.stderr);
    let newest = database_of(&packages(60, "1.2-1"), Compression::Gzip);
    mirror.publish("core.db", &newest);
    let mirror = mirror.modified(LATER + 60);
    sync(&world, &mirror);
    assert!(in_use(&world) == newest, "the mirror's own is newer now");
}

#[test]
fn peers_that_do_not_have_the_snapshot_at_once_cost_no_more_than_the_head_start() {
    let unable: &[(&str, BendKubo)] =
        &[("hangs", |k| k.hanging()), ("has it not", |k| k.status(404)), ("lies", |k| k.lying())];
    for (what, bend) in unable {
        let Scene { old, mirror, kubo, index, .. } = scene();
        let kubo = bend(kubo);
        let world = asked_for(World::new().servers("core", &[mirror.repo("core")], &[]).kubo(&kubo));
        let world = index.in_use(world).set("PKGSWARM_KUBO_HEAD_START", "300 ms");
        sync(&world, &mirror).within(Duration::from_secs(1));
        assert!(in_use(&world) == old, "Kubo {what}: what plain curl would have got");
    }
    let Scene { old, mirror, index, .. } = scene();
    let world = asked_for(World::new().servers("core", &[mirror.repo("core")], &[]));
    let world = index.in_use(world);
    sync(&world, &mirror);
    assert!(in_use(&world) == old, "without peers its packages could not be had either");
}

#[test]
fn a_snapshot_of_a_repo_that_must_be_signed_needs_the_publishers_signature() {
    let levels = ["PackageRequired", "DatabaseRequired"];
    let Scene { old, new, mirror, kubo, index, .. } = scene();
    let ours = signature("snapshot");
    mirror.publish("core.db.sig", &signature("mirror"));
    let kubo = kubo.holding(&ours);
    let world = asked_for(World::new().servers("core", &[mirror.repo("core")], &levels).kubo(&kubo));
    let world = index.in_use(world);
    sync(&world, &mirror);
    assert!(in_use(&world) == old);

    let index = FakeIndex::called("arch").with_database("core.db", &new, LATER);
    let world = index.with_database("core.db.sig", &ours, LATER).in_use(world);
    let out = world.out("core.db");
    world.xfer(&mirror.url("core", "core.db"), &out).succeeds();
    world.has(&out, &new);
    fs::remove_file(out).unwrap();
    let out = world.out("core.db.sig");
    world.xfer(&mirror.url("core", "core.db.sig"), &out).succeeds();
    world.has(&out, &ours);
}

#[test]
fn the_mirrors_signature_is_not_given_for_a_snapshot_that_has_none() {
    let Scene { new, mirror, kubo, index, .. } = scene();
    mirror.publish("core.db.sig", &signature("mirror"));
    let world = World::new().run_by_user().set("HTTP_USER_AGENT", "pacman/7.1.0 (Linux x86_64) libalpm/16.0.0");
    let world = asked_for(world.servers("core", &[mirror.repo("core")], &["DatabaseOptional"]).kubo(&kubo));
    let world = index.in_use(world);
    let dir = world.download_dir("root/var/lib/pacman/sync");
    let out = dir.join("core.db.part");
    world.xfer(&mirror.url("core", "core.db"), &out).succeeds();
    world.has(&out, &new);
    fs::remove_file(out).unwrap();
    let out = dir.join("core.db.sig.part");
    world.xfer(&mirror.url("core", "core.db.sig"), &out).succeeds();
    world.has(&out, b"");
}

#[test]
fn when_no_mirror_answers_the_newest_proven_snapshot_is_used_and_its_age_is_said() {
    let Scene { new, kubo, index, .. } = scene();
    let dead = format!("http://{}/core/os/x86_64", dead_address());
    let world = World::new().servers("core", &[&dead], &[]).kubo(&kubo);
    let world = index.in_use(world);
    for _ in 0..2 {
        let out = world.out("core.db");
        let run = world.xfer_of_another_pacman(&format!("{dead}/core.db"), &out);
        run.succeeds();
        world.has(&out, &new);
        assert!(
            run.stderr.contains("index arch, ") && run.stderr.contains(" old; no mirror answers)"),
            "{}",
            run.stderr
        );
        fs::rename(out, world.path("root/var/lib/pacman/sync/core.db")).unwrap();
    }
}

#[test]
fn without_mirrors_nothing_expired_or_older_is_used() {
    let Scene { old, new, mirror, kubo, index, .. } = scene();
    let dead = format!("http://{}/core/os/x86_64", dead_address());
    let fails = |world: &World| {
        let run = world.xfer_of_another_pacman(&format!("{dead}/core.db"), &world.out("core.db"));
        assert_eq!(run.code(), 1, "{}", run.stderr);
        assert!(run.said.contains("error: core.db: no source delivered it\n"), "{}", run.said);
        world.has_no_output();
    };
    let world = World::new().servers("core", &[&dead], &[]).kubo(&kubo);
    fails(&index.expired().in_use(world));

    // The mirror's state of an hour later is in use.
    mirror.publish("core.db", &new);
    let mirror = mirror.modified(LATER);
    let world = World::new().servers("core", &[mirror.repo("core")], &[]).kubo(&kubo);
    sync(&world, &mirror);
    let world = world.other_servers("core", &[&dead]);
    let kubo = kubo.holding(&old);
    fails(&FakeIndex::called("arch").with_database("core.db", &old, MODIFIED).in_use(world));
    drop(kubo);
}

#[test]
fn a_mirror_that_answers_at_all_is_believed() {
    let Scene { mirror, kubo, index, .. } = scene();
    let mirror = mirror.status(404);
    let world = World::new().servers("core", &[mirror.repo("core")], &[]).kubo(&kubo);
    let world = index.in_use(world);
    let run = world.xfer(&mirror.url("core", "core.db"), &world.out("core.db"));
    assert_eq!(run.code(), 1, "{}", run.stderr);
    world.has_no_output();
}
