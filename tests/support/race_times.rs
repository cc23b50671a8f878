//! The duration of a race, on a simulated clock: the cost of trouble, in the proportions of real transfers.
//!
//! A file of 200 leaves represents one of 200 MiB; leaves, rates and least parts are all smaller by the same
//! factor, so seconds are seconds. `tests/bench` measures the same with real programs.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pkgswarm::base::cid::Cid;
use pkgswarm::base::digest::Sha256;
use pkgswarm::base::miss::Miss;
use pkgswarm::base::name::FileName;
use pkgswarm::config::ProgressMode;
use pkgswarm::dag::proof::Leaves;
use pkgswarm::dag::unixfs::{self, Piece};
use pkgswarm::engine::race::{Log, Pace, Race, RaceOutcome, RaceSource, Roots};
use pkgswarm::engine::source::SourceKind;
use pkgswarm::report::ProgressLine;
use pkgswarm::store::health::Health;
use pkgswarm::store::health::record::SourceRecord;
use pkgswarm::trust::look::FileShape;
use pkgswarm::trust::plan::Expect;

use crate::scripted::{Dice, Fault, Manner, Scripted, ScriptedRoot};

const LEAF: u64 = 4096;
/// The factor by which everything is smaller.
const SCALE: u64 = (1 << 20) / LEAF;
const SIZE: u64 = 200 * LEAF;
/// 10 MB/s.
const RATE: u64 = 10_000_000 / SCALE;
const STALL: Duration = Duration::from_secs(5);

/// Makes a source with these bytes.
fn source(kind: SourceKind, bytes: &Rc<Vec<u8>>, fault: Fault) -> Scripted {
    let latency = Duration::from_millis(30);
    let manner = Manner { kind, latency, rate: RATE, piece: 500, ignores_range: false, faults: vec![fault] };
    Scripted { name: 0, bytes: Rc::clone(bytes), manner, opened: Cell::new(0), sent: Rc::default() }
}

fn leaves(bytes: &[u8]) -> Arc<Leaves> {
    let piece = |leaf: &[u8]| Piece { cid: Cid::raw(Sha256::of(leaf)), size: leaf.len() as u64, tsize: 0 };
    let root = unixfs::file(&bytes.chunks(LEAF as usize).map(piece).collect::<Vec<_>>());
    Arc::new(Leaves::from_root(Cid::dag_pb(Sha256::of(&root)), &root, None).unwrap())
}

/// Runs a race for `truth` that is won: seconds, bytes that were sent beyond the file's size, and the events.
fn won(truth: &Rc<Vec<u8>>, sources: Vec<Scripted>, has_root: bool, mirrors: usize) -> (f64, u64, Log) {
    let (seconds, sent, log, is_won) = end(truth, sources, has_root, mirrors);
    assert!(is_won, "{:?}", log.misses);
    (seconds, sent - truth.len() as u64, log)
}

/// Runs a race for `truth`: seconds, bytes that were sent, the events, and true if it was won.
fn end(truth: &Rc<Vec<u8>>, sources: Vec<Scripted>, has_root: bool, mirrors: usize) -> (f64, u64, Log, bool) {
    let name = FileName::new("a-1-1-any.pkg.tar.zst").unwrap();
    let progress = ProgressLine::new(ProgressMode::Silent, name.as_str(), None);
    let partial = tempfile::tempfile().unwrap();
    let sent: Vec<Rc<Cell<u64>>> = sources.iter().map(|source| Rc::clone(&source.sent)).collect();
    // Mirrors have a record of earlier transfers.
    let known = |kind| SourceRecord { rate: (kind == SourceKind::Mirror).then_some(RATE), ..SourceRecord::default() };
    let racing = |source: Scripted| RaceSource { record: known(source.manner.kind), source: Box::new(source) };
    let root = ScriptedRoot { leaves: Some(leaves(truth)), after: Duration::from_millis(5) };
    let race = Race {
        sources: sources.into_iter().map(racing).collect(),
        shape: FileShape::ANY,
        expect: Expect::Exact { sha256: Sha256::of(truth), size: truth.len() as u64 },
        pace: Pace {
            head_start: Duration::from_millis(300),
            budget: Duration::from_millis(300),
            overlap: Duration::from_secs(1),
            stall: STALL,
            patience: Duration::from_secs(30),
            floor: 10_240 / SCALE,
            mirrors,
            least: Pace::LEAST / SCALE,
            border: LEAF,
        },
        roots: has_root.then(|| Box::new(root) as Box<dyn Roots>),
        newer_than: None,
        not_older_than: None,
        progress: &progress,
    };
    let mut log = Log::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (seconds, outcome) = runtime.block_on(async {
        let begun = tokio::time::Instant::now();
        let outcome = race.run(&partial, 0, &mut log).await;
        (begun.elapsed().as_secs_f64(), outcome)
    });
    drop(race);
    let sent: u64 = sent.iter().map(|sent| sent.get()).sum();
    (seconds, sent, log, matches!(outcome, RaceOutcome::Won(_)))
}

