//! A real ipfs-cluster, by its REST API and its pinning port, as the place where publications are pinned; followers of
//! one; what keepers announce, and a fleet of them.

#[path = "real_fleet/announced.rs"]
mod announced;
#[path = "real_fleet/disturbed.rs"]
mod disturbed;
#[allow(dead_code, reason = "these tests need a part of it")]
#[path = "support/fake_pinning.rs"]
mod fake_pinning;
#[path = "real_fleet/followers.rs"]
mod followers;
#[path = "real_fleet/groups.rs"]
mod groups;
#[path = "real_fleet/keepers.rs"]
mod keepers;
#[path = "support/pins.rs"]
mod pins;
#[path = "support/real/mod.rs"]
mod real;
#[path = "real_fleet/rolls.rs"]
mod rolls;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use fake_pinning::{FakePinning, TOKEN};
use pins::{PinRig, keeps_the_contract, wait, wanted};
use pkgswarm::base::cid::Cid;
use pkgswarm::base::digest::Sha256;
use pkgswarm::net::http::Http;
use pkgswarm::net::pinning::{ApiSecret, ClusterApi, Copies, RemoteApi, ServiceApi};
use pkgswarm::pins::{ClusterPins, PinMark, ReconcileLimits, ServicePins, reconcile};
use real::{
    CLUSTER_USER, ClusterPeer, Host, Kubo, Parts, Pkgbuild, Ran, Repo, command, noise_file, run, scratch, until,
};
use serde_json::Value;
use tempfile::TempDir;

const UNBOUNDED: ReconcileLimits = ReconcileLimits { changes: usize::MAX, time: Duration::from_secs(600) };

fn api(url: &str, secret: ApiSecret) -> RemoteApi {
    RemoteApi::new(url.parse().expect("a URL"), secret, Http::new(Duration::from_secs(5)).loopback().clone())
}

fn by_password() -> ApiSecret {
    ApiSecret::Basic(CLUSTER_USER.0.to_owned(), CLUSTER_USER.1.to_owned())
}

fn cluster_pins(peer: &ClusterPeer, patience: Duration) -> ClusterPins {
    let api = ClusterApi::new(api(&peer.rest(), by_password()));
    ClusterPins { api, copies: None, origins: Vec::new(), patience }
}

/// Adds files to `kubo` that nothing has pinned.
fn roots<const N: usize>(kubo: &Kubo, of: [&str; N]) -> [Cid; N] {
    let dir = scratch("files");
    of.map(|name| {
        let file = dir.path().join(name);
        noise_file(&file, 300_000);
        let cid = kubo.add(&file);
        kubo.ipfs(&["pin", "rm", &cid]).ok();
        cid.parse().expect("a CID")
    })
}

#[test]
fn the_pins_of_a_real_cluster_keep_the_contract() {
    let parts = Parts::demand();
    let kubo = Kubo::start(&parts);
    let peer = ClusterPeer::start(&parts, &kubo);
    let absent = Cid::raw(Sha256::of(b"no peer has this"));
    keeps_the_contract(&PinRig {
        target: &cluster_pins(&peer, Duration::from_secs(60)),
        hasty: &cluster_pins(&peer, Duration::from_millis(300)),
        roots: roots(&kubo, ["a", "b", "c", "d", "e"]),
        absent,
        looks_on: true,
        pin_by_hand: &|cid, name| {
            let path = format!("/pins/{cid}?name={}", name.replace('\'', "%27").replace(' ', "%20"));
            assert_eq!(peer.ask("POST", &path)[0]["cid"], cid.to_string().as_str());
        },
        all: &|| {
            let pins = peer.pins().into_iter().map(|(cid, name)| (cid.parse().expect("a CID"), name));
            pins.filter(|(cid, _)| *cid != absent).collect()
        },
    });
}

