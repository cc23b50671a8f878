//! The two lines of a file on a terminal, in the columns of pacman's own downloader: they share its screen.
//!
//! ```text
//!  zlib-1.3.1-2-any                91.3 KiB  mirror.example
//!  firefox-140.0-1-any             29.3 MiB  6.39 MiB/s 00:02 [###########---------]  48%  and 5 more, 23.2 MiB
//! ```
//!
//! pacman gives the name six tenths of the columns less 30, and at least 20 (pacman 7.1, src/pacman/callback.c,
//! `draw_pacman_progress_bar`). Pure: the columns are passed in.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use crate::base::name::shown;
use crate::config::value::show_size;
use crate::lists::pacman::names;
use crate::report::columns::{cut, width};

/// Columns of a size: `1023.9 KiB`.
const SIZE: usize = 10;

/// Fewest columns of a bar.
const BAR_LEAST: usize = 10;

/// Fewest columns with a rate.
const WITH_RATE: usize = 70;

/// Columns with a bar of [`BAR_LEAST`] beside the name, without a rate.
const AROUND_NAME: usize = 1 + 1 + SIZE + 6 + BAR_LEAST + 8;

/// The packages that a run has still to fetch, and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rest {
    /// Packages of which some bytes are missing.
    pub packages: usize,
    /// Missing bytes.
    pub(crate) bytes: u64,
}

/// The state of a file that is arriving.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct BarState<'a> {
    pub(super) name: &'a str,
    pub(super) bytes: u64,
    pub(super) total: Option<u64>,
    /// Bytes a second, once known.
    pub(super) rate: Option<u64>,
    /// The source; empty when it is none that a user knows.
    pub(super) from: &'a str,
    pub(super) rest: Option<Rest>,
}

/// Returns the columns of a name.
pub(super) fn name_columns(columns: usize) -> usize {
    match columns >= AROUND_NAME + 20 {
        true => (columns * 6 / 10).max(50) - 30,
        false => columns.saturating_sub(AROUND_NAME).max(8),
    }
}

/// Returns a file name as pacman shows it: without what all packages have at their end.
pub(super) fn short_name(name: &str) -> String {
    shown(&names::short(name)).into_owned()
}

/// Returns the beginning of a line: name and size.
pub(super) fn name_and_size(name: &str, size: u64, columns: usize) -> String {
    let most = name_columns(columns);
    let name = short_name(name);
    let name = cut(&name, most);
    let room = most - width(&name);
    format!(" {name}{:room$} {:>SIZE$}", "", show_size(size))
}

/// Returns the line of a file that is arriving, of at most `columns` columns.
pub(super) fn bar(state: &BarState<'_>, columns: usize) -> String {
    let BarState { name, bytes, total, rate, .. } = *state;
    let mut line = name_and_size(name, total.unwrap_or(bytes), columns);
    if columns >= WITH_RATE {
        line += &format!("  {:>10}", rate.map(show_rate).unwrap_or_default());
    }
    let Some(total) = total.filter(|total| *total > 0) else {
        let from = if state.from.is_empty() { String::new() } else { format!("  {}", shown(state.from)) };
        return fitted(&(line + &from), columns);
    };
    let bytes = bytes.min(total);
    let percent = u64::try_from(u128::from(bytes) * 100 / u128::from(total)).unwrap_or(100);
    line += &format!(" {}", time_left(total - bytes, rate));
    // ` [`, the bar, `] 100%`
    let Some(room) = columns.checked_sub(width(&line) + 8 + BAR_LEAST) else {
        return fitted(&format!("{} {percent:>3}%", cut(&line, columns.saturating_sub(5))), columns);
    };
    let fits = |(end, more): &(String, usize)| width(end) + more <= room;
    let end = endings(state).into_iter().find(fits).map_or_else(String::new, |(end, _)| end);
    let bar = room - width(&end) + BAR_LEAST;
    let full = usize::try_from(bytes as u128 * bar as u128 / u128::from(total)).unwrap_or(bar);
    fitted(&format!("{line} [{}{}] {percent:>3}%{end}", "#".repeat(full), "-".repeat(bar - full)), columns)
}

/// Lists what may stand after the bar, the best first, each with the columns that the bar must have beyond its least.
fn endings(state: &BarState<'_>) -> Vec<(String, usize)> {
    let from = shown(state.from);
    let with_source = |rest: &str| (!from.is_empty()).then(|| (format!("  {from}{rest}"), BAR_LEAST));
    let Some(Rest { packages, bytes }) = state.rest.filter(|rest| rest.packages > 0) else {
        return with_source("").into_iter().collect();
    };
    let size = show_size(bytes);
    let rest = [
        format!("  and {packages} more, {size}"),
        format!("  {packages} more, {size}"),
        format!("  and {packages} more"),
        format!("  +{packages}"),
    ];
    with_source(&format!(", and {packages} more, {size}")).into_iter().chain(rest.map(|rest| (rest, 0))).collect()
}

