//! The scene of the cases: a repository on a mirror, a pacman that has synchronised, perhaps a Kubo and an index,
//! all on this machine's loopback interface or on hosts of their own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use tempfile::TempDir;

use super::measure::{self, BenchRun, Skipped};
use crate::real::{
    CURL, Host, Kubo, Mirror, PacmanRoot, Parts, Pkgbuild, Release, Repo, Signer, Swarm, Trusted, command,
    give_to_user, scratch, user,
};

/// Reports the resources that a program used.
const TIME: &str = "/usr/bin/time";

/// The number of downloads in Arch Linux's configuration.
const PARALLEL: u32 = 5;

/// The parts of a scene.
pub struct Setup<'a> {
    packages: &'a [Pkgbuild],
    signed: bool,
    index: bool,
    is_noise: bool,
    kubo: Option<&'a Kubo>,
    client: Option<&'a Host>,
    mirror: Option<&'a Host>,
    is_tls: bool,
}

impl<'a> Setup<'a> {
    /// Sets up packages on a mirror, everything on loopback.
    pub fn of(packages: &'a [Pkgbuild]) -> Setup<'a> {
        let (signed, index, is_noise, is_tls) = (false, false, false, false);
        Setup { packages, signed, index, is_noise, kubo: None, client: None, mirror: None, is_tls }
    }

    /// Adds a signature for each package, which pacman demands.
    pub fn signed(self) -> Setup<'a> {
        Setup { signed: true, ..self }
    }

    /// Has the packages hold nothing but noise: thousands are made in seconds, and none can be installed.
    pub fn of_noise(self) -> Setup<'a> {
        Setup { is_noise: true, ..self }
    }

    /// Adds an index with content ids.
    pub fn index(self) -> Setup<'a> {
        Setup { index: true, ..self }
    }

    /// Adds this local Kubo, which may be asked for everything.
    pub fn kubo(self, kubo: &'a Kubo) -> Setup<'a> {
        Setup { kubo: Some(kubo), ..self }
    }

    /// Puts pacman and pkgswarm on one host, the mirror on another.
    pub fn between(self, client: &'a Host, mirror: &'a Host) -> Setup<'a> {
        Setup { client: Some(client), mirror: Some(mirror), ..self }
    }

    /// Has the mirror, on a host of its own, speak HTTP/2 over https.
    pub fn over_http_2(self) -> Setup<'a> {
        Setup { is_tls: true, ..self }
    }

    /// Builds it and synchronises.
    pub fn build(self) -> BenchScene {
        let parts = Parts::demand();
        let tree = scratch("tree");
        let mut repo = Repo::new(&parts, tree.path(), "core");
        let signer = self.signed.then(|| Rc::new(Signer::new()));
        if let Some(signer) = &signer {
            repo = repo.signed(signer);
        }
        if self.is_noise {
            repo.add_noise(self.packages)
        } else {
            repo.add(self.packages)
        }
        let trusted = self.client.zip(self.mirror).filter(|_| self.is_tls);
        let trusted = trusted.map(|(client, server)| Trusted::by(client, server));
        let mirror = match self.mirror {
            Some(host) if trusted.is_some() => {
                Mirror::serve_tls_on(host, tree.path(), trusted.as_ref().expect("just looked at"))
            }
            Some(host) => Mirror::serve_on(host, tree.path(), ""),
            None => Mirror::serve(tree.path()),
        };
        let mut swarm = Swarm::install().config("[share]\nrepos = [\"core\"]\n");
        if let Some(kubo) = self.kubo {
            swarm = swarm.with_kubo(kubo);
        }
        if let Some(host) = self.client {
            swarm = swarm.on(host);
        }
        let prefix = self.client.map(|host| host.prefix().map(str::to_owned).to_vec()).unwrap_or_default();
        let out = scratch("out");
        give_to_user(out.path());
        let mut scene =
            BenchScene { swarm, mirror, pacman: None, repo, parts, signer, prefix, out, tree, _trusted: trusted };
        if self.index {
            scene.use_index();
        }
        let pacman = scene.pacman_with(&scene.swarm.xfer_command(), &scene.server());
        scene.swarm.set("PKGSWARM_PACMAN_CONF", &pacman.config().display().to_string());
        scene.pacman = Some(pacman);
        scene
    }
}

/// One repository and everything that reads it.
pub struct BenchScene {
    pub swarm: Swarm,
    pub mirror: Mirror,
    /// With pkgswarm as its downloader; it never installs anything.
    pacman: Option<PacmanRoot>,
    pub repo: Repo,
    parts: Parts,
    signer: Option<Rc<Signer>>,
    /// The words before every program, such as `ip netns exec`.
    prefix: Vec<String>,
    out: TempDir,
    tree: TempDir,
    _trusted: Option<Trusted>,
}

