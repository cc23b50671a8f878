//! Lists that exist and cannot be read: no false claim is made about a file, an unreadable list is named with its
//! cause once in a run of pacman, and equal causes end equally.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::doctor::{found, machine};
use crate::support::repo::compressed;
use crate::support::run::Run;
use crate::support::world::can_be_two_users;
use crate::support::*;

const SYNC: &str = "root/var/lib/pacman/sync";

/// Two packages and a mirror that has them.
struct Scene {
    packages: [Package; 2],
    mirror: FakeMirror,
    world: World,
}

fn scene() -> Scene {
    let packages = [Package::new("zlib", 40_000), Package::new("xz", 30_000)];
    let mirror = FakeMirror::serving(&[packages[0].file(), packages[1].file()]);
    let world = World::new().repo("core", &[&packages[0], &packages[1]], &[&mirror]);
    Scene { packages, mirror, world }
}

fn close(world: &World, below: &str) {
    fs::set_permissions(world.path(below), Permissions::from_mode(0o000)).unwrap();
}

impl Scene {
    fn files(&self) -> Vec<(String, PathBuf)> {
        let file = |p: &Package| (self.mirror.url("core", &p.file_name()), self.world.out(&p.file_name()));
        self.packages.iter().map(file).collect()
    }

    /// Asserts that both files arrive, in one run of pacman, under this waiver, and that one warning names this
    /// word and the cause.
    #[track_caller]
    fn is_waived(&self, waiver: &str, named: &str, cause: &str) {
        let run: Run = self.world.refreshing(&self.files());
        assert_eq!(run.code(), 0, "curl would have worked: {}", run.stderr);
        for (package, (_, out)) in self.packages.iter().zip(self.files()) {
            assert!(fs::read(&out).unwrap() == package.bytes);
        }
        let warnings: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert_eq!(warnings.len(), 1, "once: {}", run.stderr);
        assert!(warnings[0].contains(named) && warnings[0].contains(cause), "{}", run.stderr);
        assert_eq!(run.stderr.matches(waiver).count(), 2, "{}", run.stderr);
        for untrue in ["not a repo URL", "not listed"] {
            assert!(!run.stderr.contains(untrue), "{}", run.stderr);
        }
    }
}

const NO_CONF: &str = "(unproven: pacman's configuration was not read)";
const NO_LIST: &str = "(unproven: its list was not read)";
const DENIED: &str = "Permission denied";

#[test]
fn a_closed_database_or_a_closed_directory_above_it_is_named_once_and_waived_alike() {
    if !can_be_two_users("a closed database") {
        return;
    }
    for closed in ["root/var/lib/pacman/sync/core.db", SYNC, "root/var/lib/pacman", "root/var"] {
        for by_root in [false, true] {
            let mut scene = scene();
            if !by_root {
                scene.world = scene.world.run_by_user();
            }
            close(&scene.world, closed);
            scene.is_waived(NO_LIST, "/sync/core.db", DENIED);
        }
    }
}

#[test]
fn a_database_that_the_kernel_does_not_let_us_read_is_named_once_and_waived() {
    let scene = scene();
    let database = scene.world.path(SYNC).join("core.db");
    fs::remove_file(&database).unwrap();
    fs::create_dir(&database).unwrap();
    scene.is_waived(NO_LIST, "core.db", "directory");
}

#[test]
fn a_database_that_is_not_there_is_none() {
    let scene = scene();
    fs::remove_file(scene.world.path(SYNC).join("core.db")).unwrap();
    let run = scene.world.refreshing(&scene.files());
    assert_eq!((run.code(), run.stderr.matches("not listed").count()), (0, 2), "{}", run.stderr);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
}

