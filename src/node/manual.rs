//! What `man/pkgswarm-protocol.7` tells other implementers, checked against this implementation.

use super::bitswap;
use super::claims::{self, Question};
use super::mdns;
use super::message::{MOST, MOST_UNASKED};
use crate::dag::{CHUNK, MAX_BLOCK};
use crate::digest::Sha256;

const PAGE: &str = include_str!("../../man/pkgswarm-protocol.7");

#[test]
fn names_and_limits_are_those_of_the_program() {
    let limits = [MOST, MOST_UNASKED, MAX_BLOCK, CHUNK, bitswap::WANTS_MOST, claims::MOST];
    let rate = usize::try_from(claims::RATE).unwrap();
    let life = usize::try_from(mdns::LIFE.as_secs()).unwrap();
    for number in limits.into_iter().chain([rate, life]) {
        assert!(PAGE.contains(&number.to_string()), "{number} is not in the page");
    }
    for protocol in [bitswap::PROTOCOL, claims::PROTOCOL] {
        assert!(PAGE.contains(&format!("Protocol {protocol}.")), "{protocol}");
    }
}

#[test]
fn the_example_is_a_request() {
    let (_, example) = PAGE.split_once(".nf\n").unwrap();
    let hex: String = example.split_once(".fi").unwrap().0.split_whitespace().collect();
    let bytes: Vec<u8> = (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
    assert_eq!(usize::from(bytes[0]), bytes.len() - 1);
    let mut sha256 = Sha256([0; 32]);
    sha256.0[..2].copy_from_slice(&[1, 2]);
    assert_eq!(Question::read(&bytes[1..]), Ok(Some(Question { sha256, size: 2 << 20 })));
}
