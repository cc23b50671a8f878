//! Images of a system, in a directory called `images`: each with its checksum and its signature beside it.
//!
//! ```text
//! NAME NAME.sha256 NAME.minisig
//! ```
//!
//! They are published under the path that the directory has below the one that was given. Signatures over gigabytes are
//! checked once: what was checked is remembered by its sums.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use super::super::hash::Hashed;
use super::super::{PublishError, PublishOptions};
use super::{Backlog, CollectedFile, CollectedRepo, Collection, Role, TreeBounds, beside};
use crate::base::clock;
use crate::base::digest::{Hasher, Sha256};
use crate::base::fsx;
use crate::base::name::{FileName, RepoName};
use crate::index::manifest::{FILES, TableSystem};
use crate::index::minisign::{PublicKey, SIGNATURE_MOST, SignatureError};
use crate::lists::haiku::HaikuArch;

/// The name of such a directory.
const IMAGES: &str = "images";
/// The end of a checksum's name.
const SUM: &str = ".sha256";
/// The end of a signature's name.
const SIGNATURE: &str = ".minisig";
/// Most bytes of a checksum file.
const SUM_MOST: u64 = 4 << 10;
/// Most bytes of the memory of what was checked: a line of 129 bytes each.
const MEMORY_MOST: u64 = 4 << 20;

/// Reads the images in `dir`, which is below `root`, or `root` itself; `None` where it is no directory of images.
///
/// # Errors
/// `Haiku` for an image without a checksum, or, with a key, without a signature. What they say is checked by
/// [`prove`] and when the tree is built.
pub(super) fn read(
    root: &Path,
    dir: &Path,
    bounds: &TreeBounds,
    key: Option<&PublicKey>,
) -> Result<Option<CollectedRepo>, PublishError> {
    let real = |dir: &Path| std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let (root, own) = (real(root), real(dir));
    if own.file_name().is_none_or(|name| name != IMAGES) {
        return Ok(None);
    }
    let at = |error: io::Error| PublishError::Io { path: dir.to_owned(), error };
    let mut files = BTreeMap::new();
    let (mut is_described, mut unproven) = (false, None);
    for entry in fs::read_dir(dir).map_err(at)? {
        let name = entry.map_err(at)?.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        if let Some(of) = name.strip_suffix(SUM).or_else(|| name.strip_suffix(SIGNATURE)) {
            is_described = true;
            if beside(dir, of).is_none() {
                unproven = unproven.or(Some(wrong(dir, name, "the image that it is about is missing")));
            }
            continue;
        }
        if beside(dir, name).is_some() {
            match image(dir, name, bounds, key)? {
                Ok(found) => files.extend(found),
                Err(error) => unproven = unproven.or(Some(error)),
            }
        }
    }
    match unproven {
        // Pictures of another kind.
        _ if !is_described => return Ok(None),
        Some(error) => return Err(error),
        None => {}
    }
    let path = own.strip_prefix(&root).ok().and_then(Path::to_str).filter(|path| !path.is_empty()).unwrap_or(IMAGES);
    let arch = path.split('/').rev().nth(1).filter(|arch| HaikuArch::named(arch).is_some());
    let parts: Vec<&str> = path.split('/').filter(|part| Some(*part) != arch).collect();
    let name = RepoName::new(parts.join("-")).map_err(|_| wrong(dir, "", "its path is too long"))?;
    let arch = arch.unwrap_or("any").to_owned();
    let system = Some(TableSystem::files(path.to_owned()));
    let backlog = Backlog::default();
    Ok(Some(CollectedRepo { name, arch, files, lastupdate: None, system, backlog }))
}

/// The files of an image.
type Described = Vec<(FileName, CollectedFile)>;

/// Looks at an image, and at what stands beside it.
fn image(
    dir: &Path,
    name: &str,
    bounds: &TreeBounds,
    key: Option<&PublicKey>,
) -> Result<Result<Described, PublishError>, PublishError> {
    let part = |ending: &str, most: u64| -> Result<_, PublishError> {
        let Some((name, path)) = beside(dir, &format!("{name}{ending}")) else { return Ok(None) };
        bounds.check(&path)?;
        let bytes = fsx::read_followed(&path, most).map_err(|error| PublishError::Io { path: path.clone(), error })?;
        let Some(bytes) = bytes else { return Ok(None) };
        let role = Role::Description { sha256: Sha256::of(&bytes) };
        Ok(Some((bytes, (name, CollectedFile { path, role, key: None, held: None }))))
    };
    let Some((text, sum)) = part(SUM, SUM_MOST)? else {
        return Ok(Err(wrong(dir, name, "it has no checksum beside it (.sha256)")));
    };
    let Some(sha256) = sum_in(&text) else {
        return Ok(Err(wrong(dir, &format!("{name}{SUM}"), "there is no sha256 in it")));
    };
    let signature = part(SIGNATURE, SIGNATURE_MOST as u64)?.map(|(_, signature)| signature);
    if signature.is_none() && key.is_some() {
        return Ok(Err(wrong(dir, name, "it has no signature beside it (.minisig)")));
    }
    let path = dir.join(name);
    let found = fs::metadata(&path).map_err(|error| PublishError::Io { path: path.clone(), error })?;
    let built = found.modified().ok().map(clock::unix);
    let role = Role::Package { size: found.len(), sha256, built };
    let Ok(name) = FileName::new(name) else { return Ok(Err(wrong(dir, name, "its name is not plain"))) };
    let file = (name, CollectedFile { path, role, key: None, held: None });
    Ok(Ok([file, sum].into_iter().chain(signature).collect()))
}

