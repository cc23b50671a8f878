//! The record of a publication's runs: what `publish status` shows, what `/status.json` of the plain copy says, and when
//! an alarm is due.
//!
//! It decides nothing about what is published: a record that is lost or damaged begins anew with the next run.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::holders::HolderRecord;
use super::{Did, PublishReport};
use crate::base::fsx;

/// Most bytes of a record: a few hundred for each repository.
const MOST: u64 = 1 << 20;
/// Seconds after which an alarm that stands is told again.
const AGAIN: u64 = 86_400;
/// The written form of `/status.json`.
const STATUS: u32 = 1;

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RunWord {
    /// Changed content was published at every target.
    Published,
    /// Nothing had changed, and the index was renewed.
    Renewed,
    /// Nothing had changed, and nothing was to be renewed.
    Unchanged,
    /// What was published before stands, because no mirror delivered anything newer.
    Late,
    /// Some of the targets did not get it.
    Partly,
    /// It was published at every target, and a cluster or pinning service that shall hold it does not.
    Unheld,
    /// Nothing was published.
    Failed,
    /// Nothing was published, because a mirror may be lying.
    Alarm,
}

impl RunWord {
    /// Returns true when a run left nothing to be done.
    pub(crate) fn is_well(self) -> bool {
        matches!(self, Self::Published | Self::Renewed | Self::Unchanged)
    }

    /// Returns it as it is written.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Renewed => "renewed",
            Self::Unchanged => "unchanged",
            Self::Late => "late",
            Self::Partly => "partly",
            Self::Unheld => "unheld",
            Self::Failed => "failed",
            Self::Alarm => "alarm",
        }
    }
}

impl From<Did> for RunWord {
    fn from(did: Did) -> Self {
        match did {
            Did::Published => Self::Published,
            Did::Renewed => Self::Renewed,
            Did::Unchanged => Self::Unchanged,
        }
    }
}

/// A run that has ended.
pub(crate) struct RunOutcome<'r> {
    /// Unix seconds of its begin.
    pub(crate) at: u64,
    /// Milliseconds that it took.
    pub(crate) took_ms: u64,
    /// Its end.
    pub(crate) word: RunWord,
    /// The reason, unless it went well; one line.
    pub(crate) why: Option<String>,
    /// What was published, or stands.
    pub(crate) report: Option<&'r PublishReport>,
}

/// The runs of one publication.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    /// Unix seconds of the last run's begin.
    pub(crate) at: u64,
    /// Milliseconds that it took.
    pub(crate) took_ms: u64,
    /// Its end.
    pub(crate) result: RunWord,
    /// The reason, unless it went well; one line.
    pub(crate) why: Option<String>,
    /// Unix seconds of the last run that went well.
    pub(crate) well: Option<u64>,
    /// The alarm that stands.
    pub(crate) alarm: Option<StandingAlarm>,
    /// What stands, by the last run that could tell.
    pub(crate) index: Option<PublicationRecord>,
}

/// An alarm: from the first run that did not go well to the next one that does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct StandingAlarm {
    /// Unix seconds of that first run.
    pub(crate) since: u64,
    /// Unix seconds at which it was told last.
    pub(crate) told: u64,
}

/// A publication as it stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct PublicationRecord {
    /// The publisher's name.
    pub(crate) publisher: String,
    /// The IPNS name; `None` without Kubo.
    pub(crate) name: Option<String>,
    /// The CID of the tree.
    pub(crate) root: String,
    pub(crate) sequence: u64,
    /// Unix seconds, as `expires`.
    pub(crate) created: u64,
    pub(crate) expires: u64,
    /// Files in the tree.
    pub(crate) files: usize,
    /// Packages in the index whose bytes are not in the tree.
    #[serde(default)]
    pub(crate) without_bytes: usize,
    /// Files that the last run published anew.
    pub(crate) new_files: usize,
    /// Bytes that it sent to Kubo.
    pub(crate) sent: u64,
    pub(crate) repos: Vec<RepoRecord>,
    pub(crate) targets: Vec<TargetRecord>,
    /// Clusters and pinning services, of which the public status says nothing.
    #[serde(default)]
    pub(crate) holders: Vec<HolderRecord>,
}

/// A repository of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct RepoRecord {
    pub(crate) repo: String,
    pub(crate) arch: String,
    pub(crate) packages: u64,
    /// Bytes of its packages.
    pub(crate) size: u64,
    /// Upstream's time of this state, Unix seconds.
    pub(crate) lastupdate: Option<u64>,
    /// Packages that its database names and the index does not list yet.
    #[serde(default)]
    pub(crate) unlisted: u64,
    /// Their bytes.
    #[serde(default)]
    pub(crate) unlisted_bytes: u64,
    /// What has left it, where that is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) archive: Option<ArchiveRecord>,
}

