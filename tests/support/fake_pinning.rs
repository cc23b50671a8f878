//! A pinning service in memory, with the faults that users of real ones have met. It speaks the Pinning Service API 1.0.0.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

/// The token that it takes.
pub const TOKEN: &str = "sesame";

/// A request as it keeps it.
#[derive(Clone, Debug)]
pub struct FakeRequest {
    pub id: String,
    pub cid: String,
    pub name: String,
    pub status: &'static str,
    pub created: u64,
}

/// What it does, and what it has.
#[derive(Default)]
pub struct FakePinningState {
    pub requests: Vec<FakeRequest>,
    /// Request lines, in their order.
    pub asked: Vec<String>,
    /// Bodies of POST.
    pub bodies: Vec<Value>,
    /// New requests stay queued.
    pub is_slow: bool,
    /// Roots that it cannot get.
    pub absent: HashSet<String>,
    /// Calls that are answered with 429 and this Retry-After.
    pub busy: Vec<&'static str>,
    /// POSTs that are carried out, and whose answers are lost.
    pub lost: usize,
    /// The next POST is answered about another root.
    pub is_mistaken: bool,
    /// Lists have no names, as after a damaged import.
    pub is_nameless: bool,
    /// Every page is the first one.
    pub repeats: bool,
    /// Lists are empty.
    pub forgets: bool,
    /// A question about any request is answered with this one.
    pub instead: Option<FakeRequest>,
    /// Questions about these requests are answered with this status.
    pub odd: HashMap<String, u16>,
    /// A root has one request, which each POST is answered with.
    pub same_id: bool,
    /// Requests are answered with this status and body instead.
    pub refusal: Option<(u16, &'static str)>,
    count: u64,
}

/// The service; its thread ends with the test process.
pub struct FakePinning {
    pub url: String,
    state: Arc<Mutex<FakePinningState>>,
}

impl FakePinning {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/psa", listener.local_addr().expect("its address"));
        let state = Arc::new(Mutex::new(FakePinningState::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { url, state }
    }

    pub fn state(&self) -> MutexGuard<'_, FakePinningState> {
        self.state.lock().expect("no thread of it has failed")
    }

    /// Pins what its users do past us.
    pub fn pin_by_hand(&self, cid: &str, name: &str) {
        self.state().insert(cid, name);
    }

    /// Lists roots, names and states.
    pub fn pins(&self) -> Vec<(String, String, &'static str)> {
        self.state().requests.iter().map(|it| (it.cid.clone(), it.name.clone(), it.status)).collect()
    }

    /// Finishes what is queued.
    pub fn finish(&self) {
        self.state().requests.iter_mut().filter(|it| it.status == "queued").for_each(|it| it.status = "pinned");
    }
}

impl FakePinningState {
    pub fn insert(&mut self, cid: &str, name: &str) -> FakeRequest {
        if let Some(standing) = self.requests.iter().find(|it| self.same_id && it.cid == cid) {
            return standing.clone();
        }
        self.count += 1;
        let status = match (self.absent.contains(cid), self.is_slow) {
            (true, _) => "failed",
            (false, true) => "queued",
            (false, false) => "pinned",
        };
        let (id, created) = (format!("request/{}", self.count), 1_700_000_000 + self.count);
        let request = FakeRequest { id, cid: cid.to_owned(), name: name.to_owned(), status, created };
        self.requests.push(request.clone());
        request
    }
}

fn status(request: &FakeRequest, nameless: bool) -> Value {
    let created = format!(
        "2026-11-30T{:02}:{:02}:{:02}Z",
        request.created / 3600 % 24,
        request.created / 60 % 60,
        request.created % 60
    );
    let name = if nameless { Value::Null } else { json!(request.name) };
    json!({
        "requestid": request.id, "status": request.status, "created": created, "delegates": [],
        "pin": {"cid": request.cid, "name": name}, "info": {"status_details": "the reason"},
    })
}

fn serve(stream: TcpStream, shared: &Mutex<FakePinningState>) {
    let mut out = stream.try_clone().expect("a second handle");
    let mut reader = BufReader::new(stream);
    let (mut head, mut line) = (Vec::new(), String::new());
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line != "\r\n" {
        head.push(std::mem::take(&mut line).trim_end().to_owned());
    }
    let Some(first) = head.first().cloned() else { return };
    let header = |name: &str| {
        head.iter().find_map(|line| {
            line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|it| it.1.trim().to_owned())
        })
    };
    let mut body = vec![0; header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0)];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let is_known = header("authorization").is_some_and(|found| found == format!("Bearer {TOKEN}"));
    let Some((code, extra, text)) = carried_out(&first, &body, is_known, shared) else { return };
    let _ =
        write!(out, "HTTP/1.1 {code} X\r\n{extra}Content-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len());
}

