//! https servers: those that curl trusts on this machine are trusted, and no others; a refusal says why.

use std::sync::Arc;

use crate::support::run::Run;
use crate::support::tls::{Certificate, FakeTls, Made, bundle};
use crate::support::*;

const SIZE: usize = 40_000;

fn authority() -> Arc<Made> {
    Certificate::new().called("an authority").authority().make()
}

/// Fetches a package from a server with this certificate, where these are trusted.
fn fetch(trusted: &[&Made], presents: &Made, key_of: &Made) -> (Run, World, Package) {
    let zlib = Package::new("zlib", SIZE);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let tls = FakeTls::with_key_of(&mirror, presents, key_of);
    let world = World::new().sync_database("core", &database(&[&zlib], Compression::Gzip));
    let world = world.servers("core", &[tls.repo("core")], &[]);
    let pem = bundle(&world, "bundle.pem", trusted);
    // A busy machine makes a certificate with a P-521 key slowly.
    let world = world.set("SSL_CERT_FILE", pem.to_str().unwrap()).set("PKGSWARM_DOWNLOAD_CONNECT", "60 s");
    let run = world.xfer(&tls.url("core", &zlib.file_name()), &world.out(&zlib.file_name()));
    (run, world, zlib)
}

#[track_caller]
fn is_trusted(what: &str, trusted: &[&Made], presents: &Made) {
    let (run, world, zlib) = fetch(trusted, presents, presents);
    assert_eq!(run.code(), 0, "{what}: {}", run.stderr);
    world.has(&world.out(&zlib.file_name()), &zlib.bytes);
}

#[track_caller]
fn is_refused(what: &str, why: &str, trusted: &[&Made], presents: &Made) {
    is_refused_with_key_of(what, why, trusted, presents, presents);
}

#[track_caller]
fn is_refused_with_key_of(what: &str, why: &str, trusted: &[&Made], presents: &Made, key_of: &Made) {
    let (run, world, _) = fetch(trusted, presents, key_of);
    assert_eq!(run.code(), 1, "{what}: {}", run.stderr);
    assert!(run.stderr.contains(&format!("untrusted: {why}")), "{what}: {}", run.stderr);
    world.has_no_output();
}

#[test]
fn a_certificate_of_a_trusted_authority_is_trusted_with_every_kind_of_key() {
    let kinds = [
        ("P-256", &rcgen::PKCS_ECDSA_P256_SHA256),
        ("P-384", &rcgen::PKCS_ECDSA_P384_SHA384),
        ("P-521", &rcgen::PKCS_ECDSA_P521_SHA512),
        ("Ed25519", &rcgen::PKCS_ED25519),
    ];
    for (what, kind) in kinds {
        let by = authority();
        is_trusted(what, &[&by], &Certificate::new().key(kind).signed_by(&by).make());
        let by = Certificate::new().called("an authority").key(kind).authority().make();
        is_trusted(&format!("signed with {what}"), &[&by], &Certificate::new().signed_by(&by).make());
    }
}

#[test]
fn a_certificate_that_is_itself_trusted_needs_no_authority_even_when_it_calls_itself_one() {
    let itself = Certificate::new().make();
    is_trusted("signed by itself", &[&itself], &itself);
    let itself = Certificate::new().authority().make();
    is_trusted("as openssl req -x509 makes it", &[&itself], &itself);
    let itself = Certificate::new().called("localhost").authority().make();
    is_trusted("the same with a common name alone", &[&itself], &itself);
    let itself = Certificate::new().key(&rcgen::PKCS_ECDSA_P521_SHA512).authority().make();
    is_trusted("the same with a P-521 key", &[&itself], &itself);
    let by = authority();
    let itself = Certificate::new().signed_by(&by).make();
    is_trusted("one whose authority is unknown", &[&itself], &itself);
}

#[test]
fn a_certificate_that_is_itself_trusted_is_looked_at_all_the_same() {
    let like = || Certificate::new().authority();
    let other = like().make();
    is_refused("not this one", "its certificate is from an authority", &[&other], &like().make());
    for (what, why, certificate) in [
        ("expired", "its certificate has expired", like().expired()),
        ("still to come", "its certificate is not valid yet", like().still_to_come()),
        ("another name", "its certificate is for another name", like().named("elsewhere.example")),
        ("another common name", "its certificate is for another name", like().called("elsewhere.example")),
        ("for certificates", "its certificate is not for TLS servers", like().for_signing_certificates()),
        ("for clients", "its certificate is not for TLS servers", like().for_clients()),
    ] {
        let certificate = certificate.make();
        is_refused(what, why, &[&certificate], &certificate);
    }
    let itself = like().make();
    is_refused_with_key_of("without the key", "it does not have the key", &[&itself], &itself, &other);
}

#[test]
fn a_certificate_of_a_trusted_authority_that_is_wrong_is_refused_with_the_reason() {
    let by = authority();
    let like = || Certificate::new().signed_by(&by);
    for (what, why, certificate) in [
        ("expired", "its certificate has expired", like().expired()),
        ("still to come", "its certificate is not valid yet", like().still_to_come()),
        ("another name", "its certificate is for another name", like().named("elsewhere.example")),
        ("for clients", "its certificate is not for TLS servers", like().for_clients()),
    ] {
        is_refused(what, why, &[&by], &certificate.make());
    }
    let (good, other) = (like().make(), like().make());
    is_refused_with_key_of("without the key", "it does not have the key", &[&by], &good, &other);
    is_refused("of an unknown authority", "its certificate is from an authority", &[&authority()], &good);
    is_trusted("a common name alone", &[&by], &like().called("localhost").make());
}

