//! Timers, the daemon and the desktop notification, switched by `systemctl`.

use std::process::Command;
use std::time::Duration;

use super::record::SetupRecord;
use super::{Change, SetupOffer};
use crate::error::Error;
use crate::program::{self, SilentError};

/// Longest wait for one call; stopping a service waits for it.
const PATIENCE: Duration = Duration::from_secs(100);

/// A unit that setup can switch.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// Its name, by which the record knows it.
    pub name: &'static str,
    /// Its purpose, for the question to the user.
    pub about: &'static str,
    /// True if it belongs to each user's session: then root can enable it for all users, and start none.
    pub of_users: bool,
}

impl Unit {
    /// Returns the words of systemctl that come before the unit's name.
    fn words(self, verb: &'static str) -> Vec<&'static str> {
        if self.of_users { vec!["--global", verb] } else { vec![verb] }
    }

    /// Returns the word of `systemctl is-enabled`; empty for a unit that is not installed, `None` without
    /// systemctl.
    fn state(self) -> Option<String> {
        let mut command = Command::new("systemctl");
        command.args(self.words("is-enabled")).arg(self.name);
        match program::hear(command, b"", PATIENCE, 4096) {
            Ok(said) | Err(SilentError::Refused { output: said, .. }) => Some(said.trim().to_owned()),
            Err(_) => None,
        }
    }

    /// True if it is enabled.
    pub fn is_enabled(self) -> bool {
        self.state().is_some_and(|state| state.starts_with("enabled"))
    }
}

/// A unit to switch.
struct UnitSwitch {
    unit: Unit,
    on: bool,
}

impl Change for UnitSwitch {
    fn shown(&self) -> String {
        let Unit { name, about, of_users } = self.unit;
        let now = if of_users { "--global " } else { "--now " };
        match self.on {
            true => format!("systemctl enable {now}{name}\n  {about}\n"),
            false => format!("systemctl disable {now}{name}\n"),
        }
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
pub fn offer(unit: Unit) -> SetupOffer {
    let name = unit.name;
    match unit.state().as_deref() {
        None => SetupOffer::Nothing("there is no systemctl here; see README for a cron job".to_owned()),
        Some("disabled") => SetupOffer::Change(Box::new(UnitSwitch { unit, on: true })),
        Some("" | "not-found") => SetupOffer::Nothing(format!("{name} is not installed")),
        Some(state) => SetupOffer::Nothing(format!("{name} is {state}")),
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
