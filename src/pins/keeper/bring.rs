//! Brings one file of the share into Kubo: an ordinary delivery, proven by its sha256, whose blocks go to Kubo and which
//! is dropped here then.

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::listed::ShareEntry;
use crate::base::cid::{Cid, Codec};
use crate::base::clock;
use crate::base::error::{Error, ErrorKind};
use crate::base::fsx::FromStart;
use crate::dag::build::build_blocks;
use crate::dag::unixfs::{self, DagNode};
use crate::engine::deliver::{Candidate, Obtained, Purpose, Receipt};
use crate::engine::hub::{self, Hub};
use crate::engine::source::Miss;
use crate::engine::want::Want;
use crate::machine::Machine;
use crate::machine::call::Call;
use crate::machine::lists::Lists;
use crate::net::kubo::{Kubo, KuboError, KuboErrorKind, upload};
use crate::store::journal::{By, Journal, JournalRecord};

/// Longest time for one file: this, and a second for each 64 KiB.
const PATIENCE: Duration = Duration::from_secs(120);
const SLOWEST: u64 = 64 << 10;
/// Longest time that a file takes after the end of the time in which files are begun.
const PAST_END: Duration = Duration::from_secs(600);
/// Longest time to hand a file to Kubo: this, and a second for each MiB.
const HANDING: Duration = Duration::from_secs(60);
const SLOWEST_HANDING: u64 = 1 << 20;
/// Most blocks of one file that are looked for: 128 GiB.
const BLOCKS_MOST: usize = 1 << 17;

/// The reason why a file did not come.
#[derive(Debug)]
pub(super) enum NotBrought {
    /// No source delivered it in its time. Another round may.
    Missed {
        /// What was tried.
        error: Error,
        /// True if nothing of it came and no source said so: all were out of time, or did not answer.
        is_late: bool,
    },
    /// Kubo takes no more, or does not answer; or this machine failed, or the user stopped it.
    Over(Error),
}

/// A file that came.
pub(super) struct BroughtFile {
    /// It, proven.
    pub(super) obtained: Obtained,
    /// Bytes that sources sent for it.
    pub(super) sent: u64,
}

/// What one bringing needs.
pub(super) struct Bringer {
    pub(super) lists: Lists,
    pub(super) hub: Hub,
    pub(super) kubo: Kubo,
    /// True where mirrors may be asked.
    pub(super) mirrors: bool,
    /// No file is begun after this.
    until: Instant,
}

impl Bringer {
    /// Makes the one of a round.
    pub(super) fn new(machine: &Rc<Machine>, hub: Hub, mirrors: bool, until: Instant) -> Self {
        Self { lists: Lists::of(machine), hub, kubo: machine.kubo(), mirrors, until }
    }

    /// Brings a file into Kubo whole, and returns the bytes that sources sent for it: none if Kubo has it already.
    ///
    /// # Errors
    /// The reason why it did not come. What has come of it is kept for the next time.
    pub(super) async fn bring(&self, cid: Cid, entry: &ShareEntry) -> Result<u64, NotBrought> {
        if is_whole(&self.kubo, cid).await.map_err(|fault| self.over(&fault))? {
            return Ok(0);
        }
        let BroughtFile { obtained, sent } = self.delivered(entry).await?;
        // What came through Kubo may be there by now.
        if is_whole(&self.kubo, cid).await.map_err(|fault| self.over(&fault))? {
            return Ok(sent);
        }
        let file = obtained.file.try_clone().map_err(|e| NotBrought::Over(Error::local(&entry.name, e)))?;
        let car = upload::car(cid, move |block| {
            let built = build_blocks(FromStart::of(&file), block)?;
            // The index names the file by a root that is not its own: nothing of it counts.
            if built.root == cid { Ok(()) } else { Err(io::Error::other("the index has another root for it")) }
        });
        let deadline = HANDING + Duration::from_secs(entry.known.size / SLOWEST_HANDING);
        match self.kubo.import(car, cid, false, deadline).await {
            Ok(()) => Ok(sent),
            Err(fault) if is_over(&fault) => Err(self.over(&fault)),
            Err(fault) => {
                let error = Error::new(ErrorKind::NoSource, &entry.name, fault);
                Err(NotBrought::Missed { error, is_late: false })
            }
        }
    }

