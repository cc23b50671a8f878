//! Getting a newer index: all sources are asked at once, the proven answer with the highest sequence wins.
//!
//! Never on the path of a download. Whatever fails here, the last good copy stays in use.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use reqwest::{Client, Url};

use super::accept::{Accepted, Grant, Offer, Refusal, accept};
use super::ipns::{self, Name};
use super::manifest::{MANIFEST_MOST, Table};
use super::minisign::SIGNATURE_MOST;
use super::state::{BadState, State};
use super::table::Reader;
use crate::cid::{Cid, Codec};
use crate::dag::dir;
use crate::dag::walk::Walk;
use crate::digest::Sha256;
use crate::kubo::{self, Kubo};
use crate::name::{FileName, RepoName, shown};

/// Longest wait for an IPNS record, in seconds: look-ups in the DHT take 30 s at times (`research/kubo.md` section 5).
const RECORD: Duration = Duration::from_secs(30);
/// Longest wait for one block or small file.
const BLOCK: Duration = Duration::from_secs(20);

/// An index as configured.
#[derive(Clone, Debug)]
pub struct IndexSource {
    /// What the user calls it; names its copy in the state directory.
    pub name: FileName,
    /// Its keys and its repos.
    pub grant: Grant,
    /// A plain HTTP copy of its root, for example `https://example.org/index/`.
    pub url: Option<Url>,
}

/// What a refresh led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A newer index is in use now.
    Updated {
        /// Its sequence.
        sequence: u64,
        /// Repos in it that the publisher was not added for.
        ignored: Vec<RepoName>,
    },
    /// The index in use is the newest one there is.
    Unchanged {
        /// Its sequence.
        sequence: u64,
    },
    /// Sources answered, and nothing they offered counts. Says why; trying again helps once the publisher acts.
    Refused(Refusal),
    /// No source delivered a whole index. Trying again later may help; [`Refreshed::routes`] says what happened.
    Unreachable,
}

/// How one source fared.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// `kubo` or `url`.
    pub via: &'static str,
    /// From the first request to the decision.
    pub took: Duration,
    /// The sequence it offered, or why nothing of it counts.
    pub said: Result<u64, String>,
}

/// The result of a refresh, with what is needed to explain it.
#[derive(Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// What it led to.
    pub outcome: Outcome,
    /// Each source that was asked.
    pub routes: Vec<Route>,
    /// Seconds by which this machine's clock is behind the last refresh, when it is: expiry means nothing then.
    pub clock_behind: Option<u64>,
}

/// Refreshes one index within `deadline`; `now` is in Unix seconds.
///
/// # Errors
/// Only those of this machine's state directory; what sources do wrong is in the [`Outcome`].
pub async fn refresh(
    source: &IndexSource,
    kubo: Option<&Kubo>,
    client: &Client,
    state: &State,
    now: u64,
    deadline: Duration,
) -> Result<Refreshed, BadState> {
    let keys = source.grant.keys();
    let floor = state.seen(&keys)?;
    let clock_behind = floor.as_ref().map(|seen| seen.fetched.saturating_sub(now)).filter(|behind| *behind > 300);
    let work = Work { source, kubo, client, state, now, until: Instant::now() + deadline };

    let (by_kubo, by_url) = futures_util::future::join(work.ask_kubo(), work.ask_url()).await;
    let (mut routes, mut best, mut refusal) = (Vec::new(), None::<(Offer, Accepted)>, None);
    for (via, took, offer) in [by_kubo, by_url].into_iter().flatten() {
        let said = match offer {
            Err(reason) => Err(shown(&reason).into_owned()),
            Ok(offer) => match accept(&source.grant, floor.as_ref(), &offer, now) {
                Ok(accepted) => {
                    let sequence = accepted.manifest.sequence;
                    if best.as_ref().is_none_or(|(_, best)| best.manifest.sequence < sequence) {
                        best = Some((offer, accepted));
                    }
                    Ok(sequence)
                }
                Err(why) => {
                    let text = why.to_string();
                    refusal.get_or_insert(why);
                    Err(text)
                }
            },
        };
        routes.push(Route { via, took, said });
    }
    let done = |outcome, routes| Ok(Refreshed { outcome, routes, clock_behind });
    let Some((offer, accepted)) = best else {
        return done(refusal.map_or(Outcome::Unreachable, Outcome::Refused), routes);
    };
    let (sequence, repos) = (accepted.manifest.sequence, &source.grant.repos);
    if state.has(&source.name, accepted.seen.manifest, repos) {
        state.note(&keys, &accepted.seen)?;
        return done(Outcome::Unchanged { sequence }, routes);
    }
    for table in source.grant.tables(&accepted.manifest) {
        if let Err(reason) = work.table(table).await? {
            let said = Err(format!("{}: {}", table.path(), shown(&reason)));
            routes.push(Route { via: "table", took: Duration::ZERO, said });
            return done(Outcome::Unreachable, routes);
        }
    }
    // First the memory, then the copy: the other way round a crash would leave a copy that an older one may replace.
    state.note(&keys, &accepted.seen)?;
    let proofs = [("minisig", &offer.minisig), ("ipns-record", &offer.record), ("root", &offer.root)];
    let proofs: Vec<_> = proofs.iter().filter_map(|(kind, bytes)| Some((*kind, bytes.as_deref()?))).collect();
    state.hold(&source.name, &offer.manifest, &proofs, repos)?;
    let ignored = source.grant.ignored(&accepted.manifest).cloned().collect();
    done(Outcome::Updated { sequence, ignored }, routes)
}

