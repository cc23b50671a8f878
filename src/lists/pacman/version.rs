//! The release of the calling pacman and of the installed one: some need special treatment.

use std::fmt;
use std::process::Command;
use std::time::Duration;

use crate::base::env::Env;
use crate::base::program;

/// Longest wait for `pacman --version`, which needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// A release: `7.1.0`. Snapshots between releases (`7.1.0.r9.g54d9411`) count as the release before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Version(pub(crate) u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Returns the version of the `pacman` in `PATH`; `None` when there is none, or it prints none.
pub(crate) fn installed() -> Option<Version> {
    let mut command = Command::new("pacman");
    command.arg("--version");
    // A pacman that fails has still printed it.
    program::hear(command, b"", PATIENCE, 64 << 10).ok().and_then(|text| parse(&text))
}

/// Returns the version of the pacman that runs this as its downloader.
///
/// Source: pacman sets `HTTP_USER_AGENT=pacman/7.1.0 (…)` (pacman 7.1.0, src/pacman/pacman.c:289).
pub(crate) fn of_caller(env: &Env) -> Option<Version> {
    numbers(env.var("HTTP_USER_AGENT")?.strip_prefix("pacman/")?)
}

/// Reads `… Pacman v7.1.0 - libalpm v16.0.0 …`.
pub(crate) fn parse(text: &str) -> Option<Version> {
    numbers(text.split_once("Pacman v")?.1)
}

fn numbers(rest: &str) -> Option<Version> {
    let mut numbers = rest.split([' ', '.', '\n']).map_while(|part| part.parse().ok());
    Some(Version(numbers.next()?, numbers.next()?, numbers.next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pacman_tells_its_version() {
        let of = |agent: &str| {
            let vars = [("HTTP_USER_AGENT".to_owned(), agent.to_owned())].into();
            of_caller(&Env { vars, ..Env::from_process() })
        };
        assert_eq!(of("pacman/7.1.0 (Linux x86_64) libalpm/16.0.0"), Some(Version(7, 1, 0)));
        assert_eq!(of("curl/8"), None);
        assert_eq!(of("pacman/"), None);
    }

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
