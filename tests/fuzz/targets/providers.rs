//! The search for providers: any bytes, in any pieces, become bounded peer ids or an error.
#![no_main]

use pkgswarm::net::kubo::routing::ProviderSearch;

const MOST: usize = 5;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let Some((cut, answer)) = data.split_first() else { return };
    let mut whole = ProviderSearch::default();
    let is_read = whole.feed(answer, MOST).is_ok();
    assert!(whole.ids.len() <= MOST && whole.ids.iter().all(|id| !id.is_empty() && id.len() <= 128));
    let (first, second) = answer.split_at(usize::from(*cut).min(answer.len()));
    let mut pieces = ProviderSearch::default();
    let is_read_in_pieces = pieces.feed(first, MOST).and_then(|()| pieces.feed(second, MOST)).is_ok();
    assert_eq!(is_read, is_read_in_pieces);
    assert!(!is_read || whole == pieces);
});
