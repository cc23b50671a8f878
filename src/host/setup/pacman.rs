//! The `XferCommand` of pacman.conf: prepared as text, checked with `pacman-conf`, and only then written.

use std::path::{Path, PathBuf};

use super::file::Original;
use super::record::{SetupRecord, Text};
use super::{Change, Context, SetupOffer, conf, diff};
use crate::base::error::Error;
use crate::host::doctor::{self, Level, pacman};
use crate::host::inspect::Inspection;
use crate::host::inspect::pacman::{Downloader, PacmanFacts};
use crate::lists::pacman::pacman_conf::PacmanConf;
use crate::lists::pacman::question::ConfQuestion;

/// An edit of pacman.conf.
struct Edit {
    original: Original,
    text: Vec<u8>,
    direction: Direction,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forth,
    Back,
}

impl Change for Edit {
    fn shown(&self) -> String {
        diff::unified(&self.original.path.display().to_string(), &self.original.bytes, &self.text)
    }

    fn brief(&self) -> String {
        diff::brief(&self.original.path.display().to_string(), &self.original.bytes, &self.text)
    }

    fn apply(&self, record: &mut SetupRecord) -> Result<Vec<String>, Error> {
        let path = self.original.path.display();
        if self.direction == Direction::Back {
            self.original.replace(&self.text)?;
            record.done.pacman_conf = None;
            record.write()?;
            return Ok(vec![format!("{path}: pkgswarm is not used any more")]);
        }
        // Lines of setup that were edited since are no part of the file as it was.
        if record.done.pacman_conf.is_none() || !is_ours(&self.original.path, &self.original.bytes) {
            record.keep(Text::Before, &self.original.bytes)?;
        }
        record.keep(Text::After, &self.text)?;
        record.done.pacman_conf = Some(self.original.path.clone());
        record.write()?;
        self.original.replace(&self.text)?;
        let backup = record.path(Text::Before);
        Ok(vec![format!("{path}: pacman downloads with pkgswarm; as it was: {}", backup.display())])
    }
}

/// Offers the change that makes pacman download with this program.
pub(crate) fn offer(context: &Context<'_>) -> Result<SetupOffer, Error> {
    let path = &context.settings.pacman_conf;
    let original =
        Original::read(path).map_err(|e| with_hint(e, "is pacman installed? pacman.conf says where its file is"))?;
    let command = command(context)?;
    let before = dump(path, &original.bytes)?;
    let conf = parsed(path, &before)?;
    let ours = conf.xfer_command.clone().filter(|_| downloads_with_us(&conf));
    if let Some(used) = ours.filter(|_| !is_broken(conf)) {
        return Ok(SetupOffer::Nothing(format!("{} has XferCommand = {used}", path.display())));
    }
    let text = conf::with_command(&original.bytes, &command);
    let after = dump(path, &text)?;
    let changed = parsed(path, &after)?;
    if changed.xfer_command.as_deref() != Some(&command) {
        let said = changed.xfer_command.unwrap_or_default();
        let why = format!("a file that it includes sets XferCommand = {said}, and would win");
        return Err(Error::usage(path.display(), why).hint(format!("write there: XferCommand = {command}")));
    }
    if without_command(&before) != without_command(&after) {
        let why = "pacman-conf understands more than XferCommand otherwise after the change";
        return Err(Error::usage(path.display(), why).hint(by_hand(&command)));
    }
    refuse_what_breaks(path, changed)?;
    Ok(SetupOffer::Change(Box::new(Edit { original, text, direction: Direction::Forth })))
}

