//! The order for a delivery: the file, the sources to ask, and the purpose.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::time::{Duration, SystemTime};

use crate::base::listener::StayWish;
use crate::base::name::FileName;
use crate::engine::deliver::{Candidate, Obtained};
use crate::trust::look::FileShape;
use crate::trust::plan::Plan;

/// The file that a delivery is about: its name, the expectation on its bytes, and the sources to ask, in order.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The name, for messages and package caches.
    pub name: &'a FileName,
    /// What it looks like, where it comes without a proof.
    pub shape: FileShape,
    /// The expectation.
    pub plan: &'a Plan,
    /// The sources.
    pub candidates: &'a [Candidate],
}

/// The purpose of a delivery: it decides where the file is looked for, and where it stays.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Purpose {
    /// The caller gets the file now.
    Caller,
    /// The caller gets it now, and from a source: the store and the package caches are skipped.
    Elsewhere {
        /// Longest silence of the last source, when not `download.patience`.
        patience: Option<Duration>,
    },
    /// A later call gets it: a file that this machine has anyway is kept until then.
    ReadAhead,
    /// A refresh reads it, and keeps in the state directory what it makes of it.
    Refresh,
    /// It is put elsewhere, and is not kept here: a share in Kubo.
    Keep,
    /// It must be in the store afterwards and stay there until pacman has it, whatever the source.
    Prefetch,
}

impl Purpose {
    pub(super) fn is_for_the_caller(self) -> bool {
        matches!(self, Purpose::Caller | Purpose::Elsewhere { .. })
    }

    /// Returns where the file is to stay.
    pub(crate) fn stays(self) -> StayWish {
        match self {
            Purpose::Refresh | Purpose::Keep => StayWish::Nowhere,
            Purpose::Caller | Purpose::Elsewhere { .. } => StayWish::AsUsual,
            Purpose::ReadAhead => StayWish::UntilTaken,
            Purpose::Prefetch => StayWish::Lasting,
        }
    }

    /// True where a broken or full store is no reason to wait for a better time.
    pub(super) fn may_do_without_store(self) -> bool {
        !matches!(self, Purpose::Prefetch | Purpose::Keep)
    }

    /// True for what pacman may have in a package cache.
    pub(super) fn is_pacmans(self) -> bool {
        self != Purpose::Refresh
    }

    pub(super) fn looks_here(self) -> bool {
        !matches!(self, Purpose::Elsewhere { .. })
    }
}

/// The dates that decide whether the caller's own copy stays.
#[derive(Clone, Copy, Default, Debug)]
pub struct Since {
    /// Fetch only a file that is newer than this.
    pub(crate) newer_than: Option<SystemTime>,
    /// Refuse one that is older than this: a source that is behind is not asked for its bytes.
    pub(crate) not_older_than: Option<SystemTime>,
}

/// The result of an [`update`].
#[derive(Debug)]
pub enum Updated {
    /// The file.
    File(Obtained),
    /// The caller's file is current, says this source.
    Unchanged(String),
    /// This source has an older one than the caller accepts, of this date.
    Older(String, SystemTime),
}
