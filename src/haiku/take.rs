//! Taking a snapshot: the files of a repository from its servers, one after the other, until one sends what is proven.

use std::time::Duration;

use reqwest::{StatusCode, Url};
use tokio::time::timeout;

use super::kept::KeptSnapshot;
use super::snapshot::{HaikuSnapshot, SnapshotFiles, SnapshotRefusal};
use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::miss::Miss;
use crate::base::name::shown;
use crate::config::HaikuConfig;
use crate::index::minisign::SIGNATURE_MOST;
use crate::lists::haiku::repo_info::REPO_INFO_MOST;
use crate::machine::Machine;
use crate::net::http::block::read_body;
use crate::net::http::{GetOptions, host, reason};

/// Most bytes of `repo.sha256`: the sum, and perhaps the name of a file.
const SUM_MOST: usize = 4 << 10;

/// Most bytes of a list, as of its reader.
const LIST_MOST: usize = 64 << 20;

/// Longest wait for one server's files. pkgman waits as long as we do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that does not have a snapshot, and why.
#[derive(Debug)]
pub(crate) struct ServerFailure {
    /// The host.
    pub(crate) host: String,
    /// The reason, for people.
    pub(crate) why: String,
    /// True where what it sent is not proven: the next run of pkgman must not go on as if nothing were wrong.
    pub(crate) is_refusal: bool,
}

/// The result of asking all servers.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The newest snapshot that is proven, or `None`.
    pub(crate) snapshot: Option<KeptSnapshot>,
    /// The servers that were asked before it, in their order.
    pub(crate) failures: Vec<ServerFailure>,
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
    #[error("it did not send all files of a snapshot within a minute")]
    Slow,
    #[error("repo.sha256 is not a sum")]
    NotASum,
    /// Of this machine's configuration.
    #[error("its key: {0}")]
    Key(String),
    #[error(transparent)]
    Refused(#[from] SnapshotRefusal),
}

/// Asks the servers of `repo` for a snapshot that is not older than `known`; `known` itself where a server has just that.
pub(crate) async fn take(machine: &Machine, repo: &HaikuConfig, known: Option<&KeptSnapshot>) -> Taken {
    let mut failures = Vec::new();
    for base in &repo.urls {
        let mut asked = timeout(PATIENCE, from(machine, base.url(), repo, known)).await.unwrap_or(Err(FileError::Slow));
        if let Err(FileError::Refused(SnapshotRefusal::Sum)) = asked {
            // The files were replaced between two requests.
            asked = timeout(PATIENCE, from(machine, base.url(), repo, known)).await.unwrap_or(Err(FileError::Slow));
        }
        match asked {
            Ok(snapshot) => return Taken { snapshot: Some(snapshot), failures },
            Err(error) => failures.push(ServerFailure {
                host: host(base.url()),
                why: error.to_string(),
                is_refusal: matches!(error, FileError::Refused(_) | FileError::NotASum),
            }),
        }
    }
    Taken { snapshot: None, failures }
}

async fn from(
    machine: &Machine,
    base: &Url,
    repo: &HaikuConfig,
    known: Option<&KeptSnapshot>,
) -> Result<KeptSnapshot, FileError> {
    let (sum, at) = file(machine, base, "repo.sha256", SUM_MOST).await?;
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
    let (list, _) = file(machine, &base, "repo", LIST_MOST).await?;
    if Sha256::of(&list) != sum {
        return Err(SnapshotRefusal::Sum.into());
    }
    let (signature, _) = file(machine, &base, "repo.minisig", SIGNATURE_MOST).await?;
    let (info, _) = file(machine, &base, "repo.info", REPO_INFO_MOST).await?;
    let key = repo.minisign.value().map_err(|why| FileError::Key(why.to_owned()))?.clone();
    let files = SnapshotFiles { list, signature, info };
    let known = known.map(|known| known.snapshot.precursor());
    // A large list takes longer than a thread that has clients should.
    let proving = tokio::task::spawn_blocking(move || HaikuSnapshot::proven(files, &key, known));
    let snapshot = proving.await.map_err(|e| FileError::Key(e.to_string()))??;
    Ok(KeptSnapshot { snapshot, base: base.to_string(), checked })
}

/// Fetches a small file; returns it with the URL that it came from.
async fn file(machine: &Machine, base: &Url, name: &'static str, most: usize) -> Result<(Vec<u8>, Url), FileError> {
    let url = below(base, name);
    let answer = machine.http.ask(&url, &GetOptions::default()).await.map_err(FileError::Miss)?;
    if answer.status() != StatusCode::OK {
        return Err(FileError::Status(name, answer.status()));
    }
    let at = answer.url().clone();
    let body = read_body(answer, most, |_| ()).await.map_err(|error| FileError::Transport { name, error })?;
    Ok((body.ok_or(FileError::TooLong(name, most))?, at))
}

/// Returns the URL of a file of the repository at `base`.
pub(crate) fn below(base: &Url, name: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{name}", base.path().trim_end_matches('/')));
    url
}
