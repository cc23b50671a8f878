//! Parts of an index that are known by hash: any source may deliver them, for any way that named them.
//!
//! The nearest source is asked first and the next one joins when it fails or takes long, so that a slow or hanging
//! source costs a second and not the refresh.

use std::rc::Rc;
use std::time::Duration;

use reqwest::{Client, Url};

use super::{RefreshError, RefreshTarget, Work};
use crate::cid::Cid;
use crate::clock;
use crate::dag::walk::Walk;
use crate::digest::Sha256;
use crate::hedge::hedged;
use crate::http::block::read_body;
use crate::http::{USER_AGENT, host, reason};
use crate::index::manifest::Packed;
use crate::kubo::{self, Kubo};
use crate::name::shown;
use crate::source::Miss;
use crate::source::neighbours::LanClient;

/// Time to wait for a source before the next one joins; longer for larger parts.
const HEDGE: Duration = Duration::from_secs(1);
/// Bytes a second that a source is expected to deliver meanwhile.
const HEDGE_RATE: u64 = 512 << 10;

/// A source of parts.
#[derive(Clone)]
pub(super) struct PartSource<'a> {
    name: String,
    transport: PartTransport<'a>,
}

#[derive(Clone)]
enum PartTransport<'a> {
    /// The local network, by blocks.
    Lan(Rc<LanClient>),
    /// Kubo or a gateway, by blocks.
    Blocks(Box<Kubo>),
    /// A plain copy, by path.
    Copy(PlainCopy<'a>),
}

/// A plain copy of an index, by HTTP.
#[derive(Clone)]
pub(super) struct PlainCopy<'a> {
    url: &'a Url,
    client: Client,
}

impl<'a> PlainCopy<'a> {
    /// Reaches the copy at `url`.
    pub(super) fn at(url: &'a Url, client: &Client) -> Self {
        Self { url, client: client.clone() }
    }
}

/// One part.
pub(super) struct IndexPart<'p> {
    cid: Cid,
    path: &'p str,
    most: usize,
    /// The digest of a file of several blocks; a single block is proven by its CID.
    file: Option<Sha256>,
}

/// Lists the sources of parts, nearest first.
pub(super) fn sources<'a>(
    target: &'a RefreshTarget,
    lan: Option<&Rc<LanClient>>,
    kubo: Option<&'a Kubo>,
    client: &Client,
) -> Vec<PartSource<'a>> {
    let lan = lan.map(|lan| PartSource { name: "lan".to_owned(), transport: PartTransport::Lan(Rc::clone(lan)) });
    let kubo =
        kubo.map(|kubo| PartSource { name: "kubo".to_owned(), transport: PartTransport::Blocks(kubo.clone().into()) });
    let copy = target
        .url
        .as_ref()
        .map(|url| PartSource { name: "url".to_owned(), transport: PartTransport::Copy(PlainCopy::at(url, client)) });
    let gateways = target.gateways.iter().map(|url| PartSource {
        name: host(url),
        transport: PartTransport::Blocks(Kubo::at_gateway(url, client).into()),
    });
    lan.into_iter().chain(kubo).chain(copy).chain(gateways).collect()
}

impl<'p> IndexPart<'p> {
    /// Names one block of at most `most` bytes.
    pub(super) fn block(cid: Cid, path: &'p str, most: usize) -> Self {
        Self { cid, path, most, file: None }
    }

    /// Names a compressed table.
    pub(super) fn table(packed: &Packed, path: &'p str) -> Self {
        Self { cid: packed.cid, path, most: packed.size as usize, file: Some(packed.sha256) }
    }

    fn check(&self, bytes: Vec<u8>) -> Result<Vec<u8>, PartError> {
        let found = Sha256::of(&bytes);
        match self.file {
            Some(sha256) if found == sha256 => Ok(bytes),
            None if self.cid.proves(&bytes) => Ok(bytes),
            expected => Err(PartError::Corrupt { found, expected: expected.unwrap_or(self.cid.digest()) }),
        }
    }
}

