//! pkgswarm, the command: hands out what is here already, and starts the full program, `pkgswarm-full`, for all else.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use pkgswarm::env::Env;
use pkgswarm::error::{self, Error};
use pkgswarm::{hit, report};

fn main() -> ExitCode {
    let env = Env::from_process();
    if let Some(line) = hit::hand_out(&env) {
        report::say(&line);
        return ExitCode::SUCCESS;
    }
    let program = env.full_program();
    let name = env.args.first().map_or("pkgswarm".as_ref(), std::ffi::OsString::as_os_str);
    let why = Command::new(&program).arg0(name).args(env.words()).exec();
    let error = Error::local(program.display(), format!("the full program cannot be started: {why}"))
        .hint("install pkgswarm-full beside pkgswarm, or in ../lib/pkgswarm");
    let error = anyhow::Error::from(error);
    eprint!("{}", error::report(&error));
    ExitCode::from(error::status(&error))
}