fn truth() -> Rc<Vec<u8>> {
    Rc::new(Dice::new(7).bytes(SIZE as usize))
}

/// Returns the time of one undisturbed mirror.
fn alone(truth: &Rc<Vec<u8>>) -> f64 {
    let (seconds, wasted, _) = won(truth, vec![source(SourceKind::Mirror, truth, Fault::None)], false, 1);
    assert_eq!(wasted, 0);
    seconds
}

#[test]
fn a_mirror_that_dies_in_the_middle_costs_its_silence_and_little_more() {
    let truth = truth();
    for (fault, silence) in [(Fault::Stalls(SIZE / 2), STALL), (Fault::Cut(SIZE / 2, false), Duration::ZERO)] {
        let mirrors = vec![source(SourceKind::Mirror, &truth, fault), source(SourceKind::Mirror, &truth, Fault::None)];
        let (seconds, wasted, _) = won(&truth, mirrors, false, 1);
        let most = 1.05 * alone(&truth) + silence.as_secs_f64();
        assert!(seconds <= most && wasted <= SIZE / 50, "{seconds} s, not {most}; {wasted} bytes wasted");
    }
}

#[test]
fn three_mirrors_are_nearly_three_times_as_fast_as_one() {
    let truth = truth();
    for has_root in [true, false] {
        let mirrors = (0..3).map(|_| source(SourceKind::Mirror, &truth, Fault::None)).collect();
        let (seconds, wasted, _) = won(&truth, mirrors, has_root, 3);
        let ratio = alone(&truth) / seconds;
        assert!(ratio >= 2.7 && wasted <= SIZE / 50, "{ratio} times as fast; {wasted} bytes wasted");
    }
}

#[test]
fn lies_in_one_leaf_of_a_hundred_cost_these_leaves_and_no_new_start() {
    let truth = truth();
    let mut lies = truth.as_ref().clone();
    for leaf in [50, 150] {
        lies[(leaf * LEAF) as usize] ^= 1;
    }
    let lies = Rc::new(lies);
    for mirrors in [1, 2] {
        let both =
            vec![source(SourceKind::Mirror, &lies, Fault::None), source(SourceKind::Mirror, &truth, Fault::None)];
        let (seconds, wasted, log) = won(&truth, both, true, mirrors);
        let most = 1.1 * alone(&truth) + 2.0 * LEAF as f64 / RATE as f64;
        assert!(seconds <= most && wasted <= SIZE / 50, "{seconds} s, not {most}; {wasted} bytes wasted");
        assert_eq!(log.liars, [0]);
    }
}

#[test]
fn a_peer_that_has_nothing_to_give_costs_the_head_start() {
    let truth = truth();
    for fault in [Fault::Hangs, Fault::Stalls(0), Fault::Absent, Fault::Unreachable] {
        let what = format!("{fault:?}");
        let both = vec![source(SourceKind::Kubo, &truth, fault), source(SourceKind::Mirror, &truth, Fault::None)];
        let (seconds, wasted, _) = won(&truth, both, true, 1);
        let cost = seconds - alone(&truth);
        assert!(cost <= 0.31 && wasted == 0, "{what} cost {cost} s; {wasted} bytes wasted");
    }
}

#[test]
fn a_peer_far_slower_than_the_mirror_is_known_to_be_is_helped() {
    let truth = truth();
    let mut peer = source(SourceKind::Kubo, &truth, Fault::None);
    peer.manner.rate = RATE / 10;
    let (seconds, wasted, _) = won(&truth, vec![peer, source(SourceKind::Mirror, &truth, Fault::None)], true, 1);
    let most = 1.2 * alone(&truth) + 1.0;
    assert!(seconds <= most && wasted <= SIZE / 50, "{seconds} s, not {most}; {wasted} bytes wasted");
}

