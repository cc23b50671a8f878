//! Many listeners and few transfers in one process. A program of its own, because it looks at its own memory.

#[path = "support/scripted.rs"]
#[allow(dead_code)]
mod scripted;

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use pkgswarm::base::digest::Sha256;
use pkgswarm::base::env::Env;
use pkgswarm::base::error::ErrorKind;
use pkgswarm::base::listener::Unheard;
use pkgswarm::base::name::FileName;
use pkgswarm::config::Settings;
use pkgswarm::engine::deliver::{self, Candidate, Delivery, Obtained, Purpose, Receipt};
use pkgswarm::engine::hub::{self, Hub};
use pkgswarm::engine::race::{Log, Pace, Race, RaceOutcome, RaceSource};
use pkgswarm::engine::source::SourceKind;
use pkgswarm::engine::want::Want;
use pkgswarm::machine::Machine;
use pkgswarm::machine::call::Call;
use pkgswarm::machine::lists::Lists;
use pkgswarm::store::health::record::SourceRecord;
use pkgswarm::trust::look::FileShape;
use pkgswarm::trust::plan::{Expect, Known};
use scripted::{Dice, Fault, Manner, Scripted};
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

/// Bytes of a file.
const SIZE: usize = 8 << 20;

/// Only one test at a time, for the sake of the memory.
static ALONE: Mutex<()> = Mutex::new(());

fn settings(dir: &Path) -> (Env, Settings) {
    let mut env = Env::from_process();
    env.vars.clear();
    env.vars.insert("PKGSWARM_CONFIG_DIR".to_owned(), dir.join("config").display().to_string());
    let set = ["store", "state"].map(|part| format!("{part}.dir={}", dir.join(part).display()));
    let conf = format!("pacman.conf={}", dir.join("pacman.conf").display());
    let set = [&set[..], &[conf, "kubo.enabled=false".to_owned()]].concat();
    let settings = Settings::read(&env, &set).unwrap();
    (env, settings)
}

/// A number of this process, from proc(5), in bytes.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
}

/// A large file, and the want of it.
fn want(dir: &Path, number: usize) -> Want {
    let name = FileName::new(format!("p{number}-1-1-any.pkg.tar.zst")).unwrap();
    let path: PathBuf = dir.join(name.as_str());
    let bytes = Dice::new(number as u64).bytes(SIZE);
    std::fs::write(&path, &bytes).unwrap();
    let known = Known { size: SIZE as u64, sha256: Sha256::of(&bytes), root: None };
    Want {
        name,
        shape: FileShape::ANY,
        repo: None,
        plan: known.plan(),
        candidates: vec![Candidate::File(path)],
        doubt: None,
    }
}

/// The sha256 of a file, which is not read into memory at once.
fn digest(obtained: &Obtained) -> Sha256 {
    pkgswarm::trust::verify::digest(&obtained.file, obtained.accepted.size()).unwrap()
}

#[test]
fn two_hundred_deliveries_of_ten_files_at_once_fetch_each_file_once_in_little_memory() {
    let _alone = ALONE.lock();
    let dir = tempfile::tempdir().unwrap();
    let (env, settings) = settings(dir.path());
    let wants: Vec<Want> = (0..10).map(|number| want(dir.path(), number)).collect();
    let hub = Hub::new(10, CancellationToken::new());
    let before = memory("VmRSS");
    // Two threads ask for every file a hundred times over, each with calls and connections of its own.
    let sent: Vec<u64> = thread::scope(|scope| {
        let threads = [0, 1].map(|_| {
            scope.spawn(|| {
                let machine = Machine::open(&env, &settings, dir.path()).unwrap();
                let all = LocalSet::new();
                let asked: Vec<_> = (0..100)
                    .map(|i| {
                        let (hub, want) = (hub.clone(), wants[i % 10].clone());
                        let mut call = Call::with(Lists::of(&machine), dir.path());
                        all.spawn_local(async move {
                            let got = hub::deliver(&hub, &mut call, want.order(), Purpose::Prefetch).await;
                            let obtained = got.result.unwrap_or_else(|e| panic!("{e}"));
                            let Expect::Exact { sha256, .. } = want.plan.expect else { panic!("it is listed") };
                            assert_eq!(digest(&obtained), sha256);
                            got.receipt.contributions.iter().map(|one| one.bytes).sum::<u64>()
                        })
                    })
                    .collect();
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(all.run_until(async {
                    let mut sent = 0;
                    for one in asked {
                        sent += one.await.unwrap();
                        assert!(hub.count() <= 10);
                    }
                    sent
                }))
            })
        });
        threads.map(|thread| thread.join().unwrap()).to_vec()
    });
    assert_eq!(sent.iter().sum::<u64>(), 10 * SIZE as u64, "each file crossed once");
    assert_eq!(hub.count(), 0);
    let grown = memory("VmHWM").saturating_sub(before);
    assert!(grown < 12 * SIZE as u64, "{grown} bytes more than before, and one of each file would be {}", 10 * SIZE);
}

