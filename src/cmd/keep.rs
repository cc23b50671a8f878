//! `pkgswarm keep …`: shares of indexes that this machine keeps alive, in Kubo or in the store.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::base::env::{Env, HANDOVER};
use crate::base::error::{self, Error, ErrorKind};
use crate::base::runtime::{self, block_on};
use crate::cmd::bar::FilesBar;
use crate::cmd::cli::{KeepArgs, KeepCommand, KeepRunArgs, KeepStopArgs};
use crate::config::keep::check_keep_name;
use crate::config::value::show_size;
use crate::config::{KeepConfig, ProgressMode, Settings, declared, key, layers};
use crate::machine::Machine;
use crate::net::http::Http;
use crate::net::kubo::Kubo;
use crate::pacman::handover::{self, Giver, Handed, HandoverTarget};
use crate::pins::keeper::state::KeeperPlace;
use crate::pins::keeper::{self, KeeperProgress, KeeperRound, PostponedRound, Released, RoundReport, RoundTerms, own};
use crate::refresh::peering;
use crate::report::{self, counted};
use crate::store::kept::StoreShare;

/// Most keepers, of all shares, to which Kubo keeps connections.
const KEEPERS_MOST: usize = 32;

mod owner;
mod shown;

use owner::RootsShares;

/// Time between two lines of progress where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);
/// Time in which a round begins files, and that of all rounds of one run. pkgswarm-keep.service gives an hour more, for the
/// last files and the root (`the_unit_waits_for_the_longest_run`).
const ROUND_MOST: Duration = Duration::from_secs(2 * 3600);
const RUN_MOST: Duration = Duration::from_secs(3 * 3600);

/// Runs the command.
pub(crate) fn run(env: &Env, settings: &Settings, flags: &[String], args: &KeepArgs) -> anyhow::Result<u8> {
    match &args.command {
        None => set(env, settings, flags, args),
        Some(KeepCommand::Run(args)) => {
            let roots = RootsShares::of(env, settings);
            for name in &args.names {
                configured(settings, name)?;
                roots.refuse(name, &format!("run {name}"))?;
            }
            as_owner(env, settings, |settings| rounds(env, settings, flags, args))
        }
        Some(KeepCommand::Ls(args)) => as_owner(env, settings, |settings| shown::ls(env, settings, args.json)),
        Some(KeepCommand::Status(args)) => {
            if let Some(name) = &args.name {
                configured(settings, name)?;
            }
            as_owner(env, settings, |settings| shown::status(env, settings, args))
        }
        Some(KeepCommand::Stop(args)) => stop(env, settings, flags, args),
    }
}

/// The state belongs to the download user, and root neither trusts nor writes it.
fn as_owner(env: &Env, settings: &Settings, run: impl FnOnce(&Settings) -> anyhow::Result<u8>) -> anyhow::Result<u8> {
    handover::through(env, settings, &HandoverTarget::Nowhere, run)
}

/// Configures a share, or changes it, and makes a round.
fn set(env: &Env, settings: &Settings, flags: &[String], args: &KeepArgs) -> anyhow::Result<u8> {
    let name = args.name.as_deref().expect("required without a verb");
    RootsShares::of(env, settings).refuse(name, &format!("{name} …"))?;
    let keep = wanted(settings, name, args)?;
    let path = declared::declare_keep(env, &keep)?;
    let repos: Vec<&str> = keep.repos.iter().map(|repo| repo.text()).collect();
    let of = if repos.is_empty() { String::new() } else { format!(" ({})", repos.join(", ")) };
    let from = if keep.mirrors { "peers, gateways and mirrors" } else { "peers and gateways" };
    report::say(&format!(
        "keeps up to {} of index {name}{of}, fetched from {from}; {} of the disk stay free",
        show_size(keep.quota),
        keep.min_free
    ));
    report::say(&format!("written to {}", path.display()));
    let run = KeepRunArgs { names: vec![name.to_owned()], now: true, json: args.json };
    let words = ["keep", "run", "--now", name];
    let words = words.into_iter().chain(args.json.then_some("--json"));
    let status = match by_child(env, settings, flags, words)? {
        Some(status) => status,
        None => {
            // An ordinary user may have a state of their own since just now.
            rounds(env, &Settings::read(env, flags)?, flags, &run)?
        }
    };
    let timer = "pkgswarm-keep.timer";
    report::say(&match layers::user_dir(env).is_some() {
        true => format!("Next: `pkgswarm keep run` every few hours; {timer} does that for what root keeps"),
        false => format!("Next: sudo systemctl enable --now {timer}   Look: pkgswarm keep status {name}"),
    });
    Ok(status)
}

