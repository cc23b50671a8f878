//! The packages that were there before a publisher began: they come little by little, within a budget of bytes a day.
//!
//! What is new since the first run comes at once, as without a budget. What the snapshot before had, and no index of this
//! publisher has listed, is the backlog; until a package of it is proven, the index has no entry for it. A run takes a
//! twelfth of a day's budget at most, so that what is new is not kept waiting for what is old.

use std::collections::HashSet;

use super::arrivals::{ArrivalDesk, MirrorArrival};
use super::budget::due;
use super::memory::FollowMemory;
use super::snapshot::ReadSnapshot;
use super::{FollowError, Holdings, Phase};
use crate::base::digest::Sha256;

/// Fetches what is missing of a snapshot: all that is new since `former`, and of the backlog what the budget allows;
/// nothing of it when no mirror was to be asked. A package of the backlog that does not come is a warning, since the index
/// does not list it yet.
pub(super) async fn bring(
    desk: &ArrivalDesk<'_>,
    read: &ReadSnapshot,
    former: Option<&ReadSnapshot>,
    holdings: &Holdings<'_>,
    memory: &mut FollowMemory,
    warnings: &mut Vec<String>,
    progress: &mut dyn FnMut(Phase, u64, u64),
) -> Result<(), FollowError> {
    let kept = holdings.kept(&read.repos);
    let mut arrivals = desk.missing(&read.repos, &|sha256| holdings.has(sha256, &kept))?;
    let mut within = HashSet::new();
    if let Some(budget) = desk.options.backfill {
        let before: Option<HashSet<Sha256>> = former.map(|former| {
            former.repos.iter().flat_map(|repo| &repo.packages).filter_map(|package| package.sha256).collect()
        });
        let (mut backlog, new): (Vec<_>, Vec<_>) = arrivals.into_iter().partition(|arrival| {
            let sha256 = arrival.sha256();
            let was_there = before.as_ref().is_none_or(|before| before.contains(&sha256));
            arrival.needs_bytes && was_there && !holdings.held.contains_key(&sha256) && !holdings.former.has(sha256)
        });
        let now = holdings.publish.now;
        if !desk.pulses.is_early {
            within = due(backlog.iter().filter_map(MirrorArrival::keepable).collect(), budget, memory.backfill, now);
        }
        backlog.retain(|arrival| within.contains(&arrival.sha256()));
        if !backlog.is_empty() {
            // What a killed run has spent stays spent.
            memory.backfill.spend(backlog.iter().map(MirrorArrival::size).sum(), now);
            desk.place.save(memory)?;
        }
        // What is new comes first.
        arrivals = new;
        arrivals.extend(backlog);
    }
    let mut failed = None;
    for (arrival, error) in desk.fetch(&arrivals, &kept, progress).await {
        if within.contains(&arrival.sha256()) {
            memory.backfill.refund(arrival.size());
            warnings.push(format!("{}: not listed yet: {error}", arrival.name()));
        } else {
            failed = failed.or(Some(error));
        }
    }
    failed.map_or(Ok(()), Err)
}
