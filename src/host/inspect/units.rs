//! Units of systemd: which are enabled, which failed, and the users they run as. Without a running systemd, as in a
//! container or a chroot, `systemctl show` tells nothing, and the files do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::base::env;
use crate::base::program::{self, SilentError};

/// Longest wait for one answer that is shown, and for one that a change depends on.
const GLANCE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(100);

/// Timers of ours that fetch, without their endings.
const TIMERS: [&str; 3] = ["pkgswarm-index", "pkgswarm-keep", "pkgswarm-prefetch"];

/// Directories of units, the first one with a unit has it (systemd.unit(5)).
const UNIT_DIRS: [&str; 4] =
    ["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];

/// The answer about a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum UnitState {
    /// There is no systemctl.
    NoSystemctl,
    /// The unit is not installed.
    Missing,
    /// systemctl gave no answer, for this reason.
    Unknown(String),
    /// The word of systemctl: enabled, disabled, masked and others.
    Is(String),
}

/// Runs systemctl and returns its output.
///
/// # Errors
/// `SilentError`, as of every program.
pub(crate) fn systemctl(words: &[&str]) -> Result<String, SilentError> {
    asked(words, PATIENCE)
}

fn asked(words: &[&str], patience: Duration) -> Result<String, SilentError> {
    let mut command = Command::new("systemctl");
    command.args(words);
    program::hear(command, b"", patience, 64 << 10)
}

/// Asks `systemctl is-enabled`; `scope` are words before that: `--global` for units of users' sessions.
pub(crate) fn state(scope: &[&str], unit: &str) -> UnitState {
    state_within(scope, unit, PATIENCE)
}

/// Asks the same about a unit of the system, for a page that is shown.
pub(super) fn glance(unit: &str) -> UnitState {
    state_within(&[], unit, GLANCE)
}

/// Returns the addresses at which a socket of the system listens, as `systemctl show` writes them; none where that is not
/// told.
pub(super) fn listens(socket: &str) -> Vec<String> {
    let said = asked(&["show", "--property=Listen", "--value", socket], GLANCE).unwrap_or_default();
    said.lines().filter_map(|line| line.trim().strip_suffix(" (Stream)")).map(str::to_owned).collect()
}

fn state_within(scope: &[&str], unit: &str, patience: Duration) -> UnitState {
    let (said, message) = match asked(&[scope, &["is-enabled", unit]].concat(), patience) {
        Ok(said) => (said, String::new()),
        Err(SilentError::Refused { output, message, .. }) => (output, message),
        Err(SilentError::Program { .. }) => return UnitState::NoSystemctl,
        Err(e) => return UnitState::Unknown(e.to_string()),
    };
    match said.trim() {
        // systemd before 257 says so on standard error.
        "" if message.contains("No such file or directory") => UnitState::Missing,
        "" if message.is_empty() => UnitState::Missing,
        "" => UnitState::Unknown(message),
        "not-found" => UnitState::Missing,
        word => UnitState::Is(word.to_owned()),
    }
}

/// True if systemd runs this machine.
pub(crate) fn is_running() -> bool {
    match systemctl(&["is-system-running"]) {
        Ok(_) => true,
        Err(SilentError::Refused { output, .. }) => !matches!(output.trim(), "offline" | "unknown" | ""),
        Err(_) => false,
    }
}

/// Returns the user that a service runs as; `None` where that is not told.
pub(crate) fn user_of(service: &str) -> Option<String> {
    let said = systemctl(&["show", "--property=User", "--value", service]).unwrap_or_default().trim().to_owned();
    // Without a running systemd it tells nothing.
    if said.is_empty() { user_in_files(Path::new("/"), service) } else { Some(said) }
}

