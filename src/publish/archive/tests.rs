//! What leaves a table: remembered once, as long as the rule says, through every interruption.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::super::last::PublishedIndex;
use super::super::tests::{NOW, RepoFixture, build, package};
use super::super::{Did, PublishOptions, PublishReport};
use super::*;
use crate::index::manifest::{Manifest, Table};

const DAYS: u64 = 86_400;

fn rule(days: Option<u64>, versions: Option<u64>) -> RetentionRule {
    RetentionRule { age: days.map(|days| Duration::from_secs(days * DAYS)), versions, bytes: None }
}

/// A repo whose packages change from run to run.
struct Changing {
    made: RepoFixture,
    rule: RetentionRule,
}

impl Changing {
    fn with(rule: RetentionRule) -> Self {
        Self { made: RepoFixture::repo("custom", &[]), rule }
    }

    fn options(&self, now: u64) -> PublishOptions {
        PublishOptions { retention: Some(self.rule), ..self.made.options(now) }
    }

    /// Publishes these packages as the whole repo.
    fn publish(&self, now: u64, stems: &[&str]) -> PublishReport {
        let made = stems.iter().map(|stem| {
            // No two of them have the same bytes.
            let (name, mut bytes) = package(&format!("{stem}-any"), 10);
            bytes[..5].copy_from_slice(&stem.as_bytes()[..5]);
            (name, bytes)
        });
        self.made.add("custom", &made.collect::<Vec<_>>());
        build(&self.options(now)).unwrap()
    }

    fn table(&self) -> Table {
        let bytes = fs::read(self.out().join("pkgswarm.json")).unwrap();
        Manifest::decode(&bytes).unwrap().tables.remove(0)
    }

    fn out(&self) -> PathBuf {
        self.made.root().join("out")
    }

    fn state(&self) -> PathBuf {
        self.made.root().join("state")
    }

    /// Lists the archive as clients read it: stem, from, until, in days and seconds after the first run.
    fn lines(&self) -> Vec<(String, Option<u64>, u64)> {
        let table = self.table();
        let packed = fs::read(self.out().join(table.archive_path())).unwrap();
        let mut lines = Vec::new();
        archive::read(&packed[..], &table.archive.unwrap(), |file| {
            let stem = file.entry.name.as_str().trim_end_matches("-any.pkg.tar.zst").to_owned();
            lines.push((stem, file.from.map(|from| from - NOW), file.until - NOW));
            Ok::<(), ArchiveError>(())
        })
        .unwrap();
        lines
    }

    fn since(&self) -> u64 {
        self.table().archive.unwrap().since - NOW
    }
}

fn line(stem: &str, from: Option<u64>, until: u64) -> (String, Option<u64>, u64) {
    (stem.to_owned(), from, until)
}

#[test]
fn what_leaves_is_remembered_with_the_times_between_which_it_was_there() {
    let repo = Changing::with(rule(Some(90), None));
    repo.publish(NOW, &["a-1-1", "b-1-1"]);
    assert_eq!((repo.lines(), repo.since()), (vec![], 0));
    repo.publish(NOW + 10, &["a-2-1", "b-1-1", "new-1-1"]);
    repo.publish(NOW + 20, &["a-3-1", "b-1-1", "new-2-1"]);
    let third = [line("a-1-1", None, 10), line("a-2-1", Some(10), 20), line("new-1-1", Some(10), 20)];
    assert_eq!(repo.lines(), third);
    // A run with nothing new leaves it, and is none.
    assert_eq!(repo.publish(NOW + 30, &["a-3-1", "b-1-1", "new-2-1"]).did, Did::Unchanged);
    // One that comes back and leaves again has two lines.
    repo.publish(NOW + 40, &["a-1-1", "b-1-1", "new-2-1"]);
    assert_eq!(repo.lines().len(), 4, "a-3-1 has left");
    repo.publish(NOW + 50, &["a-3-1", "b-1-1", "new-2-1"]);
    assert_eq!(repo.lines()[..2], [line("a-1-1", None, 10), line("a-1-1", Some(40), 50)]);
    // A package that went and comes anew says when.
    repo.publish(NOW + 60, &["a-3-1", "new-2-1"]);
    repo.publish(NOW + 70, &["a-3-1", "b-2-1", "new-2-1"]);
    repo.publish(NOW + 80, &["a-3-1", "b-3-1", "new-2-1"]);
    let of_b: Vec<_> = repo.lines().into_iter().filter(|line| line.0.starts_with("b-")).collect();
    assert_eq!(of_b, [line("b-1-1", None, 60), line("b-2-1", Some(70), 80)]);
    assert_eq!(repo.since(), 0);
}

