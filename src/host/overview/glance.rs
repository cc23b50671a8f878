//! What a user asks first, each answered in a line: does pacman use it, what is shared, which updates wait, what is kept.

use crate::base::name::shown;
use crate::config::Settings;
use crate::config::value::show_size;
use crate::haiku::state::SnapshotState;
use crate::host::inspect::Inspection;
use crate::host::inspect::daemon::{DaemonReport, DaemonView, NetworkView};
use crate::host::inspect::endpoint::EndpointAnswer;
use crate::host::inspect::index::IndexFacts;
use crate::host::inspect::keep::ShareFacts;
use crate::host::inspect::kubo::KuboView;
use crate::host::inspect::pacman::Downloader;
use crate::host::inspect::store::StoreUse;
use crate::index::stale::Staleness;
use crate::index::time;
use crate::pacman::prefetch::choose::LeftOut;
use crate::pacman::prefetch::state::UpdateStanding;
use crate::pins::keeper::bytes_of;
use crate::report::cell::Cell;
use crate::report::columns::Tone;
use crate::report::counted;

/// Ages below this, in seconds, are `just now`.
const NOW: u64 = 120;

/// What was found, and the settings that it is held against.
pub(crate) struct Glance<'a> {
    /// The settings in use.
    pub(crate) settings: &'a Settings,
    /// What was found.
    pub(crate) found: &'a Inspection,
}

/// A neighbour as people are told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ToldNeighbour {
    /// Its address.
    pub(crate) address: String,
    /// Its program.
    pub(crate) what: String,
    /// Bytes received from it and sent to it; `None` for a peer of Kubo alone.
    pub(crate) moved: Option<(u64, u64)>,
    /// Its peer id.
    pub(crate) id: String,
}

