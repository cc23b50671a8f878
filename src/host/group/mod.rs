//! A closed group on this machine: a Kubo of its own in a private network, and a peer of an ipfs-cluster whose pins all members
//! hold. It stands beside whatever else runs here, in one directory, and leaves as a whole: nothing else on the machine is
//! changed, a Kubo that speaks with the public network least of all.
//!
//! What the group's file says is written into the configurations that `ipfs init` and `ipfs-cluster-service init` have made;
//! no file of the machine is seen before all of it is there (`a_group_that_cannot_be_made_leaves_nothing`).
//!
//! The system's groups belong to a user who speaks with the network, so root touches no file of theirs: the work is done by a
//! thread that has become that user (`hands`), and what is no regular file is refused.

use std::fs;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::base::env::Env;
use crate::base::error::Error;
use crate::base::{fsx, own_address, program};
use crate::config::group_file::GroupFile;
use crate::config::publication::is_publication_name;
use crate::config::{Settings, own_state_dir};

mod files;
mod hands;
mod settings;
mod status;

pub(crate) use files::read_file;
use files::{change, json_of, parse, put};
pub(crate) use status::{GroupStatus, running, status};

/// The first port that is tried, and how many ports a group has.
const FIRST_PORT: u16 = 4160;
const PORTS: u16 = 4;
/// Longest time for a program that makes a configuration, and most that it prints.
const MAKING: Duration = Duration::from_secs(120);
const SAID_MOST: u64 = 1 << 20;
/// Most addresses of this machine that other members are told.
const HOSTS_MOST: usize = 8;
/// Most bytes of the name of a Unix socket, its end not counted (unix(7)).
const SOCKET_MOST: usize = 107;

/// The ports of a group on this machine, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GroupPorts {
    pub(crate) base: u16,
}

/// Where a group is on this machine; it may not be there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GroupPlace {
    dir: PathBuf,
}

/// The ids that a member's two programs have.
pub(crate) struct MemberIds {
    pub(crate) kubo: String,
    pub(crate) cluster: String,
}

impl GroupPorts {
    pub(crate) fn kubo(self) -> u16 {
        self.base
    }
    pub(crate) fn cluster(self) -> u16 {
        self.base + 1
    }
    pub(crate) fn kubo_api(self) -> u16 {
        self.base + 2
    }
    pub(crate) fn rest(self) -> u16 {
        self.base + 3
    }

    fn are_free(self) -> bool {
        (0..PORTS).all(|nth| TcpListener::bind((IpAddr::from([0, 0, 0, 0]), self.base + nth)).is_ok())
    }

    /// Chooses ports that no program listens at and no other group of this machine has.
    ///
    /// # Errors
    /// A usage error where `wanted`, or every choice, is taken.
    pub(crate) fn choose(wanted: Option<u16>, others: &[GroupPlace]) -> Result<Self, Error> {
        let has = |ports: Self| {
            let taken = others.iter().filter_map(|place| Some(place.read().ok()??.1.base));
            ports.are_free() && !taken.into_iter().any(|base| base.abs_diff(ports.base) < PORTS)
        };
        let choices: Vec<u16> = match wanted {
            Some(port) => vec![port],
            None => (0..100).map(|nth| FIRST_PORT + nth * PORTS).collect(),
        };
        let found =
            choices.into_iter().filter(|base| (1024..=u16::MAX - PORTS).contains(base)).map(|base| Self { base });
        found.into_iter().find(|ports| has(*ports)).ok_or_else(|| {
            Error::usage("--port", format!("expected the first of {PORTS} free ports, 1024 or above, in a row"))
                .hint("`ss -ltn` shows which are taken")
        })
    }
}

impl GroupPlace {
    /// Lists the groups of this machine, or this user, by name.
    pub(crate) fn all(env: &Env, settings: &Settings) -> Vec<Self> {
        let entries = fs::read_dir(parent(env, settings)).into_iter().flatten().flatten();
        let named = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(is_publication_name);
        let mut places: Vec<Self> = entries.map(|entry| entry.path()).filter(named).map(|dir| Self { dir }).collect();
        places.retain(|place| place.file().exists());
        places.sort_by(|a, b| a.dir.cmp(&b.dir));
        places
    }

