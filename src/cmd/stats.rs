//! `pkgswarm stats`: bytes by source and day, and the savings.

use std::io::Write as _;
use std::time::SystemTime;

use jiff::tz::TimeZone;

use crate::base::env::Env;
use crate::cmd::cli::StatsArgs;
use crate::cmd::screen::{Column, Grid, Screen};
use crate::config::Settings;
use crate::config::value::show_size;
use crate::host::inspect::Inspection;
use crate::host::overview::documents;
use crate::host::overview::given::GivenSums;
use crate::host::overview::sums::{self, show_seconds, spoken};
use crate::pacman::handover::{self, HandoverTarget};
use crate::report::cell::Cell;
use crate::report::columns::Tone;
use crate::report::counted;
use crate::store::stats::{self, Day, Stats};

/// Cells of the longest bar of a day, where the terminal has room for it.
const BAR: u64 = 48;
/// Columns of a day before its bar.
const DAY: usize = 24;
/// Cells of the longest bar of a source.
const SOURCE_BAR: usize = 20;

/// The symbol of each kind of source, the nearest first.
const KINDS: &[(&str, char)] =
    &[("here", '░'), ("file", '·'), ("lan", '▞'), ("kubo", '█'), ("gateway", '▓'), ("mirror", '▒')];

/// The symbol of kinds without a row in [`KINDS`].
const OTHER: char = '◦';

/// Runs the command.
pub(crate) fn run(env: &Env, settings: &Settings, args: &StatsArgs) -> anyhow::Result<u8> {
    handover::through(env, settings, &HandoverTarget::Nowhere, |settings| run_here(env, settings, args))
}

fn run_here(env: &Env, settings: &Settings, args: &StatsArgs) -> anyhow::Result<u8> {
    let zone = TimeZone::system();
    let stats = sums::read(settings, &zone, stats::since(&zone, args.days))?;
    let given = GivenSums::of(settings, &Inspection::giving(env, settings, SystemTime::now()));
    match args.json {
        true => writeln!(crate::report::out(), "{}", documents::stats(&stats, &given))?,
        false => page(Screen::new(env), &stats, &given, args.days).show()?,
    }
    Ok(0)
}

/// Lays the sums out: the result, the sources, the days, and what this machine gives and keeps.
fn page(screen: Screen, stats: &Stats, given: &GivenSums, days: u32) -> Screen {
    let mut screen = transfers(screen, stats, days);
    let lines = given.lines();
    if !lines.is_empty() {
        screen.gap();
        lines.into_iter().for_each(|line| screen.line(line));
    }
    screen
}

fn transfers(mut screen: Screen, stats: &Stats, days: u32) -> Screen {
    let span = match days {
        0 => "Ever".to_owned(),
        1 => "Today".to_owned(),
        days => format!("Last {days} days"),
    };
    if stats.days.is_empty() {
        screen.line(format!("{span}: nothing was fetched or delivered"));
        return screen;
    }
    screen.line(Cell::of(sums::result(stats), Tone::Strong));
    let mut line = format!("{span}: {} delivered, {}", counted(stats.files, "file"), show_size(stats.delivered));
    if stats.databases.files > 0 {
        line +=
            &format!("; {} of them, {}", counted(stats.databases.files, "database"), show_size(stats.databases.bytes));
    }
    screen.line(line);
    screen.gap();
    let chart = screen.paper().is_terminal;
    screen.grid(&sources(stats, chart));
    if let (Some(seconds), Some(mirrors)) = (stats.seconds_saved(), stats.yardstick()) {
        screen.gap();
        screen.line(Cell::quiet(format!(
            "Time saved: {} (estimated: mirrors gave {}/s after {} ms, over {})",
            show_seconds(seconds),
            show_size(mirrors.rate as u64),
            mirrors.wait,
            counted(mirrors.files, "file")
        )));
    }
    screen.gap();
    let cells = (screen.width().saturating_sub(DAY) as u64).min(BAR);
    let most = stats.days.values().map(Day::total).max().unwrap_or(1).max(1);
    let mut grid = Grid::of(&[Column::of("DAY"), Column::figure("DELIVERED"), Column::of("").or_none()]);
    for (day, sums) in &stats.days {
        let bar = if chart { bar(sums, most, cells) } else { String::new() };
        grid.row([day.into(), show_size(sums.delivered).into(), bar.into()]);
    }
    screen.grid(&grid);
    if chart {
        let legend: Vec<_> = KINDS.iter().map(|(kind, glyph)| format!("{glyph} {}", spoken(kind))).collect();
        screen.line(Cell::quiet(legend.join("  ")));
    }
    screen
}

