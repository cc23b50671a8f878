//! The vocabulary of the sync database's readers: a package, the limits of a database, and the reasons to refuse
//! one.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::io;

use crate::base::digest::Sha256;
use crate::base::name::FileName;
use crate::lists::system::Signature;

/// A package of a database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Package {
    /// `%FILENAME%`
    pub file: FileName,
    /// `%NAME%`
    pub name: String,
    /// `%VERSION%`: `[epoch:]version-release`
    pub version: String,
    /// `%BASE%`: the name of the source package.
    pub base: Option<String>,
    /// `%ARCH%`
    pub arch: Option<String>,
    /// `%CSIZE%`: size of the file in bytes. pacman accepts databases without it.
    pub size: Option<u64>,
    /// `%ISIZE%`: size of the installed files in bytes.
    pub installed_size: Option<u64>,
    /// `%SHA256SUM%`. pacman accepts databases without it, and then has only the signature to check.
    pub sha256: Option<Sha256>,
    /// `%PGPSIG%`, which has the same bytes as the `.sig` file beside the package (`repo-add --include-sigs`).
    pub signature: Option<Signature>,
    /// `%BUILDDATE%`: seconds since 1970; `None` when it is not a number.
    pub(crate) build_date: Option<u64>,
}

/// The limits of a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes as they come from the mirror. Default 128 MiB, as in `lib/libalpm/be_sync.c` (`MAX_DB_SIZE`).
    pub packed: u64,
    /// Bytes of the tar within. Default 1 GiB, about fifteen times today's largest database.
    pub unpacked: u64,
    /// Bytes of one `desc` entry. Default 1 MiB; Arch's largest is under 50 KiB.
    pub desc: u64,
    /// Packages. Default 200,000; Arch's `extra` lists about 14,500.
    pub packages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { packed: 128 << 20, unpacked: 1 << 30, desc: 1 << 20, packages: 200_000 }
    }
}

/// The reason why a file is no usable database. Fetching it again, from another source, may help; `Read` is about
/// this machine or about the compressed data, and `Unsupported` is permanent.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// No bytes at all. A repository without packages is not empty: its tar has an end.
    #[error("the database is empty")]
    Empty,
    /// It ends too early.
    #[error("the database is cut off")]
    CutOff,
    /// HTML or XML: a captive portal, an error page with status 200.
    #[error("this is a web page, not a database")]
    WebPage,
    /// None of the known beginnings.
    #[error("this is not a database: neither tar nor gzip, zstd or xz")]
    NotADatabase,
    /// A format that libarchive may read and we do not.
    #[error("databases packed with {0} are not supported")]
    Unsupported(&'static str),
    /// A size or a number beyond [`Limits`].
    #[error("the database is larger than allowed ({0})")]
    TooLarge(&'static str),
    /// An entry lacks required content.
    #[error("database entry {entry}: {problem}")]
    Entry {
        /// Its path in the archive, fit to print.
        entry: String,
        /// The error in it.
        problem: String,
    },
    /// The file or its compression cannot be read.
    #[error("the database cannot be read: {0}")]
    Read(io::Error),
}
