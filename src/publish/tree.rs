//! The second step: the published tree, built here from a collection: CIDs, tables and directories, without asking
//! a daemon. It does not know when it is published, nor where.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::archive::{ArchiveLink, FormerIndex};
use super::collect::{CollectedRepo, Collection, Role, prove};
use super::hash::{HashMemory, Hashed, ROOTS, has_leaves};
use super::kept::{Keepable, KeptContent};
use super::record::Backlog;
use super::{FindHints, FollowerTemplate, Phase, PublishError, PublishOptions};
use crate::base::cid::{BlockCid, Cid};
use crate::base::digest::{Hasher, Sha256};
use crate::base::fsx::FileKey;
use crate::base::name::FileName;
use crate::base::size::{self, SIGNATURE_MOST};
use crate::config::ContentRule;
use crate::dag::dir::{self, BuiltDirectory, DirectoryEntry as DirEntry};
use crate::dag::{Block, build};
use crate::index::manifest::{Database, HAIKU, Manifest, Packed, Table, TableContent};
use crate::index::table::{self, Entry, TableWriter};

mod archived;
mod nest;

pub(super) use archived::{ARCHIVE, ArchiveState};
use nest::Nest;

/// Most packages that the page lists as new.
const NEWEST_MOST: usize = 30;

/// The parts of a publication that do not depend on its time.
pub(super) struct Tree {
    /// Digest of all parts: equal means that nothing changed.
    pub(super) fingerprint: Sha256,
    pub(super) tables: Vec<Table>,
    /// The compressed tables, by their path in the tree.
    pub(super) packed: Vec<(String, Vec<u8>)>,
    /// The uncompressed tables, in the order of `tables`.
    pub(super) plain: Vec<Vec<u8>>,
    /// What has left them, by [`table_key`](super::chain::table_key).
    pub(super) archives: BTreeMap<String, ArchiveParts>,
    /// What no client needs for a proof, in the order of `tables`; no part of the fingerprint.
    pub(super) states: Vec<RepoState>,
    /// The packages that were built last, newest first, for people.
    pub(super) newest: Vec<NewestFile>,
    /// Every file of the plain tree, and the root blocks of packages that are not in it.
    pub(super) files: Vec<TreeFile>,
    /// Packages and databases, in the plain tree or not.
    pub(super) listed: Vec<Hashed>,
    /// Packages, signatures and databases.
    pub(super) count: usize,
    /// Packages that are not in the plain tree.
    pub(super) bare: usize,
    /// The root's entries, without manifest and signature.
    pub(super) top: Vec<DirEntry>,
    /// Blocks of tables and directories.
    pub(super) blocks: Vec<Block>,
    /// For the user.
    pub(super) warnings: Vec<String>,
}

/// The archive of a table, to be remembered once it is published.
pub(super) struct ArchiveParts {
    pub(super) link: ArchiveLink,
    /// The compressed archive.
    pub(super) packed: Vec<u8>,
}

/// The state of one repository, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RepoState {
    /// Its packages; images count as such.
    pub(super) packages: u64,
    /// Bytes of its packages.
    pub(super) size: u64,
    /// Upstream's time of it, Unix seconds.
    pub(super) lastupdate: Option<u64>,
    /// What is not listed yet.
    pub(super) backlog: Backlog,
    /// What has left it, where that is remembered.
    pub(super) archive: Option<ArchiveState>,
}

/// A package that was built lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewestFile {
    /// Its path below the root.
    pub(super) path: String,
    /// Bytes.
    pub(super) size: u64,
    /// When it was built, Unix seconds.
    pub(super) built: u64,
    /// True when its bytes are in the tree.
    pub(super) is_kept: bool,
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

impl Tree {
    /// Hashes what changed since the last run, compares it with the databases, and builds tables and directories.
    /// The hashes are remembered in the state directory, and root blocks are put where a plain copy serves them. What is
    /// in `former` and not in the collection goes to the archive.
    ///
    /// A distribution is tens of thousands of files: what is done with goes before the rest is built.
    pub(super) fn of(
        options: &PublishOptions,
        collection: Collection,
        former: FormerIndex<'_>,
        progress: &mut dyn FnMut(Phase, u64, u64),
    ) -> Result<Self, PublishError> {
        let here = collection.files().filter(|found| found.held.is_none());
        let paths: Vec<&Path> = here.map(|found| &*found.path).collect();
        let mut memory = HashMemory::open(&options.state_dir, options.roots_dir());
        let hashed = memory.hash(&paths, progress)?;
        memory.keep_only(&paths)?;
        drop((memory, paths));
        compare(&collection, &hashed)?;
        prove(options, &collection, &hashed)?;
        let (mut tree, mut roots) = Self::listing(options, &collection, &hashed)?;
        drop((collection, hashed));
        tree.archive(options, former, &mut roots)?;
        tree.roots(options, roots.into_values().collect())?;
        tree.pack(options)?;
        Ok(tree)
    }

