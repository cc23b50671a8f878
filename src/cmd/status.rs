//! `pkgswarm status`: whether pacman uses this program, what is shared with which neighbours, pending updates, stores,
//! indexes, Kubo. Bounded in time, changes nothing.

use std::io::Write as _;
use std::time::SystemTime;

use crate::base::env::Env;
use crate::cmd::cli::StatusArgs;
use crate::cmd::screen::Screen;
use crate::config::Settings;
use crate::host::inspect::Inspection;
use crate::host::overview::documents;
use crate::host::overview::glance::Glance;
use crate::pacman::handover::{self, HandoverTarget};

/// Runs the command.
pub(crate) fn run(env: &Env, settings: &Settings, args: &StatusArgs) -> anyhow::Result<u8> {
    handover::through(env, settings, &HandoverTarget::Nowhere, |settings| run_here(env, settings, args))
}

fn run_here(env: &Env, settings: &Settings, args: &StatusArgs) -> anyhow::Result<u8> {
    let found = Inspection::glance(env, settings, SystemTime::now());
    let glance = Glance { settings, found: &found };
    match args.json {
        true => writeln!(crate::report::out(), "{}", documents::status(&glance))?,
        false => page::of(&glance, Screen::new(env), args.long).show()?,
    }
    Ok(0)
}

mod page;

pub(crate) use page::versions;
