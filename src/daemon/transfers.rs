//! Files on their way from neighbours: one transfer for each file, however many callers ask for it.
//!
//! A transfer looks in the store, else finds the root (from the request, or claimed by a neighbour), has
//! `node/fetch.rs` write the blocks into the store's partial file, and proves the whole by the sha256.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::collections::HashMap;
use std::fs::File;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::listener::{Listener, Unheard};
use crate::base::name::FileName;
use crate::base::size::{self, BLOCK_MOST};
use crate::daemon::ended::{TransferError, told};
use crate::daemon::proven::ProvenStates;
use crate::daemon::room::{Room, RoomClaim};
use crate::engine::deliver::{Delivery, Obtained, Receipt};
use crate::engine::hub::{Duty, DutyListener, Hub, Ticket};
use crate::node::Node;
use crate::node::claims::ClaimQuestion;
use crate::node::fetch::{Arriving, FetchError, TransferProgress, fetch};
use crate::report::log;
use crate::store::journal::Contribution;
use crate::store::journal::FileOrigin;
use crate::store::{Slot, Stay, Store};
use crate::trust::verify::{Accepted, Verified};

/// Most transfers at a time, of all users and of one. Origin: chosen by us; a read-ahead has a dozen.
const MOST: usize = 64;
const MOST_OF_USER: usize = 40;

/// The file that is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Of the whole file.
    pub sha256: Sha256,
    /// In bytes.
    pub size: u64,
    /// Its CID, if the caller knows one.
    pub cid: Option<Cid>,
    /// Its file name.
    pub name: FileName,
}

/// Addresses of the neighbours that have sent any of one file.
pub(crate) type Senders = Arc<Mutex<Vec<IpAddr>>>;

/// All transfers: those of the process's hub that ask neighbours only. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Transfers(Arc<TransfersInner>);

struct TransfersInner {
    node: Node,
    store: &'static Store,
    proven: Arc<ProvenStates>,
    room: Room,
    hub: Hub,
    users: Arc<Mutex<HashMap<u32, usize>>>,
    senders: Mutex<HashMap<Sha256, Weak<Mutex<Vec<IpAddr>>>>>,
}

/// One transfer that counts for the user who asked first, until drop.
struct UserTransfer(Arc<Mutex<HashMap<u32, usize>>>, u32);

impl UserTransfer {
    /// Counts one more, unless the user has too many.
    fn of(users: &Arc<Mutex<HashMap<u32, usize>>>, user: u32) -> Option<Self> {
        let mut counts = users.lock().expect("nothing panics while it is held");
        let count = counts.entry(user).or_default();
        (*count < MOST_OF_USER).then(|| {
            *count += 1;
            Self(Arc::clone(users), user)
        })
    }
}

