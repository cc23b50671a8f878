//! The peers that provide a file, as the daemon's routing finds them: `routing/findprovs`.
//!
//! The answer is a stream of everything that the search meets, a line each; it ends alike when the search was complete,
//! was cut, or never reached a peer. So only what peers have said counts.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use super::{Kubo, KuboError, KuboErrorKind};
use crate::base::cid::Cid;

const CALL: &str = "routing/findprovs";
/// Most bytes of an answer. A search among 20 peers that all name 20 closer ones is some hundred KiB.
const SEARCH_MOST: usize = 8 << 20;
/// Most bytes of a line: 20 peers with 100 addresses each.
const LINE_MOST: usize = 256 << 10;
/// Longest text of a peer id that is taken; that of an RSA key has 46 characters, of a key in its id 62.
const ID_MOST: usize = 128;

/// What a search has found up to now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderSearch {
    /// The ids of the providers.
    pub ids: BTreeSet<String>,
    /// True once a peer has answered, whatever it knew.
    pub was_answered: bool,
    /// The beginning of a line.
    rest: Vec<u8>,
}

/// A line of the search (`go-libp2p/core/routing/query.go`, `QueryEventType`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireEvent {
    r#type: i64,
    responses: Option<Vec<WireProvider>>,
}

#[derive(Deserialize)]
struct WireProvider {
    #[serde(rename = "ID")]
    id: String,
}

const PEER_RESPONSE: i64 = 1;
const PROVIDER: i64 = 4;

impl ProviderSearch {
    /// Takes the next bytes of the answer, up to `most` providers.
    ///
    /// # Errors
    /// `Malformed` for a line that is no such event, or too long. Trying again does not help.
    pub fn feed(&mut self, bytes: &[u8], most: usize) -> Result<(), KuboError> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.rest.len() + piece.len() > LINE_MOST {
                return Err(malformed(format!("a line has more than {LINE_MOST} bytes")));
            }
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                self.take(&line, most)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, line: &[u8], most: usize) -> Result<(), KuboError> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let event: WireEvent = serde_json::from_slice(line).map_err(|e| malformed(e.to_string()))?;
        self.was_answered |= event.r#type == PEER_RESPONSE;
        if event.r#type == PROVIDER {
            let ids = event.responses.into_iter().flatten().map(|peer| peer.id);
            let room = most.saturating_sub(self.ids.len());
            self.ids.extend(ids.filter(|id| !id.is_empty() && id.len() <= ID_MOST).take(room));
        }
        Ok(())
    }
}

impl Kubo {
    /// Searches for the peers that provide `cid`, this daemon among them, until `most` are found. Empty if peers
    /// answered and knew none.
    ///
    /// # Errors
    /// `Busy` when no peer answered, as without a connection; `Deadline` when the search was not over by then. Trying
    /// again later may help with both.
    pub(crate) async fn providers(
        &self,
        cid: Cid,
        most: usize,
        deadline: Duration,
    ) -> Result<BTreeSet<String>, KuboError> {
        let (cid, number) = (cid.to_string(), most.to_string());
        // Cut by the daemon itself, the stream would look complete: its own limit comes later.
        let limit = format!("{}ms", deadline.as_millis() + 1000);
        let args = [("arg", &*cid), ("num-providers", &number), ("timeout", &limit)];
        super::within(CALL, deadline, async {
            let mut answer = super::success(CALL, self.open(CALL, &args, None).await?).await?;
            let (mut search, mut length) = (ProviderSearch::default(), 0);
            while let Some(piece) = answer.chunk().await.map_err(|e| KuboError::transport(CALL, &e))? {
                length += piece.len();
                if length > SEARCH_MOST {
                    return Err(malformed(super::too_long(SEARCH_MOST)));
                }
                search.feed(&piece, most)?;
                if search.ids.len() >= most {
                    return Ok(search.ids);
                }
            }
            if search.was_answered || !search.ids.is_empty() {
                return Ok(search.ids);
            }
            Err(KuboError::new(CALL, KuboErrorKind::Busy, "no peer answered the search"))
        })
        .await
    }
}

