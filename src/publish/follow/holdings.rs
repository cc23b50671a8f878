//! What a publisher has of packages whose bytes are not here, and where bytes go that come.

use std::collections::{HashMap, HashSet};

use super::super::PublishOptions;
use super::super::collect::Collection;
use super::super::hash::{Hashed, is_rooted};
use super::super::kept::{Keepable, KeptContent};
use super::arrived::ArrivedPins;
use super::checked::CheckedPackages;
use super::former::FormerTables;
use super::snapshot::ListedRepo;
use crate::base::cid::BlockCid;
use crate::base::digest::Sha256;

/// Where the bytes of packages go, once they are proven.
#[derive(Clone, Copy)]
pub(in crate::publish) enum BytesTo<'a> {
    /// No target holds any: they are dropped at once.
    Nowhere,
    /// Kubo, which does not answer: they stay here until it does.
    Unheard,
    /// Kubo, as they come.
    Kubo {
        /// The files that it has.
        has: &'a HashSet<BlockCid>,
        arrived: &'a ArrivedPins<'a>,
    },
}

impl BytesTo<'_> {
    /// True unless the bytes stay here until the end of the run.
    pub(super) fn is_at_once(&self) -> bool {
        !matches!(self, Self::Unheard)
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

    /// True if nothing of a package is needed: its root is known, its root block is kept, and where its bytes are kept,
    /// every target has them.
    pub(super) fn has(&self, sha256: Sha256, kept: &KeptContent) -> bool {
        self.held.get(&sha256).is_some_and(|hashed| {
            let is_rooted = self.publish.roots_dir().is_none_or(|roots| is_rooted(&roots, hashed));
            let is_there = || match self.bytes_to {
                BytesTo::Kubo { has, .. } => has.contains(&hashed.cid),
                BytesTo::Nowhere | BytesTo::Unheard => true,
            };
            is_rooted && (!kept.has(sha256) || is_there())
        })
    }
}