/// Returns a rate in ten columns, with the digits that pacman gives it: `6.39 MiB/s`, `91.3 KiB/s`, ` 512   B/s`.
fn show_rate(rate: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let (unit, scale) = units.into_iter().find(|(_, shift)| rate >= 1 << shift).unwrap_or(("B", 0));
    let rate = rate as f64 / (1u64 << scale) as f64;
    let digits = if scale == 0 || rate >= 99.95 {
        0
    } else if rate >= 9.995 {
        1
    } else {
        2
    };
    format!("{rate:>4.digits$} {unit:>3}/s")
}

/// Returns minutes and seconds, as pacman does; dashes when that is not known, or more than they can say.
fn time_left(bytes: u64, rate: Option<u64>) -> String {
    let seconds = rate.filter(|rate| *rate > 0).map(|rate| bytes.div_ceil(rate)).filter(|seconds| *seconds < 6000);
    seconds.map_or("--:--".to_owned(), |seconds| format!("{:02}:{:02}", seconds / 60, seconds % 60))
}

/// Cuts what a terminal of fewer columns than any line needs cannot show.
fn fitted(line: &str, columns: usize) -> String {
    cut(line, columns).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX: BarState<'static> = BarState {
        name: "firefox-140.0-1-any.pkg.tar.zst",
        bytes: 14_746_000,
        total: Some(30_722_137),
        rate: Some(6_700_000),
        from: "mirror.example",
        rest: Some(Rest { packages: 5, bytes: 24_327_000 }),
    };

    #[test]
    fn the_columns_are_those_of_pacman() {
        for (columns, line) in [
            (60, " firefox-140.0-1-any    29.3 MiB 00:03 [####------]  47%  +5"),
            (80, " firefox-140.0-1-any    29.3 MiB  6.39 MiB/s 00:03 [####------]  47%  and 5 more"),
            (
                100,
                " firefox-140.0-1-any              29.3 MiB  6.39 MiB/s 00:03 [####------]  47%  and 5 more, 23.2 MiB",
            ),
        ] {
            assert_eq!(bar(&FIREFOX, columns).trim_end(), line.trim_end(), "{columns}");
        }
        let wide = bar(&FIREFOX, 200);
        assert!(wide.ends_with("]  47%  mirror.example, and 5 more, 23.2 MiB"), "{wide}");
        assert_eq!(width(&wide), 200);
        assert_eq!([60, 80, 100, 200].map(name_columns), [20, 20, 30, 90]);
    }

    #[test]
    fn no_bar_is_wider_than_the_terminal_and_none_is_shorter_than_ten() {
        let wide = "日本語のパッケージ名前はここにあります-1.0-1-any.pkg.tar.zst";
        let odd = "a\u{202e}b\u{7}c-1-1-any.pkg.tar.zst";
        let long = format!("{}-1.0-1-x86_64.pkg.tar.zst", "x".repeat(200));
        for columns in (1..=130).chain([200, 500]) {
            for name in ["a", "firefox-140.0-1-any.pkg.tar.zst.sig", wide, odd, &long] {
                for total in [None, Some(0), Some(17), Some(999_999_999_999), Some(u64::MAX)] {
                    for (rate, packages) in [(None, 0), (Some(0), 1), (Some(999_999_999_999), 999)] {
                        let rest = Some(Rest { packages, bytes: 999_999_999_999 });
                        let state = BarState { name, bytes: 999_999_999, total, rate, from: wide, rest };
                        let line = bar(&state, columns);
                        assert!(width(&line) <= columns, "{columns}: {line:?}");
                        assert!(!line.chars().any(crate::base::name::is_hidden), "{line:?}");
                        let bar = line.split_once('[').map(|(_, rest)| rest.split(']').next().unwrap().len());
                        assert!(bar.is_none_or(|bar| bar >= BAR_LEAST), "{columns}: {line:?}");
                        let is_sized = total.is_some_and(|total| (1..1 << 50).contains(&total));
                        assert!(columns < 60 || !is_sized || bar.is_some(), "{line:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_name_is_without_its_end_and_a_rate_has_ten_columns() {
        let names = ["zlib-1.3.1-2-any.pkg.tar.zst", "zlib-1.3.1-2-any.pkg.tar.zst.sig", "core.db", "core.db.sig"];
        assert_eq!(names.map(short_name), ["zlib-1.3.1-2-any", "zlib-1.3.1-2-any.sig", "core.db", "core.db.sig"]);
        let rates = [0, 512, 1023, 93_491, 1_047_552, 6_700_000, 12_000_000, 999_999_999_999];
        let shown = ["   0   B/s", " 512   B/s", "1023   B/s", "91.3 KiB/s", "1023 KiB/s", "6.39 MiB/s", "11.4 MiB/s"];
        assert_eq!(rates[..7].iter().map(|rate| show_rate(*rate)).collect::<Vec<_>>(), shown);
        assert_eq!(show_rate(rates[7]), " 931 GiB/s");
        assert_eq!(time_left(100, Some(10)), "00:10");
        assert_eq!([time_left(1, None), time_left(1, Some(0)), time_left(u64::MAX, Some(1))], ["--:--"; 3]);
    }
}
