//! The lines of pacman.conf by which pacman uses this program: prepared as text, checked with `pacman-conf`, and only
//! then written.
//!
//! The text is always made anew of the file as it was before setup, so another door replaces the one before, and what is
//! undone is the same text whichever way led to it.

use std::path::{Path, PathBuf};

use super::door::{PacmanDoor, STREAMS};
use super::file::Original;
use super::record::{SetupRecord, Text};
use super::{Change, Context, SetupOffer, conf, diff};
use crate::base::error::Error;
use crate::host::doctor::{self, Level, pacman};
use crate::host::inspect::Inspection;
use crate::host::inspect::endpoint;
use crate::host::inspect::pacman::{Downloader, PacmanFacts};
use crate::lists::pacman::pacman_conf::{PacmanConf, Repo};
use crate::lists::pacman::question::ConfQuestion;
use crate::lists::pacman::version::{self, Version};

const COMMAND: &str = "XferCommand";
const PARALLEL: &str = "ParallelDownloads";

/// The first release that knows `CacheServer` (pacman 6.1.0, `NEWS`).
const CACHE_SERVERS: Version = Version(6, 1, 0);

/// An edit of pacman.conf.
struct Edit {
    original: Original,
    /// The text that it is shown against: another change may come before this one.
    from: Vec<u8>,
    text: Vec<u8>,
    goal: Goal,
}

/// What an edit leaves.
#[derive(Clone, PartialEq, Eq)]
enum Goal {
    /// These lines of ours, to be undone to the text `before`.
    Lines { before: Option<Vec<u8>>, door: PacmanDoor, url: String, parallel: Option<u32>, said: Vec<String> },
    /// None.
    Undone,
}

impl Change for Edit {
    fn shown(&self) -> String {
        diff::unified(&self.original.path.display().to_string(), &self.from, &self.text)
    }

    fn brief(&self) -> String {
        diff::brief(&self.original.path.display().to_string(), &self.from, &self.text)
    }

    fn apply(&self, record: &mut SetupRecord) -> Result<Vec<String>, Error> {
        let path = self.original.path.display();
        let Goal::Lines { before, door, url, parallel, said } = &self.goal else {
            self.original.replace(&self.text)?;
            forget(record)?;
            return Ok(vec![format!("{path}: pkgswarm is not used any more")]);
        };
        if let Some(before) = before {
            record.keep(Text::Before, before)?;
        }
        record.keep(Text::After, &self.text)?;
        record.done.pacman_conf = Some(self.original.path.clone());
        record.done.door = door.has_endpoint().then_some(*door);
        record.done.cache_server = door.has_endpoint().then(|| url.clone());
        record.done.parallel = *parallel;
        record.write()?;
        self.original.replace(&self.text)?;
        if before.as_ref() == Some(&self.text) {
            // As on the way back from another door to a line of the user's own.
            forget(record)?;
            return Ok(said.clone());
        }
        let backup = record.path(Text::Before);
        let (last, first) = said.split_last().map_or(("", &[][..]), |(last, first)| (last.as_str(), first));
        Ok(first.iter().cloned().chain([format!("{last}; as it was: {}", backup.display())]).collect())
    }
}

fn forget(record: &mut SetupRecord) -> Result<(), Error> {
    let done = &mut record.done;
    (done.pacman_conf, done.door, done.cache_server, done.parallel) = (None, None, None, None);
    record.write()
}

