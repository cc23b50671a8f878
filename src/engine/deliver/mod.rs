//! Delivers one planned file: from the store, from a package cache, or by a race over sources. Records the health
//! of the sources and returns a receipt.
//!
//! A delivery prints nothing and knows of no signal: its [`Call`] has a listener for the progress and a token that
//! cancels it, and warnings are in the receipt. It awaits the network on the runtime of its caller and keeps no state
//! of the process, so that one process can make many at once, each with a call of its own (`tests/cases/deliveries.rs`).
//!
//! | file | what |
//! |---|---|
//! | `order`, `candidate` | what goes in: the file and the purpose; the sources to ask |
//! | `here` | looks on this machine |
//! | `race` | makes a source of each candidate, runs the race over them (`crate::engine::race`), records their health |
//! | `obtained`, `receipt` | what comes out: the accepted file; the bytes of each source |

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::sync::Arc;

use crate::base::error::{Error, ErrorKind};
use crate::base::listener::StayWish;
use crate::base::name::FileName;
use crate::machine::Machine;
use crate::machine::call::Call;
use crate::store::{Slot, Stay, Store, Turn};
use crate::trust::plan::Expect;
use crate::trust::verify::Accepted;

mod candidate;
mod here;
mod obtained;
mod order;
mod race;
mod receipt;

pub use candidate::Candidate;
pub use here::here;
pub use obtained::{Obtained, TempFile, delivered};
pub use order::{Order, Purpose, Since, Updated};
use race::Raced;
pub use receipt::{Delivery, Receipt};

/// Fetches the file, or reports why no source could deliver it.
pub async fn fetch(call: &mut Call, order: Order<'_>, purpose: Purpose) -> Delivery<Obtained> {
    Delivery::of(async |receipt: &mut Receipt| {
        with_or_without_store(call, order, purpose, receipt, async |call: &mut Call, receipt: &mut Receipt| {
            let store = Arc::clone(&call.machine.store);
            let ground = ground(call, &store, order, purpose).await?;
            obtain(call, ground, order, purpose, receipt).await
        })
        .await
    })
    .await
}

/// Fetches the file for a later call; `None` when that call has had it meanwhile.
pub(crate) async fn read_ahead(call: &mut Call, order: Order<'_>) -> Delivery<Option<Obtained>> {
    let purpose = Purpose::ReadAhead;
    Delivery::of(async |receipt: &mut Receipt| {
        with_or_without_store(call, order, purpose, receipt, async |call: &mut Call, receipt: &mut Receipt| {
            let store = Arc::clone(&call.machine.store);
            let ground = ground(call, &store, order, purpose).await?;
            if let Ground::Slot { key, .. } = &ground
                && store.aside(&call.pacman_run.name).was_handed_out(key)
            {
                return Ok(None);
            }
            obtain(call, ground, order, purpose, receipt).await.map(Some)
        })
        .await
    })
    .await
}

/// Fetches a newer version of a file that the caller has. No date proves anything, so this is for files that are
/// accepted without a proof.
pub(crate) async fn update(call: &mut Call, order: Order<'_>, since: Since) -> Delivery<Updated> {
    let purpose = Purpose::Caller;
    Delivery::of(async |receipt: &mut Receipt| {
        with_or_without_store(call, order, purpose, receipt, async |call: &mut Call, receipt: &mut Receipt| {
            let scratch = call.scratch().map_err(|e| store_failed(&call.machine, &e))?;
            Ok(match race::race_since(call, order, since, &scratch, receipt).await? {
                Raced::Won(winner) => Updated::File(winner.file(scratch).loose()),
                Raced::Unchanged(from) => Updated::Unchanged(from),
                Raced::Older(from, date) => Updated::Older(from, date),
            })
        })
        .await
    })
    .await
}

/// Makes the `attempt`, and after a failure of the store a second one without it. curl needs no store, so a full or
/// broken one is no reason to fail.
async fn with_or_without_store<T>(
    call: &mut Call,
    order: Order<'_>,
    purpose: Purpose,
    receipt: &mut Receipt,
    attempt: impl AsyncFn(&mut Call, &mut Receipt) -> Result<T, Error>,
) -> Result<T, Error> {
    match attempt(call, receipt).await {
        Err(e) if e.kind == ErrorKind::Local && purpose.may_do_without_store() && !call.machine.store.is_passing() => {
            // What has arrived is kept, but not in the way of what is wanted now.
            if let (Expect::Exact { sha256, size }, true) = (order.plan.expect, call.machine.store.is_short(0)) {
                call.machine.store.let_go(sha256);
                // What waits for the user is worth more than an index that can wait.
                if purpose != Purpose::Refresh {
                    call.machine.store.make_room(size);
                }
            }
            if !call.without_store() {
                return Err(e);
            }
            receipt.warnings.push(format!("{e}; going on without a lasting store"));
            attempt(call, receipt).await
        }
        other => other,
    }
}

/// The place where the bytes of a file are gathered.
enum Ground<'s> {
    /// They are here, proven.
    Here(Obtained),
    /// A place in the store, locked.
    Slot {
        /// The lock.
        slot: Slot<'s>,
        /// Its name in the store.
        key: String,
        /// The expected size, in bytes.
        size: u64,
    },
    /// A file whose only user is the caller.
    Scratch,
}

