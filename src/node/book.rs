//! The address book: who was seen on the network, where, and when to try again.
//!
//! Multicast DNS names an address only while it is new, so a peer that was away for a minute would stay away. Whoever is
//! in the book and not connected is dialled again, each time a little later, for as long as its record lives.

use std::collections::HashMap;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

/// Most peers and most addresses of one: a LAN has fewer. Origin: chosen by us.
const PEERS_MOST: usize = 256;
const ADDRESSES_MOST: usize = 8;

/// First and longest wait between two attempts.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(8);

/// The book.
#[derive(Default)]
pub struct Book(HashMap<PeerId, Entry>);

struct Entry {
    addresses: Vec<Multiaddr>,
    wait: Duration,
    next: Instant,
}

impl Book {
    /// Takes note of an address. It is dialled at the next look.
    pub fn add(&mut self, peer: PeerId, address: Multiaddr) {
        if !self.0.contains_key(&peer) && self.0.len() >= PEERS_MOST {
            return;
        }
        let new = || Entry { addresses: Vec::new(), wait: FIRST, next: Instant::now() };
        let entry = self.0.entry(peer).or_insert_with(new);
        if !entry.addresses.contains(&address) {
            if entry.addresses.len() == ADDRESSES_MOST {
                entry.addresses.remove(0);
            }
            entry.addresses.push(address);
            (entry.wait, entry.next) = (FIRST, Instant::now());
        }
    }

    /// The record of an address has ended.
    pub fn remove(&mut self, peer: PeerId, address: &Multiaddr) {
        if let Some(entry) = self.0.get_mut(&peer) {
            entry.addresses.retain(|known| known != address);
            if entry.addresses.is_empty() {
                self.0.remove(&peer);
            }
        }
    }

    /// A connection is there or has just ended: the next attempt, if one is needed, comes soon.
    pub fn met(&mut self, peer: PeerId) {
        if let Some(entry) = self.0.get_mut(&peer) {
            (entry.wait, entry.next) = (FIRST, Instant::now() + FIRST / 4);
        }
    }

    /// Forgets everybody: this machine is in another network.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whom to dial now, of those who are not connected. Each gets a longer wait.
    pub fn due(&mut self, is_connected: impl Fn(&PeerId) -> bool) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (peer, entry) in self.0.iter_mut().filter(|(peer, entry)| entry.next <= now && !is_connected(peer)) {
            entry.next = now + entry.wait;
            entry.wait = (entry.wait * 2).min(LONGEST);
            due.push((*peer, entry.addresses.clone()));
        }
        due
    }

    /// Everybody in it.
    pub fn peers(&self) -> impl Iterator<Item = (&PeerId, &[Multiaddr])> {
        self.0.iter().map(|(peer, entry)| (peer, &entry.addresses[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_away_is_tried_again_and_again_but_ever_more_rarely() {
        let (mut book, peer) = (Book::default(), PeerId::random());
        let address: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        book.add(peer, address.clone());
        assert_eq!(book.due(|_| false), [(peer, vec![address.clone()])]);
        assert_eq!(book.due(|_| false), []);
        let mut tries = 0;
        for _ in 0..60 {
            tokio::time::advance(Duration::from_secs(1)).await;
            tries += book.due(|_| false).len();
        }
        assert!((7..12).contains(&tries), "{tries} in a minute");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(book.due(|_| true), [], "who is connected is left alone");
        book.remove(peer, &address);
        assert_eq!(book.due(|_| false), []);
    }

    #[tokio::test]
    async fn a_flood_of_names_does_not_fill_the_memory() {
        let (mut book, peer) = (Book::default(), PeerId::random());
        for port in 0..1000 {
            book.add(peer, format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap());
            book.add(PeerId::random(), "/ip4/10.0.0.1/tcp/1".parse().unwrap());
        }
        assert_eq!(book.0.len(), PEERS_MOST);
        assert_eq!(book.0[&peer].addresses.len(), ADDRESSES_MOST);
    }
}
