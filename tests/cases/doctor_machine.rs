//! `pkgswarm doctor` on faulty machines: without room, without a user to work as, with a clock that is behind. And
//! the cost of the doctor.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use super::doctor::{findings, finds, finds_none, found, healthy, machine, user, well_set_up};
use crate::support::index::FakeIndex;
use crate::support::mount::Mounted;
use crate::support::world::{UNPRIVILEGED, can_be_two_users};
use crate::support::{Package, World};

#[test]
fn a_disk_without_room_is_found() {
    if !can_be_two_users("a_disk_without_room_is_found") {
        return;
    }
    let mounted = |world: &World, options: &str| {
        let whole = format!("mode=0755,uid={UNPRIVILEGED},gid={UNPRIVILEGED},{options}");
        Mounted::on(&world.path("store"), &whole)
    };
    for (options, has) in
        [("size=600m", "600.0 MiB left"), ("size=2g,nr_inodes=500", "room for 499 more files (inodes)")]
    {
        let world = healthy();
        let Some(_mounted) = mounted(&world, options) else { return };
        finds(&world, "room", "warning");
        let said = findings(&world.run(&["doctor"]));
        let want = format!(
            "warning: the store in {}/store has {has}: large packages do not fit [room]\n  \
             fix: sudo pacman -Sc makes room; store.max limits the store of pkgswarm\n",
            world.base()
        );
        assert_eq!(said, want);
    }
    let world = healthy();
    let Some(_mounted) = mounted(&world, "size=2g") else { return };
    finds_none(&world);
}

#[test]
fn a_machine_without_a_user_for_downloads_is_found() {
    if !can_be_two_users("a_machine_without_a_user_for_downloads_is_found") {
        return;
    }
    let of_root = |conf: String, _: &World| conf.replace("DownloadUser", "#DownloadUser").replace("Optional", "Never");
    let doctor = |passwd: &str, words: &[&str]| {
        let world = machine("7.1.0", of_root);
        for dir in ["store", "state"] {
            fs::remove_dir(world.path(dir)).unwrap();
        }
        fs::write(world.path("passwd"), passwd).unwrap();
        world.run_elsewhere(false, &format!("mount --bind {}/passwd /etc/passwd", world.base()), words)
    };
    let (root, user) = ("root:x:0:0::/root:/bin/sh\n", "nobody:x:65534:65534::/:/usr/bin/nologin\n");
    let Some(run) = doctor(root, &["doctor", "--json"]) else { return };
    assert_eq!((run.code(), found(&run)), (1, vec![("user".to_owned(), "error".to_owned())]), "{}", run.stderr);
    let run = doctor(root, &["doctor"]).unwrap();
    let want = "error: there is no unprivileged user to download for root [user]\n  \
                fix: sudo systemd-sysusers, or set download.user in /etc/pkgswarm/config.toml\n";
    assert_eq!((run.code(), findings(&run).as_str(), run.stderr.as_str()), (1, want, ""));
    let run = doctor(&(root.to_owned() + user), &["doctor", "--json"]).unwrap();
    let note = |check: &str| (check.to_owned(), "note".to_owned());
    // These two were never made.
    let missing = [note("directories"), note("directories")];
    assert_eq!(found(&run), [&[note("user")][..], &missing].concat(), "{}", run.stdout);
    let run = doctor(&(root.to_owned() + user + "pkgswarm:x:980:980::/:/bin/sh\n"), &["doctor", "--json"]).unwrap();
    assert_eq!((run.code(), found(&run)), (0, missing.to_vec()), "{}", run.stdout);
}

#[test]
fn a_timer_that_fetches_as_another_user_is_found() {
    let world = |state: &str, runs_as: &str| {
        let units = format!(
            "[ \"$1\" = show ] || exit 0; printf 'Id=pkgswarm-index.timer\\nUnitFileState=disabled\\n\\n\
             Id=pkgswarm-index.service\\nUser=alpm\\nUnitFileState=static\\n\\nUnitFileState={state}\\n\
             Id=pkgswarm-prefetch.timer\\n\\nUser={runs_as}\\nId=pkgswarm-prefetch.service\\nUnitFileState=static\\n'"
        );
        healthy().script("systemctl", &units)
    };
    finds_none(&world("enabled", &user()));
    finds_none(&world("disabled", "no-such-user"));
    finds(&world("enabled", "no-such-user"), "unit-users", "warning");
    let said = findings(&world("enabled", "root").run(&["doctor"]));
    let want = format!(
        "warning: pkgswarm-prefetch.service runs as root, and {0} downloads [unit-users]\n  fix: sudo systemctl edit \
         pkgswarm-prefetch.service, and write [Service] and User={0}\n",
        user()
    );
    assert_eq!(said, want);
}

#[test]
fn a_clock_that_is_behind_the_dates_of_databases_is_found() {
    let world = healthy().sync_database("core", b"a database");
    let database = fs::File::options().write(true).open(world.path("root/var/lib/pacman/sync/core.db")).unwrap();
    database.set_modified(SystemTime::now() + Duration::from_secs(200)).unwrap();
    finds_none(&world);
    database.set_modified(SystemTime::now() + Duration::from_secs(3 * 3600 + 60)).unwrap();
    finds(&world, "clock", "warning");
    let said = world.run(&["doctor"]).stdout;
    assert!(said.contains("core.db is dated 3 h ahead of this machine's clock, which is behind unless"), "{said}");
}

#[test]
fn a_clock_that_is_behind_what_it_was_when_an_index_was_fetched_is_found() {
    let world = FakeIndex::called("a").listing(&Package::new("zlib", 1000)).in_use(healthy());
    finds_none(&world);
    let path = world.path("state/index/index.json");
    let mut seen: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for seen in seen.as_object_mut().unwrap().values_mut() {
        seen["fetched"] = (seen["fetched"].as_u64().unwrap() + 3 * 86_400 + 60).into();
    }
    fs::write(&path, seen.to_string()).unwrap();
    finds(&world, "clock", "warning");
    let said = world.run(&["doctor"]).stdout;
    assert!(said.contains("this machine's clock is 3 d behind its own earlier time [clock]"), "{said}");
}

#[test]
fn the_doctor_is_quick_and_waits_three_seconds_for_a_kubo_that_hangs() {
    let kubo = well_set_up();
    healthy().kubo(&kubo).run(&["doctor"]).within(Duration::from_millis(500));
    // The kernel accepts connections, and no process answers.
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", hung.local_addr().unwrap());
    let world = healthy().set("PKGSWARM_KUBO_ENABLED", "auto");
    let world = world.set("PKGSWARM_KUBO_API", &address).set("PKGSWARM_KUBO_GATEWAY", &address);
    let run = world.run(&["doctor", "--json"]);
    let checks: Vec<String> = found(&run).into_iter().map(|(check, _)| check).collect();
    assert_eq!(checks, ["kubo-rpc", "kubo-gateway"], "{}", run.stdout);
    assert!(run.took >= Duration::from_secs(3), "{:?}", run.took);
    run.within(Duration::from_millis(3500));
}
