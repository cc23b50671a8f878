//! Points in time as texts: IPNS writes them as RFC 3339, everything of ours is Unix seconds.

const DAY: i64 = 86_400;

/// 9999-12-31T23:59:59Z, the last second that RFC 3339 and HTTP have a date for.
pub const LAST: u64 = 253_402_300_799;

/// Reads an RFC 3339 time (`2026-07-24T12:00:00.5Z`, `…+02:00`) as Unix seconds, fractions cut off.
///
/// `None` for anything else, for years before 1970 and for leap seconds (Go's parser, which Kubo uses,
/// refuses them too).
pub fn from_rfc3339(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || bytes.len() > 40 || !text.is_ascii() {
        return None;
    }
    let digits = |from: usize, to: usize| -> Option<i64> {
        let part = bytes.get(from..to)?;
        part.iter().all(u8::is_ascii_digit).then(|| part.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
    };
    let is = |at: usize, c: u8| bytes.get(at) == Some(&c);
    if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut at = 19;
    if is(at, b'.') {
        let fraction = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    let offset = match bytes.get(at)? {
        b'Z' if bytes.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == at + 6 && is(at + 3, b':') => {
            let (hours, minutes) = (digits(at + 1, at + 3)?, digits(at + 4, at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'+' { 1 } else { -1 }
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset;
    u64::try_from(seconds).ok()
}

/// Writes Unix seconds as RFC 3339 in UTC; beyond the year 9999 the last second of that year.
pub fn to_rfc3339(unix: u64) -> String {
    let unix = unix.min(LAST).cast_signed();
    let (days, rest) = (unix / DAY, unix % DAY);
    // Civil date from a day count: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let z = days + 719_468;
    let era = z / 146_097;
    let of_era = z % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// A length of time for people: `40 s`, `12 min`, `5 h`, `3 d`.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
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
        ] {
            assert_eq!(from_rfc3339(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(unix in 0u64..253_402_300_799) {
            prop_assert_eq!(from_rfc3339(&to_rfc3339(unix)), Some(unix));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,45}", almost in "[0-9TZ:.+-]{15,40}") {
            let _ = (from_rfc3339(&text), from_rfc3339(&almost));
        }
    }
}
