//! One call: for which run of pacman, with what earlier calls of it learnt, and where it places its files.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use crate::base::env::{Env, HANDOVER};
use crate::base::error::Error;
use crate::base::fsx;
use crate::base::listener::{Listener, Unheard};
use crate::config::Settings;
use crate::lists::pacman::pacman_run::PacmanRun;
use crate::machine::Machine;
use crate::machine::lists::Lists;
use crate::store::coming::ComingFiles;
use crate::store::health::Health;

/// A call of this program that delivers files.
pub struct Call {
    /// The means that it shares with other calls of this process.
    pub(crate) machine: Rc<Machine>,
    /// The lists of pacman and the indexes.
    pub(crate) lists: Lists,
    /// The run of pacman that it is for.
    pub(crate) pacman_run: Rc<PacmanRun>,
    /// The record of earlier calls.
    pub health: Health,
    /// Cancelled when its deliveries are to end: they end at once, and keep what has arrived.
    pub cancel: CancellationToken,
    /// Told of the progress of its deliveries.
    pub(crate) listener: Rc<dyn Listener>,
    /// The directory for files, and for a temporary store.
    beside: PathBuf,
    /// True when this process places the results there.
    places: bool,
}

impl Call {
    /// Opens the machine, and reads the record of earlier calls. Places nothing yet.
    ///
    /// # Errors
    /// As of [`Machine::open`].
    pub(crate) fn open(env: &Env, settings: &Settings, beside: &Path) -> Result<Self, Error> {
        let lists = Lists::of(&Machine::open(env, settings, beside)?);
        Ok(Self::with(lists, beside))
    }

    /// Works as [`open`](Self::open) with the lasting store or not at all, and prints nothing: see
    /// [`Lists::has_unsaid`].
    pub(crate) fn open_silent(env: &Env, settings: &Settings, beside: &Path) -> Option<Self> {
        let lists = Lists::of(&Machine::open_lasting(env, settings)?).silent();
        Some(Self::with(lists, beside))
    }

    /// Makes the call that uses these `lists`.
    pub fn with(lists: Lists, beside: &Path) -> Self {
        let (machine, pacman_run) = (Rc::clone(lists.machine()), Rc::clone(lists.pacman_run()));
        let health = Health::read(&machine.store.health_dir(), &pacman_run.name, machine.env.uid, SystemTime::now());
        let (cancel, listener) = (CancellationToken::new(), Rc::new(Unheard));
        Self { machine, lists, pacman_run, health, cancel, listener, beside: beside.to_owned(), places: false }
    }

    /// Makes another call for the same run, with the same means and lists, and a record of its own.
    pub(crate) fn again(&self) -> Self {
        Self::with(self.lists.again(), &self.beside)
    }

    /// Marks `beside` as the directory in which files are placed. Not for root's child, which cannot write there.
    pub(crate) fn placing(self) -> Self {
        Self { places: self.machine.env.var(HANDOVER).is_none(), ..self }
    }

    /// Has it add nothing to the record of its run of pacman, nor to that of sources.
    pub(crate) fn keeping_to_itself(self) -> Self {
        Self { health: self.health.for_itself(), ..self }
    }

    /// Tells the progress of its deliveries to `listener`.
    pub fn telling(self, listener: Rc<dyn Listener>) -> Self {
        Self { listener, ..self }
    }

    /// Adds the mistakes in the configuration to the warnings of the lists, which appear once in a run of pacman.
    pub(crate) fn warn_of_mistakes(&self) {
        let mistakes = &self.machine.settings.mistakes;
        mistakes.iter().for_each(|mistake| self.lists.warn_once(mistake));
    }

    /// Makes an unnamed file for the download: where it will be placed, so that it can be placed itself, else in
    /// the store.
    ///
    /// # Errors
    /// When neither accepts a file; trying again does not help.
    pub(crate) fn scratch(&self) -> io::Result<File> {
        self.scratch_beside().map_or_else(|| self.machine.store.scratch(), Ok)
    }

    /// Makes it where it will be placed; `None` when this process places nothing, or the file could not be given a
    /// name.
    pub(crate) fn scratch_beside(&self) -> Option<File> {
        self.places.then(|| fsx::unnamed_yet(&self.beside).ok()).flatten()
    }

    /// Returns the list of what is coming in this run of pacman.
    pub(crate) fn coming(&self) -> ComingFiles {
        ComingFiles::of(&self.machine.store.health_dir(), &self.pacman_run.name, self.machine.env.uid)
    }

    /// Returns true after a ^C in this run of pacman, if one was recorded, or when this call is cancelled.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.health.is_interrupted() || self.cancel.is_cancelled()
    }

    /// Records a ^C that has just come, for the later calls of this run.
    pub(crate) fn interrupted(&mut self) {
        self.health.interrupt(SystemTime::now());
    }

    /// Reads again, for what other processes have recorded meanwhile. For processes that live longer than one
    /// file.
    pub(crate) fn learn_from_others(&mut self) {
        self.health.learn_from_others(SystemTime::now());
    }

    /// Goes on without the lasting store, after it failed. False when there is no other place, or none was in use.
    pub(crate) fn without_store(&mut self) -> bool {
        let Some(machine) = self.machine.without_store(&self.beside) else { return false };
        self.lists.move_to(&machine);
        self.machine = machine;
        true
    }
}
