//! Haiku's lists of packages (HPKR): those of its own tools, those of the rig's writer, and damaged ones.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use pkgswarm::base::digest::Sha256;
use pkgswarm::lists::haiku::hpkr::packages;
use pkgswarm::lists::haiku::repo_info::RepoInfo;
use pkgswarm::lists::haiku::{HaikuPackage, HpkrError, HpkrLimits};

use crate::support::hpkr::{HpkrPackage, HpkrPacking, HpkrWriter};

const PACKINGS: [HpkrPacking; 3] = [HpkrPacking::None, HpkrPacking::Zlib, HpkrPacking::Zstd];

fn read(file: Vec<u8>) -> Result<Vec<HaikuPackage>, HpkrError> {
    packages(Cursor::new(file), &HpkrLimits::default())
}

fn refused(file: Vec<u8>) -> String {
    read(file).expect_err("it is damaged").to_string()
}

/// Packages of every form of version and architecture, as many as fill several chunks.
fn many() -> Vec<HpkrPackage> {
    let part = |text: &str| Some(text.to_owned());
    let of = |number: usize| HpkrPackage {
        version: match number % 4 {
            0 => [part("1"), None, None, None],
            1 => [part("7"), part("0b2"), None, None],
            2 => [part("1"), part("2"), part("3"), part("beta2")],
            _ => [part("2024"), part("05"), None, part("rc1")],
        },
        revision: number as u64 % 3,
        arch: number as u64 % 11,
        ..HpkrPackage::of(&format!("Package_{number}+x"), &number.to_be_bytes())
    };
    (0..2333).map(of).collect()
}

#[test]
fn what_the_writer_makes_is_read_back_equal() {
    let written = many();
    for packing in PACKINGS {
        let read = read(HpkrWriter { packing, ..HpkrWriter::of(&written) }.file()).unwrap();
        assert_eq!(read.len(), written.len(), "{packing:?}");
        for (number, (read, written)) in read.iter().zip(&written).enumerate() {
            let [major, minor, micro, prerelease] = written.version.clone().map(Option::unwrap_or_default);
            let version = &read.version;
            assert_eq!((&read.name, &version.major, &version.minor), (&written.name, &major, &minor));
            assert_eq!((&version.micro, &version.prerelease), (&micro, &prerelease));
            assert_eq!(u64::from(version.revision), written.revision);
            assert_eq!(read.sha256, Sha256::of(&number.to_be_bytes()));
        }
    }
    let file = |number: usize| read(HpkrWriter::of(&written[number..=number]).file()).unwrap()[0].file().unwrap();
    assert_eq!(file(0).as_str(), "package_0+x-1-any.hpkg");
    assert_eq!(file(2).as_str(), "package_2+x-1.2.3~beta2-2-x86_gcc2.hpkg");
    assert_eq!(file(7).as_str(), "package_7+x-2024.05~rc1-1-m68k.hpkg");
}

#[test]
fn a_list_without_packages_is_a_list() {
    for packing in PACKINGS {
        assert_eq!(read(HpkrWriter { packing, ..HpkrWriter::of(&[]) }.file()).unwrap(), []);
    }
}

#[test]
fn files_of_haikus_own_tools_are_read_to_the_last_package() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/haiku");
    let Ok(list) = std::fs::read(data.join("made/repo")) else { return };
    let facts = std::fs::read(data.join("made/packages.json")).unwrap();
    let facts: Vec<serde_json::Value> = serde_json::from_slice(&facts).unwrap();
    let expected: BTreeMap<&str, &str> =
        facts.iter().map(|fact| (fact["file"].as_str().unwrap(), fact["sha256"].as_str().unwrap())).collect();
    let read_there = read(list).unwrap();
    let found: BTreeMap<String, String> =
        read_there.iter().map(|found| (found.file().unwrap().to_string(), found.sha256.to_string())).collect();
    assert_eq!(found.len(), 60);
    assert!(found.iter().all(|(file, sum)| expected.get(file.as_str()) == Some(&sum.as_str())), "{found:?}");
    let small = read(std::fs::read(data.join("repo")).unwrap()).unwrap();
    let files: Vec<String> = small.iter().map(|package| package.file().unwrap().to_string()).collect();
    assert_eq!(files, ["hello_demo-1.2.3~beta2-4-any.hpkg", "h+2-1.2.3~beta2-4-x86_64.hpkg"]);
    let info = RepoInfo::parse(&std::fs::read(data.join("repo.info")).unwrap()).unwrap();
    assert_eq!((info.name.as_str(), info.identifier.as_str()), ("DemoRepo", "tag:example.org,2026:demo"));
}

