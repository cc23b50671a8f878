//! Lists that exist and cannot be read: no false claim is made about a file, an unreadable list is named with its
//! cause once in a run of pacman, and equal causes end equally.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::doctor::{found, machine};
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
            scene.world = scene.world.program("pacman-conf", &format!("printf '{answer}'"));
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
        scene.world = scene.world.program("pacman-conf", script);
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
    scene.world = scene.world.program("pacman-conf", "echo >>\"${0%/*}/../tmp/asked\"; exec sleep 600");
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
