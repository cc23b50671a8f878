//! pacman's command line, read as pacman reads it.
//!
//! pacman uses `getopt_long` with the option string and table of `src/pacman/pacman.c` (`parseargs`): flags may be
//! bundled, long options may be shortened while unambiguous, options may follow targets, and `--` ends them.
//! Words that pacman would refuse are skipped here: the running pacman has already accepted its line.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The operation of a pacman run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    /// `-D`
    Database,
    /// `-F`
    Files,
    /// `-Q`
    Query,
    /// `-R`
    Remove,
    /// `-S`
    Sync,
    /// `-T`
    Deptest,
    /// `-U`
    Upgrade,
}

/// The parts of pacman's command line that matter to a downloader. Paths are as written, possibly relative.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Arguments {
    /// The operation; `None` when there is none or more than one, which pacman refuses.
    pub(crate) operation: Option<Operation>,
    /// Number of `y` flags: 1 refreshes, 2 and more force it.
    pub refresh: u8,
    /// `-w`: nothing is installed.
    pub(crate) download_only: bool,
    /// `--config`, the last one.
    pub(crate) config: Option<PathBuf>,
    /// `-b`, `--dbpath`, the last one.
    pub(crate) db_path: Option<PathBuf>,
    /// `--cachedir`, all of them, in order; those of the configuration come after them.
    pub(crate) cache_dirs: Vec<PathBuf>,
    /// `-r`, `--root`, the last one.
    pub(crate) root: Option<PathBuf>,
    /// `--sysroot`, the last one.
    pub(crate) sysroot: Option<PathBuf>,
    /// `--gpgdir`, the last one.
    pub(crate) gpg_dir: Option<PathBuf>,
    /// `--arch`, all of them, in order; those of the configuration come after them.
    pub(crate) architectures: Vec<OsString>,
    /// The words that are no options: package names, groups, URLs. A single `-` means that pacman read more from
    /// its stdin.
    pub targets: Vec<OsString>,
    /// True when `u` was given, which with `-S` upgrades the system.
    pub(crate) upgrade: bool,
    /// `--noconfirm`, unless `--confirm` came later: every question gets its default answer.
    pub(crate) no_confirm: bool,
    /// `--ask`, which inverts some default answers and implies `no_confirm`.
    pub(crate) turns_answers: bool,
    /// `--disable-download-timeout`: a slow source is waited for.
    pub(crate) disable_download_timeout: bool,
    /// `--ignore`, all of them, split at commas; those of the configuration come on top.
    pub(crate) ignored: Vec<String>,
    /// `--ignoregroup`, likewise.
    pub(crate) ignored_groups: Vec<String>,
    parts: Vec<ArgumentPart>,
    operations: u8,
}

