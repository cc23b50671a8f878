//! `pkgswarm daemon`, and the commands that ask it: `pkgswarm shared`, `pkgswarm lan`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::{JsonArgs, LanCommand, NetworksArgs, OnOff, SharedArgs};
use crate::config::network::Network;
use crate::config::value::show_size;
use crate::config::written::Written;
use crate::config::{Settings, layers};
use crate::daemon;
use crate::deliver::block_on;
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::fsx;
use crate::report;
use crate::socket;

/// Longest wait for a document of the daemon.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs `daemon`.
pub fn run(env: &Env, flags: &[String], settings: &Settings) -> anyhow::Result<u8> {
    Ok(daemon::run(env, flags, settings)?)
}

/// Asks the running daemon for a document: `status` or `shared`.
///
/// # Errors
/// Fails when no daemon runs, or it does not answer.
pub fn ask(settings: &Settings, what: &str) -> Result<Value, Error> {
    let failed = |e: &dyn std::fmt::Display| {
        Error::local(settings.socket.display(), format!("the daemon does not answer: {e}"))
            .hint("systemctl status pkgswarm-daemon.service")
    };
    let asked = block_on(async { tokio::time::timeout(PATIENCE, socket::ask(&settings.socket, what)).await });
    let asked = asked.ok_or_else(|| Error::new(ErrorKind::Interrupted, what, "interrupted"))?;
    asked.map_err(|e| failed(&e))?.map_err(|e| failed(&e))
}

/// Runs `shared`.
pub fn shared(env: &Env, settings: &Settings, args: &SharedArgs) -> anyhow::Result<u8> {
    if let Some(switch) = args.switch {
        let on = switch == OnOff::On;
        write(env, "shared.toml", &format!("[lan]\nshare = {on}\n"))?;
        report::say(if on { "files are offered on trusted networks" } else { "no files are offered" });
        return Ok(0);
    }
    let shared = ask(settings, "shared")?;
    let mut out = report::out();
    if args.json {
        writeln!(out, "{shared}")?;
        return Ok(0);
    }
    let files = shared["files"].as_array().map_or(&[][..], Vec::as_slice);
    for file in files {
        let text = |field: &str| file[field].as_str().unwrap_or_default().to_owned();
        let size = show_size(file["size"].as_u64().unwrap_or(0));
        writeln!(out, "{size:>10}  {}  {}", text("repo"), text("path"))?;
    }
    let networks: Vec<&str> = shared["networks"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let to = match networks.is_empty() {
        true => "no machine, because no trusted network is here".to_owned(),
        false => format!("every machine on {}", networks.join(", ")),
    };
    report::say(&format!("{} files, offered to {to}", files.len()));
    Ok(0)
}

/// Runs `lan …`.
pub fn lan(env: &Env, settings: &Settings, command: &LanCommand) -> anyhow::Result<u8> {
    match command {
        LanCommand::Ls(args) => ls(settings, args)?,
        LanCommand::Trust(args) => {
            let new = named_or_here(settings, args)?;
            let known = |network: &&Network| settings.lan_networks.iter().any(|known| is_of(known, network));
            let added = new.iter().filter(|network| !known(network)).map(ToString::to_string);
            write_networks(env, settings.lan_networks.iter().map(ToString::to_string).chain(added))?;
            new.iter().for_each(|network| report::say(&format!("trusted: {network}")));
        }
        LanCommand::Forget(args) => {
            let gone = named_or_here(settings, args)?;
            let is_gone = |known: &&Written<Network>| gone.iter().any(|network| is_of(known, network));
            if !settings.lan_networks.iter().any(|known| is_gone(&known)) {
                let named: Vec<String> = gone.iter().map(ToString::to_string).collect();
                let why = "is not trusted anyway";
                return Err(Error::usage(named.join(", "), why).hint("pkgswarm lan ls lists what is").into());
            }
            let left = settings.lan_networks.iter().filter(|known| !is_gone(known));
            write_networks(env, left.map(ToString::to_string))?;
            gone.iter().for_each(|network| report::say(&format!("not trusted any more: {network}")));
        }
    }
    Ok(0)
}

fn ls(settings: &Settings, args: &JsonArgs) -> anyhow::Result<()> {
    let here = daemon::here(settings)?;
    let mut out = report::out();
    if args.json {
        let here = here.iter().map(|one| {
            json!({
                "interface": one.interface, "network": one.network.to_string(), "address": one.address,
                "trusted": one.is_trusted, "chosen": one.is_chosen,
            })
        });
        let document = json!({
            "here": here.collect::<Vec<_>>(), "trusted": settings.lan_networks,
            "interfaces": settings.lan_interfaces,
        });
        writeln!(out, "{document}")?;
        return Ok(());
    }
    for one in &here {
        writeln!(out, "{}  {} on {} is here, {}", one.network, one.address, one.interface, one.stands)?;
    }
    for network in settings.lan_networks.iter().filter(|known| !here.iter().any(|one| is_of(known, &one.network))) {
        writeln!(out, "{network}  trusted")?;
    }
    Ok(())
}

/// Returns true when the entry `known` of `lan.networks` is `network`, in whatever way it is written.
fn is_of(known: &Written<Network>, network: &Network) -> bool {
    known.value() == Ok(network)
}

fn named_or_here(settings: &Settings, args: &NetworksArgs) -> Result<Vec<Network>, Error> {
    if !args.networks.is_empty() {
        return args.networks.iter().map(|text| daemon::network(text)).collect();
    }
    let here: Vec<Network> =
        daemon::here(settings)?.into_iter().filter(|one| one.is_chosen).map(|one| one.network).collect();
    if here.is_empty() {
        return Err(Error::usage("lan", "this machine is in no private network").hint("name one: 192.168.1.0/24"));
    }
    Ok(here)
}

fn write_networks(env: &Env, networks: impl Iterator<Item = String>) -> Result<(), Error> {
    let list: Vec<String> = networks.map(|network| format!("    {network:?},\n")).collect();
    write(env, "lan.toml", &format!("[lan]\nnetworks = [\n{}]\n", list.concat()))
}

/// Writes a part of the configuration: the system's for root, else the user's own.
fn write(env: &Env, name: &str, text: &str) -> Result<(), Error> {
    let dir: PathBuf = match layers::user_file(env).and_then(|file| file.parent().map(PathBuf::from)) {
        Some(dir) => dir,
        None => layers::system_dir(env),
    };
    let (dir, failed) = (dir.join("config.d"), |path: PathBuf| {
        move |e: io::Error| Error::local(path.display(), e).hint("run it as root, for the whole system")
    });
    std::fs::create_dir_all(&dir).map_err(failed(dir.clone()))?;
    let path = dir.join(name);
    fsx::replace(&path, text.as_bytes(), 0o644).map_err(failed(path.clone()))
}
