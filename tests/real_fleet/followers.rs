//! Strangers who hold a publication by the template in its tree, with the real follower, as the shipped unit runs it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::Publication;
use super::real::{CLUSTER_USER, ClusterPeer, Host, Kubo, Parts, Pkgbuild, Process, command, run, scratch, until};

/// A machine that follows a publication: a Kubo, and the lines of `pkgswarm-follow@NAME.service`.
pub struct Volunteer {
    pub kubo: Kubo,
    home: TempDir,
    program: String,
    name: String,
    host: Vec<String>,
    process: Option<Process>,
}

impl Volunteer {
    pub fn new(parts: &Parts, kubo: Kubo, name: &str) -> Self {
        let program = parts.cluster_follow().display().to_string();
        Self { kubo, home: scratch("follower"), program, name: name.to_owned(), host: Vec::new(), process: None }
    }

    /// Is on a host.
    pub fn on(self, host: &Host) -> Self {
        Self { host: host.prefix().map(str::to_owned).to_vec(), ..self }
    }

    /// Makes the command of one line of the unit, for this machine's places.
    fn line(&self, key: &str) -> Command {
        let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/systemd/system/pkgswarm-follow@.service");
        let unit = fs::read_to_string(unit).expect("the unit");
        let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).expect("a line of the unit");
        let line = line
            .trim_start_matches('-')
            .replace("%i", &self.name)
            .replace("/usr/bin/ipfs-cluster-follow", &self.program);
        let line = line.replace("/var/lib/pkgswarm-follow", &self.home.path().display().to_string());
        let line = line.replace("http://127.0.0.1:8080", &self.kubo.gateway());
        let mut words = self.host.iter().map(|word| &**word).chain(line.split(' '));
        let mut program = command(words.next().expect("a program"));
        let port = self.kubo.api().rsplit(':').next().expect("a port").to_owned();
        program.args(words).env("IPFS_CLUSTER_PATH", self.home.path());
        program.env("CLUSTER_IPFSHTTP_NODEMULTIADDRESS", format!("/ip4/127.0.0.1/tcp/{port}"));
        program
    }

    /// Starts it as the unit does.
    pub fn start(&mut self) {
        run(&mut self.line("ExecStartPre"));
        self.process = Some(Process::start(&mut self.line("ExecStart")));
    }

    /// Kills it, as a loss of power does.
    pub fn kill(&mut self) {
        self.process.take().expect("a follower that runs").kill();
    }

    /// Tells whether its Kubo has pinned a root.
    pub fn holds(&self, root: &str) -> bool {
        self.kubo.ipfs(&["pin", "ls", "--type=recursive", root]).status.success()
    }

    /// Lists the roots that its Kubo has pinned.
    pub fn roots(&self) -> Vec<String> {
        let listed = self.kubo.ipfs(&["pin", "ls", "--type=recursive", "--quiet"]).ok().stdout;
        let mut roots: Vec<String> = listed.lines().map(str::to_owned).collect();
        roots.sort();
        roots
    }
}

/// The lines of a publication's file for a cluster whose address followers are told.
pub fn followed(publication: &Publication, peer: &ClusterPeer) -> String {
    let secret = peer.secret().as_str().expect("a secret").to_owned();
    let (password, secret) = (publication.secret("password", CLUSTER_USER.1), publication.secret("cluster", &secret));
    format!(
        "[pins.home]\ncluster = \"{}\"\nuser = \"{}\"\npassword = \"{password}\"\n[followers]\nsecret = \"{secret}\"\nwriters = \
         \"{}\"\n",
        peer.rest(),
        CLUSTER_USER.0,
        peer.address()
    )
}

#[test]
fn a_stranger_follows_by_the_template_in_the_tree_and_goes_on_after_a_kill() {
    let parts = Parts::demand();
    let (kubo, own) = (Kubo::naming(&parts, |_| ()), Kubo::naming(&parts, |_| ()));
    own.connect(&kubo);
    let peer = ClusterPeer::start(&parts, &kubo);
    let publication = Publication::new(&parts, kubo);
    publication.describe(&followed(&publication, &peer));
    let first = publication.held(&peer);
    let page = publication.kubo.ipfs(&["cat", &format!("{first}/pkgswarm-follower.html")]).ok().stdout;
    let name = peer.pins()[0].1.rsplit(' ').next().expect("a name").to_owned();
    assert!(page.contains(&format!("/ipns/{name}/pkgswarm-follower.json</pre>")), "{page}");
    let index = publication.kubo.ipfs(&["cat", &format!("{first}/index.html")]).ok().stdout;
    assert!(index.contains("href=\"pkgswarm-follower.html\""), "{index}");

    let mut volunteer = Volunteer::new(&parts, own, &name);
    let former = volunteer.roots();
    volunteer.start();
    until("the stranger holds it", Duration::from_secs(120), || volunteer.holds(&first).then_some(()));

    volunteer.kill();
    let socket = volunteer.home.path().join(&name).join("api-socket");
    assert!(socket.exists(), "it has left its socket behind");
    let stale = run(&mut volunteer.line("ExecStart"));
    assert!(!stale.status.success(), "without the line before, it never starts again: {stale}");
    publication.repo.add(&[Pkgbuild::new("second", "1-1").size(300_000)]);
    let second = publication.held(&peer);
    volunteer.start();
    until("it has caught up", Duration::from_secs(120), || {
        let mut expected = [former.clone(), vec![second.clone()]].concat();
        expected.sort();
        (volunteer.roots() == expected).then_some(())
    });
    let told = volunteer.line("ExecStart");
    let list =
        run(command(told.get_program()).args([&*name, "list"]).env("IPFS_CLUSTER_PATH", volunteer.home.path())).ok();
    assert!(list.stdout.contains(&second) && !list.stdout.contains(&first), "{list}");
}
