//! The one place that decides what goes when a quota or the free space of a disk is exceeded, and what may still
//! come in.
//!
//! Pure: sizes and an order come in, decisions go out. The owner of the files says what stays whatever happens
//! (the user's own, what is open), and removes what is decided: `store.max` and room on a short disk
//! (`src/store/sweep.rs`, `evict.rs`, `room.rs`), `kubo.keep` (`src/pins/keep.rs`), `prefetch.max`
//! (`src/pacman/prefetch/choose.rs`), Kubo's own limit (`src/publish`).

use std::cell::Cell;
use std::convert::Infallible;

/// The limits of one collection of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Most bytes that it may hold.
    pub(crate) quota: u64,
    /// Bytes that stay free on its disk, whatever else fills it. 0: the disk is not looked at.
    pub(crate) min_free: u64,
}

/// Something that takes room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldItem<T, A> {
    /// The thing itself.
    pub(crate) item: T,
    /// Its position in the order: the least goes first. A time of last use makes it "least recently used first".
    pub(crate) age: A,
    /// Bytes.
    pub(crate) size: u64,
    /// True if it stays: the user keeps it, or it is open. It counts against the quota all the same.
    pub(crate) stays: bool,
}

impl<T, A> HeldItem<T, A> {
    /// Makes an item that may go.
    pub(crate) fn new(item: T, age: A, size: u64) -> Self {
        Self { item, age, size, stays: false }
    }
}

impl Budget {
    /// Makes the budget of a quota alone.
    pub(crate) const fn of(quota: u64) -> Self {
        Self { quota, min_free: 0 }
    }

    /// Makes the budget of a collection that may be of any size as long as `min_free` bytes stay free.
    pub(crate) const fn leaving(min_free: u64) -> Self {
        Self { quota: u64::MAX, min_free }
    }

    /// True if a collection of `held` bytes on a disk with `free` bytes exceeds neither limit.
    pub(crate) fn is_kept(&self, held: u64, free: u64) -> bool {
        held <= self.quota && free >= self.min_free
    }

    /// Returns the bytes that may be added to `held` bytes on a disk with `free` bytes.
    pub(crate) fn room(&self, held: u64, free: u64) -> u64 {
        self.quota.saturating_sub(held).min(free.saturating_sub(self.min_free))
    }

    /// Removes the least of `held` until the rest is within the budget, and returns the bytes of the rest.
    ///
    /// `free` is asked for the free bytes of the disk before each removal: other processes write to it as well.
    /// `remove` returns false for what turns out to be in use; that counts as left, and the next goes instead.
    ///
    /// # Errors
    /// The first one of `remove`; what was removed before is gone.
    pub(crate) fn trim<T, A: Ord, E>(
        &self,
        mut held: Vec<HeldItem<T, A>>,
        mut free: impl FnMut() -> u64,
        mut remove: impl FnMut(&T) -> Result<bool, E>,
    ) -> Result<u64, E> {
        let mut left: u64 = held.iter().fold(0, |sum, one| sum.saturating_add(one.size));
        held.sort_by(|a, b| a.age.cmp(&b.age));
        for one in held.iter().filter(|one| !one.stays) {
            if self.is_kept(left, free()) {
                break;
            }
            if remove(&one.item)? {
                left = left.saturating_sub(one.size);
            }
        }
        Ok(left)
    }

    /// Returns what has to go, in the order in which it goes, if each byte that goes becomes free.
    pub(crate) fn overflow<T: Clone, A: Ord>(&self, held: Vec<HeldItem<T, A>>, free: u64) -> Vec<T> {
        // The sizes are looked up by position, so that an item need not know its own.
        let sizes: Vec<u64> = held.iter().map(|one| one.size).collect();
        let (freed, mut go) = (Cell::new(0_u64), Vec::new());
        let held = held.into_iter().enumerate().map(|(at, one)| {
            let HeldItem { item, age, size, stays } = one;
            HeldItem { item: (at, item), age, size, stays }
        });
        let Ok(_left) = self.trim(
            held.collect(),
            || free.saturating_add(freed.get()),
            |(at, item)| {
                freed.set(freed.get().saturating_add(sizes[*at]));
                go.push(item.clone());
                Ok::<_, Infallible>(true)
            },
        );
        go
    }

    /// Begins to fill a collection from nothing, on a disk with `free` bytes.
    pub(crate) fn filling(self, free: u64) -> Filling {
        Filling { budget: self, held: 0, free }
    }
}

/// A collection that is being chosen: what is admitted fits, all of it together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filling {
    budget: Budget,
    held: u64,
    free: u64,
}

