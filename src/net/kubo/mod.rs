//! Typed calls to a Kubo daemon, each with a deadline and a limit on its answer.
//!
//! RPC (`/api/v0`, POST only) for changes of the daemon; the gateway for file bytes, because the RPC copies in
//! pieces of 4 KiB and hides errors. **An RPC stream that fails in the middle ends like a complete one; the error
//! is only in the trailer `X-Stream-Error`, which HTTP clients do not show.** So no answer here is taken as
//! complete because it ended: each is either proven by hash or signature, or must end with the line that marks
//! success (`doc/facts/kubo.md`).

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::time::Duration;

use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client, Response, Url};
use serde::Deserialize;

use crate::base::cid::Cid;
use crate::base::size::{BLOCK_MOST, RECORD_MOST};
use crate::config::url::below;
use crate::net::http::USER_AGENT;
use crate::net::http::block::{BLOCK_TYPE, BlockError, block_url, read_block, read_body};

mod config;
pub(crate) mod deaf;
mod door;
mod error;
mod local;
mod mfs;
mod pins;
pub mod routing;
mod swarm;
pub(crate) mod upload;
mod wire;

pub use door::Door;
pub use error::{KuboError, KuboErrorKind};
use wire::{WireImport, WireKey, WireRemoved};

/// The media type of an IPNS record (`specs:src/http-gateways/trustless-gateway.md`).
const RECORD_TYPE: &str = "application/vnd.ipfs.ipns-record";
/// Most bytes of a JSON answer: `pin/ls` of one pin, a list of keys, the lines of an import.
const ANSWER_MOST: usize = 1 << 20;
/// Deadline of calls that need neither network nor much disk.
const QUICK: Duration = Duration::from_secs(10);
/// Deadline of pinning and removing, which walk the stored blocks; a tree of 15,000 files took 3 s.
const WALK: Duration = Duration::from_secs(600);

/// A Kubo daemon. Cheap to clone; the client's connections are shared.
#[derive(Clone, Debug)]
pub struct Kubo {
    /// Address of the RPC, for example `http://127.0.0.1:5001`; any host if `door` is a Unix socket. `None`: only
    /// the gateway.
    pub api: Option<Url>,
    /// Address of the gateway. Use 127.0.0.1: the name `localhost` makes Kubo redirect.
    pub gateway: Url,
    /// The HTTP client; must use no proxy for these addresses.
    pub client: Client,
    /// Requirements of the RPC besides its address.
    pub door: Door,
}

/// The parameters of publishing a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publication<'a> {
    /// The key's name in the daemon.
    pub(crate) key: &'a str,
    /// The CID that the name shall point at.
    pub(crate) root: Cid,
    /// Sequence number of the record; must be higher than the last one.
    pub(crate) sequence: u64,
    /// Validity of the record.
    pub(crate) lifetime: Duration,
    /// Time for which caches may keep the answer; at most `lifetime` (Kubo 0.43 refuses more).
    pub(crate) ttl: Duration,
}

/// A peer that the daemon is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KuboPeer {
    /// Its peer id.
    pub(crate) id: String,
    /// Its address as a multiaddr: that of the live connection.
    pub(crate) address: String,
}

/// The daemon's disk use in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RepoSize {
    /// Bytes that the blocks use now.
    pub(crate) used: u64,
    /// `Datastore.StorageMax`: where garbage collection starts, if the daemon runs with it.
    pub(crate) most: u64,
}

impl Kubo {
    /// Makes a client of the trustless gateway at `url`: asked like Kubo's own, without its RPC.
    pub(crate) fn at_gateway(url: &Url, client: &Client) -> Self {
        Self { api: None, gateway: url.clone(), client: client.clone(), door: Door::default() }
    }

