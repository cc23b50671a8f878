//! `pkgswarm index show`: what an index says of itself, and its entries.

use std::io::Write as _;

use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind};
use crate::cmd::cli::ShowArgs;
use crate::cmd::screen::{Column, Grid, Screen};
use crate::config::{IndexConfig, Settings};
use crate::index::manifest::Manifest;
use crate::index::{in_use, time};
use crate::lists::catalogue::Catalogue;
use crate::report;
use crate::report::cell::Cell;

/// Runs the command.
pub(super) fn run(env: &Env, index: &IndexConfig, settings: &Settings, args: &ShowArgs) -> anyhow::Result<u8> {
    let held = in_use::state(settings).held(&in_use::copy_name(index));
    let held = held.map_err(|e| Error::local(settings.state_dir.display(), e))?.ok_or_else(|| {
        Error::new(ErrorKind::NoSource, &args.name, "was never fetched").hint("pkgswarm index refresh")
    })?;
    if args.json {
        let mut out = report::out();
        out.write_all(&held.bytes)?;
        writeln!(out)?;
    } else {
        page(Screen::new(env), index, &held.manifest, &in_use::grant(index)?.fingerprints()).show()?;
    }
    if args.entries {
        entries(settings, index, &held.manifest, args.json)?;
    }
    Ok(0)
}

fn page(mut screen: Screen, index: &IndexConfig, manifest: &Manifest, keys: &[String]) -> Screen {
    let mut grid = Grid::of(&[Column::of(""), Column::text("")]);
    let mut row = |what: &str, text: &str| grid.row([Cell::strong(what), text.into()]);
    row("publisher", &manifest.publisher);
    row("sequence", &manifest.sequence.to_string());
    row("created", &time::to_rfc3339(manifest.created));
    row("expires", &time::to_rfc3339(manifest.expires));
    keys.iter().for_each(|key| row("key", key));
    manifest.peers.iter().for_each(|peer| row("peer", &peer.to_string()));
    manifest.gateways.iter().for_each(|gateway| row("gateway", gateway));
    for table in &manifest.tables {
        let granted = if index.may_describe(table.repo.as_str()) { "" } else { " (not granted)" };
        let entries = if table.entries == 1 { "entry" } else { "entries" };
        let system =
            table.system.as_ref().map_or(String::new(), |system| format!(", {} at {}", system.name, system.path));
        row("table", &format!("{} {}: {} {entries}{system}{granted}", table.repo, table.arch, table.entries));
    }
    for (table, archive) in manifest.tables.iter().filter_map(|table| Some((table, table.archive.as_ref()?))) {
        let (files, since) = (report::counted(archive.entries, "superseded file"), time::to_rfc3339(archive.since));
        row("archive", &format!("{} {}: {files}, since {since}", table.repo, table.arch));
    }
    screen.grid(&grid);
    screen
}

/// Prints the entries of the tables that the index may describe.
fn entries(settings: &Settings, index: &IndexConfig, manifest: &Manifest, json: bool) -> anyhow::Result<()> {
    let (state, name, mut out) = (in_use::state(settings), in_use::copy_name(index), report::out());
    for table in manifest.tables.iter().filter(|table| index.may_describe(table.repo.as_str())) {
        let path = state.catalogue_path(&name, &table.repo, &table.arch);
        let Some(catalogue) = Catalogue::open(&path)? else { continue };
        for record in catalogue.iter() {
            let record = record?;
            let cid = record.cid().map(|cid| cid.to_string());
            if json {
                let row = serde_json::json!({
                    "repo": table.repo.as_str(), "name": record.name.as_str(), "size": record.size,
                    "sha256": record.sha256, "cid": cid,
                });
                writeln!(out, "{row}")?;
            } else {
                writeln!(out, "{}  {}  {}/{}", record.sha256, cid.unwrap_or_default(), table.repo, record.name)?;
            }
        }
    }
    Ok(())
}
