//! The command `pkgswarm`: hands out a file that is here already, and becomes the full program, `pkgswarm-full`
//! (`main.rs`), for the rest (`cmd/small.rs`).

use std::process::ExitCode;

fn main() -> ExitCode {
    pkgswarm::small_program()
}
