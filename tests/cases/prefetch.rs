//! Updates are here before the user asks: in the store, with their signatures, and superseded ones are removed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::repo::signature;
use crate::support::run::Running;
use crate::support::world::listing;
use crate::support::*;

/// Serves a repository `core` with these packages, their signatures and its database.
pub(super) fn mirror_of(packages: &[&Package]) -> FakeMirror {
    let mirror = FakeMirror::serving(&packages.iter().flat_map(|p| [p.file(), p.signature()]).collect::<Vec<_>>());
    mirror.publish("core.db", &database(packages, Compression::Gzip));
    mirror
}

/// Makes a machine whose pacman has an empty database of `core`, and would upgrade to these.
pub(super) fn world_of(mirror: &FakeMirror, packages: &[&Package]) -> World {
    let world = World::new().sync_database("core", &database(&[], Compression::Gzip));
    world.servers("core", &[&mirror.repo("core")], &["PackageRequired", "DatabaseNever"]).pending(packages, mirror)
}

/// Lists the files in the store proper.
fn stored(world: &World) -> Vec<String> {
    listing(&world.path("store/files")).into_iter().filter(|name| !name.ends_with(".name")).collect()
}

fn sorted(packages: &[&Package]) -> Vec<String> {
    let mut names: Vec<String> = packages.iter().map(|package| package.sha256().to_string()).collect();
    names.sort();
    names
}

#[test]
fn pending_updates_and_their_signatures_need_no_network_later() {
    let (zlib, xz) = (Package::new("zlib", 300_000), Package::new("xz", 2_500_000));
    let mirror = mirror_of(&[&zlib, &xz]);
    let mut world = world_of(&mirror, &[&zlib, &xz]);
    let database_path = world.path("root/var/lib/pacman/sync/core.db");
    let before = fs::read(&database_path).unwrap();
    let run = world.run(&["prefetch"]);
    assert_eq!((run.code(), run.stdout.as_str()), (0, "zlib 0.9-1 -> 1.0-1\nxz 0.9-1 -> 1.0-1\n"), "{}", run.stderr);
    assert_eq!(
        run.said,
        "2 of 2 updates are here, 2.7 MiB (2.7 MiB fetched now): pacman -Su needs no network for them\n"
    );
    assert_eq!(fs::read(&database_path).unwrap(), before, "the system's own databases are never touched");
    assert_eq!(listing(&world.path("root/var/lib/pacman/sync")), ["core.db"]);
    world.store_is_settled();

    // The system refreshes its databases; then the network is cut.
    world = world.sync_database("core", &database(&[&zlib, &xz], Compression::Gzip));
    let urls = [&zlib, &xz].map(|package| mirror.url("core", &package.file_name()));
    drop(mirror);
    for (package, url) in [&zlib, &xz].into_iter().zip(urls) {
        let out = world.out(&package.file_name());
        world.xfer_of_another_pacman(&url, &out).succeeds();
        world.has(&out, &package.bytes);
        fs::remove_file(out).unwrap();
        let out = world.out(&format!("{}.sig", package.file_name()));
        let run = world.xfer_of_another_pacman(&format!("{url}.sig"), &out);
        run.succeeds();
        assert!(run.said.contains("from here, fetched ahead (unproven: signature"), "{}", run.said);
        world.has(&out, &package.signature().1);
        fs::remove_file(out).unwrap();
    }
}

#[test]
fn a_second_run_fetches_nothing() {
    let zlib = Package::new("zlib", 300_000);
    let mirror = mirror_of(&[&zlib]);
    let world = world_of(&mirror, &[&zlib]);
    assert_eq!(world.run(&["prefetch"]).code(), 0);
    let before = mirror.bytes();
    let run = world.run(&["prefetch", "--json"]);
    let all: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code(), all["fetched"].as_u64(), all["updates"][0]["stands"].as_str()), (0, Some(0), Some("here")));
    assert_eq!(mirror.bytes(), before, "not even the database");
    assert_eq!((mirror.hits(&zlib.file_name()), mirror.hits(&zlib.signature().0)), (1, 1));
}

