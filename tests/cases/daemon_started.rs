//! The real daemon, started as by systemd, on loopback: its readiness, its inherited socket, its answers.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::daemon::{Daemon, FakeDaemon};
use crate::support::haiku::{self, HaikuRepository};
use crate::support::run::Running;
use crate::support::server::eventually;
use crate::support::world::{UNPRIVILEGED, give, loudly};
use crate::support::*;

/// Makes a machine whose daemon trusts loopback and knows the peers `peers`.
fn machine(peers: &str) -> World {
    let world = World::new().run_by_user();
    let run = world.path("run");
    std::fs::create_dir(&run).unwrap();
    give(&run, UNPRIVILEGED);
    let socket = run.join("socket").display().to_string();
    let set = [
        ("PKGSWARM_DAEMON_SOCKET", &*socket),
        ("PKGSWARM_LAN_NETWORKS", "127.0.0.0/8"),
        ("PKGSWARM_LAN_PORT", "0"),
        ("PKGSWARM_LAN_PEERS", peers),
    ];
    set.iter().fold(world, |world, (name, value)| world.set(name, value))
}

fn daemon(world: &World) -> Running {
    use std::os::unix::process::CommandExt as _;
    let mut command = world.command(&["daemon"]);
    command.process_group(0);
    Running::start(command, world.base())
}

fn status(world: &World) -> Value {
    let run = world.run(&["status", "--json"]);
    let mut status: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run:?}"));
    status["daemon"].take()
}

