//! Units of systemd: which are enabled, and the users they run as. Without a running systemd, as in a container or a
//! chroot, `systemctl show` tells nothing, and the files do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::program;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Directories of units, the first one with a unit has it (systemd.unit(5)).
const UNIT_DIRS: [&str; 4] =
    ["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];

/// Runs systemctl with the programs of `path`, and returns its output; empty where it fails.
pub(super) fn systemctl(path: &str, words: &[&str]) -> String {
    let mut command = Command::new("systemctl");
    command.args(words).env("PATH", path);
    program::hear(command, b"", PATIENCE, 64 << 10).unwrap_or_default()
}

/// Returns the user that a service runs as, from its files below `root`; `None` where they name none.
pub fn user_of(root: &Path, service: &str) -> Option<String> {
    let dirs = || UNIT_DIRS.iter().map(|dir| root.join(dir));
    let unit = dirs().map(|dir| dir.join(service)).find(|file| file.exists());
    let mut files: Vec<PathBuf> = dirs().rev().flat_map(|dir| parts(&dir.join(format!("{service}.d")))).collect();
    // The parts of a unit are read in the order of their names, wherever they are.
    files.sort_by_key(|file| file.file_name().map(ToOwned::to_owned));
    let texts = unit.into_iter().chain(files).filter_map(|file| fs::read_to_string(file).ok());
    let mut users = texts.filter_map(|text| {
        let lines = text.lines().rev();
        lines.map(str::trim).find_map(|line| line.strip_prefix("User=").map(str::to_owned))
    });
    users.next_back().filter(|user| !user.is_empty())
}

fn parts(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|ext| ext == "conf")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_of_a_service_is_the_one_that_its_last_part_names() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let user = || user_of(root.path(), "a.service");
        assert_eq!(user(), None);
        write("usr/lib/systemd/system/a.service", "# User=x\n[Service]\nUser=alpm\n");
        assert_eq!(user().as_deref(), Some("alpm"));
        write("etc/systemd/system/a.service.d/override.conf", "[Service]\nUser=pkgswarm\n");
        assert_eq!(user().as_deref(), Some("pkgswarm"));
        write("etc/systemd/system/a.service", "[Service]\nType=oneshot\n");
        assert_eq!(user().as_deref(), Some("pkgswarm"));
        write("etc/systemd/system/a.service.d/z.conf", "[Service]\nUser=\n");
        assert_eq!(user(), None);
    }
}
