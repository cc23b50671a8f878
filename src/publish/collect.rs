//! The first step: the repos to publish, made by repo-add or of Haiku's, and every file in them that clients may ask for.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::PublishError;
use super::hash::{Hashed, ROOTS};
use super::record::Backlog;
use crate::base::digest::Sha256;
use crate::base::fsx::{self, FileKey};
use crate::base::name::{FileName, RepoName};
use crate::index::manifest::{HAIKU, TableSystem, is_arch};
use crate::index::minisign::PublicKey;
use crate::index::time;
use crate::lists::pacman::names;
use crate::lists::pacman::syncdb::{self, DatabaseError, Limits};
use crate::lists::system::Signature;

mod haiku;
mod images;
mod links;

pub(super) use images::prove;
use links::TreeBounds;

/// Depth of the search for repos below a given directory: `<repo>/os/<arch>` and one more.
const DEPTH: usize = 4;

/// Everything that is to be published, with what its databases say about it. Nothing is hashed yet.
#[derive(Debug)]
pub(super) struct Collection {
    /// Sorted by name and architecture, each once.
    pub(super) repos: Vec<CollectedRepo>,
}

impl Collection {
    /// Sorts repos.
    fn of(mut repos: Vec<CollectedRepo>) -> Result<Self, PublishError> {
        repos.sort_by(|a, b| (&a.name, &a.arch).cmp(&(&b.name, &b.arch)));
        for repo in &repos {
            let (path, is_foreign) = (repo.path(), repo.system.is_some());
            let top = RepoName::new(path.split('/').next().unwrap_or_default());
            let top = top.ok().filter(|top| is_reserved(top) || is_foreign && top.as_str() == ROOTS);
            if let Some(reserved) = top.or_else(|| is_reserved(&repo.name).then(|| repo.name.clone())) {
                return Err(PublishError::Reserved(reserved));
            }
        }
        let is_same = |a: &CollectedRepo, b: &CollectedRepo| (&a.name, &a.arch) == (&b.name, &b.arch);
        match repos.windows(2).find(|two| is_same(&two[0], &two[1])) {
            Some(two) => Err(PublishError::Twice(two[0].path())),
            None => Ok(Self { repos }),
        }
    }

    /// Adds repos from elsewhere.
    pub(super) fn with(self, more: Vec<CollectedRepo>) -> Result<Self, PublishError> {
        Self::of(self.repos.into_iter().chain(more).collect())
    }

    /// True if this repo is below the directory `top` of the tree.
    pub(super) fn has_top(&self, repo: &RepoName, top: &str) -> bool {
        let is_below = |found: &CollectedRepo| found.path().split('/').next() == Some(top);
        self.repos.iter().any(|found| found.name == *repo && is_below(found))
    }

    /// Lists every file, repo by repo, each repo's by name.
    pub(super) fn files(&self) -> impl Iterator<Item = &CollectedFile> {
        self.repos.iter().flat_map(|repo| repo.files.values())
    }
}

/// One repo for one architecture.
#[derive(Debug)]
pub(super) struct CollectedRepo {
    pub(super) name: RepoName,
    pub(super) arch: String,
    /// Every file of the plain tree, by name.
    pub(super) files: BTreeMap<FileName, CollectedFile>,
    /// Upstream's time of this state, Unix seconds.
    pub(super) lastupdate: Option<u64>,
    /// The system that it is of, where that is not pacman's.
    pub(super) system: Option<TableSystem>,
    /// What its database names beside them.
    pub(super) backlog: Backlog,
}

/// A package as a publisher needs it: of a distribution, tens of thousands are kept, from each mirror.
#[derive(Debug)]
pub(super) struct ListedPackage {
    pub(super) file: FileName,
    pub(super) size: Option<u64>,
    pub(super) sha256: Option<Sha256>,
    pub(super) signature: Option<Signature>,
    /// Unix seconds.
    pub(super) build_date: Option<u64>,
}

