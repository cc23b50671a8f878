//! What a snapshot names and this publisher has not got: packages, proven by their database, and their signatures.
//!
//! Packages are ordinary deliveries: a race over all mirrors, resumed where an interrupted run stopped. A mirror that is
//! behind, or lies, may be among them.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use reqwest::Url;

use super::super::collect::ListedPackage;
use super::ask::MirrorAnswer;
use super::checked::CheckedPackages;
use super::memory::FollowPlace;
use super::pulse::{MirrorPulses, host};
use super::snapshot::{ListedRepo, key};
use super::{BytesTo, FollowError, FollowOptions, Keepable, KeptContent, PublishError, keyring};
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::FileName;
use crate::base::size::SIGNATURE_MOST;
use crate::config::template::MirrorTemplate;
use crate::engine::deliver::{Candidate, Order, Purpose};
use crate::engine::hub::{self, Hub};
use crate::engine::source::Miss;
use crate::machine::call::Call;
use crate::machine::lists::Lists;
use crate::publish::Phase;
use crate::publish::hash::hash_file;
use crate::trust::look::FileShape;
use crate::trust::output::Output;
use crate::trust::plan::Known;
use crate::trust::verify::{self, Waiver};

/// Files that are fetched at a time.
const AT_ONCE: usize = 4;
/// Signatures that do not count, with none that does, after which a run goes on no more: the keyring is another one, or
/// there is no gpgv, and all that would come would come in vain.
const IN_VAIN: usize = 16;
/// Packages without a signature that are asked for one again in a comparison.
const AGAIN: usize = 100;
/// Seconds of a day.
const DAY: u64 = 86_400;

/// A package that is to come, or its signature.
pub(super) struct MirrorArrival<'p> {
    package: &'p ListedPackage,
    known: Known,
    /// The directory of its repository at each mirror.
    repo: (&'p str, &'p str),
    pub(super) needs_bytes: bool,
    /// True for a package that the keyring has not checked yet; then its bytes are needed, wherever else they are.
    is_unchecked: bool,
    /// True when no target lacks its bytes.
    is_delivered: bool,
    needs_signature: bool,
    /// True for one that had no signature, and is asked for it again: it need not have one now.
    may_be_signed: bool,
}

impl MirrorArrival<'_> {
    pub(super) fn sha256(&self) -> Sha256 {
        self.known.sha256
    }

    pub(super) fn size(&self) -> u64 {
        self.known.size
    }

    pub(super) fn name(&self) -> &FileName {
        &self.package.file
    }

    /// Returns the repository and the architecture.
    pub(super) fn repo(&self) -> (&str, &str) {
        self.repo
    }

    /// Returns the bytes that a target will be given.
    pub(super) fn to_give(&self, kept: &KeptContent) -> u64 {
        if self.is_delivered || !kept.has(self.sha256()) { 0 } else { self.size() }
    }

    /// True for one that may not be listed yet: its bytes are missing, or its signature was not judged.
    pub(super) fn is_unproven(&self) -> bool {
        self.needs_bytes || self.is_unchecked || self.needs_signature
    }

    /// True for one of which nothing is missing: it is just asked whether it has a signature by now.
    fn is_just_asked(&self) -> bool {
        self.may_be_signed && !self.is_unproven()
    }

    pub(super) fn keepable(&self) -> Option<Keepable> {
        Keepable::listed(self.package)
    }
}

/// A signature that came, and the mirror that sent it.
type SeenSignature<'m> = (Vec<u8>, &'m MirrorTemplate);

/// Leaves so many of the packages that had no signature that a day's comparison stays small: the newest, and of the others
/// as many, in turn.
pub(super) fn ask_again_for_some(arrivals: &mut Vec<MirrorArrival<'_>>, now: u64) {
    let (mut asked, rest): (Vec<_>, Vec<_>) =
        std::mem::take(arrivals).into_iter().partition(MirrorArrival::is_just_asked);
    *arrivals = rest;
    if asked.len() > AGAIN {
        asked.sort_by_cached_key(|arrival| arrival.keepable().map(|package| package.newest_first()));
        let mut others = asked.split_off(AGAIN / 2);
        others.sort_by_key(MirrorArrival::sha256);
        let turn = (now / DAY).wrapping_mul(AGAIN as u64 / 2) % others.len() as u64;
        others.rotate_left(turn as usize);
        asked.extend(others.into_iter().take(AGAIN / 2));
    }
    arrivals.extend(asked);
}

