//! The journal: any line is skipped or read, and a record that is read is written as the same record.
#![no_main]

use pkgswarm::store::journal::{self, JournalRecord};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let mut records = Vec::new();
    journal::records(data, |record| records.push(record)).expect("memory can be read");
    let named =
        |record: &JournalRecord| record.shares.len() < 12 && !record.shares.iter().any(|s| s.source.len() > 255);
    for record in records.iter().filter(|record| named(record)) {
        let line = record.to_line();
        let again = JournalRecord::from_line(line.trim_end_matches('\n')).expect("what we write is read");
        assert_eq!((again.at, again.delivered, again.shares.len()), (record.at, record.delivered, record.shares.len()));
    }
});