/// A file to be published.
#[derive(Debug)]
pub(super) struct CollectedFile {
    /// Empty for one that is held.
    pub(super) path: PathBuf,
    pub(super) role: Role,
    /// The state in which the database was read; only that state may be published.
    pub(super) key: Option<Box<FileKey>>,
    /// The facts about a file that every target has, and that is not on this disk any more.
    pub(super) held: Option<Box<Hashed>>,
}

impl CollectedFile {
    /// Returns the facts about it: those that are held, or the next of `new`, which are those of the files that are not.
    pub(super) fn facts<'f>(&'f self, new: &mut impl Iterator<Item = &'f Hashed>) -> &'f Hashed {
        self.held.as_deref().or_else(|| new.next()).expect("each is held or was hashed")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A package, with the database's facts about it; `built` in Unix seconds.
    Package { size: u64, sha256: Sha256, built: Option<u64> },
    /// `….sig` beside a package.
    PackageSignature,
    /// `REPO.db`, `REPO.files` and their signatures.
    Database,
    /// A file that describes a repository of another system, or an image of it; `sha256` is that of the bytes which were
    /// checked.
    Description { sha256: Sha256 },
}

impl CollectedRepo {
    /// Returns its path in the tree.
    pub(super) fn path(&self) -> String {
        self.system.as_ref().map_or_else(|| format!("{}/os/{}", self.name, self.arch), |system| system.path.clone())
    }

    /// Returns the directory of its packages below that path; `None` for that path itself.
    pub(super) fn below(&self) -> Option<&'static str> {
        self.system.as_ref().filter(|system| system.name == HAIKU).map(|_| haiku::PACKAGES)
    }

    /// Returns the path of one of its files in the tree.
    pub(super) fn path_of(&self, name: &FileName, role: Role) -> String {
        match (self.below(), role) {
            (Some(below), Role::Package { .. }) => format!("{}/{below}/{name}", self.path()),
            _ => format!("{}/{name}", self.path()),
        }
    }
}

/// Finds every repo in `dirs` and lists its files. Reads lists and file states, but hashes no package yet. With
/// `list_key`, a list of Haiku's needs its signature.
pub(super) fn collect(dirs: &[PathBuf], list_key: Option<&PublicKey>) -> Result<Collection, PublishError> {
    let mut repos: Vec<CollectedRepo> = Vec::new();
    let bounds = TreeBounds::of(dirs);
    for dir in dirs {
        let before = repos.len();
        Search { root: dir, bounds: &bounds, list_key }.find(dir, DEPTH, &mut repos)?;
        if repos.len() == before {
            return Err(PublishError::NoRepo(dir.clone()));
        }
        let lastupdate = lastupdate(dir);
        repos[before..].iter_mut().for_each(|repo| repo.lastupdate = lastupdate);
    }
    Collection::of(repos)
}

/// Reads what upstream wrote at the top of a mirror that is kept by rsync: Unix seconds.
fn lastupdate(dir: &Path) -> Option<u64> {
    let text = fsx::read_followed(&dir.join("lastupdate"), 64).ok()??;
    std::str::from_utf8(&text).ok()?.trim().parse().ok().filter(|at| *at <= time::LAST)
}

/// True for names that the index needs for itself.
fn is_reserved(name: &RepoName) -> bool {
    matches!(name.as_str(), "tables" | "diffs" | "index.html" | "status.json") || name.as_str().starts_with("pkgswarm")
}

/// A directory in which repos are looked for.
struct Search<'a> {
    root: &'a Path,
    bounds: &'a TreeBounds,
    list_key: Option<&'a PublicKey>,
}

