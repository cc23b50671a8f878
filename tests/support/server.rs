//! A small HTTP/1.1 server on threads, which can break every rule of HTTP on request.
//!
//! It is written by hand because a proper server library would refuse to misbehave.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::queues::{Queues, queues};

/// Longest wait for an event that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for changes that no process announces: those that a background process makes to files.
#[track_caller]
pub fn eventually(what: &str, met: impl Fn() -> bool) {
    let begun = Instant::now();
    while !met() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A client's request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// The target in the request line: a path, or a whole URL in a request to a proxy.
    pub target: String,
    headers: HashMap<String, String>,
    pub body: Arc<Vec<u8>>,
}

impl Request {
    /// Returns the value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Returns the path without its leading slash and its query, percent-decoded.
    pub fn path(&self) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        percent_decoded(path.trim_start_matches('/'))
    }

    /// Returns the value of a query parameter; clients write blanks as `+`, like a form.
    pub fn query(&self, key: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let value = query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))?;
        Some(percent_decoded(&value.replace('+', " ")))
    }

    /// Returns all values of a query parameter that may repeat.
    pub fn queries(&self, key: &str) -> Vec<String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        query.split('&').filter_map(|pair| Some(percent_decoded(pair.strip_prefix(key)?.strip_prefix('=')?))).collect()
    }

    /// Returns the requested bytes of a file of `size` bytes; the end is exclusive. `None` without a usable Range.
    pub fn range(&self, size: u64) -> Option<(u64, u64)> {
        let (from, to) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        if from.is_empty() {
            return Some((size.saturating_sub(to.parse().ok()?), size));
        }
        let to: u64 = if to.is_empty() { size } else { to.parse::<u64>().ok()? + 1 };
        Some((from.parse().ok()?, to.min(size)))
    }
}

/// The framing of a body.
#[derive(Clone, Debug)]
pub enum Framing {
    /// `Content-Length`, true or not.
    Length(u64),
    /// Chunks, closed properly; the trailer, if any, as one line.
    Chunked(Option<String>),
    /// The connection's end is the body's end.
    Close,
}

/// The length of the sent body, and the event after it.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    Whole,
    /// Closes the connection.
    Cut(u64),
    /// Resets the connection.
    Reset(u64),
    /// Writes this text into the body, then resets the connection.
    Junk(u64, String),
    /// Sends nothing more, connection open.
    Stall(u64),
    /// Says nothing for so long, then goes on.
    Pause(u64, Duration),
    /// Chunked only: ends the body properly, too early.
    Early(u64),
    /// Not even a status line.
    Silence,
}

/// A reply.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub framing: Framing,
    pub ending: Ending,
    /// Bytes a second.
    pub rate: Option<u64>,
    /// True for a sender that waits for the client to read each piece.
    pub in_step: bool,
    /// Silence before each single byte.
    pub drip: Option<Duration>,
    /// Silence before the first byte.
    pub after: Duration,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let framing = Framing::Length(body.len() as u64);
        Self {
            status,
            headers: Vec::new(),
            body,
            framing,
            ending: Ending::Whole,
            rate: None,
            in_step: false,
            drip: None,
            after: Duration::ZERO,
        }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

/// Threads, connections and memory of one server; gone when dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    connections: AtomicUsize,
    seen: Mutex<Seen>,
    changed: Condvar,
    open: Mutex<Vec<TcpStream>>,
}

#[derive(Default)]
struct Seen {
    requests: Vec<Request>,
    body_bytes: u64,
    /// Connections that neither side has closed.
    talking: usize,
}

