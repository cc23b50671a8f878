//! The pins of an ipfs-cluster, of which each peer holds what the cluster allots to it.
//!
//! A root in the pinset is not put there again, which would replace its name and metadata as a whole, unless it is ours and
//! for other peers than it shall be. Peers that gave up are asked to try again instead (`POST /pins/CID/recover`). A root
//! goes only once its successor is held: with the cluster's own `pin-update` and an unpin at once, three of six rolls ended
//! in errors at followers.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;

use crate::base::cid::Cid;
use crate::net::pinning::{ClusterApi, ClusterPin, ClusterProgress, Copies, RemoteError, RemoteState};
use crate::pins::patient::until_held;
use crate::pins::removing::remove_each;
use crate::pins::{Addition, PinError, PinMark, PinState, PinTarget, PresentPin, Removal, WantedPin};

/// The pins of one cluster.
#[derive(Clone)]
pub struct ClusterPins {
    /// The cluster.
    pub api: ClusterApi,
    /// Peers that shall hold a pin; `None`: as the cluster is configured.
    pub copies: Option<Copies>,
    /// Addresses at which its peers may get what is pinned.
    pub origins: Vec<String>,
    /// Longest wait for a pin that was added: small ones are there in a second.
    pub patience: Duration,
}

impl ClusterPins {
    /// Returns true for a pin that is for other peers than it shall be.
    fn is_elsewhere(&self, pin: &ClusterPin) -> bool {
        self.copies.zip(pin.copies).is_some_and(|(wanted, found)| wanted != found)
    }

    /// Returns how many copies there shall be at least; one where the cluster decides, or each peer shall have one.
    fn least(&self) -> u32 {
        self.copies.and_then(|copies| copies.least.try_into().ok()).unwrap_or(1)
    }

    /// Tells how far the cluster is with a root: with fewer copies than there shall be, and no peer at work, it has failed.
    async fn progress(&self, cid: Cid) -> Result<ClusterProgress, RemoteError> {
        let told = self.api.progress(cid).await?;
        let is_short = told.state == RemoteState::Held && told.copies < self.least();
        Ok(if is_short { ClusterProgress { state: RemoteState::Failed, ..told } } else { told })
    }

    async fn list_ours(&self, mark: &PinMark) -> Result<Vec<PresentPin>, PinError> {
        let mut pins = Vec::new();
        for pin in self.api.pins_beginning(mark.start()).await? {
            if mark.owns(pin.cid, &pin.name) {
                let ClusterProgress { state, copies } = self.progress(pin.cid).await?;
                let state = if self.is_elsewhere(&pin) { PinState::Failed } else { state.into() };
                pins.push(PresentPin { cid: pin.cid, name: pin.name, state, copies });
            }
        }
        Ok(pins)
    }

    async fn add_one(&self, wanted: &WantedPin, name: &str) -> Result<Addition, PinError> {
        match self.api.pin_of(wanted.cid).await? {
            Some(found) if found.name != name => {
                let is_held = self.progress(wanted.cid).await?.state == RemoteState::Held;
                return Ok(if is_held { Addition::OfUser } else { Addition::Pending });
            }
            Some(found) if self.is_elsewhere(&found) => {
                self.api.pin(wanted.cid, name, self.copies, &self.origins).await?;
            }
            Some(_) => match self.progress(wanted.cid).await?.state {
                RemoteState::Held => return Ok(Addition::Held),
                RemoteState::Failed => self.api.recover(wanted.cid).await?,
                RemoteState::AtWork => {}
            },
            None => self.api.pin(wanted.cid, name, self.copies, &self.origins).await?,
        }
        let copies = Cell::new(0);
        let state = until_held(self.patience, async || {
            let told = self.progress(wanted.cid).await?;
            copies.set(told.copies);
            Ok(told.state)
        });
        match state.await? {
            RemoteState::Held => Ok(Addition::Held),
            RemoteState::AtWork => Ok(Addition::Pending),
            RemoteState::Failed => Err(self.api.gave_up(wanted.cid, (copies.get(), self.least())).into()),
        }
    }
}

impl PinTarget for ClusterPins {
    fn list<'a>(&'a self, mark: &'a PinMark) -> LocalBoxFuture<'a, Result<Vec<PresentPin>, PinError>> {
        Box::pin(self.list_ours(mark))
    }

    fn add<'a>(&'a self, wanted: &'a WantedPin, name: &'a str) -> LocalBoxFuture<'a, Result<Addition, PinError>> {
        Box::pin(self.add_one(wanted, name))
    }

    fn remove<'a>(
        &'a self,
        pins: &'a [PresentPin],
        until: Instant,
    ) -> LocalBoxFuture<'a, Vec<(PresentPin, Result<Removal, PinError>)>> {
        Box::pin(remove_each(pins, until, async |pin| Ok(self.api.unpin(pin.cid).await.map(|()| Removal::Gone)?)))
    }
}
