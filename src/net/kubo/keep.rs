//! The files that Kubo cached because of our downloads, kept below a limit: oldest first, never the user's own.
//!
//! The user keeps what Kubo's own collector spares: everything that a pin reaches, and everything that MFS reaches
//! (`ipfs files`), which no pin protects. The daemon checks pins itself when it is told to remove blocks; MFS is
//! checked here ([`Mfs`]).
//!
//! Kubo collects garbage only when told to (`--enable-gc`), so every file fetched through it stays on the user's
//! disk a second time (`doc/facts/kubo.md`). The ledger lists these files: a line `CID bytes time` for each,
//! appended when fetched. A line cut short by a crash is skipped: that file stays until the user's own collection.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::mfs::Mfs;
use super::{Kubo, KuboError};
use crate::base::budget::{Budget, HeldItem};
use crate::base::cid::{Cid, Codec};
use crate::dag::unixfs::{self, DagNode};

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

/// The reason why trimming ended early. Removed files are forgotten; trying again continues with the rest.
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
        let held = listed.iter().map(|(cid, kept)| HeldItem::new((*cid, *kept), (kept.time, *cid), kept.size));
        let mut due = Budget::of(limit).overflow(held.collect(), u64::MAX);
        due.truncate(FILES_MOST);
        let mut gone = HashMap::new();
        let passed = remove_all(kubo, &due, until, &mut gone).await;
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
        crate::base::fsx::replace(&self.file(), text.as_bytes(), 0o644)
    }

    fn lock(&self) -> io::Result<File> {
        // Held for milliseconds; pacman waits for us.
        crate::base::fsx::lock(&self.dir.join("kubo-cached.lock"), Duration::from_secs(2))
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
        // Quick, and spares the daemon the usual walk; block/rm itself finds pins of directories above.
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
        if let Ok(DagNode::File { pieces, .. }) = unixfs::decode(&block) {
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
mod tests;
