//! The program's screens, word for word, in one file a command: `tests/screens/`.
//!
//! A change of a message shows as a change of these files. `PKGSWARM_SCREENS=write cargo test --test it screens` writes
//! them anew; read the difference before it is committed.

use std::fs;
use std::path::Path;

use super::World;
use super::run::{Run, redacted};
use super::terminal::printed;
use super::world::binary;

/// The screens of one command, in order.
pub struct Screens {
    file: String,
    text: String,
}

impl Screens {
    pub fn of(command: &str) -> Self {
        Self { file: format!("tests/screens/{command}.txt"), text: String::new() }
    }

    /// Runs this in the world and adds its screen, under the description of the scene.
    pub fn run(&mut self, about: &str, world: &World, arguments: &[&str]) -> &mut Self {
        self.run_with(about, world, arguments, &[])
    }

    /// Does the same without a limit of columns, for a screen with paths, which differ in length.
    pub fn run_wide(&mut self, about: &str, world: &World, arguments: &[&str]) -> &mut Self {
        let run = world.run(arguments);
        self.add(about, world, arguments, &run, &[])
    }

    /// Does the same, and replaces these texts, which differ in each run, by constants.
    pub fn run_with(&mut self, about: &str, world: &World, arguments: &[&str], equal: &[(&str, &str)]) -> &mut Self {
        let run = at_80_columns(world, arguments);
        self.add(about, world, arguments, &run, equal)
    }

    /// Adds a run that was started otherwise.
    pub fn add(
        &mut self,
        about: &str,
        world: &World,
        arguments: &[&str],
        run: &Run,
        equal: &[(&str, &str)],
    ) -> &mut Self {
        let quoted = arguments.iter().map(|word| match word.contains(' ') || word.is_empty() {
            true => format!(" '{word}'"),
            false => format!(" {word}"),
        });
        let mut screen = format!("$ pkgswarm{}\n", quoted.collect::<String>());
        for (name, said) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
            if !said.is_empty() {
                let end = if said.ends_with('\n') { "" } else { "\n(no end of line)\n" };
                screen += &format!("--- {name}\n{said}{end}");
            }
        }
        screen += &format!("--- exit {}\n", run.code());
        for (text, stands_for) in equal {
            screen = screen.replace(text, stands_for);
        }
        screen = screen.replace(&format!("pkgswarm {}\n", env!("CARGO_PKG_VERSION")), "pkgswarm $VERSION\n");
        let bin = binary().parent().expect("a directory of programs").display().to_string();
        let screen = redacted(&screen.replace(&bin, "$BIN"), world.base());
        self.text +=
            &format!("# {about}\n{}\n", screen.split_inclusive('\n').map(equal_every_time).collect::<String>());
        self
    }

    /// Adds what reached the user in another way than by the screen.
    pub fn heard(&mut self, about: &str, world: &World, text: &str) -> &mut Self {
        let heard = redacted(text, world.base());
        self.text += &format!("# {about}\n{}\n", heard.split_inclusive('\n').map(equal_every_time).collect::<String>());
        self
    }

    /// Asserts that the file holds these screens; writes it when asked to.
    #[track_caller]
    pub fn held(&self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&self.file);
        if std::env::var_os("PKGSWARM_SCREENS").is_some_and(|mode| mode == "write") {
            fs::write(&path, &self.text).unwrap_or_else(|e| panic!("{}: {e}", self.file));
            return;
        }
        let held = fs::read_to_string(&path).unwrap_or_default();
        let shown = differences(&held, &self.text);
        assert!(held == self.text, "{}:\n{shown}\nPKGSWARM_SCREENS=write writes it anew", self.file);
    }
}

/// Runs this in the world as at a terminal of 80 columns, without its styles.
pub fn at_80_columns(world: &World, arguments: &[&str]) -> Run {
    printed(80, world.command(arguments), world.base())
}

/// Lists the lines that differ, each with - or + before it.
fn differences(held: &str, now: &str) -> String {
    use similar::{Algorithm, DiffOp, capture_diff_slices};
    let (held, now): (Vec<_>, Vec<_>) = (held.lines().collect(), now.lines().collect());
    let mut shown = String::new();
    for op in capture_diff_slices(Algorithm::Myers, &held, &now).iter().filter(|op| !matches!(op, DiffOp::Equal { .. }))
    {
        held[op.old_range()].iter().for_each(|line| shown += &format!("-{line}\n"));
        now[op.new_range()].iter().for_each(|line| shown += &format!("+{line}\n"));
    }
    shown
}

/// Hides days, times of day, moments in seconds, rates, and digests that follow from them.
fn equal_every_time(line: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || ":.-+_".contains(c);
    let (mut out, mut rest) = (String::new(), line);
    while let Some(c) = rest.chars().next() {
        let end = rest.find(|c: char| is_part(c) != is_part(rest.chars().next().expect("not empty")));
        let end = if is_part(c) { end.unwrap_or(rest.len()) } else { c.len_utf8() };
        let (word, after) = rest.split_at(end);
        let dots = word.trim_end_matches([':', '.']).len();
        let (bare, tail) = word.split_at(dots);
        let is_rate = ["B/s", "KiB/s", "MiB/s", "GiB/s"].iter().any(|unit| after.trim_start().starts_with(unit));
        out += match shape(bare).as_str() {
            "0000-00-00" => "DATE",
            "00:00" | "00:00:00" => "TIME",
            "0000-00-00T00:00:00Z" => "DATE-TIME",
            "0000000000" if bare.starts_with('1') => "SECONDS",
            _ if is_rate && bare.parse::<f64>().is_ok() => "N",
            _ => bare,
        };
        out += tail;
        rest = after;
    }
    out
}

/// Replaces every digit by zero.
fn shape(word: &str) -> String {
    word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

#[test]
fn what_differs_from_run_to_run_is_hidden_and_nothing_else() {
    let line = "on 2026-07-30 at 12:01, 2026-07-30T01:02:03Z: 1785400000 and 1785400000000, 1.2 MiB/s of 1.2 MiB\n";
    assert_eq!(equal_every_time(line), "on DATE at TIME, DATE-TIME: SECONDS and 1785400000000, N MiB/s of 1.2 MiB\n");
}
