//! Lists the pending updates: pacman itself is asked, over the private databases, and changes nothing.
//!
//! `pacman -Su --print` resolves an upgrade: new dependencies and replacements are in it, packages of `IgnorePkg`
//! are not. It works for ordinary users and beside a running pacman (`doc/facts/pacman.md`).

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::base::error::Error;
use crate::base::name::{FileName, RepoName};
use crate::base::program::{self, SilentError};
use crate::engine::find;
use crate::engine::want;
use crate::machine::lists::Lists;
use crate::report;

/// Resolving a large upgrade takes a second; the output has a line of at most 1 KiB for each package.
const PATIENCE: Duration = Duration::from_secs(120);
const OUTPUT_MOST: u64 = 16 << 20;

/// The separator of the fields of a line, which no name, version or URL contains.
const FORMAT: &str = "%r\t%n\t%v\t%l";

/// One pending update.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Update {
    /// Its repository.
    pub(crate) repo: RepoName,
    /// The package's name.
    pub(crate) name: String,
    /// The installed version; none for a new package.
    pub(crate) old: Option<String>,
    /// The pending version.
    pub(crate) new: String,
    /// The package's file.
    pub(crate) file: FileName,
}

/// Lists what an upgrade over the databases of `lists` would fetch, in pacman's order.
///
/// If pacman cannot resolve the upgrade (a package of the user's own needs an old library, say), every package
/// with a newer version counts, with a warning: the user will decide with pacman, and needs most of them.
///
/// # Errors
/// pacman is not installed, or cannot read the databases.
pub(crate) fn pending(lists: &Lists, databases: &Path) -> Result<Vec<Update>, Error> {
    let installed = installed(&databases.join("local"));
    match ask(lists, databases, &["-Su", "--print", "--print-format", FORMAT]) {
        Ok(lines) => Ok(lines.lines().filter_map(|line| update(line, &installed)).collect()),
        Err(SilentError::Refused { message, .. }) if message.contains("failed to prepare transaction") => {
            let lines = ask(lists, databases, &["-Qu"]).or_else(nothing).map_err(unanswered)?;
            report::say(&format!("warning: pacman cannot prepare the upgrade: {message}"));
            Ok(lines.lines().filter_map(|line| newer(lists, line)).collect())
        }
        Err(e) => Err(unanswered(e)),
    }
}

fn unanswered(e: SilentError) -> Error {
    Error::usage("pending updates", e).hint("`pacman -Sup` shows what pacman says")
}

/// Accepts the silent failure of `pacman -Qu` when nothing is newer.
fn nothing(e: SilentError) -> Result<String, SilentError> {
    match e {
        SilentError::Refused { message, .. } if message.is_empty() => Ok(String::new()),
        other => Err(other),
    }
}

fn ask(lists: &Lists, databases: &Path, words: &[&str]) -> Result<String, SilentError> {
    let mut pacman = Command::new("pacman");
    pacman.args(words).arg("--dbpath").arg(databases).arg("--config").arg(&lists.machine().settings.pacman_conf);
    pacman.args(["--noconfirm", "--color", "never", "--logfile", "/dev/null"]);
    program::hear(pacman, b"", PATIENCE, OUTPUT_MOST)
}

/// Reads a line of [`FORMAT`]. Targets without a server have no URL, and cannot be fetched.
fn update(line: &str, installed: &HashMap<String, String>) -> Option<Update> {
    let mut fields = line.split('\t');
    let mut field = || fields.next();
    let (repo, name, new, url) = (field()?, field()?, field()?, field()?);
    Some(Update {
        repo: RepoName::new(repo).ok()?,
        name: name.to_owned(),
        old: installed.get(name).cloned(),
        new: new.to_owned(),
        file: want::name_of(url).ok()?,
    })
}

/// Reads a line of `pacman -Qu`: `name old -> new`, and `[ignored]` after a package that is not upgraded.
fn newer(lists: &Lists, line: &str) -> Option<Update> {
    let words: Vec<&str> = line.split(' ').collect();
    let [name, old, "->", new] = words.as_slice() else { return None };
    let found = find::find(lists, &format!("{name}-{new}")).ok()?;
    let (name, old, new) = ((*name).to_owned(), Some((*old).to_owned()), (*new).to_owned());
    Some(Update { repo: found.repo, name, old, new, file: found.name })
}

/// Lists names and versions of installed packages: the directories of the local database are called
/// `name-version-release`.
pub(crate) fn installed(local: &Path) -> HashMap<String, String> {
    let entries = std::fs::read_dir(local).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| split(&name).map(|(name, version)| (name.to_owned(), version.to_owned()))).collect()
}

fn split(directory: &str) -> Option<(&str, &str)> {
    let release = directory.rfind('-')?;
    let version = directory[..release].rfind('-')?;
    Some((&directory[..version], &directory[version + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_pacman_are_updates() {
        let installed = HashMap::from([("gtk+x".to_owned(), "3:4.0-1".to_owned())]);
        let read = update("extra\tgtk+x\t3:4.1-1\thttp://m/extra/gtk+x-3:4.1-1-any.pkg.tar.zst", &installed).unwrap();
        assert_eq!((read.repo.as_str(), read.old.as_deref(), read.new.as_str()), ("extra", Some("3:4.0-1"), "3:4.1-1"));
        assert_eq!(read.file.as_str(), "gtk+x-3:4.1-1-any.pkg.tar.zst");
        let cached =
            update("core\tnew\t1-1\tfile:///var/cache/pacman/pkg/new-1-1-any.pkg.tar.zst", &installed).unwrap();
        assert_eq!((cached.old, cached.file.as_str()), (None, "new-1-1-any.pkg.tar.zst"));
        for bad in ["", "core\ta\t1-1", "core\ta\t1-1\t", ":: Proceed?", "core\ta\t1\thttp://m/.."] {
            assert_eq!(update(bad, &installed), None, "{bad}");
        }
    }

    #[test]
    fn directories_of_the_local_database_are_names_and_versions() {
        assert_eq!(split("gtk-x+-3:4.0+r5-2"), Some(("gtk-x+", "3:4.0+r5-2")));
        assert_eq!((split("ALPM_DB_VERSION"), split("a-1")), (None, None));
    }
}
