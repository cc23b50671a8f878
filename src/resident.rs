//! The daemon's program, `pkgswarm-daemon`: what `pkgswarm daemon` and `pkgswarm endpoint` become. It alone is linked with
//! libp2p, and with no other command.

use std::process::ExitCode;

fn main() -> ExitCode {
    pkgswarm::resident_program()
}