/// Returns the first sha256 in a checksum file, as sha256sum writes it, with `--tag` or without.
fn sum_in(text: &[u8]) -> Option<Sha256> {
    std::str::from_utf8(text).ok()?.split_whitespace().find_map(|word| word.parse().ok())
}

/// Checks the signature of every image in `collection` by the key of `options`, if there is one. `hashed` matches
/// `Collection::files`; what was checked in an earlier run is not read again.
///
/// # Errors
/// `Haiku` for one that does not count, `Changed` for a file that is another one by now.
pub(in super::super) fn prove(
    options: &PublishOptions,
    collection: &Collection,
    hashed: &[Hashed],
) -> Result<(), PublishError> {
    let Some(key) = &options.list_key else { return Ok(()) };
    let path = options.state_dir.join("signed");
    let at = |path: &Path, error| PublishError::Io { path: path.to_owned(), error };
    // A memory that is lost or damaged costs one look at each image.
    let known = fsx::read_followed(&path, MEMORY_MOST).ok().flatten().unwrap_or_default();
    let known = String::from_utf8(known).unwrap_or_default();
    let known: BTreeSet<&str> = known.lines().collect();
    let mut now = BTreeSet::new();
    let mut hashed = hashed.iter();
    for repo in &collection.repos {
        let own: Vec<(&FileName, &CollectedFile, &Hashed)> =
            repo.files.iter().map(|(name, file)| (name, file, file.facts(&mut hashed))).collect();
        if repo.system.as_ref().is_none_or(|system| system.name != FILES) {
            continue;
        }
        for (name, image, hashed) in own.iter().filter(|(_, file, _)| matches!(file.role, Role::Package { .. })) {
            let beside = own.iter().find(|(other, ..)| other.as_str().strip_suffix(SIGNATURE) == Some(name.as_str()));
            let Some((_, signature, signed)) = beside else { continue };
            let line = format!("{} {} {}", hashed.sha256, signed.sha256, key.fingerprint());
            if !known.contains(line.as_str()) {
                let bytes = fsx::read_followed(&signature.path, SIGNATURE_MOST as u64);
                let bytes = bytes.map_err(|error| at(&signature.path, error))?.unwrap_or_default();
                if Sha256::of(&bytes) != signed.sha256 {
                    return Err(PublishError::Changed(signature.path.clone()));
                }
                let file = fsx::open_followed(&image.path).map_err(|error| at(&image.path, error))?;
                let mut read = HashedImage { file, hasher: Hasher::default() };
                let checked = key.verify_read(&mut read, &bytes).map_err(|error| at(&image.path, error))?;
                if let Err(error) = checked {
                    return Err(PublishError::Haiku { path: image.path.clone(), why: told(&error) });
                }
                if read.hasher.finish() != hashed.sha256 {
                    return Err(PublishError::Changed(image.path.clone()));
                }
            }
            now.insert(line);
        }
    }
    if now.iter().map(String::as_str).collect::<BTreeSet<_>>() != known {
        let lines: String = now.iter().map(|line| format!("{line}\n")).collect();
        fs::create_dir_all(&options.state_dir).map_err(|error| at(&options.state_dir, error))?;
        fsx::replace_synced(&path, lines.as_bytes()).map_err(|error| at(&path, error))?;
    }
    Ok(())
}

/// An image that is hashed while its signature is checked, so that both are about the same bytes.
struct HashedImage {
    file: fs::File,
    hasher: Hasher,
}

impl io::Read for HashedImage {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(to)?;
        self.hasher.update(&to[..read]);
        Ok(read)
    }
}

/// Says what is wrong with the signature of an image.
fn told(error: &SignatureError) -> String {
    match error {
        SignatureError::Malformed => "its .minisig is no signature of a digest, as minisign makes them".to_owned(),
        SignatureError::OtherKey { expected } => format!("it is signed by another key than {expected}"),
        SignatureError::Forged | SignatureError::Comment { .. } => {
            "it is not what its key has signed: its .minisig does not fit it".to_owned()
        }
    }
}

fn wrong(dir: &Path, name: &str, why: &str) -> PublishError {
    PublishError::Haiku { path: dir.join(name), why: why.to_owned() }
}
