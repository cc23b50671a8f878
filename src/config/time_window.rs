//! A time of day in which something may happen, as in `prefetch.window`.

use std::fmt;

/// A time of day, every day.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum TimeWindow {
    /// Always.
    #[default]
    Any,
    /// From one minute of the day until before another one; over midnight when that is not later.
    From(u16, u16),
}

impl TimeWindow {
    /// Reads `any` or `22:00-06:30`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "any" {
            return Some(Self::Any);
        }
        let minute = |text: &str| -> Option<u16> {
            let (hour, minute) = text.trim().split_once(':')?;
            let two = |text: &str, most: u16| -> Option<u16> {
                let plain = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
                plain.then(|| text.parse().ok()).flatten().filter(|number| *number <= most)
            };
            Some(two(hour, 23)? * 60 + two(minute, 59)?)
        };
        let (from, until) = text.split_once('-')?;
        Some(Self::From(minute(from)?, minute(until)?))
    }
}

impl fmt::Display for TimeWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        match *self {
            Self::Any => f.write_str("any"),
            Self::From(from, until) => write!(f, "{}-{}", clock(from), clock(until)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_two_times_of_day() {
        assert_eq!(TimeWindow::parse("any"), Some(TimeWindow::Any));
        assert_eq!(TimeWindow::parse("22:00-06:30"), Some(TimeWindow::From(1320, 390)));
        assert_eq!(TimeWindow::parse("00:00 - 23:59"), Some(TimeWindow::From(0, 1439)));
        for bad in ["", "22-6", "24:00-01:00", "1:00-2:00", "10:60-11:00", "+1:00-02:00", "10:00"] {
            assert_eq!(TimeWindow::parse(bad), None, "{bad}");
        }
    }
}
