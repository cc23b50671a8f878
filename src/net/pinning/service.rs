//! The Pinning Service API 1.0.0 (ipfs/pinning-services-api-spec, `ipfs-pinning-service.yaml`, frozen).
//!
//! Services differ from it, and from each other: 200 for 202, lists that are not in order or repeat a page, lists of all
//! states, answers about another pin. A request is known by its id, which the caller writes down; lists help to find what
//! a lost answer has left there.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::BTreeMap;

use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{RemoteApi, RemoteError, RemoteErrorKind, RemoteState};
use crate::base::cid::Cid;
use crate::base::name::shown;

/// Pins of a page, the most that the specification allows.
const PAGE: usize = 1000;
/// Most pages of a list.
const PAGES: usize = 10;
/// Most bytes of a request's id.
const ID_MOST: usize = 512;
/// Most origins of a request, and delegates of an answer.
const ADDRESSES: usize = 20;

/// A pinning service.
#[derive(Clone)]
pub struct ServiceApi {
    api: RemoteApi,
}

/// A request to pin, as the service sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PinRequest {
    /// Its id there.
    pub id: String,
    /// The root.
    pub cid: Cid,
    /// Its name; empty if it has none.
    pub name: String,
    /// How far the service is.
    pub state: RemoteState,
    /// The reason of a failure, where the service tells one.
    pub why: Option<String>,
    /// Addresses of the service's own nodes, to which a connection helps it.
    pub delegates: Vec<String>,
}

#[derive(Deserialize)]
struct WireRequest {
    // Estuary wrote it so.
    #[serde(alias = "requestId")]
    requestid: String,
    status: String,
    #[serde(default)]
    created: String,
    pin: WireRequested,
    #[serde(default)]
    delegates: Option<Vec<String>>,
    #[serde(default)]
    info: Option<Value>,
}

#[derive(Deserialize)]
struct WireRequested {
    cid: String,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct WireRequests {
    #[serde(default)]
    results: Option<Vec<Value>>,
}

impl ServiceApi {
    /// Returns its address.
    pub(crate) fn address(&self) -> &str {
        self.api.base.as_str()
    }

    /// Makes the client of one.
    pub fn new(api: RemoteApi) -> Self {
        Self { api }
    }

    /// Lists the requests whose names begin so, or are exactly this, in every state, each id once.
    ///
    /// # Errors
    /// [`RemoteError`]; trying again later may help unless the secret is refused.
    pub async fn named(&self, name: &str, is_exact: bool) -> Result<Vec<PinRequest>, RemoteError> {
        let how = if is_exact { "exact" } else { "partial" };
        let found = self.list(&[("name", name.to_owned()), ("match", how.to_owned())]).await?;
        let is_named = |found: &str| if is_exact { found == name } else { found.starts_with(name) };
        Ok(found.into_iter().filter(|request| is_named(&request.name)).collect())
    }

    /// Lists the requests of a root, in every state, each id once.
    ///
    /// # Errors
    /// As of [`named`](Self::named).
    pub async fn of_root(&self, cid: Cid) -> Result<Vec<PinRequest>, RemoteError> {
        let found = self.list(&[("cid", cid.to_string())]).await?;
        Ok(found.into_iter().filter(|request| request.cid == cid).collect())
    }

    async fn list(&self, which: &[(&str, String)]) -> Result<Vec<PinRequest>, RemoteError> {
        let mut found: BTreeMap<String, PinRequest> = BTreeMap::new();
        let mut before: Option<String> = None;
        for _ in 0..PAGES {
            let states = "queued,pinning,pinned,failed".to_owned();
            let mut query = vec![("status", states), ("limit", PAGE.to_string())];
            query.extend_from_slice(which);
            query.extend(before.iter().map(|before| ("before", before.clone())));
            let answer = self.api.call(Method::GET, self.api.at(&["pins"], &query), None).await?;
            let page: WireRequests =
                serde_json::from_slice(&answer.body).map_err(|_| self.api.broken("its answer is no list of pins"))?;
            let page = page.results.unwrap_or_default();
            let (count, known) = (page.len(), found.len());
            let mut oldest: Option<(jiff::Timestamp, String)> = None;
            // What cannot be read is not ours: pins of other programs in forms that the specification does not know.
            for status in page.into_iter().filter_map(|value| serde_json::from_value::<WireRequest>(value).ok()) {
                if let Ok(at) = status.created.parse::<jiff::Timestamp>()
                    && oldest.as_ref().is_none_or(|(oldest, _)| at < *oldest)
                {
                    oldest = Some((at, status.created.clone()));
                }
                if let Some(request) = request(status) {
                    found.insert(request.id.clone(), request);
                }
            }
            // A page that brings nothing new is the same page again.
            match oldest {
                Some((_, created)) if count >= PAGE && found.len() > known => before = Some(created),
                _ => break,
            }
        }
        Ok(found.into_values().collect())
    }

