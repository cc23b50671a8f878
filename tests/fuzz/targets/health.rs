//! The memory of earlier calls: no text of it stops a download, and what is noted on top of it is read back.
#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use pkgswarm::health::Health;
use pkgswarm_fuzz::{directory, parts, place};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [run, hosts] = parts(data);
    place("run-7-1", run);
    place("hosts", hosts);
    let whole = Duration::from_millis(300);
    let read = || {
        let uid = rustix::process::getuid().as_raw();
        Health::read(directory(), "7-1", uid, UNIX_EPOCH + Duration::from_secs(1_790_000_000))
    };
    let mut health = read();
    assert!(health.head_start(whole) <= whole);
    let _ = (health.is_down("m.example"), health.origin("core.db"), health.is_interrupted());
    health.spend(Duration::from_millis(10));
    health.interrupt();
    health.down("m.example:8080", Some(Duration::from_secs(5)));
    health.save();
    let again = read();
    assert!(again.is_interrupted() && again.is_down("m.example:8080"));
    assert_eq!(again.head_start(whole), health.head_start(whole));
    assert_eq!(again.is_down("m.example"), health.is_down("m.example"));
    assert_eq!(again.origin("core.db"), health.origin("core.db"));
});
