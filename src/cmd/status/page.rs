//! The status for people: one row for each question, then the neighbours; ids and addresses only where they are asked
//! for.

use super::Status;
use crate::cmd::screen::{Cell, Column, Grid, Screen};
use crate::config::value::show_size;
use crate::host::inspect::daemon::{DaemonReport, DaemonView, NetworkView};
use crate::host::inspect::index::IndexFacts;
use crate::host::inspect::kubo::KuboView;
use crate::host::inspect::pacman::Downloader;
use crate::host::inspect::store::StoreUse;
use crate::index::time;
use crate::pacman::prefetch::choose::LeftOut;
use crate::pacman::prefetch::state::{PendingUpdate, UpdateStanding};
use crate::report::columns::Tone;
use crate::report::counted;

/// Ages below this, in seconds, are `just now`.
const NOW: u64 = 120;

impl Status<'_> {
    /// Lays the status out.
    pub(super) fn page(&self, mut screen: Screen, is_long: bool) -> Screen {
        let mut facts = Grid::of(&[Column::of(""), Column::text("")]);
        facts.row([Cell::strong("pacman"), self.pacman()]);
        facts.row([Cell::strong("sharing"), self.sharing()]);
        facts.row([Cell::strong("updates"), self.updates()]);
        for (at, store) in self.stores().into_iter().enumerate() {
            facts.row([Cell::strong(if at == 0 { "store" } else { "" }), store]);
        }
        for (at, index) in self.indexes().into_iter().enumerate() {
            facts.row([Cell::strong(if at == 0 { "indexes" } else { "" }), index]);
        }
        facts.row([Cell::strong("Kubo"), self.kubo(is_long)]);
        if is_long && let Some(report) = self.found.daemon.report() {
            facts.row([Cell::strong("daemon"), report.agent.as_str().into()]);
            for (at, address) in report.listening.iter().enumerate() {
                facts.row([Cell::strong(if at == 0 { "listens" } else { "" }), address.into()]);
            }
            for (at, network) in report.networks.iter().enumerate() {
                let NetworkView { network, address, interface, stands, .. } = network;
                let text = format!("{network}: {address} on {interface}, {stands}");
                facts.row([Cell::strong(if at == 0 { "networks" } else { "" }), text.into()]);
            }
        }
        screen.grid(&facts);
        for grid in [self.neighbours(is_long), if is_long { self.pending() } else { Grid::of(&[]) }] {
            if !grid.is_empty() {
                screen.gap();
                screen.grid(&grid);
            }
        }
        screen
    }

    fn pacman(&self) -> Cell {
        match self.found.pacman.conf.as_ref().map(Downloader::of) {
            Ok(Downloader::Ours(_)) => Cell::of("uses pkgswarm", Tone::Good),
            Ok(Downloader::BuiltIn) => Cell::of("downloads by itself", Tone::Poor).next("sudo pkgswarm setup"),
            Ok(Downloader::Other(command)) => {
                Cell::of(format!("uses another program: {command}"), Tone::Poor).next("sudo pkgswarm setup")
            }
            Err(why) => Cell::of(format!("not known: {why}"), Tone::Poor),
        }
    }

    fn sharing(&self) -> Cell {
        match &self.found.daemon {
            DaemonView::NotAsked => "off: lan.enabled is false".into(),
            DaemonView::NotRunning => Cell::from("off: the daemon is not running").next("sudo pkgswarm setup"),
            DaemonView::Silent(why) => Cell::of(format!("not known: the daemon does not answer: {why}"), Tone::Bad)
                .next("systemctl status pkgswarm-daemon"),
            DaemonView::Answers(report, _) => shared_by(report),
        }
    }

    fn updates(&self) -> Cell {
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

    fn stores(&self) -> Vec<Cell> {
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

    fn indexes(&self) -> Vec<Cell> {
        if self.found.indexes.is_empty() {
            return vec![Cell::from("none").next("pkgswarm index add")];
        }
        let of_one = |index: &IndexFacts| {
            let ago = |at: u64| time::span(self.found.now.saturating_sub(at));
            let start = format!("{} for {}: ", index.config.name, index.config.repos_shown());
            let cell = match index.manifest() {
                Some(manifest) if manifest.expires < self.found.now => {
                    Cell::from(start).and(format!("expired {} ago", ago(manifest.expires)), Tone::Bad)
                }
                Some(manifest) => {
                    let left = time::span(manifest.expires.saturating_sub(self.found.now));
                    Cell::from(format!("{start}{} old, expires in {left}", ago(manifest.created)))
                }
                None => Cell::from(start).and("never fetched", Tone::Poor),
            };
            if index.is_due { cell.then(", due for a refresh") } else { cell }
        };
        self.found.indexes.iter().map(of_one).collect()
    }

    fn kubo(&self, is_long: bool) -> Cell {
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
    fn neighbours(&self, is_long: bool) -> Grid {
        let columns = [
            Column::name("NEIGHBOUR"),
            Column::of("WHAT"),
            Column::figure("RECEIVED"),
            Column::figure("SENT"),
            Column::text(if is_long { "PEER ID" } else { "" }),
        ];
        let mut grid = Grid::of(&columns);
        let id = |id: &str| if is_long { Cell::quiet(id) } else { Cell::default() };
        for peer in self.found.daemon.report().map_or(&[][..], |report| &report.peers) {
            let is_own = self
                .found
                .daemon
                .report()
                .is_some_and(|report| report.networks.iter().any(|own| own.address == peer.ip()));
            let program = program(&peer.agent);
            let what = if is_own { format!("{program} here") } else { program };
            let moved = [peer.bytes_received, peer.bytes_sent].map(show_size);
            grid.row([peer.ip().into(), what.into(), moved[0].as_str().into(), moved[1].as_str().into(), id(&peer.id)]);
        }
        let of_kubo = self.found.kubo.neighbours().into_iter();
        for (peer, ip) in of_kubo.filter(|(peer, _)| !self.found.daemon.shows(&peer.id)) {
            grid.row([ip.to_string().into(), "Kubo's peer".into(), "-".into(), "-".into(), id(&peer.id)]);
        }
        grid
    }

    fn pending(&self) -> Grid {
        let columns = [
            Column::name("UPDATE"),
            Column::name(""),
            Column::of(""),
            Column::name(""),
            Column::figure("SIZE"),
            Column::text(""),
        ];
        let mut grid = Grid::of(&columns);
        for update in &self.found.updates.updates {
            let [name, old, arrow, new] = versions(update);
            let why = match &update.stands {
                UpdateStanding::Here => Cell::of("ready", Tone::Good),
                UpdateStanding::Left(left) => left.words().into(),
                UpdateStanding::Pending => "not fetched yet".into(),
                UpdateStanding::Failed(why) => Cell::of(why, Tone::Poor),
            };
            grid.row([name, old, arrow, new, show_size(update.size).into(), why]);
        }
        grid
    }
}

/// Returns the cells of an update: name, old version, arrow, new version.
pub(crate) fn versions(update: &PendingUpdate) -> [Cell; 4] {
    let old = update.old.as_deref().unwrap_or("");
    let arrow = if old.is_empty() { "" } else { "->" };
    [update.name.as_str().into(), old.into(), arrow.into(), update.new.as_str().into()]
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
    use crate::report::columns::Paper;
    use serde_json::json;

    #[test]
    fn what_is_not_used_has_the_remedy_of_its_reason() {
        let shown = |stands: &str, remedy: Option<&str>| {
            let network = json!({"interface": "eth0", "address": "10.1.2.3", "network": "10.1.2.0/24", "used": false,
                "stands": stands, "remedy": remedy});
            let report = serde_json::from_value::<DaemonReport>(json!({"networks": [network]})).unwrap();
            let mut screen = Screen::on(Paper { width: None, has_styles: false, is_terminal: false });
            screen.line(shared_by(&report));
            screen.text().to_owned()
        };
        let other = shown("not used: lan.interfaces names others", Some("pkgswarm config lan.interfaces"));
        assert!(other.ends_with("names others   # pkgswarm config lan.interfaces\n"), "{other}");
        let unseen = shown("trusted, the router is not seen now", None);
        assert!(unseen.ends_with("the router is not seen now\n"), "{unseen}");
    }
}
