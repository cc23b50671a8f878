//! Compares the database that a mirror has with the indexes in use: where one of them stays behind, or is about to expire,
//! a `-Sy` says so in one line a day.

use crate::base::clock;
use crate::engine::deliver::Obtained;
use crate::engine::want::Want;
use crate::index::in_use;
use crate::index::stale::{LagMemory, MirrorDatabase, TOLD, staleness};
use crate::machine::call::Call;

/// Takes in what was delivered of a repository; returns the line that is due.
///
/// What it remembers is with the state of indexes; where this user may not write there, as the endpoint, it is with the
/// other files about its databases. A line that cannot be remembered is not said: it would be said again each time.
pub(super) fn noted(call: &Call, want: &Want, obtained: &Obtained) -> Option<String> {
    let repo = want.repo.as_ref().filter(|repo| want.name.as_str() == format!("{}.db", repo.name))?;
    let modified = obtained.modified.and_then(clock::checked_unix)?;
    let found = MirrorDatabase { name: &want.name, size: obtained.accepted.size(), modified };
    let (settings, now, arch) = (&call.machine.settings, clock::now(), call.lists.arch());
    let mut due: Option<String> = None;
    for index in settings.indexes.iter().filter(|index| index.may_describe(repo.name.as_str())) {
        let (state, own) = (in_use::state(settings), in_use::copy_name(index));
        let Ok(Some(held)) = state.held(&own) else { continue };
        let Some(table) = held.manifest.tables.iter().find(|table| table.repo == repo.name && table.arch == arch)
        else {
            continue;
        };
        let kept = call.machine.store.cache_dir().join(format!("{own}.lag"));
        let places = [state.lag_path(&own), kept];
        let mut lag = places.iter().find_map(|path| LagMemory::read(path)).unwrap_or_default();
        let is_news = lag.see(table, found, now);
        let (confirmed, tried) = in_use::asked(settings, index);
        let stale = staleness(&held.manifest, &lag, confirmed, tried, now);
        let line = stale.filter(|_| due.is_none() && now >= lag.told.saturating_add(TOLD));
        if line.is_some() {
            lag.told = now;
        }
        let is_kept = (is_news || line.is_some()) && places.iter().any(|path| lag.save(path).is_ok());
        if let Some(stale) = line.filter(|_| is_kept) {
            due = Some(format!("index {}: {stale}", index.name));
        }
    }
    due
}