/// Offers the change that makes pacman use this program through the door of `context`.
pub(crate) fn offer(context: &Context<'_>, record: &SetupRecord) -> Result<SetupOffer, Error> {
    let path = &context.settings.pacman_conf;
    let original = read(path)?;
    let conf = parsed(path, &dump(path, &original.bytes)?)?;
    let (door, url) = (context.door, endpoint::url(context.settings));
    if door == PacmanDoor::Xfer && record.done.door.is_none() {
        let ours = conf.xfer_command.clone().filter(|_| downloads_with_us(&conf));
        if let Some(used) = ours.filter(|_| !is_broken(conf)) {
            return Ok(SetupOffer::Nothing(format!("{} has {COMMAND} = {used}", path.display())));
        }
        // Lines of setup that were edited since are no part of the file as it was.
        let is_first = record.done.pacman_conf.is_none() || !is_ours(path, &original.bytes);
        let (text, said) = rendered(context, &original.bytes, door, None)?;
        let before = is_first.then(|| original.bytes.clone());
        let goal = Goal::Lines { before, door, url, parallel: None, said };
        return Ok(SetupOffer::Change(Box::new(Edit { from: original.bytes.clone(), original, text, goal })));
    }
    let before = as_before(&original, record)?;
    let parallel = record.done.parallel.filter(|_| door.has_endpoint());
    let (text, said) = rendered(context, &before, door, parallel)?;
    if text == original.bytes {
        return Ok(SetupOffer::Nothing(said.join("; ")));
    }
    let goal = Goal::Lines { before: Some(before), door, url, parallel, said };
    Ok(SetupOffer::Change(Box::new(Edit { from: original.bytes.clone(), original, text, goal })))
}

/// Offers more parallel downloads, where pacman asks the endpoint, or is about to.
pub(crate) fn offer_parallel(context: &Context<'_>, record: &SetupRecord) -> Result<SetupOffer, Error> {
    let path = &context.settings.pacman_conf;
    let door = if context.door_comes { Some(context.door) } else { record.done.door };
    let Some(door) = door.filter(|door| door.has_endpoint()) else {
        let why = "pacman does not ask the endpoint, so its downloads stay as many as they are";
        return Ok(SetupOffer::Nothing(why.to_owned()));
    };
    let original = read(path)?;
    let now = parsed(path, &dump(path, &original.bytes)?)?.parallel_downloads;
    if now >= STREAMS {
        return Ok(SetupOffer::Nothing(format!("{} has {PARALLEL} = {now}", path.display())));
    }
    let before = as_before(&original, record)?;
    let (from, _) = rendered(context, &before, door, None)?;
    let (text, _) = rendered(context, &before, door, Some(STREAMS))?;
    let url = endpoint::url(context.settings);
    let said = vec![format!("{}: pacman downloads {STREAMS} files at a time", path.display())];
    let goal = Goal::Lines { before: Some(before), door, url, parallel: Some(STREAMS), said };
    Ok(SetupOffer::Change(Box::new(Edit { original, from, text, goal })))
}

/// Offers to undo all of it.
pub(crate) fn offer_undo(record: &SetupRecord) -> Result<SetupOffer, Error> {
    let Some(path) = &record.done.pacman_conf else {
        return Ok(SetupOffer::Nothing("setup has not changed pacman.conf".to_owned()));
    };
    let original = Original::read(path)?;
    let text = as_before(&original, record)?;
    // A file that pacman does not understand now need not be understood afterwards.
    if dump(path, &original.bytes).is_ok() {
        let backup = record.path(Text::Before);
        dump(path, &text).map_err(|e| with_hint(e, &format!("{} has the file as it was", backup.display())))?;
    }
    Ok(SetupOffer::Change(Box::new(Edit { from: original.bytes.clone(), original, text, goal: Goal::Undone })))
}

/// Offers to undo the number of parallel downloads alone.
pub(crate) fn offer_undo_parallel(context: &Context<'_>, record: &SetupRecord) -> Result<SetupOffer, Error> {
    let (Some(path), Some(door), Some(_)) = (&record.done.pacman_conf, record.done.door, record.done.parallel) else {
        return Ok(SetupOffer::Nothing(format!("setup has not changed {PARALLEL}")));
    };
    let original = Original::read(path)?;
    let before = as_before(&original, record)?;
    let (text, _) = rendered(context, &before, door, None)?;
    let url = endpoint::url(context.settings);
    let said = vec![format!("{}: pacman downloads as many files at a time as before", path.display())];
    let goal = Goal::Lines { before: Some(before), door, url, parallel: None, said };
    Ok(SetupOffer::Change(Box::new(Edit { from: original.bytes.clone(), original, text, goal })))
}

