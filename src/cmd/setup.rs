//! `pkgswarm setup`: shows each change, asks, makes it; and undoes it.

use std::ffi::OsString;
use std::io::{self, Write as _};

use crate::base::env::{Env, HANDOVER};
use crate::base::error::{self, Error};
use crate::cmd::cli::SetupArgs;
use crate::config::{Settings, layers};
use crate::host::setup::door::PacmanDoor;
use crate::host::setup::record::SetupRecord;
use crate::host::setup::{self, Context, SetupOffer, SetupPart};
use crate::report;

mod dialogue;

/// The result of one part.
struct PartOutcome {
    state: &'static str,
    change: String,
    said: Vec<String>,
}

/// Runs the command. A failed part does not stop the others; the first failure is the status.
pub(crate) fn run(env: &Env, settings: &Settings, flags: &[String], args: &SetupArgs) -> anyhow::Result<u8> {
    let flags: Vec<OsString> = flags.iter().flat_map(|flag| ["--set".into(), flag.into()]).collect();
    refuse_without_root(env, settings, args)?;
    let mut record = SetupRecord::read(env, settings)?;
    let door = args.door.or(record.done.door).unwrap_or_default();
    let context = Context { env, settings, flags: &flags, daemon_comes: false, door, door_comes: false };
    let mut parts = parts(&record, door, args);
    if !(args.yes || args.dry_run || args.json) {
        return dialogue::run(&context, &mut record, &parts, args);
    }
    if args.undo {
        parts.reverse();
    }
    let (mut status, mut proposed, mut refused) = (0, Vec::new(), Vec::new());
    for part in parts {
        let [daemon_comes, door_comes] = [SetupPart::Daemon, SetupPart::Pacman].map(|part| proposed.contains(&part));
        let outcome = match part {
            // pacman is not led to an address at which another program may listen.
            SetupPart::Pacman if refused.contains(&SetupPart::Endpoint) && !args.undo => {
                Err(Error::local("pacman", "not done, because endpoint failed"))
            }
            _ => one(&Context { daemon_comes, door_comes, ..context }, &mut record, part, args),
        };
        let outcome = outcome.unwrap_or_else(|e| {
            let said = report_of(&e);
            if status == 0 {
                status = e.kind.status();
            }
            if !args.json {
                report::complain(&error::report(&e));
            }
            PartOutcome { state: "refused", change: String::new(), said }
        });
        match outcome.state {
            "proposed" => proposed.push(part),
            "refused" => refused.push(part),
            _ => {}
        }
        tell(part, &outcome, args.json)?;
    }
    if args.dry_run && !args.json && status == 0 {
        report::say(&match (proposed.is_empty(), args.undo) {
            (true, _) => "Nothing was changed, and there is nothing to do.".to_owned(),
            (false, false) => "Nothing was changed. `sudo pkgswarm setup` does it.".to_owned(),
            (false, true) => "Nothing was changed. `sudo pkgswarm setup --undo` does it.".to_owned(),
        });
    }
    Ok(status)
}

/// Lists the parts to work on, in the order of setting up.
fn parts(record: &SetupRecord, door: PacmanDoor, args: &SetupArgs) -> Vec<SetupPart> {
    let wanted = |part: &SetupPart| {
        if !args.only.is_empty() {
            return args.only.contains(part);
        }
        match part {
            SetupPart::Endpoint => record.has(*part) || !args.undo && door.has_endpoint(),
            // What pacman.conf gets back as a whole has that in it.
            SetupPart::Parallel => !args.undo && !args.yes && door.has_endpoint(),
            // Sharing needs a request of its own: neither a script nor a hasty answer enables it.
            SetupPart::Daemon | SetupPart::Lan => args.undo || !args.yes,
            _ => true,
        }
    };
    let mut parts: Vec<SetupPart> = SetupPart::ALL.into_iter().filter(wanted).collect();
    if !args.undo && !door.has_endpoint() {
        // Nothing names the endpoint any more when it goes.
        parts.sort_by_key(|part| *part == SetupPart::Endpoint);
    }
    parts
}

/// Refuses work on this system to a user who may not do it, before any of it is begun. Kubo may be a user's own, and
/// takes its settings from any local user.
fn refuse_without_root(env: &Env, settings: &Settings, args: &SetupArgs) -> Result<(), Error> {
    let is_of_kubo = args.only == [SetupPart::Kubo];
    // Root's child works on Kubo for root.
    if env.var(HANDOVER).is_some()
        || layers::may_change_system(env)
        || is_of_kubo && !args.undo
        || args.dry_run && !args.undo
    {
        return Ok(());
    }
    let words: Vec<_> = env.words().iter().map(|word| word.to_string_lossy()).collect();
    let hint = format!("sudo pkgswarm {}", words.join(" "));
    if !args.undo {
        return Err(Error::local("pkgswarm setup", "only root configures this system; nothing was changed").hint(hint));
    }
    let has_own = |part: &SetupPart| SetupRecord::read(env, settings).is_ok_and(|record| record.has(*part));
    if !args.only.is_empty() && args.only.iter().all(has_own) && is_of_kubo {
        return Ok(());
    }
    let dir = SetupRecord::system_dirs(env).into_iter().find(|dir| dir.exists());
    let why = dir.map_or("nothing was changed".to_owned(), |dir| {
        format!("what root's setup changed is recorded in {}; nothing was undone", dir.display())
    });
    let own = match has_own(&SetupPart::Kubo) {
        true => "; `pkgswarm setup --undo --only kubo` undoes what this user changed",
        false => "",
    };
    Err(Error::local(
        "pkgswarm setup --undo",
        format!("only root undoes what setup changed on this system; {why}{own}"),
    )
    .hint(hint))
}

fn one(
    context: &Context<'_>,
    record: &mut SetupRecord,
    part: SetupPart,
    args: &SetupArgs,
) -> Result<PartOutcome, Error> {
    let offer =
        if args.undo { setup::offer_undo(context, part, record)? } else { setup::offer(context, part, record)? };
    let change = match offer {
        SetupOffer::Nothing(why) => {
            return Ok(PartOutcome { state: "unchanged", change: String::new(), said: vec![why] });
        }
        SetupOffer::Change(change) => change,
    };
    let shown = change.shown();
    if !args.json {
        // A closed pipe is the reader's choice.
        let _ = report::out().write_all(shown.as_bytes());
    }
    if args.dry_run {
        return Ok(PartOutcome { state: "proposed", change: shown, said: Vec::new() });
    }
    if !args.yes && !super::confirmed("setup", if args.undo { "Take this back?" } else { "Do this?" })? {
        return Ok(PartOutcome { state: "declined", change: shown, said: Vec::new() });
    }
    let said = change.apply(record)?;
    Ok(PartOutcome { state: "changed", change: shown, said })
}

fn tell(part: SetupPart, outcome: &PartOutcome, json: bool) -> io::Result<()> {
    let PartOutcome { state, change, said } = outcome;
    if json {
        let line = serde_json::json!({"part": part.name(), "state": state, "change": change, "said": said});
        return writeln!(report::out(), "{line}");
    }
    if *state != "refused" {
        for line in said {
            report::say(&format!("{}: {line}", part.name()));
        }
    }
    Ok(())
}

/// Returns the error and its hint in lines.
fn report_of(e: &Error) -> Vec<String> {
    let hint = e.hint.iter().map(|hint| format!("hint: {hint}"));
    std::iter::once(e.to_string()).chain(hint).collect()
}
