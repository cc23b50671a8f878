//! The tables of an index: whole from a neighbour, else by the changes since the present one, else whole.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};

use super::files::IndexFile;
use super::{Dead, RefreshError, Work};
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::hedge::hedged;
use crate::engine::deliver::{Candidate, Purpose};
use crate::index::diff::Changes;
use crate::index::manifest::{Packed, Table};
use crate::index::state::{KeepError, TableBytes};

/// Time to wait for a neighbour before others are asked as well.
const PATIENCE: Duration = Duration::from_secs(1);

/// Diffs that are fetched at the same time.
const AT_ONCE: usize = 4;

impl Work<'_> {
    /// Makes sure that `table` is in the state directory.
    pub(super) async fn table(&self, table: &Table) -> Result<(), Dead> {
        let cell = self.tables.borrow_mut().entry(table.sha256).or_default().clone();
        cell.get_or_try_init(|| self.make(table)).await.copied()
    }

    async fn make(&self, table: &Table) -> Result<(), Dead> {
        let name = &self.target.name;
        let at_hand = fsx::read_followed(&self.state.table_path(name, table.sha256), table.size);
        if at_hand.is_ok_and(|bytes| bytes.is_some_and(|bytes| Sha256::of(&bytes) == table.sha256)) {
            return Ok(());
        }
        if self.target.lan.is_none() {
            return self.of_all(table).await;
        }
        // A neighbour sends it whole, which costs no operator anything. One that hangs is not waited for.
        let attempts = [self.of_lan(table).boxed_local(), self.of_all(table).boxed_local()];
        // A failure of this machine ends it.
        let attempts = attempts.into_iter().map(|attempt| async {
            match attempt.await {
                Ok(()) => Ok(Ok(())),
                Err(Dead::Local(error)) => Ok(Err(Dead::Local(error))),
                Err(Dead::Route(why)) => Err(why),
            }
        });
        match hedged(attempts, PATIENCE).await {
            Ok(done) => done,
            Err(failed) => {
                // The failure of the others is reported: a neighbour that lacks the table is no fault.
                let (_, why) = failed.into_iter().max_by_key(|(at, _)| *at).expect("both were asked");
                Err(Dead::Route(why))
            }
        }
    }

    /// Fetches the table from a neighbour: not compressed.
    async fn of_lan(&self, table: &Table) -> Result<(), Dead> {
        let path = format!("{}-{}.ndjson", table.repo, table.arch);
        let file = IndexFile { path: &path, sha256: table.sha256, size: table.size, cid: None };
        let got =
            self.file_from(&file, &[Candidate::Lan(table.sha256)], Purpose::Refresh).await.map_err(Dead::Route)?;
        let kept = self.state.keep_table(&self.target.name, table, TableBytes::Plain(&got.file));
        kept.map_err(|error| dead(&path, error))
    }

    /// Fetches the table's diffs, or the compressed table, from any source.
    async fn of_all(&self, table: &Table) -> Result<(), Dead> {
        let name = &self.target.name;
        match self.by_diffs(table).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(Dead::Local(error)) => return Err(Dead::Local(error)),
            Err(Dead::Route(why)) => {
                self.warn(&format!(
                    "the diffs of {}-{} are no use, it is fetched whole: {why}",
                    table.repo, table.arch
                ));
            }
        }
        let path = table.path();
        let Packed { cid, sha256, size } = table.packed;
        let packed = self.read(&IndexFile { path: &path, sha256, size, cid: Some(cid) }).await.map_err(Dead::Route)?;
        self.state.keep_table(name, table, TableBytes::Packed(&packed)).map_err(|error| dead(&path, error))
    }

    /// Delivers a file, and reads it whole: the manifest bounds its size.
    async fn read(&self, file: &IndexFile<'_>) -> Result<Vec<u8>, RefreshError> {
        let got = self.file(file, Purpose::Refresh).await?;
        fsx::read_part(&got.file, 0, file.size).map_err(|e| RefreshError::Failed(format!("{}: {e}", file.path)))
    }

    /// Applies diffs; `false` when none lead from the present table to this one.
    async fn by_diffs(&self, table: &Table) -> Result<bool, Dead> {
        let Some(held) = &self.held else { return Ok(false) };
        let same = |old: &&Table| (&old.repo, &old.arch) == (&table.repo, &table.arch);
        let Some(old) = held.manifest.tables.iter().find(same) else { return Ok(false) };
        let path = held.table(old.sha256);
        let (Some(chain), true) = (table.diffs_from(old.changed), path.exists()) else { return Ok(false) };
        let diffs = futures_util::stream::iter(chain.iter().map(async |(path, diff)| {
            let cid = diff.cid();
            self.read(&IndexFile { path, sha256: cid.digest(), size: diff.size, cid: Some(cid) }).await
        }));
        let (mut diffs, mut changes) = (diffs.buffered(AT_ONCE), Changes::default());
        while let Some(packed) = diffs.next().await {
            let packed = packed.map_err(Dead::Route)?;
            changes.add(&packed).map_err(|why| Dead::Route(RefreshError::Failed(why.to_string())))?;
        }
        let made = self.state.keep_table(&self.target.name, table, TableBytes::Diffs(&path, &changes));
        made.map(|()| true).map_err(|error| dead(&chain[0].0, error))
    }
}

fn dead(path: &str, error: KeepError) -> Dead {
    match error {
        KeepError::State(error) => Dead::Local(error),
        KeepError::Wrong(why) => Dead::Route(RefreshError::Failed(format!("{path}: {why}"))),
    }
}
