//! One file a command; each wires the parts together and decides nothing that a part could decide.
//!
//! # Room
//!
//! - In: a command line
//! - Out: a screen or JSON, and an exit status
//! - May use: base, config, daemon, dag, engine, haiku, host, index, lists, machine, net, pacman, pins, publish,
//!   refresh, report, store, trust
//!
//! Its parts, each of which may use those in lines above its own:
//!
//! ```text
//! bar cli endpoint json notify screen
//! daemon hpkg small
//! ahead audit cid config doctor generate group haiku publish setup sharing stats status store why xfer
//! upkeep
//! fetch index keep prefetch
//! ```

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use crate::base::env::{self, Env, HANDOVER, VERBOSE};
use crate::base::error::{self, Error, ErrorKind};
use crate::base::interrupt;
use crate::base::name::shown;
use crate::cmd::cli::{Cli, Command};
use crate::config::{Settings, layers};
use crate::engine::deliver::Receipt;
use crate::machine::lists::Lists;
use crate::report;

mod ahead;
mod audit;
mod bar;
mod cid;
pub mod cli;
mod config;
mod daemon;
mod doctor;
mod endpoint;
mod fetch;
mod generate;
mod group;
mod haiku;
mod hpkg;
mod index;
pub mod json;
mod keep;
mod notify;
mod prefetch;
mod publish;
mod screen;
mod setup;
mod sharing;
mod small;
mod stats;
mod status;
mod store;
mod upkeep;
mod why;
mod xfer;

pub use small::small_program;

/// Runs the full program, `pkgswarm-full`: every command but the daemon. Returns its exit status.
pub fn full_program() -> ExitCode {
    program(run)
}

/// Runs the daemon's program, `pkgswarm-daemon`. Returns its exit status.
#[cfg(feature = "node")]
pub fn resident_program() -> ExitCode {
    program(serve)
}

/// Is a whole program: gathers the process, parses its words, has `run` do the work, and turns its end into an exit
/// status.
fn program(run: impl FnOnce(&Env, &Cli) -> anyhow::Result<u8>) -> ExitCode {
    let env = Env::from_process();
    let cli = match Cli::read(&env.args) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version go to stdout with status 0, usage errors to stderr with status 2.
            let _ = e.print();
            return ExitCode::from(u8::from(e.use_stderr()) * ErrorKind::Usage.status());
        }
    };
    match run(&env, &cli) {
        Ok(status) => ExitCode::from(status),
        Err(e) if is_closed_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            report::complain(&report(&e));
            ExitCode::from(status(&e))
        }
    }
}

/// Returns true when the reader of stdout went away, as `head` does: no failure of ours.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Runs `daemon` in its own program, where there is no other command; returns the exit status.
#[cfg(feature = "node")]
fn serve(env: &Env, cli: &Cli) -> anyhow::Result<u8> {
    let env = &with_options(env, cli);
    interrupt::release();
    match cli.command {
        Command::Daemon => Ok(crate::daemon::run(env, &cli.set, &sound(env, &cli.set)?)?),
        Command::Endpoint => {
            Ok(crate::daemon::endpoint::run(env, &cli.set, &sound(env, &cli.set)?, endpoint::viewer(env, &cli.set))?)
        }
        _ => Err(Error::usage("pkgswarm-daemon", "is the program of the daemon alone").hint("pkgswarm daemon").into()),
    }
}

/// Returns the environment that the options for all commands make.
fn with_options(env: &Env, cli: &Cli) -> Env {
    let mut env = env.clone();
    if cli.verbose {
        env.vars.insert(VERBOSE.to_owned(), "1".to_owned());
    }
    if cli.quiet {
        report::be_quiet();
        env.vars.insert("PKGSWARM_OUTPUT_PROGRESS".to_owned(), "never".to_owned());
    }
    env
}

