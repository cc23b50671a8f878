//! A package as a Haiku repository lists it, and the name of its file, which follows from that.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::cmp::Ordering;
use std::fmt;

use crate::base::digest::Sha256;
use crate::base::name::{FileName, NameError};

/// One package of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HaikuPackage {
    /// Its name, as it is written in the list.
    pub name: String,
    /// Its version.
    pub version: HaikuVersion,
    /// Its architecture.
    pub arch: HaikuArch,
    /// The sha256 of the `.hpkg` file. The list does not say its size.
    pub sha256: Sha256,
}

impl HaikuPackage {
    /// Returns the name of its file (`BPackageInfo::CanonicalFileName`): `NAME-VERSION-ARCH.hpkg`, the name in lower
    /// case.
    ///
    /// # Errors
    /// When that is no plain file name: a `/` in a version, more than 255 bytes.
    pub fn file(&self) -> Result<FileName, NameError> {
        FileName::new(format!("{}-{}-{}.hpkg", self.name.to_ascii_lowercase(), self.version, self.arch))
    }
}

/// Returns true for a name that the file of a package may have: `NAME-VERSION-ARCH.hpkg`.
pub(crate) fn is_file(name: &FileName) -> bool {
    let stem = name.as_str().strip_suffix(".hpkg");
    stem.is_some_and(|stem| !stem.starts_with('.') && stem.split('-').filter(|part| !part.is_empty()).count() >= 3)
}

/// A version: `1.2.3~beta2-4`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HaikuVersion {
    /// The first part. Always there.
    pub major: String,
    /// The second; empty where there is none.
    pub minor: String,
    /// The third; empty where there is none.
    pub micro: String,
    /// What stands after `~`, for a version that comes before the one without; empty where there is none.
    pub prerelease: String,
    /// The number of the build; 0 where there is none.
    pub revision: u32,
}

impl HaikuVersion {
    /// Compares two versions as `BPackageVersion::Compare` does: part by part, digits as numbers; one with a pre-release
    /// comes before the one without, and the number of the build decides last.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let pre = match (self.prerelease.is_empty(), other.prerelease.is_empty()) {
            (false, false) => natural(&self.prerelease, &other.prerelease),
            (is_release, of_other) => is_release.cmp(&of_other),
        };
        natural(&self.major, &other.major)
            .then_with(|| natural(&self.minor, &other.minor))
            .then_with(|| natural(&self.micro, &other.micro))
            .then(pre)
            .then(self.revision.cmp(&other.revision))
    }
}

/// Compares two texts by runs: digits as numbers of any length, other characters without regard to case.
fn natural(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    while let (Some(first), Some(second)) = (one.first(), other.first()) {
        let order = if first.is_ascii_digit() && second.is_ascii_digit() {
            let (left, right) = (number(&mut one), number(&mut other));
            left.len().cmp(&right.len()).then_with(|| left.cmp(right))
        } else {
            (one, other) = (&one[1..], &other[1..]);
            first.to_ascii_lowercase().cmp(&second.to_ascii_lowercase())
        };
        if order.is_ne() {
            return order;
        }
    }
    one.len().cmp(&other.len())
}

/// Takes the digits off the beginning of `text`; returns them without zeros before them.
fn number<'t>(text: &mut &'t [u8]) -> &'t [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

impl fmt::Display for HaikuVersion {
    /// Writes it as `BPackageVersion::ToString` does: a micro part without a minor one is not written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.major)?;
        if !self.minor.is_empty() {
            write!(f, ".{}", self.minor)?;
            if !self.micro.is_empty() {
                write!(f, ".{}", self.micro)?;
            }
        }
        if !self.prerelease.is_empty() {
            write!(f, "~{}", self.prerelease)?;
        }
        if self.revision > 0 {
            write!(f, "-{}", self.revision)?;
        }
        Ok(())
    }
}