fn read(path: &Path) -> Result<Original, Error> {
    Original::read(path).map_err(|e| with_hint(e, "is pacman installed? pacman.conf says where its file is"))
}

/// Returns the file without what setup wrote into it, and with all that was edited since.
///
/// # Errors
/// `Usage` where the two cannot be told apart.
fn as_before(original: &Original, record: &SetupRecord) -> Result<Vec<u8>, Error> {
    let (path, now) = (&original.path, &original.bytes);
    if record.done.pacman_conf.as_ref() != Some(path) {
        return Ok(now.clone());
    }
    let (before, after) = (record.text(Text::Before)?, record.text(Text::After)?);
    if *now == before || !is_ours(path, now) && conf::marks(now) == 0 {
        return Ok(now.clone());
    }
    if *now == after {
        return Ok(before);
    }
    let url = record.done.cache_server.as_deref().unwrap_or_default();
    let (now, after) = (conf::without_cache_server(now, url), conf::without_cache_server(&after, url));
    let same_marks = conf::marks(&now) == conf::marks(&after);
    let text = same_marks.then(|| diff::without(&now, &before, &after)).flatten();
    text.ok_or_else(|| {
        let why = "what setup wrote was edited since and cannot be told apart; nothing is changed";
        let backup = record.path(Text::Before);
        let hint = format!("edit it by hand; `diff {} {}` shows what is different", backup.display(), path.display());
        Error::usage(path.display(), why).hint(hint)
    })
}

/// Returns `before` with our lines for this door, and what there is to say about it.
///
/// # Errors
/// `Usage` where pacman would understand it in any other way than meant, or could not download with it.
fn rendered(
    context: &Context<'_>,
    before: &[u8],
    door: PacmanDoor,
    parallel: Option<u32>,
) -> Result<(Vec<u8>, Vec<String>), Error> {
    let path = &context.settings.pacman_conf;
    let dumped = dump(path, before)?;
    let conf = parsed(path, &dumped)?;
    let command = command(context)?;
    let has_ours = downloads_with_us(&conf) && !is_broken(conf.clone());
    let mut text = match (door, has_ours) {
        (PacmanDoor::Cache, _) => conf::with_option(before, COMMAND, None),
        (_, true) => before.to_vec(),
        (_, false) => conf::with_option(before, COMMAND, Some(&command)),
    };
    let url = endpoint::url(context.settings);
    if door.has_endpoint() {
        refuse_without_cache_servers(path)?;
        let wanted: Vec<&str> =
            conf.repos.iter().filter(|repo| takes(repo, context)).map(|r| r.name.as_str()).collect();
        text = conf::with_cache_server(&text, &url, |name| wanted.iter().any(|one| one.as_bytes() == name));
    }
    if let Some(parallel) = parallel {
        text = conf::with_option(&text, PARALLEL, Some(&parallel.to_string()));
    }
    let after = dump(path, &text)?;
    let changed = parsed(path, &after)?;
    let expected = match door {
        PacmanDoor::Cache => None,
        _ if has_ours => conf.xfer_command.clone(),
        _ => Some(command.clone()),
    };
    if changed.xfer_command != expected {
        return Err(outvoted(path, &changed, &command, door));
    }
    if parallel.is_some_and(|parallel| changed.parallel_downloads != parallel) {
        let why = format!("a file that it includes sets {PARALLEL} = {}, and would win", changed.parallel_downloads);
        return Err(Error::usage(path.display(), why).hint("change it there"));
    }
    let stays = |dump: &str| -> Vec<String> {
        let is_ours = |line: &str| {
            line.strip_prefix("CacheServer = ").is_some_and(|url| endpoint::is_ours(context.settings, url))
                || line.starts_with("XferCommand = ")
                || parallel.is_some() && line.starts_with("ParallelDownloads = ")
        };
        dump.lines().filter(|line| !is_ours(line)).map(str::to_owned).collect()
    };
    if stays(&dumped) != stays(&after) {
        let why = "pacman-conf understands more than that otherwise after the change";
        let hint =
            if door.has_endpoint() { format!("below each repository: CacheServer = {url}") } else { by_hand(&command) };
        return Err(Error::usage(path.display(), why).hint(format!("write by hand {hint}")));
    }
    let said = said(context, path, &changed, door)?;
    refuse_what_breaks(path, changed)?;
    Ok((text, said))
}

