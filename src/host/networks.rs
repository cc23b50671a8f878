//! The networks that the daemon shares with, and the file of the configuration that says so: what a change means, and
//! which file this user may write.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crate::base::env::Env;
use crate::base::error::Error;
use crate::base::fsx;
use crate::config::layers::Chosen;
use crate::config::written::Written;
use crate::config::{Layers, Settings, layers};
use crate::daemon::{self, Nearby};

/// Returns those of the `trusted` entries that are no longer to be: the `named` ones, or those for the networks that
/// are `here` where none is named. A range alone means it with every router.
///
/// # Errors
/// `Usage` where none of them is trusted, or only by the entry `any`.
pub(crate) fn forgotten(trusted: &[String], named: &[String], here: &[Nearby]) -> Result<Vec<String>, Error> {
    let is_named = |entry: &String| {
        named.iter().any(|named| entry == named || !named.contains('@') && entry.split('@').next() == Some(named))
    };
    let is_here = |entry: &String| here.iter().any(|one| one.entries.contains(entry));
    let is_meant = |entry: &&String| if named.is_empty() { is_here(entry) } else { is_named(entry) };
    let gone: Vec<String> = trusted.iter().filter(is_meant).cloned().collect();
    if !gone.is_empty() {
        return Ok(gone);
    }
    let of = match named {
        [] => here.iter().map(|one| one.network.to_string()).collect::<Vec<_>>().join(", "),
        named => named.join(", "),
    };
    if trusted.iter().any(|entry| entry == "any") {
        let why = "is trusted by the entry `any`, as every private network is";
        return Err(Error::usage(of, why).hint("sudo pkgswarm lan forget any"));
    }
    Err(Error::usage(of, "is not trusted anyway").hint("pkgswarm lan ls lists what is"))
}

/// Returns these networks as `lan.networks` has them.
pub(crate) fn named(networks: &[String]) -> Result<Vec<String>, Error> {
    networks.iter().map(|text| Ok(daemon::network(text)?.to_string())).collect()
}

/// Returns the same settings with these networks as the trusted ones.
pub(crate) fn trusting(settings: &Settings, networks: &[String]) -> Settings {
    Settings { lan_networks: networks.iter().map(Written::read).collect(), ..settings.clone() }
}

/// Returns the settings that the daemon reads, as far as files tell: the system's, and this user's where the daemon is
/// this user's own.
pub(crate) fn daemons_settings(env: &Env, settings: &Settings) -> Result<Settings, Error> {
    if layers::may_change_system(env) || env.var("PKGSWARM_CONFIG_DIR").is_some() || is_own(env, settings) {
        return Ok(settings.clone());
    }
    let mut systems = env.clone();
    systems.vars.retain(|name, _| !name.starts_with("PKGSWARM_"));
    systems.vars.insert("PKGSWARM_CONFIG_DIR".to_owned(), layers::system_dir(env).display().to_string());
    Settings::read(&systems, &[])
}

/// True if the daemon at `daemon.socket` is, or would be, this user's own: no other user can put one there.
fn is_own(env: &Env, settings: &Settings) -> bool {
    let dir = settings.socket.parent().and_then(|dir| dir.symlink_metadata().ok());
    dir.is_some_and(|dir| dir.uid() == env.uid) && layers::user_dir(env).is_some()
}

/// The directory of files that the daemon reads, to which this user may add.
pub(crate) struct ConfigPart {
    env: Env,
    dir: PathBuf,
    /// The words of this command.
    words: String,
}

impl ConfigPart {
    /// Returns that of the daemon that runs here.
    ///
    /// # Errors
    /// `Local` where the daemon is the system's, which root alone configures. The hint has the command.
    pub(crate) fn of_daemon(env: &Env, settings: &Settings, words: &str) -> Result<Self, Error> {
        let dir = match layers::user_dir(env).filter(|_| is_own(env, settings)) {
            Some(own) => own,
            None if layers::may_change_system(env) => layers::system_dir(env),
            None => return Err(refusal(words)),
        };
        // Values for one run are not for the daemon.
        let mut env = env.clone();
        env.vars.retain(|name, _| !["PKGSWARM_LAN_SHARE", "PKGSWARM_LAN_NETWORKS"].contains(&name.as_str()));
        Ok(Self { env, dir: dir.join("config.d"), words: words.to_owned() })
    }

    /// Lists the networks that files alone trust.
    pub(crate) fn networks(&self) -> Result<Vec<String>, Error> {
        let written = Settings::read(&self.env, &[])?.lan_networks;
        named(&written.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    /// Writes the file `name`, which gives `key` the value `wanted`. Restores it where another file wins.
    ///
    /// # Errors
    /// `Usage` where another file wins; `Local` where it cannot be written, with the command for root.
    pub(crate) fn write(&self, name: &str, key: &str, text: &str, wanted: &str) -> Result<(), Error> {
        let path = self.dir.join(name);
        let failed = |path: &PathBuf, e: io::Error| match e.kind() {
            io::ErrorKind::PermissionDenied => refusal(&self.words),
            _ => Error::local(path.display(), e),
        };
        std::fs::create_dir_all(&self.dir).map_err(|e| failed(&self.dir, e))?;
        let before = std::fs::read(&path).ok();
        fsx::replace(&path, text.as_bytes(), 0o644).map_err(|e| failed(&path, e))?;
        let layers = Layers::read(&self.env, &[])?;
        let Chosen { text: value, origin, .. } = &layers.values[key];
        if value == wanted {
            return Ok(());
        }
        let _ = match before {
            Some(before) => fsx::replace(&path, &before, 0o644),
            None => std::fs::remove_file(&path),
        };
        let why = format!("stays {value:?}, because {origin} sets it and is read after {}", path.display());
        Err(Error::usage(key, why).hint(format!("change it there, then run: pkgswarm {}", self.words)))
    }

    /// Writes the trusted networks.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(crate) fn write_networks(&self, networks: &[String]) -> Result<(), Error> {
        let list: Vec<String> = networks.iter().map(|network| format!("    {network:?},\n")).collect();
        let text = format!("[lan]\nnetworks = [\n{}]\n", list.concat());
        self.write("lan.toml", "lan.networks", &text, &networks.join(","))
    }
}

fn refusal(words: &str) -> Error {
    Error::local(format!("pkgswarm {words}"), "only root changes what the system's daemon shares and trusts")
        .hint(format!("sudo pkgswarm {words}"))
}
