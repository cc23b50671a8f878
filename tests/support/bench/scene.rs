//! What the cases are played in: a repository on a mirror, a pacman that has synchronised, perhaps a Kubo that has it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::measure;
use crate::real::{CURL, Kubo, Mirror, Package, PacmanRoot, Parts, Release, Repo, Swarm, command, scratch, user};

/// One repository and everything that reads it.
pub struct Scene {
    pub swarm: Swarm,
    pub kubo: Option<Kubo>,
    pub mirror: Mirror,
    repo: Repo,
    parts: Parts,
    /// A pacman that has synchronised; nothing is ever installed with it.
    pub pacman: PacmanRoot,
    /// Its programs first, then the system's.
    path: OsString,
    out: TempDir,
    _tree: TempDir,
}

impl Scene {
    /// Packages on a mirror.
    pub fn of(packages: &[Package]) -> Scene {
        Scene::new(packages, None)
    }

    /// Packages on a mirror and in the local Kubo, which an index tells.
    pub fn with_kubo(packages: &[Package]) -> Scene {
        // As in a real network there is a routing system; this node is all of it.
        let mut kubo = Kubo::start(&Parts::demand());
        kubo.stop();
        kubo.configure(|config| {
            config["Routing"]["Type"] = json!("dht");
            config["Routing"]["LoopbackAddressesOnLanDHT"] = json!(true);
        });
        kubo.start_again();
        let scene = Scene::new(packages, Some(kubo));
        let said = scene.swarm.run(&["publish", &scene.repo.dir().display().to_string()]).ok();
        let key = said.stdout.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| word.starts_with("k51"));
        let key = key.unwrap_or_else(|| panic!("no IPNS name in what publish printed:\n{said}"));
        scene.swarm.run(&["index", "add", "bench", key, "--yes", "--repo", "core"]).ok();
        scene.swarm.run(&["index", "refresh"]).ok();
        scene
    }

    fn new(packages: &[Package], kubo: Option<Kubo>) -> Scene {
        let parts = Parts::demand();
        let tree = scratch("tree");
        let repo = Repo::new(&parts, tree.path(), "core");
        repo.add(packages);
        let mirror = Mirror::serve(tree.path());
        let mut swarm = Swarm::install();
        if let Some(kubo) = &kubo {
            swarm = swarm.with_kubo(kubo);
        }
        let pacman = PacmanRoot::new(&parts, Release::New, &swarm.xfer_command());
        let pacman = pacman.repo(&repo, &[&format!("{}/core", mirror.url())]);
        // Asking for the path writes the file anew, so it is asked once: a changed file is read again.
        let config = pacman.config();
        swarm.set("PKGSWARM_PACMAN_CONF", &config.display().to_string());
        let mut path = OsString::from(config.with_file_name("bin"));
        path.push(":/usr/bin:/bin");
        let pacman = swarm.around(pacman);
        pacman.run(&["-Sy"]).ok();
        let out = scratch("out");
        crate::real::give_to_user(out.path());
        Scene { swarm, kubo, mirror, repo, parts, pacman, path, out, _tree: tree }
    }

    /// Another pacman for the same repository, synchronised, with curl as its downloader.
    pub fn pacman_with_curl(&self) -> PacmanRoot {
        let pacman = PacmanRoot::new(&self.parts, Release::New, CURL);
        let pacman = pacman.repo(&self.repo, &[&format!("{}/core", self.mirror.url())]);
        pacman.run(&["-Sy"]).ok();
        pacman
    }

    /// The URL of a package at the mirror.
    pub fn url(&self, package: &Package) -> String {
        format!("{}/core/{}", self.mirror.url(), package.file_name())
    }

    /// The CID of a package.
    pub fn cid(&self, package: &Package) -> String {
        let file = self.repo.dir().join(package.file_name()).display().to_string();
        let said = self.swarm.run(&["cid", &file]).ok().stdout;
        said.split_whitespace().next().expect("a CID").to_owned()
    }

    /// Where to put what is fetched; nothing is there yet.
    pub fn output(&self, name: &str) -> PathBuf {
        let path = self.out.path().join(name);
        let _ = fs::remove_file(&path);
        path
    }

    /// Forgets everything that was fetched and learned.
    pub fn empty_store(&self) {
        for entry in fs::read_dir(self.swarm.store()).expect("the store") {
            let path = entry.expect("an entry").path();
            let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            removed.expect("an empty store");
        }
    }

    /// A call of pkgswarm by this user, with pacman's own programs in its PATH.
    pub fn ours(&self, who: Who, arguments: &[&str]) -> Command {
        let mut ours = self.swarm.command(arguments);
        ours.env("PATH", &self.path);
        who.is_for(&mut ours);
        ours
    }

    /// A call of curl as pacman would make it.
    pub fn curl(&self, who: Who, url: &str, output: &str) -> Command {
        let mut curl = command("/usr/bin/curl");
        curl.args(["-L", "-C", "-", "-f", "-s", "-o", output, url]);
        who.is_for(&mut curl);
        curl
    }

    /// Seconds that fetching `what` from the local Kubo takes, into an empty place.
    pub fn fetch_from_kubo(&self, who: Who, what: &str) -> f64 {
        self.empty_store();
        let output = self.output("ours");
        let (took, said) = measure::time(&mut self.ours(who, &["fetch", what, "-o", &output.display().to_string()]));
        assert!(said.contains("from kubo\n"), "it came from elsewhere: {said}");
        fs::remove_file(output).expect("what was fetched");
        took.as_secs_f64()
    }

    /// Seconds that curl takes for a URL.
    pub fn fetch_with_curl(&self, who: Who, url: &str) -> f64 {
        let output = self.output("theirs");
        let (took, _) = measure::time(&mut self.curl(who, url, &output.display().to_string()));
        fs::remove_file(output).expect("what was fetched");
        took.as_secs_f64()
    }
}

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// As pacman 7 calls its downloader.
    User,
    /// As pacman 6 does.
    Root,
}

impl Who {
    fn is_for(self, command: &mut Command) {
        if let Who::User = self {
            let (uid, gid) = user();
            command.uid(uid).gid(gid);
        }
    }
}
