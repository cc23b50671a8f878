//! Clients of services that hold pins for others: ipfs-cluster and the Pinning Service API.
//!
//! Each answer is bounded in size and time, and no redirect is followed: the secret goes to the address that the user
//! named, and nowhere else. What a service says is text for people, made fit to print.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::Value;

use crate::base::name::shown;
use crate::net::http::USER_AGENT;
use crate::net::http::block::read_body;

mod cluster;
mod service;

pub use cluster::{ClusterApi, ClusterPin, ClusterProgress, Copies};
pub use service::{PinRequest, ServiceApi};

/// Time that a call has.
const CALL: Duration = Duration::from_secs(30);
/// Most bytes of an answer that is read as a whole: a page of 1,000 pins has about 1 MB.
const ANSWER_MOST: usize = 8 << 20;
/// Longest wait for a service that is busy, before the call is made once more.
const BUSY_MOST: Duration = Duration::from_secs(10);

/// The progress of a service with one pin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RemoteState {
    /// It gave up.
    Failed,
    /// It is at work, or will be.
    AtWork,
    /// It holds everything below the root.
    Held,
}

/// How a service knows its user.
#[derive(Clone, Default)]
pub enum ApiSecret {
    /// It takes every caller that can reach it.
    #[default]
    None,
    /// A token.
    Bearer(String),
    /// A user and a password.
    Basic(String, String),
}

/// The kind of a failure; code decides by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RemoteErrorKind {
    /// No connection, or no answer in time. Trying again later may help.
    Unreachable,
    /// The secret is missing, wrong or not enough. Only the user can help.
    Forbidden,
    /// It is busy, and names a time to come back; zero when it names none.
    Busy(Duration),
    /// It does not know what the call was about.
    Absent,
    /// It refuses the call. Trying again does not help, unless it says so.
    Refused,
    /// Its answer is none that the specification knows.
    Broken,
}

/// A call to a service that failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{host}: {text}")]
pub struct RemoteError {
    /// The kind.
    pub kind: RemoteErrorKind,
    host: String,
    text: String,
}

/// The address and the secret of a service. Its secret never appears in messages.
#[derive(Clone)]
pub struct RemoteApi {
    base: Url,
    secret: ApiSecret,
    client: Client,
}

/// A call that went well.
struct RemoteAnswer {
    status: StatusCode,
    body: Vec<u8>,
}

impl RemoteApi {
    /// Makes a client of the service at `base`; `client` must follow no redirects.
    pub fn new(base: Url, secret: ApiSecret, client: Client) -> Self {
        Self { base, secret, client }
    }

    /// Returns the URL of what is below the base by these parts, each of which is escaped.
    fn at(&self, parts: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn error(&self, kind: RemoteErrorKind, text: impl Into<String>) -> RemoteError {
        RemoteError { kind, host: crate::net::http::host(&self.base), text: text.into() }
    }

    fn broken(&self, text: impl Into<String>) -> RemoteError {
        self.error(RemoteErrorKind::Broken, text)
    }

    /// Sends a call; once more when the service is busy and names a short wait.
    async fn call(&self, method: Method, url: Url, body: Option<&Value>) -> Result<RemoteAnswer, RemoteError> {
        let first = self.call_once(method.clone(), url.clone(), body).await;
        match first {
            Err(RemoteError { kind: RemoteErrorKind::Busy(wait), .. }) if !wait.is_zero() && wait <= BUSY_MOST => {
                tokio::time::sleep(wait).await;
                self.call_once(method, url, body).await
            }
            other => other,
        }
    }

    async fn call_once(&self, method: Method, url: Url, body: Option<&Value>) -> Result<RemoteAnswer, RemoteError> {
        let answer = self.send(method, url, body, CALL).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = match read_body(answer, ANSWER_MOST, |_| ()).await {
            Ok(Some(body)) => body,
            Ok(None) => return Err(self.broken(format!("answered with more than {ANSWER_MOST} bytes"))),
            Err(e) => return Err(self.unreachable(e)),
        };
        if status.is_success() { Ok(RemoteAnswer { status, body }) } else { Err(self.refusal(status, &headers, &body)) }
    }

    /// Sends a request and returns the beginning of the answer, whatever its status.
    async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
        deadline: Duration,
    ) -> Result<Response, RemoteError> {
        let request = self.client.request(method, url).timeout(deadline).header("User-Agent", USER_AGENT);
        let request = match &self.secret {
            ApiSecret::None => request,
            ApiSecret::Bearer(token) => request.bearer_auth(token),
            ApiSecret::Basic(user, password) => request.basic_auth(user, Some(password)),
        };
        let request = match body {
            Some(body) => request.header("Content-Type", "application/json").body(body.to_string()),
            None => request,
        };
        request.send().await.map_err(|e| self.unreachable(e))
    }

    fn unreachable(&self, e: reqwest::Error) -> RemoteError {
        let text = if e.is_timeout() { "no answer in time".to_owned() } else { crate::net::http::reason(&e) };
        self.error(RemoteErrorKind::Unreachable, text)
    }

    /// Explains a status that is no success, in the words of the service: `{"error":{"reason","details"}}` of the
    /// Pinning Service API 1.0.0, or `{"code","message"}` of ipfs-cluster.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> RemoteError {
        let said = serde_json::from_slice::<Value>(body).ok().and_then(|body| {
            let error = &body["error"];
            let (reason, details) = (error["reason"].as_str(), error["details"].as_str());
            let both = reason.map(|reason| match details {
                Some(details) if !details.is_empty() => format!("{reason}: {details}"),
                _ => reason.to_owned(),
            });
            both.or_else(|| body["message"].as_str().map(str::to_owned))
        });
        let said = said.map(|said| format!(": {}", shown(said.trim()))).unwrap_or_default();
        let code = status.as_u16();
        let (kind, text) = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                (RemoteErrorKind::Forbidden, format!("refuses the secret (HTTP {code}{said})"))
            }
            StatusCode::NOT_FOUND => (RemoteErrorKind::Absent, format!("does not know it (HTTP 404{said})")),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let wait = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
                let wait = Duration::from_secs(wait.unwrap_or(0));
                (RemoteErrorKind::Busy(wait), format!("is busy (HTTP {code}{said})"))
            }
            _ if status.is_redirection() => {
                (RemoteErrorKind::Broken, format!("leads elsewhere (HTTP {code}), which is not followed"))
            }
            _ => (RemoteErrorKind::Refused, format!("HTTP {code}{said}")),
        };
        self.error(kind, text)
    }
}
