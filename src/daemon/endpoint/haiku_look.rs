//! The looks at the servers of a repository of Haiku's, and where they have nothing at the indexes: one at a time for all
//! clients that wait, and none that waits for long.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::haiku_repos::{HaikuRepo, ServerLooks};
use super::{HttpEndpoint, haiku_index};
use crate::base::clock;
use crate::haiku::take::take;
use crate::index::time;
use crate::machine::Machine;
use crate::report::log;

/// Time for which a look at the servers is not repeated.
const FRESH: Duration = Duration::from_secs(60);

/// The same after one in which a server took all its time: another one would take as long.
const AGAIN: Duration = Duration::from_secs(15);

/// Longest wait for the servers where there is a list that can be served meanwhile.
const SOON: Duration = Duration::from_secs(3);

/// Longest wait for them where there is none.
const LATE: Duration = Duration::from_secs(20);

/// Asks the servers for a newer snapshot, unless that was done a moment ago, and waits for it: not for long where
/// there is one that can be served, and the look goes on. The one in use stays where the servers have none that is
/// proven; the log says why.
pub(super) async fn renew(repo: &Rc<HaikuRepo>, endpoint: &Rc<HttpEndpoint>, machine: &Rc<Machine>, client: IpAddr) {
    let most = if repo.in_use(machine).await.is_some() { SOON } else { LATE };
    if let Some((begun, mut over)) = look(repo, endpoint, machine, client) {
        let _ = timeout_at(begun + most, over.changed()).await;
    }
}

/// Returns the look that goes on, which may begin now; `None` where it is too early for another one.
fn look(
    repo: &Rc<HaikuRepo>,
    endpoint: &Rc<HttpEndpoint>,
    machine: &Rc<Machine>,
    client: IpAddr,
) -> Option<(Instant, watch::Receiver<()>)> {
    let mut looks = repo.looks.borrow_mut();
    if let Some(running) = &looks.running {
        return Some(running.clone());
    }
    let now = Instant::now();
    if looks.next.is_some_and(|next| now < next) {
        return None;
    }
    let (ends, over) = watch::channel(());
    looks.running = Some((now, over.clone()));
    let (repo, endpoint, machine) = (Rc::clone(repo), Rc::clone(endpoint), Rc::clone(machine));
    tokio::task::spawn_local(async move {
        let again = looked(&repo, &endpoint, &machine, client).await;
        *repo.looks.borrow_mut() = ServerLooks { running: None, next: again.map(|again| Instant::now() + again) };
        drop(ends);
    });
    Some((now, over))
}

/// Looks at the servers, and where they have nothing at the indexes. Returns the time for which that is not repeated.
async fn looked(
    repo: &HaikuRepo,
    endpoint: &Rc<HttpEndpoint>,
    machine: &Rc<Machine>,
    client: IpAddr,
) -> Option<Duration> {
    let known = repo.known(machine).await;
    let taken = take(machine, &repo.config, known.as_deref().map(|known| &known.newest)).await;
    for failure in &taken.failures {
        log::warn(&format!("haiku {}: {}: {}", repo.config.name, failure.host, failure.why));
    }
    let (shelf, records, config) = (repo.shelf(machine), taken.records(), repo.config.clone());
    let noting = tokio::task::spawn_blocking(move || shelf.note(&config, records)).await;
    if let Ok(Err(e)) = noting {
        log::warn(&format!("haiku {}: what its servers answered is not kept: {e}", repo.config.name));
    }
    if let Some(newest) = taken.snapshot {
        repo.accept(machine, newest).await;
        return Some(FRESH);
    }
    if haiku_index::renew(endpoint, machine, repo, client).await {
        return Some(FRESH);
    }
    log::warn(&format!("haiku {}: no server sends a list that is proven; {}", repo.config.name, left(repo)));
    taken.failures.iter().any(|failure| failure.is_slow).then_some(AGAIN)
}

/// Says what clients get meanwhile.
fn left(repo: &HaikuRepo) -> String {
    let Some(kept) = repo.loaded() else { return "there is none to serve: pkgman gets error 403".to_owned() };
    let age = clock::now().saturating_sub(kept.newest.checked);
    match age <= repo.config.max_age.as_secs() {
        true => format!("the one that a server had {} ago is served", time::span(age)),
        false => format!(
            "the last one that a server had is {} old, and max_age is {}: pkgman gets error 403",
            time::span(age),
            time::span(repo.config.max_age.as_secs())
        ),
    }
}
