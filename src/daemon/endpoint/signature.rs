//! Signatures of packages. Where pacman demands one, a package from here whose signature is answered with 404 ends the
//! whole transaction, and no other server is asked: so the signature is in hand before the first byte of its package
//! leaves. In hand means listed by an index, or delivered by a mirror, now or earlier; never a neighbour's word. Only where
//! no mirror can be reached, as without an uplink, or none is to be asked (`endpoint.mirrors`), the endpoint that the user named as the house's is believed, as pacman
//! would believe it: else the package would not come at all. A mirror that is reached and slow, or has no signature, is
//! none of that (test `a_signature_of_a_named_endpoint_is_believed_only_where_no_mirror_can_be_reached`).

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use tokio::time::timeout;

use super::HttpEndpoint;
use super::desk::Desk;
use super::here::{FileContent, HereFile};
use super::in_hand::{HeldSignature, SignatureKey};
use super::known::KnownPackage;
use super::reply::ClientRequest;
use super::threads::Urgency;
use super::transfer::{NewTransfer, PATIENCE, candidates, has_secret};
use super::{piece, reach};
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::FileName;
use crate::base::size::SIGNATURE_MOST;
use crate::engine::deliver::{self, Candidate, Delivery, Obtained, Purpose};
use crate::engine::want::Want;
use crate::machine::call::Call;
use crate::pacman::prefetch::kept;
use crate::trust::plan::Expect;
use crate::trust::verify::{self, Waiver};

/// Longest wait for an endpoint of the house.
const OF_HOUSE: Duration = Duration::from_secs(3);

/// Silence of mirrors after which it is asked whether any can be reached.
const SILENT: Duration = Duration::from_millis(300);

/// Longest wait for another copy of one that a client has had.
const ANOTHER: Duration = Duration::from_secs(1);

/// Returns the name of the signature of a package.
pub(super) fn name_of(package: &KnownPackage) -> Option<FileName> {
    FileName::new(format!("{}.sig", package.want.name)).ok()
}

/// Returns the key of the signature of a package.
fn key_of(package: &KnownPackage) -> Option<SignatureKey> {
    let Expect::Exact { sha256, .. } = package.want.plan.expect else { return None };
    Some((package.repo.clone(), name_of(package)?, sha256))
}

/// Returns true where the package waits for its signature: pacman demands one here, or the client is another machine,
/// whose pacman may.
pub(super) fn is_awaited(package: &KnownPackage, client: IpAddr) -> bool {
    !client.is_loopback() || package.want.repo.as_ref().is_some_and(|repo| repo.signatures_required)
}

/// What a desk knows of a signature.
#[derive(Clone)]
pub(super) enum SignatureLook {
    Held(HeldSignature),
    /// To be fetched.
    Wanted {
        want: Box<Want>,
        of_index: bool,
        /// One that is here, for where no source has another.
        at_last: Option<HeldSignature>,
    },
}

/// How a signature is fetched.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignatureQuest {
    /// True for another machine, for which no mirror with credentials is asked.
    pub(super) is_foreign: bool,
    /// True where the other endpoints of the house may be asked, after the mirrors.
    pub(super) asks_house: bool,
    /// Longest wait for mirrors.
    pub(super) patience: Duration,
}

/// A client's question for a signature, answered by a desk.
pub(super) struct SignatureAsked {
    pub(super) package: KnownPackage,
    look: Option<SignatureLook>,
    /// The one that this client has had.
    disliked: Option<HeldSignature>,
}

impl Desk {
    /// Looks for the signature of `package`.
    pub(super) fn signature(&self, package: &KnownPackage) -> Option<SignatureLook> {
        self.signature_for(package, false)
    }

    /// Looks for the signature of a package for a client that asks for it. One that has had it before gets another copy,
    /// if there is one.
    pub(super) fn signature_asked(&self, package: KnownPackage, client: IpAddr) -> Option<SignatureAsked> {
        let key = key_of(&package)?;
        let disliked = self.means.memory.signatures.disliked(&key, client);
        let look = self.signature_for(&package, disliked.is_some());
        Some(SignatureAsked { package, look, disliked })
    }

