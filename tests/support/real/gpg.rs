//! An OpenPGP key of the tests' own, and keyrings that trust it.

use super::process::{command, run};
use super::scratch;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A key pair in a keyring of its own.
pub struct Signer {
    home: TempDir,
    fingerprint: String,
}

impl Signer {
    /// Makes a new key, which takes a moment.
    pub fn new() -> Signer {
        let home = scratch("gpg");
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).expect("a private directory");
        let mut signer = Signer { home, fingerprint: String::new() };
        let user = "Tests <tests@example.invalid>";
        run(signer.gpg().args(["--passphrase", "", "--quick-generate-key", user, "ed25519", "sign", "never"])).ok();
        let listing = run(signer.gpg().args(["--with-colons", "--list-keys"])).ok().stdout;
        let line = listing.lines().find(|line| line.starts_with("fpr:")).expect("a fingerprint");
        signer.fingerprint = line.split(':').nth(9).expect("a fingerprint").to_owned();
        signer
    }

    /// Signs files that have no signature yet, several at a time.
    pub fn sign_all(&self, files: &[PathBuf]) {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let is_unsigned = |file: &&PathBuf| !Path::new(&format!("{}.sig", file.display())).exists();
        std::thread::scope(|scope| {
            for files in files.chunks(files.len().div_ceil(threads).max(1)) {
                scope.spawn(move || files.iter().filter(is_unsigned).for_each(|file| drop(self.sign(file))));
            }
        });
    }

    /// Returns the key's name for gpg.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Returns the directory of the secret key.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Signs a file; the signature lies beside it.
    pub fn sign(&self, file: &Path) -> PathBuf {
        let mut signature = file.as_os_str().to_owned();
        signature.push(".sig");
        run(self.gpg().args(["--yes", "--detach-sign", "--output"]).arg(&signature).arg(file)).ok();
        signature.into()
    }

    /// Lets a pacman keyring trust this key fully, as `pacman-key --lsign-key` would.
    pub fn trusted_in(&self, keyring: &Path) {
        // pacman checks for these two names before it asks gpg.
        fs::write(keyring.join("pubring.gpg"), "").expect("a keyring");
        fs::write(keyring.join("gpg.conf"), "no-greeting\nno-permission-warning\nlock-never\n").expect("gpg.conf");
        let exported = keyring.join("exported");
        run(self.gpg().arg("--output").arg(&exported).arg("--export")).ok();
        run(gpg(keyring).arg("--import").arg(&exported)).ok();
        fs::write(&exported, format!("{}:6:\n", self.fingerprint)).expect("trust");
        run(gpg(keyring).arg("--import-ownertrust").arg(&exported)).ok();
        run(gpg(keyring).arg("--check-trustdb")).ok();
        fs::remove_file(exported).expect("tidying up");
    }

    fn gpg(&self) -> Command {
        gpg(self.home.path())
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = run(command("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]));
    }
}

fn gpg(home: &Path) -> Command {
    let mut gpg = command("gpg");
    gpg.arg("--homedir").arg(home).args(["--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback"]);
    gpg
}
