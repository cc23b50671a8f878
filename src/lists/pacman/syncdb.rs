//! Sync databases: the packages of a repository, with the size and sha256 that pacman itself will check.
//!
//! A `.db` or `.files` file is a (compressed) tar of `name-version/desc` entries (`repo-add`; alpm-repo-db(7)). It is
//! read as a stream, once, and every size in it is bounded, because a mirror may send anything under that name.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::HashSet;
use std::io::{self, Read};

use crate::base::name::shown;

use super::archive::UnpackedDatabase;
use super::desc;

pub use super::package::{DatabaseError, Limits, Package};

/// Calls `visit` for every package of the database in `from`, in the order of the archive.
///
/// The visits are valid only when this returns `Ok`: checksums come at the end.
///
/// # Errors
/// `DatabaseError`, or whatever `visit` returns.
pub fn read<E: From<DatabaseError>>(
    from: impl Read,
    limits: &Limits,
    mut visit: impl FnMut(Package) -> Result<(), E>,
) -> Result<(), E> {
    let unpacked = UnpackedDatabase::new(from, limits)?;
    let explain = unpacked.explainer();
    let mut archive = tar::Archive::new(unpacked);
    let mut seen = HashSet::new();
    let mut long_name = None;
    // Raw, because the extension entries would otherwise be read into memory whatever their size.
    for entry in archive.entries().map_err(&explain)?.raw(true) {
        let mut entry = entry.map_err(&explain)?;
        let kind = entry.header().entry_type();
        if kind.is_pax_local_extensions() || kind.is_gnu_longname() {
            let body = body(&mut entry, 64 << 10, &explain)?;
            let name = if kind.is_gnu_longname() { Some(trimmed(&body)) } else { pax_name(&body)? };
            long_name = name.or(long_name);
            continue;
        }
        if kind.is_pax_global_extensions() || kind.is_gnu_longlink() {
            continue;
        }
        let path = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let path = EntryPath::of(&path)?;
        if kind.is_dir() {
            continue;
        }
        if !(kind.is_file() || kind.is_contiguous()) {
            return Err(path.bad("it is not a plain file").into());
        }
        let Some(directory) = path.of_desc() else { continue };
        if seen.len() >= limits.packages {
            return Err(DatabaseError::TooLarge("packages").into());
        }
        if (limits.desc + 1..=limits.unpacked).contains(&entry.size()) {
            return Err(DatabaseError::TooLarge("one entry").into());
        }
        if entry.size() > limits.desc {
            return Err(path.bad(format!("it claims {} bytes, at most {} are read", entry.size(), limits.desc)).into());
        }
        let text = body(&mut entry, limits.desc, &explain)?;
        let package = desc::parse(directory, &text).map_err(|problem| path.bad(problem))?;
        if !seen.insert(package.file.clone()) {
            return Err(path.bad(format!("{} was listed before", package.file)).into());
        }
        visit(package)?;
    }
    Ok(archive.into_inner().finish()?)
}

/// Checks that `from` is a sync database that pacman could use; returns the number of its packages, possibly 0.
///
/// # Errors
/// As [`read`].
pub fn check(from: impl Read) -> Result<usize, DatabaseError> {
    let mut packages = 0;
    read::<DatabaseError>(from, &Limits::default(), |_| {
        packages += 1;
        Ok(())
    })?;
    Ok(packages)
}

/// The path of an entry, which cannot lead out of the archive.
struct EntryPath(String);

impl EntryPath {
    fn of(bytes: &[u8]) -> Result<Self, DatabaseError> {
        let path = Self(String::from_utf8_lossy(bytes).into_owned());
        let parts = path.0.strip_suffix('/').unwrap_or(&path.0).split('/');
        // pacman refuses "./" as well: "invalid name for database entry".
        if parts.clone().any(|part| matches!(part, "" | "." | "..")) {
            return Err(path.bad("its path is not plain"));
        }
        Ok(path)
    }

    /// Returns the directory, if this is the `desc` of a package.
    fn of_desc(&self) -> Option<&str> {
        self.0.strip_suffix("/desc").filter(|directory| !directory.contains('/'))
    }

    fn bad(&self, problem: impl Into<String>) -> DatabaseError {
        DatabaseError::Entry { entry: shown(&self.0).into_owned(), problem: problem.into() }
    }
}

fn body(
    entry: &mut tar::Entry<'_, impl Read>,
    most: u64,
    explain: impl Fn(io::Error) -> DatabaseError,
) -> Result<Vec<u8>, DatabaseError> {
    let size = entry.size();
    if size > most {
        return Err(DatabaseError::TooLarge("an entry's name"));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    entry.read_to_end(&mut bytes).map_err(explain)?;
    // The tar reader treats the end of the stream as the end of the entry.
    if (bytes.len() as u64) < size { Err(DatabaseError::CutOff) } else { Ok(bytes) }
}

/// Reads the path in a pax header, which bsdtar writes for large user ids and for values that do not fit.
fn pax_name(body: &[u8]) -> Result<Option<Vec<u8>>, DatabaseError> {
    let bad = |problem: &str| DatabaseError::Entry { entry: "(pax header)".to_owned(), problem: problem.to_owned() };
    let mut name = None;
    for record in tar::PaxExtensions::new(body) {
        let record = record.map_err(|_| bad("it is malformed"))?;
        match record.key_bytes() {
            b"path" => name = Some(record.value_bytes().to_vec()),
            b"size" => return Err(bad("it changes a size")), // only for files over 8 GiB
            _ => {}
        }
    }
    Ok(name)
}

fn trimmed(name: &[u8]) -> Vec<u8> {
    name.iter().copied().take_while(|byte| *byte != 0).collect()
}

#[cfg(test)]
#[path = "syncdb_tests.rs"]
mod tests;
