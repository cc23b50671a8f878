//! Guests by connections, not by streams: a mirror that speaks HTTP/2 sees one connection with many requests, one that
//! speaks HTTP/1.1 as many connections as there may be, whatever goes wrong on the way.

use std::sync::Arc;
use std::time::Duration;

use pkgswarm::base::env::Env;
use pkgswarm::base::error::ErrorKind;
use pkgswarm::base::name::FileName;
use pkgswarm::config::Settings;
use pkgswarm::engine::deliver::Candidate;
use pkgswarm::engine::want::Want;
use pkgswarm::pacman::gather::{AtOnce, Gathered, gather, into_store};
use pkgswarm::store::Store;
use pkgswarm::store::journal::By;
use pkgswarm::trust::look::FileShape;
use pkgswarm::trust::plan::Known;

use crate::support::tls::{Certificate, FakeTls, Made};
use crate::support::two::{Play, Two};
use crate::support::*;

/// Connections that one mirror may see by HTTP/1.1.
const CONNECTIONS: usize = 3;

/// The most that it may see by HTTP/2: small files over one connection, and those that come one by one.
const MOST: usize = 32 + CONNECTIONS;

/// A machine that trusts one certificate.
struct Scene {
    dir: tempfile::TempDir,
    made: Arc<Made>,
    packages: Vec<Package>,
    clocks: [&'static str; 3],
}

impl Scene {
    fn new(packages: usize) -> Self {
        let packages = (0..packages).map(|i| Package::new(&format!("p{i:02}"), 20_000 + i)).collect();
        let clocks = ["download.connect=60 s", "download.stall=60 s", "download.patience=60 s"];
        Self { dir: tempfile::tempdir().unwrap(), made: Certificate::new().make(), packages, clocks }
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        self.packages.iter().map(Package::file).collect()
    }

    fn two(&self) -> Two {
        Two::serving(&self.files())
    }

    fn want(&self, package: &Package, mirrors: &[&FakeTls]) -> Want {
        let known = Known { size: package.bytes.len() as u64, sha256: package.sha256(), root: None };
        let url = |mirror: &&FakeTls| reqwest::Url::parse(&mirror.url("core", &package.file_name())).unwrap();
        Want {
            name: FileName::new(package.file_name()).unwrap(),
            shape: FileShape::ANY,
            repo: None,
            plan: known.plan(),
            candidates: mirrors.iter().map(|mirror| Candidate::Mirror(url(mirror))).collect(),
            doubt: None,
        }
    }

    /// Fetches all packages from these mirrors.
    fn fetch(&self, mirrors: &[&FakeTls]) -> Vec<Gathered> {
        let mut env = Env::from_process();
        env.vars.clear();
        let bundle = self.dir.path().join("bundle.pem");
        std::fs::write(&bundle, self.made.certificate.pem()).unwrap();
        env.vars.insert("CURL_CA_BUNDLE".to_owned(), bundle.display().to_string());
        env.vars.insert("PKGSWARM_CONFIG_DIR".to_owned(), self.dir.path().join("config").display().to_string());
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let mut set = vec![
            format!("store.dir={}", path("store")),
            format!("state.dir={}", path("state")),
            format!("pacman.conf={}", path("pacman.conf")),
            "kubo.enabled=false".to_owned(),
        ];
        set.extend(self.clocks.map(str::to_owned));
        let settings = Settings::read(&env, &set).unwrap();
        let wants = self.packages.iter().map(|package| self.want(package, mirrors)).collect();
        gather(&env, &settings, By::Prefetch, wants, AtOnce::over(CONNECTIONS), into_store).collect()
    }

