//! `pkgswarm doctor`: runs the checks and prints the fixes for their findings.

use std::io::Write as _;
use std::time::SystemTime;

use crate::cli::DoctorArgs;
use crate::config::Settings;
use crate::doctor::{self, Check, Facts, Finding, Level, store};
use crate::env::Env;
use crate::handover::{self, HandoverTarget};
use crate::name::shown;
use crate::report::{self, counted};

/// Exit status when a check found a problem.
const ILL: u8 = 1;

/// Runs the command. For root, an unprivileged child runs the checks, with the view of pacman's downloader.
pub fn run(env: &Env, settings: &Settings, flags: &[String], args: &DoctorArgs) -> anyhow::Result<u8> {
    if env.is_root() && handover::hands(settings).is_err() {
        // Root runs no checks itself: they read what strangers send.
        let found = doctor::checks().filter(|check| check.name == "user");
        let found = found.map(|check| (check, vec![store::no_user(settings.download_user.as_deref())]));
        return tell(&found.collect::<Vec<_>>(), args);
    }
    handover::through(env, settings, &HandoverTarget::Looking, |_| run_here(env, flags, args))
}

fn run_here(env: &Env, flags: &[String], args: &DoctorArgs) -> anyhow::Result<u8> {
    // pacman's downloader does not have the caller's own files and directories.
    let (settings, _) = Settings::read_leniently(&Env { uid: 0, ..env.clone() }, flags);
    let facts = Facts::gather(env, &settings, SystemTime::now());
    tell(&doctor::checks().map(|check| (check, (check.look)(&facts))).collect::<Vec<_>>(), args)
}

/// Prints what each check found, and returns the exit status.
fn tell(found: &[(&Check, Vec<Finding>)], args: &DoctorArgs) -> anyhow::Result<u8> {
    let all = || found.iter().flat_map(|(_, findings)| findings);
    let is_ill = all().any(|finding| finding.level > Level::Note);
    let status = if is_ill { ILL } else { 0 };
    let mut out = report::out();
    if args.json {
        let checks = found.iter().map(|(check, findings)| {
            let findings =
                findings.iter().map(|f| serde_json::json!({"level": f.level, "says": f.says, "mend": f.mend}));
            serde_json::json!({"check": check.name, "about": check.about, "found": findings.collect::<Vec<_>>()})
        });
        let whole = serde_json::json!({"healthy": !is_ill, "checks": checks.collect::<Vec<_>>()});
        writeln!(out, "{whole:#}")?;
        return Ok(status);
    }
    for (check, finding) in found.iter().flat_map(|(check, findings)| findings.iter().map(move |f| (check, f))) {
        if finding.level > Level::Note || args.notes {
            writeln!(out, "{}", lines(check.name, finding))?;
        }
    }
    let notes = all().filter(|finding| finding.level == Level::Note).count();
    if notes > 0 && !args.notes {
        report::say(&format!("{}: `pkgswarm doctor --notes`", counted(notes, "note")));
    } else if !is_ill && notes == 0 {
        report::say(&format!("{}, nothing to fix", counted(found.len(), "check")));
    }
    Ok(status)
}

fn lines(name: &str, finding: &Finding) -> String {
    let level = match finding.level {
        Level::Note => "note",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    format!(
        "{level}: {} [{name}]
  fix: {}",
        shown(&finding.says),
        shown(&finding.mend)
    )
}