#[test]
fn a_last_source_that_drips_is_given_up_after_patience_wherever_it_begins_to() {
    let truth = truth();
    for each in [1.1, 4.0, 29.0] {
        let fault = Fault::Drips(Duration::from_secs_f64(each));
        let (seconds, _, log, is_won) = end(&truth, vec![source(SourceKind::Mirror, &truth, fault)], false, 1);
        assert!(!is_won && seconds <= 30.1, "a byte every {each} s is waited for {seconds} s");
        assert_eq!(log.misses.len(), 1, "asked once: {:?}", log.misses);
    }
    // Two of them cost their time one after the other, and a good one after them delivers.
    let drips = || source(SourceKind::Mirror, &truth, Fault::Drips(Duration::from_secs(4)));
    let (seconds, ..) = won(&truth, vec![drips(), drips(), source(SourceKind::Mirror, &truth, Fault::None)], false, 1);
    assert!(seconds <= alone(&truth) + 2.0 * STALL.as_secs_f64() + 1.0, "{seconds} s");
}

#[test]
fn a_neighbour_that_is_late_once_loses_that_file_and_not_the_transaction() {
    let (truth, dir) = (truth(), tempfile::tempdir().unwrap());
    let uid = rustix::process::getuid().as_raw();
    let read = || Health::read(dir.path(), "7-1", uid, std::time::UNIX_EPOCH + Duration::from_secs(1000));
    let neighbour = |latency| {
        let mut source = source(SourceKind::Lan, &truth, Fault::None);
        source.manner.latency = Duration::from_millis(latency);
        source
    };
    // Longer than the head start, as on a machine that is busy for a moment; then as usual.
    for (latency, sender) in [(400, 1), (20, 0), (400, 1), (400, 1), (20, 0)] {
        let sources = vec![neighbour(latency), source(SourceKind::Mirror, &truth, Fault::None)];
        let (_, _, log) = won(&truth, sources, false, 1);
        let senders: Vec<usize> = log.heard.iter().filter(|heard| heard.2 == SIZE).map(|heard| heard.0).collect();
        assert_eq!(senders, [sender], "{latency} ms: {:?}", log.misses);
        let mut health = read();
        log.misses.iter().for_each(|(_, miss)| health.missed("lan", miss, true));
        if sender == 0 {
            health.up("lan");
        }
        health.save();
        assert!(!read().is_down("lan"), "{latency} ms: it is asked first again");
    }
    // Late three times in a row, it is asked last; one that is not there is so at once.
    for (latency, is_down) in [(400, false), (400, false), (400, true)] {
        let sources = vec![neighbour(latency), source(SourceKind::Mirror, &truth, Fault::None)];
        let (_, _, log) = won(&truth, sources, false, 1);
        let mut health = read();
        log.misses.iter().for_each(|(_, miss)| health.missed("lan", miss, true));
        health.save();
        assert_eq!(read().is_down("lan"), is_down);
    }
}

#[test]
fn a_slow_source_before_a_liar_is_not_left_alone_with_the_file() {
    let truth = truth();
    let lies: Rc<Vec<u8>> = Rc::new(truth.iter().map(|byte| !byte).collect());
    let mut slow = source(SourceKind::Mirror, &truth, Fault::None);
    // A tenth of what is expected of a source at least.
    (slow.manner.rate, slow.manner.piece) = (4, 4);
    let liar = source(SourceKind::Mirror, &lies, Fault::None);
    let sources = vec![slow, liar, source(SourceKind::Mirror, &truth, Fault::None)];
    let (seconds, _, log) = won(&truth, sources, false, 1);
    let most = 3.2 * alone(&truth) + 2.0 * STALL.as_secs_f64();
    assert!(seconds <= most, "{seconds} s, not {most}: {:?}", log.misses);
    assert_eq!(log.liars, [1]);
    let corrupt = |(_, (_, miss)): &(usize, &(usize, Miss))| matches!(miss, Miss::Corrupt(_));
    let accused = log.misses.iter().enumerate().filter(corrupt);
    let named: Vec<usize> =
        accused.filter(|(position, _)| !log.unattributed.contains(position)).map(|(_, (source, _))| *source).collect();
    assert_eq!(named, [1], "the slow one is honest: {:?}", log.misses);
}
