//! Unix time: every date that is kept or sent counts in seconds since 1970.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns `time` as seconds since 1970; 0 for anything before.
pub(crate) fn unix(time: SystemTime) -> u64 {
    checked_unix(time).unwrap_or(0)
}

/// Returns `time` as seconds since 1970; `None` for anything before.
pub(crate) fn checked_unix(time: SystemTime) -> Option<u64> {
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// Returns this moment as seconds since 1970; 0 on a clock that stands before.
pub(crate) fn now() -> u64 {
    unix(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_before_1970_is_zero_or_nothing() {
        let before = UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!((unix(before), checked_unix(before)), (0, None));
        assert_eq!(unix(UNIX_EPOCH + Duration::from_millis(1999)), 1);
    }
}
