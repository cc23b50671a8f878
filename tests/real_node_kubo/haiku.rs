//! A house with Haiku machines, of which one machine has Kubo: what that has crosses the uplink for none of them.

use super::haiku_house::{HaikuEndpoint, publish};
use super::haiku_repository::{HaikuRepository, file_of, hpkg};
use super::real::{Kubo, Lan, Mirror, Parts, Routing, Swarm, scratch};
use super::{KIB, MIB};

#[test]
fn what_the_kubo_of_one_machine_has_crosses_the_uplink_for_no_haiku_machine() {
    // As much as follows from a sum: above 1 MiB an index has to name the root.
    let listed = [hpkg("Haze", 90 * KIB as usize), hpkg("vision", 900 * KIB as usize)];
    let (parts, repository, tree, lan) = (Parts::demand(), HaikuRepository::new(), scratch("tree"), Lan::new());
    publish(&repository, &listed, tree.path());
    let uplink = lan.host();
    let server = Mirror::serve_on(&uplink, tree.path(), "");
    let (shared, key) = (("PKGSWARM_SHARE_REPOS", "Demo"), repository.key());
    let host = lan.host();
    let kubo = Kubo::start_on(&parts, &host, Routing::None);
    let held = scratch("held");
    for (package, bytes) in &listed {
        let path = held.path().join(file_of(package));
        std::fs::write(&path, bytes).expect("a file");
        kubo.add(&path);
    }
    let first = HaikuEndpoint::on(host, Swarm::install().with_kubo(&kubo), (&server, &key), &[shared]);
    let peers = first.at();
    let second = [shared, ("PKGSWARM_ENDPOINT_PEERS", peers.as_str())];
    let second = HaikuEndpoint::on(lan.host(), Swarm::install(), (&server, &key), &second);
    second.says("packages are asked of");
    let haikus = [lan.host(), lan.host()];
    let before = uplink.bytes_sent();
    first.installs(&haikus[0], &listed);
    second.installs(&haikus[1], &listed);
    let crossed = uplink.bytes_sent() - before;
    println!("{crossed} bytes over the uplink for two machines");
    assert!(crossed < MIB / 10, "{crossed} bytes: {}", first.process.said());
}
