//! `pkgswarm store ls` and `pkgswarm store clean`: what the stores keep and why, and making room.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::base::env::Env;
use crate::base::error::Error;
use crate::base::name::FileName;
use crate::cmd::cli::{CleanArgs, JsonArgs, StoreCommand};
use crate::cmd::screen::{Cell, Column, Grid, Screen};
use crate::config::Settings;
use crate::config::value::show_size;
use crate::host::inspect::pacman;
use crate::index::time;
use crate::machine::lists;
use crate::pacman::handover::{self, HandoverTarget};
use crate::pacman::prefetch::state::{PendingUpdate, PrefetchState};
use crate::report::columns::Tone;
use crate::report::{self, counted};
use crate::store::Store;
use crate::store::held::{KeptFile, KeptState, held};

/// Seconds for which a file is left to the run of pacman that it may have been fetched for.
const FRESH: u64 = 3600;

/// Runs the command. For root, an unprivileged child works on the store of pacman's downloads.
pub fn run(env: &Env, settings: &Settings, command: &StoreCommand) -> anyhow::Result<u8> {
    // Neither makes a store where there is none.
    handover::through(env, settings, &HandoverTarget::Looking, |settings| match command {
        StoreCommand::Ls(args) => ls(env, settings, args),
        StoreCommand::Clean(args) => clean(env, settings, args),
    })
}

/// The reason why a file is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    /// An update that is pending.
    Pending,
    /// It came within the last hour.
    Fresh,
    /// pacman's cache has a file of its name and size by now.
    InCache,
    /// There is room, and a later run may want it.
    Room,
    /// It is not complete.
    Partial,
}

impl Reason {
    /// Returns the word for it in JSON.
    fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Fresh => "fresh",
            Self::InCache => "in-cache",
            Self::Room => "room",
            Self::Partial => "partial",
        }
    }

    /// Describes it for people.
    fn words(self) -> &'static str {
        match self {
            Self::Pending => "a pending update",
            Self::Fresh => "came within the last hour",
            Self::InCache => "pacman's cache has it too",
            Self::Room => "until the room is needed",
            Self::Partial => "not complete; the next fetch goes on",
        }
    }

    /// True if a cleaning leaves it.
    fn keeps(self) -> bool {
        matches!(self, Self::Pending | Self::Fresh)
    }
}

/// What decides about the files of a store.
struct Reasons {
    /// The updates that are pending and were not let go.
    pending: Vec<PendingUpdate>,
    caches: Vec<PathBuf>,
}

impl Reasons {
    fn of(dir: &Path, caches: Vec<PathBuf>) -> Self {
        let mut pending = PrefetchState::now(dir).updates;
        pending.retain(|update| !update.is_let_go());
        Self { pending, caches }
    }

    /// True for a file of a pending update: the package, whatever its standing, and a signature that an index lists,
    /// which has a key of its own.
    fn is_pending(&self, file: &KeptFile) -> bool {
        let name = file.name.as_deref().and_then(|name| FileName::new(name).ok());
        let signed = name.map(|name| lists::read(&name).signed.unwrap_or(name));
        self.pending.iter().any(|update| {
            update.sha256.is_some_and(|sha256| sha256.to_string() == file.key)
                || signed.as_ref().is_some_and(|signed| signed.as_str() == update.file)
        })
    }

    fn why(&self, file: &KeptFile) -> Reason {
        let is_in = |dir: &PathBuf| {
            let Some(name) = file.name.as_deref().filter(|name| !name.contains('/')) else { return false };
            dir.join(name).metadata().is_ok_and(|meta| meta.len() == file.size)
        };
        match file.state {
            _ if self.is_pending(file) => Reason::Pending,
            KeptState::Whole | KeptState::Passing if self.caches.iter().any(is_in) => Reason::InCache,
            _ if file.age < FRESH => Reason::Fresh,
            KeptState::Partial => Reason::Partial,
            KeptState::Whole | KeptState::Passing => Reason::Room,
        }
    }
}

