//! Settings, complete and typed, for everything below the command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::env::{Env, HANDOVER};
use crate::error::Error;
use crate::name::RepoName;
use crate::users;

pub mod key;
pub mod keys;
pub mod layers;
pub mod value;

pub use layers::{IndexConfig, Layers, Origin};

/// The policy for asking Kubo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KuboPolicy {
    /// Unless a proxy is set.
    Auto,
    /// Always.
    Yes,
    /// Never.
    No,
}

/// The policy for searches of the whole network by Kubo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SearchPolicy {
    /// After all other sources failed.
    Last,
    /// From the start.
    Always,
    /// Not at all.
    Never,
}

/// The repositories whose files peers may be asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SharePolicy {
    /// Those whose servers are all public.
    Public,
    /// These.
    Named(Vec<String>),
}

/// The settings of `prefetch`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the documentation of each field is the row of keys::KEYS with its name")]
pub struct Prefetch {
    pub max: u64,
    pub age: Duration,
    pub rate: u64,
    pub window: String,
    pub metered: bool,
    pub battery: bool,
    pub vpn: bool,
    pub pin: bool,
}

/// Every setting with its type. What each means, its unit and its default stand in [`keys::KEYS`].
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the documentation of each field is the row of keys::KEYS with its name")]
pub struct Settings {
    pub config_dir: PathBuf,
    pub store_dir: Option<PathBuf>,
    /// True when nothing may be kept from one call to the next, wherever `store_dir` points: for root where it
    /// works for itself without a store of its own, and for the user that has no name.
    pub storeless: bool,
    pub store_max: u64,
    pub state_dir: PathBuf,
    pub download_user: Option<String>,
    pub connect: Duration,
    pub stall: Duration,
    pub patience: Duration,
    pub floor: u64,
    pub ahead: bool,
    /// `None` for as many as pacman is configured to.
    pub ahead_parallel: Option<u32>,
    pub split: usize,
    pub pacman_conf: PathBuf,
    pub from_index: Vec<RepoName>,
    pub kubo: KuboPolicy,
    /// An http or https URL, or [`value::UNIX`] and a path.
    pub kubo_api: String,
    pub kubo_token: Option<PathBuf>,
    pub kubo_gateway: String,
    pub head_start: Duration,
    pub kubo_search: SearchPolicy,
    pub kubo_keep: u64,
    pub lan: KuboPolicy,
    pub lan_networks: Vec<String>,
    pub lan_interfaces: Vec<String>,
    pub lan_port: u32,
    pub lan_peers: Vec<String>,
    pub lan_peers_most: u32,
    pub lan_share: bool,
    pub lan_upload: u64,
    pub lan_upload_each: u64,
    pub socket: PathBuf,
    pub share: SharePolicy,
    pub share_stores: Vec<PathBuf>,
    pub gateways: Vec<String>,
    pub gateways_behind_proxy: bool,
    pub index_refresh: Duration,
    pub index_deadline: Duration,
    pub indexes: Vec<IndexConfig>,
    /// Stores that this user may look into: the own one, and the system's unless `store.dir` is set.
    pub stores: Vec<PathBuf>,
    pub prefetch: Prefetch,
    /// Most bytes a second for one file, for background work.
    pub rate: Option<u64>,
    /// Draw a progress bar.
    pub progress: bool,
}

impl Settings {
    /// Reads every layer and types it.
    pub fn read(env: &Env, flags: &[String]) -> Result<Self, Error> {
        Self::from_layers(env, &Layers::read(env, flags)?)
    }

