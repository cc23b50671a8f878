//! The indexes in use: whether they can be proven, were ever fetched, and are still valid.

use std::time::Duration;

use super::{Check, Finding};
use crate::host::inspect::index::IndexFacts;
use crate::index::stale::Staleness;
use crate::index::time;

/// Tolerated difference between clocks, in seconds.
const CLOCK: u64 = 300;

/// In the order in which they are reported.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "index-key",
        about: "The keys of every index are keys.",
        look: |facts| {
            let say = |index: &IndexFacts| {
                let mend = format!("sudo pkgswarm index rm {}, and add it again", index.config.name);
                Some(Finding::error(index.bad_key.clone()?, mend))
            };
            facts.indexes.iter().filter_map(say).collect()
        },
    },
    Check {
        name: "index-held",
        about: "Every index was fetched, has not expired, and is refreshed in time.",
        look: |facts| facts.indexes.iter().filter_map(|index| held(index, facts.now)).collect(),
    },
    Check {
        name: "index-publisher",
        about: "The publisher of every index goes on: the index is renewed, and is not half a day behind the mirrors.",
        look: |facts| {
            let say = |index: &IndexFacts| {
                let stale = index.stale.as_ref().filter(|stale| !matches!(stale, Staleness::Expired { .. }))?;
                let name = &index.config.name;
                let mend = format!("ask its publisher; sudo pkgswarm index rm {name} goes on without it");
                Some(Finding::warning(format!("index {name}: {stale}"), mend))
            };
            facts.indexes.iter().filter_map(say).collect()
        },
    },
    Check {
        name: "clock",
        about: "This machine's clock is not behind the dates of sync databases, and not behind its own time when an index \
                was fetched. With a clock that is, expiry cannot be judged, and certificates are refused.",
        look: |facts| {
            let confirmed = facts.indexes.iter().filter_map(|index| index.confirmed().ok().flatten());
            let index = confirmed.map(|seen| seen.fetched.saturating_sub(facts.now)).max();
            let index = index.filter(|ahead| *ahead > CLOCK);
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

fn held(index: &IndexFacts, now: u64) -> Option<Finding> {
    if index.bad_key.is_some() {
        return None;
    }
    let name = &index.config.name;
    let refresh = format!("sudo pkgswarm index refresh {name}");
    let seen = match index.confirmed() {
        Err(why) => {
            let says = format!("the copy of index {name} cannot be read: {why}");
            return Some(Finding::note(says, "sudo pkgswarm doctor sees more"));
        }
        Ok(None) => return Some(Finding::warning(format!("index {name} was never fetched"), refresh)),
        Ok(Some(seen)) => seen,
    };
    if seen.expires < now {
        let says = format!("index {name} expired {} ago and is not used", time::span(now - seen.expires));
        return Some(match index.stale {
            // Asked since, no source had a newer one.
            Some(Staleness::Expired { .. }) => {
                let mend = format!("ask its publisher; sudo pkgswarm index rm {name} goes on without it");
                Finding::warning(format!("{says}: its publisher may have stopped"), mend)
            }
            _ => Finding::warning(says, refresh),
        });
    }
    let age = now.saturating_sub(seen.fetched);
    // Twice: a timer may be late, and a machine asleep.
    (Duration::from_secs(age) > index.refresh * 2).then(|| {
        let says = format!("index {name} was last confirmed {} ago", time::span(age));
        Finding::note(says, format!("{refresh}; sudo pkgswarm setup --only index enables a timer for it"))
    })
}
