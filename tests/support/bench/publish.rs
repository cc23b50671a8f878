//! A publication that follows a mirror: the cost of a run with nothing new, and of one with a hundred new packages.

use std::cell::Cell;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;

use super::door::asked;
use super::measure::{BenchRun, Outcome, time};
use crate::real::{Host, Lan, Mirror, Parts, Pkgbuild, Repo, Swarm, Trusted, scratch};

const KIB: u64 = 1 << 10;

/// Packages that stay as they are.
const OLD: u32 = 3000;

/// Packages that change.
const NEW: u32 = 100;

/// Most bytes of requests and answers, headers included, of a run with nothing new.
const QUIET: u64 = 2000;

/// A mirror that speaks https, and a publisher on another host that follows it.
struct Followed {
    tree: TempDir,
    repo: Repo,
    mirror: Mirror,
    swarm: Swarm,
    client: Host,
    server: Host,
    _trusted: Trusted,
    _lan: Lan,
}

impl Followed {
    fn new() -> Followed {
        let (parts, lan, tree) = (Parts::demand(), Lan::new(), scratch("tree"));
        let (client, server) = (lan.host(), lan.host());
        let repo = Repo::new(&parts, tree.path(), "core");
        let trusted = Trusted::by(&client, &server);
        let mirror = Mirror::serve_tls_on(&server, tree.path(), &trusted);
        let swarm = Swarm::install().on(&client);
        let etc = swarm.program().with_file_name("etc");
        let secret = etc.join("secret");
        let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("a key pair");
        fs::write(&secret, pair.sk.to_box(None).expect("a key file").to_string()).expect("a key file");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("a file of ours");
        fs::create_dir(etc.join("publish.d")).expect("a directory");
        let text = format!(
            "content = \"none\"\n[keys]\nminisign = \"{}\"\n[targets]\nkubo = false\nout = \"{}\"\n\
             [sources]\nmirrors = [\"{}/$repo\"]\nrepos = \"core\"\n",
            secret.display(),
            swarm.program().with_file_name("plain").display(),
            mirror.url(),
        );
        fs::write(etc.join("publish.d/bench.toml"), text).expect("a file of ours");
        Followed { tree, repo, mirror, swarm, client, server, _trusted: trusted, _lan: lan }
    }

    /// Has the mirror list these packages, as of so many seconds after the beginning of 2025.
    fn change(&self, packages: &[Pkgbuild], at: u64) {
        self.repo.add_noise(packages);
        for package in packages {
            let signature = self.repo.dir().join(format!("{}.sig", package.file_name()));
            if !signature.exists() {
                fs::write(signature, signature_of(&package.file_name())).expect("a file of ours");
            }
        }
        let at = 1_735_689_600 + at;
        let lastupdate = self.tree.path().join("lastupdate");
        fs::write(&lastupdate, format!("{at}\n")).expect("a file of ours");
        for path in [lastupdate, self.repo.dir().join("core.db")] {
            let file = fs::File::options().append(true).open(path).expect("a file of ours");
            file.set_modified(UNIX_EPOCH + Duration::from_secs(at)).expect("a date");
        }
    }

    /// Runs the publication, and returns the seconds that it took and what it did.
    fn publish(&self) -> (f64, Value) {
        let said = self.swarm.run(&["publish", "bench", "--json"]).ok();
        (said.took.as_secs_f64(), serde_json::from_str(&said.stdout).expect("JSON"))
    }
}

/// Measures seconds of a run that finds nothing new, against curl asking the mirror for the same.
pub fn idle(run: &BenchRun) -> Vec<Outcome> {
    let followed = Followed::new();
    followed.change(&packages(0..OLD, 1, |_| KIB), 0);
    assert_eq!(followed.publish().1["did"], "published");
    let ours = || {
        let before = followed.mirror.http_bytes();
        let (took, said) = followed.publish();
        assert_eq!(said["did"], "unchanged", "{said}");
        let bytes = followed.mirror.http_bytes() - before;
        assert!(bytes <= QUIET, "{bytes} bytes of HTTP");
        took
    };
    let lastupdate = followed.tree.path().join("lastupdate");
    let theirs = || {
        let mut curl = followed.client.command("/usr/bin/curl");
        curl.args(["-s", "-f", "-z"]).arg(&lastupdate).arg(format!("{}/lastupdate", followed.mirror.url()));
        time(&mut curl).0.as_secs_f64()
    };
    run.pairs(ours, theirs)
}

/// Measures seconds of a run with a hundred new packages over a link of 100 Mbit/s, against curl fetching the same
/// files and the database, five at a time.
pub fn hundred(run: &BenchRun) -> Vec<Outcome> {
    let followed = Followed::new();
    let sizes = |number: u32| (64.0 * 64_f64.powf(f64::from(number) / f64::from(NEW - 1))) as u64 * KIB;
    let of_round = |round| packages(0..NEW, round, sizes);
    let listed = |round| [of_round(round), packages(NEW..OLD, 1, |_| KIB)].concat();
    followed.change(&listed(1), 0);
    assert_eq!(followed.publish().1["did"], "published");
    followed.server.throttle(12_500_000);
    let round = Cell::new(1);
    let names = || of_round(round.get()).iter().map(Pkgbuild::file_name).collect::<Vec<_>>();
    let ours = || {
        names().iter().for_each(|name| remove(&followed.repo.dir().join(name)));
        round.set(round.get() + 1);
        followed.change(&listed(round.get()), u64::from(round.get()) * 60);
        let before = asked(&followed.mirror);
        let (took, said) = followed.publish();
        assert_eq!(said["did"], "published", "{said}");
        assert_eq!(asked(&followed.mirror) - before, NEW as usize, "packages asked for");
        took
    };
    let theirs = || {
        let into = scratch("got");
        let url = format!("{}/core", followed.mirror.url());
        let mut curl = followed.client.command("/usr/bin/curl");
        curl.args(["-s", "-f", "-Z", "--parallel-max", "5", "--remote-name-all"]).current_dir(into.path());
        curl.arg(format!("{url}/core.db"));
        curl.args(names().iter().flat_map(|name| [format!("{url}/{name}"), format!("{url}/{name}.sig")]));
        let took = time(&mut curl).0.as_secs_f64();
        assert_eq!(fs::read_dir(into.path()).expect("a directory").count(), 2 * NEW as usize + 1);
        took
    };
    run.pairs(ours, theirs)
}

fn packages(numbers: Range<u32>, version: u32, size: impl Fn(u32) -> u64) -> Vec<Pkgbuild> {
    let one = |number| Pkgbuild::new(&format!("package{number:05}"), &format!("{version}-1")).size(size(number));
    numbers.map(one).collect()
}

fn remove(package: &Path) {
    let _ = fs::remove_file(package);
    let _ = fs::remove_file(format!("{}.sig", package.display()));
}

/// Makes a detached OpenPGP v4 signature packet by a key that does not exist (RFC 4880, section 5.2.3).
fn signature_of(seed: &str) -> Vec<u8> {
    let mut body = vec![4, 0, 1, 10, 0, 6, 5, 2, 0x68, 0x3d, 0x77, 0xe0, 0, 10, 9, 16];
    let noise: Vec<u8> = seed.bytes().cycle().take(10).collect();
    body.extend(noise);
    body.extend([0x08, 0x00, 0x80]);
    body.extend(seed.bytes().cycle().take(255));
    let mut packet = vec![0x89];
    packet.extend((body.len() as u16).to_be_bytes());
    packet.extend(body);
    packet
}
