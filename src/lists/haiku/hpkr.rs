//! `repo`, the list of a Haiku repository (HPKR): its packages, each with the sha256 of its file.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom};

use super::attributes::{AttributeStep, Section, Value};
use super::header::{HpkrError, HpkrHeader, HpkrLimits};
use super::heap::HeapReader;
use super::package::{HaikuArch, HaikuPackage, HaikuVersion};
use crate::base::digest::Sha256;

// Attributes of packages (`PackageAttributes.h`).
const NAME: u8 = 15;
const ARCH: u8 = 21;
const MAJOR: u8 = 22;
const MINOR: u8 = 23;
const MICRO: u8 = 24;
const REVISION: u8 = 25;
const CHECKSUM: u8 = 35;
const PRERELEASE: u8 = 36;
const PACKAGE: u8 = 54;

/// Calls `visit` for every package of the list in `from`, in the order of the file.
///
/// One chunk of 64 KiB and the strings of the list are in memory. The visits are valid only when this returns `Ok`: a file
/// that is damaged at its end is refused as a whole.
///
/// # Errors
/// `HpkrError`, or whatever `visit` returns. No two packages have one file name, and each has one that is plain.
pub fn read<E: From<HpkrError>>(
    mut from: impl Read + Seek,
    limits: &HpkrLimits,
    mut visit: impl FnMut(HaikuPackage) -> Result<(), E>,
) -> Result<(), E> {
    let length = from.seek(SeekFrom::End(0)).map_err(HpkrError::Read)?;
    from.rewind().map_err(HpkrError::Read)?;
    let header = HpkrHeader::read(&mut from, length, limits)?;
    let heap = HeapReader::at(from, &header, header.unpacked - header.packages)?;
    let mut seen = HashSet::new();
    let mut package: Option<PackageReading> = None;
    Section::read(heap, &header)?.walk(|step| {
        match (step, &mut package) {
            (AttributeStep::Attribute { depth: 0, id: PACKAGE, value }, _) => {
                let Value::Text(name) = value else {
                    return Err(HpkrError::malformed("a package has no name").into());
                };
                if seen.len() >= limits.packages {
                    return Err(HpkrError::TooLarge("packages").into());
                }
                package = Some(PackageReading::of(name));
            }
            (AttributeStep::Attribute { depth, id, value }, Some(package)) => package.take(depth, id, value)?,
            (AttributeStep::End { depth: 0 }, open @ Some(_)) => {
                let Some(whole) = open.take().map(PackageReading::whole).transpose()? else { return Ok(()) };
                let file = whole.file().map_err(|problem| HpkrError::package(&whole.name, problem.to_string()))?;
                if let Some(twice) = seen.replace(file) {
                    return Err(HpkrError::package(&whole.name, format!("{twice} is listed twice")).into());
                }
                visit(whole)?;
            }
            _ => {}
        }
        Ok(())
    })
}

/// Returns all packages of the list in `from`.
///
/// # Errors
/// As [`read`].
pub fn packages(from: impl Read + Seek, limits: &HpkrLimits) -> Result<Vec<HaikuPackage>, HpkrError> {
    let mut packages = Vec::new();
    read::<HpkrError>(from, limits, |package| {
        packages.push(package);
        Ok(())
    })?;
    Ok(packages)
}

/// A package whose attributes are being read.
struct PackageReading {
    name: String,
    version: Option<HaikuVersion>,
    /// The attributes told now are about the version of the package itself, and not about that of another package.
    is_in_version: bool,
    arch: Option<HaikuArch>,
    sha256: Option<Sha256>,
    seen: HashSet<u8>,
}

impl PackageReading {
    fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: None,
            is_in_version: false,
            arch: None,
            sha256: None,
            seen: HashSet::new(),
        }
    }

    /// Takes one attribute below the package. What is not about its file is left out.
    fn take(&mut self, depth: usize, id: u8, value: Value<'_>) -> Result<(), HpkrError> {
        if depth == 1 {
            self.is_in_version = id == MAJOR;
        }
        let is_of_file = match depth {
            1 => matches!(id, NAME | ARCH | MAJOR | CHECKSUM),
            2 => self.is_in_version && matches!(id, MINOR | MICRO | PRERELEASE | REVISION),
            _ => false,
        };
        if !is_of_file {
            return Ok(());
        }
        let wrong = |problem: &str| HpkrError::package(&self.name, problem);
        if !self.seen.insert(id) {
            return Err(wrong("it has two names, versions, architectures or checksums"));
        }
        match (id, value) {
            (NAME, Value::Text(name)) if name == self.name => {}
            (NAME, Value::Text(_)) => return Err(wrong("it has two names")),
            (ARCH, Value::Number(number)) => {
                let arch = HaikuArch::of(number);
                self.arch = Some(arch.ok_or_else(|| wrong(&format!("there is no architecture {number}")))?);
            }
            (CHECKSUM, Value::Text(sum)) => {
                self.sha256 = Some(sum.parse().map_err(|_| wrong("its checksum is not a sha256"))?);
            }
            (MAJOR, Value::Text(major)) => {
                self.version = Some(HaikuVersion { major: major.to_owned(), ..HaikuVersion::default() });
            }
            (MINOR, Value::Text(minor)) => self.of_version(|version| minor.clone_into(&mut version.minor)),
            (MICRO, Value::Text(micro)) => self.of_version(|version| micro.clone_into(&mut version.micro)),
            (PRERELEASE, Value::Text(text)) => self.of_version(|version| text.clone_into(&mut version.prerelease)),
            (REVISION, Value::Number(number)) => {
                let number = u32::try_from(number).map_err(|_| wrong("its revision is too large"))?;
                self.of_version(|version| version.revision = number);
            }
            _ => return Err(wrong(&format!("attribute {id} has a value of another type"))),
        }
        Ok(())
    }

    fn of_version(&mut self, set: impl FnOnce(&mut HaikuVersion)) {
        if let Some(version) = &mut self.version {
            set(version);
        }
    }

    fn whole(self) -> Result<HaikuPackage, HpkrError> {
        let Self { name, version: Some(version), arch: Some(arch), sha256: Some(sha256), .. } = self else {
            return Err(HpkrError::package(&self.name, "it has no version, architecture or checksum"));
        };
        if name.is_empty() || version.major.is_empty() {
            return Err(HpkrError::package(&name, "its name or version is empty"));
        }
        Ok(HaikuPackage { name, version, arch, sha256 })
    }
}
