//! `pkgswarm haiku …`: the repositories of Haiku's pkgman that the endpoint serves.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;

use crate::base::clock;
use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind};
use crate::base::runtime::block_on;
use crate::cmd::cli::{HaikuAddArgs, HaikuCommand, HaikuRefreshArgs, HaikuStepsArgs, JsonArgs, NameArgs};
use crate::cmd::screen::{Column, Grid, Screen};
use crate::config::{HaikuConfig, Settings, declared, key, layers};
use crate::haiku::kept::{KeptSnapshot, SnapshotShelf};
use crate::haiku::take::{AskedRepo, RefusedLists, Taken, take};
use crate::index::time;
use crate::machine::Machine;
use crate::pacman::handover::{self, Handed, HandoverTarget};
use crate::report;
use crate::report::cell::Cell;
use crate::report::columns::Tone;

/// Runs the command.
pub(crate) fn run(env: &Env, settings: &Settings, flags: &[String], command: &HaikuCommand) -> anyhow::Result<u8> {
    match command {
        HaikuCommand::Add(args) => add(env, settings, flags, args),
        HaikuCommand::Rm(args) => rm(env, settings, args),
        // The state belongs to the download user, and root does not trust its content.
        HaikuCommand::Ls(args) => as_owner(env, settings, |settings| ls(env, settings, args)),
        HaikuCommand::Refresh(args) => as_owner(env, settings, |settings| refresh(env, settings, args)),
        HaikuCommand::Steps(args) => as_owner(env, settings, |settings| steps(env, settings, args)),
    }
}

fn as_owner(env: &Env, settings: &Settings, run: impl FnOnce(&Settings) -> anyhow::Result<u8>) -> anyhow::Result<u8> {
    handover::through(env, settings, &HandoverTarget::Nowhere, run)
}

fn add(env: &Env, settings: &Settings, flags: &[String], args: &HaikuAddArgs) -> anyhow::Result<u8> {
    let wrong = |why: String| Error::usage(&args.name, why);
    let repo = HaikuConfig::new(&args.name, &args.urls, args.minisign.as_deref()).map_err(wrong)?;
    let key = repo.minisign.value().map_err(|why| Error::usage("--minisign", why))?;
    report::say(&format!("haiku {}: a list of packages counts with the signature of this key alone:", repo.name));
    report::say(&format!("  {}", key.fingerprint()));
    report::say("Compare this with what the repository says elsewhere: it is all that your trust rests on.");
    if !args.yes && !super::confirmed("haiku add", "Serve it?")? {
        return Err(Error::usage(&args.name, "not added").into());
    }
    report::say(&format!("added to {}", declared::declare_haiku(env, &repo)?.display()));
    if layers::user_dir(env).is_some() {
        report::say("warning: the system's endpoint does not read it; `sudo pkgswarm haiku add` adds it there");
    }
    let status = refresh_added(env, flags, settings, &repo)?;
    let next = match (status, settings.endpoint.enabled) {
        (0, true) => format!("Next: pkgswarm haiku steps {}", repo.name),
        (0, false) => {
            let after = format!("pkgswarm haiku steps {}", repo.name);
            format!("Next: sudo pkgswarm setup --door cache (the endpoint is off), then {after}")
        }
        _ => format!(
            "hint: it stays configured; `pkgswarm haiku refresh {0}` tries again, `pkgswarm haiku rm {0}` removes it",
            repo.name
        ),
    };
    report::say(&next);
    Ok(status)
}

/// Fetches the list of a repository that was added just now: for root, its unprivileged child does that.
fn refresh_added(env: &Env, flags: &[String], settings: &Settings, repo: &HaikuConfig) -> anyhow::Result<u8> {
    if env.is_root() {
        let words = flags.iter().flat_map(|flag| ["--set", flag]).chain(["haiku", "refresh", &repo.name]);
        let words: Vec<OsString> = words.map(OsString::from).collect();
        if let Handed::Done(status) = handover::run(env, settings, &words, &HandoverTarget::Nowhere)? {
            return Ok(status);
        }
    }
    let settings = Settings { haiku: vec![repo.clone()], ..settings.clone() };
    refresh(env, &settings, &HaikuRefreshArgs { names: Vec::new() })
}

