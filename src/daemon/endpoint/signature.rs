//! Signatures of packages. Where pacman demands one, a package from here whose signature is answered with 404 ends the
//! whole transaction, and no other server is asked: so the signature is in hand before the first byte of its package
//! leaves. In hand means listed by an index, or delivered by a mirror, now or earlier; never a neighbour's word.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::HttpEndpoint;
use super::known::KnownPackage;
use super::reply::ClientRequest;
use super::transfer::{candidates, make, order};
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::{FileName, RepoName};
use crate::base::size::SIGNATURE_MOST;
use crate::engine::deliver::{self, Candidate, Delivery, Obtained, Purpose};
use crate::engine::want::Want;
use crate::machine::call::Call;
use crate::machine::lists::Lists;
use crate::pacman::prefetch::kept;
use crate::trust::plan::Expect;
use crate::trust::verify::{self, Waiver};

/// Time for which a signature stays in hand.
const HELD: Duration = Duration::from_secs(600);

/// Longest wait for another copy of one that a client has had.
const ANOTHER: Duration = Duration::from_secs(1);

/// Most clients that are remembered for one.
const GIVEN_MOST: usize = 64;

/// Most bytes of all signatures in hand.
const HELD_MOST: usize = 2 << 20;

/// A signature, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct HeldSignature {
    pub(super) bytes: Bytes,
    pub(super) modified: Option<SystemTime>,
}

/// The signatures in hand.
#[derive(Default)]
pub(super) struct SignaturesInHand(RefCell<BTreeMap<(RepoName, FileName), SignatureInHand>>);

struct SignatureInHand {
    held: HeldSignature,
    since: Instant,
    /// Clients that have had it. One that asks again did not like it.
    given: Vec<IpAddr>,
}

impl SignaturesInHand {
    fn get(&self, key: &(RepoName, FileName)) -> Option<HeldSignature> {
        let all = self.0.borrow();
        all.get(key).filter(|one| one.since.elapsed() < HELD).map(|one| one.held.clone())
    }

    fn put(&self, key: (RepoName, FileName), held: &HeldSignature) {
        let mut all = self.0.borrow_mut();
        if all.values().map(|one| one.held.bytes.len()).sum::<usize>() > HELD_MOST {
            all.clear();
        }
        all.insert(key, SignatureInHand { held: held.clone(), since: Instant::now(), given: Vec::new() });
    }

    /// Returns the one that `client` has had before, and lets go of it: the client did not like it.
    fn disliked(&self, key: &(RepoName, FileName), client: IpAddr) -> Option<HeldSignature> {
        let mut all = self.0.borrow_mut();
        all.get(key).filter(|one| one.given.contains(&client))?;
        all.remove(key).map(|one| one.held)
    }

    /// Records that `client` gets this one.
    fn give(&self, key: &(RepoName, FileName), client: IpAddr) {
        if let Some(one) = self.0.borrow_mut().get_mut(key).filter(|one| one.given.len() < GIVEN_MOST) {
            one.given.push(client);
        }
    }
}

/// Returns the name of the signature of a package.
pub(super) fn name_of(package: &KnownPackage) -> Option<FileName> {
    FileName::new(format!("{}.sig", package.want.name)).ok()
}

/// Returns true where the package waits for its signature: pacman demands one here, or the client is another machine,
/// whose pacman may.
pub(super) fn is_awaited(package: &KnownPackage, client: IpAddr) -> bool {
    !client.is_loopback() || package.want.repo.as_ref().is_some_and(|repo| repo.signatures_required)
}

/// Returns the signature of `package` for a client that asks for it, within `patience`. One that has had it before gets
/// another copy, if there is one.
pub(super) async fn given(
    endpoint: &Rc<HttpEndpoint>,
    lists: &Rc<Lists>,
    package: &KnownPackage,
    asked: &ClientRequest,
    patience: Duration,
) -> Option<HeldSignature> {
    let key = (package.repo.clone(), name_of(package)?);
    let disliked = endpoint.signatures.disliked(&key, asked.client);
    // It may be another user of that address, who had none yet.
    let patience = if disliked.is_some() { patience.min(ANOTHER) } else { patience };
    let held = obtained(endpoint, lists, package, disliked.is_some(), patience).await.or(disliked)?;
    if !asked.is_head {
        endpoint.signatures.give(&key, asked.client);
    }
    Some(held)
}