impl BenchScene {
    /// Makes a synchronised pacman for this repository, with this downloader (its own when that is empty) and
    /// server.
    pub fn pacman_with(&self, xfer_command: &str, server: &str) -> PacmanRoot {
        let prefix: Vec<&str> = self.prefix.iter().map(String::as_str).collect();
        let mut pacman = PacmanRoot::new(&self.parts, Release::New, xfer_command).parallel(PARALLEL);
        if let Some(signer) = &self.signer {
            pacman = pacman.sig_level("Required DatabaseNever").trusting(signer);
        }
        pacman = pacman.through(&prefix).repo(&self.repo, &[server]);
        pacman = self.swarm.around(pacman);
        pacman.run(&["-Sy"]).ok();
        pacman
    }

    /// Makes a pacman that calls the full program itself.
    pub fn ours_without_launcher(&self) -> PacmanRoot {
        let full = self.swarm.program().with_file_name("pkgswarm-full");
        self.pacman_with(&format!("{} xfer %u %o", full.display()), &self.server())
    }

    /// Makes a pacman with the curl line of most guides.
    pub fn pacman_with_curl(&self) -> PacmanRoot {
        self.pacman_with(CURL, &self.server())
    }

    /// Returns the pacman that has pkgswarm as its downloader.
    pub fn pacman(&self) -> &PacmanRoot {
        self.pacman.as_ref().expect("built")
    }

    /// Returns the `Server` line.
    pub fn server(&self) -> String {
        format!("{}/core", self.mirror.url())
    }

    /// Makes these the servers of pkgswarm from now on, in this order.
    pub fn serve_from(&mut self, servers: &[&str]) {
        let pacman = self.pacman.as_mut().expect("built");
        pacman.set_servers(&self.repo, servers);
        pacman.config();
    }

    /// Returns the URL of a package at the mirror.
    pub fn url(&self, package: &Pkgbuild) -> String {
        format!("{}/{}", self.server(), package.file_name())
    }

    /// Returns the directory that the mirror serves.
    pub fn tree(&self) -> &Path {
        self.tree.path()
    }

    /// Returns the file of a package.
    pub fn file(&self, package: &Pkgbuild) -> PathBuf {
        self.repo.dir().join(package.file_name())
    }

    /// Returns the size of all packages and signatures together.
    pub fn size(&self) -> u64 {
        let entries = fs::read_dir(self.repo.dir()).expect("the repository").flatten();
        let files = entries.filter(|entry| entry.file_name().to_string_lossy().contains(".pkg.tar."));
        files.map(|entry| entry.metadata().expect("a file").len()).sum()
    }

    /// Returns an output directory, still missing or empty.
    pub fn output(&self, name: &str) -> PathBuf {
        let path = self.out.path().join(name);
        let _ = fs::remove_file(&path);
        path
    }

    /// Starts every directly called program through GNU time from now on; returns the file with its output in
    /// `format`. GNU time is small itself: a process counts as its own peak the memory before its exec as well.
    pub fn start_through_time(&mut self, format: &str) -> Result<PathBuf, Skipped> {
        if !Path::new(TIME).exists() {
            return Err(Skipped("no GNU time here: run tests/parts".into()));
        }
        let told = self.output("told");
        self.prefix = [TIME, "-f", format, "-o", told.to_str().expect("a plain path")].map(str::to_owned).to_vec();
        Ok(told)
    }

    /// Forgets all fetched files and all records.
    pub fn empty_store(&self) {
        self.put_away(&self.swarm.store());
    }

    /// Empties a directory before a run. Its files are not removed: for minutes after many removals, ext4 takes
    /// milliseconds to find an inode for a new one (fs/ext4/ialloc.c, recently_deleted), and a user's run never
    /// follows that. Only large files are removed, so that the disk is not kept busy with them.
    pub fn put_away(&self, dir: &Path) {
        let into = self.out.path().join("away");
        fs::create_dir_all(&into).expect("a directory");
        let into = tempfile::tempdir_in(into).expect("a directory").keep();
        for entry in fs::read_dir(dir).expect("the directory").map(|entry| entry.expect("an entry")) {
            remove_large(&entry.path());
            let path = entry.path();
            if path.symlink_metadata().is_ok() {
                fs::rename(path, into.join(entry.file_name())).expect("an empty directory");
            }
        }
    }

    /// Measures seconds of one of our runs from an empty store, and counts the packages that it takes from the
    /// mirror.
    pub fn count(&self, run: &BenchRun, ours: impl FnOnce() -> f64) -> f64 {
        self.empty_store();
        let before = packages_served(&self.mirror);
        let seconds = ours();
        let (taken, size) = (packages_served(&self.mirror) - before, self.size());
        assert!(taken >= size, "{taken} of {size} bytes came from the mirror");
        run.traffic.add(taken, size);
        seconds
    }

    /// Measures seconds of `pacman -Sw` for all packages.
    pub fn download(&self, pacman: &PacmanRoot, packages: &[Pkgbuild]) -> f64 {
        self.put_away(&pacman.cache());
        let names: Vec<String> = packages.iter().map(Pkgbuild::name).collect();
        let words: Vec<&str> = std::iter::once("-Sw").chain(names.iter().map(String::as_str)).collect();
        let took = pacman.run(&words).ok().took;
        let files = pacman.cache_files();
        assert_eq!(files.iter().filter(|file| file.ends_with(".zst")).count(), packages.len(), "{files:?}");
        took.as_secs_f64()
    }

