//! `pkgswarm doctor`: silent if all is well, and each trap is found, and nothing else, when it is set up on
//! purpose.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use pkgswarm::base::users;
use serde_json::{Value, json};

use crate::support::daemon::{Daemon, FakeDaemon};
use crate::support::install::install;
use crate::support::run::Run;
use crate::support::world::{UNPRIVILEGED, binary, can_be_two_users, is_root, listing};
use crate::support::{FakeKubo, FakeMirror, World, dead_address};

/// Returns pacman's download user here: the owner of a world's store.
pub(super) fn user() -> String {
    let uid = if is_root() { UNPRIVILEGED } else { rustix::process::getuid().as_raw() };
    users::name_of(uid)
}

/// Returns a configuration without faults.
fn conf(world: &World) -> String {
    format!(
        "[options]\nRootDir = /\nDBPath = {at}/root/var/lib/pacman/\nCacheDir = {at}/cache/\nDownloadUser = {user}\n\
         XferCommand = {program} xfer %u %o\nSigLevel = PackageRequired\nSigLevel = DatabaseOptional\n\
         [core]\nServer = https://m.example/core\nServer = https://n.example/core\n",
        at = world.base(),
        user = user(),
        program = binary().display(),
    )
}

/// Makes a healthy machine without Kubo, with this pacman, and its configuration changed like this.
pub(super) fn machine(version: &str, change: impl FnOnce(String, &World) -> String) -> World {
    let world = World::new();
    let text = change(conf(&world), &world);
    let world = world.pacman_conf(text.as_bytes()).script("systemctl", "exit 0");
    let socket = world.path("socket").display().to_string();
    world
        .set("PKGSWARM_DAEMON_SOCKET", &socket)
        .script("pacman", &format!("echo ' .--.  Pacman v{version} - libalpm v16.0.0'"))
}

pub(super) fn healthy() -> World {
    machine("7.1.0", |conf, _| conf)
}

/// Makes a Kubo as set up by `pkgswarm setup`, and otherwise as its makers advise.
pub(super) fn well_set_up() -> FakeKubo {
    FakeKubo::empty()
        .configured("/Addresses", json!({"API": "/ip4/127.0.0.1/tcp/5001", "Gateway": "/ip4/127.0.0.1/tcp/8080"}))
        .configured("/Provide/Enabled", json!(false))
        .configured("/Routing", json!({"Type": "autoclient", "DelegatedRouters": []}))
        .configured("/Swarm/ConnMgr", json!({"LowWater": 20, "HighWater": 40}))
        .configured("/Swarm/DisableNatPortMap", json!(true))
        .configured("/Swarm/ResourceMgr/MaxMemory", json!("1GB"))
        .configured("/Discovery/MDNS/Enabled", json!(true))
        .configured("/AutoConf/Enabled", json!(false))
}

/// Lists the checks that found something, with their levels.
pub(super) fn found(run: &Run) -> Vec<(String, String)> {
    let all: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run:?}"));
    let mut names = Vec::new();
    for check in all["checks"].as_array().unwrap() {
        for finding in check["found"].as_array().unwrap() {
            assert!(!finding["says"].as_str().unwrap().is_empty() && !finding["mend"].as_str().unwrap().is_empty());
            names.push((check["check"].as_str().unwrap().to_owned(), finding["level"].as_str().unwrap().to_owned()));
        }
    }
    names
}

/// Asserts that the doctor finds this and nothing else, and that its exit status fits.
#[track_caller]
pub(super) fn finds(world: &World, check: &str, level: &str) {
    let run = world.run(&["doctor", "--json"]);
    assert_eq!(found(&run), [(check.to_owned(), level.to_owned())], "{}", run.stdout);
    assert_eq!(run.code(), i32::from(level != "note"), "{check}: {}", run.stderr);
}