impl Server {
    /// Starts to serve on a free port of 127.0.0.1.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST, answer)
    }

    /// Starts to serve on a free port of this address of the loopback interface: another host than 127.0.0.1.
    pub fn start_on(host: Ipv4Addr, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let answer = Arc::new(answer);
        let acceptor = thread::spawn({
            let shared = shared.clone();
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if shared.stopping.load(SeqCst) {
                        break;
                    }
                    shared.connections.fetch_add(1, SeqCst);
                    shared.open.lock().unwrap().extend(stream.try_clone());
                    let (shared, answer) = (shared.clone(), answer.clone());
                    shared.seen.lock().unwrap().talking += 1;
                    thread::spawn(move || {
                        // A client that goes away is no failure of the server.
                        let _ = converse(stream, &shared, &*answer);
                        shared.seen.lock().unwrap().talking -= 1;
                        shared.changed.notify_all();
                    });
                }
            }
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lists every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.seen.lock().unwrap().requests.clone()
    }

    /// Counts body bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.shared.seen.lock().unwrap().body_bytes
    }

    /// Counts connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// Returns once `bytes` body bytes in all were written.
    pub fn wait_for_bytes(&self, bytes: u64) {
        self.wait(|seen| seen.body_bytes >= bytes, &format!("{bytes} bytes"));
    }

    /// Returns once no client is connected any more.
    pub fn wait_until_idle(&self) {
        self.wait(|seen| seen.talking == 0, "every client to leave");
    }

    fn wait(&self, met: impl Fn(&Seen) -> bool, what: &str) {
        let seen = self.shared.seen.lock().unwrap();
        let (seen, late) = self.shared.changed.wait_timeout_while(seen, PATIENCE, |seen| !met(seen)).unwrap();
        assert!(!late.timed_out(), "waited for {what}, saw {} bytes, {:?}", seen.body_bytes, seen.requests);
    }

    /// Closes every connection, as a killed process does. Later ones are accepted again.
    pub fn drop_connections(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, SeqCst);
        self.drop_connections();
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn converse(stream: TcpStream, shared: &Shared, answer: &dyn Fn(&Request) -> Reply) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read_request(&mut reader)? {
        {
            shared.seen.lock().unwrap().requests.push(request.clone());
            shared.changed.notify_all();
        }
        let reply = answer(&request);
        // Faults of a body do not apply to an answer without one.
        let bodiless = request.method == "HEAD" && reply.ending != Ending::Silence;
        let broken = !matches!(reply.ending, Ending::Whole | Ending::Early(_) | Ending::Pause(..))
            || matches!(reply.framing, Framing::Close);
        let lasts = (bodiless || !broken) && request.header("connection") != Some("close");
        deliver(&stream, &request, reply, shared)?;
        if !lasts {
            // FIN even though `open` still holds a duplicate of the descriptor.
            let _ = stream.shutdown(Shutdown::Both);
            break;
        }
    }
    Ok(())
}

fn deliver(mut stream: &TcpStream, request: &Request, reply: Reply, shared: &Shared) -> io::Result<()> {
    if reply.ending == Ending::Silence {
        return client_leaves(stream, None);
    }
    if reply.after > Duration::ZERO {
        client_leaves(stream, Some(reply.after))?;
    }
    let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &match &reply.framing {
        Framing::Length(length) => format!("Content-Length: {length}\r\n"),
        Framing::Chunked(_) => "Transfer-Encoding: chunked\r\n".to_owned(),
        Framing::Close => "Connection: close\r\n".to_owned(),
    };
    head += "\r\n";
    stream.write_all(head.as_bytes())?;
    if request.method == "HEAD" || reply.status == 304 || reply.status == 204 {
        return Ok(());
    }
    let whole = reply.body.len() as u64;
    let sent = match reply.ending {
        Ending::Cut(n) | Ending::Reset(n) | Ending::Junk(n, _) | Ending::Stall(n) | Ending::Early(n) => n.min(whole),
        Ending::Pause(n, _) => n.min(whole),
        Ending::Whole | Ending::Silence => whole,
    };
    let chunked = matches!(reply.framing, Framing::Chunked(_));
    let pace = Pacing { rate: reply.rate, in_step: reply.in_step };
    if let Some(each) = reply.drip {
        for byte in reply.body[..sent as usize].chunks(1) {
            client_leaves(stream, Some(each))?;
            write_paced(stream, byte, chunked, Pacing::default(), shared)?;
        }
    } else {
        write_paced(stream, &reply.body[..sent as usize], chunked, pace, shared)?;
    }
    if let Ending::Pause(_, pause) = reply.ending {
        client_leaves(stream, Some(pause))?;
        write_paced(stream, &reply.body[sent as usize..], chunked, pace, shared)?;
    }
    match (reply.ending, reply.framing) {
        (Ending::Whole | Ending::Early(_) | Ending::Pause(..), Framing::Chunked(trailer)) => {
            let trailer = trailer.map(|line| line + "\r\n").unwrap_or_default();
            stream.write_all(format!("0\r\n{trailer}\r\n").as_bytes())
        }
        (Ending::Stall(_), _) => client_leaves(stream, None),
        (Ending::Reset(_), _) => reset(stream),
        (Ending::Junk(_, text), _) => {
            write_paced(stream, text.as_bytes(), chunked, Pacing::default(), shared)?;
            reset(stream)
        }
        _ => Ok(()),
    }
}

