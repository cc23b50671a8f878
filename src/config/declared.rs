//! The files that declare indexes, Haiku's repositories and shares: the system's for root, else the user's own, and the
//! errors about those of others.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::env::Env;
use crate::base::error::Error;
use crate::base::fsx;
use crate::config::{HaikuConfig, IndexConfig, KeepConfig, layers, own_state_dir};

/// The first words of their file names, and the commands that write them.
const INDEX: &str = "index";
const HAIKU: &str = "haiku";
const KEEP: &str = "keep";

/// Writes the file that declares an index, and makes the directory of an ordinary user's own state; returns its path.
///
/// # Errors
/// `Usage` where this user has no directory for it, `Local` where it cannot be written: the hint has the command.
pub(crate) fn declare(env: &Env, index: &IndexConfig) -> Result<PathBuf, Error> {
    write(env, INDEX, &index.name, &to_toml(index))
}

/// Writes the file that declares a repository of Haiku's, as [`declare`] does for an index.
///
/// # Errors
/// As of [`declare`].
pub(crate) fn declare_haiku(env: &Env, repo: &HaikuConfig) -> Result<PathBuf, Error> {
    write(env, HAIKU, &repo.name, &repo.to_toml())
}

/// Writes the file that declares a share, as [`declare`] does for an index.
///
/// # Errors
/// As of [`declare`].
pub(crate) fn declare_keep(env: &Env, keep: &KeepConfig) -> Result<PathBuf, Error> {
    write(env, KEEP, &keep.name, &keep.to_toml())
}

fn write(env: &Env, kind: &str, name: &str, text: &str) -> Result<PathBuf, Error> {
    let path = file_of(env, kind, name).ok_or_else(|| {
        Error::usage(name, "there is no configuration directory for this user").hint("run it as root")
    })?;
    let dir = path.parent().expect("a file in a directory");
    fs::create_dir_all(dir).map_err(|e| not_writable(env, dir, &e))?;
    fsx::replace(&path, text.as_bytes(), 0o644).map_err(|e| not_writable(env, &path, &e))?;
    // The system's state belongs to the user that downloads.
    if let Some(own) = layers::user_dir(env).and_then(|_| own_state_dir(env)) {
        fs::create_dir_all(&own).map_err(|e| Error::local(own.display(), e))?;
    }
    Ok(path)
}

/// Removes the file that declares an index, and returns its path.
///
/// # Errors
/// `Usage` and `Local` where another file declares it, or it cannot be removed by this user.
pub(crate) fn remove(env: &Env, name: &str) -> Result<PathBuf, Error> {
    remove_of(env, INDEX, name)
}

/// Removes the file that declares a repository of Haiku's, as [`remove`] does for an index.
///
/// # Errors
/// As of [`remove`].
pub(crate) fn remove_haiku(env: &Env, name: &str) -> Result<PathBuf, Error> {
    remove_of(env, HAIKU, name)
}

/// Removes the file that declares a share, as [`remove`] does for an index.
///
/// # Errors
/// As of [`remove`].
pub(crate) fn remove_keep(env: &Env, name: &str) -> Result<PathBuf, Error> {
    remove_of(env, KEEP, name)
}

fn remove_of(env: &Env, kind: &str, name: &str) -> Result<PathBuf, Error> {
    let path = file_of(env, kind, name).filter(|path| path.exists());
    let path = path.ok_or_else(|| declared_elsewhere(env, kind, name))?;
    fs::remove_file(&path).map_err(|e| not_writable(env, &path, &e))?;
    Ok(path)
}

/// Returns the file that declares one of a kind: the system's for root, else the user's own.
fn file_of(env: &Env, kind: &str, name: &str) -> Option<PathBuf> {
    let dir = match layers::user_file(env) {
        Some(file) => file.parent()?.to_owned(),
        None => layers::system_dir(env),
    };
    Some(dir.join("config.d").join(format!("{kind}-{name}.toml")))
}

/// Returns the error about a file of the configuration that could not be changed.
pub(crate) fn not_writable(env: &Env, path: &Path, e: &std::io::Error) -> Error {
    if e.kind() != std::io::ErrorKind::PermissionDenied {
        return Error::local(path.display(), e);
    }
    let words: Vec<_> = env.words().iter().map(|word| word.to_string_lossy()).collect();
    Error::local(path.display(), "only root changes the configuration of this system")
        .hint(format!("sudo pkgswarm {}", words.join(" ")))
}

/// Returns the error about one that is not removed, because another file than this user's declares it.
fn declared_elsewhere(env: &Env, kind: &str, name: &str) -> Error {
    let systems = layers::system_dir(env).join("config.d").join(format!("{kind}-{name}.toml"));
    if !env.is_root() && systems.exists() {
        return Error::local(name, format!("was added for the whole system, in {}", systems.display()))
            .hint(format!("sudo pkgswarm {kind} {} {name}", if kind == KEEP { "stop" } else { "rm" }));
    }
    let added = if kind == KEEP { "pkgswarm keep" } else { &format!("pkgswarm {kind} add") };
    Error::usage(name, format!("was not added by `{added}`")).hint("`pkgswarm config` shows the file that declares it")
}

/// Writes the declaration of an index.
fn to_toml(index: &IndexConfig) -> String {
    let text = |value: &str| toml::Value::from(value).to_string();
    let mut out = format!("[index.{}]\n", index.name);
    let key = index.key.as_ref().map(ToString::to_string);
    let minisign = index.minisign.as_ref().map(ToString::to_string);
    for (field, value) in [("key", key), ("minisign", minisign)] {
        if let Some(value) = value {
            out += &format!("{field} = {}\n", text(&value));
        }
    }
    let urls: Vec<String> = index.urls().map(|url| text(&url.to_string())).collect();
    let peers: Vec<String> = index.peers.iter().map(|peer| text(&peer.to_string())).collect();
    match &urls[..] {
        [] => {}
        [url] => out += &format!("url = {url}\n"),
        several => out += &format!("url = [{}]\n", several.join(", ")),
    }
    if !peers.is_empty() {
        out += &format!("peers = [{}]\n", peers.join(", "));
    }
    let repos: Vec<String> = index.repos.iter().map(|repo| text(repo.text())).collect();
    out + &format!("repos = [{}]\n", repos.join(", "))
}
