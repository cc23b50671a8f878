//! A delivered file on its way to the place that the caller named.

use std::fs::File;
use std::io;
use std::time::SystemTime;

use reqwest::Url;
use tempfile::TempPath;

use crate::error::Error;
use crate::output::Output;
use crate::report;
use crate::verify::Accepted;

/// A file that was accepted, ready to be placed.
#[derive(Debug)]
pub struct Obtained {
    /// Holds the bytes; only this user can write to it.
    pub file: File,
    /// Proof or waiver.
    pub accepted: Accepted,
    /// Date at the source.
    pub modified: Option<SystemTime>,
    /// The source that delivered it, for people.
    pub from: String,
    /// The URL that delivered it, when one mirror did.
    pub url: Option<Url>,
    /// Sources that sent wrong bytes before, for people.
    pub refused: Vec<String>,
    /// Set when the file itself may be placed instead of a copy.
    pub loose: Option<TempFile>,
}

/// A file whose only user is the caller. Its temporary name is removed on drop.
#[derive(Default, Debug)]
pub struct TempFile {
    _name: Option<TempPath>,
}

impl TempFile {
    /// Wraps a file that has this name until then.
    pub(super) fn named(name: TempPath) -> Self {
        Self { _name: Some(name) }
    }
}

impl Obtained {
    /// Wraps the accepted bytes in `file`.
    pub fn new(file: File, accepted: Accepted, from: impl Into<String>) -> Self {
        let from = from.into();
        Self { file, accepted, modified: None, from, url: None, refused: Vec::new(), loose: None }
    }

    /// Marks the file as one whose only user is the caller.
    pub fn loose(self) -> Self {
        Self { loose: Some(TempFile::default()), ..self }
    }

    /// Returns the same file for one user more. Neither has it alone from then on, so that both get copies.
    ///
    /// # Errors
    /// When this process can open no more files.
    pub fn share(&mut self) -> io::Result<Self> {
        self.loose = None;
        let (from, url, refused) = (self.from.clone(), self.url.clone(), self.refused.clone());
        let (accepted, modified) = (self.accepted, self.modified);
        Ok(Self { file: self.file.try_clone()?, accepted, modified, from, url, refused, loose: None })
    }

    /// Returns the name of the waiver under which it was accepted, if it was not proven.
    pub fn waiver(&self) -> Option<&'static str> {
        match self.accepted {
            Accepted::Proven(_) => None,
            Accepted::Waived(waived) => Some(waived.why().label()),
        }
    }

    /// Puts the file in its place: a copy, or the file itself when the caller is its only user.
    pub fn place(&self, output: &Output) -> Result<(), Error> {
        if self.loose.is_some()
            && let Ok(staged) = output.stage_itself(&self.file)
            && staged.commit(&self.accepted, self.modified).is_ok()
        {
            return Ok(());
        }
        let staged = match &self.loose {
            Some(_) => output.stage_spent(&self.file, self.accepted.size())?,
            None => output.stage(&self.file, self.accepted.size())?,
        };
        staged.commit(&self.accepted, self.modified)
    }

    /// Returns the line to print once it is in its place.
    pub fn line(&self, name: &str) -> String {
        line(name, self.accepted.size(), &self.from, self.waiver(), &self.refused)
    }
}

/// Returns the line of a delivered file: name, size, source, waiver, and the sources that were refused before.
pub fn line(name: &str, size: u64, from: &str, waiver: Option<&str>, refused: &[String]) -> String {
    let waiver = waiver.map(|label| format!("unproven: {label}"));
    let notes: Vec<String> = waiver.into_iter().chain(refused.iter().cloned()).collect();
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    report::delivered(name, size, from, note.as_deref())
}