#[test]
fn a_compiled_list_that_was_damaged_is_no_licence() {
    let scene = scene();
    let (url, out) = &scene.files()[0];
    scene.world.xfer(url, out).succeeds();
    let cache = scene.world.path("store/cache");
    let is_compiled = |path: &PathBuf| path.extension().is_some_and(|end| end == "catalogue");
    let mut compiled = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).filter(is_compiled);
    let compiled = compiled.next().expect("a compiled database");
    let mut bytes = fs::read(&compiled).unwrap();
    // Behind the header, so that only a search reaches it.
    bytes[96..].fill(0);
    fs::write(&compiled, bytes).unwrap();
    let liar = FakeMirror::serving(&[scene.packages[1].file()]).lying();
    let world = scene.world.other_servers("core", &[liar.repo("core")]);
    let (name, out) = (scene.packages[1].file_name(), world.out("xz"));
    let run = world.xfer(&liar.url("core", &name), &out);
    assert_eq!(run.code(), 3, "{}", run.stderr);
    assert!(!out.exists());
}

#[test]
fn a_configuration_that_cannot_be_read_is_named_once_and_waived() {
    if !can_be_two_users("a closed pacman.conf") {
        return;
    }
    for (included, closed) in [
        ("", "pacman.conf"),
        ("Include = AT/conf/mirrorlist\n", "conf/mirrorlist"),
        ("Include = AT/conf/mirrorlist\n", "conf"),
        ("Include = AT/conf/*.conf\n", "conf"),
        ("Include = AT/conf/*/list\n", "conf"),
    ] {
        for by_root in [false, true] {
            let mut scene = scene();
            let world = &scene.world;
            let at = world.base();
            fs::create_dir(world.path("conf")).unwrap();
            fs::write(world.path("conf/mirrorlist"), format!("Server = {}\n", scene.mirror.repo("core"))).unwrap();
            let server =
                if included.is_empty() { format!("Server = {}\n", scene.mirror.repo("core")) } else { String::new() };
            let text = format!(
                "[options]\nDBPath = {at}/root/var/lib/pacman/\nCacheDir = {at}/cache/\n[core]\n{server}{}",
                included.replace("AT", at)
            );
            // Like the real one, this pacman-conf is silent about files that its globs cannot see.
            fs::write(world.path("pacman.conf"), text).unwrap();
            if !by_root {
                scene.world = scene.world.run_by_user();
            }
            // It answers without the servers, with status 0.
            let database = scene.world.path("root/var/lib/pacman");
            let answer = format!("[options]\\nRootDir = /\\nDBPath = {}\\n[core]\\nUsage = All\\n", database.display());
            scene.world = scene.world.script("pacman-conf", &format!("printf '{answer}'"));
            close(&scene.world, closed);
            scene.is_waived(NO_CONF, closed, DENIED);
        }
    }
}

#[test]
fn a_pacman_conf_that_crashes_or_talks_nonsense_or_is_missing_is_named_once_and_waived() {
    for (script, cause) in [
        ("kill -SEGV $$", "signal: 11"),
        ("echo 'could not open file x' >&2; exit 1", "could not open file x"),
        ("exit 0", "names no RootDir"),
        ("echo nonsense", "names no RootDir"),
        ("yes", "printed more than"),
    ] {
        let mut scene = scene();
        scene.world = scene.world.script("pacman-conf", script);
        scene.is_waived(NO_CONF, "pacman.conf", cause);
    }
    let mut scene = scene();
    let none = scene.world.path("bin/pacman-conf");
    fs::remove_file(&none).unwrap();
    fs::create_dir(&none).unwrap();
    let path = scene.world.path("bin");
    scene.world = scene.world.set("PATH", path.to_str().unwrap());
    scene.is_waived(NO_CONF, "pacman.conf", "pacman-conf");
}

#[test]
fn a_pacman_conf_that_is_too_slow_is_waited_for_once_in_a_run_and_named() {
    let mut scene = scene();
    scene.world = scene.world.script("pacman-conf", "echo >>\"${0%/*}/../tmp/asked\"; exec sleep 600");
    scene.world = scene.world.set("PKGSWARM_AHEAD_ENABLED", "false");
    scene.is_waived(NO_CONF, "pacman.conf", "did not answer in");
    assert_eq!(fs::read_to_string(scene.world.path("tmp/asked")).unwrap(), "\n", "it was asked once");
}

