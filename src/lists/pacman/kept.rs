//! An answer of `pacman-conf` on disk, and the state of the files that it was made from.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::base::digest::Sha256;

use crate::base::fsx::{self, FileKey};

const FIRST_LINE: &str = "pkgswarm-pacman-conf 1";
/// pacman stops at this depth of includes as well (`config_max_recursion` in `src/pacman/conf.c`).
const DEEPEST: usize = 10;
/// A configuration with more files than this is asked for each time.
const MOST_FILES: usize = 256;
const LARGEST: u64 = 8 << 20;

/// The place where the answer to one question is kept.
pub(super) struct KeptAnswer {
    path: PathBuf,
    question: Sha256,
}

impl KeptAnswer {
    pub(crate) fn of(directory: &Path, question: &[u8]) -> Self {
        let question = Sha256::of(question);
        Self { path: directory.join(format!("pacman-conf-{}.txt", &question.to_string()[..16])), question }
    }

    /// Returns the answer, if there is a trusted one and all its sources are unchanged.
    pub(crate) fn recall(&self) -> Option<String> {
        // Whatever the damage of the file, asking again replaces or ignores it.
        let file = fsx::open_trusted(&self.path).ok()??;
        // With room for all of it, it is read by one call.
        let length = rustix::fs::fstat(&file).ok()?.st_size.unsigned_abs().min(LARGEST);
        let mut text = String::with_capacity(usize::try_from(length).ok()? + 1);
        file.take(LARGEST).read_to_string(&mut text).ok()?;
        let (head, dump) = text.split_once("\n\n")?;
        let mut lines = head.lines();
        if lines.next() != Some(FIRST_LINE) || lines.next() != Some(&self.question.to_string()) {
            return None;
        }
        lines.all(|line| is_as_it_was(line).unwrap_or(false)).then(|| dump.to_owned())
    }

    /// Keeps an answer; does nothing where that is not possible.
    pub(crate) fn keep(&self, sources: &Sources, dump: &str) {
        let mut head = format!("{FIRST_LINE}\n{}\n", self.question);
        for (path, key) in &sources.files {
            let Some(path) = path.to_str().filter(|path| !path.contains('\n')) else { return };
            head += &format!("{} {path}\n", key.text(' '));
        }
        // Private to this user: servers can have passwords in them, and pacman.conf may be closed for that reason.
        let _asked_again_next_time = fsx::replace(&self.path, format!("{head}\n{dump}").as_bytes(), 0o600);
    }
}

fn is_as_it_was(line: &str) -> Option<bool> {
    let mut words = line.splitn(6, ' ');
    let key = FileKey::from_words(&mut words)?;
    Some(state(Path::new(words.next()?)) == key)
}

/// Returns the state of a path; all zero while it does not exist.
fn state(path: &Path) -> FileKey {
    FileKey::at(path).unwrap_or_default()
}

/// Files and directories with their states.
pub(super) struct Sources {
    files: Vec<(PathBuf, FileKey)>,
    /// True when these are all, as far as can be told.
    is_whole: bool,
}

/// An existing file or directory, as far as can be told, that this user cannot read.
#[derive(Debug)]
pub(super) struct UnreadablePath {
    pub(crate) path: PathBuf,
    pub(crate) cause: io::Error,
}

impl Sources {
    /// Finds the configuration file, everything it includes, and the directories that its globs look into.
    ///
    /// # Errors
    /// `UnreadablePath` when one of them cannot be read: `pacman-conf` then silently skips the files that a glob cannot
    /// see (`process_include` in `src/pacman/conf.c`), so that its answer may lack servers.
    pub(crate) fn of_config(config: &Path) -> Result<Self, UnreadablePath> {
        let mut out = Self { files: Vec::new(), is_whole: true };
        out.scan(config, 0)?;
        Ok(out)
    }

    /// Returns true when these are all. Not with a relative include, or too many files: then no answer can be
    /// kept.
    pub(crate) fn are_whole(&self) -> bool {
        self.is_whole
    }

    /// Adds one more file.
    pub(crate) fn add(&mut self, path: &Path) {
        if !self.files.iter().any(|(known, _)| known == path) {
            self.files.push((path.to_owned(), state(path)));
        }
    }

    fn scan(&mut self, config: &Path, depth: usize) -> Result<(), UnreadablePath> {
        if depth > DEEPEST || self.files.len() > MOST_FILES {
            self.is_whole = false;
            return Ok(());
        }
        self.add(config);
        let mut text = Vec::new();
        let read = fsx::open_followed(config).and_then(|file| file.take(LARGEST).read_to_end(&mut text));
        if let Err(cause) = read {
            self.is_whole = false;
            return told(config, cause);
        }
        for line in String::from_utf8_lossy(&text).lines() {
            let Some((key, pattern)) = line.split_once('=') else { continue };
            if key.trim() == "Include" {
                self.include(pattern.trim(), depth)?;
            }
        }
        Ok(())
    }

    fn include(&mut self, pattern: &str, depth: usize) -> Result<(), UnreadablePath> {
        if !pattern.starts_with('/') || pattern.contains('\\') {
            self.is_whole = false;
            return Ok(());
        }
        if !is_glob(pattern) {
            return self.scan(Path::new(pattern), depth + 1);
        }
        // Every directory whose entries the pattern is compared with, from the last wildcard upwards.
        for parent in Path::new(pattern).ancestors().skip(1).filter_map(Path::to_str) {
            for directory in self.found(parent)? {
                self.add(&directory);
            }
            if !is_glob(parent) {
                // glob(3) treats an unreadable directory as an empty one.
                match std::fs::read_dir(parent) {
                    Ok(_) => {}
                    Err(cause) => told(Path::new(parent), cause)?,
                }
                break;
            }
        }
        for file in self.found(pattern)? {
            self.scan(&file, depth + 1)?;
        }
        Ok(())
    }

    /// Returns the matches of a pattern.
    fn found(&mut self, pattern: &str) -> Result<Vec<PathBuf>, UnreadablePath> {
        let Ok(paths) = glob::glob(pattern) else {
            self.is_whole = false;
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for path in paths {
            match path {
                Ok(path) => found.push(path),
                Err(error) => {
                    self.is_whole = false;
                    let path = error.path().to_owned();
                    told(&path, error.into())?;
                }
            }
        }
        Ok(found)
    }
}

/// Accepts `cause` when it means that there is no such file to read.
fn told(path: &Path, cause: io::Error) -> Result<(), UnreadablePath> {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    match cause.kind() {
        NotFound | NotADirectory | IsADirectory => Ok(()),
        _ => Err(UnreadablePath { path: path.to_owned(), cause }),
    }
}

fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}