impl Filling {
    /// Admits `size` bytes if they fit beside what was admitted before. What does not fit keeps nothing smaller out.
    pub(crate) fn admit(&mut self, size: u64) -> bool {
        let fits = size <= self.budget.room(self.held, self.free);
        if fits {
            self.held += size;
            self.free -= size;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn held(all: &[(char, u32, u64)]) -> Vec<HeldItem<char, u32>> {
        all.iter().map(|(item, age, size)| HeldItem::new(*item, *age, *size)).collect()
    }

    #[test]
    fn the_oldest_go_first_and_no_more_than_needed() {
        let all = [('c', 3, 10), ('a', 1, 10), ('b', 2, 10), ('d', 4, 10)];
        for (most, gone) in [(40, ""), (39, "a"), (20, "ab"), (0, "abcd")] {
            let mut out = String::new();
            let left = Budget::of(most).trim(
                held(&all),
                || 0,
                |item| {
                    out.push(*item);
                    Ok::<_, ()>(true)
                },
            );
            assert_eq!((out.as_str(), left), (gone, Ok(40 - 10 * gone.len() as u64)), "{most}");
        }
    }

    #[test]
    fn what_is_in_use_stays_and_counts_and_an_error_ends_it() {
        let all = [('a', 1, 10), ('b', 2, 10), ('c', 3, 10)];
        let mut out = String::new();
        let left = Budget::of(10).trim(
            held(&all),
            || 0,
            |item| {
                out.push(*item);
                if *item == 'c' { Err("full") } else { Ok(*item != 'a') }
            },
        );
        assert_eq!((out.as_str(), left), ("abc", Err("full")));
        let left = Budget::of(10).trim(held(&all), || 0, |item| Ok::<_, ()>(*item == 'b'));
        assert_eq!(left, Ok(20));
    }

    #[test]
    fn a_full_disk_makes_files_go_though_the_quota_is_kept() {
        let all = held(&[('a', 1, 10), ('b', 2, 10), ('c', 3, 10)]);
        let budget = Budget { quota: 100, min_free: 25 };
        assert_eq!(budget.overflow(all.clone(), 10), ['a', 'b']);
        assert!(budget.overflow(all.clone(), 25).is_empty());
        let (freed, mut gone) = (Cell::new(0), String::new());
        // Another process takes half of what becomes free.
        let left = budget.trim(
            all,
            || 10 + freed.get() / 2,
            |item| {
                freed.set(freed.get() + 10);
                gone.push(*item);
                Ok::<_, ()>(true)
            },
        );
        assert_eq!((gone.as_str(), left), ("abc", Ok(0)));
    }

    /// One item as the properties make it: its age, its size, true if it stays, true if it turns out to be in use.
    fn items() -> impl Strategy<Value = Vec<(u8, u64, bool, bool)>> {
        prop::collection::vec((any::<u8>(), 0_u64..1000, any::<bool>(), any::<bool>()), 0..40)
    }

    proptest! {
        #[test]
        fn after_trimming_the_budget_is_kept_or_all_that_is_left_is_in_use(
            items in items(), quota in 0_u64..10_000, min_free in 0_u64..10_000, free in 0_u64..10_000,
        ) {
            let budget = Budget { quota, min_free };
            let (now_free, mut order) = (Cell::new(free), Vec::new());
            let held: Vec<_> = items.iter().enumerate().map(|(at, (age, size, stays, _))| {
                HeldItem { item: at, age: *age, size: *size, stays: *stays }
            }).collect();
            let mut gone = vec![false; items.len()];
            let mut last_within = None;
            let left = budget.trim(held, || now_free.get(), |at| {
                let (age, size, stays, in_use) = items[*at];
                assert!(!stays, "what stays is never proposed");
                order.push(age);
                if !in_use {
                    let before: u64 = items.iter().zip(&gone).filter(|(_, gone)| !**gone).map(|(one, _)| one.1).sum();
                    last_within = Some(budget.is_kept(before, now_free.get()));
                    now_free.set(now_free.get() + size);
                    gone[*at] = true;
                }
                Ok::<_, Infallible>(!in_use)
            });
            let Ok(left) = left;
            let rest: u64 = items.iter().zip(&gone).filter(|(_, gone)| !**gone).map(|(one, _)| one.1).sum();
            prop_assert_eq!(left, rest);
            let in_use_alone = items.iter().zip(&gone).all(|((_, _, stays, in_use), gone)| *gone || *stays || *in_use);
            prop_assert!(budget.is_kept(left, now_free.get()) || in_use_alone);
            prop_assert!(order.is_sorted(), "the order of removal: {:?}", order);
            prop_assert!(last_within != Some(true), "one more than needed");
        }

        #[test]
        fn what_overflows_is_what_trimming_would_remove(
            items in items(), quota in 0_u64..10_000, min_free in 0_u64..10_000, free in 0_u64..10_000,
        ) {
            let budget = Budget { quota, min_free };
            let held: Vec<_> = items.iter().enumerate().map(|(at, (age, size, stays, _))| {
                HeldItem { item: at, age: *age, size: *size, stays: *stays }
            }).collect();
            let now_free = Cell::new(free);
            let mut removed = Vec::new();
            let Ok(_) = budget.trim(held.clone(), || now_free.get(), |at| {
                now_free.set(now_free.get() + items[*at].1);
                removed.push(*at);
                Ok::<_, Infallible>(true)
            });
            prop_assert_eq!(budget.overflow(held, free), removed);
        }

        #[test]
        fn what_is_admitted_fits_all_together(
            sizes in prop::collection::vec(any::<u64>(), 0..20), quota: u64, min_free: u64, free: u64,
        ) {
            let budget = Budget { quota, min_free };
            let mut filling = budget.filling(free);
            let taken: u128 = sizes.iter().filter(|size| filling.admit(**size)).map(|size| u128::from(*size)).sum();
            prop_assert!(taken <= u128::from(quota));
            prop_assert!(taken == 0 || u128::from(free) - taken >= u128::from(min_free));
        }
    }
}
