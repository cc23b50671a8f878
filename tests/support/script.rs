//! The words for a fake's misbehaviour, shared by mirrors and gateways.

use std::time::Duration;

use super::server::{Ending, Framing, Reply, Request};

/// The answer for one path, or for all. The default is honest.
#[derive(Clone, Debug, Default)]
pub struct Script {
    instead: Option<Instead>,
    ending: Option<Ending>,
    rate: Option<u64>,
    in_step: bool,
    drip: Option<Duration>,
    headers: Vec<(String, String)>,
    code: Option<u16>,
    after: Option<Duration>,
    lying: bool,
    extra: u64,
    no_length: bool,
    chunked: bool,
    trailer: Option<String>,
    retry_after: Option<String>,
    wrong_content_range: bool,
    modified: Option<u64>,
    date: Option<u64>,
    pub(super) ignoring_range: bool,
    /// Number of further requests it holds for; `None` is for ever.
    times: Option<usize>,
}

#[derive(Clone, Debug)]
enum Instead {
    Status(u16),
    RedirectTo(String),
    Circles,
    Portal,
}

/// The answer of a captive portal to any request.
pub const PORTAL: &str =
    "<!DOCTYPE html>\n<html><head><title>Hotel Wi-Fi</title></head><body><form>Room number</form></body></html>\n";

/// Kubo's text in a body that it truncates (`boxo:gateway/middleware_retrieval_timeout.go`).
pub const JUNK: &str = "\n\n[Gateway Error: Response truncated - unable to retrieve remaining data within timeout]";

