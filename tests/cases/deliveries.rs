//! Deliveries without a process of their own: many at once, cancelled, with a listener. As a server makes them.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use pkgswarm::base::digest::Sha256;
use pkgswarm::base::env::Env;
use pkgswarm::base::error::ErrorKind;
use pkgswarm::base::listener::Listener;
use pkgswarm::base::name::FileName;
use pkgswarm::config::Settings;
use pkgswarm::engine::deliver::{self, Candidate, Purpose};
use pkgswarm::engine::want::Want;
use pkgswarm::machine::Machine;
use pkgswarm::machine::call::Call;
use pkgswarm::machine::lists::Lists;
use pkgswarm::trust::look::FileShape;
use pkgswarm::trust::plan::Known;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::support::mount::Mounted;
use crate::support::*;

/// A process without pacman, proxies and Kubo, whose store is in `dir`.
pub fn means(dir: &Path) -> (Env, Settings) {
    let mut env = Env::from_process();
    env.vars.clear();
    env.vars.insert("PKGSWARM_CONFIG_DIR".to_owned(), dir.join("config").display().to_string());
    let set = [
        format!("store.dir={}", dir.join("store").display()),
        format!("state.dir={}", dir.join("state").display()),
        format!("pacman.conf={}", dir.join("pacman.conf").display()),
        format!("daemon.socket={}", dir.join("no.sock").display()),
        "kubo.enabled=false".to_owned(),
        "download.patience=60 s".to_owned(),
    ];
    let settings = Settings::read(&env, &set).unwrap();
    (env, settings)
}

/// The package from this mirror alone.
pub fn want(mirror: &FakeMirror, package: &Package) -> Want {
    let known = Known { size: package.bytes.len() as u64, sha256: package.sha256(), root: None };
    let url = reqwest::Url::parse(&mirror.url("core", &package.file_name())).unwrap();
    let name = FileName::new(package.file_name()).unwrap();
    Want {
        name,
        shape: FileShape::ANY,
        repo: None,
        plan: known.plan(),
        candidates: vec![Candidate::Mirror(url)],
        doubt: None,
    }
}

fn call(machine: &Rc<Machine>, dir: &Path) -> Call {
    Call::with(Lists::of(machine), dir)
}

#[test]
fn many_deliveries_at_once_on_one_thread_do_not_disturb_each_other() {
    let packages: Vec<Package> = (0..8).map(|i| Package::new(&format!("p{i}"), 60_000 + i)).collect();
    let mirror = Arc::new(FakeMirror::serving(&packages.iter().map(Package::file).collect::<Vec<_>>()));
    let dir = tempfile::tempdir().unwrap();
    let (env, settings) = means(dir.path());
    let machine = Machine::open(&env, &settings, dir.path()).unwrap();
    let run = LocalSet::new();
    let all: Vec<_> = (0..40)
        .map(|i| {
            let (package, mut call) = (packages[i % packages.len()].clone(), call(&machine, dir.path()));
            let want = want(&mirror, &package);
            run.spawn_local(async move {
                let purpose = if i % 3 == 0 { Purpose::ReadAhead } else { Purpose::Caller };
                let got = deliver::fetch(&mut call, want.order(), purpose).await;
                let got = got.result.unwrap_or_else(|e| panic!("{e}"));
                let mut bytes = vec![0; package.bytes.len()];
                std::os::unix::fs::FileExt::read_exact_at(&got.file, &mut bytes, 0).unwrap();
                assert!(bytes == package.bytes, "{}", package.file_name());
            })
        })
        .collect();
    Builder::new_current_thread().enable_all().build().unwrap().block_on(run.run_until(async {
        for one in all {
            one.await.unwrap();
        }
    }));
    assert_eq!(mirror.requests().len(), packages.len(), "the others waited for the one that fetched");
}

#[derive(Default)]
struct Heard {
    files: RefCell<Vec<String>>,
    /// `grows` and `begins`, in their order.
    steps: RefCell<Vec<&'static str>>,
    bytes: Cell<u64>,
    ended: Cell<usize>,
}

impl Listener for Heard {
    fn grows(&self, _partial: &File) {
        self.steps.borrow_mut().push("grows");
    }

    fn begins(&self, name: &str, size: Option<u64>) {
        self.steps.borrow_mut().push("begins");
        self.files.borrow_mut().push(format!("{name} {}", size.unwrap_or(0)));
    }

