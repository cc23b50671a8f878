//! What one file of the memory holds: lines of words, written by this program and read by it again.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::fsx;

/// Longest file that is read; a real one has a few hundred bytes.
const MOST: u64 = 64 * 1024;

/// The memory of one transaction, or of all.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HealthMemory {
    /// How much of the head start brought nothing.
    pub head_start_spent: Duration,
    /// Host, and until when it is asked last, in Unix seconds.
    pub down: BTreeMap<String, u64>,
    /// Which URL a file came from.
    pub from: BTreeMap<String, String>,
    /// File that no source delivered, and until when that counts, in Unix seconds.
    pub lost: BTreeMap<String, u64>,
    /// Whether the mirrors were asked about all databases.
    pub asked: bool,
    /// Databases that have not changed: of which state of the file in use that was said, and which host said so.
    pub unchanged: BTreeMap<String, (String, String)>,
}

impl HealthMemory {
    /// Reads the file at `path`, which must be of `uid`. What cannot be read is forgotten.
    pub fn read(path: &Path, uid: u32) -> Self {
        let bytes = fsx::read_small(path, uid, MOST).unwrap_or_default();
        Self::from_text(&String::from_utf8_lossy(&bytes))
    }

    /// Reads the text of such a file. A line that is not understood is skipped.
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

    /// The text of such a file, without what is over at `now` (Unix seconds).
    pub fn to_text(&self, now: u64) -> String {
        let mut out = String::new();
        if self.head_start_spent > Duration::ZERO {
            // Rounded up, so that what was spent is never forgotten bit by bit.
            out += &format!("spent {}\n", self.head_start_spent.as_micros().div_ceil(1000));
        }
        for (name, until) in self.lost.iter().filter(|(_, until)| **until > now) {
            out += &format!("lost {until} {name}\n");
        }
        for (host, until) in self.down.iter().filter(|(_, until)| **until > now) {
            out += &format!("down {until} {host}\n");
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
