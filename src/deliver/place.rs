//! Where a file may be: what is asked, and how it is called in what people read.

use std::path::PathBuf;

use reqwest::Url;

use crate::cid::Cid;
use crate::digest::Sha256;
use crate::error::Error;
use crate::http;
use crate::source::kubo::Reach;
use crate::source::{Kind, Miss};

/// A place to ask, in the order of asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A path of this machine.
    File(PathBuf),
    /// The daemon of this program, which asks the local network.
    Node(Sha256),
    /// The local Kubo daemon, and where it may look.
    Kubo(Cid, Reach),
    /// A trustless gateway.
    Gateway(Url, Cid),
    /// A mirror.
    Mirror(Url),
}

impl Place {
    /// What a URL of the package manager leads to.
    ///
    /// # Errors
    /// Schemes other than http, https and file, which curl knows and this program does not.
    pub fn of_url(url: &Url) -> Result<Self, Error> {
        match url.scheme() {
            "http" | "https" => Ok(Place::Mirror(url.clone())),
            "file" => {
                let path = url.to_file_path().map_err(|()| Error::usage(http::shown(url), "not a local path"))?;
                Ok(Place::File(path))
            }
            other => {
                Err(Error::usage(http::shown(url), format!("{other}:// is not supported; http, https and file are")))
            }
        }
    }

    /// What kind of source it is.
    pub fn kind(&self) -> Kind {
        match self {
            Place::File(_) => Kind::File,
            Place::Node(_) => Kind::Node,
            Place::Kubo(..) => Kind::Kubo,
            Place::Gateway(..) => Kind::Gateway,
            Place::Mirror(_) => Kind::Mirror,
        }
    }

    /// Under which name its health is remembered.
    pub fn host(&self) -> Option<String> {
        match self {
            Place::File(_) => None,
            Place::Node(_) => Some("lan".to_owned()),
            Place::Kubo(..) => Some("kubo".to_owned()),
            Place::Gateway(url, _) | Place::Mirror(url) => Some(http::host(url)),
        }
    }

    /// What the journal calls it: its kind and, where there are several of the kind, its host.
    pub fn source(&self) -> String {
        match self {
            Place::File(_) | Place::Node(_) | Place::Kubo(..) => self.kind().word().to_owned(),
            Place::Gateway(url, _) | Place::Mirror(url) => format!("{} {}", self.kind().word(), http::host(url)),
        }
    }

    /// The line of an error: what was asked, and what it did instead of delivering.
    pub(super) fn line(&self, miss: &Miss) -> String {
        let at = match self {
            Place::File(path) => path.display().to_string(),
            Place::Node(_) | Place::Kubo(..) => String::new(),
            Place::Gateway(url, _) | Place::Mirror(url) => http::host(url),
        };
        let at = if at.is_empty() { at } else { format!("  {at}") };
        format!("{}{at}  {miss}", self.kind().word())
    }

    /// What it is called in the line of a delivered file.
    pub(super) fn label(&self) -> String {
        match self {
            Place::File(_) => "a local directory".to_owned(),
            Place::Node(_) => "lan".to_owned(),
            Place::Kubo(..) => "kubo".to_owned(),
            Place::Gateway(url, _) => format!("gateway {}", http::host(url)),
            Place::Mirror(url) => http::host(url),
        }
    }
}
