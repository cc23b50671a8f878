//! The pins of a Kubo daemon, held against the contract of every target (`tests/support/pins.rs`).

use std::time::Duration;

use pkgswarm::base::cid::Cid;
use pkgswarm::net::http::Http;
use pkgswarm::net::kubo::{Door, Kubo};
use pkgswarm::pins::KuboPins;
use reqwest::Url;

use crate::support::FakeKubo;
use crate::support::pins::{PinRig, keeps_the_contract};
use crate::support::repo::noise;

#[test]
fn the_pins_of_kubo_keep_the_contract() {
    let files = [1, 2, 3, 4, 5].map(|n| noise("pinned", 1000 + n));
    let fake = files.iter().fold(FakeKubo::empty(), |kubo, file| kubo.holding(file));
    let roots = files.map(|file| pkgswarm::dag::build::build(&file[..]).unwrap().root);
    let url = |text: String| Url::parse(&text).unwrap();
    let client = Http::new(Duration::from_secs(5)).loopback().clone();
    let kubo = Kubo { api: Some(url(fake.api_url())), gateway: url(fake.gateway_url()), client, door: Door::default() };
    let pins = |patience| KuboPins { kubo: &kubo, ledger: None, patience };
    keeps_the_contract(&PinRig {
        target: &pins(Duration::from_secs(60)),
        hasty: &pins(Duration::from_millis(500)),
        roots,
        absent: Cid::raw(pkgswarm::base::digest::Sha256::of(b"no daemon has this")),
        looks_on: false,
        pin_by_hand: &|cid, name| fake.pin(&cid.to_string(), name),
        all: &|| fake.pins().into_iter().map(|(cid, name)| (cid.parse().unwrap(), name)).collect(),
    });
}
