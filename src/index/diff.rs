//! `diffs/<repo>-<arch>/<from>-<to>.ndjson.zst`: the changes of a table, so that a refresh transfers only those.
//!
//! One line a change, sorted by name: the table's new line verbatim, or `{"gone":"NAME"}`. Lines are copied
//! verbatim, unknown fields included, so that the result is the publisher's table byte for byte and can be checked
//! against its sha256.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _, Write};

use serde::{Deserialize, Serialize};

use super::manifest::DIFF_MOST;
use super::table::{LINE_MOST, pack, unpack};
use crate::base::name::{FileName, shown};

/// A day of hourly publications. Each takes a hundred bytes of the manifest, which every refresh transfers.
pub(crate) const DIFFS_KEPT: usize = 24;

/// Most uncompressed bytes of all diffs that are applied together (32 MiB); a table of more changes is fetched whole.
pub(crate) const DIFFS_PLAIN_MOST: u64 = 32 << 20;

/// Most names in all diffs together. Names alone fit two million times into [`DIFFS_PLAIN_MOST`] and half a
/// megabyte of zstd, and would take a quarter of a gigabyte of memory.
pub(crate) const CHANGES_MOST: usize = 200_000;

/// The changes of some names: a new line, or none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    names: BTreeMap<FileName, Option<Vec<u8>>>,
    /// Uncompressed bytes read so far.
    bytes: u64,
}

/// The reason why a diff cannot be applied. The whole table replaces it.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// Could not be read or decompressed.
    #[error("the diff cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Not a change.
    #[error("line {line} of the diff is malformed: {reason}")]
    Line {
        /// From 1.
        line: u64,
        /// The fault.
        reason: String,
    },
    /// Its name is not greater than the one before it.
    #[error("line {0} of the diff is out of order")]
    Order(u64),
    /// The table that it applies to is malformed.
    #[error("the table that the diff applies to is malformed")]
    Table,
    /// More than [`DIFFS_PLAIN_MOST`] or [`CHANGES_MOST`].
    #[error("the diffs have more than {DIFFS_PLAIN_MOST} bytes or {CHANGES_MOST} changes")]
    TooLong,
}

#[derive(Deserialize, Serialize)]
struct WireChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone: Option<String>,
}

