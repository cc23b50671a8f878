//! The sums of the journal, and what they come to in words: as `pkgswarm stats` and the page say it.

use jiff::tz::TimeZone;

use crate::base::error::Error;
use crate::base::name::FileName;
use crate::config::Settings;
use crate::config::value::show_size;
use crate::machine::lists;
use crate::store::stats::Stats;

/// Sums over the journals of all stores that this user may read, from `since` on, Unix seconds.
///
/// # Errors
/// `Local` when one cannot be read.
pub(crate) fn read(settings: &Settings, zone: &TimeZone, since: u64) -> Result<Stats, Error> {
    Stats::read(&settings.stores, zone, since, is_database)
}

fn is_database(name: &FileName) -> bool {
    lists::read(name).shape.kind.is_of_database()
}

/// Says in a line what was saved.
pub(crate) fn result(stats: &Stats) -> String {
    let saved = stats.saved();
    let amount = show_size(u64::try_from(saved.unsigned_abs()).unwrap_or(u64::MAX));
    let share = if stats.delivered == 0 { 0 } else { saved * 100 / i128::from(stats.delivered) };
    let seconds = stats.seconds_saved().filter(|seconds| *seconds >= 1.0);
    let time = seconds.map(|seconds| format!(" and about {}", show_seconds(seconds))).unwrap_or_default();
    match saved {
        1.. => format!("Saved {amount} of mirror traffic ({share} %){time}"),
        0 => "No mirror traffic was saved yet".to_owned(),
        _ => format!("{amount} more came from mirrors than was delivered: for later, or discarded"),
    }
}

/// Returns the sources as people call them, the largest first, each with its bytes and files, and last what was here
/// already.
pub(crate) fn by_source(stats: &Stats) -> Vec<(String, u64, Option<u64>)> {
    let of_source =
        stats.sources.iter().map(|(source, sent)| (spoken(source).to_owned(), sent.bytes, Some(sent.files)));
    let mut rows: Vec<_> = of_source.collect();
    rows.sort_by_key(|(_, bytes, _)| std::cmp::Reverse(*bytes));
    if stats.here() > 0 {
        rows.push(("here already".to_owned(), stats.here(), None));
    }
    rows
}

/// Returns a source as people call it.
pub(crate) fn spoken(source: &str) -> &str {
    match source {
        "lan" => "neighbours",
        "kubo" => "Kubo",
        other => other.strip_prefix("mirror ").or_else(|| other.strip_prefix("lan ")).unwrap_or(other),
    }
}

/// Prints a time: `-3 s`, `4 min 10 s`, `2 h 5 min`.
pub(crate) fn show_seconds(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "-" } else { "" };
    let whole = seconds.abs().round() as u64;
    match whole {
        0..60 => format!("{sign}{:.1} s", seconds.abs()),
        60..3600 => format!("{sign}{} min {} s", whole / 60, whole % 60),
        _ => format!("{sign}{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_shown_in_its_two_largest_units() {
        let shown: Vec<_> = [0.25, -3.0, 250.0, 7500.0].into_iter().map(show_seconds).collect();
        assert_eq!(shown, ["0.2 s", "-3.0 s", "4 min 10 s", "2 h 5 min"]);
    }
}