/// Packages that mirrors have and the index does not list yet.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Backlog {
    pub(crate) packages: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

impl Backlog {
    /// Adds a package of this size.
    pub(super) fn add(&mut self, size: u64) {
        *self = self.with(Self { packages: 1, bytes: size });
    }

    /// Returns the sum of the two.
    pub(super) fn with(self, other: Self) -> Self {
        Self { packages: self.packages + other.packages, bytes: self.bytes.saturating_add(other.bytes) }
    }
}

/// The files that have left a repository.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ArchiveRecord {
    pub(crate) files: u64,
    /// Those of them whose bytes are kept.
    pub(crate) with_bytes: u64,
    /// Their bytes.
    pub(crate) size: u64,
    /// Unix seconds from which on it tells what was there.
    pub(crate) since: u64,
    /// Unix seconds at which the first of the files left; `None` without files.
    pub(crate) oldest: Option<u64>,
}

impl ArchiveRecord {
    /// Adds up what has left `repos`.
    pub(super) fn sum(repos: &[RepoRecord]) -> Option<Self> {
        repos.iter().filter_map(|repo| repo.archive.clone()).reduce(|all, one| Self {
            files: all.files + one.files,
            with_bytes: all.with_bytes + one.with_bytes,
            size: all.size + one.size,
            since: all.since.max(one.since),
            oldest: all.oldest.into_iter().chain(one.oldest).min(),
        })
    }
}

/// A target of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TargetRecord {
    /// As messages call it.
    pub(crate) target: String,
    /// The reason why it lacks the publication; `None` when it has it.
    pub(crate) lacks: Option<String>,
}

impl PublicationRecord {
    /// Describes what a run has published or found.
    pub(crate) fn of(publisher: &str, report: &PublishReport) -> Self {
        let lacks = |label: &String| {
            let failure = report.failed.iter().find(|failure| failure.target == *label);
            TargetRecord { target: label.clone(), lacks: failure.map(|failure| failure.error.to_string()) }
        };
        Self {
            publisher: publisher.to_owned(),
            name: report.name.as_ref().map(ToString::to_string),
            root: report.root.to_string(),
            sequence: report.sequence,
            created: report.created,
            expires: report.expires,
            files: report.files,
            without_bytes: report.bare,
            new_files: report.new_files,
            sent: report.sent,
            repos: report.repos.clone(),
            targets: report.targets.iter().map(lacks).collect(),
            holders: report.holders.clone().unwrap_or_default(),
        }
    }

    /// Adds up what it does not list yet.
    pub(crate) fn backlog(&self) -> Backlog {
        let of = |repo: &RepoRecord| Backlog { packages: repo.unlisted, bytes: repo.unlisted_bytes };
        self.repos.iter().map(of).fold(Backlog::default(), Backlog::with)
    }

    /// Adds up what has left all repositories; `None` where nothing is remembered.
    pub(crate) fn archive(&self) -> Option<ArchiveRecord> {
        ArchiveRecord::sum(&self.repos)
    }

    /// Returns the newest time of upstream in it.
    pub(crate) fn lastupdate(&self) -> Option<u64> {
        self.repos.iter().filter_map(|repo| repo.lastupdate).max()
    }
}

