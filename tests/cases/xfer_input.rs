//! Wrong arguments, broken files, full disks: a clear error, the documented status, nothing half-written.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::support::mount::Mounted;
use crate::support::world::{can_be_two_users, listing};
use crate::support::*;

fn scene() -> (Package, FakeMirror, World) {
    let zlib = Package::new("zlib", 40_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    (zlib, mirror, world)
}

#[test]
fn missing_arguments_are_a_usage_error() {
    let world = World::new();
    for arguments in [&["xfer"][..], &["xfer", "http://127.0.0.1/x"], &["xfer", "a", "b", "c"], &["nonsense"]] {
        let run = world.run(arguments);
        assert_eq!((run.code(), run.stdout.as_str()), (2, ""), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.starts_with("error: "), "{arguments:?}: {}", run.stderr);
    }
    assert_eq!(world.run(&[]).code(), 2);
    world.has_no_output();
}

#[test]
fn urls_that_name_no_file_are_a_usage_error() {
    let world = World::new();
    for url in
        ["http://127.0.0.1:1/core/", "http://127.0.0.1:1", "http://", "not a url", "", "http://127.0.0.1:1/core/.."]
    {
        let run = world.xfer(url, &world.out("x"));
        assert_eq!((run.code(), run.stdout.as_str()), (2, ""), "{url:?}: {}", run.stderr);
        assert!(run.stderr.starts_with("error: ") && run.stderr.lines().count() <= 3, "{url:?}: {}", run.stderr);
        world.has_no_output();
    }
}

#[test]
fn schemes_that_no_source_supports_are_a_usage_error() {
    let world = World::new();
    for url in ["ftp://127.0.0.1/core.db", "rsync://127.0.0.1/core.db", "javascript:alert(1)", "data:,x"] {
        let run = world.xfer(url, &world.out("core.db"));
        assert_eq!(run.code(), 2, "{url}: {}", run.stderr);
        world.has_no_output();
    }
}

#[test]
fn an_output_directory_that_does_not_exist_is_named() {
    let (zlib, mirror, world) = scene();
    world.xfer(&mirror.url("core", &zlib.file_name()), &world.path("out/missing/zlib.part")).fails(
        4,
        "error: $WORLD/out/missing: the output directory cannot be opened: No such file or directory (os error 2)\n",
    );
    world.has_no_output();
    assert_eq!(mirror.requests().len(), 0, "nothing is fetched that cannot be delivered");
}

#[test]
fn an_output_directory_without_write_permission_is_named() {
    let (zlib, mirror, world) = scene();
    let world = world.run_by_user();
    fs::set_permissions(world.path("out"), Permissions::from_mode(0o555)).unwrap();
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &world.out(&zlib.file_name()));
    run.fails(
        4,
        "error: $WORLD/out/zlib-1.0-1-x86_64.pkg.tar.zst.part: cannot be written: Permission denied (os error 13)\n\
         hint: choose a directory you can write to\n",
    );
    world.has_no_output();
}