    /// Has a file delivered, within a time of its own.
    ///
    /// # Errors
    /// The reason why it did not come. What has come of it is kept for the next time.
    pub(super) async fn delivered(&self, entry: &ShareEntry) -> Result<BroughtFile, NotBrought> {
        let mut want = Want::planned(&self.lists, &entry.repo, entry.name.clone(), entry.known.plan());
        if !self.mirrors {
            want.candidates.retain(|candidate| !matches!(candidate, Candidate::Mirror(_)));
        }
        let mut call = Call::with(self.lists.again(), Path::new("/var/tmp"));
        call.cancel = self.hub.cancel().child_token();
        let left = self.until.saturating_duration_since(Instant::now()) + PAST_END;
        let patience = left.min(PATIENCE + Duration::from_secs(entry.known.size / SLOWEST));
        let begun = Instant::now();
        let delivering = hub::deliver(&self.hub, &mut call, want.order(), Purpose::Keep);
        let Ok(delivered) = tokio::time::timeout(patience, delivering).await else {
            let late = format!("did not come within {} s", patience.as_secs());
            let error = Error::new(ErrorKind::NoSource, &entry.name, late);
            return Err(NotBrought::Missed { error, is_late: true });
        };
        self.note(entry, begun, &delivered.receipt);
        let Receipt { contributions, misses, .. } = delivered.receipt;
        let sent = contributions.iter().map(|one| one.bytes).sum();
        let obtained = delivered.result.map_err(|error| match error.kind {
            ErrorKind::Interrupted | ErrorKind::Local => NotBrought::Over(error),
            _ => NotBrought::Missed { error, is_late: sent == 0 && is_late(&misses) },
        })?;
        Ok(BroughtFile { obtained, sent })
    }

    /// Writes down what its sources sent, for `stats` and `why`. Nothing was handed to a package manager, and what Kubo cached
    /// for it is the share's, which `kubo.keep` does not trim.
    fn note(&self, entry: &ShareEntry, begun: Instant, receipt: &Receipt) {
        let (store, shares) = (&self.lists.machine().store, receipt.contributions.clone());
        if store.is_passing() || shares.is_empty() {
            return;
        }
        let record = JournalRecord {
            at: clock::now(),
            took: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            by: By::Keep,
            repo: Some(entry.repo.clone()),
            name: entry.name.clone(),
            delivered: 0,
            shares,
        };
        // Statistics must not make a round fail.
        let _ = Journal::at(store.dir()).note(&record);
    }

    fn over(&self, fault: &KuboError) -> NotBrought {
        NotBrought::Over(failure(&self.kubo, fault))
    }
}

/// True if one of these sources may have the file, and was out of time or did not answer.
fn is_late(misses: &[(Candidate, Miss)]) -> bool {
    misses.iter().any(|(candidate, miss)| !matches!(candidate, Candidate::Lan(_)) && miss.is_no_answer())
}

/// Returns the error of a round that Kubo ended.
pub(super) fn failure(kubo: &Kubo, fault: &KuboError) -> Error {
    let at = kubo.api.as_ref().map_or("kubo.api", |api| api.as_str());
    let error = Error::new(ErrorKind::NoSource, "kubo", fault.told(&at));
    match fault.kind {
        KuboErrorKind::Unreachable => error.hint("start it: ipfs daemon; `pkgswarm doctor` looks further"),
        _ => error.hint("pkgswarm doctor"),
    }
}

fn is_over(fault: &KuboError) -> bool {
    let kinds = [KuboErrorKind::NoSpace, KuboErrorKind::Unreachable, KuboErrorKind::Forbidden, KuboErrorKind::TooOld];
    kinds.contains(&fault.kind)
}

/// True if all blocks of a file are on the daemon's own disk.
///
/// # Errors
/// Those of the daemon.
pub(crate) async fn is_whole(kubo: &Kubo, root: Cid) -> Result<bool, KuboError> {
    let (mut unread, mut looked) = (vec![root], 0);
    while let Some(cid) = unread.pop() {
        looked += 1;
        if looked > BLOCKS_MOST {
            return Ok(false);
        }
        if cid.codec() == Codec::Raw {
            if !kubo.has_block(cid).await? {
                return Ok(false);
            }
            continue;
        }
        let Some(block) = kubo.local_block(cid).await? else { return Ok(false) };
        match unixfs::decode(&block) {
            // The last piece is looked at first: what was cut short lacks that.
            Ok(DagNode::File { pieces, .. }) => unread.extend(pieces.iter().map(|piece| piece.cid)),
            _ => return Ok(false),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Sha256;
    use crate::engine::source::kubo::KuboReach;

    #[test]
    fn a_file_is_late_where_a_source_that_may_have_it_was_out_of_time() {
        let kubo = || Candidate::Kubo(Cid::raw(Sha256([7; 32])), KuboReach::Anywhere);
        let (silent, absent) = (Miss::Stalled(PATIENCE), || Miss::Absent("HTTP 404".to_owned()));
        let lan = (Candidate::Lan(Sha256([7; 32])), Miss::Unreachable("refused".to_owned()));
        assert!(is_late(&[(kubo(), absent()), (kubo(), silent)]));
        assert!(!is_late(&[(kubo(), absent()), lan]), "without a daemon of ours there is nothing to wait for");
        assert!(!is_late(&[]), "no source at all");
    }
}
