//! The parts of a desktop that a server lacks: NetworkManager on a system bus, and a session bus with a
//! notification daemon. All of it private: buses of the test's own, interfaces in a namespace of its own, a
//! display of its own.

use super::parts::USER;
use super::{Parts, Process, command, give_to_user, run, scratch, until};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// True if one of `programs` is missing, with a loud message.
fn lacks(programs: &[&Path]) -> bool {
    let missing = programs.iter().find(|program| !program.exists());
    if let Some(program) = missing {
        let _ = writeln!(std::io::stderr(), "SKIPPED, NOT PASSED: there is no {}: run tests/parts", program.display());
    }
    missing.is_some()
}

/// A real NetworkManager, which manages one interface `eth0` in a namespace of its own.
pub struct NetworkManager {
    parts: Parts,
    dir: TempDir,
    process: Process,
}

/// Run in namespaces of its own: `$1` is a directory, `$2` the program. NetworkManager writes below /run and
/// /var/lib with any configuration, and waits for udev if it could write to /sys.
const IN_NAMESPACE: &str = "
    mount -t sysfs -o ro none /sys
    for dir in /run/NetworkManager /var/lib/NetworkManager; do mkdir -p $dir; mount -t tmpfs none $dir; done
    ip link set lo up
    ip link add eth0 type veth peer name far
    ip link set far up
    dbus-daemon --config-file=\"$1/bus.conf\" --nofork &
    while [ ! -S \"$1/bus\" ]; do kill -0 $!; sleep 0.01; done
    exec \"$2\" --no-daemon --config \"$1/nm.conf\" --config-dir \"$1/none\" --system-config-dir \"$1/none\" \
        --intern-config \"$1/none.conf\"";

impl NetworkManager {
    /// Starts one; `None`, with a loud message, if it is unavailable.
    pub fn start(parts: &Parts) -> Option<NetworkManager> {
        if lacks(&[&parts.network_manager(), Path::new("/usr/bin/dbus-daemon"), Path::new("/usr/bin/busctl")]) {
            return None;
        }
        let dir = scratch("nm");
        let at = dir.path().display();
        let bus = format!(
            "<busconfig><type>system</type><listen>unix:path={at}/bus</listen><auth>EXTERNAL</auth>\n\
             <policy context=\"default\"><allow send_destination=\"*\"/><allow own=\"*\"/><allow user=\"*\"/>\
             <allow receive_sender=\"*\"/></policy></busconfig>\n"
        );
        fs::write(dir.path().join("bus.conf"), bus).expect("a file");
        let nm = format!(
            "[main]\nplugins=keyfile\ndns=none\nrc-manager=unmanaged\nauth-polkit=false\n\
             [keyfile]\npath={at}/connections\n[logging]\nbackend=stderr\n"
        );
        fs::write(dir.path().join("nm.conf"), nm).expect("a file");
        // It looks up its callers by their process ids, so those must be the same there.
        let mut unshare = command("setpriv");
        unshare.args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "sh", "-euc", IN_NAMESPACE, "sh"]);
        unshare.arg(dir.path()).arg(parts.network_manager());
        let process = Process::start(unshare.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={at}/bus")));
        let mut manager = NetworkManager { parts: parts.clone(), dir, process };
        until("NetworkManager answers", PATIENCE, || {
            assert!(manager.process.runs(), "it ended at its start:\n{}", manager.process.said());
            manager.metered().map(drop)
        });
        Some(manager)
    }

    /// Connects `eth0` by a connection with this `connection.metered`, as set by a user.
    pub fn connect(&self, metered: &str) {
        let nmcli = |words: &[&str]| {
            let mut nmcli = command(self.parts.network_manager().with_file_name("nmcli"));
            run(nmcli.args(words).env("DBUS_SYSTEM_BUS_ADDRESS", self.bus()))
        };
        let address = ["ip4", "10.78.0.2/24", "gw4", "10.78.0.1"];
        let kind = ["con", "add", "type", "ethernet", "ifname", "eth0", "con-name", metered, "connection.metered"];
        nmcli(&[&kind[..], &[metered, "autoconnect", "no"], &address].concat()).ok();
        // It answers before it has listed its interfaces.
        until("eth0 is connected", PATIENCE, || nmcli(&["con", "up", metered]).status.success().then_some(()));
        let before = if metered == "yes" { "u 1" } else { "u 2" };
        until("NetworkManager says so", PATIENCE, || (self.metered()? == before).then_some(()));
    }

    /// Returns the address of its bus.
    pub fn bus(&self) -> String {
        format!("unix:path={}/bus", self.dir.path().display())
    }

    fn metered(&self) -> Option<String> {
        let name = "org.freedesktop.NetworkManager";
        let mut busctl = command("busctl");
        busctl.args(["--system", "get-property", name, "/org/freedesktop/NetworkManager", name, "Metered"]);
        let ran = run(busctl.env("DBUS_SYSTEM_BUS_ADDRESS", self.bus()));
        ran.status.success().then(|| ran.stdout.trim().to_owned())
    }
}

