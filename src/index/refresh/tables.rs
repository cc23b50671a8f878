//! The tables of an index: by what changed since the one at hand, whole only where that is not possible.

use futures_util::StreamExt as _;

use super::parts::Part;
use super::{Dead, Failure, Work};
use crate::digest::Sha256;
use crate::index::diff::Changes;
use crate::index::manifest::Table;
use crate::index::state::{Made, NotKept};

/// Diffs that are fetched at the same time.
const AT_ONCE: usize = 4;

impl Work<'_> {
    /// Makes sure that `table` is in the state directory.
    pub(super) async fn table(&self, table: &Table) -> Result<(), Dead> {
        let cell = self.tables.borrow_mut().entry(table.sha256).or_default().clone();
        cell.get_or_try_init(|| self.make(table)).await.copied()
    }

    async fn make(&self, table: &Table) -> Result<(), Dead> {
        let name = &self.source.name;
        let at_hand = crate::index::state::read_most(&self.state.table_path(name, table.sha256), table.size);
        if at_hand.is_ok_and(|bytes| bytes.is_some_and(|bytes| Sha256::of(&bytes) == table.sha256)) {
            return Ok(());
        }
        match self.by_diffs(table).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(Dead::Local(error)) => return Err(Dead::Local(error)),
            Err(Dead::Way(why)) => {
                self.warn(&format!(
                    "the diffs of {}-{} are no use, it is fetched whole: {why}",
                    table.repo, table.arch
                ));
            }
        }
        let path = table.path();
        let packed = self.part(&Part::table(&table.packed, &path)).await.map_err(Dead::Way)?;
        self.state.keep_table(name, table, Made::Packed(&packed)).map_err(|error| dead(&path, error))
    }

    /// `false` when no diffs lead from the table at hand to this one.
    async fn by_diffs(&self, table: &Table) -> Result<bool, Dead> {
        let Some(held) = &self.held else { return Ok(false) };
        let same = |old: &&Table| (&old.repo, &old.arch) == (&table.repo, &table.arch);
        let Some(old) = held.manifest.tables.iter().find(same) else { return Ok(false) };
        let path = held.table(old.sha256);
        let (Some(way), true) = (table.way_from(old.changed), path.exists()) else { return Ok(false) };
        let diffs = futures_util::stream::iter(
            way.iter().map(async |(path, diff)| self.part(&Part::block(diff.cid(), path, diff.size as usize)).await),
        );
        let (mut diffs, mut changes) = (diffs.buffered(AT_ONCE), Changes::default());
        while let Some(packed) = diffs.next().await {
            let packed = packed.map_err(Dead::Way)?;
            changes.add(&packed).map_err(|why| Dead::Way(Failure::Failed(why.to_string())))?;
        }
        let made = self.state.keep_table(&self.source.name, table, Made::Diffs(&path, &changes));
        made.map(|()| true).map_err(|error| dead(&way[0].0, error))
    }
}

fn dead(path: &str, error: NotKept) -> Dead {
    match error {
        NotKept::State(error) => Dead::Local(error),
        NotKept::Wrong(why) => Dead::Way(Failure::Failed(format!("{path}: {why}"))),
    }
}
