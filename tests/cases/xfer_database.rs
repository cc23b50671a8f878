//! Databases and their signatures: the present ones of the user's mirror, with their dates, and never a login
//! page.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::support::mirror::MODIFIED;
use crate::support::repo::signature;
use crate::support::run::Run;
use crate::support::world::listing;
use crate::support::*;

const PACMAN_7: &str = "pacman/7.1.0 (Linux x86_64) libalpm/16.0.0";

fn old_and_new() -> (Vec<u8>, Vec<u8>) {
    let (old, new) = (Package::new("zlib", 3000), Package::new("zlib", 3000).version("1.1-1"));
    (database(&[&old], Compression::Gzip), database(&[&new], Compression::Gzip))
}

#[test]
fn a_database_comes_with_the_mirrors_date() {
    for world in [World::new(), World::new().run_by_user()] {
        let (old, new) = old_and_new();
        let mirror = FakeMirror::serving(&[("core.db", &new)]);
        let world = world.sync_database("core", &old).servers("core", &[mirror.repo("core")], &[]);
        let out = world.out("core.db");
        world.xfer(&mirror.url("core", "core.db"), &out).succeeds();
        world.has(&out, &new);
        assert_eq!(fs::metadata(&out).unwrap().mtime(), MODIFIED as i64, "built-in downloader asks by this date later");
    }
}

#[test]
fn the_first_sync_of_all_needs_no_database() {
    let (_, new) = old_and_new();
    for file in ["core.db", "core.files"] {
        let mirror = FakeMirror::serving(&[(file, &new)]);
        let world = World::new().servers("core", &[mirror.repo("core")], &[]);
        let out = world.out(file);
        world.xfer(&mirror.url("core", file), &out).succeeds();
        world.has(&out, &new);
    }
}

#[test]
fn every_compression_is_a_database() {
    let zlib = Package::new("zlib", 3000);
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Xz] {
        let bytes = database(&[&zlib], compression);
        let mirror = FakeMirror::serving(&[("core.db", &bytes)]);
        let world = World::new().servers("core", &[mirror.repo("core")], &[]);
        let out = world.out("core.db");
        world.xfer(&mirror.url("core", "core.db"), &out).succeeds();
        world.has(&out, &bytes);
    }
}

#[test]
fn an_empty_repo_has_a_database_too() {
    let bytes = database(&[], Compression::Gzip);
    let mirror = FakeMirror::serving(&[("core.db", &bytes)]);
    let world = World::new().servers("core", &[mirror.repo("core")], &[]);
    let out = world.out("core.db");
    world.xfer(&mirror.url("core", "core.db"), &out).succeeds();
    world.has(&out, &bytes);
}

#[test]
fn what_is_no_database_is_refused_and_the_next_server_asked() {
    let (_, new) = old_and_new();
    let half = new[..new.len() / 2].to_vec();
    let serving = |bytes: &[u8]| FakeMirror::serving(&[("core.db", bytes)]);
    let archive = "corrupt: is not a sync database: this is not a database: neither tar nor gzip, zstd or xz";
    let bad: [(FakeMirror, i32, &str); 9] = [
        (serving(&new).captive_portal(), 3, "corrupt: is a web page, not a file (a login page of this network?)"),
        (serving(&half), 3, "corrupt: is not a sync database: the database is cut off"),
        (serving(b"garbage"), 3, archive),
        (serving(b""), 3, "corrupt: is not a sync database: the database is empty"),
        (serving(&new).status(404), 1, "absent: HTTP 404"),
        (serving(&new).status(503).retry_after(5), 1, "busy: HTTP 503, asks to wait N s"),
        (serving(&new).cut_after(50), 1, "broken: end of file before message length reached"),
        (serving(&new).stall_after(50), 1, "stalled: nothing for N s"),
        (serving(&new).redirecting_in_circles(), 1, "broken: redirected more than 10 times"),
    ];
    for (bad, code, what) in bad {
        let good = FakeMirror::serving(&[("core.db", &new)]);
        let world = World::new().servers("core", &[bad.repo("core"), good.repo("core")], &[]);
        let out = world.out("core.db");
        let run = world.xfer(&bad.url("core", "core.db"), &out);
        assert_eq!(run.code(), 0, "{what}: {}", run.stderr);
        world.has(&out, &new);

        let world = World::new().servers("core", &[bad.repo("core")], &[]).set("PKGSWARM_OUTPUT_PROGRESS", "never");
        let run = world.xfer(&bad.url("core", "core.db"), &world.out("core.db"));
        assert_eq!(run.code(), code, "{what}: {}", run.stderr);
        let start = format!("error: core.db: no source delivered it\n  mirror  127.0.0.1:A  {what}\n");
        assert!(run.said.starts_with(&start), "{what}: {}", run.said);
        world.has_no_output();
    }
}