    /// Returns the place of the group `name`, which may not be there.
    pub(crate) fn of(env: &Env, settings: &Settings, name: &str) -> Self {
        Self { dir: parent(env, settings).join(name) }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn name(&self) -> &str {
        self.dir.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The repository of its Kubo.
    pub(crate) fn ipfs(&self) -> PathBuf {
        self.dir.join("ipfs")
    }

    /// The directory of its cluster peer.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.dir.join("cluster")
    }

    /// The socket of its cluster peer's proxy for Kubo's RPC: what is pinned there is pinned by all.
    pub(crate) fn proxy(&self) -> PathBuf {
        self.dir.join("pins.sock")
    }

    /// Its copy of the group's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.join("group.toml")
    }

    /// Reads the group that is there; `None` where none is.
    ///
    /// # Errors
    /// `Local` where it cannot be read; a usage error where it is damaged.
    pub(crate) fn read(&self) -> Result<Option<(GroupFile, GroupPorts)>, Error> {
        hands::with(|| self.read_here())
    }

    fn read_here(&self) -> Result<Option<(GroupFile, GroupPorts)>, Error> {
        if !self.file().try_exists().map_err(|e| Error::local(self.file().display(), e))? {
            return Ok(None);
        }
        let group = parse(&self.file(), fsx::open_read)?;
        let config = json_of(&self.ipfs().join("config"))?;
        let api = config["Addresses"]["API"].as_str().and_then(|text| text.rsplit('/').next()?.parse::<u16>().ok());
        let base = api.and_then(|port| port.checked_sub(2)).ok_or_else(|| {
            Error::usage(self.ipfs().join("config").display(), "Addresses.API is not the one that was written there")
                .hint("`pkgswarm group leave` and `join` make it anew")
        })?;
        Ok(Some((group, GroupPorts { base })))
    }

