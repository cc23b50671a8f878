//! Setting up with real programs: pacman-conf reads the result of `setup`, Kubo starts with it, systemd accepts
//! the units. Without systemd, the tests that need it are skipped, loudly.

#[path = "support/real/mod.rs"]
mod real;
#[path = "support/shapes.rs"]
mod shapes;

use real::{Kubo, Parts, Ran, command, copy_programs, install, install_script, run, scratch};
use serde_json::Value;
use shapes::{INCLUDED, shapes};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A machine with one release of pacman, and pkgswarm installed.
struct Machine {
    dir: TempDir,
    environment: Vec<(String, String)>,
}

impl Machine {
    fn new(parts: &Parts, release: &str) -> Machine {
        let dir = scratch("machine");
        for name in ["bin", "etc", "cache", "db/sync", "store", "state"] {
            fs::create_dir_all(dir.path().join(name)).expect("a directory");
        }
        for ours in ["store", "state"] {
            chown(dir.path().join(ours), Some(65_534), Some(65_534)).expect("these tests need root");
        }
        let bin = |name: &str| dir.path().join("bin").join(name);
        install(&parts.pacman(release), &bin("pacman"));
        install(&parts.pacman_conf(release), &bin("pacman-conf"));
        copy_programs(&dir.path().join("bin"));
        for (name, text) in INCLUDED {
            fs::write(dir.path().join(name), text).expect("an included file");
        }
        let machine = Machine { dir, environment: Vec::new() };
        let path = format!("{}:{}", machine.path("bin").display(), std::env::var("PATH").unwrap_or_default());
        let at = |name: &str| machine.path(name).display().to_string();
        let variables = [
            ("PATH", path),
            ("PKGSWARM_CONFIG_DIR", at("etc")),
            ("PKGSWARM_STORE_DIR", at("store")),
            ("PKGSWARM_STATE_DIR", at("state")),
            ("PKGSWARM_PACMAN_CONF", at("pacman.conf")),
            ("PKGSWARM_KUBO_ENABLED", "false".to_owned()),
        ];
        variables.into_iter().fold(machine, |machine, (name, value)| machine.set(name, &value))
    }

