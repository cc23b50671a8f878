//! The reasons why a source did not deliver: the race decides by the kind, never by the text.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt;
use std::time::Duration;

/// The reason why a source did not deliver. Every kind lets the race go on with the next source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Miss {
    /// It does not have the file (HTTP 404, 410).
    Absent(String),
    /// It is busy (HTTP 429, 503), and names a time to come back; zero when it names none.
    Busy(String, Duration),
    /// No connection, no answer.
    Unreachable(String),
    /// It answered, and this machine does not trust its TLS, or cannot speak it.
    Untrusted(String),
    /// It answered, or began to, and then broke the protocol.
    Broken(String),
    /// It sent nothing for this long.
    Stalled(Duration),
    /// Slower than the floor, in bytes a second.
    Slow(u64),
    /// It sent something else than expected.
    Corrupt(String),
    /// This machine failed while writing: disk full, for example. No other source can help.
    Local(String),
}

impl Miss {
    /// Returns the same of another host than the one that was asked: the one that it redirected to.
    pub(crate) fn at(mut self, host: &str) -> Self {
        match &mut self {
            Miss::Absent(why)
            | Miss::Busy(why, _)
            | Miss::Unreachable(why)
            | Miss::Untrusted(why)
            | Miss::Broken(why)
            | Miss::Corrupt(why) => why.push_str(&format!(" (redirected to {host})")),
            Miss::Stalled(_) | Miss::Slow(_) | Miss::Local(_) => {}
        }
        self
    }

    /// Returns true when it did not answer at all, or not in a way that could be used: something else may be wrong
    /// than with the file.
    pub(crate) fn is_no_answer(&self) -> bool {
        matches!(self, Miss::Unreachable(_) | Miss::Untrusted(_) | Miss::Stalled(_) | Miss::Slow(0) | Miss::Busy(..))
    }

    /// Returns one word for the line about a source that was tried.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Miss::Absent(_) => "absent",
            Miss::Busy(..) => "busy",
            Miss::Unreachable(_) => "unreachable",
            Miss::Untrusted(_) => "untrusted",
            Miss::Broken(_) => "broken",
            Miss::Stalled(_) => "stalled",
            Miss::Slow(_) => "slow",
            Miss::Corrupt(_) => "corrupt",
            Miss::Local(_) => "local",
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.word())?;
        match self {
            Miss::Absent(why)
            | Miss::Unreachable(why)
            | Miss::Untrusted(why)
            | Miss::Broken(why)
            | Miss::Corrupt(why)
            | Miss::Local(why) => f.write_str(why),
            Miss::Busy(why, after) if after.is_zero() => f.write_str(why),
            Miss::Busy(why, after) => write!(f, "{why}, asks to wait {} s", after.as_secs()),
            Miss::Stalled(silence) => write!(f, "nothing for {:.1} s", silence.as_secs_f64()),
            Miss::Slow(0) => f.write_str("less than 1 B/s"),
            Miss::Slow(rate) => write!(f, "only {rate} B/s"),
        }
    }
}
