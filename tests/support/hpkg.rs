//! The list of a system that is not pacman: other suffixes, packages in a directory of their own below each server, a list
//! that is called the same in every repository, no signatures of packages. Modelled on Haiku's, whose names it has.

use std::path::{Path, PathBuf};

use pkgswarm::base::digest::Sha256;
use pkgswarm::base::error::Error;
use pkgswarm::base::fsx::FileKey;
use pkgswarm::base::name::{FileName, RepoName};
use pkgswarm::lists::catalogue::{self, Catalogue, CatalogueEntry};
use pkgswarm::lists::system::{NameKind, PackageParts, Repository};
use pkgswarm::machine::lists::{List, ListTable, Lists, NameReading, NoRepos};
use pkgswarm::trust::look::{FileShape, ShapeError};
use pkgswarm::trust::plan::UnreadList;

/// Repositories that are known from the start; `DIR/NAME.list` has lines of `file size sha256`.
pub struct HpkgList {
    pub dir: PathBuf,
    /// `None` on a machine without the system.
    pub repos: Option<Vec<Repository>>,
}

/// Writes the list of a repository.
pub fn write_list(dir: &Path, repo: &str, files: &[(&str, &[u8])]) {
    let line = |(name, bytes): &(&str, &[u8])| format!("{name} {} {}\n", bytes.len(), Sha256::of(bytes));
    std::fs::write(dir.join(format!("{repo}.list")), files.iter().map(line).collect::<String>()).unwrap();
}

impl HpkgList {
    fn read_list(&self, lists: &Lists, repo: &RepoName) -> Result<ListTable, Error> {
        let path = self.dir.join(format!("{repo}.list"));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(ListTable::Missing),
            Err(e) => {
                lists.warn_once(&format!("{}: {e}", path.display()));
                return Ok(ListTable::Unread(UnreadList::List));
            }
        };
        let entry = |line: &str| {
            let mut words = line.split(' ');
            let name = FileName::new(words.next()?).ok()?;
            let (size, sha256) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some(CatalogueEntry { name, size, sha256, root: None, signature: None, built: None })
        };
        let entries: Option<Vec<_>> = text.lines().map(entry).collect();
        let entries = entries.ok_or_else(|| Error::usage(format!("{repo}"), "its list is malformed"))?;
        let compiled = self.dir.join(format!("{repo}.catalogue"));
        let failed = |e: catalogue::CatalogueError| Error::local(compiled.display(), e);
        catalogue::write(&compiled, entries, FileKey::default()).map_err(failed)?;
        Ok(Catalogue::open(&compiled).map_err(failed)?.map_or(ListTable::Missing, ListTable::Compiled))
    }
}

impl List for HpkgList {
    fn read<'n>(&self, name: &'n FileName) -> NameReading<'n> {
        let text = name.as_str();
        let package = text.strip_suffix(".hpkg").and_then(parts);
        let shape = match text {
            "repo" => FileShape::new(NameKind::Database, |head, _, _| begins(head, b"hpkr", ShapeError::NotAnArchive)),
            "repo.minisig" => FileShape::new(NameKind::DatabaseSignature, |head, _, _| {
                begins(head, b"untrusted comment:", ShapeError::NotASignature)
            }),
            _ if package.is_some() => {
                FileShape::new(NameKind::Package, |head, _, _| begins(head, b"hpkg", ShapeError::NotAnArchive))
            }
            _ => FileShape::ANY,
        };
        let signed = (text == "repo.minisig").then(|| FileName::new("repo").unwrap());
        let path = if package.is_some() { format!("packages/{text}") } else { text.to_owned() };
        NameReading { shape, signed, package, repo: None, path }
    }

    fn repos(&self, _lists: &Lists) -> Result<Vec<&Repository>, NoRepos> {
        self.repos.as_ref().map(|repos| repos.iter().collect()).ok_or(NoRepos::Absent)
    }

    fn table(&self, lists: &Lists, repo: &RepoName, _is_anew: bool) -> Result<ListTable, Error> {
        self.read_list(lists, repo)
    }
}

/// `name-version[-revision]-arch`, whose name has no dash.
fn parts(stem: &str) -> Option<PackageParts<'_>> {
    let (name, rest) = stem.split_once('-')?;
    let (version, arch) = rest.rsplit_once('-')?;
    Some(PackageParts { name, version, arch })
}

fn begins(head: &[u8], magic: &[u8], otherwise: ShapeError) -> Result<(), ShapeError> {
    if head.starts_with(magic) { Ok(()) } else { Err(otherwise) }
}
