//! `pkgswarm index …`: adds, lists, refreshes, shows and removes indexes.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::time::SystemTime;

use clap::Parser as _;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::base::clock;
use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind};
use crate::base::fsx;
use crate::base::name::RepoName;
use crate::base::runtime::block_on;
use crate::cmd::cli::{Cli, IndexAddArgs, IndexCommand, NameArgs, RefreshArgs, ShowArgs};
use crate::cmd::screen::{Cell, Column, Grid, Screen};
use crate::config::url::{BaseUrl, without_secret};
use crate::config::written::Written;
use crate::config::{IndexConfig, Settings, layers, own_state_dir, value};
use crate::engine::hub::Hub;
use crate::host::inspect::index::IndexFacts;
use crate::host::inspect::pacman;
use crate::index::in_use;
use crate::index::time;
use crate::machine::Machine;
use crate::pacman::handover::{self, Handed, HandoverTarget};
use crate::refresh::{Clock, RefreshMeans, RefreshOutcome, RefreshTarget, Refreshed, TRANSFERS_MOST, refresh};
use crate::report;

mod declared;
mod ls;

use declared::{declared_elsewhere, file_of, not_writable, to_toml};

/// Runs the command.
pub fn run(env: &Env, settings: &Settings, command: &IndexCommand) -> anyhow::Result<u8> {
    // The state belongs to the download user, and root does not trust its content.
    if matches!(command, IndexCommand::Ls(_) | IndexCommand::Show(_)) {
        return handover::through(env, settings, &HandoverTarget::Nowhere, |settings| run_here(env, settings, command));
    }
    run_here(env, settings, command)
}

fn run_here(env: &Env, settings: &Settings, command: &IndexCommand) -> anyhow::Result<u8> {
    match command {
        IndexCommand::Add(args) => add(env, settings, args),
        IndexCommand::Ls(args) => ls::ls(env, settings, args),
        IndexCommand::Refresh(args) => run_refresh(env, settings, args),
        IndexCommand::Show(args) => show(env, settings, args),
        IndexCommand::Audit(args) => super::audit::run(env, settings, args),
        IndexCommand::Rm(args) => rm(env, settings, args),
    }
}

fn add(env: &Env, settings: &Settings, args: &IndexAddArgs) -> anyhow::Result<u8> {
    let key = Written::read(args.key.as_str());
    let is_ipns = key.value().is_ok();
    let url = args.url.as_ref().map(|url| {
        let found = without_secret(url);
        let bad = || Error::usage("--url", format!("expected an http or https URL, found {found:?}"));
        BaseUrl::parse(url).ok_or_else(bad)
    });
    let mut index = IndexConfig {
        name: args.name.clone(),
        key: is_ipns.then_some(key),
        minisign: args.minisign.as_deref().map(Written::read),
        url: url.transpose()?,
        repos: args.repos.iter().map(|repo| value::repo(repo)).collect(),
    };
    if !is_ipns {
        if args.minisign.is_some() {
            let why = "is not an IPNS name (k51…), and --minisign gives another key";
            return Err(Error::usage(&args.key, why)
                .hint("name the IPNS name as KEY, or give one minisign key alone")
                .into());
        }
        if index.url.is_none() {
            let why = "is not an IPNS name (k51…); a minisign key alone needs --url, the address of a plain copy";
            return Err(Error::usage(&args.key, why).into());
        }
        index.minisign = Some(Written::read(args.key.as_str()));
    }
    layers::check_index_name(&index.name).map_err(|why| Error::usage(&args.name, why))?;
    if index.repos.is_empty() {
        index.repos = repos_of_pacman(settings)?;
    }
    let grant = in_use::grant(&index)?;
    let repos = index.repos_shown();
    report::say(&format!("index {} may speak for: {repos}", index.name));
    for key in grant.fingerprints() {
        report::say(&format!("  {key}"));
    }
    report::say("Compare this with what the publisher says elsewhere: it is all that your trust rests on.");
    if !args.yes && !super::confirmed("index add", "Use it?")? {
        return Err(Error::usage(&args.name, "not added").into());
    }
    let path = file_of(env, &index.name).ok_or_else(|| {
        Error::usage(&args.name, "there is no configuration directory for this user").hint("run it as root")
    })?;
    let dir = path.parent().expect("a file in a directory");
    std::fs::create_dir_all(dir).map_err(|e| not_writable(env, dir, &e))?;
    fsx::replace(&path, to_toml(&index).as_bytes(), 0o644).map_err(|e| not_writable(env, &path, &e))?;
    report::say(&format!("added to {}", path.display()));
    if layers::user_dir(env).is_some() {
        report::say(
            "warning: pacman's downloader does not read it; `sudo pkgswarm index add` adds it for pacman as well",
        );
        // The system's state belongs to the user that downloads.
        if let Some(own) = own_state_dir(env) {
            std::fs::create_dir_all(&own).map_err(|e| Error::local(own.display(), e))?;
        }
    }
    // Settings of this run also apply to the refresh that belongs to it.
    let set = Cli::try_parse_from(&env.args).map(|cli| cli.set).unwrap_or_default();
    let here = |storeless| {
        let settings = Settings { storeless, ..Settings::read(env, &set)? };
        let refresh = RefreshArgs { names: vec![index.name.clone()], due: false, json: false };
        refresh_here(env, &settings, &refresh)
    };
    let status = if env.is_root() {
        let flags = set.iter().flat_map(|flag| ["--set", flag]);
        let words = flags.chain(["index", "refresh", &index.name]).map(OsString::from).collect::<Vec<_>>();
        match handover::run(env, settings, &words, &HandoverTarget::Nowhere)? {
            Handed::Done(status) => status,
            Handed::Back(settings) => here(settings.storeless)?,
        }
    } else {
        here(false)?
    };
    report::say(&match (status, layers::user_dir(env).is_some()) {
        (0, false) => "Next: sudo pacman -Syu   Look: pkgswarm index ls".to_owned(),
        (0, true) => format!("Next: pkgswarm fetch PACKAGE   Look: pkgswarm index show {}", index.name),
        _ => format!(
            "hint: it stays configured; `pkgswarm index refresh {0}` tries again, `pkgswarm index rm {0}` removes it",
            index.name
        ),
    });
    Ok(status)
}