#[test]
fn what_would_be_fetched_is_pending_and_has_not_failed() {
    let (zlib, xz) = (Package::new("zlib", 300_000), Package::new("xz", 40_000));
    let mirror = mirror_of(&[&zlib, &xz]);
    let world = world_of(&mirror, &[&zlib, &xz]);
    let run = world.run(&["prefetch", "--dry-run", "--json"]);
    let all: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code(), &all["updates"][0]["stands"], all["updates"][0].get("why")), (0, &"pending".into(), None));
    let run = world.run(&["prefetch", "--dry-run"]);
    assert_eq!(
        (run.code(), &*run.said),
        (0, "0 of 2 updates are here; 332.0 KiB would be fetched\n"),
        "{}",
        run.stderr
    );
}

#[test]
fn only_what_was_asked_for_is_told_and_a_package_that_is_not_there_is_named() {
    let (zlib, xz) = (Package::new("zlib", 300_000), Package::new("xz", 40_000));
    let mirror = mirror_of(&[&zlib, &xz]);
    let world = world_of(&mirror, &[&zlib, &xz]);
    let run = world.run(&["prefetch", "--only", "xz"]);
    assert_eq!((run.code(), &*run.stdout), (0, "xz 0.9-1 -> 1.0-1\n"), "{}", run.stderr);
    assert!(run.said.starts_with("1 of 1 update is here"), "{}", run.said);
    fs::create_dir_all(world.path("root/var/lib/pacman/local/bash-5.3-1")).unwrap();
    let run = world.run(&["prefetch", "--only", "nosuch", "bash"]);
    assert_eq!((run.code(), &*run.stdout), (1, ""));
    assert_eq!(
        run.said,
        "error: nosuch: no package of this name is installed, and none is pending\n\
         warning: bash 5.3-1: no update is pending\nnone of these has an update pending\n"
    );
    assert_eq!(stored(&world), sorted(&[&xz]));
}

