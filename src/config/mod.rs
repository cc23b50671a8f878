//! Settings, complete and typed, for everything below the command line.
//!
//! # Room
//!
//! - In: configuration files, `PKGSWARM_*`, options
//! - Out: `Settings`, each value with its origin
//! - May use: base
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! network peer_address policy publication_keys publisher secret time_window url written
//! endpoint template typed
//! key
//! keys value
//! haiku keep
//! layers
//! content pin_place
//! retention
//! followers
//! declared publication
//! group_file
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::path::{Path, PathBuf};
use std::time::Duration;

use glob::Pattern;
use reqwest::Url;

use crate::base::env::{Env, HANDOVER};
use crate::base::error::Error;
use crate::base::name::RepoName;
use crate::base::users;
use crate::config::network::Network;
use crate::config::time_window::TimeWindow;
use crate::config::url::{BaseUrl, RpcAddress};
use crate::config::written::Written;

pub(crate) mod content;
pub(crate) mod declared;
pub(crate) mod endpoint;
pub(crate) mod followers;
pub mod group_file;
pub(crate) mod haiku;
pub(crate) mod keep;
pub(crate) mod key;
pub(crate) mod keys;
pub(crate) mod layers;
pub mod network;
pub mod peer_address;
pub(crate) mod pin_place;
mod policy;
pub(crate) mod publication;
pub(crate) mod publication_keys;
pub(crate) mod publisher;
pub mod retention;
pub(crate) mod secret;
pub(crate) mod template;
pub(crate) mod time_window;
pub(crate) mod typed;
pub mod url;
pub(crate) mod value;
pub mod written;

pub use content::ContentRule;
pub(crate) use endpoint::EndpointSettings;
pub(crate) use haiku::HaikuConfig;
pub(crate) use keep::KeepConfig;
#[cfg(feature = "testing")]
pub use layers::Origin;
pub use layers::{IndexConfig, Layers};
pub use policy::AskPolicy;
pub(crate) use policy::{LogLevel, SearchPolicy, SharePolicy};

/// The settings of `prefetch`.
#[derive(Clone, Debug)]
pub(crate) struct Prefetch {
    pub(crate) max: u64,
    pub(crate) age: Duration,
    pub(crate) rate: u64,
    pub(crate) window: TimeWindow,
    pub(crate) metered: bool,
    pub(crate) battery: bool,
    pub(crate) vpn: bool,
    pub(crate) pin: bool,
}

/// The form in which progress is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProgressMode {
    /// A bar, which moves the cursor.
    Bar,
    /// One line for a file that takes longer than two seconds.
    Line,
    /// Nothing.
    Silent,
}

/// Every setting with its type. What each means, its unit and its default stand in [`keys::KEYS`].
#[derive(Clone, Debug)]
#[cfg_attr(
    feature = "testing",
    expect(missing_docs, reason = "the documentation of each field is the row of keys::KEYS with its name")
)]
pub struct Settings {
    pub(crate) store_dir: Option<PathBuf>,
    /// True when nothing may be kept from one call to the next, wherever `store_dir` points: for root where it
    /// works for itself without a store of its own, and for the user that has no name.
    pub(crate) storeless: bool,
    pub(crate) store_max: u64,
    pub(crate) state_dir: PathBuf,
    pub(crate) download_user: Option<String>,
    pub(crate) connect: Duration,
    pub(crate) stall: Duration,
    pub(crate) patience: Duration,
    pub(crate) floor: u64,
    pub(crate) ahead: bool,
    /// `None` for as many as pacman is configured to.
    pub(crate) ahead_parallel: Option<u32>,
    pub(crate) split: usize,
    pub(crate) pacman_conf: PathBuf,
    pub(crate) from_index: Vec<RepoName>,
    pub(crate) kubo: AskPolicy,
    pub kubo_api: RpcAddress,
    pub kubo_token: Option<PathBuf>,
    pub kubo_gateway: BaseUrl,
    pub head_start: Duration,
    pub(crate) kubo_search: SearchPolicy,
    pub(crate) kubo_keep: u64,
    /// True when installed packages go into Kubo.
    pub(crate) kubo_shares_installed: bool,
    pub(crate) kubo_peering: bool,
    pub(crate) lan: AskPolicy,
    pub(crate) lan_networks: Vec<Written<Network>>,
    pub(crate) lan_interfaces: Vec<Written<Pattern>>,
    pub(crate) lan_port: u32,
    /// The weight of events that the daemon logs.
    pub(crate) log: LogLevel,
    /// Multiaddresses as written: only the daemon has the library that reads them.
    pub(crate) lan_peers: Vec<String>,
    pub(crate) lan_peers_most: u32,
    pub(crate) lan_share: bool,
    pub(crate) lan_upload: u64,
    pub(crate) lan_upload_each: u64,
    pub(crate) socket: PathBuf,
    pub(crate) share: SharePolicy,
    pub(crate) share_stores: Vec<PathBuf>,
    pub gateways: Vec<BaseUrl>,
    pub gateways_behind_proxy: bool,
    pub(crate) index_refresh: Duration,
    pub(crate) index_deadline: Duration,
    pub indexes: Vec<IndexConfig>,
    /// Haiku's repositories.
    pub(crate) haiku: Vec<HaikuConfig>,
    /// Shares of indexes that are kept alive in Kubo.
    pub(crate) keeps: Vec<KeepConfig>,
    /// Stores that this user may look into: the own one, and the system's unless `store.dir` is set.
    pub(crate) stores: Vec<PathBuf>,
    pub(crate) prefetch: Prefetch,
    pub(crate) endpoint: EndpointSettings,
    /// Most bytes a second for one file, for background work.
    pub(crate) rate: Option<u64>,
    /// The progress of files that are fetched.
    pub(crate) progress: ProgressMode,
    /// What is wrong with the configuration, for people: mistakes that were no reason to stop, each with its location.
    pub(crate) mistakes: Vec<String>,
}

