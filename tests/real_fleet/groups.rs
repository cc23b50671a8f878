//! A closed group of three machines, each with the real programs as the shipped units run them, and a stranger who has the
//! addresses and not the keys.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::real::{ClusterPeer, Kubo, Parts, Process, Ran, command, noise_file, run, scratch, until};

const UNITS: [&str; 2] = ["pkgswarm-group-kubo@.service", "pkgswarm-group@.service"];

/// Returns the first of four ports in a row that are free on this machine, which all members are on; below those from which
/// the kernel takes one for each connection.
fn four_ports() -> String {
    let is_free = |port: u16| TcpListener::bind(("0.0.0.0", port)).is_ok();
    let base = until("four free ports", Duration::from_secs(20), || {
        let random = u16::try_from(RandomState::new().hash_one(0) % 5400).expect("a small number");
        let base = 10_000 + random * 4;
        (base..base + 4).all(is_free).then_some(base)
    });
    base.to_string()
}

/// One machine of a group called lab.
struct Member {
    parts: Parts,
    own: TempDir,
    programs: Vec<Process>,
}

impl Member {
    fn new(parts: &Parts) -> Self {
        Self { parts: parts.clone(), own: scratch("member"), programs: Vec::new() }
    }

    fn place(&self) -> PathBuf {
        self.own.path().join("state-group/lab")
    }

    /// Runs `pkgswarm group`, with the real programs in its PATH.
    fn group(&self, words: &[&str]) -> Ran {
        let mut program = command(env!("CARGO_BIN_EXE_pkgswarm"));
        let tools = self.parts.ipfs().parent().expect("a directory").display().to_string();
        program.env("PATH", format!("{tools}:/usr/sbin:/usr/bin:/sbin:/bin"));
        program.env("PKGSWARM_CONFIG_DIR", self.own.path()).env("PKGSWARM_STATE_DIR", self.own.path().join("state"));
        run(program.arg("group").args(words).current_dir(self.own.path()))
    }

    /// Makes the command of a unit, for this machine's places.
    fn unit(&self, name: &str) -> Command {
        let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/systemd/system").join(name);
        let above = self.own.path().join("state-group").display().to_string();
        let tools = self.parts.ipfs().parent().expect("a directory").display().to_string();
        let unit = fs::read_to_string(unit).expect("the unit").replace("/var/lib/pkgswarm-group", &above);
        let unit = unit.replace("%i", "lab").replace("/usr/bin/ipfs", &format!("{tools}/ipfs"));
        let lines = |key: &'static str| unit.lines().filter_map(move |line| line.strip_prefix(key));
        if let Some(before) = lines("ExecStartPre=").next() {
            run(command("sh").args(["-c", before])).ok();
        }
        let mut words = lines("ExecStart=").next().expect("a program").split(' ');
        let mut program = command(words.next().expect("a program"));
        program.args(words).envs(lines("Environment=").filter_map(|line| line.split_once('=')));
        program
    }

    fn switch_on(&mut self) {
        self.programs = UNITS.map(|unit| Process::start(&mut self.unit(unit))).into();
    }

    fn assert_up(&mut self) {
        for program in &mut self.programs {
            assert!(program.runs(), "it has ended: {}", program.said());
        }
    }

    fn switch_off(&mut self) {
        for program in self.programs.drain(..) {
            program.signal(Signal::TERM);
            program.wait();
        }
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.group(&["status", "lab", "--json"]).stdout).expect("JSON")
    }

    /// Runs the plain `ipfs` on the group's Kubo; with `through` the cluster's proxy, as a user does to pin for all.
    fn ipfs(&self, words: &[&str], through: bool) -> Ran {
        let mut program = command(self.parts.ipfs());
        program.env("IPFS_PATH", self.place().join("ipfs"));
        if through {
            let service = self.file("cluster/service.json");
            let proxy = service["api"]["ipfsproxy"]["listen_multiaddress"].as_str().expect("an address");
            program.args(["--api", proxy]);
        }
        run(program.args(words))
    }

    fn holds(&self, root: &str) -> bool {
        self.ipfs(&["pin", "ls", "--type=recursive", root], false).status.success()
    }

    fn file(&self, below: &str) -> Value {
        serde_json::from_slice(&fs::read(self.place().join(below)).expect("a file of the group")).expect("JSON")
    }

    /// Adds a file that nothing has pinned.
    fn add(&self, name: &str) -> String {
        let file = self.own.path().join(name);
        noise_file(&file, 300_000);
        let path = file.display().to_string();
        self.ipfs(&["add", "--quieter", "--pin=false", "--cid-version=1", &path], false).ok().stdout.trim().to_owned()
    }

    /// Counts the UDP sockets of its programs: a search by multicast, or QUIC, would be one.
    fn udp_sockets(&self) -> usize {
        let tables = ["/proc/net/udp", "/proc/net/udp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
        let inodes: Vec<&str> = tables
            .iter()
            .flat_map(|table| table.lines().skip(1))
            .filter_map(|line| line.split_whitespace().nth(9))
            .collect();
        let of = |program: &Process| {
            let links = fs::read_dir(format!("/proc/{}/fd", program.id())).expect("a process").flatten();
            let targets =
                links.filter_map(|link| fs::read_link(link.path()).ok()).map(|target| target.display().to_string());
            targets.filter(|target| inodes.iter().any(|inode| *target == format!("socket:[{inode}]"))).count()
        };
        self.programs.iter().map(of).sum()
    }
}