impl Drop for UserTransfer {
    fn drop(&mut self) {
        let mut counts = self.0.lock().expect("nothing panics while it is held");
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

impl Transfers {
    /// Creates transfers by `node` into `store`.
    pub(crate) fn new(node: Node, store: &'static Store) -> Self {
        let (proven, room) = (Arc::new(ProvenStates::of(store)), Room::of(store));
        let hub = Hub::new(MOST, CancellationToken::new());
        Self(Arc::new(TransfersInner {
            node,
            store,
            proven,
            room,
            hub,
            users: Arc::default(),
            senders: Mutex::default(),
        }))
    }

    /// Returns the senders of the file of `sha256`, now and as they become known. Take it before [`Transfers::get`]: it
    /// is forgotten with the last one that holds it.
    pub(crate) fn senders(&self, sha256: Sha256) -> Senders {
        self.0.senders(sha256)
    }

    /// Counts the transfers.
    pub(crate) fn count(&self) -> usize {
        self.0.hub.count()
    }

    /// Holds up all hashing of stored files until the value is dropped.
    #[cfg(test)]
    pub(super) async fn hold_up_reading(&self) -> impl Drop + use<> {
        self.0.proven.hold_up().await
    }

    /// Joins the transfer of this file for `user`: the running one, else a new one, from the store if it has the
    /// file. `None` when there are too many.
    pub(crate) fn get(&self, user: u32, request: Request) -> Option<Ticket> {
        let (ticket, duty) = self.0.hub.join(Some(request.sha256)).ok()?;
        let Some(duty) = duty else { return Some(ticket) };
        let counted = UserTransfer::of(&self.0.users, user)?;
        let (this, begun) = (Arc::clone(&self.0), Instant::now());
        let senders = this.senders(request.sha256);
        tokio::spawn(async move {
            let ended = duty.cancel().run_until_cancelled(this.deliver(user, &request, &duty)).await;
            drop(counted);
            // Cancelled, no caller waits for it any more.
            let ended = ended.unwrap_or_else(|| Err(TransferError::Failed("given up".to_owned())));
            let mut receipt = Receipt::default();
            receipt.sent("lan".to_owned(), duty.progress().bytes);
            let made = Delivery { result: ended.map(Some).map_err(|why| why.about(&request.name)), receipt };
            log::info(|| {
                let senders = senders.lock().expect("nothing panics while it is held");
                told(&request.name, &made, &senders, begun.elapsed())
            });
            duty.finish(made);
        });
        Some(ticket)
    }
}

impl TransfersInner {
    fn senders(&self, sha256: Sha256) -> Senders {
        let mut all = self.senders.lock().expect("nothing panics while it is held");
        if let Some(known) = all.get(&sha256).and_then(Weak::upgrade) {
            return known;
        }
        all.retain(|_, senders| senders.strong_count() > 0);
        let new = Senders::default();
        all.insert(sha256, Arc::downgrade(&new));
        new
    }

    /// Shows callers the file in the store, or the one coming from neighbours.
    async fn deliver(&self, user: u32, request: &Request, duty: &Duty) -> Result<Obtained, TransferError> {
        let tell = duty.listener(Unheard);
        if let Some((held, proof)) = self.proven.find(user, request.sha256, request.size).await {
            tell.grows(&held);
            let from = FileOrigin { is_stored: true, ..FileOrigin::default() };
            return Ok(Obtained::new(held, Accepted::Proven(proof), from));
        }
        if request.size > self.store.most() {
            return Err(TransferError::NoRoom);
        }
        let key = request.sha256.to_string();
        let slot = match self.store.try_lock(&key) {
            Ok(Some(slot)) => slot,
            // Only this process writes to its store: the lock is held by a transfer that is ending.
            Ok(None) => return Err(TransferError::Absent("another transfer of it is ending".to_owned())),
            Err(e) => return Err(TransferError::Failed(e.to_string())),
        };
        // Dropped before it is whole, it takes no room: a caller may still hold it open.
        let arriving = Partial(slot);
        let partial = arriving.0.fresh_partial().map_err(|e| TransferError::Failed(e.to_string()))?;
        tell.grows(&partial);
        let Some(mut claim) = self.room.claim(user, request.size.min(BLOCK_MOST as u64)).await else {
            return Err(TransferError::NoRoom);
        };
        let senders = self.senders(request.sha256);
        let incoming = Incoming { node: &self.node, partial: &partial, tell: &tell, duty, senders: &senders };
        let proof = incoming.fetch(request, &mut claim).await?;
        let origin = origin(&senders, proof.size());
        let kept = arriving.0.keep(&request.name, &proof, Stay::Lasting, &origin);
        kept.map_err(|e| TransferError::Failed(format!("the store cannot keep it: {e}")))?;
        self.proven.note(&partial, proof);
        Ok(Obtained::new(partial, Accepted::Proven(proof), origin))
    }
}

/// Returns the origin of a file of `size` bytes from these neighbours.
fn origin(senders: &Senders, size: u64) -> FileOrigin {
    let neighbours = senders.lock().expect("nothing panics while it is held").clone();
    let shares = vec![Contribution { source: "lan".to_owned(), bytes: size }];
    FileOrigin { neighbours, shares, ..FileOrigin::from("lan") }
}

/// A file coming into the store. Any part without proof at the end is removed, also for callers that hold it open.
struct Partial<'a>(Slot<'a>);

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        // The path of the kept file no longer exists.
        self.0.discard_emptied();
    }
}

/// The source and the destination of a file.
struct Incoming<'a> {
    node: &'a Node,
    partial: &'a File,
    tell: &'a DutyListener<Unheard>,
    duty: &'a Duty,
    senders: &'a Senders,
}

