//! A delivered file on its way to the place that the caller named.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fs::File;
use std::io;
use std::time::SystemTime;

use reqwest::Url;
use tempfile::TempPath;

use crate::base::error::Error;
use crate::report::Delivered;
use crate::store::journal::FileOrigin;
use crate::trust::output::Output;
use crate::trust::verify::{Accepted, Waiver};

/// A file that was accepted, ready to be placed.
#[derive(Debug)]
pub struct Obtained {
    /// Holds the bytes; only this user can write to it.
    pub file: File,
    /// Proof or waiver.
    pub accepted: Accepted,
    /// Date at the source.
    pub modified: Option<SystemTime>,
    /// The sources that delivered it, for people.
    pub from: Box<FileOrigin>,
    /// The URL that delivered it, when one mirror did.
    pub(crate) url: Option<Url>,
    /// Set when the file itself may be placed instead of a copy.
    pub(crate) loose: Option<TempFile>,
}

/// A file whose only user is the caller. Its temporary name is removed on drop.
#[derive(Default, Debug)]
pub struct TempFile {
    name: Option<TempPath>,
}

impl TempFile {
    /// Wraps a file that has this name until then.
    pub(super) fn named(name: TempPath) -> Self {
        Self { name: Some(name) }
    }

    /// Returns its name, for who moves the file to a place of its own; `None` where it has none.
    pub(crate) fn into_name(self) -> Option<TempPath> {
        self.name
    }
}

impl Obtained {
    /// Wraps the accepted bytes in `file`.
    pub(crate) fn new(file: File, accepted: Accepted, from: impl Into<FileOrigin>) -> Self {
        let from = Box::new(from.into());
        Self { file, accepted, modified: None, from, url: None, loose: None }
    }

    /// Marks the file as one whose only user is the caller.
    pub(crate) fn loose(self) -> Self {
        Self { loose: Some(TempFile::default()), ..self }
    }

    /// Returns the same file for one user more. Neither has it alone from then on, so that both get copies.
    ///
    /// # Errors
    /// When this process can open no more files.
    pub(crate) fn share(&mut self) -> io::Result<Self> {
        self.loose = None;
        let (from, url) = (self.from.clone(), self.url.clone());
        let (accepted, modified) = (self.accepted, self.modified);
        Ok(Self { file: self.file.try_clone()?, accepted, modified, from, url, loose: None })
    }

    /// Returns the name of the waiver under which it was accepted, if it was not proven.
    pub fn waiver(&self) -> Option<&'static str> {
        match self.accepted {
            Accepted::Proven(_) => None,
            Accepted::Waived(waived) => Some(waived.why().label()),
        }
    }

    /// Puts the file in its place: a copy, or the file itself when the caller is its only user.
    pub(crate) fn place(&self, output: &Output) -> Result<(), Error> {
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

    /// Returns its description for people, once it is in its place; `stored` as in [`Delivered::stored`].
    pub fn delivered<'a>(&'a self, name: &'a str, stored: &'a str) -> Delivered<'a> {
        let waiver = match self.accepted {
            Accepted::Proven(_) => None,
            Accepted::Waived(waived) => Some(waived.why()),
        };
        delivered(name, self.accepted.size(), &self.from, waiver, stored)
    }
}

/// Returns the description of a delivered file for people: name, size, sources, waiver; `stored` as in
/// [`Delivered::stored`].
pub fn delivered<'a>(
    name: &'a str,
    size: u64,
    origin: &'a FileOrigin,
    waiver: Option<Waiver>,
    stored: &'a str,
) -> Delivered<'a> {
    let is_usual = waiver.is_some_and(Waiver::is_usual);
    Delivered { name, size, origin, waiver: waiver.map(Waiver::label), is_usual, stored }
}