/// Lists our units that failed when they last ran; none without systemd.
pub(super) fn failed() -> Vec<String> {
    let words = ["list-units", "--state=failed", "--plain", "--no-legend", "--no-pager", "pkgswarm-*"];
    let said = asked(&words, GLANCE).unwrap_or_default();
    said.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Lists the services that our enabled timers start, and the users they run as.
pub(super) fn timed_services() -> Vec<(String, String)> {
    let names: Vec<String> =
        TIMERS.iter().flat_map(|unit| ["timer", "service"].map(|end| format!("{unit}.{end}"))).collect();
    let mut words = vec!["show", "--no-pager", "--property=Id,User,UnitFileState"];
    words.extend(names.iter().map(String::as_str));
    let said = asked(&words, GLANCE).unwrap_or_default();
    let service = |unit: &str| format!("{unit}.service");
    if said.trim().is_empty() {
        // No systemd runs here, as in a container; its files are there.
        let is_enabled = |unit: &&str| {
            asked(&["is-enabled", &format!("{unit}.timer")], GLANCE).is_ok_and(|said| said.trim() == "enabled")
        };
        let enabled = TIMERS.into_iter().filter(is_enabled).map(service);
        return enabled.filter_map(|unit| Some((unit.clone(), user_in_files(Path::new("/"), &unit)?))).collect();
    }
    // A paragraph for each unit, its properties in any order.
    let says = |unit: &str, what: &str| {
        let of_unit =
            said.split("\n\n").find(|text| text.lines().any(|line| line.strip_prefix("Id=") == Some(unit)))?;
        of_unit.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix('=')).map(str::to_owned)
    };
    let is_enabled = |unit: &&str| says(&format!("{unit}.timer"), "UnitFileState").as_deref() == Some("enabled");
    let enabled = TIMERS.into_iter().filter(is_enabled).map(service);
    enabled.filter_map(|unit| Some((unit.clone(), says(&unit, "User")?))).collect()
}

/// Returns the user that a service runs as, from its files below `root`; `None` where they name none.
fn user_in_files(root: &Path, service: &str) -> Option<String> {
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

/// Returns when a timer runs next, in Unix seconds; `None` where systemd does not tell, or knows of no next time.
pub(crate) fn next_run(timer: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Wire {
        /// Microseconds since 1970, of timers that count from the boot as well.
        next: Option<u64>,
    }
    let said = asked(&["list-timers", "--all", "--no-pager", "--output=json", timer], GLANCE).ok()?;
    let timers: Vec<Wire> = serde_json::from_str(&said).ok()?;
    timers.first()?.next.filter(|next| *next > 0).map(|next| next / 1_000_000)
}

/// Returns the program that the unit of the daemon needs below `root`, where the unit is installed and it is not.
pub(super) fn missing_daemon(root: &Path) -> Option<PathBuf> {
    let files = UNIT_DIRS.iter().map(|dir| root.join(dir).join("pkgswarm-daemon.service"));
    let unit = files.filter_map(|file| fs::read_to_string(file).ok()).next()?;
    let started = unit.lines().find_map(|line| line.trim().strip_prefix("ExecStart="))?.split_whitespace().next()?;
    let needed = env::daemon_program_of(&root.join(started.trim_start_matches('/')));
    (!needed.exists()).then_some(needed)
}

fn parts(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|ext| ext == "conf")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_without_the_program_that_it_comes_to_start_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(missing_daemon(root.path()), None, "there is no unit");
        write("usr/lib/systemd/system/pkgswarm-daemon.service", "[Service]\nExecStart=/usr/bin/pkgswarm daemon\n");
        let needed = root.path().join("usr/lib/pkgswarm/pkgswarm-daemon");
        assert_eq!(missing_daemon(root.path()), Some(needed));
        write("usr/lib/pkgswarm/pkgswarm-daemon", "");
        assert_eq!(missing_daemon(root.path()), None);
    }

    #[test]
    fn the_user_of_a_service_is_the_one_that_its_last_part_names() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let user = || user_in_files(root.path(), "a.service");
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