#[test]
fn a_full_output_directory_is_told_and_what_was_fetched_is_kept() {
    if !can_be_two_users("a_full_output_directory_is_told_and_what_was_fetched_is_kept") {
        return;
    }
    let (zlib, mirror, world) = scene();
    let Some(mounted) = Mounted::on(&world.path("out"), "size=16k,mode=0755") else { return };
    let (url, out) = (mirror.url("core", &zlib.file_name()), world.out(&zlib.file_name()));
    world.xfer(&url, &out).fails(
        4,
        "error: $WORLD/out/zlib-1.0-1-x86_64.pkg.tar.zst.part: cannot be written: No space left on device (os error 28)\n\
         hint: free some space there; nothing that was fetched is lost\n",
    );
    world.has_no_output();
    drop(mounted);
    world.xfer(&url, &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert_eq!(mirror.hits(&zlib.file_name()), 1, "the second run takes it from the store");
}

#[test]
fn a_read_only_output_directory_is_told() {
    if !can_be_two_users("a_read_only_output_directory_is_told") {
        return;
    }
    let (zlib, mirror, world) = scene();
    let Some(_mounted) = Mounted::on(&world.path("out"), "ro") else { return };
    world.xfer(&mirror.url("core", &zlib.file_name()), &world.out(&zlib.file_name())).fails(
        4,
        "error: $WORLD/out/zlib-1.0-1-x86_64.pkg.tar.zst.part: cannot be written: Read-only file system (os error 30)\n\
         hint: choose a directory you can write to\n",
    );
}

#[test]
fn an_unknown_setting_names_file_line_and_the_nearest_known_one() {
    let (zlib, mirror, world) = scene();
    let world = world.config("# ours\n[kubo]\ngatway = \"http://127.0.0.1:8080\"\n");
    let out = world.out(&zlib.file_name());
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
    let said = "warning: $WORLD/config/config.toml:3: unknown setting \"kubo.gatway\"; did you mean \"kubo.gateway\"?; \
                going on as curl would";
    assert!(run.code() == 0 && run.said.starts_with(said), "{}", run.said);
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_configuration_that_is_not_toml_names_file_and_line() {
    let (zlib, mirror, world) = scene();
    let world = world.config("[store]\nmax = = 3\n");
    let out = world.out(&zlib.file_name());
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(run.said.starts_with("warning: $WORLD/config/config.toml:2: "), "{}", run.said);
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_wrong_value_in_the_environment_is_named() {
    let (zlib, mirror, world) = scene();
    let world = world.set("PKGSWARM_STORE_MAX", "lots");
    let out = world.out(&zlib.file_name());
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
    let said = "warning: $PKGSWARM_STORE_MAX: expected a size like \"2 GiB\", found \"lots\"; going on as curl would";
    assert!(run.code() == 0 && run.said.starts_with(said), "{}", run.said);
    world.has(&out, &zlib.bytes);
}

#[test]
fn without_pacman_conf_the_url_itself_is_still_served() {
    // pkgswarm may be used without pacman: then no repos are known, and a warning tells that.
    let (zlib, mirror, world) = scene();
    fs::remove_file(world.path("bin/pacman-conf")).unwrap();
    let world = world.set("PATH", "/nonexistent");
    let out = world.out(&zlib.file_name());
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &out);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    world.has(&out, &zlib.bytes);
    assert!(run.stderr.contains("pacman-conf") || run.stderr.contains("not a repo URL"), "{:?}", run.stderr);
}

#[test]
fn a_malformed_sync_database_is_no_licence() {
    // pacman would refuse it too. No list has an expectation for the package, so nothing is fetched.
    let good = database(&[&Package::new("zlib", 40_000)], Compression::Gzip);
    for bytes in [&b"garbage"[..], b"", &good[..good.len() / 2], &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0]] {
        let (zlib, mirror, world) = scene();
        let world = world.sync_database("core", bytes);
        let run = world.xfer(&mirror.url("core", &zlib.file_name()), &world.out(&zlib.file_name()));
        assert_eq!(run.code(), 2, "{}", run.stderr);
        let start = "error: [core]: $WORLD/root/var/lib/pacman/sync/core.db: ";
        assert!(run.said.starts_with(start), "{}", run.said);
        assert_eq!(run.said.matches("core.db").count(), 1, "no cause is told twice: {}", run.said);
        assert!(run.said.ends_with("\nhint: `pacman -Syy` fetches it again\n"), "{}", run.said);
        world.has_no_output();
        assert_eq!(mirror.requests().len(), 0);
    }
}

#[test]
fn nothing_is_left_in_temporary_directories() {
    let (zlib, mirror, world) = scene();
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    assert_eq!(listing(&world.path("tmp")), [""; 0]);
    assert_eq!(listing(&world.path("cache")), [""; 0]);
    assert_eq!(listing(&world.path("root/var/lib/pacman/sync")), ["core.db"]);
}
