//! Requests of other users to the daemon, and messages of root's unprivileged child: read as written, or not at
//! all, and no name leads out of its directory.
#![no_main]

use pkgswarm::daemon::request;
use pkgswarm::pacman::handover::Message;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    if let Some(asked) = std::str::from_utf8(data).ok().and_then(request) {
        is_plain(asked.name.as_str());
        let cid = asked.cid.map_or_else(|| "-".to_owned(), |cid| cid.to_string());
        let again = request(&format!("get {} {} {cid} {}", asked.sha256, asked.size, asked.name)).expect("as we write");
        assert_eq!((again.sha256, again.size, again.cid), (asked.sha256, asked.size, asked.cid));
        assert_eq!(again.name, asked.name);
    }
    if let Some(message) = Message::read(data) {
        message.name().iter().for_each(|name| is_plain(name.as_str()));
        let line = message.to_line();
        let again = Message::read(&line).expect("what we write we read");
        assert_eq!(again.to_line(), line);
        assert_eq!((again.name(), again.modified()), (message.name(), message.modified()));
    }
});

fn is_plain(name: &str) {
    assert!(!name.is_empty() && !name.contains('/') && !matches!(name, "." | ".."), "{name:?}");
}
