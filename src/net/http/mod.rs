//! The one HTTP client: redirects counted, addresses shown without secrets, TLS built only for https URLs.
//!
//! Building a TLS client reads every CA of the system (2.5 ms, half of curl's total time); Kubo and many mirrors
//! speak plain HTTP, so three clients are made lazily. Where several threads fetch at a time, their requests go over
//! [`shared`] connections, except those to this machine.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::cell::OnceCell;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use reqwest::header::{self, HeaderMap};
use reqwest::{Client, Method, StatusCode, Url, redirect};

use crate::base::env::Env;
use crate::base::miss::Miss;
use crate::base::public::is_public_address;
use crate::base::public::is_public_host;

pub(crate) mod answer;
pub(crate) mod block;
mod gate;
mod make;
mod proxy;
pub mod range;
pub(crate) mod shared;
mod thread;
mod tls;

use answer::HttpAnswer;
use make::{ClientMaker, built};
use shared::SharedConnections;

/// Most redirects that are followed, as many as reqwest and early browsers follow (curl: 50).
const MOST_REDIRECTS: usize = 10;

/// The user agent. Not `Mozilla…` nor `…/kubo/…`, which Kubo's RPC refuses.
pub(crate) const USER_AGENT: &str = concat!("pkgswarm/", env!("CARGO_PKG_VERSION"));

/// Name in `Via` of requests from one endpoint to another.
pub(crate) const VIA: &str = "1.1 pkgswarm";

/// Returns the number of this process among endpoints, drawn when it is first needed: of two that wait for each other's
/// file, the one with the smaller number fetches it.
pub(crate) fn endpoint_number() -> u64 {
    static NUMBER: OnceLock<u64> = OnceLock::new();
    *NUMBER.get_or_init(|| RandomState::new().hash_one(VIA))
}

/// Returns the number in a `Via` of another endpoint: its comment (RFC 9110, section 7.6.3).
pub(crate) fn number_in(via: &str) -> Option<u64> {
    let (_, rest) = via.split_once(VIA)?;
    let (number, _) = rest.strip_prefix(" (")?.split_once(')')?;
    u64::from_str_radix(number, 16).ok()
}

/// Longest wait for a connection to a machine of the local network.
const NEAR: Duration = Duration::from_millis(250);

/// Lazily built clients.
#[derive(Debug)]
pub struct Http {
    make: ClientMaker,
    /// Used in place of the last two, where they are shared with other threads.
    shared: Option<Arc<SharedConnections>>,
    loopback: OnceCell<Client>,
    near: OnceCell<Client>,
    plain: OnceCell<Result<Client, Miss>>,
    tls: OnceCell<Result<Client, Miss>>,
}

/// The options of a request.
#[derive(Clone, Default, Debug)]
pub(crate) struct GetOptions {
    /// First byte wanted; 0 for the whole file.
    pub(crate) from: u64,
    /// The end, after `from`; `None` for the end of the file.
    pub(crate) until: Option<u64>,
    /// Ask for status 304 when the file is not newer.
    pub(crate) newer_than: Option<SystemTime>,
    /// Additional `Accept`.
    pub(crate) accept: Option<&'static str>,
    /// `Cache-Control: only-if-cached`, which a gateway answers with 412 when it would need the network.
    pub(crate) cached_only: bool,
    /// HEAD instead of GET.
    pub(crate) head: bool,
    /// Connect straight to loopback, whatever proxy the environment names.
    pub(crate) direct: bool,
    /// The file has no proof: refuse it from an http address that an https one redirects
    /// to, nor from a private address that a public host redirects to.
    pub(crate) unproven: bool,
}

impl Http {
    /// Makes lazy clients without proxies. `connect` bounds name look-up, TCP and TLS of one connection.
    pub fn new(connect: Duration) -> Self {
        let (loopback, near, plain, tls) = (OnceCell::new(), OnceCell::new(), OnceCell::new(), OnceCell::new());
        let make = ClientMaker { connect, ..ClientMaker::default() };
        Self { make, shared: None, loopback, near, plain, tls }
    }

    /// Uses what the environment names: its proxies, for all but services on this machine, and its authorities.
    pub(crate) fn in_environment(self, env: &Env) -> Self {
        Self { make: ClientMaker::in_environment(self.make.connect, env), ..self }
    }

    /// Has requests go over these connections, in the environment for which they were made, except those to services on
    /// this machine.
    pub(crate) fn over(self, shared: &Arc<SharedConnections>) -> Self {
        Self { shared: Some(Arc::clone(shared)), ..self }
    }

    /// Returns the client for services on this machine: no proxy, no TLS.
    pub fn loopback(&self) -> &Client {
        self.loopback.get_or_init(|| built(self.make.builder().tls_backend_preconfigured(tls::none()).no_proxy()))
    }