/// A piece of the command line that is kept when it is run again.
#[derive(Clone, PartialEq, Eq, Debug)]
enum ArgumentPart {
    /// As it was written.
    Word(OsString),
    /// A long option whose value is a path, possibly relative.
    Path(&'static str, OsString),
}

// optstring of pacman 6.0 to 7.1: "DFQRSTUVb:cdefghiklmnopqr:stuvwxy"
const SHORT_WITH_VALUE: &[u8] = b"br";

/// Options whose value is a path, and so depends on the directory.
const PATHS: &[&str] = &["config", "dbpath", "cachedir", "root", "sysroot", "gpgdir", "hookdir", "logfile"];

/// Options whose value pacman cuts at commas.
const LISTS: &[&str] = &["assume-installed", "ignore", "ignoregroup", "overwrite"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum ArgumentValue {
    None,
    /// The value comes only as `--name=value` (`--debug`).
    Glued,
    Needed,
}

// The table of `parseargs`, all versions from 6.0 to 7.1 together; it decides which prefixes are unambiguous.
#[rustfmt::skip]
const LONG: &[(&str, ArgumentValue)] = &[
    ("database", ArgumentValue::None), ("files", ArgumentValue::None), ("query", ArgumentValue::None), ("remove", ArgumentValue::None),
    ("sync", ArgumentValue::None), ("deptest", ArgumentValue::None), ("upgrade", ArgumentValue::None), ("version", ArgumentValue::None),
    ("help", ArgumentValue::None), ("dbpath", ArgumentValue::Needed), ("cascade", ArgumentValue::None), ("changelog", ArgumentValue::None),
    ("clean", ArgumentValue::None), ("nodeps", ArgumentValue::None), ("deps", ArgumentValue::None), ("explicit", ArgumentValue::None),
    ("groups", ArgumentValue::None), ("info", ArgumentValue::None), ("check", ArgumentValue::None), ("list", ArgumentValue::None),
    ("foreign", ArgumentValue::None), ("native", ArgumentValue::None), ("nosave", ArgumentValue::None), ("owns", ArgumentValue::None),
    ("file", ArgumentValue::None), ("print", ArgumentValue::None), ("quiet", ArgumentValue::None), ("root", ArgumentValue::Needed),
    ("sysroot", ArgumentValue::Needed), ("recursive", ArgumentValue::None), ("search", ArgumentValue::None), ("regex", ArgumentValue::None),
    ("machinereadable", ArgumentValue::None), ("unrequired", ArgumentValue::None), ("upgrades", ArgumentValue::None),
    ("sysupgrade", ArgumentValue::None), ("unneeded", ArgumentValue::None), ("verbose", ArgumentValue::None),
    ("downloadonly", ArgumentValue::None), ("refresh", ArgumentValue::None), ("noconfirm", ArgumentValue::None),
    ("confirm", ArgumentValue::None), ("config", ArgumentValue::Needed), ("ignore", ArgumentValue::Needed),
    ("assume-installed", ArgumentValue::Needed), ("debug", ArgumentValue::Glued), ("force", ArgumentValue::None),
    ("overwrite", ArgumentValue::Needed), ("noprogressbar", ArgumentValue::None), ("noscriptlet", ArgumentValue::None),
    ("ask", ArgumentValue::Needed), ("cachedir", ArgumentValue::Needed), ("hookdir", ArgumentValue::Needed), ("asdeps", ArgumentValue::None),
    ("logfile", ArgumentValue::Needed), ("ignoregroup", ArgumentValue::Needed), ("needed", ArgumentValue::None),
    ("asexplicit", ArgumentValue::None), ("arch", ArgumentValue::Needed), ("print-format", ArgumentValue::Needed),
    ("gpgdir", ArgumentValue::Needed), ("dbonly", ArgumentValue::None), ("color", ArgumentValue::Needed),
    ("disable-download-timeout", ArgumentValue::None), ("disable-sandbox", ArgumentValue::None),
    ("disable-sandbox-filesystem", ArgumentValue::None), ("disable-sandbox-syscalls", ArgumentValue::None),
];

impl Arguments {
    /// Reads the words after `argv[0]`. Never fails: unknown options are skipped.
    pub fn parse(words: &[OsString]) -> Self {
        let mut out = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let bytes = word.as_bytes();
            if bytes == b"--" {
                out.keep(word);
                out.targets.extend(words.as_slice().iter().cloned());
                words.as_slice().iter().for_each(|word| out.keep(word));
                break;
            } else if let Some(long) = bytes.strip_prefix(b"--") {
                out.long(word, long, &mut words);
            } else if bytes.len() > 1 && bytes[0] == b'-' {
                out.short(&bytes[1..], &mut words);
            } else {
                out.targets.push(word.clone());
                out.keep(word);
            }
        }
        if out.operations > 1 {
            out.operation = None;
        }
        out
    }

    /// Returns the other meaning that the same words may have, if there is one.
    ///
    /// pacman cuts the values of some options at their commas, and does so in the very memory that `/proc` shows
    /// (`parsearg_util_addlist` in `src/pacman/pacman.c` calls strtok on them): after `--ignore a,b` it reads
    /// `--ignore a b`. So plain words behind such an option may be targets, which is how [`Arguments::parse`] reads them,
    /// or belong to its value, which is how they are read here.
    pub fn parse_otherwise(words: &[OsString]) -> Option<Self> {
        let (mut joined, mut is_other) = (Vec::new(), false);
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            joined.push(word.clone());
            if word == "--" {
                break;
            }
            let Some(text) = word.as_bytes().strip_prefix(b"--") else {
                joined.extend(words.next_if(|_| ends_with_value(word.as_bytes())).cloned());
                continue;
            };
            let name = text.split(|byte| *byte == b'=').next().unwrap_or_default();
            let Some((name, ArgumentValue::Needed)) = long_option(name) else { continue };
            let mut value = if text.contains(&b'=') { joined.pop() } else { words.next().cloned() };
            while let Some(value) = value.as_mut().filter(|_| LISTS.contains(&name))
                && let Some(more) = words.next_if(|word| !word.as_bytes().starts_with(b"-"))
            {
                value.push(",");
                value.push(more);
                is_other = true;
            }
            joined.extend(value);
        }
        joined.extend(words.cloned());
        is_other.then(|| Self::parse(&joined))
    }

