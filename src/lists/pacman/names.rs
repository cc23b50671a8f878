//! The names of pacman's files: packages, databases and their signatures, told apart by suffix alone.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use crate::base::name::{FileName, RepoName};
use crate::lists::system::{NameKind, PackageParts};

/// Returns the kind of a file: `NAME-VERSION-RELEASE-ARCH.pkg.tar[.*]` is a package, `REPO.db` and `REPO.files` are
/// databases, and `….sig` is the signature of one of these.
pub fn kind(name: &FileName) -> NameKind {
    let (base, signed) = match name.as_str().strip_suffix(".sig") {
        Some(base) => (base, true),
        None => (name.as_str(), false),
    };
    let database = base.ends_with(".db") || base.ends_with(".files");
    match (database, is_package(base), signed) {
        (true, _, false) => NameKind::Database,
        (true, _, true) => NameKind::DatabaseSignature,
        (_, true, false) => NameKind::Package,
        (_, true, true) => NameKind::PackageSignature,
        _ => NameKind::Other,
    }
}

/// Returns the name of the signed file: the name without `.sig`. None of `..sig` and `...sig`, which would leave
/// their directory.
pub fn signed(name: &FileName) -> Option<FileName> {
    name.as_str().strip_suffix(".sig").and_then(|base| FileName::new(base).ok())
}

/// Returns the name of the database of a repository; `None` where that would be too long.
pub(crate) fn database(repo: &RepoName) -> Option<FileName> {
    FileName::new(format!("{repo}.db")).ok()
}

/// Returns the repository of a database name: `core` of `core.db`, `core.files` and their signatures.
pub fn repo(name: &FileName) -> Option<RepoName> {
    let base = name.as_str().strip_suffix(".sig").unwrap_or(name.as_str());
    let repo = base.strip_suffix(".db").or_else(|| base.strip_suffix(".files"))?;
    RepoName::new(repo).ok()
}

/// Splits a package name from its right end, where the parts cannot contain `-`.
pub fn package(name: &FileName) -> Option<PackageParts<'_>> {
    let base = name.as_str().strip_suffix(".sig").unwrap_or(name.as_str());
    let stem = &base[..base.rfind(".pkg.tar")?];
    let (rest, arch) = stem.rsplit_once('-')?;
    let (rest_version, _release) = rest.rsplit_once('-')?;
    let (name, _) = rest_version.rsplit_once('-')?;
    let version = &rest[name.len() + 1..];
    (!name.is_empty()).then_some(PackageParts { name, version, arch })
}

/// Returns a name as pacman's progress shows it: without what all packages have at their end.
pub(crate) fn short(name: &str) -> String {
    let (base, end) = name.strip_suffix(".sig").map_or((name, ""), |base| (base, ".sig"));
    let base = base.rfind(".pkg.tar").filter(|at| *at > 0).map_or(base, |at| &base[..at]);
    format!("{base}{end}")
}

/// Returns true for the name of a database that lists packages, which `REPO.files` does not.
pub(crate) fn lists_packages(name: &str) -> bool {
    name.ends_with(".db")
}

fn is_package(base: &str) -> bool {
    base.rfind(".pkg.tar").is_some_and(|at| {
        let suffix = &base[at + ".pkg.tar".len()..];
        at > 0 && (suffix.is_empty() || (suffix.starts_with('.') && !suffix[1..].contains(['.', '-'])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> FileName {
        FileName::new(text).unwrap()
    }

    #[test]
    fn names_are_told_apart_by_their_suffix() {
        for (text, expected) in [
            ("zstd-1.5.7-2-x86_64.pkg.tar.zst", NameKind::Package),
            ("old-1-1-any.pkg.tar", NameKind::Package),
            ("zstd-1.5.7-2-x86_64.pkg.tar.zst.sig", NameKind::PackageSignature),
            ("core.db", NameKind::Database),
            ("core.files", NameKind::Database),
            ("core.db.sig", NameKind::DatabaseSignature),
            ("index.html", NameKind::Other),
            ("a.pkg.tar.zst.html", NameKind::Other),
            ("x.sig", NameKind::Other),
        ] {
            assert_eq!(kind(&name(text)), expected, "{text}");
        }
    }

    #[test]
    fn package_names_split_from_the_right() {
        let gamma = name("gtk-update-icon-cache+x-1:2.0-1.1-any.pkg.tar.xz");
        assert_eq!(
            package(&gamma),
            Some(PackageParts { name: "gtk-update-icon-cache+x", version: "1:2.0-1.1", arch: "any" })
        );
        assert_eq!(package(&name("core.db")), None);
        assert_eq!(package(&name("a-b.pkg.tar.zst")), None);
    }

    #[test]
    fn what_a_signature_signs_is_a_plain_name_as_well() {
        assert_eq!(signed(&name("core.db.sig")), Some(name("core.db")));
        for dots in [".sig", "..sig", "...sig"] {
            assert_eq!(signed(&name(dots)), None, "{dots}");
        }
    }

    #[test]
    fn databases_name_their_repository() {
        assert_eq!(repo(&name("core.db")), RepoName::new("core").ok());
        assert_eq!(database(&RepoName::new("core").unwrap()), Some(name("core.db")));
        assert_eq!(repo(&name("my.repo.files.sig")), RepoName::new("my.repo").ok());
        assert_eq!(repo(&name("a-1-1-any.pkg.tar.zst")), None);
    }

    #[test]
    fn a_short_name_keeps_what_tells_two_files_apart() {
        let names = ["zlib-1.3.1-2-any.pkg.tar.zst", "zlib-1.3.1-2-any.pkg.tar.zst.sig", "core.db", "core.db.sig"];
        assert_eq!(names.map(short), ["zlib-1.3.1-2-any", "zlib-1.3.1-2-any.sig", "core.db", "core.db.sig"]);
    }
}
