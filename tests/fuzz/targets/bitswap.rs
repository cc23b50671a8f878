//! Messages of neighbours: Bitswap and the small messages beside it. A message that is read is written and read
//! alike.
#![no_main]

use bytes::Bytes;
use pkgswarm::base::size::BLOCK_MOST;
use pkgswarm::node::claims::{ClaimQuestion, read_answer};
use pkgswarm::node::indexes::read_request;
use pkgswarm::node::message::{BitswapMessage, Draft};
use pkgswarm::config::network::Network;
use pkgswarm::base::protobuf;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let _ = (ClaimQuestion::read(data), read_answer(data), read_request(data));
    if let Ok(network) = std::str::from_utf8(data).unwrap_or_default().parse::<Network>() {
        assert_eq!(network.to_string().parse(), Ok(network));
    }
    let Ok(message) = BitswapMessage::read(&Bytes::copy_from_slice(data)) else { return };
    assert!(message.blocks.iter().all(|block| block.len() <= BLOCK_MOST));
    assert!(message.wants.iter().all(|want| !want.cid.is_empty() && want.cid.len() <= 128));
    let mut draft = Draft::default();
    message.wants.iter().for_each(|want| draft.want(want));
    let bytes = Bytes::from(draft.finish());
    let mut rest = &bytes[..];
    let len = protobuf::varint(&mut rest).expect("a length");
    assert_eq!(len, rest.len() as u64);
    let again = BitswapMessage::read(&bytes.slice_ref(rest)).expect("what was written");
    assert_eq!(again.wants.len(), message.wants.len());
    for (again, want) in again.wants.iter().zip(&message.wants) {
        assert_eq!((&again.cid, again.ask), (&want.cid, want.ask));
    }
});
