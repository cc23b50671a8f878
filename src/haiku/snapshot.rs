//! A snapshot: the files that describe a repository, and the proof that they belong together. No input, no output, no
//! clock.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::digest::Sha256;
use crate::base::name::FileName;
use crate::index::minisign::{PublicKey, SignatureError};
use crate::index::time::to_rfc3339;
use crate::lists::haiku::hpkr;
use crate::lists::haiku::repo_info::{RepoInfo, RepoInfoError};
use crate::lists::haiku::{HpkrError, HpkrLimits};

/// The files of a repository as a server sent them. Nothing about them is proven. A copy shares the bytes: as many
/// clients as there are get the list from one place.
#[derive(Clone, Debug)]
pub struct SnapshotFiles {
    /// `repo`, the list of packages.
    pub list: Bytes,
    /// `repo.minisig`, the signature over it.
    pub signature: Bytes,
    /// `repo.info`, the description. It is signed by nothing: pkgman reads name and identifier in it.
    pub info: Bytes,
}

/// A repository at one moment, proven by its key.
#[derive(Clone, Debug)]
pub struct HaikuSnapshot {
    /// The files that it was made of.
    pub files: SnapshotFiles,
    /// The sum of the list, which pkgman asks for as `repo.sha256`.
    pub sha256: Sha256,
    /// The time at which the list was signed, in Unix seconds, where the signature tells it.
    pub signed: Option<u64>,
    /// What the description says.
    pub info: RepoInfo,
    /// The sum of every package.
    pub packages: Arc<BTreeMap<FileName, Sha256>>,
}

/// What is known of a snapshot that was in use: a newer one must not go behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Precursor {
    /// The sum of its list.
    pub sha256: Sha256,
    /// The time of its signature, in Unix seconds.
    pub signed: Option<u64>,
}

/// The reason why files are no snapshot. Another server, or the same one later, may have better ones.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotRefusal {
    /// The list has another sum than the server says.
    #[error("repo and repo.sha256 do not belong together")]
    Sum,
    /// No signature, or not by the key of the repository.
    #[error("{}", told(.0))]
    Signature(#[from] SignatureError),
    /// Signed before the one that was in use.
    #[error("repo was signed at {signed}, before the one in use (at {known})")]
    Older {
        /// When, in words.
        signed: String,
        /// The time of the one in use, in words.
        known: String,
    },
    /// The list cannot be read.
    #[error("repo: {0}")]
    List(#[from] HpkrError),
    /// The description cannot be read.
    #[error("repo.info: {0}")]
    Info(#[from] RepoInfoError),
}

/// Says what is wrong with a signature in the words of a repository.
pub(crate) fn told(error: &SignatureError) -> String {
    match error {
        SignatureError::Malformed => "repo.minisig is not a minisign signature".to_owned(),
        SignatureError::OtherKey { expected } => format!("repo is signed by another key than {expected}"),
        SignatureError::Forged | SignatureError::Comment { .. } => {
            "repo is not what its key has signed: repo.minisig does not fit it".to_owned()
        }
    }
}

impl Precursor {
    /// Returns without an error where a list with this sum, signed then, may follow it: it is the same one, or newer.
    pub(crate) fn precedes(&self, sha256: Sha256, signed: Option<u64>) -> Result<(), SnapshotRefusal> {
        // A signature without a time comes before every one that has one: it cannot show that it is newer.
        if self.sha256 == sha256 || self.signed.is_none() || self.signed < signed {
            return Ok(());
        }
        let words = |time: Option<u64>| time.map_or("an unknown time".to_owned(), to_rfc3339);
        Err(SnapshotRefusal::Older { signed: words(signed), known: words(self.signed) })
    }
}

impl HaikuSnapshot {
    /// Proves the files by `key`, and that they are not older than `known`.
    ///
    /// # Errors
    /// `SnapshotRefusal`: nothing of the files may be used.
    pub fn proven(files: SnapshotFiles, key: &PublicKey, known: Option<Precursor>) -> Result<Self, SnapshotRefusal> {
        let comment = key.verify(&files.list, &files.signature)?;
        let (sha256, signed) = (Sha256::of(&files.list), comment.timestamp());
        known.map_or(Ok(()), |known| known.precedes(sha256, signed))?;
        let mut listed = BTreeMap::new();
        hpkr::read::<HpkrError>(Cursor::new(&files.list), &HpkrLimits::default(), |package| {
            listed.insert(package.file().expect("the reader checked it"), package.sha256);
            Ok(())
        })?;
        let info = RepoInfo::parse(&files.info)?;
        Ok(Self { files, sha256, signed, info, packages: Arc::new(listed) })
    }

    /// Returns what the next one is held against.
    pub fn precursor(&self) -> Precursor {
        Precursor { sha256: self.sha256, signed: self.signed }
    }
}
