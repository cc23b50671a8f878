//! `pkgswarm setup`: shows each change, asks, makes it; and undoes it.

use std::ffi::OsString;
use std::io::{self, Write as _};

use crate::cli::SetupArgs;
use crate::config::Settings;
use crate::env::Env;
use crate::error::{self, Error};
use crate::report;
use crate::setup::record::SetupRecord;
use crate::setup::{self, Context, SetupOffer, SetupPart};

/// The result of one part.
struct PartOutcome {
    state: &'static str,
    change: String,
    said: Vec<String>,
}

/// Runs the command. A failed part does not stop the others; the first failure is the status.
pub fn run(env: &Env, settings: &Settings, flags: &[String], args: &SetupArgs) -> anyhow::Result<u8> {
    let flags: Vec<OsString> = flags.iter().flat_map(|flag| ["--set".into(), flag.into()]).collect();
    let context = Context { env, settings, flags: &flags };
    let mut record = SetupRecord::read(env, settings)?;
    let wanted = |part: &SetupPart| match args.only.is_empty() {
        // Sharing needs a request of its own: neither a script nor a hasty answer enables it.
        true => args.undo || !args.yes || !matches!(part, SetupPart::Daemon | SetupPart::Lan),
        false => args.only.contains(part),
    };
    let mut parts: Vec<SetupPart> = SetupPart::ALL.into_iter().filter(wanted).collect();
    if args.undo {
        parts.reverse();
    }
    let mut status = 0;
    for part in parts {
        let outcome = one(&context, &mut record, part, args);
        let outcome = outcome.unwrap_or_else(|e| {
            let said = report_of(&e);
            if status == 0 {
                status = e.kind.status();
            }
            if !args.json {
                eprint!("{}", error::report(&e));
            }
            PartOutcome { state: "refused", change: String::new(), said }
        });
        tell(part, &outcome, args.json)?;
    }
    Ok(status)
}

fn one(
    context: &Context<'_>,
    record: &mut SetupRecord,
    part: SetupPart,
    args: &SetupArgs,
) -> Result<PartOutcome, Error> {
    let offer = if args.undo { setup::offer_undo(context, part, record)? } else { setup::offer(context, part)? };
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
