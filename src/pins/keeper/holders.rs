//! The number of other holders of files, counted in a bounded sample of the network.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};

use crate::base::cid::Cid;
use crate::net::kubo::{Kubo, KuboError, KuboErrorKind};

/// The number at which counting ends: more holders make no difference.
pub const HOLDERS_MOST: usize = 20;

/// The limits of one count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HolderLimits {
    /// Searches at the same time.
    pub at_once: usize,
    /// Longest time for one search. In the public DHT most end within 10 s, some take a minute.
    pub each: Duration,
    /// Longest time for all.
    pub all: Duration,
}

impl Default for HolderLimits {
    fn default() -> Self {
        Self { at_once: 32, each: Duration::from_secs(30), all: Duration::from_secs(300) }
    }
}

/// Searches the holders of each of `files` beside the daemon itself, as far as its routing knows them; passes their peer
/// ids on as they come, `HOLDERS_MOST` at most.
///
/// A file whose search no peer answered, or which was not over in time, is left out: it is unknown. Returns the number
/// of these.
///
/// # Errors
/// The daemon's, if it answers nothing at all. Trying again later may help.
pub async fn count_holders(
    kubo: &Kubo,
    files: &[Cid],
    limits: HolderLimits,
    mut counted: impl FnMut(Cid, &BTreeSet<String>),
) -> Result<usize, KuboError> {
    if files.is_empty() {
        return Ok(0);
    }
    let own = kubo.peer_id().await?;
    let end = Instant::now() + limits.all;
    let search = |cid: Cid| async move {
        let each = limits.each.min(end.saturating_duration_since(Instant::now()));
        // One more than is counted: the daemon may be among them.
        let found = kubo.providers(cid, HOLDERS_MOST + 1, each).await;
        (cid, found)
    };
    let mut searches = stream::iter(files.iter().copied().map(search)).buffer_unordered(limits.at_once.max(1));
    let mut known = 0;
    while let Some((cid, found)) = searches.next().await {
        match found {
            Ok(ids) => {
                known += 1;
                counted(cid, &ids.into_iter().filter(|id| *id != own).take(HOLDERS_MOST).collect());
            }
            Err(fault) if [KuboErrorKind::Unreachable, KuboErrorKind::Forbidden].contains(&fault.kind) => {
                return Err(fault);
            }
            Err(_unknown) => {}
        }
        if Instant::now() >= end {
            break;
        }
    }
    Ok(files.len() - known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Sha256;
    use crate::net::kubo::script::{Script, ScriptedAnswer, ok};

    fn file(n: u8) -> Cid {
        Cid::raw(Sha256::of(&[n]))
    }

    /// An answer of a search that found these providers.
    fn found(ids: &[&str]) -> ScriptedAnswer {
        let peer = |id: &&str| format!("{{\"ID\":\"\",\"Responses\":[{{\"ID\":\"{id}\",\"Addrs\":[]}}],\"Type\":4}}\n");
        let heard = "{\"ID\":\"far\",\"Responses\":null,\"Type\":1}\n".to_owned();
        ok(ids.iter().map(peer).collect::<String>() + &heard)
    }

    fn count(
        rules: Vec<(String, ScriptedAnswer)>,
        files: &[Cid],
        limits: HolderLimits,
    ) -> (Result<usize, KuboErrorKind>, Vec<(Cid, u32)>) {
        let script = Script::answering(rules);
        let mut counts = Vec::new();
        let kubo = script.kubo();
        let work = count_holders(&kubo, files, limits, |cid, others| counts.push((cid, others.len() as u32)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let unknown = runtime.block_on(work).map_err(|fault| fault.kind);
        counts.sort_unstable();
        (unknown, counts)
    }

    #[test]
    fn other_holders_are_counted_without_the_daemon_itself_and_what_no_peer_answered_is_unknown() {
        let many: Vec<String> = (0..40).map(|n| format!("peer{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let rules = vec![
            ("/id".to_owned(), ok(r#"{"ID":"own"}"#)),
            (file(0).to_string(), found(&["own"])),
            (file(1).to_string(), found(&["own", "a", "b"])),
            (file(2).to_string(), found(&many)),
            (file(3).to_string(), ok("")),
            (file(4).to_string(), ScriptedAnswer::Status(500, b"{\"Message\":\"routing: broken\"}".to_vec())),
        ];
        let files: Vec<Cid> = (0..5).map(file).collect();
        let (unknown, counts) = count(rules, &files, HolderLimits::default());
        let mut expected = vec![(file(0), 0), (file(1), 2), (file(2), 20)];
        expected.sort_unstable();
        assert_eq!((unknown, counts), (Ok(2), expected));
    }

    #[test]
    fn a_search_that_does_not_end_delays_the_others_no_longer_than_allowed() {
        let rules = vec![
            ("/id".to_owned(), ok(r#"{"ID":"own"}"#)),
            (file(0).to_string(), ScriptedAnswer::Silence),
            (file(1).to_string(), found(&["a"])),
        ];
        let limits = HolderLimits { at_once: 1, each: Duration::from_millis(200), ..HolderLimits::default() };
        assert_eq!(count(rules, &[file(0), file(1)], limits), (Ok(1), vec![(file(1), 1)]));

        let rules = vec![("/id".to_owned(), ok(r#"{"ID":"own"}"#)), (file(0).to_string(), ScriptedAnswer::Silence)];
        let limits = HolderLimits { all: Duration::from_millis(200), ..HolderLimits::default() };
        assert_eq!(count(rules, &[file(0), file(0)], limits), (Ok(2), Vec::new()));
    }

    #[test]
    fn a_daemon_that_does_not_run_or_refuses_is_an_error_and_no_holder() {
        let refused = vec![(String::new(), ScriptedAnswer::Status(403, Vec::new()))];
        assert_eq!(count(refused, &[file(0)], HolderLimits::default()), (Err(KuboErrorKind::Forbidden), Vec::new()));
        let none: Vec<(String, ScriptedAnswer)> = Vec::new();
        assert_eq!(count(none, &[], HolderLimits::default()), (Ok(0), Vec::new()), "nothing is asked for no files");
    }
}
