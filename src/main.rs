//! The full program, `pkgswarm-full`: every command but the daemon, which is a program of its own (`resident.rs`).

use std::process::ExitCode;

fn main() -> ExitCode {
    pkgswarm::full_program()
}
