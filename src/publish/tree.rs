//! The published tree, built here: tables, directories, manifest and root, without asking a daemon.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::Body;

use super::chain::{Chain, ChainLink};
use super::hash::Hashed;
use super::scan::{Role, ScannedRepo};
use super::{PublishError, PublishOptions};
use crate::base::cid::Cid;
use crate::base::digest::{Hasher, Sha256};
use crate::base::name::FileName;
use crate::base::size;
use crate::dag::dir::{self, BuiltDirectory, DirectoryEntry as DirEntry};
use crate::dag::{Block, build};
use crate::index::manifest::{Database, Manifest, Packed, Table};
use crate::index::table::{self, Entry, TableWriter};
use crate::net::kubo::upload;

/// The parts that do not depend on the time of publication.
pub(super) struct Content {
    /// Digest of all parts: equal means that nothing changed.
    pub(super) fingerprint: Sha256,
    pub(super) tables: Vec<Table>,
    /// The compressed tables, by their path in the tree.
    pub(super) packed: Vec<(String, Vec<u8>)>,
    /// The uncompressed tables, in the order of `tables`.
    pub(super) plain: Vec<Vec<u8>>,
    /// Every file of the plain tree.
    pub(super) files: Vec<TreeFile>,
    /// The root's entries, without manifest and signature.
    top: Vec<DirEntry>,
    /// Blocks of tables and directories.
    blocks: Vec<Block>,
}

/// A file of the plain tree.
#[derive(Clone, Debug)]
pub(super) struct TreeFile {
    /// Its path below the root.
    pub(super) path: String,
    /// Its path on this machine.
    pub(super) source: PathBuf,
    pub(super) hashed: Hashed,
}

/// A publication, ready to be sent.
pub(super) struct Sealed {
    pub(super) manifest: Manifest,
    /// The manifest as signed.
    pub(super) bytes: Vec<u8>,
    pub(super) minisig: Option<String>,
    pub(super) root: Cid,
    /// The root's own block.
    pub(super) root_block: Vec<u8>,
    /// All blocks except those of files.
    pub(super) blocks: Vec<Block>,
    /// The state of each table, by [`table_key`].
    pub(super) links: BTreeMap<String, ChainLink>,
    /// The diffs, by their path in the tree.
    pub(super) diffs: BTreeMap<String, Vec<u8>>,
}

/// Returns a table's key: `<repo>-<arch>`.
fn table_key(table: &Table) -> String {
    format!("{}-{}", table.repo, table.arch)
}

impl Content {
    /// Builds tables and directories of `repos`; `hashed` matches `ScannedRepo::files`, in that order.
    pub(super) fn build(
        options: &PublishOptions,
        repos: &[ScannedRepo],
        hashed: &[Hashed],
    ) -> Result<Self, PublishError> {
        let mut out = Self {
            fingerprint: Sha256::of(b""),
            tables: Vec::new(),
            packed: Vec::new(),
            plain: Vec::new(),
            files: Vec::new(),
            top: Vec::new(),
            blocks: Vec::new(),
        };
        let mut hashed = hashed.iter();
        // repo -> arch -> its directory
        let mut dirs: BTreeMap<&str, Vec<DirEntry>> = BTreeMap::new();
        let mut tables = Vec::new();
        for repo in repos {
            let mut files: BTreeMap<&FileName, Hashed> = BTreeMap::new();
            for ((name, found), hashed) in repo.files.iter().zip(hashed.by_ref()) {
                files.insert(name, *hashed);
                let path = format!("{}/{name}", repo.path());
                out.files.push(TreeFile { path, source: found.path.clone(), hashed: *hashed });
            }
            let entries = files.iter().map(|(name, hashed)| DirEntry {
                name: name.to_string(),
                cid: hashed.cid,
                dag_size: hashed.dag_size,
            });
            let built = out.directory(&entries.collect::<Vec<_>>())?;
            dirs.entry(repo.name.as_str()).or_default().push(entry(&repo.arch, built));
            tables.push(out.table(options, repo, &files)?);
        }
        for (repo, archs) in dirs {
            let os = out.directory(&archs)?;
            let os = out.directory(&[entry("os", os)])?;
            out.top.push(entry(repo, os));
        }
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        let built = out.directory(&tables)?;
        out.top.push(entry("tables", built));
        out.fingerprint = out.fingerprint(options);
        Ok(out)
    }