fn malformed(text: String) -> KuboError {
    KuboError::new(CALL, KuboErrorKind::Malformed, text)
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, ScriptedAnswer, ok};
    use super::*;
    use crate::base::digest::Sha256;
    use proptest::prelude::*;

    /// What Kubo 0.43.0 answered among three nodes.
    const ANSWER: &str = concat!(
        r#"{"Extra":"","ID":"12D3KooWSelf","Responses":null,"Type":0}"#,
        "\n",
        r#"{"Extra":"","ID":"","Responses":[{"ID":"12D3KooWFirst","Addrs":["/ip4/127.0.0.1/tcp/15201"]}],"Type":4}"#,
        "\n",
        r#"{"Extra":"","ID":"12D3KooWOther","Responses":[{"ID":"12D3KooWFar","Addrs":[]}],"Type":1}"#,
        "\n",
    );

    fn providers(answer: ScriptedAnswer, most: usize) -> Result<Vec<String>, KuboErrorKind> {
        let script = Script::answering(vec![("routing/findprovs", answer)]);
        let deadline = Duration::from_secs(5);
        let work = async { script.kubo().providers(Cid::raw(Sha256::of(b"x")), most, deadline).await };
        let found = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
        found.map(|ids| ids.into_iter().collect()).map_err(|fault| fault.kind)
    }

    #[test]
    fn providers_are_counted_and_closer_peers_are_none() {
        assert_eq!(providers(ok(ANSWER), 20), Ok(vec!["12D3KooWFirst".to_owned()]));
        let twice = ANSWER.repeat(2) + &ANSWER.replace("First", "Second");
        let both = vec!["12D3KooWFirst".to_owned(), "12D3KooWSecond".to_owned()];
        assert_eq!(providers(ok(twice.clone()), 20), Ok(both));
        assert_eq!(providers(ok(twice), 1), Ok(vec!["12D3KooWFirst".to_owned()]), "no more than asked for");
    }

    #[test]
    fn a_search_that_no_peer_answered_has_not_found_nothing() {
        let without = |part: &str| ANSWER.lines().filter(|line| !line.contains(part)).collect::<Vec<_>>().join("\n");
        assert_eq!(providers(ok(without("First") + "\n"), 20), Ok(Vec::new()), "a peer answered that it knows none");
        let alone = ANSWER.lines().next().unwrap().to_owned();
        assert_eq!(providers(ok(alone), 20), Err(KuboErrorKind::Busy));
        assert_eq!(providers(ok(""), 20), Err(KuboErrorKind::Busy));
        assert_eq!(providers(ScriptedAnswer::Cut(ANSWER.into()), 20), Err(KuboErrorKind::Malformed), "cut");
        assert_eq!(providers(ok("no json\n"), 20), Err(KuboErrorKind::Malformed));
        assert_eq!(providers(ok(vec![b' '; LINE_MOST + 1]), 20), Err(KuboErrorKind::Malformed));
    }

    proptest! {
        #[test]
        fn pieces_are_read_like_the_whole(cuts in proptest::collection::vec(0..ANSWER.len(), 0..9), more in any::<Vec<u8>>()) {
            let mut whole = ProviderSearch::default();
            whole.feed(ANSWER.as_bytes(), 20).unwrap();
            let mut cuts = cuts;
            cuts.sort_unstable();
            cuts.push(ANSWER.len());
            let (mut search, mut begin) = (ProviderSearch::default(), 0);
            for cut in cuts {
                search.feed(&ANSWER.as_bytes()[begin..cut], 20).unwrap();
                begin = cut;
            }
            prop_assert_eq!(&search, &whole);
            let _any_bytes = search.feed(&more, 20);
        }
    }
}
