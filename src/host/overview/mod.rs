//! An overview of this machine: what `status`, `stats` and `doctor` tell, gathered in one look for a page, a monitor and
//! other programs.
//!
//! | file | what |
//! |---|---|
//! | `gather` | the look itself, with the parts that are kept for a while |
//! | `glance` | what a user asks first, a line each; `pkgswarm status` prints the same lines |
//! | `given` | what this machine gives to others, and keeps |
//! | `sums` | the sums of the journal in words |
//! | `documents` | JSON: those of the commands, and all of it |
//! | `page` | HTML for people, readable without scripts |
//! | `metrics` | the text that Prometheus reads |
//!
//! Nothing here changes anything. Names of packages, hosts and neighbours are foreign text: [`shown`] makes what is
//! not visible visible, and the templates escape the rest (`page::tests::foreign_text_stays_text`).
//!
//! [`shown`]: crate::base::name::shown

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::config::Settings;
use crate::host::doctor::{Check, Finding, Level};
use crate::host::inspect::Inspection;
use crate::store::stats::Stats;

pub(crate) mod documents;
pub(crate) mod gather;
pub(crate) mod given;
pub(crate) mod glance;
pub(crate) mod metrics;
pub(crate) mod page;
pub(crate) mod sums;

pub(crate) use gather::Lookout;

/// A file that is being fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RunningFile {
    /// pacman's name of it.
    pub(crate) name: String,
    /// Its size in bytes, where a list tells it.
    pub(crate) size: Option<u64>,
    /// The bytes that have arrived.
    pub(crate) arrived: u64,
    /// What it is fetched for, or its sources; in words.
    pub(crate) what: String,
}

/// The endpoint's own figures, since it was started.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct EndpointFigures {
    /// The files that it is handing out at this moment.
    pub(crate) running: Vec<RunningFile>,
    /// Answers with a file that have ended.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) sent: u64,
}

/// The findings of the doctor, and when it looked.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    /// Unix seconds.
    pub(crate) at: u64,
    /// What each check found.
    pub(crate) found: Vec<(&'static Check, Vec<Finding>)>,
}

impl Examined {
    /// Lists the findings above a note, the worst first.
    pub(crate) fn problems(&self) -> Vec<&Finding> {
        let all = self.found.iter().flat_map(|(_, findings)| findings);
        let mut problems: Vec<&Finding> = all.filter(|finding| finding.level > Level::Note).collect();
        problems.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        problems
    }

    /// Counts the findings of a level.
    pub(crate) fn count(&self, level: Level) -> usize {
        self.found.iter().flat_map(|(_, findings)| findings).filter(|finding| finding.level == level).count()
    }
}

/// The journal's sums.
#[derive(Debug)]
pub(crate) struct TrafficSums {
    /// Those of the last [`DAYS`] days, today among them; an error in words where a journal cannot be read.
    pub(crate) lately: Result<Stats, String>,
    /// Bytes since this process was started, by the kind of source; never less than told before.
    pub(crate) received: BTreeMap<String, u64>,
    /// Bytes and files handed over since then.
    pub(crate) delivered: (u64, u64),
}

impl Default for TrafficSums {
    fn default() -> Self {
        Self { lately: Ok(Stats::default()), received: BTreeMap::new(), delivered: (0, 0) }
    }
}

/// Days of the chart.
pub(crate) const DAYS: u32 = 30;

/// One look at this machine.
#[derive(Debug)]
pub(crate) struct Overview {
    /// The name of this machine.
    pub(crate) machine: String,
    /// The time zone of its calendar.
    pub(crate) zone: TimeZone,
    /// The settings in use.
    pub(crate) settings: Settings,
    /// Everything that `status` shows.
    pub(crate) found: Inspection,
    /// The doctor's findings.
    pub(crate) examined: Arc<Examined>,
    /// The journal's sums.
    pub(crate) traffic: Arc<TrafficSums>,
    /// Files on their way at this moment, by this and by other processes.
    pub(crate) running: Vec<RunningFile>,
    /// The endpoint's figures.
    pub(crate) endpoint: EndpointFigures,
}
