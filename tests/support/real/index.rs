//! A signed index of a repository, published as plain files beside it.

use super::{Repo, Swarm};
use std::path::Path;

/// The key of a publisher.
pub struct SignedIndex {
    key: minisign::KeyPair,
}

impl SignedIndex {
    /// Makes a key.
    pub fn new() -> SignedIndex {
        SignedIndex { key: minisign::KeyPair::generate_unencrypted_keypair().expect("a key pair") }
    }

    /// Signs an index of a repository in its present state, and puts it below `tree`, the directory of a mirror.
    pub fn publish(&self, tree: &Path, repo: &Repo) {
        let (key, out) = (tree.join("secret.key"), tree.join("index"));
        let secret = self.key.sk.to_box(None).expect("a key file").into_string();
        std::fs::write(&key, secret).expect("a key file");
        let path = |path: &Path| path.display().to_string();
        let mut swarm = Swarm::install();
        swarm.set("PKGSWARM_STATE_DIR", &path(&tree.join("publisher")));
        let (key, out, repo) = (path(&key), path(&out), path(repo.dir()));
        swarm.run(&["publish", "--offline", "--minisign-key", &key, "--out", &out, &repo]).ok();
    }

    /// Returns the lines of a configuration that uses it from the mirror at this URL.
    pub fn config(&self, mirror: &str) -> String {
        let key = self.key.pk.to_base64();
        format!("[index.tests]\nminisign = \"{key}\"\nurl = \"{mirror}/index\"\nrepos = [\"core\"]\n")
    }
}
