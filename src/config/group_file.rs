//! The file of a closed group: the keys of its two private networks, and where its first members are.
//!
//! It is a secret as a whole: a machine that has it is a member. So it is read only where no other user may open it, and
//! nothing in it is ever shown.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::Deserialize;

use crate::config::peer_address::PeerAddress;
use crate::config::publication::is_publication_name;

/// Most bytes of such a file.
pub const GROUP_FILE_MOST: u64 = 64 << 10;
/// The version of its format that this program writes and reads.
const VERSION: u64 = 1;
/// Most addresses of one kind, and most writers.
const LIST_MOST: usize = 64;

/// A closed group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupFile {
    /// Its name: 1 to 64 letters, digits, dots, `-` and `_`.
    pub name: String,
    /// The key of Kubo's private network.
    pub swarm_key: GroupKey,
    /// The secret of the ipfs-cluster.
    pub cluster_secret: GroupKey,
    /// Cluster peers whose pins count; none: those of every member.
    pub writers: Vec<String>,
    /// Addresses of members' Kubo nodes.
    pub kubo: Vec<PeerAddress>,
    /// Addresses of members' cluster peers.
    pub cluster: Vec<PeerAddress>,
}

/// A key of 32 bytes, which is never printed by accident.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GroupKey(pub [u8; 32]);

