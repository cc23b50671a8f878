//! `pkgswarm status`: whether pacman uses this program, what is shared with which neighbours, pending updates, stores,
//! indexes, Kubo. Bounded in time, changes nothing.

use std::io::Write as _;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::base::env::Env;
use crate::cmd::cli::StatusArgs;
use crate::cmd::screen::Screen;
use crate::config::Settings;
use crate::host::inspect::Inspection;
use crate::host::inspect::daemon::DaemonView;
use crate::host::inspect::kubo::KuboView;
use crate::host::inspect::pacman::Downloader;
use crate::pacman::handover::{self, HandoverTarget};

/// Runs the command.
pub(crate) fn run(env: &Env, settings: &Settings, args: &StatusArgs) -> anyhow::Result<u8> {
    handover::through(env, settings, &HandoverTarget::Nowhere, |settings| run_here(env, settings, args))
}

fn run_here(env: &Env, settings: &Settings, args: &StatusArgs) -> anyhow::Result<u8> {
    let status = Status { settings, found: Inspection::glance(env, settings, SystemTime::now()) };
    match args.json {
        true => writeln!(crate::report::out(), "{}", status.as_json())?,
        false => status.page(Screen::new(env), args.long).show()?,
    }
    Ok(0)
}

mod page;

pub(crate) use page::versions;

/// What was found, and the settings that it is held against.
struct Status<'a> {
    settings: &'a Settings,
    found: Inspection,
}

impl Status<'_> {
    fn as_json(&self) -> Value {
        let Inspection { now, pacman, stores, updates, indexes, kubo, daemon, .. } = &self.found;
        let indexes = indexes.iter().map(|index| {
            let manifest = index.manifest();
            let expires = manifest.map(|manifest| manifest.expires);
            json!({
                "name": index.config.name, "repos": index.config.repos,
                "sequence": manifest.map(|manifest| manifest.sequence),
                "created": manifest.map(|manifest| manifest.created), "expires": expires, "due": index.is_due,
                "expired": expires.is_some_and(|expires| expires < *now),
            })
        });
        let stores = stores.iter().map(|store| {
            json!({
                "dir": store.dir.to_string_lossy(), "files": store.held.files, "bytes": store.held.bytes,
                "partial": store.held.partial, "max": self.settings.store_max, "kubo_cached": store.kubo_cached,
                "kubo_keep": self.settings.kubo_keep,
            })
        });
        let checked = (updates.checked > 0).then_some(updates.checked);
        let (uses, why) = match pacman.conf.as_ref().map(Downloader::of) {
            Ok(Downloader::Ours(_)) => (Some(true), None),
            Ok(Downloader::BuiltIn) => (Some(false), None),
            Ok(Downloader::Other(command)) => (Some(false), Some(command)),
            Err(why) => (None, Some(why.clone())),
        };
        json!({
            "pacman": {"uses": uses, "why": why},
            "kubo": of_kubo(kubo),
            "daemon": of_daemon(daemon),
            "indexes": indexes.collect::<Vec<_>>(),
            "stores": stores.collect::<Vec<_>>(),
            "updates": {"checked": checked, "pending": updates.updates},
        })
    }
}

fn of_kubo(kubo: &KuboView) -> Value {
    match kubo.told() {
        Err(why) if matches!(kubo, KuboView::NotAsked(_)) => json!({"asked": false, "why": why}),
        Err(why) => json!({"asked": true, "answers": false, "why": why}),
        Ok((version, answers)) => {
            let lan = kubo.neighbours().into_iter().map(|(peer, at)| json!({"id": peer.id, "address": at}));
            json!({
                "asked": true, "answers": true, "version": version, "peers": answers.peers.as_ref().map_or(0, Vec::len),
                "lan": lan.collect::<Vec<_>>(), "used": answers.repo.map(|repo| repo.used),
                "most": answers.repo.map(|repo| repo.most), "pinned": answers.pinned,
            })
        }
    }
}

/// Returns the daemon's own report, and whether it runs.
fn of_daemon(daemon: &DaemonView) -> Value {
    match daemon {
        DaemonView::NotAsked => json!({"asked": false, "why": "lan.enabled is false"}),
        DaemonView::NotRunning => json!({"asked": true, "answers": false, "why": "does not run"}),
        DaemonView::Silent(why) => json!({"asked": true, "answers": false, "why": why}),
        DaemonView::Answers(_, said) => {
            let mut document = json!({"asked": true, "answers": true});
            if let (Value::Object(document), Value::Object(said)) = (&mut document, said.clone()) {
                document.extend(said);
            }
            document
        }
    }
}
