//! Compiles a sync database into its catalogue, and decides whether an existing catalogue is still valid.

use std::path::Path;

use crate::base::fsx::{self, FileKey};
use crate::lists::pacman::syncdb::{self, DatabaseError, Limits, Package};

use super::{Catalogue, CatalogueEntry, CatalogueError, layout};

/// Returns the catalogue of the sync database at `database`, from `cache` if that was compiled from the same state
/// of it.
///
/// Otherwise reads the database and replaces `cache`; where that is not possible (no such directory, another
/// owner, disk full) the catalogue is kept in memory. Entries without `%SHA256SUM%` or `%CSIZE%` are left out:
/// pacman accepts them, but they hold nothing to prove a file by. Takes milliseconds for `core`, 60 for `extra`;
/// 0.1 when the compiled file is valid.
///
/// # Errors
/// `File` when the database cannot be opened, `Source` when it is none, `Changed` when it was written to meanwhile.
pub fn for_database(database: &Path, cache: &Path) -> Result<Catalogue, CatalogueError> {
    // A damaged or foreign compiled file is no obstacle: it is compiled again.
    let compiled = Catalogue::open(cache).ok().flatten();
    // The database is opened only when needed, but the key of the open file decides: the name may lead to another
    // file by then.
    if let Some(compiled) = compiled.filter(|it| FileKey::at(database).is_ok_and(|key| it.matches(key))) {
        return Ok(compiled);
    }
    anew(database, cache)
}

/// Compiles from the database itself, whatever `cache` holds: damage in it may not show in its header.
///
/// # Errors
/// As of [`for_database`].
pub fn anew(database: &Path, cache: &Path) -> Result<Catalogue, CatalogueError> {
    let file = |cause| CatalogueError::File { path: database.to_owned(), cause };
    let source = fsx::open_followed(database).map_err(file)?;
    let key = FileKey::of(&source).map_err(file)?;
    let mut records = Vec::new();
    let read = syncdb::read::<DatabaseError>(&source, &Limits::default(), |package| {
        records.extend(record(package));
        Ok(())
    });
    if FileKey::of(&source).map_err(file)? != key {
        return Err(CatalogueError::Changed(database.to_owned()));
    }
    read.map_err(|cause| CatalogueError::Source { path: database.to_owned(), cause })?;
    let bytes = layout::encode(records, key)?;
    let _kept_in_memory_only = layout::store(cache, &bytes);
    Catalogue::in_memory(bytes, cache)
}

fn record(package: Package) -> Option<CatalogueEntry> {
    let Package { file: name, size: Some(size), sha256: Some(sha256), signature, .. } = package else { return None };
    Some(CatalogueEntry { name, size, sha256, root: None, signature })
}
