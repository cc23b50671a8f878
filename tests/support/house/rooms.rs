//! The rooms of src/, as their heads describe them.
//!
//! A room is a directory of src/. Its `mod.rs` ends its description with a section `# Room`:
//!
//! ```text
//! //! # Room
//! //!
//! //! - In: what it is given
//! //! - Out: what it returns
//! //! - May use: base, dag
//! //!
//! //! Its parts, each of which may use those in lines above its own:
//! //!
//! //! ```text
//! //! one two
//! //! three
//! //! ```
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A room, as its head describes it.
pub struct Room {
    pub name: String,
    /// Its first sentence.
    pub purpose: String,
    pub takes: String,
    pub gives: String,
    pub may_use: BTreeSet<String>,
    /// Its parts, with the lines in which they stand.
    pub parts: BTreeMap<String, usize>,
}

/// Reads all heads.
///
/// # Panics
/// When a head is missing or incomplete.
pub fn rooms() -> BTreeMap<String, Room> {
    let dirs = fs::read_dir("src").expect("src/").map(|entry| entry.expect("an entry").path());
    let rooms = dirs.filter(|path| path.is_dir()).map(|path| {
        let room = Room::read(&path);
        (room.name.clone(), room)
    });
    rooms.collect()
}

impl Room {
    fn read(dir: &Path) -> Self {
        let head = dir.join("mod.rs");
        let text = fs::read_to_string(&head).unwrap_or_else(|e| panic!("{}: a room has a head: {e}", head.display()));
        let lines = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
        let lines: Vec<&str> = lines.collect();
        let missing = |what: &str| -> ! { panic!("{}: its head has no {what}", head.display()) };
        let Some(start) = lines.iter().position(|line| *line == "# Room") else { missing("section `# Room`") };
        let section = &lines[start + 1..];
        // An item goes on in indented lines, and ends with the next one or an empty line.
        let item = |name: &str| {
            let mark = format!("- {name}: ");
            let Some(at) = section.iter().position(|line| line.starts_with(&mark)) else { missing(&mark) };
            let rest = section[at + 1..].iter().take_while(|line| !line.is_empty() && !line.starts_with("- "));
            std::iter::once(&section[at][mark.len()..]).chain(rest.copied()).collect::<Vec<_>>().join(" ")
        };
        let names = item("May use");
        let names = names.trim_end_matches('.').split(", ").filter(|name| *name != "nothing of ours");
        let parts = section.iter().skip_while(|line| **line != "```text").skip(1).take_while(|line| **line != "```");
        let parts = parts.enumerate().flat_map(|(line, names)| names.split_whitespace().map(move |name| (name, line)));
        let sentence = lines[..start].iter().take_while(|line| !line.is_empty()).copied().collect::<Vec<_>>().join(" ");
        Self {
            name: dir.file_name().expect("a name").to_string_lossy().into_owned(),
            purpose: sentence.split_once(". ").map_or(sentence.as_str(), |(first, _)| first).to_owned(),
            takes: item("In"),
            gives: item("Out"),
            may_use: names.map(str::to_owned).collect(),
            parts: parts.map(|(name, line)| (name.to_owned(), line)).collect(),
        }
    }
}

/// Returns the floors: rooms that use nothing above their own floor, the lowest first.
///
/// # Panics
/// When rooms use each other in a circle, or one that does not exist.
pub fn floors(rooms: &BTreeMap<String, Room>) -> Vec<Vec<&str>> {
    let (mut floors, mut placed) = (Vec::new(), BTreeSet::new());
    while placed.len() < rooms.len() {
        let is_next = |room: &&Room| !placed.contains(&room.name) && room.may_use.is_subset(&placed);
        let floor: Vec<&Room> = rooms.values().filter(is_next).collect();
        let rest = || rooms.keys().filter(|name| !placed.contains(*name)).collect::<Vec<_>>();
        assert!(!floor.is_empty(), "these rooms use each other in a circle, or one that does not exist: {:?}", rest());
        placed.extend(floor.iter().map(|room| room.name.clone()));
        floors.push(floor.into_iter().map(|room| room.name.as_str()).collect());
    }
    floors
}

/// Draws the rooms: a picture that Markdown's readers render, without the arrows that others imply, and a table.
pub fn picture(rooms: &BTreeMap<String, Room>) -> String {
    let mut text = String::from(
        "# The rooms of `src/`\n\nMade by `tests/layers` from the heads of the rooms (`PKGSWARM_ROOMS=write cargo test \
         --test layers`), which checks\nthem against every import.\nAn arrow leads to a room that is used; one that \
         follows from others is not drawn.\n\n```mermaid\nflowchart TD\n",
    );
    for room in rooms.values() {
        let implied = |used: &str| room.may_use.iter().any(|other| reaches(rooms, other, used));
        for used in room.may_use.iter().filter(|used| !implied(used)) {
            text.push_str(&format!("  {} --> {used}\n", room.name));
        }
    }
    text.push_str("```\n\n| room | what it is | in | out | may use |\n|---|---|---|---|---|\n");
    for floor in floors(rooms).iter().rev() {
        for room in floor.iter().map(|name| &rooms[*name]) {
            let uses = room.may_use.iter().cloned().collect::<Vec<_>>().join(", ");
            let cells = [&room.purpose, &room.takes, &room.gives, &uses].map(|cell| cell.trim_end_matches('.'));
            text.push_str(&format!("| `{}` | {} |\n", room.name, cells.join(" | ")));
        }
    }
    text
}

fn reaches(rooms: &BTreeMap<String, Room>, from: &str, to: &str) -> bool {
    let used = &rooms[from].may_use;
    used.contains(to) || used.iter().any(|other| reaches(rooms, other, to))
}
