//! What the child says about a file that it hands over. Root takes none of it on trust but what it can check.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cid::Cid;
use crate::deliver;
use crate::digest::Sha256;
use crate::name::FileName;
use crate::verify::Waiver;

/// Longest message, in bytes: one line of JSON.
pub(super) const MOST: usize = 16 * 1024;

/// Most bytes of what is only for people; the rest is cut off.
const MOST_SAID: usize = 1000;

/// What the child says about a file that it hands over.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// Which of the files that were asked for it is, by their order, from 0.
    pub(super) asked: usize,
    /// Its name, for a target that is a directory.
    pub(super) name: String,
    pub(super) sha256: Sha256,
    pub(super) size: u64,
    pub(super) waiver: Option<Waiver>,
    /// Unix seconds.
    pub(super) modified: Option<u64>,
    /// Who delivered it, for people.
    pub(super) from: String,
    /// What was refused before, and from whom, for people.
    pub(super) refused: Vec<String>,
    /// The CID by which it was asked for, as the child found it.
    pub(super) cid: Option<String>,
    /// Whether no other process has a use for the file that comes with it.
    pub(super) spent: bool,
}

impl Message {
    /// Reads a message as it came; `None` when it makes no sense.
    pub fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// The message as it is sent.
    pub fn to_line(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("the message is plain data")
    }

    /// The same with less to say to people, so that it is never too long.
    pub(super) fn cut(mut self) -> Self {
        let mut left = MOST_SAID;
        for text in std::iter::once(&mut self.from).chain(&mut self.refused) {
            let end = text.floor_char_boundary(left.min(text.len()));
            text.truncate(end);
            left -= end;
        }
        self.refused.retain(|text| !text.is_empty());
        self
    }

    /// The name below a directory of root's; `None` for anything that could leave it.
    pub fn name(&self) -> Option<FileName> {
        FileName::new(&*self.name).ok()
    }

    /// The date that the file shall have; none where no clock shows it.
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified.and_then(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at)))
    }

    /// The line to say of it under this name.
    pub fn line(&self, name: &str) -> String {
        deliver::line(name, self.size, &self.from, self.waiver(), &self.refused)
    }

    /// Which of the files that were asked for it is, by their order, from 0.
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// The CID by which it was asked for, as the child says.
    pub fn cid(&self) -> Option<Cid> {
        self.cid.as_ref()?.parse().ok()
    }

    /// Who delivered it, as the child says.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The name of the waiver under which it was accepted, if it was not proven.
    pub fn waiver(&self) -> Option<&'static str> {
        self.waiver.map(Waiver::label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_never_longer_than_what_root_reads() {
        let refused = vec!["\u{1}ü".repeat(40_000); 30];
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
            refused,
            cid: None,
            spent: false,
        };
        let line = message.cut().to_line();
        assert!(line.len() < MOST, "{}", line.len());
        assert!(Message::read(&line).is_some());
    }
}
