//! The entries that the ledger keeps, and those removed when it is over its limit.

use std::fs;

use super::*;
use crate::base::digest::Sha256;
use crate::net::kubo::script::{Script, ScriptedAnswer, ok};

const LONG: Duration = Duration::from_secs(60);

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn cid(n: u8) -> Cid {
    Cid::raw(Sha256::of(&[n]))
}

fn ledger() -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::at(dir.path());
    (dir, ledger)
}

/// Kubo's answer for a CID without a pin.
const NOT: &str = r#"{"Message":"path 'x' is not pinned","Code":0,"Type":"error"}"#;

/// Scripts a daemon with nothing pinned, and an MFS of these nodes, the root first. Then it answers by these
/// rules.
fn with_mfs(nodes: &[Vec<u8>], mut rules: Vec<(String, ScriptedAnswer)>) -> Script {
    let cids: Vec<Cid> = nodes.iter().map(|node| Cid::dag_pb(Sha256::of(node))).collect();
    for (cid, node) in cids.iter().zip(nodes) {
        rules.push((format!("block/get?arg={cid}&offline=true"), ok(node.clone())));
    }
    rules.push(("files/stat".to_owned(), ok(format!(r#"{{"Hash":"{}","Type":"directory"}}"#, cids[0]))));
    rules.push(("pin/ls".to_owned(), ScriptedAnswer::Status(500, NOT.into())));
    rules.push(("block/rm".to_owned(), ok(r#"{"Hash":"x"}"#)));
    let absent = r#"{"Message":"block was not found locally (offline): ipld: could not find x"}"#;
    rules.push(("block/get".to_owned(), ScriptedAnswer::Status(500, absent.into())));
    Script::answering(rules)
}

fn empty_mfs(rules: Vec<(&str, ScriptedAnswer)>) -> Script {
    with_mfs(&[unixfs::directory([])], rules.into_iter().map(|(part, answer)| (part.to_owned(), answer)).collect())
}

/// Encodes a directory with `cid` in it.
fn directory_of(cid: Cid) -> Vec<u8> {
    unixfs::directory([unixfs::DagLink { cid: cid.into(), name: b"kept", tsize: 1 }])
}

/// Scripts a daemon with nothing pinned that removes every block it is told to.
fn removing() -> Script {
    empty_mfs(vec![])
}

fn removed(script: &Script) -> Vec<String> {
    let asked = script.asked().into_iter().map(|asked| asked.line).filter(|line| line.contains("block/rm"));
    asked.map(|line| line.split("arg=").nth(1).unwrap().split([' ', '&']).next().unwrap().to_owned()).collect()
}

#[test]
fn the_oldest_files_go_first_until_the_rest_fits() {
    let (_dir, ledger) = ledger();
    for (n, time) in [(1, 30), (2, 10), (3, 20), (2, 40)] {
        ledger.note(cid(n), 100, time).unwrap();
    }
    let script = removing();
    let done = run(ledger.trim(&script.kubo(), 150, LONG)).unwrap();
    assert_eq!(done, Trimmed { files: 2, bytes: 200, left: 100 });
    // File 2 was fetched again and is the youngest.
    assert_eq!(removed(&script), [cid(3).to_string(), cid(1).to_string()]);
    assert_eq!(ledger.total().unwrap(), 100);
    assert_eq!(run(ledger.trim(&script.kubo(), 150, LONG)).unwrap(), Trimmed { left: 100, ..Default::default() });
}

#[test]
fn pinned_files_stay_and_do_not_count() {
    let (_dir, ledger) = ledger();
    ledger.note(cid(1), 100, 1).unwrap();
    ledger.note(cid(2), 100, 2).unwrap();
    let script = Script::answering(vec![("pin/ls", ok("{}"))]);
    let done = run(ledger.trim(&script.kubo(), 100, LONG)).unwrap();
    assert_eq!((done, ledger.total().unwrap()), (Trimmed { left: 100, ..Default::default() }, 200));
    assert!(removed(&script).is_empty());
}

#[test]
fn files_below_a_pinned_directory_stay() {
    let (_dir, ledger) = ledger();
    ledger.note(cid(1), 100, 1).unwrap();
    let script = empty_mfs(vec![("block/rm", ok(r#"{"Hash":"x","Error":"pinned via bafy"}"#))]);
    run(ledger.trim(&script.kubo(), 0, LONG)).unwrap();
    assert_eq!(ledger.total().unwrap(), 100);
}

#[test]
fn what_the_user_keeps_in_mfs_stays() {
    let (_dir, ledger) = ledger();
    ledger.note(cid(1), 100, 1).unwrap();
    ledger.note(cid(2), 100, 2).unwrap();
    // A directory in the root contains it, and the root's other entries are not on this disk.
    let below = unixfs::directory([
        unixfs::DagLink { cid: Cid::dag_pb(Sha256::of(b"elsewhere")).into(), name: b"a", tsize: 1 },
        unixfs::DagLink { cid: cid(1).into(), name: b"kept", tsize: 1 },
    ]);
    let script = with_mfs(&[directory_of(Cid::dag_pb(Sha256::of(&below))), below], vec![]);
    let done = run(ledger.trim(&script.kubo(), 0, LONG)).unwrap();
    assert_eq!(done, Trimmed { files: 1, bytes: 100, left: 0 });
    assert_eq!((removed(&script), ledger.total().unwrap()), (vec![cid(2).to_string()], 100));
}

#[test]
fn a_leaf_that_a_file_in_mfs_has_as_well_stays() {
    let (_dir, ledger) = ledger();
    let piece = |n| unixfs::Piece { cid: cid(n), size: 1, tsize: 1 };
    let (ours, theirs) = (unixfs::file(&[piece(1), piece(2)]), unixfs::file(&[piece(2), piece(3)]));
    let root = Cid::dag_pb(Sha256::of(&ours));
    ledger.note(root, 2, 1).unwrap();
    let there = [directory_of(Cid::dag_pb(Sha256::of(&theirs))), theirs];
    let script = with_mfs(&there, vec![(format!("block/get?arg={root}"), ok(ours))]);
    assert_eq!(run(ledger.trim(&script.kubo(), 0, LONG)).unwrap().files, 1);
    let line = script.asked().pop().unwrap().line;
    let named = [1, 2].map(|n| line.contains(&cid(n).to_string()));
    assert_eq!((named, line.contains(&root.to_string())), ([true, false], true), "{line}");
}

#[test]
fn what_mfs_reaches_by_way_of_a_foreign_node_stays() {
    let (_dir, ledger) = ledger();
    ledger.note(cid(1), 100, 1).unwrap();
    let foreign = "bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae";
    let root = unixfs::tests::linking_to(foreign);
    let there = format!(r#"{{"a":[{{"b":{{"/":"{}"}}}},{{"/":{{"bytes":"AA"}}}}]}}"#, cid(1));
    let script = with_mfs(&[root], vec![(format!("dag/get?arg={foreign}"), ok(there))]);
    assert_eq!(run(ledger.trim(&script.kubo(), 0, LONG)).unwrap().files, 0);
    assert!(removed(&script).is_empty());
}

#[test]
fn nothing_is_removed_where_mfs_cannot_be_looked_through() {
    let (_dir, ledger) = ledger();
    ledger.note(cid(1), 100, 1).unwrap();
    let refused = || ScriptedAnswer::Status(500, br#"{"Message":"disk on fire"}"#.into());
    let root = Cid::dag_pb(Sha256::of(&unixfs::directory([])));
    for rules in [
        vec![("files/stat", refused())],
        vec![("files/stat", ok(r#"{"Hash":"nonsense"}"#))],
        vec![(&*format!("block/get?arg={root}"), refused())],
        vec![(&*format!("block/get?arg={root}"), ok("another block"))],
    ] {
        let script = empty_mfs(rules);
        assert!(matches!(run(ledger.trim(&script.kubo(), 0, LONG)), Err(PinError::Kubo(_))));
        assert_eq!((removed(&script).len(), ledger.total().unwrap()), (0, 100));
    }
}

#[test]
fn mfs_is_asked_for_again_before_each_removal() {
    let (_dir, ledger) = ledger();
    ledger.note(cid(1), 100, 1).unwrap();
    ledger.note(cid(2), 100, 2).unwrap();
    let script = removing();
    assert_eq!(run(ledger.trim(&script.kubo(), 0, LONG)).unwrap().files, 2);
    let calls = ["files/stat", "block/rm"];
    let asked = script.asked().into_iter().filter_map(|asked| calls.into_iter().find(|c| asked.line.contains(c)));
    assert_eq!(asked.collect::<Vec<_>>(), ["files/stat", "block/rm", "files/stat", "block/rm"]);
}

#[test]
fn leaves_are_removed_before_the_root_that_lists_them() {
    let (_dir, ledger) = ledger();
    let piece = |n| unixfs::Piece { cid: cid(n), size: 1, tsize: 1 };
    let block = unixfs::file(&[piece(1), piece(2)]);
    let root = Cid::dag_pb(Sha256::of(&block));
    ledger.note(root, 2, 1).unwrap();
    let script = with_mfs(&[unixfs::directory([])], vec![(format!("block/get?arg={root}"), ok(block))]);
    assert_eq!(run(ledger.trim(&script.kubo(), 0, LONG)).unwrap().files, 1);
    let line = script.asked().pop().unwrap().line;
    let positions: Vec<_> = [cid(2), cid(1), root].iter().map(|cid| line.find(&cid.to_string()).unwrap()).collect();
    assert!(positions.is_sorted(), "{line}");
}

#[test]
fn a_failing_daemon_loses_nothing_from_the_ledger() {
    let (_dir, ledger) = ledger();
    ledger.note(cid(1), 100, 1).unwrap();
    let script = Script::answering(Vec::<(&str, ScriptedAnswer)>::new());
    assert!(matches!(run(ledger.trim(&script.kubo(), 0, LONG)), Err(PinError::Kubo(_))));
    assert_eq!(ledger.total().unwrap(), 100);
}

#[test]
fn half_a_line_and_nonsense_are_skipped() {
    let (dir, ledger) = ledger();
    let huge = format!("{} {} 1\n", cid(9), u64::MAX);
    fs::write(dir.path().join("kubo-cached"), format!("x\n{huge}{} 100 5\n{} 7", cid(1), cid(2))).unwrap();
    assert_eq!(ledger.total().unwrap(), 100);
}

#[test]
fn a_long_ledger_is_rewritten_without_repetitions() {
    let (dir, ledger) = ledger();
    let path = dir.path().join("kubo-cached");
    fs::write(&path, format!("{} 100 5\n", cid(1)).repeat(1 + COMPACT as usize / 60)).unwrap();
    ledger.note(cid(2), 1, 6).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{} 100 5\n{} 1 6\n", cid(1), cid(2)));
}
