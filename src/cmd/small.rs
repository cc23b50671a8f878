//! The small program: a hit, or the start of the full program.

use std::path::Path;
use std::process::ExitCode;

use crate::base::env::Env;
use crate::base::error::{self, Error};
use crate::base::interrupt;
use crate::pacman::hit;
use crate::report;

/// Runs the small program, `pkgswarm`: hands out a file that is here already, and becomes the full program for the
/// rest. Returns the exit status, where it does not.
pub fn small_program() -> ExitCode {
    interrupt::hold();
    let env = Env::from_process();
    if let Some(lines) = hit::hand_out(&env) {
        report::say_lines(&lines);
        return ExitCode::SUCCESS;
    }
    let error = match env.full_program() {
        Some(program) => cannot(&program, &env.become_it(&program)),
        None => cannot(Path::new("pkgswarm-full"), &"it is the small program itself"),
    };
    report::complain(&error::report(&error));
    ExitCode::from(error.kind.status())
}

fn cannot(program: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::local(program.display(), format!("the full program cannot be started: {why}"))
        .hint("install pkgswarm-full beside pkgswarm, or in ../lib/pkgswarm")
}
