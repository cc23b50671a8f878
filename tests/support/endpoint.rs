//! The HTTP endpoint as a process, and clients that send it what they like, byte for byte.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::server::PATIENCE;
use super::world::World;

/// An endpoint; killed when it is dropped.
pub struct Endpoint {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Endpoint {
    /// Starts one on a free port, and returns once it listens. A source may take its time: no miss is the machine's.
    pub fn of(world: World) -> (World, Self) {
        Self::hasty(world.set("PKGSWARM_ENDPOINT_WAIT", "8 s"))
    }

    /// Works as [`of`](Self::of), with the wait for a source that it has by default.
    pub fn hasty(world: World) -> (World, Self) {
        let world = world
            .set("PKGSWARM_ENDPOINT_ENABLED", "true")
            .set("PKGSWARM_ENDPOINT_LISTEN", "127.0.0.1:0")
            .set("PKGSWARM_DAEMON_LOG", "info");
        let endpoint = Self::started(world.command(&["endpoint"]));
        (world, endpoint)
    }

    /// Starts it by this command, which has it say where it listens.
    pub fn started(mut command: Command) -> Self {
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program");
        let log = Arc::<Mutex<String>>::default();
        let (lines, kept) = (BufReader::new(child.stderr.take().expect("piped")).lines(), Arc::clone(&log));
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *kept.lock().unwrap() += &(line + "\n");
            }
        });
        let begun = Instant::now();
        let address = loop {
            let said = log.lock().unwrap().clone();
            if let Some((_, rest)) = said.split_once("listens on http://") {
                break rest.lines().next().unwrap().parse().expect("an address");
            }
            let ended = child.try_wait().expect("our child");
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "it does not listen: {said}");
            thread::sleep(Duration::from_millis(5));
        };
        Self { child, address, log }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns what it has written to its log.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Connects a client.
    pub fn client(&self) -> Client {
        Client::at(self.address)
    }

    /// Asks for a path over a connection of its own.
    pub fn get(&self, path: &str) -> Answer {
        self.client().get(path, &[])
    }

    /// Asks for a file of `core`.
    pub fn core(&self, name: &str) -> Answer {
        self.get(&format!("/core/os/x86_64/{name}"))
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
