//! How long a publisher remembers files that its index lists no more, and how much of their bytes it keeps.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::time::Duration;

use crate::config::content::{bytes, days};

/// The rule by which superseded files stay in the archive. Both bounds hold, or the one that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetentionRule {
    /// Longest time since a file was superseded, in whole days.
    pub age: Option<Duration>,
    /// Most superseded files of one package, the last ones; at least 1.
    pub versions: Option<u64>,
    /// Most bytes of superseded files together: those that were superseded first go first. `None`: of all entries, as far
    /// as the target has them.
    pub bytes: Option<u64>,
}

/// The words of a rule as a file has them, until all of them are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct RetentionWords {
    age: Option<Duration>,
    versions: Option<u64>,
    bytes: Option<u64>,
}

impl RetentionWords {
    /// Reads `retention.age`.
    pub(crate) fn age(&mut self, text: &str) -> Result<(), String> {
        self.age = Some(days(text)?);
        Ok(())
    }

    /// Reads `retention.versions`.
    pub(crate) fn versions(&mut self, number: u64) -> Result<(), String> {
        if number == 0 {
            return Err("expected a number of versions, at least 1".to_owned());
        }
        self.versions = Some(number);
        Ok(())
    }

    /// Reads `retention.size`.
    pub(crate) fn bytes(&mut self, text: &str) -> Result<(), String> {
        self.bytes = Some(bytes(text)?);
        Ok(())
    }

    /// Returns the rule; `None` where nothing is retained.
    pub(crate) fn rule(self) -> Result<Option<RetentionRule>, String> {
        let Self { age, versions, bytes } = self;
        match (age, versions, bytes) {
            (None, None, None) => Ok(None),
            (None, None, Some(_)) => Err("retention.size needs retention.age or retention.versions".to_owned()),
            _ => Ok(Some(RetentionRule { age, versions, bytes })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(age: &str, versions: Option<u64>, size: &str) -> Result<Option<RetentionRule>, String> {
        let mut words = RetentionWords::default();
        (!age.is_empty()).then(|| words.age(age)).transpose()?;
        versions.map(|number| words.versions(number)).transpose()?;
        (!size.is_empty()).then(|| words.bytes(size)).transpose()?;
        words.rule()
    }

    #[test]
    fn retention_has_an_end() {
        assert_eq!(read("", None, ""), Ok(None));
        let age = Some(Duration::from_secs(90 * 86_400));
        assert_eq!(read("90 d", None, ""), Ok(Some(RetentionRule { age, versions: None, bytes: None })));
        let all = RetentionRule { age, versions: Some(3), bytes: Some(50_000_000_000) };
        assert_eq!(read("90 d", Some(3), "50 GB"), Ok(Some(all)));
        for (age, versions, size, why) in [
            ("", None, "5 GB", "needs retention.age or retention.versions"),
            ("3 h", None, "", "at least a day"),
            ("", Some(0), "", "at least 1"),
            ("9 d", None, "much", "expected a size like"),
        ] {
            let error = read(age, versions, size).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
