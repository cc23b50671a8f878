//! The pins of a pinning service: requests, each with an id that the service has given.
//!
//! The ids are written down, because lists of services lose entries; and the lists are read, because an answer that was
//! lost has left a request without an id here. A new root is a new request, and the former one ends once the new one is
//! held: services that promise to replace one by the other have let go of both. A request that failed is ended and made
//! again.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;

use crate::base::cid::Cid;
use crate::base::fsx;
use crate::config::peer_address::PeerAddress;
use crate::net::kubo::Kubo;
use crate::net::pinning::{PinRequest, RemoteErrorKind, RemoteState, ServiceApi};
use crate::pins::patient::until_held;
use crate::pins::removing::remove_each;
use crate::pins::{Addition, PinError, PinMark, PinTarget, PresentPin, Removal, WantedPin};

/// Most bytes of the file of ids.
const IDS_MOST: u64 = 1 << 20;
/// Bounds of the questions about requests that a list does not name: how many are asked of, and for how long.
const UNLISTED_MOST: usize = 100;
const UNLISTED_TIME: Duration = Duration::from_secs(60);

/// What a service may say of one request that it does not know well, while it answers all other questions.
const ODD: [RemoteErrorKind; 3] = [RemoteErrorKind::Broken, RemoteErrorKind::Refused, RemoteErrorKind::Forbidden];

/// The pins of one service.
pub struct ServicePins {
    /// The service.
    api: ServiceApi,
    /// The daemon that has what is to be pinned: it connects to the service's nodes.
    kubo: Option<Kubo>,
    /// Addresses of that daemon, for the service.
    origins: Vec<String>,
    /// Longest wait for a request that was made.
    patience: Duration,
    requests: RequestBook,
}

/// The requests that were made, by root, in a file.
struct RequestBook {
    path: PathBuf,
    ids: RefCell<BTreeMap<String, Cid>>,
}

impl RequestBook {
    fn open(path: PathBuf) -> io::Result<Self> {
        // A damaged book is an empty one: the lists of the service have the same.
        let bytes = fsx::read_followed(&path, IDS_MOST)?.unwrap_or_default();
        let ids = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Self { path, ids: RefCell::new(ids) })
    }

    fn note(&self, request: &PinRequest) -> io::Result<()> {
        let before = self.ids.borrow_mut().insert(request.id.clone(), request.cid);
        if before == Some(request.cid) { Ok(()) } else { self.save() }
    }

    fn forget(&self, id: &str) -> io::Result<()> {
        let before = self.ids.borrow_mut().remove(id);
        if before.is_some() { self.save() } else { Ok(()) }
    }

    fn save(&self) -> io::Result<()> {
        let json = serde_json::to_vec(&*self.ids.borrow()).expect("texts always make JSON");
        fsx::replace_synced(&self.path, &json)
    }

    fn all(&self) -> Vec<(String, Cid)> {
        self.ids.borrow().iter().map(|(id, cid)| (id.clone(), *cid)).collect()
    }

    fn of_root(&self, cid: Cid) -> Vec<String> {
        self.ids.borrow().iter().filter(|(_, of)| **of == cid).map(|(id, _)| id.clone()).collect()
    }
}

impl ServicePins {
    /// Opens the pins at `api`; the ids of requests are in the file `book`.
    ///
    /// # Errors
    /// When that file is there and cannot be read.
    pub fn open(api: ServiceApi, book: PathBuf) -> io::Result<Self> {
        let requests = RequestBook::open(book)?;
        Ok(Self { api, kubo: None, origins: Vec::new(), patience: Duration::ZERO, requests })
    }

    /// Has them fetched from the daemon `kubo`, which is at `origins`; a request is waited for as long as `patience`.
    pub(crate) fn beside(self, kubo: Kubo, origins: Vec<String>, patience: Duration) -> Self {
        Self { kubo: Some(kubo), origins, patience, ..self }
    }

