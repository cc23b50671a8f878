//! CIDs of files, computed once: a file that did not change since the last run is not read again.
//!
//! A plain copy, if configured, gets the root block of each longer file as `ipfs/<CID>`, the path of a trustless
//! gateway: a client with the root can prove single leaves, so mirrors may share a file or replace each other. Where a
//! publisher keeps the root block alone, and has no plain copy, it is kept in the state directory. A file whose root block
//! is missing there is read again.
//!
//! The memory is a file of lines in the publisher's state directory. A file counts as unchanged while device, inode,
//! size, modification and change time (in nanoseconds) are the same; the change time cannot be set by hand.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use super::{Phase, PublishError};
use crate::base::cid::{BlockCid, Codec};
use crate::base::digest::Sha256;
use crate::base::fsx::{self, FileKey};
use crate::base::size::{CHUNK, WIDTH};
use crate::dag::build;

/// Bytes hashed between two saves of the memory, so that an interrupted run keeps most of its work.
const SAVE_EVERY: u64 = 4 << 30;
/// A file whose change time is this close could change again without a new one: its hash is not remembered.
const FRESH_NS: i128 = 1_000_000_000;

/// The directory in which the root blocks of files are, in a plain copy and in the tree.
pub(super) const ROOTS: &str = "ipfs";

/// The facts about a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hashed {
    pub(super) cid: BlockCid,
    pub(super) sha256: Sha256,
    pub(super) size: u64,
    pub(super) dag_size: u64,
    /// The state of the file that was read.
    pub(super) key: FileKey,
}

/// The hashes of earlier runs, by path.
pub(super) struct HashMemory {
    path: PathBuf,
    known: HashMap<PathBuf, Hashed>,
    /// The directory that gets root blocks.
    roots: Option<PathBuf>,
    /// True when it is the file.
    is_saved: bool,
}

impl HashMemory {
    /// Opens the memory in `dir`; root blocks go to `roots`. Damaged lines are dropped: the memory only saves
    /// work.
    pub(super) fn open(dir: &Path, roots: Option<PathBuf>) -> Self {
        let path = dir.join("hashes");
        let lines = File::open(&path).into_iter().flat_map(|file| BufReader::new(file).lines().map_while(Result::ok));
        let known = lines.filter_map(|line| parse(&line)).collect();
        Self { path, known, roots, is_saved: true }
    }

