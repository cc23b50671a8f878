//! What has pending updates fetched before pacman asks for them: the last one that was not looked at yet.

use std::cell::RefCell;

use tokio::sync::Notify;

use super::known::KnownPackage;
use crate::base::name::FileName;

/// What may have updates fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum AheadCause {
    /// pacman was sent a database.
    Database,
    /// It asked for this package, which is not here.
    Package(FileName),
}

/// The last cause that was not looked at yet.
#[derive(Default)]
pub(super) struct AheadCauses {
    last: RefCell<Option<AheadCause>>,
    came: Notify,
}

impl AheadCauses {
    /// A client on this machine was sent a database.
    pub(super) fn database(&self) {
        self.tell(AheadCause::Database);
    }

    /// A client on this machine asked for a package that is not here.
    pub(super) fn package(&self, package: &KnownPackage) {
        self.tell(AheadCause::Package(package.want.name.clone()));
    }

    fn tell(&self, cause: AheadCause) {
        *self.last.borrow_mut() = Some(cause);
        self.came.notify_one();
    }

    /// Waits for the next one.
    pub(super) async fn next(&self) -> AheadCause {
        loop {
            if let Some(cause) = self.last.take() {
                return cause;
            }
            self.came.notified().await;
        }
    }

    /// Returns the one that was not looked at yet.
    pub(super) fn last(&self) -> Option<AheadCause> {
        self.last.borrow().clone()
    }

    /// Waits until there may be another one. It stays.
    pub(super) async fn changed(&self) {
        self.came.notified().await;
    }

    /// Lets go of the last one.
    pub(super) fn forget(&self) {
        self.last.take();
    }
}
