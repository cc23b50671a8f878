//! One file: what is expected of it, its places here, and the sources that have it now. Asks for no bytes of it.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::StatusCode;

use super::kubo::KuboUnasked;
use crate::base::cid::Cid;
use crate::base::error::Error;
use crate::base::miss::Miss;
use crate::base::name::{FileName, RepoName};
use crate::config::Settings;
use crate::engine::deliver::Candidate;
use crate::engine::find::FoundFile;
use crate::engine::source::kubo::{KuboReach, ask_cached};
use crate::engine::want::Want;
use crate::machine::Machine;
use crate::machine::call::Call;
use crate::net::http::block::block_url;
use crate::net::http::{self, GetOptions};
use crate::store::contents;
use crate::store::journal::{Journal, JournalRecord};
use crate::trust::plan::{Expect, Knowledge};

/// Longest wait for all sources together: they are asked at the same time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// A file of a repository, and what the lists say about it.
pub(crate) struct ListedFile {
    /// Its repository.
    pub(crate) repo: RepoName,
    /// Its name.
    pub(crate) name: FileName,
    /// The statements of the lists.
    pub(crate) knowledge: Knowledge,
    /// The plan of a download, and the candidates.
    pub(crate) want: Want,
    /// The reason why a download is refused: two lists disagree.
    pub(crate) refusal: Option<String>,
    /// The list that names it, in words, where that is none of pacman's and no index; with whether it may be shared.
    pub(crate) other_list: Option<(String, bool)>,
}

/// One candidate's answer, in the order of asking.
pub(crate) struct ProbeAnswer {
    /// The source.
    pub(crate) source: String,
    /// What it says.
    pub(crate) says: SourceSays,
    /// The reason for its position in the order.
    pub(crate) position: SourcePosition,
}

/// What a source says about a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum SourceSays {
    /// It has the file.
    Has,
    /// It has another one, of so many bytes.
    HasAnother(u64),
    /// It does not have it.
    Lacks,
    /// It does not have it, and would ask its peers.
    LacksAndAsks,
    /// It is asked when a download comes to it.
    NotAskedYet,
    /// It could not be reached, for this reason.
    Unreachable(String),
    /// It did not answer in time.
    Silent,
    /// It answered with this HTTP status.
    Status(u16),
    /// Anything else, in words.
    Other(String),
}

/// The position of a source in the order of asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SourcePosition {
    /// Last, because it did not answer lately.
    LastAsSilent,
    /// Last, because it sent wrong bytes lately.
    LastAsWrong,
    /// The daemon, before Kubo and the mirrors.
    Lan,
    /// Kubo, once it has to search the whole network.
    KuboAnywhere,
    /// Kubo; true if no neighbours come before it.
    Kubo {
        /// True if it is the first of all.
        is_first: bool,
    },
    /// After Kubo, before the mirrors.
    Gateway,
    /// The repository's first server.
    FirstServer,
    /// Another server.
    NextServer,
}

/// The reason why a kind of source is not asked for a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LeftOutWhy {
    /// Kubo may not be asked at all.
    Kubo(KuboUnasked),
    /// No gateway is configured.
    NoGateway,
    /// The environment sets a proxy, and gateways would be reached around it.
    GatewaysBehindProxy,
    /// The repository is not to be shared.
    NotShared,
    /// No CID is known.
    NoCid,
}

impl SourceSays {
    /// True when it has the file; `None` when it did not answer.
    pub(crate) fn has(&self) -> Option<bool> {
        match self {
            Self::Has => Some(true),
            Self::HasAnother(_) | Self::Lacks | Self::LacksAndAsks => Some(false),
            _ => None,
        }
    }
}

impl SourcePosition {
    /// True if it comes last, for what it did lately.
    pub(crate) fn is_down(self) -> bool {
        matches!(self, Self::LastAsSilent | Self::LastAsWrong)
    }
}

