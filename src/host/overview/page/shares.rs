//! The shares that are kept, and how well their indexes are covered: a bar for each, from the files without another
//! holder on. Its words are HTML below it, as with the chart.

use maud::{Markup, html};

use super::super::glance::Glance;
use crate::base::name::shown;
use crate::host::inspect::keep::ShareFacts;
use crate::report::counted;

/// The parts of a bar: their words, and their colours.
const PARTS: [(&str, &str); 4] =
    [("no other holder", "other"), ("one", "file"), ("two", "kubo"), ("three or more", "lan")];

/// Draws the shares of which anything is known; nothing where there is none.
pub(super) fn section(glance: &Glance<'_>) -> Markup {
    let covered = glance.found.keep.shares.iter().filter_map(|share| Some((share, coverage(share)?)));
    let covered: Vec<_> = covered.collect();
    html! {
        @if !covered.is_empty() {
            section aria-labelledby="shares" {
                h2 id="shares" { "Shares" }
                @for (share, counts) in &covered { (of_one(share, counts)) }
            }
        }
    }
}

/// Returns the files by their other holders, where any was looked for.
fn coverage(share: &ShareFacts) -> Option<[u64; 4]> {
    share.state.as_ref().map(|state| state.last.coverage).filter(|counts| counts.iter().sum::<u64>() > 0)
}

fn of_one(share: &ShareFacts, counts: &[u64; 4]) -> Markup {
    let all: u64 = counts.iter().sum();
    let mut left = 0;
    let parts: Vec<_> = PARTS
        .into_iter()
        .zip(counts)
        .map(|((words, kind), count)| {
            let at = left;
            left += count;
            (words, kind, *count, at)
        })
        .collect();
    html! {
        p { (shown(&share.keep.name)) ": " (counted(all, "file")) " of the index looked for, by their other holders" }
        svg.cover viewBox=(format!("0 0 {all} 1")) preserveAspectRatio="none" role="img"
            aria-label="Files by their other holders; the words below have the same figures" {
            @for (_, kind, count, at) in &parts {
                @if *count > 0 { rect.(kind) x=(at) y="0" width=(count) height="1" {} }
            }
        }
        ul.legend {
            @for (words, kind, count, _) in &parts { li { span.swatch.(kind) {} (words) ": " (count) } }
        }
    }
}
