//! Trimming to a quota: what was used longest ago goes first, never what is in use.

/// Something that takes room.
#[derive(Clone, Copy, Debug)]
pub struct HeldItem<T, A> {
    /// The thing itself.
    pub item: T,
    /// Its position in the order: the least goes first.
    pub age: A,
    /// Bytes.
    pub size: u64,
}

/// Removes the oldest of `held` until the rest `fits`, and returns the bytes of the rest.
///
/// `fits` is asked with the bytes that are left, before each removal. `remove` returns false for what stays because
/// it is in use; that counts as left.
///
/// # Errors
/// The first one of `remove`; what was removed before is gone.
pub(crate) fn trim<T, A: Ord, E>(
    mut held: Vec<HeldItem<T, A>>,
    mut fits: impl FnMut(u64) -> bool,
    mut remove: impl FnMut(&T) -> Result<bool, E>,
) -> Result<u64, E> {
    let mut left = held.iter().map(|one| one.size).sum();
    held.sort_by(|a, b| a.age.cmp(&b.age));
    for one in held {
        if fits(left) {
            break;
        }
        if remove(&one.item)? {
            left -= one.size;
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(all: &[(char, u32, u64)]) -> Vec<HeldItem<char, u32>> {
        all.iter().map(|(item, age, size)| HeldItem { item: *item, age: *age, size: *size }).collect()
    }

    #[test]
    fn the_oldest_go_first_and_no_more_than_needed() {
        let all = [('c', 3, 10), ('a', 1, 10), ('b', 2, 10), ('d', 4, 10)];
        for (most, gone) in [(40, ""), (39, "a"), (20, "ab"), (0, "abcd")] {
            let mut out = String::new();
            let left = trim(
                held(&all),
                |left| left <= most,
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
        let left = trim(
            held(&all),
            |left| left <= 10,
            |item| {
                out.push(*item);
                if *item == 'c' { Err("full") } else { Ok(*item != 'a') }
            },
        );
        assert_eq!((out.as_str(), left), ("abc", Err("full")));
        assert_eq!(trim(held(&all), |left| left <= 10, |item| Ok::<_, ()>(*item == 'b')), Ok(20));
    }
}
