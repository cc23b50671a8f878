//! Neighbours' messages about an index: every field keeps its limit, and a message that is read is written and
//! read alike.
#![no_main]

use pkgswarm::base::size::RECORD_MOST;
use pkgswarm::index::minisign::SIGNATURE_MOST;
use pkgswarm::index::passed::Passed;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let Ok(passed) = Passed::read(data) else { return };
    assert!(passed.record.as_ref().is_none_or(|record| record.len() <= RECORD_MOST));
    assert!(passed.minisig.as_ref().is_none_or(|minisig| minisig.len() <= SIGNATURE_MOST));
    assert_eq!(Passed::read(&passed.write()), Ok(passed));
});