#[test]
fn a_database_that_never_ends_is_cut_off() {
    // 130 MiB, two more than pacman's own limit; zeros, so that only the size can be wrong.
    let (_, new) = old_and_new();
    let mirror = FakeMirror::serving(&[("core.db", &new)]).oversized(130 << 20).without_content_length();
    // The fake needs time to make so many bytes.
    let patient = World::new().set("PKGSWARM_DOWNLOAD_PATIENCE", "60 s");
    let world = patient.servers("core", &[mirror.repo("core")], &[]);
    let run = world.xfer(&mirror.url("core", "core.db"), &world.out("core.db"));
    assert_eq!(run.code(), 3, "{}", run.stderr);
    world.has_no_output();
}

/// Fetches the database and moves it to pacman's place.
fn sync(world: &World, mirror: &FakeMirror) -> Run {
    let out = world.out("core.db");
    let run = world.xfer_of_another_pacman(&mirror.url("core", "core.db"), &out);
    run.succeeds();
    fs::rename(out, world.path("root/var/lib/pacman/sync/core.db")).unwrap();
    run
}

fn in_use(world: &World) -> Vec<u8> {
    fs::read(world.path("root/var/lib/pacman/sync/core.db")).unwrap()
}

#[test]
fn a_database_that_did_not_change_costs_no_bytes() {
    for world in [World::new(), World::new().run_by_user()] {
        let (_, new) = old_and_new();
        let mirror = FakeMirror::serving(&[("core.db", &new)]);
        let world = world.servers("core", &[mirror.repo("core")], &[]);
        sync(&world, &mirror);
        let sent = mirror.bytes();
        sync(&world, &mirror);
        assert_eq!((mirror.hits("core.db"), mirror.bytes() - sent), (2, 0), "asked, and answered with 304");
        assert_eq!(in_use(&world), new);
        let date = fs::metadata(world.path("root/var/lib/pacman/sync/core.db")).unwrap().mtime();
        assert_eq!(date, MODIFIED as i64);
    }
}

#[test]
fn an_older_database_does_not_replace_the_one_in_use() {
    let (old, new) = old_and_new();
    let mirror = FakeMirror::serving(&[("core.db", &new)]);
    let world = World::new().servers("core", &[mirror.repo("core")], &[]);
    sync(&world, &mirror);
    let mirror = mirror.modified(MODIFIED - 86_400);
    mirror.publish("core.db", &old);
    let run = sync(&world, &mirror);
    assert!(in_use(&world) == new);
    assert!(run.stderr.contains("older"), "one line says so: {:?}", run.stderr);

    // On other servers, for example the Arch Linux Archive, the user means the older one.
    let archive = FakeMirror::serving(&[("core.db", &old)]).modified(MODIFIED - 86_400);
    let world = world.other_servers("core", &[archive.repo("core")]);
    sync(&world, &archive);
    assert!(in_use(&world) == old);
}

#[test]
fn the_databases_of_two_mirrors_are_never_mixed() {
    let (old, new) = (Package::new("zlib", 3000), Package::new("zlib", 3000).version("1.1-1"));
    // Without a compression nothing would show it.
    let (old, new) = (database(&[&old], Compression::None), database(&[&new], Compression::None));
    assert_eq!(old.len(), new.len());
    let breaks: [Bend; 3] = [|m| m.stall_after(600), |m| m.cut_after(600), |m| m.slow(100)];
    for bend in breaks {
        for ranges in [true, false] {
            let stalls = bend(FakeMirror::serving(&[("core.db", &old)]));
            let good = FakeMirror::serving(&[("core.db", &new)]);
            let good = if ranges { good } else { good.ignoring_range() };
            let world = World::new().servers("core", &[stalls.repo("core"), good.repo("core")], &[]);
            let out = world.out("core.db");
            world.xfer(&stalls.url("core", "core.db"), &out).succeeds();
            world.has(&out, &new);
        }
    }
}

