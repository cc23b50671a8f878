//! Timers, the daemon and the desktop notification, switched by `systemctl`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::record::SetupRecord;
use super::{Change, SetupOffer};
use crate::doctor::units;
use crate::error::Error;
use crate::program::{self, SilentError};
use crate::users;

/// Longest wait for one call; stopping a service waits for it.
const PATIENCE: Duration = Duration::from_secs(100);

/// A unit that setup can switch.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// Its name, by which the record knows it.
    pub name: &'static str,
    /// Its purpose, for the question to the user.
    pub about: &'static str,
    /// The way to have the same without systemd.
    pub otherwise: &'static str,
    /// True if it belongs to each user's session: then root can enable it for all users, and start none.
    pub of_users: bool,
}

impl Unit {
    /// Returns the words of systemctl that come before the unit's name.
    fn words(self, verb: &'static str) -> Vec<&'static str> {
        if self.of_users { vec!["--global", verb] } else { vec![verb] }
    }

    /// Asks `systemctl is-enabled`.
    fn state(self) -> UnitState {
        let mut command = Command::new("systemctl");
        command.args(self.words("is-enabled")).arg(self.name);
        let (said, message) = match program::hear(command, b"", PATIENCE, 4096) {
            Ok(said) => (said, String::new()),
            Err(SilentError::Refused { output, message, .. }) => (output, message),
            Err(SilentError::Program { .. }) => return UnitState::NoSystemctl,
            Err(e) => return UnitState::Unknown(e.to_string()),
        };
        match said.trim() {
            // systemd before 257 says so on standard error.
            "" if message.contains("No such file or directory") => UnitState::Missing,
            "" if message.is_empty() => UnitState::Missing,
            "" => UnitState::Unknown(message),
            "not-found" => UnitState::Missing,
            word => UnitState::Is(word.to_owned()),
        }
    }

    /// True if it is enabled.
    pub fn is_enabled(self) -> bool {
        matches!(self.state(), UnitState::Is(state) if state.starts_with("enabled"))
    }

    /// Returns the user that its service names and that does not exist.
    fn missing_user(self) -> Option<(String, String)> {
        let service = format!("{}.service", self.name.rsplit_once('.')?.0);
        let mut command = Command::new("systemctl");
        command.args(["show", "--property=User", "--value", &service]);
        let said = program::hear(command, b"", PATIENCE, 4096).unwrap_or_default().trim().to_owned();
        // Without a running systemd it tells nothing.
        let user = if said.is_empty() { units::user_of(Path::new("/"), &service)? } else { said };
        (!self.of_users && users::named(&user).is_none()).then_some((service, user))
    }
}

/// The answer about a unit.
enum UnitState {
    /// There is no systemctl.
    NoSystemctl,
    /// The unit is not installed.
    Missing,
    /// systemctl gave no answer, for this reason.
    Unknown(String),
    /// The word of systemctl: enabled, disabled, masked and others.
    Is(String),
}

/// A unit to switch.
struct UnitSwitch {
    unit: Unit,
    on: bool,
}

impl Change for UnitSwitch {
    fn shown(&self) -> String {
        let Unit { name, about, of_users, .. } = self.unit;
        let now = if of_users { "--global " } else { "--now " };
        match self.on {
            true => format!("systemctl enable {now}{name}\n  {about}\n"),
            false => format!("systemctl disable {now}{name}\n"),
        }
    }

    fn brief(&self) -> String {
        self.shown().lines().next().map(|line| format!("{line}\n")).unwrap_or_default()
    }

    fn apply(&self, record: &mut SetupRecord) -> Result<Vec<String>, Error> {
        let Unit { name, of_users, .. } = self.unit;
        if self.on {
            record.done.units.retain(|known| known != name);
            record.done.units.push(name.to_owned());
            record.write()?;
        }
        systemctl(&self.unit.words(if self.on { "enable" } else { "disable" }), name)?;
        // In a chroot there is nothing to start.
        if !of_users && is_running() {
            systemctl(&[if self.on { "start" } else { "stop" }], name)?;
        }
        if !self.on {
            record.done.units.retain(|known| known != name);
            record.write()?;
        }
        let is = if self.on { "enabled" } else { "disabled" };
        Ok(match (of_users, self.on) {
            (false, _) => vec![format!("{name} is {is}")],
            (true, true) => vec![format!(
                "{name} is {is} for all users, from their next login on; at once: systemctl --user start {name}"
            )],
            (true, false) => vec![format!("{name} is {is}; where it runs, it ends with the user's session")],
        })
    }
}

/// Offers to enable `unit`, unless a choice was made already.
///
/// # Errors
/// `Local` where its service could not start, because its user does not exist, or systemctl cannot tell.
pub fn offer(unit: Unit) -> Result<SetupOffer, Error> {
    let name = unit.name;
    match unit.state() {
        UnitState::NoSystemctl => Ok(SetupOffer::Nothing(format!("there is no systemctl here; {}", unit.otherwise))),
        UnitState::Missing => Ok(SetupOffer::Nothing(format!("{name} is not installed"))),
        UnitState::Unknown(why) => {
            Err(Error::local(name, format!("systemctl does not tell whether it is enabled: {why}")))
        }
        UnitState::Is(state) if state == "disabled" => match unit.missing_user() {
            Some((service, user)) => {
                let why = format!("was not enabled, because {service} runs as {user}, a user that does not exist");
                let instead = if users::named("pkgswarm").is_some() { "pkgswarm" } else { "the owner of the store" };
                Err(Error::local(name, why)
                    .hint(format!("sudo systemctl edit {service}, and write [Service] and User={instead}")))
            }
            None => Ok(SetupOffer::Change(Box::new(UnitSwitch { unit, on: true }))),
        },
        UnitState::Is(state) => Ok(SetupOffer::Nothing(format!("{name} is {state}"))),
    }
}

/// Offers to disable `unit`, if setup has enabled it.
pub fn offer_undo(unit: Unit, record: &SetupRecord) -> SetupOffer {
    if !record.done.units.iter().any(|done| done == unit.name) {
        return SetupOffer::Nothing(format!("setup has not enabled {}", unit.name));
    }
    SetupOffer::Change(Box::new(UnitSwitch { unit, on: false }))
}

/// True if systemd runs this machine.
fn is_running() -> bool {
    let mut command = Command::new("systemctl");
    command.arg("is-system-running");
    match program::hear(command, b"", PATIENCE, 4096) {
        Ok(_) => true,
        Err(SilentError::Refused { output, .. }) => !matches!(output.trim(), "offline" | "unknown" | ""),
        Err(_) => false,
    }
}

fn systemctl(words: &[&str], unit: &str) -> Result<(), Error> {
    let mut command = Command::new("systemctl");
    command.args(words).arg(unit);
    let done = program::hear(command, b"", PATIENCE, 64 << 10);
    done.map(drop).map_err(|e| Error::local(format!("systemctl {} {unit}", words.join(" ")), e))
}
