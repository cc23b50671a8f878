//! Values that are asked for several at a time, come in any order, and are needed in one.
//!
//! `StreamExt::buffered` does this where the list is known and the number is fixed, as for the diffs of an index. A
//! file is another case: each block that is read may put its children before those that are under way, the number
//! follows the line ([`RequestWindow`](crate::engine::source::window::RequestWindow)), and what came before its turn takes
//! memory and counts.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};

/// The state of an ordered fetch: the keys under way, with what is known of each request, and the values that came
/// before their turn. At most twice the number that may be under way are held.
#[derive(Debug)]
pub(crate) struct Ordered<K, A, T> {
    /// Keys under way.
    pub(crate) asked: HashMap<K, A>,
    /// Values that are here and not used yet.
    pub(crate) ready: HashMap<K, T>,
}

impl<K, A, T> Default for Ordered<K, A, T> {
    fn default() -> Self {
        Self { asked: HashMap::new(), ready: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash, A, T> Ordered<K, A, T> {
    /// Returns true for a key that is under way or here.
    pub(crate) fn has(&self, key: K) -> bool {
        self.asked.contains_key(&key) || self.ready.contains_key(&key)
    }

    /// Returns the keys to ask for now: of the first `most` of `wanted`, in the order in which they are needed, those
    /// that are neither under way nor here, while fewer than `most` are under way. The next one always.
    pub(crate) fn due(&self, wanted: impl Iterator<Item = K>, most: usize) -> Vec<K> {
        let mut due = Vec::new();
        for (at, key) in wanted.take(most).enumerate() {
            let has_room = self.asked.len() + due.len() < most || at == 0;
            if has_room && !self.has(key) && !due.contains(&key) {
                due.push(key);
            }
        }
        due
    }
}

/// An ordered fetch by futures. Dropping it ends them.
pub(crate) struct OrderedFutures<'a, K, T> {
    order: Ordered<K, (), T>,
    coming: FuturesUnordered<LocalBoxFuture<'a, (K, T)>>,
}

impl<K, T> Default for OrderedFutures<'_, K, T> {
    fn default() -> Self {
        Self { order: Ordered::default(), coming: FuturesUnordered::new() }
    }
}

impl<'a, K: Copy + Eq + Hash + 'a, T: 'a> OrderedFutures<'a, K, T> {
    /// Returns true for a key that is under way or here.
    pub(crate) fn has(&self, key: K) -> bool {
        self.order.has(key)
    }

    /// Starts what is [due](Ordered::due).
    pub(crate) fn ask<F: Future<Output = T> + 'a>(
        &mut self,
        wanted: impl Iterator<Item = K>,
        most: usize,
        start: impl Fn(K) -> F,
    ) {
        for key in self.order.due(wanted, most) {
            self.order.asked.insert(key, ());
            self.coming.push(start(key).map(move |value| (key, value)).boxed_local());
        }
    }

    /// Takes out the value for `key`, if it is here.
    pub(crate) fn take(&mut self, key: K) -> Option<T> {
        self.order.ready.remove(&key)
    }

    /// Puts a value back that is needed again.
    pub(crate) fn put(&mut self, key: K, value: T) {
        self.order.ready.insert(key, value);
    }

    /// Waits for the next value, whichever comes, and keeps it until it is taken. `None` when none is under way.
    pub(crate) async fn arrival(&mut self) -> Option<(K, &T)> {
        let (key, value) = self.coming.next().await?;
        self.order.asked.remove(&key);
        Some((key, self.order.ready.entry(key).insert_entry(value).into_mut()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::time::Duration;
    use tokio::time::{Instant, sleep};

    #[derive(Default)]
    struct Line {
        asked: RefCell<Vec<u64>>,
        open: Cell<usize>,
        most_open: Cell<usize>,
    }

    impl Line {
        /// Brings `key` after as many milliseconds as its last two digits say.
        async fn bring(&self, key: u64) -> u64 {
            self.asked.borrow_mut().push(key);
            self.open.set(self.open.get() + 1);
            self.most_open.set(self.most_open.get().max(self.open.get()));
            sleep(Duration::from_millis(key % 100)).await;
            self.open.set(self.open.get() - 1);
            key * 10
        }
    }

    /// Fetches `keys` in their order; after the first one, `then` is needed before the rest.
    async fn fetched(line: &Line, keys: &[u64], then: &[u64], most: usize) -> Vec<u64> {
        let (mut coming, mut out) = (OrderedFutures::default(), Vec::new());
        let mut wanted: Vec<u64> = keys.to_vec();
        while let Some(next) = wanted.first().copied() {
            coming.ask(wanted.iter().copied(), most, |key| line.bring(key));
            let value = loop {
                if let Some(value) = coming.take(next) {
                    break value;
                }
                coming.arrival().await.expect("it was asked for");
            };
            if out.is_empty() {
                wanted.splice(1..1, then.iter().copied());
            }
            out.push(value);
            wanted.remove(0);
            if wanted.first() == Some(&next) {
                coming.put(next, value);
            }
        }
        out
    }

    #[tokio::test(start_paused = true)]
    async fn values_come_in_the_order_in_which_they_are_needed_and_few_are_under_way() {
        let (line, begun) = (Line::default(), Instant::now());
        let keys = [150, 210, 310, 410, 505, 640];
        assert_eq!(fetched(&line, &keys, &[], 3).await, keys.map(|key| key * 10));
        assert_eq!(line.most_open.get(), 3);
        assert_eq!(*line.asked.borrow(), keys, "each once, the next one first");
        // 150, 210 and 310 at once; what came before its turn leaves no room for more until 150 is used.
        assert_eq!(begun.elapsed(), Duration::from_millis(50 + 40));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_before_the_rest_is_asked_for_though_the_window_is_full() {
        let line = Line::default();
        let all = fetched(&line, &[101, 290, 390, 490], &[502, 602, 702], 3).await;
        assert_eq!(all, [1010, 5020, 6020, 7020, 2900, 3900, 4900]);
        assert_eq!(line.asked.borrow().len(), 7, "nothing is asked for twice");
        assert!(line.most_open.get() <= 4, "{}", line.most_open.get());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_needed_again_at_once_is_fetched_once() {
        let line = Line::default();
        assert_eq!(fetched(&line, &[105, 105, 105, 207, 105], &[], 2).await, [1050, 1050, 1050, 2070, 1050]);
        assert_eq!(*line.asked.borrow(), [105, 207, 105]);
    }

    #[test]
    fn only_the_first_of_the_wanted_keys_are_due() {
        let mut order = Ordered::<u8, (), ()>::default();
        assert_eq!(order.due(1..9, 3), [1, 2, 3]);
        order.asked.extend([(2, ()), (7, ()), (8, ())]);
        order.ready.insert(3, ());
        assert_eq!(order.due(1..9, 4), [1]);
        assert_eq!(order.due(1..9, 1), [1], "the next one always");
        assert!(order.due(2..9, 2).is_empty());
        order.asked.clear();
        assert_eq!(order.due(1..9, 4), [1, 2, 4]);
    }
}