impl Incoming<'_> {
    /// Fetches the file by its known CID, else by one that neighbours name.
    async fn fetch(&self, request: &Request, claim: &mut RoomClaim) -> Result<Verified, TransferError> {
        let node = self.node;
        let among = node.bitswap.worth_asking();
        if among.is_empty() {
            return Err(TransferError::Absent("no neighbour is connected".to_owned()));
        }
        let known = size::own_block(request.size, request.sha256).or(request.cid);
        if let Some(root) = known {
            match self.by_root(request, root, &among, claim).await {
                // The CID of an index may describe another DAG shape than the neighbours have.
                Err(TransferError::Absent(_)) if !size::is_own_block(request.size) => {}
                other => return other,
            }
        }
        let question = ClaimQuestion { sha256: request.sha256, size: request.size };
        let claims = node.claims.ask(&node.ours(), question).await;
        for (root, claimants) in claims.into_iter().filter(|(root, _)| Some(*root) != known) {
            match self.by_root(request, root, &node.bitswap.worth_asking(), claim).await {
                // A claim that leads to other bytes; it counts against the claimant only.
                Err(TransferError::Corrupt(why)) => {
                    claimants.iter().for_each(|peer| node.bitswap.shun(*peer));
                    if self.duty.progress().bytes > 0 {
                        return Err(TransferError::Corrupt(why));
                    }
                }
                Err(TransferError::Absent(_)) => {}
                other => return other,
            }
        }
        Err(TransferError::Absent("no neighbour has it".to_owned()))
    }

    /// Notes the senders, for the callers that want to know them.
    fn name(&self, senders: &[libp2p::PeerId]) {
        *self.senders.lock().expect("nothing panics while it is held") = self.node.addresses(senders);
    }

    async fn by_root(
        &self,
        request: &Request,
        root: Cid,
        among: &[libp2p::PeerId],
        claim: &mut RoomClaim,
    ) -> Result<Verified, TransferError> {
        let file = self.partial.try_clone().map_err(|e| TransferError::Failed(e.to_string()))?;
        let (progress, mut seen) = watch::channel(TransferProgress::default());
        let arriving = Arriving::new(root, request.size, file);
        let fetching = fetch(&self.node.bitswap, arriving, among, &progress);
        tokio::pin!(fetching);
        let ended = loop {
            tokio::select! {
                ended = &mut fetching => break ended,
                Ok(()) = seen.changed() => {
                    let TransferProgress { bytes, senders } = seen.borrow_and_update().clone();
                    self.name(&senders);
                    if bytes > 0 {
                        // A neighbour has it. Before that it needs no more room than its first block.
                        if !claim.grow_to(request.size).await {
                            return Err(TransferError::NoRoom);
                        }
                        // Each block is proven by its CID before it is written, in order.
                        self.tell.proven(bytes);
                        self.tell.arrived(bytes, "lan");
                    }
                }
            }
        };
        // A small file is here before its progress was looked at.
        self.name(&seen.borrow().senders);
        match ended {
            Ok(arrived) => match arrived.into_verifier().finish(request.sha256, request.size) {
                Ok(proof) => Ok(proof),
                Err(e) => Err(TransferError::Corrupt(format!("what neighbours sent {e}"))),
            },
            Err(FetchError::Absent) => Err(TransferError::Absent("no neighbour has it".to_owned())),
            Err(FetchError::Content(e)) => Err(TransferError::Corrupt(format!("what neighbours sent is not it: {e}"))),
            Err(e) => Err(TransferError::Failed(e.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorKind;
    use crate::base::size::CHUNK;
    use crate::node::shelf::{Shelf, Shelved};
    use crate::node::tests::{Started, eventually};

    /// Waits for the end: the size of the file, or the kind of the error.
    async fn ended(ticket: Ticket) -> Result<u64, ErrorKind> {
        let made = ticket.result().await.expect("it ends with a result").result;
        made.map(|obtained| obtained.expect("a file").accepted.size()).map_err(|error| error.kind)
    }

    fn request(file: &Shelved) -> Request {
        let name = FileName::new("a-1-1-any.pkg.tar.zst").unwrap();
        Request { sha256: file.sha256, size: file.key.size, cid: None, name }
    }

    fn transfers(node: &Node, dir: &std::path::Path) -> Transfers {
        let uid = rustix::process::getuid().as_raw();
        Transfers::new(node.clone(), Box::leak(Box::new(Store::open(&dir.join("store"), uid, 1 << 30).unwrap())))
    }

    /// Asks for a file until `honest`, which a busy machine may make late, has answered.
    async fn answered(
        wants: &Started,
        transfers: &Transfers,
        file: &Shelved,
        honest: &Started,
    ) -> Result<u64, ErrorKind> {
        eventually(async || {
            let state = ended(transfers.get(1, request(file)).unwrap()).await;
            wants.node.bitswap.forgive(honest.node.id);
            Some(state).filter(|state| *state != Err(ErrorKind::NoSource))
        })
        .await
    }

    /// Claims that its own file is the honest one.
    fn forged(shelf: &Shelf, dir: &std::path::Path, honest: &Shelved) {
        let path = dir.join("forged");
        std::fs::write(&path, vec![6; usize::try_from(honest.key.size).unwrap()]).unwrap();
        shelf.add(Shelved { sha256: honest.sha256, ..Shelved::read(&path, "core").unwrap() });
    }

    #[tokio::test]
    async fn a_false_root_is_found_out_and_the_next_attempt_asks_another_peer() {
        let dir = tempfile::tempdir().unwrap();
        let (honest, liar) = (Started::new(&[]).await, Started::new(&[]).await);
        let file = honest.shelve(&dir.path().join("file"), &vec![5; 3 * CHUNK]);
        forged(&liar.node.shelf, dir.path(), &file);
        let wants = Started::new(&[&honest, &liar]).await;
        let transfers = transfers(&wants.node, dir.path());
        let mut states = Vec::new();
        for _ in 0..2 {
            states.push(answered(&wants, &transfers, &file, &honest).await);
        }
        // Either the honest neighbour was asked first, or the liar was, and then not again.
        assert_eq!(states[1], Ok(file.key.size), "{states:?}");
        assert!(matches!(states[0], Ok(_) | Err(ErrorKind::Corrupt)), "{states:?}");
    }

    #[tokio::test]
    async fn the_sender_of_a_small_file_is_named_as_well() {
        let dir = tempfile::tempdir().unwrap();
        let has = Started::new(&[]).await;
        let file = has.shelve(&dir.path().join("file"), &[5; 1000]);
        let wants = Started::new(&[&has]).await;
        let transfers = transfers(&wants.node, dir.path());
        let senders = transfers.senders(file.sha256);
        assert_eq!(answered(&wants, &transfers, &file, &has).await, Ok(1000));
        assert_eq!(*senders.lock().unwrap(), [std::net::Ipv4Addr::LOCALHOST]);
    }

    #[tokio::test]
    async fn several_callers_join_one_transfer_and_it_ends_when_none_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let has = Started::new(&[]).await;
        let file = has.shelve(&dir.path().join("file"), &vec![5; 8 * CHUNK]);
        let wants = Started::new(&[&has]).await;
        let transfers = transfers(&wants.node, dir.path());
        let received = || wants.node.bitswap.traffic(has.node.id).received;
        let (state, bytes) = eventually(async || {
            let before = received();
            let (one, two) = (transfers.get(1, request(&file)).unwrap(), transfers.get(1, request(&file)).unwrap());
            assert_eq!(transfers.count(), 1);
            let (state, same) = tokio::join!(ended(one), ended(two));
            assert_eq!(state, same);
            wants.node.bitswap.forgive(has.node.id);
            (state != Err(ErrorKind::NoSource)).then(|| (state, received() - before))
        })
        .await;
        assert_eq!(state, Ok(file.key.size));
        assert!(bytes < 9 * CHUNK as u64, "{bytes} bytes for 8 MiB");
        let other = has.shelve(&dir.path().join("other"), &vec![4; 50 * CHUNK]);
        drop(transfers.get(1, request(&other)).unwrap());
        let mut left = transfers.count();
        for _ in 0..1000 {
            left = transfers.count();
            if left == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(left, 0);
    }
}