    /// Returns the request `id`, which was made for `cid`; `None` when the service does not know it.
    ///
    /// # Errors
    /// As of [`named`](Self::named). `Broken` when the answer is about another request.
    pub async fn get(&self, id: &str, cid: Cid) -> Result<Option<PinRequest>, RemoteError> {
        match self.api.call(Method::GET, self.request_url(id), None).await {
            Ok(answer) => match self.read(&answer.body)? {
                request if request.id == id && request.cid == cid => Ok(Some(request)),
                _ => Err(self.api.broken("its answer is about another request")),
            },
            Err(e) if e.kind == RemoteErrorKind::Absent => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Requests that a root is pinned.
    ///
    /// # Errors
    /// As of [`named`](Self::named); `Refused` with HTTP 409 where the account has no means left. `Broken` when the answer
    /// is about another root: then the request may have been made, and a list finds it.
    pub async fn add(&self, cid: Cid, name: &str, origins: &[String]) -> Result<PinRequest, RemoteError> {
        let origins = &origins[..origins.len().min(ADDRESSES)];
        let body = json!({"cid": cid.to_string(), "name": name, "origins": origins});
        let answer = self.api.call(Method::POST, self.api.at(&["pins"], &[]), Some(&body)).await?;
        let request = self.read(&answer.body)?;
        match request.cid == cid {
            true => Ok(request),
            false => Err(self.api.broken("its answer is about another root")),
        }
    }

    /// Ends a request: the service lets go of its root, unless another request has it.
    ///
    /// # Errors
    /// As of [`named`](Self::named); one that is not there is none.
    pub async fn remove(&self, id: &str) -> Result<(), RemoteError> {
        match self.api.call(Method::DELETE, self.request_url(id), None).await {
            Err(e) if e.kind != RemoteErrorKind::Absent => Err(e),
            _ => Ok(()),
        }
    }

    /// Explains a request that failed.
    pub(crate) fn gave_up(&self, request: &PinRequest) -> RemoteError {
        let why = request.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        self.api.error(RemoteErrorKind::Refused, format!("gave up on {}{why}", request.cid))
    }

    fn request_url(&self, id: &str) -> Url {
        self.api.at(&["pins", id], &[])
    }

    fn read(&self, body: &[u8]) -> Result<PinRequest, RemoteError> {
        let status = serde_json::from_slice::<WireRequest>(body).ok().and_then(request);
        status.ok_or_else(|| self.api.broken("its answer is no status of a pin"))
    }
}

/// Checks what a service says of a request.
fn request(status: WireRequest) -> Option<PinRequest> {
    let id = status.requestid;
    // `.` and `..` would be another path.
    let is_plain =
        !id.is_empty() && id.len() <= ID_MOST && !id.chars().any(char::is_control) && !id.trim_matches('.').is_empty();
    let state = match &*status.status {
        "pinned" => RemoteState::Held,
        "failed" => RemoteState::Failed,
        _ => RemoteState::AtWork,
    };
    let why = status.info.as_ref().and_then(|info| info["status_details"].as_str());
    let why = why.map(|why| shown(why.trim()).into_owned());
    let delegates = status.delegates.unwrap_or_default().into_iter().take(ADDRESSES).collect();
    let cid = status.pin.cid.parse().ok()?;
    is_plain.then_some(PinRequest { id, cid, name: status.pin.name.unwrap_or_default(), state, why, delegates })
}
