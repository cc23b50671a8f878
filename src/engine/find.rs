//! From a user's words to a file of a repository: file name, package name, name-version, sha256, or CID.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind};
use crate::base::name::{FileName, RepoName};
use crate::lists::catalogue::{Catalogue, CatalogueEntry, CatalogueError};
use crate::lists::system::PackageParts;
use crate::machine::lists::Lists;
use crate::trust::plan::Known;

/// A file that a repository has.
#[derive(Clone, Debug)]
pub struct FoundFile {
    /// The repository.
    pub repo: RepoName,
    /// The file.
    pub name: FileName,
    /// Its expected content, when it was found by that: then no list is needed for the name.
    pub(crate) exact: Option<Known>,
}

/// Finds `what`; the first repository of the system that has it wins, as with pacman, then those of indexes alone.
///
/// # Errors
/// `NoSource` when no file matches; the hint names what to try.
pub fn find(lists: &Lists, what: &str) -> Result<FoundFile, Error> {
    let repos = lists.repo_names();
    if repos.is_empty() {
        return Err(Error::usage(what, "there is no repository to look in")
            .hint("pacman.conf names none, and no index is in use; give a URL or a CID instead"));
    }
    if let Ok(sha256) = what.parse::<Sha256>()
        && let Some(found) = by_content(lists, |catalogue| catalogue.by_sha256(sha256))?
    {
        return Ok(found);
    }
    for repo in repos {
        for catalogue in catalogues(lists, &repo)? {
            if let Some(name) = in_catalogue(lists, &catalogue, what) {
                return Ok(FoundFile { repo, name, exact: None });
            }
        }
    }
    Err(Error::new(ErrorKind::NoSource, what, "no sync database and no index in use lists it")
        .hint("`pacman -Sy` and `pkgswarm index refresh` bring newer lists; a URL or a CID needs none"))
}

/// Finds the file that a sync database or an index lists under this CID, if one does. Reads every record of every table:
/// tens of milliseconds in the largest.
///
/// # Errors
/// A usage error when a sync database does not parse.
pub(crate) fn by_cid(lists: &Lists, cid: Cid) -> Result<Option<FoundFile>, Error> {
    by_content(lists, |catalogue| catalogue.by_cid(cid))
}

fn by_content(
    lists: &Lists,
    look: impl Fn(&Catalogue) -> Result<Option<CatalogueEntry>, CatalogueError>,
) -> Result<Option<FoundFile>, Error> {
    for repo in lists.repo_names() {
        let catalogues = catalogues(lists, &repo)?;
        let Some(record) = catalogues.iter().find_map(|catalogue| look(catalogue).ok()?) else { continue };
        let same = |other: &CatalogueEntry| (other.sha256, other.size) == (record.sha256, record.size);
        // The sync database lists no roots.
        let others = catalogues.iter().filter_map(|catalogue| catalogue.find(&record.name).ok()?.filter(same));
        let root = record.root.or_else(|| others.filter_map(|other| other.root).next()).map(Cid::dag_pb);
        let exact = Some(Known { size: record.size, sha256: record.sha256, root });
        return Ok(Some(FoundFile { repo, name: record.name, exact }));
    }
    Ok(None)
}

/// Returns the sync database of a repository, if there is one, and the tables of indexes.
fn catalogues(lists: &Lists, repo: &RepoName) -> Result<Vec<Catalogue>, Error> {
    let database = lists.repo(repo).map(|_| lists.table(repo)).transpose()?.flatten();
    Ok(database.into_iter().chain(lists.tables(repo.as_str()).into_iter().map(|(_, table)| table)).collect())
}

fn in_catalogue(lists: &Lists, catalogue: &Catalogue, what: &str) -> Option<FileName> {
    if let Ok(name) = FileName::new(what) {
        // A signature is listed with the file that it signs.
        let listed = lists.read(&name).signed.unwrap_or_else(|| name.clone());
        if let Ok(Some(_)) = catalogue.find(&listed) {
            return Some(name);
        }
    }
    let is_of = |file: &FileName, package: &str| lists.read(file).package.is_some_and(|parts| parts.name == package);
    let newest = |records: Vec<CatalogueEntry>| records.into_iter().map(|record| record.name).next_back();
    if let Some(name) = newest(catalogue.by_package_name(what, is_of).ok()?) {
        return Some(name);
    }
    // name-version-release: the version follows one of the dashes.
    what.match_indices('-').find_map(|(dash, _)| {
        let (name, version) = (&what[..dash], &what[dash + 1..]);
        let mut records = catalogue.by_package_name(name, is_of).ok()?.into_iter();
        records
            .find(|record| lists.read(&record.name).package.is_some_and(|parts| is_version(&parts, version)))
            .map(|record| record.name)
    })
}

/// Returns true when `what` means this file: by its name, its package, or name-version as [`find`] takes it.
pub(crate) fn is_meant(lists: &Lists, file: &FileName, what: &str) -> bool {
    let of_package = |parts: &PackageParts<'_>| match what.strip_prefix(parts.name) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('-').is_some_and(|version| is_version(parts, version)),
        None => false,
    };
    file.as_str() == what || lists.read(file).package.is_some_and(|parts| of_package(&parts))
}

/// Returns true when `asked` means the version of this package: `1.0-2`, `1.0` without the release, or `1.0-2-any` with the
/// architecture.
fn is_version(package: &PackageParts<'_>, asked: &str) -> bool {
    let PackageParts { version, arch, .. } = *package;
    let with_arch = asked.strip_suffix(arch).and_then(|rest| rest.strip_suffix('-'));
    version == asked
        || with_arch == Some(version)
        || version.rsplit_once('-').is_some_and(|(upstream, _)| upstream == asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_may_leave_out_the_release_or_have_the_architecture() {
        let package = PackageParts { name: "a", version: "1:2.0-3", arch: "x86_64" };
        assert!(is_version(&package, "1:2.0-3"));
        assert!(is_version(&package, "1:2.0"));
        assert!(is_version(&package, "1:2.0-3-x86_64"));
        assert!(
            !is_version(&package, "2.0")
                && !is_version(&package, "1:2.0-3-any")
                && !is_version(&package, "1:2.0-x86_64")
        );
    }
}
