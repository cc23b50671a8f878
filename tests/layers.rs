//! Imports go one way: the heads of the rooms of src/, held against every path in it. The engine is quiet. A failure
//! has a kind everywhere below the commands.

#[path = "support/house/cycles.rs"]
#[expect(dead_code, reason = "circles are counted by tests/house")]
mod cycles;
#[path = "support/house/rooms.rs"]
mod rooms;
#[path = "support/house/source.rs"]
#[expect(dead_code, reason = "tests/house counts more than layers need")]
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cycles::FileUses;
use source::Source;

/// The files below src/ that are in no room: the programs, and the list of rooms.
const ROOTS: [&str; 4] = ["front.rs", "lib.rs", "main.rs", "resident.rs"];

/// Returns `["engine", "race", "driver"]` for `src/engine/race/driver.rs`.
fn module_of(path: &Path) -> Vec<String> {
    let below = path.strip_prefix("src").expect("a file of src/").with_extension("");
    let mut names: Vec<String> = below.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    names.pop_if(|last| last == "mod");
    names
}

/// Lists the files below src/ that are in a room.
fn files_of_rooms() -> Vec<Source> {
    let mut sources = Source::all_below(Path::new("src"));
    sources.retain(|source| !ROOTS.iter().any(|root| source.path == Path::new("src").join(root)));
    sources
}

/// Lists the rooms named in a line of code.
fn used(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    assert!(!code.contains("crate::{"), "one module a `use crate::` line: {line}");
    let ends = |c: char| !c.is_ascii_lowercase() && c != '_';
    code.split("crate::").skip(1).map(move |rest| rest.split(ends).next().unwrap_or_default())
}

