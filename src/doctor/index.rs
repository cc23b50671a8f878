//! The indexes in use: whether they can be proven, were ever fetched, and are still valid.

use std::time::{Duration, SystemTime};

use super::{Check, Finding};
use crate::clock;
use crate::config::Settings;
use crate::index::{in_use, time};

/// Tolerated difference between clocks, in seconds.
const CLOCK: u64 = 300;

/// One index, as it is on this machine.
#[derive(Clone, Debug)]
pub struct IndexFacts {
    /// The user's name for it.
    pub name: String,
    /// The error in its keys.
    pub bad_key: Option<String>,
    /// The copy of it; an error when it cannot be read by this user.
    pub held: Result<Option<HeldIndex>, String>,
    /// Age of a copy at which it is due (`index.refresh`).
    pub due: Duration,
}

/// A copy of an index.
#[derive(Clone, Copy, Debug)]
pub struct HeldIndex {
    /// Time since a source last confirmed it.
    pub age: Duration,
    /// Time until it expires, in seconds; negative when it has.
    pub left: i64,
    /// Seconds by which its date is ahead of this machine's clock.
    pub ahead: u64,
}

/// Inspects all indexes of the settings; fetches nothing.
pub fn look(settings: &Settings, now: SystemTime) -> Vec<IndexFacts> {
    let now = clock::unix(now);
    let look_at = |index: &crate::config::IndexConfig| {
        let grant = in_use::grant(index);
        let held = match &grant {
            Ok(grant) => {
                let state = in_use::state(settings);
                // Another index with the same key may have been fetched.
                let has_copy = state.held(&in_use::copy_name(index)).map(|held| held.is_some());
                let seen = has_copy.and_then(|has_copy| Ok(state.seen(&grant.keys())?.filter(|_| has_copy)));
                seen.map_err(|e| e.to_string()).map(|seen| {
                    seen.map(|seen| HeldIndex {
                        age: Duration::from_secs(now.saturating_sub(seen.fetched)),
                        left: seen.expires.cast_signed().saturating_sub_unsigned(now),
                        ahead: seen.fetched.saturating_sub(now),
                    })
                })
            }
            Err(_) => Ok(None),
        };
        let bad_key = grant.err().map(|e| e.to_string());
        IndexFacts { name: index.name.clone(), bad_key, held, due: settings.index_refresh }
    };
    settings.indexes.iter().map(look_at).collect()
}

/// A check of each index.
macro_rules! of_each {
    ($look:expr) => {
        |facts| {
            let look: fn(&IndexFacts) -> Option<Finding> = $look;
            facts.indexes.iter().filter_map(look).collect()
        }
    };
}

/// In the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check {
        name: "index-key",
        about: "The keys of every index are keys.",
        look: of_each!(|index| {
            let why = index.bad_key.clone()?;
            Some(Finding::error(why, format!("sudo pkgswarm index rm {}, and add it again", index.name)))
        }),
    },
    Check {
        name: "index-held",
        about: "Every index was fetched, has not expired, and is refreshed in time.",
        look: of_each!(|index| {
            let name = &index.name;
            let refresh = format!("sudo pkgswarm index refresh {name}");
            let held = match &index.held {
                _ if index.bad_key.is_some() => return None,
                Err(why) => {
                    let says = format!("the copy of index {name} cannot be read: {why}");
                    return Some(Finding::note(says, "sudo pkgswarm doctor sees more"));
                }
                Ok(None) => return Some(Finding::warning(format!("index {name} was never fetched"), refresh)),
                Ok(Some(held)) => held,
            };
            if held.left < 0 {
                let says = format!("index {name} expired {} ago and is not used", time::span(held.left.unsigned_abs()));
                return Some(Finding::warning(says, refresh));
            }
            // Twice: a timer may be late, and a machine asleep.
            (held.age > index.due * 2).then(|| {
                let says = format!("index {name} was last confirmed {} ago", time::span(held.age.as_secs()));
                Finding::note(says, format!("{refresh}; sudo pkgswarm setup --only index enables a timer for it"))
            })
        }),
    },
    Check {
        name: "clock",
        about: "This machine's clock is not behind the dates of sync databases, and not behind its own time when an index \
                was fetched. With a clock that is, expiry cannot be judged, and certificates are refused.",
        look: |facts| {
            let held = facts.indexes.iter().filter_map(|index| index.held.as_ref().ok().copied().flatten());
            let index = held.map(|held| held.ahead).max().filter(|ahead| *ahead > CLOCK);
            let index =
                index.map(|ahead| format!("this machine's clock is {} behind its own earlier time", time::span(ahead)));
            let database = facts.pacman.ahead.as_ref().filter(|(_, ahead)| ahead.as_secs() > CLOCK);
            let database = database.map(|(path, ahead)| {
                let (path, ahead) = (path.display(), time::span(ahead.as_secs()));
                format!("{path} is dated {ahead} ahead of this machine's clock, which is behind unless its mirror's is ahead")
            });
            let say = |says| Finding::warning(says, "timedatectl set-ntp true");
            index.or(database).map(say).into_iter().collect()
        },
    },
];
