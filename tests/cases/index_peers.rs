//! Where to begin to look for an index: peers to which Kubo keeps a connection, and several plain copies.

use std::fs;

use crate::support::keys::{Keys, now};
use crate::support::*;

const ONE: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";
const TWO: &str = "12D3KooWLbCGHrEsZxHDQEaX4VfWQzCzmGJHQ6tq5FUYPQE1QDcA";

fn address(id: &str) -> String {
    format!("/ip4/81.2.69.160/tcp/4001/p2p/{id}")
}

/// A publisher whose manifest names the peer `TWO`, on a mirror, and a machine with this Kubo.
fn scene(kubo: &FakeKubo) -> (Keys, FakeMirror, World) {
    let publisher = Keys::new(1);
    let mut index = publisher.index(&[&Package::new("zlib", 3000)], now() - 60, 172_800);
    index.manifest.peers = vec![address(TWO).parse().unwrap()];
    let mirror = FakeMirror::serving::<&str, &[u8]>(&[]);
    publisher.sign(index).publish_on(&mirror);
    (publisher, mirror, World::new().kubo(kubo))
}

#[test]
fn kubo_keeps_connections_to_the_peers_of_an_index_until_it_is_removed() {
    let kubo = FakeKubo::empty();
    let (publisher, mirror, world) = scene(&kubo);
    let url = format!("http://{}/index", mirror.address());
    let gone = format!("http://{}/gone", mirror.address());
    let peer = address(ONE);
    let words = ["index", "add", "arch", &publisher.name(), "--url", &gone, "--url", &url, "--peer", &peer];
    let added = world.run(&[&words[..], &["--repo", "core", "--yes"]].concat());
    assert_eq!(added.code(), 0, "the second copy has it: {added:?}");
    assert_eq!(kubo.peering().ids(), [ONE, TWO], "the user's and the publisher's");
    let text = fs::read_to_string(world.path("config/config.d/index-arch.toml")).unwrap();
    assert!(text.contains(&format!("peers = [\"{peer}\"]\n")) && text.contains("url = [\""), "{text}");
    assert_eq!(world.run(&["index", "refresh"]).code(), 0);
    assert_eq!(kubo.peering().ids(), [ONE, TWO]);
    let show = world.run(&["index", "show", "arch"]);
    assert!(show.stdout.contains(&address(TWO)), "{show:?}");
    assert_eq!(world.run(&["index", "rm", "arch"]).code(), 0);
    assert_eq!(kubo.peering().ids(), [""; 0]);
}

#[test]
fn a_peering_of_the_users_own_stays() {
    let lasting = serde_json::json!([{"ID": ONE, "Addrs": []}]);
    let kubo = FakeKubo::empty().configured("/Peering/Peers", lasting);
    kubo.peering().add(TWO);
    let (publisher, mirror, world) = scene(&kubo);
    let url = format!("http://{}/index", mirror.address());
    let peer = address(ONE);
    let words = ["index", "add", "arch", &publisher.name(), "--url", &url, "--peer", &peer, "--repo", "core", "--yes"];
    assert_eq!(world.run(&words).code(), 0);
    assert_eq!(kubo.peering().ids(), [ONE, TWO]);
    assert_eq!(world.run(&["index", "rm", "arch"]).code(), 0);
    assert_eq!(kubo.peering().ids(), [ONE, TWO], "one was there before, the other is in its configuration");
}

#[test]
fn a_setting_switches_it_off_and_what_is_no_address_is_refused() {
    let kubo = FakeKubo::empty();
    let (publisher, mirror, world) = scene(&kubo);
    let url = format!("http://{}/index", mirror.address());
    let words = ["index", "add", "arch", &publisher.name(), "--url", &url, "--repo", "core", "--yes"];
    let bad = world.run(&[&words[..], &["--peer", "/ip4/81.2.69.160/tcp/4001"]].concat());
    assert!(bad.code() == 2 && bad.stderr.starts_with("error: --peer: expected an address like "), "{bad:?}");
    assert_eq!(world.run(&words).code(), 0);
    assert_eq!(kubo.peering().ids(), [TWO]);
    let off = world.set("PKGSWARM_KUBO_PEERING", "false");
    assert_eq!(off.run(&["index", "refresh"]).code(), 0);
    assert_eq!(kubo.peering().ids(), [""; 0], "what was asked for is let go");
}
