//! From what people type to a file of a repository: file name, package name, name-version, or sha256.

use crate::catalogue::{Catalogue, Record};
use crate::digest::Sha256;
use crate::error::{Error, Kind};
use crate::name::{FileName, RepoName};
use crate::session::Session;

/// A file that a repository has.
#[derive(Clone, Debug)]
pub struct Found {
    /// The repository.
    pub repo: RepoName,
    /// The file.
    pub name: FileName,
}

/// Finds `what`; the first repository in pacman.conf that has it wins, as with pacman, then those of indexes alone.
///
/// # Errors
/// `NoSource` when nothing is called so; the hint says what to try.
pub fn find(session: &Session, what: &str) -> Result<Found, Error> {
    let repos = session.repo_names();
    if repos.is_empty() {
        return Err(Error::usage(what, "there is no repository to look in")
            .hint("pacman.conf names none, and no index is in use; give a URL or a CID instead"));
    }
    for repo in repos {
        let database = match session.repo(&repo) {
            Some(configured) => session.database(configured)?,
            None => None,
        };
        let tables = session.tables(repo.as_str());
        for catalogue in database.iter().chain(tables.iter().map(|(_, table)| table)) {
            if let Some(name) = in_catalogue(catalogue, what) {
                return Ok(Found { repo, name });
            }
        }
    }
    Err(Error::new(Kind::NoSource, what, "no sync database and no index in use lists it")
        .hint("`pacman -Sy` and `pkgswarm index refresh` bring newer lists; a URL or a CID needs none"))
}

fn in_catalogue(catalogue: &Catalogue, what: &str) -> Option<FileName> {
    if let Ok(name) = FileName::new(what) {
        // A signature is listed with what it signs.
        let listed = name.signed().unwrap_or_else(|| name.clone());
        if let Ok(Some(_)) = catalogue.find(&listed) {
            return Some(name);
        }
    }
    if let Ok(sha256) = what.parse::<Sha256>() {
        return catalogue.by_sha256(sha256).ok()?.map(|record| record.name);
    }
    let newest = |records: Vec<Record>| records.into_iter().map(|record| record.name).next_back();
    if let Some(name) = newest(catalogue.by_package_name(what).ok()?) {
        return Some(name);
    }
    // name-version-release: the version is what follows one of the dashes.
    what.match_indices('-').find_map(|(dash, _)| {
        let (name, version) = (&what[..dash], &what[dash + 1..]);
        let mut records = catalogue.by_package_name(name).ok()?.into_iter();
        records
            .find(|record| record.name.package().is_some_and(|parts| is_version(parts.version, version)))
            .map(|record| record.name)
    })
}

/// Whether `asked` means `version`: `1.0-2`, or `1.0` without the release.
fn is_version(version: &str, asked: &str) -> bool {
    version == asked || version.rsplit_once('-').is_some_and(|(upstream, _)| upstream == asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_may_leave_out_the_release() {
        assert!(is_version("1:2.0-3", "1:2.0-3"));
        assert!(is_version("1:2.0-3", "1:2.0"));
        assert!(!is_version("1:2.0-3", "2.0"));
    }
}
