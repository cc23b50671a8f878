//! The endpoint for pacman's own downloader: the lines that name it, its unit, what answers at its address, and what
//! would keep pacman from reaching it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use reqwest::header;
use serde::Deserialize;

use super::units::{self, UnitState};
use crate::base::env::{Env, HANDOVER};
use crate::base::runtime::block_on;
use crate::config::Settings;
use crate::haiku::kept::SnapshotShelf;
use crate::haiku::state::SnapshotState;
use crate::lists::pacman::pacman_conf::PacmanConf;
use crate::net::http::Http;

/// The unit that listens at its address.
pub(crate) const SOCKET: &str = "pkgswarm-endpoint.socket";

/// Most bytes of what it says of itself.
const WORDS_MOST: usize = 64 << 10;

/// Variables that name a proxy for http, in the order in which libcurl looks (curl 8, lib/url.c: `detect_proxy`).
const PROXIES: [&str; 3] = ["http_proxy", "all_proxy", "ALL_PROXY"];

/// The endpoint, and pacman's way to it.
#[derive(Debug, Default)]
pub(crate) struct EndpointFacts {
    /// True where `endpoint.enabled` is.
    pub(crate) is_enabled: bool,
    /// The address on this machine, as pacman is told.
    pub(crate) address: String,
    /// True where `endpoint.listen` has addresses that other machines reach.
    pub(crate) is_for_others: bool,
    /// Repositories of which pacman asks the endpoint, in their order.
    pub(crate) repos: Vec<String>,
    /// Lines of pacman.conf that name it, understood or not.
    pub(crate) lines: usize,
    /// What systemd says about its socket; `None` where that was not asked.
    pub(crate) socket: Option<UnitState>,
    /// Where its socket listens; none where systemd does not tell.
    pub(crate) listens: Vec<SocketAddr>,
    /// What answers at its address.
    pub(crate) answer: EndpointAnswer,
    /// Databases that it gave to other machines because no mirror delivered them: the repository, and the date in Unix
    /// seconds.
    pub(crate) aged: Vec<(String, u64)>,
    /// The endpoints of other machines that it asks now: the address, and what names it.
    pub(crate) house: Vec<(String, String)>,
    /// The addresses that it announces.
    pub(crate) announced: Vec<String>,
    /// True where `endpoint.peers` has any.
    pub(crate) has_peers: bool,
    /// True where `endpoint.announce` is.
    pub(crate) is_to_announce: bool,
    /// Proxies that keep pacman from it.
    pub(crate) proxies: Vec<ProxyTrap>,
    /// Haiku's repositories: as the endpoint has them, else as they are kept for this user.
    pub(crate) haiku: Vec<SnapshotState>,
}

/// What answers at the endpoint's address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum EndpointAnswer {
    /// Not asked: no line names the address, and no unit listens there.
    #[default]
    NotAsked,
    /// Nothing: a connection is refused.
    Refused,
    /// A program that accepts connections and says nothing.
    Silent,
    /// This program.
    Ours,
    /// Another one, by its own words about itself, which may be none.
    Another(String),
}

/// A proxy that libcurl would ask for an address of this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ProxyTrap {
    /// The variable that names it.
    pub(crate) variable: String,
    /// Where it is set.
    pub(crate) place: &'static str,
    /// True where every pacman of this machine has it, sudo or not.
    pub(crate) is_for_all: bool,
}

/// Returns the endpoint's address on this machine: the first one of `endpoint.listen` that is, else its usual one.
pub(crate) fn address(settings: &Settings) -> SocketAddr {
    let mut all = listening(settings);
    let local = all.find(|at| at.ip().is_loopback() || at.ip().is_unspecified());
    match local {
        Some(at) if at.ip().is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, at.port())),
        Some(at) => at,
        None => SocketAddr::from((Ipv4Addr::LOCALHOST, 4011)),
    }
}

fn listening(settings: &Settings) -> impl Iterator<Item = SocketAddr> {
    settings.endpoint.listen.iter().filter_map(|at| at.value().ok().copied())
}

