//! An HTTP mirror: a real nginx over a directory, which reports its requests and its bytes.

use super::{Host, Process, Trusted, command, free_port, run, scratch, until};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// One answered request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLine {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// The decoded path, from the served directory on.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the body that were sent.
    pub body: u64,
}

/// An nginx of the test's own.
pub struct Mirror {
    work: TempDir,
    scheme: &'static str,
    address: String,
    host: Option<String>,
    nginx: Option<Process>,
}

/// Requested by `requests` so that everything before it is in the log.
const MARK: &str = "/pkgswarm-mark";

impl Mirror {
    /// Serves a directory on a free port of the loopback address.
    pub fn serve(directory: &Path) -> Mirror {
        Mirror::start_new(directory, None, "")
    }

    /// Serves it at another address of the loopback interface: a host of its own.
    pub fn serve_at(address: &str, directory: &Path) -> Mirror {
        Mirror::start_at("http", directory, (None, address), "")
    }

    /// Serves it no faster than so many bytes a second for each connection.
    pub fn serve_slowly(directory: &Path, rate: u64) -> Mirror {
        Mirror::start_new(directory, None, &format!("limit_rate {rate};"))
    }

    /// Serves it with more lines for the `server` block.
    pub fn serve_with(directory: &Path, lines: &str) -> Mirror {
        Mirror::start_new(directory, None, lines)
    }

    /// Serves it on a host's own address.
    pub fn serve_on(host: &Host, directory: &Path, lines: &str) -> Mirror {
        Mirror::start_new(directory, Some(host), lines)
    }

    /// Serves it on a host's own address over https with HTTP/2, by this certificate.
    pub fn serve_tls_on(host: &Host, directory: &Path, certificate: &Trusted) -> Mirror {
        Mirror::start_over("https", directory, Some(host), &certificate.lines())
    }

    /// Serves a cache on a host, which keeps the files of another mirror.
    pub fn serve_cache(host: &Host, upstream: &str) -> Mirror {
        let location = format!("location / {{ proxy_pass {upstream}; proxy_cache kept; proxy_cache_valid 1h; }}");
        Mirror::start_new(Path::new("/nonexistent"), Some(host), &location)
    }

    /// Returns the address of a mirror that refuses connections.
    pub fn refused() -> String {
        format!("http://127.0.0.1:{}", free_port())
    }

    /// Returns the URL before a path.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Starts it again, on the same port.
    pub fn start(&mut self) {
        assert!(self.try_start(), "nginx does not start again on {}", self.address);
    }

    /// Stops it at once, in the middle of its transfers.
    pub fn stop(&mut self) {
        self.nginx = None;
    }

    /// Lists every request answered so far, in order.
    pub fn requests(&self) -> Vec<AccessLine> {
        if self.nginx.is_some() {
            self.mark();
        }
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let requests = log.lines().filter_map(|line| {
            let mut fields = line.splitn(4, ' ');
            Some(AccessLine {
                status: fields.next()?.parse().ok()?,
                body: fields.next()?.parse().ok()?,
                method: fields.next()?.into(),
                path: fields.next()?.into(),
            })
        });
        requests.filter(|request| request.path != MARK).collect()
    }

    /// Lists the requests for one file, in any directory.
    pub fn requests_for(&self, file: &str) -> Vec<AccessLine> {
        let mut requests = self.requests();
        requests.retain(|request| request.path.rsplit('/').next() == Some(file));
        requests
    }

    /// Counts the connections over which packages were asked for.
    pub fn connections(&self) -> usize {
        self.mark();
        let log = fs::read_to_string(self.connection_log()).unwrap_or_default();
        let of_packages = log.lines().filter(|line| line.contains(".pkg.tar."));
        of_packages.filter_map(|line| line.split(' ').next()).collect::<BTreeSet<_>>().len()
    }

    /// Counts the bytes of all requests and answers, headers included.
    pub fn http_bytes(&self) -> u64 {
        self.mark();
        let log = fs::read_to_string(self.connection_log()).unwrap_or_default();
        let of_line = |line: &str| {
            let mut fields = line.splitn(4, ' ').skip(1);
            let (asked, sent) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
            (fields.next()? != MARK).then_some(asked + sent)
        };
        log.lines().filter_map(of_line).sum()
    }

