//! `pkgswarm group …`: closed groups of machines that hold the same pins, each with a Kubo and a cluster peer of its own.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind};
use crate::base::fsx::{Lasting, ReplaceOptions, Replacement};
use crate::base::runtime::block_on;
use crate::cmd::cli::{GroupCommand, GroupInitArgs, GroupJoinArgs, GroupLeaveArgs, GroupStatusArgs};
use crate::cmd::screen::Screen;
use crate::config::Settings;
use crate::config::group_file::{GroupFile, GroupKey};
use crate::config::peer_address::PeerAddress;
use crate::config::publication::is_publication_name;
use crate::host::group::{self, GroupPlace, GroupPorts, GroupStatus, MemberIds};
use crate::report::{self, counted};

/// Runs the command.
pub(crate) fn run(env: &Env, settings: &Settings, command: &GroupCommand) -> anyhow::Result<u8> {
    match command {
        GroupCommand::Init(args) => Ok(init(env, settings, args)?),
        GroupCommand::Join(args) => Ok(join(env, settings, args)?),
        GroupCommand::Status(args) => status(env, settings, args),
        GroupCommand::Leave(args) => Ok(leave(env, settings, args)?),
    }
}

fn init(env: &Env, settings: &Settings, args: &GroupInitArgs) -> Result<u8, Error> {
    if !is_publication_name(&args.name) {
        return Err(Error::usage("--name", "expected 1 to 64 letters, digits, dots, - and _"));
    }
    let place = GroupPlace::of(env, settings, &args.name);
    if place.read()?.is_some() {
        return Err(Error::usage(
            &args.name,
            format!("is a group of this machine already, in {}", place.dir().display()),
        )
        .hint("give the new one another --name"));
    }
    let hosts = hosts(&args.at)?;
    let ports = GroupPorts::choose(args.port, &GroupPlace::all(env, settings))?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.group", args.name)));
    report::say(&format!("A closed group called {}. Its first member is this machine:", args.name));
    tell_change(&place, ports);
    report::say(&format!("  {}: the group's file, a secret; members are told to reach this machine at", out.display()));
    hosts.iter().for_each(|host| report::say(&format!("    {}", host.trim_start_matches('/'))));
    if !args.yes && !super::confirmed("group init", "Make it?")? {
        return Err(Error::usage(&args.name, "not made; nothing was changed"));
    }
    let keys = [random()?, random()?];
    // First of all, so that no group is made whose file has no place.
    refuse_taken(&out)?;
    let compose = |ids: &MemberIds| group_of(args, &hosts, ports, ids, keys);
    let group = place.make(ports, compose)?;
    let written =
        prepared(&out, &group.text()).and_then(|file| file.commit_new().map_err(|e| Error::local(out.display(), e)));
    written.map_err(|e| {
        let own = place.file();
        e.hint(format!("the group is made, and its file is {}: copy that, or leave the group", own.display()))
    })?;
    report::say(&format!("made; {} is for the other machines, by a safe way: who has it is a member", out.display()));
    report::say(&format!("there: pkgswarm group join {}", out.file_name().unwrap_or_default().display()));
    tell_next(env, &place);
    Ok(0)
}

