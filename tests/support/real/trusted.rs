//! A certificate for one host that the programs of another one trust, by files in `/etc` that only they see.

use super::{Host, command, run, scratch};
use rcgen::{CertificateParams, KeyPair};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The certificate, its key, and who trusts it until this is dropped.
pub struct Trusted {
    work: TempDir,
    /// `ip netns exec` puts what is in it over `/etc`.
    etc: PathBuf,
}

impl Trusted {
    /// Makes a certificate for the address of `server`, which the programs of `client` trust beside all others.
    pub fn by(client: &Host, server: &Host) -> Trusted {
        let work = scratch("tls");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![server.address().to_owned()]).expect("an address");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        fs::write(work.path().join("key.pem"), key.serialize_pem()).expect("a key");
        fs::write(work.path().join("certificate.pem"), &certificate).expect("a certificate");
        let etc = Path::new("/etc/netns").join(client.name());
        fs::create_dir_all(&etc).expect("a directory");
        run(command("cp").args(["-a", "/etc/ssl"]).arg(&etc)).ok();
        let bundle = etc.join("ssl/certs/ca-certificates.crt");
        let mut bundle = fs::OpenOptions::new().append(true).create(true).open(bundle).expect("the system's bundle");
        bundle.write_all(certificate.as_bytes()).expect("one certificate more");
        Trusted { work, etc }
    }

    /// Returns the lines of nginx that use it.
    pub fn lines(&self) -> String {
        let work = self.work.path().display();
        format!("ssl_certificate {work}/certificate.pem;\n    ssl_certificate_key {work}/key.pem;")
    }
}

impl Drop for Trusted {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.etc);
    }
}
