//! The memory of earlier calls: no text of it stops a download, and a record that is read is written and read
//! back.
#![no_main]

use std::time::Duration;

use pkgswarm::store::health::memory::HealthMemory;
use pkgswarm::store::health::record;
use pkgswarm_fuzz::parts;

const NOW: u64 = 1_790_000_000;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [run, pace] = parts(data);
    let read = |text: &str| HealthMemory::from_text(text);
    // No version writes carriage returns; lines that end in several would lose one each time.
    let memory = read(&String::from_utf8_lossy(run).replace('\r', " "));
    let again = read(&memory.to_text(NOW));
    // Expired entries are dropped, and names that would not be one word; nothing else.
    assert_eq!(again.head_start_spent, memory.head_start_spent);
    for (host, until) in memory.down.iter().filter(|(_, until)| **until > NOW) {
        assert_eq!(again.down.get(host), Some(until));
    }
    assert_eq!((again.asked, &again.from, &again.unchanged), (memory.asked, &memory.from, &memory.unchanged));
    assert_eq!(read(&again.to_text(NOW)), again);

    let most = Duration::from_millis(300);
    for (host, (mut known, seen)) in record::parse(pace) {
        let line = record::line(&host, &known, seen);
        assert_eq!(record::parse(line.as_bytes()).get(&host), Some(&(known, seen)), "{line}");
        known.answered(Duration::from_millis(1));
        known.delivered(u64::MAX, Duration::from_millis(1));
        known.missed();
        assert!(known.head_start(most) <= most && known.overlap(most) <= most);
    }
});
