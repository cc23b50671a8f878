//! An HTTP mirror that serves files from memory, honestly unless told otherwise.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use super::script::{Misbehaves, Script, Scripts, names};
use super::server::{Reply, Request, Server};

/// Last-Modified of everything, unless a script says otherwise: 2025-06-02 10:00:00 UTC.
pub const MODIFIED: u64 = 1_748_858_400;

/// One way to misbehave, for tables of them.
pub type Bend = fn(FakeMirror) -> FakeMirror;

/// A mirror; a file is found under any directory, so that one fake serves every repo.
pub struct FakeMirror {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: Vec<(String, Vec<u8>)>,
    /// Last-Modified of single files, by the same name.
    dates: HashMap<String, u64>,
    scripts: Scripts,
}

impl FakeMirror {
    /// Serves these files (name or path, content).
    pub fn serving<N: AsRef<str>, B: AsRef<[u8]>>(files: &[(N, B)]) -> Self {
        let mirror = Self::on_host(Ipv4Addr::LOCALHOST);
        files.iter().for_each(|(name, bytes)| mirror.publish(name.as_ref(), bytes.as_ref()));
        mirror
    }

    /// Serves nothing yet, at this address of the loopback interface.
    pub fn on_host(host: Ipv4Addr) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let server = Server::start_on(host, {
            let state = state.clone();
            move |request| state.lock().unwrap().answer(request)
        });
        Self { server, state }
    }

    /// Adds a file, or replaces it.
    pub fn publish(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap();
        state.files.retain(|(known, _)| known != name);
        state.files.push((name.to_owned(), bytes.to_vec()));
    }

    /// Adds a file, or replaces it, with this Last-Modified in Unix seconds.
    pub fn publish_dated(&self, name: &str, bytes: &[u8], modified: u64) {
        self.publish(name, bytes);
        self.state.lock().unwrap().dates.insert(name.to_owned(), modified);
    }

    /// Removes all files; scripts and the record of requests stay.
    pub fn clear(&self) {
        let mut state = self.state.lock().unwrap();
        state.files.clear();
        state.dates.clear();
    }

    /// Returns the bytes of a file that was published under exactly this name.
    pub fn file(&self, name: &str) -> Vec<u8> {
        let state = self.state.lock().unwrap();
        let found = state.files.iter().find(|(known, _)| known == name);
        found.map(|(_, bytes)| bytes.clone()).unwrap_or_else(|| panic!("{name} is not there"))
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns the URL in a `Server =` line for this repo.
    pub fn repo(&self, repo: &str) -> String {
        format!("http://{}/{repo}/os/x86_64", self.address())
    }

    /// Returns the URL of a file of this repo, as pacman builds it.
    pub fn url(&self, repo: &str, file: &str) -> String {
        format!("{}/{file}", self.repo(repo))
    }

    /// Counts the requests for this path or file name, in any method.
    pub fn hits(&self, name: &str) -> usize {
        self.requests_of(name).len()
    }

    pub fn requests_of(&self, name: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| names(name, &request.path())).collect()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }

    /// Counts body bytes sent so far.
    pub fn bytes(&self) -> u64 {
        self.server.bytes()
    }

    pub fn server(&self) -> &Server {
        &self.server
    }
}

impl Misbehaves for FakeMirror {
    fn bend(self, change: impl FnOnce(&mut Script)) -> Self {
        self.state.lock().unwrap().scripts.bend(change);
        self
    }
    fn on(self, path: &str) -> Self {
        self.state.lock().unwrap().scripts.on(path);
        self
    }
    fn honest(self) -> Self {
        self.state.lock().unwrap().scripts.honest();
        self
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Reply {
        let path = request.path();
        let script = self.scripts.take(&path);
        let file = self.files.iter().find(|(name, _)| names(name, &path));
        let (reply, last) = match file {
            Some(_) if !matches!(request.method.as_str(), "GET" | "HEAD") => (Reply::new(405, ""), false),
            Some((name, bytes)) => {
                let dated = self.dates.get(name).copied().unwrap_or(MODIFIED);
                file_reply_dated(bytes, request, &script, dated)
            }
            None => (Reply::new(404, "<html><head><title>404 Not Found</title></head></html>\n"), false),
        };
        script.bend(request, reply, last)
    }
}

/// Makes an honest answer for a file; the flag is true if it holds the file's last byte.
pub(super) fn file_reply(bytes: &[u8], request: &Request, script: &Script) -> (Reply, bool) {
    file_reply_dated(bytes, request, script, MODIFIED)
}

/// Makes the same for a file of this date.
fn file_reply_dated(bytes: &[u8], request: &Request, script: &Script, dated: u64) -> (Reply, bool) {
    let size = bytes.len() as u64;
    let modified = http_date(script.modified().unwrap_or(dated));
    let etag = format!("\"{size:x}-{:x}\"", bytes.iter().fold(7u64, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte)));
    // nginx's default: only the exact date counts as unchanged.
    if request.header("if-modified-since") == Some(&modified) || request.header("if-none-match") == Some(&etag) {
        return (Reply::new(304, "").with("Last-Modified", modified).with("ETag", etag), false);
    }
    let same = request.header("if-range").is_none_or(|mark| mark == modified || mark == etag);
    let range = request.range(size).filter(|_| same && !script.ignoring_range);
    let reply = match range {
        Some((from, to)) if from >= size || to <= from => {
            return (Reply::new(416, "").with("Content-Range", format!("bytes */{size}")), false);
        }
        Some((from, to)) => Reply::new(206, &bytes[from as usize..to as usize])
            .with("Content-Range", format!("bytes {from}-{}/{size}", to - 1)),
        None => Reply::new(200, bytes),
    };
    let last = range.is_none_or(|(_, to)| to == size);
    let reply =
        reply.with("Last-Modified", modified).with("ETag", etag).with("Content-Type", "application/octet-stream");
    (if script.ignoring_range { reply } else { reply.with("Accept-Ranges", "bytes") }, last)
}

/// Formats a date: `Mon, 02 Jun 2025 10:00:00 GMT` (RFC 9110, section 5.6.7).
pub fn http_date(seconds: u64) -> String {
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][(days % 7) as usize];
    // Howard Hinnant's civil_from_days, for years that start in March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let name = ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"][month as usize];
    let year = era * 400 + year_of_era + u64::from(month >= 10);
    format!("{weekday}, {day:02} {name} {year} {:02}:{:02}:{:02} GMT", clock / 3600, clock / 60 % 60, clock % 60)
}
