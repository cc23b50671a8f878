//! The daemon: bytes over the uplink, the rate from machine to machine, and the cost of an idle one.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use pkgswarm::dag::build::build;

use super::measure::{BenchRun, Figures, Outcome, time};
use crate::real::{
    Host, Kubo, Lan, Mirror, PacmanRoot, Parts, Pkgbuild, Release, Repo, Routing, Scene, Swarm, command, give_to_user,
    run, scratch,
};

const MIB: u64 = 1 << 20;

/// Measures bytes of packages over the uplink: of three machines, and of one.
pub fn uplink() -> Vec<Outcome> {
    let sizes = [4 << 10, 300 << 10, MIB + 1, 9 * MIB, 30 * MIB];
    let names: Vec<String> = (0..sizes.len()).map(|i| format!("package{i}")).collect();
    let packages: Vec<Pkgbuild> =
        names.iter().zip(sizes).map(|(name, size)| Pkgbuild::new(name, "1-1").size(size)).collect();
    let scene = Scene::new(&packages, 3);
    for machine in &scene.machines {
        machine.daemon.meets(2);
    }
    let words: Vec<&str> = std::iter::once("-Syu").chain(names.iter().map(String::as_str)).collect();
    let mut after = Vec::new();
    for machine in &scene.machines {
        machine.pacman.run(&words).ok();
        machine.daemon.offers(packages.len());
        after.push(scene.uplink() as f64 / 1e6);
    }
    vec![Ok(Figures::once(after[2], after[0]))]
}

/// Measures MB/s of a file of 200 MiB from daemon to daemon.
struct Transfer {
    scene: Scene,
    file: String,
}

impl Transfer {
    fn new() -> Transfer {
        let package = Pkgbuild::new("big", "1-1").size(200 * MIB);
        let file = package.file_name();
        let scene = Scene::new(&[package], 2);
        scene.machines[0].pacman.run(&["-Syu", "big"]).ok();
        scene.machines[0].daemon.offers(1);
        scene.machines[1].pacman.run(&["-Sy"]).ok();
        scene.machines[1].daemon.meets(1);
        Transfer { scene, file }
    }

    fn ours(&self) -> f64 {
        let wants = &self.scene.machines[1];
        wants.daemon.forget();
        wants.swarm.forget();
        let into = scratch("got");
        give_to_user(into.path());
        let output = into.path().join("file").display().to_string();
        let mut fetch = wants.swarm.command_as_user(&["fetch", &self.file, "--source", "lan", "-o", &output]);
        fetch.env("PKGSWARM_PACMAN_CONF", wants.pacman.config());
        fetch.env("PATH", format!("{}:/usr/bin:/bin", wants.pacman.bin().display()));
        speed(time(&mut fetch).0)
    }
}

fn speed(took: Duration) -> f64 {
    200.0 * MIB as f64 / 1e6 / took.as_secs_f64()
}

/// Measures a link of 1 Gbit/s, against curl from nginx over the same one.
pub fn shaped(run: &BenchRun) -> Vec<Outcome> {
    let transfer = Transfer::new();
    let (has, wants) = (&transfer.scene.machines[0], &transfer.scene.machines[1]);
    let server = Mirror::serve_on(&has.host, &has.pacman.cache(), "");
    has.host.throttle(125_000_000);
    let url = format!("{}/{}", server.url(), transfer.file);
    let theirs = || {
        let into = scratch("got");
        let mut curl = wants.host.command("/usr/bin/curl");
        speed(time(curl.args(["-s", "-f", "-o"]).arg(into.path().join("file")).arg(&url)).0)
    };
    run.pairs(|| transfer.ours(), theirs)
}

/// Measures a link without a limit, against Kubo to Kubo over the same kind of link.
pub fn unshaped(run: &BenchRun) -> Vec<Outcome> {
    let transfer = Transfer::new();
    let scene = &transfer.scene;
    let (from, to) = (scene.lan.host(), scene.lan.host());
    let has = Kubo::start_on(&scene.parts, &from, Routing::None);
    let wants = Kubo::start_on(&scene.parts, &to, Routing::None);
    wants.meets(&has);
    let cid = has.add(&scene.repo.dir().join(&transfer.file));
    let theirs = || {
        wants.ipfs(&["repo", "gc", "--quiet"]).ok();
        let into = scratch("got");
        let output = into.path().join("file").display().to_string();
        let begun = Instant::now();
        wants.ipfs(&["get", &cid, "-o", &output]).ok();
        speed(begun.elapsed())
    };
    // Only one of the two has it in Kubo: ours must come from a daemon.
    run.pairs(|| transfer.ours(), theirs)
}