impl Changes {
    /// Returns the changes from the uncompressed table `old` to `new`.
    ///
    /// # Errors
    /// When either is not a table.
    pub fn between(old: impl BufRead, new: impl BufRead) -> Result<Self, DiffError> {
        let (mut old, mut new) = (DiffLines::of(old), DiffLines::of(new));
        let mut names = BTreeMap::new();
        let (mut had, mut has) = (old.table_line()?, new.table_line()?);
        loop {
            let order = match (&had, &has) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((old, _)), Some((new, _))) => old.cmp(new),
            };
            let before = if order.is_le() { std::mem::replace(&mut had, old.table_line()?) } else { None };
            let after = if order.is_ge() { std::mem::replace(&mut has, new.table_line()?) } else { None };
            match (before, after) {
                (Some((name, _)), None) => drop(names.insert(name, None)),
                (before, Some((name, line))) if before.as_ref().is_none_or(|(_, old)| *old != line) => {
                    names.insert(name, Some(line));
                }
                _ => {}
            }
        }
        Ok(Self { names, bytes: 0 })
    }

    /// Counts the changed names.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "named by tests alone"))]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True if no name changed.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "named by tests alone"))]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Returns the diff in its published form; `None` when it would exceed [`DIFF_MOST`] or the limits of readers.
    pub fn pack(&self) -> Option<Vec<u8>> {
        if self.names.len() > CHANGES_MOST {
            return None;
        }
        let mut plain = Vec::new();
        for (name, line) in &self.names {
            match line {
                Some(line) => plain.extend_from_slice(line),
                None => {
                    let gone = WireChange { name: None, gone: Some(name.to_string()) };
                    serde_json::to_writer(&mut plain, &gone).expect("texts always make JSON");
                    plain.push(b'\n');
                }
            }
        }
        Some(pack(&plain)).filter(|packed| packed.len() as u64 <= DIFF_MOST && plain.len() as u64 <= DIFFS_PLAIN_MOST)
    }

    /// Adds the changes of the next diff, which win over earlier ones.
    ///
    /// # Errors
    /// When it is not a diff, or all together are too much. Changes before the bad line stay: discard them all.
    pub fn add(&mut self, packed: &[u8]) -> Result<(), DiffError> {
        let left = DIFFS_PLAIN_MOST - self.bytes;
        let mut lines = DiffLines::of(unpack(packed, left + 1)?);
        let mut last = None;
        loop {
            let line = lines.next();
            // A line that is cut off by the limit is too much rather than malformed.
            if lines.bytes > left {
                return Err(DiffError::TooLong);
            }
            let Some(line) = line? else { break };
            let (name, line) = match lines.parse(&line)? {
                WireChange { name: Some(name), gone: None } => (name, Some(line)),
                WireChange { name: None, gone: Some(name) } => (name, None),
                _ => return Err(lines.bad("neither an entry nor a removal")),
            };
            let name = FileName::new(name).map_err(|_| lines.bad("not a plain file name"))?;
            if last.as_ref().is_some_and(|last| *last >= name) {
                return Err(DiffError::Order(lines.line));
            }
            last = Some(name.clone());
            self.names.insert(name, line);
            if self.names.len() > CHANGES_MOST {
                return Err(DiffError::TooLong);
            }
        }
        self.bytes += lines.bytes;
        Ok(())
    }

    /// Applies these changes to the uncompressed table `old`, and writes the result, in constant memory.
    ///
    /// The result must be checked against its sha256.
    ///
    /// # Errors
    /// When `old` is not a table, or on writing to `to`.
    pub fn apply(&self, old: impl BufRead, mut to: impl Write) -> Result<(), DiffError> {
        let mut old = DiffLines::of(old);
        let mut changes = self.names.iter().peekable();
        while let Some((name, line)) = old.table_line()? {
            while let Some((_, new)) = changes.next_if(|(changed, _)| **changed < name) {
                to.write_all(new.as_deref().unwrap_or_default())?;
            }
            match changes.next_if(|(changed, _)| **changed == name) {
                Some((_, new)) => to.write_all(new.as_deref().unwrap_or_default())?,
                None => to.write_all(&line)?,
            }
        }
        changes.try_for_each(|(_, new)| to.write_all(new.as_deref().unwrap_or_default()))?;
        Ok(to.flush()?)
    }
}

/// Lines of JSON, each bounded, with their line ends.
struct DiffLines<R> {
    from: R,
    line: u64,
    bytes: u64,
    last: Option<FileName>,
}

impl<R: BufRead> DiffLines<R> {
    fn of(from: R) -> Self {
        Self { from, line: 0, bytes: 0, last: None }
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, DiffError> {
        let mut line = Vec::new();
        let read = (&mut self.from).take(LINE_MOST as u64 + 1).read_until(b'\n', &mut line)?;
        self.bytes += read as u64;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        match line.ends_with(b"\n") {
            true => Ok(Some(line)),
            false => Err(self.bad("longer than 4096 bytes or cut short")),
        }
    }

    fn parse(&self, line: &[u8]) -> Result<WireChange, DiffError> {
        serde_json::from_slice(line).map_err(|e| self.bad(&e.to_string()))
    }

    /// Reads a line of a table, with its name, which must be greater than the last one.
    fn table_line(&mut self) -> Result<Option<(FileName, Vec<u8>)>, DiffError> {
        let Some(line) = self.next().map_err(|_| DiffError::Table)? else { return Ok(None) };
        let name = self.parse(&line).ok().and_then(|wire| FileName::new(wire.name?).ok()).ok_or(DiffError::Table)?;
        if self.last.as_ref().is_some_and(|last| *last >= name) {
            return Err(DiffError::Table);
        }
        self.last = Some(name.clone());
        Ok(Some((name, line)))
    }

    fn bad(&self, reason: &str) -> DiffError {
        DiffError::Line { line: self.line, reason: shown(reason).into_owned() }
    }
}

#[cfg(test)]
mod tests;
