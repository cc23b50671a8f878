//! `pkgswarm why NAME`: what is expected of a file and by which list, which sources have it now, in which order
//! they would be asked, and where the last copy came from. Asks for no bytes of it.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::base::cid::Codec;
use crate::base::env::Env;
use crate::base::miss::Miss;
use crate::base::name::{FileName, RepoName};
use crate::base::runtime::block_on;
use crate::cmd::cli::WhyArgs;
use crate::cmd::screen::Screen;
use crate::config::Settings;
use crate::engine::deliver::Candidate;
use crate::engine::find::{self, FoundFile};
use crate::engine::source::kubo::{KuboReach, ask_cached};
use crate::engine::want::Want;
use crate::host::inspect::kubo::KuboUnasked;
use crate::index::time;
use crate::machine::Machine;
use crate::machine::call::Call;
use crate::net::http::block::block_url;
use crate::net::http::{self, GetOptions};
use crate::pacman::handover::{self, HandoverTarget};
use crate::store::contents;
use crate::store::journal::{Journal, JournalRecord};
use crate::trust::plan::{Expect, Knowledge};

/// Longest wait for all sources together: they are asked at the same time.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs the command.
pub fn run(env: &Env, settings: &Settings, args: &WhyArgs) -> anyhow::Result<u8> {
    handover::through(env, settings, &HandoverTarget::Nowhere, |settings| run_here(env, settings, args))
}

fn run_here(env: &Env, settings: &Settings, args: &WhyArgs) -> anyhow::Result<u8> {
    let call = Call::open(env, settings, Path::new("/var/tmp"))?;
    let found = find::find(&call.lists, &args.name);
    super::say_warnings(&call.lists);
    let FoundFile { repo, name, exact } = found?;
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
    let answers = probe(&call, &want);
    let why = Why { call: &call, repo, name, knowledge, want, refusal, answers };
    match args.json {
        true => writeln!(crate::report::out(), "{}", why.as_json())?,
        false => why.page(Screen::new(env), args.long).show()?,
    }
    Ok(0)
}

mod page;

struct Why<'a> {
    call: &'a Call,
    repo: RepoName,
    name: FileName,
    knowledge: Knowledge,
    want: Want,
    refusal: Option<String>,
    answers: Vec<ProbeAnswer>,
}

/// One source, in the order of asking.
struct ProbeAnswer {
    source: String,
    /// True when it has the file; `None` when it did not answer.
    has: Option<bool>,
    says: String,
    /// The reason for its position in the order.
    position: String,
    /// True if it comes last, for what it did lately.
    is_down: bool,
}

