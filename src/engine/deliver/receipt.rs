//! The receipt of a delivery: what it moved, for the journal and for the ledger of Kubo's cache.
//!
//! A delivery that fails has one too: its bytes came over the network all the same.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use crate::base::cid::Cid;
use crate::base::error::Error;
use crate::engine::deliver::Candidate;
use crate::engine::source::Miss;
use crate::store::journal::Contribution;

/// The record of a delivery, won or lost.
#[derive(Clone, Default, Debug)]
pub struct Receipt {
    /// Bytes that each source sent, used or not. Sources that sent none are left out.
    pub contributions: Vec<Contribution>,
    /// Misses of the last race, won or lost, with their sources; empty when no source was asked.
    pub misses: Vec<(Candidate, Miss)>,
    /// Files that Kubo fetched for this delivery, with their sizes in bytes.
    pub(crate) cached_by_kubo: Vec<(Cid, u64)>,
    /// Troubles that did not make it fail, one line each, for the user.
    pub warnings: Vec<String>,
    /// Sources that failed although another one delivered, one line each, for those who ask (`PKGSWARM_VERBOSE`).
    pub(crate) passed_over: Vec<String>,
}

impl Receipt {
    /// Adds bytes that `source` sent.
    pub(crate) fn sent(&mut self, source: String, bytes: u64) {
        match self.contributions.iter_mut().find(|one| one.source == source) {
            Some(one) => one.bytes += bytes,
            None if bytes > 0 => self.contributions.push(Contribution { source, bytes }),
            None => {}
        }
    }

    /// Adds the receipt of a delivery that followed.
    pub(crate) fn add(&mut self, next: Receipt) {
        next.contributions.into_iter().for_each(|one| self.sent(one.source, one.bytes));
        self.misses = next.misses;
        self.cached_by_kubo.extend(next.cached_by_kubo);
        self.warnings.extend(next.warnings);
        self.passed_over.extend(next.passed_over);
    }
}

/// The result of a delivery, beside its receipt.
#[derive(Debug)]
#[must_use]
pub struct Delivery<T> {
    /// The file, or the reason why no source could deliver it.
    pub result: Result<T, Error>,
    /// The record.
    pub receipt: Receipt,
}

impl<T> Delivery<T> {
    /// Runs `steps`, which write the receipt.
    pub(crate) async fn of(steps: impl AsyncFnOnce(&mut Receipt) -> Result<T, Error>) -> Self {
        let mut receipt = Receipt::default();
        let result = steps(&mut receipt).await;
        Self { result, receipt }
    }

    /// Adds the receipt to that of a larger delivery, and returns the result.
    pub(crate) fn noted_in(self, all: &mut Receipt) -> Result<T, Error> {
        all.add(self.receipt);
        self.result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorKind;

    #[tokio::test]
    async fn a_failed_delivery_has_its_receipt_too() {
        let mut all = Receipt::default();
        let lost = Delivery::<()>::of(async |receipt: &mut Receipt| {
            receipt.sent("mirror m.example".to_owned(), 7);
            receipt.misses.push((Candidate::File("/m".into()), Miss::Absent("HTTP 404".to_owned())));
            Err(Error::new(ErrorKind::NoSource, "a", "no source delivered it"))
        })
        .await;
        assert!(lost.noted_in(&mut all).is_err());
        let won = Delivery::of(async |receipt: &mut Receipt| {
            receipt.sent("mirror m.example".to_owned(), 3);
            receipt.sent("lan".to_owned(), 0);
            Ok(())
        })
        .await;
        won.noted_in(&mut all).unwrap();
        assert_eq!(all.contributions, [Contribution { source: "mirror m.example".to_owned(), bytes: 10 }]);
        assert!(all.misses.is_empty(), "they are those of the last race");
    }
}