#[test]
fn a_list_that_was_cut_off_is_refused_wherever_it_ends() {
    let whole = HpkrWriter::of(&many()[..40]).file();
    for length in (0..whole.len()).step_by(7) {
        let said = refused(whole[..length].to_vec());
        let expected = if length == 0 { "it is empty" } else { "it is cut off" };
        let is_head = length < 4 && said == "this is not a Haiku repository file (HPKR)";
        assert!(said == expected || is_head, "{length}: {said}");
    }
    assert_eq!(refused([whole, vec![0]].concat()), "it is damaged: there are bytes after its end");
    assert_eq!(refused(b"<html>captive</html>".to_vec()), "this is a web page, not a list of packages");
}

#[test]
fn a_list_that_contradicts_itself_is_refused_with_its_reason() {
    let of = |damage: &dyn Fn(&mut HpkrWriter)| {
        let mut writer = HpkrWriter::of(&many()[..3]);
        damage(&mut writer);
        refused(writer.file())
    };
    let package = |change: &dyn Fn(&mut HpkrPackage)| {
        let mut package = HpkrPackage::of("a", b"a");
        change(&mut package);
        refused(HpkrWriter::of(&[package]).file())
    };
    assert_eq!(of(&|w| w.tree.push(0)), "it is damaged: there are bytes after its last package");
    assert_eq!(of(&|w| w.tag(56, 3, false, 1)), "it is damaged: there is no attribute 56");
    assert_eq!(of(&|w| w.tag(20, 4, false, 0)), "it is damaged: attribute 20 has a value of type 4");
    assert_eq!(of(&|w| w.tree.extend([0xff; 10])), "it is damaged: a number in it is too large");
    assert_eq!(of(&|w| w.strings.truncate(2)), "it is damaged: there is no string 2");
    assert_eq!(of(&|w| w.strings.push(String::new())), "it is damaged: its strings are not as many as it says");
    assert_eq!(
        of(&|w| (0..20).for_each(|_| w.number(20, 1, 0, true))),
        "it is larger than a list of packages may be (levels of attributes)"
    );
    assert_eq!(package(&|p| p.arch = 11), "package a: there is no architecture 11");
    assert_eq!(package(&|p| p.sum = "abc".to_owned()), "package a: its checksum is not a sha256");
    assert_eq!(package(&|p| p.revision = 1 << 32), "package a: its revision is too large");
    assert_eq!(package(&|p| p.version[0] = None), "package a: it has no version, architecture or checksum");
    assert_eq!(
        package(&|p| p.version[1] = Some("/../x".to_owned())),
        "package a: the name \"a-1./../x-3-any.hpkg\" is not a plain file name"
    );
    let twice = [HpkrPackage::of("A", b"a"), HpkrPackage::of("a", b"b")];
    assert_eq!(refused(HpkrWriter::of(&twice).file()), "package a: a-1.2-3-any.hpkg is listed twice");
}

#[test]
fn what_a_later_minor_version_adds_is_skipped() {
    let mut later = HpkrWriter::of(&[]);
    later.minor_version = 2;
    later.text(54, "a", true);
    later.number(100, 7, 2, false);
    later.text(22, "1", false);
    later.number(21, 4, 0, false);
    later.text(35, &Sha256::of(b"a").to_string(), false);
    later.end();
    let read = read(later.file()).unwrap();
    assert_eq!(read[0].file().unwrap().as_str(), "a-1-x86_64.hpkg");
}

#[test]
fn headers_that_claim_more_than_there_is_are_refused_before_anything_is_read() {
    let whole = HpkrWriter::of(&many()[..3]).file();
    let with = |at: usize, bytes: &[u8]| {
        let mut file = whole.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        refused(file)
    };
    assert_eq!(with(6, &3_u16.to_be_bytes()), "version 3 of its format is not supported");
    assert_eq!(with(18, &9_u16.to_be_bytes()), "compression 9 is not supported");
    assert_eq!(with(4, &71_u16.to_be_bytes()), "it is damaged: the sizes of header and heap are not that of the file");
    assert_eq!(
        with(24, &u64::MAX.to_be_bytes()),
        "it is damaged: the sizes of header and heap are not that of the file"
    );
    assert_eq!(with(32, &u64::MAX.to_be_bytes()), "it is larger than a list of packages may be (unpacked)");
    assert_eq!(with(32, &(63_u64 << 20).to_be_bytes()), "it is damaged: the sizes of its chunks are not possible");
    assert_eq!(with(48, &u64::MAX.to_be_bytes()), "it is damaged: its sections are larger than its heap");
    assert_eq!(with(56, &u64::MAX.to_be_bytes()), "it is damaged: the sizes of its strings are not possible");
    assert_eq!(with(64, &u64::MAX.to_be_bytes()), "it is damaged: the sizes of its strings are not possible");
    let limits = HpkrLimits { packages: 2, ..HpkrLimits::default() };
    let said = packages(Cursor::new(whole), &limits).unwrap_err().to_string();
    assert_eq!(said, "it is larger than a list of packages may be (packages)");
}