#[test]
fn a_root_that_was_pinned_for_one_peer_is_pinned_for_each_once_it_shall_be() {
    let parts = Parts::demand();
    let kubo = Kubo::start(&parts);
    let peer = ClusterPeer::start(&parts, &kubo);
    let [root] = roots(&kubo, ["a"]);
    let mark = PinMark::exactly("pkgswarm:arch");
    let pinned = |copies: Copies| {
        let target = ClusterPins { copies: Some(copies), ..cluster_pins(&peer, Duration::from_secs(60)) };
        let done = wait(reconcile(&[wanted(root, "")], &target, &mark, &UNBOUNDED)).expect("a cluster that lists");
        assert!(done.failed.is_empty() && done.pending.is_empty(), "{done:?}");
        let told = peer.ask("GET", &format!("/allocations/{root}")).remove(0);
        assert_eq!(told["name"], "pkgswarm:arch");
        let both = [&told["replication_factor_min"], &told["replication_factor_max"]].map(|it| it.as_i64());
        (done.added.len(), both)
    };
    assert_eq!(pinned(Copies { least: 1, most: 1 }), (1, [Some(1); 2]));
    assert_eq!(pinned(Copies::EACH), (1, [Some(-1); 2]));
    assert_eq!(pinned(Copies::EACH), (0, [Some(-1); 2]), "and nothing is asked for again");
}

#[test]
fn the_pinning_port_of_a_real_cluster_takes_and_rolls_a_root() {
    let parts = Parts::demand();
    let kubo = Kubo::start(&parts);
    let peer = ClusterPeer::start(&parts, &kubo);
    let [first, second] = roots(&kubo, ["a", "b"]);
    let dir = scratch("book");
    let service = ServiceApi::new(api(&peer.service(), ApiSecret::Bearer(peer.token())));
    let mark = PinMark::exactly("pkgswarm:arch");
    let roll = |root: Cid| {
        let target = ServicePins::open(service.clone(), dir.path().join("book.json")).expect("a book");
        until("it holds the root", Duration::from_secs(60), || {
            let done = wait(reconcile(&[wanted(root, "")], &target, &mark, &UNBOUNDED)).expect("a service that lists");
            assert!(done.failed.is_empty(), "{done:?}");
            (done.pending.is_empty() && done.left == 0).then_some(())
        });
        peer.pins().into_iter().map(|(cid, _)| cid.parse().expect("a CID")).collect::<Vec<Cid>>()
    };
    assert_eq!(roll(first), [first]);
    assert_eq!(roll(second), [second]);
    assert_eq!(roll(second), [second]);
    let stranger = ServiceApi::new(api(&peer.service(), ApiSecret::Bearer("no".to_owned())));
    assert!(wait(stranger.named("x", true)).unwrap_err().to_string().contains("refuses the secret (HTTP 401"));
}

/// A publication of one repository, in a real Kubo.
struct Publication {
    own: TempDir,
    kubo: Kubo,
    repo: Repo,
    host: Vec<String>,
}

impl Publication {
    fn new(parts: &Parts, kubo: Kubo) -> Self {
        let own = scratch("publication");
        let repo = Repo::new(parts, own.path(), "core");
        repo.add(&[Pkgbuild::new("first", "1-1").size(300_000)]);
        fs::create_dir(own.path().join("publish.d")).expect("a directory of ours");
        Self { own, kubo, repo, host: Vec::new() }
    }

    /// Runs it on a host.
    fn on(self, host: &Host) -> Self {
        Self { host: host.prefix().map(str::to_owned).to_vec(), ..self }
    }

    /// Writes its file; `pins` are the places where it is pinned.
    fn describe(&self, pins: &str) {
        let text = format!("[sources]\ndirectories = \"{}\"\n{pins}", self.repo.dir().display());
        fs::write(self.own.path().join("publish.d/arch.toml"), text).expect("a file of ours");
    }

    fn secret(&self, name: &str, text: &str) -> String {
        let path = self.own.path().join(name);
        fs::write(&path, format!("{text}\n")).expect("a file of ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a file of ours");
        path.display().to_string()
    }

    fn run(&self, words: &[&str]) -> Ran {
        let own = [env!("CARGO_BIN_EXE_pkgswarm"), "publish"];
        let line: Vec<&str> = self.host.iter().map(|word| &**word).chain(own).chain(words.iter().copied()).collect();
        let mut program = command(line[0]);
        program.env("PKGSWARM_CONFIG_DIR", self.own.path()).env("PKGSWARM_STATE_DIR", self.own.path().join("state"));
        program.env("PKGSWARM_KUBO_API", self.kubo.api()).env("PKGSWARM_KUBO_GATEWAY", self.kubo.gateway());
        run(program.args(&line[1..]))
    }