/// What arrivals need.
pub(super) struct ArrivalDesk<'a> {
    pub(super) options: &'a FollowOptions,
    pub(super) place: &'a FollowPlace,
    pub(super) pulses: &'a MirrorPulses<'a>,
    /// The directory for root blocks.
    pub(super) roots: Option<PathBuf>,
    pub(super) bytes_to: BytesTo<'a>,
    pub(super) hub: Hub,
    /// What the keyring has checked; `None` without a keyring.
    pub(super) checked: Option<&'a CheckedPackages>,
    /// True when databases were read in this run: a signature in them may be another one than before.
    pub(super) is_new: bool,
    /// True for a comparison: what had no signature is asked for it again.
    pub(super) is_whole: bool,
    /// The bytes that mirrors have sent of each package, used or not.
    pub(super) came: RefCell<HashMap<Sha256, u64>>,
}

impl ArrivalDesk<'_> {
    /// Fetches what is missing, in that order. Bytes that are not `kept` are dropped as soon as their root is known, others
    /// as soon as the target has them. Goes on after a failure, so that the next run finds the rest here, and returns what
    /// failed; but not where no signature counts
    /// (`a_keyring_that_has_signed_nothing_costs_no_more_than_a_few_packages`), nor where the target takes no more.
    pub(super) async fn fetch<'p>(
        &self,
        arrivals: &'p [MirrorArrival<'p>],
        kept: &KeptContent,
        progress: &mut dyn FnMut(Phase, u64, u64),
    ) -> Vec<(&'p MirrorArrival<'p>, FollowError)> {
        let total = arrivals.iter().filter(|arrival| arrival.needs_bytes).map(|arrival| arrival.known.size);
        let total = total.fold(0, u64::saturating_add);
        let (mut done, mut failed, mut is_vain) = (0, Vec::new(), self.checked.is_some());
        progress(Phase::Fetch, 0, total);
        let work =
            futures_util::stream::iter(arrivals.iter().map(async |arrival| (arrival, self.one(arrival, kept).await)));
        let mut work = work.buffer_unordered(AT_ONCE);
        while let Some((arrival, result)) = work.next().await {
            match result {
                Ok(size) => {
                    is_vain = false;
                    done = size.saturating_add(done);
                    progress(Phase::Fetch, done, total);
                }
                Err(error) => {
                    is_vain &= matches!(error, FollowError::Signature { .. });
                    let takes_no_more = error.is_of_target();
                    failed.push((arrival, error));
                    if takes_no_more {
                        break;
                    }
                }
            }
            if is_vain && failed.len() >= IN_VAIN {
                break;
            }
        }
        failed
    }

    /// Lists what is missing, each package once; `has` tells the packages of which nothing is needed.
    pub(super) fn missing<'p>(
        &self,
        repos: &'p [ListedRepo],
        has: &dyn Fn(Sha256) -> bool,
    ) -> Result<Vec<MirrorArrival<'p>>, FollowError> {
        let (mut arrivals, mut seen) = (Vec::new(), HashSet::new());
        for listed in repos {
            for package in &listed.packages {
                let (Some(size), Some(sha256)) = (package.size, package.sha256) else {
                    let database = format!("{}/{}.db", key(&listed.repo, &listed.arch), listed.repo);
                    let why = format!("no sha256 and size for {}", package.file);
                    return Err(FollowError::Database { database, why });
                };
                // What an interrupted run has left here need not stay.
                let is_left = std::fs::metadata(self.place.package(sha256)).is_ok_and(|found| found.len() == size);
                let kept = std::fs::metadata(self.place.signature(sha256)).ok().map(|found| found.len());
                let needs_signature = kept.is_none() || (self.is_new && self.is_signed_anew(package, sha256));
                let may_be_signed = self.is_whole && kept == Some(0) && !needs_signature && !is_left;
                let is_unchecked = self.checked.is_some_and(|checked| needs_signature || !checked.has(sha256));
                let is_delivered = has(sha256);
                let needs_bytes = (is_unchecked || !is_delivered) && !is_left;
                let is_missing = needs_bytes || is_left || is_unchecked || needs_signature || may_be_signed;
                if seen.insert(sha256) && is_missing {
                    let known = Known { size, sha256, root: None };
                    let repo = (listed.repo.as_str(), &*listed.arch);
                    arrivals.push(MirrorArrival {
                        package,
                        known,
                        repo,
                        needs_bytes,
                        is_unchecked,
                        is_delivered,
                        needs_signature,
                        may_be_signed,
                    });
                }
            }
        }
        Ok(arrivals)
    }

    /// Returns true when the database has another signature for a package than the one that is kept.
    fn is_signed_anew(&self, package: &ListedPackage, sha256: Sha256) -> bool {
        package.signature.as_ref().is_some_and(|listed| {
            let kept = fsx::read_followed(&self.place.signature(sha256), SIGNATURE_MOST as u64).ok().flatten();
            kept.is_none_or(|kept| Sha256::of(&kept) != listed.sha256)
        })
    }

    async fn one(&self, arrival: &MirrorArrival<'_>, kept: &KeptContent) -> Result<u64, FollowError> {
        let sha256 = arrival.known.sha256;
        if arrival.needs_bytes {
            self.deliver(arrival).await?;
        }
        let path = self.place.signature(sha256);
        let mut key = String::new();
        if arrival.needs_signature || arrival.is_unchecked {
            // One that came before there was this keyring is as good as one that comes now.
            let kept = fsx::read_followed(&path, SIGNATURE_MOST as u64).ok().flatten();
            let judged = match &kept {
                Some(signature) if arrival.is_unchecked => self.judge(arrival, signature).await.ok(),
                _ => None,
            };
            key = match judged {
                Some(key) => key,
                None => {
                    let (signature, key) = self.signature(arrival).await?.unwrap_or_default();
                    fsx::replace_synced(&path, &signature).map_err(FollowError::local(&path))?;
                    key
                }
            };
        } else if arrival.may_be_signed
            && let Ok(Some((signature, _))) = self.signature(arrival).await
        {
            fsx::replace_synced(&path, &signature).map_err(FollowError::local(&path))?;
        }
        if let Some(checked) = self.checked.filter(|_| arrival.is_unchecked) {
            checked.add(sha256, &key)?;
        }
        if arrival.is_delivered {
            self.place.drop_package(sha256)?;
        } else if self.place.package(sha256).exists() {
            self.reduce(sha256, kept.has(sha256)).await?;
        }
        Ok(if arrival.needs_bytes { arrival.known.size } else { 0 })
    }

    /// Replaces a package by its root, and by the bytes at the target where they are kept: no more of them is ever on this
    /// disk than what is on its way.
    async fn reduce(&self, sha256: Sha256, is_kept: bool) -> Result<(), FollowError> {
        let (path, roots) = (self.place.package(sha256), self.roots.clone());
        let read = path.clone();
        let hashed = tokio::task::spawn_blocking(move || hash_file(&read, roots.as_deref())).await;
        let damaged = |why: String| FollowError::Damaged { path: path.clone(), why };
        let hashed = match hashed.map_err(|e| damaged(e.to_string()))? {
            Ok(hashed) if hashed.sha256 == sha256 => hashed,
            // It was proven when it came; the next run fetches it again.
            Ok(hashed) => {
                self.place.drop_package(sha256)?;
                return Err(damaged(format!("its sha256 is {}, the database says {sha256}", hashed.sha256)));
            }
            Err(PublishError::Io { path, error }) => return Err(FollowError::Local { path, error }),
            Err(error) => return Err(damaged(error.to_string())),
        };
        if let BytesTo::Kubo { arrived, .. } = self.bytes_to
            && is_kept
        {
            arrived.take(&path, &hashed).await?;
        }
        self.place.hold_one(&hashed)?;
        self.place.drop_package(sha256)
    }

    async fn deliver(&self, arrival: &MirrorArrival<'_>) -> Result<(), FollowError> {
        let name = &arrival.package.file;
        let urls = self.pulses.usable.iter().filter_map(|mirror| self.url(mirror, arrival, name.as_str()));
        let candidates: Vec<Candidate> = urls.map(Candidate::Mirror).collect();
        let plan = arrival.known.plan();
        let order = Order { name, shape: FileShape::ANY, plan: &plan, candidates: &candidates };
        let lists = Lists::of(&self.options.machine);
        let path = self.place.package(arrival.known.sha256);
        let mut call = Call::with(lists, path.parent().unwrap_or(Path::new("/var/tmp")));
        let delivered = hub::deliver(&self.hub, &mut call, order, Purpose::Refresh).await;
        let sent: u64 = delivered.receipt.contributions.iter().map(|one| one.bytes).sum();
        *self.came.borrow_mut().entry(arrival.known.sha256).or_default() += sent;
        let obtained = delivered.result.map_err(|error| FollowError::Delivery(Box::new(error)))?;
        let output = Output::at(&path).map_err(|error| FollowError::Delivery(Box::new(error)))?;
        obtained.place(&output).map_err(|error| FollowError::Delivery(Box::new(error)))
    }

    /// Returns the signature of a package, and the key that the keyring knows it by; `None` where it has none. It counts by the database, where that holds it, and
    /// by the keyring; where there is neither, by https, or when two hosts have the same. That there is none counts when
    /// every mirror says so, one of them over https, or two hosts: until the next comparison.
    async fn signature(&self, arrival: &MirrorArrival<'_>) -> Result<Option<(Vec<u8>, String)>, FollowError> {
        let MirrorArrival { package, .. } = arrival;
        let name = format!("{}.sig", package.file);
        let has_proof = package.signature.is_some() || self.options.keyring.is_some();
        let (mut seen, mut tried): (Vec<SeenSignature<'_>>, _) = (Vec::new(), Vec::new());
        let voices = &self.pulses.voices;
        let mut absent: Vec<&MirrorTemplate> = Vec::new();
        for mirror in &self.pulses.usable {
            let Some(url) = self.url(mirror, arrival, &name) else { continue };
            let question = self.pulses.notes.ask(&self.options.machine, (mirror, &url), None, SIGNATURE_MOST as u64);
            let found = match question.await {
                Ok(MirrorAnswer::File(bytes, _)) => match self.look(package, &bytes) {
                    Ok(()) => bytes,
                    Err(why) => {
                        tried.push(format!("{}: {why}", host(mirror)));
                        continue;
                    }
                },
                // One mirror a day is enough.
                Err(Miss::Absent(_)) if arrival.is_just_asked() => return Ok(None),
                Err(Miss::Absent(_)) => {
                    absent.push(mirror);
                    continue;
                }
                Ok(MirrorAnswer::Unchanged) => {
                    tried.push(format!("{}: said that it is unchanged, unasked", host(mirror)));
                    continue;
                }
                Err(miss) => {
                    tried.push(format!("{}: {miss}", host(mirror)));
                    continue;
                }
            };
            if has_proof {
                match self.judge(arrival, &found).await {
                    Ok(key) => return Ok(Some((found, key))),
                    Err(why) => tried.push(format!("{}: {why}", host(mirror))),
                }
                continue;
            }
            if mirror.is_https() || seen.iter().any(|(other, its)| *other == found && voices.differ(its, mirror)) {
                return Ok(Some((found, String::new())));
            }
            seen.push((found, mirror));
        }
        let is_heard = absent.iter().any(|mirror| mirror.is_https() || voices.differ(mirror, absent[0]));
        if !has_proof && seen.is_empty() && tried.is_empty() && is_heard {
            return Ok(None);
        }
        tried.extend(absent.iter().map(|mirror| format!("{}: it has none", host(mirror))));
        Err(match seen.first() {
            Some((first, its)) => {
                if let Some((_, mirror)) = seen.iter().find(|(other, _)| other != first) {
                    return Err(wrong(package, format!("{} and {} differ", host(its), host(mirror))));
                }
                let alone = format!("it came from {} alone, over http, which proves nothing", host(its));
                wrong(package, alone)
            }
            None if has_proof => wrong(package, tried.join("; ")),
            None => FollowError::Nowhere { what: name, tried },
        })
    }

    /// Looks whether what came for the signature of a package is one at all.
    fn look(&self, package: &ListedPackage, bytes: &[u8]) -> Result<(), String> {
        let name = signature_name(&package.file).ok_or("its name is too long")?;
        let shape = Lists::of(&self.options.machine).read(&name).shape;
        let file = fsx::in_memory(bytes).map_err(|e| e.to_string())?;
        verify::waive(Waiver::Signature, shape, &file).map(drop).map_err(|e| e.to_string())
    }

    /// Holds a signature against the database, and checks it by the keyring, where there is one. Returns the fingerprint of
    /// the key, empty where it is not known.
    async fn judge(&self, arrival: &MirrorArrival<'_>, signature: &[u8]) -> Result<String, String> {
        let listed = arrival.package.signature.as_ref();
        if listed.is_some_and(|listed| listed.sha256 != Sha256::of(signature)) {
            return Err("it is not the one in the database".to_owned());
        }
        let package = self.place.package(arrival.known.sha256);
        let Some(keyring) = &self.options.keyring else { return Ok(String::new()) };
        keyring::check(keyring, signature, package).await
    }

    fn url(&self, mirror: &MirrorTemplate, arrival: &MirrorArrival<'_>, name: &str) -> Option<Url> {
        mirror.file(arrival.repo.0, arrival.repo.1, name)
    }
}

fn wrong(package: &ListedPackage, why: String) -> FollowError {
    FollowError::Signature { name: package.file.clone(), why }
}

/// Checks the name that a package would have in a tree.
pub(super) fn signature_name(package: &FileName) -> Option<FileName> {
    FileName::new(format!("{package}.sig")).ok()
}
