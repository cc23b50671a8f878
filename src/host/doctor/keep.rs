//! The shares that are kept: their timer, and their rounds.

use super::{Check, Finding};
use crate::base::name::shown;
use crate::host::inspect::Inspection;
use crate::host::inspect::index::IndexFacts;
use crate::host::inspect::keep::ShareFacts;
use crate::host::inspect::units::UnitState;
use crate::report::counted;

/// Rounds that fail in a row before that is more than bad luck.
const FAILURES: u32 = 2;

/// In the order in which they are reported.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "keep-timer",
        about: "Where shares of indexes are kept, the timer that makes their rounds is on.",
        look: |facts| match &facts.keep.timer {
            Some(UnitState::Is(word)) if !word.starts_with("enabled") => vec![Finding::warning(
                format!("shares are kept, and pkgswarm-keep.timer is {word}: they do not follow their indexes"),
                "sudo systemctl enable --now pkgswarm-keep.timer",
            )],
            _ => vec![],
        },
    },
    Check { name: "keep-rounds", about: "The rounds of the shares that are kept do not fail.", look: rounds },
    Check {
        name: "keep-repos",
        about: "The repositories of which shares are kept are those of their indexes.",
        look: |facts| {
            let told = facts.keep.shares.iter().flat_map(|share| {
                let index = facts.indexes.iter().find(|index| index.config.name == share.keep.name);
                let tables = index.and_then(IndexFacts::manifest).map(|manifest| &manifest.tables);
                let listed = tables.map(|tables| tables.iter().map(|table| table.repo.as_str()).collect::<Vec<_>>());
                listed.map(|listed| share.keep.unlisted(&listed)).unwrap_or_default().into_iter().map(|why| {
                    Finding::warning(
                        format!("{}: {why}; files of it that are kept stay, and none come", share.keep.name),
                        format!("sudo pkgswarm keep {} --repos …; pkgswarm index show {0} lists them", share.keep.name),
                    )
                })
            });
            told.collect()
        },
    },
];

fn rounds(facts: &Inspection) -> Vec<Finding> {
    let failing = |share: &ShareFacts| {
        let last = &share.state.as_ref()?.last;
        let why = last.failed.as_ref().filter(|_| last.failures >= FAILURES)?;
        let name = &share.keep.name;
        let rounds = counted(last.failures, "round");
        let says = format!("the last {rounds} of the share of {name} failed: {}", shown(why));
        Some(Finding::warning(says, format!("sudo pkgswarm keep run --now {name}")))
    };
    facts.keep.shares.iter().filter_map(failing).collect()
}