    /// Hashes `paths` on all processors and returns the results in their order; `progress` gets bytes.
    pub(super) fn hash(
        &mut self,
        paths: &[&Path],
        progress: &mut dyn FnMut(Phase, u64, u64),
    ) -> Result<Vec<Hashed>, PublishError> {
        let mut results: Vec<Option<Hashed>> = paths.iter().map(|path| self.recall(path)).collect();
        let missing: Vec<usize> = (0..paths.len()).filter(|i| results[*i].is_none()).collect();
        let size = |i: &usize| std::fs::metadata(paths[*i]).map_or(0, |found| found.len());
        let total = missing.iter().map(size).sum::<u64>();
        let (mut done, mut unsaved) = (0, 0);
        progress(Phase::Hash, 0, total);
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (send, receive) = mpsc::channel();
        let roots = self.roots.clone();
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(missing.len());
        std::thread::scope(|scope| {
            for _ in 0..workers {
                let (send, next, stop, missing, roots) = (send.clone(), &next, &stop, &missing, roots.as_deref());
                scope.spawn(move || {
                    while let Some(&i) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if stop.load(Ordering::Relaxed) || send.send((i, hash_file(paths[i], roots))).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(send);
            for (i, result) in receive {
                let hashed = result.inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
                (done, unsaved) = (done + hashed.size, unsaved + hashed.size);
                results[i] = Some(hashed);
                self.remember(paths[i], hashed);
                if unsaved >= SAVE_EVERY {
                    self.save()?;
                    unsaved = 0;
                }
                progress(Phase::Hash, done, total);
            }
            Ok::<(), PublishError>(())
        })?;
        Ok(results.into_iter().map(|hashed| hashed.expect("every file was remembered or hashed")).collect())
    }

    /// Forgets all files but `paths` and writes the rest.
    pub(super) fn keep_only(&mut self, paths: &[&Path]) -> Result<(), PublishError> {
        let paths: HashSet<&Path> = paths.iter().copied().collect();
        let before = self.known.len();
        self.known.retain(|path, _| paths.contains(path.as_path()));
        self.is_saved &= self.known.len() == before && self.path.exists();
        // A run with nothing new writes nothing.
        if self.is_saved { Ok(()) } else { self.save() }
    }

    fn recall(&self, path: &Path) -> Option<Hashed> {
        let known = self.known.get(path)?;
        let has_root = self.roots.as_ref().is_none_or(|roots| is_rooted(roots, known));
        (has_root && FileKey::at(path).ok()? == known.key).then_some(*known)
    }

    fn remember(&mut self, path: &Path, hashed: Hashed) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        if now as i128 - i128::from(hashed.key.ctime_ns) > FRESH_NS {
            self.known.insert(path.to_owned(), hashed);
            self.is_saved = false;
        }
    }

    fn save(&self) -> Result<(), PublishError> {
        let mut known: Vec<_> = self.known.iter().collect();
        known.sort_by_key(|(path, _)| *path);
        let mut lines = known.into_iter().filter_map(|(path, hashed)| format(path, hashed));
        let at = |error| PublishError::Io { path: self.path.clone(), error };
        self.path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(at)?;
        fsx::replace_synced_by(&self.path, |to| lines.try_for_each(|line| writeln!(to, "{line}"))).map_err(at)
    }
}

/// Removes root blocks in the directory `roots` that belong to no file of `files`, and nothing else: other files
/// there belong to the user.
pub(super) fn sweep_roots<'f>(roots: &Path, files: impl Iterator<Item = &'f Hashed>) {
    let listed: HashSet<BlockCid> = files.map(|file| file.cid).collect();
    for old in std::fs::read_dir(roots).into_iter().flatten().flatten() {
        let Some(cid) = old.file_name().to_str().and_then(|name| name.parse::<BlockCid>().ok()) else { continue };
        let is_root = || std::fs::read(old.path()).is_ok_and(|block| Sha256::of(&block) == cid.digest());
        if cid.codec() == Codec::DagPb && !listed.contains(&cid) && is_root() {
            // A file that cannot be removed now is removed next time.
            let _ = std::fs::remove_file(old.path());
        }
    }
}

/// True if the root block of a file lists its leaves: then it proves each of them, and has less than 60 KiB.
pub(super) fn has_leaves(file: &Hashed) -> bool {
    file.cid.codec() == Codec::DagPb && file.size <= (WIDTH * CHUNK) as u64
}

/// True if the directory `roots` has the root block of this file, or needs none.
pub(super) fn is_rooted(roots: &Path, file: &Hashed) -> bool {
    !has_leaves(file) || roots.join(file.cid.to_string()).exists()
}

/// Hashes one file, makes sure that it did not change meanwhile, and keeps its root block in `roots`.
pub(super) fn hash_file(path: &Path, roots: Option<&Path>) -> Result<Hashed, PublishError> {
    let at = |error: io::Error| PublishError::Io { path: path.to_owned(), error };
    let file = fsx::open_followed(path).map_err(at)?;
    let key = FileKey::of(&file).map_err(at)?;
    // Above the leaves the builder passes only nodes, the root last of all.
    let mut root = Vec::new();
    let built = build::build_blocks(&file, |cid, block| {
        if cid.codec() == Codec::DagPb {
            root = block.to_vec();
        }
        Ok(())
    });
    let built = built.map_err(at)?;
    if FileKey::of(&file).map_err(at)? != key || built.size != key.size {
        return Err(PublishError::Changed(path.to_owned()));
    }
    let cid = BlockCid::of(built.root).expect("what is built here is of version 1, and holds no block");
    let hashed = Hashed { cid, sha256: built.sha256, size: built.size, dag_size: built.dag_size, key };
    if let Some(dir) = roots.filter(|_| has_leaves(&hashed)) {
        let path = dir.join(built.root.to_string());
        let kept = std::fs::create_dir_all(dir).and_then(|()| fsx::replace_synced(&path, &root));
        kept.map_err(|error| PublishError::Io { path, error })?;
    }
    Ok(hashed)
}

fn format(path: &Path, hashed: &Hashed) -> Option<String> {
    let path = path.to_str().filter(|path| !path.contains('\n'))?;
    let Hashed { cid, sha256, dag_size, key, .. } = hashed;
    Some(format!("{} {sha256} {cid} {dag_size} {path}", key.text(' ')))
}

fn parse(line: &str) -> Option<(PathBuf, Hashed)> {
    let mut words = line.splitn(9, ' ');
    let key = FileKey::from_words(&mut words)?;
    let mut word = || words.next();
    let (sha256, cid, dag_size) = (word()?.parse().ok()?, word()?.parse().ok()?, word()?.parse().ok()?);
    Some((word()?.into(), Hashed { cid, sha256, size: key.size, dag_size, key }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(memory: &HashMemory, path: &Path) -> bool {
        memory.recall(path).is_some()
    }

    #[test]
    fn an_unchanged_file_is_remembered_and_a_changed_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a b");
        std::fs::write(&file, b"abc").unwrap();
        let mut memory = HashMemory::open(dir.path(), None);
        let first = memory.hash(&[&file], &mut |_, _, _| {}).unwrap()[0];
        assert_eq!((first.sha256, first.cid), (Sha256::of(b"abc"), BlockCid::raw(Sha256::of(b"abc"))));
        assert!(!known(&memory, &file), "it is too young to be remembered");

        let mut old = first;
        old.key.ctime_ns -= 2_000_000_000;
        memory.remember(&file, old);
        memory.known.get_mut(&file).unwrap().key = first.key;
        memory.keep_only(&[&file]).unwrap();
        let mut again = HashMemory::open(dir.path(), None);
        assert!(known(&again, &file));
        let mut bytes = Vec::new();
        assert_eq!(again.hash(&[&file], &mut |_, done, total| bytes.push((done, total))).unwrap()[0], first);
        assert_eq!(bytes, [(0, 0)]);
        std::fs::write(&file, b"abd").unwrap();
        assert!(!known(&again, &file));
        again.keep_only(&[]).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("hashes")).unwrap(), "");
    }

