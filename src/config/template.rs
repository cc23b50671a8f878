//! The address of a mirror as pacman's mirror list writes it: a URL with `$repo` and `$arch`.

use std::fmt;

use reqwest::Url;

use crate::config::url::{BaseUrl, without_secret};

/// A URL of http or https in which `$repo` and `$arch` stand for a repository and an architecture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MirrorTemplate(String);

impl MirrorTemplate {
    /// Reads the address.
    ///
    /// # Errors
    /// The expectation, in words, for what is no http or https URL, or has a user name, a query or a fragment.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let template = Self(text.trim_end_matches('/').to_owned());
        match BaseUrl::parse(&template.filled("core", "x86_64")) {
            Some(_) => Ok(template),
            None => Err(format!(
                "expected a URL like https://mirror.example/$repo/os/$arch, found {:?}",
                without_secret(text)
            )),
        }
    }

    /// Returns the `Server` URL of a repository.
    pub(crate) fn server(&self, repo: &str, arch: &str) -> String {
        self.filled(repo, arch)
    }

    fn filled(&self, repo: &str, arch: &str) -> String {
        self.0.replace("$repo", repo).replace("$arch", arch)
    }

    /// Returns the URL of the file `name` of a repository.
    pub(crate) fn file(&self, repo: &str, arch: &str, name: &str) -> Option<Url> {
        Some(BaseUrl::parse(&self.filled(repo, arch))?.below(&format!("/{name}")))
    }

    /// Returns the URL of `lastupdate`, which stands at the root of a mirror that has several repositories (dbscripts
    /// d137368, `db-functions`: `set_repo_permission`, `$FTP_BASE/lastupdate`).
    pub(crate) fn lastupdate(&self) -> Option<Url> {
        let (root, _) = self.0.split_once("$repo")?;
        Some(BaseUrl::parse(root)?.below("/lastupdate"))
    }

    /// Returns true when its answers come over TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// Returns true when it tells the repositories, and the architectures, apart.
    pub(crate) fn tells_apart(&self) -> (bool, bool) {
        (self.0.contains("$repo"), self.0.contains("$arch"))
    }
}

impl fmt::Display for MirrorTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_has_its_files_below_and_its_lastupdate_at_the_root() {
        let mirror = MirrorTemplate::parse("https://m.example/arch/$repo/os/$arch/").unwrap();
        assert_eq!(mirror.lastupdate().unwrap().as_str(), "https://m.example/arch/lastupdate");
        let file = mirror.file("core", "x86_64", "a-1:2-1-any.pkg.tar.zst").unwrap();
        assert_eq!(file.as_str(), "https://m.example/arch/core/os/x86_64/a-1:2-1-any.pkg.tar.zst");
        assert!(mirror.is_https() && mirror.tells_apart() == (true, true));
        let custom = MirrorTemplate::parse("http://m.example/custom").unwrap();
        assert_eq!((custom.lastupdate(), custom.tells_apart()), (None, (false, false)));
        for wrong in ["m.example/$repo", "ftp://m/$repo", "https://u:p@m/$repo", "https://m/$repo?x"] {
            assert!(MirrorTemplate::parse(wrong).is_err(), "{wrong}");
        }
    }
}