/// Returns the share that the words of the command declare; what they leave out stays as it was.
fn wanted(settings: &Settings, name: &str, args: &KeepArgs) -> Result<KeepConfig, Error> {
    check_keep_name(name).map_err(|why| Error::usage(name, why))?;
    let index = settings.indexes.iter().find(|index| index.name == *name).ok_or_else(|| {
        let near = key::nearest(name, settings.indexes.iter().map(|index| index.name.as_str()));
        let hint = near.map_or(format!("pkgswarm index add {name} KEY"), |near| format!("did you mean {near}?"));
        Error::usage(name, "no index of that name is in use").hint(hint)
    })?;
    if let Some(repo) = args.repos.iter().find(|repo| !index.may_describe(repo)) {
        let error =
            Error::usage(repo, format!("index {name} may not speak for it; it may for {}", index.repos_shown()));
        let near = key::nearest(repo, index.repos.iter().map(|granted| granted.text()));
        return Err(match near {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error,
        });
    }
    let former = settings.keeps.iter().find(|keep| keep.name == *name);
    let mut fields = Vec::new();
    let mut field = |name: &str, text: Option<String>| fields.extend(text.map(|text| (name.to_owned(), text)));
    field("quota", args.quota.as_deref().map(size).or_else(|| Some(format!("{} B", former?.quota))));
    field("min_free", args.min_free.as_deref().map(size));
    let quota = if args.quota.is_none() && former.is_none() { "--quota" } else { name };
    let mut keep = KeepConfig::of_fields(name, &fields)
        .map_err(|why| Error::usage(quota, why).hint(format!("pkgswarm keep {name} --quota 40G")))?;
    keep.repos = args.repos.iter().map(|repo| crate::config::value::repo(repo)).collect();
    if let Some(former) = former {
        if args.repos.is_empty() {
            keep.repos.clone_from(&former.repos);
        }
        if args.min_free.is_none() {
            keep.min_free = former.min_free;
        }
    }
    keep.newest = args.newest.unwrap_or_else(|| former.is_some_and(|former| former.newest));
    keep.mirrors = args.mirrors.unwrap_or_else(|| former.is_some_and(|former| former.mirrors));
    Ok(keep)
}

/// Writes out the unit of a size like `40G`.
fn size(text: &str) -> String {
    let text = text.trim();
    match text.strip_suffix(['K', 'M', 'G', 'T', 'k']) {
        Some(number) if number.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{number} {}iB", text[number.len()..].to_uppercase())
        }
        _ => text.to_owned(),
    }
}