/// Waits until all members tell the same list of `pins` roots, all of them held.
fn agree(members: &[&Member], pins: usize) -> String {
    until("they agree", Duration::from_secs(300), || {
        let all: Vec<Value> = members.iter().map(|member| member.status()).collect();
        let is_one = |now: &Value| now["root"] == all[0]["root"] && now["pins"] == pins && now["held"] == pins;
        all.iter().all(is_one).then(|| all[0]["root"].as_str().expect("a root").to_owned())
    })
}

#[test]
fn a_closed_group_of_three_holds_the_same_pins_and_a_stranger_gets_and_sees_nothing() {
    let parts = Parts::demand();
    let [mut first, mut second, mut third] = [(); 3].map(|()| Member::new(&parts));
    let made = first.group(&["init", "--name", "lab", "--at", "127.0.0.1", "--port", &four_ports(), "--yes"]).ok();
    assert!(made.stderr.contains("nothing else on this machine changes"), "{made}");
    let key = first.own.path().join("lab.group");
    assert_eq!(fs::metadata(&key).expect("the group's file").permissions().mode() & 0o777, 0o600);
    let secret = first.file("cluster/service.json")["cluster"]["secret"].as_str().expect("a secret").to_owned();
    assert!(!made.stdout.contains(&secret) && !made.stderr.contains(&secret), "{made}");
    first.switch_on();
    let file = key.display().to_string();
    for member in [&mut second, &mut third] {
        member.group(&["join", &file, "--port", &four_ports(), "--yes"]).ok();
        member.switch_on();
    }
    until("all three meet", Duration::from_secs(300), || {
        let mut all = [&mut first, &mut second, &mut third];
        all.iter_mut().for_each(|member| member.assert_up());
        all.iter().all(|member| member.status()["members"] == 3).then_some(())
    });
    let all = [&first, &second, &third];

    // By the plain `ipfs` on one, and what ipfs-cluster-ctl sends on another.
    let empty = agree(&all, 0);
    let (one, two) = (second.add("one"), third.add("two"));
    second.ipfs(&["pin", "add", &one], true).ok();
    let rest = third.file("cluster/service.json")["api"]["restapi"]["http_listen_multiaddress"]
        .as_str()
        .expect("an address")
        .to_owned();
    let url = format!("http://127.0.0.1:{}/pins/{two}", rest.rsplit('/').next().expect("a port"));
    let asked = ["--silent", "--fail", "--request", "POST", &url];
    run(command("curl").args(asked)).failed();
    let login = third.file("cluster/service.json")["api"]["restapi"]["basic_auth_credentials"]["pkgswarm"].clone();
    let login = format!("pkgswarm:{}", login.as_str().expect("a password"));
    run(command("curl").args(["--user", &login]).args(asked)).ok();
    let both = agree(&all, 2);
    assert!(both != empty && all.iter().all(|member| member.holds(&one) && member.holds(&two)));
    let line = first.group(&["status"]).ok().stdout;
    assert_eq!(line.trim(), format!("lab: 3 members, 2 pins, 2 held here, root {}", &both[..16]));

    // A stranger with the addresses.
    let stranger = Kubo::start(&parts);
    let address = fs::read_to_string(&key).expect("the group's file");
    let address = address
        .lines()
        .find(|line| line.contains("/p2p/"))
        .expect("an address")
        .trim()
        .trim_matches(['"', ','])
        .to_owned();
    stranger.ipfs(&["swarm", "connect", &address]).failed();
    assert!(stranger.peers().is_empty() && !stranger.ipfs(&["block", "stat", "--offline", &one]).status.success());
    let peer = ClusterPeer::without_secret_of(
        &parts,
        &stranger,
        first.file("cluster/identity.json")["id"].as_str().expect("an id"),
        &first.file("cluster/service.json"),
    );
    assert_eq!(peer.ask("GET", "/peers").len(), 1, "he sees himself alone");
    assert_eq!(peer.pins(), []);
    for member in all {
        assert_eq!(member.status()["members"], 3, "and no member sees him");
        assert!(!member.ipfs(&["swarm", "peers"], false).ok().stdout.contains(&stranger.id()));
        assert_eq!(member.udp_sockets(), 0, "nothing is searched for, and nothing announced");
    }

    // What is let go of by one is let go of by all.
    first.ipfs(&["pin", "rm", &one], true).ok();
    agree(&all, 1);
    assert!(all.iter().all(|member| !member.holds(&one) && member.holds(&two)));

    // Without its key a member's Kubo speaks with no one; and a member leaves as a whole.
    let refused = third.group(&["leave", "lab", "--yes"]).failed();
    assert!(refused.stderr.contains("still runs on this machine"), "{refused}");
    third.switch_off();
    fs::remove_file(third.place().join("ipfs/swarm.key")).expect("the key");
    let without = run(&mut third.unit(UNITS[0])).failed();
    assert!(without.stderr.contains("private network"), "{without}");
    third.group(&["leave", "lab", "--yes"]).ok();
    assert!(!third.place().exists());
    assert!(third.group(&["status"]).ok().stderr.is_empty());
}