    /// Looks for it; one that comes from a mirror if it `is_anew` wanted.
    fn signature_for(&self, package: &KnownPackage, is_anew: bool) -> Option<SignatureLook> {
        let key = key_of(package)?;
        let name = key.1.clone();
        let signatures = &self.means.memory.signatures;
        if let Some(held) = signatures.get(&key) {
            return Some(SignatureLook::Held(held));
        }
        let want = Want::in_repo(&self.lists, &package.repo, name.clone()).ok()?;
        self.means.say(&self.lists);
        let of_index = match want.plan.expect {
            Expect::Exact { sha256, size } => Some((sha256, size)),
            Expect::Waived(_) => None,
        };
        let listed = of_index.and_then(|listed| match self.find(&name, listed, true) {
            HereFile::Proven(FileContent::Bytes(bytes)) => Some(Bytes::copy_from_slice(&bytes)),
            HereFile::Proven(FileContent::File(file)) => Some(fsx::read_part(&file, 0, listed.1).ok()?.into()),
            _ => None,
        });
        let listed = listed.map(|bytes| HeldSignature { bytes, modified: None });
        let here = listed.or_else(|| self.kept_signature(package, &want).filter(|_| of_index.is_none()));
        match here {
            Some(held) if of_index.is_some() || !is_anew => {
                signatures.put(key, &held);
                Some(SignatureLook::Held(held))
            }
            here => {
                let at_last = here.or_else(|| self.kept_signature(package, &want));
                Some(SignatureLook::Wanted { want: Box::new(want), of_index: of_index.is_some(), at_last })
            }
        }
    }

    /// Returns the signature that a mirror delivered earlier: beside the package in a cache of pacman, or among those of
    /// pending updates.
    fn kept_signature(&self, package: &KnownPackage, want: &Want) -> Option<HeldSignature> {
        let Expect::Exact { sha256, size } = package.want.plan.expect else { return None };
        // Beside a package of another size it is that one's.
        let is_its = |dir: &&PathBuf| {
            fs::metadata(dir.join(package.want.name.as_str())).map_or(true, |package| package.len() == size)
        };
        let cached =
            self.lists.cache_dirs().iter().filter(is_its).find_map(|dir| {
                fsx::read_followed(&dir.join(want.name.as_str()), SIGNATURE_MOST as u64).ok().flatten()
            });
        let stores = &self.machine.settings.share_stores;
        let bytes = cached.or_else(|| stores.iter().find_map(|store| kept::peek(store, sha256)))?;
        let file = fsx::in_memory(&bytes).ok()?;
        verify::waive(Waiver::Signature, want.shape, &file).ok()?;
        Some(HeldSignature { bytes: bytes.into(), modified: None })
    }
}

/// Returns the signature for a client that asked a desk for it, within pacman's patience.
pub(super) async fn given(
    endpoint: &HttpEndpoint,
    asked: SignatureAsked,
    request: &ClientRequest,
) -> Option<HeldSignature> {
    let SignatureAsked { package, look, disliked } = asked;
    // It may be another user of that address, who had none yet.
    let left = PATIENCE.saturating_sub(request.begun.elapsed());
    let patience = if disliked.is_some() { ANOTHER } else { left.saturating_sub(OF_HOUSE) };
    let (is_foreign, asks_house) = (!request.client.is_loopback(), request.asks_house(&package));
    let quest = SignatureQuest { is_foreign, asks_house, patience };
    let held = match look {
        Some(look) => timeout(left, obtained(endpoint, &package, look, quest)).await.ok().flatten(),
        None => None,
    };
    let held = held.or(disliked)?;
    if !request.is_head {
        endpoint.means.memory.signatures.give(&key_of(&package)?, request.client);
    }
    Some(held)
}

