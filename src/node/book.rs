//! The address book: the peers seen on the network, their addresses, and when to try again.
//!
//! A peer in the book that is not connected is dialled again, each time a little later, for as long as the last
//! announcement says that it is there. One sender can introduce a few peers, and a peer that could not be reached
//! makes room for a new one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use crate::node::gate::tcp_address;
use crate::node::mdns::FoundPeer;

/// Most peers, and most addresses of one peer: a LAN has fewer. Origin: chosen by us.
const PEERS_MOST: usize = 256;
const ADDRESSES_MOST: usize = 8;

/// Most addresses of a peer that differ only in the port. Origin: chosen by us; a peer has one.
const PORTS_MOST: usize = 2;

/// Most peers that one sender introduces: a machine runs one or two. Origin: chosen by us.
const OF_ONE_MOST: usize = 8;

/// Failed attempts after which a peer makes room for another one. Origin: chosen by us.
const ENOUGH: u32 = 5;

/// First and longest wait between two attempts.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(8);

/// Longest wait for a peer that was announced and never met.
const LONGEST_UNMET: Duration = Duration::from_secs(32);

/// The book.
#[derive(Default)]
pub(crate) struct Book(HashMap<PeerId, BookEntry>);

struct BookEntry {
    addresses: Vec<BookAddress>,
    wait: Duration,
    next: Instant,
    /// Attempts since the last connection.
    tries: u32,
    was_met: bool,
    /// The sender that introduced it; none when the configuration names it.
    by: Option<IpAddr>,
}

/// An address of a peer.
struct BookAddress {
    address: Multiaddr,
    /// The end of its validity.
    until: Instant,
    /// True if the announcement came from this address.
    is_senders: bool,
}

impl Book {
    /// Adds an address with its lifetime. A new one is dialled at the next check.
    pub(crate) fn add(&mut self, peer: PeerId, address: Multiaddr, life: Duration) {
        self.note(peer, address, life, None);
    }

    /// Adds an announced address.
    pub(crate) fn hear(&mut self, found: FoundPeer) {
        self.note(found.peer, found.address, found.life, Some(found.by));
    }

    fn note(&mut self, peer: PeerId, address: Multiaddr, life: Duration, by: Option<IpAddr>) {
        if !self.0.contains_key(&peer) && !self.has_room(by) {
            return;
        }
        let now = Instant::now();
        let new = || BookEntry { addresses: Vec::new(), wait: FIRST, next: now, tries: 0, was_met: false, by };
        let entry = self.0.entry(peer).or_insert_with(new);
        if let Some(known) = entry.addresses.iter_mut().find(|known| known.address == address) {
            known.until = known.until.max(now + life);
            return;
        }
        let host = tcp_address(&address).map(|ip| ip.to_canonical());
        let is_senders = by.is_none() || host == by.map(|ip| ip.to_canonical());
        entry.make_room(host);
        entry.addresses.push(BookAddress { address, until: now + life, is_senders });
        // Else a sender that names another port again and again would have each dialled at once.
        if entry.tries == 0 || entry.was_met || by.is_none() {
            (entry.wait, entry.next) = (FIRST, now);
        }
    }

    /// True if this sender may introduce one more peer, after another may have been removed for it.
    fn has_room(&mut self, by: Option<IpAddr>) -> bool {
        let of_one = |book: &Self, by| book.0.values().filter(|entry| entry.by == by).count();
        let is_full = self.0.len() >= PEERS_MOST;
        if by.is_none() || (!is_full && of_one(self, by) < OF_ONE_MOST) {
            return !is_full;
        }
        let in_question =
            |entry: &BookEntry| if of_one(self, by) >= OF_ONE_MOST { entry.by == by } else { entry.by.is_some() };
        let worst = self.0.iter().filter(|(_, entry)| in_question(entry) && !entry.was_met);
        let worst = worst.max_by_key(|(_, entry)| entry.tries).filter(|(_, entry)| entry.tries >= ENOUGH);
        let Some(peer) = worst.map(|(peer, _)| *peer) else { return false };
        self.0.remove(&peer).is_some()
    }