    /// Lists the files in tables, which are not packed yet, and in directories; `hashed` are those of `Collection::files` that
    /// are not held, in that order. Returns the root blocks that stand for files which are not in the tree as well.
    fn listing(
        options: &PublishOptions,
        collection: &Collection,
        hashed: &[Hashed],
    ) -> Result<(Self, BTreeMap<String, DirEntry>), PublishError> {
        let packages = collection.files().filter_map(Keepable::collected);
        let kept = KeptContent::of(options.content, packages, options.now);
        let mut out = Self {
            fingerprint: Sha256::of(b""),
            tables: Vec::new(),
            packed: Vec::new(),
            plain: Vec::new(),
            archives: BTreeMap::new(),
            states: Vec::new(),
            newest: newest(collection, &kept),
            files: Vec::new(),
            listed: Vec::new(),
            count: 0,
            bare: 0,
            top: Vec::new(),
            blocks: Vec::new(),
            warnings: Vec::new(),
        };
        let mut new = hashed.iter();
        let mut roots: BTreeMap<String, DirEntry> = BTreeMap::new();
        let mut dirs = Nest::default();
        for repo in &collection.repos {
            let (mut files, mut entries, mut below) = (BTreeMap::new(), Vec::new(), Vec::new());
            for (name, found) in &repo.files {
                let hashed = found.facts(&mut new);
                files.insert(name, hashed);
                out.count += 1;
                if found.role != Role::PackageSignature {
                    out.listed.push(*hashed);
                }
                if matches!(found.role, Role::Package { sha256, .. } if !kept.has(sha256)) {
                    out.bare += 1;
                    if let Some(root) = root_entry(hashed) {
                        roots.insert(root.name.clone(), root);
                    }
                    continue;
                }
                let path = repo.path_of(name, found.role);
                out.files.push(TreeFile { path, source: found.path.clone(), hashed: *hashed });
                let is_below = repo.below().is_some() && matches!(found.role, Role::Package { .. });
                let to = if is_below { &mut below } else { &mut entries };
                to.push(DirEntry { name: name.to_string(), cid: hashed.cid.into(), dag_size: hashed.dag_size });
            }
            if let Some(name) = repo.below() {
                entries.push(entry(name, out.directory(below)?));
            }
            let built = out.directory(entries)?;
            dirs.put(&repo.path(), built)?;
            out.table(options, repo, &files)?;
        }
        out.top = dirs.build(&mut out.blocks)?;
        Ok((out, roots))
    }

    /// Packs the tables, and completes the tree with them.
    fn pack(&mut self, options: &PublishOptions) -> Result<(), PublishError> {
        let mut tables = Vec::new();
        for (table, plain) in self.tables.iter_mut().zip(&self.plain) {
            let (packed, blocks) = (table::pack(plain), &mut self.blocks);
            let built = build::build_blocks(&packed[..], |cid, bytes| {
                blocks.push(Block { cid, bytes: bytes.to_vec() });
                Ok(())
            });
            let path = table.path();
            let built = built.map_err(|error| PublishError::Io { path: path.clone().into(), error })?;
            table.packed = Packed { cid: built.root, sha256: built.sha256, size: built.size };
            let name = path.trim_start_matches("tables/").to_owned();
            tables.push(DirEntry { name, cid: built.root, dag_size: built.dag_size });
            self.packed.push((path, packed));
        }
        let built = self.directory(tables)?;
        self.top.push(entry("tables", built));
        self.fingerprint = self.fingerprint(options);
        Ok(())
    }

    /// Adds the directory of root blocks that stand for files which are not in the tree. Each is a raw block there, with the
    /// digest of the root that it is: a pin of the tree holds the block and asks for no leaf below it, and a daemon finds it
    /// under the CID of the file, since it looks blocks up by their digest.
    fn roots(&mut self, options: &PublishOptions, roots: Vec<DirEntry>) -> Result<(), PublishError> {
        if roots.is_empty() {
            return Ok(());
        }
        // Without one, all of these are where the last publication is.
        let dir = options.roots_dir().unwrap_or_else(|| options.own_roots());
        self.files.extend(roots.iter().map(|root| {
            let (size, sha256) = (root.dag_size, root.cid.digest());
            let key = FileKey { dev: 0, ino: 0, size, mtime_ns: 0, ctime_ns: 0 };
            let hashed = Hashed { cid: BlockCid::raw(sha256), sha256, size, dag_size: size, key };
            TreeFile { path: format!("{ROOTS}/{}", root.name), source: dir.join(&root.name), hashed }
        }));
        let built = self.directory(roots)?;
        self.top.push(entry(ROOTS, built));
        Ok(())
    }