impl RunRecord {
    /// Reads the record in the state directory of a publisher; `None` when there is none, or a damaged one.
    ///
    /// # Errors
    /// When this user may not read it.
    pub(crate) fn read(state_dir: &Path) -> io::Result<Option<Self>> {
        let bytes = fsx::read_followed(&path(state_dir), MOST)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Writes it there.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn save(&self, state_dir: &Path) -> io::Result<()> {
        let json = serde_json::to_vec(self).expect("texts and numbers always make JSON");
        fsx::replace_synced(&path(state_dir), &json)
    }

    /// Returns the record after a run, and whether its alarm is to be told now: at its begin, when it has become another
    /// one, and once a day while it stands.
    pub(crate) fn after(before: Option<&Self>, publisher: &str, run: RunOutcome<'_>) -> (Self, bool) {
        let is_well = run.word.is_well();
        let standing = before.and_then(|before| before.alarm);
        let is_told = match standing {
            _ if is_well => false,
            Some(alarm) => {
                before.is_some_and(|before| before.result != run.word) || run.at >= alarm.told.saturating_add(AGAIN)
            }
            None => true,
        };
        let alarm = (!is_well).then(|| StandingAlarm {
            since: standing.map_or(run.at, |alarm| alarm.since),
            told: standing.filter(|_| !is_told).map_or(run.at, |alarm| alarm.told),
        });
        let former = before.and_then(|before| before.index.as_ref()).map_or(&[][..], |index| &index.holders);
        let index = run.report.map(|report| {
            let mut index = PublicationRecord::of(publisher, report);
            // A run that could not ask them tells nothing about them.
            if report.holders.is_none() {
                index.holders = former.to_vec();
            }
            for holder in &mut index.holders {
                let before = former.iter().find(|before| before.holder == holder.holder);
                *holder = holder.clone().since(before, run.at);
            }
            index
        });
        let record = Self {
            at: run.at,
            took_ms: run.took_ms,
            result: run.word,
            why: run.why,
            well: if is_well { Some(run.at) } else { before.and_then(|before| before.well) },
            alarm,
            index: index.or_else(|| before.and_then(|before| before.index.clone())),
        };
        (record, is_told)
    }

    /// Returns `/status.json` of the plain copy: names, times, sizes and the sequence, and nothing of this machine.
    /// `None` before anything was published.
    pub(crate) fn public(&self) -> Option<Vec<u8>> {
        let index = self.index.as_ref()?;
        let repos: Vec<_> = index
            .repos
            .iter()
            .map(|repo| {
                serde_json::json!({
                    "repo": repo.repo, "arch": repo.arch, "packages": repo.packages, "size": repo.size,
                    "lastupdate": repo.lastupdate, "unlisted": repo.unlisted, "unlisted_bytes": repo.unlisted_bytes,
                    "archive": repo.archive,
                })
            })
            .collect();
        let status = serde_json::json!({
            "status": STATUS, "publisher": index.publisher, "name": index.name, "root": index.root,
            "sequence": index.sequence, "created": index.created, "expires": index.expires, "run": self.at,
            "result": self.result, "well": self.well, "files": index.files, "repos": repos,
        });
        let mut bytes = serde_json::to_vec(&status).expect("texts and numbers always make JSON");
        bytes.push(b'\n');
        Some(bytes)
    }

    /// Writes it into the plain copy `out`, where there is one.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn write_public(&self, out: &Path) -> io::Result<()> {
        match self.public() {
            Some(bytes) if out.is_dir() => fsx::replace_synced(&out.join("status.json"), &bytes),
            _ => Ok(()),
        }
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("run.json")
}

#[cfg(test)]
mod tests {
    use super::super::holders::HoldingWord;
    use super::*;

    fn run(at: u64, word: RunWord) -> RunOutcome<'static> {
        RunOutcome { at, took_ms: 1, word, why: (!word.is_well()).then(|| "why".to_owned()), report: None }
    }

    #[test]
    fn an_alarm_is_told_when_it_begins_when_it_becomes_another_and_once_a_day() {
        let mut last: Option<RunRecord> = None;
        for (at, word, is_told, since) in [
            (0, RunWord::Unchanged, false, None),
            (600, RunWord::Late, true, Some(600)),
            (1200, RunWord::Late, false, Some(600)),
            (1800, RunWord::Alarm, true, Some(600)),
            (2400, RunWord::Alarm, false, Some(600)),
            (1800 + AGAIN - 1, RunWord::Alarm, false, Some(600)),
            (1800 + AGAIN, RunWord::Alarm, true, Some(600)),
            (2000 + AGAIN, RunWord::Renewed, false, None),
            (2600 + AGAIN, RunWord::Failed, true, Some(2600 + AGAIN)),
        ] {
            let (record, told) = RunRecord::after(last.as_ref(), "p", run(at, word));
            assert_eq!((told, record.alarm.map(|alarm| alarm.since)), (is_told, since), "{at}");
            last = Some(record);
        }
        assert_eq!(last.unwrap().well, Some(2000 + AGAIN));
    }

    #[test]
    fn a_holder_is_late_from_the_first_run_that_it_does_not_hold() {
        let record = |state| HolderRecord { holder: "c".to_owned(), state, since: None, why: None };
        let mut last: Option<HolderRecord> = None;
        for (at, state, since) in [
            (1, HoldingWord::Held, None),
            (2, HoldingWord::Pending, Some(2)),
            (3, HoldingWord::Failed, Some(2)),
            (4, HoldingWord::Held, None),
            (5, HoldingWord::Pending, Some(5)),
        ] {
            let next = record(state).since(last.as_ref(), at);
            assert_eq!(next.since, since, "{at}");
            last = Some(next);
        }
    }

    #[test]
    fn a_damaged_record_is_none_and_a_whole_one_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(RunRecord::read(dir.path()).unwrap(), None);
        let (record, _) = RunRecord::after(None, "p", run(7, RunWord::Late));
        record.save(dir.path()).unwrap();
        assert_eq!(RunRecord::read(dir.path()).unwrap(), Some(record.clone()));
        assert_eq!(record.public(), None, "nothing was published yet");
        std::fs::write(path(dir.path()), "{").unwrap();
        assert_eq!(RunRecord::read(dir.path()).unwrap(), None);
    }
}
