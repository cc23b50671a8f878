//! Small files from hosts that speak HTTP/2: many at a time, on one thread and over one connection for each host.
//!
//! What such a file costs is the wait for its answer, not its bytes. Larger files are left to the threads that have one
//! each: hashing one of them would look to all others here as if their sources were silent.

use std::time::Instant;

use futures_util::future::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::jobs::FileJob;
use super::streams::StreamWindow;
use super::{Delivery, Obtained, Receipt, SharedGather};
use crate::engine::deliver::Candidate;
use crate::engine::want::Want;
use crate::machine::call::Call;
use crate::net::http::shared::{MOST_STREAMS, SharedConnections};

/// Largest file that is fetched beside others on one thread: hashing it takes a few milliseconds.
const LIGHT: u64 = 2 << 20;

/// Returns true for a small file that is asked of a host that carries many at a time.
fn is_light(connections: &SharedConnections, want: &Want) -> bool {
    let mirrors = || {
        want.candidates.iter().find_map(|candidate| match candidate {
            Candidate::Mirror(url) => Some(url),
            _ => None,
        })
    };
    want.plan.expect.most() <= LIGHT && mirrors().is_some_and(|first| connections.is_multiplexed(first))
}

impl<F: AsyncFn(&mut Call, &Want) -> Delivery<Option<Obtained>>> SharedGather<F> {
    /// Fetches small files until none come any more.
    pub(super) async fn fetch_light(&self, connections: &SharedConnections) {
        let (mut hosts, mut changes) = (connections.multiplexed(), self.jobs.changes());
        let mut window = StreamWindow::new(MOST_STREAMS);
        let (mut running, mut free): (_, Vec<Call>) = (FuturesUnordered::new(), Vec::new());
        let mut first: Option<Call> = None;
        loop {
            hosts.mark_unchanged();
            changes.mark_unchanged();
            while running.len() < window.count() {
                let Some(job) = self.jobs.take(|want| is_light(connections, want)) else { break };
                // Opened late: most hosts that are asked for small files alone are never asked by this thread.
                let call = match (free.pop(), &first) {
                    (Some(call), _) => Ok(call),
                    (None, Some(first)) => Ok(first.again()),
                    (None, None) => self.open(),
                };
                let mut call = match call {
                    Ok(call) => call,
                    Err(error) => {
                        job.duty.finish(Delivery { result: Err(error), receipt: Receipt::default() });
                        continue;
                    }
                };
                first.get_or_insert_with(|| call.again());
                let fetching = async move {
                    let begun = Instant::now();
                    let FileJob { want, duty } = job;
                    self.fetch_one(&mut call, want, duty).await;
                    (call, begun.elapsed())
                };
                running.push(fetching.boxed_local());
            }
            if running.is_empty() && self.jobs.is_closed() {
                return;
            }
            tokio::select! {
                Some((call, took)) = running.next(), if !running.is_empty() => {
                    window.came(took, running.len());
                    free.push(call);
                }
                _ = hosts.changed() => {}
                _ = changes.changed() => {}
            }
        }
    }
}
