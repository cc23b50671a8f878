//! Databases made here, sound and damaged, and the real ones where this machine has them.

use std::io::Write;

use super::*;
use crate::base::digest::Sha256;

const ORIGIN: &str = include_str!("../../../tests/data/core-2025-02.desc");

/// Makes a tar of these entries; without entries, the tar that `repo-add` writes for an empty repository.
fn tar_of(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, text) in entries {
        tar.append(&header(path, text.len() as u64), text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn header(path: &str, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    let name = &mut header.as_old_mut().name;
    name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_entry_type(if path.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular });
    header.set_cksum();
    header
}

fn desc(name: &str) -> String {
    let sum = Sha256::of(name.as_bytes());
    format!(
        "%FILENAME%\n{name}-1-1-any.pkg.tar.zst\n\n%NAME%\n{name}\n\n%VERSION%\n1-1\n\n%CSIZE%\n7\n\n%SHA256SUM%\n{sum}\n\n"
    )
}

fn two() -> Vec<u8> {
    let (a, b) = (desc("a"), desc("b"));
    let entries = [("a-1-1/", ""), ("a-1-1/desc", a.as_str()), ("a-1-1/files", "%FILES%\nusr/\n"), ("b-1-1/desc", &b)];
    tar_of(&entries)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

fn packed(bytes: &[u8]) -> [Vec<u8>; 4] {
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(bytes).unwrap();
    [bytes.to_vec(), gzip(bytes), zstd::encode_all(bytes, 3).unwrap(), xz.finish().unwrap()]
}

fn problem(entries: &[(&str, &str)]) -> String {
    check(&tar_of(entries)[..]).unwrap_err().to_string()
}

fn packages(from: impl Read) -> Result<Vec<Package>, DatabaseError> {
    let mut packages = Vec::new();
    read::<DatabaseError>(from, &Limits::default(), |package| {
        packages.push(package);
        Ok(())
    })?;
    Ok(packages)
}

#[test]
fn every_compression_gives_the_same_packages() {
    for bytes in packed(&two()) {
        let packages = packages(&bytes[..]).unwrap();
        let names: Vec<_> = packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!((packages[0].size, packages[0].sha256), (Some(7), Some(Sha256::of(b"a"))));
    }
}

#[test]
fn a_repository_without_packages_is_a_database() {
    for bytes in packed(&tar_of(&[])) {
        assert_eq!(check(&bytes[..]).unwrap(), 0);
    }
}

#[test]
fn entries_of_the_real_core_database_are_read() {
    let texts = ORIGIN.split("=== ").skip(1).map(|part| part.split_once('\n').unwrap());
    let tar = tar_of(&texts.collect::<Vec<_>>());
    let packages = packages(&tar[..]).unwrap();
    let zlib = packages.iter().find(|package| package.name == "zlib").unwrap();
    assert_eq!((zlib.file.as_str(), zlib.version.as_str()), ("zlib-1:1.3.1-2-x86_64.pkg.tar.zst", "1:1.3.1-2"));
    assert_eq!((zlib.size, zlib.installed_size, zlib.build_date), (Some(94551), Some(347642), Some(1714636031)));
    assert_eq!(zlib.signature.unwrap().size, 119);
    assert!(packages.len() > 1);
}

#[test]
fn a_database_cut_off_anywhere_is_refused() {
    for (form, bytes) in packed(&two()).into_iter().enumerate() {
        for keep in (0..bytes.len()).step_by(if form == 0 { 100 } else { 1 }) {
            // A tar ends with two zero blocks; one is enough to show that it is whole.
            if form > 0 || keep < bytes.len() - 512 {
                assert!(check(&bytes[..keep]).is_err(), "form {form}, {keep} of {}", bytes.len());
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_compressed_data_is_noticed() {
    let mut bytes = gzip(&two());
    let at = bytes.len() - 6;
    bytes[at] ^= 1;
    assert!(matches!(check(&bytes[..]), Err(DatabaseError::Read(_))));
}

#[test]
fn what_is_no_database_is_told_by_what_it_is() {
    let page = b"\n<!DOCTYPE html><html><body>Please log in</body></html>";
    assert!(matches!(check(&page[..]), Err(DatabaseError::WebPage)));
    assert!(matches!(check(&b""[..]), Err(DatabaseError::Empty)));
    assert!(matches!(check(&b"BZh91AY"[..]), Err(DatabaseError::Unsupported("bzip2"))));
    assert!(matches!(check(&[7; 4096][..]), Err(DatabaseError::NotADatabase)));
    let page = format!("<html>{}", "x".repeat(4096));
    assert!(check(&gzip(page.as_bytes())[..]).is_err());
}

#[test]
fn paths_that_leave_the_archive_are_refused_by_name() {
    let a = desc("a");
    for path in ["/etc/desc", "../a-1-1/desc", "a-1-1/../../desc", "./a-1-1/desc", "a-1-1//desc", ".."] {
        assert_eq!(problem(&[(path, &a)]), format!("database entry {path}: its path is not plain"));
    }
    assert!(problem(&[("a\u{1b}[2J/../desc", &a)]).contains("a\\u{1b}[2J/../desc"));
}

#[test]
fn malformed_entries_are_refused_by_name() {
    let (a, zeros) = (desc("a"), desc("a").replace("%CSIZE%\n7", "%CSIZE%\n-7"));
    for (entries, want) in [
        (vec![("a-1-1/desc", a.as_str()), ("a-1-1/desc", &a)], "a-1-1/desc: a-1-1-any.pkg.tar.zst was listed before"),
        (vec![("b-1-1/desc", a.as_str())], "b-1-1/desc: it describes a-1-1"),
        (vec![("a-1-1/desc", zeros.as_str())], "a-1-1/desc: %CSIZE% is not a size: \"-7\""),
        (vec![("a-1-1/desc", "")], "a-1-1/desc: %FILENAME% is missing"),
    ] {
        assert_eq!(problem(&entries), format!("database entry {want}"));
    }
}

#[test]
fn claimed_sizes_cost_no_memory() {
    let mut tar = header("a-1-1/desc", u64::MAX / 2).as_bytes().to_vec();
    tar.extend([0; 2048]);
    assert!(check(&tar[..]).unwrap_err().to_string().contains("it claims 9223372036854775807 bytes"));
    let mut long = header("x", 1 << 40);
    long.set_entry_type(tar::EntryType::GNULongName);
    long.set_cksum();
    assert!(check(&[long.as_bytes().as_slice(), &[0; 1024]].concat()[..]).is_err());
    let mut skipped = header("a-1-1/files", u64::MAX).as_bytes().to_vec();
    skipped.extend([0; 2048]);
    assert!(check(&skipped[..]).is_err());
}

#[test]
fn links_are_refused_and_pax_headers_are_honoured() {
    let mut link = header("a-1-1/desc", 0);
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_cksum();
    let tar = [link.as_bytes().as_slice(), &[0; 1024]].concat();
    assert!(check(&tar[..]).unwrap_err().to_string().contains("not a plain file"));

    let name = "long".repeat(40);
    let mut tar = tar::Builder::new(Vec::new());
    let path = format!("{name}-1-1/desc");
    tar.append_pax_extensions([("path", path.as_bytes()), ("uid", b"4294967294")]).unwrap();
    tar.append(&header("short", desc(&name).len() as u64), desc(&name).as_bytes()).unwrap();
    assert_eq!(packages(&tar.into_inner().unwrap()[..]).unwrap()[0].name, name);
}

#[test]
fn limits_are_kept() {
    let bytes = gzip(&two());
    let full = Limits::default();
    let least = |limits: Limits| read::<DatabaseError>(&bytes[..], &limits, |_| Ok(())).map_err(|e| e.to_string());
    assert_eq!(least(full), Ok(()));
    for (limits, what) in [
        (Limits { packed: 100, ..full }, "packed"),
        (Limits { unpacked: 4096, ..full }, "unpacked"),
        (Limits { packages: 1, ..full }, "packages"),
    ] {
        assert_eq!(least(limits), Err(format!("the database is larger than allowed ({what})")));
    }
    assert!(least(Limits { desc: 10, ..full }).unwrap_err().contains("larger than allowed (one entry)"));
}

#[test]
fn real_databases_are_read_where_this_machine_has_them() {
    for (name, packages) in [("core-2022-09.db", 261), ("core-2025-02.db", 265)] {
        let Ok(file) = std::fs::File::open(format!("{}/../shared/data/{name}", env!("CARGO_MANIFEST_DIR"))) else {
            continue;
        };
        assert_eq!(check(file).unwrap(), packages, "{name}");
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..2048), form in 0..4usize) {
        let _ = check(&bytes[..]);
        let _ = check(&packed(&bytes)[form][..]);
    }

    #[test]
    fn damaged_databases_never_panic(at in 0..4096usize, byte in proptest::num::u8::ANY, form in 0..4usize) {
        let mut bytes = packed(&two())[form].clone();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = check(&bytes[..]);
    }
}