    /// Writes one table, and adds it to the manifest's list.
    fn table(
        &mut self,
        options: &PublishOptions,
        repo: &CollectedRepo,
        files: &BTreeMap<&FileName, &Hashed>,
    ) -> Result<(), PublishError> {
        let local = |error| PublishError::Io { path: repo.path().into(), error };
        let mut writer = TableWriter::new(Vec::new());
        let (mut entries, mut packages, mut bytes, mut databases) = (0, 0, 0, Vec::new());
        for (name, found) in &repo.files {
            let hashed = files[name];
            match found.role {
                Role::Database => {
                    let Hashed { size, sha256, cid, key, .. } = *hashed;
                    let cid = (!size::is_own_block(size)).then_some(cid.into());
                    let modified = u64::try_from(key.mtime_ns / 1_000_000_000).ok();
                    databases.push(Database { name: name.clone(), size, sha256, cid, modified });
                }
                Role::PackageSignature => {}
                Role::Package { .. } | Role::Description { .. } => {
                    let signature = FileName::new(format!("{name}.sig")).ok();
                    let signature = signature.and_then(|name| files.get(&name)).map(|sig| (sig.size, sig.sha256));
                    let Hashed { cid, sha256, size, .. } = *hashed;
                    writer
                        .add(&Entry { name: name.clone(), size, sha256, cid: cid.into(), signature })
                        .map_err(local)?;
                    entries += 1;
                    if matches!(found.role, Role::Package { .. }) {
                        packages += 1;
                        bytes += size;
                    }
                }
            }
        }
        let mut plain = writer.finish();
        plain.shrink_to_fit();
        let nothing = Sha256::of(b"");
        self.tables.push(Table {
            repo: repo.name.clone(),
            arch: repo.arch.clone(),
            // Set when it is sealed.
            changed: 0,
            entries,
            sha256: Sha256::of(&plain),
            size: plain.len() as u64,
            // Set when it is packed.
            packed: Packed { cid: Cid::raw(nothing), sha256: nothing, size: 0 },
            diffs: Vec::new(),
            databases,
            upstream: options.upstream.get(&repo.name).cloned().unwrap_or_default(),
            // When it is sealed, as well.
            lastupdate: None,
            system: repo.system.clone(),
            // Where all is kept, an index is as it was before there was this field.
            content: match options.content {
                ContentRule::All => None,
                ContentRule::Recent { .. } => Some(TableContent::Recent),
                ContentRule::None => Some(TableContent::None),
            },
            archive: None,
        });
        self.plain.push(plain);
        let (lastupdate, backlog) = (repo.lastupdate, repo.backlog);
        self.states.push(RepoState { packages, size: bytes, lastupdate, backlog, archive: None });
        Ok(())
    }

    /// Adds up what the tables do not list yet.
    pub(super) fn backlog(&self) -> Backlog {
        self.states.iter().fold(Backlog::default(), |sum, state| sum.with(state.backlog))
    }

    fn directory(&mut self, entries: Vec<DirEntry>) -> Result<BuiltDirectory, PublishError> {
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
        let followers = options.followers.as_ref().map(FollowerTemplate::json);
        hasher.update(followers.unwrap_or_default().as_bytes());
        let signer = options.minisign.as_ref().map(|key| key.public().to_string());
        hasher.update(signer.unwrap_or_default().as_bytes());
        hasher.finish()
    }

    /// Makes the manifest of this tree, without diffs.
    pub(super) fn manifest(&self, options: &PublishOptions, sequence: u64, created: u64, expires: u64) -> Manifest {
        let FindHints { peers, gateways } = options.find.clone();
        Manifest {
            publisher: options.publisher.clone(),
            sequence,
            created,
            expires,
            tables: self.tables.clone(),
            peers,
            gateways,
        }
    }
}