/// Offers to undo it.
pub(crate) fn offer_undo(context: &Context<'_>, record: &SetupRecord) -> Result<SetupOffer, Error> {
    let Some(path) = &record.done.pacman_conf else {
        return Ok(SetupOffer::Nothing("setup has not changed pacman.conf".to_owned()));
    };
    let (before, after) = (record.text(Text::Before)?, record.text(Text::After)?);
    let original = Original::read(path)?;
    let backup = record.path(Text::Before);
    let gone = original.bytes == before || !is_ours(path, &original.bytes) && !conf::has_mark(&original.bytes);
    let text = if gone { Some(original.bytes.clone()) } else { diff::without(&original.bytes, &before, &after) };
    let Some(text) = text else {
        let why = "what setup wrote was edited since and cannot be told apart; nothing is changed";
        let hint = format!("edit it by hand; `diff {} {}` shows what is different", backup.display(), path.display());
        return Err(Error::usage(path.display(), why).hint(hint));
    };
    // A file that pacman does not understand now need not be understood afterwards.
    if dump(path, &original.bytes).is_ok() {
        dump(path, &text).map_err(|e| with_hint(e, &format!("{} has the file as it was", backup.display())))?;
    }
    let _ = context;
    Ok(SetupOffer::Change(Box::new(Edit { original, text, direction: Direction::Back })))
}

/// True if pacman would download with pkgswarm.
fn is_ours(path: &Path, text: &[u8]) -> bool {
    dump(path, text).and_then(|dump| parsed(path, &dump)).is_ok_and(|conf| downloads_with_us(&conf))
}

fn downloads_with_us(conf: &PacmanConf) -> bool {
    matches!(Downloader::of(conf), Downloader::Ours(_))
}

/// Returns `/usr/bin/pkgswarm xfer %u %o`, with the path of this program.
fn command(context: &Context<'_>) -> Result<String, Error> {
    let program: PathBuf =
        context.env.program().map_err(|e| Error::local("pkgswarm", format!("cannot tell where it is: {e}")))?;
    let word = program.to_str().and_then(conf::word);
    let Some(word) = word else {
        let why = "cannot stand in pacman.conf: it holds a quote or a control character";
        return Err(Error::usage(program.display(), why).hint("install pkgswarm as /usr/bin/pkgswarm"));
    };
    Ok(format!("{word} xfer %u %o"))
}

/// Returns pacman-conf's output for a text.
fn dump(path: &Path, text: &[u8]) -> Result<String, Error> {
    ConfQuestion::default().try_text(text).map_err(|e| {
        Error::usage(path.display(), format!("is not understood: {e}")).hint("correct it, and run pkgswarm setup again")
    })
}

fn parsed(path: &Path, dump: &str) -> Result<PacmanConf, Error> {
    PacmanConf::parse(dump).map_err(|e| Error::usage(path.display(), format!("is not understood: {e}")))
}

fn without_command(dump: &str) -> Vec<&str> {
    dump.lines().filter(|line| !line.starts_with("XferCommand = ")).collect()
}

fn by_hand(command: &str) -> String {
    format!("write by hand into [options]: XferCommand = {command}")
}

fn with_hint(error: Error, hint: &str) -> Error {
    if error.hint.is_some() { error } else { error.hint(hint) }
}

/// Refuses a configuration with which pacman could not download: one that doctor reports as an error.
fn refuse_what_breaks(path: &Path, conf: PacmanConf) -> Result<(), Error> {
    match errors(conf).into_iter().next() {
        Some((_, finding)) => Err(Error::usage(path.display(), finding.says).hint(finding.mend)),
        None => Ok(()),
    }
}

/// True if pacman calls this program in a way that fetches nothing.
fn is_broken(conf: PacmanConf) -> bool {
    errors(conf).iter().any(|(check, _)| *check == "xfer-words")
}

/// Lists what doctor reports as errors of this configuration, with the names of the checks.
fn errors(conf: PacmanConf) -> Vec<(&'static str, doctor::Finding)> {
    let facts = Inspection { pacman: PacmanFacts::of(conf), ..Inspection::default() };
    let found = pacman::CHECKS.iter().flat_map(|check| (check.look)(&facts).into_iter().map(|it| (check.name, it)));
    found.filter(|(_, finding)| finding.level == Level::Error).collect()
}