/// Returns the value of a `CacheServer` that names the endpoint. By its number: a name that does not resolve costs
/// pacman an error a file.
pub(crate) fn url(settings: &Settings) -> String {
    format!("http://{}/$repo/os/$arch", address(settings))
}

/// True for a URL of the endpoint on this machine.
pub(crate) fn is_ours(settings: &Settings, url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let Some((host, port)) = authority.rsplit_once(':') else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    is_here && port.parse() == Ok(address(settings).port())
}

impl EndpointFacts {
    /// Returns the address at which its socket listens, where that is another one than pacman is told.
    pub(crate) fn elsewhere(&self) -> Option<SocketAddr> {
        let told: SocketAddr = self.address.parse().ok()?;
        let is_it = |at: &SocketAddr| at.port() == told.port() && (at.ip() == told.ip() || at.ip().is_unspecified());
        self.listens.first().filter(|_| !self.listens.iter().any(is_it)).copied()
    }

    /// Examines all of it.
    pub(super) fn examine(env: &Env, settings: &Settings, conf: Option<&PacmanConf>, patience: Duration) -> Self {
        let mut facts = Self::of(settings, conf);
        facts.socket = Some(units::glance(SOCKET));
        let is_on = matches!(&facts.socket, Some(UnitState::Is(state)) if state == "enabled");
        if is_on {
            facts.listens = units::listens(SOCKET).iter().filter_map(|at| at.parse().ok()).collect();
        }
        if facts.lines > 0 || facts.is_enabled || is_on {
            facts.ask(settings, patience);
            facts.proxies = proxies(env, Path::new("/"));
        }
        facts.look_for_haiku(env, settings);
        facts
    }

    /// Looks whether it is in use, and answers.
    pub(super) fn glance(env: &Env, settings: &Settings, conf: Option<&PacmanConf>, patience: Duration) -> Self {
        let mut facts = Self::of(settings, conf);
        if facts.lines > 0 || facts.is_enabled {
            facts.ask(settings, patience);
        }
        facts.look_for_haiku(env, settings);
        facts
    }

    fn ask(&mut self, settings: &Settings, patience: Duration) {
        let (answer, own) = ask(address(settings), patience);
        self.answer = answer;
        self.aged = own.aged.into_iter().map(|one| (one.repo, one.at)).collect();
        self.house = own.house.into_iter().map(|one| (one.at, one.by)).collect();
        self.announced = own.announced;
        self.haiku = own.haiku;
    }

    /// Looks at the lists of Haiku's repositories on the disk, where the endpoint does not tell.
    fn look_for_haiku(&mut self, env: &Env, settings: &Settings) {
        for config in &settings.haiku {
            if self.haiku.iter().all(|state| state.name != config.name) {
                let shelf = SnapshotShelf::of(&settings.state_dir, &config.name, env.uid);
                self.haiku.push(SnapshotState::of(config, shelf.load_all(config).as_ref(), shelf.servers()));
            }
        }
    }

    fn of(settings: &Settings, conf: Option<&PacmanConf>) -> Self {
        let asks = |urls: &[String]| urls.iter().any(|url| is_ours(settings, url));
        let repos = conf.into_iter().flat_map(|conf| &conf.repos);
        let asking = repos.filter(|repo| asks(&repo.cache_servers) || asks(&repo.servers));
        let repos: Vec<String> = asking.map(|repo| repo.name.to_string()).collect();
        let text = std::fs::read_to_string(&settings.pacman_conf).unwrap_or_default();
        Self {
            is_enabled: settings.endpoint.enabled,
            has_peers: !settings.endpoint.peers.is_empty(),
            is_to_announce: settings.endpoint.announce,
            address: address(settings).to_string(),
            is_for_others: listening(settings).any(|at| !at.ip().is_loopback()),
            lines: repos.len().max(lines(settings, &text)),
            repos,
            ..Self::default()
        }
    }
}

