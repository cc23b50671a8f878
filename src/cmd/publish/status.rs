//! `pkgswarm publish status`: how the publications of this machine are, read from their records.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::voice::ago;
use crate::base::clock;
use crate::base::env::Env;
use crate::base::error::Error;
use crate::cmd::cli::PublishStatusArgs;
use crate::cmd::screen::{Column, Grid, Screen};
use crate::config::publication::{PublicationFile, is_publication_name, publication_dirs, publication_file};
use crate::config::{SYSTEM_STATE, Settings, own_state_dir, value};
use crate::host::inspect::units;
use crate::index::time::span;
use crate::publish::{HolderRecord, HoldingWord, PublicationRecord, RunRecord};
use crate::report;
use crate::report::cell::Cell;
use crate::report::columns::Tone;

/// Seconds after which a cluster or a service that does not hold the publication is a problem: services have left requests
/// queued for weeks.
const HOLDER_MOST: u64 = 86_400;

/// A publication that is looked at.
struct Looked {
    name: String,
    file: PathBuf,
    publication: Result<PublicationFile, String>,
    record: Option<RunRecord>,
    /// Files that were fetched and are not yet at every target, and their bytes.
    waiting: (u64, u64),
    /// Unix seconds of the timer's next run.
    next: Option<u64>,
    /// What is not well, each with the next step.
    problems: Vec<(String, String)>,
}

/// Runs the command.
pub(super) fn run(env: &Env, settings: &Settings, args: &PublishStatusArgs) -> anyhow::Result<u8> {
    let names: BTreeSet<String> = match args.names.is_empty() {
        true => publication_dirs(env).iter().flat_map(|dir| names_in(dir)).collect(),
        false => args.names.iter().cloned().collect(),
    };
    let looked = names.into_iter().map(|name| look(env, settings, name)).collect::<Result<Vec<_>, Error>>()?;
    if looked.is_empty() {
        report::say("no publication is described here; pkgswarm-publish(1) tells how to");
    }
    let is_well = looked.iter().all(|looked| looked.problems.is_empty());
    if args.json {
        for looked in &looked {
            writeln!(report::out(), "{}", as_json(looked))?;
        }
        return Ok(u8::from(!is_well));
    }
    let mut screen = Screen::new(env);
    for (at, looked) in looked.iter().enumerate() {
        if at > 0 {
            screen.gap();
        }
        page(&mut screen, looked);
    }
    screen.show()?;
    Ok(u8::from(!is_well))
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".toml")?.to_owned()));
    names.filter(|name| is_publication_name(name)).collect()
}

fn look(env: &Env, settings: &Settings, name: String) -> Result<Looked, Error> {
    let file = publication_file(env, &name);
    if !is_publication_name(&name) || !file.exists() {
        return Err(Error::usage(&name, format!("is no publication: there is no {}", file.display()))
            .hint("pkgswarm publish status lists all"));
    }
    let publication = PublicationFile::read(&file, &name).map_err(|e| e.to_string());
    let (mut record, mut waiting, mut unread) = (None, (0, 0), None);
    if let Ok(publication) = &publication {
        for dir in states(env, settings).iter().map(|state| super::beside(state, &publication.publisher)) {
            match RunRecord::read(&dir) {
                Ok(Some(found)) => {
                    let is_newer = record.as_ref().is_none_or(|known: &RunRecord| known.at < found.at);
                    if is_newer {
                        (record, waiting) = (Some(found), held_back(&dir));
                    }
                }
                Ok(None) => {}
                Err(e) => unread = Some(format!("{}: {e}", dir.display())),
            }
        }
    }
    let next = units::next_run(&format!("pkgswarm-publish@{name}.timer"));
    let mut looked = Looked { name, file, publication, record, waiting, next, problems: Vec::new() };
    looked.problems = problems(&looked, unread, clock::now());
    Ok(looked)
}

