//! The run of pacman that this process works for: pacman starts a process for each file, and what one of them
//! learns is kept for the others under the name of the run.

use crate::base::env::{Env, HANDOVER};
use crate::lists::pacman::caller::{Caller, CallerError, ProcessKey};

/// A run of pacman, or of another program that calls for one file after the other.
#[derive(Clone, Debug)]
pub(crate) struct PacmanRun {
    /// The pacman that called, if one did.
    pub(crate) caller: Option<Caller>,
    /// True when a pacman has called whose command line cannot be read: `/proc` is not mounted, hides other users,
    /// or ends before it.
    pub(crate) is_hidden: bool,
    /// Its name in the store: its process id and start time.
    pub(crate) name: String,
}

impl PacmanRun {
    /// Finds the run that the process `env` belongs to.
    pub(crate) fn of(env: &Env) -> Self {
        // For root's child the pacman is the grandparent, whose id root passed on.
        let parent = env.var(HANDOVER).and_then(|pid| pid.parse().ok()).unwrap_or(env.parent);
        let parent = i32::try_from(parent).unwrap_or(0);
        let found = Caller::above(parent, env.uid);
        // Where /proc hides it (hidepid), the process group alone has to tell runs apart: a wrapper has one parent
        // a file. Zero where its leader is outside of this process namespace, which rustix does not expect.
        let group = nix::unistd::getpgrp().as_raw();
        let is_cut_off = match &found {
            Err(CallerError::Gone(_) | CallerError::Unreadable { .. }) => true,
            // Behind a wrapper with a process namespace of its own.
            Err(CallerError::NotPacman { .. }) => group == 0,
            Ok(_) | Err(CallerError::Foreign { .. }) => false,
        };
        // pacman sets this variable for its downloader (`setuseragent` in src/pacman/pacman.c, 6.0 to 7.1).
        let is_hidden = is_cut_off && env.var("HTTP_USER_AGENT").is_some();
        let caller = found.ok();
        let key = caller.as_ref().map(|caller| caller.key).or_else(|| ProcessKey::of(parent).ok());
        let name = match key {
            Some(ProcessKey { pid, start_time }) => format!("{pid}-{start_time}"),
            None if is_hidden => format!("{group}-0"),
            None => format!("{parent}-0"),
        };
        Self { caller, is_hidden, name }
    }

    /// Makes a run that no pacman on this machine stands for, under this name: a process id, a dash, and a number.
    pub(crate) fn without_caller(name: String) -> Self {
        Self { caller: None, is_hidden: false, name }
    }

    /// Returns the process id in its name.
    pub(crate) fn pid(&self) -> &str {
        self.name.split('-').next().unwrap_or_default()
    }

    /// Returns true when pacman called, whether or not its command line can be read.
    pub(crate) fn is_of_pacman(&self) -> bool {
        self.caller.is_some() || self.is_hidden
    }
}