#[test]
fn an_index_that_cannot_be_read_is_named_and_what_the_database_lists_is_still_proven() {
    if !can_be_two_users("a closed index") {
        return;
    }
    let packages = [Package::new("zlib", 40_000), Package::new("xz", 30_000)];
    for listed in [true, false] {
        let mirror = FakeMirror::serving(&[packages[0].file(), packages[1].file()]);
        let both: Vec<&Package> = if listed { packages.iter().collect() } else { Vec::new() };
        let world = World::new().run_by_user().repo("core", &both, &[&mirror]);
        let world = FakeIndex::called("arch").in_use(world);
        close(&world, "state/index");
        let scene = Scene { packages: packages.clone(), mirror, world };
        if listed {
            let run = scene.world.refreshing(&scene.files());
            assert_eq!((run.code(), run.stderr.contains("unproven")), (0, false), "{}", run.stderr);
            assert_eq!(run.stderr.matches("warning: index arch: ").count(), 1, "{}", run.stderr);
        } else {
            scene.is_waived(NO_LIST, "index arch", DENIED);
        }
    }
}

#[test]
fn the_doctor_finds_closed_lists_as_root_too() {
    if !can_be_two_users("closed lists") {
        return;
    }
    let of_root = |conf: String, _: &World| conf.replace("DownloadUser", "#DownloadUser").replace("Optional", "Never");
    for (closed, check) in [
        ("root/var/lib/pacman/sync/core.db", "databases-closed"),
        (SYNC, "databases-closed"),
        ("root/var/lib", "databases-closed"),
        ("pacman.conf", "pacman-conf"),
    ] {
        for with_user in [false, true] {
            let world = match with_user {
                true => machine("7.1.0", |conf, _| conf),
                false => machine("7.1.0", of_root),
            };
            let world = world.sync_database("core", b"a database");
            close(&world, closed);
            let run = world.run(&["doctor", "--json"]);
            let names: Vec<String> = found(&run).into_iter().map(|(check, _)| check).collect();
            assert_eq!(names, [check], "{closed}: {}", run.stdout);
            assert!(
                run.stdout.contains(&format!(
                    "chmod a+rX {}",
                    world.path(closed.split("/core.db").next().unwrap()).display()
                )),
                "{}",
                run.stdout
            );
        }
    }
}

fn fifo(path: &Path) {
    fs::remove_file(path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o644.into()).unwrap();
}

#[test]
fn a_fifo_in_the_place_of_a_list_is_named_and_not_waited_for() {
    let scene = scene();
    fifo(&scene.world.path(SYNC).join("core.db"));
    scene.is_waived(NO_LIST, "core.db", "not a regular file");
    let scene = self::scene();
    fifo(&scene.world.path("pacman.conf"));
    scene.is_waived(NO_CONF, "pacman.conf", "not a regular file");
    let scene = of_index();
    fifo(&copy_of_index(&scene.world, "arch").join("expires"));
    scene.is_waived(NO_LIST, "index arch", "not a regular file");
}

/// A database that lists nothing, and an index.
fn of_index() -> Scene {
    let mut scene = scene();
    scene.world =
        FakeIndex::called("arch").in_use(scene.world.sync_database("core", &database(&[], Compression::Gzip)));
    scene
}

#[test]
fn an_index_whose_expiry_is_no_time_is_unread_and_not_expired() {
    for text in [&b"soon\n"[..], b"", b"\xff\xfe", &[b'1'; 99]] {
        let scene = of_index();
        fs::write(copy_of_index(&scene.world, "arch").join("expires"), text).unwrap();
        scene.is_waived(NO_LIST, "index arch", "expires");
    }
}

/// A database whose one entry is larger than anything that is read here; libalpm has no such limit.
fn too_large() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    let desc = vec![b'\n'; 2 << 20];
    header.set_size(desc.len() as u64);
    tar.append_data(&mut header, "large-1-1/desc", &desc[..]).unwrap();
    compressed(&tar.into_inner().unwrap(), Compression::Gzip)
}

#[test]
fn a_database_larger_than_is_read_here_is_waived_and_taken_from_a_mirror() {
    let mut scene = scene();
    scene.world = scene.world.sync_database("core", &too_large());
    scene.is_waived("(unproven: its list is larger than is read here)", "[core]", "larger than allowed");
    scene.mirror.publish("core.db", &too_large());
    let out = scene.world.out("core.db");
    scene.world.xfer(&scene.mirror.url("core", "core.db"), &out).succeeds();
    assert!(fs::read(&out).unwrap() == too_large());
}