/// Makes a round of each share. The worst end is the status.
fn rounds(env: &Env, settings: &Settings, flags: &[String], args: &KeepRunArgs) -> anyhow::Result<u8> {
    // The child ends with root's process, even after kill -9.
    let _channel = Giver::of(env);
    let roots = RootsShares::of(env, settings);
    let wanted = |keep: &&KeepConfig| args.names.is_empty() || args.names.contains(&keep.name);
    let (theirs, keeps): (Vec<&KeepConfig>, Vec<&KeepConfig>) =
        settings.keeps.iter().filter(wanted).partition(|keep| roots.has(&keep.name));
    for KeepConfig { name, .. } in &theirs {
        report::say(&format!("{name}: root keeps it; sudo pkgswarm keep run {name}"));
    }
    if keeps.is_empty() && !theirs.is_empty() {
        return Ok(0);
    }
    if keeps.is_empty() {
        // The timer may be enabled before a share is added.
        report::say("no share is kept; pkgswarm keep NAME --quota 40G begins");
        return Ok(0);
    }
    let machine = Machine::open(env, &limited(settings), Path::new("/var/tmp"))?;
    report::warn(machine.warning().as_slice());
    // Kubo finds its peers again within seconds.
    let connecting = async { tokio::join!(peering::keep(&machine), keep_partners(&machine, settings)) };
    block_on(connecting).ok_or_else(|| Error::new(ErrorKind::Interrupted, "keep", "interrupted"))?;
    let cancel = CancellationToken::new();
    let find = |name: &str| Ok(Settings::read(env, flags)?.keeps.into_iter().find(|keep| keep.name == name));
    runtime::run_stoppable(&cancel, rounds_of(&machine, &keeps, &find, args, &cancel))
}

/// Makes a round of each, and shares the time out among them.
async fn rounds_of(
    machine: &Rc<Machine>,
    keeps: &[&KeepConfig],
    find: &dyn Fn(&str) -> Result<Option<KeepConfig>, Error>,
    args: &KeepRunArgs,
    cancel: &CancellationToken,
) -> anyhow::Result<u8> {
    let (mut worst, ends, progress) = (0, Instant::now() + RUN_MOST, machine.settings.progress);
    for (n, keep @ KeepConfig { name, quota, .. }) in keeps.iter().copied().enumerate() {
        // The user is at hand, and need not wait for the end of the round.
        if args.now
            && args.names.contains(name)
            && own::share_in_store(&machine.settings, name).is_none()
            && let Some(why) = keeper::hindrance(&machine.kubo(), &machine.settings.state_dir, keep).await
        {
            report::say(&format!("{name}: {why}"));
        }
        let bar = FilesBar::new(progress == ProgressMode::Bar, name);
        let mut last = Instant::now();
        let mut told = |at: KeeperProgress| {
            bar.at((at.files, at.of_files), (at.bytes, at.of_bytes));
            if progress == ProgressMode::Line && last.elapsed() >= LINE_EVERY {
                last = Instant::now();
                let (bytes, of) = (show_size(at.bytes), show_size(at.of_bytes));
                report::say(&format!("{name}: {} of {} files, {bytes} of {of}", at.files, at.of_files));
            }
        };
        let time = ends.saturating_duration_since(Instant::now()) / (keeps.len() - n) as u32;
        let terms = RoundTerms { now: args.now, until: Instant::now() + time.min(ROUND_MOST), cancel };
        let done = keeper::round(machine, name, &|| find(name), &terms, &mut told).await;
        bar.clear();
        match done {
            Ok(done) if args.json => writeln!(report::out(), "{}", as_json(name, *quota, done))?,
            Ok(done) => {
                told_of(name, &done);
                if let (KeeperRound::Made(_), Some(share)) = (&done, own::share_in_store(&machine.settings, name)) {
                    report::say(&format!("{name}: kept in {}, served by pkgswarm daemon", share.dir().display()));
                }
            }
            Err(e) if e.kind == ErrorKind::Interrupted => return Err(e.into()),
            Err(e) => {
                report::complain(&error::report(&e));
                worst = worst.max(e.kind.status());
            }
        }
    }
    Ok(worst)
}

/// Has Kubo keep connections to the keepers that the shares know, and to no others.
async fn keep_partners(machine: &Machine, settings: &Settings) {
    let known = |keep: &KeepConfig| keeper::known_keepers(&KeeperPlace::of(&settings.state_dir, &keep.name));
    let keepers: Vec<String> = settings.keeps.iter().flat_map(known).take(KEEPERS_MOST).collect();
    peering::keep_keepers(machine, &keepers).await;
}

