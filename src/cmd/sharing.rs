//! `pkgswarm shared` and `pkgswarm lan`: what the daemon offers, and on which networks. What they print after a change
//! is what the daemon says afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::base::env::Env;
use crate::base::error::Error;
use crate::base::fsx;
use crate::cmd::cli::{JsonArgs, LanCommand, NetworksArgs, OnOff, SharedArgs, TrustArgs};
use crate::cmd::daemon::{ask, ask_if_running, confirmed};
use crate::cmd::screen::{Cell, Column, Grid, Screen};
use crate::config::layers::Chosen;
use crate::config::value::show_size;
use crate::config::written::Written;
use crate::config::{Layers, Settings, layers};
use crate::daemon::{self, Nearby};
use crate::report::columns::Tone;
use crate::report::{self, counted};

/// The command that starts the daemon.
const START: &str = "sudo systemctl enable --now pkgswarm-daemon.service";

/// Runs `shared`.
pub(crate) fn shared(env: &Env, settings: &Settings, args: &SharedArgs) -> anyhow::Result<u8> {
    if let Some(switch) = args.switch {
        let on = switch == OnOff::On;
        let part = ConfigPart::of_daemon(env, settings, if on { "shared on" } else { "shared off" })?;
        part.write("shared.toml", "lan.share", &format!("[lan]\nshare = {on}\n"), &on.to_string())?;
        let applied = confirmed(settings, "shared", |document| document["sharing"].as_bool().map(|is| is == on))?;
        report::say(&match (applied, on) {
            (Some(document), _) => offer(&document),
            (None, true) => format!("sharing is on; the daemon does not run, so nothing is offered yet: {START}"),
            (None, false) => "sharing is off; the daemon does not run".to_owned(),
        });
        return Ok(0);
    }
    let shared = ask(settings, "shared")?;
    if args.json {
        writeln!(report::out(), "{shared}")?;
        return Ok(0);
    }
    let mut grid = Grid::of(&[Column::figure("SIZE"), Column::name("REPO"), Column::name("FILE")]).bare_on_pipes();
    for file in list(&shared, "files") {
        let text = |field: &str| file[field].as_str().unwrap_or_default().to_owned();
        let size = show_size(file["size"].as_u64().unwrap_or(0));
        let path = match file["name"].as_str() {
            Some(name) => {
                format!("{name} in {}", Path::new(&text("path")).parent().unwrap_or(Path::new("/")).display())
            }
            None => text("path"),
        };
        grid.row([size.into(), text("repo").into(), path.into()]);
    }
    if !grid.is_empty() {
        let mut screen = Screen::new(env);
        screen.grid(&grid);
        screen.show()?;
    }
    report::say(&offer(&shared));
    Ok(0)
}

/// Describes in a line what the daemon offers to which networks, from its own document.
fn offer(shared: &Value) -> String {
    if shared["sharing"] == false {
        return "no files are offered: sharing is off".to_owned();
    }
    let networks: Vec<&str> = list(shared, "networks").iter().filter_map(Value::as_str).collect();
    let to = match networks.is_empty() {
        true => "no machine, because no trusted network is here (sudo pkgswarm lan trust)".to_owned(),
        false => format!("every machine on {}", networks.join(", ")),
    };
    format!("{}, offered to {to}", counted(list(shared, "files").len(), "file"))
}

fn list<'a>(document: &'a Value, field: &str) -> &'a [Value] {
    document[field].as_array().map_or(&[], Vec::as_slice)
}

/// Runs `lan …`.
pub(crate) fn lan(env: &Env, settings: &Settings, command: &LanCommand) -> anyhow::Result<u8> {
    match command {
        LanCommand::Ls(args) => ls(env, settings, args)?,
        LanCommand::Trust(args) => trust(env, settings, args)?,
        LanCommand::Forget(args) => forget(env, settings, args)?,
    }
    Ok(0)
}

