//! Names that come from outside: files, repositories, and how to show them safely. What a file name stands for is
//! for the list of its system to tell ([`crate::lists::system`]).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::borrow::Cow;
use std::fmt;

/// A single path component that is safe to create in a directory of ours.
///
/// 1 to 255 bytes, no `/`, no control characters, neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileName(String);

/// The reason why a text cannot be a [`FileName`] or [`RepoName`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    /// Empty, as in a URL that ends in `/`.
    #[error("the file name is empty")]
    Empty,
    /// Longer than 255 bytes, the limit of Linux file systems.
    #[error("the name is longer than 255 bytes")]
    TooLong,
    /// Would leave its directory, hide itself or confuse a terminal.
    #[error("the name {0:?} is not a plain file name")]
    NotPlain(String),
}

impl FileName {
    /// Checks `text` and keeps it.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        check(text.into()).map(Self)
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a repository, as in a `[section]` of pacman.conf. The same limits as [`FileName`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RepoName(String);

impl RepoName {
    /// Checks `text` and keeps it.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        check(text.into()).map(Self)
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes foreign text fit to print: control and format characters are escaped, length is limited to 300 characters.
///
/// A mirror or a file name must not be able to move the cursor, nor to be read as another name:
/// `control_and_format_characters_are_escaped` shows it.
pub fn shown(text: &str) -> Cow<'_, str> {
    const MOST: usize = 300;
    if text.len() <= MOST && !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    for c in text.chars().take(MOST) {
        match c {
            _ if c.is_control() => out.extend(c.escape_default()),
            _ if is_hidden(c) => out.extend(c.escape_unicode()),
            _ => out.push(c),
        }
    }
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    Cow::Owned(out)
}

/// Returns true when a character is not visible itself but changes what is visible: it moves the cursor, turns the
/// direction of the text after it, or leaves no mark at all.
///
/// Categories Cc, Cf, Zl and Zp (Unicode 17), without the few of Cf that stand before Arabic numbers and are
/// visible; and the fillers and selectors that leave no mark (Default_Ignorable_Code_Point).
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

fn check(text: String) -> Result<String, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > 255 {
        return Err(NameError::TooLong);
    }
    if text == "." || text == ".." || text.contains('/') || text.chars().any(char::is_control) {
        return Err(NameError::NotPlain(text));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_their_directory_are_refused() {
        assert_eq!(FileName::new(""), Err(NameError::Empty));
        assert_eq!(FileName::new("a".repeat(256)), Err(NameError::TooLong));
        for bad in ["..", ".", "a/b", "/", "a\nb", "a\u{1b}[2J"] {
            assert_eq!(FileName::new(bad), Err(NameError::NotPlain(bad.to_owned())));
        }
    }

    #[test]
    fn control_and_format_characters_are_escaped() {
        assert_eq!(shown("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(shown("zst.gkp\u{202e}evil"), "zst.gkp\\u{202e}evil");
        for hidden in ['\u{85}', '\u{200b}', '\u{2066}', '\u{2029}', '\u{feff}', '\u{e0041}', '\u{3164}'] {
            let text = format!("a{hidden}b");
            assert_eq!(shown(&text), format!("a{}b", hidden.escape_unicode()));
        }
        for plain in ["plain", "größe", "パッケージ", "حزمة", "é…→😀", "a b"] {
            assert_eq!(shown(plain), plain);
        }
        assert_eq!(shown(&"x".repeat(400)).chars().count(), 301);
    }
}
