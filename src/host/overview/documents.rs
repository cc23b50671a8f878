//! JSON: the documents of `status`, `stats` and `doctor`, and one with all of them for other programs.

use serde_json::{Value, json};

use super::given::GivenSums;
use super::glance::Glance;
use super::{Examined, Overview, RunningFile};
use crate::haiku::state::SnapshotState;
use crate::host::doctor::{Check, Finding, Level};
use crate::host::inspect::Inspection;
use crate::host::inspect::daemon::DaemonView;
use crate::host::inspect::endpoint::{EndpointAnswer, EndpointFacts};
use crate::host::inspect::keep::ShareFacts;
use crate::host::inspect::kubo::KuboView;
use crate::host::inspect::pacman::Downloader;
use crate::pins::keeper::bytes_of;
use crate::store::stats::Stats;

/// Returns all of an overview: the document of `status`, with those of `stats` and `doctor` as members of it.
pub(crate) fn whole(overview: &Overview) -> Value {
    let glance = Glance { settings: &overview.settings, found: &overview.found };
    let mut document = status(&glance);
    let more = json!({
        "machine": overview.machine,
        "version": env!("CARGO_PKG_VERSION"),
        "at": overview.found.now,
        "running": overview.running.iter().map(of_file).collect::<Vec<_>>(),
        "stats": overview.traffic.lately.as_ref().map(|sums| stats(sums, &GivenSums::of(&overview.settings, &overview.found))).ok(),
        "doctor": examined(&overview.examined),
    });
    if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
        document.extend(more);
    }
    document["endpoint"]["files"] = overview.endpoint.files.into();
    document["endpoint"]["sent"] = overview.endpoint.sent.into();
    document
}

fn of_file(file: &RunningFile) -> Value {
    json!({"name": file.name, "size": file.size, "arrived": file.arrived, "what": file.what})
}

fn examined(examined: &Examined) -> Value {
    let found: Vec<_> = examined.found.iter().map(|(check, findings)| (*check, findings.as_slice())).collect();
    let mut document = doctor(&found);
    if let Value::Object(document) = &mut document {
        document.insert("at".to_owned(), examined.at.into());
    }
    document
}

/// Returns what each check found.
pub(crate) fn doctor(found: &[(&Check, &[Finding])]) -> Value {
    let is_ill = found.iter().flat_map(|(_, findings)| *findings).any(|finding| finding.level > Level::Note);
    let checks = found.iter().map(|(check, findings)| {
        let findings = findings.iter().map(|f| json!({"level": f.level, "says": f.says, "mend": f.mend}));
        json!({"check": check.name, "about": check.about, "found": findings.collect::<Vec<_>>()})
    });
    json!({"healthy": !is_ill, "checks": checks.collect::<Vec<_>>()})
}

/// Returns the sums of the journal, and what is given and kept.
pub(crate) fn stats(stats: &Stats, given: &GivenSums) -> Value {
    let sources: Vec<_> = stats
        .sources
        .iter()
        .map(|(source, sent)| json!({"source": source, "bytes": sent.bytes, "files": sent.files}))
        .collect();
    let days: Vec<_> = stats.days.iter().map(|(day, sums)| json!({"day": day, "delivered": sums.delivered, "here": sums.here(), "received": sums.received})).collect();
    let mut document = json!({
        "since": stats.since,
        "files": stats.files,
        "delivered": stats.delivered,
        "received": stats.received(),
        "here": stats.here(),
        "sources": sources,
        "days": days,
        "saved": {
            "mirror_bytes": i64::try_from(stats.saved()).unwrap_or(i64::MAX),
            "seconds": stats.seconds_saved(),
            "measure": stats.yardstick().map(|mirrors| json!({
                "wait_ms": mirrors.wait,
                "bytes_per_second": mirrors.rate,
                "files": mirrors.files,
            })),
        },
    });
    if let (Value::Object(document), Value::Object(more)) = (&mut document, given.document()) {
        document.extend(more);
    }
    document
}