    /// Keeps the unexpired addresses that may be dialled.
    pub(crate) fn keep(&mut self, may_dial: impl Fn(&Multiaddr) -> bool) {
        let now = Instant::now();
        self.0.retain(|_, entry| {
            entry.addresses.retain(|known| known.until > now && may_dial(&known.address));
            !entry.addresses.is_empty()
        });
    }

    /// Records that a connection was made or has just ended: the next attempt, if one is needed, comes soon.
    pub(crate) fn met(&mut self, peer: PeerId) {
        if let Some(entry) = self.0.get_mut(&peer) {
            (entry.wait, entry.next, entry.tries, entry.was_met) = (FIRST, Instant::now() + FIRST / 4, 0, true);
        }
    }

    /// Returns the peers to dial now, of those not connected, while `may_be` allows one more: first those with the
    /// fewest failed attempts, so that a new neighbour does not wait behind many absent ones. Each gets a longer
    /// wait.
    pub(crate) fn due(
        &mut self,
        is_connected: impl Fn(&PeerId) -> bool,
        mut may_be: impl FnMut() -> bool,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let now = Instant::now();
        let due = self.0.iter_mut().filter(|(peer, entry)| entry.next <= now && !is_connected(peer));
        let mut due: Vec<(&PeerId, &mut BookEntry)> = due.collect();
        due.sort_by_key(|(_, entry)| (entry.tries, entry.next));
        let taken = due.into_iter().take_while(|_| may_be());
        taken.map(|(peer, entry)| (*peer, entry.dialled(now))).collect()
    }

    /// Lists all peers and their addresses.
    pub(crate) fn peers(&self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.0.iter().map(|(peer, entry)| (*peer, entry.multiaddrs())).collect()
    }
}

impl BookEntry {
    fn multiaddrs(&self) -> Vec<Multiaddr> {
        self.addresses.iter().map(|known| known.address.clone()).collect()
    }

    /// Records that the peer is dialled now, and returns its addresses.
    fn dialled(&mut self, now: Instant) -> Vec<Multiaddr> {
        self.next = now + self.wait;
        let longest = if self.by.is_none() || self.was_met { LONGEST } else { LONGEST_UNMET };
        self.wait = (self.wait * 2).min(longest);
        self.tries = self.tries.saturating_add(1);
        self.multiaddrs()
    }