    fn set(mut self, name: &str, value: &str) -> Machine {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn conf(&self) -> Vec<u8> {
        fs::read(self.path("pacman.conf")).expect("pacman.conf")
    }

    fn write_conf(&self, text: &[u8]) {
        fs::write(self.path("pacman.conf"), text).expect("pacman.conf");
    }

    fn equip(&self, mut command: Command) -> Command {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn pkgswarm(&self, arguments: &[&str]) -> Ran {
        let mut command = self.equip(command(self.path("bin/pkgswarm")));
        run(command.args(arguments))
    }

    fn pacman_conf(&self, directive: &str) -> String {
        let mut command = self.equip(command(self.path("bin/pacman-conf")));
        run(command.arg("--config").arg(self.path("pacman.conf")).arg(directive)).ok().stdout
    }

    /// Lists the doctor's findings.
    fn found(&self) -> BTreeSet<String> {
        found(&self.pkgswarm(&["doctor", "--json"]))
    }
}

/// Lists the checks that found something.
fn found(said: &Ran) -> BTreeSet<String> {
    let all: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{e}\n{said}"));
    let checks = all["checks"].as_array().expect("checks").iter();
    let ill = checks.filter(|check| check["found"].as_array().is_some_and(|found| !found.is_empty()));
    ill.map(|check| check["check"].as_str().expect("a name").to_owned()).collect()
}

const RELEASES: [&str; 2] = ["6.0.2", "7.1.0"];

#[test]
fn shapes_are_understood_by_real_pacman_conf_and_undone_byte_for_byte() {
    let parts = Parts::demand();
    for release in RELEASES {
        let machine = Machine::new(&parts, release);
        let ours = format!("{} xfer %u %o\n", machine.path("bin/pkgswarm").display());
        for (shape, text) in shapes() {
            let at = format!("{}/", machine.dir.path().display());
            let text = String::from_utf8(text.clone()).map_or(text, |text| text.replace("AT/", &at).into_bytes());
            machine.write_conf(&text);
            let servers = machine.pacman_conf("--repo-list");
            machine.pkgswarm(&["setup", "--only", "pacman", "--yes"]).ok();
            assert_eq!(machine.pacman_conf("XferCommand"), ours, "{release}: {shape}");
            assert_eq!(machine.pacman_conf("--repo-list"), servers, "{release}: {shape}");
            machine.pkgswarm(&["setup", "--only", "pacman", "--undo", "--yes"]).ok();
            assert!(machine.conf() == text, "{release}: {shape}");
        }
    }
}

#[test]
fn what_pacman_conf_refuses_is_left_as_it_is() {
    let parts = Parts::demand();
    for release in RELEASES {
        let machine = Machine::new(&parts, release);
        machine.write_conf(b"\xef\xbb\xbf[options]\nColor\n");
        let said = machine.pkgswarm(&["setup", "--only", "pacman", "--yes"]).failed();
        assert!(said.stderr.contains("All directives must belong to a section"), "{said}");
        assert_eq!(machine.conf(), b"\xef\xbb\xbf[options]\nColor\n");
    }
}

#[test]
fn the_doctor_knows_the_traps_of_real_releases_and_is_silent_without() {
    let parts = Parts::demand();
    let conf = |machine: &Machine, more: &str| {
        let at = machine.dir.path().display();
        let text = format!(
            "[options]\nDBPath = {at}/db\nCacheDir = {at}/cache\nGPGDir = {at}/etc\nHookDir = {at}/etc\n\
             XferCommand = {at}/bin/pkgswarm xfer %u %o\n{more}\n[core]\nServer = https://m.example/core\n"
        );
        machine.write_conf(text.as_bytes());
    };
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
    let old = Machine::new(&parts, "6.0.2");
    conf(&old, "SigLevel = Never");
    assert_eq!(old.found(), names(&[]));
    conf(&old, "SigLevel = Required");
    assert_eq!(old.found(), names(&["pacman-6.0"]));
    let new = Machine::new(&parts, "7.1.0");
    conf(&new, "DownloadUser = nobody\nSigLevel = Required DatabaseOptional");
    assert_eq!(new.found(), names(&[]));
    conf(&new, "DownloadUser = nobody\nDisableSandbox\nSigLevel = Never");
    assert_eq!(new.found(), names(&["sandbox"]));
    let refused = new.pkgswarm(&["setup", "--undo", "--yes", "--only", "pacman"]).ok();
    assert!(refused.stderr.contains("has not changed"), "{refused}");
    conf(&new, "SigLevel = Required DatabaseOptional");
    assert_eq!(new.found(), names(&["database-optional"]));
    conf(&new, "SigLevel = Never\nCacheDir = /nonexistent/cache");
    assert_eq!(new.found(), names(&["pacman-conf"]), "7.1 insists on directories");
    conf(&old, "SigLevel = Never\nCacheDir = /nonexistent/cache");
    assert_eq!(old.found(), names(&["cache-dirs"]));
}

#[test]
fn kubo_takes_the_settings_starts_with_them_and_with_what_undo_left() {
    let parts = Parts::demand();
    let mut kubo = Kubo::start(&parts);
    let machine = Machine::new(&parts, "7.1.0");
    machine.write_conf(b"[options]\nSigLevel = Never\n");
    let machine = machine.set("PKGSWARM_KUBO_ENABLED", "true");
    let machine = machine.set("PKGSWARM_KUBO_API", &kubo.api()).set("PKGSWARM_KUBO_GATEWAY", &kubo.gateway());
    let of_setup = ["kubo-announce", "kubo-connections", "kubo-memory"].map(str::to_owned);
    let before = machine.found();
    for note in &of_setup[1..] {
        assert!(before.contains(note), "{note} in {before:?}");
    }
    let setup = |more: &[&str]| machine.pkgswarm(&[&["setup", "--only", "kubo"], more].concat()).ok();
    let config = |kubo: &Kubo| -> Value {
        serde_json::from_slice(&fs::read(kubo.path().join("config")).expect("Kubo's configuration")).expect("JSON")
    };
    let was = config(&kubo);
    let shown = setup(&["--dry-run"]);
    assert!(shown.stdout.contains("Swarm.ConnMgr.HighWater: not set -> 40"), "{shown}");
    assert_eq!(config(&kubo), was, "only shown");
    setup(&["--yes"]);
    assert_eq!(config(&kubo)["Swarm"]["ConnMgr"]["HighWater"], 40);
    kubo.stop();
    kubo.start_again();
    let after = machine.found();
    assert!(of_setup.iter().all(|note| !after.contains(note)), "{after:?}");
    setup(&["--undo", "--yes"]);
    kubo.stop();
    kubo.start_again();
    assert_eq!(without_nulls(config(&kubo)), without_nulls(was), "null is an unset value");
    assert_eq!(machine.found(), before);
}

/// A machine without other processes and networks: a daemon at Kubo's own ports, started with `$3`.
const ALONE: &str = "
    ip link set lo up
    \"$1\" daemon $3 >\"$IPFS_PATH/log\" 2>&1 &
    until grep -q 'Daemon is ready' \"$IPFS_PATH/log\"; do kill -0 $!; sleep 0.05; done
    \"$2\" doctor --json";

#[test]
fn a_kubo_that_collects_no_garbage_is_found() {
    let parts = Parts::demand();
    let machine = Machine::new(&parts, "7.1.0").set("PKGSWARM_KUBO_ENABLED", "true");
    machine.write_conf(b"[options]\nSigLevel = Never\n");
    let repo = machine.path("kubo");
    run(command(parts.ipfs()).args(["init", "--profile=autoconf-off,announce-off"]).env("IPFS_PATH", &repo)).ok();
    for (flag, is_found) in [("", true), ("--enable-gc", false)] {
        let mut alone = machine.equip(command("unshare"));
        alone.args(["--net", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-euc", ALONE, "sh"]);
        alone.arg(parts.ipfs()).arg(machine.path("bin/pkgswarm")).arg(flag).env("IPFS_PATH", &repo);
        let said = run(alone.env("IPFS_TELEMETRY", "off"));
        assert_eq!(found(&said).contains("kubo-gc"), is_found, "{flag}: {said}");
    }
}

/// Removes values that equal absent ones.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().map(|(key, value)| (key, without_nulls(value)));
            Value::Object(kept.filter(|(_, value)| !value.is_null()).collect())
        }
        other => other,
    }
}

/// True if a program of systemd is here; prints loudly if not.
fn has(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok_and(|ran| ran.status.success());
    if !there {
        let _ = writeln!(std::io::stderr(), "SKIPPED, NOT PASSED: there is no {program} here");
    }
    there
}

/// Copies the units of `dist`, of one kind, with a program that exists on this machine.
fn units(into: &Path, kind: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(Path::new("dist/systemd").join(kind)).expect("units") {
        let from = entry.expect("an entry").path();
        let text = fs::read_to_string(&from).expect("a unit");
        let to = into.join(from.file_name().expect("a name"));
        let mut text = text.replace("/usr/bin/pkgswarm", env!("CARGO_BIN_EXE_pkgswarm"));
        // Those of others need not be installed here.
        for other in ["ipfs", "ipfs-cluster-service", "ipfs-cluster-follow"] {
            text = text.replace(&format!("/usr/bin/{other} "), "/usr/bin/true ");
        }
        fs::write(&to, text).expect("a unit");
        paths.push(to);
    }
    paths
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    if !has("systemd-analyze") {
        return;
    }
    let dir = scratch("units");
    let all = units(dir.path(), "system");
    let said = run(command("systemd-analyze").args(["verify", "--man=no"]).args(&all)).ok();
    assert_eq!(said.stderr, "", "{said}");
    for service in all.iter().filter(|path| path.extension().is_some_and(|end| end == "service")) {
        let mut analyze = command("systemd-analyze");
        // The figure in the README, times ten.
        let said = run(analyze.args(["security", "--offline=true", "--threshold=20"]).arg(service));
        said.ok();
    }
}

#[test]
fn every_unit_runs_a_command_that_exists() {
    for entry in fs::read_dir("dist/systemd/system").expect("units") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("a unit");
        for line in text.lines().filter_map(|line| line.strip_prefix("ExecStart=/usr/bin/pkgswarm ")) {
            let mut words: Vec<&str> = line.split(' ').collect();
            words.push("--help");
            run(command(env!("CARGO_BIN_EXE_pkgswarm")).args(&words)).ok();
        }
    }
}

