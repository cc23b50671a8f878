//! The files that Kubo cached because of our downloads, kept below a limit: oldest first, never the user's own.
//!
//! The user keeps what Kubo's own collector spares: everything that a pin reaches, and everything that MFS reaches
//! (`ipfs files`), which no pin protects. The daemon checks pins itself when it is told to remove blocks; MFS is
//! checked here ([`Mfs`]).
//!
//! Kubo collects garbage only when told to (`--enable-gc`), so every file fetched through it stays on the user's
//! disk a second time (`doc/facts/kubo.md`). The ledger lists these files: a line `CID bytes time` for each,
//! appended when fetched. A line cut short by a crash is skipped: that file stays until the user's own collection.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;

use super::mfs::Mfs;
use super::reconcile::{ReconcileLimits, reconcile};
use super::{Addition, PinError, PinMark, PinState, PinTarget, PresentPin, Removal, WantedPin};
use crate::base::budget::{Budget, HeldItem};
use crate::base::cid::{Cid, Codec};
use crate::base::clock;
use crate::dag::unixfs::{self, DagNode};
use crate::net::kubo::{Kubo, KuboError};

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
pub(super) const AT_ONCE: usize = 64;

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

    /// Returns the listed files: roots, bytes, and times in Unix seconds.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn listed(&self) -> io::Result<Vec<(Cid, u64, u64)>> {
        Ok(self.read()?.into_iter().map(|(cid, entry)| (cid, entry.size, entry.time)).collect())
    }

    /// Returns the bytes of all listed files.
    pub fn total(&self) -> io::Result<u64> {
        Ok(bytes_of(&self.read()?))
    }

    /// Removes the oldest files from the daemon's cache until at most `limit` bytes are left, or `time` is over.
    ///
    /// Files that the user keeps, pinned or in MFS, stay, and stay listed: they count again once they are not kept
    /// any more. Never touches unlisted files. If MFS cannot be read, nothing is removed.
    ///
    /// # Errors
    /// The first failure. Removed files are forgotten; trying again continues with the rest.
    pub async fn trim(&self, kubo: &Kubo, limit: u64, time: Duration) -> Result<Trimmed, PinError> {
        let cached = CachedFiles { kubo, ledger: self, listed: self.read()? };
        let listed = &cached.listed;
        let held = listed.iter().map(|(cid, kept)| HeldItem::new(*cid, (kept.time, *cid), kept.size));
        let due: HashSet<Cid> = Budget::of(limit).overflow(held.collect(), u64::MAX).into_iter().collect();
        let stays = listed.keys().filter(|cid| !due.contains(*cid));
        let stays = stays.map(|cid| WantedPin { cid: *cid, label: String::new(), content: None });
        let limits = ReconcileLimits { changes: FILES_MOST, time };
        let done = reconcile(&stays.collect::<Vec<_>>(), &cached, &PinMark::all(), &limits).await?;
        let bytes = |pins: &[PresentPin]| pins.iter().map(|pin| listed[&pin.cid].size).sum::<u64>();
        let gone = bytes(&done.removed);
        match done.failed.into_iter().next() {
            Some(failure) => Err(failure.error),
            None => {
                let left = bytes_of(listed) - gone - bytes(&done.kept_by_user);
                Ok(Trimmed { files: done.removed.len(), bytes: gone, left })
            }
        }
    }

    /// Takes these entries out, unless they are new ones: a file that was fetched again in the meantime is in the
    /// cache again.
    fn forget(&self, gone: &HashMap<Cid, LedgerEntry>) -> io::Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        let _lock = self.lock()?;
        let mut now = self.read()?;
        now.retain(|cid, kept| gone.get(cid) != Some(kept));
        self.write(&now)
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

fn bytes_of(files: &HashMap<Cid, LedgerEntry>) -> u64 {
    files.values().map(|kept| kept.size).sum()
}

/// The files of the ledger as a target: they are held by no pin, so that to remove one is to remove its blocks.
struct CachedFiles<'a> {
    kubo: &'a Kubo,
    ledger: &'a Ledger,
    /// Its entries when the work began: what is noted since is not judged.
    listed: HashMap<Cid, LedgerEntry>,
}

