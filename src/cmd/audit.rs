//! `pkgswarm index audit`: compares the packages on this machine with every list that names them.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::base::env::Env;
use crate::base::error::ErrorKind;
use crate::cmd::cli::AuditArgs;
use crate::config::{ProgressMode, Settings};
use crate::host::inspect::audit::{AuditCount, Audited, Mute, Voice, audit, files, voices};
use crate::machine::Machine;
use crate::machine::lists::Lists;
use crate::pacman::handover::{self, HandoverTarget};
use crate::report::{self, ProgressLine, counted};

mod against;

/// Runs the command.
pub(crate) fn run(env: &Env, settings: &Settings, args: &AuditArgs) -> anyhow::Result<u8> {
    // Packages are untrusted bytes, and the indexes belong to the unprivileged user.
    handover::through(env, settings, &HandoverTarget::Nowhere, |settings| run_here(env, settings, args))
}

fn run_here(env: &Env, settings: &Settings, args: &AuditArgs) -> anyhow::Result<u8> {
    if let Some(against) = &args.against {
        return Ok(against::run(settings, against, &args.what, args.json)?);
    }
    let lists = Lists::of(&Machine::open(env, settings, Path::new("/var/tmp"))?);
    let is_index = |word: &PathBuf| settings.indexes.iter().any(|index| Path::new(&index.name) == word);
    let (names, paths): (Vec<PathBuf>, Vec<PathBuf>) = args.what.iter().cloned().partition(is_index);
    let paths = if paths.is_empty() { lists.cache_dirs().to_vec() } else { paths };
    let compared = voices(&lists, &names);
    for (index, why) in compared.iter().flat_map(|(_, mute)| mute) {
        report::say(&match why {
            Mute::Expired => format!("warning: index {index} is expired; it is not compared with"),
            Mute::NeverFetched => format!("warning: index {index} was never fetched; pkgswarm index refresh"),
        });
    }
    super::say_warnings(&lists);
    let (voices, _) = compared?;
    let files = files(&paths)?;
    let total = files.iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum();
    let mode = if settings.progress == ProgressMode::Bar { ProgressMode::Bar } else { ProgressMode::Silent };
    let progress = ProgressLine::new(mode, "audit", Some(total));
    let (mut count, mut done) = (AuditCount::default(), 0);
    let mut at = |read: u64, name: &str| {
        done += read;
        progress.at(done, name);
    };
    for path in &files {
        match audit(path, &voices, &mut at) {
            Ok(audited) => {
                count.add(&audited);
                progress.clear();
                print(&audited, args.json)?;
            }
            Err(e) => {
                count.unread += 1;
                report::say(&format!("warning: {}: cannot be read: {e}", path.display()));
            }
        }
    }
    progress.clear();
    report::say(&line(&count, &voices));
    Ok(match (count.disagreeing, count.unread) {
        (0, 0) => 0,
        (0, _) => ErrorKind::Local.status(),
        _ => ErrorKind::Corrupt.status(),
    })
}

/// Prints a line for each disagreement, or one object.
fn print(audited: &Audited<'_>, json: bool) -> io::Result<()> {
    let here = &audited.here;
    if json {
        let disagreements: Vec<_> = audited
            .disagreements()
            .map(|said| {
                let cid = said.cid.map(|cid| cid.to_string());
                serde_json::json!({"who": said.list, "size": said.size, "sha256": said.sha256, "cid": cid})
            })
            .collect();
        let line = serde_json::json!({
            "name": audited.path.file_name().map(|name| name.to_string_lossy()), "path": audited.path.to_string_lossy(),
            "size": here.size, "sha256": here.sha256, "cid": here.root.to_string(),
            "listed_by": audited.said.iter().map(|said| said.list).collect::<Vec<_>>(), "disagreements": disagreements,
        });
        return writeln!(report::out(), "{line}");
    }
    for said in audited.disagreements() {
        let (theirs, ours) = if said.sha256 != here.sha256 {
            (format!("sha256 {}", said.sha256), format!("sha256 {}", here.sha256))
        } else if said.size != here.size {
            (format!("{} bytes", said.size), format!("{} bytes", here.size))
        } else {
            let cid = said.cid.map(|cid| cid.to_string()).unwrap_or_default();
            (format!("CID {cid}"), format!("CID {}", here.root))
        };
        report::tell(&format!("{}: {} says {theirs}, here is {ours}", audited.path.display(), said.list))?;
    }
    Ok(())
}

fn line(count: &AuditCount, voices: &[Voice]) -> String {
    let AuditCount { files, listed, disagreeing, unread } = count;
    let unread = if *unread == 0 { String::new() } else { format!(", {unread} not read") };
    let lists: Vec<&str> = voices.iter().map(|voice| voice.list.as_str()).collect();
    let lists = if lists.is_empty() { "no list".to_owned() } else { lists.join(", ") };
    let files = counted(*files, "file");
    format!("{files}, {listed} of them listed, {disagreeing} with disagreements{unread}; compared with {lists}")
}
