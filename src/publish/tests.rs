//! Publishing without a daemon: the result, the refusals, the second run.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::base::digest::Sha256;
use crate::index::accept::{Grant, IndexOffer, accept};
use crate::index::minisign;
use crate::index::table::Reader;

pub(super) const NOW: u64 = 1_790_000_000;

/// Makes a package of `size` bytes called `NAME-VERSION-RELEASE-ARCH`.
pub(super) fn package(stem: &str, size: usize) -> (String, Vec<u8>) {
    (format!("{stem}.pkg.tar.zst"), (0..size).map(|n| (n / 7 + stem.len()) as u8).collect())
}

/// A repo in a temporary directory, with a database as repo-add makes it, uncompressed.
pub(super) struct RepoFixture {
    dir: tempfile::TempDir,
    below: PathBuf,
}

impl RepoFixture {
    pub(super) fn repo(name: &str, packages: &[(String, Vec<u8>)]) -> Self {
        Self::at("repo", name, packages)
    }

    pub(super) fn at(below: &str, name: &str, packages: &[(String, Vec<u8>)]) -> Self {
        let made = Self { dir: tempfile::tempdir().unwrap(), below: below.into() };
        fs::create_dir_all(made.path()).unwrap();
        made.add(name, packages);
        made
    }

    /// Writes packages and the database `name` of them.
    pub(super) fn add(&self, name: &str, packages: &[(String, Vec<u8>)]) {
        let mut tar = tar::Builder::new(Vec::new());
        for (file, bytes) in packages {
            self.write(file, bytes);
            let file_name = crate::base::name::FileName::new(file.as_str()).unwrap();
            let parts = crate::lists::pacman::names::package(&file_name).unwrap();
            let desc = format!(
                "%BUILDDATE%\n{NOW}\n\n%FILENAME%\n{file}\n\n%NAME%\n{}\n\n%VERSION%\n{}\n\n%CSIZE%\n{}\n\n%SHA256SUM%\n{}\n\n%ARCH%\n{}\n\n",
                parts.name,
                parts.version,
                bytes.len(),
                Sha256::of(bytes),
                parts.arch
            );
            let mut header = tar::Header::new_ustar();
            header.set_size(desc.len() as u64);
            header.set_mode(0o644);
            let path = format!("{}-{}/desc", parts.name, parts.version);
            tar.append_data(&mut header, path, desc.as_bytes()).unwrap();
        }
        self.write(&format!("{name}.db"), &tar.into_inner().unwrap());
    }

    pub(super) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join(&self.below)
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        fs::write(&path, bytes).unwrap();
        // The index names the dates of databases.
        let written = UNIX_EPOCH + Duration::from_secs(NOW);
        File::options().append(true).open(path).unwrap().set_modified(written).unwrap();
    }

    pub(super) fn options(&self, now: u64) -> PublishOptions {
        PublishOptions {
            publisher: "tester".to_owned(),
            dirs: vec![self.path()],
            list_key: None,
            follow: None,
            drop: Vec::new(),
            state_dir: self.root().join("state"),
            key: "tester".to_owned(),
            minisign: None,
            content: ContentRule::All,
            retention: None,
            lifetime: Duration::from_secs(172_800),
            ttl: Duration::from_secs(300),
            upstream: BTreeMap::new(),
            find: FindHints::default(),
            out: Some(self.root().join("out")),
            holders: Vec::new(),
            followers: None,
            now,
        }
    }
}

pub(super) fn build(options: &PublishOptions) -> Result<PublishReport, PublishError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(options, None, &mut |_, _, _| {}))
}

