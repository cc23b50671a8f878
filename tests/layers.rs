//! Imports go one way: the list of layers in the crate documentation, held against every `crate::` path in src/. A
//! failure has a kind everywhere below the commands.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the line of the list that names each module.
fn layers() -> HashMap<String, usize> {
    let docs = fs::read_to_string("src/lib.rs").unwrap();
    let section = docs.lines().skip_while(|line| *line != "//! # Order of the modules");
    let list = section.skip_while(|line| *line != "//! ```text").skip(1).take_while(|line| *line != "//! ```");
    let mut layers = HashMap::new();
    for (line, text) in list.enumerate() {
        for module in text.trim_start_matches("//!").split_whitespace() {
            assert!(layers.insert(module.to_owned(), line).is_none(), "{module} stands in the list twice");
        }
    }
    layers
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// Lists the top-level modules in a line of code.
fn used(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    assert!(!code.contains("crate::{"), "one module a `use crate::` line: {line}");
    let ends = |c: char| !c.is_ascii_lowercase() && c != '_';
    code.split("crate::").skip(1).map(move |rest| rest.split(ends).next().unwrap_or_default())
}

#[test]
fn only_the_commands_know_an_error_of_any_kind() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let is_edge = |path: &PathBuf| path.starts_with("src/cmd") || path == Path::new("src/main.rs");
    let names = |path: &PathBuf| fs::read_to_string(path).unwrap().contains("anyhow");
    let wrong: Vec<_> = files.into_iter().filter(|path| !is_edge(path) && names(path)).collect();
    assert!(wrong.is_empty(), "anyhow is for src/main.rs and src/cmd; these name it: {wrong:?}");
}

/// Modules that belong to a whole process: its commands, the threads that they start, the child of root. All others
/// can be called by a server as well.
const OF_A_PROCESS: [&str; 14] = [
    "cmd",
    "daemon",
    "inspect",
    "env",
    "front",
    "gather",
    "handover",
    "hit",
    "interrupt",
    "main",
    "prefetch",
    "report",
    "runtime",
    "setup",
];

/// The marks of printing, of handling signals, and of blocking on a runtime.
const OF_ITS_OWN: [&str; 12] = [
    "report::say",
    "report::warn",
    "report::out",
    "report::Progress",
    "crate::runtime",
    "crate::interrupt",
    "println!",
    "print!(",
    "std::io::std",
    "tokio::signal",
    "signal_hook",
    "block_on(",
];

#[test]
fn the_engine_prints_nothing_handles_no_signal_and_has_no_runtime() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let mut wrong = BTreeSet::new();
    for path in &files {
        let below_src = path.strip_prefix("src").unwrap();
        let module = below_src.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        let is_test = path.to_str().unwrap().contains("tests");
        // The node's thread, and the commands' own tables.
        let has_own = path == Path::new("src/node/runner/thread.rs") || module == "cli";
        if OF_A_PROCESS.contains(&module) || is_test || has_own {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().map(|line| line.split("//").next().unwrap_or_default()) {
            for mark in OF_ITS_OWN.iter().filter(|mark| line.contains(*mark)) {
                wrong.insert(format!("{}: {mark}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "only a process does this:\n{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn imports_go_from_lower_lines_of_the_list_to_higher_ones() {
    let layers = layers();
    let (mut files, mut seen, mut wrong) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    sources(Path::new("src"), &mut files);
    for path in files
        .iter()
        .filter(|path| !path.ends_with("main.rs") && !path.ends_with("front.rs") && !path.ends_with("lib.rs"))
    {
        let below_src = path.strip_prefix("src").unwrap();
        let module = below_src.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        let Some(own) = layers.get(module) else { panic!("{module} is missing in the list of src/lib.rs") };
        seen.insert(module.to_owned());
        for line in fs::read_to_string(path).unwrap().lines() {
            for other in used(line).filter(|other| *other != module) {
                if layers.get(other).is_none_or(|theirs| theirs >= own) {
                    wrong.insert(format!("{}: {module} -> {other}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "against the order of src/lib.rs:\n{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
    let gone: Vec<_> = layers.keys().filter(|module| !seen.contains(*module)).collect();
    assert!(gone.is_empty(), "in the list of src/lib.rs, but not in src/: {gone:?}");
}
