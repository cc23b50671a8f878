//! Packages of Haiku's repositories for `fetch` and `why`: found in the proven lists of this machine, and fetched with
//! the sums that these name.

use std::rc::Rc;

use crate::base::clock;
use crate::base::error::{Error, ErrorKind};
use crate::engine::address::Address;
use crate::engine::asked::{AskedFile, Meaning, OnlyFrom};
use crate::engine::deliver::Receipt;
use crate::engine::find;
use crate::engine::hub::Hub;
use crate::engine::want::Want;
use crate::haiku::kept::{KeptSnapshot, SnapshotShelf};
use crate::haiku::listed::{ListedHpkg, may_share};
use crate::haiku::sizes::PackageSizes;
use crate::index::time;
use crate::machine::Machine;
use crate::machine::call::Call;

/// A package, and the list that names it.
pub(crate) struct FoundHpkg {
    /// The package.
    pub(crate) listed: ListedHpkg,
    /// The list.
    pub(crate) kept: KeptSnapshot,
}

impl FoundHpkg {
    /// Finds the package of Haiku's that a user means; `None` where pacman's lists or an index have it, or it is none of
    /// Haiku's.
    ///
    /// # Errors
    /// `NoSource` for the name of a file of Haiku's that no list has.
    pub(crate) fn of(call: &Call, what: &str) -> Result<Option<Self>, Error> {
        let Machine { settings, env, .. } = &*call.machine;
        if settings.haiku.is_empty() || Address::parse(what).is_some() {
            return Ok(None);
        }
        let (is_hpkg, is_url) = (what.ends_with(".hpkg"), what.contains("://"));
        if !is_hpkg && (is_url || find::find(&call.lists, what).is_ok()) {
            return Ok(None);
        }
        let found = settings.haiku.iter().find_map(|config| {
            let kept = SnapshotShelf::of(&settings.state_dir, &config.name, env.uid).load(config)?;
            Some(Self { listed: ListedHpkg::find(config, &kept, what)?, kept })
        });
        if found.is_none() && is_hpkg && !is_url {
            let why = "no list of Haiku's repositories that is in use here names it";
            return Err(Error::new(ErrorKind::NoSource, what, why)
                .hint("`pkgswarm haiku refresh` fetches the newest lists, `pkgswarm haiku ls` shows their age"));
        }
        Ok(found)
    }

    /// Returns the words about a list that no server has confirmed for longer than is allowed.
    pub(crate) fn warning(&self) -> Option<String> {
        let age = clock::now().saturating_sub(self.kept.checked);
        let name = &self.listed.config.name;
        (age > self.listed.config.max_age.as_secs()).then(|| {
            format!("the list of {name} is {} old; `pkgswarm haiku refresh {name}` fetches it", time::span(age))
        })
    }

    /// Describes the list: `the list of HaikuPorts, signed 2 d ago`.
    pub(crate) fn list(&self) -> String {
        let ago = |at: u64| time::span(clock::now().saturating_sub(at));
        let signed = self.kept.snapshot.signed.map_or(String::new(), |at| format!(", signed {} ago", ago(at)));
        format!("the list of {}{signed}", self.listed.config.name)
    }

    /// Returns the size of the package, from this machine or from those who have it.
    pub(crate) async fn size(&self, machine: &Machine) -> Option<u64> {
        let urls = self.listed.urls();
        self.sizes(machine, &urls).next().await
    }

    /// Makes the want of the package, of this size, at these servers.
    pub(crate) fn want(&self, machine: &Machine, size: u64, urls: &[reqwest::Url]) -> Want {
        let is_shared = may_share(machine, &self.listed.config);
        self.listed.want(machine, (self.listed.plan(size), is_shared), (&[], urls))
    }

    fn sizes<'a>(&self, machine: &'a Machine, urls: &'a [reqwest::Url]) -> PackageSizes<'a> {
        let sha256 = self.listed.sha256;
        let file = |store: &std::path::PathBuf| store.join("files").join(sha256.to_string()).metadata().ok();
        let known = machine.settings.stores.iter().filter_map(file).map(|meta| meta.len()).collect();
        let is_shared = may_share(machine, &self.listed.config);
        PackageSizes::of(machine, (sha256, known), (&[], urls), is_shared)
    }

    /// Returns the error of a package whose size is not known, so that nothing can be asked for it.
    pub(crate) fn unsized_error(&self) -> Error {
        let why = "no server tells how large it is, which no list of Haiku's does";
        Error::new(ErrorKind::NoSource, &self.listed.name, why)
            .hint(format!("pkgswarm haiku refresh {} tells how its servers fail", self.listed.config.name))
    }

    /// Gets the package, from anywhere or only from there.
    ///
    /// # Errors
    /// As of [`Meaning::obtain`]; `NoSource` where its size cannot be known.
    pub(crate) async fn obtain(
        &self,
        hub: &Hub,
        call: &mut Call,
        only: Option<OnlyFrom>,
        receipt: &mut Receipt,
    ) -> Result<AskedFile, Error> {
        let (machine, urls) = (Rc::clone(&call.machine), self.listed.urls());
        let mut sizes = self.sizes(&machine, &urls);
        let mut failed = None;
        while let Some(size) = sizes.next().await {
            let want = self.want(&machine, size, &urls);
            match Meaning::File(want).obtain(hub, call, only, receipt).await {
                // With the size that another server tells it may be another file.
                Err(e) if matches!(e.kind, ErrorKind::NoSource | ErrorKind::Corrupt) => failed = failed.or(Some(e)),
                obtained => return obtained,
            }
        }
        Err(failed.unwrap_or_else(|| self.unsized_error()))
    }
}
