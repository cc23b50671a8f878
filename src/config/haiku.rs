//! A repository of Haiku's pkgman that the endpoint serves, as `[haiku.NAME]` declares it.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::time::Duration;

use crate::config::key::nearest;
use crate::config::publisher::PublicKey;
use crate::config::url::{BaseUrl, without_secret};
use crate::config::value;
use crate::config::written::Written;

/// The key of Haiku's own repositories (haiku/infrastructure, `concourse/minisign.pub`, id F95B2E46C5B77DCF).
pub(crate) const HAIKU_KEY: &str = "RWTPfbfFRi5b+T02aw733p5dp/UI/1Z946YWBInmkPmBlx2Zy1Vyw9kP";

/// The time for which a snapshot may be in use without a server that still has it.
const MAX_AGE: Duration = Duration::from_secs(14 * 24 * 3600);

/// The fields, each with its meaning.
pub(crate) const HAIKU_FIELDS: &[(&str, &str)] = &[
    (
        "urls",
        "http or https URLs of the repository, asked in this order, the next one also where those before it take long: what \
         pkgman has as its baseurl.",
    ),
    (
        "minisign",
        "minisign public key that must have signed the list of packages (`repo.minisig`). Default: the key of Haiku's own \
         repositories.",
    ),
    ("path", "Path below the address of the endpoint. Default: that of the first URL."),
    (
        "max_age",
        "Time for which the last proven list is served while no server sends the same or a newer one. Default: 14 days.",
    ),
];

/// A repository of Haiku's.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct HaikuConfig {
    /// The user's name for it.
    pub name: String,
    /// The addresses of its servers, at least one.
    pub urls: Vec<BaseUrl>,
    /// The key that must have signed its list.
    pub minisign: Written<PublicKey>,
    /// Path below the endpoint's address, without slashes at its ends.
    pub path: String,
    /// The time for which a list is served that no server confirms.
    pub max_age: Duration,
}

impl HaikuConfig {
    /// Makes the declaration of a repository with these servers. Without a key, Haiku's own must have signed it.
    ///
    /// # Errors
    /// The sentence that says what is wrong with it.
    pub(crate) fn new(name: &str, urls: &[String], minisign: Option<&str>) -> Result<Self, String> {
        check_name(name)?;
        let parsed = urls.iter().map(|url| {
            let bad = || format!("urls: expected an http or https URL, found {:?}", without_secret(url));
            BaseUrl::parse(url).ok_or_else(bad)
        });
        let urls = parsed.collect::<Result<Vec<_>, _>>()?;
        let Some(first) = urls.first() else { return Err(format!("haiku {name}: urls are required")) };
        let path = first.url().path().trim_matches('/').to_owned();
        let path = if path.is_empty() { name.to_owned() } else { path };
        let minisign = Written::read(minisign.unwrap_or(HAIKU_KEY));
        Ok(Self { name: name.to_owned(), urls, minisign, path, max_age: MAX_AGE })
    }

    /// Reads the fields of a table in a configuration file; the items of a list are joined with commas.
    ///
    /// # Errors
    /// As of [`HaikuConfig::new`].
    pub(crate) fn of_fields(name: &str, fields: &[(String, String)]) -> Result<Self, String> {
        let text = |field: &str| fields.iter().find(|(known, _)| known == field).map(|(_, text)| text.as_str());
        let known = || HAIKU_FIELDS.iter().map(|(field, _)| *field);
        if let Some((field, _)) = fields.iter().find(|(field, _)| !known().any(|known| known == field)) {
            let near = nearest(field, known()).unwrap_or("urls, minisign, path or max_age");
            return Err(format!("unknown setting \"haiku.{name}.{field}\"; did you mean {near:?}?"));
        }
        let urls: Vec<String> = value::list(text("urls").unwrap_or_default()).map(str::to_owned).collect();
        let mut repo = Self::new(name, &urls, text("minisign"))?;
        if let Some(path) = text("path") {
            let is_plain = |part: &str| !part.is_empty() && !matches!(part, "." | "..") && !part.contains('%');
            if !path.trim_matches('/').split('/').all(is_plain) {
                return Err(format!("path: expected a path like haikuports/master/x86_64/current, found {path:?}"));
            }
            path.trim_matches('/').clone_into(&mut repo.path);
        }
        if let Some(age) = text("max_age") {
            let bad = || format!("max_age: expected a time like \"14 d\", found {age:?}");
            repo.max_age = value::span(age).ok_or_else(bad)?;
        }
        Ok(repo)
    }

    /// Writes its declaration.
    pub(crate) fn to_toml(&self) -> String {
        let text = |value: &str| toml::Value::from(value).to_string();
        let urls: Vec<String> = self.urls.iter().map(|url| text(&url.to_string())).collect();
        let mut out = format!("[haiku.{}]\nurls = [{}]\n", self.name, urls.join(", "));
        if self.minisign.text() != HAIKU_KEY {
            out += &format!("minisign = {}\n", text(self.minisign.text()));
        }
        out
    }
}

/// Checks the name of a repository, which becomes a file name and a TOML key.
fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
        return Err(format!("haiku name {name:?}: 1 to 64 letters, digits, - and _ are allowed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_served_at_the_path_that_it_has_at_its_server() {
        let urls = ["https://h.example/haikuports/master/x86_64/current/".to_owned()];
        let repo = HaikuConfig::new("HaikuPorts", &urls, None).unwrap();
        assert_eq!(repo.path, "haikuports/master/x86_64/current");
        assert!(repo.minisign.value().is_ok());
        let expected = "[haiku.HaikuPorts]\nurls = [\"https://h.example/haikuports/master/x86_64/current\"]\n";
        assert_eq!(repo.to_toml(), expected);
        assert_eq!(HaikuConfig::new("a", &["http://h".to_owned()], None).unwrap().path, "a");
        assert!(HaikuConfig::new("a/b", &urls, None).is_err() && HaikuConfig::new("a", &[], None).is_err());
    }
}