/// Returns the settings with prefetch's limit of the rate, shared by the files that come at a time.
fn limited(settings: &Settings) -> Settings {
    let rate = settings.prefetch.rate;
    if rate == 0 {
        return settings.clone();
    }
    let each = (rate / keeper::AT_ONCE as u64).max(1);
    // With a limit, no source is too slow.
    let pause = Duration::from_secs((512 << 10) / each);
    let (stall, patience) = (settings.stall + pause, settings.patience + pause);
    Settings { rate: Some(each), floor: 0, stall, patience, ..settings.clone() }
}

fn told_of(name: &str, done: &KeeperRound) {
    let done = match done {
        KeeperRound::Made(done) => done,
        KeeperRound::Postponed(why @ PostponedRound::Condition(_)) => {
            return report::say(&format!("{name}: not now: {why}; --now does it anyway"));
        }
        KeeperRound::Postponed(why) => return report::say(&format!("{name}: not now: {why}")),
    };
    let (files, bytes) = (counted(done.files, "file"), show_size(done.bytes));
    let mut line = format!("{name}: {files} kept, {bytes} of {}", show_size(done.quota));
    let mut changes = Vec::new();
    if done.taken > 0 {
        changes.push(format!("{} new ({} came)", done.taken, show_size(done.came)));
    }
    if done.let_go > 0 {
        changes.push(format!("{} let go", done.let_go));
    }
    if !changes.is_empty() {
        line += &format!("; {}", changes.join(", "));
    }
    report::say(&line);
    done.notes.iter().for_each(|note| report::say(&format!("{name}: {note}")));
}

/// Writes it as JSON; `quota` is the one of the settings, for a round that did not come to its own.
fn as_json(name: &str, quota: u64, done: KeeperRound) -> serde_json::Value {
    let (postponed, done) = match done {
        KeeperRound::Made(done) => (None, done),
        KeeperRound::Postponed(why) => (Some(why.to_string()), RoundReport { quota, ..RoundReport::default() }),
    };
    json!({
        "name": name, "postponed": postponed, "quota": done.quota, "files": done.files, "bytes": done.bytes,
        "taken": done.taken, "came": done.came, "let_go": done.let_go, "missed": done.missed, "notes": done.notes,
    })
}

/// Takes a share out of the configuration, and what is kept of it out of Kubo.
fn stop(env: &Env, settings: &Settings, flags: &[String], args: &KeepStopArgs) -> anyhow::Result<u8> {
    let name = &args.name;
    // Root has changed the configuration; its child works on the state.
    if env.var(HANDOVER).is_some() {
        // It ends with root's process, even after kill -9: the same command again finds no lock taken.
        let _channel = Giver::of(env);
        return release(env, settings, args);
    }
    if settings.keeps.iter().any(|keep| keep.name == *name) {
        report::say(&format!("removed {}", declared::remove_keep(env, name)?.display()));
    } else if !KeeperPlace::of(&settings.state_dir, name).exists() {
        configured(settings, name)?;
    }
    let options = [args.leave.then_some("--leave"), args.json.then_some("--json")];
    let words = ["keep", "stop", name.as_str()].into_iter().chain(options.into_iter().flatten());
    match by_child(env, settings, flags, words)? {
        Some(status) => Ok(status),
        None => release(env, settings, args),
    }
}

