//! A repository of Haiku's: the files that describe it, and the packages that its list names.
//!
//! ```text
//! repo repo.info repo.sha256 repo.minisig packages/*.hpkg
//! ```
//!
//! It is published as `NAME/BRANCH/ARCH/current`, where Haiku's own servers have it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path};

use super::super::PublishError;
use super::{Backlog, CollectedFile, CollectedRepo, Role, TreeBounds};
use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::{FileName, RepoName};
use crate::haiku::snapshot::{self, SnapshotRefusal};
use crate::index::manifest::{TableSystem, is_arch};
use crate::index::minisign::{PublicKey, SIGNATURE_MOST};
use crate::lists::haiku::hpkr;
use crate::lists::haiku::repo_info::{REPO_INFO_MOST, RepoInfo};
use crate::lists::haiku::{HpkrError, HpkrLimits};

/// The directory of its packages.
pub(super) const PACKAGES: &str = "packages";
/// The first bytes of a list.
const MAGIC: &[u8; 4] = b"hpkr";
/// Most bytes of a list, as of its reader.
const LIST_MOST: usize = 64 << 20;
/// Most bytes of `repo.sha256`.
const SUM_MOST: usize = 4 << 10;

/// True for a directory with a list of Haiku's.
pub(super) fn is_repository(dir: &Path) -> bool {
    let mut magic = [0; 4];
    let read = |mut file: fs::File| file.read_exact(&mut magic).is_ok_and(|()| magic == *MAGIC);
    dir.join("repo").is_file() && fsx::open_followed(&dir.join("repo")).is_ok_and(read)
}

/// Reads the repository in `dir`. With a key, its list needs the signature of that.
///
/// # Errors
/// `Package` for a part that is a link out of the tree. `Haiku` when its parts do not belong together, or a package is missing: then nothing of it may be published. Trying
/// again helps when it was being changed.
pub(super) fn read(dir: &Path, bounds: &TreeBounds, key: Option<&PublicKey>) -> Result<CollectedRepo, PublishError> {
    let wrong = |file: &str, why: String| PublishError::Haiku { path: dir.join(file), why };
    let part = |name: &str, most: usize| {
        let path = dir.join(name);
        let missing = || PublishError::Haiku { path: path.clone(), why: "it is missing".to_owned() };
        bounds.check(&path).or_else(|error| if path.exists() { Err(error) } else { Ok(()) })?;
        match fsx::read_followed(&path, most as u64) {
            Ok(bytes) => bytes.ok_or_else(missing),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(PublishError::Haiku { path, why: format!("it has more than {most} bytes") })
            }
            Err(error) => Err(PublishError::Io { path, error }),
        }
    };
    let (list, sum, info) =
        (part("repo", LIST_MOST)?, part("repo.sha256", SUM_MOST)?, part("repo.info", REPO_INFO_MOST)?);
    // What pkgman reads of it.
    let told = sum.get(..64).and_then(|sum| std::str::from_utf8(sum).ok()?.parse().ok());
    if told != Some(Sha256::of(&list)) {
        return Err(wrong("repo", SnapshotRefusal::Sum.to_string()));
    }
    let mut described = vec![("repo", list.as_slice()), ("repo.sha256", &sum), ("repo.info", &info)];
    let signature = match (key, part("repo.minisig", SIGNATURE_MOST)) {
        (_, Ok(signature)) => Some(signature),
        (None, Err(PublishError::Haiku { .. })) => None,
        (_, Err(error)) => return Err(error),
    };
    if let Some((key, signature)) = key.zip(signature.as_ref()) {
        key.verify(&list, signature).map_err(|error| wrong("repo", snapshot::told(&error)))?;
    }
    described.extend(signature.as_ref().map(|signature| ("repo.minisig", signature.as_slice())));
    let parsed = RepoInfo::parse(&info).map_err(|error| wrong("repo.info", error.to_string()))?;
    let (path, name) = place(dir, &parsed)
        .ok_or_else(|| wrong("repo.info", "its name or architecture is none that a path can have".to_owned()))?;
    let mut files = BTreeMap::new();
    for (name, bytes) in described {
        let role = Role::Description { sha256: Sha256::of(bytes) };
        let name = FileName::new(name).expect("it is plain");
        files.insert(name.clone(), CollectedFile { path: dir.join(name.as_str()), role, key: None, held: None });
    }
    let mut missing = None;
    let read = hpkr::read::<HpkrError>(io::Cursor::new(&list), &HpkrLimits::default(), |package| {
        let name = package.file().expect("the reader checked it");
        match packaged(dir, &name, package.sha256) {
            Ok(file) => drop(files.insert(name, file)),
            Err(error) => missing = missing.take().or(Some(error)),
        }
        Ok(())
    });
    read.map_err(|error| wrong("repo", error.to_string()))?;
    match missing {
        Some(error) => Err(error),
        None => {
            let system = Some(TableSystem::haiku(path));
            let backlog = Backlog::default();
            Ok(CollectedRepo { name, arch: parsed.arch, files, lastupdate: None, system, backlog })
        }
    }
}

