//! The endpoint for pacman's own downloader: its lines, its unit, its address, and pacman's way to it.
//!
//! Facts: `doc/facts/pacman.md`, seen with pacman 6.0.2 and 7.1.0. What pacman does with an endpoint that it cannot
//! reach decides the level: refused costs nothing, silence 10 s a file, another program's bytes the transaction.

use super::{Check, Finding, Level};
use crate::base::name::shown;
use crate::haiku::state::SnapshotState;
use crate::host::inspect::Inspection;
use crate::host::inspect::endpoint::{EndpointAnswer, EndpointFacts, ProxyTrap, SOCKET};
use crate::host::inspect::pacman::Downloader;
use crate::host::inspect::units::UnitState;
use crate::index::time;
use crate::lists::pacman::version::Version;

/// In the order in which they are reported.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "endpoint-pacman",
        about: "CacheServer lines need pacman 6.1 or later; an earlier one passes over them with a warning.",
        look: |facts| {
            let lines = facts.endpoint.lines;
            let Some(version) = facts.pacman.version.filter(|version| *version < Version(6, 1, 0) && lines > 0) else {
                return vec![];
            };
            let says = format!("pacman {version} knows no CacheServer, so it never asks the endpoint");
            vec![Finding::warning(says, "update pacman to 6.1 or later, or sudo pkgswarm setup --door xfer")]
        },
    },
    Check {
        name: "endpoint-socket",
        about: "Where pacman.conf names the endpoint, its socket is enabled and open, at the address in endpoint.listen; and \
                the reverse.",
        look: socket,
    },
    Check {
        name: "endpoint-enabled",
        about: "Where pacman.conf names the endpoint, endpoint.enabled is true; else it does not start.",
        look: |facts| {
            let is_it = facts.endpoint.lines > 0 && !facts.endpoint.is_enabled;
            let says = "pacman.conf names the endpoint, and endpoint.enabled is false: it does not start, and pacman \
                        asks its mirrors";
            is_it.then(|| Finding::warning(says, "sudo pkgswarm setup --door cache")).into_iter().collect()
        },
    },
    Check {
        name: "endpoint-address",
        about: "The endpoint's address is not taken by another program, and what listens there answers.",
        look: address,
    },
    Check {
        name: "endpoint-proxy",
        about: "No proxy stands between pacman and the endpoint: libcurl sends even 127.0.0.1 to http_proxy, unless no_proxy \
                has it.",
        look: |facts| match facts.endpoint.lines {
            0 => vec![],
            _ => facts.endpoint.proxies.iter().map(through_proxy).collect(),
        },
    },
    Check {
        name: "endpoint-database",
        about: "The databases that other machines get from the endpoint are what its mirrors have, and not what this machine \
                saw last, because no mirror answers.",
        look: aged,
    },
    Check {
        name: "endpoint-house",
        about: "An endpoint of the house that endpoint.peers names or finds is here, on a trusted network; and where \
                endpoint.announce is set, this one is announced.",
        look: house,
    },
    Check {
        name: "endpoint-haiku",
        about: "The list of each of Haiku's repositories was had by a server not long ago: after max_age without that, pkgman \
                gets error 403.",
        look: haiku_lists,
    },
    Check {
        name: "endpoint-haiku-servers",
        about: "Every server of Haiku's repositories sends a list that is proven.",
        look: haiku_servers,
    },
    Check {
        name: "endpoint-doors",
        about: "XferCommand and CacheServer together: pacman's command line uses XferCommand for everything, front-ends use \
                CacheServer.",
        look: doors,
    },
];

/// Returns true where pacman.conf names it.
fn is_named(endpoint: &EndpointFacts) -> bool {
    endpoint.lines > 0
}