    /// Sends a request to another machine of the local network, past any proxy; it says that it comes from an endpoint
    /// (`Via`, RFC 9110 section 7.6.3), so that two of them do not ask each other in turn. Any status is an answer, a
    /// redirect too.
    ///
    /// # Errors
    /// As of [`Http::ask`]; [`Miss::Unreachable`] soon where the machine is not there.
    pub(crate) async fn ask_near(&self, url: &Url, ask: &GetOptions) -> Result<HttpAnswer, Miss> {
        let client = self.near.get_or_init(|| {
            let builder = self.make.builder().tls_backend_preconfigured(tls::none()).no_proxy();
            built(builder.connect_timeout(self.make.connect.min(NEAR)))
        });
        let method = if ask.head { Method::HEAD } else { Method::GET };
        let via = format!("{VIA} ({:016x})", endpoint_number());
        let request = client.request(method, url.clone()).headers(headers(ask)).header(header::VIA, via);
        Ok(request.send().await.map_err(|e| missed(&e))?.into())
    }

    /// Returns true where the environment names a proxy.
    pub(crate) fn has_proxies(&self) -> bool {
        !self.make.proxies.is_empty()
    }

    /// Makes a client that connects only to this Unix socket.
    pub(crate) fn unix(&self, socket: &std::path::Path) -> Client {
        built(self.make.builder().tls_backend_preconfigured(tls::none()).no_proxy().unix_socket(socket))
    }

    /// Makes a client that follows redirects by itself, for requests outside of downloads whose results are proven
    /// afterwards.
    ///
    /// # Errors
    /// As of [`Http::ask`], where no client can be made.
    pub(crate) fn following(&self) -> Result<Client, Miss> {
        self.make.proxied(self.make.trusting()?, |builder| builder.redirect(redirect::Policy::limited(MOST_REDIRECTS)))
    }

    /// Makes a client that follows no redirect, for what is sent: only the host that the user named gets it.
    ///
    /// # Errors
    /// As of [`Http::ask`], where no client can be made.
    pub(crate) fn sending(&self) -> Result<Client, Miss> {
        self.make.proxied(self.make.trusting()?, |builder| builder.redirect(redirect::Policy::none()))
    }

    fn client(&self, url: &Url, direct: bool) -> Result<&Client, Miss> {
        let client = match (direct, url.scheme()) {
            (true, "http") => return Ok(self.loopback()),
            (false, "http") if !self.make.proxies.needs_tls_for_http() => {
                self.plain.get_or_init(|| self.make.proxied(tls::none(), |builder| builder))
            }
            _ => self.tls.get_or_init(|| self.make.proxied(self.make.trusting()?, |builder| builder)),
        };
        client.as_ref().map_err(Clone::clone)
    }

    /// Sends a request and follows redirects to http and https URLs. Any final status is an answer. The answer's
    /// URL tells who gave it.
    ///
    /// # Errors
    /// [`Miss::Unreachable`] when no answer came, [`Miss::Untrusted`] when its TLS cannot be used,
    /// [`Miss::Broken`] for an answer that is not HTTP and for redirects that are not followed. What happened
    /// elsewhere than at `url` names the last host.
    pub(crate) async fn ask(&self, url: &Url, ask: &GetOptions) -> Result<HttpAnswer, Miss> {
        let mut path = RedirectPath { first: url, now: url.clone(), was_public: false };
        for _ in 0..=MOST_REDIRECTS {
            let method = if ask.head { Method::HEAD } else { Method::GET };
            let sent = match self.shared.as_ref().filter(|_| !ask.direct) {
                Some(shared) => shared.send(method, path.now.clone(), headers(ask)).await,
                None => {
                    let client = self.client(&path.now, ask.direct)?;
                    let request = client.request(method, path.now.clone()).headers(headers(ask));
                    request.send().await.map(HttpAnswer::from).map_err(|e| missed(&e))
                }
            };
            let response = sent.map_err(|miss| path.told(miss))?;
            if ask.unproven {
                path.look(&response, self.make.proxies.is_empty()).map_err(|miss| path.told(miss))?;
            }
            let status = response.status();
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                return Ok(response);
            }
            path.follow(&response, ask).map_err(|miss| path.told(miss))?;
        }
        Err(Miss::Broken(format!("redirected more than {MOST_REDIRECTS} times")))
    }
}

/// The path of a request from host to host.
struct RedirectPath<'u> {
    first: &'u Url,
    now: Url,
    /// True when a host on it was public.
    was_public: bool,
}