/// Looks at a package that the list names.
fn packaged(dir: &Path, name: &FileName, sha256: Sha256) -> Result<CollectedFile, PublishError> {
    let path = dir.join(PACKAGES).join(name.as_str());
    let found = match fs::metadata(&path) {
        Ok(found) if found.is_file() => found,
        Ok(_) => return Err(PublishError::Haiku { path, why: "it is not a file".to_owned() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(PublishError::Haiku { path, why: "repo lists it and it is missing".to_owned() });
        }
        Err(error) => return Err(PublishError::Io { path, error }),
    };
    let built = found.modified().ok().map(clock::unix);
    let role = Role::Package { size: found.len(), sha256, built };
    Ok(CollectedFile { path, role, key: None, held: None })
}

/// Returns where a repository stands in the tree, and the name of its table, `NAME-BRANCH`: by its directory, where that is
/// called so; else by its identifier (`tag:AUTHORITY:repositories/NAME/BRANCH/ARCH`), else by its name.
fn place(dir: &Path, info: &RepoInfo) -> Option<(String, RepoName)> {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let parts: Vec<&str> = dir
        .components()
        .filter_map(|part| match part {
            Component::Normal(part) => Some(part.to_str().unwrap_or_default()),
            _ => None,
        })
        .collect();
    let of_identifier: Vec<&str> =
        info.identifier.split_once("repositories/").map_or(Vec::new(), |(_, path)| path.split('/').collect());
    let lower = info.name.to_lowercase();
    let (name, branch) = match (&parts[..], &of_identifier[..]) {
        ([.., name, branch, arch, _], _) if *arch == info.arch => (*name, *branch),
        (_, [name, branch, arch]) if *arch == info.arch => (*name, *branch),
        _ => (lower.as_str(), "master"),
    };
    let is_plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+~".contains(&b))
    };
    if !(is_plain(name) && is_plain(branch) && is_arch(&info.arch)) {
        return None;
    }
    Some((format!("{name}/{branch}/{}/current", info.arch), RepoName::new(format!("{name}-{branch}")).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_stands_where_haikus_servers_have_it() {
        let info = |identifier: &str| RepoInfo {
            name: "HaikuPorts".to_owned(),
            identifier: identifier.to_owned(),
            arch: "x86_64".to_owned(),
        };
        let tag = "tag:haikuports.org,2013:repositories/haikuports/master/x86_64";
        for (dir, identifier, expected) in [
            ("/srv/haiku/r1beta5/x86_64/current", tag, Some("haiku/r1beta5/x86_64/current haiku-r1beta5")),
            ("/srv/haiku/r1beta5/x86_64/hrev57937", tag, Some("haiku/r1beta5/x86_64/current haiku-r1beta5")),
            ("/srv/mine", tag, Some("haikuports/master/x86_64/current haikuports-master")),
            ("/srv/haiku/r1beta5/arm64/current", "tag:x", Some("haikuports/master/x86_64/current haikuports-master")),
            ("/x86_64/current", "tag:x", Some("haikuports/master/x86_64/current haikuports-master")),
            ("/a b/master/x86_64/current", tag, None),
        ] {
            let placed = place(Path::new(dir), &info(identifier)).map(|(path, name)| format!("{path} {name}"));
            assert_eq!(placed.as_deref(), expected, "{dir}");
        }
    }
}
