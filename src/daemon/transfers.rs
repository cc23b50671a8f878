//! Files on their way from neighbours: one transfer for each, however many ask for it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::watch;

use crate::cid::Cid;
use crate::dag::CHUNK;
use crate::digest::Sha256;
use crate::name::FileName;
use crate::node::Node;
use crate::node::claims::Question;
use crate::node::fetch::{Arriving, Failed, Progress, fetch};
use crate::store::{Stay, Store};
use crate::verify::Verified;

/// Most transfers at a time. Origin: chosen by us; a read-ahead has a dozen.
const MOST: usize = 64;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Of the whole file.
    pub sha256: Sha256,
    /// In bytes.
    pub size: u64,
    /// Its CID, when the asker knows one.
    pub cid: Option<Cid>,
    /// What it is called.
    pub name: FileName,
}

/// How far it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// Nobody has said yes.
    Looking,
    /// It comes; so many bytes are there.
    Coming(u64),
    /// It is there, and proven.
    Done(u64),
    /// It does not come, for this reason.
    Absent(String),
    /// Other bytes came than were asked for.
    Corrupt(String),
    /// It stopped.
    Failed(String),
}

/// A transfer that somebody waits for. It ends when nobody does.
pub struct Transfer {
    state: watch::Receiver<State>,
    file: File,
}

impl Transfer {
    /// How far it is, now and later.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// What has come, for reading only.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// All of them. Cheap to clone.
#[derive(Clone)]
pub struct Transfers(Arc<Inner>);

struct Inner {
    node: Node,
    store: &'static Store,
    running: Mutex<HashMap<Sha256, Weak<Transfer>>>,
}

impl Transfers {
    /// Fetches by `node` into `store`.
    pub fn new(node: Node, store: &'static Store) -> Self {
        Self(Arc::new(Inner { node, store, running: Mutex::default() }))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        let running = self.0.running.lock().expect("nothing panics while it is held");
        running.values().filter(|transfer| transfer.strong_count() > 0).count()
    }

    /// The transfer of this file: the running one, else a new one. `None` when there are too many.
    ///
    /// # Errors
    /// When the store cannot be written to.
    pub fn get(&self, request: Request) -> io::Result<Option<Arc<Transfer>>> {
        let mut running = self.0.running.lock().expect("nothing panics while it is held");
        running.retain(|_, transfer| transfer.strong_count() > 0);
        if let Some(transfer) = running.get(&request.sha256).and_then(Weak::upgrade) {
            return Ok(Some(transfer));
        }
        let (tell, state) = watch::channel(State::Looking);
        if let Some(held) = self.0.store.find(request.sha256, request.size) {
            tell.send_replace(State::Done(held.proof.size()));
            return Ok(Some(Arc::new(Transfer { state, file: reading(&held.kept.file)? })));
        }
        if running.len() >= MOST {
            return Ok(None);
        }
        let key = request.sha256.to_string();
        // Only this process writes to its store: who holds the lock is a transfer that is ending.
        let Some(slot) = self.0.store.try_lock(&key)? else { return Ok(None) };
        slot.discard();
        let partial = slot.partial()?;
        let transfer = Arc::new(Transfer { state, file: reading(&partial)? });
        running.insert(request.sha256, Arc::downgrade(&transfer));
        drop(running);
        let node = self.0.node.clone();
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = run(&node, &request, &partial, &tell) => ended,
                // Nobody waits for it any more.
                () = tell.closed() => Err(State::Failed("given up".to_owned())),
            };
            let ended = match ended {
                Ok(proof) => {
                    // Who asked reads it from the descriptor, whether it gets a name or not.
                    if slot.keep(&request.name, &proof, Stay::Lasting, "lan").is_err() {
                        slot.discard();
                    }
                    State::Done(proof.size())
                }
                Err(why) => {
                    slot.discard();
                    why
                }
            };
            drop(slot);
            tell.send_replace(ended);
        });
        Ok(Some(transfer))
    }
}

/// Fetches it by the CID that is known, else by one that neighbours name.
async fn run(node: &Node, request: &Request, partial: &File, tell: &watch::Sender<State>) -> Result<Verified, State> {
    let among = node.bitswap.worth_asking();
    if among.is_empty() {
        return Err(State::Absent("no neighbour is connected".to_owned()));
    }
    let known = if request.size <= CHUNK as u64 { Some(Cid::raw(request.sha256)) } else { request.cid };
    if let Some(root) = known {
        match by_root(node, request, root, partial, tell, &among).await {
            // What an index says of the CID may be of another shape than what neighbours have.
            Err(State::Absent(_)) if request.size > CHUNK as u64 => {}
            other => return other,
        }
    }
    let question = Question { sha256: request.sha256, size: request.size };
    let claims = node.claims.ask(&node.ours(), question).await;
    for (root, who) in claims.into_iter().filter(|(root, _)| Some(*root) != known) {
        match by_root(node, request, root, partial, tell, &node.bitswap.worth_asking()).await {
            // A claim that leads to something else: nobody's word but theirs.
            Err(State::Corrupt(why)) => {
                who.iter().for_each(|peer| node.bitswap.shun(*peer));
                if *tell.borrow() != State::Looking {
                    return Err(State::Corrupt(why));
                }
            }
            Err(State::Absent(_)) => {}
            other => return other,
        }
    }
    Err(State::Absent("no neighbour has it".to_owned()))
}

