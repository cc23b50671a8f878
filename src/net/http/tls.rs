//! Trust in TLS servers: the authorities of this system, or those of `CURL_CA_BUNDLE`, as curl has it.
//!
//! Beyond what the library does by itself: a certificate that is itself, byte for byte, one of the trusted ones needs no
//! chain (`openssl req -x509` makes such ones, which call themselves an authority), and where an authority's certificate
//! has no alternative names, its common name counts (curl 8, lib/vtls/openssl.c: `ossl_verifyhost`). Names, dates, uses
//! and the handshake's signature are checked all the same (`tests/cases/tls.rs`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, RootCertStore,
    SignatureScheme,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// The settings of a client that speaks TLS.
///
/// # Errors
/// The fault of this machine's authorities, for people.
pub(super) fn trusting(bundle: Option<&Path>) -> Result<ClientConfig, String> {
    let trusted = trusted(bundle)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    let provider = provider();
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let chain = chain.build().map_err(|e| format!("its authorities cannot be used: {e}"))?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("the provider knows both versions").dangerous();
    let mut config =
        builder.with_custom_certificate_verifier(Arc::new(LeafOrChain { chain, trusted })).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The settings of a client that never speaks TLS, so that no authority needs to be read.
pub(super) fn none() -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.expect("the provider knows both versions");
    builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}

/// Returns ring's ciphers, key exchange and random numbers with aws-lc's verification of signatures, which knows P-521
/// keys.
///
/// The first random number of aws-lc gathers jitter of the processor's clock, which takes 30 ms of each process that
/// speaks TLS (aws-lc-sys 0.47; `tests/bench --case tls-start` measures the whole).
fn provider() -> Arc<CryptoProvider> {
    let verifying = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    let provider = rustls::crypto::ring::default_provider();
    Arc::new(CryptoProvider { signature_verification_algorithms: verifying, ..provider })
}

fn trusted(bundle: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, String> {
    let Some(bundle) = bundle else {
        // SSL_CERT_FILE and SSL_CERT_DIR count here, as with curl.
        let found = rustls_native_certs::load_native_certs();
        let why = found.errors.first().map(|e| format!(": {e}")).unwrap_or_default();
        let none = format!("this machine has no certificates of authorities (is ca-certificates installed?){why}");
        return if found.certs.is_empty() { Err(none) } else { Ok(found.certs) };
    };
    let failed = |e: &dyn std::fmt::Display| format!("CURL_CA_BUNDLE names {}: {e}", bundle.display());
    let all = CertificateDer::pem_file_iter(bundle).map_err(|e| failed(&e))?;
    let all = all.collect::<Result<Vec<_>, _>>().map_err(|e| failed(&e))?;
    if all.is_empty() { Err(failed(&"no certificate is in it")) } else { Ok(all) }
}

/// The bundle that the environment names in place of the system's.
pub(super) fn bundle(env: &crate::base::env::Env) -> Option<PathBuf> {
    env.var("CURL_CA_BUNDLE").map(PathBuf::from)
}

#[derive(Debug)]
struct LeafOrChain {
    chain: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for LeafOrChain {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let error = match self.chain.verify_server_cert(leaf, others, name, ocsp, now) {
            Ok(verified) => return Ok(verified),
            Err(error) => error,
        };
        let is_itself_trusted = self.trusted.iter().any(|trusted| trusted == leaf);
        // The chain is looked at before the name, so here it is good.
        let is_name_alone = matches!(
            error,
            Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            )
        );
        if !is_itself_trusted && !is_name_alone {
            return Err(unknown(error));
        }
        let bad = |why| Error::InvalidCertificate(why);
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| bad(CertificateError::BadEncoding))?;
        if is_itself_trusted {
            is_in_time(&parsed, now).map_err(bad)?;
            is_for_servers(&parsed).map_err(bad)?;
        }
        let by_names = rustls::client::verify_server_name(&ParsedCertificate::try_from(leaf)?, name);
        by_names.or_else(|error| if has_common_name(&parsed, name) { Ok(()) } else { Err(error) })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Calls the issuer unknown of a certificate that calls itself an authority, and of one that another authority of a known
/// name has signed: neither is the authority that this machine trusts.
fn unknown(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::Other(_) | CertificateError::BadSignature) => {
            Error::InvalidCertificate(CertificateError::UnknownIssuer)
        }
        other => other,
    }
}

fn is_in_time(leaf: &X509Certificate<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    match leaf.validity() {
        validity if now < validity.not_before.timestamp() => Err(CertificateError::NotValidYet),
        validity if now > validity.not_after.timestamp() => Err(CertificateError::Expired),
        _ => Ok(()),
    }
}

/// As OpenSSL's purpose of a TLS server (OpenSSL 3, crypto/x509/v3_purp.c: `check_purpose_ssl_server`): where a certificate
/// says what it is for, that must be among it.
fn is_for_servers(leaf: &X509Certificate<'_>) -> Result<(), CertificateError> {
    let extended = leaf.extended_key_usage().map_err(|_| CertificateError::BadEncoding)?;
    let usage = leaf.key_usage().map_err(|_| CertificateError::BadEncoding)?;
    let serves = extended.is_none_or(|extended| extended.value.server_auth || extended.value.any);
    let signs = usage.is_none_or(|usage| {
        usage.value.digital_signature() || usage.value.key_encipherment() || usage.value.key_agreement()
    });
    if serves && signs { Ok(()) } else { Err(CertificateError::InvalidPurpose) }
}

/// Returns true when a certificate without alternative names is for `name`.
fn has_common_name(leaf: &X509Certificate<'_>, name: &ServerName<'_>) -> bool {
    let has_others = !matches!(leaf.subject_alternative_name(), Ok(None));
    let mut names = leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    !has_others && names.any(|common| common.eq_ignore_ascii_case(&name.to_str()))
}

/// Explains what is wrong with a server's TLS, and what to do about it.
pub(super) fn explained(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired (is this machine's clock right?)".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet (is this machine's clock right?)".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name".to_owned()
            }
            CertificateError::UnknownIssuer => {
                "its certificate is from an authority that this machine does not trust; \
                                                `trust anchor --store CA.pem` adds one"
                    .to_owned()
            }
            CertificateError::BadSignature => "it does not have the key of its certificate".to_owned(),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "its certificate is not for TLS servers".to_owned()
            }
            other => format!("its certificate cannot be used: {other}"),
        },
        Error::AlertReceived(
            AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity,
        )
        | Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            "it offers no TLS that this program speaks: that is TLS 1.3, and 1.2 with ECDHE and AES-GCM or ChaCha20, \
             without CBC and RSA key exchange; use another mirror, or its http URL where packages are signed"
                .to_owned()
        }
        Error::InvalidMessage(_) => "it does not speak TLS on this port".to_owned(),
        other => other.to_string(),
    }
}
