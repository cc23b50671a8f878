//! The shares that are kept: their timer, and their rounds.

use super::{Check, Finding};
use crate::base::name::shown;
use crate::host::inspect::Inspection;
use crate::host::inspect::daemon::DaemonView;
use crate::host::inspect::index::IndexFacts;
use crate::host::inspect::keep::ShareFacts;
use crate::host::inspect::units::UnitState;
use crate::pins::keeper::own::serves::Unserved;
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
    Check {
        name: "keep-served",
        about: "Shares that are kept in the store are served: pkgswarm daemon runs, shares, and trusts a network.",
        look: unserved,
    },
];

fn unserved(facts: &Inspection) -> Vec<Finding> {
    let in_store = |share: &&ShareFacts| {
        share.state.as_ref().is_some_and(|state| state.files.values().any(|file| file.sha256.is_some()))
    };
    let why = match &facts.daemon {
        DaemonView::NotAsked => Unserved::Off,
        DaemonView::NotRunning => Unserved::Silent("it does not run".to_owned()),
        DaemonView::Silent(why) => Unserved::Silent(why.clone()),
        DaemonView::Answers(report, _) if report.sharing == Some(false) => Unserved::SharesNothing,
        DaemonView::Answers(report, _) if report.trusted.as_ref().is_some_and(Vec::is_empty) => Unserved::TrustsNone,
        DaemonView::Answers(..) => return Vec::new(),
    };
    let finding = |share: &ShareFacts| {
        let (name, words) = (&share.keep.name, why.words());
        let says = format!("no machine gets anything of the share of {name} in the store: {}", shown(&words));
        Finding::warning(says, why.remedy())
    };
    facts.keep.shares.iter().filter(in_store).map(finding).collect()
}

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
