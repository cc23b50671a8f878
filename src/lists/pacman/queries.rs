//! Queries to pacman itself, which any user may run: the files of a transaction, the metadata of packages, the
//! installed packages.
//!
//! `pacman -S… -p` needs no root, uses no lock and no network (pacman 7.1.0, src/pacman/pacman.c:1293, and
//! 6.0.2:1209). It asks its user nothing: it replaces, installs ignored packages that were named, chooses the
//! first provider and whole groups (src/pacman/callback.c:221, sync.c:587), and looks for no conflicts. `certain`
//! in `ahead` allows for the other answers that a user may have given.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::base::name::{FileName, RepoName};
use crate::base::program;

use super::arguments::Arguments;
use super::caller::Caller;

/// Longest wait for one answer. The databases of a whole distribution need 0.1 s; only a hung disk needs longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most bytes of an answer: 3000 packages make 2 MiB of descriptions.
const MOST: u64 = 64 << 20;
/// Prefix of every line that we asked for, which tells them from those of `--verbose` or `--debug`.
pub const MARK: &str = "pkgswarm:coming";
/// The fields of a line, each after a tab. The last four are lists, which 7.1.0 has (src/pacman/util.c) and 6.0.2
/// prints unchanged.
const FIELDS: [&str; 8] = ["%r", "%n", "%v", "%l", "%D", "%P", "%H", "%G"];

/// A pacman to query about the configuration and databases of a running one.
#[derive(Clone, Debug)]
pub(crate) struct Pacman {
    program: PathBuf,
    transaction: Vec<OsString>,
    path_words: Vec<OsString>,
    guard: &'static str,
}

/// A package of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransactionPackage {
    /// The repository it comes from.
    pub repo: RepoName,
    /// `%NAME%`
    pub name: String,
    /// `%VERSION%`
    pub version: String,
    /// Its file's name.
    pub file: FileName,
    /// Its metadata, where pacman has printed it as well.
    pub about: Option<About>,
}

/// The metadata of a package: names without versions.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct About {
    /// Its dependencies.
    pub depends: Vec<String>,
    /// The names that it provides besides its own.
    pub provides: Vec<String>,
    /// The packages that it conflicts with.
    pub conflicts: Vec<String>,
    /// Its groups.
    pub groups: Vec<String>,
}

impl Pacman {
    /// Makes a query to the pacman that is `caller`, whose command line means `arguments`. Every process that it
    /// starts has the environment variable `guard` set, so that it can be told from a real downloader.
    ///
    /// `None` where a path of its command line is relative to a directory that is not known.
    pub(crate) fn of(caller: &Caller, arguments: &Arguments, guard: &'static str) -> Option<Self> {
        let resolve = |path: &Path| caller.resolve(path);
        // A name without a slash is looked up in PATH, by pacman's shell as by us.
        let is_name = caller.program.components().count() == 1 && !caller.program.is_absolute();
        let program = if is_name { caller.program.clone() } else { resolve(&caller.program)? };
        let (transaction, path_words) = (arguments.again(resolve)?, arguments.path_words(resolve)?);
        Some(Self { program, transaction, path_words, guard })
    }

    /// Returns the packages of its transaction in the order in which it will ask for them, those in a cache
    /// included.
    ///
    /// `None` for a transaction that pacman refuses, or without an answer in time.
    pub(crate) fn transaction(&self) -> Option<Vec<TransactionPackage>> {
        let mut words: Vec<OsString> = vec![format!("--print-format={MARK}\t{}", FIELDS.join("\t")).into()];
        words.extend(self.transaction.iter().cloned());
        Some(self.ask(&words)?.lines().filter_map(coming).collect())
    }

    /// Returns the metadata of these packages, by name.
    pub(crate) fn about(&self, packages: &[TransactionPackage]) -> Option<HashMap<String, About>> {
        let mut words: Vec<OsString> = vec!["-Si".into()];
        words.extend(self.path_words.iter().cloned());
        words.extend(packages.iter().map(|package| format!("{}/{}", package.repo, package.name).into()));
        Some(about(&self.ask(&words)?))
    }

    /// Returns the names and versions of all installed packages. `None` also where none is.
    pub(crate) fn installed(&self) -> Option<HashMap<String, String>> {
        let mut words: Vec<OsString> = vec!["-Q".into()];
        words.extend(self.path_words.iter().cloned());
        let text = self.ask(&words)?;
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        Some(pairs.map(|(name, version)| (name.to_owned(), version.to_owned())).collect())
    }

    fn ask(&self, words: &[OsString]) -> Option<String> {
        let mut command = Command::new(&self.program);
        // Lines of any length; the C locale is set by `program`.
        command.args(words).env("COLUMNS", "0").env(self.guard, "1").current_dir("/");
        program::hear(command, &[], PATIENCE, MOST).ok()
    }
}