fn join(env: &Env, settings: &Settings, args: &GroupJoinArgs) -> Result<u8, Error> {
    let group = group::read_file(&args.file)?;
    let place = GroupPlace::of(env, settings, &group.name);
    let Some((former, ports)) = place.read()? else { return join_new(env, settings, args, &place, group) };
    if former.swarm_key != group.swarm_key || former.cluster_secret != group.cluster_secret {
        return Err(Error::usage(
            args.file.display(),
            format!("this machine is in another group called {}", group.name),
        )
        .hint(format!("`pkgswarm group leave {}` first", group.name)));
    }
    if former == group {
        report::say(&format!("{}: this machine is a member, and nothing in the file is new", group.name));
        return Ok(0);
    }
    report::say(&format!("{}: this machine is a member; in {} would change:", group.name, place.dir().display()));
    for (what, before, now) in [
        ("members' Kubo nodes", shown(&former.kubo), shown(&group.kubo)),
        ("members' cluster peers", shown(&former.cluster), shown(&group.cluster)),
        ("writers", writers(&former), writers(&group)),
    ] {
        if before != now {
            report::say(&format!("  {what}: {before} -> {now}"));
        }
    }
    if !args.yes && !super::confirmed("group join", "Change it?")? {
        return Err(Error::usage(&group.name, "nothing was changed"));
    }
    place.update(&group, ports)?;
    report::say(&format!(
        "changed; it counts from the next start on: sudo systemctl restart pkgswarm-group@{}",
        group.name
    ));
    Ok(0)
}

fn join_new(
    env: &Env,
    settings: &Settings,
    args: &GroupJoinArgs,
    place: &GroupPlace,
    group: GroupFile,
) -> Result<u8, Error> {
    let ports = GroupPorts::choose(args.port, &GroupPlace::all(env, settings))?;
    report::say(&format!("This machine would become a member of the closed group {}:", group.name));
    tell_change(place, ports);
    report::say(&format!("  pins that count: {}", writers(&group)));
    if !args.yes && !super::confirmed("group join", "Join?")? {
        return Err(Error::usage(&group.name, "not joined; nothing was changed"));
    }
    place.make(ports, |_| Ok(group))?;
    report::say("joined");
    tell_next(env, place);
    Ok(0)
}

fn leave(env: &Env, settings: &Settings, args: &GroupLeaveArgs) -> Result<u8, Error> {
    let place = place_of(env, settings, &args.name)?;
    if !place.is_there() {
        return Err(unknown(env, &args.name));
    }
    match running(settings, &place)? {
        Some(running) if !running.is_empty() => {
            let hint = match env.is_root() {
                true => {
                    format!("sudo systemctl disable --now pkgswarm-group@{0} pkgswarm-group-kubo@{0}", args.name)
                }
                false => format!("end its {} first", running.join(" and its ")),
            };
            return Err(Error::usage(&args.name, "still runs on this machine; nothing was changed").hint(hint));
        }
        Some(_) => {}
        // A damaged one is left as well.
        None => report::say(&format!(
            "warning: {} is damaged, so that it is not known whether its programs run: end them first",
            place.dir().display()
        )),
    }
    report::say(&format!("{} and all that the group's Kubo holds there would go.", place.dir().display()));
    if !args.yes && !super::confirmed("group leave", "Leave the group?")? {
        return Err(Error::usage(&args.name, "not left; nothing was changed"));
    }
    place.remove()?;
    report::say(&format!("left; nothing of the group {} is on this machine now", args.name));
    Ok(0)
}

/// Returns which of a group's programs run; `None` where it is damaged, so that this cannot be told.
fn running(settings: &Settings, place: &GroupPlace) -> Result<Option<Vec<&'static str>>, Error> {
    let (Ok(Some((_, ports))), Ok(ids), Ok(login)) = (place.read(), place.ids(), place.login()) else {
        return Ok(None);
    };
    let interrupted = || Error::new(ErrorKind::Interrupted, "group leave", "interrupted; nothing was changed");
    block_on(group::running(settings, ports, &ids, login)).map(Some).ok_or_else(interrupted)
}

