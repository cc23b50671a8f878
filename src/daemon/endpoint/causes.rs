//! What has pending updates fetched before pacman asks for them, and which of them a client has gone for elsewhere.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::known::KnownPackage;
use crate::base::digest::Sha256;
use crate::base::name::FileName;

/// Most names of packages that wait to be looked at. Two updates are enough to begin.
const NAMES: usize = 64;

/// Most packages that are remembered as fetched elsewhere.
const LEFT: usize = 4096;

/// What may have updates fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum AheadCause {
    /// pacman was sent a database.
    Database,
    /// It asked for these packages, which are not here.
    Packages(BTreeSet<FileName>),
}

/// The causes that were not looked at yet.
#[derive(Default)]
pub(super) struct AheadCauses {
    database: Cell<bool>,
    packages: RefCell<BTreeSet<FileName>>,
    came: Notify,
    /// What is fetched ahead, and what a client fetches elsewhere: that has a token that is cancelled.
    left: RefCell<HashMap<Sha256, CancellationToken>>,
}

impl AheadCauses {
    /// A client on this machine was sent a database.
    pub(super) fn database(&self) {
        // Another run of pacman: it comes here again.
        self.left.borrow_mut().retain(|_, token| !token.is_cancelled());
        self.database.set(true);
        self.came.notify_one();
    }

    /// A client on this machine asked for a package that is not here.
    pub(super) fn package(&self, package: &KnownPackage) {
        let mut packages = self.packages.borrow_mut();
        if packages.len() < NAMES {
            packages.insert(package.want.name.clone());
        }
        self.came.notify_one();
    }

    /// Waits for the next one.
    pub(super) async fn next(&self) -> AheadCause {
        loop {
            if self.database.take() {
                return AheadCause::Database;
            }
            if !self.packages.borrow().is_empty() {
                return AheadCause::Packages(self.packages.take());
            }
            self.came.notified().await;
        }
    }

    /// Returns true where a database was sent that was not looked at yet.
    pub(super) fn has_database(&self) -> bool {
        self.database.get()
    }

    /// Returns true where packages were asked for that were not looked at yet.
    pub(super) fn has_packages(&self) -> bool {
        !self.packages.borrow().is_empty()
    }

    /// Waits until there may be another one. It stays.
    pub(super) async fn changed(&self) {
        self.came.notified().await;
    }

    /// Lets go of the database that was sent last; true where there was one.
    pub(super) fn forget_database(&self) -> bool {
        self.database.take()
    }

    /// Returns the token that is cancelled when a client fetches this package elsewhere.
    pub(super) fn token(&self, sha256: Sha256) -> CancellationToken {
        self.left.borrow_mut().entry(sha256).or_default().clone()
    }

    /// A client on this machine fetches this package elsewhere: it must not cross the line a second time.
    pub(super) fn leave(&self, sha256: Sha256) {
        let mut left = self.left.borrow_mut();
        if left.len() >= LEFT {
            left.retain(|_, token| !token.is_cancelled());
        }
        left.entry(sha256).or_default().cancel();
    }

    /// Lets go of a package that is fetched ahead no more.
    pub(super) fn ended(&self, sha256: Sha256) {
        let mut left = self.left.borrow_mut();
        if left.get(&sha256).is_some_and(|token| !token.is_cancelled()) {
            left.remove(&sha256);
        }
    }
}