impl Glance<'_> {
    /// Tells whether pacman downloads with this program.
    pub(crate) fn pacman(&self) -> Cell {
        match self.found.pacman.conf.as_ref().map(Downloader::of) {
            Ok(Downloader::Ours(_)) => Cell::of("uses pkgswarm", Tone::Good),
            Ok(Downloader::BuiltIn) if !self.found.endpoint.repos.is_empty() => {
                Cell::of("asks the endpoint", Tone::Good)
            }
            Ok(Downloader::BuiltIn) => Cell::of("downloads by itself", Tone::Poor).next("sudo pkgswarm setup"),
            Ok(Downloader::Other(command)) => {
                Cell::of(format!("uses another program: {command}"), Tone::Poor).next("sudo pkgswarm setup")
            }
            Err(why) => Cell::of(format!("not known: {why}"), Tone::Poor),
        }
    }

    /// Tells whether the endpoint answers, and for which repositories pacman asks it.
    pub(crate) fn endpoint(&self) -> Cell {
        let found = &self.found.endpoint;
        let named = match found.repos.len() {
            0 => "no repository in pacman.conf names it".to_owned(),
            _ => format!("for {}", found.repos.join(", ")),
        };
        let wrong = |what: String, tone| Cell::of(what, tone).then(format!("; {named}")).next("pkgswarm doctor");
        match &found.answer {
            EndpointAnswer::NotAsked => "off".into(),
            EndpointAnswer::Ours => {
                let mut on = Cell::of("on", Tone::Good).then(format!(" at {}: {named}", found.address));
                for (at, by) in &found.house {
                    on = on.then(format!("; asks {} first ({})", shown(at), shown(by)));
                }
                for at in &found.announced {
                    on = on.then(format!("; announced at {}", shown(at)));
                }
                found.aged.iter().fold(on, |on, (repo, at)| {
                    let ago = time::span(self.found.now.saturating_sub(*at));
                    on.then("; ").and(format!("{repo}.db is {ago} old, and no mirror delivers it"), Tone::Poor)
                })
            }
            EndpointAnswer::Refused => wrong(format!("off: nothing listens at {}", found.address), Tone::Poor),
            EndpointAnswer::Silent => wrong(format!("{} does not answer", found.address), Tone::Bad),
            EndpointAnswer::Another(_) => wrong(format!("another program has {}", found.address), Tone::Bad),
        }
    }

    /// Tells of each of Haiku's repositories how old its list is, and which servers fail.
    pub(crate) fn haiku(&self) -> Vec<Cell> {
        let ago = |at: u64| format!("{} ago", time::span(self.found.now.saturating_sub(at)));
        let of_one = |state: &SnapshotState| {
            let (Some(checked), Some(packages)) = (state.checked, state.packages) else {
                let cell = Cell::from(format!("{}: ", shown(&state.name))).and("never fetched", Tone::Poor);
                return cell.next("pkgswarm haiku refresh");
            };
            let signed = state.signed.map_or(String::new(), |at| format!(", signed {}", ago(at)));
            let start = format!("{}: {}{signed}, ", shown(&state.name), counted(packages, "package"));
            let confirmed = format!("a server had it {}", ago(checked));
            let mut cell = match state.is_out(self.found.now) {
                true => Cell::from(start).and(format!("{confirmed}: pkgman gets error 403"), Tone::Bad),
                false => Cell::from(start).then(confirmed),
            };
            for (server, why) in state.failing() {
                cell = cell.then("; ").and(format!("{}: {}", shown(&server.url), shown(why)), Tone::Poor);
            }
            cell
        };
        self.found.endpoint.haiku.iter().map(of_one).collect()
    }

    /// Tells of each share what is kept of it, and how the last round went.
    pub(crate) fn kept(&self) -> Vec<Cell> {
        let of_one = |share: &ShareFacts| {
            let ShareFacts { keep, state } = share;
            let Some(state) = state else {
                return Cell::from(format!("{}: ", keep.name))
                    .and("no round yet", Tone::Poor)
                    .next("pkgswarm keep run");
            };
            let (bytes, quota) = (show_size(bytes_of(&state.files)), show_size(keep.quota));
            let start = format!("{}: {}, {bytes} of {quota}", keep.name, counted(state.files.len(), "file"));
            match (&state.last.failed, state.last.at) {
                (Some(why), _) => {
                    let failed = format!("; the last round failed: {}", shown(why));
                    Cell::from(start).and(failed, Tone::Bad).next("pkgswarm keep status")
                }
                (None, 0) => start.into(),
                (None, at) => {
                    Cell::from(start).then(format!("; {} ago", time::span(self.found.now.saturating_sub(at))))
                }
            }
        };
        self.found.keep.shares.iter().map(of_one).collect()
    }

    /// Tells what is shared with which networks.
    pub(crate) fn sharing(&self) -> Cell {
        match &self.found.daemon {
            DaemonView::NotAsked => "off: lan.enabled is false".into(),
            DaemonView::NotRunning => Cell::from("off: the daemon is not running").next("sudo pkgswarm setup"),
            DaemonView::Silent(why) => Cell::of(format!("not known: the daemon does not answer: {why}"), Tone::Bad)
                .next("systemctl status pkgswarm-daemon"),
            DaemonView::Answers(report, _) => shared_by(report),
        }
    }

    /// Counts the pending updates.
    pub(crate) fn updates(&self) -> Cell {
        let state = &self.found.updates;
        if state.checked == 0 {
            return Cell::from("not known").next("sudo pkgswarm prefetch");
        }
        let seen = match self.found.now.saturating_sub(state.checked) {
            0..NOW => "just now".to_owned(),
            age => format!("{} ago", time::span(age)),
        };
        if state.updates.is_empty() {
            return format!("none pending; seen {seen}").into();
        }
        let (ready, bytes) = state.ready();
        let all: u64 = state.updates.iter().map(|update| update.size).sum();
        let text =
            format!("{} pending, {ready} ready ({} of {})", state.updates.len(), show_size(bytes), show_size(all));
        let mut cell = Cell::from(text);
        for (why, words) in [
            (LeftOut::Quota, "left out, beyond prefetch.max"),
            (LeftOut::Age, "left out, pending for longer than prefetch.age"),
        ] {
            let left = state.updates.iter().filter(|update| update.stands == UpdateStanding::Left(why)).count();
            if left > 0 {
                cell = cell.then(format!(", {left} {words}"));
            }
        }
        let failed = state.updates.iter().filter(|update| matches!(update.stands, UpdateStanding::Failed(_))).count();
        if failed > 0 {
            cell = cell.and(format!(", {failed} not fetched"), Tone::Poor);
        }
        let cell = cell.then(format!("; seen {seen}"));
        if failed > 0 { cell.next("pkgswarm status --long") } else { cell }
    }

    /// Measures each store.
    pub(crate) fn stores(&self) -> Vec<Cell> {
        let stores = &self.found.stores;
        if stores.is_empty() {
            return vec!["none yet".into()];
        }
        let of_one = |StoreUse { dir, held, kubo_cached }: &StoreUse| {
            let (bytes, max) = (show_size(held.bytes + held.partial), show_size(self.settings.store_max));
            let mut text = format!("{}, {bytes} of {max}", counted(held.files, "file"));
            if held.partial > 0 {
                text += &format!(", {} of it not complete", show_size(held.partial));
            }
            if *kubo_cached > 0 {
                text += &format!("; Kubo cached {} of {}", show_size(*kubo_cached), show_size(self.settings.kubo_keep));
            }
            if stores.len() > 1 {
                text += &format!(" in {}", dir.display());
            }
            text.into()
        };
        stores.iter().map(of_one).collect()
    }

    /// Tells the age of each index.
    pub(crate) fn indexes(&self) -> Vec<Cell> {
        if self.found.indexes.is_empty() {
            return vec![Cell::from("none").next("pkgswarm index add")];
        }
        let of_one = |index: &IndexFacts| {
            let ago = |at: u64| time::span(self.found.now.saturating_sub(at));
            let start = format!("{} for {}: ", index.config.name, index.config.repos_shown());
            let cell = match index.manifest() {
                Some(manifest) if manifest.expires < self.found.now => {
                    // Asked since, no source had a newer one.
                    let why = index.stale.as_ref().map_or("", |_| ": its publisher may have stopped");
                    Cell::from(start).and(format!("expired {} ago{why}", ago(manifest.expires)), Tone::Bad)
                }
                Some(manifest) => {
                    let left = time::span(manifest.expires.saturating_sub(self.found.now));
                    Cell::from(format!("{start}{} old, expires in {left}", ago(manifest.created)))
                }
                None => Cell::from(start).and("never fetched", Tone::Poor),
            };
            let cell = match index.stale.as_ref().filter(|stale| !matches!(stale, Staleness::Expired { .. })) {
                Some(stale) => cell.and(format!("; {stale}"), Tone::Poor),
                None => cell,
            };
            if index.is_due { cell.then(", due for a refresh") } else { cell }
        };
        self.found.indexes.iter().map(of_one).collect()
    }

    /// Tells whether Kubo runs; its address too if `is_long`.
    pub(crate) fn kubo(&self, is_long: bool) -> Cell {
        match self.found.kubo.told() {
            Err(why) if matches!(self.found.kubo, KuboView::NotAsked(_)) => format!("not asked: {why}").into(),
            Err(why) => {
                let why = why.strip_prefix("Kubo is ").or_else(|| why.strip_prefix("Kubo ")).unwrap_or(&why);
                Cell::from(why).next("optional")
            }
            Ok((version, kubo)) => {
                let mut text = format!("{version}: {}", counted(kubo.peers.as_ref().map_or(0, Vec::len), "peer"));
                if let Some(repo) = kubo.repo {
                    text += &format!(", {} of {} used", show_size(repo.used), show_size(repo.most));
                }
                if let Some(pinned) = kubo.pinned.filter(|pinned| *pinned > 0) {
                    text += &format!(", {} pinned", counted(pinned, "update"));
                }
                if is_long {
                    text += &format!("; at {}", self.settings.kubo_api);
                }
                text.into()
            }
        }
    }

    /// Lists the neighbours of the daemon, and those that Kubo alone is connected to.
    pub(crate) fn neighbours(&self) -> Vec<ToldNeighbour> {
        let report = self.found.daemon.report();
        let of_daemon = report.into_iter().flat_map(|report| &report.peers).map(|peer| {
            let is_own = report.is_some_and(|report| report.networks.iter().any(|own| own.address == peer.ip()));
            let program = program(&peer.agent);
            ToldNeighbour {
                address: peer.ip().to_owned(),
                what: if is_own { format!("{program} here") } else { program },
                moved: Some((peer.bytes_received, peer.bytes_sent)),
                id: peer.id.clone(),
            }
        });
        let of_kubo = self.found.kubo.neighbours().into_iter().filter(|(peer, _)| !self.found.daemon.shows(&peer.id));
        let of_kubo = of_kubo.map(|(peer, ip)| ToldNeighbour {
            address: ip.to_string(),
            what: "Kubo's peer".to_owned(),
            moved: None,
            id: peer.id.clone(),
        });
        of_daemon.chain(of_kubo).collect()
    }
}

