//! Kubo's refusals: any bytes become a kind of failure and a short text that moves no cursor.
#![no_main]

use pkgswarm::net::kubo::KuboError;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let Some((status, body)) = data.split_first() else { return };
    let fault = KuboError::status("dag/import", 400 + u16::from(*status), body);
    assert!(!fault.text.chars().any(char::is_control), "{:?}", fault.text);
    assert!(fault.text.len() <= 16 * 1024, "{} bytes", fault.text.len());
    assert!(fault.to_string().starts_with("kubo: dag/import: "));
});