/// Returns the signature of `package`, within `patience`; from a mirror if it `is_anew` wanted.
pub(super) async fn obtained(
    endpoint: &Rc<HttpEndpoint>,
    lists: &Rc<Lists>,
    package: &KnownPackage,
    is_anew: bool,
    patience: Duration,
) -> Option<HeldSignature> {
    let name = name_of(package)?;
    let key = (package.repo.clone(), name.clone());
    if let Some(held) = endpoint.signatures.get(&key) {
        return Some(held);
    }
    let want = Want::in_repo(lists, &package.repo, name.clone()).ok()?;
    endpoint.lists.say(lists);
    let of_index = matches!(want.plan.expect, Expect::Exact { .. });
    let mut held = None;
    if let Expect::Exact { sha256, size } = want.plan.expect {
        let machine = endpoint.machine();
        let file = endpoint.proven.find(&machine, lists, &name, (sha256, size)).await;
        held = file.and_then(|file| read(&file, size, None));
    } else if !is_anew {
        held = here(endpoint, lists, package, &want);
    }
    if held.is_none() {
        held = timeout(patience, fetched(endpoint, package, want.clone(), of_index)).await.ok().flatten();
    }
    let held = held.or_else(|| here(endpoint, lists, package, &want))?;
    endpoint.signatures.put(key, &held);
    Some(held)
}

/// Returns the signature that a mirror delivered earlier: beside the package in a cache of pacman, or among those of
/// pending updates.
fn here(endpoint: &HttpEndpoint, lists: &Lists, package: &KnownPackage, want: &Want) -> Option<HeldSignature> {
    let Expect::Exact { sha256, .. } = package.want.plan.expect else { return None };
    let cached = lists
        .cache_dirs()
        .iter()
        .find_map(|dir| fsx::read_followed(&dir.join(want.name.as_str()), SIGNATURE_MOST as u64).ok().flatten());
    let machine = endpoint.machine();
    let bytes = cached.or_else(|| machine.settings.share_stores.iter().find_map(|store| kept::peek(store, sha256)))?;
    let file = fsx::in_memory(&bytes).ok()?;
    verify::waive(Waiver::Signature, want.shape, &file).ok()?;
    Some(HeldSignature { bytes: bytes.into(), modified: None })
}

/// Fetches it: one that an index lists from any source, another from mirrors alone. Shared by all who wait for it.
async fn fetched(
    endpoint: &Rc<HttpEndpoint>,
    package: &KnownPackage,
    want: Want,
    of_index: bool,
) -> Option<HeldSignature> {
    let mut sources = candidates(endpoint, &want, true);
    sources.retain(|source| of_index || matches!(source, Candidate::Mirror(_) | Candidate::File(_)));
    (!sources.is_empty()).then_some(())?;
    let key = Sha256::of(format!("signature {}/{}", package.repo, want.name).as_bytes());
    let (ticket, duty) = endpoint.transfers.hub.join(Some(key)).ok()?;
    if let Some(duty) = duty {
        let (endpoint, repo) = (Rc::clone(endpoint), package.repo.clone());
        tokio::task::spawn_local(async move {
            let steps = async |call: &mut Call| deliver::fetch(call, order(&want, &sources), Purpose::Caller).await;
            make(&endpoint, (&repo, &want.name), duty, steps).await;
        });
    }
    let Delivery { result, .. } = ticket.result().await?;
    let Obtained { file, accepted, modified, .. } = result.ok()??;
    read(&file, accepted.size(), modified)
}

fn read(file: &std::fs::File, size: u64, modified: Option<SystemTime>) -> Option<HeldSignature> {
    let mut bytes = vec![0; usize::try_from(size).ok().filter(|size| *size <= SIGNATURE_MOST)?];
    file.read_exact_at(&mut bytes, 0).ok()?;
    Some(HeldSignature { bytes: bytes.into(), modified })
}
