//! Upstream's archive on disk and mirrors of it: `pool/packages`, links to it below each repository, databases and
//! `lastupdate`, changed step by step in the order in which upstream changes it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use pkgswarm::base::digest::Sha256;
use tempfile::TempDir;

use super::compression::Compression;
use super::memory_repo::{compressed, noise, signature};
use super::scratch;

/// One step of a change.
enum Step {
    /// A file with its date, by the path of its bytes.
    Bytes { path: String, blob: PathBuf },
    /// A link.
    Link { path: String, target: String },
    /// A file or a link goes.
    Remove { path: String },
}

/// A package of a database.
#[derive(Clone)]
pub struct Listed {
    pub file: String,
    pub size: u64,
    pub sha256: Sha256,
    desc: String,
}

/// The databases of each state that was whole upstream, and what each of them lists.
#[derive(Default)]
pub struct Whole {
    /// By table (`core-x86_64`), the sha256 of its database.
    pub states: Vec<BTreeMap<String, String>>,
    /// By the sha256 of a database, the digest of its [`lines`].
    pub contents: BTreeMap<String, Sha256>,
}

/// The archive.
pub struct Archive {
    blobs: TempDir,
    count: usize,
    now: u64,
    repos: BTreeMap<(String, String), BTreeMap<String, Listed>>,
    databases: BTreeMap<String, String>,
    /// In their order.
    steps: Vec<Step>,
    pub lastupdate: u64,
    pub whole: Arc<Mutex<Whole>>,
}

/// A directory that is brought to the state of the archive, for nginx.
pub struct Replica {
    pub dir: TempDir,
    done: usize,
}

/// Returns the digest of a repository's content: each file with its sha256, by name.
pub fn lines<'l>(content: impl Iterator<Item = (&'l str, &'l str)>) -> Sha256 {
    let sorted: BTreeMap<&str, &str> = content.collect();
    let text: String = sorted.iter().map(|(file, sha256)| format!("{file} {sha256}\n")).collect();
    Sha256::of(text.as_bytes())
}

impl Archive {
    /// Makes an archive of these repositories, each with so many packages for each architecture.
    pub fn of(repos: &[(&str, &str, usize)], now: u64) -> Self {
        let mut archive = Self {
            blobs: scratch("archive"),
            count: 0,
            now,
            repos: BTreeMap::new(),
            databases: BTreeMap::new(),
            steps: Vec::new(),
            lastupdate: 0,
            whole: Arc::default(),
        };
        for (repo, arch, count) in repos {
            for n in 0..*count {
                // One in a hundred is longer than a leaf.
                let size = if n % 100 == 7 { (1 << 20) + n * 100 } else { 200 + n % 2000 };
                archive.add(repo, arch, &format!("{repo}-package{n}"), "1.0-1", size);
            }
            archive.write_database(repo, arch);
        }
        archive.write_lastupdate();
        archive
    }

    /// Brings new versions of packages (name, version, bytes within) into a repository: file and signature into the pool,
    /// their links, then the database, then `lastupdate`. Returns the bytes that are new.
    pub fn change(&mut self, repo: &str, arch: &str, packages: &[(String, String, usize)]) -> u64 {
        self.now += 7;
        let of = |(name, version, size): &(String, String, usize)| self.add(repo, arch, name, version, *size);
        let bytes = packages.iter().map(of).sum();
        self.write_database(repo, arch);
        self.write_lastupdate();
        bytes
    }

    /// Removes the files that no database names, as upstream's cleaning job does.
    pub fn clean(&mut self, gone: &[(String, String, String)]) {
        for (repo, arch, file) in gone {
            for file in [file.clone(), format!("{file}.sig")] {
                self.steps.push(Step::Remove { path: format!("{repo}/os/{arch}/{file}") });
                self.steps.push(Step::Remove { path: format!("pool/packages/{file}") });
            }
        }
    }

    /// Returns a package by the name in its database.
    pub fn listed(&self, repo: &str, arch: &str, name: &str) -> &Listed {
        &self.repos[&(repo.to_owned(), arch.to_owned())][name]
    }

    /// Returns the bytes of a repository's database as it is now.
    pub fn database_size(&self, repo: &str, arch: &str) -> u64 {
        let wanted = format!("{repo}/os/{arch}/{repo}.db.tar.gz");
        let newest = self.steps.iter().rev().find_map(|step| match step {
            Step::Bytes { path, blob } if *path == wanted => Some(blob),
            _ => None,
        });
        fs::metadata(newest.expect("a database")).expect("a file of ours").len()
    }