/// An architecture (`BPackageArchitecture`), in the order of its numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HaikuArch {
    /// Packages for every machine.
    Any,
    /// x86 of today.
    X86,
    /// x86 with the compiler of BeOS.
    X86Gcc2,
    /// Packages of sources.
    Source,
    /// x86 of 64 bits.
    X86_64,
    /// PowerPC.
    Ppc,
    /// ARM of 32 bits.
    Arm,
    /// Motorola 68000.
    M68k,
    /// SPARC.
    Sparc,
    /// ARM of 64 bits.
    Arm64,
    /// RISC-V of 64 bits.
    Riscv64,
}

/// All of them, each with its name (`BPackageInfo::kArchitectureNames`).
const ARCHS: [(HaikuArch, &str); 11] = [
    (HaikuArch::Any, "any"),
    (HaikuArch::X86, "x86"),
    (HaikuArch::X86Gcc2, "x86_gcc2"),
    (HaikuArch::Source, "source"),
    (HaikuArch::X86_64, "x86_64"),
    (HaikuArch::Ppc, "ppc"),
    (HaikuArch::Arm, "arm"),
    (HaikuArch::M68k, "m68k"),
    (HaikuArch::Sparc, "sparc"),
    (HaikuArch::Arm64, "arm64"),
    (HaikuArch::Riscv64, "riscv64"),
];

impl HaikuArch {
    /// Returns the architecture of a number in a file.
    pub(super) fn of(number: u64) -> Option<Self> {
        ARCHS.get(usize::try_from(number).ok()?).map(|(arch, _)| *arch)
    }

    /// Returns the architecture of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ARCHS.iter().find(|(_, known)| *known == name).map(|(arch, _)| *arch)
    }

    /// Returns its name in file names.
    pub fn as_str(self) -> &'static str {
        ARCHS[self as usize].1
    }
}

impl fmt::Display for HaikuArch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_written_as_haiku_writes_it() {
        let version = |major: &str, minor: &str, micro: &str, prerelease: &str, revision| HaikuVersion {
            major: major.to_owned(),
            minor: minor.to_owned(),
            micro: micro.to_owned(),
            prerelease: prerelease.to_owned(),
            revision,
        };
        for (version, text) in [
            (version("1", "2", "3", "beta2", 4), "1.2.3~beta2-4"),
            (version("1", "", "3", "", 0), "1"),
            (version("7", "0b2", "", "", 9), "7.0b2-9"),
            (version("1", "", "", "rc1", 1), "1~rc1-1"),
        ] {
            assert_eq!(version.to_string(), text);
        }
    }

    #[test]
    fn versions_are_ordered_as_haiku_orders_them() {
        let version = |major: &str, minor: &str, prerelease: &str, revision| HaikuVersion {
            major: major.to_owned(),
            minor: minor.to_owned(),
            prerelease: prerelease.to_owned(),
            revision,
            ..HaikuVersion::default()
        };
        let ordered = [
            version("1", "", "", 1),
            version("1", "9", "", 1),
            version("1", "9", "", 10),
            version("1", "10", "beta2", 1),
            version("1", "10", "beta10", 1),
            version("1", "10", "", 1),
            version("r1", "", "", 1),
        ];
        for two in ordered.windows(2) {
            assert_eq!(two[0].compare(&two[1]), Ordering::Less, "{} and {}", two[0], two[1]);
            assert_eq!(two[1].compare(&two[0]), Ordering::Greater);
        }
        assert_eq!(version("01", "", "", 1).compare(&version("1", "", "", 1)), Ordering::Equal);
    }

    #[test]
    fn every_number_has_the_architecture_of_haikus_table() {
        for (number, (arch, name)) in ARCHS.iter().enumerate() {
            assert_eq!((HaikuArch::of(number as u64), arch.as_str()), (Some(*arch), *name));
        }
        assert_eq!(HaikuArch::of(11), None);
    }
}
