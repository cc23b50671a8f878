//! The address book: who was seen on the network, where, and when to try again.
//!
//! Whoever is in the book and not connected is dialled again, each time a little later, for as long as somebody said the
//! last time that it is there.

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
    /// Until when they are believed.
    addresses: Vec<(Multiaddr, Instant)>,
    wait: Duration,
    next: Instant,
}

impl Book {
    /// Takes note of an address, for so long. A new one is dialled at the next look.
    pub fn add(&mut self, peer: PeerId, address: Multiaddr, life: Duration) {
        if !self.0.contains_key(&peer) && self.0.len() >= PEERS_MOST {
            return;
        }
        let now = Instant::now();
        let new = || Entry { addresses: Vec::new(), wait: FIRST, next: now };
        let entry = self.0.entry(peer).or_insert_with(new);
        if let Some((_, until)) = entry.addresses.iter_mut().find(|(known, _)| *known == address) {
            *until = (*until).max(now + life);
            return;
        }
        if entry.addresses.len() == ADDRESSES_MOST {
            entry.addresses.remove(0);
        }
        entry.addresses.push((address, now + life));
        (entry.wait, entry.next) = (FIRST, now);
    }

    /// Keeps the addresses that may be dialled, and for which the time is not over.
    pub fn keep(&mut self, may_dial: impl Fn(&Multiaddr) -> bool) {
        let now = Instant::now();
        self.0.retain(|_, entry| {
            entry.addresses.retain(|(address, until)| *until > now && may_dial(address));
            !entry.addresses.is_empty()
        });
    }

    /// A connection is there or has just ended: the next attempt, if one is needed, comes soon.
    pub fn met(&mut self, peer: PeerId) {
        if let Some(entry) = self.0.get_mut(&peer) {
            (entry.wait, entry.next) = (FIRST, Instant::now() + FIRST / 4);
        }
    }

    /// Whom to dial now, of those who are not connected. Each gets a longer wait.
    pub fn due(&mut self, is_connected: impl Fn(&PeerId) -> bool) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (peer, entry) in self.0.iter_mut().filter(|(peer, entry)| entry.next <= now && !is_connected(peer)) {
            entry.next = now + entry.wait;
            entry.wait = (entry.wait * 2).min(LONGEST);
            due.push((*peer, entry.places()));
        }
        due
    }

    /// Everybody in it.
    pub fn peers(&self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.0.iter().map(|(peer, entry)| (*peer, entry.places())).collect()
    }
}

impl Entry {
    fn places(&self) -> Vec<Multiaddr> {
        self.addresses.iter().map(|(address, _)| address.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(360);

    #[tokio::test(start_paused = true)]
    async fn who_is_away_is_tried_again_and_again_but_ever_more_rarely() {
        let (mut book, peer) = (Book::default(), PeerId::random());
        let address: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        book.add(peer, address.clone(), LIFE);
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
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_nobody_names_any_more_is_forgotten() {
        let (mut book, peer) = (Book::default(), PeerId::random());
        let places: [Multiaddr; 2] = ["/ip4/10.0.0.1/tcp/1".parse().unwrap(), "/ip4/10.0.0.2/tcp/1".parse().unwrap()];
        places.iter().for_each(|place| book.add(peer, place.clone(), LIFE));
        tokio::time::advance(LIFE / 2).await;
        book.add(peer, places[0].clone(), LIFE);
        tokio::time::advance(LIFE / 2).await;
        book.keep(|_| true);
        assert_eq!(book.peers(), [(peer, vec![places[0].clone()])]);
        book.keep(|_| false);
        assert_eq!(book.peers(), []);
    }

    #[tokio::test]
    async fn a_flood_of_names_does_not_fill_the_memory() {
        let (mut book, peer) = (Book::default(), PeerId::random());
        for port in 0..1000 {
            book.add(peer, format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap(), LIFE);
            book.add(PeerId::random(), "/ip4/10.0.0.1/tcp/1".parse().unwrap(), LIFE);
        }
        assert_eq!(book.0.len(), PEERS_MOST);
        assert_eq!(book.0[&peer].addresses.len(), ADDRESSES_MOST);
    }
}