fn scripted(truth: &Rc<Vec<u8>>) -> Scripted {
    let manner = Manner {
        kind: SourceKind::Mirror,
        latency: Duration::from_millis(20),
        rate: 1_000_000,
        piece: 16 << 10,
        ignores_range: false,
        faults: vec![Fault::None],
    };
    Scripted { name: 0, bytes: Rc::clone(truth), manner, opened: Cell::new(0), sent: Rc::default() }
}

/// Races for `truth` as the duty of a transfer.
async fn fetched(truth: &Rc<Vec<u8>>, sent: &Rc<Cell<u64>>, cancel: &CancellationToken, partial: &File) -> bool {
    let mut source = scripted(truth);
    source.sent = Rc::clone(sent);
    let race = Race {
        sources: vec![RaceSource { source: Box::new(source), record: SourceRecord::default() }],
        shape: FileShape::ANY,
        expect: Expect::Exact { sha256: Sha256::of(truth), size: truth.len() as u64 },
        pace: Pace {
            head_start: Duration::ZERO,
            budget: Duration::ZERO,
            overlap: Duration::from_secs(1),
            stall: Duration::from_secs(5),
            patience: Duration::from_secs(30),
            floor: 10 << 10,
            mirrors: 1,
            least: Pace::LEAST,
            border: Pace::BORDER,
        },
        roots: None,
        newer_than: None,
        not_older_than: None,
        progress: &Unheard,
    };
    let mut log = Log::default();
    let outcome = cancel.run_until_cancelled(race.run(partial, 0, &mut log)).await;
    matches!(outcome, Some(RaceOutcome::Won(_)))
}

#[test]
fn a_transfer_goes_on_for_the_last_listener_and_takes_no_further_byte_without_one() {
    let _alone = ALONE.lock();
    let truth = Rc::new(Dice::new(7).bytes(4_000_000));
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(LocalSet::new().run_until(async {
        for stays in [true, false] {
            let (hub, key) = (Hub::new(1, CancellationToken::new()), Sha256::of(&truth));
            let (first, duty) = hub.join(Some(key)).unwrap();
            let (second, _) = hub.join(Some(key)).unwrap();
            let (sent, duty, truth) = (Rc::new(Cell::new(0)), duty.unwrap(), Rc::clone(&truth));
            let partial = tempfile::tempfile().unwrap();
            let making = tokio::task::spawn_local({
                let (sent, truth, partial) = (Rc::clone(&sent), Rc::clone(&truth), partial.try_clone().unwrap());
                async move {
                    let is_won = fetched(&truth, &sent, duty.cancel(), &partial).await;
                    duty.finish(Delivery { result: Ok(None), receipt: Receipt::default() });
                    is_won
                }
            });
            tokio::time::sleep(Duration::from_secs(2)).await;
            drop(first);
            let at_first = sent.get();
            assert!((1..4_000_000).contains(&at_first), "half-way: {at_first}");
            if stays {
                assert!(second.result().await.is_some());
                assert_eq!(sent.get(), 4_000_000);
                assert!(making.await.unwrap());
                let mut bytes = vec![0; truth.len()];
                partial.read_exact_at(&mut bytes, 0).unwrap();
                assert!(bytes == *truth);
            } else {
                drop(second);
                tokio::time::sleep(Duration::from_secs(3600)).await;
                assert!(!making.await.unwrap());
                assert_eq!(sent.get(), at_first, "bytes after the last listener left");
                assert_eq!(hub.count(), 0);
            }
        }
    }));
}

