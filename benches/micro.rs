//! The parts whose speed the promises rest on, each by itself: `cargo bench [-- NAME]`.
//!
//! For finding slower parts; `tests/bench` measures whole programs against others. Each case runs for a second in
//! batches and prints the median batch: the further features of a benchmark library are not needed here.

use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use pkgswarm::base::digest::Sha256;
use pkgswarm::base::fsx::FileKey;
use pkgswarm::base::name::FileName;
use pkgswarm::dag::build::{build, build_blocks};
use pkgswarm::engine::race::board::{Board, Move, Take};
use pkgswarm::engine::race::{Log, Pace};
use pkgswarm::engine::source::SourceKind;
use pkgswarm::lists::catalogue::{self, Catalogue, CatalogueEntry};
use pkgswarm::lists::pacman::names;
use pkgswarm::lists::pacman::syncdb;
use pkgswarm::store::health::record::SourceRecord as HostRecord;
use pkgswarm::store::journal::{By, Contribution, Journal};

const MIB: usize = 1 << 20;
/// The number of packages in Arch Linux's largest repository, and some room.
const ENTRIES: u32 = 20_000;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let bench = |name: &str, bytes: usize, work: &mut dyn FnMut()| {
        if wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())) {
            measure(name, bytes, work);
        }
    };
    let file = noise(32 * MIB);
    bench("sha256 of 32 MiB", file.len(), &mut || {
        black_box(Sha256::of(black_box(&file)));
    });
    bench("CID of 32 MiB", file.len(), &mut || drop(black_box(build(black_box(&file[..])))));
    bench("blocks of 32 MiB", file.len(), &mut || {
        drop(black_box(build_blocks(black_box(&file[..]), |cid, _| {
            black_box(cid);
            Ok(())
        })));
    });

    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("bench.catalogue");
    let names: Vec<FileName> = (0..ENTRIES).map(name).collect();
    let records = || names.iter().map(record).collect::<Vec<_>>();
    bench("catalogue of 20,000, written", 0, &mut || {
        catalogue::write(&path, records(), FileKey::default()).expect("a catalogue");
    });
    catalogue::write(&path, records(), FileKey::default()).expect("a catalogue");
    let mut turn = names.iter().cycle().step_by(7919);
    bench("catalogue of 20,000, opened and one found", 0, &mut || {
        let catalogue = Catalogue::open(&path).expect("a catalogue").expect("a catalogue");
        assert!(catalogue.find(turn.next().expect("no end")).expect("sound").is_some());
    });
    let catalogue = Catalogue::open(&path).expect("a catalogue").expect("a catalogue");
    bench("catalogue of 20,000, one found", 0, &mut || {
        assert!(catalogue.find(turn.next().expect("no end")).expect("sound").is_some());
    });
    let last = Sha256::of(names.last().expect("a name").as_str().as_bytes());
    bench("catalogue of 20,000, one found by sha256", 0, &mut || {
        assert!(catalogue.by_sha256(last).expect("sound").is_some());
    });

    let journal = Journal::at(dir.path());
    let record = journal_record(&names[0]);
    bench("journal, one line", 0, &mut || journal.note(&record).expect("a line"));

    bench("race of 3 mirrors for 1 GiB in pieces of 64 KiB", 1 << 30, &mut race);

    let database = database(&names);
    bench("sync database of 20,000, gzip", database.len(), &mut || {
        assert_eq!(syncdb::check(&database[..]).expect("a database"), names.len());
    });
}

