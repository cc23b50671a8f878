//! The check of signatures by a keyring: gpgv(1). pacman depends on GnuPG, so it is there wherever packages are checked; a
//! library would bring a second judge of the same keys.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::base::program;

/// Time that the check of one signature has.
const GPGV: Duration = Duration::from_secs(600);
/// Most bytes of a list of keys.
const KEYS_MOST: u64 = 64 << 20;

/// Checks that `signature` is one of `file` by a key in `keyring`. Returns the fingerprint of the key, empty where gpgv does
/// not tell it. The reason why it is none is for people.
pub(super) async fn check(keyring: &Path, signature: &[u8], file: PathBuf) -> Result<String, String> {
    let (keyring, signature) = (keyring.to_owned(), signature.to_vec());
    let checked = tokio::task::spawn_blocking(move || gpgv(&keyring, &signature, &file));
    checked.await.map_err(|e| e.to_string())?
}

fn gpgv(keyring: &Path, signature: &[u8], file: &Path) -> Result<String, String> {
    let detached = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
    std::fs::write(detached.path(), signature).map_err(|e| e.to_string())?;
    let mut command = Command::new("gpgv");
    command.arg("--keyring").arg(keyring).arg("--status-fd=1").arg(detached.path()).arg(file);
    let said = program::hear(command, &[], GPGV, 1 << 20).map_err(|e| e.to_string())?;
    // GnuPG 2.2, doc/DETAILS: the fingerprint of the key, or the subkey, that has signed.
    let key = said.lines().find_map(|line| line.strip_prefix("[GNUPG:] VALIDSIG ")?.split(' ').next());
    Ok(key.unwrap_or_default().to_owned())
}

/// Lists the fingerprints of the keys in `keyring`, without those that are revoked; or the reason why gpg(1) cannot tell,
/// for people.
pub(super) async fn keys(keyring: &Path) -> Result<HashSet<String>, String> {
    let keyring = keyring.to_owned();
    let listed = tokio::task::spawn_blocking(move || {
        let home = tempfile::tempdir().map_err(|e| e.to_string())?;
        let gpg = |more: &[&OsStr]| {
            let mut command = Command::new("gpg");
            command.arg("--homedir").arg(home.path()).args(["--batch", "--no-autostart", "--with-colons"]).args(more);
            let listed = program::hear(command, &[], GPGV, KEYS_MOST).map_err(|e| e.to_string())?;
            let found = fingerprints(&listed);
            if found.is_empty() { Err("gpg finds none".to_owned()) } else { Ok(found) }
        };
        // A keybox is no file of keys for the first one.
        let shown = gpg(&["--show-keys".as_ref(), keyring.as_os_str()]);
        let as_keyring =
            ["--lock-never", "--no-auto-check-trustdb", "--no-default-keyring", "--keyring"].map(OsStr::new);
        let fingerprints = ["--with-fingerprint", "--with-fingerprint", "--list-keys"].map(OsStr::new);
        shown.or_else(|why| gpg(&[&as_keyring[..], &[keyring.as_os_str()], &fingerprints].concat()).map_err(|_| why))
    });
    listed.await.map_err(|e| e.to_string())?
}

/// Reads the list of gpg (doc/DETAILS, "Format of colon listings"): `pub` or `sub`, whose second field is its validity, then
/// `fpr`, whose tenth is the fingerprint.
fn fingerprints(listed: &str) -> HashSet<String> {
    let (mut is_key_good, mut is_good) = (false, false);
    let mut found = HashSet::new();
    for line in listed.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let is_revoked = fields.get(1) == Some(&"r");
        match fields[0] {
            "pub" => (is_key_good, is_good) = (!is_revoked, !is_revoked),
            "sub" => is_good = is_key_good && !is_revoked,
            "fpr" if is_good => found.extend(fields.get(9).map(|fingerprint| (*fingerprint).to_owned())),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revoked_key_and_what_belongs_to_it_are_no_keys_of_a_keyring() {
        let listed = "pub:-:255:22:AA:1:2::-:::scSC:\nfpr:::::::::A1:\nsub:-:255:\nfpr:::::::::A2:\nsub:r:255:\n\
                      fpr:::::::::A3:\npub:r:255:\nfpr:::::::::B1:\nsub:-:255:\nfpr:::::::::B2:\n";
        assert_eq!(fingerprints(listed), HashSet::from(["A1".to_owned(), "A2".to_owned()]));
        assert_eq!(fingerprints("gpg: no such thing\n"), HashSet::new());
    }
}