/// Lists the packages that were built last.
fn newest(collection: &Collection, kept: &KeptContent) -> Vec<NewestFile> {
    let files = collection.repos.iter().flat_map(|repo| repo.files.iter().map(move |(name, file)| (repo, name, file)));
    let dated = files.filter_map(|(repo, name, file)| match file.role {
        Role::Package { built: Some(built), .. } => Some((built, repo, name, file.role)),
        _ => None,
    });
    let mut dated: Vec<_> = dated.collect();
    dated.sort_by_key(|(built, repo, name, _)| (Reverse(*built), &repo.name, &repo.arch, *name));
    let newest = dated.into_iter().take(NEWEST_MOST).filter_map(|(built, repo, name, role)| match role {
        Role::Package { size, sha256, .. } => {
            Some(NewestFile { path: repo.path_of(name, role), size, built, is_kept: kept.has(sha256) })
        }
        _ => None,
    });
    newest.collect()
}

/// Builds a directory of `entries` in any order, and adds its blocks.
pub(super) fn directory(blocks: &mut Vec<Block>, mut entries: Vec<DirEntry>) -> Result<BuiltDirectory, PublishError> {
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(dir::build(&entries, |block| blocks.push(block))?)
}

/// Returns the entry of a built directory in the one above it.
pub(super) fn entry(name: &str, built: BuiltDirectory) -> DirEntry {
    DirEntry { name: name.to_owned(), cid: built.root, dag_size: built.dag_size }
}

/// Returns the entry of a file's root block among the root blocks; `None` for a file without one, or of more than 1 GiB.
fn root_entry(file: &Hashed) -> Option<DirEntry> {
    // All blocks of the file but its leaves.
    let dag_size = file.dag_size.checked_sub(file.size)?;
    has_leaves(file).then(|| DirEntry { name: file.cid.to_string(), cid: Cid::raw(file.cid.digest()), dag_size })
}

/// Checks every package against the list of its repository, byte for byte.
fn compare(collection: &Collection, hashed: &[Hashed]) -> Result<(), PublishError> {
    let mut new = hashed.iter();
    for (repo, found) in collection.repos.iter().flat_map(|repo| repo.files.values().map(move |found| (repo, found))) {
        let hashed = found.facts(&mut new);
        let path = || found.path.clone();
        if found.key.as_deref().is_some_and(|key| *key != hashed.key) {
            return Err(PublishError::Changed(path()));
        }
        match found.role {
            Role::Package { size, sha256, .. } if (size, sha256) != (hashed.size, hashed.sha256) => {
                let is = hashed.sha256;
                let list = repo.system.as_ref().map(|system| if system.name == HAIKU { "repo" } else { "its .sha256" });
                return Err(match list {
                    Some(list) => {
                        PublishError::Haiku { path: path(), why: format!("its sha256 is {is}, {list} says {sha256}") }
                    }
                    None => PublishError::Package {
                        path: path(),
                        why: format!("its sha256 is {is}, the database says {sha256}"),
                    },
                });
            }
            Role::Description { sha256 } if sha256 != hashed.sha256 => return Err(PublishError::Changed(path())),
            Role::PackageSignature if !(1..=SIGNATURE_MOST as u64).contains(&hashed.size) => {
                let why = format!("a signature of {} bytes; 1 to 16384 are allowed", hashed.size);
                return Err(PublishError::Package { path: path(), why });
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::collect::collect;
    use super::super::tests::{NOW, RepoFixture, package};
    use super::*;

    fn tree(options: &PublishOptions) -> Tree {
        Tree::of(options, collect(&options.dirs, None).unwrap(), FormerIndex::default(), &mut |_, _, _| {}).unwrap()
    }

    #[test]
    fn a_tree_knows_neither_when_nor_where_it_is_published() {
        let made = RepoFixture::repo("custom", &[package("a-1-1-any", 10), package("b-1-1-any", 2 << 20)]);
        let one = made.options(NOW);
        let other = PublishOptions {
            state_dir: made.root().join("elsewhere"),
            key: "another".to_owned(),
            lifetime: Duration::from_secs(600),
            out: None,
            ..made.options(NOW + 100_000)
        };
        let (first, second) = (tree(&one), tree(&other));
        assert_eq!(first.fingerprint, second.fingerprint);
        let paths = |tree: &Tree| tree.files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
        assert_eq!(paths(&first), paths(&second));
        assert!(first.blocks.iter().all(|block| block.cid.proves(&block.bytes)));
        assert!(first.files.iter().all(|file| first.blocks.iter().all(|block| file.hashed.cid != block.cid)));
        let renamed = PublishOptions { publisher: "another".to_owned(), ..one };
        assert_ne!(tree(&renamed).fingerprint, second.fingerprint, "the publisher is part of the content");
    }
}
