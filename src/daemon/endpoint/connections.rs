//! The connections of clients, so many at a time and no more: in total, and from one address. Where there is no place
//! for one more, the oldest that is waiting for a request goes. So half-open connections keep no honest client out.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use tokio_util::sync::CancellationToken;

/// Most connections. Each has a buffer of 64 KiB at most, and open files are bounded.
const MOST: usize = 1024;

/// Most from one address of another machine.
const MOST_EACH: usize = 64;

/// Most from one address of this machine, whose users share it.
const MOST_LOOPBACK: usize = 896;

/// The connections that there are, in the order in which they came.
#[derive(Default)]
pub(super) struct ClientConnections {
    last: Cell<u64>,
    open: RefCell<BTreeMap<u64, OpenConnection>>,
}

struct OpenConnection {
    from: IpAddr,
    /// Requests that have no complete answer yet.
    answers: Rc<Cell<usize>>,
    close: CancellationToken,
}

/// One connection's place; free again on drop.
pub(super) struct ConnectionPlace {
    all: Rc<ClientConnections>,
    number: u64,
    answers: Rc<Cell<usize>>,
    close: CancellationToken,
}

/// Marks a connection as one with a request that is being answered, until it is dropped.
pub(super) struct AnswerMark(Rc<Cell<usize>>);

impl ClientConnections {
    /// Takes a place for a connection from `from`; `None` where all are taken by clients that are being served.
    pub(super) fn admit(self: &Rc<Self>, from: IpAddr) -> Option<ConnectionPlace> {
        let from = from.to_canonical();
        let each = if from.is_loopback() { MOST_LOOPBACK } else { MOST_EACH };
        let (total, own) = {
            let open = self.open.borrow();
            (open.len(), open.values().filter(|one| one.from == from).count())
        };
        if own >= each {
            self.close_idle(|one| one.from == from)?;
        } else if total >= MOST {
            self.close_idle(|_| true)?;
        }
        self.last.set(self.last.get() + 1);
        let (number, answers, close) = (self.last.get(), Rc::<Cell<usize>>::default(), CancellationToken::new());
        let open = OpenConnection { from, answers: Rc::clone(&answers), close: close.clone() };
        self.open.borrow_mut().insert(number, open);
        Some(ConnectionPlace { all: Rc::clone(self), number, answers, close })
    }

    /// Closes the oldest connection of these that waits for a request.
    fn close_idle(&self, is_of_these: impl Fn(&OpenConnection) -> bool) -> Option<()> {
        let mut open = self.open.borrow_mut();
        let is_idle = |one: &OpenConnection| one.answers.get() == 0 && is_of_these(one);
        let number = open.iter().find(|(_, one)| is_idle(one)).map(|(number, _)| *number)?;
        open.remove(&number)?.close.cancel();
        Some(())
    }

    /// Counts them.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.open.borrow().len()
    }
}

impl ConnectionPlace {
    /// Returns the token that is cancelled when the place is wanted for another one.
    pub(super) fn closing(&self) -> &CancellationToken {
        &self.close
    }

    /// Marks the beginning of an answer.
    pub(super) fn answering(&self) -> AnswerMark {
        self.answers.set(self.answers.get() + 1);
        AnswerMark(Rc::clone(&self.answers))
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.all.open.borrow_mut().remove(&self.number);
    }
}

impl Drop for AnswerMark {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_idle_connection_makes_room_and_no_busy_one() {
        let all = Rc::<ClientConnections>::default();
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([192, 168, 1, 9]));
        let far: Vec<_> = (0..MOST_EACH).map(|_| all.admit(there).unwrap()).collect();
        let busy = far[0].answering();
        let honest = all.admit(here).unwrap();
        let next = all.admit(there).unwrap();
        assert!(
            !far[0].closing().is_cancelled() && far[1].closing().is_cancelled(),
            "the oldest idle one of its address"
        );
        let marks: Vec<_> = far.iter().skip(2).chain([&next]).map(ConnectionPlace::answering).collect();
        assert!(all.admit(there).is_none() && !honest.closing().is_cancelled());
        drop((busy, marks));
        assert!(all.admit(there).is_some());
        drop((far, next));
        assert_eq!(all.count(), 1);
        let half_open: Vec<_> = (0..10_000).filter_map(|_| all.admit(here)).collect();
        assert_eq!((half_open.len(), all.count()), (10_000, MOST_LOOPBACK));
    }
}
