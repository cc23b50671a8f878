//! One question for all databases of a `-Sy`: pacman starts a process for each, and each would pay for a
//! connection.
//!
//! The first call asks about all of them at the same time, as pacman's own downloader does. Unchanged databases
//! are noted for this run of pacman, and the later calls need no network. HEAD, so that a changed database is not
//! sent twice.

use std::rc::Rc;
use std::thread;
use std::time::SystemTime;

use futures_util::StreamExt as _;
use reqwest::{StatusCode, Url};

use super::in_use::DatabaseInUse;
use crate::base::error::{Error, ErrorKind};
use crate::base::name::FileName;
use crate::engine::want::Want;
use crate::lists::pacman::arguments::Operation;
use crate::lists::pacman::pacman_conf::Repo;
use crate::machine::call::Call;
use crate::net::http::{self, GetOptions};

/// Most databases that are asked about at once.
const MOST: usize = 32;

/// Returns the source that, in this run of pacman, reported the database as unchanged since its file was in this
/// `state`. Asks about all databases unless an earlier call did. The file was proven then to be the delivered one,
/// whatever the source.
///
/// # Errors
/// `Interrupted`.
pub(super) async fn unchanged(call: &mut Call, want: &Want, state: &str) -> Result<Option<String>, Error> {
    let refreshes = call.pacman_run.caller.as_ref().is_some_and(|caller| {
        let operation = caller.arguments.operation;
        matches!(operation, Some(Operation::Sync | Operation::Files)) && !caller.arguments.is_refresh_forced()
    });
    if !refreshes {
        return Ok(None);
    }
    if call.health.begin_batch() {
        let asked = ask(call, want).await;
        call.health.save();
        asked?;
    }
    let host = call.health.take_unchanged(want.name.as_str(), state);
    call.health.save();
    Ok(host)
}

async fn ask(call: &mut Call, want: &Want) -> Result<(), Error> {
    let Some((suffix, conf)) = want.name.as_str().rsplit_once('.').map(|(_, suffix)| suffix).zip(call.lists.conf())
    else {
        return Ok(());
    };
    let at_once = conf.parallel_downloads.clamp(1, 8) as usize;
    let repos = conf.repos.iter().filter(|repo| repo.usage.sync).take(MOST);
    let (questions, files): (Vec<_>, Vec<_>) = repos.filter_map(|repo| question(call, repo, suffix)).unzip();
    if questions.len() < 2 {
        return Ok(());
    }
    // Mirrors take longer to answer than the files to be hashed.
    let hash = move || files.into_iter().map(|file| file.is_as_delivered().then(|| file.state())).collect::<Vec<_>>();
    // If this machine allows no more threads, each call asks for itself.
    let Ok(proven) = thread::Builder::new().spawn(hash) else { return Ok(()) };
    let (http, limit) = (Rc::clone(&call.machine.http), call.machine.settings.connect);
    let questions = async {
        let asked = futures_util::stream::iter(questions).map(|(name, url, newer_than)| {
            let http = &http;
            async move {
                let ask =
                    GetOptions { head: true, newer_than: Some(newer_than), unproven: true, ..GetOptions::default() };
                let answer = tokio::time::timeout(limit, http.ask(&url, &ask)).await;
                let unchanged =
                    answer.ok().and_then(Result::ok).map(|answer| answer.status() == StatusCode::NOT_MODIFIED);
                (name, http::host(&url), unchanged)
            }
        });
        asked.buffered(at_once).collect::<Vec<_>>().await
    };
    let Some(answers) = call.cancel.run_until_cancelled(questions).await else {
        return Err(Error::new(ErrorKind::Interrupted, &want.name, "interrupted"));
    };
    let proven = proven.join().expect("hashing files does not panic");
    for ((name, host, unchanged), state) in answers.into_iter().zip(proven) {
        match (unchanged, state) {
            (Some(true), Some(state)) => call.health.unchanged(name.as_str(), &state, &host),
            (Some(_), _) => {}
            (None, _) => call.health.down(&host, None),
        }
    }
    Ok(())
}

/// A request to the first server of a repository, when the database in use, which comes along, has a date to ask
/// by.
type DatedRequest = (FileName, Url, SystemTime);

fn question(call: &Call, repo: &Repo, suffix: &str) -> Option<(DatedRequest, DatabaseInUse)> {
    let name = FileName::new(format!("{}.{suffix}", repo.name)).ok()?;
    let in_use = DatabaseInUse::found(&call.lists, &name, Some(&repo.common))?;
    let date = in_use.strong_date()?;
    // A repository whose newer snapshots are wanted is asked about by itself.
    let server = repo.servers.first().filter(|_| !call.machine.settings.from_index.contains(&repo.name))?;
    let url = Url::parse(&format!("{}/{name}", server.trim_end_matches('/'))).ok()?;
    let is_asked = matches!(url.scheme(), "http" | "https") && !call.health.is_down(&http::host(&url));
    is_asked.then_some(((name, url, date), in_use))
}