#[test]
fn retention_by_days_ends_with_the_day_and_the_archive_says_since_when_it_tells_all() {
    let repo = Changing::with(rule(Some(2), None));
    repo.publish(NOW, &["a-1-1"]);
    repo.publish(NOW + 10, &["a-2-1"]);
    repo.publish(NOW + DAYS, &["a-3-1"]);
    assert_eq!(repo.lines().len(), 2);
    let (first, sequence) = (NOW + 10, |now| repo.publish(now, &["a-3-1"]).sequence);
    // Both of the day of its end, and of the one before.
    let end = first - first % DAYS + 3 * DAYS;
    sequence(end - 1);
    assert_eq!((repo.lines().len(), repo.since()), (2, 0));
    sequence(end);
    assert_eq!((repo.lines(), repo.since()), (vec![line("a-2-1", Some(10), DAYS)], 10));
}

#[test]
fn retention_by_versions_keeps_the_last_ones_of_each_package() {
    let repo = Changing::with(rule(None, Some(2)));
    for n in 0..6 {
        repo.publish(NOW + n * 10, &[&format!("a-{n}-1"), "b-1-1"]);
    }
    assert_eq!(repo.lines(), [line("a-3-1", Some(30), 40), line("a-4-1", Some(40), 50)]);
    repo.publish(NOW + 60, &["a-5-1"]);
    assert_eq!(repo.lines()[2], line("b-1-1", None, 60), "a package of its own");
    assert_eq!(repo.since(), 0, "of each package it says what it knows");
}

#[test]
fn a_name_means_one_file_also_after_it_was_issued_again() {
    let repo = Changing::with(rule(Some(90), None));
    repo.publish(NOW, &["a-1-1", "b-1-1"]);
    repo.publish(NOW + 10, &["b-1-1"]);
    assert_eq!(repo.lines(), [line("a-1-1", None, 10)]);
    // Other bytes under the name of a file that is there, and of one that has left.
    repo.made.add("custom", &[package("a-1-1-any", 11), package("b-1-1-any", 12)]);
    build(&repo.options(NOW + 20)).unwrap();
    assert_eq!(repo.lines(), []);
}

