//! The house in numbers: faults to reduce, held against `tests/house.toml`. `tests/house` prints them.
//!
//! | number | counts |
//! |---|---|
//! | shared_type_names | names of structs, enums, traits and aliases that two or more modules give to things of their own |
//! | pronouns_… | indefinite pronouns (`PRONOUNS`) in comments and texts, for 1,000 lines of comments |
//! | file_cycles | groups of files that use each other in a circle, parents and children aside |
//! | wide_structs | structs that other modules see, of more than 8 fields that are not data: some are private, serde does not write them, and `DATA` does not name them |
//! | names_shared_by_rigs | types and functions that the rig of fakes (tests/support/) and that of real programs (its real/ and bench/) both declare |
//! | public_functions_… | `pub fn` for 1,000 lines of code without tests |
//! | files_over_450_lines | files of src/ |
//! | long_doc_lines | lines of documents over 115 columns, tables and the changelog aside |
//!
//! A second test holds that each mechanism stands in one file (`ONCE`).
//!
//! Others hold that src/ has about eighteen rooms. Printed and not held: lines, files over 400 lines.

#[path = "support/house/cycles.rs"]
mod cycles;
#[path = "support/house/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

const RATCHET: &str = "tests/house.toml";
const PRONOUNS: [&str; 6] = ["nobody", "somebody", "whoever", "anybody", "everybody", "whom"];

/// One number that may only fall.
struct Measure {
    name: &'static str,
    now: usize,
    /// Each counted item, with its place.
    counted: Vec<String>,
}

impl Measure {
    fn of(name: &'static str, counted: Vec<String>) -> Self {
        Self { name, now: counted.len(), counted }
    }

    /// Counts per 1,000 of `lines`, rounded up, so that the last one shows.
    fn per_thousand(name: &'static str, counted: Vec<String>, lines: usize) -> Self {
        Self { name, now: (counted.len() * 1000).div_ceil(lines.max(1)), counted }
    }
}

fn shared_type_names(sources: &[Source]) -> Vec<String> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_test) {
        for found in source.types() {
            places.entry(found.name).or_default().push(source.path.display().to_string());
        }
    }
    let shared = places.into_iter().filter(|(_, places)| places.iter().collect::<BTreeSet<_>>().len() > 1);
    shared.map(|(name, places)| format!("{name}: {}", places.join(", "))).collect()
}

/// Lists what both rigs declare under one name.
fn names_shared_by_rigs(tests: &[Source]) -> Vec<String> {
    let mut places: BTreeMap<&str, [Vec<String>; 2]> = BTreeMap::new();
    for source in tests {
        let Ok(below) = source.path.strip_prefix("tests/support") else { continue };
        let rig = match below.parent().and_then(Path::to_str) {
            Some("") => 0,
            Some("real" | "bench") => 1,
            _ => continue,
        };
        for name in source.code.lines().filter_map(source::declared) {
            places.entry(name).or_default()[rig].push(source.path.display().to_string());
        }
    }
    let shared = places.into_iter().filter(|(_, rigs)| rigs.iter().all(|places| !places.is_empty()));
    shared.map(|(name, rigs)| format!("{name}: {}", rigs.concat().join(", "))).collect()
}

/// Lists every pronoun outside of this file, except the user of that name: `nobody`, "nobody", `= nobody` of
/// pacman.conf and `nobody:x:` of passwd.
fn pronouns(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !source.path.ends_with("house.rs")) {
        for (number, line) in source.text.lines().enumerate() {
            let user = ["`nobody`", "\"nobody\"", "= nobody", "nobody:x:"];
            let plain = user.iter().fold(line.to_owned(), |line, user| line.replace(user, ""));
            let words = plain.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').map(str::to_ascii_lowercase);
            let pronouns = words.filter(|word| PRONOUNS.contains(&word.as_str()));
            found.extend(pronouns.map(|word| format!("{}:{}: {word}", source.path.display(), number + 1)));
        }
    }
    found
}

/// Wide structs that are data although some of their fields are private, with the reason.
const DATA: [(&str, &str); 2] = [
    ("Arguments", "a command line as it was read; what is private are its words in order, to be written again"),
    ("IpnsEntry", "a record as it is encoded: one field for each of the protobuf's"),
];

fn wide_structs(sources: &[Source]) -> Vec<String> {
    let mut wide = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test) {
        let types = source.types().into_iter().filter(|found| found.is_public && found.fields > 8);
        let types = types.filter(|found| DATA.iter().all(|(name, _)| found.name != *name));
        let no_data = types.filter(|found| found.hidden_fields > 0 && !found.is_format);
        wide.extend(
            no_data.map(|found| format!("{}: {} has {} fields", source.path.display(), found.name, found.fields)),
        );
    }
    wide
}

fn public_functions(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test) {
        for (number, line) in source.code.lines().enumerate() {
            let is_one =
                ["pub fn ", "pub async fn ", "pub const fn "].iter().any(|start| line.trim_start().starts_with(start));
            found.extend(is_one.then(|| format!("{}:{}: {}", source.path.display(), number + 1, line.trim())));
        }
    }
    found
}

