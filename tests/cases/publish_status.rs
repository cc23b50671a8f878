//! Whether a publication still runs: `publish status`, the line of a run, `/status.json`, the webhook.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use super::json::documented;
use super::publish_file::{describe, world};
use crate::support::World;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Changes the record of the publication `arch`.
pub(super) fn recorded(world: &World, change: impl FnOnce(&mut Value)) {
    let path = world.path("state-publish/arch/run.json");
    let mut record = json(&fs::read_to_string(&path).unwrap());
    change(&mut record);
    fs::write(path, record.to_string()).unwrap();
}

#[test]
fn a_run_is_one_line_and_status_tells_that_all_is_well() {
    let world = world();
    describe(&world, "");
    let run = world.run(&["publish", "arch"]);
    assert_eq!((run.code(), &*run.stdout), (0, ""), "{}", run.stderr);
    let line = "arch: published: 2 files, 0 new, 0 B sent; sequence ";
    assert!(run.stderr.starts_with(line) && run.stderr.lines().count() == 1, "{}", run.stderr);
    assert!(run.stderr.contains(", expires in 2 d; "), "{}", run.stderr);
    let again = world.run(&["publish", "arch"]);
    assert!(again.stderr.starts_with("arch: unchanged: 2 files, ") && again.stderr.lines().count() == 1, "{again:?}");

    let status = world.run(&["publish", "status", "--json"]);
    assert_eq!(status.code(), 0, "{status:?}");
    let said = json(&status.stdout);
    assert_eq!((&said["name"], &said["well"], &said["result"]), (&"arch".into(), &true.into(), &"unchanged".into()));
    assert_eq!((&said["index"]["files"], &said["index"]["repos"][0]["packages"]), (&2.into(), &1.into()), "{said}");
    assert_eq!(said["index"]["targets"][0]["lacks"], Value::Null, "{said}");
    documented(&world, "pkgswarm-publish-status", &["publish", "status"]);
    let page = world.run(&["publish", "status", "arch"]);
    assert!(page.code() == 0 && page.stdout.contains("custom x86_64: 1 package, 100 B"), "{page:?}");

    let public = fs::read_to_string(world.path("plain/status.json")).unwrap();
    assert!(!public.contains(world.base()), "nothing of this machine: {public}");
    let public = json(&public);
    assert_eq!((&public["status"], &public["result"]), (&1.into(), &"unchanged".into()), "{public}");
    assert_eq!((&public["sequence"], &public["run"]), (&said["index"]["sequence"], &said["run"]), "{public}");
}

#[test]
fn what_is_not_well_is_named_with_its_remedy_and_the_exit_status_tells() {
    let world = world();
    describe(&world, "");
    let problem = |world: &World| {
        let run = world.run(&["publish", "status", "--json"]);
        assert_eq!(run.code(), 1, "{run:?}");
        json(&run.stdout)["problems"][0]["problem"].as_str().unwrap().to_owned()
    };
    assert_eq!(problem(&world), "it has never run");
    assert_eq!(world.run(&["publish", "arch"]).code(), 0);
    assert_eq!(world.run(&["publish", "status"]).code(), 0);
    recorded(&world, |record| record["index"]["expires"] = 1_000_000.into());
    assert!(problem(&world).starts_with("the index expired "));
    recorded(&world, |record| {
        let created = record["at"].as_u64().unwrap() - 86_400;
        (record["index"]["created"], record["index"]["expires"]) = (created.into(), (created + 100_000).into());
    });
    assert!(problem(&world).starts_with("the index was not renewed in time: it expires in "));
    fs::remove_dir_all(world.path("repo")).unwrap();
    assert_ne!(world.run(&["publish", "arch"]).code(), 0);
    let why = problem(&world);
    assert!(why.starts_with("failed since ") && why.contains("/repo: "), "{why}");
    let public = json(&fs::read_to_string(world.path("plain/status.json")).unwrap());
    assert_eq!(public["result"], "failed", "seen from outside: {public}");
    fs::write(world.path("config/publish.d/broken.toml"), "x = 1\n").unwrap();
    let page = world.run(&["publish", "status", "broken"]);
    assert!(page.code() == 1 && page.stdout.contains("broken.toml:1: unknown key \"x\""), "{page:?}");
    world.run(&["publish", "status", "none"]).fails(
        2,
        "error: none: is no publication: there is no $WORLD/config/publish.d/none.toml\nhint: pkgswarm publish status \
         lists all\n",
    );
}

/// Listens for webhooks, and answers each with this status; returns its URL and the bodies.
pub(super) fn hook(status: u16) -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?token=secret", listener.local_addr().unwrap());
    let (tell, heard) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            if tell.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (url, heard)
}

#[test]
fn a_webhook_hears_once_that_runs_fail_and_once_that_all_is_well_again() {
    let world = world();
    let (url, heard) = hook(204);
    describe(&world, &format!("[alarm]\nwebhook = \"{}/hook\"\n", world.base()));
    fs::write(world.path("hook"), &url).unwrap();
    fs::set_permissions(world.path("hook"), Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(world.path("secret"), Permissions::from_mode(0o640)).unwrap();
    for _ in 0..2 {
        assert_eq!(world.run(&["publish", "arch"]).code(), 2);
    }
    fs::set_permissions(world.path("secret"), Permissions::from_mode(0o600)).unwrap();
    for _ in 0..2 {
        assert_eq!(world.run(&["publish", "arch"]).code(), 0);
    }
    let all: Vec<Value> = heard.try_iter().collect();
    let results: Vec<&Value> = all.iter().map(|body| &body["result"]).collect();
    assert_eq!(results, ["failed", "published"], "{all:?}");
    assert!(all[0]["why"].as_str().unwrap().ends_with("others than its owner may open it (mode 0640)"), "{all:?}");
    assert_eq!((&all[0]["publication"], &all[1]["why"]), (&"arch".into(), &Value::Null), "{all:?}");
}

#[test]
fn a_webhook_that_refuses_is_a_warning_without_its_secret() {
    let world = world();
    let (url, _heard) = hook(500);
    describe(&world, &format!("[alarm]\nwebhook = \"{url}\"\n"));
    fs::remove_dir_all(world.path("repo")).unwrap();
    let run = world.run(&["publish", "arch"]);
    assert!(run.stderr.contains("warning: alarm.webhook of arch: 127.0.0.1"), "{}", run.stderr);
    assert!(run.stderr.contains("answered 500") && !run.stderr.contains("token"), "{}", run.stderr);
}
