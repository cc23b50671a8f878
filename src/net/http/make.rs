//! Makes clients: what they overlook, what they trust, and how they speak HTTP/2.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, redirect};
use rustls::ClientConfig;

use crate::base::env::Env;
use crate::base::miss::Miss;
use crate::net::http::USER_AGENT;
use crate::net::http::proxy::Proxies;
use crate::net::http::tls;

/// Most headers of one answer, and most bytes of them where HTTP/2 counts them: as many as curl takes (curl 8,
/// lib/http.h: `MAX_HTTP_RESP_HEADER_COUNT`, `MAX_HTTP_RESP_HEADER_SIZE`).
const MOST_HEADERS: (usize, u32) = (5000, 300 << 10);

/// Most bytes that an HTTP/2 server may send ahead of us on one stream, and on the connection: a large file is then no
/// slower than over a connection of HTTP/1.1, for which Linux takes as much (`net.ipv4.tcp_rmem`: 6 MiB), a few that are
/// read slowly leave room for others, and all of it fits into memory.
const WINDOWS: (u32, u32) = (4 << 20, 16 << 20);

/// Silence after which an HTTP/2 connection with open streams is asked whether it lives, and the longest wait for its
/// answer. Without it, one that a router has forgotten would look alive for ever.
const LIVES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(20));

/// The maker of the clients of one process.
#[derive(Clone, Default, Debug)]
pub(super) struct ClientMaker {
    /// Bounds name look-up, TCP and TLS of one connection.
    pub(super) connect: Duration,
    pub(super) proxies: Proxies,
    /// In place of the system's authorities.
    pub(super) bundle: Option<PathBuf>,
}

impl ClientMaker {
    /// Uses what the environment names: its proxies, and its authorities.
    pub(super) fn in_environment(connect: Duration, env: &Env) -> Self {
        Self { connect, proxies: Proxies::of(env), bundle: tls::bundle(env) }
    }

    /// Returns the settings that all clients share.
    pub(super) fn builder(&self) -> ClientBuilder {
        let (most_headers, most_bytes) = MOST_HEADERS;
        let ((of_stream, of_connection), (interval, patience)) = (WINDOWS, LIVES);
        Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .connect_timeout(self.connect)
            .tcp_nodelay(true)
            // What curl overlooks in old and home-made servers.
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_max_headers(most_headers)
            .http2_max_header_list_size(most_bytes)
            .http2_initial_stream_window_size(of_stream)
            .http2_initial_connection_window_size(of_connection)
            .http2_keep_alive_interval(interval)
            .http2_keep_alive_timeout(patience)
    }

    /// Reads the authorities that are trusted.
    ///
    /// # Errors
    /// [`Miss::Untrusted`] with the fault of this machine's authorities.
    pub(super) fn trusting(&self) -> Result<ClientConfig, Miss> {
        tls::trusting(self.bundle.as_deref()).map_err(Miss::Untrusted)
    }

    /// Makes a client that asks through the environment's proxies.
    ///
    /// # Errors
    /// [`Miss::Unreachable`] where a variable names no proxy.
    pub(super) fn proxied(
        &self,
        tls: ClientConfig,
        more: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Client, Miss> {
        let builder = more(self.builder().tls_backend_preconfigured(tls));
        self.proxies.apply(builder).map(built).map_err(no_proxy)
    }
}

fn no_proxy(variable: &'static str) -> Miss {
    Miss::Unreachable(format!("{variable} in the environment is not the URL of a proxy"))
}

/// Makes the client of settings that are fixed and valid.
pub(super) fn built(builder: ClientBuilder) -> Client {
    builder.build().expect("the settings of the client are fixed and valid")
}
