//! `pkgswarm prefetch`: fetches pending updates in advance. The exit status is that of `checkupdates`.

use std::io::{self, Write as _};

use crate::base::env::{Env, VERBOSE};
use crate::base::error::{self, ErrorKind};
use crate::cmd::bar::FilesBar;
use crate::cmd::cli::PrefetchArgs;
use crate::cmd::screen::{Column, Grid, Screen};
use crate::cmd::status::versions;
use crate::config::value::show_size;
use crate::config::{ProgressMode, Settings};
use crate::pacman::handover::{self, Giver, HandoverTarget};
use crate::pacman::prefetch::choose::LeftOut;
use crate::pacman::prefetch::state::{PendingUpdate, UpdateStanding};
use crate::pacman::prefetch::{self, PrefetchOptions, PrefetchReport};
use crate::report::cell::Cell;
use crate::report::columns::Tone;
use crate::report::{self, counted};

/// Exit status: there are updates.
const SOME: u8 = 0;
/// Exit status: an error.
const FAILED: u8 = 1;
/// Exit status: there are none, or it is not the time to look.
const NONE: u8 = 2;

/// Runs the command.
pub(crate) fn run(env: &Env, settings: &Settings, args: &PrefetchArgs) -> anyhow::Result<u8> {
    if args.notify {
        return super::notify::run(env, settings);
    }
    handover::through(env, settings, &HandoverTarget::Nowhere, |settings| run_here(env, settings, args))
}

fn run_here(env: &Env, settings: &Settings, args: &PrefetchArgs) -> anyhow::Result<u8> {
    // The child ends with root's process, even after kill -9.
    let _channel = Giver::of(env);
    if let [own, systems, ..] = settings.stores.as_slice()
        && systems.exists()
    {
        report::say(&format!(
            "warning: pacman's downloader cannot use {}; `sudo pkgswarm prefetch` fetches into {}",
            own.display(),
            systems.display()
        ));
    }
    let options = PrefetchOptions { only: args.only.clone(), dry_run: args.dry_run, now: args.now };
    let bar = FilesBar::new(settings.progress == ProgressMode::Bar, "updates");
    let done = prefetch::run(env, settings, &options, &mut |at| {
        bar.at((at.files, at.of_files), (at.bytes, at.of_bytes));
    });
    bar.clear();
    match done {
        Ok(report) => tell(env, &report, args, settings.stores.len() == 1),
        Err(e) if e.kind == ErrorKind::Interrupted => Err(e.into()),
        Err(e) => {
            report::complain(&error::report(&e));
            Ok(FAILED)
        }
    }
}

/// Prints the updates and a summary. `is_pacmans` is true if pacman's downloader uses the same store.
fn tell(env: &Env, done: &PrefetchReport, args: &PrefetchArgs, is_pacmans: bool) -> anyhow::Result<u8> {
    let is_missing = |one: &PendingUpdate| matches!(one.stands, UpdateStanding::Failed(_));
    let failed = !done.failures.is_empty() || (!args.dry_run && done.updates.iter().any(is_missing));
    let status = match (failed, asked(done, args).next().is_none()) {
        (true, _) => FAILED,
        (false, false) => SOME,
        (false, true) => NONE,
    };
    if env.var(VERBOSE).is_some() {
        done.passed_over.iter().for_each(|line| report::say(line));
    }
    if args.json {
        let failures: Vec<String> = done.failures.iter().map(ToString::to_string).collect();
        let all = serde_json::json!({
            "postponed": done.postponed,
            "fetched": done.fetched,
            "updates": done.updates,
            "failures": failures,
            "warnings": done.warnings,
        });
        writeln!(io::stdout(), "{all}")?;
        return Ok(status);
    }
    let screen = Screen::new(env);
    // On a pipe the form of checkupdates, which scripts read.
    let is_for_people = screen.paper().is_terminal;
    match is_for_people {
        true => listed(screen, done, args).show()?,
        false => asked(done, args).try_for_each(|update| writeln!(io::stdout(), "{}", update.line()))?,
    }
    done.failures.iter().for_each(|failure| report::complain(&error::report(failure)));
    done.warnings.iter().for_each(|warning| report::say(&format!("warning: {warning}")));
    let form = if is_for_people { Form::People } else { Form::Plain };
    summary(done, args, is_pacmans, form).iter().for_each(|line| report::say(line));
    Ok(status)
}