/// Returns what is in use.
pub(crate) fn status(glance: &Glance<'_>) -> Value {
    let Inspection { now, pacman, stores, updates, indexes, kubo, daemon, endpoint, keep, .. } = glance.found;
    let indexes = indexes.iter().map(|index| {
        let manifest = index.manifest();
        let expires = manifest.map(|manifest| manifest.expires);
        json!({
            "name": index.config.name, "repos": index.config.repos,
            "sequence": manifest.map(|manifest| manifest.sequence),
            "created": manifest.map(|manifest| manifest.created), "expires": expires, "due": index.is_due,
            "stale": index.stale.as_ref().map(ToString::to_string),
            "expired": expires.is_some_and(|expires| expires < *now),
        })
    });
    let stores = stores.iter().map(|store| {
        json!({
            "dir": store.dir.to_string_lossy(), "files": store.held.files, "bytes": store.held.bytes,
            "partial": store.held.partial, "max": glance.settings.store_max, "kubo_cached": store.kubo_cached,
            "kubo_keep": glance.settings.kubo_keep,
        })
    });
    let checked = (updates.checked > 0).then_some(updates.checked);
    let (uses, why) = match pacman.conf.as_ref().map(Downloader::of) {
        Ok(Downloader::Ours(_)) => (Some(true), None),
        Ok(Downloader::BuiltIn) => (Some(!endpoint.repos.is_empty()), None),
        Ok(Downloader::Other(command)) => (Some(false), Some(command)),
        Err(why) => (None, Some(why.clone())),
    };
    json!({
        "pacman": {"uses": uses, "why": why},
        "kubo": of_kubo(kubo),
        "daemon": of_daemon(daemon),
        "endpoint": of_endpoint(endpoint),
        "haiku": endpoint.haiku.iter().map(|state| of_haiku(state, *now)).collect::<Vec<_>>(),
        "indexes": indexes.collect::<Vec<_>>(),
        "keep": keep.shares.iter().map(of_share).collect::<Vec<_>>(),
        "stores": stores.collect::<Vec<_>>(),
        "updates": {"checked": checked, "pending": updates.updates},
    })
}

fn of_share(share: &ShareFacts) -> Value {
    let ShareFacts { keep, state } = share;
    let last = state.as_ref().map(|state| &state.last);
    json!({
        "name": keep.name, "quota": keep.quota, "files": state.as_ref().map(|state| state.files.len()),
        "bytes": state.as_ref().map(|state| bytes_of(&state.files)),
        "last": last.map(|last| last.at).filter(|at| *at > 0), "failed": last.and_then(|last| last.failed.clone()),
    })
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

/// Returns the endpoint's address and use; `answers` is null where it was not asked.
fn of_endpoint(endpoint: &EndpointFacts) -> Value {
    let (answers, why) = match &endpoint.answer {
        EndpointAnswer::NotAsked => (None, None),
        EndpointAnswer::Ours => (Some(true), None),
        EndpointAnswer::Refused => (Some(false), Some("nothing listens there".to_owned())),
        EndpointAnswer::Silent => (Some(false), Some("it does not answer".to_owned())),
        EndpointAnswer::Another(name) => (Some(false), Some(format!("another program listens there: {name}"))),
    };
    json!({
        "enabled": endpoint.is_enabled, "address": endpoint.address, "repos": endpoint.repos, "answers": answers,
        "why": why, "aged": endpoint.aged.iter().map(|(repo, at)| json!({"repo": repo, "at": at})).collect::<Vec<_>>(),
        "house": endpoint.house.iter().map(|(at, by)| json!({"at": at, "by": by})).collect::<Vec<_>>(),
        "announced": endpoint.announced,
    })
}

/// Returns a repository of Haiku's; `served` is false where pkgman gets an error.
fn of_haiku(state: &SnapshotState, now: u64) -> Value {
    let mut document = json!(state);
    document["served"] = json!(!state.is_out(now));
    document
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