#[test]
fn a_store_that_is_missing_is_named_with_the_command_that_makes_it() {
    let mirror = mirror_of(&[]);
    let world = world_of(&mirror, &[]).run_by_user().set("PKGSWARM_STORE_DIR", "/nonexistent/store");
    let run = world.run(&["prefetch"]);
    assert_eq!(run.code(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("error: /nonexistent/store: the store is not there"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: sudo install -d -o "), "{}", run.stderr);
}

#[test]
fn a_store_that_cannot_be_used_is_named_with_the_reason() {
    if !world::can_be_two_users("a_store_that_cannot_be_used_is_named_with_the_reason") {
        return;
    }
    let mirror = mirror_of(&[]);
    let world = world_of(&mirror, &[]).run_by_user();
    let of_root = world.path("of-root");
    fs::create_dir(&of_root).unwrap();
    let world = world.set("PKGSWARM_STORE_DIR", of_root.to_str().unwrap());
    let run = world.run(&["prefetch"]);
    assert_eq!(run.code(), 1, "{}", run.stderr);
    let why = format!("belongs to user 0, not to {}", world::UNPRIVILEGED);
    let error = format!("error: {}: prefetch cannot use this store: ", of_root.display());
    assert!(run.stderr.contains(&error) && run.stderr.contains(&why), "{}", run.stderr);
    assert!(run.stderr.ends_with("hint: pkgswarm config store.dir\n"), "{}", run.stderr);
    let run = world.run(&["upkeep"]);
    let warning = format!("warning: {}: ", of_root.display());
    assert!(run.stderr.contains(&warning) && run.stderr.contains(&why), "{}", run.stderr);
}

#[test]
fn sources_that_failed_are_named_where_the_user_asks_for_it() {
    let zlib = Package::new("zlib", 300_000);
    let mirror = mirror_of(&[&zlib]);
    let gone = FakeMirror::serving(&[("core.db", database(&[&zlib], Compression::Gzip))]);
    let servers = [gone.repo("core"), mirror.repo("core")];
    let world = || world_of(&mirror, &[&zlib]).other_servers("core", &[&servers[0], &servers[1]]);
    let loud = world().run(&["prefetch", "-v"]);
    assert_eq!(loud.code(), 0, "{}", loud.stderr);
    assert!(loud.said.contains("404"), "{}", loud.stderr);
    let quiet = world().run(&["prefetch"]);
    assert!(quiet.code() == 0 && !quiet.said.contains("404"), "{}", quiet.stderr);
}

#[test]
fn a_database_that_takes_long_has_a_bar() {
    let zlib = Package::new("zlib", 300);
    let mirror = mirror_of(&[&zlib]).on("core.db").slow(1000);
    let world = world_of(&mirror, &[&zlib]).set("PKGSWARM_OUTPUT_PROGRESS", "always");
    let (status, text) = terminal::seen(100, "", world.command(&["prefetch", "--dry-run"]));
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("core.db "), "{text}");
}

#[test]
fn without_updates_the_status_is_that_of_checkupdates() {
    let mirror = mirror_of(&[]);
    let world = world_of(&mirror, &[]);
    world.run(&["prefetch"]).fails(2, "no updates are pending\n");
}

#[test]
fn what_is_superseded_is_let_go() {
    let (old, new) = (Package::new("zlib", 300_000), Package::new("zlib", 300_001).version("1.1-1"));
    let mirror = mirror_of(&[&old]);
    let mut world = world_of(&mirror, &[&old]);
    assert_eq!(world.run(&["prefetch"]).code(), 0);
    assert_eq!(stored(&world), sorted(&[&old]));
    let mirror = mirror.on("core.db").modified(mirror::MODIFIED + 600);
    mirror.publish("core.db", &database(&[&new], Compression::Gzip));
    mirror.publish(&new.file_name(), &new.bytes);
    mirror.publish(&new.signature().0, &new.signature().1);
    world = world.pending(&[&new], &mirror);
    assert_eq!(world.run(&["prefetch"]).code(), 0);
    assert_eq!(stored(&world), sorted(&[&new]));
    assert_eq!(listing(&world.path("store/prefetch/signatures")), [format!("{}.sig", new.sha256())]);
    world = world.pending(&[], &mirror);
    assert_eq!(world.run(&["prefetch"]).code(), 2);
    assert_eq!(stored(&world), [""; 0]);
    assert_eq!(listing(&world.path("store/prefetch/signatures")), [""; 0]);
}

#[test]
fn the_quota_leaves_out_what_does_not_fit_and_says_so() {
    let (big, small) = (Package::new("big", 900_000), Package::new("small", 300_000));
    let mirror = mirror_of(&[&big, &small]);
    let world = world_of(&mirror, &[&big, &small]).set("PKGSWARM_PREFETCH_MAX", "500 KiB");
    let run = world.run(&["prefetch"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert_eq!(
        run.said,
        "1 of 2 updates are here, 293.0 KiB (293.0 KiB fetched now): pacman -Su needs no network for them\n\
         1 left out, 878.9 KiB: prefetch.max\n"
    );
    assert_eq!(stored(&world), sorted(&[&small]));
    assert_eq!(mirror.hits(&big.file_name()), 0);
}

#[test]
fn an_update_that_is_not_installed_is_removed_after_its_age() {
    let zlib = Package::new("zlib", 300_000);
    let mirror = mirror_of(&[&zlib]);
    let world = world_of(&mirror, &[&zlib]).set("PKGSWARM_PREFETCH_AGE", "2 d");
    assert_eq!(world.run(&["prefetch"]).code(), 0);
    let path = world.path("store/prefetch/state.json");
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let long_ago = state["since"]["zlib"].as_u64().unwrap() - 3 * 86_400;
    state["since"]["zlib"] = long_ago.into();
    fs::write(&path, state.to_string()).unwrap();
    let run = world.run(&["prefetch"]);
    assert_eq!(run.code(), 0);
    assert!(run.said.ends_with("1 left out, 293.0 KiB: prefetch.age\n"), "{}", run.said);
    assert_eq!(stored(&world), [""; 0]);
    let again = world.run(&["prefetch"]);
    assert!(again.said.ends_with("1 left out, 293.0 KiB: prefetch.age\n"), "it stays let go: {}", again.said);
}

#[test]
fn an_update_that_was_withdrawn_keeps_none_of_the_others_back() {
    let (gone, zlib) = (Package::new("gone", 200_000), Package::new("zlib", 300_000));
    let mirror = mirror_of(&[&gone, &zlib]).on(&gone.file_name()).status(404);
    let world = world_of(&mirror, &[&gone, &zlib]);
    let run = world.run(&["prefetch"]);
    assert_eq!(run.code(), 1);
    assert_eq!(
        run.said,
        "error: gone-1.0-1-x86_64.pkg.tar.zst: no source delivered the expected 200000 bytes\n  \
         mirror  127.0.0.1:A  absent: HTTP 404\n\
         1 of 2 updates are here, 293.0 KiB (293.0 KiB fetched now): pacman -Su needs no network for them\n"
    );
    assert_eq!(stored(&world), sorted(&[&zlib]));
    world.store_is_settled();
}

#[test]
fn a_repository_that_is_down_keeps_what_was_known_of_it_and_the_others_go_on() {
    let (zlib, other) = (Package::new("zlib", 300_000), Package::new("other", 1000));
    let mirror = mirror_of(&[&zlib]);
    let dead = format!("http://{}/extra", dead_address());
    let world = world_of(&mirror, &[&zlib]).sync_database("extra", &database(&[&other], Compression::Gzip));
    let world = world.servers("extra", &[&dead], &["DatabaseNever"]);
    let run = world.run(&["prefetch"]);
    assert_eq!(run.code(), 1);
    assert!(run.said.starts_with("error: extra.db: no source delivered it\n  mirror  127.0.0.1:A  unreachable: "));
    assert_eq!(stored(&world), sorted(&[&zlib]));
    assert_eq!(
        fs::read(world.path("store/prefetch/db/sync/extra.db")).unwrap(),
        fs::read(world.path("root/var/lib/pacman/sync/extra.db")).unwrap(),
        "the system's own stands in"
    );
}

#[test]
fn only_names_packages_and_a_dry_run_fetches_none() {
    let (zlib, xz) = (Package::new("zlib", 300_000), Package::new("xz", 200_000));
    let mirror = mirror_of(&[&zlib, &xz]);
    let world = world_of(&mirror, &[&zlib, &xz]);
    let dry = world.run(&["prefetch", "--dry-run"]);
    assert_eq!((dry.code(), dry.stdout.lines().count()), (0, 2));
    assert_eq!(dry.said, "0 of 2 updates are here; 488.3 KiB would be fetched\n");
    assert_eq!(stored(&world), [""; 0]);
    let run = world.run(&["prefetch", "--only", "xz"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert_eq!(stored(&world), sorted(&[&xz]));
    assert_eq!(world.run(&["prefetch", "--only", "zlib"]).code(), 0);
    assert_eq!(stored(&world), sorted(&[&xz, &zlib]), "what is here stays");
}

#[test]
fn where_pacman_cannot_prepare_the_upgrade_what_is_newer_is_fetched_all_the_same() {
    let (zlib, held) = (Package::new("zlib", 300_000), Package::new("held", 1000));
    let mirror = mirror_of(&[&zlib, &held]);
    let world = world_of(&mirror, &[&zlib]);
    let why = "error: failed to prepare transaction (could not satisfy dependencies)\n:: own: needs zlib=0.9\n";
    fs::write(world.path("pacman.fails"), why).unwrap();
    fs::write(world.path("pacman.newer"), "zlib 0.9-1 -> 1.0-1\nheld 0.9-1 -> 1.0-1 [ignored]\n").unwrap();
    let run = world.run(&["prefetch"]);
    assert_eq!((run.code(), run.stdout.as_str()), (0, "zlib 0.9-1 -> 1.0-1\n"), "{}", run.stderr);
    assert!(
        run.said.starts_with("warning: pacman cannot prepare the upgrade: error: failed to prepare"),
        "{}",
        run.said
    );
    assert_eq!(stored(&world), sorted(&[&zlib]));
}

#[test]
fn a_bad_signature_that_was_kept_is_not_handed_out_twice() {
    let zlib = Package::new("zlib", 300_000);
    let mirror = mirror_of(&[&zlib]);
    let (name, good) = zlib.signature();
    let bad = signature("another key");
    mirror.publish(&name, &bad);
    let world = world_of(&mirror, &[&zlib]);
    assert_eq!(world.run(&["prefetch"]).code(), 0);
    mirror.publish(&name, &good);
    let world = world.sync_database("core", &database(&[&zlib], Compression::Gzip));
    let out = world.out(&name);
    let url = mirror.url("core", &name);
    world.xfer_of_another_pacman(&url, &out).succeeds();
    world.has(&out, &bad);
    // pacman refuses it, and the user tries again.
    world.xfer_of_another_pacman(&url, &out).succeeds();
    world.has(&out, &good);
    // Without a network the kept one is better than none.
    drop(mirror);
    world.xfer_of_another_pacman(&url, &out).succeeds();
    world.has(&out, &bad);
}

#[test]
fn a_kept_signature_is_not_that_of_a_package_rebuilt_under_the_same_name() {
    let (zlib, rebuilt) = (Package::new("zlib", 300_000), Package::new("zlib", 300_001));
    let mirror = mirror_of(&[&zlib]);
    let world = world_of(&mirror, &[&zlib]);
    assert_eq!(world.run(&["prefetch"]).code(), 0);
    let other = signature("rebuilt");
    mirror.publish(&zlib.signature().0, &other);
    let world = world.sync_database("core", &database(&[&rebuilt], Compression::Gzip));
    let out = world.out(&zlib.signature().0);
    world.xfer(&mirror.url("core", &zlib.signature().0), &out).succeeds();
    world.has(&out, &other);
}

#[test]
fn an_interrupted_run_keeps_what_has_arrived_and_the_next_one_goes_on() {
    let (zlib, big) = (Package::new("zlib", 300_000), Package::new("big", 4_000_000));
    let mirror = mirror_of(&[&zlib, &big]).on(&big.file_name()).stall_after(2_500_000);
    let world = world_of(&mirror, &[&zlib, &big]).set("PKGSWARM_DOWNLOAD_STALL", "60 s");
    let world = world.set("PKGSWARM_DOWNLOAD_PATIENCE", "60 s");
    let run = Running::start(world.command(&["prefetch"]), world.base());
    let partial = world.path("store/partial").join(big.sha256().to_string());
    eventually("most of the big one to be here", || fs::metadata(&partial).is_ok_and(|part| part.len() >= 2_400_000));
    eventually("the small one to be stored", || stored(&world).contains(&zlib.sha256().to_string()));
    run.signal(rustix::process::Signal::INT);
    let run = run.finish();
    assert_eq!(run.code(), 130, "{}", run.stderr);
    let honest = mirror_of(&[&zlib, &big]);
    let world = world.other_servers("core", &[&honest.repo("core")]).pending(&[&zlib, &big], &honest);
    let again = world.run(&["prefetch"]);
    assert_eq!(again.code(), 0, "{}", again.stderr);
    assert_eq!(stored(&world), sorted(&[&zlib, &big]));
    assert_eq!(honest.hits(&zlib.file_name()), 0);
    assert!(honest.bytes() < 2_000_000, "the rest only: {} bytes", honest.bytes());
}

#[test]
fn the_rate_limit_holds() {
    let zlib = Package::new("zlib", 300_000);
    let mirror = mirror_of(&[&zlib]);
    let world = world_of(&mirror, &[&zlib]).set("PKGSWARM_PREFETCH_RATE", "300 kB");
    let run = world.run(&["prefetch"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(run.took >= Duration::from_millis(900), "{:?}", run.took);
}

#[test]
fn a_full_disk_is_said_and_leaves_no_half_update() {
    if !world::can_be_two_users("a_full_disk_is_said_and_leaves_no_half_update") {
        return;
    }
    let zlib = Package::new("zlib", 900_000);
    let mirror = mirror_of(&[&zlib]);
    let world = world_of(&mirror, &[&zlib]);
    let options = format!("size=400k,mode=0755,uid={0},gid={0}", world::UNPRIVILEGED);
    let Some(_mounted) = mount::Mounted::on(&world.path("store"), &options) else { return };
    let run = world.run(&["prefetch"]);
    assert_eq!(run.code(), 1, "{}", run.stderr);
    assert!(run.said.contains("No space left on device") && run.said.contains("hint: "), "{}", run.said);
    assert_eq!(stored(&world), [""; 0]);
}

#[test]
fn the_desktop_is_told_once_for_each_set_of_updates() {
    let (zlib, xz) = (Package::new("zlib", 300_000), Package::new("xz", 200_000));
    let mirror = mirror_of(&[&zlib, &xz]);
    let world = world_of(&mirror, &[&zlib]).script("busctl", r#"echo "$*" >> "$HOME/calls"; echo "u 1""#);
    fs::create_dir(world.path("home")).unwrap();
    let home = world.path("home").display().to_string();
    let world = world.set("HOME", &home);
    let calls = |world: &World| fs::read_to_string(world.path("home/calls")).unwrap_or_default();
    let notify = |world: &World| world.run(&["prefetch", "--notify"]).fails(0, "").code();
    notify(&world);
    assert_eq!(calls(&world), "", "nothing is here yet");
    assert_eq!(world.run(&["prefetch", "--now"]).code(), 0);
    notify(&world);
    notify(&world);
    let told: Vec<String> = calls(&world).lines().map(str::to_owned).collect();
    let told: Vec<_> = told.iter().filter(|line| line.contains("Notify")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("1 update ready 293.0 KiB is on this machine"), "{told:?}");
    let world = world.pending(&[&zlib, &xz], &mirror);
    assert_eq!(world.run(&["prefetch", "--now"]).code(), 0);
    notify(&world);
    assert!(calls(&world).contains("2 updates ready 488.3 KiB are on"), "{}", calls(&world));
    // Installed meanwhile: there is nothing to notify of any more.
    for name in ["zlib-1.0-1", "xz-1.0-1"] {
        fs::create_dir_all(world.path("root/var/lib/pacman/local").join(name)).unwrap();
    }
    fs::remove_dir_all(world.path("root/var/lib/pacman/local/zlib-0.9-1")).unwrap();
    fs::remove_dir_all(world.path("root/var/lib/pacman/local/xz-0.9-1")).unwrap();
    forget_told(&world.path("home"));
    let before = calls(&world);
    notify(&world);
    assert_eq!(calls(&world), before);
}

/// Forgets all notifications.
fn forget_told(home: &Path) {
    let _ = fs::remove_dir_all(home.join(".local/state/pkgswarm"));
}

#[test]
fn without_a_desktop_the_notification_is_silent() {
    let zlib = Package::new("zlib", 300_000);
    let mirror = mirror_of(&[&zlib]);
    let world = world_of(&mirror, &[&zlib]).script("busctl", "echo 'Failed to connect to bus' >&2; exit 1");
    let home = world.path("out").display().to_string();
    let world = world.set("HOME", &home);
    assert_eq!(world.run(&["prefetch"]).code(), 0);
    world.run(&["prefetch", "--notify"]).fails(0, "");
}

#[test]
fn two_runs_at_once_do_not_meet() {
    let zlib = Package::new("zlib", 300_000);
    let mirror = mirror_of(&[&zlib]).on(&zlib.file_name()).stall_after(100_000);
    let world = world_of(&mirror, &[&zlib]);
    let first = Running::start(world.command(&["prefetch"]), world.base());
    mirror.server().wait_for_bytes(100_000);
    world.run(&["prefetch"]).fails(2, "not now: another prefetch is at work; --now does it anyway\n");
    first.kill();
}