/// The same file, for reading only.
fn reading(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

async fn by_root(
    node: &Node,
    request: &Request,
    root: Cid,
    partial: &File,
    tell: &watch::Sender<State>,
    among: &[libp2p::PeerId],
) -> Result<Verified, State> {
    let file = partial.try_clone().map_err(|e| State::Failed(e.to_string()))?;
    let (progress, mut seen) = watch::channel(Progress::default());
    let arriving = Arriving::new(root, request.size, file);
    let fetching = fetch(&node.bitswap, arriving, among, &progress);
    tokio::pin!(fetching);
    let ended = loop {
        tokio::select! {
            ended = &mut fetching => break ended,
            Ok(()) = seen.changed() => {
                let bytes = seen.borrow_and_update().bytes;
                if bytes > 0 {
                    tell.send_replace(State::Coming(bytes));
                }
            }
        }
    };
    match ended {
        Ok(arrived) => match arrived.into_verifier().finish(request.sha256, request.size) {
            Ok(proof) => Ok(proof),
            Err(e) => Err(State::Corrupt(format!("what neighbours sent {e}"))),
        },
        Err(Failed::Absent) => Err(State::Absent("no neighbour has it".to_owned())),
        Err(Failed::Content(e)) => Err(State::Corrupt(format!("what neighbours sent is not it: {e}"))),
        Err(e) => Err(State::Failed(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::shelf::{Shelf, Shelved};
    use crate::node::tests::Started;

    async fn ended(transfer: &Transfer) -> State {
        let mut states = transfer.state();
        let over = |state: &State| !matches!(state, State::Looking | State::Coming(_));
        states.wait_for(over).await.unwrap().clone()
    }

    fn request(file: &Shelved) -> Request {
        let name = FileName::new("a-1-1-any.pkg.tar.zst").unwrap();
        Request { sha256: file.sha256, size: file.key.size, cid: None, name }
    }

    fn transfers(node: &Node, dir: &std::path::Path) -> Transfers {
        let uid = rustix::process::getuid().as_raw();
        Transfers::new(node.clone(), Box::leak(Box::new(Store::open(&dir.join("store"), uid, 1 << 30).unwrap())))
    }

    /// Says of its own file that it is another one.
    fn forged(shelf: &Shelf, dir: &std::path::Path, honest: &Shelved) {
        let path = dir.join("forged");
        std::fs::write(&path, vec![6; usize::try_from(honest.key.size).unwrap()]).unwrap();
        shelf.add(Shelved { sha256: honest.sha256, ..Shelved::read(&path, "core").unwrap() });
    }

    #[tokio::test]
    async fn a_false_root_is_found_out_and_the_next_attempt_asks_somebody_else() {
        let dir = tempfile::tempdir().unwrap();
        let (honest, liar) = (Started::new(&[]).await, Started::new(&[]).await);
        let file = honest.shelve(&dir.path().join("file"), &vec![5; 3 * CHUNK]);
        forged(&liar.node.shelf, dir.path(), &file);
        let wants = Started::new(&[&honest, &liar]).await;
        let transfers = transfers(&wants.node, dir.path());
        let mut states = Vec::new();
        for _ in 0..2 {
            let transfer = transfers.get(request(&file)).unwrap().unwrap();
            states.push(ended(&transfer).await);
        }
        // Either the honest one was asked first, or the liar was, and then not again.
        assert_eq!(states[1], State::Done(file.key.size), "{states:?}");
        assert!(matches!(states[0], State::Done(_) | State::Corrupt(_)), "{states:?}");
    }

    #[tokio::test]
    async fn several_who_ask_for_a_file_join_one_transfer_and_nobody_waiting_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let has = Started::new(&[]).await;
        let file = has.shelve(&dir.path().join("file"), &vec![5; 8 * CHUNK]);
        let wants = Started::new(&[&has]).await;
        let transfers = transfers(&wants.node, dir.path());
        let (one, two) =
            (transfers.get(request(&file)).unwrap().unwrap(), transfers.get(request(&file)).unwrap().unwrap());
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!((ended(&one).await, ended(&two).await), (State::Done(file.key.size), State::Done(file.key.size)));
        assert!(wants.node.bitswap.traffic(has.node.id).received < 9 * CHUNK as u64);
        drop((one, two));
        let other = has.shelve(&dir.path().join("other"), &vec![4; 50 * CHUNK]);
        drop(transfers.get(request(&other)).unwrap().unwrap());
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