#[test]
fn a_date_that_is_still_to_come_keeps_no_newer_database_out() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for hours in [1, 3, 23, 24 * 365] {
        let (old, new) = old_and_new();
        let ahead = FakeMirror::serving(&[("core.db", &old)]).modified(now + hours * 3600);
        let world = World::new().servers("core", &[ahead.repo("core")], &[]);
        sync(&world, &ahead);
        // The same servers, whose clock is right again.
        ahead.publish("core.db", &new);
        let mirror = ahead.modified(now - 7200);
        sync(&world, &mirror);
        assert!(in_use(&world) == new, "{hours} hours");
    }
}

#[test]
fn a_newer_database_replaces_the_one_in_use() {
    let (old, new) = old_and_new();
    let mirror = FakeMirror::serving(&[("core.db", &old)]);
    let world = World::new().servers("core", &[mirror.repo("core")], &[]);
    sync(&world, &mirror);
    let mirror = mirror.modified(MODIFIED + 60);
    mirror.publish("core.db", &new);
    sync(&world, &mirror);
    assert!(in_use(&world) == new);
}

/// Makes a world whose mirror has no database signature, and its `%o` as pacman 7 with DownloadUser passes it.
fn unsigned(sig_level: &[&str]) -> (FakeMirror, World, PathBuf) {
    let (_, new) = old_and_new();
    let mirror = FakeMirror::serving(&[("core.db", &new)]);
    let world = World::new().run_by_user().set("HTTP_USER_AGENT", PACMAN_7).sync_database("core", &new).servers(
        "core",
        &[mirror.repo("core")],
        sig_level,
    );
    let out = world.download_dir("root/var/lib/pacman/sync").join("core.db.sig.part");
    (mirror, world, out)
}

const OPTIONAL: [&str; 4] = ["PackageRequired", "PackageTrustedOnly", "DatabaseOptional", "DatabaseTrustedOnly"];

#[test]
fn an_optional_database_signature_that_no_mirror_has_is_an_empty_file_in_a_download_dir() {
    let (mirror, world, out) = unsigned(&OPTIONAL);
    world.xfer(&mirror.url("core", "core.db.sig"), &out).succeeds();
    world.has(&out, b"");
}

#[test]
fn an_empty_signature_needs_every_one_of_its_conditions() {
    let required = ["PackageRequired", "DatabaseRequired"];
    let (mirror, world, out) = unsigned(&required);
    let run = world.xfer(&mirror.url("core", "core.db.sig"), &out);
    assert_eq!(run.code(), 1, "where the signature is required: {}", run.stderr);
    assert_eq!(listing(out.parent().unwrap()), [""; 0]);

    let (mirror, world, _) = unsigned(&OPTIONAL);
    let run = world.xfer(&mirror.url("core", "core.db.sig"), &world.out("core.db.sig"));
    assert_eq!(run.code(), 1, "outside a download directory: {}", run.stderr);
    world.has_no_output();

    for agent in ["pacman/6.1.0 (Linux x86_64) libalpm/14.0.0", "curl/8"] {
        let (mirror, world, out) = unsigned(&OPTIONAL);
        let run = world.set("HTTP_USER_AGENT", agent).xfer(&mirror.url("core", "core.db.sig"), &out);
        assert_eq!(run.code(), 1, "called by {agent}: {}", run.stderr);
    }

    let unclear: [Bend; 4] = [|m| m.status(503), |m| m.status(500), |m| m.hanging(), |m| m.captive_portal()];
    for bend in unclear {
        let (mirror, world, out) = unsigned(&OPTIONAL);
        let mirror = bend(mirror);
        let run = world.xfer(&mirror.url("core", "core.db.sig"), &out);
        assert!(matches!(run.code(), 1 | 3), "without a definite 404: {}", run.stderr);
        assert_eq!(listing(out.parent().unwrap()), [""; 0]);
    }

    let (mirror, world, _) = unsigned(&OPTIONAL);
    let zlib = Package::new("zlib", 3000);
    let out = world.download_dir("cache").join(zlib.signature().0 + ".part");
    let run = world.xfer(&mirror.url("core", &zlib.signature().0), &out);
    assert_eq!(run.code(), 1, "a package's signature is never left out: {}", run.stderr);
    assert_eq!(listing(out.parent().unwrap()), [""; 0]);
}

