//! The packages that were there before a publisher began: they come little by little, within a budget of bytes a day.
//!
//! What is new since the first run comes at once, as without a budget. What the snapshot before had, and no index of this
//! publisher has listed, is the backlog; until a package of it is proven, the index has no entry for it. A run takes a
//! twelfth of a day's budget at most, so that what is new is not kept waiting for what is old.

use std::collections::HashSet;

use super::arrivals::{ArrivalDesk, MirrorArrival, ask_again_for_some};
use super::budget::{due, is_recent};
use super::memory::FollowMemory;
use super::snapshot::ReadSnapshot;
use super::{BytesTo, FollowError, Holdings, KeptContent, Phase};
use crate::base::digest::Sha256;
use crate::config::value::show_size;

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
    let (mut within, mut backlog) = (HashSet::new(), Vec::new());
    let (now, mut spent) = (holdings.publish.now, 0);
    ask_again_for_some(&mut arrivals, now);
    if let Some(budget) = desk.options.backfill {
        let before = former.map_or(&holdings.before, |former| &former.repos);
        let repos: HashSet<_> = before.iter().map(|listed| (listed.repo.as_str(), &*listed.arch)).collect();
        let packages: HashSet<Sha256> =
            before.iter().flat_map(|repo| &repo.packages).filter_map(|package| package.sha256).collect();
        let is_early = desk.pulses.is_early;
        (backlog, arrivals) = arrivals.into_iter().partition(|arrival| {
            let sha256 = arrival.sha256();
            // All of a repository that is followed from now on was there before.
            let was_there = packages.contains(&sha256) || !repos.contains(&arrival.repo());
            // One that is proven must not be left out of this run: it will be listed.
            let may_wait = arrival.is_unproven() || !is_early;
            may_wait && was_there && !holdings.held.contains_key(&sha256) && !holdings.former.has(sha256)
        });
        memory.missed.retain(|_, asked| is_recent(*asked, now));
        if !is_early {
            let (to_come, here): (Vec<_>, Vec<_>) = backlog.iter().partition(|arrival| arrival.needs_bytes);
            let to_come = to_come.into_iter().filter_map(MirrorArrival::keepable).collect();
            within = due(to_come, budget, memory.backfill, &memory.missed, now);
            within.extend(here.into_iter().map(MirrorArrival::sha256));
        }
        backlog.retain(|arrival| within.contains(&arrival.sha256()));
    }
    warnings.extend(make_way(desk, &arrivals, &mut backlog, &kept, progress).await?);
    if !backlog.is_empty() {
        // What a killed run has spent stays spent.
        spent = sum(backlog.iter().filter(|arrival| arrival.needs_bytes).map(MirrorArrival::size));
        memory.backfill.spend(spent, now);
        desk.place.save(memory)?;
    }
    // What is new comes first.
    arrivals.extend(backlog);
    let mut failed = None;
    let fetched = desk.fetch(&arrivals, &kept, progress).await;
    let came = desk.came.take().into_iter().filter(|(sha256, _)| within.contains(sha256)).map(|(_, bytes)| bytes);
    memory.backfill.settle(spent, sum(came));
    for (arrival, error) in fetched {
        if within.contains(&arrival.sha256()) && !error.is_of_target() {
            memory.missed.insert(arrival.sha256(), now);
            // They come again with another signature.
            desk.place.drop_package(arrival.sha256())?;
            warnings.push(format!("{}: not listed yet: {error}", arrival.name()));
        } else {
            failed = failed.or(Some(error));
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Asks whether Kubo has room for what is `new`, and takes out of the backlog what would fill more than half of the rest: a
/// full one could not take the index itself. Returns a warning for what was taken out.
///
/// # Errors
/// `Space` where what is new does not fit; `Kubo`, `Local`.
async fn make_way(
    desk: &ArrivalDesk<'_>,
    new: &[MirrorArrival<'_>],
    backlog: &mut Vec<MirrorArrival<'_>>,
    kept: &KeptContent,
    progress: &mut dyn FnMut(Phase, u64, u64),
) -> Result<Option<String>, FollowError> {
    let BytesTo::Kubo { arrived, .. } = desk.bytes_to else { return Ok(None) };
    let given = |arrivals: &[MirrorArrival<'_>]| sum(arrivals.iter().map(|arrival| arrival.to_give(kept)));
    let (need, wanted) = (given(new), given(backlog));
    if need == 0 && wanted == 0 {
        return Ok(None);
    }
    let free = arrived.room().await?;
    let Some(mut rest) = free.checked_sub(need).map(|rest| rest / 2) else {
        return Err(FollowError::Space { need, free });
    };
    let (fitting, left): (Vec<_>, Vec<_>) = std::mem::take(backlog).into_iter().partition(|arrival| {
        let fits = rest.checked_sub(arrival.to_give(kept));
        rest = fits.unwrap_or(rest);
        fits.is_some()
    });
    *backlog = fitting;
    for arrival in &left {
        // One that is here and proven would be listed.
        desk.place.drop_package(arrival.sha256())?;
    }
    let need = need.saturating_add(given(backlog));
    arrived.expect(need);
    progress(Phase::Cost, need, free);
    Ok((!left.is_empty()).then(|| {
        let (bytes, free) = (show_size(given(&left)), show_size(free));
        let why = format!("Kubo has room for {free}, half of which stays free; raise Datastore.StorageMax");
        format!("{} of the backlog ({bytes}) not listed yet: {why}", left.len())
    }))
}

/// Adds up sizes, which mirrors may have made up.
fn sum(sizes: impl Iterator<Item = u64>) -> u64 {
    sizes.fold(0, u64::saturating_add)
}