    /// Returns true for `-yy`: the user wants fresh databases, whatever their age.
    pub fn is_refresh_forced(&self) -> bool {
        self.refresh > 1
    }

    /// Returns the same words without any `y`, to be run in another directory: the command that lists a
    /// transaction without another refresh. `resolve` makes a path absolute; `None` when it cannot.
    ///
    /// The result is incomplete when [`Arguments::reads_stdin`].
    pub fn again(&self, resolve: impl Fn(&Path) -> Option<PathBuf>) -> Option<Vec<OsString>> {
        let again = self.parts.iter().map(|part| match part {
            ArgumentPart::Word(word) => Some(word.clone()),
            ArgumentPart::Path(option, path) => option_word(option, &resolve(Path::new(path))?),
        });
        again.collect()
    }

    /// Returns only the options for configuration, databases and root, each path made absolute by `resolve`.
    pub(crate) fn path_words(&self, resolve: impl Fn(&Path) -> Option<PathBuf>) -> Option<Vec<OsString>> {
        let paths = self.parts.iter().filter_map(|part| match part {
            ArgumentPart::Path(option, path) => Some((option, path)),
            ArgumentPart::Word(_) => None,
        });
        paths.map(|(option, path)| option_word(option, &resolve(Path::new(path))?)).collect()
    }

    /// Returns true when targets came through pacman's stdin (a target `-`), which cannot be read twice.
    pub(crate) fn reads_stdin(&self) -> bool {
        self.targets.iter().any(|target| target == "-")
    }

    fn keep(&mut self, word: &OsStr) {
        self.parts.push(ArgumentPart::Word(word.to_owned()));
    }

    fn long(&mut self, word: &OsStr, text: &[u8], words: &mut std::slice::Iter<'_, OsString>) {
        let (name, glued) = match text.iter().position(|byte| *byte == b'=') {
            Some(at) => (&text[..at], Some(OsString::from_vec(text[at + 1..].to_vec()))),
            None => (text, None),
        };
        let Some((name, takes)) = long_option(name) else {
            self.keep(word);
            return;
        };
        let apart = (takes == ArgumentValue::Needed && glued.is_none()).then(|| words.next().cloned()).flatten();
        let value = glued.clone().or(apart.clone());
        match (name, &value) {
            ("refresh", _) => {}
            (name, Some(path)) if PATHS.contains(&name) => self.parts.push(ArgumentPart::Path(name, path.clone())),
            _ => {
                self.keep(word);
                apart.iter().for_each(|word| self.keep(word));
            }
        }
        match (takes, value) {
            (ArgumentValue::Needed, Some(value)) => self.value(name, value),
            (ArgumentValue::None, None) => self.flag(name),
            _ => {}
        }
    }

