//! The daemon's life: start, main loop, end, and its messages to systemd.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, identity};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::base::env::Env;
use crate::base::error::Error;
use crate::base::fsx;
use crate::config::network::{Network, NetworkError, is_private};
use crate::config::{AskPolicy, Settings, layers};
use crate::daemon::Nearby;
use crate::daemon::library::Library;
use crate::daemon::mend::mend;
use crate::daemon::server::{LookRequest, Server};
use crate::daemon::supervisor::notify;
use crate::daemon::transfers::Transfers;
use crate::net::http::Http;
use crate::net::kubo::Kubo;
use crate::net::socket::SocketListener;
use crate::node::bitswap::UploadLimits;
use crate::node::networks::{self, Allowed, LocalAddress};
use crate::node::shelf::Shelf;
use crate::node::{self, Config};
use crate::report::log;
use crate::store::Store;

/// Interval between checks of the configuration for a change.
const LOOK: Duration = Duration::from_secs(2);

/// Longest wait for the hardware address of the router. A router in reach answers
/// within milliseconds; a question that is lost is repeated after a second.
const ROUTER: Duration = Duration::from_millis(2500);

/// Threads for reading and hashing blocks: with more, a slow disk is not faster.
const BLOCKING: usize = 4;

/// Runs until it is told to end (SIGTERM, SIGINT).
///
/// # Errors
/// When it is root, or misconfigured; when the socket, the store or the network is unavailable.
pub(crate) fn run(env: &Env, flags: &[String], settings: &Settings) -> Result<u8, Error> {
    if env.is_root() {
        return Err(Error::usage("pkgswarm daemon", "does not run as root: it reads what strangers send")
            .hint("systemctl enable --now pkgswarm-daemon.service runs it as a user of its own"));
    }
    log::know_journal(env.var("JOURNAL_STREAM"));
    log::write_up_to(settings.log);
    let allowed = allowed(settings)?;
    let peers = peers(settings)?;
    let dir = settings.store_dir.clone().ok_or_else(|| {
        Error::usage("store.dir", "the daemon needs a store, and this user has no place for one")
            .hint("set store.dir to a directory of this user")
    })?;
    let store = Store::open(&dir, env.uid, settings.store_max)
        .map_err(|e| Error::local(dir.display(), e).hint("store.dir must belong to the user who runs the daemon"))?;
    // Transfers hold parts of the store for as long as the process runs.
    let store: &'static Store = Box::leak(Box::new(store));
    let own = dir.join("node");
    fsx::own_dir(&own, env.uid).map_err(|e| Error::local(own.display(), e))?;
    let key = key(&own.join("key"))?;
    let failed = |e: io::Error| Error::local("pkgswarm daemon", e);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING).build();
    let runtime = runtime.map_err(failed)?;
    runtime.block_on(async {
        // The kernel closes it at the very end; connections waiting to be accepted then delay no other process.
        let listener: &'static SocketListener = Box::leak(Box::new(listener(&settings.socket)?));
        let shelf = Arc::new(Shelf::default());
        let (node, runner) = node::start(Config {
            key,
            port: u16::try_from(settings.lan_port).map_err(|_| Error::usage("lan.port", "is above 65535"))?,
            allowed: allowed.clone(),
            peers,
            peers_most: settings.lan_peers_most,
            upload: UploadLimits { total: settings.lan_upload, each: settings.lan_upload_each },
            shelf,
        })
        .map_err(|e| Error::local("pkgswarm daemon", e))?;
        let library = Library::open(env, settings, &node, store, own.join("shelf"));
        log::info(|| format!("node {}, asked at {}", node.id, settings.socket.display()));
        let (tell_allowed, hear_allowed) = watch::channel(allowed);
        let stores = std::iter::once(store.dir()).chain(settings.share_stores.iter().map(PathBuf::as_path));
        let stores = stores.map(Path::to_path_buf).collect();
        let transfers = Transfers::new(node.clone(), store);
        let (server, looks) = Server::new(node.clone(), transfers, stores);
        let kubo = (settings.kubo != AskPolicy::No).then(|| Kubo::configured(settings, &Http::new(settings.connect)));
        let heard = |kind| signal(kind).map_err(failed);
        let (mut term, mut int) = (heard(SignalKind::terminate())?, heard(SignalKind::interrupt())?);
        // Data from other machines delays no local user.
        let mut running = runner.spawn(hear_allowed, BLOCKING).map_err(failed)?;
        notify("READY=1");
        tokio::select! {
            ended = running.ended() => ended.map_err(failed)?,
            () = server.run(listener) => {}
            () = mend(&node, kubo) => {}
            () = follow_configuration(env, flags, &tell_allowed, &library, looks) => {}
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        notify("STOPPING=1");
        library.save();
        Ok(())
    })?;
    // Does not wait for reading threads that are blocked by a slow disk.
    runtime.shutdown_background();
    Ok(0)
}

