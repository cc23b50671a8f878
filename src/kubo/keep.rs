//! The files that Kubo cached because of our downloads, kept below a limit: oldest first, never files that the
//! user keeps.
//!
//! The user keeps what Kubo's own collector spares: everything that a pin reaches, and everything that MFS reaches
//! (`ipfs files`), which no pin protects. The daemon checks pins itself when it is told to remove blocks; MFS is
//! checked here ([`Mfs`]).
//!
//! Kubo collects garbage only when told to (`--enable-gc`), so every file fetched through it stays on the user's
//! disk a second time (`doc/facts/kubo.md`). The ledger lists these files: a line `CID bytes time` for each file,
//! appended when it was fetched. A line cut short by a crash is skipped: that file then stays until the user's own
//! garbage collection.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::mfs::Mfs;
use super::{Kubo, KuboError};
use crate::cid::{Cid, Codec};
use crate::dag::node::{self, DagNode};

/// The ledger is rewritten without its repetitions when it grows beyond this many bytes (about 10,000 files).
const COMPACT: u64 = 1 << 20;
/// Most bytes of the ledger that are read: a longer one was not written by pkgswarm.
const LEDGER_MOST: u64 = 64 << 20;
/// Largest file that is accepted: 1 TiB.
const FILE_MOST: u64 = 1 << 40;
/// Most files removed in one go.
const FILES_MOST: usize = 1000;
/// Most blocks of one file: 128 GiB.
const BLOCKS_MOST: usize = 1 << 17;
/// CIDs in one `block/rm`: they are in the URL.
const AT_ONCE: usize = 64;

/// The list of files that Kubo cached because of us.
#[derive(Clone, Debug)]
pub struct Ledger {
    dir: PathBuf,
}

/// The result of [`Ledger::trim`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Files removed from the daemon's cache.
    pub files: usize,
    /// Bytes of those files.
    pub bytes: u64,
    /// Bytes of the files that are still cached because of us; those that the user keeps are not counted.
    pub left: u64,
}

