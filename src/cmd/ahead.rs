//! `pkgswarm ahead RUN` (hidden): fetches the rest of a pacman run; started by its first call for a package.

use std::path::Path;

use crate::base::env::Env;
use crate::cmd::cli::AheadArgs;
use crate::config::Settings;
use crate::machine::call::Call;
use crate::pacman::ahead;
use crate::pacman::background;

/// Runs the command. Its output goes nowhere, and a file that it does not fetch is fetched by the call for it.
pub(crate) fn run(env: &Env, settings: &Settings, args: &AheadArgs) -> anyhow::Result<u8> {
    background::detach();
    // Root fetches nothing ahead: it would ask pacman, and mirrors, as root. It holds its standard input until the
    // end of pacman (`handover/once.rs`).
    if env.is_root() {
        ahead::outlive(&args.run, None);
        return Ok(0);
    }
    let mut call = Call::open(env, settings, Path::new("/var/tmp"))?;
    if !call.machine.store.is_passing() {
        ahead::run(&mut call, &args.run);
    }
    Ok(0)
}