    /// Reads the user and the password of its cluster peer's REST API.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub(crate) fn login(&self) -> Result<(String, String), Error> {
        let service = hands::with(|| json_of(&self.cluster().join("service.json")))?;
        settings::login(&service).ok_or_else(|| {
            Error::usage(self.cluster().join("service.json").display(), "its REST API has no password")
                .hint("`pkgswarm group leave` and `join` make it anew")
        })
    }

    /// Makes the group here: runs the two programs that make configurations, has `compose` write the group's file for the new
    /// member, and changes the configurations to what the file says.
    ///
    /// # Errors
    /// `Local` where a program is missing or fails, or the disk; then nothing is left.
    pub(crate) fn make(
        &self,
        ports: GroupPorts,
        compose: impl FnOnce(&MemberIds) -> Result<GroupFile, Error> + Send,
    ) -> Result<GroupFile, Error> {
        if self.proxy().as_os_str().len() > SOCKET_MOST {
            let most = format!("no socket can be made at {}: {SOCKET_MOST} bytes at most", self.proxy().display());
            return Err(Error::usage(self.name(), most).hint("give the group a shorter name"));
        }
        let above = self.dir.parent().unwrap_or(Path::new("/"));
        hands::own_place(above).map_err(|e| Error::local(above.display(), e))?;
        if self.is_there() {
            return Err(Error::usage(self.dir.display(), "is there already; nothing was changed")
                .hint(format!("`pkgswarm group leave {}` removes it", self.name())));
        }
        hands::with(|| {
            let _alone = alone(above)?;
            self.make_here(above, ports, compose)
        })
    }

    fn make_here(
        &self,
        above: &Path,
        ports: GroupPorts,
        compose: impl FnOnce(&MemberIds) -> Result<GroupFile, Error>,
    ) -> Result<GroupFile, Error> {
        let failed = |e: io::Error| Error::local(self.dir.display(), e);
        let private = fs::Permissions::from_mode(0o700);
        let draft =
            tempfile::Builder::new().prefix(fsx::TEMPORARY).permissions(private).tempdir_in(above).map_err(failed)?;
        let new = Self { dir: draft.path().to_owned() };
        for dir in [new.ipfs(), new.cluster()] {
            hands::private_dir(&dir).map_err(failed)?;
        }
        initialise("ipfs", &["init"], ("IPFS_PATH", &new.ipfs()))?;
        let words = ["init", "--consensus", "crdt"];
        initialise("ipfs-cluster-service", &words, ("IPFS_CLUSTER_PATH", &new.cluster()))?;
        let group = compose(&new.ids_here()?)?;
        new.write(&group, ports, &self.proxy())?;
        fs::rename(draft.path(), &self.dir).map_err(failed)?;
        // Its name is free again: nothing is left to remove.
        let _moved = draft.keep();
        Ok(group)
    }

    /// Changes the group that is here to what its file says now.
    ///
    /// # Errors
    /// `Local` where a file cannot be read or written; each of them is as it was, or as it shall be.
    pub(crate) fn update(&self, group: &GroupFile, ports: GroupPorts) -> Result<(), Error> {
        hands::with(|| self.write(group, ports, &self.proxy()))
    }

    /// Writes what a group's file says into the configurations, and the file beside them.
    fn write(&self, group: &GroupFile, ports: GroupPorts, proxy: &Path) -> Result<(), Error> {
        let own = self.ids_here()?.cluster;
        let (config, service) = (self.ipfs().join("config"), self.cluster().join("service.json"));
        change(&config, |config| settings::kubo(config, group, ports))?;
        change(&service, |config| settings::cluster(config, &own, group, (ports, proxy)))?;
        put(&self.ipfs().join("swarm.key"), settings::swarm_key(group).as_bytes())?;
        put(&self.file(), group.text().as_bytes())
    }

    /// Reads the ids of its two programs.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub(crate) fn ids(&self) -> Result<MemberIds, Error> {
        hands::with(|| self.ids_here())
    }

    fn ids_here(&self) -> Result<MemberIds, Error> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(MemberIds {
            kubo: text(&json_of(&self.ipfs().join("config"))?["Identity"]["PeerID"]),
            cluster: text(&json_of(&self.cluster().join("identity.json"))?["id"]),
        })
    }

    /// Returns true where something has the group's name, be it a group or the rest of one.
    pub(crate) fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.dir).is_ok()
    }

    /// Removes the group from this machine, with all that its Kubo holds; a damaged one, too.
    ///
    /// # Errors
    /// `Local`; the group is there as it was, or it is none any more and the next command about a group removes the rest.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        let failed = |e: io::Error| Error::local(self.dir.display(), e);
        let above = self.dir.parent().unwrap_or(Path::new("/"));
        let _alone = alone(above)?;
        let leaving = above.join(format!("{}left-{}", fsx::TEMPORARY, self.name()));
        // What is there is no group from this moment on. Links are removed, and not followed.
        fs::rename(&self.dir, &leaving).map_err(failed)?;
        fs::remove_dir_all(&leaving).map_err(failed)
    }
}

/// Waits for other commands that make or remove a group, and removes what is left of those that were killed.
fn alone(above: &Path) -> Result<fs::File, Error> {
    let failed = |e: io::Error| Error::local(above.display(), e);
    let place = fs::File::open(above).map_err(failed)?;
    place.lock().map_err(failed)?;
    for entry in fs::read_dir(above).map_err(failed)?.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(fsx::TEMPORARY.as_bytes()) {
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let gone = if is_dir { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
            gone.map_err(failed)?;
        }
    }
    Ok(place)
}

/// Returns this machine's addresses at which other members may reach it.
pub(crate) fn own_hosts() -> Vec<IpAddr> {
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten().filter_map(|it| own_address::of(&it));
    let is_told = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xe000 == 0x2000,
    };
    let mut hosts: Vec<IpAddr> = all.filter(is_told).collect();
    hosts.sort();
    hosts.dedup();
    hosts.truncate(HOSTS_MOST);
    hosts
}

/// Returns the directory of the groups: beside the state of downloads, which belongs to another user.
fn parent(env: &Env, settings: &Settings) -> PathBuf {
    let state = own_state_dir(env).filter(|_| env.var("PKGSWARM_STATE_DIR").is_none());
    let mut dir = state.unwrap_or_else(|| settings.state_dir.clone()).into_os_string();
    dir.push("-group");
    PathBuf::from(dir)
}