    /// Runs it until `peer` holds what it has published alone, and returns the root.
    fn held(&self, peer: &ClusterPeer) -> String {
        until("the cluster holds it", Duration::from_secs(120), || {
            let ran = self.run(&["arch", "--json"]);
            let root = serde_json::from_str::<Value>(&ran.stdout).expect("JSON")["root"].as_str()?.to_owned();
            let is_alone = peer.pins().iter().map(|(cid, _)| cid).eq([&root]);
            let status = self.run(&["status", "arch"]);
            (is_alone && status.stdout.contains("home holds it")).then_some(root)
        })
    }

    /// Runs it, and returns the root that it has published.
    fn root(&self) -> String {
        let ran = self.run(&["arch", "--json"]);
        serde_json::from_str::<Value>(&ran.stdout).expect("JSON")["root"].as_str().expect("a root").to_owned()
    }
}

#[test]
fn a_publication_is_pinned_in_a_cluster_and_at_a_service_and_one_that_is_down_holds_nothing_up() {
    let parts = Parts::demand();
    let kubo = Kubo::start(&parts);
    let (peer, service) = (ClusterPeer::start(&parts, &kubo), FakePinning::start());
    let publication = Publication::new(&parts, kubo);
    let (password, token) = (publication.secret("password", CLUSTER_USER.1), publication.secret("token", TOKEN));
    let places = format!(
        "[pins.home]\ncluster = \"{}\"\nuser = \"{}\"\npassword = \"{password}\"\n[pins.far]\nservice = \"{}\"\ntoken = \
         \"{token}\"\n",
        peer.rest(),
        CLUSTER_USER.0,
        service.url
    );
    publication.describe(&places);
    let first = publication.held(&peer);
    let [(root, name)] = &peer.pins()[..] else { panic!("{:?}", peer.pins()) };
    assert!(*root == first && name.starts_with("pkgswarm:arch k51"), "{name}");
    assert_eq!(service.pins(), [(first.clone(), name.clone(), "pinned")]);
    let origins = service.state().bodies[0]["origins"].clone();
    let own = publication.kubo.id();
    assert!(
        origins.as_array().is_some_and(|list| list.iter().all(|it| it.as_str().unwrap().contains(&own))),
        "{origins}"
    );
    let status = publication.run(&["status", "arch"]).ok();
    assert!(status.stdout.contains("pinned by") && status.stdout.contains("home holds it"), "{status}");

    // The service is slow, and one more place is down.
    let dead = format!("{places}[pins.gone]\ncluster = \"http://127.0.0.1:{}\"\n", real::free_port());
    publication.describe(&dead);
    service.state().is_slow = true;
    publication.repo.add(&[Pkgbuild::new("second", "1-1").size(300_000)]);
    let ran = publication.run(&["arch"]);
    assert!(!ran.status.success() && ran.stderr.contains("pins.gone: 127.0.0.1"), "{ran}");
    assert!(ran.stderr.contains("pins.far: at work; the next run looks"), "{ran}");
    assert!(ran.stderr.contains("the publication itself is in place; the next run asks again"), "{ran}");
    let said: Value = serde_json::from_str(&publication.run(&["status", "arch", "--json"]).stdout).expect("JSON");
    assert_eq!(said["result"], "unheld", "all targets have it: {said}");
    publication.held(&peer);
    let [(second, _)] = &peer.pins()[..] else { panic!("{:?}", peer.pins()) };
    assert_ne!(*second, first);
    let expected = [(first, name.clone(), "pinned"), (second.clone(), name.clone(), "queued")];
    assert_eq!(service.pins(), expected, "the former one stays until the new one is held");
    let status = publication.run(&["status", "arch"]);
    assert!(
        status.stdout.contains("gone does not hold it since") && status.stdout.contains("far at work since"),
        "{status}"
    );

    publication.describe(&places);
    service.finish();
    assert_eq!(publication.root(), *second, "nothing else was published");
    assert_eq!(service.pins(), [(second.clone(), name.clone(), "pinned")]);

    // A place that leaves the file lets go; the other one keeps what it has.
    publication.describe(places.split("[pins.far]").next().expect("a part"));
    let ran = publication.run(&["arch"]).ok();
    assert!(!ran.stderr.contains("pins.far"), "{ran}");
    assert_eq!((service.pins().len(), publication.held(&peer)), (0, second.clone()));
}
