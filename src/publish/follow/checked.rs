//! The packages whose signature was checked by a keyring, and the key of each.
//!
//! A keyring that changes vouches for nothing by itself: what a key has signed that it does not have any more, or that was
//! revoked, is checked again, and its bytes come again for that. Everything else stays checked
//! (`a_changed_keyring_checks_again_what_none_of_its_keys_has_signed`).
//!
//! The file begins with a line of the keyring, `keyring SHA256`; then a line is the sha256 of a package and the fingerprint
//! of the key, `-` where it is not known.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::memory::{FollowPlace, add_line};
use super::{FollowError, keyring};
use crate::base::digest::Sha256;
use crate::base::fsx;

/// Most bytes of a keyring.
const KEYRING_MOST: u64 = 64 << 20;
/// What stands for a fingerprint, or for the digest of a keyring, that is not known.
const UNKNOWN: &str = "-";

/// What the present keyring has checked.
pub(super) struct CheckedPackages {
    path: PathBuf,
    packages: HashSet<Sha256>,
    /// The digest of the keyring; `None` where it cannot be read: then gpgv says why.
    pub(super) keyring: Option<Sha256>,
}

impl CheckedPackages {
    /// Reads what was checked, and forgets what `keyring` does not vouch for. Damaged lines are dropped: such a package is
    /// checked again.
    pub(super) async fn open(place: &FollowPlace, keyring: &Path) -> Result<Self, FollowError> {
        let path = place.checked();
        let digest = fsx::read_followed(keyring, KEYRING_MOST).ok().flatten().map(|bytes| Sha256::of(&bytes));
        let head = head(digest);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let (first, rest) = text.split_once('\n').unwrap_or_default();
        let mut keys: HashMap<Sha256, &str> = rest.lines().filter_map(read).collect();
        if first != head {
            let known = if keys.is_empty() { HashSet::new() } else { keyring::keys(keyring).await };
            keys.retain(|_, key| known.contains(*key));
            let lines = keys.iter().map(|(sha256, key)| line(*sha256, key));
            write(&path, &head, lines.collect())?;
        }
        Ok(Self { path, packages: keys.into_keys().collect(), keyring: digest })
    }

    pub(super) fn has(&self, package: Sha256) -> bool {
        self.packages.contains(&package)
    }

    /// Writes down that a package was checked, by the key with this fingerprint. This value does not change.
    pub(super) fn add(&self, package: Sha256, key: &str) -> Result<(), FollowError> {
        let key = if key.is_empty() { UNKNOWN } else { key };
        add_line(&self.path, &line(package, key)).map_err(FollowError::local(&self.path))
    }
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
        let checked = CheckedPackages::open(&place, &keyring).await.unwrap();
        checked.add(all[0], "A0").unwrap();
        let torn = std::fs::read_to_string(place.checked()).unwrap() + "0123";
        std::fs::write(place.checked(), torn).unwrap();
        checked.add(all[1], "").unwrap();
        let again = CheckedPackages::open(&place, &keyring).await.unwrap();
        assert_eq!(all.map(|sha256| again.has(sha256)), [true, true, false]);
        keep_only(&place, &HashSet::from([all[1]])).unwrap();
        let kept = CheckedPackages::open(&place, &keyring).await.unwrap();
        assert_eq!(all.map(|sha256| kept.has(sha256)), [false, true, false]);
    }
}
