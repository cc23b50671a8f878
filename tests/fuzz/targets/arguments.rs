//! pacman's command line: without its refreshes it means the same transaction, and removing them twice changes
//! nothing.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use pkgswarm::lists::pacman::arguments::Arguments;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let words = data.split(|byte| matches!(byte, 0 | b'\n')).map(|word| OsString::from_vec(word.to_vec()));
    let words: Vec<OsString> = words.collect();
    let asked = Arguments::parse(&words);
    let without_refresh = |asked: &Arguments| asked.again(|path| Some(path.to_owned())).expect("every path is taken");
    let mut quiet = Arguments::parse(&without_refresh(&asked));
    assert_eq!((quiet.refresh, quiet.is_refresh_forced()), (0, false));
    assert_eq!(without_refresh(&quiet), without_refresh(&asked));
    quiet.refresh = asked.refresh;
    assert_eq!(quiet, asked);
    assert!(asked.targets.len() <= words.len());
    if let Some(other) = Arguments::parse_otherwise(&words) {
        assert!(other.targets.len() < asked.targets.len());
    }
});