#[test]
fn a_listener_that_is_cancelled_leaves_the_transfer_to_the_others() {
    let _alone = ALONE.lock();
    let dir = tempfile::tempdir().unwrap();
    let (env, settings) = settings(dir.path());
    let want = want(dir.path(), 1);
    let machine = Machine::open(&env, &settings, dir.path()).unwrap();
    let hub = Hub::new(2, CancellationToken::new());
    let mut calls = [(); 2].map(|()| Call::with(Lists::of(&machine), dir.path()));
    let [one, two] = &mut calls;
    let (order, purpose) = (want.order(), Purpose::Prefetch);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (ticket, duty) = hub.join(hub::key(&order, purpose)).unwrap();
        let duty = duty.expect("no other has asked");
        two.cancel.cancel();
        let left = hub::deliver(&hub, two, order, purpose).await;
        assert_eq!(left.result.unwrap_err().kind, ErrorKind::Interrupted);
        let made = duty.run(one, async |call: &mut Call| deliver::fetch(call, order, purpose).await).await;
        let (result, receipt) = (made.result.map(Some), made.receipt);
        assert!(duty.finish(Delivery { result, receipt }).is_none(), "one listens");
        let obtained = ticket.result().await.unwrap().result.unwrap().unwrap();
        assert_eq!(digest(&obtained), Sha256::of(&Dice::new(1).bytes(SIZE)));
    });
}

#[test]
fn the_duty_of_one_that_vanished_falls_to_a_listener() {
    let _alone = ALONE.lock();
    let dir = tempfile::tempdir().unwrap();
    let (env, settings) = settings(dir.path());
    let want = want(dir.path(), 1);
    let machine = Machine::open(&env, &settings, dir.path()).unwrap();
    let hub = Hub::new(2, CancellationToken::new());
    let mut call = Call::with(Lists::of(&machine), dir.path());
    let (order, purpose) = (want.order(), Purpose::Caller);
    let (_ticket, duty) = hub.join(hub::key(&order, purpose)).unwrap();
    let duty = duty.expect("no other has asked");
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let got = runtime.block_on(async {
        let vanishes = async { drop(duty) };
        tokio::join!(hub::deliver(&hub, &mut call, order, purpose), vanishes).0
    });
    assert_eq!(digest(&got.result.unwrap()), Sha256::of(&Dice::new(1).bytes(SIZE)));
}

#[test]
fn a_prefetch_that_joins_what_a_caller_fetches_has_the_file_in_the_store() {
    let _alone = ALONE.lock();
    for comes_late in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (env, settings) = settings(dir.path());
        let want = want(dir.path(), 1);
        let machine = Machine::open(&env, &settings, dir.path()).unwrap();
        let hub = Hub::new(2, CancellationToken::new());
        let mut calls = [(); 2].map(|()| Call::with(Lists::of(&machine), dir.path()));
        let [one, two] = &mut calls;
        let order = want.order();
        let Expect::Exact { sha256, size } = want.plan.expect else { panic!("it is listed") };
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (fetched, prefetched) = runtime.block_on(async {
            let (ticket, duty) = hub.join(hub::key(&order, Purpose::Caller)).unwrap();
            let duty = duty.expect("no other has asked");
            let joined = async || {
                let joined = async {
                    while ticket.listeners() < 2 {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::time::timeout(Duration::from_secs(60), joined).await.expect("a second listener");
            };
            let fetching = async {
                let making = duty.run(one, async |call: &mut Call| {
                    if !comes_late {
                        joined().await;
                    }
                    let made = deliver::fetch(call, order, Purpose::Caller).await;
                    // A file of this machine's own is not stored a second time.
                    assert_eq!(machine.store.has(sha256, size), !comes_late);
                    joined().await;
                    made
                });
                let Delivery { result, receipt } = making.await;
                duty.finish(Delivery { result: result.map(Some), receipt })
            };
            tokio::join!(fetching, hub::deliver(&hub, two, order, Purpose::Prefetch))
        });
        assert!(fetched.is_none(), "the other one listens");
        assert_eq!(digest(&prefetched.result.unwrap()), sha256);
        assert!(machine.store.has(sha256, size), "late: {comes_late}");
    }
}
