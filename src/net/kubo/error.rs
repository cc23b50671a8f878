//! Failures that a Kubo daemon reports, sorted by remedy.
//!
//! Kubo has no error codes: nearly everything is HTTP 500 with a text. All knowledge of those texts is in this file
//! (Kubo 0.43, `core/commands`, `boxo:gateway`).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt;
use std::io;
use std::time::Duration;

use crate::base::name::shown;

/// The kind of a failed call to Kubo. Code matches on this, never on the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KuboErrorKind {
    /// No process answers at the address. Starting the daemon helps.
    Unreachable,
    /// No answer within the call's deadline. Trying again later may help.
    Deadline,
    /// The daemon refuses the call (`API.Authorizations`, or an address that is not its API). Configuration helps.
    Forbidden,
    /// The requested object does not exist: no such key, record, pin or block.
    Absent,
    /// The daemon is too old for the call; 0.40 is needed.
    TooOld,
    /// The disk or the daemon's `Datastore.StorageMax` is full.
    NoSpace,
    /// The daemon is overloaded (429) or gave up waiting for the network (504). Trying again later may help.
    Busy,
    /// The answer does not fit the call, was cut off, or is larger than allowed.
    Malformed,
    /// Any other failure; see the text.
    Other,
}

/// The text of a failure where no process listens at the address.
const CLOSED: &str = "nothing listens there";

/// A failed call to Kubo: the call, the kind, and the daemon's own words.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("kubo: {call}: {text}")]
pub struct KuboError {
    /// The call, for example `dag/import`.
    pub(crate) call: &'static str,
    /// The kind of failure, which decides the remedy.
    pub(crate) kind: KuboErrorKind,
    /// The daemon's words, made fit to print.
    pub text: String,
}

impl KuboError {
    /// Makes a failure of `call` with a text of pkgswarm's own.
    pub(crate) fn new(call: &'static str, kind: KuboErrorKind, text: impl AsRef<str>) -> Self {
        Self { call, kind, text: shown(text.as_ref()).into_owned() }
    }

    /// Makes a failure of a call that took longer than `deadline`.
    pub(super) fn deadline(call: &'static str, deadline: Duration) -> Self {
        Self::new(call, KuboErrorKind::Deadline, format!("no complete answer within {} s", deadline.as_secs_f32()))
    }

    /// Makes a failure of the transport.
    pub(super) fn transport(call: &'static str, error: &reqwest::Error) -> Self {
        let kind = if error.is_connect() {
            KuboErrorKind::Unreachable
        } else if error.is_timeout() {
            KuboErrorKind::Deadline
        } else {
            KuboErrorKind::Malformed
        };
        // The URL may carry a password; the innermost cause is the informative one.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let is_closed = cause.downcast_ref::<io::Error>().is_some_and(|e| {
            kind == KuboErrorKind::Unreachable
                && matches!(e.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
        });
        if is_closed { Self::new(call, kind, CLOSED) } else { Self::new(call, kind, cause.to_string()) }
    }

    /// Describes the failure in the user's terms, with the address that was asked: `Kubo is not running (nothing
    /// listens on 127.0.0.1:5001)`.
    pub(crate) fn told(&self, at: &impl fmt::Display) -> String {
        let at = at.to_string();
        let at = at.strip_prefix("http://").unwrap_or(&at).trim_end_matches('/');
        match self.kind {
            KuboErrorKind::Unreachable if self.text == CLOSED => {
                format!("Kubo is not running (nothing listens on {at})")
            }
            KuboErrorKind::Unreachable => format!("Kubo cannot be reached at {at}: {}", self.text),
            KuboErrorKind::Deadline => format!("Kubo does not answer at {at}: {}", self.text),
            _ => format!("Kubo at {at}: {}: {}", self.call, self.text),
        }
    }

    /// Makes a failure from an HTTP status other than success. RPC bodies are `{"Message": …}`, gateway bodies are
    /// plain text.
    pub fn status(call: &'static str, status: u16, body: &[u8]) -> Self {
        #[derive(serde::Deserialize)]
        struct Wire {
            #[serde(rename = "Message")]
            message: String,
        }
        let message = match serde_json::from_slice::<Wire>(body) {
            Ok(wire) => wire.message,
            Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
        };
        let kind = match status {
            401 | 403 | 405 => KuboErrorKind::Forbidden,
            // The RPC answers an unknown command with a bare 404; the gateway, a missing block.
            404 if call.starts_with("gateway") => KuboErrorKind::Absent,
            404 => KuboErrorKind::TooOld,
            412 => KuboErrorKind::Absent,
            429 | 502..=504 => KuboErrorKind::Busy,
            _ => of_text(&message),
        };
        let text = if message.is_empty() { format!("HTTP {status}") } else { message };
        Self::new(call, kind, text)
    }

    /// Makes a failure from an error within an answer that began well.
    pub(super) fn said(call: &'static str, text: &str) -> Self {
        Self::new(call, of_text(text), text)
    }
}

fn of_text(text: &str) -> KuboErrorKind {
    let has = |part: &str| text.contains(part);
    if has("no space left") || has("max storage") || has("StorageMax") {
        KuboErrorKind::NoSpace
    } else if has("not found") || has("not pinned") || has("no key") || has("could not find") || has("not exist") {
        KuboErrorKind::Absent
    } else if has("context deadline exceeded") || has("context canceled") {
        KuboErrorKind::Deadline
    } else {
        KuboErrorKind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemon_texts_have_their_kind() {
        for (call, status, body, kind) in [
            (
                "pin/ls",
                500,
                r#"{"Message":"path 'bafk' is not pinned","Code":0,"Type":"error"}"#,
                KuboErrorKind::Absent,
            ),
            (
                "block/get",
                500,
                r#"{"Message":"block was not found locally (offline): ipld: could not find bafk"}"#,
                KuboErrorKind::Absent,
            ),
            ("name/get", 500, r#"{"Message":"routing: not found","Code":0}"#, KuboErrorKind::Absent),
            ("dag/import", 500, r#"{"Message":"write /x: no space left on device"}"#, KuboErrorKind::NoSpace),
            ("name/get", 500, r#"{"Message":"context deadline exceeded"}"#, KuboErrorKind::Deadline),
            ("name/get", 404, "404 page not found", KuboErrorKind::TooOld),
            ("gateway", 404, "ipld: could not find", KuboErrorKind::Absent),
            ("gateway", 504, "gateway timeout", KuboErrorKind::Busy),
            ("version", 403, "", KuboErrorKind::Forbidden),
            ("version", 500, r#"{"Message":"\u001b[2J"}"#, KuboErrorKind::Other),
        ] {
            let fault = KuboError::status(call, status, body.as_bytes());
            assert_eq!(fault.kind, kind, "{body}");
            assert!(!fault.to_string().contains('\u{1b}'));
        }
        assert_eq!(KuboError::status("version", 403, b"").to_string(), "kubo: version: HTTP 403");
        assert_eq!(
            KuboError::status("version", 403, b"").told(&"http://[::1]:5001"),
            "Kubo at [::1]:5001: version: HTTP 403"
        );
    }
}
