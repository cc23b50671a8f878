//! A stand-in for Haiku's pkgman: what it asks for, and what it does after each answer (Haiku 47136e7,
//! `kits/package/FetchFileJob.cpp`, `RefreshRepositoryRequest.cpp`).

use std::collections::BTreeMap;
use std::io::Cursor;
use std::net::SocketAddr;

use pkgswarm::base::digest::Sha256;
use pkgswarm::lists::haiku::HpkrLimits;
use pkgswarm::lists::haiku::hpkr::packages;

use super::client::{Answer, Client};

/// Requests for one file after which it counts as endless.
const ENDLESS: usize = 40;

/// Redirects that pkgman follows.
const REDIRECTS: usize = 7;

/// A Haiku machine with one repository.
pub struct Pkgman {
    /// Host and path, as in `baseurl=`.
    base: (SocketAddr, String),
    /// The list that it has.
    list: Vec<u8>,
    /// What is left of a file that did not come whole.
    pub parts: BTreeMap<String, Vec<u8>>,
}

/// The end that pkgman makes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PkgmanError {
    /// It fails with this status at once.
    Status(u16),
    /// The file has another sum than it should.
    Checksum,
    /// The list does not name it.
    Unlisted,
}

impl Pkgman {
    /// Makes a machine with this base URL.
    pub fn at(host: SocketAddr, path: &str) -> Self {
        Self { base: (host, format!("/{path}")), list: Vec::new(), parts: BTreeMap::new() }
    }

    /// Returns the same machine, whose endpoint is there now.
    pub fn moved_to(self, host: SocketAddr) -> Self {
        Self { base: (host, self.base.1), ..self }
    }

    /// Adds the repository: its description first, then its list.
    pub fn add_repo(&mut self) -> Result<(), PkgmanError> {
        self.fetch("repo.info", Vec::new())?;
        self.refresh()
    }

    /// Refreshes the list: the sum, and the list where that is another.
    pub fn refresh(&mut self) -> Result<(), PkgmanError> {
        let sum = self.fetch("repo.sha256", Vec::new())?;
        let sum: Sha256 = std::str::from_utf8(&sum[..64]).unwrap().parse().unwrap();
        if Sha256::of(&self.list) == sum {
            return Ok(());
        }
        let list = self.fetch("repo", Vec::new())?;
        if Sha256::of(&list) != sum {
            return Err(PkgmanError::Checksum);
        }
        self.list = list;
        Ok(())
    }

    /// Installs a package by the name of its file.
    pub fn install(&mut self, file: &str) -> Result<Vec<u8>, PkgmanError> {
        let listed = packages(Cursor::new(&self.list), &HpkrLimits::default()).expect("a list");
        let of_file = listed.iter().find(|package| package.file().unwrap().as_str() == file);
        let sum = of_file.ok_or(PkgmanError::Unlisted)?.sha256;
        let part = self.parts.remove(file).unwrap_or_default();
        let bytes = self.fetch(&format!("packages/{file}"), part)?;
        if Sha256::of(&bytes) == sum { Ok(bytes) } else { Err(PkgmanError::Checksum) }
    }

    /// Fetches a file, of which it may have a part: appends what comes, whatever the status of success, and asks again
    /// after what it takes for a passing error. It knows no pause and no end of that.
    fn fetch(&mut self, path: &str, mut bytes: Vec<u8>) -> Result<Vec<u8>, PkgmanError> {
        for _ in 0..ENDLESS {
            let answer = self.ask(path, bytes.len());
            match answer.status {
                200 | 206 | 304 | 308 => {
                    bytes.extend(&answer.body);
                    if answer.is_whole {
                        return Ok(bytes);
                    }
                }
                // The body of an error stays in the file.
                408 | 504 | 500 | 503 | 400 | 409..=414 | 429 => bytes.extend(&answer.body),
                status => {
                    self.parts.insert(path.trim_start_matches("packages/").to_owned(), bytes);
                    return Err(PkgmanError::Status(status));
                }
            }
        }
        panic!("pkgman would ask for {path} for ever");
    }

    fn ask(&self, path: &str, from: usize) -> Answer {
        let (mut host, mut path) = (self.base.0, format!("{}/{path}", self.base.1));
        let range = format!("bytes={from}-");
        let headers = [("Accept-Encoding", "gzip"), ("Connection", "close"), ("Range", range.as_str())];
        let headers = &headers[..if from > 0 { 3 } else { 2 }];
        for _ in 0..REDIRECTS {
            let answer = Client::at(host).get(&path, headers);
            let target = answer.header("location").filter(|_| matches!(answer.status, 301..=303 | 307));
            let Some(target) = target.and_then(|target| target.strip_prefix("http://")) else { return answer };
            let (next, below) = target.split_once('/').expect("a path");
            (host, path) = (next.parse().expect("an address"), format!("/{below}"));
        }
        panic!("more than {REDIRECTS} redirects");
    }
}
