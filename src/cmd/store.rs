//! `pkgswarm store ls` and `pkgswarm store clean`: what the stores keep and why, and making room.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::base::env::Env;
use crate::base::error::Error;
use crate::cmd::cli::{CleanArgs, JsonArgs, StoreCommand};
use crate::cmd::screen::{Column, Grid, Screen};
use crate::config::Settings;
use crate::config::value::show_size;
use crate::host::inspect::pacman;
use crate::index::time;
use crate::pacman::handover::{self, HandoverTarget};
use crate::pacman::prefetch::reasons::{Cleaned, KeepReason, KeptWhy, clean, reasons};
use crate::report::cell::Cell;
use crate::report::columns::Tone;
use crate::report::{self, counted};
use crate::store::Store;
use crate::store::held::{KeptFile, KeptState};

/// Runs the command. For root, an unprivileged child works on the store of pacman's downloads.
pub(crate) fn run(env: &Env, settings: &Settings, command: &StoreCommand) -> anyhow::Result<u8> {
    // Neither makes a store where there is none.
    handover::through(env, settings, &HandoverTarget::Looking, |settings| match command {
        StoreCommand::Ls(args) => run_ls(env, settings, args),
        StoreCommand::Clean(args) => run_clean(env, settings, args),
    })
}

fn run_ls(env: &Env, settings: &Settings, args: &JsonArgs) -> anyhow::Result<u8> {
    let caches = pacman::cache_dirs(settings);
    let stores = settings.stores.iter().filter_map(|dir| Some((dir.as_path(), reasons(dir, &caches).ok()?)));
    let stores: Vec<(&Path, Vec<KeptWhy>)> = stores.collect();
    if args.json {
        let stores = stores.iter().map(|(dir, files)| {
            let files: Vec<_> = files.iter().map(of_file).collect();
            json!({"dir": dir.display().to_string(), "max": settings.store_max, "files": files})
        });
        writeln!(report::out(), "{}", json!({"stores": stores.collect::<Vec<_>>()}))?;
        return Ok(0);
    }
    let mut screen = Screen::new(env);
    if stores.is_empty() {
        screen.line("no store yet");
    }
    for (at, (dir, files)) in stores.iter().enumerate() {
        if at > 0 {
            screen.gap();
        }
        page_of_store(&mut screen, dir, files, settings.store_max);
    }
    screen.show()?;
    Ok(0)
}

fn page_of_store(screen: &mut Screen, dir: &Path, files: &[KeptWhy], most: u64) {
    let columns = [Column::figure("SIZE"), Column::of("AGE"), Column::name("FILE"), Column::text("KEPT")];
    let mut grid = Grid::of(&columns);
    for (file, why) in files {
        let tone = if *why == KeepReason::Pending { Tone::Good } else { Tone::Plain };
        let (size, age) = (show_size(file.size), time::span(file.age));
        grid.row([size.into(), age.into(), name_of(file).into(), Cell::of(words(*why), tone)]);
    }
    if !grid.is_empty() {
        screen.grid(&grid);
    }
    let bytes: u64 = files.iter().map(|(file, _)| file.size).sum();
    let may_go: u64 = files.iter().filter(|(_, why)| !why.keeps()).map(|(file, _)| file.size).sum();
    let (count, of) = (counted(files.len(), "file"), show_size(most));
    let mut cell = Cell::strong(format!("{count}, {} of {of} in {}", show_size(bytes), dir.display()));
    if may_go > 0 {
        cell = cell.then(format!("; {} could go", show_size(may_go))).next("pkgswarm store clean");
    }
    screen.line(cell);
}

fn run_clean(env: &Env, settings: &Settings, args: &CleanArgs) -> anyhow::Result<u8> {
    let Some(dir) = settings.store_dir.as_ref().filter(|dir| dir.exists()) else {
        report::say("no store yet");
        return Ok(0);
    };
    let failed = |e: std::io::Error| Error::local(dir.display(), e);
    let store = Store::open(dir, env.uid, settings.store_max).map_err(failed)?;
    let cleaned = clean(&store, &pacman::cache_dirs(settings), args.dry_run).map_err(failed)?;
    if args.json {
        writeln!(report::out(), "{}", of_cleaning(dir, &cleaned, args.dry_run))?;
        return Ok(0);
    }
    let mut screen = Screen::new(env);
    page_of_cleaning(&mut screen, dir, &cleaned, args.dry_run);
    if let [_, systems, ..] = settings.stores.as_slice()
        && systems.exists()
    {
        screen.line(Cell::quiet(format!("{} is pacman's: sudo pkgswarm store clean", systems.display())));
    }
    screen.show()?;
    Ok(0)
}

fn page_of_cleaning(screen: &mut Screen, dir: &Path, cleaned: &Cleaned, dry_run: bool) {
    let mut grid = Grid::of(&[Column::figure("SIZE"), Column::name("FILE"), Column::text("")]);
    for (file, why) in &cleaned.gone {
        grid.row([show_size(file.size).into(), name_of(file).into(), words(*why).into()]);
    }
    if !grid.is_empty() {
        screen.grid(&grid);
    }
    let (count, freed) = (counted(cleaned.gone.len(), "file"), bytes(&cleaned.gone));
    screen.line(Cell::strong(match dry_run {
        true => format!("{count} would go, {}; nothing was changed", show_size(freed)),
        false => format!("{count} removed, {} freed in {}", show_size(freed + cleaned.swept), dir.display()),
    }));
    let mut kept = BTreeMap::<&str, (u64, u64)>::new();
    for (file, why) in &cleaned.kept {
        let (files, bytes) = kept.entry(words(*why)).or_default();
        (*files, *bytes) = (*files + 1, *bytes + file.size);
    }
    for (why, (files, bytes)) in kept {
        screen.line(format!("kept: {}, {}: {why}", counted(files, "file"), show_size(bytes)));
    }
}

fn of_file((file, why): &KeptWhy) -> Value {
    json!({
        "name": file.name, "key": file.key, "size": file.size, "age": file.age, "from": file.from, "why": word(*why),
        "complete": file.state != KeptState::Partial,
    })
}

fn of_cleaning(dir: &Path, cleaned: &Cleaned, dry_run: bool) -> Value {
    let removed = cleaned
        .gone
        .iter()
        .map(|(file, why)| json!({"name": file.name, "key": file.key, "size": file.size, "why": word(*why)}));
    json!({
        "dir": dir.display().to_string(), "removed": removed.collect::<Vec<_>>(),
        "freed": bytes(&cleaned.gone) + cleaned.swept, "kept": bytes(&cleaned.kept), "dry_run": dry_run,
    })
}

fn bytes(files: &[KeptWhy]) -> u64 {
    files.iter().map(|(file, _)| file.size).sum()
}

fn name_of(file: &KeptFile) -> &str {
    file.name.as_deref().unwrap_or(&file.key)
}

/// Returns the word for a reason in JSON.
fn word(why: KeepReason) -> &'static str {
    match why {
        KeepReason::Pending => "pending",
        KeepReason::Fresh => "fresh",
        KeepReason::InCache => "in-cache",
        KeepReason::Room => "room",
        KeepReason::Partial => "partial",
    }
}

/// Describes a reason for people.
fn words(why: KeepReason) -> &'static str {
    match why {
        KeepReason::Pending => "a pending update",
        KeepReason::Fresh => "came within the last hour",
        KeepReason::InCache => "pacman's cache has it too",
        KeepReason::Room => "until the room is needed",
        KeepReason::Partial => "not complete; the next fetch goes on",
    }
}