#[test]
fn units_are_enabled_and_disabled_by_the_real_systemctl() {
    if !has("systemctl") {
        return;
    }
    let parts = Parts::demand();
    let machine = Machine::new(&parts, "7.1.0");
    machine.write_conf(b"[options]\nSigLevel = Never\n");
    let root = machine.path("root");
    fs::create_dir_all(root.join("usr/lib/systemd/system")).expect("a directory");
    fs::create_dir_all(root.join("etc/systemd/system")).expect("a directory");
    fs::create_dir_all(root.join("usr/lib/systemd/user")).expect("a directory");
    units(&root.join("usr/lib/systemd/system"), "system");
    units(&root.join("usr/lib/systemd/user"), "user");
    // The real one, on a system that is not running.
    let real = ["/usr/bin/systemctl", "/bin/systemctl"].into_iter().find(|path| Path::new(path).exists());
    let script = format!("#!/bin/sh\nexec {} --root={} \"$@\"\n", real.expect("systemctl"), root.display());
    install_script(&script, &machine.path("bin/systemctl"));
    let wanted = root.join("etc/systemd/system/timers.target.wants/pkgswarm-prefetch.timer");
    machine.pkgswarm(&["setup", "--only", "prefetch", "--yes"]).ok();
    assert!(wanted.is_symlink(), "the timer is wanted by timers.target");
    let again = machine.pkgswarm(&["setup", "--only", "prefetch", "--yes"]).ok();
    assert!(again.stderr.contains("pkgswarm-prefetch.timer is enabled"), "{again}");
    machine.pkgswarm(&["setup", "--only", "prefetch", "--undo", "--yes"]).ok();
    assert!(!wanted.is_symlink(), "and not any more");
    let told = root.join("etc/systemd/user/default.target.wants/pkgswarm-notify.path");
    machine.pkgswarm(&["setup", "--only", "notify", "--yes"]).ok();
    assert!(told.is_symlink(), "the unit is wanted in every user's session");
    machine.pkgswarm(&["setup", "--only", "notify", "--undo", "--yes"]).ok();
    assert!(!told.is_symlink(), "and not any more");
}

