//! The configured indexes, as downloads see them: compiled tables, and whether a refresh is due.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::time::{Duration, SystemTime};

use super::accept::Grant;
use super::state::IndexState;
use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::error::Error;
use crate::base::name::{FileName, RepoName};
use crate::config::written::Written;
use crate::config::{IndexConfig, Settings};
use crate::lists::catalogue::{Catalogue, CatalogueError};

/// Opens the state directory of these settings.
pub fn state(settings: &Settings) -> IndexState {
    IndexState::at(settings.state_dir.join("index"))
}

/// Returns the name of an index's copy: its own name, and its keys. A copy proven by another key is not that of an
/// index that was removed and added anew, nor of one that needs a further key since.
pub fn copy_name(index: &IndexConfig) -> FileName {
    let keys = format!("{:?} {:?}", index.key.as_ref().map(Written::text), index.minisign.as_ref().map(Written::text));
    let keys = Sha256::of(keys.as_bytes()).to_string();
    FileName::new(format!("{}.{}", index.name, &keys[..12])).expect("the name of an index is short and plain")
}

/// Opens the compiled table of `repo` in an index that may describe it, and is not expired at `now`; `None` if
/// there is none.
///
/// Reads one line and opens one file; no JSON, no proof: the copy was proven when it was stored.
///
/// # Errors
/// `File` and `Damaged` when there is one and it cannot be read here.
pub(crate) fn table(
    settings: &Settings,
    index: &IndexConfig,
    repo: &str,
    arch: &str,
    now: SystemTime,
) -> Result<Option<Catalogue>, CatalogueError> {
    if !is_in_force(settings, index, now)? {
        return Ok(None);
    }
    let Ok(repo) = RepoName::new(repo) else { return Ok(None) };
    Catalogue::open(&state(settings).catalogue_path(&copy_name(index), &repo, arch))
}

/// True if there is a copy of an index that is not expired at `now`. Records one that is, where it may write.
///
/// # Errors
/// `File` when there is a copy and it cannot be read here.
pub(crate) fn is_in_force(settings: &Settings, index: &IndexConfig, now: SystemTime) -> Result<bool, CatalogueError> {
    state(settings).is_in_force(&copy_name(index), clock::unix(now))
}

/// Returns the proofs that an index needs, and the repos that it may describe.
///
/// # Errors
/// A usage error when a key or a name is malformed.
pub(crate) fn grant(index: &IndexConfig) -> Result<Grant, Error> {
    let wrong = |field: &str, why: &str| {
        Error::usage(format!("index.{}.{field}", index.name), why).hint("pkgswarm index rm and add it again")
    };
    let ipns = index.key.as_ref().map(Written::value).transpose().map_err(|why| wrong("key", why))?.copied();
    let minisign = index.minisign.as_ref().map(Written::value).transpose().map_err(|why| wrong("minisign", why))?;
    let repos = Written::values(&index.repos).map_err(|why| wrong("repos", why))?;
    Ok(Grant { ipns, minisign: minisign.cloned(), repos })
}

/// True if an index was last confirmed longer ago than `index.refresh`, or never.
pub(crate) fn is_due(settings: &Settings, index: &IndexConfig, now: SystemTime) -> bool {
    let state = state(settings);
    let Ok(grant) = grant(index) else { return false };
    let Ok(Some(seen)) = state.seen(&grant.keys()) else { return true };
    let age = Duration::from_secs(clock::unix(now).saturating_sub(seen.fetched));
    age >= settings.index_refresh || seen.expires < clock::unix(now)
}

/// Returns when a source last confirmed that an index is the newest one, and when any was last asked, in Unix seconds; 0
/// for never.
pub(crate) fn asked(settings: &Settings, index: &IndexConfig) -> (u64, u64) {
    let state = state(settings);
    let seen = grant(index).ok().and_then(|grant| state.seen(&grant.keys()).ok().flatten());
    let tried = state.asked(&copy_name(index)).iter().map(|route| route.at).max();
    (seen.map_or(0, |seen| seen.fetched), tried.unwrap_or(0))
}

/// True if any index is due.
pub(crate) fn is_any_due(settings: &Settings, now: SystemTime) -> bool {
    settings.indexes.iter().any(|index| is_due(settings, index, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value;

    #[test]
    fn an_index_with_another_key_does_not_inherit_the_old_copy() {
        let index = |key: Option<&str>, minisign: Option<&str>| IndexConfig {
            name: "arch".to_owned(),
            key: key.map(Written::read),
            minisign: minisign.map(Written::read),
            ..IndexConfig::default()
        };
        let name = copy_name(&index(Some("k51a"), None));
        assert!(name.as_str().starts_with("arch."), "{name}");
        assert_eq!(copy_name(&IndexConfig { repos: vec![value::repo("core")], ..index(Some("k51a"), None) }), name);
        for other in [index(Some("k51b"), None), index(None, Some("k51a")), index(Some("k51a"), Some("RWQ"))] {
            assert_ne!(copy_name(&other), name);
        }
    }
}