type Asked = Option<(&'static str, Duration, Result<Offer, String>)>;

struct Work<'a> {
    source: &'a IndexSource,
    kubo: Option<&'a Kubo>,
    client: &'a Client,
    state: &'a State,
    now: u64,
    until: Instant,
}

impl Work<'_> {
    async fn ask_kubo(&self) -> Asked {
        let (kubo, name) = (self.kubo?, self.source.grant.ipns?);
        let started = Instant::now();
        let offer = self.offer_of_kubo(kubo, name).await;
        Some(("kubo", started.elapsed(), offer))
    }

    async fn ask_url(&self) -> Asked {
        let url = self.source.url.as_ref()?;
        let started = Instant::now();
        let offer = self.offer_of_url(url).await;
        Some(("url", started.elapsed(), offer))
    }

    async fn offer_of_kubo(&self, kubo: &Kubo, name: Name) -> Result<Offer, String> {
        let text = |fault: kubo::Fault| fault.to_string();
        let record = kubo.record(&name.to_string(), self.at_most(RECORD)).await.map_err(text)?;
        // Checked here as well, because only a proven record may send us after blocks.
        let root = name.verify(&record, self.now).and_then(|record| record.root());
        let root = match root {
            Ok(root) => root,
            Err(_) => return Ok(Offer { record: Some(record), ..Offer::default() }),
        };
        let block = kubo.block(root, self.at_most(BLOCK)).await.map_err(text)?;
        let mut offer = Offer { record: Some(record), ..Offer::default() };
        if let Ok(Some((cid, _))) = dir::entry(root, &block, "pkgswarm.json")
            && cid.codec() == Codec::Raw
        {
            offer.manifest = kubo.block(cid, self.at_most(BLOCK)).await.map_err(text)?;
        }
        if self.source.grant.minisign.is_some()
            && let Ok(Some((cid, _))) = dir::entry(root, &block, "pkgswarm.json.minisig")
        {
            offer.minisig = Some(kubo.block(cid, self.at_most(BLOCK)).await.map_err(text)?);
        }
        offer.root = Some(block);
        Ok(offer)
    }

    async fn offer_of_url(&self, url: &Url) -> Result<Offer, String> {
        let grant = &self.source.grant;
        let wanted = |wanted: bool, name: &'static str, most: usize| async move {
            if !wanted {
                return Ok(None);
            }
            match self.get(url, name, most).await {
                // Absent proofs are missed where it is decided.
                Err(Failed::Status(404 | 410)) => Ok(None),
                other => other.map(Some).map_err(|e| e.to_string()),
            }
        };
        let manifest = self.get(url, "pkgswarm.json", MANIFEST_MOST).await.map_err(|e| e.to_string())?;
        let minisig = wanted(grant.minisign.is_some(), "pkgswarm.json.minisig", SIGNATURE_MOST).await?;
        let record = wanted(grant.ipns.is_some(), "pkgswarm.ipns-record", ipns::RECORD_MOST).await?;
        let root = wanted(grant.ipns.is_some(), "pkgswarm.root", kubo::BLOCK_MOST).await?;
        Ok(Offer { manifest, minisig, record, root })
    }

    /// Makes sure that `table` is in the state directory. The inner error is that of the last source asked.
    async fn table(&self, table: &Table) -> Result<Result<(), String>, BadState> {
        let name = &self.source.name;
        if let Ok(bytes) = std::fs::read(self.state.table_path(name, table.sha256))
            && Sha256::of(&bytes) == table.sha256
        {
            return Ok(Ok(()));
        }
        let mut reason = "no source is configured".to_owned();
        for by_kubo in [true, false] {
            let got = match (by_kubo, self.kubo, &self.source.url) {
                (true, Some(kubo), _) => self.by_blocks(kubo, table.cid, table.size).await,
                (false, _, Some(url)) => {
                    self.get(url, &table.path(), table.size as usize).await.map_err(|e| e.to_string())
                }
                _ => continue,
            };
            match got {
                Ok(bytes) if Sha256::of(&bytes) == table.sha256 && bytes.len() as u64 == table.size => {
                    // Read once before anything is switched: a publisher can sign nonsense.
                    let lines = Reader::new(&bytes[..], table.entries);
                    if let Err(why) = lines.and_then(|mut lines| lines.try_for_each(|line| line.map(drop))) {
                        return Ok(Err(why.to_string()));
                    }
                    self.state.keep_table(name, &bytes)?;
                    return Ok(Ok(()));
                }
                Ok(bytes) => {
                    let found = Sha256::of(&bytes).short();
                    reason = format!("corrupt: sha256 {found}, the manifest says {}", table.sha256.short());
                }
                Err(why) => reason = why,
            }
        }
        Ok(Err(reason))
    }

    async fn by_blocks(&self, kubo: &Kubo, cid: Cid, size: u64) -> Result<Vec<u8>, String> {
        let (mut walk, mut bytes) = (Walk::new(cid, size), Vec::new());
        while let Some(cid) = walk.next_cid() {
            let block = kubo.block(cid, self.at_most(BLOCK)).await.map_err(|e| e.to_string())?;
            bytes.extend_from_slice(walk.push(&block).map_err(|e| e.to_string())?);
        }
        Ok(bytes)
    }

    async fn get(&self, base: &Url, path: &str, most: usize) -> Result<Vec<u8>, Failed> {
        let mut url = base.clone();
        url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
        let work = async {
            let answer = self.client.get(url).header("User-Agent", kubo::USER_AGENT).send().await?;
            if !answer.status().is_success() {
                return Err(Failed::Status(answer.status().as_u16()));
            }
            let (mut bytes, mut stream) = (Vec::new(), answer.bytes_stream());
            while let Some(piece) = stream.next().await {
                bytes.extend_from_slice(&piece?);
                if bytes.len() > most {
                    return Err(Failed::TooLong(most));
                }
            }
            Ok(bytes)
        };
        tokio::time::timeout(self.at_most(BLOCK), work).await.unwrap_or(Err(Failed::Deadline))
    }

    /// What is left of the deadline, and at most `step`.
    fn at_most(&self, step: Duration) -> Duration {
        step.min(self.until.saturating_duration_since(Instant::now()))
    }
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("HTTP {0}")]
    Status(u16),
    #[error("longer than {0} bytes")]
    TooLong(usize),
    #[error("no complete answer in time")]
    Deadline,
    /// Without the URL, which may hold a password.
    #[error("{}", cause(.0))]
    Transport(#[from] reqwest::Error),
}

fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::eq(cause, error as &dyn std::error::Error) {
        "the transfer failed".to_owned()
    } else {
        cause.to_string()
    }
}

#[cfg(test)]
mod tests;
