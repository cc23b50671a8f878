//! The content of one health file: lines of words, written by this program and read by it again.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::base::fsx;

/// Longest file that is read; a real one has a few hundred bytes.
const MOST: u64 = 64 * 1024;

/// The record of one pacman run, or of all.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HealthMemory {
    /// The part of the head start that was spent without a result.
    pub head_start_spent: Duration,
    /// Hosts that are asked last, until a time in Unix seconds.
    pub down: BTreeMap<String, u64>,
    /// Peers that were too slow, and how often in a row.
    pub(crate) late: BTreeMap<String, u32>,
    /// The URL that a file came from.
    pub from: BTreeMap<String, String>,
    /// Files that no source delivered, until a time in Unix seconds.
    pub(crate) lost: BTreeMap<String, u64>,
    /// True when the mirrors were asked about all databases.
    pub asked: bool,
    /// Unchanged databases: the state of the file in use that this is about, and the host that reported it.
    pub unchanged: BTreeMap<String, (String, String)>,
}

impl HealthMemory {
    /// Reads the file at `path`, which must belong to `uid`. Unreadable content is dropped.
    pub(crate) fn read(path: &Path, uid: u32) -> Self {
        let bytes = fsx::read_small(path, uid, MOST).unwrap_or_default();
        Self::from_text(&String::from_utf8_lossy(&bytes))
    }

    /// Reads the text of such a file. An unknown line is skipped.
    pub fn from_text(text: &str) -> Self {
        let mut memory = Self::default();
        for line in text.lines() {
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("spent"), Some(ms), None) => {
                    memory.head_start_spent = Duration::from_millis(ms.parse().unwrap_or(0));
                }
                (Some("lost"), Some(until), Some(name)) => {
                    memory.lost.insert(name.to_owned(), until.parse().unwrap_or(0));
                }
                (Some("down"), Some(until), Some(host)) => {
                    memory.down.insert(host.to_owned(), until.parse().unwrap_or(0));
                }
                (Some("late"), Some(times), Some(host)) => {
                    memory.late.insert(host.to_owned(), times.parse().unwrap_or(0));
                }
                (Some("asked"), None, None) => memory.asked = true,
                (Some("unchanged"), Some(name), Some(rest)) => {
                    if let Some((state, host)) = rest.split_once(' ') {
                        memory.unchanged.insert(name.to_owned(), (state.to_owned(), host.to_owned()));
                    }
                }
                (Some("from"), Some(name), Some(url)) => {
                    memory.from.insert(name.to_owned(), url.to_owned());
                }
                _ => {}
            }
        }
        memory
    }

    /// Returns the text of such a file, without entries that have expired at `now` (Unix seconds).
    pub fn to_text(&self, now: u64) -> String {
        let mut out = String::new();
        if self.head_start_spent > Duration::ZERO {
            // Rounded up, so that spent time is never lost bit by bit.
            out += &format!("spent {}\n", self.head_start_spent.as_micros().div_ceil(1000));
        }
        for (name, until) in self.lost.iter().filter(|(_, until)| **until > now) {
            out += &format!("lost {until} {name}\n");
        }
        for (host, until) in self.down.iter().filter(|(_, until)| **until > now) {
            out += &format!("down {until} {host}\n");
        }
        for (host, times) in &self.late {
            out += &format!("late {times} {host}\n");
        }
        if self.asked {
            out += "asked\n";
        }
        let words = |name: &str, state: &str| !name.contains(' ') && !state.contains(' ');
        for (name, (state, host)) in self.unchanged.iter().filter(|(name, (state, _))| words(name, state)) {
            out += &format!("unchanged {name} {state} {host}\n");
        }
        for (name, url) in self.from.iter().filter(|(name, url)| !name.contains(' ') && !url.contains('\n')) {
            out += &format!("from {name} {url}\n");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".*") {
            let memory = HealthMemory::from_text(&text);
            let _ = memory.to_text(0);
        }
    }
}
