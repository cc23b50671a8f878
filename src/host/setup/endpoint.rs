//! The endpoint for pacman's own downloader: `endpoint.enabled` in a file of setup's own, and the unit that listens at
//! its address.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::door::PacmanDoor;
use super::record::SetupRecord;
use super::units::{self, Unit};
use super::{Change, Context, SetupOffer};
use crate::base::error::Error;
use crate::base::fsx;
use crate::config::layers;
use crate::host::inspect::endpoint;

/// The unit that listens.
pub(super) const SOCKET: Unit = Unit {
    name: endpoint::SOCKET,
    about: "answers pacman's own downloader; the endpoint is started by the first request",
    otherwise: "start `pkgswarm endpoint` as a user of its own at boot",
    of_users: false,
};

const TEXT: &str = "# Written by `pkgswarm setup`; `pkgswarm setup --undo` removes it.\n[endpoint]\nenabled = true\n";

/// The endpoint switched on or off, in parts that are needed.
struct EndpointSwitch {
    /// The file that enables it, to be written or removed.
    file: Option<PathBuf>,
    /// The change of its unit.
    unit: Option<Box<dyn Change>>,
    /// What is left to the user, for want of systemd.
    said: Option<String>,
    on: bool,
}

impl Change for EndpointSwitch {
    fn shown(&self) -> String {
        let file = self.file.iter().map(|path| match self.on {
            true => format!("{}: endpoint.enabled = true\n", path.display()),
            false => format!("{}: removed, with endpoint.enabled = true in it\n", path.display()),
        });
        file.chain(self.unit.iter().map(|unit| unit.shown())).collect()
    }

    fn brief(&self) -> String {
        self.shown().lines().filter(|line| !line.starts_with(' ')).map(|line| format!("{line}\n")).collect()
    }

    fn apply(&self, record: &mut SetupRecord) -> Result<Vec<String>, Error> {
        let mut said = Vec::new();
        if let Some(path) = self.file.as_ref().filter(|_| self.on) {
            record.done.endpoint = Some(path.clone());
            record.write()?;
            write(path)?;
            said.push(format!("{}: endpoint.enabled = true", path.display()));
        }
        if let Some(unit) = &self.unit {
            said.extend(unit.apply(record)?);
        }
        if let Some(path) = self.file.as_ref().filter(|_| !self.on) {
            // What was written into it since is the user's.
            if fs::read(path).is_ok_and(|text| text == TEXT.as_bytes()) {
                fs::remove_file(path).map_err(|e| failed(path, &e))?;
            }
            record.done.endpoint = None;
            record.write()?;
            said.push("endpoint.enabled is as before".to_owned());
        }
        said.extend(self.said.clone());
        Ok(said)
    }
}

fn write(path: &Path) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir).map_err(|e| failed(dir, &e))?;
    fsx::replace(path, TEXT.as_bytes(), 0o644).map_err(|e| failed(path, &e))
}

fn failed(path: &Path, e: &io::Error) -> Error {
    Error::local(path.display(), format!("cannot be changed: {e}"))
}

/// Offers to enable it, where the door of `context` has it; else to take back what setup has enabled for another door.
///
/// # Errors
/// As of [`units::offer`]; `Usage` where a later layer sets `endpoint.enabled` to false.
pub(crate) fn offer(context: &Context<'_>, record: &SetupRecord) -> Result<SetupOffer, Error> {
    if context.door == PacmanDoor::Xfer {
        return Ok(offer_undo(record));
    }
    let path = layers::system_dir(context.env).join("config.d/endpoint.toml");
    let file = (!context.settings.endpoint.enabled).then_some(path);
    if let Some(path) = file.as_ref().filter(|path| path.exists()) {
        let why = "is there, and endpoint.enabled is false: a file or a variable that is read later says so";
        return Err(Error::usage(path.display(), why).hint("pkgswarm config endpoint.enabled"));
    }
    let (unit, said) = match units::offer(SOCKET)? {
        SetupOffer::Change(change) => (Some(change), None),
        SetupOffer::Nothing(why) => (None, Some(why)),
    };
    if file.is_none() && unit.is_none() {
        return Ok(SetupOffer::Nothing(said.unwrap_or_default()));
    }
    Ok(SetupOffer::Change(Box::new(EndpointSwitch { file, unit, said, on: true })))
}

/// Offers to take that back.
pub(crate) fn offer_undo(record: &SetupRecord) -> SetupOffer {
    let unit = match units::offer_undo(SOCKET, record) {
        SetupOffer::Change(change) => Some(change),
        SetupOffer::Nothing(_) => None,
    };
    let file = record.done.endpoint.clone();
    if file.is_none() && unit.is_none() {
        return SetupOffer::Nothing("setup has not enabled the endpoint".to_owned());
    }
    SetupOffer::Change(Box::new(EndpointSwitch { file, unit, said: None, on: false }))
}
