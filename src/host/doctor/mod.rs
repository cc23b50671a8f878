//! Configuration problems: each with its consequence and the command that fixes it.
//!
//! A check is a function of one [`Inspection`]: it reads nothing else and changes nothing, so a test sets its trap up as
//! plain values. [`GROUPS`] is the table; the manual is made from it.

use crate::host::inspect::Inspection;

pub(crate) mod endpoint;
pub(crate) mod index;
pub(crate) mod keep;
pub(crate) mod kubo;
pub(crate) mod lan;
pub(crate) mod pacman;
pub(crate) mod store;

/// The severity of a finding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Information; everything works.
    Note,
    /// It works less well than it could: slower, from fewer sources, or not for long.
    Warning,
    /// Makes a finding about failing downloads, or a machine that is open to others.
    Error,
}

/// One problem that a check found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    /// Its severity.
    pub(crate) level: Level,
    /// The problem and its consequence.
    pub(crate) says: String,
    /// The fix; a command to run where there is one.
    pub(crate) mend: String,
}

impl Finding {
    /// Makes a finding of information; everything works.
    pub(crate) fn note(says: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Note, says: says.into(), mend: mend.into() }
    }

    /// Makes a finding about something that works less well than it could.
    pub(crate) fn warning(says: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Warning, says: says.into(), mend: mend.into() }
    }

    /// Makes a finding about failing downloads, or a machine that is open to others.
    pub(crate) fn error(says: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Error, says: says.into(), mend: mend.into() }
    }
}

/// One check.
#[derive(Debug)]
pub(crate) struct Check {
    /// Its name, in JSON and in the manual.
    pub(crate) name: &'static str,
    /// The problem that it looks for, and why that matters.
    pub(crate) about: &'static str,
    /// Checks the inspected machine; an empty result means that all is well, or that the check does not apply.
    pub(crate) look: fn(&Inspection) -> Vec<Finding>,
}

/// The check of our own configuration, which the others depend on.
const CONFIG: &[Check] = &[Check {
    name: "config",
    about: "The configuration of pkgswarm is understood. With a mistake in it pacman's files come from mirrors \
            alone, nothing is shared, and the other commands refuse to run. A variable PKGSWARM_* that means nothing \
            is only named.",
    look: |facts| facts.mistakes.iter().map(|it| Finding::error(it.clone(), fix_of(it))).collect(),
}];

/// Returns the fix for a mistake: the file to edit, or the variable to unset.
fn fix_of(mistake: &str) -> String {
    let subject = mistake.split(": ").next().unwrap_or_default();
    match (subject.strip_prefix('$'), subject.rsplit_once(':')) {
        (Some(variable), _) => format!("unset {variable}"),
        (None, Some((file, _))) if file.starts_with('/') => format!("sudoedit {file}"),
        (None, None) if subject.starts_with('/') => format!("sudo chmod a+r {subject}"),
        _ => format!("correct {subject}"),
    }
}

/// All checks by what they look at, in the order in which they are reported.
pub(crate) const GROUPS: [(&str, &[Check]); 8] = [
    ("configuration", CONFIG),
    ("pacman", pacman::CHECKS),
    ("endpoint", endpoint::CHECKS),
    ("store", store::CHECKS),
    ("indexes", index::CHECKS),
    ("Kubo", kubo::CHECKS),
    ("shares", keep::CHECKS),
    ("sharing", lan::CHECKS),
];

/// Returns all checks, in the order in which they are reported.
pub(crate) fn checks() -> impl Iterator<Item = &'static Check> {
    GROUPS.into_iter().flat_map(|(_, checks)| checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own_and_a_sentence() {
        let names: Vec<_> = checks().map(|check| check.name).collect();
        for (at, check) in checks().enumerate() {
            assert!(check.about.ends_with('.'), "{}", check.name);
            assert!(!names[..at].contains(&check.name), "{}", check.name);
        }
    }
}
