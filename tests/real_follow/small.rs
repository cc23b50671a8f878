//! What a publisher of an index alone needs: memory, disk, time, questions to mirrors.

use super::real::{Archive, Mirror, Parts};
use super::{Follower, now, resolved};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// The most memory that a program had, in bytes.
#[derive(Clone, Copy, Default, Debug)]
struct MostMemory {
    /// All of it, by the kernel's own count.
    all: u64,
    /// Without the pages of its own file, of which a debug build has twenty megabytes, by looks at every few milliseconds.
    own: u64,
}

/// Runs a program to its end, and returns its status, its memory, and its duration.
fn measured(mut program: Command) -> (ExitStatus, MostMemory, Duration) {
    let begun = Instant::now();
    let mut child = program.spawn().expect("a program");
    let mut most = MostMemory::default();
    loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        let bytes = |name: &str| line(name).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) << 10;
        most = MostMemory { all: most.all.max(bytes("VmHWM:")), own: most.own.max(bytes("RssAnon:")) };
        if let Some(ended) = child.try_wait().expect("a child of ours") {
            return (ended, most, begun.elapsed());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Counts bytes on the disk below a directory, as du does.
fn disk_use(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let of = |path: PathBuf| {
        let found = fs::symlink_metadata(&path).expect("a file");
        if found.is_dir() { disk_use(&path) } else { found.blocks() * 512 }
    };
    4096 + entries.map(of).sum::<u64>()
}

/// Follows mirrors with so many packages, and checks what the publisher needs for it.
fn is_small(packages: usize) {
    const MB: u64 = 1_000_000;
    Parts::demand();
    let mut archive =
        Archive::of(&[("core", "x86_64", packages / 50), ("extra", "x86_64", packages * 49 / 50)], now() - 9000);
    let mut replica = archive.replica();
    archive.bring(&mut replica, archive.steps());
    let mirrors = ["127.0.0.1", "127.0.0.2"].map(|address| Mirror::serve_at(address, replica.dir.path()));
    let follower = Follower::of(&mirrors.each_ref().map(Mirror::url), "\"core\", \"extra\"", "\"x86_64\"", None);
    let file = follower.own.path().join("publish.d/arch.toml");
    let text = fs::read_to_string(&file).expect("a file of ours");
    fs::write(&file, format!("content = \"none\"\n{text}")).expect("a file of ours");

    // As its unit runs it.
    let command = || {
        let mut command = follower.command();
        command.env("MALLOC_ARENA_MAX", "1");
        command
    };
    let (status, first, took) = measured(command());
    assert!(status.success());
    let disk = disk_use(&follower.own.path().join("state-publish")) + disk_use(&follower.plain());
    println!("{packages} packages for the first time: {took:?}, {first:?}, {} kB of disk", disk / 1000);
    // What a run leaves is remembered once it is a second old.
    let (status, ..) = measured(command());
    assert!(status.success());
    let asked = || mirrors.iter().flat_map(Mirror::requests).collect::<Vec<_>>();
    let before = asked().len();
    let (status, idle, took) = measured(command());
    assert!(status.success());
    let questions = asked().split_off(before);
    println!("nothing new: {took:?}, {idle:?}, {questions:?}");
    // One question to each mirror, each with its answer of some 250 bytes.
    assert!(questions.len() <= 2 && questions.iter().all(|question| question.body == 0), "{questions:?}");
    let most = if cfg!(debug_assertions) { 10 } else { 2 };
    assert!(took < Duration::from_secs(most), "nothing new took {took:?}");

    let news: Vec<_> =
        (0..100).map(|n| (format!("extra-package{}", n * 7 % (packages / 2)), "2.0-1".to_owned(), 3000)).collect();
    archive.change("extra", "x86_64", &news);
    archive.bring(&mut replica, archive.steps());
    let (status, hundred, took) = measured(command());
    assert!(status.success());
    println!("a hundred new: {took:?}, {hundred:?}");
    let per = |most: u64| most * packages as u64 / 15_000;
    // The file of a debug build is not what users run.
    let counted = |most: MostMemory| if cfg!(debug_assertions) { most.own } else { most.all };
    let memory = [first, idle, hundred].map(counted).into_iter().max().unwrap_or(0);
    assert!(memory > 0 && memory <= 60 * MB, "{memory} bytes of memory");
    assert!(disk < per(180 * MB) + 20 * MB, "{disk} bytes of disk");
    assert_eq!(resolved(&follower.plain(), &follower.key, &archive.whole.lock().unwrap()), Some(1));
}

#[test]
#[ignore = "it takes minutes: `tests/run nightly` runs it"]
fn an_index_of_15000_packages_takes_little_disk_memory_and_nothing_when_nothing_is_new() {
    is_small(15_000);
}

#[test]
fn an_index_of_500_packages_takes_little_disk_memory_and_nothing_when_nothing_is_new() {
    is_small(500);
}