#[derive(Clone, Copy, Default)]
struct Pacing {
    rate: Option<u64>,
    in_step: bool,
}

fn write_paced(
    mut stream: &TcpStream,
    body: &[u8],
    chunked: bool,
    Pacing { rate, in_step }: Pacing,
    shared: &Shared,
) -> io::Result<()> {
    let (started, mut done) = (Instant::now(), 0);
    // At a given rate, 50 pieces a second are even enough for any client.
    let piece = rate.map_or(64 << 10, |rate| (rate / 50).clamp(1, 64 << 10)) as usize;
    for part in body.chunks(piece) {
        if let Some(rate) = rate {
            let due = Duration::from_secs_f64(done as f64 / rate as f64);
            thread::sleep(due.saturating_sub(started.elapsed()));
        }
        while in_step && started.elapsed() < PATIENCE && queues(stream)? != Queues::default() {
            thread::sleep(Duration::from_millis(1));
        }
        // Counted first: a client that has read the last byte may rely on the count.
        shared.seen.lock().unwrap().body_bytes += part.len() as u64;
        shared.changed.notify_all();
        if chunked {
            stream.write_all(format!("{:x}\r\n", part.len()).as_bytes())?;
        }
        stream.write_all(part)?;
        if chunked {
            stream.write_all(b"\r\n")?;
        }
        done += part.len();
    }
    Ok(())
}

/// Waits until the client closes, or `limit` has passed (then the conversation goes on).
fn client_leaves(mut stream: &TcpStream, limit: Option<Duration>) -> io::Result<()> {
    stream.set_read_timeout(limit)?;
    let end = loop {
        match stream.read(&mut [0; 1024]) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break Ok(()),
            Err(e) => break Err(e),
            Ok(_) => break Err(io::ErrorKind::ConnectionAborted.into()),
        }
    };
    stream.set_read_timeout(None)?;
    end
}

/// Closes with RST once everything sent has reached the client's side: RST discards bytes that have not.
fn reset(stream: &TcpStream) -> io::Result<()> {
    let begun = Instant::now();
    while queues(stream)?.unsent && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(2));
    }
    // RST with SO_LINGER needs the last descriptor to close; a disconnecting connect needs none.
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
    rustix::net::connect_unspec(stream)?;
    Ok(())
}

fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|text| text == "chunked") {
        read_chunks(reader, &mut body)?;
    } else {
        reader.take(length).read_to_end(&mut body)?;
    }
    Ok(Some(Request { method, target, headers, body: Arc::new(body) }))
}

/// Reads a chunked body, or as much of it as comes.
fn read_chunks(reader: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Ok(length) = u64::from_str_radix(line.trim(), 16) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        reader.take(length).read_to_end(body)?;
        reader.read_line(&mut String::new())?;
        if length == 0 {
            return Ok(());
        }
    }
}

/// Returns an address of 127.0.0.1 without a listener: the port stays taken while the tests run.
pub fn dead_address() -> SocketAddr {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
    let taken = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket can be made");
    bind(&taken, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("loopback has a free port");
    let address = getsockname(&taken).expect("a bound socket has an address");
    std::mem::forget(taken);
    SocketAddr::try_from(address).expect("an IPv4 socket has an IPv4 address")
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(|h| u8::from_str_radix(h, 16).ok());
        out.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        412 => "Precondition Failed",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Scripted",
    }
}
