//! The sources to ask for a file, and their names in what people read.
//!
//! A [`Candidate`] is an address: it can be copied and sorted. `deliver/race.rs` makes a
//! [`Source`](crate::engine::source::Source) of it, which can be opened.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::path::PathBuf;

use reqwest::Url;

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::error::Error;
use crate::engine::source::kubo::KuboReach;
use crate::engine::source::{Miss, SourceKind};
use crate::net::http;

/// A source to ask, in the order of asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Candidate {
    /// A path of this machine.
    File(PathBuf),
    /// The daemon of this program, which asks the local network.
    Lan(Sha256),
    /// The endpoint of another machine of the house.
    House(Url),
    /// The local Kubo daemon, and where it may look.
    Kubo(Cid, KuboReach),
    /// A trustless gateway.
    Gateway(Url, Cid),
    /// A mirror.
    Mirror(Url),
}

impl Candidate {
    /// Returns the source that a URL of the package manager leads to.
    ///
    /// # Errors
    /// Schemes other than http, https and file, which curl knows and this program does not.
    pub(crate) fn of_url(url: &Url) -> Result<Self, Error> {
        match url.scheme() {
            "http" | "https" => Ok(Candidate::Mirror(url.clone())),
            "file" => {
                let path = url.to_file_path().map_err(|()| Error::usage(http::shown(url), "not a local path"))?;
                Ok(Candidate::File(path))
            }
            other => {
                Err(Error::usage(http::shown(url), format!("{other}:// is not supported; http, https and file are")))
            }
        }
    }

    /// Returns its kind of source.
    pub(crate) fn kind(&self) -> SourceKind {
        match self {
            Candidate::File(_) => SourceKind::File,
            Candidate::Lan(_) | Candidate::House(_) => SourceKind::Lan,
            Candidate::Kubo(..) => SourceKind::Kubo,
            Candidate::Gateway(..) => SourceKind::Gateway,
            Candidate::Mirror(_) => SourceKind::Mirror,
        }
    }

    /// Returns the name under which its health is recorded.
    pub(crate) fn host(&self) -> Option<String> {
        match self {
            Candidate::File(_) => None,
            Candidate::Lan(_) => Some("lan".to_owned()),
            Candidate::Kubo(..) => Some("kubo".to_owned()),
            Candidate::House(url) | Candidate::Gateway(url, _) | Candidate::Mirror(url) => Some(http::host(url)),
        }
    }

    /// Returns its name in the journal: its kind and, where there are several of the kind, its host.
    pub(crate) fn source(&self) -> String {
        match self {
            Candidate::File(_) | Candidate::Lan(_) | Candidate::Kubo(..) => self.kind().word().to_owned(),
            Candidate::House(url) | Candidate::Gateway(url, _) | Candidate::Mirror(url) => {
                format!("{} {}", self.kind().word(), http::host(url))
            }
        }
    }

    /// Returns its line of an error: the source, and what it did instead of delivering.
    pub(super) fn line(&self, miss: &Miss) -> String {
        let at = match self {
            Candidate::File(path) => path.display().to_string(),
            Candidate::Lan(_) | Candidate::Kubo(..) => String::new(),
            Candidate::House(url) | Candidate::Gateway(url, _) | Candidate::Mirror(url) => http::host(url),
        };
        let at = if at.is_empty() { at } else { format!("  {at}") };
        format!("{}{at}  {miss}", self.kind().word())
    }

    /// Returns its name in the line of a delivered file.
    pub(super) fn label(&self) -> String {
        match self {
            Candidate::File(_) => "a local directory".to_owned(),
            Candidate::Lan(_) => "lan".to_owned(),
            Candidate::Kubo(..) => "kubo".to_owned(),
            Candidate::Gateway(url, _) => format!("gateway {}", http::host(url)),
            Candidate::House(url) | Candidate::Mirror(url) => http::host(url),
        }
    }
}
