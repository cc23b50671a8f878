//! A package that a list names: found by a user's words, and made a want with its sources.

use std::io::Cursor;

use reqwest::Url;

use super::kept::KeptSnapshot;
use super::take::below;
use crate::base::digest::Sha256;
use crate::base::name::{FileName, RepoName};
use crate::base::public::is_public_url;
use crate::config::{HaikuConfig, SharePolicy};
use crate::engine::deliver::Candidate;
use crate::engine::want::{Want, by_content};
use crate::lists::haiku::{HaikuPackage, HpkrLimits, hpkr};
use crate::lists::system::{NameKind, Repository};
use crate::machine::Machine;
use crate::trust::look::{FileShape, ShapeError};
use crate::trust::plan::{Known, Plan};

/// A package of a proven list.
#[derive(Clone, Debug)]
pub(crate) struct ListedHpkg {
    /// Its repository.
    pub(crate) config: HaikuConfig,
    /// The name of its file.
    pub(crate) name: FileName,
    /// The sum that the list names.
    pub(crate) sha256: Sha256,
    /// Where it is first: the place of the list.
    base: String,
}

impl ListedHpkg {
    /// Makes that of a list.
    pub(crate) fn of(config: &HaikuConfig, kept: &KeptSnapshot, name: FileName, sha256: Sha256) -> Self {
        Self { config: config.clone(), name, sha256, base: kept.base.clone() }
    }

    /// Finds what a user means: the name of a file, a package with or without its version (the newest
    /// one where there are several), a sha256, or the URL of a
    /// file of this repository.
    pub(crate) fn find(config: &HaikuConfig, kept: &KeptSnapshot, what: &str) -> Option<Self> {
        let packages = &kept.snapshot.packages;
        let found = |(name, sha256): (&FileName, &Sha256)| Self::of(config, kept, name.clone(), *sha256);
        if what.contains("://") {
            let url = Url::parse(what).ok()?;
            return packages.iter().map(found).find(|listed| listed.urls().contains(&url));
        }
        if let Some(exact) = FileName::new(what).ok().and_then(|name| packages.get_key_value(&name)) {
            return Some(found(exact));
        }
        if let Ok(sum) = what.parse::<Sha256>() {
            return packages.iter().find(|(_, sha256)| **sha256 == sum).map(found);
        }
        // No name of a package has a dash; that of its file has it in lower case.
        let start = format!("{}-", what.to_ascii_lowercase());
        let mut named = packages.iter().filter(|(name, _)| name.as_str().starts_with(&start)).map(found);
        let first = named.next()?;
        if named.next().is_none() {
            return Some(first);
        }
        // Several versions, or builds for several machines: the newest of those for the machines of the list.
        let is_named = |package: &HaikuPackage| package.file().is_ok_and(|name| name.as_str().starts_with(&start));
        let listed = hpkr::packages(Cursor::new(&kept.snapshot.files.list), &HpkrLimits::default()).ok()?;
        let is_for = |package: &HaikuPackage| package.arch.as_str() == kept.snapshot.info.arch;
        let newest = listed
            .into_iter()
            .filter(is_named)
            .max_by(|one, other| one.version.compare(&other.version).then_with(|| is_for(one).cmp(&is_for(other))))?;
        Some(Self::of(config, kept, newest.file().ok()?, newest.sha256))
    }

    /// Returns its URLs at the servers, that of the list's own place first.
    pub(crate) fn urls(&self) -> Vec<Url> {
        let bases = Url::parse(&self.base).into_iter().chain(self.config.urls.iter().map(|base| base.url().clone()));
        let mut urls: Vec<Url> = Vec::new();
        for base in bases {
            let mut url = below(&base, "packages");
            if let Ok(mut parts) = url.path_segments_mut() {
                parts.push(self.name.as_str());
            }
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        urls
    }

    /// Plans it with this size, and no more than the list tells.
    pub(crate) fn plan(&self, size: u64) -> Plan {
        Known { size, sha256: self.sha256, root: None }.plan()
    }

    /// Makes the want of it by this plan: from these endpoints of the house, from neighbours and by its content where
    /// that is shared, and from these servers.
    pub(crate) fn want(
        &self,
        machine: &Machine,
        (plan, may_share): (Plan, bool),
        (house, servers): (&[Url], &[Url]),
    ) -> Want {
        let mut candidates: Vec<Candidate> = house.iter().cloned().map(Candidate::House).collect();
        if may_share {
            candidates.extend(by_content(machine, &plan));
        }
        candidates.extend(servers.iter().cloned().map(Candidate::Mirror));
        let repository = Repository {
            name: self.repo(),
            servers: self.config.urls.iter().map(ToString::to_string).collect(),
            cache_servers: Vec::new(),
            // pkgman knows no signatures of packages: the list's is over their sums.
            signatures_required: false,
        };
        let shape = FileShape::new(NameKind::Package, |head, _, _| match head.starts_with(b"hpkg") {
            true => Ok(()),
            false => Err(ShapeError::NotAnArchive),
        });
        Want { name: self.name.clone(), shape, repo: Some(repository), plan, candidates, doubt: None }
    }

    /// Returns the name of its repository.
    pub(crate) fn repo(&self) -> RepoName {
        RepoName::new(self.config.name.as_str()).expect("its name is plain")
    }
}

/// Returns true where the packages of this repository may be asked of neighbours and gateways.
pub(crate) fn may_share(machine: &Machine, config: &HaikuConfig) -> bool {
    match &machine.settings.share {
        SharePolicy::Public => config.urls.iter().all(|url| is_public_url(&url.to_string())),
        SharePolicy::Named(names) => names.iter().any(|name| name.as_str() == config.name),
    }
}
