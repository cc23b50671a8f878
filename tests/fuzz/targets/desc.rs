//! Entries of a sync database: the same fields as pacman's own reader finds.
//!
//! The reference is `sync_db_read` (libalpm 7.1.0, `lib/libalpm/be_sync.c`), written once more in the plainest
//! way, on C strings as in libalpm.
#![no_main]

use cid::multibase::Base;
use pkgswarm::base::digest::Sha256;
use pkgswarm::lists::pacman::syncdb::{DatabaseError, Limits, Package, read};
use pkgswarm_fuzz::parts;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [directory, desc] = parts(data);
    // Longer paths do not matter here, other ones are in `database`.
    if directory.len() > 90 || directory.is_empty() || directory.contains(&0) {
        return;
    }
    let Ok(Some(package)) = parsed(directory, desc) else { return };
    let model = Model::of(desc);
    let text = |value: Option<&str>| value.unwrap_or_default().as_bytes().to_vec();
    assert_eq!(text(Some(package.file.as_str())), model.value(b"FILENAME"));
    assert_eq!(text(Some(&package.name)), model.value(b"NAME"));
    assert_eq!(text(Some(&package.version)), model.value(b"VERSION"));
    assert_eq!(text(package.base.as_deref()), model.value(b"BASE"));
    assert_eq!(text(package.arch.as_deref()), model.value(b"ARCH"));
    let number = |value: Vec<u8>| String::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
    assert_eq!(package.size, number(model.value(b"CSIZE")));
    assert_eq!(package.installed_size, number(model.value(b"ISIZE")));
    let sum = String::from_utf8(model.value(b"SHA256SUM")).expect("a digest is text");
    assert_eq!(package.sha256, sum.parse::<Sha256>().ok());
    let signature = String::from_utf8(model.value(b"PGPSIG")).expect("base64 is text");
    let signature = Base::Base64Pad.decode(&signature).expect("another decoder takes it as well");
    let signed = (!signature.is_empty()).then(|| (signature.len() as u32, Sha256::of(&signature)));
    assert_eq!(package.signature.map(|signature| (signature.size, signature.sha256)), signed);
    assert_eq!(format!("{}-{}", package.name, package.version).as_bytes(), directory);
});

fn parsed(directory: &[u8], desc: &[u8]) -> Result<Option<Package>, DatabaseError> {
    let mut out = None;
    let limits = Limits { packages: 1, ..Limits::default() };
    read::<DatabaseError>(&tar(directory, desc)[..], &limits, |package| {
        out = Some(package);
        Ok(())
    })?;
    Ok(out)
}

/// Makes a tar of one file (POSIX ustar).
fn tar(directory: &[u8], desc: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    let path = [directory, b"/desc"].concat();
    header[..path.len()].copy_from_slice(&path);
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", desc.len()).as_bytes());
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut out = [header.as_slice(), desc].concat();
    out.resize(out.len().next_multiple_of(512) + 1024, 0);
    out
}

/// libalpm's reading of a text: the lines after each known key, the last one counting.
struct Model(Vec<(Vec<u8>, Vec<u8>)>);

impl Model {
    fn of(desc: &[u8]) -> Self {
        const SINGLE: [&str; 14] = [
            "FILENAME",
            "NAME",
            "BASE",
            "VERSION",
            "DESC",
            "URL",
            "ARCH",
            "BUILDDATE",
            "PACKAGER",
            "CSIZE",
            "ISIZE",
            "MD5SUM",
            "SHA256SUM",
            "PGPSIG",
        ];
        // A C string ends at its first zero byte.
        let c = |line: &[u8]| line.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        let mut lines = desc.split(|byte| *byte == b'\n').map(c);
        let mut out = Vec::new();
        while let Some(line) = lines.next() {
            let known = SINGLE.iter().find(|key| format!("%{key}%").as_bytes() == line);
            match known {
                Some(key) => out.push((key.as_bytes().to_vec(), lines.next().unwrap_or_default())),
                None if line.is_empty() => {}
                None => while lines.next().is_some_and(|line| !line.is_empty()) {},
            }
        }
        Self(out)
    }

    fn value(&self, key: &[u8]) -> Vec<u8> {
        let found = self.0.iter().rev().find(|(known, _)| known == key);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }
}