/// The session of a desktop user: dunst shows notifications on an X server that has no screen.
pub struct Desktop {
    dir: TempDir,
    _programs: [Process; 3],
}

impl Desktop {
    /// Starts one; `None`, with a loud message, if its programs are unavailable.
    pub fn start() -> Option<Desktop> {
        if lacks(
            &["dbus-daemon", "busctl", "Xvfb", "dunst", "dunstctl"]
                .map(|name| Path::new("/usr/bin").join(name))
                .each_ref()
                .map(|path| &**path),
        ) {
            return None;
        }
        let dir = scratch("desktop");
        give_to_user(dir.path());
        let at = dir.path().display().to_string();
        let there = |name: &str| {
            let path = dir.path().join(name);
            until(&format!("{name} is there"), PATIENCE, || {
                let found = fs::metadata(&path).ok()?;
                (found.len() > 0 || !found.is_file()).then_some(())
            });
            path
        };
        let address = format!("unix:path={at}/bus");
        let bus = Process::start(as_user().args(["dbus-daemon", "--session", "--nofork", "--address", &address]));
        there("bus");
        // The server takes a free display, and writes its number.
        let script = "exec Xvfb -displayfd 3 -screen 0 640x480x24 -nolisten tcp 3>\"$1/display\"";
        let screen = Process::start(as_user().args(["sh", "-c", script, "sh", &at]));
        let display = fs::read_to_string(there("display")).expect("a display");
        let mut shows = as_user();
        shows.args(["dunst", "-conf", "/dev/null"]).env("DISPLAY", format!(":{}", display.trim()));
        let shows = Process::start(shows.env("DBUS_SESSION_BUS_ADDRESS", &address).env("HOME", &at));
        let desktop = Desktop { dir, _programs: [shows, screen, bus] };
        until("dunst shows notifications", PATIENCE, || {
            let mut dunstctl = desktop.equip(as_user());
            run(dunstctl.args(["dunstctl", "count"])).status.success().then_some(())
        });
        Some(desktop)
    }

    /// Makes the command one of its session.
    pub fn equip(&self, mut command: Command) -> Command {
        let at = self.dir.path().display();
        command.env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={at}/bus")).env("HOME", self.dir.path());
        command
    }

    /// Lists title and text of every notification so far, the oldest first.
    pub fn shown(&self) -> Vec<(String, String)> {
        let dunstctl = |word: &str| run(self.equip(as_user()).args(["dunstctl", word])).ok().stdout;
        dunstctl("close-all");
        let history: serde_json::Value = serde_json::from_str(&dunstctl("history")).expect("JSON");
        let all = history["data"][0].as_array().expect("a list").iter().rev();
        let text = |one: &serde_json::Value, what: &str| one[what]["data"].as_str().expect("text").to_owned();
        all.map(|one| (text(one, "summary"), text(one, "body"))).collect()
    }
}

fn as_user() -> Command {
    let mut command = command("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--init-groups"]);
    command
}
