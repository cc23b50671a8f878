//! Archives of an index, by their lines.
#![no_main]

use std::collections::HashMap;

use pkgswarm::index::archive::{ArchiveReader, ArchivedEntry, write};
use pkgswarm::index::table::FILE_MOST;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let lines = data.iter().filter(|byte| **byte == b'\n').count() as u64;
    let read = |plain: &[u8], lines| ArchiveReader::plain(plain, lines).collect::<Result<Vec<ArchivedEntry>, _>>();
    let Ok(files) = read(data, lines) else { return };
    assert_eq!(files.len() as u64, lines);
    assert!(files.is_sorted_by(|a, b| (&a.entry.name, a.until) < (&b.entry.name, b.until)));
    let mut named = HashMap::new();
    for file in &files {
        assert!(file.entry.size <= FILE_MOST && file.from.is_none_or(|from| from < file.until));
        let content = (file.entry.size, file.entry.sha256);
        assert_eq!(*named.entry(&file.entry.name).or_insert(content), content, "a name means one file");
    }
    assert!(read(data, lines + 1).is_err(), "a line is missing");
    assert!(lines == 0 || read(data, lines - 1).is_err(), "a line too many");
    // What is written is read back, and has one form.
    let plain = write(&files).expect("sorted lines are taken");
    assert_eq!(read(&plain, lines).expect("what we write we read"), files);
    assert_eq!(write(&files).expect("as before"), plain);
});
