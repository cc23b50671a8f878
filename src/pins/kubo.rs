//! The pins of a Kubo daemon.
//!
//! A root that is pinned is never pinned again: the daemon takes the old pin away first, and a second call that is
//! cut short leaves none (boxo `pinning/pinner/dspinner/pin.go`, `doPinRecursive`; `doc/facts/kubo.md`). So each
//! root is looked up first (`a_pinned_root_is_never_pinned_again`). The one exception has no other way in Kubo: a
//! root that is pinned by its import gets its name by pinning it again. Cut short, that loses a root that is not
//! published yet, and the next run sends it anew.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;

use crate::base::clock;
use crate::net::kubo::{Kubo, upload};
use crate::pins::keep::Ledger;
use crate::pins::removing::remove_each;
use crate::pins::{Addition, PinContent, PinError, PinMark, PinState, PinTarget, PresentPin, Removal, WantedPin};

/// Slowest transfer that is waited for, in bytes a second: the daemon is on this machine or near.
const SLOWEST: u64 = 1 << 20;

/// The pins of one daemon.
#[derive(Clone, Copy, Debug)]
pub struct KuboPins<'a> {
    /// The daemon.
    pub kubo: &'a Kubo,
    /// Notes the files that are brought to the daemon, so that they are removed once they are unpinned
    /// (`kubo.keep`). What was there before is the user's.
    pub ledger: Option<&'a Ledger>,
    /// Longest wait for one pin, beside the time that its content takes at the slowest rate.
    pub patience: Duration,
}

impl KuboPins<'_> {
    async fn list_ours(&self, mark: &PinMark) -> Result<Vec<PresentPin>, PinError> {
        let mut pins = self.kubo.pins_named(mark.start()).await?;
        pins.retain(|(cid, name)| mark.owns(*cid, name));
        for root in mark.roots() {
            if !pins.iter().any(|(cid, _)| cid == root)
                && let Some(name) = self.kubo.pin_name(*root).await?
            {
                pins.push((*root, name));
            }
        }
        pins.sort();
        Ok(pins.into_iter().map(|(cid, name)| PresentPin { cid, name, state: PinState::Held, copies: 1 }).collect())
    }

    async fn add_one(&self, wanted: &WantedPin, name: &str) -> Result<Addition, PinError> {
        let is_claimed = wanted.content.as_ref().is_some_and(|content| content.is_claimed);
        match self.kubo.pin_name(wanted.cid).await? {
            Some(found) if found == name => return Ok(Addition::Held),
            // The import of an earlier run, cut short before it got its name.
            Some(found) if found.is_empty() && is_claimed => {
                self.kubo.pin(wanted.cid, name, self.patience).await?;
                return Ok(Addition::Held);
            }
            Some(_) => return Ok(Addition::OfUser),
            None => {}
        }
        let Some(content) = &wanted.content else {
            self.kubo.pin(wanted.cid, name, self.patience).await?;
            return Ok(Addition::Held);
        };
        let was_there = match self.ledger {
            Some(_) => self.kubo.local_block(wanted.cid).await?.is_some(),
            None => true,
        };
        let deadline = self.patience + Duration::from_secs(content.size / SLOWEST);
        let PinContent { is_claimed, write, .. } = content.clone();
        let car = upload::car(wanted.cid, move |block| write(block));
        self.kubo.import(car, wanted.cid, is_claimed, deadline).await?;
        self.kubo.pin(wanted.cid, name, deadline).await?;
        if let Some(ledger) = self.ledger.filter(|_| !was_there) {
            ledger.note(wanted.cid, content.size, clock::now())?;
        }
        Ok(Addition::Held)
    }
}

impl PinTarget for KuboPins<'_> {
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
        Box::pin(remove_each(pins, until, async |pin| Ok(self.kubo.unpin(pin.cid).await.map(|()| Removal::Gone)?)))
    }
}