impl Settings {
    /// Reads every layer and collects the values.
    ///
    /// # Errors
    /// As [`Layers::read`].
    pub fn read(env: &Env, flags: &[String]) -> Result<Self, Error> {
        let settings = Self::from_layers(env, &Layers::read(env, flags)?);
        Ok(Self { mistakes: layers::unknown_variables(env), ..settings })
    }

    /// Reads what is understood of every layer. The second value is true where that is all of them.
    pub(crate) fn read_leniently(env: &Env, flags: &[String]) -> (Self, bool) {
        let (layers, wrong) = Layers::read_leniently(env, flags);
        let mistakes = wrong.iter().map(ToString::to_string).chain(layers::unknown_variables(env)).collect();
        (Self { mistakes, ..Self::from_layers(env, &layers) }, wrong.is_empty())
    }

    /// Reads the settings for pacman's downloader, which a mistake must not keep from its work. With one, no source but
    /// mirrors is asked, one file and one mirror at a time, and nothing is shared: what was meant to narrow that may be
    /// what is not understood (`tests/cases/broken_config.rs`).
    pub(crate) fn read_for_downloads(env: &Env, flags: &[String]) -> Self {
        let (settings, is_sound) = Self::read_leniently(env, flags);
        if is_sound {
            return settings;
        }
        let mistakes = settings.mistakes.iter().map(|mistake| {
            format!("{mistake}; going on as curl would: from mirrors alone, sharing nothing (`pkgswarm doctor`)")
        });
        Self {
            mistakes: mistakes.take(1).collect(),
            kubo: AskPolicy::No,
            lan: AskPolicy::No,
            lan_share: false,
            share: SharePolicy::Named(Vec::new()),
            gateways: Vec::new(),
            indexes: Vec::new(),
            from_index: Vec::new(),
            ahead: false,
            split: 1,
            ..settings
        }
    }

    /// Collects the values of merged layers, and adds what depends on the process.
    pub fn from_layers(env: &Env, layers: &Layers) -> Self {
        let typed = layers.typed.clone();
        let ask = |word| match word {
            "true" => AskPolicy::Yes,
            "false" => AskPolicy::No,
            _ => AskPolicy::Auto,
        };
        Self {
            stores: typed.store_dir.clone().map_or_else(|| stores(env), |dir| vec![dir]),
            store_dir: typed.store_dir.or_else(|| store_dir(env)),
            storeless: env.var(HANDOVER).is_some() && users::is_stray(env.uid),
            store_max: typed.store_max,
            state_dir: typed.state_dir.unwrap_or_else(|| state_dir(env)),
            download_user: typed.download_user,
            connect: typed.download_connect,
            stall: typed.download_stall,
            patience: typed.download_patience,
            floor: typed.download_floor,
            ahead: typed.ahead_enabled,
            ahead_parallel: typed.ahead_parallel,
            split: typed.mirrors_split as usize,
            pacman_conf: typed.pacman_conf,
            from_index: typed.database_from_index,
            kubo: ask(typed.kubo_enabled),
            kubo_api: typed.kubo_api,
            kubo_token: typed.kubo_token_file,
            kubo_gateway: typed.kubo_gateway,
            head_start: typed.kubo_head_start.min(Duration::from_secs(5)),
            kubo_search: match typed.kubo_search {
                "always" => SearchPolicy::Always,
                "never" => SearchPolicy::Never,
                _ => SearchPolicy::Last,
            },
            kubo_keep: typed.kubo_keep,
            kubo_shares_installed: typed.kubo_share == "installed",
            kubo_peering: typed.kubo_peering,
            lan: ask(typed.lan_enabled),
            lan_networks: typed.lan_networks,
            lan_interfaces: typed.lan_interfaces,
            lan_port: typed.lan_port,
            lan_peers: typed.lan_peers,
            lan_peers_most: typed.lan_peers_most,
            lan_share: typed.lan_share,
            lan_upload: typed.lan_upload,
            lan_upload_each: typed.lan_upload_each,
            log: match typed.daemon_log {
                "info" => LogLevel::Info,
                _ => LogLevel::Warning,
            },
            socket: typed.daemon_socket,
            share: typed.share_repos,
            share_stores: typed.share_stores.into_iter().map(PathBuf::from).collect(),
            gateways: typed.gateways_urls,
            gateways_behind_proxy: typed.gateways_behind_proxy,
            index_refresh: typed.index_refresh,
            index_deadline: typed.index_deadline,
            prefetch: Prefetch {
                max: typed.prefetch_max,
                age: typed.prefetch_age,
                rate: typed.prefetch_rate,
                window: typed.prefetch_window,
                metered: typed.prefetch_metered,
                battery: typed.prefetch_battery,
                vpn: typed.prefetch_vpn,
                pin: typed.prefetch_pin,
            },
            endpoint: EndpointSettings {
                enabled: typed.endpoint_enabled,
                listen: typed.endpoint_listen,
                mirrors: typed.endpoint_mirrors,
                ahead: typed.endpoint_ahead,
                wait: typed.endpoint_wait.min(Duration::from_secs(8)),
                allow: typed.endpoint_allow,
                names: typed.endpoint_names,
                peers: typed.endpoint_peers,
                announce: typed.endpoint_announce,
                page: typed.endpoint_page,
            },
            rate: None,
            mistakes: Vec::new(),
            haiku: layers.haiku.values().map(|(repo, _)| repo.clone()).collect(),
            keeps: layers.keeps.values().map(|(keep, _)| keep.clone()).collect(),
            indexes: layers.indexes.values().map(|(index, _)| index.clone()).collect(),
            progress: match typed.output_progress {
                "always" => ProgressMode::Bar,
                "never" => ProgressMode::Silent,
                _ if env.terminal && env.var("TERM") != Some("dumb") => ProgressMode::Bar,
                _ => ProgressMode::Line,
            },
        }
    }

