//! Taking a snapshot: the files of a repository from its servers, which are raced as mirrors are for a database: the next
//! one is asked as well where those before it take long. Then the others tell which list they have, so that one server
//! alone cannot hold a newer one back.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use reqwest::{StatusCode, Url};
use tokio::time::{Instant, timeout, timeout_at};

use super::kept::{KeptSnapshot, ServerRecord};
use super::snapshot::{HaikuSnapshot, SnapshotFiles, SnapshotRefusal};
use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::hedge::hedged;
use crate::base::miss::Miss;
use crate::base::name::shown;
use crate::config::HaikuConfig;
use crate::config::url::BaseUrl;
use crate::index::minisign::SIGNATURE_MOST;
use crate::lists::haiku::repo_info::REPO_INFO_MOST;
use crate::machine::Machine;
use crate::net::http::{GetOptions, host, reason};

/// Most bytes of `repo.sha256`: the sum, and perhaps the name of a file.
const SUM_MOST: usize = 4 << 10;

/// Most bytes of a list, as of its reader.
const LIST_MOST: usize = 64 << 20;

/// Longest time for all files of one server.
const LONGEST: Duration = Duration::from_secs(300);

/// Fewest bytes a second of a server, over `download.patience`. Chosen by us: a modem has five times as many.
pub(crate) const LEAST_RATE: u64 = 1 << 10;

/// Longest wait for the other servers to tell which list they have, once one has sent its own. A newer list is waited for
/// as every list is.
const OTHERS: Duration = Duration::from_secs(1);

/// Lists that are remembered because they were refused.
const REFUSED: usize = 64;

/// Lists that were refused, by their own sum and that of their signature, each with the reason: neither changes, so they
/// are not fetched again.
#[derive(Default, Debug)]
pub(crate) struct RefusedLists(RefCell<BTreeMap<(Sha256, Sha256), String>>);

/// A repository whose servers are asked.
#[derive(Clone, Copy)]
pub(crate) struct AskedRepo<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) config: &'a HaikuConfig,
    pub(crate) refused: &'a RefusedLists,
}

/// A server that does not have a snapshot, and why.
#[derive(Debug)]
pub(crate) struct ServerFailure {
    /// The host.
    pub(crate) host: String,
    /// The whole address.
    pub(crate) url: String,
    /// The reason, for people.
    pub(crate) why: String,
    /// True where what it sent is not proven: the next run of pkgman must not go on as if nothing were wrong.
    pub(crate) is_refusal: bool,
    /// True where it took all its time: asking it again at once costs as much.
    pub(crate) is_slow: bool,
    /// True where another server was faster.
    is_overtaken: bool,
}

/// The result of asking the servers.
#[derive(Default, Debug)]
pub(crate) struct Taken {
    /// The newest snapshot that is proven, or `None`.
    pub(crate) snapshot: Option<KeptSnapshot>,
    /// The servers that did not send it, in the order in which that was known.
    pub(crate) failures: Vec<ServerFailure>,
    /// The addresses of those that have it, or one that is no newer.
    answered: Vec<String>,
}

