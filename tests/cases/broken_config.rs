//! A mistake in the configuration: pacman gets its files all the same, from mirrors alone; other commands refuse,
//! and `doctor` names the place.

use crate::support::daemon::{Daemon, FakeDaemon};
use crate::support::*;

/// Configurations with one mistake each, and the line of it.
const BROKEN: [(&str, u32); 5] = [
    ("[store]\nmx = 1\n", 2),
    ("[store]\nmax = \"1 GiB\"\n[store\n", 3),
    ("[kubo]\nenabled = \"perhaps\"\n", 2),
    ("[lan]\nshare = 7\n", 2),
    ("[index.x]\nurl = \"https://x.example\"\n", 1),
];

#[test]
fn with_a_broken_configuration_pacman_gets_its_files_from_mirrors_alone_with_one_warning() {
    let zlib = Package::new("zlib", 300_000);
    let kubo = FakeKubo::empty().holding(&zlib.bytes);
    let daemon = FakeDaemon::holding(&zlib.bytes, Daemon::Honest);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    for (text, line) in BROKEN {
        for is_root in [true, false] {
            let world = World::new().repo("core", &[&zlib], &[&mirror]).kubo(&kubo).config(text);
            let world = world.set("PKGSWARM_DAEMON_SOCKET", &daemon.socket().display().to_string());
            let world = if is_root { world } else { world.run_by_user() };
            let url = mirror.url("core", &zlib.file_name());
            let run = world.transaction(&[(url.clone(), world.out("a")), (url.clone(), world.out("b"))], "");
            assert_eq!(run.code(), 0, "{text}: {}", run.stderr);
            assert_eq!(run.stderr.matches("warning: ").count(), 1, "{text}: once a transaction: {}", run.stderr);
            let place = format!("config/config.toml:{line}: ");
            assert!(run.stderr.contains(&place) && run.stderr.contains("mirrors alone"), "{text}: {}", run.stderr);
            for name in ["a", "b"] {
                assert!(std::fs::read(world.out(name)).unwrap() == zlib.bytes, "{text}");
            }
        }
    }
    assert_eq!((kubo.gateway().bytes(), daemon.asked()), (0, vec![]), "no one but the mirror was asked");
}

#[test]
fn other_commands_refuse_and_doctor_names_file_and_line_and_goes_on() {
    for (text, line) in BROKEN {
        let world = World::new().config(text);
        let place = format!("config/config.toml:{line}: ");
        for words in [&["daemon"][..], &["setup", "--yes"], &["publish", "."], &["fetch", "zlib"], &["status"]] {
            let run = world.run(words);
            assert!(run.code() == 2 && run.stderr.contains(&place), "{words:?}: {}: {}", run.code(), run.stderr);
        }
        let run = world.run(&["doctor", "--json"]);
        let all: serde_json::Value =
            serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.stderr));
        let checks = all["checks"].as_array().unwrap();
        let config = checks.iter().find(|check| check["check"] == "config").unwrap();
        assert!(config["found"][0]["says"].as_str().unwrap().contains(&place), "{config}");
        assert!(config["found"][0]["mend"].as_str().unwrap().starts_with("sudoedit "), "{config}");
        assert!(run.code() == 1 && checks.len() > 20, "the other checks ran too: {}", run.stdout);
    }
}

#[test]
fn a_variable_that_means_nothing_is_named() {
    let world = World::new().set("PKGSWARM_STORE_MX", "1 GiB");
    let run = world.run(&["status"]);
    let said = "warning: $PKGSWARM_STORE_MX: there is no such setting; did you mean PKGSWARM_STORE_MAX?\n";
    assert_eq!((run.code(), &*run.stderr), (0, said));
    let zlib = Package::new("zlib", 3000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = world.repo("core", &[&zlib], &[&mirror]);
    let url = mirror.url("core", &zlib.file_name());
    let run = world.transaction(&[(url.clone(), world.out("a")), (url, world.out("b"))], "");
    assert_eq!((run.code(), run.stderr.matches(said).count()), (0, 1), "{}", run.stderr);
}
