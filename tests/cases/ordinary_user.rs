//! Every command as an ordinary user of a machine that root has set up: what only root may do is refused, with the
//! command to run, and no command claims what did not happen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use clap::CommandFactory as _;
use pkgswarm::cmd::cli::Cli;

use crate::support::run::{Run, Running};
use crate::support::server::eventually;
use crate::support::world::{UNPRIVILEGED, binary, can_be_two_users, loudly};
use crate::support::*;

/// An ordinary user: neither root nor the one that downloads and runs the daemon.
const ANN: u32 = 54_321;

/// Variables of a [`World`] by which a test chooses its own directories; here all are the system's.
const CHOSEN: [&str; 3] = ["PKGSWARM_CONFIG_DIR", "PKGSWARM_STORE_DIR", "PKGSWARM_STATE_DIR"];

/// A machine with its own /etc, /var/lib, /var/cache and /run, where root has set everything up and a daemon runs.
struct SystemOfRoot {
    world: World,
    _daemon: Option<Running>,
}

impl SystemOfRoot {
    fn new(world: World) -> Option<Self> {
        let at = |below: &str| world.path(below);
        let copied = Command::new("cp").args(["-a", "/etc"]).arg(at("etc")).status().unwrap();
        assert!(copied.success());
        for (dir, owner) in [
            ("etc/pkgswarm/setup", 0),
            ("var-lib/pkgswarm", UNPRIVILEGED),
            ("var-cache/pkgswarm", UNPRIVILEGED),
            ("run/pkgswarm", UNPRIVILEGED),
            ("daemon", UNPRIVILEGED),
            ("ann", ANN),
        ] {
            fs::create_dir_all(at(dir)).unwrap();
            chown(at(dir), Some(owner), Some(owner)).unwrap();
            fs::set_permissions(at(dir), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let conf = at("pacman.conf").display().to_string();
        let text = "[lan]\nnetworks = [\"127.0.0.0/8\"]\nport = 0\n[index.systems]\nminisign = \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"\n\
                    url = \"http://127.0.0.1:9\"\nrepos = [\"core\"]\n";
        fs::write(at("etc/pkgswarm/config.toml"), text).unwrap();
        let record =
            serde_json::json!({"pacman_conf": conf, "units": ["pkgswarm-daemon.service"], "networks": ["127.0.0.0/8"]});
        fs::write(at("etc/pkgswarm/setup/record.json"), record.to_string()).unwrap();
        let mut this = Self { world, _daemon: None };
        let probe = this.start(0, &["--version"]).finish();
        if probe.code() != 0 {
            loudly(&format!("no machine of its own: {}", probe.stderr));
            return None;
        }
        let daemon = this.start_with(UNPRIVILEGED, &["daemon"], &[("PKGSWARM_STORE_DIR", &this.world.path("daemon"))]);
        this._daemon = Some(daemon);
        eventually("the daemon shares", || this.run(ANN, &["shared"]).stderr.contains("every machine on 127.0.0.0/8"));
        Some(this)
    }

    fn run(&self, user: u32, words: &[&str]) -> Run {
        self.start(user, words).finish()
    }

    fn start(&self, user: u32, words: &[&str]) -> Running {
        self.start_with(user, words, &[])
    }

    fn start_with(&self, user: u32, words: &[&str], variables: &[(&str, &Path)]) -> Running {
        let base = self.world.base();
        let mounts = ["etc:/etc", "var-lib:/var/lib", "var-cache:/var/cache", "run:/run"].map(|pair| {
            let (from, to) = pair.split_once(':').unwrap();
            format!("mount --bind {base}/{from} {to}")
        });
        let script = format!("({}) >&2 || exit 99; exec \"$@\"", mounts.join(" && "));
        let mut command = Command::new("unshare");
        command.args(["--mount", "--kill-child", "--fork", "sh", "-c", &script, "sh", "setpriv", "--clear-groups"]);
        // A change of user ends the wish to end with the parent.
        command.args(["--pdeathsig", "KILL"]);
        command.args([format!("--reuid={user}"), format!("--regid={user}")]).arg(binary()).args(words);
        let mut command = self.world.equipped(command);
        for name in CHOSEN {
            command.env_remove(name);
        }
        let home = if user == ANN { self.world.path("ann") } else { "/nonexistent".into() };
        command.env("HOME", &home).envs(variables.iter().copied()).current_dir(base);
        if user == ANN {
            command.current_dir(home);
        }
        Running::start(command, base)
    }

    /// Returns the files that are not the ordinary user's, with their bytes.
    fn of_others(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut open = ["etc/pkgswarm", "var-lib/pkgswarm", "var-cache/pkgswarm", "pacman.conf"]
            .map(|it| self.world.path(it))
            .to_vec();
        while let Some(path) = open.pop() {
            match fs::read_dir(&path) {
                Ok(entries) => open.extend(entries.map(|entry| entry.unwrap().path())),
                Err(_) => drop(found.insert(path.display().to_string(), fs::read(&path).unwrap_or_default())),
            }
        }
        found
    }

    /// Returns what the daemon says of its sharing.
    fn daemon(&self) -> serde_json::Value {
        let status: serde_json::Value =
            serde_json::from_str(&self.run(ANN, &["status", "--json"]).stdout).expect("a document");
        serde_json::json!([status["daemon"]["sharing"], status["daemon"]["trusted"], status["daemon"]["networks"]])
    }
}

/// Lists the commands of the program, each with its words: `index add`.
fn all_commands() -> BTreeSet<String> {
    fn leaves(command: &clap::Command, before: &str, into: &mut BTreeSet<String>) {
        for one in command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help") {
            let words = format!("{before} {}", one.get_name()).trim().to_owned();
            leaves(one, &words, into);
            // `publish` does something by itself too.
            if !one.is_subcommand_required_set() {
                into.insert(words);
            }
        }
    }
    let mut all = BTreeSet::new();
    leaves(&Cli::command(), "", &mut all);
    all
}

#[test]
fn no_command_of_an_ordinary_user_claims_what_did_not_happen() {
    if !can_be_two_users("an ordinary user's every command") {
        return;
    }
    let (zlib, big) = (Package::new("zlib", 40_000), Package::new("big", 50_000));
    let mirror = FakeMirror::serving(&[zlib.file(), big.file()]);
    mirror.publish("core.db", &database(&[&zlib, &big], Compression::Gzip));
    let world = World::new().repo("core", &[&zlib], &[&mirror]).pending(&[&zlib, &big], &mirror);
    let (url, name) = (mirror.url("core", &zlib.file_name()), zlib.file_name());
    let Some(system) = SystemOfRoot::new(world) else { return };
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let sudo = |words: &str| format!("hint: sudo pkgswarm {words}");
    // Exit status, and what is said; only what begins with `hint: sudo` is a refusal.
    let table: Vec<(Vec<&str>, &[i32], String)> = vec![
        (vec!["shared"], &[0], "0 files, offered to every machine on 127.0.0.0/8".into()),
        (vec!["shared", "off"], &[4], sudo("shared off")),
        (vec!["shared", "on"], &[4], sudo("shared on")),
        (vec!["lan", "trust"], &[4], sudo("lan trust")),
        (vec!["lan", "trust", "10.9.0.0/16"], &[4], sudo("lan trust 10.9.0.0/16")),
        (vec!["lan", "trust", "8.8.8.0/24"], &[2], "is public".into()),
        (vec!["lan", "forget"], &[4], sudo("lan forget")),
        (vec!["lan", "forget", "127.0.0.0/8"], &[4], sudo("lan forget 127.0.0.0/8")),
        (vec!["lan", "ls"], &[0], "127.0.0.0/8  trusted".into()),
        (vec!["status"], &[0], "sharing   on with 127.0.0.0/8 (lo): 0 files, 0 B".into()),
        (vec!["setup", "--yes"], &[4], sudo("setup --yes")),
        (vec!["setup"], &[4], sudo("setup")),
        (vec!["setup", "--only", "prefetch", "--yes"], &[4], sudo("setup --only prefetch --yes")),
        (vec!["setup", "--only", "kubo", "--yes"], &[0], "kubo.enabled is false".into()),
        (vec!["setup", "--undo", "--yes"], &[4], sudo("setup --undo --yes")),
        (vec!["setup", "--undo", "--dry-run"], &[4], "/etc/pkgswarm/setup".into()),
        (vec!["setup", "--undo", "--only", "kubo"], &[4], "/etc/pkgswarm/setup".into()),
        (vec!["setup", "--dry-run", "--only", "lan"], &[0], "lan: ".into()),
        (vec!["endpoint"], &[2], "endpoint.enabled: is false".into()),
        (vec!["doctor"], &[0, 1], String::new()),
        (vec!["index", "ls"], &[0], "systems  core   never fetched".into()),
        (vec!["index", "refresh"], &[4], sudo("index refresh")),
        (vec!["index", "show", "systems"], &[1], "was never fetched".into()),
        (vec!["index", "audit"], &[0], "0 files".into()),
        (vec!["index", "rm", "systems"], &[2, 4], String::new()),
        (
            vec!["index", "add", "mine", key, "--url", "http://127.0.0.1:9", "--yes"],
            &[1],
            "pacman's downloader does not read it".into(),
        ),
        (vec!["index", "rm", "mine"], &[0], "removed".into()),
        (vec!["group", "status"], &[0], "no group of this user".into()),
        (vec!["group", "init", "--at", "127.0.0.1"], &[2], "needs confirmation".into()),
        (vec!["group", "join", "no-such-file"], &[2], "the group's file cannot be read".into()),
        (vec!["group", "leave", "group"], &[2], "is no group of this user".into()),
        (vec!["haiku", "ls"], &[0], "no repository of Haiku's is served".into()),
        (
            vec!["haiku", "add", "Demo", "http://127.0.0.1:9/demo", "--yes"],
            &[1],
            "the system's endpoint does not read it".into(),
        ),
        (vec!["haiku", "refresh"], &[1], "no server sends a list that is proven; there is none to serve".into()),
        (vec!["haiku", "steps", "Demo"], &[2], "was never fetched".into()),
        (vec!["haiku", "rm", "Demo"], &[0], "removed".into()),
        (vec!["keep", "ls"], &[0], "no share is kept".into()),
        (vec!["keep", "run"], &[0], "no share is kept".into()),
        (vec!["keep", "systems", "--quota", "1G"], &[2], "pkgswarm daemon offers other stores than this user's".into()),
        (vec!["keep", "status"], &[0], "failed: systems: a share needs Kubo or pkgswarm daemon".into()),
        (vec!["keep", "stop", "systems"], &[1], "removed".into()),
        (vec!["publish", "status"], &[0, 1, 2], String::new()),
        (vec!["publish", ".", "--offline", "--out", "out"], &[2], "make one with repo-add".into()),
        (vec!["prefetch", "--now"], &[0, 1], "pacman cannot use".into()),
        (vec!["daemon"], &[2, 4], "/run/pkgswarm/socket".into()),
        (vec!["config"], &[0], "/etc/pkgswarm/config.toml".into()),
        (vec!["stats"], &[0], String::new()),
        (vec!["cid", "/etc/passwd"], &[0], "bafk".into()),
        (vec!["fetch", "zlib"], &[0], "from ".into()),
        (vec!["xfer", &url, "ours.part"], &[0], "from ".into()),
        (vec!["why", &name], &[0], String::new()),
        (vec!["store", "ls"], &[0], " of 4.0 GiB in ".into()),
        (vec!["store", "clean"], &[0], "/var/cache/pkgswarm is pacman's: sudo pkgswarm store clean".into()),
    ];
    let told: BTreeSet<String> = table
        .iter()
        .map(|(words, ..)| {
            let is_pair = ["lan", "index", "store", "haiku", "group"].contains(&words[0])
                || words[..] == ["publish", "status"]
                || words[0] == "keep" && words[1] != "systems";
            if is_pair { words[..2].join(" ") } else { words[0].to_owned() }
        })
        .collect();
    assert_eq!(told, all_commands(), "every command is in the table");
    let (before, daemon) = (system.of_others(), system.daemon());
    for (words, codes, says) in &table {
        let run = system.run(ANN, words);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(codes.contains(&run.code()) && said.contains(says), "{words:?}: {}: {said}", run.code());
        assert!(!said.contains("Permission denied") || words[0] == "daemon", "{words:?}: {said}");
        assert!(!said.contains("needs no network"), "{words:?}: {said}");
        assert!(
            !said.contains("has not changed") && !said.contains("has trusted no"),
            "{words:?} denies root's record: {said}"
        );
        assert_eq!(system.of_others(), before, "{words:?} changed files of the system: {said}");
        assert_eq!(system.daemon(), daemon, "{words:?}: {said}");
    }
    assert!(!system.world.path("ann/.config/pkgswarm/config.d/lan.toml").exists());
    assert!(!system.world.path("ann/.config/pkgswarm/config.d/shared.toml").exists());
}

#[test]
fn what_root_changes_is_so_for_the_daemon_and_for_every_user_when_the_command_ends() {
    if !can_be_two_users("root and another user who share a daemon") {
        return;
    }
    let Some(system) = SystemOfRoot::new(World::new()) else { return };
    for round in 0..3 {
        let off = system.run(0, &["shared", "off"]);
        assert_eq!((off.code(), &*off.stderr), (0, "no files are offered: sharing is off\n"), "{round}");
        assert_eq!(system.run(ANN, &["shared"]).stderr, "no files are offered: sharing is off\n");
        let on = system.run(0, &["shared", "on"]);
        assert_eq!((on.code(), &*on.stderr), (0, "0 files, offered to every machine on 127.0.0.0/8\n"), "{round}");
    }
    let forget = system.run(0, &["lan", "forget", "127.0.0.0/8"]);
    assert_eq!(forget.code(), 0, "{}", forget.stderr);
    assert!(!system.run(ANN, &["lan", "ls"]).stdout.contains("127.0.0.0/8"));
    assert!(system.run(ANN, &["shared"]).stderr.contains("no trusted network is here"));
    assert!(!system.run(ANN, &["status"]).stdout.contains("127.0.0.0/8"));
    let trust = system.run(0, &["lan", "trust", "127.0.0.0/8"]);
    assert_eq!(trust.code(), 0, "{}", trust.stderr);
    assert!(trust.stderr.contains("daemon: 127.0.0.0/8 on lo, trusted\n"), "{}", trust.stderr);
    assert!(system.run(ANN, &["lan", "ls"]).stdout.contains("127.0.0.0/8  trusted"));
    // Another file wins: that is said, and nothing is left behind.
    let parts = system.world.path("etc/pkgswarm/config.d");
    fs::write(parts.join("zz.toml"), "[lan]\nshare = true\n").unwrap();
    let (files, off) = (system.of_others(), system.run(0, &["shared", "off"]));
    assert_eq!(off.code(), 2, "{}", off.stderr);
    assert!(off.stderr.contains("/etc/pkgswarm/config.d/zz.toml:2"), "{}", off.stderr);
    assert_eq!(system.of_others(), files);
    // A daemon that cannot take it up: the command does not claim that it did.
    fs::write(parts.join("zz.toml"), "[lan]\nport = 0\nnetworks = \"127.0.0.0/8\"\n").unwrap();
    let forget = system.run(0, &["lan", "forget", "127.0.0.0/8"]);
    assert!(forget.code() == 2 && forget.stderr.contains("zz.toml:3"), "{}", forget.stderr);
}

#[test]
fn a_users_own_daemon_is_changed_by_that_user() {
    if !can_be_two_users("a user's own daemon") {
        return;
    }
    let Some(system) = SystemOfRoot::new(World::new()) else { return };
    let own = system.world.path("ann/run");
    fs::create_dir(&own).unwrap();
    chown(&own, Some(ANN), Some(ANN)).unwrap();
    let config = system.world.path("ann/.config/pkgswarm");
    fs::create_dir_all(&config).unwrap();
    let text = format!("[daemon]\nsocket = \"{}/socket\"\n", own.display());
    fs::write(config.join("config.toml"), text).unwrap();
    for dir in ["ann/.config", "ann/.config/pkgswarm", "ann/.config/pkgswarm/config.toml"] {
        chown(system.world.path(dir), Some(ANN), Some(ANN)).unwrap();
    }
    let _daemon = system.start(ANN, &["daemon"]);
    eventually("her daemon answers", || system.run(ANN, &["shared"]).code() == 0);
    let off = system.run(ANN, &["shared", "off"]);
    assert_eq!((off.code(), &*off.stderr), (0, "no files are offered: sharing is off\n"));
    assert_eq!(system.run(ANN, &["shared"]).stderr, "no files are offered: sharing is off\n");
    assert!(config.join("config.d/shared.toml").exists());
    assert!(!system.world.path("etc/pkgswarm/config.d").exists());
}

/// A network of its own with a default router, which answers for its hardware address or not.
fn with_router(answers: bool) -> String {
    let other_end = if answers {
        "rm -f \"$TMPDIR/other\"
         unshare --net sh -c 'echo ready; exec sleep 60' >\"$TMPDIR/other\" 2>/dev/null </dev/null & other=$!
         until grep -q ready \"$TMPDIR/other\"; do :; done
         ip link set v1 netns $other
         nsenter -t $other -n sh -c 'ip link set v1 address 02:00:00:00:00:07 && ip addr add 10.78.0.1/24 dev v1 && ip link set v1 up'"
    } else {
        "ip link set v1 up"
    };
    format!(
        "set -e; ip link set lo up; ip link add v0 type veth peer name v1
         ip addr add 10.78.0.2/24 dev v0; ip link set v0 up
         {other_end}
         until ip -o link show v0 | grep -q 'state UP'; do :; done
         ip route add default via 10.78.0.1"
    )
}

#[test]
fn the_routers_hardware_address_is_found_though_there_was_no_traffic_with_it() {
    let world = World::new();
    let run = |words: &[&str]| world.run_elsewhere(true, &with_router(true), words);
    let Some(trust) = run(&["lan", "trust"]) else { return };
    assert_eq!(trust.code(), 0, "{}", trust.stderr);
    assert!(trust.stderr.contains("trusted: 10.78.0.0/24@02:00:00:00:00:07"), "{}", trust.stderr);
    let text = fs::read_to_string(world.path("config/config.d/lan.toml")).unwrap();
    assert!(text.contains("\"10.78.0.0/24@02:00:00:00:00:07\""), "{text}");
    let listed = run(&["lan", "ls"]).unwrap();
    let line = listed.stdout.lines().next().unwrap_or_default();
    assert_eq!(line, "10.78.0.0/24@02:00:00:00:00:07  trusted  10.78.0.2 on v0", "{}", listed.stdout);
}

#[test]
fn setup_offers_the_daemon_and_the_trust_without_which_it_shares_nothing() {
    let world = World::new().script("systemctl", super::setup::SYSTEMCTL);
    fs::create_dir(world.path("units")).unwrap();
    fs::write(world.path("units/pkgswarm-daemon.service"), "disabled\n").unwrap();
    let words = ["setup", "--dry-run", "--only", "daemon,lan"];
    let Some(shown) = world.run_elsewhere(true, &with_router(true), &words) else { return };
    assert_eq!(shown.code(), 0, "{}", shown.stderr);
    for line in
        ["systemctl enable --now pkgswarm-daemon.service\n", "pkgswarm lan trust 10.78.0.0/24@02:00:00:00:00:07\n"]
    {
        assert!(shown.stdout.contains(line), "{line}: {}", shown.stdout);
    }
    assert!(shown.stderr.ends_with("Nothing was changed. `sudo pkgswarm setup` does it.\n"), "{}", shown.stderr);
    assert!(!world.path("units.log").exists() && !world.path("config/config.d/lan.toml").exists());
}

#[test]
fn a_network_whose_router_does_not_answer_is_trusted_only_by_a_user_who_says_so() {
    let world = World::new();
    let run = |words: &[&str]| world.run_elsewhere(true, &with_router(false), words);
    let Some(asked) = run(&["lan", "trust"]) else { return };
    assert_eq!(asked.code(), 2, "{}", asked.stderr);
    assert!(asked.stderr.contains("its router 10.78.0.1 does not answer"), "{}", asked.stderr);
    assert!(!world.path("config/config.d/lan.toml").exists());
    // One that was trusted by its router stays so, and is told.
    let world = world.config("[lan]\nnetworks = [\"10.78.0.0/24@02:00:00:00:00:07\"]\n");
    let run = |words: &[&str]| world.run_elsewhere(true, &with_router(false), words);
    let listed = run(&["lan", "ls"]).unwrap();
    assert!(listed.stdout.contains("  trusted, the router is not seen now  10.78.0.2 on v0\n"), "{}", listed.stdout);
    let again = run(&["lan", "trust"]).unwrap();
    assert_eq!((again.code(), again.stderr.contains("would be trusted")), (0, false), "{}", again.stderr);
    let forget = run(&["lan", "forget"]).unwrap();
    assert_eq!(forget.code(), 0, "{}", forget.stderr);
    assert!(forget.stderr.contains("not trusted any more: 10.78.0.0/24@02:00:00:00:00:07"), "{}", forget.stderr);
    let yes = run(&["lan", "trust", "--yes"]).unwrap();
    assert!(yes.code() == 0 && yes.stderr.contains("trusted: 10.78.0.0/24"), "{}", yes.stderr);
}

#[test]
fn a_share_that_root_keeps_is_shown_to_an_ordinary_user_and_left_alone() {
    if !can_be_two_users("a share of root's before an ordinary user") {
        return;
    }
    let Some(system) = SystemOfRoot::new(World::new()) else { return };
    let at = |below: &str| system.world.path(below);
    fs::create_dir_all(at("etc/pkgswarm/config.d")).unwrap();
    fs::write(at("etc/pkgswarm/config.d/keep-systems.toml"), "[keep.systems]\nquota = \"1 GB\"\n").unwrap();
    fs::create_dir_all(at("var-lib/pkgswarm/keep/systems")).unwrap();
    let file = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
    let state = serde_json::json!({
        "key": "07".repeat(32), "round": 3, "root": null, "leaving": {}, "missing": {},
        "files": { file: { "size": 5000, "ours": true } },
    });
    fs::write(at("var-lib/pkgswarm/keep/systems/state.json"), state.to_string()).unwrap();
    // Without a state of her own, and with one.
    for own in [false, true] {
        if own {
            fs::create_dir_all(at("ann/.local/share/pkgswarm")).unwrap();
            chown(at("ann/.local/share/pkgswarm"), Some(ANN), Some(ANN)).unwrap();
        }
        let before = system.of_others();
        let ls = system.run(ANN, &["keep", "ls"]);
        assert!(ls.code() == 0 && ls.stdout.contains("systems") && ls.stdout.contains(" 1 "), "{own}: {ls:?}");
        assert!(ls.said.contains("systems: root keeps it; sudo pkgswarm keep status systems"), "{own}: {ls:?}");
        let status = system.run(ANN, &["keep", "status", "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
        assert_eq!((&shown["files"], &shown["system"], &shown["round"]), (&1.into(), &true.into(), &3.into()), "{own}");
        let run = system.run(ANN, &["keep", "run", "--now"]);
        assert!(
            run.code() == 0 && run.said.contains("root keeps it; sudo pkgswarm keep run systems"),
            "{own}: {run:?}"
        );
        for (words, hint) in [
            (&["keep", "run", "systems"][..], "hint: sudo pkgswarm keep run systems"),
            (&["keep", "systems", "--quota", "2G"], "hint: sudo pkgswarm keep systems"),
        ] {
            let run = system.run(ANN, words);
            assert!(run.code() == 2 && run.stderr.contains("root keeps this share"), "{own}: {run:?}");
            assert!(run.stderr.contains(hint), "{own}: {run:?}");
        }
        assert_eq!(system.of_others(), before);
        assert!(!at("ann/.local/share/pkgswarm/keep").exists() && !at("ann/.config/pkgswarm/config.d").exists());
    }
    // The user who makes root's rounds sees nothing of that.
    let ls = system.run(UNPRIVILEGED, &["keep", "ls", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&ls.stdout).unwrap();
    assert_eq!((&shown["files"], &shown["system"]), (&1.into(), &false.into()), "{ls:?}");
}
