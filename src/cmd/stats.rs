//! `pkgswarm stats`: bytes by source and day, and the savings.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::SystemTime;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::json;

use crate::cli::StatsArgs;
use crate::config::Settings;
use crate::config::value::show_size;
use crate::env::Env;
use crate::error::Error;
use crate::handover::{self, HandoverTarget};
use crate::journal::Journal;
use crate::name::shown;
use crate::stats::{Day, Stats};

/// Cells of the longest bar.
const BAR: u64 = 48;

/// The symbol of each kind of source, the nearest first.
const KINDS: &[(&str, char)] =
    &[("here", '░'), ("file", '·'), ("lan", '▞'), ("kubo", '█'), ("gateway", '▓'), ("mirror", '▒')];

/// The symbol of kinds without a row in [`KINDS`].
const OTHER: char = '◦';

/// Runs the command.
pub fn run(env: &Env, settings: &Settings, args: &StatsArgs) -> anyhow::Result<u8> {
    handover::through(env, settings, &HandoverTarget::Nowhere, |settings| run_here(settings, args))
}

fn run_here(settings: &Settings, args: &StatsArgs) -> anyhow::Result<u8> {
    let zone = TimeZone::system();
    let stats = read(settings, &zone, since(&zone, args.days))?;
    let mut out = crate::report::out();
    if args.json {
        writeln!(out, "{}", as_json(&stats))?;
    } else {
        out.write_all(as_text(&stats, args.days, std::io::stdout().is_terminal()).as_bytes())?;
    }
    Ok(0)
}

/// Returns the start of the first of `days` days, Unix seconds; days are those of the local calendar.
fn since(zone: &TimeZone, days: u32) -> u64 {
    let first = Timestamp::now().to_zoned(zone.clone()).start_of_day().ok();
    let first = first.filter(|_| days > 0).and_then(|today| today.checked_sub((i64::from(days) - 1).days()).ok());
    first.map_or(0, |first| u64::try_from(first.timestamp().as_second()).unwrap_or(0))
}

/// Sums over the journals of all stores that this user may read.
fn read(settings: &Settings, zone: &TimeZone, since: u64) -> Result<Stats, Error> {
    let mut stats = Stats::default();
    for store in &settings.stores {
        let journal = Journal::at(store);
        let read = journal.read(since, |record| {
            let day = day(record.at, zone);
            stats.add(&record, &day);
        });
        read.map_err(|e| Error::local(store.join("journal").display(), e))?;
    }
    Ok(stats)
}

fn day(at: u64, zone: &TimeZone) -> String {
    let at =
        Timestamp::try_from(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(at.min(crate::index::time::LAST)));
    at.map_or_else(|_| "?".to_owned(), |at| at.to_zoned(zone.clone()).date().to_string())
}

fn as_json(stats: &Stats) -> serde_json::Value {
    let sources: Vec<_> = stats
        .sources
        .iter()
        .map(|(source, sent)| json!({"source": source, "bytes": sent.bytes, "files": sent.files}))
        .collect();
    let days: Vec<_> = stats.days.iter().map(|(day, sums)| json!({"day": day, "delivered": sums.delivered, "here": here(sums), "received": sums.received})).collect();
    json!({
        "since": stats.since,
        "files": stats.files,
        "delivered": stats.delivered,
        "received": stats.received(),
        "here": stats.here(),
        "sources": sources,
        "days": days,
        "saved": {
            "mirror_bytes": i64::try_from(stats.saved()).unwrap_or(i64::MAX),
            "seconds": stats.seconds_saved(),
            "measure": stats.yardstick().map(|mirrors| json!({
                "wait_ms": mirrors.wait,
                "bytes_per_second": mirrors.rate,
                "files": mirrors.files,
            })),
        },
    })
}

/// Counts the bytes of a day's deliveries that were here already.
fn here(day: &Day) -> u64 {
    day.delivered.saturating_sub(day.received.values().sum())
}

