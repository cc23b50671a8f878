//! Errors of publishing, and of following mirrors, with their remedies.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::io;
use std::path::PathBuf;

use crate::base::error::Error;
use crate::base::name::FileName;
use crate::base::name::RepoName;
use crate::config::value::show_size;
use crate::dag::dir::DirectoryError;
use crate::index::manifest::ManifestError;
use crate::lists::pacman::syncdb::DatabaseError;
use crate::net::kubo::KuboError;
use crate::net::pinning::RemoteError;
use crate::pins::PinError;

/// The reason why nothing was published. Unless noted otherwise, the former publication stays as it was.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The fields are what the messages name.
pub enum PublishError {
    /// No mirror could be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// No repo in a given directory.
    #[error("{}: neither a REPO.db nor a repo of Haiku's here or below; make one with repo-add", .0.display())]
    NoRepo(PathBuf),
    /// The name is needed for the index itself.
    #[error("a repo called {0} cannot be published: the name is used by the index")]
    Reserved(RepoName),
    /// Two directories map to the same path in the tree.
    #[error("{0} is there twice; publish one of them")]
    Twice(String),
    /// The last publication has tables that this one would silently remove.
    #[error("the index lists {} now, which {} not given", .0.join(", "), if .0.len() == 1 { "is" } else { "are" })]
    LeftOut(Vec<String>),
    /// The architecture cannot be determined.
    #[error("{}: packages of several architectures ({archs}); put the repo into REPO/os/ARCH", dir.display())]
    Arch { dir: PathBuf, archs: String },
    /// The database cannot be read.
    #[error("{}: {cause}", path.display())]
    Database { path: PathBuf, cause: DatabaseError },
    /// A package does not match the database. Running repo-add again helps, or restoring the file.
    #[error("{}: {why}", path.display())]
    Package { path: PathBuf, why: String },
    /// A repository of Haiku's, or an image, whose parts do not belong together. Fetching it again helps, or waiting until
    /// it is whole.
    #[error("{}: {why}", path.display())]
    Haiku { path: PathBuf, why: String },
    /// Trying again helps once no process writes to it.
    #[error("{}: it changed while it was published; try again", .0.display())]
    Changed(PathBuf),
    /// Clients would refuse the manifest.
    #[error("the index cannot be published: {0}")]
    Manifest(#[from] ManifestError),
    /// Names that no directory can hold.
    #[error("the tree cannot be built: {0}")]
    Tree(#[from] DirectoryError),
    /// Not enough room in the daemon's repository.
    #[error("Kubo has room for {} of the {} that are to come", show_size(*free), show_size(*need))]
    Space { need: u64, free: u64 },
    /// The daemon failed. Trying again continues there.
    #[error(transparent)]
    Kubo(#[from] KuboError),
    /// A cluster or a pinning service failed. Trying again later may help.
    #[error(transparent)]
    Remote(RemoteError),
    /// The daemon's key is of another kind.
    #[error("the key {0:?} is not an Ed25519 key; choose another name with --key")]
    Key(String),
    /// The plain copy belongs to a name, and the target that signs the name has failed: a new copy would lack its proof.
    #[error("it stays as it was, because the name was not signed anew")]
    Unsigned,
    /// The blocks read back differ from those published.
    #[error("{what}: read back wrongly: {why}")]
    ReadBack { what: String, why: String },
    /// The memory of sequences is damaged; it is not discarded silently.
    #[error("{} is damaged ({why}); remove it to publish everything again", path.display())]
    Memory { path: PathBuf, why: String },
    /// This machine's clock is more than a day behind the last publication: clients would refuse the next one.
    #[error("the last publication has sequence {last}, more than a day ahead of this clock ({now}); set the clock")]
    Clock { last: u64, now: u64 },
    /// Another run of the same publisher.
    #[error("another publish of this publisher is running")]
    Busy,
    /// This machine failed.
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl From<PinError> for PublishError {
    fn from(error: PinError) -> Self {
        match error {
            PinError::Kubo(fault) => Self::Kubo(fault),
            PinError::Remote(error) => Self::Remote(error),
            PinError::File(error) => Self::Io { path: PathBuf::new(), error },
        }
    }
}

/// The reason why nothing newer than the last publication could be had. Trying again later may help, unless it
/// [is an alarm](Self::is_alarm).
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// No mirror has it, or none answered. One line a mirror.
    #[error("no mirror delivered {what}")]
    Nowhere {
        /// The file.
        what: String,
        /// What each mirror did.
        tried: Vec<String>,
    },
    /// All mirrors are older than what is published.
    #[error("every mirror is older than what is published: {}", .0.join("; "))]
    SetBack(Vec<String>),
    /// Two hosts have different databases at the same time. One of them lies, or is damaged.
    #[error("{database}: {hosts} differ at the same lastupdate: sha256 {digests}")]
    Disagreement {
        /// Repository, architecture and file.
        database: String,
        /// The two hosts, for people.
        hosts: String,
        /// The digest of each, for people.
        digests: String,
    },
    /// A database differs from the published one, and `lastupdate` does not.
    #[error("{database}: {host} has another content at the lastupdate that is published: sha256 {digests}")]
    Changed {
        /// Repository, architecture and file.
        database: String,
        /// The host.
        host: String,
        /// Its digest, and the one that is published, for people.
        digests: String,
    },
    /// A database that one host has sent over plain HTTP, and no other.
    #[error("{database}: it came from {host} alone, over http, which proves nothing")]
    Unproven {
        /// Repository, architecture and file.
        database: String,
        /// The host.
        host: String,
    },
    /// The mirrors changed while they were read, each time.
    #[error("the mirrors changed while they were read, {0} times")]
    Moving(usize),
    /// A package without size or sha256 in its database, or under a name that is reserved.
    #[error("{database}: {why}")]
    Database {
        /// Repository, architecture and file.
        database: String,
        /// The fault.
        why: String,
    },
    /// A package that no mirror delivered as its database names it.
    #[error("{0}")]
    Delivery(Box<Error>),
    /// A signature that does not belong to its package, or of no key in the keyring.
    #[error("{name}: its signature does not count: {why}")]
    Signature {
        /// The package.
        name: FileName,
        /// The fault.
        why: String,
    },
    /// A package of a mirror that has changed on this disk, before a target had it. It was removed: trying again fetches
    /// it.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The fault.
        why: String,
    },
    /// The memory of what was published is damaged; without it, mirrors could be set back.
    #[error("{} is damaged ({why})", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// The fault.
        why: String,
    },
    /// Kubo did not take a package. Trying again goes on with it.
    #[error(transparent)]
    Kubo(#[from] KuboError),
    /// Not enough room in Kubo's repository for the packages that are to come; none was fetched. Trying again helps once
    /// there is.
    #[error("Kubo has room for {} of the {} that are to come", show_size(*free), show_size(*need))]
    Space {
        /// Bytes of the packages that are still to come.
        need: u64,
        /// Bytes that Kubo has room for.
        free: u64,
    },
    /// This machine failed.
    #[error("{}: {error}", path.display())]
    Local {
        /// The file.
        path: PathBuf,
        /// Its failure.
        error: io::Error,
    },
}

impl FollowError {
    /// Returns true when a mirror may be lying: then nothing is published, not even what was published before.
    pub(crate) fn is_alarm(&self) -> bool {
        matches!(self, Self::Disagreement { .. } | Self::Changed { .. })
    }

    /// Returns true when Kubo takes no package for now, whatever the mirrors have.
    pub(super) fn is_of_target(&self) -> bool {
        matches!(self, Self::Kubo(_) | Self::Space { .. })
    }

    /// Makes the error of a file of this machine.
    pub(super) fn local(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Local { path, error }
    }
}