impl Search<'_> {
    fn find(&self, dir: &Path, depth: usize, repos: &mut Vec<CollectedRepo>) -> Result<(), PublishError> {
        let at = |error: io::Error| PublishError::Io { path: dir.to_owned(), error };
        let mut below = Vec::new();
        let before = repos.len();
        if haiku::is_repository(dir) {
            repos.push(haiku::read(dir, self.bounds, self.list_key)?);
            return Ok(());
        }
        repos.extend(images::read(self.root, dir, self.bounds, self.list_key)?);
        for entry in fs::read_dir(dir).map_err(at)? {
            let entry = entry.map_err(at)?;
            let name = entry.file_name().to_str().and_then(|name| FileName::new(name).ok());
            // repo-add makes `REPO.db` a link to `REPO.db.tar.gz`; the database keeps its own name in the tree.
            if let Some(name) = name.as_ref().filter(|name| name.as_str().ends_with(".db"))
                && let Some(repo) = names::repo(name)
            {
                repos.push(read(dir, self.bounds, repo)?);
            }
            if entry.file_type().map_err(at)?.is_dir() {
                below.push(entry.path());
            }
        }
        // Where Haiku's server keeps several states of a repository, a link says which one is served.
        let current = dir.join("current");
        if current.is_symlink() && haiku::is_repository(&current) {
            below.retain(|below| !haiku::is_repository(below));
            below.push(current);
        }
        if repos.len() == before && depth > 0 {
            below.sort();
            below.iter().try_for_each(|dir| self.find(dir, depth - 1, repos))?;
        }
        Ok(())
    }
}

fn read(dir: &Path, bounds: &TreeBounds, name: RepoName) -> Result<CollectedRepo, PublishError> {
    if is_reserved(&name) {
        return Err(PublishError::Reserved(name));
    }
    let database = dir.join(format!("{name}.db"));
    let at = |error: io::Error| PublishError::Io { path: database.clone(), error };
    let file = fsx::open_followed(&database).map_err(at)?;
    let key = FileKey::of(&file).map_err(at)?;
    let mut packages = Vec::new();
    syncdb::read::<DatabaseError>(&file, &Limits::default(), |package| {
        packages.push(package);
        Ok(())
    })
    .map_err(|cause| PublishError::Database { path: database.clone(), cause })?;

    let mut files = BTreeMap::new();
    let mut archs: Vec<String> = packages.iter().filter_map(|package| package.arch.clone()).collect();
    for package in packages {
        let wrong = |why: &str| PublishError::Package { path: dir.join(package.file.as_str()), why: why.to_owned() };
        let (Some(size), Some(sha256)) = (package.size, package.sha256) else {
            return Err(wrong("the database has no sha256 and size for it; run repo-add again"));
        };
        let path = dir.join(package.file.as_str());
        match fs::metadata(&path) {
            Ok(found) if !found.is_file() => return Err(wrong("it is not a file")),
            Ok(found) if found.len() != size => {
                let why = format!("it has {} bytes, the database says {size}", found.len());
                return Err(wrong(&why));
            }
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(wrong("the database lists it and it is missing"));
            }
            Err(error) => return Err(PublishError::Io { path, error }),
        }
        if let Some((name, signature)) = beside(dir, &format!("{}.sig", package.file)) {
            bounds.check_signature(&signature, &path)?;
            files.insert(name, CollectedFile { path: signature, role: Role::PackageSignature, key: None, held: None });
        }
        let role = Role::Package { size, sha256, built: package.build_date };
        files.insert(package.file, CollectedFile { path, role, key: None, held: None });
    }
    for suffix in ["db", "db.sig", "files", "files.sig"] {
        if let Some((file, path)) = beside(dir, &format!("{name}.{suffix}")) {
            // The database itself was read: it is one.
            if suffix != "db" {
                bounds.check(&path)?;
            }
            let key = (suffix == "db").then(|| Box::new(key));
            files.insert(file, CollectedFile { path, role: Role::Database, key, held: None });
        }
    }
    archs.retain(|arch| arch != "any");
    archs.sort();
    archs.dedup();
    let arch = arch(dir, archs)?;
    let backlog = Backlog::default();
    Ok(CollectedRepo { name, arch, files, lastupdate: None, system: None, backlog })
}

