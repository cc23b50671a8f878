//! The words that the list of any package system is told in: its repositories, what a file name stands for there, and
//! the parts of a package's name. Which name is of which kind each system decides by itself
//! ([`List`](crate::machine::lists::List)).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use crate::base::digest::Sha256;
use crate::base::name::RepoName;
use crate::base::public::is_public_url;

/// The kind of file that a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameKind {
    /// A package.
    Package,
    /// The detached signature of a package.
    PackageSignature,
    /// A repository's own list of its files.
    Database,
    /// The detached signature of such a list.
    DatabaseSignature,
    /// Anything else.
    Other,
}

impl NameKind {
    /// Returns true for a package and for the signature of one.
    pub(crate) fn is_of_package(self) -> bool {
        matches!(self, NameKind::Package | NameKind::PackageSignature)
    }

    /// Returns true for a repository's list and for the signature of one.
    pub(crate) fn is_of_database(self) -> bool {
        matches!(self, NameKind::Database | NameKind::DatabaseSignature)
    }
}

/// The parts of a package file name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PackageParts<'a> {
    /// The package's name.
    pub name: &'a str,
    /// Its version with the release or revision, as the system writes it.
    pub version: &'a str,
    /// `x86_64`, `any`, …
    pub arch: &'a str,
}

/// A detached signature, by the size and digest that prove its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signature {
    /// Size in bytes, 1 to 16 KiB.
    pub size: u32,
    /// Its own sha256.
    pub sha256: Sha256,
}

/// A repository of a system: its name, and the servers that have its files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repository {
    /// Its name.
    pub name: RepoName,
    /// The URLs of its servers, in the order in which the system asks them.
    pub servers: Vec<String>,
    /// The URLs of servers with copies of packages and their signatures only. The system asks them first.
    pub cache_servers: Vec<String>,
    /// True when the system itself refuses a package without a valid signature.
    pub signatures_required: bool,
}

impl Repository {
    /// Returns true when every user of the network can fetch its files: it has servers, all of them public.
    ///
    /// Cache servers hold copies only and do not count, nor do servers of which `is_own` is true: this machine's own
    /// endpoint. See [`is_public_url`].
    pub fn is_public(&self, is_own: impl Fn(&str) -> bool) -> bool {
        let mut others = self.servers.iter().filter(|url| !is_own(url)).peekable();
        others.peek().is_some() && others.all(|url| is_public_url(url))
    }

    /// Returns true when `url` is that of the file at `path` below one of its servers.
    pub(crate) fn has(&self, url: &str, path: &str) -> bool {
        self.cache_servers.iter().chain(&self.servers).any(|server| below(server, url) == Some(path))
    }

    /// Iterates over the URLs of the file at `path`, in the order of the servers; caches are not among them.
    pub fn urls(&self, path: &str) -> impl Iterator<Item = String> {
        self.servers.iter().map(move |server| format!("{}/{path}", server.trim_end_matches('/')))
    }
}

/// Returns what `url` names below `server`.
///
/// libalpm cuts trailing slashes from a server and joins with one; Haiku's tools cut none. Additional ones are ignored
/// here.
fn below<'u>(server: &str, url: &'u str) -> Option<&'u str> {
    let rest = url.strip_prefix(server.trim_end_matches('/'))?;
    let path = rest.trim_start_matches('/');
    (path.len() < rest.len() && !path.is_empty()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_directly_below_its_server() {
        assert_eq!(below("http://a/x/", "http://a/x/f.db"), Some("f.db"));
        assert_eq!(below("http://a/x", "http://a/x//f.db"), Some("f.db"));
        assert_eq!(below("http://a/x", "http://a/xf.db"), None);
        assert_eq!(below("http://a/x", "http://a/x/"), None);
        let repo = Repository {
            name: RepoName::new("x").unwrap(),
            servers: vec!["http://a/x/".to_owned()],
            cache_servers: vec!["http://c".to_owned()],
            signatures_required: false,
        };
        assert!(repo.has("http://a/x/f.db", "f.db") && repo.has("http://c/f.db", "f.db"));
        assert!(!repo.has("http://a/x/y/f.db", "f.db"));
        assert!(repo.has("http://a/x/y/f.db", "y/f.db"));
        assert_eq!(repo.urls("y/f.db").collect::<Vec<_>>(), ["http://a/x/y/f.db"]);
    }
}