#[test]
fn a_publisher_that_is_killed_neither_loses_nor_doubles_what_left() {
    let repo = Changing::with(rule(Some(90), None));
    repo.publish(NOW, &["a-1-1", "b-1-1"]);
    let memory = repo.state().join("published.json");
    let before = fs::read(&memory).unwrap();
    let tables: Vec<_> =
        fs::read_dir(repo.state().join("tables")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let tables: Vec<_> = tables.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    repo.publish(NOW + 10, &["a-2-1", "b-1-1"]);
    let once = [line("a-1-1", None, 10)];
    assert_eq!(repo.lines(), once);

    // Killed after the new lines were kept, and before they were remembered: as if it had not been.
    fs::write(&memory, &before).unwrap();
    tables.iter().for_each(|(bytes, path)| fs::write(path, bytes).unwrap());
    repo.publish(NOW + 20, &["a-2-1", "b-1-1"]);
    assert_eq!(repo.lines(), [line("a-1-1", None, 20)]);
    // Killed after they were remembered, and before any target had them.
    fs::remove_dir_all(repo.out()).unwrap();
    repo.publish(NOW + 30, &["a-2-1", "b-1-1"]);
    assert_eq!(repo.lines(), [line("a-1-1", None, 20)]);
    // And what had left before such a run is there after the next change.
    repo.publish(NOW + 40, &["a-3-1", "b-1-1"]);
    assert_eq!(repo.lines(), [line("a-1-1", None, 20), line("a-2-1", Some(20), 40)]);
}

#[test]
fn an_archive_that_is_damaged_begins_anew_and_says_so() {
    let repo = Changing::with(rule(Some(90), None));
    repo.publish(NOW, &["a-1-1"]);
    repo.publish(NOW + 10, &["a-2-1"]);
    let packed = repo.table().archive.unwrap().packed.sha256;
    fs::write(repo.state().join(format!("tables/{packed}.ndjson.zst")), "x").unwrap();
    let report = repo.publish(NOW + 20, &["a-3-1"]);
    let key = format!("custom-{}", std::env::consts::ARCH);
    assert_eq!(report.warnings, [format!("the archive of {key} begins anew: it is not here any more, or damaged")]);
    assert_eq!((repo.lines(), repo.since()), (vec![line("a-2-1", None, 20)], 20));
    // Without the table before, what left is not known: the times tell that.
    let tables = fs::read_dir(repo.state().join("tables")).unwrap().map(|entry| entry.unwrap().path());
    let is_table = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "ndjson");
    tables.filter(is_table).for_each(|path| fs::remove_file(path).unwrap());
    let report = repo.publish(NOW + 30, &["a-4-1"]);
    assert_eq!(report.warnings.len(), 1);
    assert_eq!((repo.lines(), repo.since()), (vec![line("a-2-1", None, 20)], 30));
}

#[test]
fn retention_that_is_switched_on_or_off_is_a_change_and_a_repo_may_not_have_its_name() {
    let repo = Changing::with(rule(Some(90), None));
    repo.made.add("custom", &[package("a-1-1-any", 10)]);
    let without = |now| build(&PublishOptions { retention: None, ..repo.options(now) }).unwrap().did;
    assert_eq!(without(NOW), Did::Published);
    assert!(repo.table().archive.is_none() && !repo.out().join("archive").exists());
    assert_eq!(repo.publish(NOW + 10, &["a-2-1"]).did, Did::Published);
    assert_eq!((repo.lines(), repo.since()), (vec![line("a-1-1", None, 10)], 10));
    let report = repo.publish(NOW + 11, &["a-2-1"]);
    let archive = report.archive().unwrap();
    assert_eq!((report.did, archive.files, archive.with_bytes, archive.oldest), (Did::Unchanged, 1, 0, Some(NOW + 10)));
    assert_eq!(without(NOW + 20), Did::Published);
    assert!(repo.table().archive.is_none());

    let named = RepoFixture::repo("archive", &[]);
    let retention = Some(rule(Some(90), None));
    assert!(build(&PublishOptions { retention: None, ..named.options(NOW) }).is_ok());
    assert!(matches!(build(&PublishOptions { retention, ..named.options(NOW) }), Err(PublishError::Reserved(_))));
}