    /// Returns the daemon's version, for example `0.43.0`.
    pub(crate) async fn version(&self) -> Result<String, KuboError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Wire {
            version: String,
        }
        let wire: Wire = self.json("version", &[], QUICK).await?;
        Ok(wire.version)
    }

    /// Lists the peers that the daemon is connected to.
    pub(crate) async fn peers(&self) -> Result<Vec<KuboPeer>, KuboError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Wire {
            // Without a peer it is null.
            peers: Option<Vec<WirePeer>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct WirePeer {
            addr: String,
            peer: String,
        }
        let wire: Wire = self.json("swarm/peers", &[], QUICK).await?;
        let peers = wire.peers.unwrap_or_default().into_iter();
        Ok(peers.map(|peer| KuboPeer { id: peer.peer, address: peer.addr }).collect())
    }

    /// Lists the daemon's keys: their names in the daemon and their IPNS names (base36).
    pub(crate) async fn keys(&self) -> Result<Vec<(String, String)>, KuboError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Wire {
            keys: Vec<WireKey>,
        }
        let wire: Wire = self.json("key/ls", &[("ipns-base", "base36")], QUICK).await?;
        Ok(wire.keys.into_iter().map(|key| (key.name, key.id)).collect())
    }

    /// Makes an Ed25519 key called `name` and returns its IPNS name (base36).
    pub(crate) async fn generate_key(&self, name: &str) -> Result<String, KuboError> {
        let args = [("arg", name), ("type", "ed25519"), ("ipns-base", "base36")];
        let key: WireKey = self.json("key/gen", &args, QUICK).await?;
        Ok(key.id)
    }

    /// Signs and spreads a record; offline it is signed and spread once the daemon has peers again.
    ///
    /// Putting it to 20 DHT servers takes a minute at times; `deadline` limits that.
    pub(crate) async fn publish(&self, what: &Publication<'_>, deadline: Duration) -> Result<(), KuboError> {
        let (value, sequence) = (format!("/ipfs/{}", what.root), what.sequence.to_string());
        let lifetime = format!("{}s", what.lifetime.as_secs());
        let ttl = format!("{}s", what.ttl.min(what.lifetime).as_secs());
        let args = [
            ("arg", &*value),
            ("key", what.key),
            ("sequence", &sequence),
            ("lifetime", &lifetime),
            ("ttl", &ttl),
            // Resolving would fetch the root once more; it is known to be there.
            ("resolve", "false"),
            ("allow-offline", "true"),
        ];
        self.call("name/publish", &args, None, deadline, ANSWER_MOST).await.map(drop)
    }

    /// Returns the signed record of `name`, unproven (`index::ipns`): by RPC (Kubo 0.40) if configured, else by
    /// the gateway.
    ///
    /// `Absent` also when the daemon's `Routing.Type` is `none`, even for a name that it published itself.
    pub async fn record(&self, name: &str, deadline: Duration) -> Result<Vec<u8>, KuboError> {
        if self.api.is_none() {
            let path = format!("/ipns/{name}?format=ipns-record");
            return self.record_at("gateway record", &path, deadline).await;
        }
        let timeout = format!("{}ms", deadline.as_millis());
        self.call("name/get", &[("arg", name), ("timeout", &timeout)], None, deadline, RECORD_MOST).await
    }

    /// Returns the same by the gateway's routing service (`/routing/v1`, Kubo 0.40), as other servers offer it.
    ///
    /// `Absent` also if the answer is a success of any other type: servers of this kind report a missing record so
    /// (`specs:src/routing/http-routing-v1.md`, `GET /routing/v1/ipns/{name}`, response status codes).
    pub(crate) async fn routed_record(&self, name: &str, deadline: Duration) -> Result<Vec<u8>, KuboError> {
        let path = format!("/routing/v1/ipns/{name}");
        self.record_at("gateway routing", &path, deadline).await
    }

    /// Streams a CAR into the daemon, and pins its `root` if `pins` says so: then the daemon's collector waits for
    /// the end of the import. Success means that the daemon confirmed all of it.
    ///
    /// Blocks that are there already are cheap. Blocks of a failed import stay until garbage collection, so that
    /// trying again is cheap too. `deadline` is for the whole upload.
    pub(crate) async fn import(
        &self,
        car: impl Into<Body>,
        root: Cid,
        pins: bool,
        deadline: Duration,
    ) -> Result<(), KuboError> {
        const CALL: &str = "dag/import";
        let part = Part::stream(car).file_name("blocks.car");
        let part = part.mime_str("application/vnd.ipld.car").map_err(|e| KuboError::transport(CALL, &e))?;
        // The daemon announces the root afterwards; waiting for that would stall the publisher.
        let args = [("pin-roots", if pins { "true" } else { "false" }), ("stats", "true")];
        let answer = self.call(CALL, &args, Some(Form::new().part("file", part)), deadline, ANSWER_MOST).await?;
        let (mut pinned, mut counted) = (!pins, false);
        for line in lines::<WireImport>(CALL, &answer)? {
            counted |= line.stats.is_some();
            let Some(done) = line.root else { continue };
            if !done.pin_error_msg.is_empty() {
                return Err(KuboError::said(CALL, &done.pin_error_msg));
            }
            pinned |= done.cid.cid.parse() == Ok(root);
        }
        // The statistics come last; without them the stream was cut (trailer).
        if pinned && counted { Ok(()) } else { Err(cut(CALL)) }
    }

    /// Returns a block from the daemon's own disk, proven; `None` when it is not there. No network.
    pub async fn local_block(&self, cid: Cid) -> Result<Option<Vec<u8>>, KuboError> {
        let text = cid.to_string();
        let args = [("arg", &*text), ("offline", "true")];
        match self.call("block/get", &args, None, QUICK, BLOCK_MOST).await {
            Ok(block) if cid.proves(&block) => Ok(Some(block)),
            Ok(_) => {
                Err(KuboError::new("block/get", KuboErrorKind::Malformed, format!("answered other bytes than {cid}")))
            }
            Err(fault) if fault.kind == KuboErrorKind::Absent => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Removes blocks from the daemon's disk and returns how many are gone; pinned ones stay, missing ones count as gone.
    ///
    /// The daemon checks pins itself, indirect ones included; at most a few hundred a call, they are in the URL.
    pub(crate) async fn remove_blocks(&self, cids: &[Cid]) -> Result<usize, KuboError> {
        const CALL: &str = "block/rm";
        let texts: Vec<String> = cids.iter().map(Cid::to_string).collect();
        let mut args = vec![("force", "true")];
        args.extend(texts.iter().map(|text| ("arg", &**text)));
        let answer = self.call(CALL, &args, None, WALK, ANSWER_MOST).await?;
        // A pinned block is a line with an error, not an error of the call.
        Ok(lines::<WireRemoved>(CALL, &answer)?.iter().filter(|line| line.error.is_empty()).count())
    }

    /// Returns the disk use and limit of the daemon, without the full statistics, which can hang for minutes.
    pub(crate) async fn repo_size(&self) -> Result<RepoSize, KuboError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Wire {
            repo_size: u64,
            storage_max: u64,
        }
        let wire: Wire = self.json("repo/stat", &[("size-only", "true")], Duration::from_secs(60)).await?;
        Ok(RepoSize { used: wire.repo_size, most: wire.storage_max })
    }

    /// Returns a block through the gateway, proven; from the network when the daemon lacks it.
    pub(crate) async fn block(&self, cid: Cid, deadline: Duration) -> Result<Vec<u8>, KuboError> {
        const CALL: &str = "gateway block";
        let malformed = |text: String| KuboError::new(CALL, KuboErrorKind::Malformed, text);
        within(CALL, deadline, async {
            let answer = self.trustless(CALL, block_url(&self.gateway, cid), BLOCK_TYPE).await?;
            read_block(success(CALL, answer).await?, cid, |_| ()).await.map_err(|e| match e {
                BlockError::TooLong => malformed(too_long(BLOCK_MOST)),
                BlockError::Other(cid) => malformed(format!("answered other bytes than {cid}")),
                BlockError::Transport(e) => KuboError::transport(CALL, &e),
            })
        })
        .await
    }

    /// Opens a file through the gateway, its bytes unproven: **after a stall the gateway writes an error text into the
    /// body and cuts the connection**, so only proven bytes may be kept. `deadline` is for the answer's head.
    pub async fn file(&self, path: &str, deadline: Duration) -> Result<Response, KuboError> {
        const CALL: &str = "gateway file";
        let request = self.client.get(self.gateway_url(path)).header("User-Agent", USER_AGENT);
        let answer = within(CALL, deadline, async { request.send().await.map_err(|e| KuboError::transport(CALL, &e)) });
        let answer = answer.await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let text = within(CALL, QUICK, body_of_error(answer)).await.unwrap_or_default();
        Err(KuboError::status(CALL, status, &text))
    }

    /// Fetches a record from the gateway.
    async fn record_at(&self, call: &'static str, path: &str, deadline: Duration) -> Result<Vec<u8>, KuboError> {
        within(call, deadline, async {
            let answer = self.trustless(call, self.gateway_url(path), RECORD_TYPE).await?;
            if answer.status().is_success()
                && let Some(other) = type_of(&answer).filter(|kind| kind != RECORD_TYPE)
            {
                return Err(KuboError::new(
                    call,
                    KuboErrorKind::Absent,
                    format!("it has no record of this name ({other})"),
                ));
            }
            body(call, answer, RECORD_MOST).await
        })
        .await
    }

    /// Opens a trustless answer of the gateway, of any status.
    async fn trustless(&self, call: &'static str, url: Url, accept: &str) -> Result<Response, KuboError> {
        let request = self.client.get(url).header("Accept", accept).header("User-Agent", USER_AGENT);
        request.send().await.map_err(|e| KuboError::transport(call, &e))
    }

    fn gateway_url(&self, path: &str) -> Url {
        below(&self.gateway, path)
    }

    async fn json<T: for<'a> Deserialize<'a>>(
        &self,
        call: &'static str,
        args: &[(&str, &str)],
        deadline: Duration,
    ) -> Result<T, KuboError> {
        let answer = self.call(call, args, None, deadline, ANSWER_MOST).await?;
        serde_json::from_slice(&answer).map_err(|e| KuboError::new(call, KuboErrorKind::Malformed, e.to_string()))
    }

    /// Makes one RPC: POST, bounded in time and size.
    async fn call(
        &self,
        call: &'static str,
        args: &[(&str, &str)],
        form: Option<Form>,
        deadline: Duration,
        most: usize,
    ) -> Result<Vec<u8>, KuboError> {
        within(call, deadline, async { body(call, self.open(call, args, form).await?, most).await }).await
    }

    /// Sends one RPC and returns its answer unread, of any status. Not bounded in time.
    async fn open(&self, call: &'static str, args: &[(&str, &str)], form: Option<Form>) -> Result<Response, KuboError> {
        let Some(api) = &self.api else {
            return Err(KuboError::new(call, KuboErrorKind::Unreachable, "no RPC address is configured (kubo.api)"));
        };
        let mut url = below(api, &format!("/api/v0/{call}"));
        url.query_pairs_mut().extend_pairs(args);
        let request = self.door.client.as_ref().unwrap_or(&self.client).post(url).header("User-Agent", USER_AGENT);
        let request = match &self.door.secret {
            Some(Ok(secret)) => request.header("Authorization", secret.clone()),
            Some(Err(why)) => return Err(KuboError::new(call, KuboErrorKind::Forbidden, why)),
            None => request,
        };
        let request = match form {
            Some(form) => request.multipart(form),
            None => request,
        };
        request.send().await.map_err(|e| KuboError::transport(call, &e))
    }
}

