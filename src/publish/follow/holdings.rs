//! What a publisher has of packages whose bytes are not here, and where bytes go that come.

use std::collections::{HashMap, HashSet};

use super::super::PublishOptions;
use super::super::collect::Collection;
use super::super::hash::{Hashed, is_rooted};
use super::super::kept::{Keepable, KeptContent};
use super::arrived::ArrivedPins;
use super::checked::CheckedPackages;
use super::former::FormerTables;
use super::memory::FollowPlace;
use super::snapshot::ListedRepo;
use crate::base::cid::BlockCid;
use crate::base::digest::Sha256;

/// Where the bytes of packages go, once they are proven.
#[derive(Clone, Copy)]
pub(in crate::publish) enum BytesTo<'a> {
    /// No target holds any: they are dropped at once.
    Nowhere,
    /// Kubo, as they come.
    Kubo {
        /// The files that it has by the last publication.
        delivered: &'a HashSet<BlockCid>,
        arrived: &'a ArrivedPins<'a>,
    },
}

impl BytesTo<'_> {
    /// True for a file whose bytes are at the target now.
    pub(super) fn has(&self, cid: BlockCid) -> bool {
        match self {
            Self::Kubo { delivered, arrived } => delivered.contains(&cid) || arrived.has(cid),
            Self::Nowhere => false,
        }
    }
}

/// What this publisher has of packages whose bytes are not here.
pub(super) struct Holdings<'a> {
    pub(super) held: HashMap<Sha256, Hashed>,
    pub(super) publish: &'a PublishOptions,
    pub(super) beside: &'a Collection,
    pub(super) bytes_to: BytesTo<'a>,
    /// What the last publication listed.
    pub(super) former: FormerTables,
    /// The repositories of the last snapshot, where not all that are wanted now are in it.
    pub(super) before: Vec<ListedRepo>,
    /// What the keyring has checked; `None` without a keyring.
    pub(super) checked: Option<CheckedPackages>,
}

impl Holdings<'_> {
    /// Chooses the packages whose bytes are kept, once `repos` are published.
    pub(super) fn kept(&self, repos: &[ListedRepo]) -> KeptContent {
        let listed = repos.iter().flat_map(|repo| &repo.packages).filter_map(Keepable::listed);
        let packages = self.beside.files().filter_map(Keepable::collected).chain(listed);
        KeptContent::of(self.publish.content, packages, self.publish.now)
    }

    /// Lists the packages that get no entry yet: no index has listed them, and their signature was not judged, or
    /// `may_miss` tells that their bytes need not have come
    /// (`bytes_that_an_interrupted_run_has_left_are_not_listed_before_their_signature_counts`).
    pub(super) fn waiting(&self, place: &FollowPlace, repos: &[ListedRepo], may_miss: bool) -> HashSet<Sha256> {
        let held = place.held();
        let is_judged = |sha256| {
            place.signature(sha256).exists() && self.checked.as_ref().is_none_or(|checked| checked.has(sha256))
        };
        let may_be_listed = |sha256| match held.contains_key(&sha256) || place.package(sha256).exists() {
            true => is_judged(sha256),
            // It is asked for, and missed by the steps to come.
            false => !may_miss,
        };
        let packages = repos.iter().flat_map(|repo| &repo.packages).filter_map(|package| package.sha256);
        packages.filter(|sha256| !may_be_listed(*sha256) && !self.former.has(*sha256)).collect()
    }

    /// True if nothing of a package is needed: its root is known, its root block is kept, and where its bytes are kept,
    /// every target has them.
    pub(super) fn has(&self, sha256: Sha256, kept: &KeptContent) -> bool {
        self.held.get(&sha256).is_some_and(|hashed| {
            let is_rooted = self.publish.roots_dir().is_none_or(|roots| is_rooted(&roots, hashed));
            let is_there = || matches!(self.bytes_to, BytesTo::Nowhere) || self.bytes_to.has(hashed.cid);
            is_rooted && (!kept.has(sha256) || is_there())
        })
    }
}
