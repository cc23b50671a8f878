//! A publisher whose index is a plain HTTP copy: made by `pkgswarm publish --offline`, signed by a key of its own.

use std::fs;
use std::path::Path;

use super::compression::Compression;
use super::repo::{Package, database};
use super::run::Running;
use super::{FakeMirror, World};

/// The copy and the key that proves it.
pub struct Publisher {
    /// Serves manifest, signature and tables.
    pub copy: FakeMirror,
    /// minisign public key, as `index add` takes it.
    pub key: String,
}

impl Publisher {
    /// Publishes `core` with these packages. `world` lends its directory and the program.
    pub fn of(world: &World, packages: &[&Package]) -> Self {
        let repo = world.path("publisher/core/os/x86_64");
        fs::create_dir_all(&repo).expect("a directory of ours");
        fs::write(repo.join("core.db"), database(packages, Compression::Gzip)).expect("a database");
        for package in packages {
            fs::write(repo.join(package.file_name()), &package.bytes).expect("a package");
        }
        let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("a key pair");
        let secret = world.path("publisher/secret.key");
        fs::write(&secret, pair.sk.to_box(None).expect("a key file").to_string()).expect("a key file");
        let out = world.path("publisher/out");
        let plain = |path: &Path| path.to_str().expect("a plain path").to_owned();
        let run = world.run(&[
            "publish",
            "--offline",
            "--minisign-key",
            &plain(&secret),
            "--out",
            &plain(&out),
            &plain(&repo),
        ]);
        assert_eq!(run.code(), 0, "publish: {}", run.stderr);
        let copy = FakeMirror::serving(&files_below(&out));
        Self { copy, key: pair.pk.to_base64() }
    }

    /// Adds the index to the configuration of `world` and fetches it, past the world's Kubo.
    pub fn add_to(&self, world: &World) {
        let url = format!("http://{}/index", self.copy.address());
        let mut add = world.command(&["index", "add", "test", &self.key, "--url", &url, "--repo", "core", "--yes"]);
        add.env("PKGSWARM_KUBO_ENABLED", "false");
        let run = Running::start(add, world.base()).finish();
        assert_eq!(run.code(), 0, "index add: {}", run.stderr);
    }
}

/// Every file below a directory, by its path in it, as served under `/index/`.
pub fn files_below(root: &Path) -> Vec<(String, Vec<u8>)> {
    let (mut open, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a directory of ours") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).expect("below it").to_str().expect("plain names").to_owned();
                files.push((format!("index/{name}"), fs::read(&path).expect("a file of ours")));
            }
        }
    }
    files
}