fn status(env: &Env, settings: &Settings, args: &GroupStatusArgs) -> anyhow::Result<u8> {
    let places = match args.names.is_empty() {
        true => GroupPlace::all(env, settings),
        false => args.names.iter().map(|name| place_of(env, settings, name)).collect::<Result<_, _>>()?,
    };
    let mut screen = Screen::new(env);
    if places.is_empty() && !args.json {
        screen.line(match env.is_root() {
            true => "no group on this machine; `pkgswarm group init` begins one",
            false => "no group of this user; `sudo pkgswarm group status` shows those of the system",
        });
    }
    let mut is_well = true;
    for place in &places {
        let asked = match (place.is_there(), place.read()) {
            (false, _) => return Err(unknown(env, place.name()).into()),
            (true, Err(e)) => Err(format!("is damaged: {e}")),
            (true, Ok(None)) => Err("is damaged: it has no group.toml".to_owned()),
            (true, Ok(Some((_, ports)))) => match place.login() {
                Err(e) => Err(format!("is damaged: {e}")),
                Ok(login) => {
                    let asked = block_on(group::status(settings, ports, login));
                    let none = || Error::new(ErrorKind::Interrupted, "group status", "interrupted");
                    asked.ok_or_else(none)?.map_err(|e| format!("does not run: {e}"))
                }
            },
        };
        is_well &= asked.as_ref().is_ok_and(|now| now.peers.1 == 0 && now.held.1 == 0 && now.kubo);
        match args.json {
            true => writeln!(report::out(), "{}", json_of(place.name(), &asked))?,
            false => screen.line(line(place.name(), &asked)),
        }
    }
    screen.show()?;
    Ok(u8::from(!is_well))
}

/// Writes the state of one group, for people.
fn line(name: &str, asked: &Result<GroupStatus, String>) -> String {
    match asked {
        Err(e) => format!("{name}: {e}"),
        Ok(GroupStatus { peers: (here, away), pins, held: (held, failed), root, kubo }) => {
            let away = if *away > 0 { format!(" ({away} more do not answer)") } else { String::new() };
            let failed = if *failed > 0 { format!(", {failed} given up") } else { String::new() };
            let root = &root.to_string()[..16];
            let kubo = if *kubo { "" } else { "; its Kubo does not answer" };
            format!(
                "{name}: {}{away}, {}, {held} held here{failed}, root {root}{kubo}",
                counted(here, "member"),
                counted(pins, "pin")
            )
        }
    }
}

fn json_of(name: &str, asked: &Result<GroupStatus, String>) -> serde_json::Value {
    let known = asked.as_ref().ok();
    json!({
        "group": name, "runs": known.is_some(), "why": asked.as_ref().err(), "kubo": known.map(|now| now.kubo),
        "members": known.map(|now| now.peers.0), "members_away": known.map(|now| now.peers.1),
        "pins": known.map(|now| now.pins), "held": known.map(|now| now.held.0),
        "given_up": known.map(|now| now.held.1), "root": known.map(|now| now.root.to_string()),
    })
}

/// Tells what a group is on this machine.
fn tell_change(place: &GroupPlace, ports: GroupPorts) {
    for line in [
        format!("  {}: a Kubo of its own, in a private network of members", place.ipfs().display()),
        format!("  {}: a peer of ipfs-cluster, which holds what members pin", place.cluster().display()),
        format!(
            "  TCP {} and {}, for members; {} and {}, on 127.0.0.1 alone",
            ports.kubo(),
            ports.cluster(),
            ports.kubo_api(),
            ports.rest()
        ),
        "  Nothing is announced anywhere, and nothing else on this machine changes.".to_owned(),
    ] {
        report::say(&line);
    }
}

/// Tells how the group is started and used.
fn tell_next(env: &Env, place: &GroupPlace) {
    match env.is_root() {
        true => report::say(&format!("next: sudo systemctl enable --now pkgswarm-group@{}", place.name())),
        false => {
            report::say("next, each for as long as this user is a member:");
            report::say(&format!(
                "  IPFS_PATH={} LIBP2P_FORCE_PNET=1 IPFS_TELEMETRY=off ipfs daemon --migrate=true",
                place.ipfs().display()
            ));
            report::say(&format!(
                "  rm -f {}; IPFS_CLUSTER_PATH={} ipfs-cluster-service daemon",
                place.proxy().display(),
                place.cluster().display()
            ));
        }
    }
    let sudo = if env.is_root() { "sudo " } else { "" };
    report::say(&format!("then, to pin for all: {sudo}ipfs --api /unix{} pin add CID", place.proxy().display()));
}

