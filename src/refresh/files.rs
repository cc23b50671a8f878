//! Files of an index with an expectation: its tables, and the changes of each. They are ordinary deliveries, by the
//! hub: a race over all sources that may have one, with the record of their health.

use std::path::Path;
use std::rc::Rc;

use super::copy::below;
use super::tally::Arrivals;
use super::{RefreshError, Work};
use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::error::Error;
use crate::base::name::FileName;
use crate::engine::deliver::{Candidate, Obtained, Order, Purpose};
use crate::engine::hub;
use crate::engine::source::Miss;
use crate::engine::source::kubo::KuboReach;
use crate::machine::call::Call;
use crate::machine::lists::Lists;
use crate::net::http::host;
use crate::trust::look::FileShape;
use crate::trust::plan::{Expect, Plan};

/// A file of the index.
pub(super) struct IndexFile<'p> {
    /// Its place in a plain copy.
    pub(super) path: &'p str,
    /// What is expected.
    pub(super) sha256: Sha256,
    /// In bytes.
    pub(super) size: u64,
    /// Set where it is known to have one.
    pub(super) cid: Option<Cid>,
}

impl Work<'_> {
    /// Makes the call of one delivery. It reads the record of sources, and adds nothing to that of the run of pacman
    /// that started the refresh (`a_refresh_leaves_the_record_of_the_run_that_started_it`).
    pub(super) fn call(&self) -> Call {
        let lists = Lists::of(&self.means.machine);
        Call::with(lists, Path::new("/var/tmp")).keeping_to_itself().telling(Rc::new(Arrivals::of(&self.tally)))
    }

    /// Delivers a file from any source.
    pub(super) async fn file(&self, file: &IndexFile<'_>, purpose: Purpose) -> Result<Obtained, RefreshError> {
        let by_cid = |candidate: &dyn Fn(Cid) -> Candidate| file.cid.map(candidate);
        let lan = self.target.lan.as_ref().map(|_| Candidate::Lan(file.sha256));
        // An index is public, and what a publisher's own nodes have is found nowhere else.
        let kubo = by_cid(&|cid| Candidate::Kubo(cid, KuboReach::Anywhere)).filter(|_| self.means.machine.asks_kubo());
        let copies = self.target.urls.iter().map(|url| Candidate::Mirror(below(url, file.path)));
        let gateways = self.target.gateways.iter();
        let gateways = gateways.filter_map(|url| by_cid(&|cid| Candidate::Gateway(url.clone(), cid)));
        let candidates: Vec<_> = lan.into_iter().chain(kubo).chain(copies).chain(gateways).collect();
        self.file_from(file, &candidates, purpose).await
    }

    /// Delivers a file from one of `candidates`.
    pub(super) async fn file_from(
        &self,
        file: &IndexFile<'_>,
        candidates: &[Candidate],
        purpose: Purpose,
    ) -> Result<Obtained, RefreshError> {
        let IndexFile { path, sha256, size, cid } = *file;
        let name = FileName::new(path.rsplit('/').next().unwrap_or(path));
        let name = name.map_err(|why| RefreshError::Failed(format!("{path}: {why}")))?;
        let plan = Plan { cid, ..Plan::without_cid(Expect::Exact { sha256, size }) };
        let order = Order { name: &name, shape: FileShape::ANY, plan: &plan, candidates };
        let delivered = hub::deliver(&self.means.hub, &mut self.call(), order, purpose).await;
        delivered.receipt.warnings.iter().for_each(|warning| self.warn(warning));
        delivered.result.map_err(|error| failed(path, &error, &delivered.receipt.misses))
    }
}

fn failed(path: &str, error: &Error, misses: &[(Candidate, Miss)]) -> RefreshError {
    let mut said: Vec<String> = Vec::new();
    for (candidate, miss) in misses {
        let line = match candidate {
            Candidate::Mirror(_) => format!("url: {miss}"),
            Candidate::Gateway(url, _) => format!("{}: {miss}", host(url)),
            Candidate::File(_) | Candidate::Lan(_) | Candidate::House(_) | Candidate::Kubo(..) => {
                format!("{}: {miss}", candidate.kind().word())
            }
        };
        if !said.contains(&line) {
            said.push(line);
        }
    }
    if said.is_empty() {
        said.push(error.message.clone());
    }
    RefreshError::Failed(format!("{path}: {}", said.join("; ")))
}
