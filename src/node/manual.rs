//! The examples for other implementers in `man/pkgswarm-protocol.7`, checked against this implementation.

use super::bitswap;
use super::claims::{self, ClaimQuestion};
use super::mdns;
use super::message::{MOST, MOST_UNASKED};
use super::{indexes, mux, peer};
use crate::base::digest::Sha256;
use crate::base::size::{BLOCK_MOST, CHUNK};

const PAGE: &str = include_str!("../../man/pkgswarm-protocol.7");

#[test]
fn names_and_limits_are_those_of_the_program() {
    let limits = [MOST, MOST_UNASKED, BLOCK_MOST, CHUNK, peer::WANTS_MOST, claims::MOST];
    let of_indexes = [indexes::REQUEST_MOST, indexes::ANSWER_MOST];
    let rates = [claims::RATE, indexes::RATE, peer::ENTRIES_RATE, bitswap::JUNK_MOST, mdns::LIFE.as_secs()];
    let rates = rates.map(|rate| usize::try_from(rate).unwrap());
    let of_streams = [mux::INBOUND_MOST, mux::HELD_MOST, mux::FRAME, mux::WINDOW, mux::GROWTH, peer::BLOCK_ROOM];
    for number in limits.into_iter().chain(of_indexes).chain(of_streams).chain(rates) {
        assert!(PAGE.contains(&number.to_string()), "{number} is not in the page");
    }
    for protocol in [bitswap::PROTOCOL, claims::PROTOCOL, indexes::PROTOCOL] {
        assert!(PAGE.contains(&format!("Protocol {protocol}.")), "{protocol}");
    }
}

/// Returns the bytes of example number `at`, after the byte with their count.
fn example(at: usize) -> Vec<u8> {
    let text = PAGE.split(".nf\n").nth(at).unwrap().split_once(".fi").unwrap().0;
    let hex: String = text.split_whitespace().collect();
    let bytes: Vec<u8> = (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
    assert_eq!(usize::from(bytes[0]), bytes.len() - 1);
    bytes[1..].to_vec()
}

#[test]
fn the_examples_are_requests() {
    assert_eq!(indexes::read_request(&example(2)), Ok(Some("ipns:k51")));
    let mut sha256 = Sha256([0; 32]);
    sha256.0[..2].copy_from_slice(&[1, 2]);
    assert_eq!(ClaimQuestion::read(&example(1)), Ok(Some(ClaimQuestion { sha256, size: 2 << 20 })));
}
