//! Packets of multicast DNS, which any host on the network can send. Every found peer is announced and found
//! again.
#![no_main]

use pkgswarm::node::mdns::{Heard, LIFE, announcement, read};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let Some(Heard::Found(found)) = read(data) else { return };
    assert!(!found.is_empty() && found.len() <= 32);
    for one in found {
        assert!(!one.life.is_zero());
        let packet = announcement("label", one.peer, &[one.address.clone()], LIFE);
        let Some(Heard::Found(again)) = read(&packet) else { panic!("{one:?} is lost") };
        assert_eq!((&again[0].peer, &again[0].address), (&one.peer, &one.address));
    }
});
