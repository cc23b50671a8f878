//! The screens about a publisher that has stopped, or that a mirror lies to: as its own user sees it, and its clients.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::doctor::machine;
use super::publish_status::{hook, recorded};
use crate::support::follow::{following, upstream};
use crate::support::keys::now;
use crate::support::mirror::MODIFIED;
use crate::support::screens::Screens;
use crate::support::*;

const HOUR: u64 = 3600;

#[test]
fn screens_of_a_publication_that_a_mirror_lies_to() {
    let mut screens = Screens::of("publish-alarm");
    let upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let (url, heard) = hook(204);
    let world = following(&[&a, &b], "[alarm]\ncommand = \"cat > alarm\"\nwebhook = \"WORLD/hook\"\n");
    let file = world.path("config/publish.d/arch.toml");
    let text = fs::read_to_string(&file).unwrap().replace("WORLD", world.base());
    fs::write(&file, text.replace("cat > alarm", &format!("cat > {}/alarm", world.base()))).unwrap();
    fs::write(world.path("hook"), url).unwrap();
    fs::set_permissions(world.path("hook"), Permissions::from_mode(0o600)).unwrap();
    // What differs from day to day, or with the time that all of this takes.
    let old = format!("{} d", (now() - MODIFIED) / 86_400);
    let equal = [(&*old, "$OLD"), ("expires in 2 d", "expires in $LEFT"), ("expires in 47 h", "expires in $LEFT")];
    // As it is this long after the last run.
    let status = |screens: &mut Screens, about: &str, after: u64| {
        recorded(&world, |record| {
            let at = now() - after - 30;
            (record["at"], record["took_ms"]) = (at.into(), 100.into());
            if record["alarm"].is_object() {
                record["alarm"]["since"] = at.into();
            }
            let created = at - HOUR;
            (record["index"]["created"], record["index"]["expires"]) = (created.into(), (created + 48 * HOUR).into());
        });
        screens.run_with(about, &world, &["publish", "status", "arch"], &equal);
    };
    let run = |screens: &mut Screens, about: &str| {
        screens.run_with(about, &world, &["publish", "arch"], &equal);
    };
    run(&mut screens, "the first run");
    status(&mut screens, "ten minutes later", 600);

    let lie = database(&[&Package::new("glibc", 77).version("0.9-1")], Compression::Gzip);
    let sent = |mirror: &FakeMirror, bytes: &[u8]| {
        mirror.publish_dated("core/os/x86_64/core.db", bytes, upstream.lastupdate);
    };
    // A day later databases are compared whole.
    let compared = |at: u64| {
        let path = world.path("state-publish/arch/follow/followed.json");
        let mut memory: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        memory["compared"] = at.into();
        for (_, mirror) in memory["mirrors"].as_object_mut().unwrap() {
            mirror["asked"] = at.into();
        }
        fs::write(path, memory.to_string()).unwrap();
    };
    sent(&b, &lie);
    compared(1);
    run(&mut screens, "a mirror has another database at the same lastupdate");
    let told = fs::read_to_string(world.path("alarm")).expect("the alarm's command has run");
    screens.heard("what the alarm's command reads", &world, &told);
    let posted = heard.try_iter().map(|body| format!("{body:#}\n")).collect::<String>();
    screens.heard("what the webhook gets", &world, &posted);
    status(&mut screens, "ten minutes later", 600);
    fs::remove_file(world.path("alarm")).unwrap();
    compared(1);
    run(&mut screens, "the next run");
    assert!(!world.path("alarm").exists() && heard.try_iter().next().is_none(), "it is told once a day");

    upstream.sync(&b);
    compared(1);
    run(&mut screens, "the mirror is honest again");
    let posted = heard.try_iter().map(|body| format!("{body:#}\n")).collect::<String>();
    screens.heard("what the webhook gets", &world, &posted);
    status(&mut screens, "it has not run for more than a day", 39 * HOUR + 1800);
    status(&mut screens, "and when its index has expired", 60 * HOUR);
    screens.held();
}

#[test]
fn screens_of_an_index_whose_publisher_has_stopped() {
    let mut screens = Screens::of("index-stopped");
    let new = database(&[&Package::new("zlib", 3000)], Compression::Gzip);
    let mut scene = |about: &str, index: FakeIndex, behind: u64| {
        let mirror = FakeMirror::serving(&[("core.db", &new)]).modified(now() - behind);
        let world = machine("7.1.0", |conf, _| {
            let conf = conf.replace("https://m.example/core", &mirror.repo("core"));
            conf.replace("Server = https://n.example/core\n", "")
        });
        let world = index.with_database("core.db", b"an older one", now() - 3 * 24 * HOUR).in_use(world);
        // Asked in vain a minute ago, so that whether its publisher goes on is known.
        let name = copy_of_index(&world, "arch").file_name().unwrap().to_owned();
        let route = format!(r#"[{{"via":"kubo","took_ms":1,"outcome":"failed","at":{}}}]"#, now() - 60);
        fs::create_dir_all(world.path("state/index/asked")).unwrap();
        fs::write(world.path("state/index/asked").join(name), route).unwrap();
        let out = world.out("core.db").display().to_string();
        let words = ["xfer", &mirror.url("core", "core.db"), &out];
        for about in [format!("{about}: `pacman -Sy`"), format!("{about}: `pacman -Sy` once more")] {
            screens.run(&about, &world, &words);
        }
        screens.run(&format!("{about}: status"), &world, &["status"]);
        screens.run(&format!("{about}: doctor"), &world, &["doctor"]);
    };
    let half = 1800;
    let behind = FakeIndex::called("arch").aged(HOUR + half, (46 * HOUR + half) as i64);
    scene("it lacks what mirrors have for half a day", behind, 13 * HOUR + half);
    let not_renewed = FakeIndex::called("arch").aged(40 * HOUR, (7 * HOUR + half) as i64);
    scene("it was not renewed", not_renewed, 2 * HOUR);
    let expired = FakeIndex::called("arch").aged(51 * HOUR, -((3 * HOUR + half) as i64));
    scene("it has expired", expired, 2 * HOUR);
    screens.held();
}
