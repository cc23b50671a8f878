//! Files of the first program (commit 92607ed, `tests/data/state-of-0.1`): today's program reads and uses them, sets
//! up again what that one had set up, and undoes it byte for byte.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::run::{Run, Running};
use crate::support::server::eventually;
use crate::support::world::{UNPRIVILEGED, binary, give, is_root, listing, loudly};
use crate::support::*;

fn frozen(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/state-of-0.1").join(below)
}

fn text(below: &str) -> String {
    fs::read_to_string(frozen(below)).unwrap()
}

fn json(below: &str) -> Value {
    serde_json::from_str(&text(below)).unwrap()
}

/// Copies frozen files; in texts, words such as `@WORLD@` become what they stand for. All belong to this user.
fn thaw(from: &Path, to: &Path, words: &[(&str, String)], user: Option<u32>) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            thaw(&entry.path(), &to.join(entry.file_name()), words, user);
        }
    } else {
        let thawed = |text: String| words.iter().fold(text, |text, (word, is)| text.replace(word, is));
        let bytes = String::from_utf8(fs::read(from).unwrap());
        fs::write(to, bytes.map_or_else(|e| e.into_bytes(), |text| thawed(text).into_bytes())).unwrap();
        fs::set_permissions(to, Permissions::from_mode(if user.is_some() { 0o600 } else { 0o644 })).unwrap();
    }
    user.into_iter().for_each(|user| give(to, user));
}

/// Returns the output as JSON.
fn said(run: &Run) -> Value {
    assert_eq!(run.code(), 0, "{}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.stdout))
}

/// Lists the values of `old` that `new` lacks or tells otherwise, by their path. `new` may tell more.
fn differences(old: &Value, new: &Value, path: &str, found: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                differences(value, new.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"), found);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (at, (old, new)) in old.iter().zip(new).enumerate() {
                differences(old, new, &format!("{path}.{at}"), found);
            }
        }
        _ if old == new => {}
        _ => found.push(format!("{path}: {old} became {new}")),
    }
}

fn without_nulls(value: &Value) -> Value {
    let Value::Object(members) = value else { return value.clone() };
    let kept = members.iter().map(|(key, value)| (key.clone(), without_nulls(value)));
    let is_something = |value: &Value| !value.is_null() && value.as_object().is_none_or(|members| !members.is_empty());
    Value::Object(kept.filter(|(_, value)| is_something(value)).collect())
}

const PARTS: &str = "pacman,index,prefetch,notify,kubo,daemon";

