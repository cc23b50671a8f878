//! Runs `pacman-conf`: with the caller's own arguments, bounded in time and output, and only after a change.
//!
//! Running it costs milliseconds and pacman starts a process for every file. So its answer is kept in a small text
//! file together with the state of everything it was made from: `pacman.conf`, all files it includes, the
//! directories that its globs look into, and the program itself. A later process compares those states and runs
//! nothing.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::base::program::{self, SilentError};

use super::caller::Caller;
use super::kept;
use super::pacman_conf::{IncompleteConfError, PacmanConf};

/// Longest wait for `pacman-conf`. It needs 5 ms; only a hung network file system needs longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of output that are read; 200 mirrors in 20 repositories make 250 KiB.
const MOST_OUTPUT: u64 = 4 << 20;
const DEFAULT_CONFIG: &str = "/etc/pacman.conf";

/// The parameters of a query: the configuration, and the options of pacman's own command line that override it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ConfQuestion {
    /// The program; found in `PATH` when it has no slash.
    pub(crate) program: PathBuf,
    /// The configuration file, absolute.
    pub(crate) config: PathBuf,
    /// `--root`
    pub(crate) root: Option<PathBuf>,
    /// `--sysroot`; `pacman-conf` knows it from 6.1 on.
    pub(crate) sysroot: Option<PathBuf>,
    /// `--dbpath`
    pub(crate) db_path: Option<PathBuf>,
    /// `--gpgdir`
    pub(crate) gpg_dir: Option<PathBuf>,
    /// `--cachedir`, in order.
    pub(crate) cache_dirs: Vec<PathBuf>,
    /// `--arch`, in order.
    pub(crate) architectures: Vec<OsString>,
}

