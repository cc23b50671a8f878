//! Room for files that are being fetched: `store.max` holds for the stored files and the coming ones together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::store::Store;

/// The store's room and the claims of transfers on it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Room(Arc<Inner>);

struct Inner {
    store: &'static Store,
    /// Bytes that the transfers of each user may still write, or have written.
    claimed: Mutex<HashMap<u32, u64>>,
}

/// A claim on bytes of the room, until drop.
pub(super) struct RoomClaim {
    room: Room,
    user: u32,
    bytes: u64,
}

impl Room {
    pub(super) fn of(store: &'static Store) -> Self {
        Self(Arc::new(Inner { store, claimed: Mutex::default() }))
    }

    /// Claims `bytes` of room for `user`; the oldest files are evicted for it. `None` when coming files leave no
    /// room: trying again later helps, unless it is more than the store may hold. Lists the store, on a thread of
    /// its own.
    pub(super) async fn claim(&self, user: u32, bytes: u64) -> Option<RoomClaim> {
        let mut claim = RoomClaim { room: self.clone(), user, bytes: 0 };
        claim.grow_to(bytes).await.then_some(claim)
    }

    fn claimed(&self) -> MutexGuard<'_, HashMap<u32, u64>> {
        self.0.claimed.lock().expect("nothing panics while it is held")
    }
}

impl RoomClaim {
    /// Grows the claim to `bytes`, if it is smaller. Returns whether there is room; if not, it stays as it was.
    ///
    /// A user with other claims gets no more than half of the room, so that some is left for other users.
    pub(super) async fn grow_to(&mut self, bytes: u64) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return true };
        let store = self.room.0.store;
        let rest = {
            let mut claimed = self.room.claimed();
            let all: u64 = claimed.values().sum();
            let own = claimed.entry(self.user).or_default();
            let is_fair = *own == self.bytes || own.saturating_add(more) <= store.most() / 2;
            let rest = all.checked_add(more).and_then(|all| store.most().checked_sub(all));
            match rest.filter(|_| is_fair) {
                Some(rest) => {
                    *own += more;
                    self.bytes += more;
                    rest
                }
                None => return false,
            }
        };
        let shrunk = tokio::task::spawn_blocking(move || store.shrink_to(rest)).await;
        let has_room = matches!(shrunk, Ok(Ok(left)) if left <= rest);
        if !has_room {
            self.give_back(more);
        }
        has_room
    }

    fn give_back(&mut self, bytes: u64) {
        let mut claimed = self.room.claimed();
        if let Some(own) = claimed.get_mut(&self.user) {
            *own -= bytes;
            if *own == 0 {
                claimed.remove(&self.user);
            }
        }
        self.bytes -= bytes;
    }
}

impl Drop for RoomClaim {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_never_needs_more_than_the_store_may_hold_and_one_user_leaves_room_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let uid = rustix::process::getuid().as_raw();
        let room = Room::of(Box::leak(Box::new(Store::open(&dir.path().join("store"), uid, 1000).unwrap())));
        assert!(room.claim(1, 1001).await.is_none() && room.claim(1, u64::MAX).await.is_none());
        drop(room.claim(1, 1000).await.unwrap());
        let mut first = room.claim(1, 300).await.unwrap();
        let second = room.claim(1, 200).await.unwrap();
        assert!(room.claim(1, 1).await.is_none(), "half of it is his");
        assert!(!first.grow_to(301).await && first.grow_to(10).await);
        let other = room.claim(2, 500).await.unwrap();
        assert!(room.claim(3, 1).await.is_none(), "nothing is left");
        drop((second, other));
        assert!(first.grow_to(1000).await, "it is his only one");
        drop(first);
        assert!(room.claimed().is_empty());
    }
}
