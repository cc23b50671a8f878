//! The entries of a sync database, in the form of a catalogue.

use std::fs::File;

use crate::lists::catalogue::{CatalogueEntry, SourceError};

use super::syncdb::{self, DatabaseError, Limits, Package};

/// Reads the entries of a sync database. Those without `%SHA256SUM%` or `%CSIZE%` are left out: pacman accepts them, but
/// they hold nothing to prove a file by. Takes milliseconds for `core`, 60 for `extra`.
///
/// # Errors
/// `Unsupported` for a compression that libalpm alone reads; `TooLarge`; `Unread` where the file system fails; else
/// `Malformed`.
pub(crate) fn entries(database: &File) -> Result<Vec<CatalogueEntry>, SourceError> {
    let mut entries = Vec::new();
    syncdb::read::<DatabaseError>(database, &Limits::default(), |package| {
        entries.extend(entry(package));
        Ok(())
    })
    .map_err(refused)?;
    Ok(entries)
}

fn entry(package: Package) -> Option<CatalogueEntry> {
    let Package { file: name, size: Some(size), sha256: Some(sha256), signature, build_date, .. } = package else {
        return None;
    };
    let built = build_date.and_then(|date| u32::try_from(date).ok());
    Some(CatalogueEntry { name, size, sha256, root: None, signature, built })
}

fn refused(error: DatabaseError) -> SourceError {
    let text = error.to_string();
    match error {
        DatabaseError::Unsupported(_) => SourceError::Unsupported(text),
        DatabaseError::TooLarge(_) => SourceError::TooLarge(text),
        DatabaseError::Read(cause) if cause.raw_os_error().is_some() => SourceError::Unread(text),
        _ => SourceError::Malformed(text),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::base::digest::Sha256;
    use crate::base::fsx::{self, FileKey};
    use crate::base::name::FileName;
    use crate::lists::catalogue::{self, Catalogue, CatalogueError};

    fn compiled(database: &Path, cache: &Path) -> Result<Catalogue, CatalogueError> {
        catalogue::of_source(database, cache, entries)
    }

    #[test]
    fn a_database_is_compiled_once_and_again_when_it_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (database, cache) = (dir.path().join("core.db"), dir.path().join("core.cat"));
        std::fs::write(&database, database_of(&["a", "b"])).unwrap();
        assert_eq!(compiled(&database, &cache).unwrap().len(), 2);
        let first = FileKey::at(&cache).unwrap();
        assert_eq!(compiled(&database, &cache).unwrap().len(), 2);
        assert_eq!(FileKey::at(&cache).unwrap(), first, "the compiled file was good");
        fsx::replace_synced(&database, &database_of(&["a"])).unwrap();
        assert_eq!(compiled(&database, &cache).unwrap().len(), 1);
        std::fs::write(&cache, b"damaged").unwrap();
        assert_eq!(compiled(&database, &cache).unwrap().len(), 1);
        assert!(Catalogue::open(&cache).unwrap().is_some(), "the damaged file was replaced");
    }

    #[test]
    fn a_database_answers_even_where_nothing_can_be_kept() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("core.db");
        std::fs::write(&database, database_of(&["a"])).unwrap();
        let found = compiled(&database, &dir.path().join("none/core.cat")).unwrap();
        assert_eq!(found.find(&FileName::new("a-1-1-any.pkg.tar.zst").unwrap()).unwrap().unwrap().size, 7);
        std::fs::write(&database, b"<html>").unwrap();
        let error = compiled(&database, &dir.path().join("core.cat")).unwrap_err();
        assert!(error.to_string().ends_with("this is a web page, not a database"), "{error}");
        assert!(matches!(error, CatalogueError::Source { cause: SourceError::Malformed(_), .. }));
        assert!(!dir.path().join("core.cat").exists());
    }

    fn database_of(names: &[&str]) -> Vec<u8> {
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for name in names {
            let sum = Sha256::of(name.as_bytes());
            let text = format!(
                "%FILENAME%\n{name}-1-1-any.pkg.tar.zst\n\n%NAME%\n{name}\n\n%VERSION%\n1-1\n\n%CSIZE%\n7\n\n%SHA256SUM%\n{sum}\n"
            );
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("{name}-1-1/desc"), text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }
}