impl ListedFile {
    /// Plans a download of what was found.
    ///
    /// # Errors
    /// `Usage` when a list does not parse.
    pub(crate) fn of(call: &Call, found: FoundFile) -> Result<Self, Error> {
        let FoundFile { repo, name, exact } = found;
        let knowledge = call.lists.knowledge(&repo, &name)?;
        // A file about which two lists disagree is refused, and that is worth explaining too.
        let want = match exact {
            Some(known) => Ok(Want::planned(&call.lists, &repo, name.clone(), known.plan())),
            None => Want::in_repo(&call.lists, &repo, name.clone()),
        };
        let refusal = want.as_ref().err().map(ToString::to_string);
        let want = want.unwrap_or_else(|_| {
            let followed = knowledge.database.or_else(|| knowledge.indexes.first().map(|listed| listed.known));
            Want::planned(&call.lists, &repo, name.clone(), followed.expect("only a listed file is refused").plan())
        });
        Ok(Self { repo, name, knowledge, want, refusal, other_list: None })
    }

    /// Makes that of a package which another system's list names, in these words.
    pub(crate) fn of_other(repo: RepoName, want: Want, list: String, may_share: bool) -> Self {
        let (name, knowledge) = (want.name.clone(), Knowledge::default());
        Self { repo, name, knowledge, want, refusal: None, other_list: Some((list, may_share)) }
    }

    /// Returns the path of the sync database, and its age.
    pub(crate) fn database(&self, call: &Call) -> (PathBuf, Option<Duration>) {
        let path = call.lists.conf().map(|conf| conf.database(&self.repo)).unwrap_or_default();
        let age = path.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        (path, age)
    }

    /// Returns the index that names this CID.
    pub(crate) fn index_of(&self, cid: Cid) -> Option<&str> {
        let by = self.knowledge.indexes.iter().find(|listed| listed.known.cid() == Some(cid));
        by.map(|by| by.index.as_str())
    }

    /// Returns the reasons why Kubo and gateways are not asked for it.
    pub(crate) fn left_out(&self, call: &Call) -> Vec<(&'static str, LeftOutWhy)> {
        let (machine, settings) = (&call.machine, &call.machine.settings);
        let may_share = self.other_list.as_ref().map(|(_, may_share)| *may_share);
        let common = if !may_share.unwrap_or_else(|| call.lists.may_share(&self.repo)) {
            Some(LeftOutWhy::NotShared)
        } else {
            self.want.plan.cid.is_none().then_some(LeftOutWhy::NoCid)
        };
        let kubo = KuboUnasked::of(&machine.env, settings).map(LeftOutWhy::Kubo).or(common);
        let gateways = match settings.gateways.is_empty() {
            true => Some(LeftOutWhy::NoGateway),
            false if !machine.asks_gateways() => Some(LeftOutWhy::GatewaysBehindProxy),
            false => common,
        };
        [("kubo", kubo), ("gateways", gateways)].into_iter().filter_map(|(source, why)| Some((source, why?))).collect()
    }