#[test]
fn a_database_signature_that_exists_is_delivered() {
    let (mirror, world, out) = unsigned(&OPTIONAL);
    let bytes = signature("core");
    mirror.publish("core.db.sig", &bytes);
    world.xfer(&mirror.url("core", "core.db.sig"), &out).succeeds();
    world.has(&out, &bytes);
}

#[test]
fn a_database_signature_of_a_file_server_is_delivered() {
    let zlib = Package::new("zlib", 1000);
    let world = World::new();
    let dir = world.path("srv/core/os/x86_64");
    fs::create_dir_all(&dir).unwrap();
    let (bytes, signature) = (database(&[&zlib], Compression::Gzip), zlib.signature().1);
    fs::write(dir.join("core.db"), &bytes).unwrap();
    fs::write(dir.join("core.db.sig"), &signature).unwrap();
    let server = format!("file://{}", dir.display());
    let world = world.sync_database("core", &bytes).servers("core", &[&server], &["DatabaseRequired"]);
    for (name, bytes) in [("core.db", &bytes), ("core.db.sig", &signature)] {
        let out = world.out(name);
        world.xfer(&format!("{server}/{name}"), &out).succeeds();
        world.has(&out, bytes);
        fs::remove_file(out).unwrap();
    }
}

#[test]
fn an_interrupted_fetch_of_an_optional_signature_is_no_success() {
    let mirror = FakeMirror::serving::<&str, &[u8]>(&[]).hanging();
    let world = World::new()
        .set("HTTP_USER_AGENT", "pacman/7.1.0 (Linux x86_64) libalpm/16.0.0")
        .set("PKGSWARM_DOWNLOAD_PATIENCE", "60 s")
        .run_by_user()
        .servers("core", &[mirror.repo("core")], &["PackageRequired", "DatabaseOptional"]);
    let out = world.download_dir("out").join("core.db.sig.part");
    let running = world.start(&mirror.url("core", "core.db.sig"), &out);
    eventually("the mirror to be asked", || !mirror.requests().is_empty());
    running.signal(rustix::process::Signal::INT);
    let run = running.finish();
    assert_eq!(run.code(), 130, "{}", run.stderr);
    assert!(!out.exists());
}

#[test]
fn a_database_from_the_future_does_not_keep_newer_ones_out() {
    let (old, new) = (Package::new("zlib", 1000), Package::new("zlib", 1000).version("2.0-1"));
    let (old, new) = (database(&[&old], Compression::Gzip), database(&[&new], Compression::Gzip));
    let mirror = FakeMirror::serving(&[("core.db", &old)]).modified(4_000_000_000);
    let world = World::new().servers("core", &[mirror.repo("core")], &[]);
    let (url, out, used) =
        (mirror.url("core", "core.db"), world.out("core.db"), world.path("root/var/lib/pacman/sync/core.db"));
    world.xfer_of_another_pacman(&url, &out).succeeds();
    fs::rename(&out, &used).unwrap();
    // The fake's clock is set right, and it has a newer one.
    let mirror = mirror.honest();
    mirror.publish("core.db", &new);
    world.xfer_of_another_pacman(&url, &out).succeeds();
    world.has(&out, &new);
}

#[test]
fn a_database_that_was_damaged_is_not_handed_out_again() {
    let zlib = Package::new("zlib", 1000);
    let bytes = database(&[&zlib], Compression::Gzip);
    let mirror = FakeMirror::serving(&[("core.db", &bytes)]);
    let world = World::new().servers("core", &[mirror.repo("core")], &[]);
    let (url, out, used) =
        (mirror.url("core", "core.db"), world.out("core.db"), world.path("root/var/lib/pacman/sync/core.db"));
    world.xfer_of_another_pacman(&url, &out).succeeds();
    fs::rename(&out, &used).unwrap();
    let date = fs::metadata(&used).unwrap().modified().unwrap();
    fs::write(&used, vec![0; bytes.len()]).unwrap();
    fs::File::options().write(true).open(&used).unwrap().set_modified(date).unwrap();
    world.xfer_of_another_pacman(&url, &out).succeeds();
    world.has(&out, &bytes);
}
