//! The voice of a publication that runs by itself: one line a run, its record, its `/status.json`, and the alarm.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::base::clock;
use crate::base::env::Env;
use crate::base::error::{self, Error};
use crate::base::program;
use crate::base::runtime::block_on;
use crate::config::publication::PublicationFile;
use crate::config::secret::Webhook;
use crate::config::{Settings, value};
use crate::index::time::span;
use crate::net::http::{self, Http};
use crate::publish::{Backlog, PublishReport, RunOutcome, RunRecord, RunWord};
use crate::report::{self, counted};

/// Time that an alarm command has, and the whole of a webhook.
const ALARM: Duration = Duration::from_secs(60);
const WEBHOOK: Duration = Duration::from_secs(30);
/// Most bytes of an alarm command's output, which is not shown.
const ALARM_OUTPUT: u64 = 1 << 20;
/// Most characters of a reason in a webhook.
const REASON_MOST: usize = 2000;

/// Returns the line of a run: `arch: published: 2 files, 1 new, 3 KiB sent; sequence 7, upstream 5 min old, expires in
/// 48 h; 3 s`.
pub(super) fn line(name: &str, report: &PublishReport, now: u64, took: Duration) -> String {
    let did = if report.late.is_some() { "late, former one stands" } else { RunWord::from(report.did).word() };
    let sent = value::show_size(report.sent);
    let upstream = report.repos.iter().filter_map(|repo| repo.lastupdate).max();
    let upstream = upstream.map(|at| format!(", upstream {} old", span(now.saturating_sub(at)))).unwrap_or_default();
    let bare = if report.bare > 0 { format!(", {} without their bytes", report.bare) } else { String::new() };
    let backlog = match report.backlog {
        Backlog { packages: 0, .. } => String::new(),
        Backlog { packages, bytes } => format!(", {packages} not listed yet ({})", value::show_size(bytes)),
    };
    let archived = report.archive().map(|archive| format!(", {} archived", archive.files)).unwrap_or_default();
    let expires = span(report.expires.saturating_sub(now));
    format!(
        "{name}: {did}: {}, {} new{bare}{backlog}{archived}, {sent} sent; sequence {}{upstream}, expires in {expires}; {} s",
        counted(report.files, "file"),
        report.new_files,
        report.sequence,
        took.as_secs()
    )
}

/// Keeps the record of a run, which `error` ended unless it went well, and tells the alarm when that is due. Failures of
/// these are warnings.
pub(super) fn remember(
    env: &Env,
    settings: &Settings,
    publication: &PublicationFile,
    state_dir: Option<&Path>,
    run: RunOutcome<'_>,
    error: Option<&Error>,
) {
    let before = state_dir.and_then(|dir| RunRecord::read(dir).ok().flatten());
    let had_alarm = before.as_ref().is_some_and(|before| before.alarm.is_some());
    let (record, is_told) = RunRecord::after(before.as_ref(), &publication.publisher, run);
    let warn = |what: &str, e: &dyn std::fmt::Display| {
        report::say(&format!("warning: {what} of {}: {e}", publication.name));
    };
    // Before the record counts as told.
    if let Some(error) = error.filter(|_| is_told) {
        command(publication, error, &warn);
    }
    if is_told || (had_alarm && record.alarm.is_none()) {
        webhook(env, settings, publication, &record, error, &warn);
    }
    let Some(dir) = state_dir else { return };
    if let Err(e) = record.save(dir) {
        warn("the record", &e);
    }
    if let Some(Err(e)) = publication.out.as_ref().map(|out| record.write_public(out)) {
        warn("status.json", &e);
    }
}

fn command(publication: &PublicationFile, error: &Error, warn: &dyn Fn(&str, &dyn std::fmt::Display)) {
    let Some(line) = &publication.alarm else { return };
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).env("PKGSWARM_PUBLICATION", &publication.name);
    if let Err(e) = program::hear(command, error::report(error).as_bytes(), ALARM, ALARM_OUTPUT) {
        warn("alarm.command", &e);
    }
}

/// Posts the state of the alarm. The answer's status counts, its body is not read, and no redirect is followed.
fn webhook(
    env: &Env,
    settings: &Settings,
    publication: &PublicationFile,
    record: &RunRecord,
    error: Option<&Error>,
    warn: &dyn Fn(&str, &dyn std::fmt::Display),
) {
    let url = match &publication.webhook {
        None => return,
        Some(Webhook::Url(url)) => Ok(url.clone()),
        Some(Webhook::Secret(secret)) => secret.read(env).map(|text| text.trim().to_owned()),
    };
    let what = "alarm.webhook";
    let url = match url.map(|url| url.parse::<reqwest::Url>()) {
        Ok(Ok(url)) if matches!(url.scheme(), "http" | "https") => url,
        Ok(_) => return warn(what, &"expected an http or https URL"),
        Err(e) => return warn(what, &e),
    };
    let short = |text: String| text.chars().take(REASON_MOST).collect::<String>();
    let body = json!({
        "publication": publication.name, "publisher": publication.publisher, "result": record.result.word(),
        "why": error.map(|error| short(error.to_string())), "hint": error.and_then(|error| error.hint.clone()),
        "since": record.alarm.map(|alarm| alarm.since), "run": record.at,
    });
    let host = http::host(&url);
    let http = Http::new(settings.connect).in_environment(env);
    let post = async {
        let client = http.sending().map_err(|miss| miss.to_string())?;
        let post = client.post(url).header("Content-Type", "application/json").header("User-Agent", http::USER_AGENT);
        // The URL may be a secret, so it is left out.
        let answer =
            post.timeout(WEBHOOK).body(body.to_string()).send().await.map_err(|e| e.without_url().to_string())?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(format!("answered {}", answer.status().as_u16())),
        }
    };
    if let Some(Err(why)) = block_on(post) {
        warn(what, &format!("{host}: {why}"));
    }
}

/// Returns how long ago a time was, for people.
pub(super) fn ago(at: u64) -> String {
    format!("{} ago", span(clock::now().saturating_sub(at)))
}
