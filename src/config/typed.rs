//! The values of all settings, each with its type.

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
#[expect(missing_docs, reason = "the documentation of each field is the row of keys::KEYS with its name")]
pub struct SettingValues {
    pub store_dir: Option<PathBuf>,
    pub store_max: u64,
    pub state_dir: Option<PathBuf>,
    pub download_user: Option<String>,
    pub download_connect: Duration,
    pub download_stall: Duration,
    pub download_patience: Duration,
    pub download_floor: u64,
    pub ahead_enabled: bool,
    pub ahead_parallel: Option<u32>,
    pub mirrors_split: u32,
    pub pacman_conf: PathBuf,
    pub database_from_index: Vec<RepoName>,
    pub kubo_enabled: &'static str,
    pub kubo_api: RpcAddress,
    pub kubo_token_file: Option<PathBuf>,
    pub kubo_gateway: BaseUrl,
    pub kubo_head_start: Duration,
    pub kubo_search: &'static str,
    pub kubo_keep: u64,
    pub lan_enabled: &'static str,
    pub lan_networks: Vec<Written<Network>>,
    pub lan_interfaces: Vec<Written<Pattern>>,
    pub lan_port: u32,
    pub lan_peers: Vec<String>,
    pub lan_peers_most: u32,
    pub lan_share: bool,
    pub lan_upload: u64,
    pub lan_upload_each: u64,
    pub daemon_log: &'static str,
    pub daemon_socket: PathBuf,
    pub share_repos: SharePolicy,
    pub share_stores: Vec<String>,
    pub gateways_urls: Vec<BaseUrl>,
    pub gateways_behind_proxy: bool,
    pub index_refresh: Duration,
    pub index_deadline: Duration,
    pub prefetch_max: u64,
    pub prefetch_age: Duration,
    pub prefetch_rate: u64,
    pub prefetch_window: TimeWindow,
    pub prefetch_metered: bool,
    pub prefetch_battery: bool,
    pub prefetch_vpn: bool,
    pub prefetch_pin: bool,
    pub output_progress: &'static str,
}

/// The field that a setting is read into.
pub type ValueField<T> = fn(&mut SettingValues) -> &mut T;

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