impl RedirectPath<'_> {
    /// Names the last host, when it is not the first.
    fn told(&self, miss: Miss) -> Miss {
        if host(&self.now) == host(self.first) { miss } else { miss.at(&host(&self.now)) }
    }

    /// Refuses the answer of a private host that a public one has redirected to. `is_direct`: no proxy stands
    /// between.
    fn look(&mut self, response: &reqwest::Response, is_direct: bool) -> Result<(), Miss> {
        let by_name = is_public_host(&self.now.host_str().unwrap_or_default().to_ascii_lowercase());
        // A public name may lead to a private address: the first one to this machine's own network, which is
        // legitimate, and a later one to a service that no configuration names.
        let address = response.remote_addr().filter(|_| is_direct);
        let is_public = by_name && address.is_none_or(|address| is_public_address(address.ip()));
        if self.was_public && !is_public {
            return Err(Miss::Broken("a redirect from a public host to a private address is not followed".to_owned()));
        }
        self.was_public |= is_public;
        Ok(())
    }

    /// Follows the answer's redirect.
    fn follow(&mut self, response: &reqwest::Response, ask: &GetOptions) -> Result<(), Miss> {
        let target = response.headers().get(header::LOCATION).map(location);
        let code = response.status().as_u16();
        let target = target.ok_or_else(|| Miss::Broken(format!("HTTP {code} without a target")))?;
        let next = self.now.join(&target).map_err(|_| Miss::Broken("redirected to a malformed URL".to_owned()))?;
        if !matches!(next.scheme(), "http" | "https") {
            return Err(Miss::Broken(format!("redirected to a {} address", next.scheme())));
        }
        // A service on loopback is asked past any proxy; it must not redirect that request elsewhere.
        if ask.direct && host(&next) != host(&self.now) {
            return Err(Miss::Broken(format!("redirected to {}", host(&next))));
        }
        if ask.unproven && self.now.scheme() == "https" && next.scheme() == "http" {
            let why =
                format!("a redirect from https to http://{} is not followed for what cannot be proven", host(&next));
            return Err(Miss::Broken(why));
        }
        if ask.unproven && self.was_public && !is_public_host(&next.host_str().unwrap_or_default().to_ascii_lowercase())
        {
            let why = format!("a redirect from a public host to {}, a private address, is not followed", host(&next));
            return Err(Miss::Broken(why));
        }
        self.now = next;
        Ok(())
    }
}

/// Returns the target of a redirect as a URL has it: servers write UTF-8, and other bytes, unescaped.
fn location(value: &header::HeaderValue) -> String {
    let mut target = String::new();
    for byte in value.as_bytes() {
        if byte.is_ascii() { target.push(char::from(*byte)) } else { target.push_str(&format!("%{byte:02X}")) }
    }
    target
}

/// Classifies the reason why there was no answer, or no valid one.
fn missed(error: &reqwest::Error) -> Miss {
    if let Some(wrong) = causes(error).find_map(of_tls) {
        return Miss::Untrusted(tls::explained(wrong));
    }
    let is_no_http = causes(error).any(|cause| cause.downcast_ref().is_some_and(hyper::Error::is_parse));
    if is_no_http {
        Miss::Broken(format!("its answer is not HTTP: {}", reason(error)))
    } else {
        Miss::Unreachable(reason(error))
    }
}

/// Iterates over an error and its causes.
fn causes<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// Finds the TLS library's error, which comes inside one of input and output, which may be inside another one.
fn of_tls<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    match error.downcast_ref::<std::io::Error>() {
        Some(outer) => outer.get_ref().and_then(|inner| of_tls(inner)),
        None => error.downcast_ref(),
    }
}

/// Prints a URL for people and logs: without user name, password and query.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

/// Returns the host and, where it is not the scheme's own, the port.
pub(crate) fn host(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => format!("{}://", url.scheme()),
    }
}

/// Returns the text of a header, when there is one and it is text.
pub(crate) fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Describes why a request failed, without the URL (which may hold a password) and without repeating itself.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    let text = causes(error).last().expect("there is the error itself").to_string();
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
    fn raw_utf_8_in_a_redirect_is_escaped() {
        let value = |bytes: &[u8]| location(&header::HeaderValue::from_bytes(bytes).unwrap());
        assert_eq!(value("/größe/b?x=ß".as_bytes()), "/gr%C3%B6%C3%9Fe/b?x=%C3%9F");
        assert_eq!(value(b"/latin-\xe9"), "/latin-%E9");
        assert_eq!(value(b"http://m/a%20b"), "http://m/a%20b");
    }

    #[test]
    fn the_agent_is_not_one_that_kubo_refuses() {
        assert!(USER_AGENT.starts_with("pkgswarm/") && !USER_AGENT.contains("kubo"));
    }
}