    /// Returns the stores and the files of package caches that have it.
    pub(crate) fn here(&self, call: &Call) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let Expect::Exact { sha256, size } = self.want.plan.expect else { return Default::default() };
        let stores = call.machine.settings.stores.iter().filter(|dir| contents::holds(dir, sha256, size));
        let caches = call.lists.cache_dirs().iter().map(|dir| dir.join(self.name.as_str()));
        let caches = caches.filter(|path| path.metadata().is_ok_and(|meta| meta.len() == size));
        (stores.cloned().collect(), caches.collect())
    }

    /// Returns the last delivery, and the last time that a source sent bytes of it.
    pub(crate) fn last(&self, settings: &Settings) -> (Option<JournalRecord>, Option<JournalRecord>) {
        let (mut delivered, mut received) = (None, None);
        for store in &settings.stores {
            // An unreadable journal is treated as empty.
            let _ = Journal::at(store).read(0, |record| {
                if record.name == self.name {
                    let newer = |than: &Option<JournalRecord>| than.as_ref().is_none_or(|than| than.at <= record.at);
                    if !record.shares.is_empty() && newer(&received) {
                        received = Some(record.clone());
                    }
                    if record.delivered > 0 && newer(&delivered) {
                        delivered = Some(record);
                    }
                }
            });
        }
        (delivered, received)
    }

    /// Asks every source at the same time whether it has the file; those that were down lately come last, as in a
    /// download.
    pub(crate) async fn probe(&self, call: &Call) -> Vec<ProbeAnswer> {
        let is_down = |candidate: &Candidate| candidate.host().is_some_and(|host| call.health.is_down(&host));
        let mut candidates: Vec<&Candidate> = self.want.candidates.iter().collect();
        candidates.sort_by_key(|candidate| is_down(candidate));
        let questions = candidates.iter().map(|candidate| async {
            let asked = says(&call.machine, candidate, self.want.plan.expect.size());
            tokio::time::timeout(PATIENCE, asked).await.unwrap_or(SourceSays::Silent)
        });
        let answers = futures_util::future::join_all(questions).await;
        let mut servers = 0;
        let answers = candidates.into_iter().zip(answers).enumerate().map(|(at, (candidate, says))| {
            servers += usize::from(matches!(candidate, Candidate::Mirror(_) | Candidate::File(_)));
            let is_silent = || candidate.host().is_some_and(|host| call.health.is_silent(&host));
            let position = match (is_down(candidate), candidate) {
                (true, _) if is_silent() => SourcePosition::LastAsSilent,
                (true, _) => SourcePosition::LastAsWrong,
                (false, Candidate::Lan(_) | Candidate::House(_)) => SourcePosition::Lan,
                (false, Candidate::Kubo(_, KuboReach::Anywhere)) => SourcePosition::KuboAnywhere,
                (false, Candidate::Kubo(..)) => SourcePosition::Kubo { is_first: at == 0 },
                (false, Candidate::Gateway(..)) => SourcePosition::Gateway,
                (false, _) if servers == 1 => SourcePosition::FirstServer,
                (false, _) => SourcePosition::NextServer,
            };
            ProbeAnswer { source: candidate.source(), says, position }
        });
        answers.collect()
    }
}

/// Asks one source whether it has the file, without moving any of it.
async fn says(machine: &Machine, candidate: &Candidate, size: Option<u64>) -> SourceSays {
    let ask = GetOptions { head: true, ..GetOptions::default() };
    let asked = match candidate {
        Candidate::File(path) => {
            let is_there = path.metadata().is_ok_and(|meta| meta.is_file());
            return if is_there { SourceSays::Has } else { SourceSays::Lacks };
        }
        Candidate::Lan(_) => return SourceSays::NotAskedYet,
        Candidate::House(url) => machine.http.ask_near(url, &ask).await,
        Candidate::Mirror(url) => machine.http.ask(url, &ask).await,
        Candidate::Kubo(cid, _) => ask_cached(&machine.http, &machine.settings.gateway_url(), *cid).await,
        Candidate::Gateway(url, cid) => {
            machine.http.ask(&block_url(url, *cid), &GetOptions { cached_only: true, ..ask }).await
        }
    };
    let is_mirror = matches!(candidate, Candidate::Mirror(_));
    match asked {
        Err(Miss::Unreachable(why)) => SourceSays::Unreachable(why.to_string()),
        Err(other) => SourceSays::Other(other.to_string()),
        Ok(answer) => match answer.status() {
            StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION => {
                let told = http::text(answer.headers(), reqwest::header::CONTENT_LENGTH);
                let told: Option<u64> = told.and_then(|text| text.parse().ok());
                match (is_mirror, size, told) {
                    (true, Some(size), Some(told)) if told != size => SourceSays::HasAnother(told),
                    _ => SourceSays::Has,
                }
            }
            StatusCode::PRECONDITION_FAILED if !is_mirror => SourceSays::LacksAndAsks,
            StatusCode::NOT_FOUND | StatusCode::GONE => SourceSays::Lacks,
            other => SourceSays::Status(other.as_u16()),
        },
    }
}