fn trust(env: &Env, settings: &Settings, args: &TrustArgs) -> Result<(), Error> {
    let named = named(&args.networks)?;
    let part = ConfigPart::of_daemon(env, settings, &spoken("lan trust", &args.networks))?;
    let trusted = part.networks()?;
    let known = trusting(settings, &trusted);
    let here: Vec<Nearby> = daemon::here(&known)?.into_iter().filter(|one| one.is_chosen).collect();
    let new: Vec<String> = if named.is_empty() {
        unnamed(&here, args.yes)?
    } else {
        named.iter().for_each(|network| warn_of_range(network, &here));
        named
    };
    let mut all = trusted.clone();
    all.extend(new.iter().filter(|network| !trusted.contains(network)).cloned());
    let applied = part.write_networks(settings, &all)?;
    tell("trusted", &new, applied.as_ref());
    Ok(())
}

/// Returns the networks that this machine is in and that are to be trusted: with their routers, and without where the
/// user says so.
fn unnamed(here: &[Nearby], yes: bool) -> Result<Vec<String>, Error> {
    if here.is_empty() {
        return Err(Error::usage("lan", "this machine is in no private network").hint("name one: 192.168.1.0/24"));
    }
    let entry = |one: &Nearby| match one.entries.as_slice() {
        [known, ..] if one.doubt.is_some() => known.clone(),
        _ => one.network.to_string(),
    };
    let doubtful: Vec<(&Nearby, &String)> =
        here.iter().filter(|one| one.entries.is_empty()).filter_map(|one| Some((one, one.doubt.as_ref()?))).collect();
    for (Nearby { network, interface, .. }, doubt) in &doubtful {
        report::say(&format!(
            "warning: {network} on {interface}: {doubt}, so every network that uses this range would be trusted"
        ));
    }
    if !doubtful.is_empty() && !yes && !super::confirmed("lan trust", "Trust it all the same?")? {
        return Err(Error::usage("lan trust", "nothing was changed")
            .hint("`pkgswarm lan trust RANGE@ROUTER` names a network with its router's hardware address"));
    }
    Ok(here.iter().map(entry).collect())
}

/// Warns that a range without a router means more than one network, where that is not random anyway.
fn warn_of_range(network: &str, here: &[Nearby]) {
    if network == "any" || network.starts_with("127.") || network.contains(['@', ':']) {
        return;
    }
    let with_router =
        here.iter().find(|one| one.network.to_string().split('@').next() == Some(network) && one.doubt.is_none());
    let better = with_router.map(|one| format!("; the one that is here is {}", one.network));
    let better = better.unwrap_or_default();
    report::say(&format!("warning: {network} names no router: it is trusted wherever that range is used{better}"));
}

fn forget(env: &Env, settings: &Settings, args: &NetworksArgs) -> Result<(), Error> {
    let named = named(&args.networks)?;
    let part = ConfigPart::of_daemon(env, settings, &spoken("lan forget", &args.networks))?;
    let trusted = part.networks()?;
    let known = trusting(settings, &trusted);
    let is_meant = |entry: &String, named: &String| {
        // A range alone means it with every router.
        entry == named || !named.contains('@') && entry.split('@').next() == Some(named)
    };
    let (gone, of): (Vec<String>, String) = if named.is_empty() {
        let here = daemon::here(&known)?;
        let of = here.iter().map(|one| one.network.to_string()).collect::<Vec<_>>().join(", ");
        let meant = |entry: &&String| here.iter().any(|one| one.entries.contains(entry));
        (trusted.iter().filter(meant).cloned().collect(), of)
    } else {
        let meant = |entry: &&String| named.iter().any(|named| is_meant(entry, named));
        (trusted.iter().filter(meant).cloned().collect(), named.join(", "))
    };
    if gone.is_empty() && trusted.iter().any(|entry| entry == "any") {
        let why = "is trusted by the entry `any`, as every private network is";
        return Err(Error::usage(of, why).hint("sudo pkgswarm lan forget any"));
    }
    if gone.is_empty() {
        return Err(Error::usage(of, "is not trusted anyway").hint("pkgswarm lan ls lists what is"));
    }
    let left: Vec<String> = trusted.iter().filter(|entry| !gone.contains(entry)).cloned().collect();
    let applied = part.write_networks(settings, &left)?;
    tell("not trusted any more", &gone, applied.as_ref());
    Ok(())
}

