//! An HTTP server of the package manager: one GET, with Range on resume, accepted only if the answer is
//! consistent.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use reqwest::{StatusCode, Url, header};

use crate::engine::source::{FetchRequest, Local, Miss, Source, SourceAnswer, SourceKind};
use crate::net::http::answer::HttpAnswer;
use crate::net::http::range::{ContentRange, retry_after};
use crate::net::http::{self, GetOptions, Http};

/// A file at a URL.
pub struct Mirror<'a> {
    http: &'a Http,
    url: Url,
    /// Exact size, if known: another one is refused before the first byte.
    size: Option<u64>,
    /// Most bytes when the size is not known.
    most: u64,
    /// Set where what comes is believed without a proof; takes the last host, when the mirror redirected.
    led_to: Option<Rc<RefCell<Option<String>>>>,
}

impl<'a> Mirror<'a> {
    /// Makes a source of the file at `url`, which is `size` bytes long, or at most `most` when that is not known.
    pub fn new(http: &'a Http, url: Url, size: Option<u64>, most: u64) -> Self {
        Self { http, url, size, most, led_to: None }
    }

    /// The same for a file that is believed without a proof: not every redirect is followed, and `led_to` will say where
    /// one led.
    pub(crate) fn unproven(self, led_to: &Rc<RefCell<Option<String>>>) -> Self {
        Self { led_to: Some(Rc::clone(led_to)), ..self }
    }

    async fn get(&self, question: FetchRequest) -> Result<SourceAnswer<'_>, Miss> {
        let FetchRequest { from, until, newer_than } = question;
        let ask = GetOptions { from, until, newer_than, unproven: self.led_to.is_some(), ..GetOptions::default() };
        let response = self.http.ask(&self.url, &ask).await?;
        let last = http::host(response.url());
        if last == http::host(&self.url) {
            return offer(response, question, self.size, self.most);
        }
        self.led_to.iter().for_each(|led_to| *led_to.borrow_mut() = Some(last.clone()));
        match offer(response, question, self.size, self.most).map_err(|miss| miss.at(&last))? {
            SourceAnswer::Bytes { start, size, modified, body } => {
                let body = body.map_err(move |miss| miss.at(&last)).boxed_local();
                Ok(SourceAnswer::Bytes { start, size, modified, body })
            }
            other => Ok(other),
        }
    }
}

impl Source for Mirror<'_> {
    fn kind(&self) -> SourceKind {
        SourceKind::Mirror
    }

    fn location(&self) -> String {
        http::host(&self.url)
    }

    fn open(&self, question: FetchRequest) -> Local<'_, Result<SourceAnswer<'_>, Miss>> {
        self.get(question).boxed_local()
    }
}

/// Reads an HTTP answer. Shared with Kubo's gateway, which has the same protocol.
pub(super) fn offer<'a>(
    response: HttpAnswer,
    question: FetchRequest,
    size: Option<u64>,
    most: u64,
) -> Result<SourceAnswer<'a>, Miss> {
    let status = response.status();
    let headers = response.headers();
    let code = format!("HTTP {}", status.as_u16());
    let said = http::text(headers, header::CONTENT_RANGE).and_then(ContentRange::parse);
    let (start, total) = match status {
        // A proxy that changed something says 203; others say something of their own. curl takes them all.
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT => return Err(Miss::Broken(code)),
        other if other.is_success() && other != StatusCode::PARTIAL_CONTENT => (0, response.content_length()),
        StatusCode::PARTIAL_CONTENT => match said {
            Some(range) if range.first == question.from => (range.first, range.total),
            Some(range) => {
                return Err(Miss::Broken(format!("sent bytes from {}, asked from {}", range.first, question.from)));
            }
            None => return Err(Miss::Broken("a part without a Content-Range".to_owned())),
        },
        StatusCode::NOT_MODIFIED if question.newer_than.is_some() => return Ok(SourceAnswer::Unchanged),
        StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Miss::Absent(code)),
        StatusCode::RANGE_NOT_SATISFIABLE => return Err(Miss::Corrupt(format!("{code}: its file is shorter"))),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let after = http::text(headers, header::RETRY_AFTER).unwrap_or("60");
            return Err(Miss::Busy(code, retry_after(after)));
        }
        _ => return Err(Miss::Broken(code)),
    };
    if let (Some(expected), Some(found)) = (size, total)
        && expected != found
    {
        return Err(Miss::Corrupt(format!("has {found} bytes, expected {expected}")));
    }
    if total.is_some_and(|total| total > most) {
        return Err(Miss::Corrupt(format!("more than {most} bytes")));
    }
    let modified = http::text(headers, header::LAST_MODIFIED).and_then(|text| httpdate::parse_http_date(text).ok());
    let body = response.bytes_stream().map_err(|e| Miss::Broken(http::reason(&e))).boxed_local();
    Ok(SourceAnswer::Bytes { start, size: total, modified, body })
}