    async fn list_ours(&self, mark: &PinMark) -> Result<Vec<PresentPin>, PinError> {
        let listed = self.api.named(mark.start(), mark.is_exact()).await?;
        let mut ours: Vec<PinRequest> = listed.into_iter().filter(|it| mark.owns(it.cid, &it.name)).collect();
        let listed: HashSet<String> = ours.iter().map(|request| request.id.clone()).collect();
        let unlisted = self.requests.all().into_iter().filter(|(id, _)| !listed.contains(id));
        let until = Instant::now() + UNLISTED_TIME;
        for (id, cid) in unlisted.take(UNLISTED_MOST) {
            if Instant::now() >= until {
                break;
            }
            match self.api.get(&id, cid).await {
                // A service that loses entries of its lists may lose names as well.
                Ok(Some(request)) if request.name.is_empty() => {
                    ours.push(PinRequest { name: mark.start().to_owned(), ..request });
                }
                Ok(Some(request)) if mark.owns(request.cid, &request.name) => ours.push(request),
                Ok(Some(_)) => {}
                Ok(None) => self.requests.forget(&id)?,
                // An answer about another request, or none about this one, which may be another account's: that is no reason
                // to touch it, nor to do nothing at all, because the list was answered well.
                Err(e) if ODD.contains(&e.kind) => {}
                Err(e) => return Err(e.into()),
            }
        }
        let mut pins: BTreeMap<Cid, PinRequest> = BTreeMap::new();
        for request in ours {
            self.requests.note(&request)?;
            let best = pins.entry(request.cid).or_insert_with(|| request.clone());
            if best.state < request.state {
                *best = request;
            }
        }
        let pin = |request: PinRequest| {
            let copies = u32::from(request.state == RemoteState::Held);
            PresentPin { cid: request.cid, name: request.name, state: request.state.into(), copies }
        };
        Ok(pins.into_values().map(pin).collect())
    }

    async fn add_one(&self, wanted: &WantedPin, name: &str) -> Result<Addition, PinError> {
        let there = self.api.of_root(wanted.cid).await?;
        let ours = self.requests.of_root(wanted.cid);
        let is_ours = |request: &PinRequest| request.name == name || ours.contains(&request.id);
        if there.iter().any(|request| !is_ours(request) && request.state == RemoteState::Held) {
            return Ok(Addition::OfUser);
        }
        let of_others: Vec<String> =
            there.iter().filter(|request| !is_ours(request)).map(|request| request.id.clone()).collect();
        let mut standing = None;
        for request in there.into_iter().filter(is_ours) {
            match request.state {
                RemoteState::Failed => self.end(&request.id).await?,
                RemoteState::AtWork | RemoteState::Held => standing = Some(request),
            }
        }
        let request = match standing {
            Some(request) => request,
            None => self.api.add(wanted.cid, name, &self.origins).await?,
        };
        // Some services have one request for each root, and answer with the user's: it stays the user's.
        if of_others.contains(&request.id) {
            return match request.state {
                RemoteState::Held => Ok(Addition::OfUser),
                RemoteState::AtWork => Ok(Addition::Pending),
                RemoteState::Failed => Err(self.api.gave_up(&request).into()),
            };
        }
        self.requests.note(&request)?;
        if request.state == RemoteState::Held {
            return Ok(Addition::Held);
        }
        if let Some(kubo) = &self.kubo {
            for address in request.delegates.iter().filter_map(|text| text.parse::<PeerAddress>().ok()) {
                // A help; the service finds the daemon by itself where it can.
                let _ = kubo.connect(&address.to_string()).await;
            }
        }
        let state = until_held(self.patience, async || {
            // A service that does not know a new request yet has not got so far.
            Ok(self.api.get(&request.id, wanted.cid).await?.map_or(RemoteState::AtWork, |request| request.state))
        });
        match state.await? {
            RemoteState::Held => Ok(Addition::Held),
            RemoteState::AtWork => Ok(Addition::Pending),
            RemoteState::Failed => {
                let error = self.api.gave_up(self.api.get(&request.id, wanted.cid).await?.as_ref().unwrap_or(&request));
                self.end(&request.id).await?;
                Err(error.into())
            }
        }
    }

    async fn end(&self, id: &str) -> Result<(), PinError> {
        self.api.remove(id).await?;
        Ok(self.requests.forget(id)?)
    }

    async fn remove_one(&self, pin: &PresentPin) -> Result<Removal, PinError> {
        let mut done = Ok(Removal::Gone);
        for id in self.requests.of_root(pin.cid) {
            // One that cannot be ended keeps no other.
            if let Err(error) = self.end(&id).await {
                done = done.and(Err(error));
            }
        }
        done
    }
}

impl PinTarget for ServicePins {
    fn list<'a>(&'a self, mark: &'a PinMark) -> LocalBoxFuture<'a, Result<Vec<PresentPin>, PinError>> {
        Box::pin(self.list_ours(mark))
    }

    fn add<'a>(&'a self, wanted: &'a WantedPin, name: &'a str) -> LocalBoxFuture<'a, Result<Addition, PinError>> {
        Box::pin(self.add_one(wanted, name))
    }

    fn remove<'a>(
        &'a self,
        pins: &'a [PresentPin],
        until: Instant,
    ) -> LocalBoxFuture<'a, Vec<(PresentPin, Result<Removal, PinError>)>> {
        Box::pin(remove_each(pins, until, async |pin| self.remove_one(pin).await))
    }
}
