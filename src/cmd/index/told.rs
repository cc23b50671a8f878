//! The lines about a refresh.

use std::io::Write as _;
use std::time::SystemTime;

use crate::base::clock;
use crate::config::{IndexConfig, Settings};
use crate::host::inspect::index::IndexFacts;
use crate::index::{in_use, time};
use crate::refresh::{Clock, RefreshOutcome, Refreshed};
use crate::report;

/// Prints one line, or one object, about a refresh.
pub(super) fn tell(settings: &Settings, index: &IndexConfig, refreshed: &Refreshed, json: bool) {
    let (word, text) = match &refreshed.outcome {
        RefreshOutcome::Updated { sequence, ignored } => {
            let others: Vec<_> = ignored.iter().map(ToString::to_string).collect();
            let others = if others.is_empty() { String::new() } else { format!("; ignored: {}", others.join(", ")) };
            ("updated", format!("updated to {}{others}", time::to_rfc3339(*sequence)))
        }
        RefreshOutcome::Unchanged { sequence } => {
            ("unchanged", format!("unchanged since {}", time::to_rfc3339(*sequence)))
        }
        RefreshOutcome::Refused(why) => ("refused", why.to_string()),
        RefreshOutcome::Unreachable => ("unreachable", "no source delivered it".to_owned()),
    };
    let routes = refreshed.routes.iter().map(|route| {
        let said = route.said.as_ref().map_or_else(ToString::to_string, ToString::to_string);
        (&route.via, route.took.as_millis(), said)
    });
    if json {
        let routes: Vec<_> = routes
            .map(|(via, took_ms, said)| serde_json::json!({"via": via, "took_ms": took_ms, "said": said}))
            .collect();
        let line = serde_json::json!({"index": index.name, "outcome": word, "text": text, "routes": routes,
            "moved": refreshed.moved, "warnings": refreshed.warnings, "clock": refreshed.clock.as_ref().map(clock)});
        // A closed pipe is the reader's choice.
        let _ = writeln!(report::out(), "{line}");
        return;
    }
    let failed = matches!(refreshed.outcome, RefreshOutcome::Refused(_) | RefreshOutcome::Unreachable);
    if !failed {
        report::say(&format!("index {}: {text}", index.name));
    } else {
        report::say(&format!("error: index {}: {text}", index.name));
        for (via, _, said) in routes {
            report::say(&format!("  {via}  {said}"));
        }
        report::say(&format!("hint: {}", in_use_now(settings, index)));
    }
    for warning in &refreshed.warnings {
        report::say(&format!("warning: index {}: {warning}", index.name));
    }
    if let Some(found) = &refreshed.clock {
        report::say(&format!("warning: {}", clock(found)));
    }
}

/// Describes the evidence against this machine's clock.
fn clock(found: &Clock) -> String {
    match found {
        Clock::Behind(by) => {
            format!("this clock is {} behind what was proven before; expiry cannot be judged", time::span(*by))
        }
        Clock::Off { host, by } => {
            let word = if *by > 0 { "ahead of" } else { "behind" };
            let by = time::span(by.unsigned_abs());
            format!("this clock is {by} {word} that of {host}; if it is wrong, so is every judgement of expiry")
        }
    }
}

/// Describes the index that stays in use after a failed refresh.
fn in_use_now(settings: &Settings, index: &IndexConfig) -> String {
    let facts = IndexFacts::of(settings, index, SystemTime::now());
    match facts.manifest() {
        Some(manifest) if !in_use::is_in_force(settings, index, SystemTime::now()).unwrap_or(false) => {
            let ago = time::span(clock::now().saturating_sub(manifest.expires));
            format!("the last copy expired {ago} ago and is not used; mirrors serve as without an index")
        }
        Some(manifest) => {
            let age = clock::now().saturating_sub(manifest.created);
            format!("the last good copy, {} old, stays in use until it expires", time::span(age))
        }
        None => "there is no earlier copy; mirrors serve as without an index".to_owned(),
    }
}