fn files_over(limit: usize, sources: &[Source]) -> Vec<String> {
    let lines = sources.iter().map(|source| (source, source.text.lines().count())).filter(|(_, lines)| *lines > limit);
    lines.map(|(source, lines)| format!("{}: {lines} lines", source.path.display())).collect()
}

fn long_doc_lines() -> Vec<String> {
    let folders = [".", "doc", "doc/decisions", "doc/facts"];
    let entries = folders.into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let mut documents: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    documents.retain(|path| path.extension().is_some_and(|ext| ext == "md") && !path.ends_with("CHANGELOG.md"));
    documents.sort();
    let mut long = Vec::new();
    for path in documents {
        let text = fs::read_to_string(&path).expect("a document");
        let lines = text.lines().enumerate().filter(|(_, line)| line.chars().count() > 115 && !line.starts_with('|'));
        long.extend(lines.map(|(number, _)| format!("{}:{}", path.display(), number + 1)));
    }
    long
}

/// Counts the rooms (directories) of src/, and lists the files beside them.
fn rooms() -> (usize, Vec<String>) {
    let entries = fs::read_dir("src").expect("src/").map(|entry| entry.expect("an entry").path());
    let (rooms, loose): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    (rooms.len(), loose.iter().map(|path| path.display().to_string()).collect())
}

#[test]
fn the_house_has_about_eighteen_rooms_and_nothing_in_the_hall() {
    let (rooms, loose) = rooms();
    assert!((16..=20).contains(&rooms), "{rooms} rooms in src/: a reader remembers about eighteen");
    assert!(loose.len() <= 4, "these belong in a room: {loose:?}");
}

fn held(text: &str) -> BTreeMap<String, usize> {
    let table: toml::Table = toml::from_str(text).unwrap_or_else(|e| panic!("{RATCHET}: {e}"));
    let number = |value: toml::Value| value.as_integer().and_then(|number| usize::try_from(number).ok());
    let numbers = table.into_iter().map(|(name, value)| {
        let number = number(value).unwrap_or_else(|| panic!("{RATCHET}: {name} is no number"));
        (name, number)
    });
    numbers.collect()
}

#[test]
fn no_number_of_the_house_rises() {
    let sources = Source::all_below(Path::new("src"));
    let tests = Source::all_below(Path::new("tests"));
    let comments: usize = sources.iter().map(Source::comment_lines).sum();
    let code: usize = sources.iter().map(Source::code_lines).sum();
    let circles = cycles::cycles(&sources).into_iter().map(|circle| circle.join(" <-> ")).collect();
    let measures = [
        Measure::of("file_cycles", circles),
        Measure::of("files_over_450_lines", files_over(450, &sources)),
        Measure::of("long_doc_lines", long_doc_lines()),
        Measure::of("names_shared_by_rigs", names_shared_by_rigs(&tests)),
        Measure::per_thousand("pronouns_in_src_per_1000_comment_lines", pronouns(&sources), comments),
        Measure::per_thousand(
            "pronouns_in_tests_per_1000_comment_lines",
            pronouns(&tests),
            tests.iter().map(Source::comment_lines).sum(),
        ),
        Measure::per_thousand("public_functions_per_1000_lines", public_functions(&sources), code),
        Measure::of("shared_type_names", shared_type_names(&sources)),
        Measure::of("wide_structs", wide_structs(&sources)),
    ];
    let mode = std::env::var("PKGSWARM_HOUSE").unwrap_or_default();
    let text = fs::read_to_string(RATCHET).expect(RATCHET);
    let mut held = held(&text);
    let (mut wrong, mut fell, mut lowered) = (Vec::new(), Vec::new(), text.clone());
    for measure in &measures {
        let Some(most) = held.remove(measure.name) else { panic!("{RATCHET} lacks {}", measure.name) };
        if mode == "list" {
            measure.counted.iter().for_each(|one| println!("{}  {one}", measure.name));
        }
        if measure.now > most {
            wrong.push(format!("{} rose from {most} to {}", measure.name, measure.now));
        } else if measure.now < most {
            fell.push(format!("{} {most} -> {}", measure.name, measure.now));
            let line = |number: usize| format!("\n{} = {number}\n", measure.name);
            lowered = lowered.replace(&line(most), &line(measure.now));
        }
    }
    assert!(held.is_empty(), "{RATCHET} holds what is not counted: {:?}", held.keys());
    if mode == "lower" && wrong.is_empty() {
        fs::write(RATCHET, lowered).expect(RATCHET);
    } else if !fell.is_empty() {
        println!("lower {RATCHET} with `tests/house --lower`: {}", fell.join(", "));
    }
    let now = |name: &str| measures.iter().find(|measure| measure.name.starts_with(name)).expect("a measure");
    println!(
        "house: {} type names shared, {} pronouns for 1,000 comment lines ({} in {comments}; tests {}), {} cycles of files",
        now("shared").now,
        now("pronouns_in_src").now,
        now("pronouns_in_src").counted.len(),
        now("pronouns_in_tests").now,
        now("file_cycles").now,
    );
    println!(
        "house: {} wide structs, {} public functions, {} long lines in documents, {} files over 400 lines, {} over 450",
        now("wide").now,
        now("public_functions").counted.len(),
        now("long_doc").now,
        files_over(400, &sources).len(),
        now("files_over_450").now,
    );
    let all = |sources: &[Source]| sources.iter().map(|source| source.text.lines().count()).sum::<usize>();
    println!(
        "house: {} rooms, {} files of {} lines (mean {}), {code} of them code without tests; tests/ {} lines",
        rooms().0,
        sources.len(),
        all(&sources),
        all(&sources) / sources.len(),
        all(&tests),
    );
    assert!(wrong.is_empty(), "{}; `tests/house --list` shows what is counted", wrong.join(", "));
}