    fn short(&mut self, letters: &[u8], words: &mut std::slice::Iter<'_, OsString>) {
        let mut kept = vec![b'-'];
        let mut path = None;
        for (at, letter) in letters.iter().enumerate() {
            if SHORT_WITH_VALUE.contains(letter) {
                let rest = &letters[at + 1..];
                let value =
                    if rest.is_empty() { words.next().cloned() } else { Some(OsString::from_vec(rest.to_vec())) };
                match value {
                    Some(value) => path = Some((if *letter == b'b' { "dbpath" } else { "root" }, value)),
                    None => kept.push(*letter),
                }
                break;
            }
            // pacman refuses a dash among letters; kept in front it would make a long option of the rest.
            if !matches!(letter, b'y' | b'-') {
                kept.push(*letter);
            }
            self.flag(short_flag(*letter));
        }
        if kept.len() > 1 {
            self.keep(&OsString::from_vec(kept));
        }
        if let Some((option, value)) = path {
            self.parts.push(ArgumentPart::Path(option, value.clone()));
            self.value(option, value);
        }
    }

    fn flag(&mut self, name: &str) {
        let operation = match name {
            "refresh" => {
                self.refresh = self.refresh.saturating_add(1);
                return;
            }
            "downloadonly" => {
                self.download_only = true;
                return;
            }
            "sysupgrade" => {
                self.upgrade = true;
                return;
            }
            "disable-download-timeout" => {
                self.disable_download_timeout = true;
                return;
            }
            "noconfirm" | "confirm" => {
                self.no_confirm = name == "noconfirm";
                return;
            }
            "database" => Operation::Database,
            "files" => Operation::Files,
            "query" => Operation::Query,
            "remove" => Operation::Remove,
            "sync" => Operation::Sync,
            "deptest" => Operation::Deptest,
            "upgrade" => Operation::Upgrade,
            _ => return,
        };
        self.operation = Some(operation);
        self.operations = self.operations.saturating_add(1);
    }

    fn value(&mut self, name: &str, value: OsString) {
        match name {
            "config" => self.config = Some(value.into()),
            "dbpath" => self.db_path = Some(value.into()),
            "cachedir" => self.cache_dirs.push(value.into()),
            "root" => self.root = Some(value.into()),
            "sysroot" => self.sysroot = Some(value.into()),
            "gpgdir" => self.gpg_dir = Some(value.into()),
            "arch" => self.architectures.push(value),
            "ask" => self.turns_answers = true,
            "ignore" => self.ignored.extend(split(&value)),
            "ignoregroup" => self.ignored_groups.extend(split(&value)),
            _ => {}
        }
    }
}

/// Returns true for a word of short options whose last letter uses the next word as its value.
fn ends_with_value(word: &[u8]) -> bool {
    let letters = word.strip_prefix(b"-").unwrap_or_default();
    letters.iter().position(|letter| SHORT_WITH_VALUE.contains(letter)).is_some_and(|at| at + 1 == letters.len())
}

/// Splits a value at commas, as pacman does (`parsearg_util_addlist` in `src/pacman/pacman.c`).
fn split(value: &OsStr) -> Vec<String> {
    value.to_string_lossy().split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Makes `--option=value`, in one word so that it has only one meaning.
fn option_word(option: &str, value: &Path) -> Option<OsString> {
    let mut word = OsString::from(format!("--{option}="));
    word.push(value);
    Some(word)
}

fn short_flag(letter: u8) -> &'static str {
    match letter {
        b'D' => "database",
        b'F' => "files",
        b'Q' => "query",
        b'R' => "remove",
        b'S' => "sync",
        b'T' => "deptest",
        b'U' => "upgrade",
        b'y' => "refresh",
        b'w' => "downloadonly",
        b'u' => "sysupgrade",
        _ => "",
    }
}

/// Finds an exact name, or the only one with this prefix (getopt_long(3)).
fn long_option(text: &[u8]) -> Option<(&'static str, ArgumentValue)> {
    let mut begin = LONG.iter().filter(|(name, _)| name.as_bytes().starts_with(text));
    let exact = LONG.iter().find(|(name, _)| name.as_bytes() == text);
    match (exact, begin.next(), begin.next()) {
        (Some(found), ..) | (None, Some(found), None) => Some(*found),
        _ => None,
    }
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