/// Prints the change, and what the daemon says about the networks that this machine is in.
fn tell(change: &str, networks: &[String], status: Option<&Value>) {
    let absent = if status.is_none() { "; the daemon does not run" } else { "" };
    networks.iter().for_each(|network| report::say(&format!("{change}: {network}{absent}")));
    for network in status.map(|status| list(status, "networks")).unwrap_or_default() {
        let text = |field: &str| network[field].as_str().unwrap_or_default();
        report::say(&format!("daemon: {} on {}, {}", text("network"), text("interface"), text("stands")));
    }
}

/// Lists the networks as the daemon judges them; where none runs, as one would.
fn ls(env: &Env, settings: &Settings, args: &JsonArgs) -> anyhow::Result<()> {
    let asked = ask_if_running(settings, "status").ok().flatten();
    let said = asked.as_ref().filter(|status| status["trusted"].is_array());
    let configured = daemons_settings(env, settings)?;
    let trusted: Vec<String> = match said {
        Some(status) => list(status, "trusted").iter().filter_map(|it| it.as_str().map(str::to_owned)).collect(),
        None => configured.lan_networks.iter().map(ToString::to_string).collect(),
    };
    let here = daemon::here(&trusting(&configured, &trusted))?;
    let networks = said.map(|status| list(status, "networks")).unwrap_or_default();
    let judged: BTreeMap<&str, &Value> =
        networks.iter().filter_map(|network| Some((network["address"].as_str()?, network))).collect();
    let stands =
        |one: &Nearby| judged.get(&*one.address).and_then(|it| it["stands"].as_str()).unwrap_or(one.stands).to_owned();
    let is_trusted = |one: &Nearby| match judged.get(&*one.address) {
        Some(judged) if one.is_chosen => judged["used"] == true,
        _ => one.is_trusted,
    };
    if args.json {
        let here = here.iter().map(|one| {
            json!({
                "interface": one.interface, "network": one.network.to_string(), "address": one.address,
                "trusted": is_trusted(one), "chosen": one.is_chosen, "stands": stands(one),
            })
        });
        let document = json!({
            "here": here.collect::<Vec<_>>(), "trusted": trusted, "interfaces": configured.lan_interfaces,
        });
        writeln!(report::out(), "{document}")?;
        return Ok(());
    }
    let mut grid = Grid::of(&[Column::name("NETWORK"), Column::text("STATE"), Column::of("HERE")]).bare_on_pipes();
    for one in &here {
        let tone = if is_trusted(one) { Tone::Good } else { Tone::Plain };
        let place = format!("{} on {}", one.address, one.interface);
        grid.row([one.network.to_string().into(), Cell::of(stands(one), tone), place.into()]);
    }
    for network in trusted.iter().filter(|known| !here.iter().any(|one| one.network.to_string() == **known)) {
        grid.row([network.into(), "trusted".into(), Cell::default()]);
    }
    if grid.is_empty() {
        report::say("this machine is in no private network, and none is trusted");
        return Ok(());
    }
    let mut screen = Screen::new(env);
    screen.grid(&grid);
    Ok(screen.show()?)
}

/// Returns these networks as `lan.networks` has them.
fn named(networks: &[String]) -> Result<Vec<String>, Error> {
    networks.iter().map(|text| Ok(daemon::network(text)?.to_string())).collect()
}

/// Returns the same settings with these networks as the trusted ones.
fn trusting(settings: &Settings, networks: &[String]) -> Settings {
    Settings { lan_networks: networks.iter().map(Written::read).collect(), ..settings.clone() }
}

