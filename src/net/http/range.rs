//! `Content-Range` and `Retry-After`, read strictly: a wrong offset would put right bytes in the wrong place.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::time::{Duration, SystemTime};

/// `bytes FIRST-LAST/TOTAL` of a 206 answer (RFC 9110, section 14.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContentRange {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte.
    pub last: u64,
    /// Size of the whole file, when stated.
    pub total: Option<u64>,
}

impl ContentRange {
    /// Reads the header's value; `None` for anything that is not a sane byte range.
    pub fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.strip_prefix("bytes ")?.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
        let total = if total == "*" { None } else { Some(number(total)?) };
        let (first, last) = (number(first)?, number(last)?);
        (first <= last && total.is_none_or(|total| last < total)).then_some(Self { first, last, total })
    }
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3), seconds or a date, at most one hour; one minute when it is neither.
pub fn retry_after(text: &str) -> Duration {
    let date = || httpdate::parse_http_date(text.trim()).ok();
    let until = |date: SystemTime| date.duration_since(SystemTime::now()).unwrap_or_default();
    let seconds = text.trim().parse::<u64>().ok().map(Duration::from_secs);
    seconds.or_else(|| date().map(until)).unwrap_or(Duration::from_secs(60)).min(Duration::from_secs(3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sane_ranges_are_read() {
        let range = |first, last, total| Some(ContentRange { first, last, total });
        assert_eq!(ContentRange::parse("bytes 0-0/1"), range(0, 0, Some(1)));
        assert_eq!(ContentRange::parse("bytes 100-199/*"), range(100, 199, None));
    }

    #[test]
    fn nonsense_is_not_a_range() {
        for bad in ["", "bytes", "bytes 5-4/9", "bytes 0-9/9", "bytes */9", "items 0-1/2", "bytes +0-1/2", "bytes 0-1/"]
        {
            assert_eq!(ContentRange::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_wait_is_read_in_seconds_and_as_a_date() {
        assert_eq!(retry_after(" 7 "), Duration::from_secs(7));
        let said = |from_now: Duration| retry_after(&httpdate::fmt_http_date(SystemTime::now() + from_now));
        let wait = said(Duration::from_secs(600));
        assert!(wait <= Duration::from_secs(600) && wait > Duration::from_secs(300), "{wait:?}");
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Duration::ZERO, "it has passed");
        assert_eq!(said(Duration::from_secs(90_000)), Duration::from_secs(3600));
        assert_eq!(retry_after("soon"), Duration::from_secs(60));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".*") {
            let _ = ContentRange::parse(&text);
            assert!(retry_after(&text) <= Duration::from_secs(3600));
        }
    }
}
