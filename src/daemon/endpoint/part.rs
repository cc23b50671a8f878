//! The part of a file that a client wants, and whether it has the file already: `Range`, `If-Range` and
//! `If-Modified-Since` (RFC 9110, sections 13 and 14).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::time::{Duration, SystemTime};

use http_range_header::parse_range_header;

use crate::base::clock;

/// The part of a file to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FilePart {
    /// All of it.
    Whole,
    /// The bytes from the first number on, up to and without the second.
    Range(u64, u64),
    /// None of it: the client asks for bytes behind its end.
    Beyond,
}

impl FilePart {
    /// Reads the value of a `Range` header about a file of `size` bytes. Many ranges at a time, and what is no range of
    /// bytes, are ignored: pacman sends one.
    pub fn of(range: Option<&str>, size: u64) -> Self {
        let Some(Ok(parsed)) = range.map(parse_range_header) else { return Self::Whole };
        if parsed.ranges.len() != 1 {
            return Self::Whole;
        }
        let first =
            if size == 0 { None } else { parsed.validate(size).ok().and_then(|ranges| ranges.first().cloned()) };
        first.map_or(Self::Beyond, |range| Self::Range(*range.start(), range.end().saturating_add(1).min(size)))
    }

    /// Returns the bytes that it covers of a file of `size` bytes: the first, and the end.
    pub fn bytes(self, size: u64) -> (u64, u64) {
        match self {
            Self::Whole => (0, size),
            Self::Range(from, until) => (from, until),
            Self::Beyond => (size, size),
        }
    }
}

/// Returns true when a client that has the file as of `since`, the value of `If-Modified-Since`, has the one that was
/// `modified` then. Seconds count, as in the header.
pub fn is_current(since: Option<&str>, modified: Option<SystemTime>) -> bool {
    let has = since.and_then(|since| httpdate::parse_http_date(since).ok());
    has.zip(modified).is_some_and(|(has, modified)| modified < has + Duration::from_secs(1))
}

/// Returns true when a range may be sent to a client that names the file by its date, the value of `If-Range`.
pub fn is_same(if_range: Option<&str>, modified: Option<SystemTime>) -> bool {
    let Some(named) = if_range else { return true };
    let named = httpdate::parse_http_date(named).ok().and_then(clock::checked_unix);
    named.is_some() && named == modified.and_then(clock::checked_unix)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn one_range_of_bytes_is_heeded_and_all_else_is_the_whole_file() {
        use FilePart::{Beyond, Range, Whole};
        for (text, part) in [
            ("bytes=0-", Range(0, 10)),
            ("bytes=3-", Range(3, 10)),
            ("bytes=3-5", Range(3, 6)),
            ("bytes=3-500", Range(3, 10)),
            ("bytes=-4", Range(6, 10)),
            ("bytes=10-", Beyond),
            ("bytes=99999999999999999999-", Whole),
            ("bytes=-0", Whole),
            ("bytes=5-3", Beyond),
            ("bytes=0-1,3-4", Whole),
            ("items=0-1", Whole),
            ("bytes=", Whole),
            ("", Whole),
        ] {
            assert_eq!(FilePart::of(Some(text), 10), part, "{text:?}");
        }
        assert_eq!((FilePart::of(None, 10), FilePart::of(Some("bytes=0-"), 0)), (Whole, Beyond));
        assert_eq!([Whole, Range(3, 6), Beyond].map(|part| part.bytes(10)), [(0, 10), (3, 6), (10, 10)]);
    }

    #[test]
    fn a_date_is_compared_to_the_second() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let text = httpdate::fmt_http_date(at(1000));
        let has = |modified| is_current(Some(&text), modified);
        assert!(has(Some(at(1000) + Duration::from_millis(900))) && has(Some(at(5))));
        assert!(
            !has(Some(at(1001)))
                && !has(None)
                && !is_current(None, Some(at(5)))
                && !is_current(Some("soon"), Some(at(5)))
        );
        assert!(is_same(None, None) && is_same(Some(&text), Some(at(1000))));
        assert!(
            !is_same(Some(&text), Some(at(999)))
                && !is_same(Some("\"etag\""), Some(at(1000)))
                && !is_same(Some(&text), None)
        );
    }

    proptest::proptest! {
        #[test]
        fn any_range_lies_in_the_file(text in ".{0,40}", size in proptest::prelude::any::<u64>()) {
            for text in [text.clone(), format!("bytes={text}")] {
                if let FilePart::Range(from, until) = FilePart::of(Some(&text), size) {
                    assert!(from < until && until <= size);
                }
            }
        }
    }
}
