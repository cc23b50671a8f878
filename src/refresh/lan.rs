//! The route through neighbours: they send their copies of an index, and are not identified.
//!
//! Only data that the publisher signed is followed, the highest signed sequence first. A neighbour can make this
//! take longer, up to the deadline of the refresh, and nothing else (`tests/cases/index_lan.rs`).

use std::time::Duration;

use futures_util::StreamExt as _;

use super::{RefreshError, Work};
use crate::engine::source::neighbours::LanClient;
use crate::index::accept::{IndexOffer, RefusalError, accept};
use crate::index::manifest::MANIFEST_MOST;
use crate::index::passed::Passed;

/// Answers that are followed at the same time. Each may be a manifest of 1 MiB.
const AT_ONCE: usize = 8;

/// Time to wait for a higher sequence when one index is proven already. The neighbour that announced it may not
/// have it.
const PATIENCE: Duration = Duration::from_secs(2);

/// An answer, and the publisher's signed sequence in it.
struct LanAnswer {
    sequence: u64,
    passed: Passed,
}

impl Work<'_> {
    /// Returns the newest index that any neighbour offers and that counts.
    pub(super) async fn of_neighbours(&self, neighbours: &LanClient) -> Result<IndexOffer, RefreshError> {
        let key = self.target.grant.keys().into_iter().next().ok_or(RefreshError::Refused(RefusalError::NoKey))?;
        let answers = neighbours.index(&key).await.map_err(|miss| RefreshError::Failed(miss.to_string()))?;
        let mut failure = None;
        let mut told: Vec<LanAnswer> = Vec::new();
        for answer in answers {
            self.tally.count(answer.len() as u64);
            match self.look(&answer) {
                Ok(found) => told.push(found),
                Err(why) => failure = failure.or(Some(why)),
            }
        }
        told.sort_by_key(|found| std::cmp::Reverse(found.sequence));
        let sequences: Vec<u64> = told.iter().map(|found| found.sequence).collect();
        let follow = |(at, found)| async move { (at, self.follow_told(found).await) };
        let mut following =
            futures_util::stream::iter(told.into_iter().enumerate()).map(follow).buffer_unordered(AT_ONCE);
        let (mut best, mut open) = (None::<(u64, IndexOffer)>, vec![true; sequences.len()]);
        loop {
            let next = match &best {
                // No pending neighbour has a higher signed sequence.
                Some((has, _)) if !open.iter().zip(&sequences).any(|(open, sequence)| *open && sequence > has) => break,
                Some(_) => tokio::time::timeout(PATIENCE, following.next()).await.unwrap_or(None),
                None => following.next().await,
            };
            let Some((at, followed)) = next else { break };
            open[at] = false;
            match followed {
                Ok((sequence, offer)) if best.as_ref().is_none_or(|(has, _)| sequence > *has) => {
                    best = Some((sequence, offer));
                }
                Ok(_) => {}
                Err(why) => failure = failure.or(Some(why)),
            }
        }
        match (best, failure) {
            (Some((_, offer)), _) => Ok(offer),
            // A neighbour with an old copy is no attack.
            (None, Some(RefreshError::Refused(older @ RefusalError::Older { .. }))) => {
                Err(RefreshError::Failed(older.to_string()))
            }
            (None, Some(why)) => Err(why),
            (None, None) => Err(RefreshError::Failed("no neighbour has it".to_owned())),
        }
    }

    /// Reads the signed part of an answer: only that may cause fetching of blocks.
    fn look(&self, answer: &[u8]) -> Result<LanAnswer, RefreshError> {
        let passed =
            Passed::read(answer).map_err(|why| RefreshError::Failed(format!("a neighbour's answer: {why}")))?;
        let refused = |why: RefusalError| RefreshError::Refused(why);
        let sequence = match (&self.target.grant.ipns, &self.target.grant.minisign) {
            (Some(name), _) => {
                let record = passed.record.as_ref().ok_or(refused(RefusalError::Missing("the IPNS record")))?;
                name.verify(record, self.now).map_err(|why| refused(why.into()))?.sequence
            }
            (None, Some(key)) => {
                let minisig =
                    passed.minisig.as_ref().ok_or(refused(RefusalError::Missing("the minisign signature")))?;
                key.comment(minisig).map_err(|why| refused(why.into()))?.sequence().unwrap_or(0)
            }
            (None, None) => return Err(refused(RefusalError::NoKey)),
        };
        Ok(LanAnswer { sequence, passed })
    }

    /// Returns the index that an answer leads to, if it counts, and its sequence.
    async fn follow_told(&self, told: LanAnswer) -> Result<(u64, IndexOffer), RefreshError> {
        let Passed { record, manifest, minisig } = told.passed;
        let offer = match (self.target.grant.ipns, record, manifest) {
            (Some(name), Some(record), _) => self.follow(name, record).await?,
            (None, _, Some(cid)) => {
                let manifest = self.block(cid, "pkgswarm.json", MANIFEST_MOST).await?;
                IndexOffer { manifest, minisig, ..IndexOffer::default() }
            }
            _ => return Err(RefreshError::Refused(RefusalError::NoManifest)),
        };
        let accepted = accept(&self.target.grant, self.floor.as_ref(), &offer, self.now)?;
        Ok((accepted.manifest.sequence, offer))
    }
}
