//! Where a client goes for what this endpoint cannot give it in time: a mirror that has the package and its signature, or
//! the client's next server. So that the next file comes in time, the mirror is connected to meanwhile.

use std::rc::Rc;
use std::time::Duration;

use reqwest::header::CONTENT_LENGTH;
use reqwest::{StatusCode, Url};
use tokio::time::{Instant, timeout};

use super::HttpEndpoint;
use super::known::KnownPackage;
use super::transfer::{PATIENCE, candidates};
use crate::engine::deliver::Candidate;
use crate::net::http::{self, GetOptions};

/// Longest time until a redirect: pacman gives up after ten seconds.
const LAST: Duration = Duration::from_millis(9500);

/// Longest look for a mirror to which a client is sent.
const SOON: Duration = Duration::from_secs(3);

/// Makes a connection to the mirror that was too slow, so that the next file finds it. Moves no byte of a file.
pub(super) fn warm(endpoint: &Rc<HttpEndpoint>, package: &KnownPackage) {
    let sources = candidates(endpoint, &package.want, true);
    let Some(Candidate::Mirror(url)) = sources.into_iter().find(|source| matches!(source, Candidate::Mirror(_))) else {
        return;
    };
    let host = http::host(&url);
    if !endpoint.transfers.warming.borrow_mut().insert(host.clone()) {
        return;
    }
    let endpoint = Rc::clone(endpoint);
    tokio::task::spawn_local(async move {
        let machine = endpoint.machine();
        let ask = GetOptions { head: true, ..GetOptions::default() };
        let _ = timeout(PATIENCE, machine.http.ask(&url, &ask)).await;
        endpoint.transfers.warming.borrow_mut().remove(&host);
    });
}

/// Returns the URL of a package at a mirror that has it and its signature, both seen now; `None` where none shows them
/// soon, for a request that `begun` then. What is fetched there is the client's own affair.
pub(super) async fn url(endpoint: &HttpEndpoint, package: &KnownPackage, size: u64, begun: Instant) -> Option<Url> {
    let soon = (LAST - begun.elapsed().min(LAST)).min(SOON);
    let machine = endpoint.machine();
    let mirrors = candidates(endpoint, &package.want, true).into_iter().filter_map(|candidate| match candidate {
        Candidate::Mirror(url) => Some(url),
        _ => None,
    });
    let look = async {
        for url in mirrors.take(2) {
            let signature = Url::parse(&format!("{url}.sig")).ok()?;
            // An answer that is held has a place at the mirror, for which the other one would wait.
            let length_of = async |url: &Url| {
                let ask = GetOptions { head: true, ..GetOptions::default() };
                let answer =
                    machine.http.ask(url, &ask).await.ok().filter(|answer| answer.status() == StatusCode::OK)?;
                Some(http::text(answer.headers(), CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok()))
            };
            let (file, signature) = tokio::join!(length_of(&url), length_of(&signature));
            if file == Some(Some(size)) && signature.is_some() {
                return Some(url);
            }
        }
        None
    };
    timeout(soon, look).await.ok().flatten()
}
