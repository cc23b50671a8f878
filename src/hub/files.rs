//! The hub for files: deliveries by their expectation, and the call that makes one itself where it is the first.

use std::rc::Rc;

use crate::call::Call;
use crate::deliver::{self, Delivery, Obtained, Order, Purpose, Receipt};
use crate::digest::Sha256;
use crate::error::{Error, ErrorKind};
use crate::hub::{Duty, Hub, Shareable, Ticket};
use crate::plan::Expect;

/// What makes two deliveries the same: the expectation, and what the file is for, which decides where it stays. A
/// delivery without an expectation is like no other, and so is one that skips the store.
pub type DeliveryKey = (Sha256, Purpose);

/// The hub for files.
pub type FileHub = Hub<DeliveryKey, Delivery<Option<Obtained>>>;

/// The duty to fetch a file.
pub type FileDuty = Duty<DeliveryKey, Delivery<Option<Obtained>>>;

/// Returns the key of a delivery.
pub fn key(order: &Order<'_>, purpose: Purpose) -> Option<DeliveryKey> {
    match (order.plan.expect, purpose) {
        (_, Purpose::Elsewhere { .. }) | (Expect::Waived(_), _) => None,
        (Expect::Exact { sha256, .. }, purpose) => Some((sha256, purpose)),
    }
}

impl Shareable for Delivery<Option<Obtained>> {
    /// Each gets a file and the proof. The bytes are counted once: they are in the receipt of the first that shares.
    fn share(&mut self) -> Self {
        let result = match &mut self.result {
            Ok(Some(obtained)) => obtained.share().map(Some).map_err(|e| Error::local(&obtained.from, e)),
            Ok(None) => Ok(None),
            Err(error) => Err(error.clone()),
        };
        let contributions = std::mem::take(&mut self.receipt.contributions);
        let cached_by_kubo = std::mem::take(&mut self.receipt.cached_by_kubo);
        Self { result, receipt: Receipt { contributions, cached_by_kubo, ..self.receipt.clone() } }
    }
}

impl FileDuty {
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
pub async fn deliver(hub: &FileHub, call: &mut Call, order: Order<'_>, purpose: Purpose) -> Delivery<Obtained> {
    let left = call.cancel.clone();
    let (ticket, duty) = loop {
        match hub.join(key(&order, purpose).as_ref()) {
            Err(e) => return failed(Error::new(ErrorKind::NoSource, order.name, e)),
            Ok((ticket, Some(duty))) => break (ticket, duty),
            Ok((ticket, None)) => match left.run_until_cancelled(ticket.result()).await {
                None => return got(interrupted(&order), &order),
                Some(Some(made)) => return got(made, &order),
                // The one that had the duty is gone: it falls to the next.
                Some(None) => {}
            },
        }
    };
    let mut ticket = Some(ticket);
    let made = {
        let making = duty.run(call, async |call| {
            let Delivery { result, receipt } = deliver::fetch(call, order, purpose).await;
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
        (Some(made), _) => got(made, &order),
        // Others have it where this one left.
        (None, ticket) => {
            let made = futures_util::future::OptionFuture::from(ticket.map(Ticket::result)).await.flatten();
            got(made.unwrap_or_else(|| interrupted(&order)), &order)
        }
    }
}

fn got(made: Delivery<Option<Obtained>>, order: &Order<'_>) -> Delivery<Obtained> {
    let gone = || Error::new(ErrorKind::NoSource, order.name, "it was handed out already");
    Delivery { result: made.result.and_then(|file| file.ok_or_else(gone)), receipt: made.receipt }
}

fn interrupted(order: &Order<'_>) -> Delivery<Option<Obtained>> {
    Delivery { result: Err(deliver::cancelled(order.name)), receipt: Receipt::default() }
}

fn failed(error: Error) -> Delivery<Obtained> {
    Delivery { result: Err(error), receipt: Receipt::default() }
}