fn socket(facts: &Inspection) -> Vec<Finding> {
    let endpoint = &facts.endpoint;
    let enable = format!("sudo systemctl enable --now {SOCKET}");
    let unit = match &endpoint.socket {
        Some(UnitState::Is(state)) => state.as_str(),
        _ => "missing",
    };
    let is_open = matches!(endpoint.answer, EndpointAnswer::Ours);
    if let (true, Some(at)) = (is_named(endpoint), endpoint.elsewhere()) {
        let says =
            format!("{SOCKET} listens at {at}, and endpoint.listen, which pacman is told, is {}", endpoint.address);
        let mend = format!("write {at} into endpoint.listen, then sudo pkgswarm setup; or systemctl edit {SOCKET}");
        return vec![Finding::warning(says, mend)];
    }
    match (is_named(endpoint), unit) {
        (true, "enabled") if endpoint.answer == EndpointAnswer::Refused => {
            let says = format!(
                "{SOCKET} is enabled and closed: pacman is refused there and asks its mirrors. It closes when the \
                 endpoint does not start"
            );
            let mend = format!("journalctl -u pkgswarm-endpoint.service; then sudo systemctl restart {SOCKET}");
            vec![Finding::warning(says, mend)]
        }
        (true, "enabled") => vec![],
        (true, "missing") if !is_open && endpoint.answer == EndpointAnswer::Refused => {
            let says = format!(
                "pacman.conf names the endpoint at {}, and nothing listens there: pacman asks its mirrors",
                endpoint.address
            );
            vec![Finding::warning(says, "start `pkgswarm endpoint` at boot, or sudo pkgswarm setup --door xfer")]
        }
        (true, "missing") => vec![],
        (true, _) if is_open => {
            let says = format!("{SOCKET} is not enabled: the endpoint ends with the next start of this machine");
            vec![Finding::note(says, enable)]
        }
        (true, state) => {
            let says = format!("pacman.conf names the endpoint, and {SOCKET} is {state}: pacman asks its mirrors");
            vec![Finding::warning(says, enable)]
        }
        (false, "enabled") if !endpoint.is_for_others => {
            let says = format!("{SOCKET} is enabled, and no repository in pacman.conf names it");
            vec![Finding::note(says, "sudo pkgswarm setup --door cache")]
        }
        (false, _) => vec![],
    }
}

fn address(facts: &Inspection) -> Vec<Finding> {
    let at = &facts.endpoint.address;
    match &facts.endpoint.answer {
        EndpointAnswer::Another(name) => {
            let name = if name.is_empty() { "another program".to_owned() } else { format!("another program ({name})") };
            let mend = format!(
                "ss -tlnp 'sport = :{}' names it; or write another port into endpoint.listen and `systemctl edit \
                 {SOCKET}`, then sudo pkgswarm setup",
                at.rsplit(':').next().unwrap_or_default()
            );
            // Its bytes would not stand pacman's checks.
            let level = if is_named(&facts.endpoint) { Level::Error } else { Level::Warning };
            vec![Finding { level, says: format!("{at}, the address of the endpoint, is taken by {name}"), mend }]
        }
        EndpointAnswer::Silent => {
            let says = format!("the endpoint at {at} does not answer: pacman waits 10 s for each file");
            vec![Finding::warning(says, "sudo systemctl restart pkgswarm-endpoint.service")]
        }
        EndpointAnswer::NotAsked | EndpointAnswer::Refused | EndpointAnswer::Ours => vec![],
    }
}

fn through_proxy(trap: &ProxyTrap) -> Finding {
    let ProxyTrap { variable, place, is_for_all } = trap;
    let says = format!("{variable} in {place} has no exception for 127.0.0.1: pacman asks that proxy for the endpoint");
    if *is_for_all {
        return Finding::warning(says, format!("add no_proxy=127.0.0.1 where {variable} is set"));
    }
    Finding::note(
        format!("{says}, where sudo keeps the variable"),
        format!("add no_proxy=127.0.0.1 where {variable} is set; or let sudo drop it, as it does by default"),
    )
}