/// What exists once, the text that would betray a second one, and the files that may have it.
const ONCE: [(&str, &str, &[&str]); 22] = [
    ("the CID profile's name", "\"unixfs-v1-2025\"", &["src/base/size.rs"]),
    ("the one-chunk rule", "<= OWN_BLOCK_MOST", &["src/base/size.rs"]),
    ("the one-chunk rule", "<= CHUNK as u64", &[]),
    ("the chunk's size", "CHUNK: usize =", &["src/base/size.rs"]),
    ("the longest block", "BLOCK_MOST: usize =", &["src/base/size.rs"]),
    ("the longest IPNS record", "RECORD_MOST: usize =", &["src/base/size.rs"]),
    ("the user agent", "USER_AGENT: &str =", &["src/net/http/mod.rs"]),
    ("proxy policy", ".no_proxy()", &["src/net/http/mod.rs", "src/net/http/proxy.rs"]),
    ("Unix time", "duration_since(UNIX_EPOCH)", &["src/base/clock.rs"]),
    ("a file's identity from stat(2)", "st_ctime_nsec", &["src/base/fsx/key.rs"]),
    ("the names of temporary files", "\".pkgswarm-\"", &["src/base/fsx/replace.rs"]),
    // output.rs names what it stages by link(2), and by rename(2) where there is no such thing; kept.rs what was proven on
    // its way into the store of a share.
    ("replacing by rename", ".persist(", &["src/base/fsx/replace.rs", "src/store/kept.rs", "src/trust/output.rs"]),
    ("files that are synced", ".sync_all()", &["src/base/fsx/replace.rs"]),
    ("files that are synced", ".sync_data()", &["src/base/fsx/replace.rs"]),
    ("reading a copied descriptor from its start", "io::Read for FromStart", &["src/base/fsx/from_start.rs"]),
    ("passing descriptors", "::ScmRights(", &["src/net/socket/passing.rs"]),
    ("a raw block by HTTP", "application/vnd.ipld.raw", &["src/net/http/block.rs"]),
    ("a raw block by HTTP", "?format=raw", &["src/net/http/block.rs"]),
    ("asking Kubo what it has", "cached_only: true, direct: true", &["src/engine/source/kubo.rs"]),
    ("streaming a CAR", "car::header(", &["src/net/kubo/upload.rs"]),
    ("pacman's version", "HTTP_USER_AGENT\")?", &["src/lists/pacman/version.rs"]),
    // The race, the search for one block and a refresh wait for several sources of which each counts; a gathering
    // waits for several files in any order, and so does a round of a keeper, which begins one where there is room.
    (
        "hedging, and fetching in an order",
        "FuturesUnordered::new()",
        &[
            "src/base/hedge.rs",
            "src/base/ordered.rs",
            "src/engine/race/driver/lanes.rs",
            "src/engine/content/block_sources.rs",
            "src/pacman/gather.rs",
            "src/pacman/gather/light.rs",
            "src/pins/keeper/own/taken.rs",
            "src/pins/keeper/take.rs",
        ],
    ),
];

#[test]
fn each_mechanism_stands_in_one_file() {
    let sources = Source::all_below(Path::new("src"));
    let mut wrong = Vec::new();
    for (what, text, files) in ONCE {
        let mut seen = BTreeSet::new();
        for source in sources.iter().filter(|source| !source.is_test) {
            // Tests and comments are empty lines of the code.
            let lines = source.text.lines().zip(source.code.lines()).filter(|(_, code)| !code.trim().is_empty());
            if lines.into_iter().any(|(line, _)| line.contains(text)) {
                seen.insert(source.path.display().to_string());
            }
        }
        let allowed: BTreeSet<String> = files.iter().map(|file| (*file).to_owned()).collect();
        if seen != allowed {
            wrong.push(format!("{what}: {text:?} is in {seen:?}, and belongs into {allowed:?}"));
        }
    }
    assert!(wrong.is_empty(), "use what is there, or move it:\n{}", wrong.join("\n"));
}