/// Returns the updates that this run was asked about.
fn asked<'a>(done: &'a PrefetchReport, args: &'a PrefetchArgs) -> impl Iterator<Item = &'a PendingUpdate> {
    done.updates.iter().filter(|one| args.only.is_empty() || args.only.contains(&one.name))
}

/// Lists the updates with their sizes, for people.
fn listed(mut screen: Screen, done: &PrefetchReport, args: &PrefetchArgs) -> Screen {
    let columns =
        [Column::name(""), Column::name(""), Column::of(""), Column::name(""), Column::figure(""), Column::of("")];
    let mut grid = Grid::of(&columns);
    for update in asked(done, args) {
        let [name, old, arrow, new] = versions(update);
        let ready = if update.is_here() { Cell::of("ready", Tone::Good) } else { Cell::default() };
        grid.row([name, old, arrow, new, show_size(update.size).into(), ready]);
    }
    screen.grid(&grid);
    screen
}

/// The reader of the summary.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A user at a terminal.
    People,
    /// A script, which may know the lines.
    Plain,
}

/// Says how many updates are here.
fn are_here(here: usize, of: usize) -> String {
    format!("{here} of {} {} here", counted(of, "update"), if of == 1 { "is" } else { "are" })
}

/// Returns the lines that follow the list.
fn summary(done: &PrefetchReport, args: &PrefetchArgs, is_pacmans: bool, form: Form) -> Vec<String> {
    if let Some(why) = &done.postponed {
        return vec![format!("not now: {why}; --now does it anyway")];
    }
    let asked: Vec<&PendingUpdate> = asked(done, args).collect();
    if asked.is_empty() {
        let all = if args.only.is_empty() { "no updates are pending" } else { "none of these has an update pending" };
        return vec![all.to_owned()];
    }
    let mut lines = Vec::new();
    let here: Vec<_> = asked.iter().filter(|update| update.is_here()).collect();
    let bytes: u64 = here.iter().map(|update| update.size).sum();
    let of = asked.len();
    let all: u64 = asked.iter().map(|update| update.size).sum();
    if form == Form::People && is_pacmans {
        let rest = all.saturating_sub(bytes);
        lines.push(match (rest, args.dry_run) {
            (0, _) => format!("{of} of {of} ready. `sudo pacman -Su` needs no network."),
            (rest, true) => {
                format!("{} of {of} ready. `sudo pkgswarm prefetch` fetches {}.", here.len(), show_size(rest))
            }
            (rest, false) => {
                format!(
                    "{} of {of} ready. `sudo pacman -Su` needs the network for {} more.",
                    here.len(),
                    show_size(rest)
                )
            }
        });
    } else if args.dry_run {
        let missing: u64 = asked.iter().filter(|one| one.stands == UpdateStanding::Pending).map(|one| one.size).sum();
        lines.push(format!("{}; {} would be fetched", are_here(here.len(), of), show_size(missing)));
    } else {
        let (here, bytes, fetched) = (here.len(), show_size(bytes), show_size(done.fetched));
        let end = match is_pacmans {
            true => ": pacman -Su needs no network for them",
            false => ", in this user's own store, which pacman cannot use",
        };
        lines.push(format!("{}, {bytes} ({fetched} fetched now){end}", are_here(here, of)));
    }
    // Those without a message above.
    let told = |one: &&PendingUpdate| done.failures.iter().any(|failure| failure.subject.starts_with(&one.file));
    if !args.dry_run {
        for one in done.updates.iter().filter(|one| !told(one)) {
            if let UpdateStanding::Failed(why) = &one.stands {
                lines.push(format!("not here: {}: {why}", one.line()));
            }
        }
    }
    let left = |why| done.updates.iter().filter(|one| one.stands == UpdateStanding::Left(why)).collect::<Vec<_>>();
    for (why, key) in [(LeftOut::Quota, "prefetch.max"), (LeftOut::Age, "prefetch.age")] {
        let left = left(why);
        if !left.is_empty() {
            let bytes: u64 = left.iter().map(|one| one.size).sum();
            lines.push(format!("{} left out, {}: {key}", left.len(), show_size(bytes)));
        }
    }
    lines
}