#[test]
fn an_offline_index_is_accepted_and_lists_what_the_database_lists() {
    let made = RepoFixture::repo("custom", &[package("a-1-1-any", 10), package("b-1:2-1-any", (3 << 20) + 5)]);
    made.write("a-1-1-any.pkg.tar.zst.sig", b"signature");
    let secret = minisign::tests::secret();
    let public = secret.public();
    let report = build(&PublishOptions { minisign: Some(secret), ..made.options(NOW) }).unwrap();
    assert_eq!((report.did, report.sequence, report.files), (Did::Published, NOW, 4));

    let out = made.root().join("out");
    let read = |name: &str| fs::read(out.join(name)).unwrap();
    let grant = Grant { ipns: None, minisign: Some(public), repos: vec![RepoName::new("custom").unwrap()] };
    let (manifest, minisig) = (read("pkgswarm.json"), Some(read("pkgswarm.json.minisig")));
    let accepted = accept(&grant, None, &IndexOffer { manifest, minisig, ..IndexOffer::default() }, NOW).unwrap();
    let table = &accepted.manifest.tables[0];
    assert_eq!(table.databases[0].name.as_str(), "custom.db");
    let packed = read(&table.path());
    assert_eq!((Sha256::of(&packed), packed.len() as u64), (table.packed.sha256, table.packed.size));
    assert_eq!(Sha256::of(&zstd::decode_all(&packed[..]).unwrap()), table.sha256);
    let entries: Vec<_> = Reader::new(&packed[..], table.entries).unwrap().map(Result::unwrap).collect();
    let (name, bytes) = package("b-1:2-1-any", (3 << 20) + 5);
    let built = crate::dag::build::build(&bytes[..]).unwrap();
    assert_eq!((entries[1].name.as_str(), entries[1].cid, entries[1].sha256), (&*name, built.root, built.sha256));
    assert_eq!(entries[0].signature, Some((9, Sha256::of(b"signature"))));

    // The root block of the longer file, under its path at a gateway; the shorter file is its own block.
    let roots: Vec<_> = fs::read_dir(out.join("ipfs")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(roots, [std::ffi::OsString::from(built.root.to_string())]);
    assert!(built.root.proves(&read(&format!("ipfs/{}", built.root))));

    let root = read("pkgswarm.root");
    assert!(report.root.proves(&root));
    let (repo, _) = crate::dag::dir::entry(report.root, &root, "custom").unwrap().unwrap();
    assert_eq!(repo.codec(), crate::base::cid::Codec::DagPb);
}

#[test]
fn a_repository_of_the_last_publication_is_dropped_only_on_purpose() {
    let (core, extra) = (
        RepoFixture::repo("core", &[package("a-1-1-any", 10)]),
        RepoFixture::repo("extra", &[package("b-1-1-any", 10)]),
    );
    let both = PublishOptions { dirs: vec![core.path(), extra.path()], ..core.options(NOW) };
    assert_eq!(build(&both).unwrap().files, 4);
    let manifest = || fs::read(core.root().join("out/pkgswarm.json")).unwrap();
    let before = manifest();
    let one = || core.options(NOW + 5);
    for drop in [&[][..], &["exta"], &["core"]] {
        let drop = drop.iter().map(|name| (*name).to_owned()).collect();
        let error = build(&PublishOptions { drop, ..one() }).unwrap_err();
        let archs = format!("extra-{}", std::env::consts::ARCH);
        assert!(matches!(&error, PublishError::LeftOut(tables) if *tables == [archs.clone()]), "{error}");
        assert_eq!(manifest(), before);
    }
    let dropped = build(&PublishOptions { drop: vec!["extra".to_owned()], ..one() }).unwrap();
    assert_eq!((dropped.did, dropped.files), (Did::Published, 2));
    assert_eq!(build(&one()).unwrap().did, Did::Unchanged, "said once");
}

#[test]
fn a_second_run_changes_nothing_until_half_of_the_life_is_over() {
    let made = RepoFixture::repo("custom", &[package("a-1-1-any", 10)]);
    let first = build(&made.options(NOW)).unwrap();
    let second = build(&made.options(NOW + 86_400)).unwrap();
    assert_eq!((second.did, second.sequence, second.root), (Did::Unchanged, NOW, first.root));
    let third = build(&made.options(NOW + 86_401)).unwrap();
    assert_eq!((third.did, third.sequence), (Did::Renewed, NOW + 86_401));
    assert_ne!(third.root, first.root);
}

#[test]
fn changed_content_gets_a_higher_sequence_even_when_the_clock_went_back() {
    let made = RepoFixture::repo("custom", &[package("a-1-1-any", 10)]);
    build(&made.options(NOW)).unwrap();
    made.add("custom", &[package("a-1-1-any", 10), package("b-1-1-any", 5)]);
    let second = build(&made.options(NOW - 100)).unwrap();
    assert_eq!((second.did, second.sequence), (Did::Published, NOW + 1));
    let error = build(&made.options(NOW - 90_000)).unwrap_err();
    assert!(matches!(error, PublishError::Clock { .. }), "{error}");
}

#[test]
fn a_package_that_is_not_what_the_database_says_stops_everything_and_is_named() {
    let made = RepoFixture::repo("custom", &[package("a-1-1-any", 10)]);
    made.write("a-1-1-any.pkg.tar.zst", b"0123456789");
    let error = build(&made.options(NOW)).unwrap_err().to_string();
    assert!(error.contains("a-1-1-any.pkg.tar.zst: its sha256 is 84d8"), "{error}");
    assert!(!made.root().join("out").exists());
}

#[test]
fn two_runs_at_once_are_one_too_many() {
    let made = RepoFixture::repo("custom", &[]);
    let _first = last::lock(&made.root().join("state")).unwrap();
    assert!(matches!(build(&made.options(NOW)), Err(PublishError::Busy)));
}

#[test]
fn a_damaged_memory_is_an_error_and_not_a_fresh_start() {
    let made = RepoFixture::repo("custom", &[]);
    fs::create_dir_all(made.root().join("state")).unwrap();
    fs::write(made.root().join("state/published.json"), "{").unwrap();
    assert!(matches!(build(&made.options(NOW)), Err(PublishError::Memory { .. })));
}

#[test]
fn the_same_repo_always_gives_the_same_root() {
    let packages = [package("a-1-1-any", 10), package("b-1-1-any", 2 << 20)];
    let (one, two) = (RepoFixture::repo("custom", &packages), RepoFixture::repo("custom", &packages));
    assert_eq!(build(&one.options(NOW)).unwrap().root, build(&two.options(NOW)).unwrap().root);
}

#[test]
fn what_changed_since_the_last_publication_is_a_diff_and_old_diffs_are_removed() {
    let mut packages: Vec<_> = (0..80).map(|n| package(&format!("p{n:02}-1-1-any"), 10 + n)).collect();
    let made = RepoFixture::repo("custom", &packages);
    let out = made.root().join("out");
    let manifest = || crate::index::manifest::Manifest::decode(&fs::read(out.join("pkgswarm.json")).unwrap()).unwrap();
    let plain = |table: &crate::index::manifest::Table| {
        let plain = zstd::decode_all(&fs::read(out.join(table.path())).unwrap()[..]).unwrap();
        assert_eq!(Sha256::of(&plain), table.sha256);
        plain
    };
    build(&made.options(NOW)).unwrap();
    let first = plain(&manifest().tables[0]);
    for day in 1..DIFFS_KEPT as u64 + 3 {
        packages[day as usize] = package(&format!("p{day:02}-1-2-any"), 10);
        made.add("custom", &packages);
        build(&made.options(NOW + day)).unwrap();
        if day == 3 {
            let table = &manifest().tables[0];
            let mut changes = crate::index::diff::Changes::default();
            for (path, diff) in table.diffs_from(NOW).expect("diffs from the first publication") {
                let packed = fs::read(out.join(path)).unwrap();
                assert_eq!((packed.len() as u64, Sha256::of(&packed)), (diff.size, diff.sha256));
                changes.add(&packed).unwrap();
            }
            let mut result = Vec::new();
            changes.apply(&first[..], &mut result).unwrap();
            assert_eq!(result, plain(table));
        }
    }
    let table = &manifest().tables[0];
    let names: Vec<_> = fs::read_dir(out.join(table.diff_dir())).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(names.len(), table.diffs.len());
    // A renewal changes no table, so that there is no new diff.
    let renewed = build(&made.options(NOW + 200_000)).unwrap();
    let again = manifest();
    assert_eq!(
        (renewed.did, again.tables[0].changed, &again.tables[0].diffs),
        (Did::Renewed, table.changed, &table.diffs)
    );
}

#[test]
fn a_plain_copy_gets_the_roots_that_it_lacks_and_loses_those_that_are_not_needed() {
    let (big, other) = (package("big-1-1-any", 2 << 20), package("other-1-1-any", (1 << 20) + 1));
    let made = RepoFixture::repo("custom", &[big.clone(), other.clone()]);
    let root = |bytes: &[u8]| {
        let cid = crate::dag::build::build(bytes).unwrap().root;
        made.root().join("out/ipfs").join(cid.to_string())
    };
    build(&made.options(NOW)).unwrap();
    assert!(root(&big.1).exists() && root(&other.1).exists());
    fs::remove_dir_all(made.root().join("out")).unwrap();
    build(&made.options(NOW + 1)).unwrap();
    assert!(root(&big.1).exists() && root(&other.1).exists());
    // Files that the user put there stay.
    let others = [made.root().join("out/ipfs/index.html"), root(&[9; (1 << 20) + 7])];
    others.iter().for_each(|path| fs::write(path, b"theirs").unwrap());
    made.add("custom", std::slice::from_ref(&big));
    build(&made.options(NOW + 2)).unwrap();
    assert!(root(&big.1).exists() && !root(&other.1).exists());
    assert!(others.iter().all(|path| path.exists()));
}

#[test]
fn a_root_block_that_makes_an_upload_fail_is_removed_and_a_package_is_not() {
    let repo = RepoFixture::repo("custom", &[]);
    let mut options = repo.options(NOW);
    options.content = ContentRule::None;
    let (root, package) = (options.roots_dir().unwrap().join("root"), repo.path().join("package"));
    fs::create_dir_all(root.parent().unwrap()).unwrap();
    for path in [&root, &package] {
        fs::write(path, "damaged").unwrap();
        without_damaged_root(&options, &PublishError::Changed(path.clone()));
    }
    assert!(!root.exists() && package.exists());
}
