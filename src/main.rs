//! The full program, `pkgswarm-full`: gathers the process, parses, runs one command, and turns its end into an exit
//! status.

use std::process::ExitCode;

use pkgswarm::base::env::Env;
use pkgswarm::base::error::ErrorKind;
use pkgswarm::cmd;
use pkgswarm::cmd::cli::Cli;

fn main() -> ExitCode {
    let env = Env::from_process();
    let cli = match Cli::read(&env.args) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version go to stdout with status 0, usage errors to stderr with status 2.
            let _ = e.print();
            return ExitCode::from(u8::from(e.use_stderr()) * ErrorKind::Usage.status());
        }
    };
    match cmd::run(&env, &cli) {
        Ok(status) => ExitCode::from(status),
        Err(e) if is_closed_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            pkgswarm::report::complain(&cmd::report(&e));
            ExitCode::from(cmd::status(&e))
        }
    }
}

/// Returns true when the reader of stdout went away, as `head` does: no failure of ours.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
