//! The values of the keys. Each error is the sentence that says what was expected.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;

use crate::base::name::RepoName;
use crate::base::public::is_public_url;
use crate::config::peer_address::PeerAddress;
use crate::config::url::without_secret;

/// Reads a text that is not empty.
pub(super) fn text(value: &Spanned<DeValue<'_>>) -> Result<String, String> {
    match value.get_ref() {
        DeValue::String(text) if !text.is_empty() => Ok(text.to_string()),
        _ => Err("expected a text".to_owned()),
    }
}

/// Reads a number that is not negative.
pub(super) fn number(value: &Spanned<DeValue<'_>>) -> Result<u64, String> {
    match value.get_ref() {
        DeValue::Integer(number) => number.as_str().parse().map_err(|_| "expected a whole number".to_owned()),
        _ => Err("expected a whole number".to_owned()),
    }
}

/// Reads a word of TOML for yes or no.
pub(super) fn yes_or_no(value: &Spanned<DeValue<'_>>) -> Result<bool, String> {
    match value.get_ref() {
        DeValue::Boolean(yes) => Ok(*yes),
        _ => Err("expected true or false".to_owned()),
    }
}

/// Reads a list of texts, or one text, by `read`.
pub(super) fn each<T>(
    value: &Spanned<DeValue<'_>>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    match value.get_ref() {
        DeValue::Array(items) => items.iter().map(|item| read(&text(item)?)).collect(),
        _ => Ok(vec![read(&text(value)?)?]),
    }
}

/// Reads the address of a peer that all may know.
pub(super) fn peer(text: &str) -> Result<PeerAddress, String> {
    let address = text.parse::<PeerAddress>().map_err(|why| why.to_string())?;
    if address.is_public() { Ok(address) } else { Err(format!("expected a public address, found {text:?}")) }
}

/// Reads the address of a peer that those who are named to it may know.
pub(super) fn writer(text: &str) -> Result<PeerAddress, String> {
    text.parse::<PeerAddress>().map_err(|why| why.to_string())
}

/// Reads the URL of a gateway that all may know.
pub(super) fn gateway(text: &str) -> Result<String, String> {
    let is_one = text.starts_with("https://") && is_public_url(text);
    if is_one {
        Ok(text.to_owned())
    } else {
        Err(format!("expected a public https URL, found {:?}", without_secret(text)))
    }
}

/// Reads a path.
pub(super) fn absolute(text: &str) -> Result<PathBuf, String> {
    match text.starts_with('/') {
        true => Ok(PathBuf::from(text)),
        false => Err(format!("expected an absolute path, found {text:?}")),
    }
}

/// Reads the name of a repository.
pub(super) fn repo(text: &str) -> Result<RepoName, String> {
    RepoName::new(text).map_err(|e| format!("expected the name of a repository: {e}"))
}

/// Reads the name of an architecture.
pub(super) fn arch(text: &str) -> Result<String, String> {
    let is_plain = text.len() <= 32 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_plain { Ok(text.to_owned()) } else { Err(format!("expected an architecture like x86_64, found {text:?}")) }
}
