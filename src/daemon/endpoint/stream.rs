//! Sends a file while it comes: proven bytes, and a few of them in time while the next leaf is awaited. On any doubt the
//! pieces end, and with them the connection: pacman goes on by itself with the next server, from the byte it has.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::piece::{self, PIECE};
use super::transfer::{PATIENCE, RESERVE};
use crate::engine::deliver::{Delivery, Receipt};
use crate::engine::hub::{HubProgress, Ticket};
use crate::trust::plan::Expect;
use crate::trust::verify::Accepted;

/// Interval in which something is sent while the next leaf is awaited: pacman wants a byte a second on average over ten.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// Bytes that are sent then.
const DROP: u64 = 4;

/// Longest time without another leaf.
const STALL: Duration = Duration::from_secs(30);

/// Sends the bytes from the first of `part` on, up to and without the second, to `pieces`. False where not all of
/// them could be sent.
pub(super) async fn send(
    ticket: Ticket,
    expect: Expect,
    (mut at, until): (u64, u64),
    pieces: mpsc::Sender<Bytes>,
    receipt: Rc<RefCell<Receipt>>,
) -> bool {
    let mut progress = ticket.progress();
    let (mut seen, mut moved, mut sent) = (0, Instant::now(), Instant::now());
    loop {
        let HubProgress { proven, is_withdrawn, is_over, .. } = *progress.borrow_and_update();
        if is_withdrawn {
            return false;
        }
        if is_over {
            break;
        }
        if proven > seen {
            (seen, moved) = (proven, Instant::now());
        }
        let safe = proven.saturating_sub(RESERVE).min(until);
        let ahead = if at < safe { (safe - at).min(PIECE) } else { 0 };
        if ahead > 0 {
            match read(&ticket, at, ahead).await {
                Ok(bytes) if bytes.is_empty() => {
                    // Else it ended just now, and all of it is there; or it cannot be opened at the moment.
                    if !progress.borrow().is_over {
                        return false;
                    }
                }
                Ok(bytes) => {
                    at += bytes.len() as u64;
                    if pieces.send(bytes.into()).await.is_err() {
                        return false;
                    }
                    sent = Instant::now();
                }
                Err(_) => return false,
            }
            if at == until {
                return true;
            }
            continue;
        }
        let kept_back = proven.saturating_sub(1).min(until).saturating_sub(at).min(DROP);
        if moved.elapsed() > if kept_back > 0 { STALL } else { PATIENCE } {
            return false;
        }
        tokio::select! {
            changed = progress.changed() => if changed.is_err() { break },
            () = pieces.closed() => return false,
            // Counted from what was sent last: bytes that trickle in tell the client nothing.
            () = tokio::time::sleep_until(sent + SIGN_OF_LIFE) => {
                sent = Instant::now();
                let Ok(bytes) = read(&ticket, at, kept_back).await else { return false };
                at += bytes.len() as u64;
                if !bytes.is_empty() && pieces.send(bytes.into()).await.is_err() {
                    return false;
                }
            }
        }
    }
    let Some(Delivery { result, receipt: made }) = ticket.result().await else { return false };
    receipt.borrow_mut().add(made);
    let Ok(Some(obtained)) = result else { return false };
    let Expect::Exact { sha256, size } = expect else { return false };
    // The same bytes that the leaves were of.
    let Accepted::Proven(proof) = obtained.accepted else { return false };
    if (proof.sha256(), proof.size()) != (sha256, size) {
        return false;
    }
    let file = Arc::new(obtained.file);
    while at < until {
        let Ok(bytes) = piece::read(&file, at, until - at).await else { return false };
        at += bytes.len() as u64;
        if bytes.is_empty() || pieces.send(bytes.into()).await.is_err() {
            return false;
        }
    }
    true
}

/// Reads proven bytes of a file that is not whole yet; none where they are not proven any more.
async fn read(ticket: &Ticket, at: u64, most: u64) -> io::Result<Vec<u8>> {
    let Some(part) = ticket.proven_part(at, most) else { return Ok(Vec::new()) };
    let bytes = piece::read(&part.file, part.at, part.len).await?;
    Ok(if ticket.is_still(&part) { bytes } else { Vec::new() })
}