/// Measures resident megabytes of an idle daemon with 2,000 packages of 10 MiB, and of a Kubo beside it that has
/// nothing.
pub fn idle() -> Vec<Outcome> {
    const COUNT: u64 = 2000;
    let (parts, tree) = (Parts::demand(), scratch("tree"));
    let lan = Lan::new();
    let (host, beside) = (lan.host(), lan.host());
    let repo = Repo::new(&parts, tree.path(), "core");
    let swarm = Swarm::install().on(&host).sharing("core", "any");
    let pacman = PacmanRoot::new(&parts, Release::New, &swarm.xfer_command()).repo(&repo, &["http://10.77.0.250/core"]);
    let mut database = tar::Builder::new(Vec::new());
    for number in 0..COUNT {
        let name = format!("package{number}-1-1-any.pkg.tar.zst");
        sparse(&pacman.cache().join(&name), number);
        let built = build(fs::File::open(pacman.cache().join(&name)).expect("a file")).expect("its CID");
        let desc = format!(
            "%FILENAME%\n{name}\n\n%NAME%\npackage{number}\n\n%VERSION%\n1-1\n\n%CSIZE%\n{}\n\n%SHA256SUM%\n{}\n\n",
            built.size, built.sha256
        );
        let mut header = tar::Header::new_ustar();
        header.set_size(desc.len() as u64);
        header.set_mode(0o644);
        database.append_data(&mut header, format!("package{number}-1-1/desc"), desc.as_bytes()).expect("an entry");
    }
    let bytes = database.into_inner().expect("a database");
    fs::create_dir_all(pacman.db().join("sync")).expect("a directory");
    fs::File::create(pacman.db().join("sync/core.db")).and_then(|mut file| file.write_all(&bytes)).expect("a database");
    let daemon = swarm.daemon(&pacman);
    daemon.offers_within(usize::try_from(COUNT).expect("a number"), Duration::from_secs(170));
    let kubo = Kubo::start_on(&parts, &beside, Routing::None);
    daemon.meets(1);
    let (received, busy) = (host_bytes(&host), busy(daemon.id()));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_secs(1));
    }
    let rate = (host_bytes(&host) - received) as f64 / 30.0;
    let busy = (super::node::busy(daemon.id()) - busy) as f64 / 30.0;
    let (ours, theirs) = (resident(daemon.id()), resident(kubo.process_id()));
    eprintln!("node-idle: {rate:.0} B/s on its link, {:.2} % of a processor, {ours:.1} MB resident", busy);
    assert!(rate <= 2000.0, "{rate} B/s of idle traffic");
    vec![Ok(Figures::once(ours, theirs))]
}

/// Makes a file of 10 MiB with one distinct block in each MiB, which takes 40 KiB of the disk.
fn sparse(path: &Path, number: u64) {
    let file = fs::File::create(path).expect("a file");
    file.set_len(10 * MIB).expect("its length");
    for leaf in 0..10u64 {
        file.write_all_at(&(number * 10 + leaf + 1).to_be_bytes(), leaf * MIB).expect("its bytes");
    }
}

fn resident(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its size");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1024.0 / 1e6
}

/// Returns the clock ticks (hundredths of a second) that a process has used.
fn busy(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("a process");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    fields[11].parse::<u64>().expect("user time") + fields[12].parse::<u64>().expect("system time")
}

/// Returns the bytes over a host's link, in both directions.
fn host_bytes(host: &Host) -> u64 {
    let read = |name: &str| {
        let path = format!("/sys/class/net/eth0/statistics/{name}");
        // The namespace's own view of the directory: `ip netns exec` mounts it.
        let said = run(command("ip").args(["netns", "exec", host.name(), "cat", &path])).ok().stdout;
        said.trim().parse::<u64>().expect("a number")
    };
    read("rx_bytes") + read("tx_bytes")
}