    #[test]
    fn a_file_whose_root_block_is_missing_in_the_plain_copy_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let (file, out) = (dir.path().join("big"), dir.path().join("out"));
        std::fs::write(&file, vec![7; CHUNK + 1]).unwrap();
        let open = || HashMemory::open(dir.path(), Some(out.join(ROOTS)));
        let hashed = open().hash(&[&file], &mut |_, _, _| {}).unwrap()[0];
        let root = out.join(ROOTS).join(hashed.cid.to_string());
        assert_eq!(Sha256::of(&std::fs::read(&root).unwrap()), hashed.cid.digest());
        let mut memory = open();
        memory.known.insert(file.clone(), hashed);
        assert!(known(&memory, &file));
        std::fs::remove_file(&root).unwrap();
        assert!(!known(&memory, &file));
    }

    #[test]
    fn many_files_come_back_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..50).map(|n| dir.path().join(n.to_string())).collect();
        paths.iter().for_each(|path| std::fs::write(path, path.as_os_str().as_encoded_bytes()).unwrap());
        let borrowed: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        let mut last = (0, 0);
        let results =
            HashMemory::open(dir.path(), None).hash(&borrowed, &mut |_, done, total| last = (done, total)).unwrap();
        for (path, hashed) in paths.iter().zip(&results) {
            assert_eq!(hashed.sha256, Sha256::of(path.as_os_str().as_encoded_bytes()));
        }
        assert_eq!(last.0, last.1);
    }

    #[test]
    fn a_missing_file_ends_it_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        let error = HashMemory::open(dir.path(), None).hash(&[&gone], &mut |_, _, _| {}).unwrap_err();
        assert!(error.to_string().starts_with(&gone.display().to_string()), "{error}");
    }

    #[test]
    fn nonsense_in_the_memory_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("hashes"), "x\n1 2 3\n\n").unwrap();
        assert!(HashMemory::open(dir.path(), None).known.is_empty());
    }
}