/// Lists the states beside which a record may be: that of the service, and that of a user who publishes by hand. The newest
/// record counts.
fn states(env: &Env, settings: &Settings) -> Vec<PathBuf> {
    let own = own_state_dir(env);
    let is_own = own.as_ref() == Some(&settings.state_dir);
    let system = is_own.then(|| PathBuf::from(SYSTEM_STATE));
    let mut states: Vec<PathBuf> = [Some(settings.state_dir.clone()), system, own].into_iter().flatten().collect();
    states.dedup();
    states
}

/// Counts the packages on their way, and their bytes.
fn held_back(state_dir: &Path) -> (u64, u64) {
    let files = std::fs::read_dir(state_dir.join("follow/packages")).into_iter().flatten().flatten();
    let sizes = files.filter_map(|file| file.metadata().ok()).map(|found| found.len());
    sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
}

fn problems(looked: &Looked, unread: Option<String>, now: u64) -> Vec<(String, String)> {
    let name = &looked.name;
    let start = format!("sudo systemctl start pkgswarm-publish@{name}");
    if let Err(why) = &looked.publication {
        return vec![(why.clone(), format!("correct {}", looked.file.display()))];
    }
    let Some(record) = &looked.record else {
        let what =
            unread.map_or_else(|| "it has never run".to_owned(), |why| format!("its record cannot be read: {why}"));
        return vec![(what, start)];
    };
    let mut problems = Vec::new();
    let journal = format!("journalctl -u pkgswarm-publish@{name}");
    if !record.result.is_well() {
        let since =
            record.alarm.map(|alarm| format!(" since {}", span(now.saturating_sub(alarm.since)))).unwrap_or_default();
        let why = record.why.as_deref().unwrap_or("for an unknown reason");
        problems.push((format!("{}{since}: {why}", record.result.word()), journal));
    }
    let Some(index) = &record.index else { return problems };
    let late = |holder: &&HolderRecord| {
        holder.state == HoldingWord::Pending
            && holder.since.is_some_and(|since| now.saturating_sub(since) > HOLDER_MOST)
    };
    for holder in index.holders.iter().filter(late) {
        let since = span(now.saturating_sub(holder.since.unwrap_or(now)));
        let what = format!("pins.{}: it has been at work for {since} and does not hold the publication", holder.holder);
        problems
            .push((what, "ask the operator of the cluster or service; the former publication stays there".to_owned()));
    }
    let life = index.expires.saturating_sub(index.created);
    if index.expires < now {
        problems
            .push((format!("the index expired {} ago: users do not use it", span(now - index.expires)), start.clone()));
    } else if now > index.created.saturating_add(life / 4 * 3) {
        let left = span(index.expires - now);
        problems.push((format!("the index was not renewed in time: it expires in {left}"), start.clone()));
    }
    if now.saturating_sub(record.at) > life / 2 {
        let timer = format!("sudo systemctl enable --now pkgswarm-publish@{name}.timer");
        problems.push((format!("it has not run for {}", span(now.saturating_sub(record.at))), timer));
    }
    problems
}

fn as_json(looked: &Looked) -> serde_json::Value {
    let (record, index) = (looked.record.as_ref(), looked.record.as_ref().and_then(|record| record.index.as_ref()));
    let problems: Vec<_> = looked.problems.iter().map(|(what, fix)| json!({"problem": what, "fix": fix})).collect();
    json!({
        "name": looked.name, "file": looked.file.to_string_lossy(), "well": looked.problems.is_empty(),
        "problems": problems, "run": record.map(|record| record.at), "took_ms": record.map(|record| record.took_ms),
        "result": record.map(|record| record.result.word()), "why": record.and_then(|record| record.why.as_ref()),
        "last_well": record.and_then(|record| record.well),
        "alarm_since": record.and_then(|record| record.alarm).map(|alarm| alarm.since), "next": looked.next,
        "waiting": {"files": looked.waiting.0, "bytes": looked.waiting.1}, "index": index,
    })
}