/// Lists the private networks of this machine, with the standing of each. Takes seconds where a router does not answer.
///
/// # Errors
/// When the kernel does not list its addresses, or the settings are malformed.
pub(crate) fn here(settings: &Settings) -> Result<Vec<Nearby>, Error> {
    let allowed = allowed(settings)?;
    networks::await_hardware(ROUTER);
    let found =
        networks::here().map_err(|e| Error::local("networks", format!("the kernel does not tell them: {e}")))?;
    let nearby = found.into_iter().filter(LocalAddress::is_lan).map(|here| Nearby {
        network: here.network(),
        address: here.address.addr().to_string(),
        is_trusted: here.is_trusted(&allowed.networks),
        is_chosen: allowed.chooses(&here.interface),
        stands: allowed.stands(&here).words(),
        doubt: here.is_vague().then(|| match here.gateway {
            Some(gateway) => format!("its router {gateway} does not answer"),
            None => "no router is known there".to_owned(),
        }),
        entries: allowed.networks.iter().filter(|network| here.may_be(network)).map(ToString::to_string).collect(),
        interface: here.interface,
    });
    Ok(nearby.collect())
}

/// Reads a network from the text that the user typed.
///
/// # Errors
/// When the text is no network.
pub(crate) fn network(text: &str) -> Result<Network, Error> {
    text.parse().map_err(|e| match e {
        NetworkError::Form => Error::usage("NETWORK", format!("{e}, found {text:?}")),
        NetworkError::Public => Error::usage(text, e),
    })
}

fn allowed(settings: &Settings) -> Result<Allowed, Error> {
    Allowed::of(settings).map_err(|(name, why)| Error::usage(name, why))
}

fn peers(settings: &Settings) -> Result<Vec<(PeerId, Multiaddr)>, Error> {
    let bad = |text: &str| {
        Error::usage("lan.peers", format!("expected a private address over TCP with a peer id, found {text:?}"))
            .hint("like /ip4/10.1.2.3/tcp/4010/p2p/12D3KooW…; `pkgswarm status --long` on that machine shows it")
    };
    let parsed = settings.lan_peers.iter().map(|text| {
        let mut address: Multiaddr = text.parse().map_err(|_| bad(text))?;
        let Some(Protocol::P2p(peer)) = address.pop() else { return Err(bad(text)) };
        let ip = node::gate::tcp_address(&address).filter(|ip| is_private(*ip));
        ip.map(|_| (peer, address)).ok_or_else(|| bad(text))
    });
    parsed.collect()
}

/// Loads or makes the daemon's own key: its peer id stays the same, so neighbours recognise it.
fn key(path: &Path) -> Result<identity::Keypair, Error> {
    let failed = |e: io::Error| Error::local(path.display(), e);
    match std::fs::read(path) {
        Ok(bytes) => {
            let key = identity::Keypair::from_protobuf_encoding(&bytes);
            key.map_err(|e| Error::local(path.display(), e).hint("remove it; the node gets a new one"))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let key = identity::Keypair::generate_ed25519();
            let bytes = key.to_protobuf_encoding().expect("an Ed25519 key can be written");
            fsx::replace(path, &bytes, 0o600).map_err(failed)?;
            Ok(key)
        }
        Err(e) => Err(failed(e)),
    }
}

/// Returns the socket that systemd handed over, else a new one.
fn listener(path: &Path) -> Result<SocketListener, Error> {
    if let Some(listener) = SocketListener::from_stdin() {
        return Ok(listener);
    }
    SocketListener::at(path).map_err(|e| match e.kind() {
        io::ErrorKind::AddrInUse => Error::usage(path.display(), "a daemon is running there already"),
        _ => Error::local(path.display(), format!("cannot listen: {e}"))
            .hint("its directory must exist and belong to the user who runs the daemon"),
    })
}

/// Applies changes of the configuration, such as those of `lan trust` and `shared`, until the process ends.
async fn follow_configuration(
    env: &Env,
    flags: &[String],
    tell: &watch::Sender<Allowed>,
    library: &Library,
    mut looks: mpsc::Receiver<LookRequest>,
) {
    let state = || layers::states(env);
    let mut seen = state();
    let mut tick = tokio::time::interval(LOOK);
    loop {
        let asked = tokio::select! {
            Some(asked) = looks.recv() => Some(asked),
            _ = tick.tick() => None,
        };
        let now = state();
        if seen != now {
            seen = now;
            match Settings::read(env, flags).and_then(|settings| Ok((allowed(&settings)?, settings))) {
                Ok((allowed, settings)) => {
                    tell.send_if_modified(|old| std::mem::replace(old, allowed.clone()) != allowed);
                    log::write_up_to(settings.log);
                    library.follow(settings);
                }
                Err(e) => log::warn(&format!("the configuration is kept as it was: {e}")),
            }
        }
        // The caller may have left.
        let _ = asked.map(|asked| asked.send(()));
    }
}
