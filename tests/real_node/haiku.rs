//! Haiku machines of a house: two machines run the endpoint, each for a Haiku machine of its own, and a package crosses
//! the uplink for the first of them alone.

use super::haiku_house::{HaikuEndpoint, PATH, publish};
use super::haiku_repository::{HaikuRepository, hpkg};
use super::pkgman::Pkgman;
use super::real::{Lan, Mirror, Swarm, scratch};
use super::{KIB, MIB};

#[test]
fn the_second_endpoint_of_a_house_gets_every_haiku_package_from_the_first_where_that_is_shared() {
    let listed =
        [hpkg("Haze", 90 * KIB as usize), hpkg("vision", 700 * KIB as usize), hpkg("large", 11 * MIB as usize)];
    let (repository, tree, lan) = (HaikuRepository::new(), scratch("tree"), Lan::new());
    publish(&repository, &listed, tree.path());
    let uplink = lan.host();
    let server = Mirror::serve_on(&uplink, tree.path(), "");
    let (shared, key) = (("PKGSWARM_SHARE_REPOS", "Demo"), repository.key());
    let served = |settings: &[(&str, &str)]| HaikuEndpoint::on(lan.host(), Swarm::install(), (&server, &key), settings);
    let first = served(&[shared]);
    let peers = first.at();
    let second = served(&[shared, ("PKGSWARM_ENDPOINT_PEERS", &peers)]);
    second.says("packages are asked of");
    let haikus = [lan.host(), lan.host()];
    let before = uplink.bytes_sent();
    first.installs(&haikus[0], &listed);
    let for_one = uplink.bytes_sent() - before;
    assert!(for_one > 11 * MIB, "{for_one} bytes");
    second.installs(&haikus[1], &listed);
    let for_two = uplink.bytes_sent() - before;
    println!("{for_one} bytes over the uplink for one machine, {for_two} for two");
    assert!(for_two * 100 <= for_one * 102, "{for_two} bytes for two machines, {for_one} for one");

    // What is not to be shared is not asked of others, nor given to them.
    let alone = served(&[("PKGSWARM_ENDPOINT_PEERS", &peers)]);
    let at = alone.at().parse().expect("an address");
    let refused = haikus[0].inside(move || Pkgman::at(at, PATH).add_repo());
    assert!(refused.join().expect("an answer").is_err(), "{}", alone.process.said());
}
