//! What this machine gives to others and keeps for it: what a mirror of this kind costs, beside what it saves.

use serde_json::{Value, json};

use crate::config::KeepConfig;
use crate::config::Settings;
use crate::config::value::show_size;
use crate::host::inspect::Inspection;
use crate::host::inspect::store::StoreUse;
use crate::pins::keeper::state::{KeeperPlace, KeptEntry};

/// The sums. `None` stands for a daemon that does not run, or does not tell.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct GivenSums {
    /// Bytes that our daemon has given to neighbours since its start.
    neighbours: Option<u64>,
    /// Bytes that Kubo has given to all that asked it since its start, whatever they are.
    kubo: Option<u64>,
    /// Bytes in the stores, partial files and shares included.
    stored: u64,
    /// Bytes in Kubo that are there because of us.
    cached: u64,
    /// Bytes of the shares that are kept (`pkgswarm keep`), in Kubo.
    shares: u64,
}

impl GivenSums {
    /// Reads them from a look at this machine.
    pub(crate) fn of(settings: &Settings, found: &Inspection) -> Self {
        let sum = |of: &dyn Fn(&StoreUse) -> u64| found.stores.iter().map(of).sum();
        let state = |keep: &KeepConfig| KeeperPlace::of(&settings.state_dir, &keep.name).read();
        let shares = settings.keeps.iter().filter_map(state).flat_map(|state| state.files.into_values());
        let (in_store, in_kubo): (Vec<KeptEntry>, Vec<KeptEntry>) = shares.partition(|file| file.sha256.is_some());
        let size = |files: Vec<KeptEntry>| files.iter().map(|file| file.size).sum::<u64>();
        Self {
            neighbours: found.daemon.report().and_then(|report| report.given),
            kubo: found.kubo.told().ok().and_then(|(_, answers)| answers.given),
            stored: sum(&|store| store.held.bytes + store.held.partial) + size(in_store),
            cached: sum(&|store| store.kubo_cached),
            shares: size(in_kubo),
        }
    }

    /// Says it in lines, those of them that there is something to say about.
    pub(crate) fn lines(&self) -> Vec<String> {
        let given: Vec<String> =
            [(self.neighbours, "to neighbours by the daemon"), (self.kubo, "to other peers by Kubo")]
                .into_iter()
                .filter_map(|(bytes, others)| Some(format!("{} {others}", show_size(bytes?))))
                .collect();
        let kept = [
            (self.stored, "in the store"),
            (self.shares, "as shares in Kubo"),
            (self.cached, "in Kubo because of downloads"),
        ];
        let kept: Vec<String> = kept
            .into_iter()
            .filter(|(bytes, _)| *bytes > 0)
            .map(|(bytes, place)| format!("{} {place}", show_size(bytes)))
            .collect();
        let mut lines = Vec::new();
        if !given.is_empty() {
            lines.push(format!("Given: {}, since each was started", given.join(", ")));
        }
        if !kept.is_empty() {
            lines.push(format!("Kept: {}", kept.join(", ")));
        }
        lines
    }

    /// Returns the members of the document of `stats`.
    pub(crate) fn document(&self) -> Value {
        json!({
            "given": {"neighbours": self.neighbours, "kubo": self.kubo},
            "kept": {"store": self.stored, "shares": self.shares, "kubo": self.cached},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_there_is_to_say_is_said() {
        assert_eq!(GivenSums::default().lines(), Vec::<String>::new());
        let idle = GivenSums { neighbours: Some(0), ..GivenSums::default() };
        assert_eq!(idle.lines(), ["Given: 0 B to neighbours by the daemon, since each was started"]);
        let busy = GivenSums {
            neighbours: Some(1 << 30),
            kubo: Some(5 << 20),
            stored: 1 << 20,
            cached: 2 << 20,
            shares: 3 << 30,
        };
        assert_eq!(
            busy.lines(),
            [
                "Given: 1.0 GiB to neighbours by the daemon, 5.0 MiB to other peers by Kubo, since each was started",
                "Kept: 1.0 MiB in the store, 3.0 GiB as shares in Kubo, 2.0 MiB in Kubo because of downloads",
            ]
        );
    }
}
