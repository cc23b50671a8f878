//! The hub for files: deliveries by their expectation, and the call that makes one itself where it is the first.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::rc::Rc;

use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind};
use crate::base::listener::StayWish;
use crate::base::name::FileName;
use crate::engine::deliver::{self, Delivery, Obtained, Order, Purpose, Receipt};
use crate::engine::hub::{Duty, Hub, HubResult, Ticket};
use crate::machine::call::Call;
use crate::trust::plan::Expect;
use crate::trust::verify::Accepted;

/// What is wanted of a hub.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The digest of the whole file; `None` to share the transfer with no other.
    pub(crate) key: Option<Sha256>,
    /// Its name, for messages.
    pub(crate) name: &'a FileName,
    /// What it is for, which decides where it stays.
    pub(crate) purpose: Purpose,
}

/// Returns the key of a delivery. One without an expectation is like no other, and so is one that skips the store.
pub fn key(order: &Order<'_>, purpose: Purpose) -> Option<Sha256> {
    match (order.plan.expect, purpose) {
        (_, Purpose::Elsewhere { .. }) | (Expect::Waived(_), _) => None,
        (Expect::Exact { sha256, .. }, _) => Some(sha256),
    }
}

/// Returns the same for one more listener: each gets a file and the proof, and none may take the file itself from then
/// on. The bytes are counted once: they are in the receipt of the first that shares.
pub(super) fn share(made: &mut HubResult) -> HubResult {
    let result = match &mut made.result {
        Ok(Some(obtained)) => obtained.share().map(Some).map_err(|e| Error::local(&obtained.from, e)),
        Ok(None) => Ok(None),
        Err(error) => Err(error.clone()),
    };
    let contributions = std::mem::take(&mut made.receipt.contributions);
    let cached_by_kubo = std::mem::take(&mut made.receipt.cached_by_kubo);
    Delivery { result, receipt: Receipt { contributions, cached_by_kubo, ..made.receipt.clone() } }
}

impl Duty {
    /// Runs `steps` with a call that ends with the last listener, and tells the listeners its progress.
    pub async fn run<T>(&self, call: &mut Call, steps: impl AsyncFnOnce(&mut Call) -> T) -> T {
        let listener = Rc::new(self.listener(Rc::clone(&call.listener)));
        let cancel = std::mem::replace(&mut call.cancel, self.cancel().clone());
        let listener = std::mem::replace(&mut call.listener, listener);
        let ended = steps(call).await;
        (call.cancel, call.listener) = (cancel, listener);
        ended
    }
}

/// Delivers a file through the hub, as [`deliver::fetch`] does: the first who asks for it fetches it, and goes on for
/// as long as any listens; the others wait.
pub async fn deliver(hub: &Hub, call: &mut Call, order: Order<'_>, purpose: Purpose) -> Delivery<Obtained> {
    let wanted = Wanted { key: key(&order, purpose), name: order.name, purpose };
    obtain(hub, call, wanted, async |call: &mut Call| deliver::fetch(call, order, purpose).await).await
}

/// Obtains a file through the hub, by `make` where this call is the first who asks for it. A transfer that is joined
/// may have been made for another purpose: where its file did not stay as this one needs it, it is obtained anew.
pub async fn obtain(
    hub: &Hub,
    call: &mut Call,
    wanted: Wanted<'_>,
    make: impl AsyncFnOnce(&mut Call) -> Delivery<Obtained>,
) -> Delivery<Obtained> {
    let (left, name) = (call.cancel.clone(), wanted.name);
    let (ticket, duty) = loop {
        let (ticket, duty) = match hub.join(wanted.key) {
            Ok(joined) => joined,
            Err(e) => return failed(Error::new(ErrorKind::NoSource, name, e)),
        };
        ticket.want_stay(wanted.purpose.stays());
        if let Some(duty) = duty {
            break (ticket, duty);
        }
        match left.run_until_cancelled(ticket.result()).await {
            None => return failed(deliver::cancelled(name)),
            Some(Some(made)) if is_served(call, wanted.purpose, &made) => return got(made, name),
            // The one that had the duty is gone, or made it for itself: it falls to the next.
            Some(_) => {}
        }
    };
    let mut ticket = Some(ticket);
    let made = {
        let making = duty.run(call, async |call| {
            let Delivery { result, receipt } = make(call).await;
            Delivery { result: result.map(Some), receipt }
        });
        tokio::pin!(making);
        loop {
            tokio::select! {
                biased;
                () = left.cancelled(), if ticket.is_some() => ticket = None,
                made = &mut making => break made,
            }
        }
    };
    match (duty.finish(made), ticket) {
        (Some(made), _) => got(made, name),
        // Others have it where this one left.
        (None, ticket) => {
            let made = futures_util::future::OptionFuture::from(ticket.map(Ticket::result)).await.flatten();
            made.map_or_else(|| failed(deliver::cancelled(name)), |made| got(made, name))
        }
    }
}

/// Returns true when what was made for others serves this purpose as well.
fn is_served(call: &Call, purpose: Purpose, made: &HubResult) -> bool {
    match &made.result {
        // Each index has addresses of its own, and what failed at those of another may be at these.
        Err(_) => purpose != Purpose::Refresh,
        // A read-ahead has left it to the call that wanted it.
        Ok(None) => purpose == Purpose::ReadAhead,
        Ok(Some(Obtained { accepted: Accepted::Proven(proof), .. })) if purpose.stays() > StayWish::AsUsual => {
            call.machine.store.has(proof.sha256(), proof.size())
        }
        Ok(Some(_)) => true,
    }
}

fn got(made: HubResult, name: &FileName) -> Delivery<Obtained> {
    let gone = || Error::new(ErrorKind::NoSource, name, "it was handed out already");
    Delivery { result: made.result.and_then(|file| file.ok_or_else(gone)), receipt: made.receipt }
}

fn failed(error: Error) -> Delivery<Obtained> {
    Delivery { result: Err(error), receipt: Receipt::default() }
}
