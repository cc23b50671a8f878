//! A scripted daemon for tests, broken answers included, that remembers the requests.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::Kubo;

/// One request: its first line and its body, chunks put together.
#[derive(Clone, Debug)]
pub(crate) struct ScriptedRequest {
    pub(crate) line: String,
    pub(crate) body: Vec<u8>,
    /// `Authorization`, in lower case.
    pub(crate) secret: Option<String>,
}

/// The answer to a request line that contains a text.
pub(crate) enum ScriptedAnswer {
    /// A complete answer.
    Status(u16, Vec<u8>),
    /// A complete answer of this media type.
    Typed(&'static str, Vec<u8>),
    /// Announces more bytes than it sends, then closes.
    Cut(Vec<u8>),
    /// Sends nothing and holds the line until the client leaves.
    Silence,
}

pub(crate) fn ok(body: impl Into<Vec<u8>>) -> ScriptedAnswer {
    ScriptedAnswer::Status(200, body.into())
}

/// The scripted daemon; its thread ends with the test process.
pub(crate) struct Script {
    pub(crate) url: reqwest::Url,
    asked: Arc<Mutex<Vec<ScriptedRequest>>>,
}

impl Script {
    /// Starts a daemon that answers each request with the first rule whose text is in the request line, else with
    /// 404.
    pub(crate) fn answering(rules: Vec<(impl Into<String>, ScriptedAnswer)>) -> Self {
        let rules: Vec<(String, ScriptedAnswer)> =
            rules.into_iter().map(|(part, answer)| (part.into(), answer)).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, rules) = (asked.clone(), Arc::new(rules));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, rules) = (log.clone(), rules.clone());
                std::thread::spawn(move || serve(stream, &rules, &log));
            }
        });
        Self { url, asked }
    }

    pub(crate) fn asked(&self) -> Vec<ScriptedRequest> {
        self.asked.lock().unwrap().clone()
    }

    /// Makes a client that uses it for everything.
    pub(crate) fn kubo(&self) -> Kubo {
        let door = super::Door::default();
        Kubo { api: Some(self.url.clone()), gateway: self.url.clone(), client: client(), door }
    }
}

/// Makes a client as the program does, but without proxies.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn serve(stream: TcpStream, rules: &[(String, ScriptedAnswer)], log: &Mutex<Vec<ScriptedRequest>>) {
    let mut out = stream.try_clone().unwrap();
    let Some(asked) = read(stream) else { return };
    let answer = rules.iter().find(|(part, _)| asked.line.contains(part.as_str())).map(|(_, answer)| answer);
    log.lock().unwrap().push(asked);
    let head = |status: u16, length: usize| {
        format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
    };
    // The client may have gone; that is no error here.
    let _ = match answer {
        None => out.write_all(head(404, 18).as_bytes()).and_then(|()| out.write_all(b"404 page not found")),
        Some(ScriptedAnswer::Status(status, body)) => {
            out.write_all(head(*status, body.len()).as_bytes()).and_then(|()| out.write_all(body))
        }
        Some(ScriptedAnswer::Typed(kind, body)) => {
            let head = head(200, body.len()).replace("\r\n\r\n", &format!("\r\nContent-Type: {kind}\r\n\r\n"));
            out.write_all(head.as_bytes()).and_then(|()| out.write_all(body))
        }
        Some(ScriptedAnswer::Cut(body)) => {
            out.write_all(head(200, body.len() + 1).as_bytes()).and_then(|()| out.write_all(body))
        }
        Some(ScriptedAnswer::Silence) => out.read(&mut [0]).map(drop),
    };
}

fn read(stream: TcpStream) -> Option<ScriptedRequest> {
    let mut input = BufReader::new(stream);
    let mut line = String::new();
    input.read_line(&mut line).ok()?;
    let (mut length, mut chunked, mut secret) = (0, false, None);
    loop {
        let mut header = String::new();
        input.read_line(&mut header).ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        secret = header.strip_prefix("authorization: ").map(str::to_owned).or(secret);
        chunked |= header == "transfer-encoding: chunked";
        if let Some(number) = header.strip_prefix("content-length: ") {
            length = number.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    while chunked {
        let mut size = String::new();
        input.read_line(&mut size).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        input.read_exact(&mut chunk).ok()?;
        body.extend_from_slice(&chunk[..size]);
        chunked = size > 0;
    }
    Some(ScriptedRequest { line: line.trim().to_owned(), body, secret })
}