impl CachedFiles<'_> {
    /// Removes these files from the daemon's disk, one after the other; those that are gone leave the ledger.
    async fn remove_all(&self, due: &[PresentPin], until: Instant) -> Vec<(PresentPin, Result<Removal, PinError>)> {
        let (mut results, mut gone) = (Vec::new(), HashMap::new());
        self.remove_each(due, until, &mut results, &mut gone).await;
        if let Err(e) = self.ledger.forget(&gone)
            && let Some((_, result)) = results.last_mut()
        {
            *result = Err(e.into());
        }
        results
    }

    /// Does it, and ends with the first failure.
    async fn remove_each(
        &self,
        due: &[PresentPin],
        until: Instant,
        results: &mut Vec<(PresentPin, Result<Removal, PinError>)>,
        gone: &mut HashMap<Cid, LedgerEntry>,
    ) {
        let mut files = Vec::new();
        for pin in due {
            if Instant::now() >= until {
                break;
            }
            // Quick, and spares the daemon the usual walk; block/rm itself finds pins of directories above.
            match self.unless_pinned(pin.cid).await {
                Ok(None) => results.push((pin.clone(), Ok(Removal::KeptByUser))),
                Ok(Some(blocks)) => files.push((pin, blocks)),
                Err(fault) => return results.push((pin.clone(), Err(fault.into()))),
            }
        }
        let watched = files.iter().flat_map(|(_, blocks)| blocks.iter().map(Cid::digest)).collect();
        let mut mfs = Mfs::watching(watched, until);
        for (pin, blocks) in files {
            if Instant::now() >= until {
                break;
            }
            match remove(self.kubo, &mut mfs, &blocks).await {
                Ok(true) => {
                    gone.extend(self.listed.get(&pin.cid).map(|entry| (pin.cid, *entry)));
                    results.push((pin.clone(), Ok(Removal::Gone)));
                }
                Ok(false) => results.push((pin.clone(), Ok(Removal::KeptByUser))),
                Err(fault) => return results.push((pin.clone(), Err(fault.into()))),
            }
        }
    }

    /// Returns the blocks of a file; `None` if it has a pin of its own.
    async fn unless_pinned(&self, cid: Cid) -> Result<Option<Vec<Cid>>, KuboError> {
        match self.kubo.is_pinned(cid).await? {
            true => Ok(None),
            false => blocks(self.kubo, cid).await.map(Some),
        }
    }
}

impl PinTarget for CachedFiles<'_> {
    /// Lists the oldest first.
    fn list<'a>(&'a self, _mark: &'a PinMark) -> LocalBoxFuture<'a, Result<Vec<PresentPin>, PinError>> {
        Box::pin(async move {
            let mut files: Vec<_> = self.listed.iter().map(|(cid, kept)| (kept.time, *cid)).collect();
            files.sort();
            let state = PinState::Held;
            Ok(files.into_iter().map(|(_, cid)| PresentPin { cid, name: String::new(), state, copies: 1 }).collect())
        })
    }

    /// Lists a file that the daemon has. Its size is not known here, and counts as nothing.
    fn add<'a>(&'a self, wanted: &'a WantedPin, _name: &'a str) -> LocalBoxFuture<'a, Result<Addition, PinError>> {
        Box::pin(async move {
            let size = wanted.content.as_ref().map_or(0, |content| content.size);
            self.ledger.note(wanted.cid, size, clock::now())?;
            Ok(Addition::Held)
        })
    }

    fn remove<'a>(
        &'a self,
        pins: &'a [PresentPin],
        until: Instant,
    ) -> LocalBoxFuture<'a, Vec<(PresentPin, Result<Removal, PinError>)>> {
        Box::pin(self.remove_all(pins, until))
    }
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
pub(super) async fn blocks(kubo: &Kubo, root: Cid) -> Result<Vec<Cid>, KuboError> {
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

#[cfg(test)]
mod tests;
