//! What the fuzz targets share: cutting an input into parts, containers around it, and files that never reach a disk.
//!
//! A fuzzer finds no hash and no signature, so wherever a parser asks for one the target makes it: blocks get the CID
//! that they have, records are signed by a key known here, checksums are mended.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

pub use libfuzzer_sys::fuzz_target;
use pkgswarm::cid::Cid;
use pkgswarm::digest::Sha256;

/// What stands between the parts of one input.
const BETWEEN: &[u8] = b"\n~\n";

/// The first `N` parts of an input; what is not there is empty, and the last part takes the rest.
pub fn parts<const N: usize>(mut data: &[u8]) -> [&[u8]; N] {
    let mut out = [&data[..0]; N];
    for (i, part) in out.iter_mut().enumerate() {
        let at = data.windows(BETWEEN.len()).position(|window| window == BETWEEN).filter(|_| i + 1 < N);
        let (now, rest) = match at {
            Some(at) => (&data[..at], &data[at + BETWEEN.len()..]),
            None => (data, &data[data.len()..]),
        };
        (*part, data) = (now, rest);
    }
    out
}

/// A few small numbers taken off the front of an input; zeros when it is used up.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// The next byte, brought below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    /// Whether anything is left to choose by.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

/// The dag-pb CID that a block has.
pub fn cid_of(block: &[u8]) -> Cid {
    Cid::dag_pb(Sha256::of(block))
}

/// `plain` as a zstd frame of one uncompressed block (RFC 8878, section 3.1.1): compressing would take all the time.
pub fn zstd_frame(plain: &[u8]) -> Vec<u8> {
    let plain = &plain[..plain.len().min(100_000)];
    // A single segment with a content size of four bytes; a raw block, the last one.
    let size = plain.len() as u32;
    let block = (size << 3 | 1).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0][..], &size.to_le_bytes(), &block[..3], plain].concat()
}

/// An open file that holds `bytes`, at its beginning.
pub fn file(bytes: &[u8]) -> File {
    let fd = rustix::fs::memfd_create("fuzz", rustix::fs::MemfdFlags::CLOEXEC).expect("memory holds a small file");
    let mut file = File::from(fd);
    file.write_all(bytes).expect("memory holds a small file");
    file.seek(SeekFrom::Start(0)).expect("a file in memory can be rewound");
    file
}

/// Writes the file called `name` in a directory of this process, which is in memory where the system has such a place.
pub fn place(name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory().join(name);
    std::fs::write(&path, bytes).expect("the scratch directory takes small files");
    path
}

/// The directory of [`place`]. Whoever runs the fuzzer removes it: a fuzzer does not end by returning from main.
pub fn directory() -> &'static Path {
    static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
        let memory = Path::new("/dev/shm");
        let parent = match std::env::var_os("TMPDIR") {
            Some(given) => PathBuf::from(given),
            None if memory.is_dir() => memory.to_owned(),
            None => std::env::temp_dir(),
        };
        let made = tempfile::Builder::new().prefix("pkgswarm-fuzz-").tempdir_in(parent);
        made.expect("a scratch directory can be made").keep()
    });
    &DIRECTORY
}
