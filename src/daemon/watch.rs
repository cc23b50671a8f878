//! Watches directories: where packages come and go, and where the lists of them do.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use crate::config::Settings;
use crate::lists::pacman::names;

/// News for the library thread.
pub(super) enum WatchEvent {
    /// The file at this path came, changed or went.
    File(PathBuf),
    /// A database or the configuration has changed.
    Lists,
    /// New settings.
    Settings(Box<Settings>),
}

/// inotify, and a thread that waits for it.
pub(super) struct Watcher {
    queue: Arc<OwnedFd>,
    dirs: Arc<Mutex<HashMap<i32, (PathBuf, bool)>>>,
}

impl Watcher {
    pub(super) fn start(tell: Sender<WatchEvent>) -> Option<Self> {
        let queue = Arc::new(inotify::init(CreateFlags::CLOEXEC).ok()?);
        let dirs: Arc<Mutex<HashMap<i32, (PathBuf, bool)>>> = Arc::default();
        let (of_thread, known) = (Arc::clone(&queue), Arc::clone(&dirs));
        let wait = move || {
            let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
            let mut reader = Reader::new(&*of_thread, &mut buffer);
            while let Ok(event) = reader.next() {
                let found = known.lock().expect("nothing panics while it is held").get(&event.wd()).cloned();
                let name = event.file_name().and_then(|name| name.to_str().ok().map(str::to_owned));
                let told = match (found, name) {
                    (Some((dir, false)), Some(name)) => WatchEvent::File(dir.join(name)),
                    (Some((dir, true)), Some(name)) if is_list(&dir, &name) => WatchEvent::Lists,
                    _ if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => WatchEvent::Lists,
                    _ => continue,
                };
                if tell.send(told).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("watch".to_owned()).spawn(wait).ok()?;
        Some(Self { queue, dirs })
    }

    /// Watches these directories; a change in `lists` causes a full scan. Before the first `-Sy` the directory of
    /// databases does not exist: then the one above it is watched.
    pub(super) fn watch(&mut self, dirs: &[PathBuf], lists: &[PathBuf]) {
        let come_and_go = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::CREATE;
        let all = dirs.iter().map(|dir| (dir, false)).chain(lists.iter().map(|dir| (dir, true)));
        let mut known = self.dirs.lock().expect("nothing panics while it is held");
        for (dir, is_lists) in all {
            // Watching a directory twice gives the same number.
            if let Ok(number) = inotify::add_watch(&*self.queue, dir, come_and_go | WatchFlags::ONLYDIR) {
                known.insert(number, (dir.clone(), is_lists));
            }
        }
    }
}

/// True if a change under this name in a watched directory is a list, or the directory of one.
fn is_list(dir: &Path, name: &str) -> bool {
    let is_copy = || dir.ends_with("index/index") && !name.starts_with('.');
    let plain = ["sync", "index", "pkgswarm.json", "prefetch", "state.json", "haiku", "snapshot.json"];
    // The directories of Haiku's repositories come with their first lists.
    let is_shelf = || dir.ends_with("haiku") && !dir.parent().is_some_and(|above| above.ends_with("haiku"));
    // So do those of shares, with their first files.
    let is_share = || name == "kept" || (dir.ends_with("kept") && !name.starts_with('.'));
    names::lists_packages(name) || plain.contains(&name) || is_copy() || is_shelf() || is_share()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_haikus_is_a_list_and_what_its_servers_answered_is_none() {
        let is_told = |dir: &str, name: &str| is_list(Path::new(dir), name);
        assert!(is_told("/var/lib/pkgswarm-endpoint/haiku/Demo", "snapshot.json"));
        assert!(is_told("/var/lib/pkgswarm-endpoint/haiku", "Demo") && is_told("/var/lib/pkgswarm-endpoint", "haiku"));
        assert!(!is_told("/var/lib/pkgswarm-endpoint/haiku/Demo", "servers.json"));
    }
}
