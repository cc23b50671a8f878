//! `pkgswarm index ls`: the indexes in use, their age, and how the last refresh went.

use std::io::Write as _;

use std::time::SystemTime;

use crate::base::clock;
use crate::base::env::Env;
use crate::cmd::cli::JsonArgs;
use crate::cmd::screen::{Column, Grid, Screen};
use crate::config::Settings;
use crate::host::inspect::index::{self, IndexFacts};
use crate::index::state::RouteRecord;
use crate::index::{in_use, time};
use crate::report;
use crate::report::cell::Cell;
use crate::report::columns::Tone;

/// Runs the command.
pub(super) fn ls(env: &Env, settings: &Settings, args: &JsonArgs) -> anyhow::Result<u8> {
    let now = SystemTime::now();
    let indexes = index::look(settings, now).into_iter().map(|index| {
        let is_in_force = in_use::is_in_force(settings, &index.config, now).unwrap_or(false);
        (index, is_in_force)
    });
    let (indexes, now) = (indexes.collect::<Vec<_>>(), clock::unix(now));
    if args.json {
        for (index, is_in_force) in &indexes {
            writeln!(report::out(), "{}", as_json(index, *is_in_force, now))?;
        }
        return Ok(0);
    }
    if indexes.is_empty() {
        report::say("no index is in use; pkgswarm index add NAME KEY adds one");
        return Ok(0);
    }
    let columns = [
        Column::name("NAME"),
        Column::name("REPOS"),
        Column::of("AGE"),
        Column::of("EXPIRES"),
        Column::figure("FILES"),
        Column::text("LAST REFRESH"),
    ];
    let mut grid = Grid::of(&columns).bare_on_pipes();
    indexes.iter().for_each(|(index, is_in_force)| grid.row(row(index, *is_in_force, now)));
    let mut screen = Screen::new(env);
    screen.grid(&grid);
    screen.show()?;
    Ok(0)
}

fn as_json(index: &IndexFacts, is_in_force: bool, now: u64) -> serde_json::Value {
    let (config, manifest) = (&index.config, index.manifest());
    serde_json::json!({
        "name": config.name, "key": config.key, "minisign": config.minisign, "url": config.url,
        "repos": config.repos, "sequence": manifest.map(|m| m.sequence), "created": manifest.map(|m| m.created),
        "expires": manifest.map(|m| m.expires),
        "confirmed": index.seen.as_ref().ok().and_then(Option::as_ref).map(|seen| seen.fetched),
        "expired": manifest.is_some() && !is_in_force,
        "age": manifest.map(|m| now.saturating_sub(m.created)), "transports": index.routes,
    })
}

fn row(index: &IndexFacts, is_in_force: bool, now: u64) -> [Cell; 6] {
    let ago = |since: u64| time::span(now.saturating_sub(since));
    let (age, expires, files) = match index.manifest() {
        None => (Cell::of("never fetched", Tone::Poor), Cell::default(), Cell::default()),
        Some(manifest) => {
            let expires = match (is_in_force, manifest.expires >= now) {
                (true, _) => format!("in {}", time::span(manifest.expires.saturating_sub(now))).into(),
                (false, true) => Cell::of("EXPIRED before this clock was set back", Tone::Bad),
                (false, false) => Cell::of(format!("EXPIRED {} ago", ago(manifest.expires)), Tone::Bad),
            };
            let files: u64 = manifest.tables.iter().map(|table| table.entries).sum();
            (ago(manifest.created).into(), expires, files.to_string().into())
        }
    };
    let (name, repos) = (index.config.name.as_str().into(), index.config.repos_shown().into());
    [name, repos, age, expires, files, last(&index.routes, now)]
}

/// Describes the last refresh by the way that served it, or by how many failed.
fn last(asked: &[RouteRecord], now: u64) -> Cell {
    let Some(newest) = asked.iter().map(|way| way.at).max() else { return "never".into() };
    let took = |ms: u64| format!("{:.1} s", ms as f64 / 1000.0);
    let ago = time::span(now.saturating_sub(newest));
    match asked.iter().filter(|way| way.outcome == "proven").min_by_key(|way| way.took_ms) {
        Some(way) => Cell::of("ok", Tone::Good).then(format!(", over {}, {}, {ago} ago", way.via, took(way.took_ms))),
        None if asked.iter().any(|way| way.outcome == "refused") => {
            Cell::of("refused", Tone::Bad).then(format!(", {ago} ago"))
        }
        None => Cell::of("no source delivered it", Tone::Poor).then(format!(", {ago} ago")),
    }
}
