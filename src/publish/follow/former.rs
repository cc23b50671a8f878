//! The packages that the last publication listed: none of them may be missing in the next one, whatever was lost of this
//! publisher's memory meanwhile (`a_damaged_memory_takes_no_package_out_of_the_index`).

use std::cell::OnceCell;
use std::collections::HashSet;
use std::path::Path;

use crate::base::digest::Sha256;
use crate::index::table;
use crate::publish::chain::{Chain, ChainLink};

/// The tables of the last publication, read when they are asked for.
pub(super) struct FormerTables {
    chain: Chain,
    tables: Vec<Sha256>,
    /// `None` when one of them cannot be read.
    listed: OnceCell<Option<HashSet<Sha256>>>,
}

impl FormerTables {
    pub(super) fn of<'l>(state_dir: &Path, links: impl Iterator<Item = &'l ChainLink>) -> Self {
        let tables = links.map(|link| link.sha256).collect();
        Self { chain: Chain::at(state_dir), tables, listed: OnceCell::new() }
    }

    /// Returns true for a package that they list; where one of them cannot be read, for every package.
    pub(super) fn has(&self, package: Sha256) -> bool {
        let listed = self.listed.get_or_init(|| {
            let mut listed = HashSet::new();
            for sha256 in &self.tables {
                let plain = self.chain.table(*sha256)?;
                let lines = plain.iter().filter(|byte| **byte == b'\n').count() as u64;
                for entry in table::Reader::plain(&plain[..], lines) {
                    listed.insert(entry.ok()?.sha256);
                }
            }
            Some(listed)
        });
        listed.as_ref().is_none_or(|listed| listed.contains(&package))
    }
}