    /// Types merged layers, whose values were checked when they were read.
    pub fn from_layers(env: &Env, layers: &Layers) -> Result<Self, Error> {
        let text = |name: &str| layers.values[name].0.as_str();
        let size = |name| value::size(text(name)).expect("checked by Layers");
        let span = |name| value::span(text(name)).expect("checked by Layers");
        let url = |name| value::url(text(name)).expect("checked by Layers");
        let number = |name| text(name).parse().expect("checked by Layers");
        let words = |name| value::list(text(name)).map(str::to_owned).collect();
        let ask = |text: &str| match text {
            "true" => KuboPolicy::Yes,
            "false" => KuboPolicy::No,
            _ => KuboPolicy::Auto,
        };
        let auto = |name: &str| Some(text(name)).filter(|text| *text != "auto").map(str::to_owned);
        Ok(Self {
            config_dir: layers::system_dir(env),
            store_dir: auto("store.dir").map(PathBuf::from).or_else(|| store_dir(env)),
            storeless: env.var(HANDOVER).is_some() && users::is_stray(env.uid),
            store_max: size("store.max"),
            state_dir: auto("state.dir").map_or_else(|| state_dir(env), PathBuf::from),
            download_user: auto("download.user"),
            connect: span("download.connect"),
            stall: span("download.stall"),
            patience: span("download.patience"),
            floor: size("download.floor"),
            ahead: text("ahead.enabled") == "true",
            ahead_parallel: text("ahead.parallel").parse().ok(),
            split: value::count(text("mirrors.split")).expect("checked by Layers"),
            pacman_conf: PathBuf::from(text("pacman.conf")),
            from_index: value::list(text("database.from_index")).filter_map(|name| RepoName::new(name).ok()).collect(),
            kubo: ask(text("kubo.enabled")),
            kubo_api: value::api(text("kubo.api")).expect("checked by Layers"),
            kubo_token: Some(text("kubo.token_file")).filter(|path| *path != "none").map(PathBuf::from),
            kubo_gateway: url("kubo.gateway"),
            head_start: span("kubo.head_start").min(Duration::from_secs(5)),
            kubo_search: match text("kubo.search") {
                "always" => SearchPolicy::Always,
                "never" => SearchPolicy::Never,
                _ => SearchPolicy::Last,
            },
            kubo_keep: size("kubo.keep"),
            lan: ask(text("lan.enabled")),
            lan_networks: words("lan.networks"),
            lan_interfaces: words("lan.interfaces"),
            lan_port: number("lan.port"),
            lan_peers: words("lan.peers"),
            lan_peers_most: number("lan.peers_most"),
            lan_share: text("lan.share") == "true",
            lan_upload: size("lan.upload"),
            lan_upload_each: size("lan.upload_each"),
            socket: PathBuf::from(text("daemon.socket")),
            share: match text("share.repos") {
                "public" => SharePolicy::Public,
                names => SharePolicy::Named(value::list(names).map(str::to_owned).collect()),
            },
            share_stores: value::list(text("share.stores")).map(PathBuf::from).collect(),
            gateways: value::list(text("gateways.urls")).filter_map(value::url).collect(),
            gateways_behind_proxy: text("gateways.behind_proxy") == "true",
            index_refresh: span("index.refresh"),
            index_deadline: span("index.deadline"),
            prefetch: Prefetch {
                max: size("prefetch.max"),
                age: span("prefetch.age"),
                rate: size("prefetch.rate"),
                window: text("prefetch.window").to_owned(),
                metered: text("prefetch.metered") == "true",
                battery: text("prefetch.battery") == "true",
                vpn: text("prefetch.vpn") == "true",
                pin: text("prefetch.pin") == "true",
            },
            rate: None,
            stores: match auto("store.dir") {
                Some(dir) => vec![PathBuf::from(dir)],
                None => stores(env),
            },
            indexes: layers.indexes.values().map(|(index, _)| index.clone()).collect(),
            progress: match text("output.progress") {
                "always" => true,
                "never" => false,
                _ => env.terminal,
            },
        })
    }
}

impl Settings {
    /// Returns Kubo's gateway as a URL.
    pub fn gateway_url(&self) -> reqwest::Url {
        reqwest::Url::parse(&self.kubo_gateway).expect("checked by Layers")
    }

    /// Returns the trustless gateways as URLs.
    pub fn gateway_urls(&self) -> impl Iterator<Item = reqwest::Url> + '_ {
        self.gateways.iter().map(|url| reqwest::Url::parse(url).expect("checked by Layers"))
    }
}

const SYSTEM_STORE: &str = "/var/cache/pkgswarm";
const SYSTEM_STATE: &str = "/var/lib/pkgswarm";

/// Returns the system's store for root and its owner, else the user's, else none that lasts.
fn store_dir(env: &Env) -> Option<PathBuf> {
    if env.is_root() || owned_by(Path::new(SYSTEM_STORE), env.uid) {
        return Some(PathBuf::from(SYSTEM_STORE));
    }
    env.home()?;
    directories::ProjectDirs::from("", "", "pkgswarm").map(|dirs| dirs.cache_dir().to_owned())
}

/// Returns the stores that this user can look into: files for pacman are in the system's.
fn stores(env: &Env) -> Vec<PathBuf> {
    let own = store_dir(env).unwrap_or_else(|| homeless_store(env.uid));
    let mut stores = vec![own, PathBuf::from(SYSTEM_STORE)];
    stores.dedup();
    stores
}

/// Returns the store of a user without a home.
pub fn homeless_store(uid: u32) -> PathBuf {
    PathBuf::from(format!("/var/tmp/pkgswarm-{uid}"))
}

/// Returns the directory of indexes: the system's are readable for all users; a user has one only after adding an
/// index.
fn state_dir(env: &Env) -> PathBuf {
    let system = PathBuf::from(SYSTEM_STATE);
    if env.is_root() || owned_by(&system, env.uid) || env.home().is_none() {
        return system;
    }
    match directories::ProjectDirs::from("", "", "pkgswarm") {
        Some(dirs) if dirs.data_dir().exists() || !system.exists() => dirs.data_dir().to_owned(),
        _ => system,
    }
}

fn owned_by(path: &Path, uid: u32) -> bool {
    rustix::fs::lstat(path).is_ok_and(|stat| stat.st_uid == uid)
}
