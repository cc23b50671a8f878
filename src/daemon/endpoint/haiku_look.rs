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
use crate::haiku::kept::KeptSnapshot;
use crate::haiku::take::{AskedRepo, take};
use crate::index::time;
use crate::machine::Machine;
use crate::report::log;

/// Time for which a look at the servers is not repeated.
const FRESH: Duration = Duration::from_secs(60);

/// The same after one in which a server took all its time: another one would take as long.
const AGAIN: Duration = Duration::from_secs(15);

/// The same after the second one in a row that found nothing; twice as long after each further one. What the user has
/// mended after the first shows at once.
const VAIN: Duration = Duration::from_secs(2);

/// Longest wait for the servers where there is a list that can be served meanwhile.
const SOON: Duration = Duration::from_secs(3);

/// Longest wait for them where there is none.
const LATE: Duration = Duration::from_secs(20);

/// Asks the servers for a newer snapshot, unless that was done a moment ago, and waits for it: not for long where
/// there is one that can be served, and the look goes on. The one in use stays where the servers have none that is
/// proven; the log says why.
pub(super) async fn renew(repo: &Rc<HaikuRepo>, endpoint: &Rc<HttpEndpoint>, machine: &Rc<Machine>, client: IpAddr) {
    let Some((begun, mut over)) = look(repo, endpoint, machine, client) else { return };
    let mut until = begun + SOON;
    // Where there was none, the first that is proven will do while a newer one comes.
    while timeout_at(until, over.changed()).await.is_err() && until < begun + LATE {
        if repo.in_use(machine).await.is_some() {
            return;
        }
        until += SOON;
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
        let look = looked(&repo, &endpoint, &machine, client).await;
        let mut looks = repo.looks.borrow_mut();
        let vain = if look.found { 0 } else { looks.vain + 1 };
        let again = match vain {
            0 => FRESH,
            1 => Duration::ZERO,
            _ => (VAIN * (1 << (vain - 2).min(5))).min(FRESH),
        };
        let again = if look.is_slow { again.max(AGAIN) } else { again };
        *looks = ServerLooks { running: None, next: Some(Instant::now() + again), vain };
        drop(looks);
        drop(ends);
    });
    Some((now, over))
}

/// What came of a look.
struct LookResult {
    /// True where there is a list that is proven, and new or confirmed.
    found: bool,
    /// True where none was found, and a server took all its time.
    is_slow: bool,
}

/// Looks at the servers, and where they have nothing at the indexes.
async fn looked(repo: &HaikuRepo, endpoint: &Rc<HttpEndpoint>, machine: &Rc<Machine>, client: IpAddr) -> LookResult {
    let known = repo.known(machine).await;
    let asked = AskedRepo { machine, config: &repo.config, refused: &repo.refused };
    let mut early = None;
    let first = async |first: &KeptSnapshot| {
        early = Some(first.snapshot.sha256);
        repo.accept(machine, first.clone()).await;
    };
    let taken = take(asked, known.as_deref().map(|known| &known.newest), first).await;
    for failure in &taken.failures {
        log::warn(&format!("haiku {}: {}: {}", repo.config.name, failure.host, failure.why));
    }
    let (shelf, records, config) = (repo.shelf(machine), taken.records(), repo.config.clone());
    let noting = tokio::task::spawn_blocking(move || shelf.note(&config, records)).await;
    if let Ok(Err(e)) = noting {
        log::warn(&format!("haiku {}: what its servers answered is not kept: {e}", repo.config.name));
    }
    if let Some(newest) = taken.snapshot {
        if early != Some(newest.snapshot.sha256) {
            repo.accept(machine, newest).await;
        }
        return LookResult { found: true, is_slow: false };
    }
    if haiku_index::renew(endpoint, machine, repo, client).await {
        return LookResult { found: true, is_slow: false };
    }
    log::warn(&format!("haiku {}: no server sends a list that is proven; {}", repo.config.name, left(repo)));
    LookResult { found: false, is_slow: taken.failures.iter().any(|failure| failure.is_slow) }
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
