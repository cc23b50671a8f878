//! The paths of the real programs, from `tests/parts`.

use std::path::{Path, PathBuf};

/// The user pacman drops to for downloads, and the one makepkg runs as.
pub const USER: &str = "alpm-test";

/// The programs that `tests/parts` provided.
#[derive(Clone, Debug)]
pub struct Parts {
    dir: PathBuf,
}

impl Parts {
    /// Returns the parts, every one of them but Kubo, or panics with the missing part and the command to get it.
    pub fn demand() -> Parts {
        let named = std::env::var_os("PKGSWARM_PARTS").map(PathBuf::from);
        let usual = || Some(Path::new(&std::env::var_os("HOME")?).join(".cache/pkgswarm-parts"));
        let parts = Parts { dir: named.or_else(usual).expect("PKGSWARM_PARTS or HOME is set") };
        [parts.pacman("6.0.2"), parts.pacman("7.1.0"), parts.repo_add()].iter().for_each(|it| parts.assert_has(it));
        user();
        parts
    }

    /// Returns Kubo's one program, or panics like `demand`.
    pub fn ipfs(&self) -> PathBuf {
        let program = self.dir.join("bin/ipfs");
        self.assert_has(&program);
        program
    }

    /// Returns the program of an ipfs-cluster's peer, or panics like `demand`.
    pub fn cluster(&self) -> PathBuf {
        let program = self.dir.join("bin/ipfs-cluster-service");
        self.assert_has(&program);
        program
    }

    /// Returns the program that follows an ipfs-cluster, or panics like `demand`.
    pub fn cluster_follow(&self) -> PathBuf {
        let program = self.dir.join("bin/ipfs-cluster-follow");
        self.assert_has(&program);
        program
    }

    fn assert_has(&self, program: &Path) {
        let skipped = std::fs::read_to_string(self.dir.join("skipped")).unwrap_or_default();
        assert!(program.exists(), "{} is missing: run `tests/parts`. It last said:\n{skipped}", program.display());
    }

    /// Returns NetworkManager, with nmcli beside it. Not on every machine.
    pub fn network_manager(&self) -> PathBuf {
        self.dir.join("bin/NetworkManager")
    }

    /// Returns one release of pacman.
    pub fn pacman(&self, version: &str) -> PathBuf {
        self.home(version).join("pacman")
    }

    /// Returns the program that prints one release's configuration.
    pub fn pacman_conf(&self, version: &str) -> PathBuf {
        self.home(version).join("pacman-conf")
    }

    /// Returns the newest `repo-add`.
    pub fn repo_add(&self) -> PathBuf {
        self.home("7.1.0").join("repo-add")
    }

    fn home(&self, version: &str) -> PathBuf {
        self.dir.join(format!("pacman-{version}/bin"))
    }
}

/// Returns user and group id of the test user.
pub fn user() -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let line = passwd.lines().find(|line| line.split(':').next() == Some(USER));
    let line = line.unwrap_or_else(|| panic!("no user {USER} here: run `tests/parts` as root"));
    let mut ids = line.split(':').skip(2).map(|field| field.parse().expect("a numeric id"));
    (ids.next().expect("a user id"), ids.next().expect("a group id"))
}

/// Gives a file or a directory to the test user.
pub fn give_to_user(path: &Path) {
    let (uid, gid) = user();
    std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("chown (these tests need root)");
}