    /// Returns its process id.
    pub fn process_id(&self) -> u32 {
        self.nginx.as_ref().expect("a running nginx").id()
    }

    /// Counts bytes sent in all bodies of found files.
    pub fn bytes_served(&self) -> u64 {
        self.requests().iter().filter(|request| request.status < 300).map(|request| request.body).sum()
    }

    fn start_new(directory: &Path, host: Option<&Host>, lines: &str) -> Mirror {
        Mirror::start_over("http", directory, host, lines)
    }

    fn start_over(scheme: &'static str, directory: &Path, host: Option<&Host>, lines: &str) -> Mirror {
        Mirror::start_at(scheme, directory, (host, "127.0.0.1"), lines)
    }

    fn start_at(
        scheme: &'static str,
        directory: &Path,
        (host, loopback): (Option<&Host>, &str),
        lines: &str,
    ) -> Mirror {
        let (port, how) = if scheme == "https" { (443, " ssl http2") } else { (80, "") };
        for _ in 0..10 {
            let work = scratch("mirror");
            let address = match host {
                Some(host) => format!("{}:{port}", host.address()),
                None => format!("{loopback}:{}", free_port()),
            };
            fs::write(
                work.path().join("nginx.conf"),
                config(work.path(), directory, &format!("{address}{how}"), lines),
            )
            .expect("a file");
            let mut mirror =
                Mirror { work, scheme, address, host: host.map(|host| host.name().to_owned()), nginx: None };
            if mirror.try_start() {
                return mirror;
            }
        }
        panic!("nginx found no free port in ten tries");
    }

    /// True if it came up; another program may have taken the port first.
    fn try_start(&mut self) -> bool {
        let pid = self.work.path().join("pid");
        let _ = fs::remove_file(&pid);
        let mut line: Vec<PathBuf> = Vec::new();
        if let Some(host) = &self.host {
            line.extend(["ip", "netns", "exec", host].map(PathBuf::from));
        }
        line.extend(["setpriv", "--pdeathsig", "KILL", "nginx", "-c"].map(PathBuf::from));
        line.push(self.work.path().join("nginx.conf"));
        let mut nginx = Process::start(command(&line[0]).args(&line[1..]));
        let up = until("nginx is up or gone", Duration::from_secs(20), || {
            if !nginx.runs() {
                return Some(false);
            }
            // Written once the sockets are bound.
            fs::metadata(&pid).is_ok_and(|file| file.len() > 0).then_some(true)
        });
        self.nginx = up.then_some(nginx);
        up
    }

    /// Makes a marked request: one process answers requests one by one, so every answer before this one is logged.
    fn mark(&self) {
        let before = self.marks();
        let mut curl = match &self.host {
            Some(host) => {
                let mut inside = command("ip");
                inside.args(["netns", "exec", host, "curl"]);
                inside
            }
            None => command("curl"),
        };
        run(curl.args(["--silent", "--insecure", "--output", "/dev/null"]).arg(format!("{}{MARK}", self.url()))).ok();
        until("the mirror's log is written", Duration::from_secs(10), || (self.marks() > before).then_some(()));
    }

    fn marks(&self) -> usize {
        fs::read_to_string(self.log()).unwrap_or_default().lines().filter(|line| line.ends_with(MARK)).count()
    }

    fn connection_log(&self) -> PathBuf {
        self.work.path().join("connections.log")
    }

    fn log(&self) -> PathBuf {
        self.work.path().join("access.log")
    }
}

fn config(work: &Path, directory: &Path, address: &str, lines: &str) -> String {
    let work = work.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("  {what}_temp_path {work}/tmp-{what};\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\nuser root;\npid {work}/pid;\nerror_log {work}/error.log;\n\
         events {{ worker_connections 512; }}\n\
         http {{\n{temporary}  types {{ }}\n  default_type application/octet-stream;\n  sendfile on;\n\
         \x20 log_format plain escape=none '$status $body_bytes_sent $request_method $uri';\n\
         \x20 log_format connection escape=none '$connection $request_length $bytes_sent $uri';\n\
         \x20 access_log {work}/connections.log connection;\n  access_log {work}/access.log plain;\n  proxy_cache_path {work}/cache keys_zone=kept:1m;\n\
         \x20 server {{\n    listen {address};\n    root {root};\n    {lines}\n  }}\n}}\n",
        root = directory.display(),
    )
}