fn as_text(stats: &Stats, days: u32, chart: bool) -> String {
    let mut out = String::new();
    let span = match days {
        0 => "Ever".to_owned(),
        1 => "Today".to_owned(),
        days => format!("Last {days} days"),
    };
    if stats.days.is_empty() {
        return format!("{span}: nothing was fetched or delivered\n");
    }
    let add =
        |out: &mut String, line: std::fmt::Arguments<'_>| writeln!(out, "{line}").expect("a String takes everything");
    let files = if stats.files == 1 { "file" } else { "files" };
    add(&mut out, format_args!("{span}: {} {files} delivered, {}\n", stats.files, show_size(stats.delivered)));
    let mut rows: Vec<(String, u64, String)> = stats
        .sources
        .iter()
        .map(|(source, sent)| (shown(source).into_owned(), sent.bytes, sent.files.to_string()))
        .collect();
    rows.sort_by_key(|(_, bytes, _)| std::cmp::Reverse(*bytes));
    if stats.here() > 0 {
        rows.push(("here already".to_owned(), stats.here(), String::new()));
    }
    let wide = rows.iter().map(|(source, ..)| source.chars().count()).max().unwrap_or(0).max("SOURCE".len());
    add(&mut out, format_args!("{:wide$}  {:>10}  {:>6}", "SOURCE", "BYTES", "FILES"));
    for (source, bytes, files) in &rows {
        add(&mut out, format_args!("{:wide$}  {:>10}  {files:>6}", source, show_size(*bytes)));
    }
    out.push('\n');
    let saved = stats.saved();
    let amount = show_size(u64::try_from(saved.unsigned_abs()).unwrap_or(u64::MAX));
    if saved >= 0 {
        let share = if stats.delivered == 0 { 0 } else { saved * 100 / i128::from(stats.delivered) };
        add(&mut out, format_args!("Mirror traffic saved: {amount} ({share} %)"));
    } else {
        add(&mut out, format_args!("Mirrors sent {amount} more than was delivered: fetched ahead, or discarded"));
    }
    if let (Some(seconds), Some(mirrors)) = (stats.seconds_saved(), stats.yardstick()) {
        let measure = format!(
            "estimated: mirrors gave {}/s after {} ms, over {} {}",
            show_size(mirrors.rate as u64),
            mirrors.wait,
            mirrors.files,
            if mirrors.files == 1 { "file" } else { "files" }
        );
        add(&mut out, format_args!("Time saved: {} ({measure})", show_seconds(seconds)));
    }
    out.push('\n');
    let most = stats.days.values().map(total).max().unwrap_or(1).max(1);
    for (day, sums) in &stats.days {
        let bar = if chart { format!("  {}", bar(sums, most)) } else { String::new() };
        add(&mut out, format_args!("{day}  {:>10}{bar}", show_size(total(sums))));
    }
    if chart {
        let legend: Vec<_> = KINDS.iter().map(|(kind, glyph)| format!("{glyph} {kind}")).collect();
        add(&mut out, format_args!("{:24}{}", "", legend.join("  ")));
    }
    out
}

/// Counts the bytes of a day from all sources.
fn total(day: &Day) -> u64 {
    here(day) + day.received.values().sum::<u64>()
}

/// Draws the day's bytes by kind. Cells are cut from the running sum, so that rounding does not add up.
fn bar(day: &Day, most: u64) -> String {
    let of_kind = |kind: &str| if kind == "here" { here(day) } else { day.received.get(kind).copied().unwrap_or(0) };
    let named = KINDS.iter().map(|(kind, glyph)| (of_kind(kind), *glyph));
    let others = day.received.iter().filter(|(kind, _)| KINDS.iter().all(|(known, _)| known != kind));
    let others: u64 = others.map(|(_, bytes)| bytes).sum();
    let (mut bytes, mut cells, mut out) = (0_u128, 0, String::new());
    for (part, glyph) in named.chain([(others, OTHER)]) {
        bytes += u128::from(part);
        let upto = (bytes * u128::from(BAR)).div_ceil(u128::from(most)) as usize;
        out.extend(std::iter::repeat_n(glyph, upto.saturating_sub(cells)));
        cells = upto.max(cells);
    }
    out
}

/// Prints a time: `-3 s`, `4 min 10 s`, `2 h 5 min`.
fn show_seconds(seconds: f64) -> String {
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
    use std::collections::BTreeMap;

    fn sums(delivered: u64, received: &[(&str, u64)]) -> Day {
        let received = received.iter().map(|(kind, bytes)| ((*kind).to_owned(), *bytes)).collect::<BTreeMap<_, _>>();
        Day { delivered, received }
    }

    #[test]
    fn a_bar_shows_every_kind_and_is_never_longer_than_the_longest() {
        let day = sums(100, &[("kubo", 50), ("mirror", 25)]);
        assert_eq!(bar(&day, 100), format!("{}{}{}", "░".repeat(12), "█".repeat(24), "▒".repeat(12)));
        assert_eq!(bar(&sums(0, &[("node", 1)]), 1000), "◦", "a byte is something");
        assert_eq!(bar(&sums(0, &[]), 1000), "");
        assert_eq!(bar(&sums(u64::MAX, &[]), u64::MAX).chars().count() as u64, BAR);
    }

    #[test]
    fn an_empty_journal_is_said_to_be_empty() {
        assert_eq!(as_text(&Stats::default(), 30, true), "Last 30 days: nothing was fetched or delivered\n");
    }

    #[test]
    fn time_is_shown_in_its_two_largest_units() {
        let shown: Vec<_> = [0.25, -3.0, 250.0, 7500.0].into_iter().map(show_seconds).collect();
        assert_eq!(shown, ["0.2 s", "-3.0 s", "4 min 10 s", "2 h 5 min"]);
    }
}
