//! The error that a user reads, and the exit status it leads to.
//!
//! Modules keep small error enums of their own for code to match on; a command ends with this type. Below `cmd` no
//! other type stands for "any failure" (`tests/layers.rs`).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt;

use crate::base::name::shown;

/// The kind of failure that ended a command. It decides the exit status; the text never does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// No source delivered. Trying again later may help.
    NoSource,
    /// Wrong arguments or configuration. Trying again does not help.
    Usage,
    /// Every source that delivered anything delivered something else than expected.
    Corrupt,
    /// This machine failed: disk full, no permission, no such directory.
    Local,
    /// Stopped by the user.
    Interrupted,
}

impl ErrorKind {
    /// Returns the exit status, as the manual lists it (0 is success).
    pub fn status(self) -> u8 {
        match self {
            ErrorKind::NoSource => 1,
            ErrorKind::Usage => 2,
            ErrorKind::Corrupt => 3,
            ErrorKind::Local => 4,
            ErrorKind::Interrupted => 130,
        }
    }
}

/// A failure: its subject, what happened, what was tried, and what to do next.
#[derive(Clone, Debug)]
pub struct Error {
    /// The kind, which decides the exit status.
    pub kind: ErrorKind,
    /// The subject of the sentence: a file name, a setting, a path.
    pub subject: String,
    /// Description of what was expected and what happened.
    pub message: String,
    /// One line for each source or step that was tried.
    pub(crate) tried: Vec<String>,
    /// The next step, preferably a command to run.
    pub(crate) hint: Option<String>,
}

impl Error {
    /// Makes a failure of `kind` about `subject`.
    pub(crate) fn new(kind: ErrorKind, subject: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self { kind, subject: subject.to_string(), message: message.to_string(), tried: Vec::new(), hint: None }
    }

    /// Makes a failure of kind `Usage`: wrong arguments or configuration.
    pub fn usage(subject: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Usage, subject, message)
    }

    /// Makes a failure of kind `Local`: this machine failed.
    pub fn local(subject: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Local, subject, message)
    }

    /// Adds the next step.
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Adds a line about something that was tried. A source that was asked twice and failed alike has one line.
    pub(crate) fn tried(mut self, line: impl fmt::Display) -> Self {
        let line = line.to_string();
        if !self.tried.contains(&line) {
            self.tried.push(line);
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.message)
    }
}

impl std::error::Error for Error {}

/// Formats the error that ended a command for stderr: the sentence, what was tried, the hint.
///
/// Control characters in foreign text are escaped line by line (`crate::base::name::shown`).
pub fn report(error: &Error) -> String {
    let mut out = format!("error: {}\n", shown(&error.to_string()));
    for line in &error.tried {
        out += &format!("  {}\n", shown(line));
    }
    if let Some(hint) = &error.hint {
        out += &format!("hint: {}\n", shown(hint));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_documented_status() {
        let table = [
            (ErrorKind::NoSource, 1),
            (ErrorKind::Usage, 2),
            (ErrorKind::Corrupt, 3),
            (ErrorKind::Local, 4),
            (ErrorKind::Interrupted, 130),
        ];
        for (kind, status) in table {
            assert_eq!(kind.status(), status, "{kind:?}");
        }
    }

    #[test]
    fn report_names_subject_sources_and_remedy_without_control_characters() {
        let error = Error::new(ErrorKind::NoSource, "a.pkg.tar.zst", "no source delivered it")
            .tried("mirror  mirror.example  absent: \u{1b}[2J404")
            .hint("pkgswarm index refresh");
        assert_eq!(
            report(&error),
            "error: a.pkg.tar.zst: no source delivered it\n  mirror  mirror.example  absent: \\u{1b}[2J404\nhint: pkgswarm index refresh\n"
        );
    }

    #[test]
    fn what_failed_twice_alike_is_told_once() {
        let error = Error::local("a", "no source delivered it").tried("kubo  unreachable").tried("lan  absent");
        assert_eq!(error.tried("kubo  unreachable").tried, ["kubo  unreachable", "lan  absent"]);
    }
}
