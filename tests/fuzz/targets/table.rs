//! Tables of an index: as compressed bytes of any origin, and as lines under a sound compression.
#![no_main]

use pkgswarm::base::cid::{Cid, Codec};
use pkgswarm::index::table::{Entry, FILE_MOST, Reader, TableError, TableWriter, pack};
use pkgswarm::base::size::OWN_BLOCK_MOST;
use pkgswarm_fuzz::{parts, zstd_frame};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [choice, body] = parts(data);
    let announced = choice.first().map_or(0, |first| u64::from(*first));
    // The announced number may be one too large: the reader has to report that.
    let raw = read(data, announced);
    if let Ok(entries) = &raw {
        assert_eq!(entries.len() as u64, announced);
        check(entries);
    }
    let lines = body.iter().filter(|byte| **byte == b'\n').count() as u64;
    if let Ok(entries) = read(&zstd_frame(body), lines) {
        assert_eq!(entries.len() as u64, lines);
        check(&entries);
        let mut writer = TableWriter::new(Vec::new());
        entries.iter().for_each(|entry| writer.add(entry).expect("sorted entries are taken"));
        let plain = writer.finish();
        let again: Result<Vec<Entry>, _> = Reader::plain(&plain[..], lines).collect();
        assert_eq!(again.expect("what we write we read"), entries);
        // The real compression is slow: now and then it is compared.
        if choice == b"w" {
            let mut packed = pack(&plain);
            assert_eq!(read(&packed, lines).expect("what we write we read"), entries);
            packed.push(b'x');
            assert!(read(&packed, lines).is_err(), "junk follows the table");
        }
    }
});

fn read(bytes: &[u8], announced: u64) -> Result<Vec<Entry>, TableError> {
    Reader::new(bytes, announced)?.collect()
}

fn check(entries: &[Entry]) {
    assert!(entries.is_sorted_by(|a, b| a.name < b.name));
    for entry in entries {
        assert!(entry.size <= FILE_MOST && !entry.name.as_str().contains('/'));
        match entry.size <= OWN_BLOCK_MOST {
            true => assert_eq!(entry.cid, Cid::raw(entry.sha256)),
            false => assert_eq!(entry.cid.codec(), Codec::DagPb),
        }
        assert!(entry.signature.is_none_or(|(size, _)| (1..=16 << 10).contains(&size)));
    }
}
