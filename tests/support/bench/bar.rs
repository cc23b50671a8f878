//! The bar that a case must reach.

use std::fmt;

use super::measure::Figures;

/// A promise about figures.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// Ours divided by theirs, at most this: for times.
    RatioAtMost(f64),
    /// Ours divided by theirs, at least this: for speeds.
    RatioAtLeast(f64),
    /// Ours at most `times` theirs, and `plus` more.
    AtMost {
        /// The factor of theirs.
        times: f64,
        /// In the case's unit.
        plus: f64,
    },
    /// Ours at most this, independent of theirs.
    OursAtMost(f64),
    /// Shown for comparison, without a promise.
    None,
}

impl Bar {
    /// True if these figures keep it.
    pub fn is_met(self, figures: &Figures) -> bool {
        match self {
            Bar::RatioAtMost(bar) => figures.ratio <= bar,
            Bar::RatioAtLeast(bar) => figures.ratio >= bar,
            Bar::AtMost { times, plus } => figures.ours <= figures.theirs * times + plus,
            Bar::OursAtMost(bar) => figures.ours <= bar,
            Bar::None => true,
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bar::RatioAtMost(bar) => write!(f, "ratio <= {bar:?}"),
            Bar::RatioAtLeast(bar) => write!(f, "ratio >= {bar:?}"),
            Bar::AtMost { times, plus } if *times == 1.0 => write!(f, "ours <= theirs + {plus}"),
            Bar::AtMost { times, plus } => write!(f, "ours <= {times} theirs + {plus}"),
            Bar::OursAtMost(bar) => write!(f, "ours <= {bar}"),
            Bar::None => f.write_str("-"),
        }
    }
}
