//! Upstream's archive and mirrors of it: `pool/`, the same files below each repository, databases, `lastupdate`; changed
//! in the order in which upstream changes it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::compression::Compression;
use super::mirror::{FakeMirror, MODIFIED};
use super::repo::{Package, database};

/// The archive. Time stands still between changes.
pub struct Upstream {
    /// Unix seconds of the last change that is whole.
    pub lastupdate: u64,
    now: u64,
    /// Mirrors made so far: each is a host of its own.
    mirrors: Cell<u8>,
    repos: BTreeMap<String, BTreeMap<String, Package>>,
    /// Every file by its path, with its date.
    files: BTreeMap<String, (Vec<u8>, u64)>,
}

impl Upstream {
    /// Makes the archive of these repositories, with a signature for each package.
    pub fn of(repos: &[(&str, &[Package])]) -> Self {
        let mut upstream = Self {
            lastupdate: 0,
            now: MODIFIED,
            mirrors: Cell::new(0),
            repos: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        for (repo, packages) in repos {
            for package in *packages {
                upstream.add_file(repo, package);
                let of_repo = upstream.repos.entry((*repo).to_owned()).or_default();
                of_repo.insert(package.name.clone(), package.clone());
            }
            upstream.write_database(repo);
        }
        upstream.write_lastupdate();
        upstream
    }

    /// Brings a package, or its next version, into a repository: the file and its signature first, then the database,
    /// then `lastupdate`. `between` sees the archive after each step but the last.
    pub fn change(&mut self, repo: &str, package: &Package, between: impl FnMut(&Self)) {
        self.change_together(&[(repo, package)], between);
    }

    /// The same for several repositories under one `lastupdate`, each with a package: all files first, then one database
    /// after the other.
    pub fn change_together(&mut self, changes: &[(&str, &Package)], mut between: impl FnMut(&Self)) {
        self.now += 7;
        for (repo, package) in changes {
            self.add_file(repo, package);
        }
        between(self);
        for (repo, package) in changes {
            self.repos.entry((*repo).to_owned()).or_default().insert(package.name.clone(), (*package).clone());
            self.write_database(repo);
            between(self);
        }
        self.write_lastupdate();
    }

    /// Removes the files that no database names, as upstream's cleaning job does.
    pub fn clean(&mut self) {
        let listed: Vec<String> = self.packages().map(Package::file_name).collect();
        self.files.retain(|path, _| {
            let name = path.rsplit('/').next().unwrap_or_default();
            let package = name.trim_end_matches(".sig");
            !package.contains(".pkg.tar") || listed.iter().any(|listed| listed == package)
        });
    }

    /// Lists the packages that the databases name.
    pub fn packages(&self) -> impl Iterator<Item = &Package> {
        self.repos.values().flat_map(BTreeMap::values)
    }

    /// Returns the bytes of a repository's database.
    pub fn database_size(&self, repo: &str) -> u64 {
        self.files[&format!("{repo}/os/x86_64/{repo}.db")].0.len() as u64
    }

    fn add_file(&mut self, repo: &str, package: &Package) {
        for (name, bytes) in [package.file(), package.signature()] {
            for dir in ["pool/packages", &format!("{repo}/os/x86_64")] {
                self.files.insert(format!("{dir}/{name}"), (bytes.clone(), self.now));
            }
        }
    }

    fn write_database(&mut self, repo: &str) {
        let packages: Vec<&Package> = self.repos.get(repo).into_iter().flat_map(BTreeMap::values).collect();
        let bytes = database(&packages, Compression::Gzip);
        self.files.insert(format!("{repo}/os/x86_64/{repo}.db"), (bytes, self.now));
    }

    fn write_lastupdate(&mut self) {
        self.lastupdate = self.now;
        self.files.insert("lastupdate".to_owned(), (format!("{}\n", self.now).into_bytes(), self.now));
    }

    /// Makes a mirror that has all of this, at an address of its own: 127.0.0.1, 127.0.0.2, …
    pub fn mirror(&self) -> FakeMirror {
        self.mirrors.set(self.mirrors.get() + 1);
        self.mirror_on(Ipv4Addr::new(127, 0, 0, self.mirrors.get()))
    }

    /// Makes a mirror at this address.
    pub fn mirror_on(&self, host: Ipv4Addr) -> FakeMirror {
        let mirror = FakeMirror::on_host(host);
        self.sync(&mirror);
        mirror
    }

    /// Brings a mirror to this state.
    pub fn sync(&self, mirror: &FakeMirror) {
        mirror.clear();
        for (path, (bytes, modified)) in &self.files {
            mirror.publish_dated(path, bytes, *modified);
        }
    }
}