fn initialise(name: &str, words: &[&str], (variable, dir): (&str, &Path)) -> Result<(), Error> {
    let mut command = Command::new(name);
    // Root's home is not that user's.
    command.args(words).env(variable, dir).env_remove("HOME").current_dir(dir);
    let hint = match name {
        "ipfs" => "install Kubo (package kubo); nothing was changed",
        _ => "install ipfs-cluster-service of ipfs-cluster 1.1; nothing was changed",
    };
    program::hear(command, b"", MAKING, SAID_MOST).map(drop).map_err(|e| Error::local(name, e).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::group_file::GroupKey;

    /// A group whose files are there, as its programs and `init` leave them.
    fn scene() -> (tempfile::TempDir, GroupPlace) {
        let above = tempfile::tempdir().unwrap();
        let place = GroupPlace { dir: above.path().join("lab") };
        let id = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
        for dir in [place.dir.clone(), place.ipfs(), place.cluster()] {
            hands::private_dir(&dir).unwrap();
        }
        fs::write(place.ipfs().join("config"), format!("{{\"Identity\":{{\"PeerID\":\"{id}\"}}}}")).unwrap();
        fs::write(place.cluster().join("identity.json"), format!("{{\"id\":\"{id}\"}}")).unwrap();
        fs::write(place.cluster().join("service.json"), "{}").unwrap();
        place.write(&group(), GroupPorts { base: 4160 }, &place.proxy()).unwrap();
        (above, place)
    }

    fn group() -> GroupFile {
        let (swarm_key, cluster_secret) = (GroupKey([7; 32]), GroupKey([9; 32]));
        let id = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";
        let at = |port: u16| vec![format!("/ip4/10.0.0.4/tcp/{port}/p2p/{id}").parse().unwrap()];
        let (kubo, cluster) = (at(4160), at(4161));
        GroupFile { name: "lab".to_owned(), swarm_key, cluster_secret, writers: Vec::new(), kubo, cluster }
    }

    #[test]
    fn what_is_written_is_read_and_links_and_fifos_in_its_place_are_refused() {
        let (above, place) = scene();
        let ports = GroupPorts { base: 4160 };
        assert_eq!(place.read().unwrap(), Some((group(), ports)));
        let service = place.cluster().join("service.json");
        let secret = above.path().join("secret");
        fs::write(&secret, "{\"auth\":\"of another\"}").unwrap();
        fs::remove_file(&service).unwrap();
        std::os::unix::fs::symlink(&secret, &service).unwrap();
        place.update(&group(), ports).unwrap_err();
        place.login().unwrap_err();
        assert!(fs::symlink_metadata(&service).unwrap().is_symlink(), "nothing was copied");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "{\"auth\":\"of another\"}");
        let config = place.ipfs().join("config");
        fs::remove_file(&config).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &config, rustix::fs::Mode::from(0o600)).unwrap();
        let error = place.read().unwrap_err();
        assert!(error.to_string().contains("config"), "and nothing waits for a writer: {error}");
    }

    #[test]
    fn a_removal_that_was_cut_short_and_a_draft_go_with_the_next_command() {
        let (above, place) = scene();
        fs::create_dir_all(above.path().join(".pkgswarm-left-lab/ipfs/blocks")).unwrap();
        fs::create_dir_all(above.path().join(".pkgswarm-draft/ipfs")).unwrap();
        fs::write(above.path().join(".pkgswarm-draft/ipfs/swarm.key"), "a secret").unwrap();
        std::os::unix::fs::symlink("draft", above.path().join(".pkgswarm-link")).unwrap();
        fs::remove_file(place.cluster().join("identity.json")).unwrap();
        fs::write(place.ipfs().join("config"), "damaged").unwrap();
        place.read().unwrap_err();
        assert!(place.is_there());
        place.remove().unwrap();
        assert!(!place.is_there());
        assert_eq!(fs::read_dir(above.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_group_is_not_made_where_the_rest_of_another_is() {
        let (above, place) = scene();
        fs::remove_file(place.file()).unwrap();
        let error = place.make(GroupPorts { base: 4160 }, |_| Ok(group())).unwrap_err();
        assert!(error.to_string().contains("is there already"), "{error}");
        assert_eq!(fs::read_dir(above.path()).unwrap().count(), 1, "and no draft is left");
    }
}