#[test]
fn systemd_is_told_when_the_daemon_can_be_asked_and_when_it_ends() {
    let world = machine("");
    let path = world.path("run/notify");
    let heard = UnixDatagram::bind(&path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
    heard.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let said = || {
        let mut bytes = [0; 100];
        let len = heard.recv(&mut bytes).expect("a word within a minute");
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    };
    let world = world.set("NOTIFY_SOCKET", &path.display().to_string());
    let running = daemon(&world);
    assert_eq!(said(), "READY=1");
    assert_eq!(status(&world)["answers"], true, "it has said that it is ready");
    running.signal(Signal::TERM);
    assert_eq!(said(), "STOPPING=1");
    assert_eq!(running.finish().code(), 0);
    assert_eq!(status(&world)["why"], "does not run");
}

#[test]
fn a_socket_that_systemd_hands_over_is_served_from_the_first_question_on() {
    let Some(activate) = ["/usr/bin/systemd-socket-activate", "/lib/systemd/systemd-socket-activate"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
    else {
        return loudly("no systemd-socket-activate here, so the socket was not handed over by the real one");
    };
    let world = machine("");
    let daemon = world.command(&["daemon"]);
    // It passes on only the variables that it is told to.
    let mut command = world.command(&[]);
    let names: Vec<String> = command.get_envs().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    let socket = world.path("run/socket");
    let mut words = vec!["--seqpacket".to_owned(), "--inetd".to_owned(), format!("--listen={}", socket.display())];
    words.extend(names.iter().map(|name| format!("--setenv={name}")));
    command = through(activate, &words, command, &daemon);
    let running = Running::start(command, world.base());
    eventually("systemd-socket-activate listens", || socket.exists());
    // Nothing runs yet: the request waits in the socket until the daemon, which it starts, takes it.
    eventually("the daemon answers", || status(&world)["answers"] == true);
    running.kill();
}

/// Runs `program` with `words`, in the environment and as the user of `like`; the program then starts `what`.
fn through(
    program: &str,
    words: &[String],
    like: std::process::Command,
    what: &std::process::Command,
) -> std::process::Command {
    use std::os::unix::process::CommandExt as _;
    let mut command = std::process::Command::new(program);
    command.args(words).arg(what.get_program()).args(what.get_args()).env_clear();
    command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if crate::support::world::is_root() {
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    }
    command
}

#[test]
fn packages_of_a_haiku_repository_are_offered_where_that_is_shared() {
    let (repository, listed) = (HaikuRepository::new(), haiku::listed());
    let server = haiku::mirror(&repository, &listed, haiku::SIGNED);
    let urls = format!("http://{}/{}", server.address(), haiku::PATH);
    let config = format!("[haiku.Demo]\nurls = [\"{urls}\"]\nminisign = \"{}\"\n", repository.key());
    for (policy, files) in [("core Demo", 1), ("core", 0)] {
        let world = machine("").config(&config).set("PKGSWARM_SHARE_REPOS", policy);
        // It notices the first list, and the package that comes with it.
        let running = daemon(&world);
        eventually("the daemon answers", || status(&world)["answers"] == true);
        world.run(&["haiku", "refresh"]).succeeds();
        let file = haiku::file_of(&listed[1].0);
        let fetched = world.run(&["fetch", &file, "-d", &world.path("run").display().to_string()]);
        assert_eq!(fetched.code(), 0, "{}", fetched.stderr);
        if files > 0 {
            eventually("the package is offered", || status(&world)["shared_files"] == files);
        }
        let shared = world.run(&["shared"]).stdout;
        assert_eq!(shared.contains(&file), files > 0, "{policy}: {shared}");
        running.kill();
    }
}

#[test]
fn two_daemons_show_each_other_in_their_status() {
    let first = machine("");
    let _one = daemon(&first);
    eventually("the first one listens", || status(&first)["listening"][0].is_string());
    let second = machine(status(&first)["listening"][0].as_str().unwrap());
    let _two = daemon(&second);
    eventually("they are connected", || {
        let agent = status(&second)["peers"][0]["agent"].clone();
        agent.as_str().is_some_and(|agent| agent.starts_with("pkgswarm/"))
    });
    let (one, two) = (status(&first), status(&second));
    assert_eq!((&one["peers"][0]["id"], &two["peers"][0]["id"]), (&two["id"], &one["id"]));
    assert_eq!((&two["peers"][0]["bytes_sent"], &two["shared_files"]), (&0.into(), &0.into()));
    super::json::documented(&second, "pkgswarm-status", &["status"]);
    super::json::documented(&second, "pkgswarm-shared", &["shared"]);
    let (text, long) = (second.run(&["status"]).stdout, second.run(&["status", "--long"]).stdout);
    let has = |start: &str, part: &str| long.lines().any(|line| line.starts_with(start) && line.contains(part));
    let id = one["id"].as_str().unwrap();
    assert!(text.contains("sharing   on with 127.0.0.0/8 (lo): 0 files, 0 B"), "{text}");
    assert!(text.contains("127.0.0.1  pkgswarm here") && !text.contains(id), "{text}");
    assert!(long.contains("127.0.0.0/8: 127.0.0.1 on lo, trusted"), "{long}");
    assert!(has("listens", "/ip4/127.0.0.1/tcp/"), "{long}");
    assert!(has("127.0.0.1", "pkgswarm here") && has("127.0.0.1", id), "{long}");
}

#[test]
fn status_says_what_is_the_matter_with_a_daemon_and_does_not_wait_for_it() {
    let bytes = [0; 10];
    for (manner, why) in [(Daemon::Silent, "does not answer: nothing within"), (Daemon::Babbling, "does not answer: ")]
    {
        let fake = FakeDaemon::holding(&bytes, manner);
        let world = World::new().set("PKGSWARM_DAEMON_SOCKET", &fake.socket().display().to_string());
        let run = world.run(&["status"]);
        run.within(Duration::from_secs(3));
        assert!(
            run.code() == 0 && run.stdout.contains(&format!("sharing   not known: the daemon {why}")),
            "{manner:?}: {}",
            run.stdout
        );
        let world = world.set("PKGSWARM_LAN_ENABLED", "false");
        assert!(world.run(&["status"]).stdout.contains("sharing   off: lan.enabled is false"));
    }
}

#[test]
fn an_interface_that_makes_no_sense_is_an_error_that_names_the_setting() {
    let world = machine("").set("PKGSWARM_LAN_INTERFACES", "eth[");
    let run = world.run(&["daemon"]);
    assert!(run.code() == 2 && run.stderr.contains("lan.interfaces"), "{}: {}", run.code(), run.stderr);
    let world = world.set("PKGSWARM_LAN_INTERFACES", "nosuch*");
    let listed: Value = serde_json::from_str(&world.run(&["lan", "ls", "--json"]).stdout).unwrap();
    assert!(listed["here"].as_array().unwrap().iter().all(|here| here["chosen"] == false), "{listed}");
}

#[test]
fn a_file_in_the_package_cache_is_not_kept_a_second_time_in_the_daemons_store() {
    let zlib = Package::new("zlib", 300_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    mirror.publish("core.db", &database(&[&zlib], Compression::Gzip));
    let world = machine("").repo("core", &[&zlib], &[&mirror]).set("PKGSWARM_SHARE_REPOS", "core");
    let world = world.pending(&[&zlib], &mirror);
    assert_eq!(world.run(&["prefetch", "--now"]).code(), 0);
    let kept = || crate::support::world::listing(&world.path("store/files"));
    assert!(kept().contains(&zlib.sha256().to_string()), "{:?}", kept());
    std::fs::write(world.path("cache").join(zlib.file_name()), &zlib.bytes).unwrap();
    let _running = daemon(&world);
    eventually("what is in the cache is offered", || status(&world)["shared_files"] == 1);
    eventually("the store's copy is gone", || !kept().contains(&zlib.sha256().to_string()));
    let shared = world.run(&["shared"]);
    assert_eq!(shared.stdout.lines().count(), 1, "one file: {}", shared.stdout);
    assert!(shared.stdout.contains(&zlib.file_name()), "{}", shared.stdout);
}

#[test]
fn a_configuration_that_is_edited_in_place_is_applied() {
    let world = machine("");
    std::fs::create_dir(world.path("config/config.d")).unwrap();
    let part = world.path("config/config.d/sharing.toml");
    std::fs::write(&part, "[lan]\nshare = true\n").unwrap();
    let _running = daemon(&world);
    eventually("it answers", || status(&world)["sharing"] == true);
    // Its directory stays as it was.
    let file = std::fs::File::options().write(true).truncate(true).open(&part).unwrap();
    std::io::Write::write_all(&mut &file, b"[lan]\nshare = false\n").unwrap();
    eventually("it shares nothing any more", || status(&world)["sharing"] == false);
}

#[test]
fn a_pacman_conf_that_fails_at_the_start_is_asked_again_soon() {
    let zlib = Package::new("zlib", 300_000);
    let world = machine("").repo("core", &[&zlib], &[]).set("PKGSWARM_SHARE_REPOS", "core");
    std::fs::write(world.path("cache").join(zlib.file_name()), &zlib.bytes).unwrap();
    std::fs::rename(world.path("bin/pacman-conf"), world.path("bin/real")).unwrap();
    let (asked, real) = (world.path("run/asked"), world.path("bin/real"));
    let script = format!("[ -e {0} ] && exec {1} \"$@\"\n: >{0}\nexit 1", asked.display(), real.display());
    let world = world.script("pacman-conf", &script);
    let _running = daemon(&world);
    eventually("what is in the cache is offered", || status(&world)["shared_files"] == 1);
    assert!(asked.exists(), "it was asked, and failed, before that");
}

#[test]
fn without_its_program_the_daemon_says_what_to_install_and_has_its_help() {
    let world = World::new().run_by_user();
    let full = pkgswarm::base::env::full_program_of(crate::support::world::binary());
    crate::support::install::install(&full, &world.path("bin/pkgswarm-full"));
    let run = |words: &[&str]| world.run_front_alone(words);
    let missing = run(&["daemon"]);
    assert_eq!(missing.code(), 4, "{}", missing.stderr);
    assert!(
        missing.stderr.contains("bin/pkgswarm-daemon: the daemon's program cannot be started: "),
        "{}",
        missing.stderr
    );
    assert!(missing.stderr.contains("hint: install pkgswarm-daemon beside pkgswarm-full"), "{}", missing.stderr);
    assert_eq!(run(&["daemon", "--hlep"]).code(), 2);
    let help = run(&["daemon", "--help"]);
    assert!(help.code() == 0 && help.stdout.contains("Usage: pkgswarm daemon"), "{}", help.stdout);
}

#[test]
fn the_program_of_the_daemon_is_no_other_command_and_keeps_its_statuses() {
    let world = machine("");
    let daemon = pkgswarm::base::env::daemon_program_of(crate::support::world::binary());
    let run = |words: &[&str]| world.run_program(&daemon, words);
    let other = run(&["status"]);
    assert!(other.code() == 2 && other.stderr.contains("hint: pkgswarm daemon"), "{}", other.stderr);
    let wrong = world.run(&["--set", "lan.networks=8.8.8.0/24", "daemon"]);
    assert!(wrong.code() == 2 && wrong.stderr.contains("lan.networks"), "{}", wrong.stderr);
    let named = run(&["--version"]);
    assert_eq!(named.stdout, format!("pkgswarm {}\n", env!("CARGO_PKG_VERSION")));
}
