//! The files that declare indexes: the system's for root, else the user's own, and the errors about those of others.

use std::path::{Path, PathBuf};

use crate::base::env::Env;
use crate::base::error::Error;
use crate::config::{IndexConfig, layers};

/// Returns the file that declares an index: the system's for root, else the user's own.
pub(super) fn file_of(env: &Env, name: &str) -> Option<PathBuf> {
    let dir = match layers::user_file(env) {
        Some(file) => file.parent()?.to_owned(),
        None => layers::system_dir(env),
    };
    Some(dir.join("config.d").join(format!("index-{name}.toml")))
}

/// Returns the error about a file of the configuration that could not be changed.
pub(super) fn not_writable(env: &Env, path: &Path, e: &std::io::Error) -> Error {
    if e.kind() != std::io::ErrorKind::PermissionDenied {
        return Error::local(path.display(), e);
    }
    let words: Vec<_> = env.words().iter().map(|word| word.to_string_lossy()).collect();
    Error::local(path.display(), "only root changes the indexes of this system")
        .hint(format!("sudo pkgswarm {}", words.join(" ")))
}

/// Returns the error about an index that is not removed, because another file than this user's declares it.
pub(super) fn declared_elsewhere(env: &Env, name: &str) -> Error {
    let systems = layers::system_dir(env).join("config.d").join(format!("index-{name}.toml"));
    if !env.is_root() && systems.exists() {
        return Error::local(name, format!("was added for the whole system, in {}", systems.display()))
            .hint(format!("sudo pkgswarm index rm {name}"));
    }
    Error::usage(name, "was not added by `pkgswarm index add`")
        .hint("`pkgswarm config` shows the file that declares it")
}

/// Writes the declaration of an index.
pub(super) fn to_toml(index: &IndexConfig) -> String {
    let text = |value: &str| toml::Value::from(value).to_string();
    let mut out = format!("[index.{}]\n", index.name);
    let key = index.key.as_ref().map(ToString::to_string);
    let minisign = index.minisign.as_ref().map(ToString::to_string);
    let url = index.url.as_ref().map(ToString::to_string);
    for (field, value) in [("key", key), ("minisign", minisign), ("url", url)] {
        if let Some(value) = value {
            out += &format!("{field} = {}\n", text(&value));
        }
    }
    let repos: Vec<String> = index.repos.iter().map(|repo| text(repo.text())).collect();
    out + &format!("repos = [{}]\n", repos.join(", "))
}
