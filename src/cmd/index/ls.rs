//! `pkgswarm index ls`: the indexes in use, their age, and how the last refresh went.

use std::io::Write as _;

use super::is_in_force;
use crate::cli::JsonArgs;
use crate::clock;
use crate::cmd::screen::{Cell, Column, Grid, Screen};
use crate::columns::Tone;
use crate::config::{IndexConfig, Settings};
use crate::env::Env;
use crate::index::manifest::Manifest;
use crate::index::state::RouteRecord;
use crate::index::{in_use, time};
use crate::report;

/// Runs the command.
pub(super) fn ls(env: &Env, settings: &Settings, args: &JsonArgs) -> anyhow::Result<u8> {
    let now = clock::now();
    let columns = [
        Column::name("NAME"),
        Column::name("REPOS"),
        Column::of("AGE"),
        Column::of("EXPIRES"),
        Column::figure("FILES"),
        Column::text("LAST REFRESH"),
    ];
    let mut grid = Grid::of(&columns).bare_on_pipes();
    for index in &settings.indexes {
        let name = in_use::copy_name(index);
        let state = in_use::state(settings);
        let seen = in_use::grant(index).ok().and_then(|grant| state.seen(&grant.keys()).ok().flatten());
        let manifest = state.held(&name).ok().flatten().map(|held| held.manifest);
        let expired = manifest.is_some() && !is_in_force(settings, index);
        if args.json {
            let row = serde_json::json!({
                "name": index.name, "key": index.key, "minisign": index.minisign, "url": index.url,
                "repos": index.repos, "sequence": manifest.as_ref().map(|m| m.sequence),
                "created": manifest.as_ref().map(|m| m.created), "expires": manifest.as_ref().map(|m| m.expires),
                "confirmed": seen.map(|seen| seen.fetched), "expired": expired,
                "age": manifest.as_ref().map(|m| now.saturating_sub(m.created)), "transports": state.asked(&name),
            });
            writeln!(report::out(), "{row}")?;
            continue;
        }
        grid.row(row(index, manifest.as_ref(), expired, &state.asked(&name), now));
    }
    if args.json {
        return Ok(0);
    }
    if settings.indexes.is_empty() {
        report::say("no index is in use; pkgswarm index add NAME KEY adds one");
        return Ok(0);
    }
    let mut screen = Screen::new(env);
    screen.grid(&grid);
    screen.show()?;
    Ok(0)
}

fn row(index: &IndexConfig, manifest: Option<&Manifest>, expired: bool, asked: &[RouteRecord], now: u64) -> [Cell; 6] {
    let ago = |since: u64| time::span(now.saturating_sub(since));
    let (age, expires, files) = match manifest {
        None => (Cell::of("never fetched", Tone::Poor), Cell::default(), Cell::default()),
        Some(manifest) => {
            let expires = match expired {
                true if manifest.expires >= now => Cell::of("EXPIRED before this clock was set back", Tone::Bad),
                true => Cell::of(format!("EXPIRED {} ago", ago(manifest.expires)), Tone::Bad),
                false => format!("in {}", time::span(manifest.expires.saturating_sub(now))).into(),
            };
            let files: u64 = manifest.tables.iter().map(|table| table.entries).sum();
            (ago(manifest.created).into(), expires, files.to_string().into())
        }
    };
    [index.name.as_str().into(), index.repos_shown().into(), age, expires, files, last(asked, now)]
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