/// Returns the name of a peer's program from its agent string.
fn program(agent: &str) -> String {
    match agent.split('/').next().unwrap_or_default() {
        "" => "unknown".to_owned(),
        "kubo" => "Kubo".to_owned(),
        other => other.to_owned(),
    }
}

/// Describes what the daemon shares, and with which networks.
fn shared_by(report: &DaemonReport) -> Cell {
    let named = |network: &NetworkView| format!("{} ({})", network.range(), network.interface);
    let used: Vec<&NetworkView> = report.networks.iter().filter(|network| network.used).collect();
    let rest = report.networks.iter().filter(|network| !network.used);
    if report.sharing == Some(false) {
        return Cell::of("off", Tone::Poor).then(": no files are offered").next("sudo pkgswarm shared on");
    }
    if used.is_empty() {
        let remedy = rest.clone().find_map(|network| network.remedy.clone());
        let networks: Vec<String> = rest.map(|network| format!("{} is {}", named(network), network.stands)).collect();
        let why =
            if networks.is_empty() { "this machine is in no private network".into() } else { networks.join("; ") };
        let cell = Cell::of("off", Tone::Poor).then(format!(": {why}"));
        return if let Some(remedy) = remedy { cell.next(&remedy) } else { cell };
    }
    let mut with = Vec::new();
    for network in &used {
        let doubt = network.stands.strip_prefix("trusted").filter(|doubt| !doubt.is_empty());
        with.push(format!("{}{}", named(network), doubt.unwrap_or_default()));
    }
    let files = format!("{}, {}", counted(report.shared_files, "file"), show_size(report.shared_bytes));
    let mut text = format!(" with {}: {files}", with.join(" and "));
    match (report.peers.len(), report.known_peers.saturating_sub(report.peers.len())) {
        (0, 0) => text += "; no neighbour yet",
        (_, 0) => {}
        (_, away) => text += &format!("; {} known and not connected", counted(away, "neighbour")),
    }
    if report.transfers > 0 {
        text += &format!("; {} on the way", counted(report.transfers, "file"));
    }
    for network in rest {
        text += &format!("; {}: {}", named(network), network.stands);
    }
    Cell::of("on", Tone::Good).then(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_used_has_the_remedy_of_its_reason() {
        let shown = |stands: &str, remedy: Option<&str>| {
            let network = json!({"interface": "eth0", "address": "10.1.2.3", "network": "10.1.2.0/24", "used": false,
                "stands": stands, "remedy": remedy});
            let report = serde_json::from_value::<DaemonReport>(json!({"networks": [network]})).unwrap();
            let cell = shared_by(&report);
            (cell.pieces().map(|span| span.text.as_str()).collect::<String>(), cell.command().map(str::to_owned))
        };
        let other = shown("not used: lan.interfaces names others", Some("pkgswarm config lan.interfaces"));
        assert!(other.0.ends_with("names others"), "{}", other.0);
        assert_eq!(other.1.as_deref(), Some("pkgswarm config lan.interfaces"));
        let unseen = shown("trusted, the router is not seen now", None);
        assert!(unseen.0.ends_with("the router is not seen now") && unseen.1.is_none(), "{}", unseen.0);
    }
}