/// The reason why the configuration is unknown. Trying again may help only after `SilentError::TooSlow`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfError {
    /// pacman has a relative path on its command line, and its working directory at the start is unknown.
    #[error("{}: relative to a directory that is not known", .0.display())]
    Relative(PathBuf),
    /// A path or name that cannot stand in a configuration file.
    #[error("{0:?} cannot be passed on: it holds a control character")]
    Unwritable(OsString),
    /// A file of the configuration exists and cannot be read by this user.
    #[error("{}: {cause}", path.display())]
    Closed {
        /// The file, or a directory that it includes files from.
        path: PathBuf,
        /// The error of the system.
        cause: io::Error,
    },
    /// The program gave no answer.
    #[error(transparent)]
    Silent(#[from] SilentError),
    /// Not the dump of a configuration.
    #[error("pacman-conf is not understood: {0}")]
    Incomplete(#[from] IncompleteConfError),
}

/// A configuration that only this process knows, under a path at which `pacman-conf` finds it.
enum Input {
    /// Written to its standard input.
    Stdin(&'static str),
    /// A file that lives as long as this value, for machines without /dev and /proc.
    File(tempfile::NamedTempFile),
}

impl Input {
    fn of(text: &[u8]) -> Result<Self, ConfError> {
        if let Some(path) = ["/dev/stdin", "/proc/self/fd/0"].into_iter().find(|path| rustix::fs::lstat(*path).is_ok())
        {
            // The link in /dev leads into /proc.
            if rustix::fs::stat("/proc/self/fd").is_ok() {
                return Ok(Self::Stdin(path));
            }
        }
        let written = tempfile::NamedTempFile::new().and_then(|file| {
            file.as_file().write_all_at(text, 0)?;
            Ok(file)
        });
        written.map(Self::File).map_err(|cause| ConfError::Closed { path: std::env::temp_dir(), cause })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Stdin(path) => Path::new(path),
            Self::File(file) => file.path(),
        }
    }
}

impl Default for ConfQuestion {
    /// Returns the query for the system's own configuration.
    fn default() -> Self {
        Self {
            program: "pacman-conf".into(),
            config: DEFAULT_CONFIG.into(),
            root: None,
            sysroot: None,
            db_path: None,
            gpg_dir: None,
            cache_dirs: Vec::new(),
            architectures: Vec::new(),
        }
    }
}

impl ConfQuestion {
    /// Returns the query for the configuration under which `caller` runs.
    ///
    /// # Errors
    /// `Relative` where the directory of a relative path on its command line is unknown.
    pub(crate) fn of(caller: &Caller) -> Result<Self, ConfError> {
        let given = &caller.arguments;
        let resolve = |path: &PathBuf| caller.resolve(path).ok_or_else(|| ConfError::Relative(path.clone()));
        let option = |path: &Option<PathBuf>| path.as_ref().map(resolve).transpose();
        let sysroot = option(&given.sysroot)?;
        let config = match (&given.config, &sysroot) {
            (Some(path), Some(_)) => path.clone(), // below the sysroot, not below a directory
            (Some(path), None) => resolve(path)?,
            (None, _) => DEFAULT_CONFIG.into(),
        };
        Ok(Self {
            config,
            root: option(&given.root)?,
            sysroot,
            db_path: option(&given.db_path)?,
            gpg_dir: option(&given.gpg_dir)?,
            cache_dirs: given.cache_dirs.iter().map(resolve).collect::<Result<_, _>>()?,
            architectures: given.architectures.clone(),
            ..Self::default()
        })
    }

    /// Runs `pacman-conf`, always.
    ///
    /// # Errors
    /// `ConfError`.
    pub(crate) fn ask(&self) -> Result<PacmanConf, ConfError> {
        self.ask_within(PATIENCE)
    }

    /// Runs `pacman-conf`, always, and waits for it no longer than `patience`.
    ///
    /// # Errors
    /// `ConfError`.
    pub(crate) fn ask_within(&self, patience: Duration) -> Result<PacmanConf, ConfError> {
        self.sources()?;
        self.read(&self.dump(patience)?)
    }

    /// Returns the output of `pacman-conf` if the configuration file were `text`; writes no file. For trying a
    /// change.
    ///
    /// # Errors
    /// `ConfError::Silent`, when pacman would not accept it either.
    pub(crate) fn try_text(&self, text: &[u8]) -> Result<String, ConfError> {
        let (input, mut command) = (Input::of(text)?, Command::new(&self.program));
        command.arg("--config").arg(input.path());
        Ok(program::hear(command, text, PATIENCE, MOST_OUTPUT)?)
    }

    /// Runs `pacman-conf` unless its last answer, kept in `directory`, is still valid.
    ///
    /// Where no answer can be kept it runs every time. Measured, unoptimised build: 0.13 ms for a kept answer,
    /// else 9 ms.
    ///
    /// # Errors
    /// `ConfError`.
    #[cfg(test)]
    pub(crate) fn ask_or_recall(&self, directory: &Path) -> Result<PacmanConf, ConfError> {
        self.recall(directory).map_or_else(|| self.ask_and_keep(directory, PATIENCE), Ok)
    }

    /// Returns the last answer, kept in `directory`, if it is still valid.
    pub(crate) fn recall(&self, directory: &Path) -> Option<PacmanConf> {
        kept::KeptAnswer::of(directory, &self.identity()).recall().and_then(|dump| self.read(&dump).ok())
    }

    /// Runs `pacman-conf`, waits for it no longer than `patience`, and keeps the answer in `directory`.
    ///
    /// # Errors
    /// `ConfError`.
    pub(crate) fn ask_and_keep(&self, directory: &Path, patience: Duration) -> Result<PacmanConf, ConfError> {
        // The states are read before the program runs, so that a change meanwhile makes the answer stale and not
        // wrong.
        let sources = self.sources()?;
        let dump = self.dump(patience)?;
        let conf = self.read(&dump)?;
        if let Some(sources) = sources {
            kept::KeptAnswer::of(directory, &self.identity()).keep(&sources, &dump);
        }
        Ok(conf)
    }

    fn read(&self, dump: &str) -> Result<PacmanConf, ConfError> {
        let mut conf = PacmanConf::parse(dump)?;
        match &self.sysroot {
            None => conf.prefer_cache_dirs(&self.cache_dirs),
            // No wrapper in this case; pacman puts its sysroot before these paths as well.
            Some(sysroot) => {
                let below = |path: &PathBuf| sysroot.join(path.strip_prefix("/").unwrap_or(path));
                conf.prefer_cache_dirs(&self.cache_dirs.iter().map(below).collect::<Vec<_>>());
                conf.db_path = self.db_path.as_ref().map_or(conf.db_path, below);
                conf.gpg_dir = self.gpg_dir.as_ref().map(below).or(conf.gpg_dir);
            }
        }
        Ok(conf)
    }

    fn dump(&self, patience: Duration) -> Result<String, ConfError> {
        let mut command = Command::new(&self.program);
        let wrapper = self.wrapper()?;
        let written = wrapper.as_deref().map(Input::of).transpose()?;
        let config = written.as_ref().map_or(&*self.config, Input::path);
        command.arg("--config").arg(config);
        for (option, value) in [("--rootdir", &self.root), ("--sysroot", &self.sysroot)] {
            if let Some(value) = value {
                command.arg(option).arg(value);
            }
        }
        Ok(program::hear(command, wrapper.as_deref().unwrap_or_default(), patience, MOST_OUTPUT)?)
    }

    /// Makes a configuration that begins with the options of the command line, and then includes the real one.
    ///
    /// pacman reads its command line first, and the first `DBPath` wins while `CacheDir` and `Architecture` add up
    /// (`_parse_options` in `src/pacman/conf.c`): so this has exactly pacman's result, defaults included. `None`
    /// without any such option, or with a sysroot, below which no file of ours can be included.
    fn wrapper(&self) -> Result<Option<Vec<u8>>, ConfError> {
        let mut lines: Vec<(&str, &[u8])> = Vec::new();
        let paths = [("DBPath", &self.db_path), ("GPGDir", &self.gpg_dir)];
        lines.extend(paths.iter().filter_map(|(key, path)| Some((*key, path.as_ref()?.as_os_str().as_bytes()))));
        // pacman splits these at spaces without any quoting; the rest is added by prefer_cache_dirs.
        let plain = self.cache_dirs.iter().map(|path| path.as_os_str().as_bytes()).filter(|path| !path.contains(&b' '));
        lines.extend(plain.map(|path| ("CacheDir", path)));
        lines.extend(self.architectures.iter().map(|name| ("Architecture", name.as_bytes())));
        if lines.is_empty() || self.sysroot.is_some() {
            return Ok(None);
        }
        let mut config = Vec::new();
        for byte in self.config.as_os_str().as_bytes() {
            if b"\\*?[".contains(byte) {
                config.push(b'\\'); // Include takes a glob
            }
            config.push(*byte);
        }
        lines.push(("Include", &config));
        let mut out = b"[options]\n".to_vec();
        for (key, value) in lines {
            if value.iter().any(u8::is_ascii_control) {
                return Err(ConfError::Unwritable(std::ffi::OsStr::from_bytes(value).to_owned()));
            }
            out.extend([key.as_bytes(), b" = ", value, b"\n"].concat());
        }
        Ok(Some(out))
    }

    /// Returns everything that the answer depends on besides the files.
    fn identity(&self) -> Vec<u8> {
        format!("{self:?} {:?}", program::found(&self.program)).into_bytes()
    }

    /// Returns the files that the answer is made from; `None` when they are unknown, and no answer should be kept.
    ///
    /// # Errors
    /// `Closed`.
    fn sources(&self) -> Result<Option<kept::Sources>, ConfError> {
        if self.sysroot.is_some() {
            return Ok(None);
        }
        let closed = |kept::UnreadablePath { path, cause }| ConfError::Closed { path, cause };
        let mut sources = kept::Sources::of_config(&self.config).map_err(closed)?;
        let Some(program) = program::found(&self.program) else { return Ok(None) };
        sources.add(&program);
        Ok(sources.are_whole().then_some(sources))
    }
}

#[cfg(test)]
#[path = "question_tests.rs"]
mod tests;
