//! The end of a transfer, for the hub, for the socket and for the log.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::error::{Error, ErrorKind};
use crate::base::name::FileName;
use crate::config::value::show_size;
use crate::engine::hub::HubResult;

/// The reason why a transfer has brought no file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum TransferError {
    /// Unavailable, for this reason.
    #[error("{0}")]
    Absent(String),
    /// It would need more than `store.max` together with the others.
    #[error("the store has no room for it beside what is coming (store.max)")]
    NoRoom,
    /// The neighbours sent other bytes than were asked for.
    #[error("{0}")]
    Corrupt(String),
    /// Ended by another failure.
    #[error("{0}")]
    Failed(String),
}

impl TransferError {
    /// Returns the same as the error of a delivery of `name`.
    pub(super) fn about(&self, name: &FileName) -> Error {
        let kind = match self {
            TransferError::Absent(_) | TransferError::NoRoom => ErrorKind::NoSource,
            TransferError::Corrupt(_) => ErrorKind::Corrupt,
            TransferError::Failed(_) => ErrorKind::Local,
        };
        Error::new(kind, name, self)
    }
}

/// Returns the socket's message for the end of a transfer without a file.
pub(super) fn refusal(error: &Error) -> String {
    let word = match error.kind {
        ErrorKind::NoSource => "absent",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Usage | ErrorKind::Local | ErrorKind::Interrupted => "failed",
    };
    format!("{word} {}", error.message)
}

/// Returns the line of the log for a transfer that has ended after `took`.
pub(super) fn told(name: &FileName, ended: &HubResult, senders: &[IpAddr], took: Duration) -> String {
    match &ended.result {
        Ok(obtained) => {
            let size = obtained.as_ref().map_or(0, |obtained| obtained.accepted.size());
            let senders: Vec<String> = senders.iter().map(ToString::to_string).collect();
            let from = if senders.is_empty() { "the store".to_owned() } else { senders.join(", ") };
            format!("transfer of {name}: {} from {from} in {:.1} s", show_size(size), took.as_secs_f64())
        }
        Err(error) => format!("transfer of {name}: not delivered: {}", error.message),
    }
}