#[test]
fn where_a_list_was_not_read_a_login_page_still_leads_to_the_next_server() {
    let mut scene = scene();
    let portal = FakeMirror::serving::<&str, &[u8]>(&[]).captive_portal();
    let servers = [portal.repo("core"), scene.mirror.repo("core")];
    scene.world = scene.world.other_servers("core", &servers);
    fifo(&scene.world.path(SYNC).join("core.db"));
    let (name, out) = (scene.packages[0].file_name(), scene.world.out("zlib"));
    let run = scene.world.xfer(&portal.url("core", &name), &out);
    run.succeeds();
    assert!(
        run.stderr.contains("unproven: its list was not read") && fs::read(&out).unwrap() == scene.packages[0].bytes,
        "{}",
        run.stderr
    );
}

/// Two repositories on one server: `first`, which pacman prefers, and `core`, which lists both packages.
fn two_repositories(mirrors: &[&FakeMirror]) -> World {
    let servers: Vec<String> = mirrors.iter().map(|mirror| mirror.repo("core")).collect();
    let packages = [Package::new("zlib", 40_000), Package::new("xz", 30_000)];
    let world = World::new().servers("first", &servers, &[]).servers("core", &servers, &[]);
    world.sync_database("core", &database(&[&packages[0], &packages[1]], Compression::Gzip))
}

#[test]
fn a_later_list_proves_what_it_fits_and_refuses_nothing_of_an_unread_first_one() {
    let zlib = Package::new("zlib", 40_000);
    let of_first = Package { bytes: vec![7; 40_000], ..Package::new("zlib", 40_000) };
    let of_first = (of_first.file_name(), [&zlib.bytes[..9_000], &[7; 31_000]].concat());
    let (honest, other) = (FakeMirror::serving(&[zlib.file()]), FakeMirror::serving(std::slice::from_ref(&of_first)));
    for (mirrors, bytes, is_proven) in
        [(&[&honest][..], &zlib.bytes, true), (&[&other, &honest], &zlib.bytes, true), (&[&other], &of_first.1, false)]
    {
        let world = two_repositories(mirrors);
        let first = world.path(SYNC).join("first.db");
        fs::write(&first, "").unwrap();
        fifo(&first);
        let out = world.out("zlib");
        let run = world.xfer(&mirrors[0].url("core", &zlib.file_name()), &out);
        run.succeeds();
        assert!(fs::read(&out).unwrap() == *bytes, "{}", run.stderr);
        assert_eq!(run.stderr.contains(NO_LIST), !is_proven, "{}", run.stderr);
        assert!(run.stderr.contains("first.db"), "{}", run.stderr);
    }
}

#[test]
fn a_list_that_makes_no_sense_is_no_obstacle_to_what_another_on_its_server_lists() {
    let zlib = Package::new("zlib", 40_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let (url, lying) = (mirror.url("core", &zlib.file_name()), FakeMirror::serving(&[zlib.file()]).lying());
    let world = two_repositories(&[&mirror]).sync_database("first", b"no database");
    let run = world.xfer(&url, &world.out("zlib"));
    run.succeeds();
    assert!(!run.stderr.contains("unproven"), "{}", run.stderr);
    let world = two_repositories(&[&lying]).sync_database("first", b"no database");
    let out = world.out("zlib");
    let run = world.xfer(&lying.url("core", &zlib.file_name()), &out);
    assert_eq!((run.code(), out.exists()), (3, false), "{}", run.stderr);
}

#[test]
fn packages_of_a_database_that_only_libalpm_can_read_are_delivered_as_unproven() {
    let zlib = Package::new("zlib", 1000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world =
        World::new().sync_database("core", b"BZh91AY&SY and so on").servers("core", &[mirror.repo("core")], &[]);
    let out = world.out(&zlib.file_name());
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
    run.succeeds();
    world.has(&out, &zlib.bytes);
    assert!(run.stderr.contains("warning: [core]: databases packed with bzip2 are not supported"), "{}", run.stderr);
    assert!(run.stderr.contains("unproven: not listed"), "{}", run.stderr);
}