fn rm(env: &Env, settings: &Settings, args: &NameArgs) -> anyhow::Result<u8> {
    configured(settings, &args.name)?;
    report::say(&format!("removed {}", declared::remove_haiku(env, &args.name)?.display()));
    Ok(0)
}

fn ls(env: &Env, settings: &Settings, args: &JsonArgs) -> anyhow::Result<u8> {
    if args.json {
        for repo in &settings.haiku {
            writeln!(report::out(), "{}", as_json(repo, kept(env, settings, repo).as_ref()))?;
        }
        return Ok(0);
    }
    if settings.haiku.is_empty() {
        report::say("no repository of Haiku's is served; pkgswarm haiku add NAME URL adds one");
        return Ok(0);
    }
    let columns = [
        Column::name("NAME"),
        Column::name("PATH"),
        Column::figure("PACKAGES"),
        Column::of("SIGNED"),
        Column::of("CHECKED"),
    ];
    let mut grid = Grid::of(&columns).bare_on_pipes();
    for repo in &settings.haiku {
        grid.row(row(repo, kept(env, settings, repo).as_ref()));
    }
    let mut screen = Screen::new(env);
    screen.grid(&grid);
    screen.show()?;
    Ok(0)
}

fn row(repo: &HaikuConfig, kept: Option<&KeptSnapshot>) -> [Cell; 5] {
    let ago = |since: u64| format!("{} ago", time::span(clock::now().saturating_sub(since)));
    let (name, path) = (Cell::of(&repo.name, Tone::Plain), Cell::of(&repo.path, Tone::Plain));
    let Some(kept) = kept else {
        return [name, path, Cell::default(), Cell::default(), Cell::of("never fetched", Tone::Poor)];
    };
    let signed = kept.snapshot.signed.map_or(Cell::of("no time", Tone::Quiet), |signed| ago(signed).into());
    let is_old = clock::now().saturating_sub(kept.checked) > repo.max_age.as_secs();
    let checked = Cell::of(ago(kept.checked), if is_old { Tone::Bad } else { Tone::Plain });
    [name, path, kept.snapshot.packages.len().to_string().into(), signed, checked]
}

fn as_json(repo: &HaikuConfig, kept: Option<&KeptSnapshot>) -> serde_json::Value {
    serde_json::json!({
        "name": repo.name, "path": repo.path, "urls": repo.urls, "minisign": repo.minisign,
        "max_age": repo.max_age.as_secs(), "packages": kept.map(|kept| kept.snapshot.packages.len()),
        "sha256": kept.map(|kept| kept.snapshot.sha256.to_string()), "signed": kept.and_then(|kept| kept.snapshot.signed),
        "checked": kept.map(|kept| kept.checked),
        "repository": kept.map(|kept| kept.snapshot.info.name.as_str()),
        "identifier": kept.map(|kept| kept.snapshot.info.identifier.as_str()),
        "architecture": kept.map(|kept| kept.snapshot.info.arch.as_str()),
    })
}