/// Says what pacman does with the lines; the last line is the one about all of it.
///
/// # Errors
/// `Usage` where no repository would ask the endpoint.
fn said(context: &Context<'_>, path: &Path, conf: &PacmanConf, door: PacmanDoor) -> Result<Vec<String>, Error> {
    let shown = path.display();
    let xfer = format!("{shown}: pacman downloads with pkgswarm");
    if !door.has_endpoint() {
        return Ok(vec![xfer]);
    }
    let url = endpoint::url(context.settings);
    let asks = |repo: &&Repo| repo.cache_servers.iter().any(|url| endpoint::is_ours(context.settings, url));
    let asking: Vec<&str> = conf.repos.iter().filter(asks).map(|repo| repo.name.as_str()).collect();
    if asking.is_empty() {
        let why = "has no repository of its own whose packages come over a network";
        return Err(Error::usage(shown, why).hint(format!("below each repository: CacheServer = {url}")));
    }
    // Their sections are in files that this one includes.
    let others = conf.repos.iter().filter(|repo| !asks(repo) && is_remote(repo));
    let mut said: Vec<String> = others
        .map(|repo| format!("[{}] is in a file that {shown} includes; write there: CacheServer = {url}", repo.name))
        .collect();
    let at = endpoint::address(context.settings);
    let of = asking.join(", ");
    said.push(match door {
        PacmanDoor::Both => format!("{xfer}, and its front-ends ask the endpoint at {at} for {of}"),
        _ => format!("{shown}: pacman asks the endpoint at {at} for {of}"),
    });
    Ok(said)
}

/// True for a repository that gets our `CacheServer`: its packages come over a network, and it has none of ours.
fn takes(repo: &Repo, context: &Context<'_>) -> bool {
    is_remote(repo) && !repo.cache_servers.iter().any(|url| endpoint::is_ours(context.settings, url))
}

fn is_remote(repo: &Repo) -> bool {
    repo.servers.iter().any(|url| !url.starts_with("file:"))
}

/// Refuses a pacman without `CacheServer`.
fn refuse_without_cache_servers(path: &Path) -> Result<(), Error> {
    match version::installed() {
        Some(version) if version < CACHE_SERVERS => {
            let why = format!("pacman {version} knows no CacheServer, which came with {CACHE_SERVERS}");
            Err(Error::usage(path.display(), why).hint("pkgswarm setup --door xfer"))
        }
        _ => Ok(()),
    }
}

/// Makes the error that another file decides what the `XferCommand` is.
fn outvoted(path: &Path, changed: &PacmanConf, command: &str, door: PacmanDoor) -> Error {
    let said = changed.xfer_command.clone().unwrap_or_default();
    let (why, hint) = match door {
        PacmanDoor::Cache => (
            format!("a file that it includes sets XferCommand = {said}, and pacman's own downloader would not be used"),
            "take that line out, or choose `pkgswarm setup --door both`".to_owned(),
        ),
        _ => (
            format!("a file that it includes sets XferCommand = {said}, and would win"),
            format!("write there: XferCommand = {command}"),
        ),
    };
    Error::usage(path.display(), why).hint(hint)
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

fn by_hand(command: &str) -> String {
    format!("into [options]: XferCommand = {command}")
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
