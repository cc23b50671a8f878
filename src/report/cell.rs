//! The text of a cell or a line: pieces, each with the style of its meaning, and the command that comes next.

use crate::base::name::shown;
use crate::report::columns::{Span, Tone};

/// A text for people, in pieces. Foreign text in it is made harmless as it is added.
#[derive(Clone, Default, Debug)]
pub(crate) struct Cell {
    pieces: Vec<Span>,
    command: Option<String>,
}

impl Cell {
    /// Makes one in a style.
    pub(crate) fn of(text: impl AsRef<str>, tone: Tone) -> Self {
        Self::default().and(text, tone)
    }

    /// Makes a heading or an answer.
    pub(crate) fn strong(text: impl AsRef<str>) -> Self {
        Self::of(text, Tone::Strong)
    }

    /// Makes a comment, or a default.
    pub(crate) fn quiet(text: impl AsRef<str>) -> Self {
        Self::of(text, Tone::Quiet)
    }

    /// Adds a piece.
    pub(crate) fn and(mut self, text: impl AsRef<str>, tone: Tone) -> Self {
        let text = shown(text.as_ref()).into_owned();
        if !text.is_empty() {
            self.pieces.push(Span { text, tone });
        }
        self
    }

    /// Adds a plain piece.
    pub(crate) fn then(self, text: impl AsRef<str>) -> Self {
        self.and(text, Tone::Plain)
    }

    /// Sets the command, or the remark, that comes last.
    #[must_use]
    pub(crate) fn next(mut self, command: &str) -> Self {
        self.command = Some(shown(command).into_owned());
        self
    }

    /// Returns the pieces without the command.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Span> {
        self.pieces.iter()
    }

    /// Returns the command.
    pub(crate) fn command(&self) -> Option<&str> {
        self.command.as_deref()
    }

    /// Returns the pieces for a terminal, the command last, as a shell's comment.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let comment = self.command.iter().map(|command| Span { text: format!("   # {command}"), tone: Tone::Quiet });
        self.pieces.iter().cloned().chain(comment).collect()
    }

    /// True if it has no text.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.command.is_none()
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::of(text, Tone::Plain)
    }
}
