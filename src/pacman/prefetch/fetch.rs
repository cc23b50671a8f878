//! Fetches the chosen updates, several at a time, into the store; signatures without proof are kept beside it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::PrefetchWork;
use super::kept::KeptSignatures;
use super::state::{PrefetchState, UpdateStanding};
use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind};
use crate::config::Settings;
use crate::engine::deliver::{self, Delivery, Obtained, Purpose, Receipt};
use crate::engine::want::Want;
use crate::machine::call::Call;
use crate::pacman::gather::{AtOnce, Gathered, Next, gather};
use crate::store::journal::By;
use crate::trust::plan::Expect;
use crate::trust::verify::Accepted;

/// Interval between progress reports while no file is done.
const TICK: Duration = Duration::from_millis(100);

/// The progress of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrefetchProgress {
    /// Packages that have arrived.
    pub(crate) files: usize,
    /// Number of all packages.
    pub(crate) of_files: usize,
    /// Bytes that have arrived, including those of incomplete files.
    pub(crate) bytes: u64,
    /// Bytes of all packages.
    pub(crate) of_bytes: u64,
}

impl PrefetchWork<'_> {
    /// Fetches, several at a time; a file that is unavailable keeps none of the others back. Returns bytes of
    /// packages.
    pub(super) fn fetch(
        &self,
        wants: Vec<Want>,
        state: &mut PrefetchState,
        (failures, all): (&mut Vec<Error>, &mut Receipt),
        arrived: &mut dyn FnMut(PrefetchProgress),
    ) -> Result<u64, Error> {
        let packages: BTreeMap<String, Sha256> =
            state.updates.iter().filter_map(|one| Some((format!("{}.sig", one.file), one.sha256?))).collect();
        let exact = |want: &Want| match want.plan.expect {
            Expect::Exact { sha256, size } if !packages.contains_key(want.name.as_str()) => Some((sha256, size)),
            _ => None,
        };
        let coming: BTreeMap<Sha256, u64> = wants.iter().filter_map(exact).collect();
        let (of_files, of_bytes) = (coming.len(), coming.values().sum());
        let (mut files, mut bytes) = (0, 0);
        let at_once = self.conf.parallel_downloads.max(1) as usize;
        let rate = self.settings.prefetch.rate;
        let each = (rate > 0).then(|| (rate / at_once.min(wants.len().max(1)) as u64).max(1));
        let settings = match each {
            // With a rate limit, no source is too slow.
            Some(each) => {
                let pause = Duration::from_secs((512 << 10) / each);
                let (stall, patience) = (self.settings.stall + pause, self.settings.patience + pause);
                Settings { rate: Some(each), floor: 0, stall, patience, ..self.settings.clone() }
            }
            None => self.settings.clone(),
        };
        // Each has its share of the rate.
        let at_once = if rate > 0 { AtOnce::exactly(at_once) } else { AtOnce::over(at_once) };
        let mut gathering = gather(self.env, &settings, By::Prefetch, wants, at_once, into_store);
        let (kept, mut failed, mut fatal) = (KeptSignatures::of(&self.store), BTreeMap::new(), None);
        loop {
            let Gathered { want, result, warnings, passed_over } = match gathering.next_within(TICK) {
                Next::Done(gathered) => *gathered,
                Next::NotYet => {
                    let arriving = self.machine.store.arriving();
                    let parts = arriving.iter().filter_map(|(sha256, part)| Some(*part.min(coming.get(sha256)?)));
                    arrived(PrefetchProgress { files, of_files, bytes: bytes + parts.sum::<u64>(), of_bytes });
                    continue;
                }
                Next::Over => break,
            };
            all.warnings.extend(warnings);
            all.passed_over.extend(passed_over);
            let result = result.and_then(|obtained| match (obtained, packages.get(want.name.as_str())) {
                (Some(obtained), Some(package)) if matches!(obtained.accepted, Accepted::Waived(_)) => {
                    kept.put(*package, self.env.uid, &obtained).map_err(|e| Error::local(self.store.display(), e))
                }
                _ => Ok(()),
            });
            match result {
                Ok(()) => {
                    if let Some((_, size)) = exact(&want) {
                        files += 1;
                        bytes += size;
                    }
                    arrived(PrefetchProgress { files, of_files, bytes, of_bytes });
                }
                Err(e) if matches!(e.kind, ErrorKind::Interrupted | ErrorKind::Local) => {
                    gathering.stop();
                    fatal.get_or_insert(e);
                }
                Err(e) => {
                    failed.insert(want.name.to_string(), e.message.clone());
                    failures.push(e);
                }
            }
        }
        for one in &mut state.updates {
            if let UpdateStanding::Failed(why) = &mut one.stands {
                match failed.remove(&one.file).or_else(|| failed.remove(&format!("{}.sig", one.file))) {
                    Some(text) => *why = text,
                    None if self.is_here(one) => one.stands = UpdateStanding::Here,
                    None => {}
                }
            }
        }
        match fatal {
            // Files that have arrived are kept, and reported.
            Some(e) => {
                let _ = state.write(&self.store);
                Err(e)
            }
            None => Ok(bytes),
        }
    }
}

/// Fetches one file so that it stays.
async fn into_store(call: &mut Call, want: &Want) -> Delivery<Option<Obtained>> {
    let Delivery { result, receipt } = deliver::fetch(call, want.order(), Purpose::Prefetch).await;
    Delivery { result: result.map(Some), receipt }
}