fn spoken(command: &str, networks: &[String]) -> String {
    std::iter::once(command).chain(networks.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
}

/// Returns the settings that the daemon reads, as far as files tell: the system's, and this user's where the daemon is
/// this user's own.
fn daemons_settings(env: &Env, settings: &Settings) -> Result<Settings, Error> {
    if layers::may_change_system(env) || env.var("PKGSWARM_CONFIG_DIR").is_some() || is_own(env, settings) {
        return Ok(settings.clone());
    }
    let mut systems = env.clone();
    systems.vars.retain(|name, _| !name.starts_with("PKGSWARM_"));
    systems.vars.insert("PKGSWARM_CONFIG_DIR".to_owned(), layers::system_dir(env).display().to_string());
    Settings::read(&systems, &[])
}

/// True if the daemon at `daemon.socket` is, or would be, this user's own: no other user can put one there.
fn is_own(env: &Env, settings: &Settings) -> bool {
    let dir = settings.socket.parent().and_then(|dir| dir.symlink_metadata().ok());
    dir.is_some_and(|dir| dir.uid() == env.uid) && layers::user_dir(env).is_some()
}

/// The directory of files that the daemon reads, to which this user may add.
struct ConfigPart {
    env: Env,
    dir: PathBuf,
    /// The words of this command.
    words: String,
}

impl ConfigPart {
    /// Returns that of the daemon that runs here.
    ///
    /// # Errors
    /// `Local` where the daemon is the system's, which root alone configures. The hint has the command.
    fn of_daemon(env: &Env, settings: &Settings, words: &str) -> Result<Self, Error> {
        let dir = match layers::user_dir(env).filter(|_| is_own(env, settings)) {
            Some(own) => own,
            None if layers::may_change_system(env) => layers::system_dir(env),
            None => return Err(refusal(words)),
        };
        // Values for one run are not for the daemon.
        let mut env = env.clone();
        env.vars.retain(|name, _| !["PKGSWARM_LAN_SHARE", "PKGSWARM_LAN_NETWORKS"].contains(&name.as_str()));
        Ok(Self { env, dir: dir.join("config.d"), words: words.to_owned() })
    }

    /// Lists the networks that files alone trust.
    fn networks(&self) -> Result<Vec<String>, Error> {
        let written = Settings::read(&self.env, &[])?.lan_networks;
        named(&written.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    /// Writes the file `name`, which gives `key` the value `wanted`. Restores it where another file wins.
    fn write(&self, name: &str, key: &str, text: &str, wanted: &str) -> Result<(), Error> {
        let path = self.dir.join(name);
        let failed = |path: &PathBuf, e: io::Error| match e.kind() {
            io::ErrorKind::PermissionDenied => refusal(&self.words),
            _ => Error::local(path.display(), e),
        };
        std::fs::create_dir_all(&self.dir).map_err(|e| failed(&self.dir, e))?;
        let before = std::fs::read(&path).ok();
        fsx::replace(&path, text.as_bytes(), 0o644).map_err(|e| failed(&path, e))?;
        let layers = Layers::read(&self.env, &[])?;
        let Chosen { text: value, origin, .. } = &layers.values[key];
        if value == wanted {
            return Ok(());
        }
        let _ = match before {
            Some(before) => fsx::replace(&path, &before, 0o644),
            None => std::fs::remove_file(&path),
        };
        let why = format!("stays {value:?}, because {origin} sets it and is read after {}", path.display());
        Err(Error::usage(key, why).hint(format!("change it there, then run: pkgswarm {}", self.words)))
    }

    /// Writes the trusted networks, and returns the daemon's report afterwards; `None` when none runs.
    fn write_networks(&self, settings: &Settings, networks: &[String]) -> Result<Option<Value>, Error> {
        let list: Vec<String> = networks.iter().map(|network| format!("    {network:?},\n")).collect();
        let text = format!("[lan]\nnetworks = [\n{}]\n", list.concat());
        self.write("lan.toml", "lan.networks", &text, &networks.join(","))?;
        confirmed(settings, "status", |status| {
            let applied: BTreeSet<&str> = status["trusted"].as_array()?.iter().filter_map(Value::as_str).collect();
            Some(applied == networks.iter().map(String::as_str).collect())
        })
    }
}

fn refusal(words: &str) -> Error {
    Error::local(format!("pkgswarm {words}"), "only root changes what the system's daemon shares and trusts")
        .hint(format!("sudo pkgswarm {words}"))
}
