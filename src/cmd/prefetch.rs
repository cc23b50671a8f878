//! `pkgswarm prefetch`: fetches pending updates in advance. The exit status is that of `checkupdates`.

use std::io::{self, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::PrefetchArgs;
use crate::config::Settings;
use crate::config::value::show_size;
use crate::env::Env;
use crate::error::{self, ErrorKind};
use crate::handover::{self, Giver, HandoverTarget};
use crate::prefetch::choose::LeftOut;
use crate::prefetch::fetch::PrefetchProgress;
use crate::prefetch::state::{PendingUpdate, UpdateStanding};
use crate::prefetch::{self, PrefetchOptions, PrefetchReport};
use crate::report;

/// Exit status: there are updates.
const SOME: u8 = 0;
/// Exit status: an error.
const FAILED: u8 = 1;
/// Exit status: there are none, or it is not the time to look.
const NONE: u8 = 2;

/// Runs the command.
pub fn run(env: &Env, settings: &Settings, args: &PrefetchArgs) -> anyhow::Result<u8> {
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
    let bar = Bar::new(settings.progress);
    let done = prefetch::run(env, settings, &options, &mut |progress| bar.at(progress));
    bar.clear();
    match done {
        Ok(report) => tell(&report, args),
        Err(e) if e.kind == ErrorKind::Interrupted => Err(e.into()),
        Err(e) => {
            eprint!("{}", error::report(&e));
            Ok(FAILED)
        }
    }
}

fn tell(done: &PrefetchReport, args: &PrefetchArgs) -> anyhow::Result<u8> {
    let is_missing = |one: &PendingUpdate| matches!(one.stands, UpdateStanding::Failed(_));
    let failed = !done.failures.is_empty() || (!args.dry_run && done.updates.iter().any(is_missing));
    let status = match (failed, done.updates.is_empty()) {
        (true, _) => FAILED,
        (false, false) => SOME,
        (false, true) => NONE,
    };
    let mut out = io::stdout().lock();
    if args.json {
        let failures: Vec<String> = done.failures.iter().map(ToString::to_string).collect();
        let all = serde_json::json!({
            "postponed": done.postponed,
            "fetched": done.fetched,
            "updates": done.updates,
            "failures": failures,
            "warnings": done.warnings,
        });
        writeln!(out, "{all}")?;
        return Ok(status);
    }
    for update in &done.updates {
        writeln!(out, "{}", update.line())?;
    }
    done.failures.iter().for_each(|failure| eprint!("{}", error::report(failure)));
    done.warnings.iter().for_each(|warning| report::say(&format!("warning: {warning}")));
    summary(done, args).iter().for_each(|line| report::say(line));
    Ok(status)
}

/// Returns the lines that follow the list.
fn summary(done: &PrefetchReport, args: &PrefetchArgs) -> Vec<String> {
    if let Some(why) = &done.postponed {
        return vec![format!("not now: {why}; --now does it anyway")];
    }
    if done.updates.is_empty() {
        return vec!["no updates are pending".to_owned()];
    }
    let mut lines = Vec::new();
    let here: Vec<_> = done.updates.iter().filter(|update| update.is_here()).collect();
    let bytes: u64 = here.iter().map(|update| update.size).sum();
    let of = done.updates.len();
    if args.dry_run {
        let missing: u64 =
            done.updates.iter().filter(|one| matches!(one.stands, UpdateStanding::Failed(_))).map(|one| one.size).sum();
        lines.push(format!("{} of {of} updates are here; {} would be fetched", here.len(), show_size(missing)));
    } else {
        let (here, bytes, fetched) = (here.len(), show_size(bytes), show_size(done.fetched));
        lines.push(format!(
            "{here} of {of} updates are here, {bytes} ({fetched} fetched now): pacman -Su needs no network for them"
        ));
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

/// One bar over all files.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn new(wanted: bool) -> Self {
        let target = if wanted { ProgressDrawTarget::stderr_with_hz(8) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let template = "{prefix} {bytes}/{total_bytes} {bytes_per_sec} {eta} [{wide_bar}] {percent}%";
        bar.set_style(
            ProgressStyle::with_template(template).expect("the template is fixed and valid").progress_chars("#>-"),
        );
        Self { bar }
    }

    fn at(&self, progress: PrefetchProgress) {
        self.bar.set_length(progress.of_bytes);
        self.bar.set_prefix(format!("updates {}/{}", progress.files, progress.of_files));
        self.bar.set_position(progress.bytes);
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
