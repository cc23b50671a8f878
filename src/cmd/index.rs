//! `pkgswarm index …`: adds, lists, refreshes, shows and removes indexes.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use clap::Parser as _;

use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind};
use crate::base::name::RepoName;
use crate::base::runtime::block_on;
use crate::cmd::cli::{Cli, IndexAddArgs, IndexCommand, NameArgs, RefreshArgs};
use crate::config::peer_address::PeerAddress;
use crate::config::url::{BaseUrl, without_secret};
use crate::config::written::Written;
use crate::config::{IndexConfig, Settings, declared, layers, value};
use crate::host::inspect::pacman;
use crate::index::in_use;
use crate::machine::Machine;
use crate::pacman::handover::{self, Handed, HandoverTarget};
use crate::refresh::RefreshOutcome;
use crate::refresh::all::refresh_all;
use crate::report;

mod ls;
mod show;
mod told;

/// Runs the command.
pub(crate) fn run(env: &Env, settings: &Settings, command: &IndexCommand) -> anyhow::Result<u8> {
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
        IndexCommand::Show(args) => show::run(env, configured(settings, &args.name)?, settings, args),
        IndexCommand::Audit(args) => super::audit::run(env, settings, args),
        IndexCommand::Rm(args) => rm(env, settings, args),
    }
}

fn add(env: &Env, settings: &Settings, args: &IndexAddArgs) -> anyhow::Result<u8> {
    let mut index = of_arguments(args)?;
    if index.repos.is_empty() {
        index.repos = repos_of_pacman(settings)?;
    }
    let grant = in_use::grant(&index)?;
    report::say(&format!("index {} may speak for: {}", index.name, index.repos_shown()));
    for key in grant.fingerprints() {
        report::say(&format!("  {key}"));
    }
    report::say("Compare this with what the publisher says elsewhere: it is all that your trust rests on.");
    if !args.yes && !super::confirmed("index add", "Use it?")? {
        return Err(Error::usage(&args.name, "not added").into());
    }
    report::say(&format!("added to {}", declared::declare(env, &index)?.display()));
    let is_own = layers::user_dir(env).is_some();
    if is_own {
        report::say(
            "warning: pacman's downloader does not read it; `sudo pkgswarm index add` adds it for pacman as well",
        );
    }
    let status = refresh_added(env, settings, &index.name)?;
    report::say(&match (status, is_own) {
        (0, false) => "Next: sudo pacman -Syu   Look: pkgswarm index ls".to_owned(),
        (0, true) => format!("Next: pkgswarm fetch PACKAGE   Look: pkgswarm index show {}", index.name),
        _ => format!(
            "hint: it stays configured; `pkgswarm index refresh {0}` tries again, `pkgswarm index rm {0}` removes it",
            index.name
        ),
    });
    Ok(status)
}

/// Returns the index that the words of the command declare.
fn of_arguments(args: &IndexAddArgs) -> Result<IndexConfig, Error> {
    let urls = args.urls.iter().map(|url| {
        let found = without_secret(url);
        let bad = || Error::usage("--url", format!("expected an http or https URL, found {found:?}"));
        BaseUrl::parse(url).ok_or_else(bad)
    });
    let mut urls = urls.collect::<Result<Vec<_>, Error>>()?.into_iter();
    let peers = args.peers.iter().map(|peer| peer.parse::<PeerAddress>().map_err(|why| Error::usage("--peer", why)));
    let key = Written::read(args.key.as_str());
    let is_ipns = key.value().is_ok();
    let index = IndexConfig {
        name: args.name.clone(),
        key: is_ipns.then_some(key),
        minisign: args.minisign.as_deref().or((!is_ipns).then_some(args.key.as_str())).map(Written::read),
        url: urls.next(),
        more_urls: urls.collect(),
        peers: peers.collect::<Result<_, _>>()?,
        repos: args.repos.iter().map(|repo| value::repo(repo)).collect(),
    };
    if !is_ipns && args.minisign.is_some() {
        let why = "is not an IPNS name (k51…), and --minisign gives another key";
        return Err(Error::usage(&args.key, why).hint("name the IPNS name as KEY, or give one minisign key alone"));
    }
    if !is_ipns && index.url.is_none() {
        let why = "is not an IPNS name (k51…); a minisign key alone needs --url, the address of a plain copy";
        return Err(Error::usage(&args.key, why));
    }
    layers::check_index_name(&index.name).map_err(|why| Error::usage(&args.name, why))?;
    Ok(index)
}

