//! What a publisher keeps of the files that its index lists.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::time::Duration;

use crate::config::value;

/// The rule by which the bytes of packages are kept. Entries, tables, signatures and databases are always published, and
/// so is the root block of each file that has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ContentRule {
    /// All bytes.
    #[default]
    All,
    /// The bytes of the newest packages: a package is kept when both bounds hold, or the one that is there.
    Recent {
        /// Longest time since it was built, in whole days.
        age: Option<Duration>,
        /// Most bytes of all packages together, the newest first.
        bytes: Option<u64>,
    },
    /// No package.
    None,
}

/// The words of a rule as a file has them, until all of them are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ContentWords {
    word: ContentWord,
    age: Option<Duration>,
    bytes: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum ContentWord {
    #[default]
    All,
    Recent,
    None,
}

impl ContentWords {
    /// Reads `content`.
    pub(crate) fn content(&mut self, text: &str) -> Result<(), String> {
        self.word = match text {
            "all" => ContentWord::All,
            "recent" => ContentWord::Recent,
            "none" => ContentWord::None,
            _ => return Err(format!("expected all, recent or none, found {text:?}")),
        };
        Ok(())
    }

    /// Reads `recent.age`.
    pub(crate) fn age(&mut self, text: &str) -> Result<(), String> {
        self.age = Some(days(text)?);
        Ok(())
    }

    /// Reads `recent.size`.
    pub(crate) fn bytes(&mut self, text: &str) -> Result<(), String> {
        self.bytes = Some(bytes(text)?);
        Ok(())
    }

    /// Returns the rule.
    pub(crate) fn rule(self) -> Result<ContentRule, String> {
        let Self { word, age, bytes } = self;
        match (word, age, bytes) {
            (ContentWord::All, None, None) => Ok(ContentRule::All),
            (ContentWord::None, None, None) => Ok(ContentRule::None),
            (ContentWord::Recent, None, None) => Err("content = \"recent\" needs recent.age or recent.size".to_owned()),
            (ContentWord::Recent, age, bytes) => Ok(ContentRule::Recent { age, bytes }),
            (_, _, _) => Err("recent.age and recent.size are for content = \"recent\"".to_owned()),
        }
    }
}

/// Reads a span of at least a day.
pub(crate) fn days(text: &str) -> Result<Duration, String> {
    let span = value::span(text).filter(|span| *span >= Duration::from_secs(86_400));
    span.ok_or_else(|| format!("expected a time span of at least a day like \"30 d\", found {text:?}"))
}

/// Reads a size.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    value::size(text).ok_or_else(|| format!("expected a size like \"5 GB\", found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str, age: &str, size: &str) -> Result<ContentRule, String> {
        let mut words = ContentWords::default();
        words.content(content)?;
        (!age.is_empty()).then(|| words.age(age)).transpose()?;
        (!size.is_empty()).then(|| words.bytes(size)).transpose()?;
        words.rule()
    }

    #[test]
    fn recent_needs_a_bound_and_the_others_have_none() {
        assert_eq!((read("all", "", ""), read("none", "", "")), (Ok(ContentRule::All), Ok(ContentRule::None)));
        let month = Some(Duration::from_secs(30 * 86_400));
        assert_eq!(read("recent", "30 d", ""), Ok(ContentRule::Recent { age: month, bytes: None }));
        assert_eq!(read("recent", "30d", "5 GB"), Ok(ContentRule::Recent { age: month, bytes: Some(5_000_000_000) }));
        for (content, age, size, why) in [
            ("some", "", "", "expected all, recent or none"),
            ("recent", "", "", "needs recent.age or recent.size"),
            ("none", "30 d", "", "are for content = \"recent\""),
            ("recent", "3 h", "", "at least a day"),
            ("recent", "", "much", "expected a size like"),
        ] {
            let error = read(content, age, size).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
