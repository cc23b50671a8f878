//! The common parts of the fuzz targets: their clock, cutting an input into parts, containers around it.
//!
//! A fuzzer finds no hash and no signature, so the target makes those that a parser demands: blocks get their
//! right CIDs, records are signed by a key known here, checksums are corrected.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub use libfuzzer_sys;
use pkgswarm::base::cid::Cid;
use pkgswarm::base::digest::Sha256;
use rustix::time::{ClockId, clock_gettime};

/// Most processor time that one input may take.
const MOST: Duration = Duration::from_secs(1);

/// Defines a target: the code to run with one input, timed.
#[macro_export]
macro_rules! fuzz_target {
    (|$data:ident: &[u8]| $body:block) => {
        fn once($data: &[u8]) {
            $body
        }

        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::timed(data, once));
    };
}

/// Runs `once`, which must not take longer than [`MOST`], and prints each new longest time.
///
/// Processor time counts: other work of the machine is not the parser's. Reading it costs a system call, so the
/// wall clock is read first, and a slow run is repeated.
///
/// # Panics
/// When it takes too long. An endless run is left to libFuzzer's own `-timeout`.
pub fn timed(data: &[u8], once: fn(&[u8])) {
    static SLOWEST: AtomicU64 = AtomicU64::new(0);
    let began = Instant::now();
    once(data);
    let slowest = SLOWEST.load(Ordering::Relaxed);
    if began.elapsed() <= Duration::from_nanos(slowest) {
        return;
    }
    let began = processor_time();
    once(data);
    let took = processor_time().saturating_sub(began);
    assert!(took <= MOST, "{} bytes took {} ms of processor time", data.len(), took.as_millis());
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    if SLOWEST.fetch_max(nanos, Ordering::Relaxed) < nanos && took >= Duration::from_millis(1) {
        eprintln!("slowest: {} us, {} bytes", took.as_micros(), data.len());
    }
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// The separator of the parts of one input.
const BETWEEN: &[u8] = b"\n~\n";

/// Returns the first `N` parts of an input; missing ones are empty, and the last part takes the rest.
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

/// Small numbers taken off the front of an input; zeros when it is used up.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    /// Returns the next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Returns the next byte, brought below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    /// True when the input is used up.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

/// Returns a block's dag-pb CID.
pub fn cid_of(block: &[u8]) -> Cid {
    Cid::dag_pb(Sha256::of(block))
}

/// Returns `plain` as a zstd frame of one uncompressed block (RFC 8878, section 3.1.1): compressing would take all
/// the time.
pub fn zstd_frame(plain: &[u8]) -> Vec<u8> {
    let plain = &plain[..plain.len().min(100_000)];
    // A single segment with a content size of four bytes; a raw block, the last one.
    let size = plain.len() as u32;
    let block = (size << 3 | 1).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0][..], &size.to_le_bytes(), &block[..3], plain].concat()
}

/// Returns this process's open file, in memory, with `bytes` as its content.
pub fn file(bytes: &[u8]) -> &'static File {
    static FILE: OnceLock<File> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let fd = rustix::fs::memfd_create("fuzz", rustix::fs::MemfdFlags::CLOEXEC);
        File::from(fd.expect("memory holds a small file"))
    });
    file.set_len(bytes.len() as u64).expect("memory holds a small file");
    file.write_all_at(bytes, 0).expect("memory holds a small file");
    file
}
