//! The record of setup's changes, kept beside the configuration until they are undone: `/etc/pkgswarm/setup`.
//!
//! Not in the state directory, which belongs to the download user: root writes the record's text into pacman.conf.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::env::{Env, HANDOVER};
use crate::base::error::Error;
use crate::base::fsx;
use crate::config::{SYSTEM_STATE, Settings, layers};
use crate::host::inspect::endpoint;
use crate::host::setup::SetupPart;
use crate::host::setup::door::PacmanDoor;

/// Most bytes of any file here.
const MOST: u64 = 1 << 20;

/// The directory and its record.
#[derive(Debug)]
pub(crate) struct SetupRecord {
    dir: PathBuf,
    uid: u32,
    /// The changes made.
    pub(crate) done: Done,
}

/// The changes made.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Done {
    /// The changed pacman.conf. Its text before and after is beside this, in files of their own.
    pub(crate) pacman_conf: Option<PathBuf>,
    /// The door that it was changed to, where that is not `XferCommand` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) door: Option<PacmanDoor>,
    /// The `CacheServer` that it got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_server: Option<String>,
    /// The `ParallelDownloads` that it got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parallel: Option<u32>,
    /// The file of the configuration that enables the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<PathBuf>,
    /// Units that were enabled by setup.
    pub(crate) units: Vec<String>,
    /// Networks that were trusted by setup.
    pub(crate) networks: Vec<String>,
    /// Values that were set in Kubo.
    pub(crate) kubo: Vec<KuboValue>,
}

/// A value of Kubo's configuration.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KuboValue {
    /// For example `Swarm.ConnMgr.HighWater`.
    pub(crate) key: String,
    /// `null` when it was unset.
    pub(crate) before: Value,
    /// The value that setup wrote.
    pub(crate) after: Value,
}

/// A text that is kept verbatim.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Text {
    /// pacman.conf as it was: the backup.
    Before,
    /// pacman.conf as setup left it.
    After,
}

impl Text {
    fn name(self) -> &'static str {
        match self {
            Text::Before => "pacman.conf.before",
            Text::After => "pacman.conf.after",
        }
    }
}

impl SetupRecord {
    /// Returns the directory of this user's record: the system's for root, the state directory for root's child,
    /// else the user's.
    pub(crate) fn dir(env: &Env, settings: &Settings) -> PathBuf {
        if env.var(HANDOVER).is_some() && !env.is_root() {
            return settings.state_dir.join("setup");
        }
        let own = layers::user_file(env).and_then(|file| Some(file.parent()?.to_owned()));
        own.unwrap_or_else(|| layers::system_dir(env)).join("setup")
    }

    /// Lists the directories of records that are not of an ordinary user: root's, and that of root's child.
    pub(crate) fn system_dirs(env: &Env) -> Vec<PathBuf> {
        vec![layers::system_dir(env).join("setup"), PathBuf::from(SYSTEM_STATE).join("setup")]
    }

    /// True if it has a change of this part.
    pub(crate) fn has(&self, part: SetupPart) -> bool {
        match part {
            SetupPart::Endpoint => {
                self.done.endpoint.is_some() || self.done.units.iter().any(|unit| unit == endpoint::SOCKET)
            }
            SetupPart::Pacman => self.done.pacman_conf.is_some(),
            SetupPart::Parallel => self.done.parallel.is_some(),
            SetupPart::Kubo => !self.done.kubo.is_empty(),
            SetupPart::Lan => !self.done.networks.is_empty(),
            SetupPart::Index | SetupPart::Prefetch | SetupPart::Notify | SetupPart::Daemon => {
                !self.done.units.is_empty()
            }
        }
    }

    /// Reads the record; empty if there is none.
    ///
    /// # Errors
    /// `Local` when it cannot be read, belongs to another user, or was written by a later version.
    pub(crate) fn read(env: &Env, settings: &Settings) -> Result<Self, Error> {
        let dir = Self::dir(env, settings);
        let path = dir.join("record.json");
        let done = match fsx::read_small(&path, env.uid, MOST) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                Error::local(path.display(), format!("is not understood: {e}"))
                    .hint(format!("{} has pacman.conf as it was", dir.join(Text::Before.name()).display()))
            })?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Done::default(),
            Err(e) => return Err(Error::local(path.display(), format!("cannot be read: {e}"))),
        };
        Ok(Self { dir, uid: env.uid, done })
    }

    /// Writes the record, or removes all of it when nothing is left to undo.
    pub(crate) fn write(&self) -> Result<(), Error> {
        let path = self.dir.join("record.json");
        if self.done == Done::default() {
            for name in ["record.json", Text::Before.name(), Text::After.name()] {
                let _ = fs::remove_file(self.dir.join(name));
            }
            // Fails when the directory has another program's files, which then stay.
            let _ = fs::remove_dir(&self.dir);
            return Ok(());
        }
        self.make()?;
        let mut json = serde_json::to_vec_pretty(&self.done).expect("texts always make JSON");
        json.push(b'\n');
        fsx::replace(&path, &json, 0o644).map_err(|e| failed(&path, e))
    }

    /// Keeps a text. Only its owner may read it: pacman.conf can hold passwords of servers.
    pub(crate) fn keep(&self, text: Text, bytes: &[u8]) -> Result<(), Error> {
        self.make()?;
        let path = self.path(text);
        fsx::replace(&path, bytes, 0o600).map_err(|e| failed(&path, e))
    }

    /// Reads a kept text.
    pub(crate) fn text(&self, text: Text) -> Result<Vec<u8>, Error> {
        let path = self.path(text);
        fsx::read_small(&path, self.uid, MOST).map_err(|e| Error::local(path.display(), format!("cannot be read: {e}")))
    }

    /// Returns the path of a kept text.
    pub(crate) fn path(&self, text: Text) -> PathBuf {
        self.dir.join(text.name())
    }

    fn make(&self) -> Result<(), Error> {
        fsx::own_dir(&self.dir, self.uid).map_err(|e| failed(&self.dir, e))
    }
}

fn failed(path: &Path, e: io::Error) -> Error {
    let error = Error::local(path.display(), format!("cannot be written: {e}"));
    if e.kind() == io::ErrorKind::PermissionDenied { error.hint("run it as root") } else { error }
}
