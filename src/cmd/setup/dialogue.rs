//! The dialogue of `pkgswarm setup`: numbered questions, each with what it would change, its answer and its result.
//!
//! Parts that belong together are one question: a daemon without trust in a network would share nothing.

use std::io::{self, IsTerminal as _, Write as _};

use crate::base::error::{self, Error};
use crate::cmd::cli::SetupArgs;
use crate::cmd::screen::{Column, Grid, Screen};
use crate::cmd::{Answer, ask};
use crate::host::setup::record::SetupRecord;
use crate::host::setup::{self, Change, Context, SetupOffer, SetupPart};
use crate::report;
use crate::report::cell::Cell;
use crate::report::columns::Tone;

/// A question: its parts, in the order in which they are done, and the answer of a user who just presses Enter.
struct Question {
    parts: &'static [SetupPart],
    title: &'static str,
    default: Answer,
}

/// In the order in which they are asked.
const QUESTIONS: [Question; 6] = [
    Question {
        parts: &[SetupPart::Endpoint, SetupPart::Pacman],
        title: "Have pacman download with pkgswarm",
        default: Answer::Yes,
    },
    Question {
        parts: &[SetupPart::Parallel],
        title: "Have pacman ask the endpoint for more files at a time",
        default: Answer::Yes,
    },
    Question { parts: &[SetupPart::Index], title: "Refresh the indexes in use, every hour", default: Answer::Yes },
    Question {
        parts: &[SetupPart::Prefetch, SetupPart::Notify],
        title: "Fetch updates ahead, every four hours, and tell desktop users once they are here",
        default: Answer::No,
    },
    Question {
        parts: &[SetupPart::Kubo],
        title: "Have the local Kubo keep few connections and announce nothing",
        default: Answer::No,
    },
    Question {
        parts: &[SetupPart::Daemon, SetupPart::Lan],
        title: "Share packages with the local network",
        default: Answer::No,
    },
];

/// Columns before what belongs to a question.
const INDENT: &str = "     ";

/// A question with the changes that it asks about.
struct Asked<'q> {
    question: &'q Question,
    changes: Vec<(SetupPart, Box<dyn Change>)>,
}

impl Asked<'_> {
    fn has(&self, part: SetupPart) -> bool {
        self.changes.iter().any(|(one, _)| *one == part)
    }
}

/// Asks about `parts`, and makes or undoes what is agreed to. Returns the exit status.
///
/// # Errors
/// A usage error where there is something to ask and no terminal; those of standard output.
pub(super) fn run(
    context: &Context<'_>,
    record: &mut SetupRecord,
    parts: &[SetupPart],
    args: &SetupArgs,
) -> anyhow::Result<u8> {
    let mut status = 0;
    let mut fail = |e: &Error| {
        if status == 0 {
            status = e.kind.status();
        }
        report::complain(&error::report(e));
    };
    let (mut asked, left) = offers(context, record, parts, args.undo, &mut fail);
    if args.undo {
        asked.reverse();
    }
    if !asked.is_empty() && !io::stdin().is_terminal() {
        return Err(crate::cmd::unasked("setup").into());
    }
    let show = |lines: &dyn Fn(&mut Screen)| -> io::Result<()> {
        let mut screen = Screen::new(context.env);
        lines(&mut screen);
        screen.show()?;
        io::stdout().flush()
    };
    if !asked.is_empty() {
        let (count, them) = match asked.len() {
            1 => ("one thing".to_owned(), "it"),
            many => (format!("{many} things"), "each"),
        };
        let what = match args.undo {
            true => format!("pkgswarm setup --undo: {count} to take back. q quits."),
            false => {
                format!("pkgswarm setup: {count} to decide; `sudo pkgswarm setup --undo` undoes {them}. q quits.")
            }
        };
        show(&|screen| screen.line(what.as_str()))?;
    }
    let of = asked.len();
    let mut is_in_use = left.iter().any(|(part, _)| *part == SetupPart::Pacman);
    for (number, Asked { question, mut changes }) in (1..).zip(asked) {
        if question.parts == [SetupPart::Parallel] && !args.undo {
            // It depends on the answer before.
            match setup::offer(context, SetupPart::Parallel, record) {
                Ok(SetupOffer::Change(change)) => changes = vec![(SetupPart::Parallel, change)],
                Ok(SetupOffer::Nothing(_)) => continue,
                Err(e) => {
                    fail(&e);
                    continue;
                }
            }
        }
        show(&|screen| {
            screen.gap();
            screen
                .line(Cell::strong(format!("{number}/{of}  ")).and(title(question, &changes, args.undo), Tone::Strong));
            for (_, change) in &changes {
                change.brief().lines().for_each(|line| screen.line(toned(line)));
            }
        })?;
        let (words, default) = match args.undo {
            true => ("Take it back?", Answer::Yes),
            false => ("Do it?", question.default),
        };
        match ask(&format!("{INDENT}{words}"), default) {
            Answer::Yes => {}
            Answer::No => {
                show(&|screen| screen.line(format!("{INDENT}left as it is")))?;
                continue;
            }
            Answer::Quit => {
                show(&|screen| screen.line(format!("{INDENT}quit; what was not answered is left as it is")))?;
                return Ok(status);
            }
        }
        let mut changes = changes.into_iter();
        while let Some((part, change)) = changes.next() {
            match change.apply(record) {
                Ok(said) => {
                    is_in_use |= part == SetupPart::Pacman;
                    show(&|screen| {
                        for line in &said {
                            screen.line(Cell::from(INDENT).and("done", Tone::Good).then(format!(": {line}")));
                        }
                    })?;
                }
                Err(e) => {
                    fail(&e);
                    show(&|screen| {
                        for (left, _) in changes.as_slice() {
                            screen.line(format!("{INDENT}{}: not done, because {} failed", left.name(), part.name()));
                        }
                    })?;
                    break;
                }
            }
        }
    }
    show(&|screen| closing(screen, &left, of, is_in_use && !args.undo))?;
    Ok(status)
}