#[test]
fn the_quota_lets_go_first_of_what_left_first() {
    let repo = Changing::with(rule(Some(90), None));
    repo.publish(NOW, &["a-1-1"]);
    repo.publish(NOW + 10, &["a-2-1"]);
    repo.publish(NOW + 20, &["a-3-1"]);
    repo.publish(NOW + 30, &["a-4-1"]);
    let opened = |bytes: Option<u64>, lacks: &[&str], current: &[&str]| {
        let memory = super::super::PublisherMemory::open(&repo.state()).unwrap();
        let chain = Chain::at(&repo.state());
        let key = format!("custom-{}", std::env::consts::ARCH);
        let mut archive = KeptArchive::opened(&chain, &key, memory.archives.get(&key), NOW);
        let mut has: HashSet<BlockCid> = HashSet::new();
        let mut now: HashSet<BlockCid> = HashSet::new();
        let is_one = |file: &ArchivedEntry, of: &[&str]| of.iter().any(|one| file.entry.name.as_str().starts_with(one));
        for file in &archive.files {
            let cid = BlockCid::of(file.entry.cid).unwrap();
            if !is_one(file, lacks) {
                has.insert(cid);
            }
            if is_one(file, current) {
                now.insert(cid);
            }
        }
        let former = FormerIndex { has: Some(&has), ..FormerIndex::default() };
        archive.retain(&repo.rule, NOW);
        let rule = RetentionRule { bytes, ..repo.rule };
        let kept = with_bytes([&archive].into_iter(), &rule, former, &now);
        let kept = archive.files.iter().filter(|file| kept.contains(&file.entry.cid));
        kept.map(|file| file.entry.name.as_str()[..3].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(opened(None, &[], &[]), ["a-3", "a-2", "a-1"]);
    assert_eq!(opened(Some(29), &[], &[]), ["a-3", "a-2"]);
    assert_eq!(opened(Some(29), &["a-3"], &[]), ["a-2", "a-1"]);
    assert_eq!(opened(Some(0), &[], &[]), [""; 0]);
    // What is in the tree in any case takes nothing of it.
    assert_eq!(opened(Some(19), &[], &["a-3"]), ["a-3", "a-2"]);
    assert_eq!(opened(Some(0), &[], &["a-2"]), ["a-2"]);
    assert_eq!(opened(None, &["a-2"], &["a-2"]), ["a-3", "a-1"], "it has not come yet");
}

/// An archive of files of these CIDs' contents: a letter, bytes, and when it left.
fn archive_of(files: &[(&str, u64, u64)]) -> KeptArchive {
    let none = Sha256::of(b"");
    let link = ArchiveLink { since: NOW, entries: 0, sha256: none, size: 0, packed: (none, 0), came: BTreeMap::new() };
    let file = |(name, size, until): &(&str, u64, u64)| {
        let sha256 = Sha256::of(name.as_bytes());
        let name = FileName::new(format!("{name}-1-1-any.pkg.tar.zst")).unwrap();
        let entry = Entry { name, size: *size, sha256, cid: Cid::raw(sha256), signature: None };
        ArchivedEntry { entry, from: None, until: *until }
    };
    KeptArchive { link, packed: Vec::new(), files: files.iter().map(file).collect(), warning: None }
}

#[test]
fn the_quota_is_of_all_repositories_together_and_counts_what_two_had_once() {
    let archives = [archive_of(&[("a", 10, 1), ("c", 10, 4)]), archive_of(&[("b", 10, 2), ("c", 10, 3)])];
    let has: HashSet<BlockCid> = ["a", "b", "c"].map(|name| BlockCid::raw(Sha256::of(name.as_bytes()))).into();
    let former = FormerIndex { has: Some(&has), ..FormerIndex::default() };
    for (bytes, kept) in [(9, &[][..]), (15, &["c"]), (20, &["c", "b"]), (29, &["c", "b"]), (30, &["a", "b", "c"])] {
        let rule = RetentionRule { bytes: Some(bytes), ..rule(Some(90), None) };
        let kept: HashSet<Cid> = kept.iter().map(|name| Cid::raw(Sha256::of(name.as_bytes()))).collect();
        assert_eq!(with_bytes(archives.iter(), &rule, former, &HashSet::new()), kept, "{bytes}");
    }
}

#[test]
fn a_daemon_that_does_not_tell_once_loses_no_archived_file() {
    let repo = Changing::with(rule(Some(90), None));
    repo.publish(NOW, &["a-1-1"]);
    let mut memory = super::super::PublisherMemory::open(&repo.state()).unwrap();
    assert_eq!(memory.has_given(None), None, "it was given nothing");
    let given = HashSet::from([BlockCid::raw(Sha256::of(b"a"))]);
    memory.online = memory.offline.clone().map(|index| PublishedIndex { files: given.clone(), ..index });
    assert_eq!(memory.has_given(None), Some(&given));
    let told = HashSet::new();
    assert_eq!(memory.has_given(Some(&told)), Some(&told), "what it tells counts");
}