/// Returns what doctor prints but its last line, which counts what was looked at.
pub fn findings(run: &Run) -> String {
    run.stdout.lines().filter(|line| !line.contains(" ok; ")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_healthy_machine_has_no_finding() {
    for world in [healthy(), healthy().kubo(&well_set_up())] {
        let run = world.run(&["doctor", "--notes"]);
        assert_eq!((run.code(), findings(&run).as_str()), (0, ""), "{}", run.stderr);
        assert_eq!(run.stdout.lines().count(), 1, "what was looked at: {}", run.stdout);
        assert!(run.said.ends_with(" checks, nothing to fix\n") && run.said.lines().count() == 1, "{}", run.said);
        assert_eq!(found(&world.run(&["doctor", "--json"])), []);
    }
}

#[test]
fn the_doctor_changes_nothing() {
    let kubo = FakeKubo::empty();
    let world = machine("7.1.0", |conf, _| conf.replace("XferCommand", "#XferCommand")).kubo(&kubo);
    let (text, config) = (fs::read(world.path("pacman.conf")).unwrap(), kubo.config());
    world.run(&["doctor"]);
    assert_eq!((fs::read(world.path("pacman.conf")).unwrap(), kubo.config()), (text, config));
    for dir in ["store", "state", "config", "out", "tmp", "cache"] {
        assert_eq!(listing(&world.path(dir)), [""; 0], "{dir}");
    }
    let set = kubo.api().requests().into_iter().find(|request| request.queries("arg").len() > 1);
    assert!(set.is_none(), "{set:?}");
}

#[test]
fn looking_makes_neither_store_nor_state() {
    let kubo = FakeKubo::empty();
    let world = healthy().kubo(&kubo);
    for dir in ["store", "state"] {
        fs::remove_dir(world.path(dir)).unwrap();
    }
    world.run(&["doctor"]);
    world.run(&["setup", "--dry-run"]);
    assert!(!world.path("store").exists() && !world.path("state").exists());
}

#[test]
fn what_is_found_is_said_with_what_mends_it() {
    let world = machine("7.1.0", |conf, _| conf.replace("%o", "--out=%o"));
    let run = world.run(&["doctor"]);
    assert_eq!(run.code(), 1);
    assert_eq!(
        findings(&run),
        "error: %o is a part of --out=%o in XferCommand; pacman replaces it only as a word [xfer-words]\n  \
         fix: correct it in /etc/pacman.conf: XferCommand = /usr/bin/pkgswarm xfer %u %o\n"
    );
}

#[test]
fn traps_in_pacmans_configuration_are_found() {
    let xfer = |with: &str| {
        let with = with.to_owned();
        machine("7.1.0", move |conf, _| {
            let lines =
                conf.lines().map(|line| if line.starts_with("XferCommand") { with.clone() } else { line.to_owned() });
            lines.collect::<Vec<_>>().join("\n")
        })
    };
    finds(&xfer(""), "xfer-command", "warning");
    finds(&xfer("XferCommand = /usr/bin/curl -o %o %u"), "xfer-command", "warning");
    let program = binary().display();
    finds(&xfer(&format!("XferCommand = {program} xfer %u")), "xfer-words", "error");
    finds(&xfer(&format!("XferCommand = {program} xfer url=%u %o")), "xfer-words", "error");
    finds(&xfer(&format!("XferCommand = {program} fetch %u %o")), "xfer-words", "error");
    finds(&xfer("XferCommand = /opt/gone/pkgswarm xfer %u %o"), "xfer-program", "error");
    finds(
        &xfer(&format!("XferCommand = {program} xfer %u %o\nDisableSandboxFilesystem\nDisableSandboxSyscalls")),
        "sandbox",
        "error",
    );
    finds(&machine("7.1.0", |_, _| "Color\n".to_owned()), "pacman-conf", "error");
    finds(&machine("7.1.0", |conf, _| conf.replace("https://n", "rsync://n")), "servers", "warning");
    finds(&machine("7.1.0", |conf, _| conf.replace("/cache/\n", "/no-cache/\n")), "cache-dirs", "warning");
}

#[test]
fn one_sandbox_switch_alone_is_fine() {
    let world = machine("7.1.0", |conf, _| conf.replace("[core]", "DisableSandboxFilesystem\n[core]"));
    assert_eq!(found(&world.run(&["doctor", "--json"])), []);
}

#[test]
fn traps_of_releases_are_found() {
    let one_server =
        |conf: String, _: &World| conf.replace("Server = https://n.example/core\n", "").replace("DownloadUser", "#");
    let both = |world: &World| {
        found(&world.run(&["doctor", "--json"])).into_iter().map(|(check, _)| check).collect::<Vec<_>>()
    };
    assert_eq!(both(&machine("6.1.0", one_server)), ["pacman-6.1", "database-optional"]);
    finds(&machine("6.0.2", one_server), "pacman-6.0", "warning");
    finds(&machine("7.1.0", one_server), "database-optional", "warning");
    assert_eq!(both(&machine("7.0.0", one_server)), [""; 0], "7.0 takes the empty signature without DownloadUser too");
    let unsigned =
        |conf: String, world: &World| one_server(conf, world).replace("Required", "Never").replace("Optional", "Never");
    for version in ["6.0.2", "6.1.0", "7.0.0", "7.1.0"] {
        assert_eq!(both(&machine(version, unsigned)), [""; 0], "{version}");
    }
}

#[test]
fn a_download_user_that_does_not_exist_is_found() {
    finds(
        &machine("7.1.0", |conf, _| conf.replace(&format!("DownloadUser = {}", user()), "DownloadUser = no-such-user")),
        "download-user",
        "error",
    );
}

#[test]
fn a_program_that_the_download_user_may_not_run_is_found() {
    if !can_be_two_users("a program closed to the download user") {
        return;
    }
    let world = World::new();
    let text = conf(&world).replace(
        &format!("XferCommand = {}", binary().display()),
        &format!("XferCommand = {}/closed/pkgswarm", world.base()),
    );
    let world =
        world.pacman_conf(text.as_bytes()).script("systemctl", "exit 0").script("pacman", "echo 'Pacman v7.1.0'");
    fs::create_dir(world.path("closed")).unwrap();
    install(binary(), &world.path("closed/pkgswarm"));
    // Without the full program it can serve files from the store, and nothing else.
    finds(&world, "xfer-program", "error");
    install(env!("CARGO_BIN_EXE_pkgswarm-full").as_ref(), &world.path("closed/pkgswarm-full"));
    finds_none(&world);
    for closed in ["closed/pkgswarm", "closed/pkgswarm-full"] {
        fs::set_permissions(world.path(closed), Permissions::from_mode(0o750)).unwrap();
        finds(&world, "xfer-program", "error");
        fs::set_permissions(world.path(closed), Permissions::from_mode(0o755)).unwrap();
        finds_none(&world);
    }
}

#[track_caller]
pub(super) fn finds_none(world: &World) {
    let run = world.run(&["doctor", "--json"]);
    assert_eq!(found(&run), [], "{}", run.stdout);
}

#[test]
fn leftover_download_directories_are_found_unless_pacman_runs() {
    let world = healthy();
    fs::create_dir(world.path("cache/download-a1B2c3")).unwrap();
    fs::create_dir(world.path("cache/download-of-mine")).unwrap();
    finds(&world, "leftover-downloads", "note");
    fs::write(world.path("root/var/lib/pacman/db.lck"), "").unwrap();
    finds_none(&world);
}

#[test]
fn databases_that_the_download_user_cannot_read_are_found() {
    if !can_be_two_users("databases closed to the download user") {
        return;
    }
    let world = healthy().sync_database("core", b"a database");
    finds_none(&world);
    fs::set_permissions(world.path("root/var/lib/pacman/sync/core.db"), Permissions::from_mode(0o600)).unwrap();
    finds(&world, "databases-closed", "warning");
}

#[test]
fn a_store_that_is_missing_or_open_or_another_users_is_found() {
    let world = healthy();
    fs::set_permissions(world.path("store"), Permissions::from_mode(0o777)).unwrap();
    finds(&world, "directories", "warning");
    fs::set_permissions(world.path("store"), Permissions::from_mode(0o755)).unwrap();
    finds_none(&world);
    if can_be_two_users("a store of another user") {
        std::os::unix::fs::chown(world.path("state"), Some(12_345), Some(12_345)).unwrap();
        finds(&world, "directories", "warning");
    }
}

#[test]
fn units_that_failed_are_found() {
    let world = healthy().script("systemctl", "echo 'pkgswarm-index.service loaded failed failed Refresh indexes'");
    finds(&world, "units", "warning");
}

#[test]
fn an_index_that_was_never_fetched_or_has_no_key_is_found() {
    let world = healthy().config("[index.a]\nminisign = \"RWQ\"\nurl = \"http://127.0.0.1:9\"\nrepos = [\"core\"]\n");
    finds(&world, "index-key", "error");
    let key = minisign::KeyPair::generate_unencrypted_keypair().unwrap().pk.to_base64();
    let world = healthy()
        .config(&format!("[index.a]\nminisign = \"{key}\"\nurl = \"http://127.0.0.1:9\"\nrepos = [\"core\"]\n"));
    finds(&world, "index-held", "warning");
}

#[test]
fn traps_in_kubos_configuration_are_found() {
    for (check, level, pointer, value) in [
        ("kubo-api-open", "error", "/Addresses/API", json!("/ip4/0.0.0.0/tcp/5001")),
        ("kubo-api-open", "error", "/Addresses/API", json!(["/ip4/127.0.0.1/tcp/5001", "/ip4/192.168.1.2/tcp/5001"])),
        ("kubo-gateway-open", "warning", "/Addresses/Gateway", json!("/ip6/::/tcp/8080")),
        ("kubo-deserialized", "warning", "/Gateway/DeserializedResponses", json!(false)),
        ("kubo-no-fetch", "warning", "/Gateway/NoFetch", json!(true)),
        ("kubo-mdns", "warning", "/Discovery/MDNS/Enabled", json!(false)),
        ("kubo-filters", "warning", "/Swarm/AddrFilters", json!(["/ip4/192.168.0.0/ipcidr/16"])),
        (
            "kubo-start-holepunch",
            "warning",
            "/Swarm",
            json!({"EnableHolePunching": true, "RelayClient": {"Enabled": false}, "DisableNatPortMap": true, "ConnMgr": {"HighWater": 40}, "ResourceMgr": {"MaxMemory": "1GB"}}),
        ),
        ("kubo-announce", "note", "/Provide/Enabled", Value::Null),
        ("kubo-connections", "note", "/Swarm/ConnMgr", json!({})),
        ("kubo-routing", "note", "/Routing/Type", json!("auto")),
        ("kubo-nat", "note", "/Swarm/DisableNatPortMap", json!(false)),
        ("kubo-memory", "note", "/Swarm/ResourceMgr", json!({})),
    ] {
        let kubo = well_set_up().configured(pointer, value);
        finds(&healthy().kubo(&kubo), check, level);
    }
    let kubo = well_set_up().configured("/Provide", json!({"Strategy": "roots", "DHT": {"Interval": "0"}}));
    finds(&healthy().kubo(&kubo), "kubo-start-provide", "warning");
    let keeping = || healthy().config("[keep.arch]\nquota = \"1 GB\"\n");
    finds(&keeping().kubo(&well_set_up()), "kubo-keeps", "warning");
    let kubo = well_set_up().configured("/Provide", json!({"Strategy": "roots"}));
    finds(&keeping().kubo(&kubo), "kubo-keeps", "warning");
    finds_none(&keeping().kubo(&well_set_up().configured("/Provide", json!({"Strategy": "pinned+entities"}))));
    let kubo =
        well_set_up().configured("/AutoConf", json!({})).configured("/Routing/DelegatedRouters", json!(["auto"]));
    finds(&healthy().kubo(&kubo), "kubo-phones-out", "note");
    let kubo = well_set_up().configured("/Addresses/API", json!("/ip4/0.0.0.0/tcp/5001"));
    finds_none(&healthy().kubo(&kubo.configured("/API/Authorizations", json!({"me": {}}))));
}

#[test]
fn traps_of_kubos_releases_are_found() {
    finds(
        &healthy()
            .kubo(&well_set_up().version("0.42.0").configured("/Plugins/Plugins/telemetry/Config/Mode", json!("off"))),
        "kubo-version",
        "note",
    );
    finds(&healthy().kubo(&well_set_up().version("0.36.0")), "kubo-version", "warning");
    let checks = |kubo: FakeKubo| {
        let run = healthy().kubo(&kubo).run(&["doctor", "--json"]);
        found(&run).into_iter().map(|(check, _)| check).collect::<Vec<_>>()
    };
    assert_eq!(checks(well_set_up().version("0.41.0")), ["kubo-version", "kubo-telemetry"]);
    assert_eq!(checks(well_set_up().version("0.43.0")), ["kubo-telemetry"]);
    assert_eq!(checks(well_set_up().version("0.43.1")), [""; 0]);
    let pubsub = || well_set_up().configured("/Ipns/UsePubsub", json!(true));
    assert_eq!(checks(pubsub().version("0.36.0")), ["kubo-version", "kubo-pubsub"]);
    assert_eq!(checks(pubsub()), [""; 0]);
}

#[test]
fn a_kubo_that_is_full_or_alone_is_found() {
    finds(&healthy().kubo(&well_set_up().using(190_000_000_000)), "kubo-storage", "warning");
    finds(&healthy().kubo(&well_set_up().alone()), "kubo-peers", "warning");
}

#[test]
fn a_kubo_that_is_gone_is_found_only_where_there_should_be_one() {
    let gone = |enabled: &str| {
        let address = format!("http://{}", dead_address());
        let world = healthy().set("PKGSWARM_KUBO_ENABLED", enabled);
        world.set("PKGSWARM_KUBO_API", &address).set("PKGSWARM_KUBO_GATEWAY", &address)
    };
    finds(&gone("true"), "kubo-daemon", "warning");
    finds_none(&gone("auto"));
    finds_none(&gone("false"));
    finds(&gone("auto").set("https_proxy", "http://127.0.0.1:9"), "kubo-daemon", "note");
}

#[test]
fn another_program_at_kubos_ports_is_found() {
    let (kubo, other) = (well_set_up(), FakeMirror::serving::<&str, &str>(&[]));
    let elsewhere = format!("http://{}", other.address());
    finds(&healthy().kubo(&kubo).set("PKGSWARM_KUBO_GATEWAY", &elsewhere), "kubo-gateway", "warning");
    finds(&healthy().kubo(&kubo).set("PKGSWARM_KUBO_API", &elsewhere), "kubo-rpc", "warning");
}

#[test]
fn a_daemon_that_does_not_answer_or_trusts_no_network_here_is_found() {
    let with = |manner| {
        let fake = FakeDaemon::holding(&[], manner);
        let world = healthy().set("PKGSWARM_DAEMON_SOCKET", &fake.socket().display().to_string());
        (fake, world)
    };
    let (_idle, world) = with(Daemon::Idle);
    finds(&world, "lan-trust", "note");
    finds(&world.set("PKGSWARM_LAN_NETWORKS", "192.168.1.0/24"), "lan-trust", "note");
    for manner in [Daemon::Silent, Daemon::Babbling] {
        let (_fake, world) = with(manner);
        finds(&world, "lan-daemon", "warning");
    }
    let world = healthy();
    fs::write(world.path("socket"), "where no process listens").unwrap();
    fs::set_permissions(world.path("socket"), Permissions::from_mode(0o666)).unwrap();
    finds_none(&world);
}
