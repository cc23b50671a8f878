//! The header of an HPKR file: what is in it and how large it claims to be, held to the file and to limits.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::io::{self, Read};

use crate::base::name::shown;

/// Size of the header of version 2 (`hpkg_repo_header`). A later minor version may have a longer one.
const HEADER: usize = 72;

/// The version that all of Haiku's tools of today read and write. They refuse others.
const VERSION: u16 = 2;

/// The minor version that is known here. A file of a greater one may have attributes that are not.
pub(super) const MINOR_VERSION: u16 = 1;

/// The reason why a file is no list of packages. Fetching it again may help, except with `TooLarge` and `Unsupported`.
#[derive(Debug, thiserror::Error)]
pub enum HpkrError {
    /// The file has no bytes.
    #[error("it is empty")]
    Empty,
    /// The answer of a captive portal, or of a server that says errors with status 200.
    #[error("this is a web page, not a list of packages")]
    WebPage,
    /// It does not begin as such a file.
    #[error("this is not a Haiku repository file (HPKR)")]
    NotHpkr,
    /// It ends before what its header says.
    #[error("it is cut off")]
    CutOff,
    /// It has a form that is not read here.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// It is larger than it may be; the text says what of it.
    #[error("it is larger than a list of packages may be ({0})")]
    TooLarge(&'static str),
    /// It contradicts itself or the format.
    #[error("it is damaged: {0}")]
    Malformed(String),
    /// Its list has a package that can have no file, or twice the same.
    #[error("package {package}: {problem}")]
    Package {
        /// The package's name, fit to be shown.
        package: String,
        /// Description of the problem.
        problem: String,
    },
    /// The file system does not give its bytes.
    #[error(transparent)]
    Read(io::Error),
}

impl HpkrError {
    pub(super) fn malformed(problem: impl Into<String>) -> Self {
        Self::Malformed(problem.into())
    }

    /// Wraps it for a reader of bytes, which has errors of the system alone.
    pub(super) fn within(self) -> io::Error {
        match self {
            Self::Read(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        }
    }

    pub(super) fn package(name: &str, problem: impl Into<String>) -> Self {
        Self::Package { package: shown(name).into_owned(), problem: problem.into() }
    }
}

impl From<io::Error> for HpkrError {
    /// Takes back what [`within`](Self::within) wrapped.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::CutOff,
            _ => error.downcast().unwrap_or_else(Self::Read),
        }
    }
}

/// The most that a list of packages may have. The defaults are several times those of Haiku's largest, of 2026: 3,500
/// packages in 0.7 MB.
#[derive(Clone, Copy, Debug)]
pub struct HpkrLimits {
    /// Bytes of the file. Default: 64 MiB.
    pub file: u64,
    /// Bytes of the list when it is unpacked. Default: 64 MiB, which is the limit of Haiku's own reader.
    pub unpacked: u64,
    /// Packages. Default: 200,000.
    pub packages: usize,
}

impl Default for HpkrLimits {
    fn default() -> Self {
        Self { file: 64 << 20, unpacked: 64 << 20, packages: 200_000 }
    }
}

/// How the chunks of a heap are packed (`BHPKGCompression`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Packing {
    None,
    Zlib,
    Zstd,
}

/// The header of a file, whose lengths agree with one another and with the limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct HpkrHeader {
    /// Offset of the heap.
    pub(super) size: u64,
    pub(super) minor_version: u16,
    pub(super) packing: Packing,
    /// Bytes of the heap in the file, with the table of its chunks.
    pub(super) packed: u64,
    pub(super) unpacked: u64,
    /// Bytes of the list of packages, at the end of the unpacked heap.
    pub(super) packages: u64,
    /// Bytes of the strings at the beginning of that list.
    pub(super) strings: u64,
    pub(super) strings_count: u64,
}

impl HpkrHeader {
    /// Reads the header of a file of `length` bytes.
    pub(super) fn read(mut from: impl Read, length: u64, limits: &HpkrLimits) -> Result<Self, HpkrError> {
        let mut head = Vec::with_capacity(HEADER);
        from.by_ref().take(HEADER as u64).read_to_end(&mut head)?;
        match &head[..] {
            [] => return Err(HpkrError::Empty),
            head if head.trim_ascii_start().starts_with(b"<") => return Err(HpkrError::WebPage),
            head if !head.starts_with(b"hpkr") => return Err(HpkrError::NotHpkr),
            _ => {}
        }
        let fields: &[u8; HEADER] = head[..].try_into().map_err(|_| HpkrError::CutOff)?;
        let version = u16_at(fields, 6);
        if version != VERSION {
            return Err(HpkrError::Unsupported(format!("version {version} of its format")));
        }
        if length > limits.file {
            return Err(HpkrError::TooLarge("file"));
        }
        match u64_at(fields, 8) {
            total if total > length => return Err(HpkrError::CutOff),
            total if total < length => return Err(HpkrError::malformed("there are bytes after its end")),
            _ => {}
        }
        let packing = match u16_at(fields, 18) {
            0 => Packing::None,
            1 => Packing::Zlib,
            2 => Packing::Zstd,
            other => return Err(HpkrError::Unsupported(format!("compression {other}"))),
        };
        let header = Self {
            size: u64::from(u16_at(fields, 4)),
            minor_version: u16_at(fields, 16),
            packing,
            packed: u64_at(fields, 24),
            unpacked: u64_at(fields, 32),
            packages: u64_at(fields, 48),
            strings: u64_at(fields, 56),
            strings_count: u64_at(fields, 64),
        };
        header.checked(length, u64::from(u32_at(fields, 40)), limits)
    }

    fn checked(self, length: u64, info: u64, limits: &HpkrLimits) -> Result<Self, HpkrError> {
        if self.unpacked > limits.unpacked {
            return Err(HpkrError::TooLarge("unpacked"));
        }
        if self.size < HEADER as u64 || self.size.checked_add(self.packed) != Some(length) {
            return Err(HpkrError::malformed("the sizes of header and heap are not that of the file"));
        }
        if self.packing == Packing::None && self.packed != self.unpacked {
            return Err(HpkrError::malformed("its heap is not packed and has two sizes"));
        }
        if self.packages.checked_add(info).is_none_or(|sections| sections > self.unpacked) {
            return Err(HpkrError::malformed("its sections are larger than its heap"));
        }
        // Each string has at least its end, and one more byte ends them all.
        let is_possible = self.strings <= self.packages
            && match self.strings_count {
                0 => self.strings <= 1,
                count => count < self.strings,
            };
        if !is_possible {
            return Err(HpkrError::malformed("the sizes of its strings are not possible"));
        }
        Ok(self)
    }
}

fn u16_at(fields: &[u8; HEADER], at: usize) -> u16 {
    u16::from_be_bytes([fields[at], fields[at + 1]])
}

fn u32_at(fields: &[u8; HEADER], at: usize) -> u32 {
    u32::from_be_bytes(fields[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(fields: &[u8; HEADER], at: usize) -> u64 {
    u64::from_be_bytes(fields[at..at + 8].try_into().expect("eight bytes"))
}
