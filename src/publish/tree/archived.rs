//! What has left the tables, in the tree: `archive/` with the tables of what left, and below it the bytes that are still
//! there, each linked by its CID: nothing is read or sent for it.

use std::collections::{BTreeMap, HashSet};

use super::super::archive::{FormerIndex, KeptArchive, with_bytes};
use super::super::chain::{Chain, table_key};
use super::super::hash::{Hashed, is_rooted};
use super::nest::Nest;
use super::{ArchiveParts, DirEntry, Tree, TreeFile, entry, root_entry};
use crate::base::cid::{BlockCid, Cid};
use crate::base::fsx::FileKey;
use crate::dag::{Block, build};
use crate::index::manifest::Packed;
use crate::index::table::Entry;
use crate::publish::{PublishError, PublishOptions};

/// The directory of all that is archived, in the tree and in a plain copy.
pub(in super::super) const ARCHIVE: &str = "archive";

/// The archive of one table, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct ArchiveState {
    /// Files in it.
    pub(in super::super) files: u64,
    /// Those of them whose bytes are in the tree.
    pub(in super::super) kept: u64,
    /// Their bytes.
    pub(in super::super) size: u64,
    /// Unix seconds from which on it tells what was there.
    pub(in super::super) since: u64,
    /// Unix seconds at which the first of the files left.
    pub(in super::super) oldest: Option<u64>,
}

impl Tree {
    /// Adds what has left the tables since `former`, as the rule of retention says; to `roots` the root blocks of what has
    /// no bytes here. Nothing without a rule.
    pub(super) fn archive(
        &mut self,
        options: &PublishOptions,
        former: FormerIndex<'_>,
        roots: &mut BTreeMap<String, DirEntry>,
    ) -> Result<(), PublishError> {
        let Some(rule) = &options.retention else { return Ok(()) };
        let chain = Chain::at(&options.state_dir);
        let (mut tables, mut dirs) = (Vec::new(), Nest::default());
        let keys: Vec<String> = self.tables.iter().map(table_key).collect();
        let next = keys.iter().zip(&self.plain);
        let next = next.map(|(key, plain)| KeptArchive::next(rule, &chain, key, former, plain, options.now));
        let next = next.collect::<Result<Vec<_>, _>>()?;
        let current: HashSet<BlockCid> = self.files.iter().map(|file| file.hashed.cid).collect();
        let chosen = with_bytes(next.iter(), rule, former, &current);
        // Bytes that are in the tree in any case, or that another table has as well, are counted there.
        let mut counted: HashSet<Cid> = current.into_iter().map(Cid::from).collect();
        for (at, (key, next)) in keys.into_iter().zip(next).enumerate() {
            let packed = self.packed_archive(&next.packed)?;
            let place = self.tables[at].place();
            let mut table = next.link.table();
            table.packed.cid = packed.0.cid;
            self.tables[at].archive = Some(table);
            let path = self.tables[at].archive_path();
            let name = path.trim_start_matches("archive/").to_owned();
            tables.push(DirEntry { name, cid: packed.0.cid, dag_size: packed.1 });

            let mut names: HashSet<&str> = HashSet::new();
            let files = next.files.iter().map(|file| &file.entry).filter(|file| chosen.contains(&file.cid));
            let kept: Vec<&Entry> = files.filter(|file| names.insert(file.name.as_str())).collect();
            let mut entries = Vec::new();
            for file in &kept {
                let hashed = hashed(file);
                entries.push(DirEntry { name: file.name.to_string(), cid: file.cid, dag_size: hashed.dag_size });
                let path = format!("{ARCHIVE}/{place}/{}", file.name);
                self.files.push(TreeFile { path, source: options.state_dir.join("archived"), hashed });
            }
            self.states[at].archive = Some(ArchiveState {
                files: table.entries,
                kept: kept.len() as u64,
                size: kept.iter().filter(|file| counted.insert(file.cid)).map(|file| file.size).sum(),
                since: table.since,
                oldest: next.files.iter().map(|file| file.until).min(),
            });
            if !entries.is_empty() {
                let built = self.directory(entries)?;
                dirs.put(&place, built)?;
            }
            for file in next.files.iter().map(|file| &file.entry) {
                let hashed = hashed(file);
                // The root blocks in a plain copy belong to it, whether the bytes are in the tree or not.
                self.listed.push(hashed);
                let is_here = options.roots_dir().is_some_and(|roots| is_rooted(&roots, &hashed));
                let is_there = former.has(file.cid) || former.has(Cid::raw(file.cid.digest()));
                if !names.contains(file.name.as_str())
                    && (is_here || is_there)
                    && let Some(root) = root_entry(&hashed)
                {
                    roots.insert(root.name.clone(), root);
                }
            }
            self.warnings.extend(next.warning.clone());
            self.packed.push((path, next.packed.clone()));
            self.archives.insert(key, ArchiveParts { link: next.link, packed: next.packed });
        }
        tables.extend(dirs.build(&mut self.blocks)?);
        let built = self.directory(tables)?;
        self.top.push(entry(ARCHIVE, built));
        Ok(())
    }

    /// Adds the blocks of a compressed archive; returns what the manifest says of it, and the bytes of all blocks.
    fn packed_archive(&mut self, packed: &[u8]) -> Result<(Packed, u64), PublishError> {
        let blocks = &mut self.blocks;
        let built = build::build_blocks(packed, |cid, bytes| {
            blocks.push(Block { cid, bytes: bytes.to_vec() });
            Ok(())
        });
        let built = built.map_err(|error| PublishError::Io { path: ARCHIVE.into(), error })?;
        Ok((Packed { cid: built.root, sha256: built.sha256, size: built.size }, built.dag_size))
    }
}

/// Returns the facts about a file that is not on this disk.
fn hashed(file: &Entry) -> Hashed {
    let Entry { size, sha256, cid, .. } = *file;
    // What was listed here has one of version 1.
    let cid = BlockCid::of(cid).unwrap_or(BlockCid::raw(sha256));
    let key = FileKey { dev: 0, ino: 0, size, mtime_ns: 0, ctime_ns: 0 };
    Hashed { cid, sha256, size, dag_size: build::dag_size(size), key }
}