/// Opens no machine: root must not make a store of its own, which the unprivileged user could not use then.
fn repos_of_pacman(settings: &Settings) -> Result<Vec<Written<RepoName>>, Error> {
    let conf = pacman::conf(settings).map_err(|e| e.to_string());
    let names = conf.iter().flat_map(|conf| &conf.repos).map(|repo| &repo.name);
    let repos: Vec<_> = names.map(|name| Written::new(name.as_str(), Ok(name.clone()))).collect();
    if repos.is_empty() {
        let why = conf.err().unwrap_or_else(|| "pacman names no repositories".to_owned());
        return Err(Error::usage("--repo", format!("{why}; say which repositories the index may speak for")));
    }
    Ok(repos)
}

fn run_refresh(env: &Env, settings: &Settings, args: &RefreshArgs) -> anyhow::Result<u8> {
    for name in &args.names {
        configured(settings, name)?;
    }
    handover::through(env, settings, &HandoverTarget::Nowhere, |settings| refresh_here(env, settings, args))
}

fn refresh_here(env: &Env, settings: &Settings, args: &RefreshArgs) -> anyhow::Result<u8> {
    if settings.indexes.is_empty() && args.due {
        // The timer may be enabled before an index is added: nothing is due.
        return Ok(0);
    }
    if settings.indexes.is_empty() {
        return Err(Error::usage("index", "none is configured").hint("pkgswarm index add NAME KEY").into());
    }
    let state = &settings.state_dir;
    if rustix::fs::access(state, rustix::fs::Access::WRITE_OK).is_err_and(|e| e == rustix::io::Errno::ACCESS) {
        return Err(not_writable(env, state, &std::io::ErrorKind::PermissionDenied.into()).into());
    }
    let machine = Machine::open(env, settings, Path::new("/var/tmp"))?;
    report::warn(machine.warning().as_slice());
    let mut worst = 0;
    refresh_all(&machine, &args.names, args.due, |index, refreshed| {
        let kind = match &refreshed.outcome {
            RefreshOutcome::Updated { .. } | RefreshOutcome::Unchanged { .. } => None,
            RefreshOutcome::Refused(_) => Some(ErrorKind::Corrupt),
            RefreshOutcome::Unreachable => Some(ErrorKind::NoSource),
        };
        worst = worst.max(kind.map_or(0, ErrorKind::status));
        tell(settings, index, refreshed, args.json);
    })?;
    Ok(worst)
}

