//! `pkgswarm doctor`: runs the checks and prints the fixes for their findings.

use std::io::Write as _;
use std::time::SystemTime;

use crate::base::env::Env;
use crate::cmd::cli::DoctorArgs;
use crate::cmd::screen::Screen;
use crate::config::Settings;
use crate::host::doctor::{self, Check, Finding, Level, store};
use crate::host::inspect::Inspection;
use crate::host::inspect::kubo::KuboView;
use crate::host::overview::documents;
use crate::pacman::handover::{self, HandoverTarget};
use crate::report::cell::Cell;
use crate::report::columns::Tone;
use crate::report::{self, counted};

/// Exit status when a check found a problem.
const ILL: u8 = 1;

/// Runs the command. For root, an unprivileged child runs the checks, with the view of pacman's downloader.
pub(crate) fn run(env: &Env, settings: &Settings, flags: &[String], args: &DoctorArgs) -> anyhow::Result<u8> {
    if env.is_root() && handover::hands(settings).is_err() {
        // Root runs no checks itself: they read what strangers send.
        let found = doctor::checks().filter(|check| check.name == "user");
        let found = found.map(|check| (check, vec![store::no_user(settings.download_user.as_deref())]));
        return tell(env, &found.collect::<Vec<_>>(), &[], args);
    }
    handover::through(env, settings, &HandoverTarget::Looking, |_| run_here(env, flags, args))
}

fn run_here(env: &Env, flags: &[String], args: &DoctorArgs) -> anyhow::Result<u8> {
    // pacman's downloader does not have the caller's own files and directories.
    let (settings, _) = Settings::read_leniently(&Env { uid: 0, ..env.clone() }, flags);
    let facts = Inspection::examine(env, &settings, SystemTime::now());
    let found = doctor::checks().map(|check| (check, (check.look)(&facts))).collect::<Vec<_>>();
    tell(env, &found, &absent(&facts), args)
}

/// Lists the groups of which there is nothing to look at, with the reason.
fn absent(facts: &Inspection) -> Vec<(&'static str, &'static str)> {
    let kubo = match facts.kubo {
        KuboView::Here(_) => None,
        KuboView::Gone { .. } => Some("not running"),
        KuboView::NotAsked(_) => Some("not asked"),
    };
    let indexes = facts.indexes.is_empty().then_some("none");
    let shares = facts.keep.shares.is_empty().then_some("none");
    let is_used = facts.endpoint.lines > 0 || facts.endpoint.is_enabled;
    let endpoint = (!is_used).then_some("not used");
    let all = [("Kubo", kubo), ("indexes", indexes), ("endpoint", endpoint), ("shares", shares)];
    all.into_iter().filter_map(|(group, why)| Some((group, why?))).collect()
}

/// Prints what each check found, and returns the exit status.
fn tell(env: &Env, found: &[(&Check, Vec<Finding>)], absent: &[(&str, &str)], args: &DoctorArgs) -> anyhow::Result<u8> {
    let all = || found.iter().flat_map(|(_, findings)| findings);
    let is_ill = all().any(|finding| finding.level > Level::Note);
    let status = if is_ill { ILL } else { 0 };
    if args.json {
        let found: Vec<_> = found.iter().map(|(check, findings)| (*check, findings.as_slice())).collect();
        writeln!(report::out(), "{:#}", documents::doctor(&found))?;
        return Ok(status);
    }
    let mut screen = Screen::new(env);
    for (check, finding) in found.iter().flat_map(|(check, findings)| findings.iter().map(move |f| (check, f))) {
        if finding.level > Level::Note || args.notes {
            let (word, tone) = worded(finding.level);
            screen.line(
                Cell::of(word, tone).then(format!(": {} ", finding.says)).and(format!("[{}]", check.name), Tone::Quiet),
            );
            screen.line(Cell::strong("  fix: ").then(&finding.mend));
        }
    }
    screen.line(groups(found, absent));
    screen.show()?;
    let notes = all().filter(|finding| finding.level == Level::Note).count();
    if notes > 0 && !args.notes {
        report::say(&format!("{}: `pkgswarm doctor --notes`", counted(notes, "note")));
    } else if !is_ill && notes == 0 {
        report::say(&format!("{}, nothing to fix", counted(found.len(), "check")));
    }
    Ok(status)
}

/// Counts the checks of each group by their worst findings: `pacman 14 ok; store 4 ok, 1 warning`.
fn groups(found: &[(&Check, Vec<Finding>)], absent: &[(&str, &str)]) -> Cell {
    let mut cell = Cell::default();
    for (group, checks) in doctor::GROUPS {
        let worst: Vec<Option<Level>> = found
            .iter()
            .filter(|(check, _)| checks.iter().any(|one| one.name == check.name))
            .map(|(_, findings)| findings.iter().map(|finding| finding.level).max())
            .collect();
        if worst.is_empty() {
            continue;
        }
        let between = if cell.is_empty() { "" } else { "; " };
        cell = cell.then(between).and(group, Tone::Strong);
        if let Some((_, why)) = absent.iter().find(|(one, _)| *one == group && worst.iter().all(Option::is_none)) {
            cell = cell.then(" ").and(why, Tone::Quiet);
            continue;
        }
        let mut before = " ";
        let levels = [None, Some(Level::Error), Some(Level::Warning), Some(Level::Note)];
        for (level, count) in levels.map(|level| (level, worst.iter().filter(|one| **one == level).count())) {
            if count > 0 {
                let (text, tone) = match level.map(worded) {
                    None => (format!("{count} ok"), Tone::Good),
                    Some((word, tone)) => (counted(count, word), tone),
                };
                cell = cell.then(before).and(text, tone);
                before = ", ";
            }
        }
    }
    cell
}

fn worded(level: Level) -> (&'static str, Tone) {
    match level {
        Level::Note => ("note", Tone::Plain),
        Level::Warning => ("warning", Tone::Poor),
        Level::Error => ("error", Tone::Bad),
    }
}