    /// Returns Kubo's gateway as a URL.
    pub fn gateway_url(&self) -> Url {
        self.kubo_gateway.url().clone()
    }

    /// Returns the trustless gateways as URLs.
    pub fn gateway_urls(&self) -> impl Iterator<Item = Url> + '_ {
        self.gateways.iter().map(|base| base.url().clone())
    }
}

const SYSTEM_STORE: &str = "/var/cache/pkgswarm";
/// The state directory of root and the user that downloads.
pub(crate) const SYSTEM_STATE: &str = "/var/lib/pkgswarm";

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
pub(crate) fn homeless_store(uid: u32) -> PathBuf {
    PathBuf::from(format!("/var/tmp/pkgswarm-{uid}"))
}

/// Returns the directory of indexes: the system's are readable for all users; a user has one only after adding an
/// index.
fn state_dir(env: &Env) -> PathBuf {
    let system = PathBuf::from(SYSTEM_STATE);
    if env.is_root() || owned_by(&system, env.uid) || env.home().is_none() {
        return system;
    }
    match own_state_dir(env) {
        Some(own) if own.exists() || !system.exists() => own,
        _ => system,
    }
}

/// Returns the directory of the indexes that an ordinary user adds; `None` for root, and without a home.
pub(crate) fn own_state_dir(env: &Env) -> Option<PathBuf> {
    env.home().filter(|_| !env.is_root())?;
    directories::ProjectDirs::from("", "", "pkgswarm").map(|dirs| dirs.data_dir().to_owned())
}

fn owned_by(path: &Path, uid: u32) -> bool {
    rustix::fs::lstat(path).is_ok_and(|stat| stat.st_uid == uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_narrows_what_pacmans_downloader_asks_and_shares_whatever_else_is_set() {
        let mut env = Env::from_process();
        let set = [
            ("CONFIG_DIR", "/nonexistent"),
            ("KUBO_ENABLED", "true"),
            ("LAN_ENABLED", "true"),
            ("LAN_SHARE", "true"),
            ("SHARE_REPOS", "core"),
            ("GATEWAYS_URLS", "https://gateway.example"),
            ("DATABASE_FROM_INDEX", "core"),
            ("MIRRORS_SPLIT", "4"),
        ];
        env.vars = set.map(|(name, value)| (format!("PKGSWARM_{name}"), value.to_owned())).into();
        let sound = Settings::read_for_downloads(&env, &[]);
        assert!(sound.mistakes.is_empty() && sound.lan_share && sound.kubo == AskPolicy::Yes && sound.ahead);
        for flag in ["store.mx=1", "kubo.enabled=perhaps", "nothing"] {
            let settings = Settings::read_for_downloads(&env, &[flag.to_owned()]);
            assert_eq!(settings.mistakes.len(), 1, "{flag}");
            assert_eq!((settings.kubo, settings.lan, settings.lan_share), (AskPolicy::No, AskPolicy::No, false));
            assert_eq!(settings.share, SharePolicy::Named(Vec::new()), "{flag}");
            assert!(settings.gateways.is_empty() && settings.indexes.is_empty() && settings.from_index.is_empty());
            assert_eq!((settings.ahead, settings.split), (false, 1), "{flag}");
        }
    }
}