    /// Counts the steps so far.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    fn add(&mut self, repo: &str, arch: &str, name: &str, version: &str, size: usize) -> u64 {
        let bytes = package(name, version, arch, size);
        let (file, sha256) = (format!("{name}-{version}-{arch}.pkg.tar.zst"), Sha256::of(&bytes));
        let sig = signature(&format!("{name}-{version}"));
        let total = (bytes.len() + sig.len()) as u64;
        let desc = format!(
            "%FILENAME%\n{file}\n\n%NAME%\n{name}\n\n%BASE%\n{name}\n\n%VERSION%\n{version}\n\n%DESC%\nA test of {name}\n\n\
             %CSIZE%\n{}\n\n%ISIZE%\n{}\n\n%SHA256SUM%\n{sha256}\n\n%URL%\nhttps://example.org/\n\n%LICENSE%\nMIT\n\n\
             %ARCH%\n{arch}\n\n%BUILDDATE%\n1748858400\n\n%PACKAGER%\nTester <tester@example.org>\n\n",
            bytes.len(),
            bytes.len() * 3,
        );
        let listed = Listed { file: file.clone(), size: bytes.len() as u64, sha256, desc };
        for (file, bytes) in [(file.clone(), bytes), (format!("{file}.sig"), sig)] {
            self.write(&format!("pool/packages/{file}"), &bytes);
        }
        for file in [file.clone(), format!("{file}.sig")] {
            let (path, target) = (format!("{repo}/os/{arch}/{file}"), format!("../../../pool/packages/{file}"));
            self.steps.push(Step::Link { path, target });
        }
        self.repos.entry((repo.to_owned(), arch.to_owned())).or_default().insert(name.to_owned(), listed);
        total
    }

    fn write(&mut self, path: &str, bytes: &[u8]) {
        self.count += 1;
        let blob = self.blobs.path().join(self.count.to_string());
        fs::write(&blob, bytes).expect("a file of ours");
        let dated = File::options().append(true).open(&blob).expect("a file of ours");
        dated.set_modified(UNIX_EPOCH + Duration::from_secs(self.now)).expect("a date");
        self.steps.push(Step::Bytes { path: path.to_owned(), blob });
    }

    fn write_database(&mut self, repo: &str, arch: &str) {
        let packages = &self.repos[&(repo.to_owned(), arch.to_owned())];
        let bytes = archive_of(packages);
        let sha256 = Sha256::of(&bytes).to_string();
        let texts: Vec<(String, String)> =
            packages.values().map(|listed| (listed.file.clone(), listed.sha256.to_string())).collect();
        let content = lines(texts.iter().map(|(file, sha256)| (file.as_str(), sha256.as_str())));
        self.whole.lock().unwrap().contents.insert(sha256.clone(), content);
        self.databases.insert(format!("{repo}-{arch}"), sha256);
        self.write(&format!("{repo}/os/{arch}/{repo}.db.tar.gz"), &bytes);
        let (path, target) = (format!("{repo}/os/{arch}/{repo}.db"), format!("{repo}.db.tar.gz"));
        self.steps.push(Step::Link { path, target });
    }

    fn write_lastupdate(&mut self) {
        self.lastupdate = self.now;
        self.whole.lock().unwrap().states.push(self.databases.clone());
        self.write("lastupdate", format!("{}\n", self.now).as_bytes());
    }

    /// Makes an empty replica.
    pub fn replica(&self) -> Replica {
        Replica { dir: scratch("replica"), done: 0 }
    }

    /// Does the next steps at a replica, up to the one with this number.
    pub fn bring(&self, replica: &mut Replica, to: usize) {
        for step in &self.steps[replica.done..to.max(replica.done)] {
            match step {
                Step::Bytes { path, blob } => placed(&replica.dir.path().join(path), |new| fs::hard_link(blob, new)),
                Step::Link { path, target } => placed(&replica.dir.path().join(path), |new| symlink(target, new)),
                Step::Remove { path } => {
                    let _ = fs::remove_file(replica.dir.path().join(path));
                }
            }
        }
        replica.done = to.max(replica.done);
    }
}

impl Replica {
    /// Puts other bytes in the place of a file, with this date; what was there stays whole elsewhere.
    pub fn falsify(&self, path: &str, bytes: &[u8], date: u64) {
        placed(&self.dir.path().join(path), |new| {
            fs::write(new, bytes)?;
            File::options().append(true).open(new)?.set_modified(UNIX_EPOCH + Duration::from_secs(date))
        });
    }
}

/// Gives a new file its name at once.
fn placed(path: &Path, make: impl FnOnce(&Path) -> std::io::Result<()>) {
    let dir = path.parent().expect("a path below");
    fs::create_dir_all(dir).expect("a directory of ours");
    let new = dir.join(".new");
    let _ = fs::remove_file(&new);
    make(&new).expect("a file of ours");
    fs::rename(&new, path).expect("a file of ours");
}

/// Makes a package as makepkg does: a tar with `.PKGINFO`, packed by zstd.
fn package(name: &str, version: &str, arch: &str, size: usize) -> Vec<u8> {
    let info = format!("pkgname = {name}\npkgver = {version}\narch = {arch}\nsize = {size}\n");
    let content = noise(&format!("{name} {version}"), size);
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in [(".PKGINFO", info.as_bytes()), (&*format!("usr/share/{name}/data"), &content)] {
        add(&mut tar, path, bytes);
    }
    zstd::encode_all(&tar.into_inner().expect("memory takes it all")[..], 1).expect("memory takes it all")
}

/// Makes a sync database; repo-add would take minutes.
fn archive_of(packages: &BTreeMap<String, Listed>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for listed in packages.values() {
        let (dir, _) = listed.file.rsplit_once('-').expect("a name with an architecture");
        add(&mut tar, &format!("{dir}/desc"), listed.desc.as_bytes());
    }
    compressed(&tar.into_inner().expect("memory takes it all"), Compression::Gzip)
}

fn add(tar: &mut tar::Builder<Vec<u8>>, path: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, path, bytes).expect("it fits");
}
