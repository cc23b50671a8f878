//! A forward HTTP proxy, to see which requests go through it and which go around it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::server::{Reply, Request, Server};

/// Forwards absolute-form GETs. Its given hosts exist only behind it.
pub struct FakeProxy {
    server: Server,
}

impl FakeProxy {
    /// Starts it. `hosts`: names that this proxy alone resolves, and their real addresses.
    pub fn forwarding(hosts: &[(&str, SocketAddr)]) -> Self {
        let hosts: HashMap<String, SocketAddr> = hosts.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
        Self { server: Server::start(move |request| forward(request, &hosts)) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Lists the requested URLs, in order; `CONNECT` shows as `host:port`.
    pub fn asked(&self) -> Vec<String> {
        self.server.requests().into_iter().map(|request| request.target).collect()
    }
}

fn forward(request: &Request, hosts: &HashMap<String, SocketAddr>) -> Reply {
    let Some((host, path)) =
        request.target.strip_prefix("http://").map(|rest| rest.split_once('/').unwrap_or((rest, "")))
    else {
        return Reply::new(501, "only absolute http:// URLs are forwarded here\n");
    };
    let at = hosts.get(host).copied().or_else(|| host.parse().ok());
    at.and_then(|at| fetch(at, host, path, request.header("range")))
        .unwrap_or_else(|| Reply::new(502, "the proxy cannot reach it\n"))
}

/// Makes one GET over a connection of its own; the reply's framing is made anew.
fn fetch(at: SocketAddr, host: &str, path: &str, range: Option<&str>) -> Option<Reply> {
    let mut stream = TcpStream::connect(at).ok()?;
    let range = range.map(|range| format!("Range: {range}\r\n")).unwrap_or_default();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\n{range}Connection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..split]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut reply = Reply::new(status, &answer[split + 4..]).with("Via", "1.1 fake");
    for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(": ")) {
        if !matches!(name, "Content-Length" | "Connection" | "Transfer-Encoding") {
            reply = reply.with(name, value);
        }
    }
    Some(reply)
}