/// The reason why one file did not come.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("{0}: HTTP {1}")]
    Status(&'static str, StatusCode),
    #[error("{0}: longer than {1} bytes")]
    TooLong(&'static str, usize),
    #[error("{name}: {}", shown(&reason(error)))]
    Transport { name: &'static str, error: reqwest::Error },
    #[error("{0}")]
    Miss(Miss),
    #[error("{0}: no answer within {1} s")]
    Silent(&'static str, u64),
    #[error("{name}: sent {bytes} bytes in {seconds} s, which is too slow")]
    Slow { name: &'static str, bytes: u64, seconds: u64 },
    #[error("it did not send all files of a snapshot within {} s", LONGEST.as_secs())]
    Long,
    #[error("it was so slow that another server was asked, and faster")]
    Overtaken,
    #[error("repo.sha256 is not a sum")]
    NotASum,
    /// Of this machine's configuration.
    #[error("its key: {0}")]
    Key(String),
    #[error(transparent)]
    Refused(#[from] SnapshotRefusal),
    /// Refused before.
    #[error("{0}")]
    Again(String),
}

impl Taken {
    /// Returns what is to be remembered of each server.
    pub(crate) fn records(&self) -> Vec<ServerRecord> {
        let at = clock::now();
        let failed = self.failures.iter().map(|failure| ServerRecord {
            url: failure.url.clone(),
            at,
            why: Some(failure.why.clone()),
            refused: failure.is_refusal,
        });
        let answered = self.answered.iter().map(|url| ServerRecord { url: url.clone(), at, why: None, refused: false });
        failed.chain(answered).collect()
    }

    /// Notes that a server has the snapshot, or one that is no newer.
    fn answered(&mut self, base: &BaseUrl) {
        self.failures.retain(|failure| failure.url != base.to_string());
        self.answered.push(base.to_string());
    }

    fn failed(&mut self, base: &BaseUrl, error: &FileError) {
        self.failures.retain(|failure| failure.url != base.to_string());
        self.failures.push(ServerFailure {
            host: host(base.url()),
            url: base.to_string(),
            why: error.to_string(),
            is_refusal: matches!(error, FileError::Refused(_) | FileError::Again(_) | FileError::NotASum),
            is_slow: matches!(error, FileError::Silent(..) | FileError::Slow { .. } | FileError::Long),
            is_overtaken: matches!(error, FileError::Overtaken),
        });
    }
}

/// Asks the servers of a repository for a snapshot that is not older than `known`; `known` itself where they have just
/// that. The first one that is proven is told to `first` at once: another server may have a newer one, and be slow.
pub(crate) async fn take(
    repo: AskedRepo<'_>,
    known: Option<&KeptSnapshot>,
    first: impl AsyncFnOnce(&KeptSnapshot),
) -> Taken {
    let mut taken = Taken::default();
    let all: Vec<&BaseUrl> = repo.config.urls.iter().collect();
    let Some((base, found)) = raced(repo, &all, known, &mut taken).await else { return taken };
    taken.answered(base);
    first(&found).await;
    let newer = newer(repo, base, &found, &mut taken).await;
    let found = match raced(repo, &newer, Some(&found), &mut taken).await {
        Some((base, newest)) => {
            taken.answered(base);
            newest
        }
        None => found,
    };
    taken.snapshot = Some(found);
    taken
}

/// Asks the other servers when their lists were signed; returns those that have one which was signed after `found`, the
/// newest first. One that was overtaken is asked too: a server that is quick is not for that the one with the newest list.
async fn newer<'u>(repo: AskedRepo<'u>, base: &BaseUrl, found: &KeptSnapshot, taken: &mut Taken) -> Vec<&'u BaseUrl> {
    let may_tell = |url: &&BaseUrl| {
        let failed = taken.failures.iter().find(|failure| failure.url == url.to_string());
        *url != base && failed.is_none_or(|failure| failure.is_overtaken)
    };
    let others: Vec<&BaseUrl> = repo.config.urls.iter().filter(may_tell).collect();
    let until = Instant::now() + OTHERS;
    let looks = others.into_iter().map(async |url| {
        let silent = Err(FileError::Silent("repo.minisig", OTHERS.as_secs()));
        (url, timeout_at(until, signed(repo, url)).await.unwrap_or(silent))
    });
    let mut looks: FuturesUnordered<_> = looks.collect();
    let mut newer = Vec::new();
    while let Some((url, answer)) = looks.next().await {
        match answer {
            Ok(signed) if signed > found.snapshot.signed => newer.push((signed, url)),
            // One that was overtaken has said nothing of its list but when it was signed.
            Ok(_) if taken.failures.iter().all(|failure| failure.url != url.to_string()) => taken.answered(url),
            Ok(_) => {}
            Err(error) => taken.failed(url, &error),
        }
    }
    newer.sort_by_key(|(signed, _)| Reverse(*signed));
    newer.into_iter().map(|(_, url)| url).collect()
}

/// Returns the time at which the list of this server was signed.
async fn signed(repo: AskedRepo<'_>, base: &BaseUrl) -> Result<Option<u64>, FileError> {
    let (signature, _) = file(repo.machine, base.url(), ("repo.minisig", SIGNATURE_MOST)).await?;
    let key = repo.config.minisign.value().map_err(|why| FileError::Key(why.to_owned()))?;
    Ok(key.comment(&signature).map_err(SnapshotRefusal::from)?.timestamp())
}

/// Returns the first snapshot of these servers that is proven, and its server.
async fn raced<'u>(
    repo: AskedRepo<'_>,
    urls: &[&'u BaseUrl],
    known: Option<&KeptSnapshot>,
    taken: &mut Taken,
) -> Option<(&'u BaseUrl, KeptSnapshot)> {
    let (begun, failed) = (RefCell::<Vec<&BaseUrl>>::default(), RefCell::new(Vec::new()));
    let (begun, failed) = (&begun, &failed);
    let attempts = urls.iter().copied().map(|base| async move {
        begun.borrow_mut().push(base);
        let answer = asked(repo, base, known).await;
        answer.map(|snapshot| (base, snapshot)).map_err(|error| {
            begun.borrow_mut().retain(|other| *other != base);
            failed.borrow_mut().push((base, error));
        })
    });
    let first = hedged(attempts, repo.machine.settings.connect).await.ok();
    failed.borrow().iter().for_each(|(base, error)| taken.failed(base, error));
    if let Some((base, _)) = &first {
        let earlier = begun.borrow().iter().take_while(|other| *other != base).copied().collect::<Vec<_>>();
        earlier.iter().for_each(|other| taken.failed(other, &FileError::Overtaken));
    }
    first
}

/// Asks one server, a second time where its files were replaced between two requests.
async fn asked(repo: AskedRepo<'_>, base: &BaseUrl, known: Option<&KeptSnapshot>) -> Result<KeptSnapshot, FileError> {
    let asking = async {
        match from(repo, base.url(), known).await {
            Err(FileError::Refused(SnapshotRefusal::Sum)) => from(repo, base.url(), known).await,
            answer => answer,
        }
    };
    timeout(LONGEST, asking).await.unwrap_or(Err(FileError::Long))
}

async fn from(repo: AskedRepo<'_>, base: &Url, known: Option<&KeptSnapshot>) -> Result<KeptSnapshot, FileError> {
    let fetch = async |base: &Url, name, most| file(repo.machine, base, (name, most)).await;
    let (sum, at) = fetch(base, "repo.sha256", SUM_MOST).await?;
    let sum: Sha256 = sum
        .get(..64)
        .and_then(|sum| std::str::from_utf8(sum).ok()?.to_ascii_lowercase().parse().ok())
        .ok_or(FileError::NotASum)?;
    // An alias was followed now; its other files are those of the same place.
    let base = at.join("./").ok().filter(|_| at.path().ends_with("/repo.sha256")).unwrap_or_else(|| base.clone());
    let checked = clock::now();
    if let Some(known) = known.filter(|known| known.snapshot.sha256 == sum) {
        return Ok(KeptSnapshot { base: base.to_string(), checked, ..known.clone() });
    }
    // The signature first: a list that it cannot be for, or an older one, is not fetched at all.
    let (signature, _) = fetch(&base, "repo.minisig", SIGNATURE_MOST).await?;
    let key = repo.config.minisign.value().map_err(|why| FileError::Key(why.to_owned()))?.clone();
    let comment = key.comment(&signature).map_err(SnapshotRefusal::from)?;
    let known = known.map(|known| known.snapshot.precursor());
    known.map_or(Ok(()), |known| known.precedes(sum, comment.timestamp()))?;
    let sums = (sum, Sha256::of(&signature));
    if let Some(why) = repo.refused.0.borrow().get(&sums) {
        return Err(FileError::Again(why.clone()));
    }
    let (list, _) = fetch(&base, "repo", LIST_MOST).await?;
    if Sha256::of(&list) != sum {
        return Err(SnapshotRefusal::Sum.into());
    }
    let (info, _) = fetch(&base, "repo.info", REPO_INFO_MOST).await?;
    let files = SnapshotFiles { list: list.into(), signature: signature.into(), info: info.into() };
    // A large list takes longer than a thread that has clients should.
    let proving = tokio::task::spawn_blocking(move || HaikuSnapshot::proven(files, &key, known));
    let proven = proving.await.map_err(|e| FileError::Key(e.to_string()))?;
    if let Err(refusal @ (SnapshotRefusal::Signature(_) | SnapshotRefusal::List(_))) = &proven {
        repo.refused.note(sums, refusal);
    }
    Ok(KeptSnapshot { snapshot: proven?, base: base.to_string(), checked, proven: clock::now() })
}

impl RefusedLists {
    fn note(&self, sums: (Sha256, Sha256), why: &SnapshotRefusal) {
        let mut refused = self.0.borrow_mut();
        if refused.len() >= REFUSED {
            refused.clear();
        }
        refused.insert(sums, why.to_string());
    }
}

/// Fetches a small file; returns it with the URL that it came from. One that comes a byte at a time is given up as one
/// that does not come.
async fn file(machine: &Machine, base: &Url, (name, most): (&'static str, usize)) -> Result<(Vec<u8>, Url), FileError> {
    let (url, patience) = (below(base, name), machine.settings.patience);
    let ask = GetOptions::default();
    let answer = timeout(patience, machine.http.ask(&url, &ask)).await;
    let mut answer = answer.map_err(|_| FileError::Silent(name, patience.as_secs()))?.map_err(FileError::Miss)?;
    if answer.status() != StatusCode::OK {
        return Err(FileError::Status(name, answer.status()));
    }
    let (at, enough) = (answer.url().clone(), (patience.as_secs_f64() * LEAST_RATE as f64) as u64);
    let (mut body, mut until, mut counted) = (Vec::new(), Instant::now() + patience, 0);
    loop {
        let piece = match timeout_at(until, answer.chunk()).await {
            Ok(piece) => piece.map_err(|error| FileError::Transport { name, error })?,
            Err(_) if counted >= enough => {
                (until, counted) = (Instant::now() + patience, 0);
                continue;
            }
            Err(_) => return Err(FileError::Slow { name, bytes: counted, seconds: patience.as_secs() }),
        };
        let Some(piece) = piece else { return Ok((body, at)) };
        if body.len() + piece.len() > most {
            return Err(FileError::TooLong(name, most));
        }
        counted += piece.len() as u64;
        body.extend_from_slice(&piece);
    }
}

/// Returns the URL of a file of the repository at `base`.
pub(crate) fn below(base: &Url, name: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{name}", base.path().trim_end_matches('/')));
    url
}
