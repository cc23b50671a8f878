//! The page: HTML that needs no script, in the reader's own colours, on a phone as on a desk.
//!
//! It shows what there is and how to get what there is not; nothing on it changes anything. It carries its one style
//! sheet itself and refers to no other place, which [`policy`] has the browser enforce.

use std::sync::LazyLock;

use data_encoding::BASE64;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::glance::Glance;
use super::{Overview, RunningFile};
use crate::base::digest::Sha256;
use crate::base::name::shown;
use crate::config::value::show_size;
use crate::host::doctor::Level;
use crate::index::time;
use crate::report::cell::Cell;
use crate::report::columns::Tone;
use crate::report::counted;

mod chart;
mod shares;
mod tables;
#[cfg(test)]
mod tests;
mod traffic;

/// Most transfers that are listed.
const RUNNING_MOST: usize = 40;

const STYLE: &str = include_str!("style.css");

/// The package on a shelf, as a picture of its own that is fetched from nowhere.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect x='1' y='1' \
                    width='14' height='14' rx='3' fill='%232468b4'/%3E%3Cpath d='M4 6l4-2 4 2v4l-4 2-4-2z' fill='none' \
                    stroke='%23fff' stroke-width='1.4' stroke-linejoin='round'/%3E%3C/svg%3E";

/// Returns the Content-Security-Policy of the page: its own style sheet and icon, and nothing else; no script, no frame,
/// no form (Content Security Policy Level 3, sections 6.1 and 6.7.2.3).
pub(crate) fn policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let style = BASE64.encode(&Sha256::of(STYLE.as_bytes()).0);
        format!(
            "default-src 'none'; style-src 'sha256-{style}'; img-src data:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        )
    });
    &POLICY
}

/// Makes the page.
pub(crate) fn page(overview: &Overview) -> String {
    let glance = Glance { settings: &overview.settings, found: &overview.found };
    let now = overview.found.now;
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "pkgswarm on " (shown(&overview.machine)) }
                link rel="icon" href=(ICON);
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "pkgswarm " span { "on " (shown(&overview.machine)) } }
                    (verdict(overview))
                }
                main {
                    (problems(overview))
                    @if !overview.running.is_empty() { (running(overview)) }
                    section aria-labelledby="glance" {
                        h2 id="glance" { "At a glance" }
                        dl {
                            (fact("pacman", &[glance.pacman()]))
                            (fact("Endpoint", &[glance.endpoint()]))
                            (fact("Sharing", &[glance.sharing()]))
                            (fact("Updates", &[glance.updates()]))
                            (fact("Store", &glance.stores()))
                            (fact("Indexes", &glance.indexes()))
                            @if !glance.found.keep.shares.is_empty() { (fact("Keeping", &glance.kept())) }
                            (fact("Kubo", &[glance.kubo(false)]))
                            @if overview.running.is_empty() {
                                (fact("Transfers", &["none at this moment".into()]))
                            }
                        }
                    }
                    (traffic::section(overview))
                    (shares::section(&glance))
                    (tables::neighbours(&glance))
                    (tables::updates(&glance))
                }
                footer {
                    p {
                        "Seen " (moment(now, &overview.zone)) " by pkgswarm " (env!("CARGO_PKG_VERSION")) ". Load it again \
                         for news; nothing on this page changes anything."
                    }
                    p { "For programs: " a href="/status.json" { "status.json" } ", " a href="/metrics" { "metrics" } "." }
                }
            }
        }
    };
    whole.into_string()
}

/// Says in a sentence whether all is well.
fn verdict(overview: &Overview) -> Markup {
    let count = |level| overview.examined.count(level);
    let named = |level, noun: &str| Some(count(level)).filter(|count| *count > 0).map(|count| counted(count, noun));
    let both: Vec<String> =
        [named(Level::Error, "error"), named(Level::Warning, "warning")].into_iter().flatten().collect();
    let checks = overview.examined.found.len();
    html! {
        @if both.is_empty() {
            p.verdict { "All is well: " (counted(checks, "check")) " found nothing to fix." }
        } @else {
            p.verdict.bad[count(Level::Error) > 0].poor[count(Level::Error) == 0] {
                a href="#problems" { (both.join(" and ")) } " to look at."
            }
        }
    }
}

fn problems(overview: &Overview) -> Markup {
    let problems = overview.examined.problems();
    html! {
        @if !problems.is_empty() {
            section aria-labelledby="problems" {
                h2 id="problems" { "What is wrong" }
                ol.findings {
                    @for finding in problems {
                        li.error[finding.level == Level::Error] {
                            p {
                                @match finding.level {
                                    Level::Error => span.bad { "Error: " },
                                    _ => span.poor { "Warning: " },
                                }
                                (shown(&finding.says))
                            }
                            p { span.quiet { "Fix: " } (shown(&finding.mend)) }
                        }
                    }
                }
            }
        }
    }
}

fn running(overview: &Overview) -> Markup {
    html! {
        section aria-labelledby="running" {
            h2 id="running" { "On the way" }
            table {
                thead { tr { th scope="col" { "File" } th.figure scope="col" { "Arrived" } } }
                tbody { @for file in overview.running.iter().take(RUNNING_MOST) { (one_running(file)) } }
            }
            @if overview.running.len() > RUNNING_MOST {
                p.quiet { "and " (overview.running.len() - RUNNING_MOST) " more" }
            }
        }
    }
}

fn one_running(file: &RunningFile) -> Markup {
    let size = file.size.filter(|size| *size > 0);
    html! {
        tr {
            th scope="row" {
                (shown(&file.name))
                span.under { (shown(&file.what)) }
                @if let Some(size) = size {
                    progress max=(size) value=(file.arrived.min(size)) aria-label=(shown(&file.name)) {}
                }
            }
            td.figure {
                (bytes(file.arrived))
                @if let Some(size) = size {
                    span.under { "of " (bytes(size)) ", " (file.arrived.min(size) * 100 / size) "\u{a0}%" }
                }
            }
        }
    }
}

fn fact(name: &str, says: &[Cell]) -> Markup {
    html! {
        dt { (name) }
        dd { @for cell in says { p { (words(cell)) } } }
    }
}

/// Writes a cell; its command comes last, to be copied. A comment that is no command stays one.
fn words(cell: &Cell) -> Markup {
    html! {
        @for span in cell.pieces() {
            @match class(span.tone) {
                Some(class) => span class=(class) { (span.text) },
                None => (span.text),
            }
        }
        @match cell.command() {
            Some(command) if command.contains(' ') => { " " code { (command) } },
            Some(remark) => span.quiet { " (" (remark) ")" },
            None => {},
        }
    }
}

fn class(tone: Tone) -> Option<&'static str> {
    match tone {
        Tone::Plain => None,
        Tone::Strong => Some("strong"),
        Tone::Quiet => Some("quiet"),
        Tone::Good => Some("good"),
        Tone::Poor => Some("poor"),
        Tone::Bad => Some("bad"),
    }
}

/// Writes a size whose number and unit stay on one line.
fn bytes(size: u64) -> String {
    show_size(size).replace(' ', "\u{a0}")
}

/// Writes a point in time for people and for programs.
fn moment(unix: u64, zone: &TimeZone) -> Markup {
    let at = i64::try_from(unix).ok().and_then(|unix| Timestamp::from_second(unix).ok());
    let text = at.map(|at| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string());
    html! { time datetime=(time::to_rfc3339(unix)) { (text.unwrap_or_else(|| time::to_rfc3339(unix))) } }
}
