//! Real Kubo nodes, alone and several on one network, as pkgswarm's source and as its publisher.

#[path = "support/real/mod.rs"]
mod real;

use real::{Kubo, Lan, Parts, Routing, scratch};

#[test]
fn harness_works() {
    let parts = Parts::demand();
    let dir = scratch("file");
    let file = dir.path().join("file");
    std::fs::write(&file, vec![7; 3 << 20]).unwrap();
    let mut kubo = Kubo::start(&parts);
    println!("{} {}", kubo.api(), kubo.gateway());
    println!("{}", kubo.add(&file));
    kubo.kill();
    kubo.start_again();
    println!("{} {}", kubo.api(), kubo.gateway());
    let lan = Lan::new();
    let (a, b) = (lan.host(), lan.host());
    let (one, two) = (Kubo::start_on(&parts, &a, Routing::None), Kubo::start_on(&parts, &b, Routing::None));
    two.meets(&one);
    let cid = one.add(&file);
    println!("{}", two.ipfs(&["cat", "-l", "10", &cid]).ok());
    println!("{} {}", one.bytes_sent(), two.bytes_sent());
}
