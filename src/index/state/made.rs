//! Makes a table of delivered bytes: measured while it is written, so that it cannot exceed the signed size.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fs::File;
use std::io;
use std::path::Path;

use super::super::diff::Changes;
use super::super::manifest::Table;
use super::super::table::unpack;
use crate::base::digest::Hasher;
use crate::base::fsx::FromStart;

/// The material of a table.
#[derive(Clone, Copy, Debug)]
pub enum TableBytes<'a> {
    /// The compressed table.
    Packed(&'a [u8]),
    /// The uncompressed table in this file, and the changes since.
    Diffs(&'a Path, &'a Changes),
    /// The uncompressed table, to be read from the beginning of this file.
    Plain(&'a File),
}

impl TableBytes<'_> {
    /// Writes the table, if the result is exactly `table`; else returns what is wrong with the delivered bytes.
    ///
    /// # Errors
    /// When this machine fails.
    pub(super) fn write(self, table: &Table, to: &mut dyn io::Write) -> io::Result<Result<(), String>> {
        let mut to = Measured { to, hasher: Hasher::default(), size: 0, most: table.size, failed: None };
        let result = match self {
            TableBytes::Packed(bytes) => unpack(bytes, table.size + 1)
                .and_then(|mut plain| io::copy(&mut plain, &mut to))
                .map_err(|e| e.to_string())
                .map(drop),
            TableBytes::Plain(file) => io::copy(&mut FromStart::of(file), &mut to).map_err(|e| e.to_string()).map(drop),
            TableBytes::Diffs(old, changes) => match File::open(old) {
                Ok(old) => changes.apply(io::BufReader::new(old), &mut to).map_err(|e| e.to_string()),
                Err(error) => Err(error.to_string()),
            },
        };
        if let Some(error) = to.failed.take() {
            return Err(error);
        }
        let found = to.hasher.finish();
        if result.is_ok() && found == table.sha256 && to.size == table.size {
            return Ok(Ok(()));
        }
        let corrupt = || format!("corrupt: sha256 {}, the manifest says {}", found.short(), table.sha256.short());
        Ok(Err(result.err().unwrap_or_else(corrupt)))
    }
}

/// Counts and hashes the written bytes, refuses excess, and records failures of this machine.
struct Measured<'w> {
    to: &'w mut dyn io::Write,
    hasher: Hasher,
    size: u64,
    most: u64,
    failed: Option<io::Error>,
}

impl io::Write for Measured<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size + bytes.len() as u64 > self.most {
            return Err(io::Error::other(format!("longer than the {} bytes that the manifest says", self.most)));
        }
        if let Err(error) = self.to.write_all(bytes) {
            let text = error.to_string();
            self.failed = Some(error);
            return Err(io::Error::other(text));
        }
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
