//! Each key of the table is told about, once.

use super::*;

#[test]
fn every_key_is_documented_and_named_once() {
    for (i, key) in KEYS.iter().enumerate() {
        assert_eq!(key.name.split('.').count(), 2, "{}", key.name);
        assert!(key.doc.ends_with('.'), "{}", key.name);
        assert!(!KEYS[..i].iter().any(|other| other.variable() == key.variable()), "{}", key.name);
    }
}
