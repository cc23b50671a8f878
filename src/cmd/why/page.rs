//! The explanation for people: the answer, the order of asking, the proof; digests and paths where they are asked for.

use super::Why;
use crate::base::clock;
use crate::cmd::screen::{Column, Grid, Screen};
use crate::config::value::show_size;
use crate::host::inspect::file::{LeftOutWhy, ProbeAnswer, SourceSays};
use crate::index::time;
use crate::report::cell::Cell;
use crate::report::columns::Tone;
use crate::store::journal::JournalRecord;
use crate::trust::plan::Expect;

impl Why<'_> {
    /// Lays the explanation out.
    pub(super) fn page(&self, mut screen: Screen, is_long: bool) -> Screen {
        let here = self.here();
        screen.line(Cell::strong(self.title()).then(format!("  ({})", self.facts())));
        if let Some(refusal) = &self.file.refusal {
            screen.line(Cell::of("Refused: ", Tone::Bad).then(refusal));
        } else {
            screen.line(self.now(&here));
        }
        if let Some(text) = &self.file.want.plan.disagreement {
            screen.line(Cell::of("Lists disagree: ", Tone::Poor).then(text));
        }
        screen.line(self.last_line());
        screen.gap();
        let order = self.order(is_long);
        if !order.is_empty() {
            screen.line(if here.is_empty() { "Asked in this order:" } else { "Without it, asked in this order:" });
            screen.grid(&order);
            screen.gap();
        }
        screen.line(self.proof());
        if is_long {
            screen.gap();
            screen.grid(&self.details(&here));
        }
        screen
    }

    fn title(&self) -> String {
        let reading = self.call.lists.read(&self.file.name);
        match reading.package {
            Some(parts) if reading.signed.is_none() => format!("{} {}", parts.name, parts.version),
            _ => self.file.name.to_string(),
        }
    }

    fn facts(&self) -> String {
        match self.file.want.plan.expect {
            Expect::Exact { size, .. } => format!("{}, {}", self.file.repo, show_size(size)),
            Expect::Waived(_) => self.file.repo.to_string(),
        }
    }

    /// Says where a download would take it from.
    fn now(&self, here: &[String]) -> Cell {
        let now = Cell::strong("Now: ");
        if let Some(place) = here.first() {
            let place = if place.starts_with("store") { "the store" } else { "the package cache" };
            return now.and(format!("taken from {place}, no network."), Tone::Good);
        }
        let asks_neighbours = self.answers.iter().any(|answer| answer.source == "lan" && !answer.position.is_down());
        let first = self.answers.iter().find(|answer| answer.says == SourceSays::Has);
        match (first.map(|answer| spoken(&answer.source)), asks_neighbours) {
            (Some(source), true) => now.then(format!("from a neighbour that has it, else from {source}.")),
            (Some(source), false) => now.then(format!("from {source}, the first that has it.")),
            (None, true) => now.and("only a neighbour could have it.", Tone::Poor),
            (None, false) => now.and("no source that answers has it.", Tone::Bad),
        }
    }

    fn last_line(&self) -> Cell {
        let ago = |record: &JournalRecord| time::span(clock::now().saturating_sub(record.at));
        let last = Cell::strong("Last: ");
        match self.last() {
            (_, Some(record)) => {
                let shares = record.shares.iter();
                let names: Vec<String> = match record.shares.len() {
                    1 => shares.map(|share| spoken(&share.source).to_owned()).collect(),
                    _ => {
                        shares.map(|share| format!("{} ({})", spoken(&share.source), show_size(share.bytes))).collect()
                    }
                };
                last.then(format!("from {}, {} ago.", names.join(" and "), ago(&record)))
            }
            (Some(record), None) => last.then(format!("from this machine, {} ago.", ago(&record))),
            (None, None) => last.then("never, as far as the journal goes back."),
        }
    }

    /// Lists the sources in the order of asking, then those that would not be asked.
    fn order(&self, is_long: bool) -> Grid {
        let mut grid = Grid::of(&[Column::figure(""), Column::name(""), Column::text("")]).indented(2);
        // A download may ask Kubo a second time, in the whole network.
        let is_first = |at: usize| self.answers[..at].iter().all(|other| other.source != self.answers[at].source);
        let first = (0..self.answers.len()).filter(|at| is_first(*at) || self.answers[*at].source != "kubo");
        for (number, at) in (1..).zip(first) {
            let ProbeAnswer { source, says, position } = &self.answers[at];
            let tone = match says.has() {
                Some(true) => Tone::Good,
                Some(false) => Tone::Plain,
                None if source == "lan" => Tone::Plain,
                None => Tone::Poor,
            };
            let words = if source == "lan" { "asked when needed".to_owned() } else { super::says(says) };
            let mut cell = Cell::of(words, tone);
            if is_long || position.is_down() {
                cell = cell.then(format!("; {}", super::position(*position)));
            }
            grid.row([number.to_string().into(), spoken(source).into(), cell]);
        }
        for (source, why, words) in self.left_out() {
            let why = match why {
                LeftOutWhy::NoCid => "above 1 MiB only an index tells the content id".to_owned(),
                _ => words,
            };
            grid.row([Cell::quiet("-"), Cell::quiet(spoken(source)), Cell::quiet(format!("not asked: {why}"))]);
        }
        grid
    }

    fn proof(&self) -> Cell {
        let proof = Cell::strong("Proof: ");
        match self.file.want.plan.expect {
            Expect::Waived(why) => proof.and(format!("none; {}", why.label()), Tone::Poor),
            Expect::Exact { sha256, .. } => {
                let digest = sha256.to_string();
                let (head, tail) = (&digest[..8], &digest[digest.len() - 8..]);
                let by: Vec<String> = self.listed().into_iter().map(|(by, ..)| short(&by)).collect();
                let by = if by.is_empty() { "the CID that was asked for".to_owned() } else { by.join(" and ") };
                proof.then(format!("sha256 {head}…{tail} from {by}"))
            }
        }
    }

    /// Lists digests, the CID, lists and places in full.
    fn details(&self, here: &[String]) -> Grid {
        let mut grid = Grid::of(&[Column::of(""), Column::text("")]);
        grid.row([Cell::strong("file"), self.file.name.as_str().into()]);
        for (by, sha256, size) in self.listed() {
            grid.row([Cell::strong("listed"), format!("{by}: {sha256}, {size} bytes").into()]);
        }
        let (cid, from) = self.cid();
        grid.row([
            Cell::strong("CID"),
            cid.map_or_else(|| format!("none: {from}"), |cid| format!("{cid}, {from}")).into(),
        ]);
        for place in here {
            grid.row([Cell::strong("here"), place.into()]);
        }
        grid
    }
}

/// Returns a source as people call it.
fn spoken(source: &str) -> &str {
    match source {
        "lan" => "neighbours",
        "kubo" => "Kubo",
        other => other.strip_prefix("mirror ").unwrap_or(other),
    }
}

/// Shortens `sync database /var/lib/pacman/sync/extra.db, 20 min old` to `extra.db (20 min old)`.
fn short(by: &str) -> String {
    let Some(path) = by.strip_prefix("sync database ") else { return by.to_owned() };
    let (path, age) = path.rsplit_once(", ").unwrap_or((path, ""));
    let name = path.rsplit('/').next().unwrap_or(path);
    if age.is_empty() { name.to_owned() } else { format!("{name} ({age})") }
}
