//! `pkgswarm shared` and `pkgswarm lan`: what the daemon offers, and on which networks. What they print after a change
//! is what the daemon says afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::base::env::Env;
use crate::base::error::Error;
use crate::cmd::cli::{JsonArgs, LanCommand, NetworksArgs, OnOff, SharedArgs, TrustArgs};
use crate::cmd::daemon::{ask, ask_if_running, confirmed};
use crate::cmd::screen::{Column, Grid, Screen};
use crate::config::Settings;
use crate::config::value::show_size;
use crate::daemon::{self, Nearby};
use crate::host::networks::{ConfigPart, daemons_settings, forgotten, named, trusting};
use crate::report::cell::Cell;
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
    part.write_networks(&all)?;
    let applied = applied(settings, &all)?;
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
    let here = if named.is_empty() { daemon::here(&known)? } else { Vec::new() };
    let gone = forgotten(&trusted, &named, &here)?;
    let left: Vec<String> = trusted.iter().filter(|entry| !gone.contains(entry)).cloned().collect();
    part.write_networks(&left)?;
    let applied = applied(settings, &left)?;
    tell("not trusted any more", &gone, applied.as_ref());
    Ok(())
}

/// Returns the daemon's report once these are its trusted networks; `None` when none runs.
fn applied(settings: &Settings, networks: &[String]) -> Result<Option<Value>, Error> {
    confirmed(settings, "status", |status| {
        let applied: BTreeSet<&str> = status["trusted"].as_array()?.iter().filter_map(Value::as_str).collect();
        Some(applied == networks.iter().map(String::as_str).collect())
    })
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

fn spoken(command: &str, networks: &[String]) -> String {
    std::iter::once(command).chain(networks.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
}