/// Returns the architecture of the path `…/os/<arch>`, else the one of the packages, else this machine's.
fn arch(dir: &Path, packages: Vec<String>) -> Result<String, PublishError> {
    // A relative path may hide its parents.
    let real = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let parent = real.parent().and_then(Path::file_name);
    let own = real.file_name().and_then(|name| name.to_str());
    if parent.is_some_and(|parent| parent == "os")
        && let Some(own) = own.filter(|own| is_arch(own))
    {
        return Ok(own.to_owned());
    }
    match &packages[..] {
        [] => Ok(std::env::consts::ARCH.to_owned()),
        [one] if is_arch(one) => Ok(one.clone()),
        _ => Err(PublishError::Arch { dir: dir.to_owned(), archs: packages.join(", ") }),
    }
}

fn beside(dir: &Path, name: &str) -> Option<(FileName, PathBuf)> {
    let path = dir.join(name);
    let name = FileName::new(name).ok()?;
    path.is_file().then_some((name, path))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{RepoFixture, package};
    use super::*;

    #[test]
    fn a_repo_is_found_with_its_packages_signatures_and_databases() {
        let made = RepoFixture::repo("custom", &[package("b-1-1-any", 10), package("a+x-1:2-1-any", 20)]);
        made.write("b-1-1-any.pkg.tar.zst.sig", b"sig");
        made.write("custom.files", b"files");
        made.write("stray.txt", b"not ours");
        let repos = collect(&[made.path()], None).unwrap().repos;
        assert_eq!(repos[0].path(), format!("custom/os/{}", std::env::consts::ARCH));
        let names: Vec<&str> = repos[0].files.keys().map(FileName::as_str).collect();
        let expected = [
            "a+x-1:2-1-any.pkg.tar.zst",
            "b-1-1-any.pkg.tar.zst",
            "b-1-1-any.pkg.tar.zst.sig",
            "custom.db",
            "custom.files",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_mirror_tree_is_searched_and_names_the_architecture() {
        let made = RepoFixture::at("mirror/core/os/aarch64", "core", &[package("a-1-1-any", 10)]);
        let repos = collect(&[made.root().join("mirror")], None).unwrap().repos;
        assert_eq!((repos.len(), repos[0].path()), (1, "core/os/aarch64".to_owned()));
        assert_eq!(repos[0].lastupdate, None);
        for (text, expected) in [("1790000000\n", Some(1_790_000_000)), ("<html>", None), ("99999999999999", None)] {
            fs::write(made.root().join("mirror/lastupdate"), text).unwrap();
            assert_eq!(collect(&[made.root().join("mirror")], None).unwrap().repos[0].lastupdate, expected, "{text}");
        }
    }

    #[test]
    fn what_the_database_says_must_be_there() {
        let made = RepoFixture::repo("custom", &[package("a-1-1-any", 10)]);
        let a = made.path().join("a-1-1-any.pkg.tar.zst");
        made.write("a-1-1-any.pkg.tar.zst", b"short");
        let error = collect(&[made.path()], None).unwrap_err().to_string();
        assert_eq!(error, format!("{}: it has 5 bytes, the database says 10", a.display()));
        fs::remove_file(&a).unwrap();
        let error = collect(&[made.path()], None).unwrap_err().to_string();
        assert!(error.ends_with("the database lists it and it is missing"), "{error}");
    }

    #[test]
    fn a_directory_without_a_repo_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(collect(&[dir.path().to_owned()], None), Err(PublishError::NoRepo(_))));
        let made = RepoFixture::repo("tables", &[]);
        assert!(matches!(collect(&[made.path()], None), Err(PublishError::Reserved(_))));
        let made = RepoFixture::repo("custom", &[]);
        assert!(matches!(collect(&[made.path(), made.path()], None), Err(PublishError::Twice(_))));
    }
}
