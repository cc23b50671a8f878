//! Which packages a publisher keeps the bytes of. Of the others it keeps the entry and the root block: with that, each
//! leaf can be proven, whatever its source.

use std::collections::HashSet;

use super::collect::{CollectedFile, ListedPackage, Role};
use crate::base::digest::Sha256;
use crate::config::ContentRule;

/// Seconds of a day. Ages are compared with the beginning of a day, so that a package grows old at most once a day, and a
/// run with nothing new finds nothing new.
const DAY: u64 = 86_400;

/// A package, as the rule sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Keepable {
    sha256: Sha256,
    size: u64,
    /// Unix seconds; 0 where the database does not say it, which is old.
    built: u64,
}

impl Keepable {
    /// Makes one that was built at `built` (Unix seconds).
    #[cfg(test)]
    pub(super) fn new(sha256: Sha256, size: u64, built: u64) -> Self {
        Self { sha256, size, built }
    }

    /// Returns its digest.
    pub(super) fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Returns its bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Returns the key by which the newest are first; of one moment, the smallest.
    pub(super) fn newest_first(&self) -> impl Ord + use<> {
        (std::cmp::Reverse(self.built), self.size, self.sha256)
    }

    /// Describes a package of a database; `None` without size and sha256.
    pub(super) fn listed(package: &ListedPackage) -> Option<Self> {
        let (size, sha256) = package.size.zip(package.sha256)?;
        Some(Self { sha256, size, built: package.build_date.unwrap_or(0) })
    }

    /// Describes a collected file; `None` for one that is no package.
    pub(super) fn collected(file: &CollectedFile) -> Option<Self> {
        match file.role {
            Role::Package { size, sha256, built } => Some(Self { sha256, size, built: built.unwrap_or(0) }),
            Role::PackageSignature | Role::Database | Role::Description { .. } => None,
        }
    }
}

/// The packages whose bytes are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum KeptContent {
    All,
    Some(HashSet<Sha256>),
}

impl KeptContent {
    /// Chooses among all packages of a publication at the time `now` (Unix seconds).
    pub(super) fn of(rule: ContentRule, packages: impl Iterator<Item = Keepable>, now: u64) -> Self {
        let (age, bytes) = match rule {
            ContentRule::All => return Self::All,
            ContentRule::None => return Self::Some(HashSet::new()),
            ContentRule::Recent { age, bytes } => (age, bytes),
        };
        let today = now - now % DAY;
        let oldest = age.map_or(0, |age| today.saturating_sub(age.as_secs()));
        let mut packages: Vec<Keepable> = packages.filter(|package| package.built >= oldest).collect();
        packages.sort_by_key(Keepable::newest_first);
        packages.dedup();
        let mut room = bytes.unwrap_or(u64::MAX);
        let fits = |package: &Keepable| {
            let left = room.checked_sub(package.size);
            room = left.unwrap_or(0);
            left.is_some()
        };
        // The first that does not fit is the last that is looked at: a smaller one behind it is no newer one.
        Self::Some(packages.into_iter().take_while(fits).map(|package| package.sha256).collect())
    }

    /// True if the bytes of this package are kept.
    pub(super) fn has(&self, package: Sha256) -> bool {
        match self {
            Self::All => true,
            Self::Some(kept) => kept.contains(&package),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: u64 = 100 * DAY + 77;

    fn kept(age: Option<u64>, bytes: Option<u64>, now: u64) -> Vec<u8> {
        let packages = [(1, 10, 99 * DAY), (2, 20, 98 * DAY), (3, 5, 98 * DAY), (4, 1, 0)];
        let packages = packages.map(|(n, size, built)| Keepable::new(Sha256([n; 32]), size, built));
        let rule = ContentRule::Recent { age: age.map(|days| Duration::from_secs(days * DAY)), bytes };
        let kept = KeptContent::of(rule, packages.into_iter().chain(packages), now);
        (1..=4).filter(|n| kept.has(Sha256([*n; 32]))).collect()
    }

    #[test]
    fn the_newest_packages_are_kept_as_far_as_days_and_bytes_allow() {
        assert_eq!(kept(Some(1), None, NOW), [1]);
        assert_eq!(kept(Some(2), None, NOW), [1, 2, 3]);
        assert_eq!(kept(None, Some(35), NOW), [1, 2, 3], "one that is there twice counts once");
        assert_eq!(kept(None, Some(34), NOW), [1, 3], "what does not fit ends it");
        assert_eq!(kept(Some(1), Some(9), NOW), [0; 0]);
        assert_eq!(kept(None, Some(1000), NOW), [1, 2, 3, 4], "one without a date is the oldest");
    }

    #[test]
    fn a_package_grows_old_between_two_days_and_not_between_two_runs() {
        let of_day = |seconds| kept(Some(2), None, 100 * DAY + seconds);
        assert!([0, 1, 43_200, DAY - 1].iter().all(|seconds| of_day(*seconds) == of_day(0)));
        assert_eq!(kept(Some(2), None, 101 * DAY), [1]);
    }
}
