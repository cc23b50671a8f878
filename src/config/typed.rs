//! The values of all settings, each with its type.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use glob::Pattern;

use crate::base::name::RepoName;
use crate::config::SharePolicy;
use crate::config::network::Network;
use crate::config::time_window::TimeWindow;
use crate::config::url::{BaseUrl, RpcAddress};
use crate::config::written::Written;

/// The values in force, as they are written: `auto` is `None` here. A row of [`KEYS`](crate::config::keys::KEYS) names
/// the field that it is read into, so a row and a field of different types do not compile. The default value is
/// that of no row, and is never used.
#[derive(Clone, Default, Debug)]
pub(crate) struct SettingValues {
    pub(crate) store_dir: Option<PathBuf>,
    pub(crate) store_max: u64,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) download_user: Option<String>,
    pub(crate) download_connect: Duration,
    pub(crate) download_stall: Duration,
    pub(crate) download_patience: Duration,
    pub(crate) download_floor: u64,
    pub(crate) ahead_enabled: bool,
    pub(crate) ahead_parallel: Option<u32>,
    pub(crate) mirrors_split: u32,
    pub(crate) pacman_conf: PathBuf,
    pub(crate) database_from_index: Vec<RepoName>,
    pub(crate) kubo_enabled: &'static str,
    pub(crate) kubo_api: RpcAddress,
    pub(crate) kubo_token_file: Option<PathBuf>,
    pub(crate) kubo_gateway: BaseUrl,
    pub(crate) kubo_head_start: Duration,
    pub(crate) kubo_search: &'static str,
    pub(crate) kubo_keep: u64,
    pub(crate) kubo_share: &'static str,
    pub(crate) kubo_peering: bool,
    pub(crate) lan_enabled: &'static str,
    pub(crate) lan_networks: Vec<Written<Network>>,
    pub(crate) lan_interfaces: Vec<Written<Pattern>>,
    pub(crate) lan_port: u32,
    pub(crate) lan_peers: Vec<String>,
    pub(crate) lan_peers_most: u32,
    pub(crate) lan_share: bool,
    pub(crate) lan_upload: u64,
    pub(crate) lan_upload_each: u64,
    pub(crate) daemon_log: &'static str,
    pub(crate) daemon_socket: PathBuf,
    pub(crate) endpoint_enabled: bool,
    pub(crate) endpoint_listen: Vec<Written<SocketAddr>>,
    pub(crate) endpoint_mirrors: bool,
    pub(crate) endpoint_ahead: bool,
    pub(crate) endpoint_wait: Duration,
    pub(crate) endpoint_allow: Vec<Written<Network>>,
    pub(crate) endpoint_names: Vec<String>,
    pub(crate) endpoint_peers: Vec<String>,
    pub(crate) endpoint_announce: bool,
    pub(crate) endpoint_page: Vec<Written<Network>>,
    pub(crate) share_repos: SharePolicy,
    pub(crate) share_stores: Vec<String>,
    pub(crate) gateways_urls: Vec<BaseUrl>,
    pub(crate) gateways_behind_proxy: bool,
    pub(crate) index_refresh: Duration,
    pub(crate) index_deadline: Duration,
    pub(crate) prefetch_max: u64,
    pub(crate) prefetch_age: Duration,
    pub(crate) prefetch_rate: u64,
    pub(crate) prefetch_window: TimeWindow,
    pub(crate) prefetch_metered: bool,
    pub(crate) prefetch_battery: bool,
    pub(crate) prefetch_vpn: bool,
    pub(crate) prefetch_pin: bool,
    pub(crate) output_progress: &'static str,
}

/// The field that a setting is read into.
pub(crate) type ValueField<T> = fn(&mut SettingValues) -> &mut T;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::key::Shape;
    use crate::config::keys::KEYS;

    fn defaults() -> SettingValues {
        let mut values = SettingValues::default();
        KEYS.iter().for_each(|key| key.shape.read(key.default, &mut values).unwrap());
        values
    }

    /// Returns a text that is not the default of any setting of this shape.
    fn other(shape: Shape, default: &str) -> String {
        let text = match shape {
            Shape::Name(_) | Shape::Repos(_) | Shape::Share(_) | Shape::Interfaces(_) | Shape::Words(_) => "other",
            Shape::Path(_) | Shape::PathOr(..) => "/other",
            Shape::Url(_) | Shape::Api(_) | Shape::Urls(_) => "http://other",
            Shape::Size(_) | Shape::Number(..) | Shape::NumberOrAuto(..) => "7",
            Shape::Span(_) => "7 s",
            Shape::Window(_) => "01:00-02:00",
            Shape::Networks(_) => "10.0.0.0/8",
            Shape::Addresses(_) => "127.0.0.1:7",
            Shape::YesNo(_) => return (default != "true").to_string(),
            Shape::Choice(words, _) => words.iter().find(|word| **word != default).unwrap(),
        };
        text.to_owned()
    }

    #[test]
    fn every_row_is_read_into_a_field_of_its_own_and_no_field_is_without_a_row() {
        let defaults = defaults();
        let shown = format!("{defaults:#?}");
        let fields =
            shown.lines().filter(|line| line.starts_with("    ") && line[4..].starts_with(char::is_alphabetic));
        assert_eq!(fields.count(), KEYS.len());
        let mut seen = std::collections::BTreeSet::from([shown]);
        for key in KEYS {
            let mut values = defaults.clone();
            key.shape.read(&other(key.shape, key.default), &mut values).unwrap();
            assert!(seen.insert(format!("{values:#?}")), "{}", key.name);
        }
        assert_eq!(seen.len(), KEYS.len() + 1);
    }
}
