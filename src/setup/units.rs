//! Timers and the daemon, switched by `systemctl`.

use std::process::Command;
use std::time::Duration;

use super::record::Record;
use super::{Change, Offer};
use crate::error::Error;
use crate::program::{self, Silent};

/// Longest wait for one call; stopping a service waits for it.
const PATIENCE: Duration = Duration::from_secs(100);

/// A unit that is to be switched.
struct Switch {
    unit: &'static str,
    about: &'static str,
    on: bool,
}

impl Change for Switch {
    fn shown(&self) -> String {
        if self.on {
            format!("systemctl enable --now {}\n  {}\n", self.unit, self.about)
        } else {
            format!("systemctl disable --now {}\n", self.unit)
        }
    }

    fn apply(&self, record: &mut Record) -> Result<Vec<String>, Error> {
        let unit = self.unit;
        if self.on {
            record.done.units.retain(|known| known != unit);
            record.done.units.push(unit.to_owned());
            record.write()?;
        }
        systemctl(&[if self.on { "enable" } else { "disable" }, unit])?;
        // In a chroot there is nothing to start.
        if is_running() {
            systemctl(&[if self.on { "start" } else { "stop" }, unit])?;
        }
        if !self.on {
            record.done.units.retain(|known| known != unit);
            record.write()?;
        }
        Ok(vec![format!("{unit} is {}", if self.on { "enabled" } else { "disabled" })])
    }
}

/// Enabling `unit`, unless that was decided already.
pub fn offer(unit: &'static str, about: &'static str) -> Result<Offer, Error> {
    Ok(match state(unit).as_deref() {
        None => Offer::Nothing("there is no systemctl here; see README for a cron job".to_owned()),
        Some("disabled") => Offer::Change(Box::new(Switch { unit, about, on: true })),
        Some("" | "not-found") => Offer::Nothing(format!("{unit} is not installed")),
        Some(state) => Offer::Nothing(format!("{unit} is {state}")),
    })
}

/// Disabling `unit`, if setup has enabled it.
pub fn offer_undo(unit: &'static str, record: &Record) -> Result<Offer, Error> {
    if !record.done.units.iter().any(|done| done == unit) {
        return Ok(Offer::Nothing(format!("setup has not enabled {unit}")));
    }
    Ok(Offer::Change(Box::new(Switch { unit, about: "", on: false })))
}

/// Whether `unit` is enabled.
pub fn is_enabled(unit: &str) -> bool {
    state(unit).is_some_and(|state| state.starts_with("enabled"))
}

/// What `systemctl is-enabled` says, one word; nothing for a unit that is not installed, `None` without systemctl.
fn state(unit: &str) -> Option<String> {
    let mut command = Command::new("systemctl");
    command.args(["is-enabled", unit]);
    match program::hear(command, b"", PATIENCE, 4096) {
        Ok(said) | Err(Silent::Refused { output: said, .. }) => Some(said.trim().to_owned()),
        Err(_) => None,
    }
}

/// Whether systemd runs this machine.
fn is_running() -> bool {
    let mut command = Command::new("systemctl");
    command.arg("is-system-running");
    match program::hear(command, b"", PATIENCE, 4096) {
        Ok(_) => true,
        Err(Silent::Refused { output, .. }) => !matches!(output.trim(), "offline" | "unknown" | ""),
        Err(_) => false,
    }
}

fn systemctl(words: &[&str]) -> Result<(), Error> {
    let mut command = Command::new("systemctl");
    command.args(words);
    let done = program::hear(command, b"", PATIENCE, 64 << 10);
    done.map(drop).map_err(|e| Error::local(format!("systemctl {}", words.join(" ")), e))
}