/// Runs the command line and returns the exit status; errors carry their own.
fn run(env: &Env, cli: &Cli) -> anyhow::Result<u8> {
    let env = &with_options(env, cli);
    // The caller held these signals back until here.
    let _heeding = match cli.command {
        Command::Xfer(_) => Some(interrupt::listen()),
        _ => {
            interrupt::release();
            None
        }
    };
    let settings = || sound(env, &cli.set);
    // What pacman asks for is fetched all the same.
    let lenient = || Settings::read_for_downloads(env, &cli.set);
    match &cli.command {
        Command::Cid(args) => cid::run(args),
        Command::Config(args) => {
            let status = config::run(env, &cli.set, args)?;
            report::warn(&layers::unknown_variables(env));
            Ok(status)
        }
        Command::Generate(args) => generate::run(args),
        Command::Version => {
            writeln!(report::out(), "pkgswarm {}", env!("CARGO_PKG_VERSION"))?;
            Ok(0)
        }
        Command::Xfer(args) => xfer::run(env, &lenient(), args),
        Command::Ahead(args) => ahead::run(env, &lenient(), args),
        Command::Doctor(args) => doctor::run(env, &Settings::read_leniently(env, &cli.set).0, &cli.set, args),
        Command::Upkeep(args) => upkeep::run(env, &Settings::read(env, &cli.set)?, args),
        Command::Fetch(args) => fetch::run(env, &settings()?, args),
        Command::Index(command) => index::run(env, &settings()?, command),
        Command::Group(command) => group::run(env, &settings()?, command),
        Command::Haiku(command) => haiku::run(env, &settings()?, &cli.set, command),
        Command::Keep(args) => keep::run(env, &settings()?, &cli.set, args),
        Command::Publish(args) => publish::run(env, &settings()?, args),
        Command::Prefetch(args) => prefetch::run(env, &settings()?, args),
        Command::Status(args) => status::run(env, &settings()?, args),
        Command::Why(args) => why::run(env, &settings()?, args),
        Command::Setup(args) => setup::run(env, &settings()?, &cli.set, args),
        Command::Stats(args) => stats::run(env, &settings()?, args),
        Command::Store(command) => store::run(env, &settings()?, command),
        Command::Daemon => daemon::run(env),
        Command::Endpoint => daemon::run_endpoint(env, &cli.set),
        Command::Shared(args) => sharing::shared(env, &settings()?, args),
        Command::Lan(command) => sharing::lan(env, &settings()?, command),
    }
}

/// Reads the settings, and prints what is wrong with them but no reason to stop.
fn sound(env: &Env, flags: &[String]) -> Result<Settings, Error> {
    let settings = Settings::read(env, flags)?;
    // Root's own process has said it.
    if env.var(HANDOVER).is_none() {
        report::warn(&settings.mistakes);
    }
    Ok(settings)
}

/// Prints the warnings of the lists, once in a run of pacman. Where standard error has no reader they stay.
fn say_warnings(lists: &Lists) {
    if env::is_heard() {
        report::warn(&lists.take_warnings());
    }
}

/// Prints the warnings of a delivery, and where the user asked for it the sources that failed beside the one that
/// delivered.
fn say_receipt(env: &Env, receipt: &Receipt) {
    report::warn(&receipt.warnings);
    if env.var(VERBOSE).is_some() {
        receipt.passed_over.iter().for_each(|line| report::say(line));
    }
}

/// Formats the error that ended a command for stderr. One that is no [`Error`] is a sentence with its causes.
pub fn report(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Error>() {
        Some(own) => error::report(own),
        None => format!("error: {}\n", shown(&format!("{error:#}"))),
    }
}

/// Returns the exit status for the error that ended a command; any other than [`Error`] is this machine's failure.
pub fn status(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Error>().map_or(ErrorKind::Local, |own| own.kind).status()
}

/// The answer to a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Yes,
    No,
    /// No further question either.
    Quit,
}

/// Asks a question, which nothing but Enter answers by `default`; what is not understood is asked again. A closed input
/// quits.
fn ask(question: &str, default: Answer) -> Answer {
    let choice = if default == Answer::Yes { "[Y/n]" } else { "[y/N]" };
    loop {
        eprint!("{question} {choice} ");
        let mut answer = String::new();
        if !io::stdin().lock().read_line(&mut answer).is_ok_and(|read| read > 0) {
            return Answer::Quit;
        }
        match answer.trim().to_lowercase().as_str() {
            "" => return default,
            "y" | "yes" => return Answer::Yes,
            "n" | "no" => return Answer::No,
            "q" | "quit" => return Answer::Quit,
            _ => report::say("y for yes, n for no, q to quit"),
        }
    }
}

/// Asks a question that only a yes confirms.
///
/// # Errors
/// A usage error about `subject` when standard input is not a terminal.
fn confirmed(subject: &str, question: &str) -> Result<bool, Error> {
    if !io::stdin().is_terminal() {
        return Err(unasked(subject));
    }
    Ok(ask(question, Answer::No) == Answer::Yes)
}

/// Returns the error of a command that has to ask and cannot.
fn unasked(subject: &str) -> Error {
    Error::usage(subject, "needs confirmation, but standard input is not a terminal").hint("give --yes to confirm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_a_kind_is_local() {
        assert_eq!(status(&anyhow::anyhow!("disk on fire")), 4);
        assert_eq!(status(&anyhow::Error::new(Error::usage("x", "y")).context("z")), 2);
    }
}