    /// Removes an address if there are enough: one of the same host, else one announced by another sender, else
    /// the oldest.
    fn make_room(&mut self, host: Option<IpAddr>) {
        let is_same = |known: &BookAddress| tcp_address(&known.address).map(|ip| ip.to_canonical()) == host;
        let of_host = self.addresses.iter().filter(|known| is_same(known)).count();
        let out = if of_host >= PORTS_MOST {
            self.addresses.iter().position(is_same)
        } else if self.addresses.len() >= ADDRESSES_MOST {
            self.addresses.iter().position(|known| !known.is_senders).or(Some(0))
        } else {
            None
        };
        if let Some(out) = out {
            self.addresses.remove(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(360);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_away_is_tried_again_and_again_but_ever_more_rarely() {
        let (mut book, peer) = (Book::default(), PeerId::random());
        let address: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        book.add(peer, address.clone(), LIFE);
        assert_eq!(book.due(|_| false, || true), [(peer, vec![address.clone()])]);
        assert_eq!(book.due(|_| false, || true), []);
        let mut tries = 0;
        for _ in 0..60 {
            tokio::time::advance(Duration::from_secs(1)).await;
            tries += book.due(|_| false, || true).len();
        }
        assert!((7..12).contains(&tries), "{tries} in a minute");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(book.due(|_| true, || true), [], "who is connected is left alone");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_no_longer_announced_is_forgotten() {
        let (mut book, peer) = (Book::default(), PeerId::random());
        let multiaddrs: [Multiaddr; 2] =
            ["/ip4/10.0.0.1/tcp/1".parse().unwrap(), "/ip4/10.0.0.2/tcp/1".parse().unwrap()];
        multiaddrs.iter().for_each(|multiaddr| book.add(peer, multiaddr.clone(), LIFE));
        tokio::time::advance(LIFE / 2).await;
        book.add(peer, multiaddrs[0].clone(), LIFE);
        tokio::time::advance(LIFE / 2).await;
        book.keep(|_| true);
        assert_eq!(book.peers(), [(peer, vec![multiaddrs[0].clone()])]);
        book.keep(|_| false);
        assert_eq!(book.peers(), []);
    }

    #[tokio::test]
    async fn a_flood_of_names_does_not_fill_the_memory() {
        let (mut book, peer) = (Book::default(), PeerId::random());
        for port in 0..1000 {
            book.add(peer, format!("/ip4/10.0.0.{}/tcp/{port}", port % 250).parse().unwrap(), LIFE);
            book.add(PeerId::random(), "/ip4/10.0.0.1/tcp/1".parse().unwrap(), LIFE);
        }
        assert_eq!(book.0.len(), PEERS_MOST);
        assert_eq!(book.0[&peer].addresses.len(), ADDRESSES_MOST);
    }

    fn said(host: u16, port: u16, by: u16) -> FoundPeer {
        let address = format!("/ip4/10.0.{}.{}/tcp/{port}", host / 200, 1 + host % 200).parse().unwrap();
        let by = format!("10.0.{}.{}", by / 200, 1 + by % 200).parse().unwrap();
        FoundPeer { peer: PeerId::random(), address, life: LIFE, by }
    }

    #[tokio::test(start_paused = true)]
    async fn one_sender_introduces_a_few_peers_and_is_not_believed_for_ever() {
        let mut book = Book::default();
        let mut dialled = 0;
        for _ in 0..600 {
            (0..5).for_each(|_| book.hear(said(7, 9100, 7)));
            dialled += book.due(|_| false, || true).len();
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert_eq!(book.0.len(), OF_ONE_MOST);
        assert!((OF_ONE_MOST..200).contains(&dialled), "{dialled} in a minute");
        // A new one of the same sender gets in once others could not be reached.
        let new = said(7, 4001, 7);
        for _ in 0..600 {
            book.hear(new.clone());
            book.due(|_| false, || true);
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert!(book.0.contains_key(&new.peer));
    }

    #[tokio::test(start_paused = true)]
    async fn a_neighbour_among_hundreds_of_strangers_is_dialled_first() {
        let mut book = Book::default();
        for sender in 0..2000 {
            book.hear(said(sender, 9100, sender));
            if sender % 16 == 0 {
                book.due(|_| false, || true);
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        }
        assert_eq!(book.0.len(), PEERS_MOST);
        book.due(|_| false, || true);
        tokio::time::advance(LONGEST_UNMET).await;
        let neighbour = said(3000, 4001, 3000);
        book.hear(neighbour.clone());
        let mut one = 1;
        let first = book.due(|_| false, || std::mem::replace(&mut one, 0) == 1);
        assert_eq!(first, [(neighbour.peer, vec![neighbour.address])]);
    }

    #[tokio::test]
    async fn what_others_say_of_a_peer_does_not_push_out_what_it_says_itself() {
        let mut book = Book::default();
        let own = said(1, 4001, 1);
        book.hear(own.clone());
        for port in 0..100 {
            book.hear(FoundPeer { peer: own.peer, ..said(port + 2, port, 99) });
            book.hear(FoundPeer { peer: own.peer, ..said(300, port, 99) });
        }
        let multiaddrs = book.0[&own.peer].multiaddrs();
        assert!(multiaddrs.contains(&own.address) && multiaddrs.len() <= ADDRESSES_MOST, "{multiaddrs:?}");
        assert!(
            multiaddrs.iter().filter(|multiaddr| multiaddr.to_string().contains("10.0.1.101")).count() <= PORTS_MOST
        );
    }
}
