//! The cost of TLS by itself: one small file over https, with everything that a process needs to speak it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::measure::{BenchRun, Outcome, time};
use super::scene::{Setup, Who};
use crate::real::Pkgbuild;

/// One call is a few milliseconds: it takes many to see through the noise.
const CALLS: usize = 20;

/// The content of the only file.
const FILE: &[u8] = &[7; 1000];

/// Measures milliseconds of fetching a small file over https from loopback, start to exit, against curl.
pub fn start(run: &BenchRun) -> Vec<Outcome> {
    let package = Pkgbuild::new("tiny", "1-1").size(1 << 10);
    let scene = Setup::of(std::slice::from_ref(&package)).build();
    let authority = scene.output("authority.pem");
    let url = format!("https://localhost:{}/file", serve_file(&authority));
    let ours = || {
        // An older program knows the second variable alone.
        let output = scene.output("ours");
        let mut ours = scene.ours(Who::User, &["fetch", &url, "-o"]);
        let took = time(ours.arg(&output).env("CURL_CA_BUNDLE", &authority).env("SSL_CERT_FILE", &authority)).0;
        has_the_file(&output);
        took.as_secs_f64() * 1e3
    };
    let theirs = || {
        let output = scene.output("theirs");
        let took = time(scene.curl(Who::User, &url, &output).env("CURL_CA_BUNDLE", &authority)).0;
        has_the_file(&output);
        took.as_secs_f64() * 1e3
    };
    run.times(CALLS).pairs(ours, theirs)
}

fn has_the_file(output: &Path) {
    assert_eq!(fs::read(output).expect("what was fetched"), FILE);
    fs::remove_file(output).expect("what was fetched");
}

/// Serves the file until the process ends; writes the certificate to trust and returns the port.
fn serve_file(authority: &PathBuf) -> u16 {
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name").self_signed(&key);
    let certificate = certificate.expect("a certificate");
    fs::write(authority, certificate.pem()).expect("a file");
    fs::set_permissions(authority, fs::Permissions::from_mode(0o644)).expect("a file");
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS #8");
    let config = Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).expect("a key that can sign"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that has what it wants may go as it likes.
            let _ = answer(stream, &config);
        }
    });
    port
}

fn answer(stream: TcpStream, config: &Arc<ServerConfig>) -> std::io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        let mut some = [0; 1024];
        match stream.read(&mut some)? {
            0 => return Ok(()),
            read => heard.extend_from_slice(&some[..read]),
        }
    }
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", FILE.len())?;
    stream.write_all(FILE)?;
    stream.conn.send_close_notify();
    stream.flush()
}
