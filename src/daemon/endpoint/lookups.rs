//! Look-ups of names, which the system may answer late or never: each on another thread, one at a time for each name, so
//! that names that do not resolve hold no more threads than there are names.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use futures_util::future::{FutureExt as _, LocalBoxFuture, Shared};
use tokio::time::timeout;

/// Most look-ups under way: fewer than the threads that may wait.
const MOST: usize = 12;

/// A look-up that is under way, for all who wait for it.
type RunningLook = Shared<LocalBoxFuture<'static, Vec<SocketAddr>>>;

/// The look-ups that are under way.
pub(super) struct NameLooks {
    running: RefCell<HashMap<String, RunningLook>>,
    look: fn(&str) -> Vec<SocketAddr>,
}

impl Default for NameLooks {
    fn default() -> Self {
        let look = |name: &str| name.to_socket_addrs().into_iter().flatten().collect();
        Self { running: RefCell::default(), look }
    }
}

impl NameLooks {
    /// Returns the addresses of `name`, which has a port; none where it has none, or they do not come in time. A look-up
    /// that takes longer goes on, and who asks next waits for that one.
    pub(super) async fn find(&self, name: &str, patience: Duration) -> Vec<SocketAddr> {
        if let Ok(address) = name.parse() {
            return vec![address];
        }
        let Some(look) = self.begun(name) else { return Vec::new() };
        timeout(patience, look).await.unwrap_or_default()
    }

    fn begun(&self, name: &str) -> Option<RunningLook> {
        let mut running = self.running.borrow_mut();
        if let Some(look) = running.get(name) {
            let look = look.clone();
            if look.clone().now_or_never().is_some() {
                // Its answer may be of long ago: the next one is a new one.
                running.remove(name);
            }
            return Some(look);
        }
        running.retain(|_, look| look.clone().now_or_never().is_none());
        if running.len() >= MOST {
            return None;
        }
        let (of, look) = (name.to_owned(), self.look);
        let thread = tokio::task::spawn_blocking(move || look(&of));
        let begun = thread.map(Result::unwrap_or_default).boxed_local().shared();
        running.insert(name.to_owned(), begun.clone());
        Some(begun)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    static BEGUN: AtomicUsize = AtomicUsize::new(0);
    static IS_BACK: AtomicBool = AtomicBool::new(false);

    #[tokio::test]
    async fn a_name_whose_last_look_up_has_not_ended_is_not_looked_up_again() {
        let look = |name: &str| {
            BEGUN.fetch_add(1, Ordering::SeqCst);
            while !IS_BACK.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            vec![format!("127.0.0.1:{}", name.len()).parse().unwrap()]
        };
        let names = NameLooks { running: RefCell::default(), look };
        let soon = Duration::from_millis(20);
        for _ in 0..5 {
            assert_eq!(names.find("cellar:4011", soon).await, []);
        }
        while BEGUN.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(BEGUN.load(Ordering::SeqCst), 1);
        for number in 0..2 * MOST {
            assert_eq!(names.find(&format!("attic{number}:4011"), Duration::ZERO).await, []);
        }
        assert_eq!(names.running.borrow().len(), MOST);
        IS_BACK.store(true, Ordering::SeqCst);
        let long = Duration::from_secs(60);
        assert_eq!(names.find("cellar:4011", long).await, ["127.0.0.1:11".parse().unwrap()]);
        assert_eq!(names.find("cellar:4011", long).await.len(), 1);
        assert_eq!(names.find("192.168.1.2:4011", Duration::ZERO).await, ["192.168.1.2:4011".parse().unwrap()]);
    }
}
