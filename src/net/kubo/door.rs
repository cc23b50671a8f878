//! The way to Kubo's RPC: over TCP or a Unix socket, with a secret if `API.Authorizations` demands one.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use cid::multibase::Base;
use reqwest::header::HeaderValue;
use reqwest::{Client, Url};

use super::Kubo;
use crate::config::Settings;
use crate::config::url::RpcAddress;
use crate::net::http::Http;

/// Most bytes of a file with a secret: a longer one is another file.
const SECRET_MOST: u64 = 4096;

/// Requirements of RPC calls besides the address.
#[derive(Clone, Default)]
pub struct Door {
    /// Connected to a Unix socket; `None` for the client of the gateway.
    pub(super) client: Option<Client>,
    /// `Authorization`, or the reason for its lack although one is configured.
    pub(super) secret: Option<Result<HeaderValue, String>>,
}

/// Omits the secret.
impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = self.secret.as_ref().map(|secret| secret.as_ref().map(|_| "…"));
        f.debug_struct("Door").field("socket", &self.client.is_some()).field("secret", &secret).finish()
    }
}

impl Kubo {
    /// Makes the door to the daemon that the settings name.
    pub(crate) fn configured(settings: &Settings, http: &Http) -> Self {
        let client = http.loopback().clone();
        let secret = settings.kubo_token.as_deref().map(secret);
        let gateway = settings.gateway_url();
        match &settings.kubo_api {
            RpcAddress::Unix(path) => {
                // The name is not looked up; HTTP requires one.
                let api = Url::parse("http://localhost").ok();
                let door = Door { client: Some(http.unix(path)), secret };
                Self { api, gateway, client, door }
            }
            RpcAddress::Http(base) => {
                Self { api: Some(base.url().clone()), gateway, client, door: Door { client: None, secret } }
            }
        }
    }
}

/// Returns the value of `Authorization` from the file at `path`. It is read anew for each command.
fn secret(path: &Path) -> Result<HeaderValue, String> {
    let failed = |why: &dyn fmt::Display| format!("kubo.token_file: {}: {why}", path.display());
    let mut text = String::new();
    let file = File::open(path).map_err(|e| failed(&e))?;
    file.take(SECRET_MOST).read_to_string(&mut text).map_err(|e| failed(&e))?;
    header(text.trim()).ok_or_else(|| failed(&"expected one line like bearer:TOKEN or basic:USER:PASSWORD"))
}

/// Accepts `bearer:TOKEN`, `basic:USER:PASSWORD` and `basic:BASE64`, as in Kubo's own configuration (`AuthSecret`,
/// Kubo 0.43, `docs/config.md`); a text without a colon is a token.
fn header(secret: &str) -> Option<HeaderValue> {
    let value = match secret.split_once(':') {
        None => format!("Bearer {secret}"),
        Some((kind, token)) if kind.eq_ignore_ascii_case("bearer") => format!("Bearer {token}"),
        Some((kind, pair)) if kind.eq_ignore_ascii_case("basic") => match pair.contains(':') {
            true => format!("Basic {}", Base::Base64Pad.encode(pair)),
            false => format!("Basic {pair}"),
        },
        Some(_) => return None,
    };
    let is_empty =
        value.split_once(' ').is_none_or(|(_, token)| token.is_empty() || token.contains(char::is_whitespace));
    let mut value = HeaderValue::from_str(&value).ok().filter(|_| !is_empty)?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::super::{KuboErrorKind, script};
    use super::*;

    #[test]
    fn secrets_are_read_as_kubo_spells_them() {
        let read = |text: &str| header(text).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(read("bearer:abc").as_deref(), Some("Bearer abc"));
        assert_eq!(read("abc").as_deref(), Some("Bearer abc"));
        assert_eq!(read("basic:user:pass").as_deref(), Some("Basic dXNlcjpwYXNz"));
        assert_eq!(read("basic:dXNlcjpwYXNz").as_deref(), Some("Basic dXNlcjpwYXNz"));
        for bad in ["", "bearer:", "basic:", "digest:x", "two words", "a\nb"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_secret_goes_to_the_rpc_alone_and_into_no_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "bearer:hush-hush\n").unwrap();
        let script = script::Script::answering(vec![("version", script::ok(r#"{"Version":"0.43.0"}"#))]);
        let kubo = Kubo { door: Door { client: None, secret: Some(secret(&path)) }, ..script.kubo() };
        assert!(!format!("{kubo:?}").contains("hush"), "{kubo:?}");
        let run = |work| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
        assert_eq!(run(kubo.version()), Ok("0.43.0".to_owned()));
        let _ =
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(kubo.has_gateway());
        let sent: Vec<_> = script.asked().into_iter().map(|asked| asked.secret).collect();
        assert_eq!(sent, [Some("bearer hush-hush".to_owned()), None]);
        // An unreadable secret is no reason to ask without it.
        let gone =
            Kubo { door: Door { client: None, secret: Some(secret(&dir.path().join("gone"))) }, ..script.kubo() };
        let fault = run(gone.version()).unwrap_err();
        assert_eq!(fault.kind, KuboErrorKind::Forbidden);
        assert!(fault.text.contains("kubo.token_file") && script.asked().len() == 2, "{fault}");
    }
}
