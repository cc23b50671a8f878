//! Points in time as texts: IPNS writes them as RFC 3339, our own formats have Unix seconds.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use jiff::SignedDuration;
use jiff::civil::DateTime;

/// 9999-12-31T23:59:59Z, the last second that RFC 3339 and HTTP have a date for.
pub const LAST: u64 = 253_402_300_799;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Reads an RFC 3339 time (`2026-07-24T12:00:00.5Z`, `…+02:00`) as Unix seconds, fractions cut off.
///
/// `None` for anything else, for years before 1970 and for leap seconds (Go's parser, which Kubo uses,
/// refuses them too).
pub fn from_rfc3339(text: &str) -> Option<u64> {
    // jiff reads all of ISO 8601, of which RFC 3339 is a part; its type with a zone ends a day before LAST.
    let (moment, rest) = text.split_at_checked(19)?;
    if text.len() > 40 || !has_shape(moment, "0000-00-00T00:00:00") || moment.ends_with(":60") {
        return None;
    }
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            (zone.len() < fraction.len()).then_some(zone)?
        }
        None => rest,
    };
    let seconds = moment.parse::<DateTime>().ok()?.duration_since(EPOCH).as_secs() - offset(zone)?;
    u64::try_from(seconds).ok()
}

/// Reads `Z` or `+02:00` as seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let is_offset = has_shape(zone, "+00:00") || has_shape(zone, "-00:00");
    let (hours, minutes) = zone.get(1..).filter(|_| is_offset)?.split_once(':')?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let east = hours * 3600 + minutes * 60;
    (hours < 24 && minutes < 60).then_some(if zone.starts_with('-') { -east } else { east })
}

/// True when `text` is `shape` with any digits in place of zeros.
fn has_shape(text: &str, shape: &str) -> bool {
    let fits = |(byte, wanted): (u8, u8)| byte == wanted || wanted == b'0' && byte.is_ascii_digit();
    text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits)
}

/// Writes Unix seconds as RFC 3339 in UTC; beyond the year 9999 the last second of that year.
pub fn to_rfc3339(unix: u64) -> String {
    let since = SignedDuration::from_secs(unix.min(LAST).cast_signed());
    format!("{}Z", EPOCH.checked_add(since).expect("civil time has every second up to LAST"))
}

/// Formats a length of time for people: `40 s`, `12 min`, `5 h`, `3 d`.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_times_are_read() {
        for (text, unix) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59.999999999Z", 951_868_799),
            ("2026-07-24T12:00:00+02:00", 1_784_887_200),
            ("2123-08-14T12:34:55.678Z", 4_847_690_095),
            ("2026-07-24T12:00:00.1234567890123Z", 1_784_894_400),
            ("1969-12-31T23:59:59-00:01", 59),
            ("9999-12-31T23:59:59Z", LAST),
        ] {
            assert_eq!(from_rfc3339(text), Some(unix), "{text}");
        }
    }

    #[test]
    fn times_that_are_not_are_refused() {
        for bad in [
            "",
            "2026-07-24T12:00:00",
            "2026-02-29T12:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-07-24T24:00:00Z",
            "2026-07-24T12:00:00.Z",
            "2026-07-24T12:00:00Zx",
            "1969-12-31T23:59:59Z",
            "2026-07-24t12:00:00Z",
            "+026-07-24T12:00:00Z",
            "2026-07-24T12:00:60Z",
            "2026-07-24 12:00:00Z",
            "2026-07-24T12:00:00z",
            "2026-07-24T12:00:00+0200",
            "2026-07-24T12:00:00+24:00",
            "2026-07-24T12:00:00+02:60",
            "2026-07-24T12:00:00+02:00[Europe/Berlin]",
            "2026-07-24T12:00:00+0é:0",
            "2026-07-24T12:00Z",
        ] {
            assert_eq!(from_rfc3339(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(unix in 0u64..=LAST) {
            prop_assert_eq!(from_rfc3339(&to_rfc3339(unix)), Some(unix));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,45}", almost in "[0-9TZ:.+-]{15,40}") {
            let _ = (from_rfc3339(&text), from_rfc3339(&almost));
        }
    }
}
