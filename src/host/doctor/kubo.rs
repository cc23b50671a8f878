//! Kubo's traps: the problems that its users report, as far as they can be seen from here.
//!
//! Facts: `doc/facts/kubo.md`.

use serde_json::Value;

use super::{Check, Finding};
use crate::config::value::show_size;
use crate::host::inspect::kubo::{KuboAnswers, KuboGift, KuboUnasked, KuboView};
use crate::net::kubo::KuboErrorKind;

/// `kubo.api` accepts every address that `ipfs` writes to that file, sockets included.
const AT_ITS_ADDRESS: &str = "set kubo.api in /etc/pkgswarm/config.toml to its address, as `cat ~/.ipfs/api` prints it";

const SETUP: &str = "sudo pkgswarm setup --only kubo";

/// A check of a daemon that answers.
macro_rules! of_daemon {
    ($look:expr) => {
        |facts| match &facts.kubo {
            KuboView::Here(answers) => {
                let look: fn(&KuboAnswers) -> Option<Finding> = $look;
                look(answers).into_iter().collect()
            }
            _ => vec![],
        }
    };
}

/// In the order in which they are reported.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "kubo-daemon",
        about: "A Kubo daemon answers, where kubo.enabled demands one.",
        look: |facts| match &facts.kubo {
            KuboView::Gone { wanted: true, why } => vec![Finding::warning(
                format!("kubo.enabled is true, and {why}: mirrors serve instead"),
                "sudo systemctl start ipfs, or `pkgswarm config kubo.api` to see the address that is tried",
            )],
            KuboView::NotAsked(KuboUnasked::BehindProxy) => vec![Finding::note(
                "the environment sets a proxy, so Kubo is not asked: its connections would go around the proxy",
                "set kubo.enabled = true in /etc/pkgswarm/config.toml to ask it anyway",
            )],
            _ => vec![],
        },
    },
    Check {
        name: "kubo-rpc",
        about: "Kubo's RPC lets pkgswarm in; indexes and kubo.keep need it.",
        look: of_daemon!(|kubo| {
            let (fault, mend) = match &kubo.version {
                Some(Ok(_)) => return None,
                Some(Err(fault)) if fault.kind == KuboErrorKind::Forbidden => refused(kubo, &fault.text),
                Some(Err(fault)) => (fault.text.clone(), AT_ITS_ADDRESS.to_owned()),
                None => ("no answer".to_owned(), AT_ITS_ADDRESS.to_owned()),
            };
            let says = format!(
                "Kubo's RPC at {} is unusable: {fault}; indexes come by other ways, kubo.keep has no effect",
                kubo.api
            );
            Some(Finding::warning(says, mend))
        }),
    },
    Check {
        name: "kubo-gateway",
        about: "The program at kubo.gateway is Kubo's gateway, and not another one on the popular port 8080.",
        look: of_daemon!(|kubo| {
            let fault =
                kubo.gateway.as_ref().map_or(Some("no answer"), |gateway| gateway.as_ref().err().map(|f| &*f.text))?;
            let says = format!("{} is not Kubo's gateway ({fault}): no file comes from Kubo", kubo.gateway_url);
            Some(Finding::warning(
                says,
                "set kubo.gateway in /etc/pkgswarm/config.toml to its address (`cat ~/.ipfs/gateway`)",
            ))
        }),
    },
    Check {
        name: "kubo-version",
        about: "Kubo is 0.43 or later: 0.40 learned what indexes need, 0.41 ends a crash, 0.43 ends stalled transfers.",
        look: of_daemon!(|kubo| {
            let (major, minor) = kubo.release().filter(|version| *version < (0, 43))?;
            let mend = "update Kubo to 0.43 or later";
            Some(match minor {
                ..40 => {
                    Finding::warning(format!("Kubo {major}.{minor} is too old to look up or publish an index"), mend)
                }
                40 => Finding::warning("Kubo 0.40 can crash when it looks up providers", mend),
                _ => Finding::note(format!("Kubo {major}.{minor} can stall when a peer connects again"), mend),
            })
        }),
    },
    Check {
        name: "kubo-api-open",
        about: "Kubo's RPC listens on this machine only: every client that reaches it controls the daemon.",
        look: of_daemon!(|kubo| {
            let open = addresses(&kubo.config, "/Addresses/API").into_iter().find(|address| !is_local(address))?;
            let guarded = at(&kubo.config, "/API/Authorizations").is_object();
            if guarded {
                return None;
            }
            let says =
                format!("Kubo's RPC listens on {open}: every client that reaches that address controls the daemon");
            Some(Finding::error(says, "ipfs config Addresses.API /ip4/127.0.0.1/tcp/5001, and restart Kubo"))
        }),
    },
    Check {
        name: "kubo-gateway-open",
        about: "Kubo's gateway listens on this machine only: others could have it fetch any file.",
        look: of_daemon!(|kubo| {
            let open = addresses(&kubo.config, "/Addresses/Gateway").into_iter().find(|address| !is_local(address))?;
            let says =
                format!("Kubo's gateway listens on {open}: others can have this machine fetch and serve anything");
            Some(Finding::warning(says, "ipfs config Addresses.Gateway /ip4/127.0.0.1/tcp/8080, and restart Kubo"))
        }),
    },
    Check {
        name: "kubo-deserialized",
        about: "The gateway serves whole files; without DeserializedResponses it answers 406.",
        look: of_daemon!(|kubo| {
            (at(&kubo.config, "/Gateway/DeserializedResponses") == &Value::Bool(false)).then(|| {
                let says =
                    "Gateway.DeserializedResponses is false: the gateway serves no files, and none come from Kubo";
                Finding::warning(says, "ipfs config --json Gateway.DeserializedResponses true, and restart Kubo")
            })
        }),
    },
    Check {
        name: "kubo-no-fetch",
        about: "The gateway may fetch files that are not here yet.",
        look: of_daemon!(|kubo| {
            (at(&kubo.config, "/Gateway/NoFetch") == &Value::Bool(true)).then(|| {
                let says = "Gateway.NoFetch is true: Kubo serves only files that it has already, and asks no peer";
                Finding::warning(says, "ipfs config --json Gateway.NoFetch false, and restart Kubo")
            })
        }),
    },
    Check {
        name: "kubo-peers",
        about: "Kubo is connected to a peer.",
        look: of_daemon!(|kubo| {
            kubo.peers.as_ref().is_some_and(Vec::is_empty).then(|| {
                let says = "Kubo is connected to no peer: it has only the files on its disk";
                Finding::warning(
                    says,
                    "ipfs swarm peers shows them; a firewall, or a daemon that just started, is a reason",
                )
            })
        }),
    },
    Check {
        name: "kubo-mdns",
        about: "Kubo finds peers on the local network; profile `server` switches that off.",
        look: of_daemon!(|kubo| {
            (at(&kubo.config, "/Discovery/MDNS/Enabled") == &Value::Bool(false)).then(|| {
                let says = "Discovery.MDNS.Enabled is false: Kubo does not find machines of the local network";
                Finding::warning(says, "ipfs config --json Discovery.MDNS.Enabled true, and restart Kubo")
            })
        }),
    },
    Check {
        name: "kubo-filters",
        about: "Kubo may talk to private addresses; profile `server` filters them.",
        look: of_daemon!(|kubo| {
            let filters = addresses(&kubo.config, "/Swarm/AddrFilters");
            let private = ["/ip4/10.", "/ip4/192.168.", "/ip4/172.16.", "/ip4/169.254.", "/ip6/fc00:", "/ip6/fe80:"];
            let filter = filters.iter().find(|filter| private.iter().any(|start| filter.starts_with(start)))?;
            let says = format!("Swarm.AddrFilters has {filter}: Kubo does not talk to machines of the local network");
            Some(Finding::warning(says, "ipfs config profile apply local-discovery, and restart Kubo"))
        }),
    },
    Check {
        name: "kubo-storage",
        about: "Kubo stays within Datastore.StorageMax.",
        look: of_daemon!(|kubo| {
            let repo = kubo.repo.filter(|repo| repo.used > repo.most)?;
            let (used, most) = (show_size(repo.used), show_size(repo.most));
            let says = format!(
                "Kubo holds {used}, and Datastore.StorageMax is {most}: it is no limit without garbage collection"
            );
            Some(Finding::warning(says, "ipfs repo gc now, and start the daemon with --enable-gc"))
        }),
    },
    Check {
        name: "kubo-gc",
        about: "The daemon was started with --enable-gc; without it, cached files stay for ever. pkgswarm removes its own.",
        look: of_daemon!(|kubo| {
            (kubo.collects == Some(false)).then(|| {
                let says = "the Kubo daemon runs without --enable-gc: files that other programs had it cache are never removed";
                Finding::note(says, "sudo systemctl edit ipfs, and add --enable-gc to its ExecStart")
            })
        }),
    },
    Check {
        name: "kubo-start-provide",
        about: "Provide.DHT.Interval is not 0 without Provide.Enabled: Kubo from 0.42 on does not start like that.",
        look: of_daemon!(|kubo| {
            let interval = at(&kubo.config, "/Provide/DHT/Interval").as_str()?;
            let is_zero = matches!(interval, "0" | "0s" | "0h" | "0m");
            (is_zero && !at(&kubo.config, "/Provide/Enabled").is_boolean()).then(|| {
                let says =
                    "Provide.DHT.Interval is 0 and Provide.Enabled is not set: from 0.42 on Kubo refuses to start";
                Finding::warning(says, "ipfs config --json Provide.Enabled false")
            })
        }),
    },
    Check {
        name: "kubo-start-holepunch",
        about: "Hole punching is not on without the relay client: Kubo from 0.43 on does not start like that.",
        look: of_daemon!(|kubo| {
            let set = |pointer, value| at(&kubo.config, pointer) == &Value::Bool(value);
            (set("/Swarm/EnableHolePunching", true) && set("/Swarm/RelayClient/Enabled", false)).then(|| {
                let says =
                    "Swarm.EnableHolePunching is true without Swarm.RelayClient: from 0.43 on Kubo refuses to start";
                Finding::warning(says, "ipfs config --json Swarm.EnableHolePunching false")
            })
        }),
    },
    Check {
        name: "kubo-pubsub",
        about: "Pubsub is off before Kubo 0.43, where any peer can drive such a node out of memory (CVE-2026-46679).",
        look: of_daemon!(|kubo| {
            let on = |pointer| at(&kubo.config, pointer) == &Value::Bool(true);
            let pubsub = on("/Ipns/UsePubsub") || on("/Pubsub/Enabled");
            kubo.release().filter(|version| *version < (0, 43) && pubsub).map(|(major, minor)| {
                let says = format!(
                    "pubsub is on in Kubo {major}.{minor}: any peer can drive it out of memory (CVE-2026-46679)"
                );
                Finding::warning(says, "update Kubo to 0.43 or later, or switch off Pubsub.Enabled and Ipns.UsePubsub")
            })
        }),
    },
    Check {
        name: "kubo-announce",
        about: "Kubo does not announce every block that it caches to the whole network, as it does by default.",
        look: of_daemon!(|kubo| {
            let strategy = at(&kubo.config, "/Provide/Strategy").as_str().unwrap_or("all");
            let all = !at(&kubo.config, "/Provide/Enabled").is_boolean() && matches!(strategy, "" | "all" | "flat");
            // What kubo.share gives is found in no other way.
            (kubo.config.is_object() && all && kubo.gives != KuboGift::Installed).then(|| {
                let says = "Kubo announces every block that it caches to the whole network: others see what is here, at a \
                            constant cost in traffic";
                Finding::note(says, SETUP)
            })
        }),
    },
    Check {
        name: "kubo-keeps",
        about: "Kubo announces the files of a share that is kept, and those that kubo.share gives, so that others find them.",
        look: of_daemon!(|kubo| {
            let is_off = at(&kubo.config, "/Provide/Enabled") == &Value::Bool(false);
            let strategy = at(&kubo.config, "/Provide/Strategy").as_str().unwrap_or("");
            let (files, lacks, wish) = match kubo.gives {
                KuboGift::Nothing => return None,
                KuboGift::Shares => ("that are kept", strategy == "roots", "pinned+entities"),
                KuboGift::Installed => ("that kubo.share gives", !matches!(strategy, "" | "all" | "flat"), "all"),
            };
            (is_off || lacks).then(|| {
                let says = format!("Kubo announces none of the files {files}: only machines that are connected find them");
                let hint = match is_off {
                    true => "sudo pkgswarm setup --only kubo, where setup turned it off; else ipfs config --json Provide.Enabled \
                             true; then restart Kubo"
                        .to_owned(),
                    false => format!("ipfs config Provide.Strategy {wish}, then restart Kubo"),
                };
                Finding::warning(says, hint)
            })
        }),
    },
    Check {
        name: "kubo-connections",
        about: "Kubo keeps few connections, as home routers need.",
        look: of_daemon!(|kubo| {
            (kubo.config.is_object() && !at(&kubo.config, "/Swarm/ConnMgr/HighWater").is_number())
                .then(|| Finding::note("Kubo keeps up to 96 connections, which overloads some home routers", SETUP))
        }),
    },
    Check {
        name: "kubo-routing",
        about: "Kubo asks the DHT and does not serve it.",
        look: of_daemon!(|kubo| {
            let kind = at(&kubo.config, "/Routing/Type").as_str().unwrap_or("auto");
            (kubo.config.is_object() && matches!(kind, "" | "auto")).then(|| {
                let says = "Kubo serves the DHT where it can be reached (Routing.Type auto): processor time and traffic for \
                            strangers";
                Finding::note(says, SETUP)
            })
        }),
    },
    Check {
        name: "kubo-nat",
        about: "Kubo opens no port in the router, unless it gives files to others.",
        look: of_daemon!(|kubo| {
            let off = at(&kubo.config, "/Swarm/DisableNatPortMap") == &Value::Bool(true);
            (kubo.config.is_object() && !off && kubo.gives == KuboGift::Nothing)
                .then(|| Finding::note("Kubo opens its port 4001 in the router (UPnP), to the whole internet", SETUP))
        }),
    },
    Check {
        name: "kubo-memory",
        about: "Kubo's network part has a limit below its default, half of the memory.",
        look: of_daemon!(|kubo| {
            let limit = at(&kubo.config, "/Swarm/ResourceMgr/MaxMemory");
            (kubo.config.is_object() && (limit.is_null() || limit == ""))
                .then(|| Finding::note("Kubo's network part may use half of this machine's memory", SETUP))
        }),
    },
    Check {
        name: "kubo-telemetry",
        about: "Telemetry is off; Kubo 0.37 to 0.43.0 send it unless told not to, later ones do not.",
        look: of_daemon!(|kubo| {
            // 0.43.0 went out with its makers' address after all; 0.43.1 has none.
            let sends = kubo.patch().is_some_and(|version| ((0, 37, 0)..(0, 43, 1)).contains(&version));
            let off = at(&kubo.config, "/Plugins/Plugins/telemetry/Config/Mode") == "off"
                || at(&kubo.config, "/Plugins/Plugins/telemetry/Disabled") == &Value::Bool(true);
            (sends && !off && kubo.config.is_object()).then(|| {
                let mend =
                    "update Kubo to 0.43.1, or ipfs config --json Plugins.Plugins.telemetry.Config.Mode '\"off\"'";
                Finding::note("this Kubo sends telemetry to its makers, unless IPFS_TELEMETRY=off is set for it", mend)
            })
        }),
    },
    Check {
        name: "kubo-phones-out",
        about: "Kubo asks no central servers: AutoConf fetches a file, delegated routers see which CIDs are wanted.",
        look: of_daemon!(|kubo| {
            let auto = at(&kubo.config, "/AutoConf/Enabled") != &Value::Bool(false);
            let routers = at(&kubo.config, "/Routing/DelegatedRouters");
            let routed = routers.as_array().is_none_or(|routers| !routers.is_empty());
            (kubo.config.is_object() && auto && routed).then(|| {
                let says = "Kubo asks central HTTP routers for CIDs, and fetches the list of these routers (AutoConf); they see \
                            which CIDs are wanted here";
                let mend = "ipfs config profile apply autoconf-off && ipfs config --json Routing.DelegatedRouters '[]'; \
                            less is found then";
                Finding::note(says, mend)
            })
        }),
    },
];

