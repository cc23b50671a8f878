//! From a sync database to its catalogue, and the decision whether the one at hand still holds.

use std::fs::File;
use std::path::Path;

use crate::distro::syncdb::{self, DatabaseError, Limits, Package};
use crate::distro::trusted::FileKey;

use super::{Catalogue, CatalogueEntry, CatalogueError, layout};

/// The catalogue of the sync database at `database`, from `cache` if that was compiled from the same state of it.
///
/// Otherwise the database is read and `cache` replaced; where that is not possible (no such directory, not ours,
/// disk full) the answer is kept in memory and given all the same. Entries without `%SHA256SUM%` or `%CSIZE%` are left
/// out: pacman takes them, but they hold nothing to prove a file by. Milliseconds for `core`, 60 for `extra`; 0.1 when
/// the compiled file holds.
///
/// # Errors
/// `File` when the database cannot be opened, `Source` when it is none, `Changed` when it was written to meanwhile.
pub fn for_database(database: &Path, cache: &Path) -> Result<Catalogue, CatalogueError> {
    // A damaged or foreign compiled file is no obstacle: it is compiled again.
    let compiled = Catalogue::open(cache).ok().flatten();
    // Opened only when needed, but the key of the open file is what counts: the name may lead to another by then.
    if let Some(compiled) = compiled.filter(|it| FileKey::at(database).is_ok_and(|key| it.matches(key))) {
        return Ok(compiled);
    }
    anew(database, cache)
}

/// The same from the database itself, whatever `cache` holds: it may be damaged where its header does not show it.
///
/// # Errors
/// As of [`for_database`].
pub fn anew(database: &Path, cache: &Path) -> Result<Catalogue, CatalogueError> {
    let file = |cause| CatalogueError::File { path: database.to_owned(), cause };
    let source = File::open(database).map_err(file)?;
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
