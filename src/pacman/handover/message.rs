//! The child's message about a file that it hands over. Root uses only those parts that it can check.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::name::FileName;
use crate::engine::deliver;
use crate::report::Delivered;
use crate::store::journal::FileOrigin;
use crate::trust::verify::Waiver;

/// Longest message, in bytes: one line of JSON.
pub(super) const MOST: usize = 16 * 1024;

/// Most bytes of a text that is only for people; the rest is cut off.
const MOST_SAID: usize = 1000;

/// The child's message about a file that it hands over.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// Position of the file among those that were asked for, from 0.
    pub(super) asked: usize,
    /// Its name, for a target that is a directory.
    pub(super) name: String,
    pub(super) sha256: Sha256,
    pub(super) size: u64,
    pub(super) waiver: Option<Waiver>,
    /// Unix seconds.
    pub(super) modified: Option<u64>,
    /// Its origin, for people: the lines of [`FileOrigin::to_lines`].
    pub(super) from: String,
    /// True if the store had it.
    pub(super) stored: bool,
    /// The sentence that closes the run, for people.
    pub(super) closing: Option<String>,
    /// The CID by which it was asked for, as the child found it.
    pub(super) cid: Option<String>,
    /// True when no other process uses the file that comes with it.
    pub(super) spent: bool,
}

impl Message {
    /// Reads a message; `None` when it is malformed.
    pub fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// Returns the message as it is sent.
    pub fn to_line(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("the message is plain data")
    }

    /// Shortens the texts for people, so that the message is never too long.
    pub(super) fn cut(mut self) -> Self {
        let mut left = MOST_SAID;
        for text in std::iter::once(&mut self.from).chain(&mut self.closing) {
            let end = text.floor_char_boundary(left.min(text.len()));
            text.truncate(end);
            left -= end;
        }
        self
    }

    /// Returns the name below a directory of root's; `None` for anything that could leave it.
    pub fn name(&self) -> Option<FileName> {
        FileName::new(&*self.name).ok()
    }

    /// Returns the date for the file; none that no clock can show.
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified.and_then(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at)))
    }

    /// Returns its description for people, under this name; `stored` as in [`Delivered::stored`].
    pub(crate) fn delivered<'a>(&self, name: &'a str, origin: &'a FileOrigin, stored: &'a str) -> Delivered<'a> {
        deliver::delivered(name, self.size, origin, self.waiver, stored)
    }

    /// Returns the sentence that closes the run, as the child states it.
    pub(crate) fn closing(&self) -> Option<&str> {
        self.closing.as_deref()
    }

    /// Returns the position of the file among those that were asked for, from 0.
    pub(crate) fn asked(&self) -> usize {
        self.asked
    }

    /// Returns the CID by which it was asked for, as the child states it.
    pub(crate) fn cid(&self) -> Option<Cid> {
        self.cid.as_ref()?.parse().ok()
    }

    /// Returns its origin, as the child states it.
    pub(crate) fn origin(&self) -> FileOrigin {
        FileOrigin { is_stored: self.stored, ..FileOrigin::from_lines(self.from.lines()) }
    }

    /// Returns the name of the waiver under which it was accepted, if it was not proven.
    pub(crate) fn waiver(&self) -> Option<&'static str> {
        self.waiver.map(Waiver::label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_never_longer_than_what_root_reads() {
        let closing = Some("\u{1}ü".repeat(40_000));
        let (name, sha256) = ("x".to_owned(), Sha256::of(b""));
        let from = "ü".repeat(800);
        let message = Message {
            asked: 0,
            name,
            sha256,
            size: 0,
            waiver: None,
            modified: None,
            from,
            stored: false,
            closing,
            cid: None,
            spent: false,
        };
        let line = message.cut().to_line();
        assert!(line.len() < MOST, "{}", line.len());
        assert!(Message::read(&line).is_some());
    }
}
