//! A plain copy of an index, by HTTP: what has no expectation is read from it in one piece, and bounded.

use std::rc::Rc;

use reqwest::{Client, Url};

use super::tally::Tally;
use crate::base::clock;
use crate::base::name::shown;
use crate::engine::source::Miss;
use crate::net::http::block::read_body;
use crate::net::http::{USER_AGENT, host, reason};

/// A plain copy of an index.
#[derive(Clone)]
pub(super) struct PlainCopy<'a> {
    url: &'a Url,
    client: Client,
    tally: Rc<Tally>,
}

/// The reason why a file of the copy did not come.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error("HTTP {0}")]
    Status(u16),
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// Without the URL, which may hold a password.
    #[error("{}", shown(&reason(.0)))]
    Transport(#[from] reqwest::Error),
}

impl CopyError {
    /// Returns the same as a source's miss.
    pub(super) fn miss(self) -> Miss {
        let text = self.to_string();
        match self {
            CopyError::Status(404 | 410) => Miss::Absent(text),
            CopyError::TooLong(_) => Miss::Corrupt(text),
            CopyError::Transport(e) if e.is_connect() => Miss::Unreachable(text),
            CopyError::Status(_) | CopyError::Transport(_) => Miss::Broken(text),
        }
    }
}

impl<'a> PlainCopy<'a> {
    /// Reaches the copy at `url`.
    pub(super) fn at(url: &'a Url, client: &Client, tally: &Rc<Tally>) -> Self {
        Self { url, client: client.clone(), tally: Rc::clone(tally) }
    }

    /// Fetches a file of at most `most` bytes, unproven.
    pub(super) async fn get(&self, path: &str, most: usize) -> Result<Vec<u8>, CopyError> {
        let answer = self.client.get(below(self.url, path)).header("User-Agent", USER_AGENT).send().await?;
        let date = answer.headers().get("Date").and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        if let Some(date) = date.and_then(clock::checked_unix) {
            self.tally.heard(&host(self.url), date);
        }
        if !answer.status().is_success() {
            return Err(CopyError::Status(answer.status().as_u16()));
        }
        read_body(answer, most, |moved| self.tally.count(moved)).await?.ok_or(CopyError::TooLong(most))
    }
}

/// Returns the URL of a file of the copy at `base`.
pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}
