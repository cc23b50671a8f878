//! Small and read-only file systems, for scenarios of full disks.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::world::loudly;

/// A tmpfs mounted on a directory; unmounted when dropped.
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts with these options (mount(8), tmpfs(5)). `None`, with a loud message, if that is not allowed.
    pub fn on(path: &Path, options: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "none"]).arg(path);
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(path.to_owned()));
        }
        loudly("this machine mounts no tmpfs");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