/// The reason why a text is no group file. Trying again does not help.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GroupFileError {
    /// No TOML, an unknown key, or a value of another kind: the line and the reason. No value is repeated.
    #[error("line {line}: {why}")]
    Form {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// Made by a later program.
    #[error("it has version {0}, and this program reads version 1")]
    Version(u64),
    /// A value that cannot be: its key and the reason.
    #[error("{key}: {why}")]
    Value {
        /// The key.
        key: &'static str,
        /// What was expected.
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireGroup {
    version: u64,
    name: String,
    swarm_key: String,
    cluster_secret: String,
    #[serde(default)]
    writers: Vec<String>,
    kubo: Vec<String>,
    cluster: Vec<String>,
}

impl GroupFile {
    /// Reads one.
    ///
    /// # Errors
    /// [`GroupFileError`].
    pub fn parse(text: &str) -> Result<Self, GroupFileError> {
        // A later version may have other keys, and is to be called so.
        let version = toml::from_str::<toml::Table>(text).ok().and_then(|table| table.get("version")?.as_integer());
        if let Some(version) = version.and_then(|version| u64::try_from(version).ok()).filter(|it| *it != VERSION) {
            return Err(GroupFileError::Version(version));
        }
        let wire: WireGroup = toml::from_str(text).map_err(|e: toml::de::Error| {
            let at = e.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            GroupFileError::Form { line, why: plain(e.message()) }
        })?;
        if wire.version != VERSION {
            return Err(GroupFileError::Version(wire.version));
        }
        if !is_publication_name(&wire.name) {
            let why = "expected 1 to 64 letters, digits, dots, - and _".to_owned();
            return Err(GroupFileError::Value { key: "name", why });
        }
        let group = Self {
            swarm_key: key("swarm_key", &wire.swarm_key)?,
            cluster_secret: key("cluster_secret", &wire.cluster_secret)?,
            writers: list("writers", &wire.writers, writer)?,
            kubo: list("kubo", &wire.kubo, address)?,
            cluster: list("cluster", &wire.cluster, address)?,
            name: wire.name,
        };
        match (group.kubo.is_empty(), group.cluster.is_empty()) {
            (true, _) => Err(GroupFileError::Value { key: "kubo", why: "expected an address at least".to_owned() }),
            (_, true) => Err(GroupFileError::Value { key: "cluster", why: "expected an address at least".to_owned() }),
            (false, false) => Ok(group),
        }
    }

    /// Writes it, so that [`parse`](Self::parse) reads the same.
    pub fn text(&self) -> String {
        let lines =
            |list: &mut dyn Iterator<Item = String>| list.map(|item| format!("\n    \"{item}\",")).collect::<String>();
        let writers = match self.writers.is_empty() {
            true => {
                "# writers = [\"12D3Koo…\"]   # cluster peers whose pins count; without this line, every member's do\n"
                    .to_owned()
            }
            false => format!("writers = [{}\n]\n", lines(&mut self.writers.iter().cloned())),
        };
        format!(
            "# The keys of the closed group {}. A machine that has this file is a member: hand it on by a safe way, and\n\
             # keep it readable for its owner alone (mode 0600). On the next machine: pkgswarm group join FILE\n\
             version = {VERSION}\nname = \"{}\"\nswarm_key = \"{}\"\ncluster_secret = \"{}\"\n{writers}\
             # Where members are found: Kubo, and ipfs-cluster.\nkubo = [{}\n]\ncluster = [{}\n]\n",
            self.name,
            self.name,
            self.swarm_key.hex(),
            self.cluster_secret.hex(),
            lines(&mut self.kubo.iter().map(ToString::to_string)),
            lines(&mut self.cluster.iter().map(ToString::to_string)),
        )
    }
}

impl GroupKey {
    /// Writes it as 64 hexadecimal digits.
    pub(crate) fn hex(&self) -> String {
        HEXLOWER_PERMISSIVE.encode(&self.0)
    }
}

impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
}

/// Returns the reason that the reader of TOML gives, as far as it repeats no value.
fn plain(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    match first.contains("invalid type") || first.contains("invalid value") {
        true => "a value of another kind than expected".to_owned(),
        false => first.to_owned(),
    }
}

fn key(key: &'static str, text: &str) -> Result<GroupKey, GroupFileError> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(GroupKey).ok_or_else(|| GroupFileError::Value { key, why: "expected 64 hexadecimal digits".to_owned() })
}

fn list<T>(
    key: &'static str,
    texts: &[String],
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, GroupFileError> {
    if texts.len() > LIST_MOST {
        return Err(GroupFileError::Value { key, why: format!("expected {LIST_MOST} at most") });
    }
    texts.iter().map(|text| read(text).map_err(|why| GroupFileError::Value { key, why })).collect()
}

fn address(text: &str) -> Result<PeerAddress, String> {
    let address = text.parse::<PeerAddress>().map_err(|why| why.to_string())?;
    // A private network has no other transport.
    match text.contains("/tcp/") {
        true => Ok(address),
        false => Err("expected an address with /tcp/: a private network has no other transport".to_owned()),
    }
}

fn writer(text: &str) -> Result<String, String> {
    let is_id = (40..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_id { Ok(text.to_owned()) } else { Err("expected the id of a cluster peer, 12D3Koo…".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

    fn group() -> GroupFile {
        let at = |port: u16| vec![format!("/ip4/10.0.0.4/tcp/{port}/p2p/{ID}").parse().unwrap()];
        GroupFile {
            name: "lab".to_owned(),
            swarm_key: GroupKey([7; 32]),
            cluster_secret: GroupKey([0xab; 32]),
            writers: Vec::new(),
            kubo: at(4160),
            cluster: at(4161),
        }
    }

    #[test]
    fn a_group_file_is_read_as_it_was_written() {
        let writers = vec![ID.to_owned()];
        for group in [group(), GroupFile { writers, ..group() }] {
            assert_eq!(GroupFile::parse(&group.text()).unwrap(), group);
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_no_secret_with_it() {
        let good = group().text();
        let secret = group().cluster_secret.hex();
        for (from, to, why) in [
            ("version = 1", "version = 2", "it has version 2, and this program reads version 1"),
            ("version = 1\n", "", "missing field `version`"),
            ("name = \"lab\"", "name = \"../lab\"", "name: expected 1 to 64 letters"),
            ("cluster_secret = \"ab", "cluster_secret = \"zz", "cluster_secret: expected 64 hexadecimal digits"),
            ("cluster_secret = \"ab", "cluster_secret = \"", "cluster_secret: expected 64 hexadecimal digits"),
            ("/ip4/10.0.0.4/tcp/4160", "/ip4/10.0.0.4/udp/4160/quic-v1", "kubo: expected an address with /tcp/"),
            (&format!("/p2p/{ID}"), "", "kubo: expected an address like"),
            ("name = \"lab\"", "nmae = \"lab\"", "line 4: unknown field `nmae`"),
            ("name = \"lab\"", "name = 7", "line 4: a value of another kind than expected"),
            ("kubo = [", "kubo = [] # [", "expected"),
        ] {
            let error = GroupFile::parse(&good.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(why), "{from}: {error}");
            assert!(!error.contains(&secret[2..]), "{error}");
        }
        let many = vec!["\"/ip4/10.0.0.4/tcp/1/p2p/x\""; 65].join(", ");
        let error = GroupFile::parse(&good.replacen("cluster = [", &format!("cluster = [{many}] # ["), 1)).unwrap_err();
        assert!(error.to_string().contains("line") || error.to_string().contains("64 at most"), "{error}");
    }
}
