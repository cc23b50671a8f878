//! `pkgswarm ahead RUN` (hidden): fetches the rest of a pacman run; started by its first call for a package.

use std::path::Path;

use crate::ahead;
use crate::background;
use crate::cli::AheadArgs;
use crate::config::Settings;
use crate::env::Env;
use crate::session::Session;

/// Runs the command. Nobody hears what it says, and what it does not fetch is fetched by its own call.
pub fn run(env: &Env, settings: &Settings, args: &AheadArgs) -> anyhow::Result<u8> {
    background::detach();
    // Root never starts this: it would ask pacman, and mirrors, in its own name.
    if env.is_root() {
        return Ok(0);
    }
    let mut session = Session::open(env, settings, Path::new("/var/tmp"))?;
    if !session.store.is_passing() {
        ahead::run(&mut session, &args.run);
    }
    Ok(0)
}