/// Measures the bookkeeping of a race, without a byte of the file: three mirrors that share it and answer at once.
fn race() {
    const SIZE: u64 = 1 << 30;
    const PIECE: u64 = 64 << 10;
    let pace = Pace {
        head_start: Duration::from_millis(300),
        budget: Duration::from_millis(300),
        overlap: Duration::from_secs(1),
        stall: Duration::from_secs(5),
        patience: Duration::from_secs(30),
        floor: 10 << 10,
        mirrors: 3,
        least: Pace::LEAST,
        border: Pace::BORDER,
    };
    let mut log = Log::default();
    let sources = [(SourceKind::Mirror, HostRecord::default(), false); 3];
    let mut board = Board::new(pace, sources, Some(SIZE), 0, &mut log);
    board.leaves(true);
    let (mut now, mut lanes) = (Duration::ZERO, Vec::new());
    loop {
        match board.next(now) {
            Move::Ask { lane, from, .. } => {
                board.answered(lane, from, now);
                lanes.push(lane);
            }
            Move::Wait(_) => {
                now += Duration::from_micros(500);
                lanes.retain(|&lane| board.arrived(lane, PIECE, now) != Take::Late);
            }
            Move::Judge => return,
            Move::GiveUp => panic!("honest mirrors were given up"),
        }
    }
}

/// Prints the median time of one call and, for work on so many bytes, the rate.
fn measure(name: &str, bytes: usize, work: &mut dyn FnMut()) {
    const WHOLE: Duration = Duration::from_secs(1);
    let start = Instant::now();
    work();
    // A batch is long against the clock, and there are several.
    let once = start.elapsed().max(Duration::from_nanos(100));
    let calls = u32::try_from((WHOLE / 50).as_nanos() / once.as_nanos()).unwrap_or(u32::MAX).max(1);
    let mut batches = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < WHOLE || batches.len() < 5 {
        let start = Instant::now();
        (0..calls).for_each(|_| work());
        batches.push(start.elapsed() / calls);
    }
    batches.sort();
    let median = batches[batches.len() / 2];
    let rate = match bytes {
        0 => String::new(),
        _ => format!("{:>8.0} MB/s", bytes as f64 / 1e6 / median.as_secs_f64()),
    };
    println!("{name:<44} {:>12.3?} {rate}", median);
}

fn name(n: u32) -> FileName {
    FileName::new(format!("some-package-of-usual-length{n}-1.2.3-1-x86_64.pkg.tar.zst")).expect("a name")
}

fn journal_record(name: &FileName) -> pkgswarm::store::journal::JournalRecord {
    let shares = vec![Contribution { source: "mirror m.example".to_owned(), bytes: 3 << 20 }];
    let (at, took) = (1_700_000_000, 100);
    pkgswarm::store::journal::JournalRecord {
        at,
        took,
        by: By::Xfer,
        repo: None,
        name: name.clone(),
        delivered: 3 << 20,
        shares,
    }
}

fn record(name: &FileName) -> CatalogueEntry {
    let sha256 = Sha256::of(name.as_str().as_bytes());
    CatalogueEntry { name: name.clone(), size: 3 << 20, sha256, root: Some(sha256), signature: None, built: None }
}

/// Returns bytes that do not compress, the same in every run: a generator of G. Marsaglia's.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// Makes a database like repo-add, with a description of usual length for each package.
fn database(names: &[FileName]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut tar = tar::Builder::new(gzip);
    for file in names {
        let package = names::package(file).expect("the name of a package");
        let (name, version) = (package.name, package.version);
        let sum = Sha256::of(file.as_str().as_bytes());
        let signature = "iHUEABYKAB0WIQ".repeat(12);
        let text = format!(
            "%FILENAME%\n{file}\n\n%NAME%\n{name}\n\n%BASE%\n{name}\n\n%VERSION%\n{version}\n\n%DESC%\nSays what it is \
             for in one line\n\n%CSIZE%\n3145728\n\n%ISIZE%\n9437184\n\n%SHA256SUM%\n{sum}\n\n%PGPSIG%\n{signature}\n\n\
             %URL%\nhttps://example.invalid/{name}\n\n%LICENSE%\nMIT\n\n%ARCH%\nx86_64\n\n%BUILDDATE%\n1700000000\n\n\
             %PACKAGER%\nSomebody <somebody@example.invalid>\n\n%DEPENDS%\nglibc\ngcc-libs\nzlib\n\n"
        );
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{name}-{version}/desc"), text.as_bytes()).expect("an entry");
    }
    let mut gzip = tar.into_inner().expect("an archive");
    gzip.flush().expect("an archive");
    gzip.finish().expect("an archive")
}