fn ls(env: &Env, settings: &Settings, args: &JsonArgs) -> anyhow::Result<u8> {
    let caches = pacman::cache_dirs(settings);
    let mut stores = Vec::new();
    for dir in &settings.stores {
        if let Ok(files) = held(dir) {
            let reasons = Reasons::of(dir, caches.clone());
            let files: Vec<(KeptFile, Reason)> = files
                .into_iter()
                .map(|file| {
                    let why = reasons.why(&file);
                    (file, why)
                })
                .collect();
            stores.push((dir, files));
        }
    }
    if args.json {
        let stores = stores.iter().map(|(dir, files)| {
            let files = files.iter().map(|(file, why)| {
                json!({
                    "name": file.name, "key": file.key, "size": file.size, "age": file.age, "from": file.from,
                    "why": why.word(), "complete": file.state != KeptState::Partial,
                })
            });
            json!({"dir": dir.display().to_string(), "max": settings.store_max, "files": files.collect::<Vec<_>>()})
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
        let columns = [Column::figure("SIZE"), Column::of("AGE"), Column::name("FILE"), Column::text("KEPT")];
        let mut grid = Grid::of(&columns);
        for (file, why) in files {
            let name = file.name.as_deref().unwrap_or(&file.key);
            let tone = if *why == Reason::Pending { Tone::Good } else { Tone::Plain };
            grid.row([
                show_size(file.size).into(),
                time::span(file.age).into(),
                name.into(),
                Cell::of(why.words(), tone),
            ]);
        }
        if !grid.is_empty() {
            screen.grid(&grid);
        }
        let bytes: u64 = files.iter().map(|(file, _)| file.size).sum();
        let may_go: u64 = files.iter().filter(|(_, why)| !why.keeps()).map(|(file, _)| file.size).sum();
        let (count, of) = (counted(files.len(), "file"), show_size(settings.store_max));
        let mut cell = Cell::strong(format!("{count}, {} of {of} in {}", show_size(bytes), dir.display()));
        if may_go > 0 {
            cell = cell.then(format!("; {} could go", show_size(may_go))).next("pkgswarm store clean");
        }
        screen.line(cell);
    }
    screen.show()?;
    Ok(0)
}

fn clean(env: &Env, settings: &Settings, args: &CleanArgs) -> anyhow::Result<u8> {
    let Some(dir) = settings.store_dir.as_ref().filter(|dir| dir.exists()) else {
        report::say("no store yet");
        return Ok(0);
    };
    let failed = |e: std::io::Error| Error::local(dir.display(), e);
    let store = Store::open(dir, env.uid, settings.store_max).map_err(failed)?;
    let caches = pacman::cache_dirs(settings);
    let reasons = Reasons::of(dir, caches.clone());
    let (mut gone, mut kept) = (Vec::new(), BTreeMap::<&str, (u64, u64)>::new());
    for file in held(dir).map_err(failed)? {
        let why = reasons.why(&file);
        if !why.keeps() && (args.dry_run || store.remove(&file).map_err(failed)?) {
            gone.push((file, why));
        } else {
            let held = kept.entry(why.words()).or_default();
            *held = (held.0 + 1, held.1 + file.size);
        }
    }
    let freed: u64 = gone.iter().map(|(file, _)| file.size).sum();
    let swept = if args.dry_run { 0 } else { store.sweep(&caches).map_err(failed)? };
    if args.json {
        let removed = gone
            .iter()
            .map(|(file, why)| json!({"name": file.name, "key": file.key, "size": file.size, "why": why.word()}));
        let kept: u64 = kept.values().map(|(_, bytes)| bytes).sum();
        let document = json!({
            "dir": dir.display().to_string(), "removed": removed.collect::<Vec<_>>(), "freed": freed + swept,
            "kept": kept, "dry_run": args.dry_run,
        });
        writeln!(report::out(), "{document}")?;
        return Ok(0);
    }
    let mut grid = Grid::of(&[Column::figure("SIZE"), Column::name("FILE"), Column::text("")]);
    for (file, why) in &gone {
        grid.row([show_size(file.size).into(), file.name.as_deref().unwrap_or(&file.key).into(), why.words().into()]);
    }
    let mut screen = Screen::new(env);
    if !grid.is_empty() {
        screen.grid(&grid);
    }
    let count = counted(gone.len(), "file");
    screen.line(Cell::strong(match args.dry_run {
        true => format!("{count} would go, {}; nothing was changed", show_size(freed)),
        false => format!("{count} removed, {} freed in {}", show_size(freed + swept), dir.display()),
    }));
    for (why, (files, bytes)) in kept {
        screen.line(format!("kept: {}, {}: {why}", counted(files, "file"), show_size(bytes)));
    }
    if let [_, systems, ..] = settings.stores.as_slice()
        && systems.exists()
    {
        screen.line(Cell::quiet(format!("{} is pacman's: sudo pkgswarm store clean", systems.display())));
    }
    screen.show()?;
    Ok(0)
}