fn refresh(env: &Env, settings: &Settings, args: &HaikuRefreshArgs) -> anyhow::Result<u8> {
    for name in &args.names {
        configured(settings, name)?;
    }
    let machine = Machine::open(env, settings, Path::new("/var/tmp"))?;
    report::warn(machine.warning().as_slice());
    let wanted = |repo: &&HaikuConfig| args.names.is_empty() || args.names.contains(&repo.name);
    let mut worst = 0;
    for repo in settings.haiku.iter().filter(wanted) {
        let shelf = SnapshotShelf::of(&settings.state_dir, &repo.name, env.uid);
        let known = shelf.load(repo);
        let refused = RefusedLists::default();
        let asked = AskedRepo { machine: &machine, config: repo, refused: &refused };
        let taken = block_on(take(asked, known.as_ref(), async |_| {}));
        let taken = taken.ok_or_else(|| Error::new(ErrorKind::Interrupted, &repo.name, "interrupted"))?;
        let records = taken.records();
        let Taken { snapshot, failures, .. } = taken;
        for failure in &failures {
            report::warn(&[format!("{}: {}: {}", repo.name, failure.host, failure.why)]);
        }
        if let Err(e) = shelf.note(repo, records) {
            report::warn(&[format!("{}: what its servers answered is not kept: {e}", repo.name)]);
        }
        let Some(kept) = snapshot else {
            let is_refused = failures.iter().any(|failure| failure.is_refusal);
            let kind = if is_refused { ErrorKind::Corrupt } else { ErrorKind::NoSource };
            let stays = match known {
                Some(known) => format!("that of {} stays in use", time::to_rfc3339(known.checked)),
                None => "there is none to serve".to_owned(),
            };
            report::complain(&format!("error: {}: no server sends a list that is proven; {stays}\n", repo.name));
            worst = worst.max(kind.status());
            continue;
        };
        let is_kept = shelf.keep(repo, &kept);
        if !is_kept.map_err(|e| Error::local(&repo.name, format!("its snapshot cannot be kept: {e}")))? {
            report::say(&format!("{}: a newer list came meanwhile, and stays", repo.name));
            continue;
        }
        let is_new = known.is_none_or(|known| known.snapshot.sha256 != kept.snapshot.sha256);
        let signed = kept.snapshot.signed.map_or(String::new(), |at| format!(", signed {}", time::to_rfc3339(at)));
        let what = if is_new { "proven" } else { "unchanged" };
        report::say(&format!("{}: {what}, {} packages{signed}", repo.name, kept.snapshot.packages.len()));
    }
    Ok(worst)
}

fn steps(env: &Env, settings: &Settings, args: &HaikuStepsArgs) -> anyhow::Result<u8> {
    let repo = configured(settings, &args.name)?;
    let Some(kept) = kept(env, settings, repo) else {
        let why = "its list was never fetched, so the name that it has on Haiku is not known";
        return Err(Error::usage(&args.name, why).hint(format!("pkgswarm haiku refresh {}", args.name)).into());
    };
    let address = match args.address {
        Some(address) => address,
        None => address(settings)?,
    };
    let name = &kept.snapshot.info.name;
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b' ')) {
        return Err(Error::usage(name, "is no name of a repository that can be typed").into());
    }
    let file = format!("\"/boot/system/settings/package-repositories/{name}\"");
    write!(
        report::out(),
        "On Haiku, in a Terminal:\n\n  \
           cp {file} ~/\"{name}.before\"\n  \
           sed -i 's|^baseurl=.*|baseurl=http://{address}/{path}|' {file}\n  \
           pkgman refresh \"{name}\"\n\n\
         Back to what it was:\n\n  \
           cp ~/\"{name}.before\" {file}\n  \
           pkgman refresh \"{name}\"\n",
        path = repo.path
    )?;
    Ok(0)
}

/// Returns the address at which other machines reach the endpoint.
fn address(settings: &Settings) -> Result<SocketAddr, Error> {
    let mut listens = settings.endpoint.listen.iter().filter_map(|at| at.value().ok());
    let Some(listens) = listens.find(|at| !at.ip().is_loopback()) else {
        let why = "the endpoint listens on this machine alone, and Haiku runs on another one";
        return Err(Error::usage("endpoint.listen", why)
            .hint("set endpoint.listen to an address of the network, and endpoint.allow to its range"));
    };
    if !listens.ip().is_unspecified() {
        return Ok(*listens);
    }
    // The route to any other machine; nothing is sent.
    let own = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).and_then(|()| socket.local_addr()));
    let ip = own.map(|own| own.ip()).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Ok(SocketAddr::new(ip, listens.port()))
}

fn kept(env: &Env, settings: &Settings, repo: &HaikuConfig) -> Option<KeptSnapshot> {
    SnapshotShelf::of(&settings.state_dir, &repo.name, env.uid).load(repo)
}

fn configured<'a>(settings: &'a Settings, name: &str) -> Result<&'a HaikuConfig, Error> {
    settings.haiku.iter().find(|repo| repo.name == name).ok_or_else(|| {
        let near = key::nearest(name, settings.haiku.iter().map(|repo| repo.name.as_str()));
        let hint = near.map_or("pkgswarm haiku ls".to_owned(), |near| format!("did you mean {near}?"));
        Error::usage(name, "no repository of Haiku's has that name here").hint(hint)
    })
}