/// Lists the sources, the largest first, and what was here already.
fn sources(stats: &Stats, chart: bool) -> Grid {
    let rows = sums::by_source(stats);
    let all: u64 = rows.iter().map(|(_, bytes, _)| bytes).sum::<u64>().max(1);
    let most = rows.iter().map(|(_, bytes, _)| *bytes).max().unwrap_or(1).max(1);
    let columns = [
        Column::name("SOURCE"),
        Column::figure("BYTES"),
        Column::figure("SHARE"),
        Column::figure("FILES"),
        Column::of("").or_none(),
    ];
    let mut grid = Grid::of(&columns);
    for (source, bytes, files) in rows {
        let files = files.map(|files| files.to_string()).unwrap_or_default();
        let share = format!("{} %", u128::from(bytes) * 100 / u128::from(all));
        let cells = (u128::from(bytes) * SOURCE_BAR as u128).div_ceil(u128::from(most)) as usize;
        let bar = if chart { "█".repeat(cells) } else { String::new() };
        grid.row([source.into(), show_size(bytes).into(), share.into(), files.into(), bar.into()]);
    }
    grid
}

/// Draws the day's bytes by kind. Cells are cut from the running sum, so that rounding does not add up.
fn bar(day: &Day, most: u64, longest: u64) -> String {
    let of_kind = |kind: &str| if kind == "here" { day.here() } else { day.received.get(kind).copied().unwrap_or(0) };
    let named = KINDS.iter().map(|(kind, glyph)| (of_kind(kind), *glyph));
    let others = day.received.iter().filter(|(kind, _)| KINDS.iter().all(|(known, _)| known != kind));
    let others: u64 = others.map(|(_, bytes)| bytes).sum();
    let (mut bytes, mut cells, mut out) = (0_u128, 0, String::new());
    for (part, glyph) in named.chain([(others, OTHER)]) {
        bytes += u128::from(part);
        let upto = (bytes * u128::from(longest)).div_ceil(u128::from(most)) as usize;
        out.extend(std::iter::repeat_n(glyph, upto.saturating_sub(cells)));
        cells = upto.max(cells);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::columns::Paper;
    use crate::store::stats::Sent;
    use std::collections::BTreeMap;

    fn sums(delivered: u64, received: &[(&str, u64)]) -> Day {
        let received = received.iter().map(|(kind, bytes)| ((*kind).to_owned(), *bytes)).collect::<BTreeMap<_, _>>();
        Day { delivered, received }
    }

    #[test]
    fn a_bar_shows_every_kind_and_is_never_longer_than_the_longest() {
        let day = sums(100, &[("kubo", 50), ("mirror", 25)]);
        assert_eq!(bar(&day, 100, BAR), format!("{}{}{}", "░".repeat(12), "█".repeat(24), "▒".repeat(12)));
        assert_eq!(bar(&sums(0, &[("node", 1)]), 1000, BAR), "◦", "a byte is something");
        assert_eq!(bar(&sums(0, &[]), 1000, BAR), "");
        assert_eq!(bar(&sums(u64::MAX, &[]), u64::MAX, BAR).chars().count() as u64, BAR);
    }

    fn shown(stats: &Stats, width: usize) -> String {
        let paper = Paper { width: Some(width), has_styles: false, is_terminal: true };
        page(Screen::on(paper), stats, &GivenSums::default(), 30).text().to_owned()
    }

    #[test]
    fn an_empty_journal_is_said_to_be_empty() {
        assert_eq!(shown(&Stats::default(), 80), "Last 30 days: nothing was fetched or delivered\n");
    }

    #[test]
    fn the_result_comes_first_and_no_line_is_wider_than_the_terminal() {
        let mut stats = Stats::default();
        (stats.files, stats.delivered) = (3, 999_999_999_999);
        for (source, bytes) in
            [("lan", 600_000_000_000), ("mirror a-mirror-with-a-very-long-name-日本語-日本語-日本語-日本語.example", 1)]
        {
            stats.sources.insert(source.to_owned(), Sent { bytes, files: 1 });
        }
        stats.days.insert("2026-11-29".to_owned(), sums(999_999_999_999, &[("lan", 600_000_000_000), ("mirror", 1)]));
        for width in [60, 80, 100] {
            let text = shown(&stats, width);
            assert!(text.starts_with("Saved 931.3 GiB of mirror traffic (99 %)\n"), "{text}");
            assert!(text.lines().all(|line| crate::report::columns::width(line) <= width), "{text}");
            assert!(text.contains("here already") && text.contains("neighbours"), "{text}");
        }
        stats.delivered = 0;
        stats.sources.insert("mirror m".to_owned(), Sent { bytes: 5 << 20, files: 1 });
        assert!(
            shown(&stats, 80)
                .starts_with("5.0 MiB more came from mirrors than was delivered: for later, or discarded\n")
        );
    }
}