    /// Writes one table, adds it to the manifest's list, and returns its path in `tables/`.
    fn table(
        &mut self,
        options: &PublishOptions,
        repo: &ScannedRepo,
        files: &BTreeMap<&FileName, Hashed>,
    ) -> Result<DirEntry, PublishError> {
        let local = |error| PublishError::Io { path: repo.path().into(), error };
        let mut writer = TableWriter::new(Vec::new());
        let (mut entries, mut databases) = (0, Vec::new());
        for (name, found) in &repo.files {
            let hashed = files[name];
            match found.role {
                Role::Database => {
                    let Hashed { size, sha256, cid, key, .. } = hashed;
                    let cid = (!size::is_own_block(size)).then_some(cid);
                    let modified = u64::try_from(key.mtime_ns / 1_000_000_000).ok();
                    databases.push(Database { name: name.clone(), size, sha256, cid, modified });
                }
                Role::PackageSignature => {}
                Role::Package { .. } => {
                    let signature = FileName::new(format!("{name}.sig")).ok();
                    let signature = signature.and_then(|name| files.get(&name)).map(|sig| (sig.size, sig.sha256));
                    let Hashed { cid, sha256, size, .. } = hashed;
                    writer.add(&Entry { name: name.clone(), size, sha256, cid, signature }).map_err(local)?;
                    entries += 1;
                }
            }
        }
        let plain = writer.finish();
        let packed = table::pack(&plain);
        let blocks = &mut self.blocks;
        let built = build::build_blocks(&packed[..], |cid, bytes| {
            blocks.push(Block { cid, bytes: bytes.to_vec() });
            Ok(())
        });
        let built = built.map_err(local)?;
        let table = Table {
            repo: repo.name.clone(),
            arch: repo.arch.clone(),
            // Set when it is sealed.
            changed: 0,
            entries,
            sha256: Sha256::of(&plain),
            size: plain.len() as u64,
            packed: Packed { cid: built.root, sha256: built.sha256, size: built.size },
            diffs: Vec::new(),
            databases,
            upstream: options.upstream.get(&repo.name).cloned().unwrap_or_default(),
        };
        let path = table.path();
        let name = path.trim_start_matches("tables/").to_owned();
        self.tables.push(table);
        self.packed.push((path, packed));
        self.plain.push(plain);
        Ok(DirEntry { name, cid: built.root, dag_size: built.dag_size })
    }

    fn directory(&mut self, entries: &[DirEntry]) -> Result<BuiltDirectory, PublishError> {
        directory(&mut self.blocks, entries)
    }

    fn fingerprint(&self, options: &PublishOptions) -> Sha256 {
        let mut hasher = Hasher::default();
        let manifest = self.manifest(options, 0, 0, 0);
        // Diffs are no content: they depend on the former publication.
        hasher.update(&manifest.encode());
        for entry in &self.top {
            hasher.update(&entry.cid.to_bytes());
        }
        let signer = options.minisign.as_ref().map(|key| key.public().to_string());
        hasher.update(signer.unwrap_or_default().as_bytes());
        hasher.finish()
    }

    fn manifest(&self, options: &PublishOptions, sequence: u64, created: u64, expires: u64) -> Manifest {
        Manifest { publisher: options.publisher.clone(), sequence, created, expires, tables: self.tables.clone() }
    }