fn aged(facts: &Inspection) -> Vec<Finding> {
    let of_one = |(repo, at): &(String, u64)| {
        let ago = time::span(facts.now.saturating_sub(*at));
        let says = format!(
            "no mirror of {repo} delivers its database: other machines get the one of {ago} ago, which their pacman \
             cannot tell"
        );
        Finding::warning(says, "sudo pacman -Sy, which tells how the mirrors fail")
    };
    facts.endpoint.aged.iter().map(of_one).collect()
}

fn house(facts: &Inspection) -> Vec<Finding> {
    let EndpointFacts { answer, has_peers, is_to_announce, house, announced, .. } = &facts.endpoint;
    if *answer != EndpointAnswer::Ours {
        return vec![];
    }
    let mut found = Vec::new();
    if *has_peers && house.is_empty() {
        let says =
            "no endpoint of endpoint.peers is on a trusted network that this machine is in: packages come from mirrors";
        found.push(Finding::note(
            says,
            "nothing, away from home; else sudo pkgswarm lan trust, here and on the other machine",
        ));
    }
    if *is_to_announce && announced.is_empty() {
        let says = "endpoint.announce is true, and the endpoint listens at no address of a trusted network: it is announced \
                    nowhere";
        found.push(Finding::warning(
            says,
            "sudo pkgswarm lan trust; endpoint.listen and its socket unit name the address",
        ));
    }
    found
}

fn haiku_lists(facts: &Inspection) -> Vec<Finding> {
    let now = facts.now;
    let of_one = |state: &SnapshotState| {
        let (name, mend) =
            (&state.name, format!("pkgswarm haiku refresh {}, which tells how the servers fail", state.name));
        let Some(age) = state.age(now) else {
            let says = format!("the list of Haiku's repository {name} was never fetched: pkgman gets error 403");
            return Some(Finding::warning(says, mend));
        };
        let (old, most) = (time::span(age), time::span(state.max_age));
        if state.is_out(now) {
            let says = format!(
                "no server of Haiku's repository {name} has had its list for {old}, and max_age is {most}: pkgman gets \
                 error 403"
            );
            return Some(Finding::error(says, mend));
        }
        let is_old = age > state.max_age / 2;
        let says = format!(
            "no server of Haiku's repository {name} has had its list for {old}; after {most} pkgman gets error 403"
        );
        is_old.then(|| Finding::warning(says, mend))
    };
    facts.endpoint.haiku.iter().filter_map(of_one).collect()
}

fn haiku_servers(facts: &Inspection) -> Vec<Finding> {
    let mut found = Vec::new();
    for state in &facts.endpoint.haiku {
        for (server, why) in state.failing() {
            let (url, name) = (shown(&server.url), &state.name);
            let ago = time::span(facts.now.saturating_sub(server.at));
            let says = format!("{url}, a server of Haiku's repository {name}, sent no list {ago} ago: {}", shown(why));
            let mend = format!("pkgswarm haiku refresh {name} asks again; else take it out of haiku.{name}.urls");
            found.push(Finding::warning(says, mend));
        }
    }
    found
}

fn doors(facts: &Inspection) -> Vec<Finding> {
    let Ok(conf) = &facts.pacman.conf else { return vec![] };
    if !is_named(&facts.endpoint) {
        return vec![];
    }
    match Downloader::of(conf) {
        Downloader::BuiltIn => vec![],
        Downloader::Ours(_) => {
            let says = "both doors are set: pacman's command line uses XferCommand for every file, because with it \
                        pacman's own downloader never runs; front-ends of libalpm ask the endpoint";
            let mend = "nothing, if that is meant; sudo pkgswarm setup --door xfer, or --door cache, keeps one of them";
            vec![Finding::note(says, mend)]
        }
        Downloader::Other(command) => {
            let program = command.split_whitespace().next().unwrap_or_default();
            let says = format!(
                "XferCommand is {program}, so pacman's own downloader never runs: each file that the endpoint does \
                 not have costs a call and 2 s"
            );
            vec![Finding::warning(
                says,
                "sudo pkgswarm setup --door cache takes the XferCommand out, --door both replaces it",
            )]
        }
    }
}
