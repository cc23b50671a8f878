//! The packages whose signature was checked by a keyring, and the key of each.
//!
//! A keyring that changes vouches for nothing by itself: what a key has signed that it does not have any more, or that was
//! revoked, is checked again, and its bytes come again for that. Everything else stays checked
//! (`a_changed_keyring_checks_again_what_none_of_its_keys_has_signed`). A keyring that cannot be read ends the run before
//! anything of this is forgotten, and one whose keys cannot be listed keeps it, which is said
//! (`a_keyring_that_cannot_be_read_forgets_nothing_and_fetches_nothing`).
//!
//! The file begins with a line of the keyring, `keyring SHA256`; then a line is the sha256 of a package and the fingerprint
//! of the key, `-` where it is not known.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use super::memory::FollowPlace;
use super::{FollowError, keyring};
use crate::base::digest::Sha256;
use crate::base::fsx::{self, Lasting};

/// Most bytes of a keyring.
const KEYRING_MOST: u64 = 64 << 20;
/// What stands for a fingerprint, or for the digest of a keyring, that is not known.
const UNKNOWN: &str = "-";

/// What the present keyring has checked.
pub(super) struct CheckedPackages {
    path: PathBuf,
    packages: RefCell<HashSet<Sha256>>,
    /// The digest of the keyring.
    pub(super) keyring: Sha256,
    /// The reason why what an earlier keyring has checked could not be held against this one; for the user.
    pub(super) doubt: Option<String>,
}

impl CheckedPackages {
    /// Reads what was checked, and forgets what `keyring` does not vouch for. Damaged lines are dropped: such a package is
    /// checked again.
    ///
    /// # Errors
    /// `Local`: the memory cannot be written.
    pub(super) async fn open(place: &FollowPlace, keyring: &Path, digest: Sha256) -> Result<Self, FollowError> {
        let path = place.checked();
        let wanted = head(Some(digest));
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let (first, rest) = text.split_once('\n').unwrap_or_default();
        let mut keys: HashMap<Sha256, &str> = rest.lines().filter_map(read).collect();
        let mut doubt = None;
        if first != wanted {
            let known = if keys.is_empty() { Ok(HashSet::new()) } else { keyring::keys(keyring).await };
            // What stays without a look is of no known keyring: the next run looks again, whichever keyring it has.
            let head = if known.is_ok() { wanted } else { head(None) };
            match known {
                Ok(known) => keys.retain(|_, key| known.contains(*key)),
                Err(why) => {
                    doubt = Some(format!(
                        "{}: its keys cannot be listed ({why}): packages that were checked before it changed count as checked",
                        keyring.display()
                    ));
                }
            }
            let lines = keys.iter().map(|(sha256, key)| line(*sha256, key));
            write(&path, &head, lines.collect())?;
        }
        let packages = RefCell::new(keys.into_keys().collect());
        Ok(Self { path, packages, keyring: digest, doubt })
    }

    pub(super) fn has(&self, package: Sha256) -> bool {
        self.packages.borrow().contains(&package)
    }

    /// Writes down that a package was checked, by the key with this fingerprint.
    pub(super) fn add(&self, package: Sha256, key: &str) -> Result<(), FollowError> {
        let key = if key.is_empty() { UNKNOWN } else { key };
        fsx::add_line(&self.path, &line(package, key), Lasting::Cached).map_err(FollowError::local(&self.path))?;
        self.packages.borrow_mut().insert(package);
        Ok(())
    }
}

/// Reads the digest of a keyring.
///
/// # Errors
/// `Local`: it is missing or cannot be read.
pub(super) fn digest(keyring: &Path) -> Result<Sha256, FollowError> {
    let read = fsx::read_followed(keyring, KEYRING_MOST);
    let bytes = read.and_then(|bytes| bytes.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is missing")));
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("the keyring cannot be read: {error}"));
    bytes.map(|bytes| Sha256::of(&bytes)).map_err(failed).map_err(FollowError::local(keyring))
}

/// Forgets what was checked of all packages but those in `listed`.
pub(super) fn keep_only(place: &FollowPlace, listed: &HashSet<Sha256>) -> Result<(), FollowError> {
    let path = place.checked();
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let Some((head, rest)) = text.split_once('\n') else { return Ok(()) };
    let is_listed = |line: &&str| read(line).is_some_and(|(sha256, _)| listed.contains(&sha256));
    let kept: Vec<String> = rest.lines().filter(is_listed).map(|line| format!("{line}\n")).collect();
    if kept.len() == rest.lines().count() { Ok(()) } else { write(&path, head, kept) }
}

fn head(keyring: Option<Sha256>) -> String {
    format!("keyring {}", keyring.map_or_else(|| UNKNOWN.to_owned(), |digest| digest.to_string()))
}

fn line(package: Sha256, key: &str) -> String {
    format!("{package} {key}\n")
}

fn read(line: &str) -> Option<(Sha256, &str)> {
    let (sha256, key) = line.split_once(' ')?;
    Some((sha256.parse().ok()?, key))
}

fn write(path: &Path, head: &str, mut lines: Vec<String>) -> Result<(), FollowError> {
    lines.sort();
    let text = format!("{head}\n{}", lines.concat());
    fsx::replace_synced(path, text.as_bytes()).map_err(FollowError::local(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_that_was_cut_short_takes_no_other_with_it_and_only_what_is_listed_stays() {
        let dir = tempfile::tempdir().unwrap();
        let place = FollowPlace::open(dir.path().to_owned()).unwrap();
        let keyring = dir.path().join("keyring");
        std::fs::write(&keyring, "keys").unwrap();
        let all = [b"a", b"b", b"c"].map(|bytes| Sha256::of(bytes));
        let checked = CheckedPackages::open(&place, &keyring, digest(&keyring).unwrap()).await.unwrap();
        checked.add(all[0], "A0").unwrap();
        let torn = std::fs::read_to_string(place.checked()).unwrap() + "0123";
        std::fs::write(place.checked(), torn).unwrap();
        checked.add(all[1], "").unwrap();
        let again = CheckedPackages::open(&place, &keyring, digest(&keyring).unwrap()).await.unwrap();
        assert_eq!(all.map(|sha256| again.has(sha256)), [true, true, false]);
        keep_only(&place, &HashSet::from([all[1]])).unwrap();
        let kept = CheckedPackages::open(&place, &keyring, digest(&keyring).unwrap()).await.unwrap();
        assert_eq!(all.map(|sha256| kept.has(sha256)), [false, true, false]);
    }
}
