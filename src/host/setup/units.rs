//! Timers, the daemon and the desktop notification, switched by `systemctl`.

use super::record::SetupRecord;
use super::{Change, SetupOffer};
use crate::base::error::Error;
use crate::base::users;
use crate::host::inspect::units::{self, UnitState};

/// A unit that setup can switch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    /// Its name, by which the record knows it.
    pub(crate) name: &'static str,
    /// Its purpose, for the question to the user.
    pub(crate) about: &'static str,
    /// The way to have the same without systemd.
    pub(crate) otherwise: &'static str,
    /// True if it belongs to each user's session: then root can enable it for all users, and start none.
    pub(crate) of_users: bool,
}

impl Unit {
    /// Returns the words of systemctl that come before the unit's name.
    fn words(self, verb: &'static str) -> Vec<&'static str> {
        if self.of_users { vec!["--global", verb] } else { vec![verb] }
    }

    /// Asks `systemctl is-enabled`.
    fn state(self) -> UnitState {
        units::state(if self.of_users { &["--global"] } else { &[] }, self.name)
    }

    /// True if it is enabled.
    pub(crate) fn is_enabled(self) -> bool {
        matches!(self.state(), UnitState::Is(state) if state.starts_with("enabled"))
    }

    /// Returns its service and the user that this names, where that user does not exist.
    fn missing_user(self) -> Option<(String, String)> {
        let service = format!("{}.service", self.name.rsplit_once('.')?.0);
        let user = units::user_of(&service)?;
        (!self.of_users && users::named(&user).is_none()).then_some((service, user))
    }
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
        if !of_users && units::is_running() {
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
pub(crate) fn offer(unit: Unit) -> Result<SetupOffer, Error> {
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
pub(crate) fn offer_undo(unit: Unit, record: &SetupRecord) -> SetupOffer {
    if !record.done.units.iter().any(|done| done == unit.name) {
        return SetupOffer::Nothing(format!("setup has not enabled {}", unit.name));
    }
    SetupOffer::Change(Box::new(UnitSwitch { unit, on: false }))
}

fn systemctl(words: &[&str], unit: &str) -> Result<(), Error> {
    let done = units::systemctl(&[words, &[unit]].concat());
    done.map(drop).map_err(|e| Error::local(format!("systemctl {} {unit}", words.join(" ")), e))
}