/// Looks for the file here, then takes its place in the store. A file without an expectation has none there.
async fn ground<'s>(call: &Call, store: &'s Store, order: Order<'_>, purpose: Purpose) -> Result<Ground<'s>, Error> {
    let Expect::Exact { sha256, size } = order.plan.expect else { return Ok(Ground::Scratch) };
    if purpose.looks_here()
        && let Some(found) = here(call, order, purpose)
    {
        return Ok(Ground::Here(found));
    }
    let key = sha256.to_string();
    Ok(match turn(call, store, &key, order.name, Some(size)).await? {
        Turn::Ours(slot) => Ground::Slot { slot, key, size },
        Turn::Stuck => Ground::Scratch,
    })
}

async fn obtain(
    call: &mut Call,
    ground: Ground<'_>,
    order: Order<'_>,
    purpose: Purpose,
    receipt: &mut Receipt,
) -> Result<Obtained, Error> {
    match ground {
        Ground::Here(found) => Ok(found),
        Ground::Slot { slot, key, size } => {
            // Another process may have fetched it while this one waited.
            if purpose.looks_here()
                && let Some(found) = here(call, order, purpose)
            {
                return Ok(found);
            }
            into_slot(call, slot, (&key, size), order, purpose, receipt).await
        }
        Ground::Scratch => {
            let scratch = call.scratch().map_err(|e| store_failed(&call.machine, &e))?;
            call.listener.grows(&scratch);
            let winner = race::race(call, order, purpose, &scratch, receipt).await?;
            Ok(winner.file(scratch).loose())
        }
    }
}

/// Fetches the file into its place in the store, and leaves it there unless that would be a second copy.
async fn into_slot(
    call: &mut Call,
    slot: Slot<'_>,
    (key, size): (&str, u64),
    order: Order<'_>,
    purpose: Purpose,
    receipt: &mut Receipt,
) -> Result<Obtained, Error> {
    let store = Arc::clone(&call.machine.store);
    let partial = slot.partial().map_err(|e| store_failed(&call.machine, &e))?;
    let have = || partial.metadata().map_or(0, |meta| meta.len());
    let mut tries = 0..ROOM_TRIES;
    let raced = loop {
        // Leaves that an earlier race told of may be written over by this one.
        call.listener.grows(&partial);
        let raced = race::race(call, order, purpose, &partial, receipt).await;
        let failed_here = raced.as_ref().is_err_and(|error| error.kind == ErrorKind::Local);
        // Others fill the disk meanwhile, and make room too.
        let may_take = failed_here && !matches!(purpose, Purpose::Refresh | Purpose::Keep) && tries.next().is_some();
        if !may_take || !store.make_room(size.saturating_sub(have())) {
            break raced;
        }
    };
    if raced.is_err() && partial.metadata().is_ok_and(|meta| meta.len() == 0) {
        slot.discard();
    }
    let winner = raced?;
    let is_near = winner.is_near;
    let mut obtained = winner.file(partial);
    let Accepted::Proven(proof) = obtained.accepted else { return Ok(obtained) };
    debug_assert_eq!(proof.size(), size);
    // A file that this machine has anyway is not stored a second time, and none is where room is short.
    let is_once = is_near || store.is_passing() || store.is_short(size);
    let mut release = || slot.release().map(|path| obtained.loose = Some(TempFile::named(path)));
    let stored = match purpose.stays().max(call.listener.stays()) {
        StayWish::Nowhere => release(),
        StayWish::AsUsual if is_once => {
            store.aside(&call.pacman_run.name).note_handed_out(key);
            release()
        }
        StayWish::UntilTaken if is_near => slot.keep(order.name, &proof, Stay::Passing, &obtained.from),
        _ => slot.keep(order.name, &proof, Stay::Lasting, &obtained.from),
    };
    // The file is proven and open: a store that cannot keep it is no reason to fetch it again.
    if let Err(e) = stored {
        if purpose == Purpose::Prefetch {
            return Err(store_failed(&call.machine, &e));
        }
        receipt.warnings.push(store_failed(&call.machine, &e).to_string());
    }
    Ok(obtained)
}

/// Times that room is made for one file: several may be arriving at the same time.
const ROOM_TRIES: usize = 3;

/// Waits until no other delivery, of this process or another, fetches `key`, and meanwhile tells its progress.
///
/// # Errors
/// `Interrupted`; `Local` when the store cannot be used.
pub(crate) async fn turn<'s>(
    call: &Call,
    store: &'s Store,
    key: &str,
    name: &FileName,
    size: Option<u64>,
) -> Result<Turn<'s>, Error> {
    if let Some(slot) = store.try_lock(key).map_err(|e| store_failed(&call.machine, &e))? {
        return Ok(Turn::Ours(slot));
    }
    call.listener.begins(name.as_str(), size);
    let patience = call.machine.settings.stall * 3;
    let waiting = store.lock(key, patience, |arrived| call.listener.arrived(arrived, ""));
    let waited = call.cancel.run_until_cancelled(waiting).await;
    call.listener.ends();
    waited.ok_or_else(|| cancelled(name))?.map_err(|e| store_failed(&call.machine, &e))
}

/// Makes the error of a delivery that was cancelled.
pub(crate) fn cancelled(name: &FileName) -> Error {
    Error::new(ErrorKind::Interrupted, name, "interrupted; what has arrived is kept")
}

fn store_failed(machine: &Machine, e: &std::io::Error) -> Error {
    Error::local(machine.store.dir().display(), format!("the store cannot be used: {e}"))
        .hint("pkgswarm config shows where store.dir comes from")
}