/// Describes a refusal of the RPC, and the fix.
fn refused(kubo: &KuboAnswers, said: &str) -> (String, String) {
    match &kubo.token_file {
        None => (
            "it refuses (API.Authorizations)".to_owned(),
            "put the AuthSecret of an entry of API.Authorizations (bearer:… or basic:…) into a file that the users that run \
             pkgswarm can read and others cannot, and set kubo.token_file in /etc/pkgswarm/config.toml to its path"
                .to_owned(),
        ),
        // The file could not be read, or holds no secret: the text names the file.
        Some(file) if said.starts_with("kubo.token_file") => {
            let mend = format!("write one line like bearer:TOKEN into {}, readable by this user", file.display());
            (said.to_owned(), mend)
        }
        Some(file) => (
            format!("it refuses the secret in {} (API.Authorizations)", file.display()),
            "ipfs config API.Authorizations shows the permissions; AllowedPaths needs \"/api/v0\"".to_owned(),
        ),
    }
}

fn at<'a>(config: &'a Value, pointer: &str) -> &'a Value {
    config.pointer(pointer).unwrap_or(&Value::Null)
}

/// Returns one address, or a list of them.
fn addresses(config: &Value, pointer: &str) -> Vec<String> {
    match at(config, pointer) {
        Value::String(one) => vec![one.clone()],
        Value::Array(many) => many.iter().filter_map(|one| Some(one.as_str()?.to_owned())).collect(),
        _ => vec![],
    }
}

/// Returns true when only this machine can reach the multiaddr.
fn is_local(address: &str) -> bool {
    ["/ip4/127.", "/ip6/::1/", "/unix/", "/dns/localhost/", "/dns4/localhost/", "/dns6/localhost/"]
        .iter()
        .any(|start| address.starts_with(start))
}
