//! A browser without a window, driven by the Chrome DevTools Protocol over a pipe: it needs no port, and ends with its
//! pipe.

use data_encoding::BASE64;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest wait for one answer. The first needs the browser to start.
const LIMIT: Duration = Duration::from_secs(90);

/// Descriptor 3 carries commands and 4 answers (Chromium, `headless/README.md`, `--remote-debugging-pipe`).
const START: &str = "exec \"$@\" 3<&0 4>&1 >/dev/null 2>&1 </dev/null";

/// A page is read with this screen, and as this reader wants it.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// Columns of the screen, in CSS pixels.
    pub width: u32,
    /// True for light letters on dark paper.
    pub is_dark: bool,
    /// True if scripts may run.
    pub has_scripts: bool,
}

/// What a reader sees.
#[derive(Debug)]
pub struct SeenPage {
    /// A picture of all of it, as PNG.
    pub picture: Vec<u8>,
    /// Its text.
    pub text: String,
    /// Columns that it needs.
    pub scroll_width: f64,
    /// Size of the letters of its body, and the smallest on it; CSS pixels.
    pub letters: (f64, f64),
    /// Messages of the browser about it: of scripts, of the policy, of missing files.
    pub complaints: Vec<String>,
    /// What it fetched.
    pub fetched: Vec<String>,
}

/// The browser.
pub struct Browser {
    child: Child,
    to: Option<ChildStdin>,
    from: Receiver<Value>,
    next: u64,
    events: Vec<Value>,
    _profile: TempDir,
}

impl Browser {
    /// Returns the program, if this machine has one.
    pub fn program() -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        let dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/bin")]);
        dirs.map(|dir| dir.join("chromium")).find(|program| program.is_file())
    }

    /// Starts it.
    pub fn start() -> Browser {
        let program = Browser::program().expect("chromium is missing: run `tests/parts`");
        let profile = tempfile::tempdir().expect("a temporary directory");
        let mut child = Command::new("sh")
            .args(["-c", START, "sh"])
            .arg(program)
            .args(["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--no-proxy-server", "--disable-dev-shm-usage", "--disable-extensions"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let (tell, from) = channel();
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || {
            // Messages end with a NUL.
            for message in answers.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("the browser sends JSON");
                if tell.send(message).is_err() {
                    break;
                }
            }
        });
        let to = child.stdin.take();
        Browser { child, to, from, next: 0, events: Vec::new(), _profile: profile }
    }

    /// Opens a page and looks at all of it.
    pub fn look(&mut self, url: &str, reader: Reader) -> SeenPage {
        let Reader { width, is_dark, has_scripts } = reader;
        let target = self.ask(None, "Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = self.ask(None, "Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        let session = attached["sessionId"].as_str().expect("a session").to_owned();
        let session = Some(session.as_str());
        for domain in ["Page", "Runtime", "Log", "Network", "Audits"] {
            self.ask(session, &format!("{domain}.enable"), json!({}));
        }
        let screen = json!({"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": width < 600});
        self.ask(session, "Emulation.setDeviceMetricsOverride", screen);
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask(session, "Emulation.setEmulatedMedia", features);
        self.ask(session, "Emulation.setScriptExecutionDisabled", json!({"value": !has_scripts}));
        self.events.clear();
        let went = self.ask(session, "Page.navigate", json!({"url": url}));
        assert!(went.get("errorText").is_none(), "{url}: {went}");
        self.wait_for("Page.loadEventFired");
        let measured = self.evaluate(session, MEASURE);
        let picture = json!({"format": "png", "captureBeyondViewport": true, "clip": {
            "x": 0, "y": 0, "width": width, "height": measured["height"], "scale": 1}});
        let picture = self.ask(session, "Page.captureScreenshot", picture);
        let picture = BASE64.decode(picture["data"].as_str().expect("a picture").as_bytes()).expect("base64");
        self.ask(None, "Target.closeTarget", json!({"targetId": target}));
        let number = |name: &str| measured[name].as_f64().unwrap_or_else(|| panic!("{name}: {measured}"));
        SeenPage {
            picture,
            text: measured["text"].as_str().expect("a text").to_owned(),
            scroll_width: number("width"),
            letters: (number("body"), number("least")),
            complaints: self.events.iter().filter_map(complaint).collect(),
            fetched: self.events.iter().filter_map(fetched).collect(),
        }
    }

    fn evaluate(&mut self, session: Option<&str>, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true});
        let answer = self.ask(session, "Runtime.evaluate", asked);
        assert!(answer.get("exceptionDetails").is_none(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// Gives a command, and returns its result; events that come before it are kept.
    fn ask(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let pipe = self.to.as_mut().expect("the browser runs");
        write!(pipe, "{message}\0").and_then(|()| pipe.flush()).unwrap_or_else(|e| panic!("{method}: {e}"));
        let until = Instant::now() + LIMIT;
        loop {
            let mut answer = self.message(method, until);
            if answer["id"] == self.next {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }

    fn wait_for(&mut self, event: &str) {
        let until = Instant::now() + LIMIT;
        while self.events.iter().all(|known| known["method"] != event) {
            let message = self.message(event, until);
            self.events.push(message);
        }
    }

    fn message(&mut self, what: &str, until: Instant) -> Value {
        match self.from.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => panic!("{what}: no answer within {LIMIT:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("{what}: the browser ended"),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends with its pipe; what does not is killed.
        drop(self.to.take());
        let until = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs in the page, also where scripts of its own may not.
const MEASURE: &str = "(() => {
    const size = element => parseFloat(getComputedStyle(element).fontSize);
    const texts = [...document.body.querySelectorAll('*')].filter(element =>
        element.getClientRects().length && [...element.childNodes].some(node => node.nodeType == 3 && node.data.trim()));
    const whole = document.documentElement;
    return {
        width: Math.max(whole.scrollWidth, document.body.scrollWidth), height: whole.scrollHeight,
        body: size(document.body), least: Math.min(...texts.map(size)), text: document.body.innerText,
    };
})()";

/// Returns what the browser complains about in this event.
fn complaint(event: &Value) -> Option<String> {
    let params = &event["params"];
    match event["method"].as_str()? {
        "Log.entryAdded" => Some(params["entry"]["text"].to_string()),
        "Runtime.consoleAPICalled" => Some(params["args"].to_string()),
        "Runtime.exceptionThrown" => Some(params["exceptionDetails"].to_string()),
        "Audits.issueAdded" => Some(params["issue"].to_string()),
        _ => None,
    }
}

fn fetched(event: &Value) -> Option<String> {
    (event["method"] == "Network.requestWillBeSent")
        .then(|| event["params"]["request"]["url"].as_str().map(str::to_owned))?
}
