//! The environment's proxies, read as curl reads them (curl 8, lib/url.c: `detect_proxy`; lib/noproxy.c).
//!
//! The HTTP library would read them by itself, but otherwise: `HTTP_PROXY`, which curl leaves alone because a web
//! server sets it from a header (CVE-2016-5385), and a `no_proxy` of `*` that does not count for addresses.

use reqwest::{ClientBuilder, NoProxy, Proxy};

use crate::base::env::Env;

/// The proxies, by the URLs that they are used for.
#[derive(Clone, Default, Debug)]
pub(crate) struct Proxies {
    /// The variable that names it, and its value.
    http: Option<(&'static str, String)>,
    https: Option<(&'static str, String)>,
    /// Hosts that are asked without one.
    except: Option<String>,
}

impl Proxies {
    /// Reads them. Lower case counts before upper case, and an empty variable is none.
    pub(crate) fn of(env: &Env) -> Self {
        let first = |names: &[&'static str]| names.iter().find_map(|name| Some((*name, with_scheme(env.var(name)?))));
        let except = env.var("no_proxy").or_else(|| env.var("NO_PROXY")).map(str::trim);
        if except == Some("*") {
            return Self::default();
        }
        Self {
            http: first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
            https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            // curl takes blanks for commas.
            except: except.map(|list| list.split([' ', '\t', ',']).collect::<Vec<_>>().join(",")),
        }
    }

    /// Returns true when there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    /// Returns true when plain http goes through a proxy that is itself reached by TLS.
    pub(super) fn needs_tls_for_http(&self) -> bool {
        self.http.as_ref().is_some_and(|(_, url)| url.starts_with("https://"))
    }

    /// Has a client use them, and no others.
    ///
    /// # Errors
    /// The name of a variable whose value is no proxy. To ask past it would not be what the user wants.
    pub(super) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder, &'static str> {
        let except = self.except.as_deref().and_then(NoProxy::from_string);
        let mut builder = builder.no_proxy();
        if let Some((variable, url)) = &self.http {
            builder = builder.proxy(Proxy::http(url).map_err(|_| *variable)?.no_proxy(except.clone()));
        }
        if let Some((variable, url)) = &self.https {
            builder = builder.proxy(Proxy::https(url).map_err(|_| *variable)?.no_proxy(except));
        }
        Ok(builder)
    }
}

/// curl takes `proxy.example:3128` for an HTTP proxy.
fn with_scheme(value: &str) -> String {
    if value.contains("://") { value.to_owned() } else { format!("http://{value}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vars: &[(&str, &str)]) -> Proxies {
        let mut env = Env::from_process();
        env.vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Proxies::of(&env)
    }

    fn urls(proxies: &Proxies) -> (Option<&str>, Option<&str>) {
        let url = |one: &'_ Option<(&'static str, String)>| one.as_ref().map(|(_, url)| url.as_str().to_owned());
        let leak = |text: Option<String>| text.map(|text| &*text.leak());
        (leak(url(&proxies.http)), leak(url(&proxies.https)))
    }

    #[test]
    fn variables_are_read_as_curl_reads_them() {
        let one = "http://one:1";
        for (vars, http, https) in [
            (vec![("http_proxy", one)], Some(one), None),
            (vec![("HTTP_PROXY", one)], None, None),
            (vec![("https_proxy", one)], None, Some(one)),
            (vec![("HTTPS_PROXY", one)], None, Some(one)),
            (vec![("all_proxy", "one:1")], Some(one), Some(one)),
            (vec![("ALL_PROXY", one), ("https_proxy", "socks5h://two:2")], Some(one), Some("socks5h://two:2")),
            (vec![("http_proxy", one), ("no_proxy", "*")], None, None),
            (vec![("http_proxy", one), ("no_proxy", " * ")], None, None),
            (vec![("http_proxy", one), ("no_proxy", "a, *")], Some(one), None),
            (vec![("http_proxy", ""), ("all_proxy", one)], Some(one), Some(one)),
        ] {
            assert_eq!(urls(&of(&vars)), (http, https), "{vars:?}");
        }
        assert_eq!(of(&[("NO_PROXY", "a b,c\td"), ("http_proxy", one)]).except.as_deref(), Some("a,b,c,d"));
    }

    #[test]
    fn a_value_that_is_no_proxy_is_named_and_not_gone_around() {
        let proxies = of(&[("all_proxy", "http://[nonsense")]);
        assert_eq!(proxies.apply(reqwest::Client::builder()).unwrap_err(), "all_proxy");
    }
}
