//! The unit that holds a publication as a follower of its cluster. The follower is a stand-in: like the real one, it reads
//! what `--init` names, keeps its state below `IPFS_CLUSTER_PATH`, and ends at once where a socket was left behind
//! (`tests/real_fleet/followers.rs` runs the lines of the unit with the real one).

use std::time::Duration;

use super::real::{Systemd, until};

const UNIT: &str = "pkgswarm-follow@k51name.service";

const STAND_IN: &str = r#"#!/usr/bin/python3
import os, socket, sys, time
name, run, init, url = sys.argv[1:]
assert (run, init, url) == ("run", "--init", f"http://127.0.0.1:8080/ipns/{name}/pkgswarm-follower.json"), sys.argv
home = os.path.join(os.environ["IPFS_CLUSTER_PATH"], name)
os.makedirs(home, exist_ok=True)
door = socket.socket(socket.AF_UNIX)
door.bind(os.path.join(home, "api-socket"))
open(os.path.join(home, "runs"), "a").write("run\n")
time.sleep(3600)
"#;

#[test]
fn a_follower_that_was_killed_is_started_again_in_spite_of_its_stale_socket() {
    let machine = Systemd::boot();
    let write =
        format!("cat >/usr/bin/ipfs-cluster-follow <<'END'\n{STAND_IN}END\nchmod 755 /usr/bin/ipfs-cluster-follow");
    machine.ok(&["sh", "-c", &write]);
    // The wait of a real machine is half a minute.
    machine.ok(&[
        "sh",
        "-c",
        "mkdir -p /run/systemd/system/pkgswarm-follow@.service.d && printf '[Service]\\nRestartSec=100ms\\n' \
                  >/run/systemd/system/pkgswarm-follow@.service.d/soon.conf && systemctl daemon-reload",
    ]);
    machine.ok(&["systemctl", "enable", "--now", UNIT]);
    let home = "/var/lib/pkgswarm-follow/k51name";
    let runs = || machine.run(&["cat", &format!("{home}/runs")]).stdout.lines().count();
    until("it runs", Duration::from_secs(20), || (runs() == 1).then_some(()));
    let user = machine.ok(&["stat", "--format", "%U %a", "/var/lib/pkgswarm-follow"]);
    assert_eq!(user.trim(), "pkgswarm-follow 700");

    let first = machine.property(UNIT, "MainPID");
    machine.ok(&["kill", "-KILL", &first]);
    until("it runs again", Duration::from_secs(20), || (runs() == 2).then_some(()));
    assert_ne!(machine.property(UNIT, "MainPID"), first);
    assert_eq!(machine.property(UNIT, "ActiveState"), "active");
    let restarts = machine.property(UNIT, "NRestarts");
    assert_eq!(restarts, "1", "no attempt failed at the socket that was left");
    let process = machine.ok(&["cat", &format!("/proc/{}/status", machine.property(UNIT, "MainPID"))]);
    assert!(process.contains("CapEff:\t0000000000000000") && process.contains("NoNewPrivs:\t1"), "{process}");
}
