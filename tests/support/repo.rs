//! Packages and sync databases, made in memory in repo-add's format.

use std::io::Write;

use data_encoding::BASE64;
use pkgswarm::base::digest::Sha256;

use super::compression::Compression;

/// A package; its bytes follow from name and size, so that every run tests the same.
#[derive(Clone, Debug)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub arch: String,
    pub bytes: Vec<u8>,
    /// The seed of a signature that the database has, too.
    pub signed: Option<String>,
}

impl Package {
    /// Makes a package of `size` bytes, version 1.0-1, for x86_64.
    pub fn new(name: &str, size: usize) -> Self {
        let mut bytes = noise(name, size);
        // An unproven file must at least begin like an archive: the magic number of zstd.
        let magic = b"\x28\xb5\x2f\xfd";
        let len = size.min(magic.len());
        bytes[..len].copy_from_slice(&magic[..len]);
        Self { name: name.into(), version: "1.0-1".into(), arch: "x86_64".into(), bytes, signed: None }
    }

    /// Gives it the signature of this seed, in the database as well.
    pub fn signed(self, seed: &str) -> Self {
        Self { signed: Some(seed.into()), ..self }
    }

    pub fn version(self, version: &str) -> Self {
        Self { version: version.into(), ..self }
    }

    pub fn file_name(&self) -> String {
        format!("{}-{}-{}.pkg.tar.zst", self.name, self.version, self.arch)
    }

    /// Returns name and content, as for [`super::FakeMirror::serving`].
    pub fn file(&self) -> (String, Vec<u8>) {
        (self.file_name(), self.bytes.clone())
    }

    /// Returns name and content of a signature that looks right and signs nothing.
    pub fn signature(&self) -> (String, Vec<u8>) {
        (self.file_name() + ".sig", signature(self.signed.as_ref().unwrap_or(&self.name)))
    }

    pub fn sha256(&self) -> Sha256 {
        Sha256::of(&self.bytes)
    }

    /// Formats `desc` in the order of repo-add 7.1.
    fn desc(&self) -> String {
        let Self { name, version, arch, bytes, signed } = self;
        let signed = signed.as_ref().map(|_| format!("%PGPSIG%\n{}\n\n", BASE64.encode(&self.signature().1)));
        format!(
            "%FILENAME%\n{}\n\n%NAME%\n{name}\n\n%BASE%\n{name}\n\n%VERSION%\n{version}\n\n%DESC%\nA test of {name}\n\n\
             %CSIZE%\n{}\n\n%ISIZE%\n{}\n\n%SHA256SUM%\n{}\n\n{}%URL%\nhttps://example.org/\n\n%LICENSE%\nMIT\n\n\
             %ARCH%\n{arch}\n\n%BUILDDATE%\n1748858400\n\n%PACKAGER%\nTester <tester@example.org>\n\n",
            self.file_name(),
            bytes.len(),
            bytes.len() * 3,
            self.sha256(),
            signed.unwrap_or_default(),
        )
    }
}

/// Makes a sync database that lists these packages.
pub fn database(packages: &[&Package], compression: Compression) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for package in packages {
        let directory = format!("{}-{}/", package.name, package.version);
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        tar.append_data(&mut header, &directory, std::io::empty()).expect("a directory fits");
        let desc = package.desc();
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(desc.len() as u64);
        tar.append_data(&mut header, format!("{directory}desc"), desc.as_bytes()).expect("a desc fits");
    }
    compressed(&tar.into_inner().expect("memory takes it all"), compression)
}

/// Compresses `bytes` like the named tool.
pub fn compressed(bytes: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            gzip.write_all(bytes).expect("memory takes it all");
            gzip.finish().expect("memory takes it all")
        }
        Compression::Zstd => zstd::encode_all(bytes, 3).expect("memory takes it all"),
        Compression::Xz => {
            let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
            xz.write_all(bytes).expect("memory takes it all");
            xz.finish().expect("memory takes it all")
        }
    }
}

/// Makes a detached OpenPGP v4 signature packet by a key that does not exist (RFC 4880, section 5.2.3).
pub fn signature(seed: &str) -> Vec<u8> {
    let mut body = vec![4, 0, 1, 10, 0, 6, 5, 2, 0x68, 0x3d, 0x77, 0xe0, 0, 10, 9, 16];
    body.extend(noise(seed, 8 + 2));
    body.extend([0x08, 0x00]);
    body.push(0x80);
    body.extend(noise(seed, 255));
    let mut packet = vec![0x89];
    packet.extend((body.len() as u16).to_be_bytes());
    packet.extend(body);
    packet
}

/// Makes bytes that do not compress and do not repeat (xorshift64*), the same for the same seed.
pub fn noise(seed: &str, size: usize) -> Vec<u8> {
    let mut state =
        seed.bytes().fold(0x9e37_79b9_7f4a_7c15u64, |sum, byte| (sum ^ u64::from(byte)).rotate_left(13) | 1);
    let mut out = Vec::with_capacity(size + 8);
    while out.len() < size {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        out.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    out.truncate(size);
    out
}