/// Returns the media type of an answer without its parameters, in lower case; `None` when the header is missing.
fn type_of(answer: &Response) -> Option<String> {
    let kind = answer.headers().get("content-type")?.to_str().ok()?;
    Some(kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

async fn within<T>(
    call: &'static str,
    deadline: Duration,
    work: impl Future<Output = Result<T, KuboError>>,
) -> Result<T, KuboError> {
    tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| Err(KuboError::deadline(call, deadline)))
}

async fn body(call: &'static str, answer: Response, most: usize) -> Result<Vec<u8>, KuboError> {
    read(call, success(call, answer).await?, most).await
}

/// Returns an answer whose status is a success; of any other, its text is the error.
async fn success(call: &'static str, answer: Response) -> Result<Response, KuboError> {
    let status = answer.status();
    if !status.is_success() {
        let text = body_of_error(answer).await.unwrap_or_default();
        return Err(KuboError::status(call, status.as_u16(), &text));
    }
    Ok(answer)
}

async fn body_of_error(answer: Response) -> Result<Vec<u8>, KuboError> {
    read("error", answer, 64 << 10).await
}

async fn read(call: &'static str, answer: Response, most: usize) -> Result<Vec<u8>, KuboError> {
    let bytes = read_body(answer, most, |_| ()).await.map_err(|e| KuboError::transport(call, &e))?;
    bytes.ok_or_else(|| KuboError::new(call, KuboErrorKind::Malformed, too_long(most)))
}

fn too_long(most: usize) -> String {
    format!("the answer is longer than {most} bytes")
}

fn lines<T: for<'a> Deserialize<'a>>(call: &'static str, answer: &[u8]) -> Result<Vec<T>, KuboError> {
    let lines = serde_json::Deserializer::from_slice(answer).into_iter();
    lines.collect::<Result<_, _>>().map_err(|e| KuboError::new(call, KuboErrorKind::Malformed, e.to_string()))
}

fn cut(call: &'static str) -> KuboError {
    KuboError::new(call, KuboErrorKind::Malformed, "the answer ended without its last line; the daemon's log says why")
}

#[cfg(test)]
pub(crate) mod script;
#[cfg(test)]
mod tests;