fn release(env: &Env, settings: &Settings, args: &KeepStopArgs) -> anyhow::Result<u8> {
    let name = &args.name;
    check_keep_name(name).map_err(|why| Error::usage(name, why))?;
    let again = |e: Error| e.hint(format!("`pkgswarm keep stop {name}` again goes on"));
    if let Some(share) = own::share_in_store(settings, name) {
        let place = KeeperPlace::of(&settings.state_dir, name);
        let released = own::release_from_store(&share, &place, name, (args.leave, env.uid)).map_err(again)?;
        return told_of_release(args, &released, Some(&share));
    }
    let kubo = Kubo::configured(settings, &Http::new(settings.connect));
    let released = block_on(keeper::release(&kubo, &settings.state_dir, name, args.leave));
    let interrupted = || Error::new(ErrorKind::Interrupted, name, "interrupted; the same command goes on");
    let again = |e: Error| e.hint(format!("`pkgswarm keep stop {name}` again unpins what is still kept"));
    let released = released.ok_or_else(interrupted)?.map_err(again)?;
    // What it knew of other keepers is forgotten with it. What this fails to let go of, Kubo forgets when it ends.
    if let Ok(machine) = Machine::open(env, settings, Path::new("/var/tmp")) {
        let _ = block_on(keep_partners(&machine, settings));
    }
    told_of_release(args, &released, None)
}

/// Tells what became of the files: in Kubo, or in the store.
fn told_of_release(args: &KeepStopArgs, released: &Released, share: Option<&StoreShare>) -> anyhow::Result<u8> {
    let (name, Released { files, bytes, removed }) = (&args.name, *released);
    if args.json {
        let all = json!({ "name": name, "files": files, "bytes": bytes, "removed": removed, "left": args.leave });
        writeln!(report::out(), "{all}")?;
        return Ok(0);
    }
    let (count, bytes) = (counted(files, "file"), show_size(bytes));
    report::say(&match (files, args.leave) {
        (0, _) => format!("{name}: nothing was kept"),
        (_, true) if let Some(share) = share => {
            format!("{name}: {count}, {bytes}, are yours now, in {}", share.left_dir().display())
        }
        (_, false) if share.is_some() => {
            format!("{name}: {count}, {bytes}; {removed} of them came because of the share, and went from the store")
        }
        (_, true) => format!("{name}: {count}, {bytes}, stay in Kubo, pinned under the name {name}"),
        (_, false) => format!(
            "{name}: {count}, {bytes}, unpinned; {removed} of them came because of the share, and went from Kubo's disk"
        ),
    });
    Ok(0)
}

/// Has root's unprivileged child run this command, with the settings of this run; `None` where this process has to.
fn by_child<'w>(
    env: &Env,
    settings: &Settings,
    flags: &'w [String],
    words: impl Iterator<Item = &'w str>,
) -> Result<Option<u8>, Error> {
    if !env.is_root() {
        return Ok(None);
    }
    let words = flags.iter().flat_map(|flag| ["--set", flag]).chain(words);
    let words: Vec<OsString> = words.map(OsString::from).collect();
    match handover::run(env, settings, &words, &HandoverTarget::Nowhere)? {
        Handed::Done(status) => Ok(Some(status)),
        Handed::Back(_) => Ok(None),
    }
}

/// Returns the share called `name`.
fn configured<'a>(settings: &'a Settings, name: &str) -> Result<&'a KeepConfig, Error> {
    settings.keeps.iter().find(|keep| keep.name == name).ok_or_else(|| {
        let near = key::nearest(name, settings.keeps.iter().map(|keep| keep.name.as_str()));
        let hint = near.map_or(format!("pkgswarm keep {name} --quota 40G"), |near| format!("did you mean {near}?"));
        Error::usage(name, "no share of an index of that name is kept").hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_waits_for_the_longest_run() {
        let unit = include_str!("../../dist/systemd/system/pkgswarm-keep.service");
        let hours = unit.lines().find_map(|line| line.strip_prefix("TimeoutStartSec=")?.strip_suffix('h')).unwrap();
        let waits = Duration::from_secs(3600 * hours.parse::<u64>().unwrap());
        assert!(waits >= RUN_MOST + Duration::from_secs(3600) && ROUND_MOST <= RUN_MOST, "{waits:?}");
    }
}