impl Work<'_> {
    /// Returns a part, proven, from the first source that delivers it.
    pub(super) async fn part(&self, part: &IndexPart<'_>) -> Result<Vec<u8>, RefreshError> {
        if let Some(bytes) = self.at_hand(part) {
            return Ok(bytes);
        }
        let cell = self.parts.borrow_mut().entry(part.cid).or_default().clone();
        cell.get_or_try_init(|| self.race(part)).await.cloned()
    }

    /// Returns a part that is here already, as most of an unchanged index is.
    fn at_hand(&self, part: &IndexPart<'_>) -> Option<Vec<u8>> {
        let held = self.held.as_ref()?;
        let bytes = match part.path {
            "pkgswarm.json" => Some(held.bytes.clone()),
            "pkgswarm.json.minisig" => held.proof("minisig"),
            "pkgswarm.root" => held.proof("root"),
            _ => None,
        };
        bytes.filter(|bytes| part.cid.proves(bytes))
    }

    async fn race(&self, part: &IndexPart<'_>) -> Result<Vec<u8>, RefreshError> {
        let wait = HEDGE + part.file.map_or(Duration::ZERO, |_| Duration::from_secs(part.most as u64 / HEDGE_RATE));
        let favourite = self.favourite.get();
        let others = (0..self.sources.len()).filter(|at| *at != favourite);
        let order: Vec<usize> =
            std::iter::once(favourite).chain(others).filter(|at| *at < self.sources.len()).collect();
        let attempts = order.into_iter().map(|at| async move {
            let bytes = self.ask(at, part).await.map_err(|why| format!("{}: {why}", self.sources[at].name))?;
            self.favourite.set(at);
            Ok(bytes)
        });
        hedged(attempts, wait).await.map_err(|failed: Vec<(usize, String)>| {
            if failed.is_empty() {
                return RefreshError::Failed("no source for content ids is configured".to_owned());
            }
            let said: Vec<String> = failed.into_iter().map(|(_, said)| said).collect();
            RefreshError::Failed(format!("{}: {}", part.path, said.join("; ")))
        })
    }

    /// Asks the source number `at`.
    async fn ask(&self, at: usize, part: &IndexPart<'_>) -> Result<Vec<u8>, PartError> {
        let source = &self.sources[at];
        let bytes = match &source.transport {
            PartTransport::Copy(copy) => self.get(copy, part.path, part.most).await,
            PartTransport::Lan(neighbours) => {
                let block = async |cid| neighbours.block(cid, &|_| ()).await.map_err(PartError::Neighbours);
                self.by_blocks(block, part).await
            }
            PartTransport::Blocks(kubo) => {
                let block = async |cid| kubo.block(cid, self.enough()).await.map_err(PartError::Kubo);
                self.by_blocks(block, part).await
            }
        };
        bytes.and_then(|bytes| part.check(bytes))
    }

    async fn by_blocks(
        &self,
        block: impl AsyncFn(Cid) -> Result<Vec<u8>, PartError>,
        part: &IndexPart<'_>,
    ) -> Result<Vec<u8>, PartError> {
        let fetch = async |cid| {
            let block = block(cid).await?;
            self.count(block.len());
            Ok::<_, PartError>(block)
        };
        if part.file.is_none() {
            let block = fetch(part.cid).await?;
            return if block.len() > part.most { Err(PartError::TooLong(part.most)) } else { Ok(block) };
        }
        let (mut walk, mut bytes) = (Walk::new(part.cid, part.most as u64), Vec::new());
        while let Some(cid) = walk.next_cid() {
            let block = fetch(cid).await?;
            bytes.extend_from_slice(&walk.push(&block).map_err(|e| PartError::Dag(e.to_string()))?);
        }
        Ok(bytes)
    }

    /// Fetches a file of at most `most` bytes from a plain copy, unproven.
    pub(super) async fn get(&self, copy: &PlainCopy<'_>, path: &str, most: usize) -> Result<Vec<u8>, PartError> {
        let PlainCopy { url: base, client } = copy;
        let mut url = (*base).clone();
        url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
        let answer = client.get(url).header("User-Agent", USER_AGENT).send().await?;
        let date = answer.headers().get("Date").and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        if let Some(date) = date.and_then(clock::checked_unix) {
            self.heard(&host(base), date);
        }
        if !answer.status().is_success() {
            return Err(PartError::Status(answer.status().as_u16()));
        }
        let count = |moved: u64| self.count(usize::try_from(moved).unwrap_or(usize::MAX));
        read_body(answer, most, count).await?.ok_or(PartError::TooLong(most))
    }
}

/// The reason why a source did not deliver a part.
#[derive(Debug, thiserror::Error)]
pub(super) enum PartError {
    #[error("HTTP {0}")]
    Status(u16),
    #[error("longer than {0} bytes")]
    TooLong(usize),
    #[error("corrupt: sha256 {}, expected {}", .found.short(), .expected.short())]
    Corrupt { found: Sha256, expected: Sha256 },
    #[error("{0}")]
    Dag(String),
    #[error("{}: {}", .0.call, .0.text)]
    Kubo(kubo::KuboError),
    #[error("{0}")]
    Neighbours(Miss),
    /// Without the URL, which may hold a password.
    #[error("{}", shown(&reason(.0)))]
    Transport(#[from] reqwest::Error),
}

/// Converts a failed call into a route's failure: the route is named beside it.
pub(super) fn fault(fault: kubo::KuboError) -> RefreshError {
    RefreshError::Failed(format!("{}: {}", fault.call, fault.text))
}