#[test]
fn a_group_that_cannot_be_made_leaves_nothing_and_a_file_that_others_may_read_is_refused() {
    let parts = Parts::demand();
    let member = Member::new(&parts);
    let bare = |words: &[&str]| {
        let mut program = command(env!("CARGO_BIN_EXE_pkgswarm"));
        program.env("PATH", "/usr/sbin:/sbin").env("PKGSWARM_CONFIG_DIR", member.own.path());
        program.env("PKGSWARM_STATE_DIR", member.own.path().join("state"));
        run(program.arg("group").args(words).current_dir(member.own.path())).failed()
    };
    let without = bare(&["init", "--name", "lab", "--at", "127.0.0.1", "--yes"]);
    assert!(without.stderr.contains("install Kubo"), "{without}");
    let left: Vec<_> =
        fs::read_dir(member.own.path()).expect("a directory").flatten().map(|entry| entry.file_name()).collect();
    assert!(!member.own.path().join("lab.group").exists() && left == ["state-group"], "{left:?}");
    assert_eq!(fs::read_dir(member.own.path().join("state-group")).expect("a directory").count(), 0);

    member.group(&["init", "--name", "lab", "--at", "127.0.0.1", "--yes"]).ok();
    let again = member.group(&["init", "--name", "lab", "--at", "127.0.0.1", "--yes"]).failed();
    assert!(again.stderr.contains("is a group of this machine already"), "{again}");
    let (key, other) = (member.own.path().join("lab.group"), Member::new(&parts));
    let file = key.display().to_string();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("the file is ours");
    let open = other.group(&["join", &file, "--yes"]).failed();
    assert!(open.stderr.contains("others than its owner may open it (mode 0644)"), "{open}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    let asked = other.group(&["join", &file]).failed();
    assert!(asked.stderr.contains("needs confirmation") && !other.place().exists(), "{asked}");

    // What the file says later reaches a member by the same command.
    other.group(&["join", &file, "--yes"]).ok();
    let text = fs::read_to_string(&key).expect("the file");
    let writer = member.file("cluster/identity.json")["id"].as_str().expect("an id").to_owned();
    let named = text.replace("# writers = [\"12D3Koo…\"]", &format!("writers = [\"{writer}\"]"));
    assert_ne!(named, text);
    fs::write(&key, named).expect("the file is ours");
    let changed = other.group(&["join", &file, "--yes"]).ok();
    assert!(changed.stderr.contains(&format!("writers: those of every member -> those of {writer}")), "{changed}");
    assert_eq!(other.file("cluster/service.json")["consensus"]["crdt"]["trusted_peers"], serde_json::json!([writer]));
}
