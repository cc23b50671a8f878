//! The check of signatures by a keyring: gpgv(1). pacman depends on GnuPG, so it is there wherever packages are checked; a
//! library would bring a second judge of the same keys.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::base::program;

/// Time that the check of one signature has.
const GPGV: Duration = Duration::from_secs(600);

/// Checks that `signature` is one of `file` by a key in `keyring`. The reason why it is not is for people.
pub(super) async fn check(keyring: &Path, signature: &[u8], file: PathBuf) -> Result<(), String> {
    let (keyring, signature) = (keyring.to_owned(), signature.to_vec());
    let checked = tokio::task::spawn_blocking(move || gpgv(&keyring, &signature, &file));
    checked.await.map_err(|e| e.to_string())?
}

fn gpgv(keyring: &Path, signature: &[u8], file: &Path) -> Result<(), String> {
    let detached = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
    std::fs::write(detached.path(), signature).map_err(|e| e.to_string())?;
    let mut command = Command::new("gpgv");
    command.arg("--keyring").arg(keyring).arg("--").arg(detached.path()).arg(file);
    program::hear(command, &[], GPGV, 1 << 20).map(drop).map_err(|e| e.to_string())
}