/// Gathers what each question would change; and the parts that need nothing, with the reason.
fn offers(
    context: &Context<'_>,
    record: &SetupRecord,
    parts: &[SetupPart],
    is_undo: bool,
    fail: &mut dyn FnMut(&Error),
) -> (Vec<Asked<'static>>, Vec<(SetupPart, String)>) {
    const ASKED: &[Question] = &QUESTIONS;
    let (mut asked, mut left, mut has_no_endpoint) = (Vec::new(), Vec::new(), false);
    for question in ASKED {
        let mut changes: Vec<(SetupPart, Box<dyn Change>)> = Vec::new();
        for part in question.parts.iter().copied().filter(|part| parts.contains(part)) {
            // pacman.conf is not led to an address at which nothing of ours listens.
            if has_no_endpoint && part == SetupPart::Pacman {
                left.push((part, "not done, because the endpoint failed".to_owned()));
                continue;
            }
            let has_daemon = changes.iter().any(|(part, _)| *part == SetupPart::Daemon);
            let door_comes = asked.iter().any(|asked: &Asked<'_>| asked.has(SetupPart::Pacman));
            let context = Context { daemon_comes: has_daemon, door_comes, ..*context };
            let offer = match is_undo {
                true => setup::offer_undo(&context, part, record),
                false => setup::offer(&context, part, record),
            };
            match offer {
                Ok(SetupOffer::Change(change)) => changes.push((part, change)),
                Ok(SetupOffer::Nothing(why)) => left.push((part, why)),
                Err(e) => {
                    fail(&e);
                    has_no_endpoint |= part == SetupPart::Endpoint && !is_undo;
                }
            }
        }
        if is_undo || !context.door.has_endpoint() && changes.iter().any(|(part, _)| *part == SetupPart::Endpoint) {
            changes.reverse();
        }
        if !changes.is_empty() {
            asked.push(Asked { question, changes });
        }
    }
    (asked, left)
}

/// Names what is asked, by the parts that there are.
fn title(question: &Question, changes: &[(SetupPart, Box<dyn Change>)], is_undo: bool) -> &'static str {
    match changes {
        [(SetupPart::Notify, _)] => "Tell desktop users once updates are here",
        [(SetupPart::Prefetch, _)] => "Fetch updates ahead, every four hours",
        [(SetupPart::Lan, _)] if is_undo => "Trust in networks",
        [(SetupPart::Lan, _)] => "Trust the network that this machine is in",
        [(SetupPart::Daemon, _)] if !is_undo => "Share packages with trusted networks",
        [(SetupPart::Endpoint, _)] if is_undo => "The endpoint for pacman's own downloader",
        [(SetupPart::Endpoint, _)] => "Enable the endpoint for pacman's own downloader",
        _ => question.title,
    }
}

/// Returns a line of a change, indented, with the style of a diff.
fn toned(line: &str) -> Cell {
    let tone = match line.as_bytes().first() {
        Some(b'+') => Tone::Good,
        Some(b'-') => Tone::Bad,
        _ => Tone::Plain,
    };
    let indent = if tone == Tone::Plain { INDENT } else { &INDENT[2..] };
    Cell::from(indent).and(line, tone)
}

/// Says what needs nothing, and what comes next.
fn closing(screen: &mut Screen, left: &[(SetupPart, String)], asked: usize, is_in_use: bool) {
    if !left.is_empty() {
        if asked > 0 {
            screen.gap();
        }
        screen.line(if asked > 0 { "Nothing else to do:" } else { "Nothing to do:" });
        let mut grid = Grid::of(&[Column::of(""), Column::text("")]).indented(2);
        for (part, why) in left {
            grid.row([part.name().into(), Cell::quiet(why)]);
        }
        screen.grid(&grid);
    }
    if asked > 0 || !left.is_empty() {
        screen.gap();
    }
    if is_in_use {
        screen.line(
            Cell::strong("Next: ").then("sudo pacman -Syu   ").and("Look: ", Tone::Strong).then("pkgswarm status"),
        );
    } else {
        screen.line(Cell::strong("Look: ").then("pkgswarm status"));
    }
}
