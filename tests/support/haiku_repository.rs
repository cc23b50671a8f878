//! A Haiku repository with a key of its own: its files, in memory.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use pkgswarm::base::digest::Sha256;
use pkgswarm::lists::haiku::HpkrLimits;
use pkgswarm::lists::haiku::hpkr::packages;

use super::hpkr::{HpkrPackage, HpkrWriter};

/// A repository.
pub struct HaikuRepository {
    key: minisign::KeyPair,
}

impl HaikuRepository {
    pub fn new() -> Self {
        Self { key: minisign::KeyPair::generate_unencrypted_keypair().expect("a key pair") }
    }

    /// Returns its public key as `--minisign` takes it.
    pub fn key(&self) -> String {
        self.key.pk.to_base64()
    }

    /// Returns a signature by its key, as the minisign tool makes it.
    pub fn signature(&self, bytes: &[u8], name: &str) -> String {
        self.signed(bytes, &format!("timestamp:1790000000\tfile:{name}\thashed"))
    }

    fn signed(&self, bytes: &[u8], comment: &str) -> String {
        minisign::sign(None, &self.key.sk, Cursor::new(bytes), Some(comment), None).expect("a signature").into_string()
    }

    /// Makes the files that describe it with these packages, signed at `time`; the sum comes last.
    pub fn files(&self, listed: &[(HpkrPackage, Vec<u8>)], time: u64) -> Vec<(&'static str, Vec<u8>)> {
        let list = HpkrWriter::of(&listed.iter().map(|(package, _)| package.clone()).collect::<Vec<_>>()).file();
        let signature = self.signed(&list, &format!("timestamp:{time}\tfile:repo\thashed"));
        let mut files = vec![("repo.minisig", signature.into_bytes())];
        files.extend(unsigned(&list));
        files
    }

    /// Writes them and the packages into a directory, as a server has it.
    pub fn write_to(&self, dir: &Path, listed: &[(HpkrPackage, Vec<u8>)], time: u64) {
        fs::create_dir_all(dir.join("packages")).expect("a directory of ours");
        for (name, bytes) in self.files(listed, time) {
            fs::write(dir.join(name), bytes).expect("a file of ours");
        }
        for (package, bytes) in listed {
            fs::write(dir.join("packages").join(file_of(package)), bytes).expect("a file of ours");
        }
    }
}

/// Makes what goes with a list and is not signed: itself, its description and its right sum.
pub fn unsigned(list: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    let info = "name Demo\nvendor \"T\"\nsummary \"s\"\npriority 1\nbaseurl http://h.example/demo/current\n\
                identifier tag:example.org,2026:demo\narchitecture x86_64\n";
    let sum = format!("{}  repo\n", Sha256::of(list));
    [("repo", list.to_vec()), ("repo.info", info.as_bytes().to_vec()), ("repo.sha256", sum.into_bytes())]
}

/// Returns the name of the file of a package.
pub fn file_of(package: &HpkrPackage) -> String {
    let list = HpkrWriter::of(std::slice::from_ref(package)).file();
    packages(Cursor::new(list), &HpkrLimits::default()).expect("a list")[0].file().expect("a name").to_string()
}

/// Makes a package with this name, and its file of `size` bytes.
pub fn hpkg(name: &str, size: usize) -> (HpkrPackage, Vec<u8>) {
    let mut bytes = b"hpkg".to_vec();
    let mut block = Sha256::of(name.as_bytes());
    while bytes.len() < size + 4 {
        bytes.extend(block.0);
        block = Sha256::of(&block.0);
    }
    bytes.truncate(size + 4);
    let mut package = HpkrPackage::of(name, &bytes);
    package.version[3] = Some("beta+2".to_owned());
    (package, bytes)
}
