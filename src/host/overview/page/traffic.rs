//! What came from where: the result in a sentence, the chart, the sources, and the days as a table.

use maud::{Markup, html};

use super::super::gather::day_before_today;
use super::super::given::GivenSums;
use super::super::{DAYS, Overview, sums};
use super::{bytes, chart};
use crate::base::name::shown;
use crate::report::counted;
use crate::store::stats::Stats;

/// Most sources that are listed, the largest first.
const SOURCES_MOST: usize = 12;

/// Makes the section.
pub(super) fn section(overview: &Overview) -> Markup {
    html! {
        section aria-labelledby="traffic" {
            h2 id="traffic" { "What came from where" }
            @match &overview.traffic.lately {
                Err(why) => p { span.bad { "Not known: " } (shown(why)) },
                Ok(stats) if stats.days.is_empty() => {
                    p { "Nothing was fetched or delivered in the last " (DAYS) " days." }
                    p.quiet { "It begins with the next " code { "sudo pacman -Syu" } "." }
                },
                Ok(stats) => (sums(stats, overview)),
            }
            @for line in GivenSums::of(&overview.settings, &overview.found).lines() {
                p.quiet { (line) "." }
            }
        }
    }
}

fn sums(stats: &Stats, overview: &Overview) -> Markup {
    let days = day_before_today(&overview.zone, overview.found.now, 0).map(|today| chart::days(stats, today, DAYS));
    let days = days.unwrap_or_default();
    html! {
        p.lead { (sums::result(stats)) "." }
        p.quiet {
            "Last " (DAYS) " days: " (counted(stats.files, "file")) " delivered, " (bytes(stats.delivered))
            @if stats.databases.files > 0 {
                "; " (counted(stats.databases.files, "database")) " among them, " (bytes(stats.databases.bytes))
            }
            "."
        }
        (chart::chart(&days))
        (sources(stats))
        details {
            summary { "Days as a table" }
            table {
                thead { tr { th scope="col" { "Day" } th scope="col" { "From" } th.figure scope="col" { "Bytes" } } }
                tbody {
                    @for day in days.iter().rev() {
                        @if let Some(sums) = day.sums {
                            tr {
                                th scope="row" { (chart::date(day.date)) }
                                td { (chart::in_words(sums)) }
                                td.figure { (bytes(sums.total())) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Writes a share in percent; a small one is no zero.
fn share(part: u64, all: u64) -> String {
    match u128::from(part) * 100 / u128::from(all) {
        0 if part > 0 => "<1\u{a0}%".to_owned(),
        percent => format!("{percent}\u{a0}%"),
    }
}

fn sources(stats: &Stats) -> Markup {
    let kind_of = |spoken: &str| {
        let named = stats.sources.keys().find(|source| sums::spoken(source) == spoken);
        let kind = named.and_then(|source| source.split(' ').next()).unwrap_or("here");
        chart::KINDS.into_iter().find(|known| *known == kind).unwrap_or("other")
    };
    let mut rows = sums::by_source(stats);
    let all: u64 = rows.iter().map(|(_, bytes, _)| bytes).sum::<u64>().max(1);
    let rest = rows.split_off(rows.len().min(SOURCES_MOST));
    html! {
        table {
            thead {
                tr {
                    th scope="col" { "Source" }
                    th.figure scope="col" { "Bytes" }
                    th.figure scope="col" { "Share" }
                    th.figure.wide scope="col" { "Files" }
                }
            }
            tbody {
                @for (source, size, files) in &rows {
                    tr {
                        th scope="row" { span.swatch.(kind_of(source)) {} (shown(source)) }
                        td.figure { (bytes(*size)) }
                        td.figure { (share(*size, all)) }
                        td.figure.wide { @if let Some(files) = files { (files) } }
                    }
                }
                @if !rest.is_empty() {
                    tr {
                        th scope="row" { span.swatch.other {} "and " (rest.len()) " more" }
                        td.figure { (bytes(rest.iter().map(|(_, bytes, _)| bytes).sum())) }
                        td.figure {}
                        td.figure.wide {}
                    }
                }
            }
        }
    }
}
