//! TLS in front of a fake mirror, with certificates made for the occasion: right ones, and each way to be wrong.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SignatureAlgorithm,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::{FakeMirror, World};

/// What a certificate is like.
#[derive(Clone)]
pub struct Certificate {
    algorithm: &'static SignatureAlgorithm,
    params: CertificateParams,
    signed_by: Option<Arc<Made>>,
}

/// A certificate and its key.
pub struct Made {
    pub certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Certificate {
    /// For `localhost` and 127.0.0.1, signed by itself, with a P-256 key.
    pub fn new() -> Self {
        let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        Self { algorithm: &rcgen::PKCS_ECDSA_P256_SHA256, params, signed_by: None }
    }

    fn with(mut self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        change(&mut self.params);
        self
    }

    /// With a key of this kind.
    pub fn key(self, algorithm: &'static SignatureAlgorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// Calls itself an authority, as `openssl req -x509` has it.
    pub fn authority(self) -> Self {
        self.with(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
    }

    /// Signed by this one.
    pub fn signed_by(self, authority: &Arc<Made>) -> Self {
        Self { signed_by: Some(authority.clone()), ..self }
    }

    /// For another name.
    pub fn named(self, name: &str) -> Self {
        let names = CertificateParams::new(vec![name.to_owned()]).expect("a name").subject_alt_names;
        self.with(|params| params.subject_alt_names = names)
    }

    /// Without alternative names, with this common name.
    pub fn called(self, name: &str) -> Self {
        self.with(|params| {
            params.subject_alt_names = Vec::new();
            params.distinguished_name.push(DnType::CommonName, name);
        })
    }

    /// Over since 2001.
    pub fn expired(self) -> Self {
        self.with(|params| params.not_after = rcgen::date_time_ymd(2001, 1, 1))
    }

    /// Not before the year 3000.
    pub fn still_to_come(self) -> Self {
        self.with(|params| params.not_before = rcgen::date_time_ymd(3000, 1, 1))
    }

    /// May sign certificates, and nothing else.
    pub fn for_signing_certificates(self) -> Self {
        self.with(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign])
    }

    /// Is for TLS clients.
    pub fn for_clients(self) -> Self {
        self.with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth])
    }

    pub fn make(self) -> Arc<Made> {
        let key = KeyPair::generate_for(self.algorithm).expect("a key");
        let certificate = match &self.signed_by {
            None => self.params.self_signed(&key),
            Some(by) => self.params.signed_by(&key, &by.certificate, &by.key),
        };
        Arc::new(Made { certificate: certificate.expect("a certificate"), key })
    }
}

impl Made {
    fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).expect("PKCS #8")
    }
}

/// Writes these as the world's bundle of authorities.
pub fn bundle(world: &World, name: &str, trusted: &[&Made]) -> PathBuf {
    let path = world.path(name);
    let pem: String = trusted.iter().map(|made| made.certificate.pem()).collect();
    std::fs::write(&path, pem).expect("a bundle");
    path
}

/// A TLS server that passes on what it hears to a fake mirror. Gone when dropped.
pub struct FakeTls {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Presents one certificate and signs with one key, whether they belong together or not.
#[derive(Debug)]
struct Presents(Arc<CertifiedKey>);

impl ResolvesServerCert for Presents {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl FakeTls {
    /// With this certificate and its key.
    pub fn before(mirror: &FakeMirror, made: &Made) -> Self {
        Self::with_key_of(mirror, made, made)
    }

    /// With this certificate and the key of another one.
    pub fn with_key_of(mirror: &FakeMirror, made: &Made, other: &Made) -> Self {
        let (acceptor, to) = (Self::acceptor(made, other, &[]), mirror.address());
        Self::serving(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                // A client that does not trust us is no failure of ours.
                let (Ok(mut inside), Ok(mut outside)) = (acceptor.accept(stream).await, TcpStream::connect(to).await)
                else {
                    return;
                };
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
            }
        })
    }

    /// The TLS of a server with this certificate and the key of `other`, which offers these protocols.
    pub(super) fn acceptor(made: &Made, other: &Made, protocols: &[&str]) -> tokio_rustls::TlsAcceptor {
        let key = aws_lc_rs::sign::any_supported_type(&other.key()).expect("a key that can sign");
        let presents = Presents(Arc::new(CertifiedKey::new(vec![made.der()], key)));
        let builder = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("both versions").with_no_client_auth();
        let mut config = builder.with_cert_resolver(Arc::new(presents));
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    }

    /// Answers every greeting as a server does that has no cipher in common with us: with the alert `handshake_failure`.
    pub fn with_old_ciphers() -> Self {
        Self::answering(&[21, 3, 3, 0, 2, 2, 40])
    }

    /// Answers every greeting with these bytes.
    pub fn answering(bytes: &'static [u8]) -> Self {
        Self::serving(move |mut stream| async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            while stream.read(&mut [0; 4096]).await.is_ok_and(|got| got > 0) {}
        })
    }

    pub(super) fn serving<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("a bound socket has an address");
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                let accept = async {
                    while let Ok((stream, _)) = listener.accept().await {
                        tokio::spawn(serve(stream));
                    }
                };
                tokio::select! {
                    () = accept => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// The URL of a file of this repo.
    pub fn url(&self, repo: &str, file: &str) -> String {
        format!("{}/{file}", self.repo(repo))
    }

    /// What stands in a `Server =` line for this repo.
    pub fn repo(&self, repo: &str) -> String {
        format!("https://localhost:{}/{repo}/os/x86_64", self.address.port())
    }
}

impl Drop for FakeTls {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
