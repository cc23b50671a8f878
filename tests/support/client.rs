//! Clients of the HTTP endpoint that send it what they like, byte for byte.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest wait for an answer that must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client's connection.
pub struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    host: SocketAddr,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    headers: HashMap<String, String>,
    pub body: Vec<u8>,
    /// True if all of the announced body came.
    pub is_whole: bool,
    /// Time until its first line.
    pub after: Duration,
}

impl Answer {
    /// Returns the value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

impl Client {
    pub fn at(host: SocketAddr) -> Self {
        let stream = TcpStream::connect(host).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        let reader = BufReader::new(stream.try_clone().expect("a socket"));
        Self { stream, reader, host }
    }

    /// Sends these bytes; false where the other side has closed.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Asks for a path as pacman does, with more headers.
    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, headers).expect("an answer")
    }

    /// Asks with any method.
    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let host = self.host;
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n{more}\r\n").as_bytes());
        self.answer(method == "HEAD")
    }

    /// Asks for a path, and compares the body with `bytes` while it comes; true if all of it is the same.
    pub fn compares(mut self, path: &str, bytes: &[u8]) -> bool {
        let host = self.host;
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
                return false;
            }
        }
        let (mut at, mut piece) = (0, vec![0; 16 << 10]);
        while at < bytes.len() {
            match self.reader.read(&mut piece) {
                Ok(read) if read > 0 && bytes[at..].starts_with(&piece[..read]) => at += read,
                _ => return false,
            }
        }
        true
    }

    /// Reads an answer; `None` where the connection ends before one.
    pub fn answer(&mut self, is_head: bool) -> Option<Answer> {
        let begun = Instant::now();
        let mut line = String::new();
        self.reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let after = begun.elapsed();
        let status: u16 = line.split(' ').nth(1)?.parse().ok()?;
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length: u64 = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = Vec::new();
        if !is_head && status != 304 {
            let _ = self.reader.by_ref().take(length).read_to_end(&mut body);
        }
        let is_whole = is_head || status == 304 || body.len() as u64 == length;
        Some(Answer { status, headers, body, is_whole, after })
    }
}