/// The reason why trimming ended early. Files removed until then are forgotten; trying again continues with the
/// rest.
#[derive(Debug, thiserror::Error)]
pub enum TrimError {
    /// The daemon failed.
    #[error(transparent)]
    Kubo(#[from] KuboError),
    /// The ledger could not be read or written.
    #[error("the list of cached files: {0}")]
    Ledger(#[from] io::Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LedgerEntry {
    size: u64,
    time: u64,
}

impl Ledger {
    /// Opens the ledger in `dir`, which must exist.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Notes that the daemon has `cid` (a file of `size` bytes) because of us, at `now` (Unix seconds).
    ///
    /// Noting a file again makes it young again.
    pub fn note(&self, cid: Cid, size: u64, now: u64) -> io::Result<()> {
        let _lock = self.lock()?;
        let mut file = File::options().create(true).append(true).open(self.file())?;
        file.write_all(format!("{cid} {size} {now}\n").as_bytes())?;
        if file.metadata()?.len() > COMPACT {
            self.write(&self.read()?)?;
        }
        Ok(())
    }

    /// Returns the bytes of all listed files.
    pub fn total(&self) -> io::Result<u64> {
        Ok(self.read()?.values().map(|kept| kept.size).sum())
    }

    /// Removes the oldest files from the daemon's cache until at most `limit` bytes are left, or `budget` is over.
    ///
    /// Files that the user keeps, pinned or in MFS, stay, and stay listed: they count again once they are not kept
    /// any more. Never touches unlisted files. If MFS cannot be read, nothing is removed.
    pub async fn trim(&self, kubo: &Kubo, limit: u64, budget: Duration) -> Result<Trimmed, TrimError> {
        let listed = self.read()?;
        let until = Instant::now() + budget;
        let total: u64 = listed.values().map(|kept| kept.size).sum();
        let mut oldest: Vec<_> = listed.iter().map(|(cid, kept)| (*cid, *kept)).collect();
        oldest.sort_by_key(|(cid, kept)| (kept.time, *cid));
        let mut rest = total;
        let due = oldest.into_iter().take(FILES_MOST).take_while(|(_, kept)| {
            let is_due = rest > limit;
            rest -= kept.size;
            is_due
        });
        let mut gone = HashMap::new();
        let passed = remove_all(kubo, &due.collect::<Vec<_>>(), until, &mut gone).await;
        if !gone.is_empty() {
            let _lock = self.lock()?;
            let mut now = self.read()?;
            // A file that was fetched again in the meantime is in the cache again.
            now.retain(|cid, kept| gone.get(cid) != Some(kept));
            self.write(&now)?;
        }
        Ok(Trimmed { files: gone.len(), bytes: gone.values().map(|kept| kept.size).sum(), left: total - passed? })
    }

    fn read(&self) -> io::Result<HashMap<Cid, LedgerEntry>> {
        let mut bytes = Vec::new();
        match File::open(self.file()) {
            Ok(file) => drop(file.take(LEDGER_MOST).read_to_end(&mut bytes)?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let mut files = HashMap::new();
        for line in String::from_utf8_lossy(&bytes).lines() {
            let mut words = line.split(' ');
            let mut word = || words.next();
            let parsed = word().zip(word()).zip(word());
            let parsed = parsed.and_then(|((cid, size), time)| {
                Some((cid.parse::<Cid>().ok()?, LedgerEntry { size: size.parse().ok()?, time: time.parse().ok()? }))
            });
            // Sums of sizes must not overflow, whatever the file contains.
            if let Some((cid, kept)) = parsed.filter(|(_, kept)| kept.size <= FILE_MOST) {
                files.insert(cid, kept);
            }
        }
        Ok(files)
    }

    fn write(&self, files: &HashMap<Cid, LedgerEntry>) -> io::Result<()> {
        let mut lines: Vec<_> = files.iter().collect();
        lines.sort_by_key(|(cid, kept)| (kept.time, **cid));
        let text: String = lines.iter().map(|(cid, kept)| format!("{cid} {} {}\n", kept.size, kept.time)).collect();
        crate::fsx::replace(&self.file(), text.as_bytes(), 0o644)
    }

    fn lock(&self) -> io::Result<File> {
        // Held for milliseconds; pacman waits for us.
        crate::fsx::lock(&self.dir.join("kubo-cached.lock"), Duration::from_secs(2))
    }

    fn file(&self) -> PathBuf {
        self.dir.join("kubo-cached")
    }
}

/// Removes these files from the daemon's disk, one after the other, and records those that are `gone`. Returns the
/// bytes of all files examined, including those that the user keeps.
async fn remove_all(
    kubo: &Kubo,
    due: &[(Cid, LedgerEntry)],
    until: Instant,
    gone: &mut HashMap<Cid, LedgerEntry>,
) -> Result<u64, KuboError> {
    let (mut passed, mut files) = (0, Vec::new());
    for (cid, kept) in due {
        if Instant::now() >= until {
            break;
        }
        // Quick, and spares the daemon the walk for the usual pin; block/rm itself finds pins of directories
        // above.
        match kubo.is_pinned(*cid).await? {
            true => passed += kept.size,
            false => files.push((*cid, *kept, blocks(kubo, *cid).await?)),
        }
    }
    let watched = files.iter().flat_map(|(.., blocks)| blocks.iter().map(Cid::digest)).collect();
    let mut mfs = Mfs::watching(watched, until);
    for (cid, kept, blocks) in files {
        if Instant::now() >= until {
            break;
        }
        if remove(kubo, &mut mfs, &blocks).await? {
            gone.insert(cid, kept);
        }
        passed += kept.size;
    }
    Ok(passed)
}

/// Removes the blocks of a file that the user does not keep. `false`: they all stay.
async fn remove(kubo: &Kubo, mfs: &mut Mfs, blocks: &[Cid]) -> Result<bool, KuboError> {
    let mut gone = 0;
    // Children first: as long as the root is there, an interrupted removal can be continued.
    for group in blocks.rchunks(AT_ONCE) {
        // Asked again each time: files put into MFS a moment ago stay as well.
        let kept = mfs.reached(kubo).await?;
        let group: Vec<Cid> = group.iter().rev().filter(|cid| !kept.contains(&cid.digest())).copied().collect();
        if group.is_empty() {
            continue;
        }
        gone += kubo.remove_blocks(&group).await?;
        if gone == 0 {
            return Ok(false);
        }
    }
    // A block that belongs to another file, or that the user keeps, stays, and is no longer ours.
    Ok(gone > 0)
}

/// Lists the blocks of a file that are on the daemon's disk, parents before children.
async fn blocks(kubo: &Kubo, root: Cid) -> Result<Vec<Cid>, KuboError> {
    let mut blocks = vec![root];
    let mut at = 0;
    while at < blocks.len() && blocks.len() < BLOCKS_MOST {
        let cid = blocks[at];
        at += 1;
        if cid.codec() == Codec::Raw {
            continue;
        }
        // Without this block the ones below it are unknown; garbage collection removes them.
        let Some(block) = kubo.local_block(cid).await? else { continue };
        if let Ok(DagNode::File { pieces, .. }) = node::decode(&block) {
            blocks.extend(pieces.iter().map(|piece| piece.cid));
        }
    }
    Ok(blocks)
}

/// Removes the ledger, for `setup --undo`.
pub fn forget(dir: &Path) -> io::Result<()> {
    for name in ["kubo-cached", "kubo-cached.lock"] {
        match fs::remove_file(dir.join(name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, ScriptedAnswer, ok};
    use super::*;
    use crate::digest::Sha256;

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
        with_mfs(&[node::directory([])], rules.into_iter().map(|(part, answer)| (part.to_owned(), answer)).collect())
    }

    /// Encodes a directory with `cid` in it.
    fn directory_of(cid: Cid) -> Vec<u8> {
        node::directory([node::DagLink { cid: cid.into(), name: b"kept", tsize: 1 }])
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
        let below = node::directory([
            node::DagLink { cid: Cid::dag_pb(Sha256::of(b"elsewhere")).into(), name: b"a", tsize: 1 },
            node::DagLink { cid: cid(1).into(), name: b"kept", tsize: 1 },
        ]);
        let script = with_mfs(&[directory_of(Cid::dag_pb(Sha256::of(&below))), below], vec![]);
        let done = run(ledger.trim(&script.kubo(), 0, LONG)).unwrap();
        assert_eq!(done, Trimmed { files: 1, bytes: 100, left: 0 });
        assert_eq!((removed(&script), ledger.total().unwrap()), (vec![cid(2).to_string()], 100));
    }

    #[test]
    fn a_leaf_that_a_file_in_mfs_has_as_well_stays() {
        let (_dir, ledger) = ledger();
        let piece = |n| node::Piece { cid: cid(n), size: 1, tsize: 1 };
        let (ours, theirs) = (node::file(&[piece(1), piece(2)]), node::file(&[piece(2), piece(3)]));
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
        let root = node::tests::linking_to(foreign);
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
        let root = Cid::dag_pb(Sha256::of(&node::directory([])));
        for rules in [
            vec![("files/stat", refused())],
            vec![("files/stat", ok(r#"{"Hash":"nonsense"}"#))],
            vec![(&*format!("block/get?arg={root}"), refused())],
            vec![(&*format!("block/get?arg={root}"), ok("another block"))],
        ] {
            let script = empty_mfs(rules);
            assert!(matches!(run(ledger.trim(&script.kubo(), 0, LONG)), Err(TrimError::Kubo(_))));
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
        let piece = |n| node::Piece { cid: cid(n), size: 1, tsize: 1 };
        let block = node::file(&[piece(1), piece(2)]);
        let root = Cid::dag_pb(Sha256::of(&block));
        ledger.note(root, 2, 1).unwrap();
        let script = with_mfs(&[node::directory([])], vec![(format!("block/get?arg={root}"), ok(block))]);
        assert_eq!(run(ledger.trim(&script.kubo(), 0, LONG)).unwrap().files, 1);
        let line = script.asked().pop().unwrap().line;
        let places: Vec<_> = [cid(2), cid(1), root].iter().map(|cid| line.find(&cid.to_string()).unwrap()).collect();
        assert!(places.is_sorted(), "{line}");
    }

    #[test]
    fn a_failing_daemon_loses_nothing_from_the_ledger() {
        let (_dir, ledger) = ledger();
        ledger.note(cid(1), 100, 1).unwrap();
        let script = Script::answering(Vec::<(&str, ScriptedAnswer)>::new());
        assert!(matches!(run(ledger.trim(&script.kubo(), 0, LONG)), Err(TrimError::Kubo(_))));
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
}