#[test]
fn the_bundle_of_curls_variable_takes_the_place_of_the_systems() {
    let (by, other) = (authority(), authority());
    let zlib = Package::new("zlib", SIZE);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let tls = FakeTls::before(&mirror, &Certificate::new().signed_by(&by).make());
    let world = World::new().sync_database("core", &database(&[&zlib], Compression::Gzip));
    let world = world.servers("core", &[tls.repo("core")], &[]);
    let (right, wrong) = (bundle(&world, "right.pem", &[&other, &by]), bundle(&world, "wrong.pem", &[&other]));
    std::fs::write(world.path("empty.pem"), "").unwrap();
    let missing = world.path("missing.pem");
    let (url, out) = (tls.url("core", &zlib.file_name()), world.out(&zlib.file_name()));
    let world = world.set("CURL_CA_BUNDLE", right.to_str().unwrap()).set("SSL_CERT_FILE", wrong.to_str().unwrap());
    world.xfer(&url, &out).succeeds();
    std::fs::remove_file(&out).unwrap();
    let world = world.set("SSL_CERT_FILE", right.to_str().unwrap());
    for (bundle, why) in [
        (wrong, "its certificate is from an authority that this machine does not trust"),
        (world.path("empty.pem"), "CURL_CA_BUNDLE names $WORLD/empty.pem: no certificate is in it"),
        (missing.clone(), "CURL_CA_BUNDLE names $WORLD/missing.pem: "),
    ] {
        let world = World::new().servers("core", &[tls.repo("core")], &[]);
        let world = world.set("CURL_CA_BUNDLE", bundle.to_str().unwrap()).set("SSL_CERT_FILE", right.to_str().unwrap());
        let run = world.xfer(&url, &world.out(&zlib.file_name()));
        let why = why.replace("$WORLD", bundle.parent().unwrap().to_str().unwrap());
        assert!(run.code() == 1 && run.stderr.contains(&format!("untrusted: {why}")), "{why}: {}", run.stderr);
        world.has_no_output();
    }
    // Empty means unset, and a machine without authorities says so.
    let world = World::new().servers("core", &[tls.repo("core")], &[]);
    let world = world.set("CURL_CA_BUNDLE", "").set("SSL_CERT_FILE", missing.to_str().unwrap());
    let run = world.xfer(&url, &world.out(&zlib.file_name()));
    let why = "untrusted: this machine has no certificates of authorities (is ca-certificates installed?)";
    assert!(run.code() == 1 && run.stderr.contains(why), "{}", run.stderr);
}

#[test]
fn what_speaks_no_tls_of_ours_is_refused_with_the_reason() {
    for (server, why) in [
        (FakeTls::with_old_ciphers(), "untrusted: it offers no TLS that this program speaks: "),
        (FakeTls::answering(&[21, 3, 1, 0, 2, 2, 70]), "untrusted: it offers no TLS that this program speaks: "),
        (FakeTls::answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "untrusted: it does not speak TLS on this port"),
    ] {
        let world = World::new().servers("core", &[server.repo("core")], &[]);
        let pem = bundle(&world, "bundle.pem", &[&authority()]);
        let world = world.set("SSL_CERT_FILE", pem.to_str().unwrap());
        let run = world.xfer(&server.url("core", "core.db"), &world.out("core.db"));
        assert!(run.code() == 1 && run.stderr.contains(why), "{why}: {}", run.stderr);
        world.has_no_output();
    }
}

#[test]
fn a_database_does_not_come_over_http_when_the_mirror_has_https() {
    let by = authority();
    let zlib = Package::new("zlib", SIZE);
    let bytes = database(&[&zlib], Compression::Gzip);
    let plain = FakeMirror::serving(&[zlib.file(), ("core.db".into(), bytes.clone())]);
    for (file, code) in [("core.db".to_owned(), 1), (zlib.file_name(), 0)] {
        let mirror = FakeMirror::serving(&[zlib.file(), ("core.db".into(), bytes.clone())]);
        let mirror = mirror.redirecting_to(&plain.url("core", &file));
        let tls = FakeTls::before(&mirror, &Certificate::new().signed_by(&by).make());
        let world = World::new().sync_database("core", &bytes).servers("core", &[tls.repo("core")], &[]);
        let pem = bundle(&world, "bundle.pem", &[&by]);
        let world = world.set("SSL_CERT_FILE", pem.to_str().unwrap());
        let run = world.xfer(&tls.url("core", &file), &world.out(&file));
        assert_eq!(run.code(), code, "{file}: {}", run.stderr);
        let why = format!("broken: a redirect from https to http://{} is not followed", plain.address());
        assert_eq!(run.stderr.contains(&why), code == 1, "{file}: {}", run.stderr);
    }
    assert_eq!(plain.hits("core.db"), 0);
}