impl Why<'_> {
    /// Returns the lists that name the file, and their statements: (list, sha256, size).
    fn listed(&self) -> Vec<(String, String, u64)> {
        let database = self.knowledge.database.map(|known| (self.database(), known));
        let indexes = self.knowledge.indexes.iter().map(|listed| (format!("index {}", listed.index), listed.known));
        database.into_iter().chain(indexes).map(|(list, known)| (list, known.sha256.to_string(), known.size)).collect()
    }

    /// Describes the sync database and its age.
    fn database(&self) -> String {
        let path = self.call.lists.conf().map(|conf| conf.database(&self.repo)).unwrap_or_default();
        let age = path.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        let age = age.map(|age| format!(", {} old", time::span(age.as_secs()))).unwrap_or_default();
        format!("sync database {}{age}", path.display())
    }

    /// Returns the CID, and its origin; else the reason why there is none.
    fn cid(&self) -> (Option<String>, String) {
        match self.want.plan.cid {
            Some(cid) if cid.codec() == Codec::Raw => {
                (Some(cid.to_string()), "follows from the sha256, as of every file up to 1 MiB".to_owned())
            }
            Some(cid) => {
                let by = self.knowledge.indexes.iter().find(|listed| listed.known.cid() == Some(cid));
                let by = by.map_or("the index of the snapshot in use".to_owned(), |by| format!("index {}", by.index));
                (Some(cid.to_string()), format!("named by {by}"))
            }
            None => (
                None,
                "larger than 1 MiB, and no index in use names its CID: neither Kubo nor a gateway can be asked"
                    .to_owned(),
            ),
        }
    }

    /// Returns the reasons why Kubo and gateways are not asked for it.
    fn left_out(&self) -> Vec<(&'static str, String)> {
        let (call, settings) = (self.call, &self.call.machine.settings);
        let mut out = Vec::new();
        let reason = KuboUnasked::of(&call.machine.env, settings).map(|why| match why {
            KuboUnasked::Off => why.words().to_owned(),
            KuboUnasked::BehindProxy => format!("{} (kubo.enabled)", why.words()),
        });
        let common = if !call.lists.may_share(&self.repo) {
            Some(format!("[{}] is not to be shared: not all its servers are public (share.repos)", self.repo))
        } else if self.want.plan.cid.is_none() {
            Some("no CID is known".to_owned())
        } else {
            None
        };
        if let Some(why) = reason.or_else(|| common.clone()) {
            out.push(("kubo", why));
        }
        let why = match settings.gateways.is_empty() {
            true => Some("none is configured (gateways.urls)".to_owned()),
            false if !call.machine.asks_gateways() => {
                Some("the environment sets a proxy (gateways.behind_proxy)".to_owned())
            }
            false => common,
        };
        out.extend(why.map(|why| ("gateways", why)));
        out
    }

    /// Returns its places on this machine.
    fn here(&self) -> Vec<String> {
        let Expect::Exact { sha256, size } = self.want.plan.expect else { return Vec::new() };
        let stores = self.call.machine.settings.stores.iter().filter(|dir| contents::holds(dir, sha256, size));
        let caches = self.call.lists.cache_dirs().iter().map(|dir| dir.join(self.name.as_str()));
        let caches = caches.filter(|path| path.metadata().is_ok_and(|meta| meta.len() == size));
        let stores = stores.map(|dir| format!("store {}", dir.display()));
        stores.chain(caches.map(|path| format!("package cache {}", path.display()))).collect()
    }

    /// Returns the last delivery, and the last time that a source sent bytes of it.
    fn last(&self) -> (Option<JournalRecord>, Option<JournalRecord>) {
        let (mut delivered, mut received) = (None, None);
        for store in &self.call.machine.settings.stores {
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

    fn as_json(&self) -> Value {
        let (sha256, size) = match self.want.plan.expect {
            Expect::Exact { sha256, size } => (Some(sha256), Some(size)),
            Expect::Waived(_) => (None, None),
        };
        let (cid, cid_from) = self.cid();
        let (delivered, received) = self.last();
        let record = |record: JournalRecord| {
            let shares: Vec<_> =
                record.shares.iter().map(|share| json!({"source": share.source, "bytes": share.bytes})).collect();
            json!({"at": record.at, "took_ms": record.took, "by": record.by.word(), "delivered": record.delivered, "shares": shares})
        };
        let listed =
            self.listed().into_iter().map(|(list, sha256, size)| json!({"by": list, "sha256": sha256, "size": size}));
        let order = self.answers.iter().map(
            |answer| json!({"source": answer.source, "has": answer.has, "says": answer.says, "place": answer.position}),
        );
        let left_out = self.left_out().into_iter().map(|(source, why)| json!({"source": source, "why": why}));
        json!({
            "name": self.name.as_str(), "repo": self.repo.as_str(), "sha256": sha256, "size": size,
            "listed": listed.collect::<Vec<_>>(), "refused": self.refusal, "disagreement": self.want.plan.disagreement,
            "cid": cid, "cid_from": cid_from, "here": self.here(), "order": order.collect::<Vec<_>>(),
            "not_asked": left_out.collect::<Vec<_>>(),
            "last_delivered": delivered.map(record), "last_received": received.map(record),
        })
    }
}

/// Asks every source at the same time whether it has the file; those that were down lately come last, as in a
/// download.
fn probe(call: &Call, want: &Want) -> Vec<ProbeAnswer> {
    let is_down = |candidate: &Candidate| candidate.host().is_some_and(|host| call.health.is_down(&host));
    let mut candidates: Vec<&Candidate> = want.candidates.iter().collect();
    candidates.sort_by_key(|candidate| is_down(candidate));
    let questions = candidates.iter().map(|candidate| async {
        let asked = tokio::time::timeout(PATIENCE, has(&call.machine, candidate, want.plan.expect.size())).await;
        asked.unwrap_or_else(|_| (None, format!("no answer within {} s", PATIENCE.as_secs())))
    });
    let answers = block_on(futures_util::future::join_all(questions)).unwrap_or_default();
    let is_silent = |candidate: &Candidate| candidate.host().is_some_and(|host| call.health.is_silent(&host));
    let (mut mirrors, mut count) = (0, 0);
    let mut stands = |candidate: &Candidate, mirrors: &mut usize| {
        *mirrors += usize::from(matches!(candidate, Candidate::Mirror(_) | Candidate::File(_)));
        count += 1;
        let position = match (is_down(candidate), candidate) {
            (true, candidate) if is_silent(candidate) => "last, because it did not answer lately",
            (true, _) => "last, because it sent wrong bytes lately",
            (false, Candidate::Lan(_)) => "the daemon, before Kubo and the mirrors",
            (false, Candidate::Kubo(_, KuboReach::Anywhere)) => "when it has to search the whole network for it",
            (false, Candidate::Kubo(..)) => {
                let order =
                    if count == 1 { "first, as the nearest" } else { "next, as the nearest after the neighbours" };
                return format!("{order}; mirrors join after kubo.head_start");
            }
            (false, Candidate::Gateway(..)) => "after Kubo, before the mirrors",
            (false, _) if *mirrors == 1 => "the repository's first server",
            (false, _) => "the next server",
        };
        position.to_owned()
    };
    let answers = candidates.into_iter().zip(answers);
    let answer = answers.map(|(candidate, (has, says))| {
        let stands = stands(candidate, &mut mirrors);
        ProbeAnswer { source: candidate.source(), has, says, position: stands, is_down: is_down(candidate) }
    });
    answer.collect()
}

/// Asks one source whether it has the file, without moving any of it; returns the answer, also in words.
async fn has(machine: &Machine, candidate: &Candidate, size: Option<u64>) -> (Option<bool>, String) {
    let ask = GetOptions { head: true, ..GetOptions::default() };
    let asked = match candidate {
        Candidate::File(path) => {
            let found = path.metadata().is_ok_and(|meta| meta.is_file());
            return (Some(found), if found { "has it" } else { "does not have it" }.to_owned());
        }
        Candidate::Lan(_) => return (None, "asks the neighbours when it comes to it".to_owned()),
        Candidate::Mirror(url) => machine.http.ask(url, &ask).await,
        Candidate::Kubo(cid, _) => ask_cached(&machine.http, &machine.settings.gateway_url(), *cid).await,
        Candidate::Gateway(url, cid) => {
            machine.http.ask(&block_url(url, *cid), &GetOptions { cached_only: true, ..ask }).await
        }
    };
    let is_mirror = matches!(candidate, Candidate::Mirror(_));
    match asked {
        Err(Miss::Unreachable(why)) => (None, format!("unreachable: {why}")),
        Err(other) => (None, other.to_string()),
        Ok(answer) => match answer.status() {
            StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION => {
                let told = http::text(answer.headers(), reqwest::header::CONTENT_LENGTH);
                let told: Option<u64> = told.and_then(|text| text.parse().ok());
                match (is_mirror, size, told) {
                    (true, Some(size), Some(told)) if told != size => {
                        (Some(false), format!("has another one, of {told} bytes"))
                    }
                    _ => (Some(true), "has it".to_owned()),
                }
            }
            StatusCode::PRECONDITION_FAILED if !is_mirror => {
                (Some(false), "does not have it, and would ask its peers for it".to_owned())
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => (Some(false), "does not have it".to_owned()),
            other => (None, format!("HTTP {}", other.as_u16())),
        },
    }
}