    /// Builds a call of pkgswarm by this user, with pacman's own programs in its PATH.
    pub fn ours(&self, who: Who, arguments: &[&str]) -> Command {
        let mut ours = self.call(who, &self.swarm.program());
        ours.args(arguments).current_dir(self.out.path()).env("PATH", self.path());
        ours.envs(self.swarm.environment().iter().map(|(name, value)| (name, value)));
        ours
    }

    /// Builds a call of a program on the host of pacman, as root.
    pub fn inside(&self, program: &str) -> Command {
        let mut words = self.prefix.iter().map(String::as_str).chain([program]);
        let mut inside = command(words.next().expect("the program at least"));
        inside.args(words);
        inside
    }

    /// Builds a call of curl like pacman's.
    pub fn curl(&self, who: Who, url: &str, output: &Path) -> Command {
        let mut curl = self.call(who, "/usr/bin/curl".as_ref());
        curl.args(["-L", "-C", "-", "-f", "-s", "-o"]).arg(output).arg(url);
        curl
    }

    /// Measures seconds of pkgswarm for a URL like pacman's; returns its output too.
    pub fn xfer(&self, who: Who, url: &str) -> (f64, String) {
        let output = self.output("ours");
        let (took, said) = measure::time(self.ours(who, &["xfer", url]).arg(&output));
        fs::remove_file(output).expect("what was fetched");
        (took.as_secs_f64(), said)
    }

    /// Measures seconds of fetching a package from the local Kubo, into an empty directory.
    pub fn fetch_from_kubo(&self, who: Who, package: &Pkgbuild) -> f64 {
        self.empty_store();
        let output = self.output("ours");
        let (took, said) = measure::time(self.ours(who, &["fetch", &package.file_name(), "-o"]).arg(&output));
        // Older programs say `kubo`.
        assert!(said.to_lowercase().contains("from kubo\n"), "it came from elsewhere: {said}");
        fs::remove_file(output).expect("what was fetched");
        took.as_secs_f64()
    }

    /// Measures seconds of curl for a URL.
    pub fn fetch_with_curl(&self, who: Who, url: &str) -> f64 {
        let output = self.output("theirs");
        let (took, _) = measure::time(&mut self.curl(who, url, &output));
        fs::remove_file(output).expect("what was fetched");
        took.as_secs_f64()
    }

    /// Publishes an index onto the mirror and uses it.
    fn use_index(&self) {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("a key pair");
        let secret = self.out.path().join("secret.key");
        fs::write(&secret, pair.sk.to_box(None).expect("a key file").to_string()).expect("a key file");
        let text = |path: &Path| path.to_str().expect("a plain path").to_owned();
        let (secret, out) = (text(&secret), text(&self.tree.path().join("index")));
        let dir = text(self.repo.dir());
        self.swarm.run(&["publish", "--offline", "--minisign-key", &secret, "--out", &out, &dir]).ok();
        let (key, url) = (pair.pk.to_base64(), format!("{}/index", self.mirror.url()));
        self.swarm.run(&["index", "add", "bench", &key, "--url", &url, "--repo", "core", "--yes"]).ok();
        self.swarm.run(&["index", "refresh"]).ok();
    }

    /// Returns a PATH with its programs first, then the system's.
    fn path(&self) -> OsString {
        let mut path = self.pacman().programs().into_os_string();
        path.push(":/usr/bin:/bin");
        path
    }

    fn call(&self, who: Who, program: &Path) -> Command {
        let (uid, gid) = user();
        let Some((first, rest)) = self.prefix.split_first() else {
            let mut call = command(program);
            if let Who::User = who {
                call.uid(uid).gid(gid);
            }
            return call;
        };
        let mut call = command(first);
        call.args(rest);
        if let Who::User = who {
            // Only root may enter another host.
            call.args(["setpriv", "--clear-groups", "--reuid", &uid.to_string(), "--regid", &gid.to_string()]);
        }
        call.arg::<&OsStr>(program.as_ref());
        call
    }
}

/// Removes files of more than a MiB.
fn remove_large(path: &Path) {
    // A process of ours that works on in the background may have removed it since it was listed.
    let Ok(found) = path.symlink_metadata() else { return };
    if found.is_dir() {
        fs::read_dir(path).expect("a directory").flatten().for_each(|entry| remove_large(&entry.path()));
    } else if found.len() > 1 << 20 {
        fs::remove_file(path).expect("a file");
    }
}

/// Counts bytes of packages and their signatures that a mirror has sent.
pub fn packages_served(mirror: &Mirror) -> u64 {
    let requests = mirror.requests();
    let found = requests.iter().filter(|request| request.status < 300 && request.path.contains(".pkg.tar."));
    found.map(|request| request.body).sum()
}

/// The calling user.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// The download user, as with pacman 7.
    User,
    /// Root, as with pacman 6.
    Root,
}