/// Returns the signature of `package` for a client.
pub(super) async fn obtained(
    endpoint: &HttpEndpoint,
    package: &KnownPackage,
    look: SignatureLook,
    SignatureQuest { is_foreign, asks_house, patience }: SignatureQuest,
) -> Option<HeldSignature> {
    let (want, of_index, at_last) = match look {
        SignatureLook::Held(held) => return Some(held),
        SignatureLook::Wanted { want, of_index, at_last } => (want, of_index, at_last),
    };
    let key = key_of(package)?;
    let (repo, name) = (&package.repo, &want.name);
    let house = &endpoint.transfers.house;
    let mut sources = candidates(endpoint, &want, is_foreign);
    if !of_index {
        sources.retain(|source| matches!(source, Candidate::Mirror(_) | Candidate::File(_)));
    } else if asks_house {
        // What an index lists is proven, whatever its source.
        sources.splice(0..0, house.candidates(repo, name));
    }
    let named = if asks_house && !of_index { house.named(repo, name) } else { Vec::new() };
    let mirrors: Vec<Url> = sources.iter().filter_map(mirror).collect();
    let asks_mirrors = endpoint.machine().settings.endpoint.mirrors;
    let has_none_to_ask = asks_mirrors && mirrors.is_empty();
    let may_ask_named = !(named.is_empty() || has_none_to_ask);
    let is_one_reached = async || asks_mirrors && reach::reaches_one(endpoint, &mirrors).await;
    let none_is_reached = async {
        tokio::time::sleep(SILENT).await;
        if !may_ask_named || is_one_reached().await {
            std::future::pending().await
        }
    };
    let of_mirrors = tokio::select! {
        held = timeout(patience, fetched(endpoint, &key, &want, sources)) => held.ok().flatten(),
        () = none_is_reached => None,
    };
    let mut held = of_mirrors.or(at_last);
    if held.is_none() && may_ask_named && !is_one_reached().await {
        held = timeout(OF_HOUSE, fetched(endpoint, &key, &want, named)).await.ok().flatten();
    }
    let held = held?;
    endpoint.means.memory.signatures.put(key, &held);
    Some(held)
}

/// Returns the URL of a mirror.
fn mirror(source: &Candidate) -> Option<Url> {
    match source {
        Candidate::Mirror(url) => Some(url.clone()),
        _ => None,
    }
}

/// Fetches it from these sources. Shared by all who wait for it.
async fn fetched(
    endpoint: &HttpEndpoint,
    (repo, name, package): &SignatureKey,
    want: &Want,
    sources: Vec<Candidate>,
) -> Option<HeldSignature> {
    let is_private = |source: &Candidate| matches!(source, Candidate::Mirror(url) if has_secret(url));
    let from = match sources.first()? {
        Candidate::House(_) => "the house",
        _ if sources.iter().any(is_private) => "private mirrors",
        _ => "mirrors",
    };
    let want = Want { candidates: sources, ..want.clone() };
    let key = Sha256::of(format!("signature {repo}/{name} of {package} from {from}").as_bytes());
    let (ticket, duty) = endpoint.transfers.hub.join(Some(key)).ok()?;
    if let Some(duty) = duty {
        let transfer = NewTransfer::of(&want, repo, Urgency::First);
        let steps = async move |call: &mut Call| deliver::fetch(call, want.order(), Purpose::Caller).await;
        transfer.start(endpoint, duty, steps);
    }
    let Delivery { result, .. } = ticket.result().await?;
    let Obtained { file, accepted, modified, .. } = result.ok()??;
    let size = Some(accepted.size()).filter(|size| *size <= SIGNATURE_MOST as u64)?;
    let bytes = piece::read(&Arc::new(file), 0, size).await.ok()?;
    (bytes.len() as u64 == size).then(|| HeldSignature { bytes: bytes.into(), modified })
}