/// Makes the group's file for its first member.
fn group_of(
    args: &GroupInitArgs,
    hosts: &[String],
    ports: GroupPorts,
    ids: &MemberIds,
    [swarm_key, cluster_secret]: [GroupKey; 2],
) -> Result<GroupFile, Error> {
    let at = |port: u16, id: &str| -> Result<Vec<PeerAddress>, Error> {
        let address = |host: &String| format!("{host}/tcp/{port}/p2p/{id}").parse();
        let all: Result<Vec<PeerAddress>, _> = hosts.iter().map(address).collect();
        all.map_err(|e| Error::usage("--at", e))
    };
    let writers = if args.only_writer { vec![ids.cluster.clone()] } else { Vec::new() };
    let (kubo, cluster) = (at(ports.kubo(), &ids.kubo)?, at(ports.cluster(), &ids.cluster)?);
    Ok(GroupFile { name: args.name.clone(), swarm_key, cluster_secret, writers, kubo, cluster })
}

/// Returns the hosts at which members reach this machine, as multiaddresses begin.
fn hosts(given: &[String]) -> Result<Vec<String>, Error> {
    let of = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => format!("/ip4/{v4}"),
        IpAddr::V6(v6) => format!("/ip6/{v6}"),
    };
    if given.is_empty() {
        let own: Vec<String> = group::own_hosts().iter().map(of).collect();
        return match own.is_empty() {
            true => Err(Error::usage("--at", "this machine has no address that others could reach").hint("name one")),
            false => Ok(own),
        };
    }
    let read = |host: &String| match host.parse::<IpAddr>() {
        Ok(ip) => Ok(of(&ip)),
        Err(_) if host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) => {
            Ok(format!("/dns/{host}"))
        }
        Err(_) => Err(Error::usage("--at", format!("expected an address or a name of this machine, found {host:?}"))),
    };
    given.iter().map(read).collect()
}

fn random() -> Result<GroupKey, Error> {
    let mut bytes = [0; 32];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    read.map_err(|e| Error::local("/dev/urandom", e))?;
    Ok(GroupKey(bytes))
}

/// Checks that the file that is to hold the keys can be made there, and leaves nothing.
fn refuse_taken(path: &Path) -> Result<(), Error> {
    if path.symlink_metadata().is_ok() {
        return Err(Error::usage(path.display(), "is there already; nothing was changed")
            .hint("--out names another place for the group's file"));
    }
    prepared(path, "").map(drop)
}

/// Makes that file under a hidden name: it gets its own when all of it is there.
fn prepared(path: &Path, text: &str) -> Result<Replacement, Error> {
    let options = ReplaceOptions { mode: 0o600, owner: None, lasting: Lasting::Named };
    let file = Replacement::prepare(path, &options, |to| to.write_all(text.as_bytes()));
    file.map_err(|e| Error::local(path.display(), e))
}

fn place_of(env: &Env, settings: &Settings, name: &str) -> Result<GroupPlace, Error> {
    match is_publication_name(name) {
        true => Ok(GroupPlace::of(env, settings, name)),
        false => Err(unknown(env, name)),
    }
}

fn unknown(env: &Env, name: &str) -> Error {
    let (whose, sudo) = if env.is_root() { ("this machine", "") } else { ("this user", "sudo ") };
    Error::usage(name, format!("is no group of {whose}")).hint(format!("`{sudo}pkgswarm group status` lists them"))
}

fn shown(addresses: &[PeerAddress]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn writers(group: &GroupFile) -> String {
    match group.writers.is_empty() {
        true => "those of every member".to_owned(),
        false => format!("those of {}", group.writers.join(" ")),
    }
}