/// Counts the `CacheServer` lines of a pacman.conf that name the endpoint, also for a pacman that does not know them.
fn lines(settings: &Settings, text: &str) -> usize {
    let value = |line: &'_ str| -> Option<String> {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "CacheServer").then(|| value.trim().to_owned())
    };
    text.lines().filter_map(value).filter(|url| is_ours(settings, url)).count()
}

/// What the endpoint's process alone knows (`daemon/endpoint/page.rs`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OwnWords {
    aged: Vec<AgedRepo>,
    house: Vec<FoundHouse>,
    announced: Vec<String>,
    haiku: Vec<SnapshotState>,
}

/// Another machine's endpoint.
#[derive(Debug, Deserialize)]
struct FoundHouse {
    at: String,
    by: String,
}

/// A database without a newer one from a mirror.
#[derive(Debug, Deserialize)]
struct AgedRepo {
    repo: String,
    at: u64,
}

/// Asks what answers at an address, for no file and not for the page, which is made from such a look.
fn ask(address: SocketAddr, patience: Duration) -> (EndpointAnswer, OwnWords) {
    let http = Http::new(patience);
    let asked = http.loopback().get(format!("http://{address}/endpoint.json")).timeout(patience);
    let answer = match block_on(async { asked.send().await }) {
        None => EndpointAnswer::NotAsked,
        Some(Ok(answer)) => {
            let named = answer.headers().get(header::SERVER).and_then(|name| name.to_str().ok()).unwrap_or_default();
            if named.starts_with("pkgswarm") {
                let own = block_on(own_words(answer));
                return (EndpointAnswer::Ours, own.flatten().unwrap_or_default());
            }
            EndpointAnswer::Another(named.to_owned())
        }
        Some(Err(e)) if e.is_connect() && !e.is_timeout() => EndpointAnswer::Refused,
        Some(Err(e)) if e.is_timeout() => EndpointAnswer::Silent,
        Some(Err(_)) => EndpointAnswer::Another(String::new()),
    };
    (answer, OwnWords::default())
}

/// Reads what the endpoint says of itself; `None` for one of an earlier version.
async fn own_words(mut answer: reqwest::Response) -> Option<OwnWords> {
    let mut said = Vec::new();
    while let Some(piece) = answer.chunk().await.ok()? {
        said.extend_from_slice(&piece);
        (said.len() <= WORDS_MOST).then_some(())?;
    }
    serde_json::from_slice(&said).ok()
}

/// Lists the proxies that libcurl would use for an address of this machine, and where they are set below `root`.
fn proxies(env: &Env, root: &Path) -> Vec<ProxyTrap> {
    let own = proxy(|name| env.var(name).map(str::to_owned));
    // sudo drops these variables, unless it was told to keep them.
    let is_sudo = ["SUDO_UID", HANDOVER].iter().any(|name| env.var(name).is_some()) || env.is_root();
    let here = own.map(|variable| ProxyTrap { variable, place: "this environment", is_for_all: is_sudo });
    // Read by pam_env(8) for every login, and for sudo.
    let text = std::fs::read_to_string(root.join("etc/environment")).unwrap_or_default();
    let of_all = proxy(|name| assigned(&text, name));
    let of_all = of_all.map(|variable| ProxyTrap { variable, place: "/etc/environment", is_for_all: true });
    match (here, of_all) {
        // It is where the other one comes from.
        (Some(here), Some(of_all)) if here.variable == of_all.variable => vec![of_all],
        (here, of_all) => of_all.into_iter().chain(here).collect(),
    }
}

/// Returns the variable that names a proxy for `http://127.0.0.1` (curl 8, lib/noproxy.c).
fn proxy(var: impl Fn(&str) -> Option<String>) -> Option<String> {
    let set = |name: &str| var(name).filter(|value| !value.is_empty());
    let variable = PROXIES.into_iter().find(|name| set(name).is_some())?;
    let except = set("no_proxy").or_else(|| set("NO_PROXY")).unwrap_or_default();
    let is_excepted = except.trim() == "*"
        || except
            .split([' ', '\t', ','])
            .any(|one| one == "127.0.0.1" || one.starts_with("127.") && one.ends_with("/8"));
    (!is_excepted).then(|| variable.to_owned())
}

