//! The grammar as people see it: the commands in groups, and examples below each help.

use clap::{Command, CommandFactory as _};

use super::{Cli, examples};
use crate::report::columns;

/// The commands by purpose, in the order of the help and of the manual.
pub(crate) const GROUPS: [(&str, &[&str]); 4] = [
    ("Everyday", &["setup", "status", "doctor", "why", "stats", "fetch", "prefetch", "store", "config"]),
    ("Sharing", &["lan", "shared", "daemon", "endpoint", "keep", "group", "haiku"]),
    ("Indexes and publishing", &["index", "publish", "cid"]),
    ("For pacman", &["xfer"]),
];

/// The heading of the options that every command has.
pub(crate) const GLOBAL: &str = "Global options";

/// Columns of a command's name and the gaps around it.
const NAMES: usize = 12;

/// Returns the grammar with its help laid out for a terminal of `width` columns.
pub(crate) fn grammar(width: usize) -> Command {
    let command = with_examples(Cli::command(), "pkgswarm");
    let list = listed(&command, width);
    // The list stands where clap would write one of its own, without groups.
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{list}{}\n{{options}}{{after-help}}",
        heading(GLOBAL)
    ))
}

fn heading(text: &str) -> String {
    format!("\u{1b}[1m\u{1b}[4m{text}:\u{1b}[0m")
}

/// Lists the commands in groups, a name in bold with its purpose.
fn listed(command: &Command, width: usize) -> String {
    let mut out = String::new();
    for (group, names) in GROUPS {
        out += &format!("{}\n", heading(group));
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about).map(ToString::to_string);
            let about = columns::wrapped(&about.unwrap_or_default(), width.saturating_sub(NAMES).max(20));
            let about = about.replace("\n  ", "\n").replace('\n', &format!("\n{:NAMES$}", ""));
            out += &format!("  \u{1b}[1m{name}\u{1b}[0m{:1$}{about}\n", "", NAMES - 2 - name.len());
        }
        out.push('\n');
    }
    out
}

/// Adds the examples of `page` and of the commands below it.
fn with_examples(mut command: Command, page: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    for name in names {
        let page = format!("{page}-{name}");
        command = command.mut_subcommand(name, |below| with_examples(below, &page));
    }
    let examples = examples::of(page);
    if examples.is_empty() {
        return command;
    }
    let lines: String = examples.iter().map(|(line, about)| format!("\n  {line}\n      {about}")).collect();
    let own = command.get_after_help().map(|own| format!("\n\n{own}")).unwrap_or_default();
    command.after_help(format!("{}{lines}{own}", heading("Examples")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_group_and_has_examples() {
        let command = Cli::command();
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        let mut shown: Vec<&str> =
            command.get_subcommands().filter(|one| !one.is_hide_set()).map(Command::get_name).collect();
        let mut sorted = grouped.clone();
        sorted.sort_unstable();
        shown.sort_unstable();
        assert_eq!(sorted, shown);
        fn check(command: &Command, page: &str) {
            for one in command.get_subcommands().filter(|one| !one.is_hide_set()) {
                check(one, &format!("{page}-{}", one.get_name()));
            }
            assert!(!examples::of(page).is_empty(), "{page} has no example");
        }
        check(&command, "pkgswarm");
    }

    #[test]
    fn no_line_of_a_help_is_wider_than_its_terminal() {
        for width in [60, 80, 100] {
            let list = listed(&Cli::command(), width);
            assert!(list.lines().all(|line| columns::width(line) <= width), "{list}");
        }
    }
}