#[test]
fn the_scriptlet_undoes_setup_before_the_program_goes() {
    let machine = Machine::new(&Parts::demand(), "7.1.0");
    let text = b"[options]\nSigLevel = Never\n";
    machine.write_conf(text);
    machine.pkgswarm(&["setup", "--only", "pacman", "--yes"]).ok();
    assert_ne!(machine.conf(), text);
    let mut shell = machine.equip(command("bash"));
    run(shell.args(["-ec", ". dist/pkgswarm.install; pre_remove 0.1.0-1"])).ok();
    assert_eq!(machine.conf(), text);
}

#[test]
fn users_and_directories_are_accepted_by_systemd() {
    if !has("systemd-sysusers") || !has("systemd-tmpfiles") {
        return;
    }
    let root = scratch("root");
    for name in ["etc", "usr/lib/sysusers.d", "usr/lib/tmpfiles.d", "var/cache", "var/lib"] {
        fs::create_dir_all(root.path().join(name)).expect("a directory");
    }
    // pacman's package brings alpm on Arch Linux.
    fs::write(root.path().join("usr/lib/sysusers.d/alpm.conf"), "u alpm - \"Arch Linux Package Management\" -\n")
        .expect("a file");
    for kind in ["sysusers.d", "tmpfiles.d"] {
        let from = Path::new("dist").join(kind).join("pkgswarm.conf");
        fs::copy(from, root.path().join("usr/lib").join(kind).join("pkgswarm.conf")).expect("a file of dist");
    }
    let at = |program: &str| {
        let mut command = command(program);
        command.arg(format!("--root={}", root.path().display()));
        command
    };
    let dry = run(at("systemd-sysusers").arg("--dry-run")).ok();
    assert!(dry.stderr.contains("pkgswarm") && !root.path().join("etc/passwd").exists(), "{dry}");
    run(&mut at("systemd-sysusers")).ok();
    let passwd = fs::read_to_string(root.path().join("etc/passwd")).expect("passwd");
    let alpm =
        passwd.lines().find_map(|line| line.strip_prefix("alpm:x:")).expect("alpm").split(':').next().expect("an id");
    run(at("systemd-tmpfiles").arg("--create")).ok();
    for dir in ["var/cache/pkgswarm", "var/lib/pkgswarm"] {
        let found = fs::metadata(root.path().join(dir)).expect("the directory");
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&found).to_string(), alpm, "{dir}");
        assert_eq!(found.permissions().mode() & 0o7777, 0o755, "{dir}");
    }
}
