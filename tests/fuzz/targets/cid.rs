//! Content ids and digests, as text and as bytes: one value, one spelling in each form.
#![no_main]

use pkgswarm::base::cid::{AnyCid, Cid};
use pkgswarm::base::digest::Sha256;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    if let Ok(cid) = Cid::from_bytes(data) {
        assert_eq!(cid.to_bytes(), data);
        agrees(cid);
    }
    if let Ok(cid) = Cid::of_link(data) {
        assert_eq!(cid.to_bytes(), data);
        assert_eq!(Cid::of_address(&cid.to_string()), Ok(cid));
        assert!(cid.inline().is_none_or(|block| cid.proves(block)));
        assert_eq!(AnyCid::from_bytes(data).map(AnyCid::readable), Ok(Ok(cid)));
    }
    if let Ok(any) = AnyCid::from_bytes(data) {
        assert_eq!(any.to_string().parse(), Ok(any));
        assert_eq!(any.readable(), Cid::of_link(data));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(cid) = text.parse::<Cid>() {
        agrees(cid);
        // The text may be in any base, but holds the CID and nothing else.
        let bytes = match text.len() == 46 && text.starts_with("Qm") {
            true => cid::multibase::Base::Base58Btc.decode(text),
            false => cid::multibase::decode(text).map(|(_, bytes)| bytes),
        };
        assert_eq!(bytes.ok(), Some(cid.to_bytes()), "{text}");
    }
    if let Ok(digest) = text.parse::<Sha256>() {
        assert_eq!(digest.to_string(), text.to_ascii_lowercase());
    }
});

fn agrees(cid: Cid) {
    assert_eq!(Cid::from_bytes(&cid.to_bytes()), Ok(cid));
    assert_eq!(cid.to_string().parse(), Ok(cid));
    assert!(cid.to_bytes().ends_with(&cid.digest().0));
}