impl Script {
    /// Takes one use of this script. False when it has been used up.
    pub(super) fn applies(&mut self) -> bool {
        match &mut self.times {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    /// Turns the honest reply into the scripted one. `last` is true if it holds the file's last byte.
    pub(super) fn bend(&self, request: &Request, honest: Reply, last: bool) -> Reply {
        let mut reply = match &self.instead {
            None => honest,
            Some(Instead::Status(code)) => Reply::new(*code, format!("scripted status {code}\n")),
            Some(Instead::RedirectTo(url)) => Reply::new(302, "").with("Location", url),
            Some(Instead::Circles) => {
                let lap: u32 = request.query("lap").and_then(|text| text.parse().ok()).unwrap_or(0);
                let path = request.target.split('?').next().unwrap_or_default();
                Reply::new(302, "").with("Location", format!("{path}?lap={}", lap + 1))
            }
            Some(Instead::Portal) => Reply::new(200, PORTAL).with("Content-Type", "text/html; charset=utf-8"),
        };
        if let Some(seconds) = self.date {
            reply = reply.with("Date", super::mirror::http_date(seconds));
        }
        if let Some(value) = &self.retry_after {
            reply = reply.with("Retry-After", value);
        }
        if matches!(reply.status, 200 | 206) && self.instead.is_none() {
            if self.lying && last {
                reply.body.iter_mut().last().into_iter().for_each(|byte| *byte ^= 0x01);
            }
            reply.body.extend(std::iter::repeat_n(b'+', self.extra as usize));
            reply.framing = Framing::Length(reply.body.len() as u64);
            if self.wrong_content_range && reply.status == 206 {
                reply.headers.retain(|(name, _)| name != "Content-Range");
                reply = reply.with("Content-Range", "bytes 1-2/3");
            }
        }
        reply.headers.extend(self.headers.iter().cloned());
        reply.status = self.code.filter(|_| reply.status == 200).unwrap_or(reply.status);
        if self.no_length {
            reply.framing = Framing::Close;
        }
        if self.chunked {
            if let Some(line) = &self.trailer {
                reply = reply.with("Trailer", line.split(':').next().unwrap_or_default());
            }
            reply.framing = Framing::Chunked(self.trailer.clone());
        }
        reply.rate = self.rate.or(reply.rate);
        reply.in_step = self.in_step;
        reply.drip = self.drip;
        reply.after = self.after.unwrap_or(reply.after);
        reply.ending = self.ending.clone().unwrap_or(reply.ending);
        reply
    }

    /// Returns the scripted Last-Modified in seconds, if it is not the usual one.
    pub(super) fn modified(&self) -> Option<u64> {
        self.modified
    }
}

/// Misbehaviour in words. Counts of bytes are body bytes of one answer, not positions in the file.
pub trait Misbehaves: Sized {
    /// Changes the current script: the general one, or that of the path after `on`.
    fn bend(self, change: impl FnOnce(&mut Script)) -> Self;

    /// Starts the script of this path (or this file name, in any directory).
    fn on(self, path: &str) -> Self;

    /// Forgets every script.
    fn honest(self) -> Self;

    /// Lets the script so far hold for this many requests.
    fn times(self, count: usize) -> Self {
        self.bend(|s| s.times = Some(count))
    }
    /// Answers every Range with the whole file and 200.
    fn ignoring_range(self) -> Self {
        self.bend(|s| s.ignoring_range = true)
    }
    /// Answers a Range with 206 and another Content-Range.
    fn with_wrong_content_range(self) -> Self {
        self.bend(|s| s.wrong_content_range = true)
    }
    /// Closes the connection early.
    fn cut_after(self, bytes: u64) -> Self {
        self.bend(|s| s.ending = Some(Ending::Cut(bytes)))
    }
    /// Resets the connection early.
    fn reset_after(self, bytes: u64) -> Self {
        self.bend(|s| s.ending = Some(Ending::Reset(bytes)))
    }
    /// Falls silent and keeps the connection.
    fn stall_after(self, bytes: u64) -> Self {
        self.bend(|s| s.ending = Some(Ending::Stall(bytes)))
    }
    /// Falls silent for so long, and goes on.
    fn pausing_after(self, bytes: u64, pause: Duration) -> Self {
        self.bend(|s| s.ending = Some(Ending::Pause(bytes, pause)))
    }
    /// Accepts and never answers.
    fn hanging(self) -> Self {
        self.bend(|s| s.ending = Some(Ending::Silence))
    }
    /// Sends no faster than this.
    fn slow(self, bytes_per_second: u64) -> Self {
        self.bend(|s| s.rate = Some(bytes_per_second))
    }
    /// Sends a piece when the client has read the one before: only one is ever under way.
    fn in_step(self) -> Self {
        self.bend(|s| s.in_step = true)
    }
    /// Sends one byte at a time, each after this long.
    fn dripping(self, each: Duration) -> Self {
        self.bend(|s| s.drip = Some(each))
    }
    /// Waits this long before each answer.
    fn answering_after(self, wait: Duration) -> Self {
        self.bend(|s| s.after = Some(wait))
    }
    /// Sends the right size, with one wrong bit in the last byte.
    fn lying(self) -> Self {
        self.bend(|s| s.lying = true)
    }
    /// Sends more than the file, and counts that in Content-Length.
    fn oversized(self, extra: u64) -> Self {
        self.bend(|s| s.extra = extra)
    }
    /// Sends no Content-Length; the body ends with the connection.
    fn without_content_length(self) -> Self {
        self.bend(|s| s.no_length = true)
    }
    /// Sends in chunks.
    fn chunked(self) -> Self {
        self.bend(|s| s.chunked = true)
    }
    /// Sends in chunks and ends them properly, too early.
    fn chunked_ending_early(self, bytes: u64) -> Self {
        self.bend(|s| (s.chunked, s.ending) = (true, Some(Ending::Early(bytes))))
    }
    /// Ends the chunks properly, too early, with the error in a trailer, as Kubo's RPC does.
    fn trailer_error_after(self, bytes: u64) -> Self {
        self.chunked_ending_early(bytes)
            .bend(|s| s.trailer = Some("X-Stream-Error: block was not found locally (offline)".to_owned()))
    }
    /// Writes an error text into the body and resets, as Kubo's gateway does after a stall.
    fn junk_and_reset_after(self, bytes: u64) -> Self {
        self.bend(|s| s.ending = Some(Ending::Junk(bytes, JUNK.to_owned())))
    }
    /// Adds a header line, its name and value as they are.
    fn with_header(self, name: &str, value: &str) -> Self {
        self.bend(|s| s.headers.push((name.to_owned(), value.to_owned())))
    }
    /// Calls 200 something else, and sends the file all the same.
    fn calling_success(self, code: u16) -> Self {
        self.bend(|s| s.code = Some(code))
    }
    /// Answers with this status and a short text.
    fn status(self, code: u16) -> Self {
        self.bend(|s| s.instead = Some(Instead::Status(code)))
    }
    /// Adds Retry-After.
    fn retry_after(self, seconds: u64) -> Self {
        self.bend(|s| s.retry_after = Some(seconds.to_string()))
    }
    /// Redirects to itself without end, each time with another query.
    fn redirecting_in_circles(self) -> Self {
        self.bend(|s| s.instead = Some(Instead::Circles))
    }
    /// Redirects to this URL.
    fn redirecting_to(self, url: &str) -> Self {
        self.bend(|s| s.instead = Some(Instead::RedirectTo(url.to_owned())))
    }
    /// Answers everything with a log-in page and 200.
    fn captive_portal(self) -> Self {
        self.bend(|s| s.instead = Some(Instead::Portal))
    }
    /// Sets the server's clock in its answers: Unix seconds.
    fn dated(self, seconds: u64) -> Self {
        self.bend(|s| s.date = Some(seconds))
    }
    /// Sets Last-Modified in Unix seconds.
    fn modified(self, seconds: u64) -> Self {
        self.bend(|s| s.modified = Some(seconds))
    }
}

/// The scripts of one server: one for everything, more for single paths.
#[derive(Debug, Default)]
pub struct Scripts {
    scripts: Vec<(Option<String>, Script)>,
    writing: Option<String>,
}

impl Scripts {
    pub fn on(&mut self, path: &str) {
        self.writing = Some(path.to_owned());
    }

    pub fn honest(&mut self) {
        *self = Self::default();
    }

    pub fn bend(&mut self, change: impl FnOnce(&mut Script)) {
        let at = self.scripts.iter().position(|(path, _)| *path == self.writing).unwrap_or_else(|| {
            self.scripts.push((self.writing.clone(), Script::default()));
            self.scripts.len() - 1
        });
        change(&mut self.scripts[at].1);
    }

    /// Takes the script for this request; a path's own before the general one.
    pub fn take(&mut self, path: &str) -> Script {
        let own = self.scripts.iter().position(|(p, _)| p.as_deref().is_some_and(|p| names(p, path)));
        let general = self.scripts.iter().position(|(p, _)| p.is_none());
        for at in [own, general].into_iter().flatten() {
            if self.scripts[at].1.applies() {
                return self.scripts[at].1.clone();
            }
        }
        Script::default()
    }
}

/// True if `wanted` (a path, or only a file name) stands for `path`.
pub fn names(wanted: &str, path: &str) -> bool {
    path == wanted || (!wanted.contains('/') && path.rsplit('/').next() == Some(wanted))
}