    /// Makes the manifest for `sequence`, with the diffs since `before`, signs it, and builds the root.
    pub(super) fn seal(
        &self,
        options: &PublishOptions,
        sequence: u64,
        before: &BTreeMap<String, ChainLink>,
    ) -> Result<Sealed, PublishError> {
        let mut manifest = self.manifest(options, sequence, options.now, options.now + options.lifetime.as_secs());
        let (mut links, mut diffs) = (BTreeMap::new(), BTreeMap::new());
        let mut top = self.top.clone();
        let mut blocks = self.blocks.clone();
        let mut dirs = Vec::new();
        for (table, plain) in manifest.tables.iter_mut().zip(&self.plain) {
            let before = before.get(&table_key(table));
            let (link, bytes) = Chain::at(&options.state_dir).next(before, plain, table.packed.size, sequence);
            (table.changed, table.diffs) = (link.changed, link.diffs.clone());
            let mut entries = Vec::new();
            for (at, bytes) in bytes.into_iter().enumerate() {
                let (path, cid) = (table.diff_path(at), table.diffs[at].cid());
                let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                entries.push(DirEntry { name, cid, dag_size: bytes.len() as u64 });
                blocks.push(Block { cid, bytes: bytes.clone() });
                diffs.insert(path, bytes);
            }
            if !entries.is_empty() {
                dirs.push(entry(&table_key(table), directory(&mut blocks, &entries)?));
            }
            links.insert(table_key(table), link);
        }
        if !dirs.is_empty() {
            top.push(entry("diffs", directory(&mut blocks, &dirs)?));
        }
        let bytes = manifest.encode();
        // A manifest that clients would refuse must not be published.
        Manifest::decode(&bytes)?;
        let minisig = options.minisign.as_ref().map(|key| key.sign(&bytes, sequence, manifest.expires));
        let signature = minisig.as_ref().map(|text| ("pkgswarm.json.minisig", text.as_bytes()));
        for (name, bytes) in [Some(("pkgswarm.json", &bytes[..])), signature].into_iter().flatten() {
            let cid = Cid::raw(Sha256::of(bytes));
            top.push(DirEntry { name: name.to_owned(), cid, dag_size: bytes.len() as u64 });
            blocks.push(Block { cid, bytes: bytes.to_vec() });
        }
        top.sort_by(|a, b| a.name.cmp(&b.name));
        let root = dir::build(&top, |block| blocks.push(block))?.root;
        let root_block = blocks.last().map(|block| block.bytes.clone()).unwrap_or_default();
        Ok(Sealed { manifest, bytes, minisig, root, root_block, blocks, links, diffs })
    }
}

/// The progress of an upload, and the local failure that ended it.
#[derive(Clone, Default)]
pub(super) struct UploadState {
    /// Bytes of blocks passed to the connection.
    pub(super) sent: Arc<AtomicU64>,
    failed: Arc<Mutex<Option<PublishError>>>,
}

impl UploadState {
    /// Returns why the upload was cut on this side, if it was.
    pub(super) fn failure(&self) -> Option<PublishError> {
        self.failed.lock().expect("nothing panics while it holds this").take()
    }

    /// Streams one CAR of `blocks` and the blocks of `files`, read in a thread of its own while it is sent, in
    /// constant memory.
    ///
    /// A file that changed since it was hashed cuts the stream.
    pub(super) fn start(&self, root: Cid, blocks: Vec<Block>, files: Vec<TreeFile>) -> Body {
        let this = self.clone();
        upload::car(root, move |put| {
            let mut block = |cid: Cid, bytes: &[u8]| {
                put(cid, bytes)?;
                this.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Ok(())
            };
            let mut all = || -> Result<(), PublishError> {
                let at = |path: &PathBuf| {
                    let path = path.clone();
                    move |error| PublishError::Io { path, error }
                };
                for file in &files {
                    let source = File::open(&file.source).map_err(at(&file.source))?;
                    let built = build::build_blocks(source, &mut block).map_err(at(&file.source))?;
                    if built.root != file.hashed.cid {
                        return Err(PublishError::Changed(file.source.clone()));
                    }
                }
                // Directories after files: a reader that finds the root finds everything below it.
                blocks.iter().try_for_each(|b| block(b.cid, &b.bytes)).map_err(at(&PathBuf::new()))
            };
            match all() {
                Ok(()) => Ok(()),
                // The request has ended.
                Err(PublishError::Io { error, .. }) if error.kind() == io::ErrorKind::BrokenPipe => Err(error),
                Err(error) => {
                    *this.failed.lock().expect("nothing panics while it holds this") = Some(error);
                    Err(io::Error::other("the upload was stopped"))
                }
            }
        })
    }
}

fn directory(blocks: &mut Vec<Block>, entries: &[DirEntry]) -> Result<BuiltDirectory, PublishError> {
    let mut sorted = entries.to_vec();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(dir::build(&sorted, |block| blocks.push(block))?)
}

fn entry(name: &str, built: BuiltDirectory) -> DirEntry {
    DirEntry { name: name.to_owned(), cid: built.root, dag_size: built.dag_size }
}
