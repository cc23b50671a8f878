//! A publication that is rolled many times over a real cluster on hosts of a network: three peers and a stranger who follows by
//! the template, some of which are killed, or cut off, on the way.

use std::time::{Duration, Instant};

use super::Publication;
use super::followers::{Volunteer, followed};
use super::real::{ClusterPace, ClusterPeer, Kubo, Lan, Parts, Pkgbuild, Routing, until};

/// Rolls it so often, and returns once everything is as it shall be.
fn rolled(times: usize, pace: ClusterPace) {
    let parts = Parts::demand();
    let lan = Lan::new();
    let hosts = [(); 4].map(|()| lan.host());
    let [at_home, second, third, fourth] = [0, 1, 2, 3].map(|at| Kubo::start_on(&parts, &hosts[at], Routing::Dht));
    let writer = ClusterPeer::start_on(&parts, &at_home, &hosts[0], pace);
    let peers = [(&second, 1), (&third, 2)].map(|(kubo, at)| ClusterPeer::following(&writer, kubo, &hosts[at], pace));
    let publication = Publication::new(&parts, at_home).on(&hosts[0]);
    publication.describe(&followed(&publication, &writer));
    let mut roots = vec![publication.held(&writer)];
    let name = writer.pins()[0].1.rsplit(' ').next().expect("a name").to_owned();
    let mut volunteer = Volunteer::new(&parts, fourth, &name).on(&hosts[3]);
    volunteer.start();
    until("the stranger holds it", Duration::from_secs(120), || volunteer.holds(&roots[0]).then_some(()));

    for nth in 1..times {
        // A quarter with all of them, one without the stranger, one with it, and one in which the writer is alone.
        if nth == times / 4 {
            volunteer.kill();
        }
        if nth == times / 2 {
            let begun = Instant::now();
            assert_eq!(publication.held(&writer), roots[nth - 1], "one that is dead holds nothing up");
            println!("held without the stranger after {:?}", begun.elapsed());
            volunteer.start();
        }
        if nth == times * 3 / 4 {
            hosts[0].unplug();
        }
        publication.repo.add(&[Pkgbuild::new(&format!("p{nth}"), "1-1").size(50_000)]);
        // What a run could not do, the next one does.
        publication.run(&["arch"]);
        let root = publication.root();
        assert!(!roots.contains(&root), "it was rolled");
        roots.push(root);
    }
    hosts[0].plug();
    let begun = Instant::now();
    assert_eq!(publication.held(&writer), roots[times - 1], "the writer's list has the last one alone");
    println!("the writer holds the last one {:?} after the cable was back", begun.elapsed());
    let kubos = [&publication.kubo, &second, &third, &volunteer.kubo];
    until("all of them hold the last one and none of those before", Duration::from_secs(300), || {
        let is_so = |kubo: &&Kubo| {
            let pinned = kubo.ipfs(&["pin", "ls", "--type=recursive", "--quiet"]).ok().stdout;
            roots.iter().filter(|root| pinned.contains(&***root)).eq([&roots[times - 1]])
        };
        kubos.iter().all(is_so).then_some(())
    });
    println!("everywhere {:?} after it", begun.elapsed());
    let states = |peer: &ClusterPeer| peer.pins().into_iter().map(|(root, _)| root).collect::<Vec<_>>();
    peers.iter().for_each(|peer| assert_eq!(states(peer), [&*roots[times - 1]], "no orphan"));
}

#[test]
fn a_publication_is_rolled_while_a_stranger_is_killed_and_the_writer_cut_off_and_all_of_it_settles() {
    rolled(8, ClusterPace::Hasty);
}

#[test]
#[ignore = "minutes: `tests/run nightly`"]
fn a_publication_is_rolled_twenty_times_at_the_usual_pace_and_all_of_it_settles() {
    rolled(20, ClusterPace::Usual);
}