    fn arrived(&self, bytes: u64, _from: &str) {
        self.bytes.set(bytes);
    }

    fn ends(&self) {
        self.ended.set(self.ended.get() + 1);
    }
}

#[test]
fn a_cancelled_delivery_ends_at_once_tells_what_came_and_keeps_it() {
    let big = Package::new("big", 3_000_000);
    let mirror = FakeMirror::serving(&[big.file()]).stall_after(500_000);
    let dir = tempfile::tempdir().unwrap();
    let (env, settings) = means(dir.path());
    let machine = Machine::open(&env, &settings, dir.path()).unwrap();
    let heard = Rc::new(Heard::default());
    let mut call = call(&machine, dir.path()).telling(Rc::clone(&heard) as Rc<dyn Listener>);
    let (want, cancel) = (want(&mirror, &big), call.cancel.clone());
    let got = Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let enough = async {
            while heard.bytes.get() < 500_000 {
                tokio::task::yield_now().await;
            }
            cancel.cancel();
        };
        tokio::join!(deliver::fetch(&mut call, want.order(), Purpose::Caller), enough).0
    });
    assert_eq!(got.result.unwrap_err().kind, ErrorKind::Interrupted);
    assert_eq!(got.receipt.contributions.iter().map(|one| one.bytes).sum::<u64>(), 500_000);
    assert_eq!(*heard.files.borrow(), [format!("{} {}", big.file_name(), big.bytes.len())]);
    assert_eq!(heard.ended.get(), 1);
    assert_eq!(machine.store.arriving(), [(big.sha256(), 500_000)], "it is kept");
    assert!(!call.health.is_interrupted(), "the user has said nothing");
}

#[test]
fn a_store_that_cannot_be_used_is_a_warning_in_the_receipt() {
    let zlib = Package::new("zlib", 70_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let dir = tempfile::tempdir().unwrap();
    let (env, settings) = means(dir.path());
    let machine = Machine::open(&env, &settings, dir.path()).unwrap();
    let mut call = call(&machine, dir.path());
    std::fs::remove_dir_all(dir.path().join("store/lock")).unwrap();
    std::fs::write(dir.path().join("store/lock"), "").unwrap();
    let want = want(&mirror, &zlib);
    let delivering = deliver::fetch(&mut call, want.order(), Purpose::Caller);
    let got = Builder::new_current_thread().enable_all().build().unwrap().block_on(delivering);
    got.result.unwrap();
    let [warning] = &got.receipt.warnings[..] else { panic!("{:?}", got.receipt.warnings) };
    assert!(warning.contains("going on without a lasting store"), "{warning}");
}

#[test]
fn a_second_race_into_the_same_partial_takes_back_what_the_first_told() {
    let big = Package::new("big", 3 << 20);
    let mirror = FakeMirror::serving(&[big.file()]);
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("store/files");
    fs::create_dir(dir.path().join("store")).unwrap();
    let Some(_disk) = Mounted::on(&dir.path().join("store"), "size=6656k,mode=0700") else { return };
    fs::create_dir(&files).unwrap();
    // Files of earlier runs, which make room once the disk is full.
    for i in 0..2_u8 {
        let old = vec![i; 2 << 20];
        let sha256 = Sha256::of(&old).to_string();
        fs::write(files.join(&sha256), &old).unwrap();
        fs::write(files.join(format!("{sha256}.name")), format!("old{i}-1-1-any.pkg.tar.zst\nlasting\nm.example\n"))
            .unwrap();
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        File::options().write(true).open(files.join(&sha256)).unwrap().set_modified(long_ago).unwrap();
    }
    let (env, settings) = means(dir.path());
    let machine = Machine::open(&env, &settings, dir.path()).unwrap();
    let heard = Rc::new(Heard::default());
    let mut call = call(&machine, dir.path()).telling(Rc::clone(&heard) as Rc<dyn Listener>);
    let want = want(&mirror, &big);
    let delivering = deliver::fetch(&mut call, want.order(), Purpose::Caller);
    let got = Builder::new_current_thread().enable_all().build().unwrap().block_on(delivering);
    got.result.unwrap();
    let steps = heard.steps.borrow();
    assert!(steps.len() >= 4, "one race had room enough: {steps:?}");
    assert!(steps.chunks(2).all(|pair| pair == ["grows", "begins"]), "{steps:?}");
}