#[test]
fn what_the_first_program_set_up_is_found_done_undone_byte_for_byte_and_set_up_again() {
    if !is_root() {
        return loudly("setup keeps Kubo's values apart only where root has a child");
    }
    let kubo = FakeKubo::empty().configured("", json("setup/kubo-after.json"));
    let world = World::new().pacman_conf(b"").kubo(&kubo).script("systemctl", super::setup::SYSTEMCTL);
    let world = world.script("pacman", "echo ' .--.  Pacman v7.1.0 - libalpm v16.0.0'");
    let words = [("@WORLD@", world.base().to_owned()), ("@PROGRAM@", binary().display().to_string())];
    for what in ["config", "pacman.conf", "units"] {
        thaw(&frozen("setup").join(what), &world.path(what), &words, None);
    }
    thaw(&frozen("setup/state"), &world.path("state"), &words, Some(UNPRIVILEGED));
    let conf = || fs::read_to_string(world.path("pacman.conf")).unwrap();
    let records = || {
        ["config", "state"].map(|of| -> Value {
            serde_json::from_slice(&fs::read(world.path(of).join("setup/record.json")).unwrap()).unwrap()
        })
    };
    let units =
        || listing(&world.path("units")).into_iter().map(|unit| fs::read_to_string(world.path("units").join(unit)));
    let setup = |parts: &str, more: &[&str]| {
        let run = world.run(&[&["setup", "--only", parts], more].concat());
        assert_eq!(run.code(), 0, "{}", run.stderr);
        run
    };
    let (before, after) = (fs::read_to_string(world.path("config/setup/pacman.conf.before")).unwrap(), conf());
    assert_ne!(before, after);
    let mut first = records();

    // Nothing is left to do.
    let states = setup(PARTS, &["--dry-run", "--json"]).stdout;
    let states: Vec<Value> = states.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(states.len() == 6 && states.iter().all(|part| part["state"] == "unchanged"), "{states:#?}");
    assert_eq!(setup(PARTS, &["--yes"]).stdout, "");
    assert_eq!((conf(), records()), (after.clone(), first.clone()));

    setup(&format!("{PARTS},lan"), &["--undo", "--yes"]);
    assert_eq!(conf(), before);
    assert!(units().all(|unit| unit.unwrap() == "disabled\n"));
    assert_eq!(without_nulls(&kubo.config()), without_nulls(&json("setup/kubo-before.json")));
    assert_eq!(said(&world.run(&["lan", "ls", "--json"]))["trusted"], serde_json::json!([]));
    let left = ["config", "state"].map(|of| world.path(of).join("setup").exists());
    assert_eq!(left, [false, false], "nothing of setup is left");

    setup(PARTS, &["--yes"]);
    assert_eq!(conf(), after);
    assert!(units().all(|unit| unit.unwrap() == "enabled\n"));
    let mut again = records();
    for record in again.iter_mut().chain(&mut first) {
        record["networks"].take();
        record["units"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
    }
    assert_eq!(again, first);
    setup(PARTS, &["--undo", "--yes"]);
    assert_eq!(conf(), before);
}

/// The packages of the first program's machine.
fn packages() -> [Package; 5] {
    [("zlib", 3000), ("xz", 4000), ("tzdata", 5000), ("bash", 6000), ("linux", 30_000)]
        .map(|(name, size)| Package::new(name, size))
}

/// The machine whose state was frozen, with this mirror, plain copy and Kubo in place of those of then.
fn machine(mirror: &FakeMirror, copy: &FakeMirror, kubo: &FakeKubo) -> World {
    let packages = packages();
    let all: Vec<&Package> = packages.iter().collect();
    let world = World::new().run_by_user().sync_database("core", &database(&all, Compression::Gzip));
    let world = world.servers("core", &[&mirror.repo("core")], &["PackageRequired", "DatabaseNever"]);
    let world = world.pending(&all[..2], mirror).kubo(kubo);
    let words = [
        ("@WORLD@", world.base().to_owned()),
        ("@MIRROR@", mirror.address().to_string()),
        ("@COPY@", copy.address().to_string()),
        ("@GATEWAY@", kubo.gateway_address().to_string()),
        ("@API@", kubo.api_url().trim_start_matches("http://").to_owned()),
    ];
    let user = is_root().then_some(UNPRIVILEGED);
    for what in ["config", "store", "state", "publisher"] {
        thaw(&frozen("machine").join(what), &world.path(what), &words, user);
    }
    // A link, as which pacman's list of installed packages is in those databases.
    symlink(world.path("root/var/lib/pacman/local"), world.path("store/prefetch/db/local")).unwrap();
    world
}

/// Serves the frozen publisher's files.
fn copy_of(out: &Path) -> FakeMirror {
    FakeMirror::serving(&publisher::files_below(out))
}

#[test]
fn settings_of_the_first_program_mean_the_same() {
    let world = World::new().config(&text("machine/config.toml"));
    let (old, new) = (json("machine/said/config.json"), said(&world.run(&["config", "--json"])));
    let of_file = |row: &&Value| row["origin"].as_str().is_some_and(|origin| origin.contains("config.toml"));
    let rows = |all: &Value| all["settings"].as_array().unwrap().clone();
    let (old, new) = (rows(&old), rows(&new));
    let old: Vec<&Value> = old.iter().filter(of_file).collect();
    assert!(old.len() > 20, "{old:?}");
    for row in old {
        let same = new.iter().find(|now| now["key"] == row["key"]).unwrap_or_else(|| panic!("{row} is unknown"));
        assert_eq!((&same["value"], of_file(&same)), (&row["value"], true), "{row}");
    }
}

#[test]
fn the_state_of_the_first_program_is_told_as_that_one_told_it() {
    let (mirror, kubo) = (FakeMirror::serving::<&str, &[u8]>(&[]), FakeKubo::empty());
    let copy = copy_of(&frozen("machine/publisher/out"));
    let world = machine(&mirror, &copy, &kubo);
    let words = [
        (world.base().to_owned(), "@WORLD@"),
        (mirror.address().to_string(), "@MIRROR@"),
        (copy.address().to_string(), "@COPY@"),
        (kubo.gateway_address().to_string(), "@GATEWAY@"),
        (kubo.api_url().trim_start_matches("http://").to_owned(), "@API@"),
    ];
    for (file, arguments) in [
        ("stats", &["stats", "--days", "0", "--json"][..]),
        ("status", &["status", "--json"]),
        ("index", &["index", "ls", "--json"]),
    ] {
        let now = world.run(arguments);
        let text = words.iter().fold(now.stdout.clone(), |text, (is, word)| text.replace(is, word));
        let (mut found, mut old) = (Vec::new(), json(&format!("machine/said/{file}.json")));
        // What depends on the time, and on Kubo and the daemon of then.
        ["age", "kubo", "daemon"].iter().for_each(|key| drop(old.as_object_mut().unwrap().remove(*key)));
        old["indexes"]
            .as_array_mut()
            .into_iter()
            .flatten()
            .for_each(|index| drop(index.as_object_mut().unwrap().remove("due")));
        differences(&old, &serde_json::from_str(&text).unwrap(), file, &mut found);
        assert_eq!(found, [""; 0], "{}", now.stderr);
    }
}

#[test]
fn files_of_the_first_program_are_delivered_and_resumed_and_its_records_kept() {
    let [zlib, xz, _, _, linux] = packages();
    // The mirror has the rest of one file; the others are here, or nowhere.
    let mirror = FakeMirror::serving(&[linux.file()]);
    let (copy, kubo) = (copy_of(&frozen("machine/publisher/out")), FakeKubo::empty());
    let world = machine(&mirror, &copy, &kubo);
    let read = |below: &str| fs::read_to_string(world.path(below)).unwrap();
    let (journal, pace, ledger) = (read("store/journal"), read("store/health/pace"), read("store/kubo-cached"));
    let deliver = |name: &str, bytes: &[u8]| {
        let out = world.out(name);
        let run = world.xfer_of_another_pacman(&mirror.url("core", name), &out);
        assert_eq!(run.code(), 0, "{}", run.stderr);
        world.has(&out, bytes);
        fs::remove_file(out).unwrap();
        run
    };
    for package in [&zlib, &xz] {
        assert!(deliver(&package.file_name(), &package.bytes).said.contains(", fetched ahead"));
        let (name, bytes) = package.signature();
        assert!(deliver(&name, &bytes).said.contains("from here, fetched ahead (unproven: signature"));
    }
    assert_eq!(mirror.requests().len(), 0, "all of it was here");
    let have = fs::metadata(world.path("store/partial").join(linux.sha256().to_string())).unwrap().len();
    assert!(have >= 20_000, "{have} bytes");
    deliver(&linux.file_name(), &linux.bytes);
    let ranges: Vec<_> = mirror.requests().iter().map(|asked| asked.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [Some(format!("bytes={have}-"))], "only the rest is asked for");
    assert!(
        read("store/journal").starts_with(&journal) && read("store/journal").lines().count() > journal.lines().count()
    );
    assert_eq!(read("store/kubo-cached"), ledger);
    // What it had learned of Kubo is learned further: one more file that Kubo lacks.
    let kubo_lacks = |pace: &str| -> (String, u32) {
        let line = pace.lines().find(|line| line.starts_with("kubo ")).expect("a line about Kubo");
        let words: Vec<&str> = line.split(' ').collect();
        (words[..3].join(" "), words[3].parse().expect("a number"))
    };
    let (before, now) = (kubo_lacks(&pace), kubo_lacks(&read("store/health/pace")));
    assert_eq!(now.0, before.0);
    assert!(now.1 > before.1, "{} after {}", now.1, before.1);
}

#[test]
fn an_index_of_the_first_program_is_refreshed_and_never_goes_back() {
    let (mirror, kubo) = (FakeMirror::serving::<&str, &[u8]>(&[]), FakeKubo::empty());
    let copy = copy_of(&frozen("machine/publisher/out"));
    let world = machine(&mirror, &copy, &kubo);
    let index = || said(&world.run(&["index", "ls", "--json"]));
    let refresh = || world.run(&["index", "refresh"]);
    let first = index()["sequence"].clone();
    assert_eq!((refresh().code(), index()["sequence"].clone()), (0, first.clone()), "the copy is the same");
    // The publisher goes on with its key and its directory.
    let repo = world.path("publisher/core/os/x86_64");
    let packages = packages();
    let all: Vec<&Package> = packages.iter().collect();
    fs::create_dir_all(&repo).unwrap();
    fs::write(repo.join("core.db"), database(&all, Compression::Gzip)).unwrap();
    all.iter().for_each(|package| fs::write(repo.join(package.file_name()), &package.bytes).unwrap());
    fs::create_dir(world.path("state-publish")).unwrap();
    is_root().then(|| give(&world.path("state-publish"), UNPRIVILEGED));
    let (secret, out) = (world.path("publisher/secret.key"), world.path("publisher/out"));
    let plain = |path: &Path| path.to_str().unwrap().to_owned();
    let publish = ["publish", "--offline", "--minisign-key", &plain(&secret), "--out", &plain(&out), &plain(&repo)];
    let run = world.run(&publish);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let old: Vec<_> = publisher::files_below(&frozen("machine/publisher/out"));
    for (name, bytes) in publisher::files_below(&out) {
        copy.publish(&name, &bytes);
    }
    assert_eq!(refresh().code(), 0);
    let second = index()["sequence"].clone();
    assert!(second.as_u64() > first.as_u64(), "{second} after {first}");
    for (name, bytes) in old {
        copy.publish(&name, &bytes);
    }
    let back = refresh();
    assert_ne!(back.code(), 0, "{}", back.stderr);
    assert_eq!(index()["sequence"], second);
}

#[test]
fn the_first_programs_updates_that_are_here_stay_here() {
    let [zlib, xz, ..] = packages();
    let mirror = FakeMirror::serving::<&str, &[u8]>(&[]);
    let packages = packages();
    mirror.publish("core.db", &database(&packages.iter().collect::<Vec<_>>(), Compression::Gzip));
    let (copy, kubo) = (copy_of(&frozen("machine/publisher/out")), FakeKubo::empty());
    // They have been pending since then.
    let world = machine(&mirror, &copy, &kubo).set("PKGSWARM_PREFETCH_AGE", "36500 d");
    let run = world.run(&["prefetch", "--now", "--json"]);
    let told = said(&run);
    assert_eq!((&told["fetched"], told["updates"].as_array().map(Vec::len)), (&0.into(), Some(2)), "{told}");
    assert!(told["updates"].as_array().unwrap().iter().all(|update| update["stands"] == "here"), "{told}");
    for package in [&zlib, &xz] {
        assert!(world.path("store/files").join(package.sha256().to_string()).exists());
    }
}

#[test]
fn the_daemon_stays_the_peer_that_it_was() {
    let (mirror, kubo) = (FakeMirror::serving::<&str, &[u8]>(&[]), FakeKubo::empty());
    let world = machine(&mirror, &mirror, &kubo);
    if !world.path("store/node/key").exists() {
        return loudly("no key of a daemon");
    }
    let run = world.path("run");
    fs::create_dir(&run).unwrap();
    is_root().then(|| give(&run, UNPRIVILEGED));
    let world = world.set("PKGSWARM_DAEMON_SOCKET", &run.join("socket").display().to_string());
    let world = world.set("PKGSWARM_LAN_NETWORKS", "127.0.0.0/8").set("PKGSWARM_LAN_PORT", "0");
    let daemon = Running::start(world.command(&["daemon"]), world.base());
    let id = || said(&world.run(&["status", "--json"]))["daemon"]["id"].clone();
    eventually("the daemon answers", || id().is_string());
    assert_eq!(id(), text("machine/said/peer-id"));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.finish().code(), 0);
}
