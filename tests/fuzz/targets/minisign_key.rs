//! minisign public and secret keys as texts: read, shown and read again, they are the same key.
#![no_main]

use pkgswarm::index::minisign::{PublicKey, SecretKey};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        assert_eq!(key.fingerprint().len(), 16);
        assert!(key.verify(b"test", data).is_err());
    }
    // Never asks the user for a password. (With one, the key derivation would take as long as it is meant to.)
    if let Ok(secret) = SecretKey::read(text, None) {
        let _ = secret.public();
    }
});