/// Refreshes the named indexes, or all; with `due`, only those that are due. All run at the same time, each
/// bounded by `index.deadline`, so that an unreachable publisher does not delay the others. `done` is called as
/// they end.
///
/// # Errors
/// `Interrupted`; the first error of this machine's state, after the others have ended.
pub fn refresh_all(
    machine: &Rc<Machine>,
    names: &[String],
    due: bool,
    mut done: impl FnMut(&IndexConfig, &Refreshed),
) -> anyhow::Result<()> {
    let (settings, now) = (&machine.settings, SystemTime::now());
    let wanted = settings.indexes.iter().filter(|index| names.is_empty() || names.contains(&index.name));
    let wanted = wanted.filter(|index| !due || in_use::is_due(settings, index, now));
    let targets = wanted.map(|index| Ok((index, target(machine, index)?))).collect::<Result<Vec<_>, Error>>()?;
    let hub = Hub::new(TRANSFERS_MOST * targets.len().max(1), CancellationToken::new());
    let means = RefreshMeans::of(machine, hub).map_err(|miss| Error::new(ErrorKind::NoSource, "index", miss))?;
    let state = in_use::state(settings);
    let works = targets.iter().map(|(index, target)| {
        let work = refresh(target, &means, &state, clock::unix(now), settings.index_deadline);
        async move { (*index, work.await) }
    });
    let mut works: FuturesUnordered<_> = works.collect();
    let mut failed = None;
    let all = async {
        while let Some((index, refreshed)) = works.next().await {
            match refreshed {
                Ok(refreshed) => done(index, &refreshed),
                Err(e) => failed = failed.take().or(Some(e)),
            }
        }
    };
    block_on(all).ok_or_else(|| Error::new(ErrorKind::Interrupted, "index", "interrupted"))?;
    failed.map_or(Ok(()), |e| Err(Error::local(settings.state_dir.display(), e).into()))
}

/// Returns the keys and addresses of an index, as its configuration declares them.
fn target(machine: &Machine, index: &IndexConfig) -> Result<RefreshTarget, Error> {
    let url = index.url.as_ref().map(|url| url.below("/"));
    let gateways = if machine.asks_gateways() { machine.settings.gateway_urls().collect() } else { Vec::new() };
    let lan = (machine.asks_lan() && machine.may_pass_on(index)).then(|| machine.settings.socket.clone());
    Ok(RefreshTarget { name: in_use::copy_name(index), grant: in_use::grant(index)?, url, gateways, lan })
}

/// Prints one line, or one object, about a refresh.
fn tell(settings: &Settings, index: &IndexConfig, refreshed: &Refreshed, json: bool) {
    let (word, text) = match &refreshed.outcome {
        RefreshOutcome::Updated { sequence, ignored } => {
            let others: Vec<_> = ignored.iter().map(ToString::to_string).collect();
            let others = if others.is_empty() { String::new() } else { format!("; ignored: {}", others.join(", ")) };
            ("updated", format!("updated to {}{others}", time::to_rfc3339(*sequence)))
        }
        RefreshOutcome::Unchanged { sequence } => {
            ("unchanged", format!("unchanged since {}", time::to_rfc3339(*sequence)))
        }
        RefreshOutcome::Refused(why) => ("refused", why.to_string()),
        RefreshOutcome::Unreachable => ("unreachable", "no source delivered it".to_owned()),
    };
    let routes = refreshed.routes.iter().map(|route| {
        let said = route.said.as_ref().map_or_else(ToString::to_string, ToString::to_string);
        (&route.via, route.took.as_millis(), said)
    });
    if json {
        let routes: Vec<_> = routes
            .map(|(via, took_ms, said)| serde_json::json!({"via": via, "took_ms": took_ms, "said": said}))
            .collect();
        let line = serde_json::json!({"index": index.name, "outcome": word, "text": text, "routes": routes,
            "moved": refreshed.moved, "warnings": refreshed.warnings, "clock": refreshed.clock.as_ref().map(clock)});
        // A closed pipe is the reader's choice.
        let _ = writeln!(report::out(), "{line}");
        return;
    }
    let failed = matches!(refreshed.outcome, RefreshOutcome::Refused(_) | RefreshOutcome::Unreachable);
    if !failed {
        report::say(&format!("index {}: {text}", index.name));
    } else {
        report::say(&format!("error: index {}: {text}", index.name));
        for (via, _, said) in routes {
            report::say(&format!("  {via}  {said}"));
        }
        report::say(&format!("hint: {}", in_use_now(settings, index)));
    }
    for warning in &refreshed.warnings {
        report::say(&format!("warning: index {}: {warning}", index.name));
    }
    if let Some(found) = &refreshed.clock {
        report::say(&format!("warning: {}", clock(found)));
    }
}

/// Describes the evidence against this machine's clock.
fn clock(found: &Clock) -> String {
    match found {
        Clock::Behind(by) => {
            format!("this clock is {} behind what was proven before; expiry cannot be judged", time::span(*by))
        }
        Clock::Off { host, by } => {
            let word = if *by > 0 { "ahead of" } else { "behind" };
            let by = time::span(by.unsigned_abs());
            format!("this clock is {by} {word} that of {host}; if it is wrong, so is every judgement of expiry")
        }
    }
}