/// Refreshes an index that was added just now. Settings of this run also apply to that.
fn refresh_added(env: &Env, settings: &Settings, name: &str) -> anyhow::Result<u8> {
    let here = |storeless| {
        let settings = Settings { storeless, ..Settings::read(env, &flags_of(env))? };
        let refresh = RefreshArgs { names: vec![name.to_owned()], due: false, json: false };
        refresh_here(env, &settings, &refresh)
    };
    if !env.is_root() {
        return here(false);
    }
    match by_child(env, settings, &["index", "refresh", name])? {
        Handed::Done(status) => Ok(status),
        Handed::Back(settings) => here(settings.storeless),
    }
}

/// Returns the values of `--set` of this run.
fn flags_of(env: &Env) -> Vec<String> {
    Cli::try_parse_from(&env.args).map(|cli| cli.set).unwrap_or_default()
}

/// Has root's unprivileged child run this command, with the settings of this run.
fn by_child(env: &Env, settings: &Settings, command: &[&str]) -> Result<Handed, Error> {
    let flags = flags_of(env);
    let words = flags.iter().flat_map(|flag| ["--set", flag]).chain(command.iter().copied());
    handover::run(env, settings, &words.map(OsString::from).collect::<Vec<_>>(), &HandoverTarget::Nowhere)
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
    let refreshed = refresh_indexes(env, settings, args);
    if args.due && settings.kubo_shares_installed {
        // By the same timer, for installations without a `-Sy` of the XferCommand's; after what matters more.
        super::upkeep::share_installed(&Machine::open(env, settings, Path::new("/var/tmp"))?);
    }
    refreshed
}

fn refresh_indexes(env: &Env, settings: &Settings, args: &RefreshArgs) -> anyhow::Result<u8> {
    if settings.indexes.is_empty() && args.due {
        // The timer may be enabled before an index is added: nothing is due.
        return Ok(0);
    }
    if settings.indexes.is_empty() {
        return Err(Error::usage("index", "none is configured").hint("pkgswarm index add NAME KEY").into());
    }
    let state = &settings.state_dir;
    if rustix::fs::access(state, rustix::fs::Access::WRITE_OK).is_err_and(|e| e == rustix::io::Errno::ACCESS) {
        return Err(declared::not_writable(env, state, &io::ErrorKind::PermissionDenied.into()).into());
    }
    let machine = Machine::open(env, settings, Path::new("/var/tmp"))?;
    report::warn(machine.warning().as_slice());
    let mut worst = 0;
    let refreshing = refresh_all(&machine, &args.names, args.due, |index, refreshed| {
        let kind = match &refreshed.outcome {
            RefreshOutcome::Updated { .. } | RefreshOutcome::Unchanged { .. } => None,
            RefreshOutcome::Refused(_) => Some(ErrorKind::Corrupt),
            RefreshOutcome::Unreachable => Some(ErrorKind::NoSource),
        };
        worst = worst.max(kind.map_or(0, ErrorKind::status));
        told::tell(settings, index, refreshed, args.json);
    });
    block_on(refreshing).ok_or_else(|| Error::new(ErrorKind::Interrupted, "index", "interrupted"))??;
    Ok(worst)
}

fn rm(env: &Env, settings: &Settings, args: &NameArgs) -> anyhow::Result<u8> {
    let copy = in_use::copy_name(configured(settings, &args.name)?);
    let path = declared::remove(env, &args.name)?;
    // The state belongs to the download user; root does not touch it.
    let forgotten = match env.is_root() {
        true => by_child(env, settings, &["upkeep", "--forget-index", copy.as_str()]).map(drop),
        false => super::upkeep::forget(env, settings, &copy).map_err(|e| Error::local(&args.name, e)),
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
