//! The end of a transfer, for its callers and for the log.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::name::FileName;
use crate::config::value::show_size;
use crate::engine::hub::Shareable;

/// The end of a transfer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TransferEnd {
    /// Whole, and proven; so many bytes.
    Done(u64),
    /// Unavailable, for this reason.
    Absent(String),
    /// The neighbours sent other bytes than were asked for.
    Corrupt(String),
    /// Ended by another failure.
    Failed(String),
}

impl Shareable for TransferEnd {
    fn share(&mut self) -> Self {
        self.clone()
    }
}

/// Returns the line of the log for a transfer that has ended after `took`.
pub(super) fn told(name: &FileName, ended: &TransferEnd, senders: &[IpAddr], took: Duration) -> String {
    match ended {
        TransferEnd::Done(size) => {
            let senders: Vec<String> = senders.iter().map(ToString::to_string).collect();
            let from = if senders.is_empty() { "the store".to_owned() } else { senders.join(", ") };
            format!("transfer of {name}: {} from {from} in {:.1} s", show_size(*size), took.as_secs_f64())
        }
        TransferEnd::Absent(why) | TransferEnd::Corrupt(why) | TransferEnd::Failed(why) => {
            format!("transfer of {name}: not delivered: {why}")
        }
    }
}
