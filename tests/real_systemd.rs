//! The shipped units under a real systemd: the daemon's socket and readiness, its privileges, the timers.

#[path = "real_systemd/endpoint.rs"]
mod endpoint;
#[path = "real_systemd/follow.rs"]
mod follow;
#[path = "support/real/mod.rs"]
mod real;

use real::{Systemd, until};
use std::time::Duration;

const SERVICE: &str = "pkgswarm-daemon.service";
const SOCKET: &str = "pkgswarm-daemon.socket";

/// Returns the daemon's part of `pkgswarm status`, run by an ordinary user.
fn status(machine: &Systemd) -> serde_json::Value {
    let unprivileged = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"];
    let said = machine.ok(&[&unprivileged[..], &["pkgswarm", "status", "--json"]].concat());
    let mut said: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
    said["daemon"].take()
}

#[test]
fn the_daemon_is_ready_when_systemd_says_so_and_ends_in_good_order() {
    let machine = Systemd::boot();
    machine.ok(&["systemctl", "enable", "--now", SERVICE]);
    // Type=notify: the command above has waited for the daemon's notification, so no wait is needed here.
    let said = status(&machine);
    assert_eq!(said["answers"], true, "{said}");
    assert_eq!(said["networks"][0]["network"], "10.78.0.0/24", "{said}");
    assert_eq!(said["networks"][0]["stands"], "trusted", "{said}");
    assert_eq!(machine.property(SERVICE, "ActiveState"), "active");
    assert_eq!(machine.property(SOCKET, "ActiveState"), "active", "it is enabled along with the service");
    machine.ok(&["systemctl", "stop", SERVICE]);
    assert_eq!(
        (&*machine.property(SERVICE, "Result"), &*machine.property(SERVICE, "ExecMainStatus")),
        ("success", "0")
    );
}

#[test]
fn the_first_caller_starts_the_daemon_by_its_socket() {
    let machine = Systemd::boot();
    machine.ok(&["systemctl", "start", SOCKET]);
    assert_eq!(machine.property(SERVICE, "ActiveState"), "inactive");
    // The first request waits in the socket until the daemon takes it, or is given up after a second.
    until("the daemon answers", Duration::from_secs(20), || (status(&machine)["answers"] == true).then_some(()));
    assert_eq!(machine.property(SERVICE, "ActiveState"), "active");
    assert_eq!(machine.ok(&["stat", "--format", "%a", "/run/pkgswarm/socket"]).trim(), "666");
}

#[test]
fn the_daemon_has_no_privileges_and_comes_back_after_a_crash() {
    let machine = Systemd::boot();
    machine.ok(&["systemctl", "start", SERVICE]);
    let first = machine.property(SERVICE, "MainPID");
    let process = machine.ok(&["cat", &format!("/proc/{first}/status")]);
    let field = |name: &str| {
        let line = process.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().unwrap_or_default().to_owned()
    };
    let own = machine.ok(&["id", "--user", "pkgswarm"]);
    assert_eq!(field("Uid:"), own.trim());
    assert_eq!([field("CapEff:"), field("CapBnd:")], ["0000000000000000"; 2]);
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1".to_owned(), "2".to_owned()));
    assert_eq!(machine.ok(&["stat", "--format", "%U", "/var/cache/pkgswarm-daemon/node/key"]).trim(), "pkgswarm");
    let key = status(&machine)["id"].clone();
    machine.ok(&["kill", "-KILL", &first]);
    until("systemd starts it again", Duration::from_secs(20), || {
        let again = machine.property(SERVICE, "MainPID");
        (machine.property(SERVICE, "ActiveState") == "active" && again != first && again != "0").then_some(())
    });
    assert_eq!(status(&machine)["id"], key, "it is the same peer as before");
}

#[test]
fn the_timers_are_listed_and_what_they_start_succeeds() {
    let machine = Systemd::boot();
    let timers = ["pkgswarm-index.timer", "pkgswarm-keep.timer", "pkgswarm-prefetch.timer"];
    machine.ok(&[&["systemctl", "enable", "--now"][..], &timers].concat());
    let listed = machine.ok(&["systemctl", "list-timers", "--no-pager", "--no-legend"]);
    for timer in timers {
        let line = listed.lines().find(|line| line.contains(timer)).unwrap_or_else(|| panic!("{timer}: {listed}"));
        assert!(!line.starts_with('-'), "it has no next time: {line}");
    }
    // Without an index and without a share there is nothing to do, and that is no failure.
    for service in ["pkgswarm-index.service", "pkgswarm-keep.service"] {
        machine.ok(&["systemctl", "start", service]);
        assert_eq!(machine.property(service, "Result"), "success");
    }
    for place in ["/var/cache/pkgswarm", "/var/lib/pkgswarm"] {
        assert_eq!(machine.ok(&["stat", "--format", "%U %a", place]).trim(), "alpm 755", "{place}");
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units_and_little_that_they_may_do() {
    let machine = Systemd::boot();
    let units = machine.ok(&["sh", "-c", "ls /usr/lib/systemd/system/pkgswarm-*"]);
    let units: Vec<&str> = units.lines().collect();
    assert_eq!(units.len(), 15, "{units:?}");
    // Those of others need not be installed here.
    let stand_ins =
        "for name in ipfs ipfs-cluster-service ipfs-cluster-follow; do ln -s true /usr/bin/$name || true; done";
    machine.ok(&["sh", "-c", stand_ins]);
    let verified = machine.run(&[&["systemd-analyze", "verify", "--recursive-errors=no"][..], &units].concat());
    assert!(verified.status.success() && verified.stderr.is_empty(), "{verified}");
    // 0 is the best, 10 the worst; systemd's OK ends at 5.
    for unit in units.iter().filter(|unit| unit.ends_with(".service")) {
        machine.ok(&["systemd-analyze", "security", "--no-pager", "--offline=yes", "--threshold=25", unit]);
    }
}
