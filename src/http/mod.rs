//! The one HTTP client: redirects counted, addresses shown without secrets, TLS built only when an https URL is asked.
//!
//! Building a TLS client reads every CA of the system (2.5 ms, half of what curl needs in all); Kubo and many mirrors
//! speak plain HTTP, so three clients are made lazily.

use std::cell::OnceCell;
use std::time::{Duration, SystemTime};

use reqwest::header::{self, HeaderMap};
use reqwest::{Client, ClientBuilder, Method, StatusCode, Url, redirect};

use crate::miss::Miss;

pub mod range;

/// Most redirects that are followed, as many as reqwest and browsers of old follow (curl: 50).
const MOST_REDIRECTS: usize = 10;

/// What this program calls itself. Not `Mozilla…` nor `…/kubo/…`, which Kubo's RPC refuses.
pub const USER_AGENT: &str = concat!("pkgswarm/", env!("CARGO_PKG_VERSION"));

/// Lazily built clients.
#[derive(Debug)]
pub struct Http {
    connect: Duration,
    loopback: OnceCell<Client>,
    plain: OnceCell<Client>,
    tls: OnceCell<Client>,
}

/// How to ask.
#[derive(Clone, Default, Debug)]
pub struct GetOptions {
    /// First byte wanted; 0 for the whole file.
    pub from: u64,
    /// Where to stop, after `from`; `None` for the end of the file.
    pub until: Option<u64>,
    /// Answer 304 when the file is not newer.
    pub newer_than: Option<SystemTime>,
    /// Additional `Accept`.
    pub accept: Option<&'static str>,
    /// `Cache-Control: only-if-cached`, which a gateway answers with 412 when it would need the network.
    pub cached_only: bool,
    /// HEAD instead of GET.
    pub head: bool,
    /// Straight to loopback, whatever proxy the environment names.
    pub direct: bool,
}

impl Http {
    /// `connect` bounds name look-up, TCP and TLS of one connection.
    pub fn new(connect: Duration) -> Self {
        Self { connect, loopback: OnceCell::new(), plain: OnceCell::new(), tls: OnceCell::new() }
    }

    /// The client for services on this machine: no proxy, no TLS.
    pub fn loopback(&self) -> &Client {
        self.loopback.get_or_init(|| built(without_tls(self.builder()).no_proxy()))
    }

    /// A client whose every connection is one to this Unix socket.
    pub fn unix(&self, socket: &std::path::Path) -> Client {
        built(without_tls(self.builder()).no_proxy().unix_socket(socket))
    }

    /// A client that follows redirects by itself, for what is off the path of downloads and proven afterwards.
    pub fn following(&self) -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        built(self.builder().redirect(redirect::Policy::limited(MOST_REDIRECTS)))
    }

    fn client(&self, url: &Url, direct: bool) -> &Client {
        match (direct, url.scheme()) {
            (true, "http") => self.loopback(),
            (false, "http") => self.plain.get_or_init(|| built(without_tls(self.builder()))),
            _ => self.tls.get_or_init(|| {
                // Fails only when a provider is installed already, which is as good.
                let _ = rustls::crypto::ring::default_provider().install_default();
                built(self.builder())
            }),
        }
    }

    fn builder(&self) -> ClientBuilder {
        Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .connect_timeout(self.connect)
            .tcp_nodelay(true)
    }

    /// Sends a request and follows redirects to http and https URLs. Any final status is an answer.
    ///
    /// # Errors
    /// [`Miss::Unreachable`] when no answer came; [`Miss::Broken`] for redirects in circles.
    pub async fn ask(&self, url: &Url, ask: &GetOptions) -> Result<reqwest::Response, Miss> {
        let mut url = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let method = if ask.head { Method::HEAD } else { Method::GET };
            let request = self.client(&url, ask.direct).request(method, url.clone()).headers(headers(ask));
            let response = request.send().await.map_err(|e| Miss::Unreachable(reason(&e)))?;
            let status = response.status();
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                return Ok(response);
            }
            let target = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            let target = target.ok_or_else(|| Miss::Broken(format!("HTTP {} without a target", status.as_u16())))?;
            let next = url.join(target).map_err(|_| Miss::Broken("redirected to nonsense".to_owned()))?;
            if !matches!(next.scheme(), "http" | "https") {
                return Err(Miss::Broken(format!("redirected to a {} address", next.scheme())));
            }
            // What listens on loopback is asked past any proxy; it must not send us somewhere else that way.
            if ask.direct && host(&next) != host(&url) {
                return Err(Miss::Broken(format!("redirected to {}", host(&next))));
            }
            url = next;
        }
        Err(Miss::Broken(format!("redirected more than {MOST_REDIRECTS} times")))
    }
}

/// A URL for people and logs: without user name, password and query.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

/// The host and, where it is not the scheme's own, the port.
pub fn host(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => format!("{}://", url.scheme()),
    }
}

/// Text of a header, when there is one and it is text.
pub fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Why a request failed, without the URL (which may hold a password) and without repeating itself.
pub fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let text = cause.to_string();
    if error.is_timeout() && !text.contains("timed out") { format!("timed out: {text}") } else { text }
}

fn headers(ask: &GetOptions) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if ask.from > 0 || ask.until.is_some() {
        let last = ask.until.map(|until| until.saturating_sub(1).to_string()).unwrap_or_default();
        headers.insert(header::RANGE, format!("bytes={}-{last}", ask.from).parse().expect("digits are a header"));
    }
    if let Some(time) = ask.newer_than {
        headers.insert(header::IF_MODIFIED_SINCE, httpdate::fmt_http_date(time).parse().expect("a date is a header"));
    }
    if let Some(accept) = ask.accept {
        headers.insert(header::ACCEPT, header::HeaderValue::from_static(accept));
    }
    if ask.cached_only {
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("only-if-cached"));
    }
    headers
}

/// An empty set of CAs: the client never speaks TLS, so none needs to be read.
fn without_tls(builder: ClientBuilder) -> ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder.tls_certs_only([])
}

fn built(builder: ClientBuilder) -> Client {
    builder.build().expect("the settings of the client are fixed and valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_urls_hold_no_secrets() {
        let url = Url::parse("https://user:secret@mirror.example:8443/a/b?token=secret").unwrap();
        assert_eq!(shown(&url), "https://mirror.example:8443/a/b");
        assert_eq!(host(&url), "mirror.example:8443");
    }

    #[test]
    fn the_agent_is_not_one_that_kubo_refuses() {
        assert!(USER_AGENT.starts_with("pkgswarm/") && !USER_AGENT.contains("kubo"));
    }
}
