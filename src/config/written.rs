//! Texts of settings that are judged only where they are used.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt;
use std::str::FromStr;

/// A text that the user wrote, with its meaning or the reason why it has none.
///
/// For what a few commands need: there a mistake is an error. Everywhere else it is none, so that it does not keep
/// pacman from its files.
#[derive(Clone, Debug)]
pub struct Written<T> {
    text: String,
    value: Result<T, String>,
}

impl<T> Written<T> {
    /// Keeps `text` with its meaning, or with the sentence that says why it has none.
    pub(crate) fn new(text: impl Into<String>, value: Result<T, String>) -> Self {
        Self { text: text.into(), value }
    }

    /// Reads `text`; an error's own words are the sentence.
    pub fn read(text: impl Into<String>) -> Self
    where
        T: FromStr<Err: fmt::Display>,
    {
        let text = text.into();
        let value = text.parse().map_err(|e: T::Err| e.to_string());
        Self { text, value }
    }

    /// Returns the text as the user wrote it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns its meaning.
    ///
    /// # Errors
    /// The sentence that says why it has none.
    pub(crate) fn value(&self) -> Result<&T, &str> {
        self.value.as_ref().map_err(String::as_str)
    }
}

impl<T: Clone> Written<T> {
    /// Returns the meanings of all of `list`.
    ///
    /// # Errors
    /// The sentence about the first one that has none.
    pub(crate) fn values(list: &[Self]) -> Result<Vec<T>, &str> {
        list.iter().map(|one| one.value().cloned()).collect()
    }
}

impl<T> fmt::Display for Written<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<T> serde::Serialize for Written<T> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

/// The same text has the same meaning.
impl<T> PartialEq for Written<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Eq for Written<T> {}

impl<T> PartialEq<&str> for Written<T> {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}