/// Describes the index that stays in use after a failed refresh.
fn in_use_now(settings: &Settings, index: &IndexConfig) -> String {
    let facts = IndexFacts::of(settings, index, SystemTime::now());
    match facts.manifest() {
        Some(manifest) if !in_use::is_in_force(settings, index, SystemTime::now()).unwrap_or(false) => {
            let ago = time::span(clock::now().saturating_sub(manifest.expires));
            format!("the last copy expired {ago} ago and is not used; mirrors serve as without an index")
        }
        Some(manifest) => {
            let age = clock::now().saturating_sub(manifest.created);
            format!("the last good copy, {} old, stays in use until it expires", time::span(age))
        }
        None => "there is no earlier copy; mirrors serve as without an index".to_owned(),
    }
}

fn show(env: &Env, settings: &Settings, args: &ShowArgs) -> anyhow::Result<u8> {
    let index = configured(settings, &args.name)?;
    let name = in_use::copy_name(index);
    let state = in_use::state(settings);
    let held = state.held(&name).map_err(|e| Error::local(settings.state_dir.display(), e))?;
    let held = held.ok_or_else(|| {
        Error::new(ErrorKind::NoSource, &args.name, "was never fetched").hint("pkgswarm index refresh")
    })?;
    let manifest = &held.manifest;
    if args.json {
        let mut out = report::out();
        out.write_all(&held.bytes)?;
        writeln!(out)?;
    } else {
        let mut grid = Grid::of(&[Column::of(""), Column::text("")]);
        let mut row = |what: &str, text: &str| grid.row([Cell::strong(what), text.into()]);
        row("publisher", &manifest.publisher);
        row("sequence", &manifest.sequence.to_string());
        row("created", &time::to_rfc3339(manifest.created));
        row("expires", &time::to_rfc3339(manifest.expires));
        in_use::grant(index)?.fingerprints().iter().for_each(|key| row("key", key));
        for table in &manifest.tables {
            let granted = if index.may_describe(table.repo.as_str()) { "" } else { " (not granted)" };
            let entries = if table.entries == 1 { "entry" } else { "entries" };
            row("table", &format!("{} {}: {} {entries}{granted}", table.repo, table.arch, table.entries));
        }
        let mut screen = Screen::new(env);
        screen.grid(&grid);
        screen.show()?;
    }
    let mut out = report::out();
    if args.entries {
        for table in manifest.tables.iter().filter(|table| index.may_describe(table.repo.as_str())) {
            let path = state.catalogue_path(&name, &table.repo, &table.arch);
            let Some(catalogue) = crate::lists::catalogue::Catalogue::open(&path)? else { continue };
            for record in catalogue.iter() {
                let record = record?;
                let cid = record.cid().map(|cid| cid.to_string());
                if args.json {
                    let row = serde_json::json!({
                        "repo": table.repo.as_str(), "name": record.name.as_str(), "size": record.size,
                        "sha256": record.sha256, "cid": cid,
                    });
                    writeln!(out, "{row}")?;
                } else {
                    writeln!(out, "{}  {}  {}/{}", record.sha256, cid.unwrap_or_default(), table.repo, record.name)?;
                }
            }
        }
    }
    Ok(0)
}

fn rm(env: &Env, settings: &Settings, args: &NameArgs) -> anyhow::Result<u8> {
    let copy = in_use::copy_name(configured(settings, &args.name)?);
    let path = file_of(env, &args.name);
    let path = path.filter(|path| path.exists()).ok_or_else(|| declared_elsewhere(env, &args.name))?;
    std::fs::remove_file(&path).map_err(|e| not_writable(env, &path, &e))?;
    // The state belongs to the download user; root does not touch it.
    let forgotten = match env.is_root() {
        true => {
            let set = Cli::try_parse_from(&env.args).map(|cli| cli.set).unwrap_or_default();
            let flags = set.iter().flat_map(|flag| ["--set", flag]);
            let words: Vec<OsString> =
                flags.chain(["upkeep", "--forget-index", copy.as_str()]).map(OsString::from).collect();
            handover::run(env, settings, &words, &HandoverTarget::Nowhere).map(drop)
        }
        false => in_use::state(settings).forget_copy(&copy).map_err(|e| Error::local(&args.name, e)),
    };
    if let Err(e) = forgotten {
        report::say(&format!("warning: its copy on this disk stays: {}", e.message));
    }
    report::say(&format!("removed {}; the sequences that were seen stay known", path.display()));
    Ok(0)
}

fn configured<'a>(settings: &'a Settings, name: &str) -> Result<&'a IndexConfig, Error> {
    settings.indexes.iter().find(|index| index.name == name).ok_or_else(|| {
        let near = crate::config::key::nearest(name, settings.indexes.iter().map(|index| index.name.as_str()));
        let hint = near.map_or("pkgswarm index ls".to_owned(), |near| format!("did you mean {near}?"));
        Error::usage(name, "no index of that name is in use").hint(hint)
    })
}