/// Returns the value of a variable in a text like /etc/environment.
fn assigned(text: &str, name: &str) -> Option<String> {
    let value = |line: &str| {
        let line = line.trim();
        let (key, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
        (key.trim() == name).then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    };
    text.lines().filter_map(value).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::net::TcpListener;

    #[test]
    fn a_proxy_counts_unless_this_machine_is_excepted() {
        for (vars, found) in [
            (&[("http_proxy", "http://p:1")][..], Some("http_proxy")),
            (&[("all_proxy", "p:1")], Some("all_proxy")),
            (&[("HTTP_PROXY", "http://p:1")], None),
            (&[("https_proxy", "http://p:1")], None),
            (&[("http_proxy", ""), ("ALL_PROXY", "p:1")], Some("ALL_PROXY")),
            (&[("http_proxy", "p:1"), ("no_proxy", "localhost")], Some("http_proxy")),
            (&[("http_proxy", "p:1"), ("no_proxy", "localhost, 127.0.0.1")], None),
            (&[("http_proxy", "p:1"), ("no_proxy", "a 127.0.0.0/8")], None),
            (&[("http_proxy", "p:1"), ("NO_PROXY", "*")], None),
        ] {
            let var = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(proxy(var).as_deref(), found, "{vars:?}");
        }
    }

    #[test]
    fn a_proxy_is_found_where_it_is_set() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let write = |text: &str| std::fs::write(root.path().join("etc/environment"), text).unwrap();
        let mut env = Env { uid: 1000, ..Env::from_process() };
        env.vars.clear();
        assert_eq!(proxies(&env, root.path()), []);
        write("# proxies\nhttp_proxy=\"http://p:1\"\n");
        let of_all = ProxyTrap { variable: "http_proxy".into(), place: "/etc/environment", is_for_all: true };
        assert_eq!(proxies(&env, root.path()), std::slice::from_ref(&of_all));
        env.vars.insert("http_proxy".into(), "http://p:1".into());
        assert_eq!(proxies(&env, root.path()), [of_all], "the same one is named once");
        write("export http_proxy=http://p:1\nexport no_proxy='127.0.0.1,localhost'\n");
        let here = ProxyTrap { variable: "http_proxy".into(), place: "this environment", is_for_all: false };
        assert_eq!(proxies(&env, root.path()), std::slice::from_ref(&here));
        env.vars.insert("SUDO_UID".into(), "1000".into());
        assert_eq!(proxies(&env, root.path()), [ProxyTrap { is_for_all: true, ..here }]);
    }

    #[test]
    fn what_answers_is_told_from_another_program_and_from_silence() {
        let patience = Duration::from_millis(300);
        // No other test listens at this address.
        let gone = TcpListener::bind("127.0.0.78:0").unwrap().local_addr().unwrap();
        assert_eq!(ask(gone, Duration::from_secs(5)).0, EndpointAnswer::Refused);
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(ask(silent.local_addr().unwrap(), patience).0, EndpointAnswer::Silent);
        for (said, answer) in [
            ("HTTP/1.1 404 Not Found\r\nServer: pkgswarm/0.1.0\r\nContent-Length: 0\r\n\r\n", EndpointAnswer::Ours),
            ("HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n", EndpointAnswer::Another("nginx".into())),
            ("SSH-2.0-OpenSSH_9.2\r\n", EndpointAnswer::Another(String::new())),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let at = listener.local_addr().unwrap();
            let serving = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1000];
                let _ = std::io::Read::read(&mut stream, &mut request);
                stream.write_all(said.as_bytes()).unwrap();
            });
            assert_eq!(ask(at, Duration::from_secs(5)).0, answer, "{said}");
            serving.join().unwrap();
        }
    }
}