fn assert_none(what: &str, wrong: BTreeSet<String>) {
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn rooms_use_those_that_their_heads_name_and_no_others() {
    let rooms = rooms::rooms();
    let (mut wrong, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for source in files_of_rooms() {
        let module = module_of(&source.path);
        let room = &rooms[&module[0]];
        for line in source.text.lines() {
            for other in used(line).filter(|other| *other != room.name) {
                seen.insert((room.name.clone(), other.to_owned()));
                if !room.may_use.contains(other) {
                    wrong.insert(format!("{}: {} may not use {other}", source.path.display(), room.name));
                }
            }
        }
    }
    for room in rooms.values() {
        let unused = room.may_use.iter().filter(|used| !seen.contains(&(room.name.clone(), (*used).clone())));
        wrong.extend(unused.map(|used| format!("src/{}/mod.rs: names {used}, which it does not use", room.name)));
    }
    assert_none("the heads of rooms and their imports differ", wrong);
    rooms::floors(&rooms);
}

#[test]
fn parts_of_a_room_use_those_above_them_in_its_head() {
    let rooms = rooms::rooms();
    let sources = files_of_rooms();
    let mut wrong = BTreeSet::new();
    for room in rooms.values() {
        let entries = fs::read_dir(Path::new("src").join(&room.name)).expect("a room");
        let stems = entries.map(|entry| entry.expect("an entry").path().with_extension(""));
        let stems = stems.map(|path| path.file_name().expect("a name").to_string_lossy().into_owned());
        let there: BTreeSet<String> = stems.filter(|stem| stem != "mod").collect();
        let named: BTreeSet<String> = room.parts.keys().cloned().collect();
        wrong.extend(there.symmetric_difference(&named).map(|part| format!("src/{}/mod.rs: {part}", room.name)));
    }
    assert_none("these parts are in a room or in its head, but not in both", wrong);
    let mut wrong = BTreeSet::new();
    let FileUses { files, uses } = cycles::uses(&sources);
    for (from, used) in files.iter().zip(&uses) {
        let user = module_of(&from.path);
        for to in used.iter().map(|to| files[*to]) {
            let other = module_of(&to.path);
            // A head and its parts belong together.
            let ([room, part, ..], [its_room, its_part, ..]) = (&user[..], &other[..]) else { continue };
            let parts = &rooms[room].parts;
            if room == its_room && part != its_part && parts[part] <= parts[its_part] {
                wrong.insert(format!("{}: {part} uses {its_part}", from.path.display()));
            }
        }
    }
    assert_none("against the order in the head of the room", wrong);
}

#[test]
fn the_picture_of_the_rooms_is_what_their_heads_say() {
    let rooms = rooms::rooms();
    let drawn = rooms::picture(&rooms);
    if std::env::var("PKGSWARM_ROOMS").is_ok_and(|mode| mode == "write") {
        fs::write("doc/rooms.md", drawn).expect("doc/rooms.md");
        return;
    }
    let kept = fs::read_to_string("doc/rooms.md").expect("doc/rooms.md");
    assert!(kept == drawn, "doc/rooms.md is old; PKGSWARM_ROOMS=write cargo test --test layers");
    let docs = fs::read_to_string("src/lib.rs").expect("src/lib.rs");
    let list = docs.lines().skip_while(|line| *line != "//! # Rooms");
    let list = list.skip_while(|line| *line != "//! ```text").skip(1).take_while(|line| *line != "//! ```");
    let list: Vec<Vec<&str>> = list.map(|line| line.trim_start_matches("//!").split_whitespace().collect()).collect();
    assert_eq!(list, rooms::floors(&rooms), "the floors in src/lib.rs");
}

#[test]
fn only_the_commands_know_an_error_of_any_kind() {
    let is_edge = |path: &Path| path.starts_with("src/cmd") || path == Path::new("src/main.rs");
    let sources = Source::all_below(Path::new("src"));
    let wrong = sources.iter().filter(|source| !is_edge(&source.path) && source.text.contains("anyhow"));
    assert_none(
        "anyhow is for src/main.rs and src/cmd; these name it",
        wrong.map(|source| source.path.display().to_string()).collect(),
    );
}

/// What belongs to a whole process: its commands, the threads that they start, the child of root. All else can be
/// called by a server as well.
const OF_A_PROCESS: [&str; 16] = [
    "src/base/env",
    "src/base/interrupt",
    "src/base/runtime",
    "src/cmd",
    "src/daemon",
    "src/front",
    "src/host/inspect",
    "src/host/setup",
    "src/main",
    "src/pacman/gather",
    "src/pacman/handover",
    "src/pacman/hit",
    "src/pacman/prefetch",
    "src/report",
    // The thread of shared connections.
    "src/net/http/thread",
    // The node's thread.
    "src/node/runner/thread",
];

/// The marks of printing, of handling signals, and of blocking on a runtime.
const OF_ITS_OWN: [&str; 12] = [
    "report::say",
    "report::warn",
    "report::out",
    "report::Progress",
    "crate::base::runtime",
    "crate::base::interrupt",
    "println!",
    "print!(",
    "std::io::std",
    "tokio::signal",
    "signal_hook",
    "block_on(",
];

#[test]
fn the_engine_prints_nothing_handles_no_signal_and_has_no_runtime() {
    let is_process = |path: &Path| {
        let whole = |part: &Path| OF_A_PROCESS.iter().any(|own| part.with_extension("") == Path::new(own));
        path.ancestors().any(whole)
    };
    let known: Vec<PathBuf> = OF_A_PROCESS.iter().map(PathBuf::from).collect();
    let gone = known.iter().filter(|own| !own.is_dir() && !own.with_extension("rs").is_file());
    assert_none("in the list, but not in src/", gone.map(|own| own.display().to_string()).collect());
    let mut wrong = BTreeSet::new();
    for source in Source::all_below(Path::new("src")) {
        if is_process(&source.path) || source.is_test || source.path.to_string_lossy().contains("tests") {
            continue;
        }
        for line in source.code.lines() {
            for mark in OF_ITS_OWN.iter().filter(|mark| line.contains(*mark)) {
                wrong.insert(format!("{}: {mark}", source.path.display()));
            }
        }
    }
    assert_none("only a process does this", wrong);
}

/// Rooms and parts of rooms that know a file by the list of its system, whichever that is.
const OF_NO_SYSTEM: [&str; 13] = [
    "src/base",
    "src/dag",
    "src/engine",
    "src/lists/catalogue",
    "src/lists/system",
    "src/machine/lists/knowledge",
    "src/machine/lists/list",
    "src/machine/lists/once",
    "src/net",
    "src/node",
    "src/refresh",
    "src/store",
    "src/trust",
];

/// What pacman alone has: its types, and the names of its files.
const OF_PACMAN: [&str; 7] =
    ["lists::pacman", "PacmanConf", "lists.conf()", "pacman_repo(", ".pkg.tar", ".sig\"", ".db\""];

#[test]
fn the_engine_knows_files_by_a_list_and_none_of_pacmans_names() {
    let is_of = |part: &Path| OF_NO_SYSTEM.iter().any(|own| part.with_extension("") == Path::new(own));
    let mut wrong = BTreeSet::new();
    for source in Source::all_below(Path::new("src")) {
        let is_test = source.is_test || source.path.to_string_lossy().contains("tests");
        if is_test || !source.path.ancestors().any(is_of) {
            continue;
        }
        // With the literals, which `code` is without.
        let code = source.text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().map(|line| line.split("//").next().unwrap_or_default()) {
            for mark in OF_PACMAN.iter().filter(|mark| line.contains(*mark)) {
                wrong.insert(format!("{}: {mark}", source.path.display()));
            }
        }
    }
    assert_none("pacman's list tells this", wrong);
}
