//! The release of the installed pacman: some need special treatment.

use std::fmt;
use std::process::Command;
use std::time::Duration;

use crate::program;

/// Longest wait for `pacman --version`, which needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// A release: `7.1.0`. Snapshots between releases (`7.1.0.r9.g54d9411`) count as the release before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Returns the version of the `pacman` in `PATH`; `None` when there is none, or it prints none.
pub fn installed() -> Option<Version> {
    let mut command = Command::new("pacman");
    command.arg("--version");
    // A pacman that fails has still printed it.
    program::hear(command, b"", PATIENCE, 64 << 10).ok().and_then(|text| parse(&text))
}

/// Reads `… Pacman v7.1.0 - libalpm v16.0.0 …`.
pub fn parse(text: &str) -> Option<Version> {
    let rest = text.split_once("Pacman v")?.1;
    let mut numbers = rest.split([' ', '.', '\n']).map_while(|part| part.parse().ok());
    Some(Version(numbers.next()?, numbers.next()?, numbers.next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        let banner = " .--.                  Pacman v7.1.0 - libalpm v16.0.0\n/ _.-'  Copyright\n";
        assert_eq!(parse(banner), Some(Version(7, 1, 0)));
        assert_eq!(parse("Pacman v7.1.0.r9.g54d9411 - libalpm"), Some(Version(7, 1, 0)));
        assert_eq!(parse("Pacman v6.1\n"), Some(Version(6, 1, 0)));
        assert_eq!(parse("something else"), None);
        assert!(Version(6, 0, 2) < Version(6, 1, 0) && Version(7, 1, 0) > Version(7, 0, 9));
    }
}