/// Reads one line of the answer. The server's part of the URL is not used: it may hold `%`, which pacman replaces
/// once more.
pub fn coming(line: &str) -> Option<TransactionPackage> {
    let mut fields = line.strip_prefix(MARK)?.strip_prefix('\t')?.split('\t');
    let [repo, name, version, url] = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
    let (_, file) = url.rsplit_once('/')?;
    let [depends, provides, conflicts, groups] = [(); 4].map(|()| fields.next().map(names));
    let about = (|| Some(About { depends: depends?, provides: provides?, conflicts: conflicts?, groups: groups? }))();
    let is_told = |about: &About| about.depends != [FIELDS[4]];
    Some(TransactionPackage {
        repo: RepoName::new(repo).ok()?,
        name: name.to_owned(),
        version: version.to_owned(),
        file: FileName::new(file).ok()?,
        about: about.filter(is_told),
    })
}

/// Reads the output of `pacman -Si` in the C locale: `Key : value` lines, an empty line after each package.
pub fn about(text: &str) -> HashMap<String, About> {
    let mut all = HashMap::new();
    let (mut name, mut one) = (String::new(), About::default());
    for line in text.lines().chain([""]) {
        if line.is_empty() && !name.is_empty() {
            all.insert(std::mem::take(&mut name), std::mem::take(&mut one));
        }
        let Some((key, value)) = line.split_once(" : ") else { continue };
        match key.trim_end() {
            "Name" => name = value.to_owned(),
            "Depends On" => one.depends = names(value),
            "Provides" => one.provides = names(value),
            "Conflicts With" => one.conflicts = names(value),
            "Groups" => one.groups = names(value),
            _ => {}
        }
    }
    all
}

fn names(value: &str) -> Vec<String> {
    let words = value.split_ascii_whitespace().map(bare);
    words.filter(|word| !matches!(*word, "" | "None")).map(str::to_owned).collect()
}

/// Returns the name in a dependency: `glibc` of `glibc>=2.38`.
pub fn bare(dependency: &str) -> &str {
    dependency.split(['<', '>', '=']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a line of these fields.
    fn line(fields: &[&str]) -> String {
        format!("{MARK}\t{}", fields.join("\t"))
    }

    #[test]
    fn only_lines_that_were_asked_for_name_a_package() {
        let fields = ["core", "g++x", "1:2.0-1", "http://m/%C3/core/g++x-1:2.0-1-any.pkg.tar.zst"];
        let package = coming(&line(&fields)).unwrap();
        assert_eq!((package.repo.as_str(), &*package.name, &*package.version), ("core", "g++x", "1:2.0-1"));
        assert_eq!(package.file.as_str(), "g++x-1:2.0-1-any.pkg.tar.zst");
        let cached = coming(&line(&["core", "a", "1-1", "file:///var/c/a-1-1-any.pkg"])).unwrap();
        assert_eq!(cached.file.as_str(), "a-1-1-any.pkg");
        for other in [
            String::new(),
            "debug: x".to_owned(),
            MARK.to_owned(),
            line(&["core", "a", "1-1", "(null)"]),
            line(&["../x", "a", "1", "u/f"]),
            line(&fields).replace('\t', " "),
        ] {
            assert_eq!(coming(&other), None, "{other}");
        }
    }

    #[test]
    fn a_release_that_does_not_know_the_lists_is_not_taken_to_say_that_they_are_empty() {
        let about = |lists: [&str; 4]| coming(&line(&[&["core", "a", "1-1", "u/a-1-1-any.pkg"][..], &lists].concat()));
        assert_eq!(about(["%D", "%P", "%H", "%G"]).unwrap().about, None);
        assert_eq!(about([""; 4]).unwrap().about, Some(About::default()));
        let told = about(["beta>=2 sh", "foo=1 =1 bar", "qq<3 None=1", "x yy"]).unwrap().about.unwrap();
        assert_eq!(told.depends, ["beta", "sh"]);
        assert_eq!((told.provides.concat(), told.conflicts.concat()), ("foobar".to_owned(), "qq".to_owned()));
        assert_eq!(told.groups, ["x", "yy"]);
    }

    // Printed by pacman 7.1.0 -Si with COLUMNS=0, shortened.
    const SI: &str = "Repository      : core\nName            : alpha\nVersion         : 1-1\nGroups          : base  x\n\
        Provides        : a=1-1  libalpha.so=1-64\nDepends On      : beta>=2  gamma<3  sh\n\
        Optional Deps   : delta: for x : y\n                  epsilon\nConflicts With  : None\n\n\
        Repository      : core\nName            : beta\nDepends On      : None\nConflicts With  : alpha-git\n\n";

    #[test]
    fn packages_are_read_with_names_alone() {
        let all = about(SI);
        let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(all["alpha"].depends, strings(&["beta", "gamma", "sh"]));
        assert_eq!(all["alpha"].provides, strings(&["a", "libalpha.so"]));
        assert_eq!((&all["alpha"].groups, &all["alpha"].conflicts), (&strings(&["base", "x"]), &Vec::new()));
        assert_eq!((all.len(), &all["beta"].conflicts), (2, &strings(&["alpha-git"])));
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_read_without_panic(text in "(?s).*") {
            let _ = about(&text);
            let _ = coming(&text);
            let _ = coming(&format!("{MARK}\t{text}"));
        }
    }
}
