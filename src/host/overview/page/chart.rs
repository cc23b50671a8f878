//! The chart: a column a day, stacked by the kind of source. An inline SVG without a word in it: its words are HTML
//! around it, so that they have their size on a phone too.

use jiff::civil::Date;
use maud::{Markup, html};

use super::super::sums::spoken;
use super::bytes;
use crate::store::stats::{Day, Stats};

/// The kinds of sources from the nearest on, as `pkgswarm stats` orders them.
pub(super) const KINDS: [&str; 6] = ["here", "file", "lan", "kubo", "gateway", "mirror"];

/// Units of the drawing: the width of a day, and the gap in it.
const SLOT: f64 = 10.0;
const GAP: f64 = 2.5;
/// Height of the drawing.
const HEIGHT: f64 = 100.0;

/// One day of the chart.
pub(super) struct ChartDay<'a> {
    /// Its date.
    pub(super) date: Date,
    /// Its sums; `None` where nothing moved.
    pub(super) sums: Option<&'a Day>,
}

/// Returns the bytes of a day by kind, in the order of [`KINDS`], and last those of other kinds.
pub(super) fn by_kind(day: &Day) -> Vec<(&'static str, u64)> {
    let of_kind = |kind: &str| if kind == "here" { day.here() } else { day.received.get(kind).copied().unwrap_or(0) };
    let others = day.received.iter().filter(|(kind, _)| !KINDS.contains(&kind.as_str()));
    let others: u64 = others.map(|(_, bytes)| bytes).sum();
    KINDS.iter().map(|kind| (*kind, of_kind(kind))).chain([("other", others)]).collect()
}

/// Names a kind for people.
pub(super) fn name(kind: &str) -> &str {
    match kind {
        "here" => "here already",
        "file" => "files",
        "gateway" => "gateways",
        "mirror" => "mirrors",
        "other" => "others",
        kind => spoken(kind),
    }
}

/// Lists the days that end today, the oldest first.
pub(super) fn days(stats: &Stats, today: Date, count: u32) -> Vec<ChartDay<'_>> {
    let back = |days: u32| today.checked_sub(jiff::Span::new().days(i64::from(days))).ok();
    let dates = (0..count).rev().filter_map(back);
    dates.map(|date| ChartDay { date, sums: stats.days.get(&date.to_string()) }).collect()
}

/// Draws them.
pub(super) fn chart(days: &[ChartDay<'_>]) -> Markup {
    let most = days.iter().filter_map(|day| day.sums).map(Day::total).max().unwrap_or(0);
    let top = round_above(most);
    let width = SLOT * days.len() as f64;
    let kinds = used(days);
    let (first, last) = (days.first(), days.last());
    html! {
        figure.chart role="group" aria-label="Bytes by source and day" {
            div.scale aria-hidden="true" { span { (axis(top)) } span { (axis(top / 2)) } span { "0" } }
            svg viewBox=(format!("0 0 {width} {HEIGHT}")) preserveAspectRatio="none" role="img"
                aria-label="A column for each day, stacked by source; the table below has the same figures" {
                @for y in [0.0, HEIGHT / 2.0, HEIGHT] { line x1="0" x2=(width) y1=(y) y2=(y) {} }
                @for (at, day) in days.iter().enumerate() {
                    @if let Some(sums) = day.sums { (column(at, day.date, sums, top)) }
                }
            }
            @if let (Some(first), Some(last)) = (first, last) {
                div.days { (date(first.date)) (date(last.date)) }
            }
        }
        ul.legend {
            @for kind in kinds { li { span.swatch.(kind) {} (name(kind)) } }
        }
    }
}

/// Returns the kinds that the chart shows.
fn used(days: &[ChartDay<'_>]) -> Vec<&'static str> {
    let all: Vec<_> =
        days.iter().filter_map(|day| day.sums).flat_map(by_kind).filter(|(_, bytes)| *bytes > 0).collect();
    KINDS.into_iter().chain(["other"]).filter(|kind| all.iter().any(|(used, _)| used == kind)).collect()
}

fn column(at: usize, date: Date, day: &Day, top: u64) -> Markup {
    let height = |bytes: u64| bytes as f64 * HEIGHT / top as f64;
    let x = at as f64 * SLOT;
    // The nearest source at the bottom.
    let mut below = 0;
    let parts: Vec<_> = by_kind(day)
        .into_iter()
        .filter(|(_, bytes)| *bytes > 0)
        .map(|(kind, bytes)| {
            below += bytes;
            (kind, HEIGHT - height(below), height(bytes))
        })
        .collect();
    html! {
        g {
            title { (date) ": " (in_words(day)) }
            rect.day x=(x) y="0" width=(SLOT) height=(HEIGHT) {}
            @for (kind, y, height) in parts {
                rect.(kind) x=(x + GAP / 2.0) y=(format!("{y:.2}")) width=(SLOT - GAP) height=(format!("{height:.2}")) {}
            }
        }
    }
}

/// Lists a day's bytes by kind in words.
pub(super) fn in_words(day: &Day) -> String {
    let parts = by_kind(day).into_iter().filter(|(_, bytes)| *bytes > 0);
    parts.map(|(kind, of_kind)| format!("{} {}", name(kind), bytes(of_kind))).collect::<Vec<_>>().join(", ")
}

/// Writes a day of the calendar: `24 Nov`.
pub(super) fn date(date: Date) -> Markup {
    html! { time datetime=(date) { (date.strftime("%-d\u{a0}%b")) } }
}

/// Returns the next number of bytes with few digits that is no smaller, for the top of the scale.
fn round_above(most: u64) -> u64 {
    let units = (0..5).map(|power| 1_u64 << (10 * power));
    let steps = units.flat_map(|unit| {
        [1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 40, 50, 60, 80, 100, 200, 300, 400, 500, 600, 800].map(|step| step * unit)
    });
    steps.into_iter().find(|step| *step >= most.max(1024)).unwrap_or(most)
}

/// Writes a mark of the scale: `2.5 GiB`, `100 MiB`.
fn axis(mark: u64) -> String {
    bytes(mark).replace(".0\u{a0}", "\u{a0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_at_a_round_number_above_every_day() {
        let tops: Vec<_> = [0, 1500, 7 << 20, 99 << 20, 501 << 20, 901 << 20].map(round_above).map(axis).into();
        let expected = ["1 KiB", "2 KiB", "8 MiB", "100 MiB", "600 MiB", "1 GiB"];
        assert_eq!(tops, expected.map(|text| text.replace(' ', "\u{a0}")));
        assert_eq!(axis(round_above(5 << 30) / 2), "2.5\u{a0}GiB");
    }
}
