//! The status for people: one row for each question, then the neighbours; ids and addresses only where they are asked
//! for.

use crate::cmd::screen::{Column, Grid, Screen};
use crate::config::value::show_size;
use crate::host::inspect::daemon::NetworkView;
use crate::host::overview::glance::Glance;
use crate::pacman::prefetch::state::{PendingUpdate, UpdateStanding};
use crate::report::cell::Cell;
use crate::report::columns::Tone;

/// Lays the status out.
pub(super) fn of(glance: &Glance<'_>, mut screen: Screen, is_long: bool) -> Screen {
    let mut facts = Grid::of(&[Column::of(""), Column::text("")]);
    facts.row([Cell::strong("pacman"), glance.pacman()]);
    facts.row([Cell::strong("endpoint"), glance.endpoint()]);
    for (at, repo) in glance.haiku().into_iter().enumerate() {
        facts.row([Cell::strong(if at == 0 { "Haiku" } else { "" }), repo]);
    }
    facts.row([Cell::strong("sharing"), glance.sharing()]);
    facts.row([Cell::strong("updates"), glance.updates()]);
    for (at, store) in glance.stores().into_iter().enumerate() {
        facts.row([Cell::strong(if at == 0 { "store" } else { "" }), store]);
    }
    for (at, index) in glance.indexes().into_iter().enumerate() {
        facts.row([Cell::strong(if at == 0 { "indexes" } else { "" }), index]);
    }
    for (at, share) in glance.kept().into_iter().enumerate() {
        facts.row([Cell::strong(if at == 0 { "keeping" } else { "" }), share]);
    }
    facts.row([Cell::strong("Kubo"), glance.kubo(is_long)]);
    if is_long && let Some(report) = glance.found.daemon.report() {
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
    for grid in [neighbours(glance, is_long), if is_long { pending(glance) } else { Grid::of(&[]) }] {
        if !grid.is_empty() {
            screen.gap();
            screen.grid(&grid);
        }
    }
    screen
}

/// Lists the neighbours; their ids too if `is_long`.
fn neighbours(glance: &Glance<'_>, is_long: bool) -> Grid {
    let columns = [
        Column::name("NEIGHBOUR"),
        Column::of("WHAT"),
        Column::figure("RECEIVED"),
        Column::figure("SENT"),
        Column::text(if is_long { "PEER ID" } else { "" }),
    ];
    let mut grid = Grid::of(&columns);
    for neighbour in glance.neighbours() {
        let (received, sent) = match neighbour.moved {
            Some((received, sent)) => (show_size(received), show_size(sent)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let id = if is_long { Cell::quiet(neighbour.id) } else { Cell::default() };
        grid.row([neighbour.address.into(), neighbour.what.into(), received.into(), sent.into(), id]);
    }
    grid
}

fn pending(glance: &Glance<'_>) -> Grid {
    let columns = [
        Column::name("UPDATE"),
        Column::name(""),
        Column::of(""),
        Column::name(""),
        Column::figure("SIZE"),
        Column::text(""),
    ];
    let mut grid = Grid::of(&columns);
    for update in &glance.found.updates.updates {
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

/// Returns the cells of an update: name, old version, arrow, new version.
pub(crate) fn versions(update: &PendingUpdate) -> [Cell; 4] {
    let old = update.old.as_deref().unwrap_or("");
    let arrow = if old.is_empty() { "" } else { "->" };
    [update.name.as_str().into(), old.into(), arrow.into(), update.new.as_str().into()]
}
