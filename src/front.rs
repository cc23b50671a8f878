//! The command `pkgswarm`: hands out a file that is here already ([`hit::hand_out`]), and becomes the full
//! program, `pkgswarm-full` (`main.rs`), for the rest.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use pkgswarm::base::env::Env;
use pkgswarm::base::error::{self, Error};
use pkgswarm::base::interrupt;
use pkgswarm::pacman::hit;
use pkgswarm::report;

fn main() -> ExitCode {
    interrupt::hold();
    let env = Env::from_process();
    if let Some(lines) = hit::hand_out(&env) {
        report::say_lines(&lines);
        return ExitCode::SUCCESS;
    }
    let error = match env.full_program() {
        Some(program) => cannot(&program, &become_it(&env, &program)),
        None => cannot(Path::new("pkgswarm-full"), &"it is the small program itself"),
    };
    report::complain(&error::report(&error));
    ExitCode::from(error.kind.status())
}

/// Runs `program` in place of this process; returns only on failure.
fn become_it(env: &Env, program: &Path) -> std::io::Error {
    let mut command = Command::new(program);
    if let Some(name) = env.args.first() {
        command.arg0(name);
    }
    command.args(env.words()).exec()
}

fn cannot(program: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::local(program.display(), format!("the full program cannot be started: {why}"))
        .hint("install pkgswarm-full beside pkgswarm, or in ../lib/pkgswarm")
}
