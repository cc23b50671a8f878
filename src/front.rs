//! The command `pkgswarm`: hands out a file that is here already ([`hit::hand_out`]), and becomes the full
//! program, `pkgswarm-full` (`main.rs`), for the rest.

use std::path::Path;
use std::process::ExitCode;

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