fn page(screen: &mut Screen, looked: &Looked) {
    let mut grid = Grid::of(&[Column::of(""), Column::text("")]);
    let mut row = |what: &str, text: Cell| grid.row([Cell::strong(what), text]);
    row("publication", looked.name.as_str().into());
    if let Some(record) = &looked.record {
        let tone = if record.result.is_well() { Tone::Good } else { Tone::Bad };
        let took = format!(", {}, took {:.1} s", ago(record.at), record.took_ms as f64 / 1000.0);
        row("last run", Cell::of(record.result.word(), tone).then(took));
        if let Some(index) = &record.index {
            of_index(&mut row, index);
        }
    }
    if looked.waiting.0 > 0 {
        let (files, bytes) = (report::counted(looked.waiting.0, "file"), value::show_size(looked.waiting.1));
        row("waiting", format!("{files}, {bytes}: fetched, and not at every target yet").into());
    }
    let next = looked.next.map(|at| format!("in {}", span(at.saturating_sub(clock::now()))));
    row("next run", next.unwrap_or_else(|| "systemd knows of none".to_owned()).into());
    screen.grid(&grid);
    for (what, fix) in &looked.problems {
        screen.line(Cell::of(format!("problem: {what}"), Tone::Bad));
        screen.line(format!("  fix: {fix}"));
    }
}

fn of_index(row: &mut impl FnMut(&str, Cell), index: &PublicationRecord) {
    let left = match index.expires.checked_sub(clock::now()) {
        Some(left) => Cell::from(format!("in {}", span(left))),
        None => Cell::of(format!("EXPIRED {}", ago(index.expires)), Tone::Bad),
    };
    row("index", format!("sequence {}, made {}", index.sequence, ago(index.created)).into());
    row("expires", left);
    if let Some(at) = index.lastupdate() {
        row("upstream", format!("as it was {}", ago(at)).into());
    }
    if let Some(name) = &index.name {
        row("name", name.as_str().into());
    }
    row("files", format!("{}, {} new in the last run", index.files, index.new_files).into());
    let backlog = index.backlog();
    if backlog.packages > 0 {
        let packages = report::counted(backlog.packages, "package");
        let what = format!("{packages}, {}: they come as backfill allows", value::show_size(backlog.bytes));
        row("not listed", what.into());
    }
    for repo in &index.repos {
        let packages = report::counted(repo.packages, "package");
        row("repository", format!("{} {}: {packages}, {}", repo.repo, repo.arch, value::show_size(repo.size)).into());
    }
    if let Some(archive) = index.archive() {
        let files = report::counted(archive.files, "superseded file");
        let left = archive.oldest.map(|at| format!("; the first left {}", ago(at))).unwrap_or_default();
        let bytes = format!("{} with their bytes, {}", archive.with_bytes, value::show_size(archive.size));
        row("archive", format!("{files}, {bytes}; begins {}{left}", ago(archive.since)).into());
    }
    for target in &index.targets {
        let called = Cell::from(format!("{} ", target.target));
        let has = match &target.lacks {
            None => called.and("has it", Tone::Good),
            Some(why) => called.and(format!("lacks it: {why}"), Tone::Bad),
        };
        row("target", has);
    }
    for holder in &index.holders {
        let called = Cell::from(format!("{} ", holder.holder));
        let since =
            holder.since.map(|at| format!(" since {}", span(clock::now().saturating_sub(at)))).unwrap_or_default();
        let why = holder.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        row(
            "pinned by",
            match holder.state {
                HoldingWord::Held => called.and(format!("holds it{why}"), Tone::Good),
                HoldingWord::Pending => called.and(format!("at work{since}{why}"), Tone::Poor),
                HoldingWord::Failed => called.and(format!("does not hold it{since}{why}"), Tone::Bad),
            },
        );
    }
}