    /// Fetches all packages from these mirrors, and finds all of them proven in the store.
    #[track_caller]
    fn fetch_all(&self, mirrors: &[&FakeTls]) -> Vec<Gathered> {
        let gathered = self.fetch(mirrors);
        for file in &gathered {
            assert!(file.result.is_ok(), "{}: {:?}", file.want.name, file.result);
        }
        assert_eq!(gathered.len(), self.packages.len());
        let uid = Env::from_process().uid;
        let store = Store::open(&self.dir.path().join("store"), uid, u64::MAX).unwrap();
        for package in &self.packages {
            assert!(store.find(package.sha256(), package.bytes.len() as u64).is_some(), "{}", package.file_name());
        }
        gathered
    }
}

#[test]
fn a_mirror_with_http_2_sees_one_connection_and_many_requests_at_a_time() {
    let scene = Scene::new(60);
    let two = Arc::new(scene.two().waiting_for(16));
    scene.fetch_all(&[&FakeTls::speaking_two(&two, &scene.made)]);
    assert_eq!((two.connections(), two.requests().len()), (1, 60));
    assert!((16..=MOST).contains(&two.most_open()), "{} at a time", two.most_open());
}

#[test]
fn a_mirror_that_allows_four_streams_sees_four() {
    let scene = Scene::new(40);
    let two = Arc::new(scene.two().with_streams(4).waiting_for(4));
    scene.fetch_all(&[&FakeTls::speaking_two(&two, &scene.made)]);
    assert_eq!((two.connections(), two.requests().len(), two.most_open()), (1, 40, 4));
}

#[test]
fn a_mirror_with_http_1_1_sees_as_many_connections_as_it_may() {
    let scene = Scene::new(40);
    let mirror = FakeMirror::serving(&scene.files());
    scene.fetch_all(&[&FakeTls::before(&mirror, &scene.made)]);
    assert_eq!(mirror.requests().len(), 40);
    assert!(mirror.server().connections() <= CONNECTIONS, "{} connections", mirror.server().connections());
}

#[test]
fn a_mirror_with_http_1_1_and_a_slow_first_answer_sees_no_more_connections() {
    let scene = Scene::new(20);
    let mirror = FakeMirror::serving(&scene.files()).answering_after(Duration::from_millis(600)).times(1);
    scene.fetch_all(&[&FakeTls::before(&mirror, &scene.made)]);
    assert_eq!(mirror.requests().len(), 20);
    assert!(mirror.server().connections() <= CONNECTIONS, "{} connections", mirror.server().connections());
}

#[test]
fn a_connection_that_goes_away_is_replaced_by_one() {
    let scene = Scene::new(60);
    let two = Arc::new(scene.two().going_after(20));
    scene.fetch_all(&[&FakeTls::speaking_two(&two, &scene.made)]);
    assert_eq!(two.connections(), 2);
    let requests = two.requests();
    assert!(requests.len() < 64, "{} requests for 60 files", requests.len());
    assert!(requests.iter().any(|asked| asked.connection == 1));
}

#[test]
fn a_connection_that_goes_away_while_most_requests_wait_for_a_stream_is_replaced_by_one() {
    // With few streams the library has taken nearly all requests, and sends them again by itself.
    let scene = Scene::new(60);
    let two = Arc::new(scene.two().with_streams(4).going_after(6));
    scene.fetch_all(&[&FakeTls::speaking_two(&two, &scene.made)]);
    assert_eq!(two.connections(), 2);
    assert!(two.requests().iter().any(|asked| asked.connection == 1));
}

#[test]
fn a_stream_that_is_reset_goes_on_and_disturbs_no_other() {
    let scene = Scene::new(40);
    let breaks = |file: &str| file.starts_with("p07") || file.starts_with("p31");
    let two = scene.two().playing(move |asked| match asked.from {
        0 if breaks(&asked.file) && asked.number < 40 => Play::Reset(9_000),
        _ => Play::Whole,
    });
    let two = Arc::new(two);
    scene.fetch_all(&[&FakeTls::speaking_two(&two, &scene.made)]);
    assert_eq!(two.connections(), 1);
    let requests = two.requests();
    let others = requests.iter().filter(|asked| !breaks(&asked.file)).count();
    assert_eq!(others, 38, "each of the others is asked for once: {requests:?}");
}

#[test]
fn a_stream_that_was_refused_is_asked_for_again() {
    let scene = Scene::new(40);
    let two = scene.two().playing(|asked| if asked.number % 8 == 5 { Play::Refuse } else { Play::Whole });
    let two = Arc::new(two);
    let gathered = scene.fetch_all(&[&FakeTls::speaking_two(&two, &scene.made)]);
    assert_eq!(two.connections(), 1);
    assert!(two.requests().len() > 40);
    assert!(gathered.iter().all(|file| file.result.is_ok()));
}

#[test]
fn a_mirror_that_asks_for_a_rest_has_it_and_the_next_one_is_not_overrun() {
    let scene = Scene::new(80);
    let two = scene.two().playing(|asked| if asked.number < 6 { Play::Whole } else { Play::Busy("3000") });
    let two = Arc::new(two);
    let mirror = FakeMirror::serving(&scene.files());
    let next = FakeTls::before(&mirror, &scene.made);
    scene.fetch_all(&[&FakeTls::speaking_two(&two, &scene.made), &next]);
    // Those under way when the first one was told.
    let asked = two.requests().len();
    assert!(asked <= 6 + MOST, "{asked} requests");
    assert!(mirror.server().connections() <= CONNECTIONS, "{} connections", mirror.server().connections());
    assert!(mirror.requests().len() >= 80 - asked);
}

#[test]
fn a_lying_mirror_is_refused_by_http_2_as_well() {
    let scene = Scene::new(20);
    let two = scene.two().playing(|asked| if asked.file.starts_with("p1") { Play::Lie } else { Play::Whole });
    let two = Arc::new(two);
    let honest = Arc::new(scene.two());
    let (first, second) = (FakeTls::speaking_two(&two, &scene.made), FakeTls::speaking_two(&honest, &scene.made));
    scene.fetch_all(&[&first, &second]);
    let lied = honest.requests().iter().filter(|asked| asked.file.starts_with("p1")).count();
    assert_eq!((lied, two.connections(), honest.connections()), (10, 1, 1));
}

#[test]
fn a_first_answer_that_does_not_come_holds_up_no_other_file() {
    // After two seconds the next mirror is asked for the first file.
    let scene =
        Scene { clocks: ["download.connect=10 s", "download.stall=60 s", "download.patience=60 s"], ..Scene::new(12) };
    let two = scene.two().playing(|asked| if asked.number == 0 { Play::Silence } else { Play::Whole });
    let (two, next) = (Arc::new(two), Arc::new(scene.two()));
    let (first, second) = (FakeTls::speaking_two(&two, &scene.made), FakeTls::speaking_two(&next, &scene.made));
    scene.fetch_all(&[&first, &second]);
    assert!(two.requests().len() > 6, "{:?}", two.requests());
    let silent = &two.requests()[0].file;
    assert!(next.requests().iter().any(|asked| asked.file == *silent), "{:?}", next.requests());
}

#[test]
fn a_connection_whose_streams_are_all_silent_is_left() {
    let scene =
        Scene { clocks: ["download.connect=60 s", "download.stall=4 s", "download.patience=15 s"], ..Scene::new(8) };
    let two = scene.two().playing(|asked| match (asked.connection, asked.number, asked.from) {
        (0, 1.., 0) => Play::Stall(5_000),
        (0, 1.., _) => Play::Silence,
        _ => Play::Whole,
    });
    let two = Arc::new(two);
    scene.fetch_all(&[&FakeTls::speaking_two(&two, &scene.made)]);
    assert!(two.connections() > 1);
}

#[test]
fn a_mirror_that_is_not_there_fails_for_all_who_waited() {
    let scene = Scene::new(4);
    let gone = FakeTls::before(&FakeMirror::serving(&scene.files()), &Certificate::new().make());
    for file in scene.fetch(&[&gone]) {
        let error = file.result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NoSource, "{error:?}");
        assert!(format!("{error:?}").contains("untrusted"), "{error:?}");
    }
}
