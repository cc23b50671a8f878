//! The journal: whatever stands in it is skipped or read, and what was read is written as the same record.
#![no_main]

use pkgswarm::journal::{Journal, Record};
use pkgswarm_fuzz::{directory, place};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    place("journal", data);
    let mut records = Vec::new();
    Journal::at(directory()).read(0, |record| records.push(record)).expect("a plain file");
    let named = |record: &Record| record.shares.len() < 12 && !record.shares.iter().any(|s| s.source.len() > 255);
    for record in records.iter().filter(|record| named(record)) {
        let line = record.to_line();
        let again = Record::from_line(line.trim_end_matches('\n')).expect("what we write is read");
        assert_eq!((again.at, again.delivered, again.shares.len()), (record.at, record.delivered, record.shares.len()));
    }
});