/// Returns status, further header lines and body; `None` for an answer that is lost.
fn carried_out(
    first: &str,
    body: &[u8],
    is_known: bool,
    shared: &Mutex<FakePinningState>,
) -> Option<(u16, String, String)> {
    let mut state = shared.lock().expect("no thread of it has failed");
    let state = &mut *state;
    state.asked.push(first.to_owned());
    let error = |code: u16, reason: &str| Some((code, String::new(), json!({"error": {"reason": reason}}).to_string()));
    if !is_known {
        return error(401, "UNAUTHORIZED");
    }
    if let Some((code, text)) = state.refusal {
        return Some((code, String::new(), text.to_owned()));
    }
    if let Some(wait) = state.busy.pop() {
        return Some((429, format!("Retry-After: {wait}\r\n"), String::new()));
    }
    let mut words = first.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let id = path.strip_prefix("/psa/pins/").map(|id| id.replace("%2F", "/"));
    match (method, id) {
        ("POST", None) => {
            let asked: Value = serde_json::from_slice(body).ok()?;
            state.bodies.push(asked.clone());
            let request = state.insert(asked["cid"].as_str()?, asked["name"].as_str()?);
            if state.lost > 0 {
                state.lost -= 1;
                return None;
            }
            let mut told = request;
            if std::mem::take(&mut state.is_mistaken) {
                told.cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".to_owned();
            }
            Some((202, String::new(), status(&told, state.is_nameless).to_string()))
        }
        ("GET", None) => {
            let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{key}=")));
            let limit = value("limit").and_then(|text| text.parse().ok()).unwrap_or(10_usize);
            let name = value("name").map(|name| name.replace("%3A", ":").replace('+', " "));
            let is_exact = value("match") == Some("exact");
            let states = value("status").unwrap_or("pinned").replace("%2C", ",");
            let before = value("before").map(|text| text.replace("%3A", ":")).filter(|_| !state.repeats);
            let is_asked = |request: &&FakeRequest| {
                let is_named = name.as_ref().is_none_or(|name| match is_exact {
                    true => request.name == *name,
                    false => request.name.contains(name.as_str()),
                });
                is_named
                    && value("cid").is_none_or(|cid| request.cid == cid)
                    && states.split(',').any(|state| state == request.status)
                    && before.as_ref().is_none_or(|before| status(request, false)["created"].as_str() < Some(&**before))
            };
            let all = state.requests.iter().rev().filter(is_asked).filter(|_| !state.forgets);
            let page: Vec<Value> = all.take(limit).map(|request| status(request, state.is_nameless)).collect();
            Some((200, String::new(), json!({"count": page.len(), "results": page}).to_string()))
        }
        ("GET", Some(id)) if state.odd.contains_key(&id) => error(state.odd[&id], "ODD"),
        ("GET", Some(id)) => match state
            .instead
            .iter()
            .chain(&state.requests)
            .find(|request| state.instead.is_some() || request.id == id)
        {
            Some(request) => Some((200, String::new(), status(request, state.is_nameless).to_string())),
            None => error(404, "NOT_FOUND"),
        },
        ("DELETE", Some(id)) => {
            let before = state.requests.len();
            state.requests.retain(|request| request.id != id);
            if state.requests.len() < before {
                Some((202, String::new(), String::new()))
            } else {
                error(404, "NOT_FOUND")
            }
        }
        _ => error(400, "BAD_REQUEST"),
    }
}
