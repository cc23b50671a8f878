//! The progress of a publication, for people.

use std::cell::RefCell;

use indicatif::{ProgressBar, ProgressStyle};

use crate::config::value;
use crate::publish::Phase;
use crate::report;

/// Progress bars, on a terminal, and the line about the disk cost.
pub(super) struct Shown {
    bars: bool,
    is_cost_told: bool,
    now: RefCell<Option<(Phase, ProgressBar)>>,
}

impl Shown {
    pub(super) fn new(bars: bool, is_cost_told: bool) -> Self {
        Self { bars, is_cost_told, now: RefCell::new(None) }
    }

    pub(super) fn at(&self, phase: Phase, done: u64, total: u64) {
        if phase == Phase::Cost {
            let (cost, free) = (value::show_size(done), value::show_size(total));
            if self.is_cost_told {
                report::say(&format!("Kubo will use {cost} more of the disk; {free} are free there"));
            }
            return;
        }
        if !self.bars || total == 0 {
            return;
        }
        let mut now = self.now.borrow_mut();
        if now.as_ref().is_none_or(|(shown, _)| *shown != phase) {
            if let Some((_, old)) = now.take() {
                old.finish_and_clear();
            }
            let what = match phase {
                Phase::Fetch => "fetching packages",
                Phase::Scan => "reading databases",
                Phase::Hash => "computing CIDs",
                Phase::Cost | Phase::Upload => "handing blocks to Kubo",
                Phase::Check => "reading back",
            };
            let style = ProgressStyle::with_template("{msg} [{wide_bar}] {bytes}/{total_bytes} {eta}");
            let style = style.expect("the template is fixed and valid").progress_chars("#>-");
            *now = Some((phase, ProgressBar::new(total).with_style(style).with_message(what)));
        }
        if let Some((_, bar)) = &*now {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    pub(super) fn clear(&self) {
        if let Some((_, bar)) = self.now.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}
