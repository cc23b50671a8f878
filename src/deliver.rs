//! Gets one planned file: from the store, from a package cache, or by a race over sources; remembers what it learned.

use std::cell::Cell;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use reqwest::Url;
use tempfile::TempPath;

use crate::cid::Cid;
use crate::env::VERBOSE;
use crate::error::{Error, Kind as ErrorKind};
use crate::fsx;
use crate::http;
use crate::name::FileName;
use crate::plan::{Expect, Plan};
use crate::race::leaves::LeafTable;
use crate::race::{Log, Outcome, Pace, Race, Won};
use crate::report::{self, Progress};
use crate::session::Session;
use crate::source::{Kind, Miss, Source, file::LocalFile, gateway::GatewayFile, kubo::KuboFile, mirror::Mirror};
use crate::store::Turn;
use crate::verify::{self, Accepted};

/// A place to ask, in the order of asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A path of this machine.
    File(PathBuf),
    /// The local Kubo daemon.
    Kubo(Cid),
    /// A trustless gateway.
    Gateway(Url, Cid),
    /// A mirror.
    Mirror(Url),
}

impl Place {
    /// What a URL of the package manager leads to.
    ///
    /// # Errors
    /// Schemes other than http, https and file, which curl knows and this program does not.
    pub fn of_url(url: &Url) -> Result<Self, Error> {
        match url.scheme() {
            "http" | "https" => Ok(Place::Mirror(url.clone())),
            "file" => {
                let path = url.to_file_path().map_err(|()| Error::usage(http::shown(url), "not a local path"))?;
                Ok(Place::File(path))
            }
            other => {
                Err(Error::usage(http::shown(url), format!("{other}:// is not supported; http, https and file are")))
            }
        }
    }

    /// What kind of source it is.
    pub fn kind(&self) -> Kind {
        match self {
            Place::File(_) => Kind::File,
            Place::Kubo(_) => Kind::Kubo,
            Place::Gateway(..) => Kind::Gateway,
            Place::Mirror(_) => Kind::Mirror,
        }
    }

    /// Under which name its health is remembered.
    pub fn host(&self) -> Option<String> {
        match self {
            Place::File(_) => None,
            Place::Kubo(_) => Some("kubo".to_owned()),
            Place::Gateway(url, _) | Place::Mirror(url) => Some(http::host(url)),
        }
    }
}

/// A file that was accepted, ready to be placed.
#[derive(Debug)]
pub struct Obtained {
    /// Holds the bytes; only this user can write to it.
    pub file: File,
    /// Proof or waiver.
    pub accepted: Accepted,
    /// Date at the source.
    pub modified: Option<SystemTime>,
    /// Who delivered it, for people.
    pub from: String,
    /// The URL that delivered it, when one mirror did.
    pub url: Option<Url>,
    /// What was refused before, and from whom, for people.
    pub refused: Vec<String>,
    /// Its passing name, when the store does not keep it: then it may be placed itself instead of a copy.
    pub released: Option<TempPath>,
}

impl Obtained {
    /// The name of the waiver under which it was accepted, if it was not proven.
    pub fn waiver(&self) -> Option<&'static str> {
        match self.accepted {
            Accepted::Proven(_) => None,
            Accepted::Waived(waived) => Some(waived.why().label()),
        }
    }

    /// The line to say once it is in its place.
    pub fn line(&self, name: &str) -> String {
        let waiver = self.waiver().map(|label| format!("unproven: {label}"));
        let notes: Vec<String> = waiver.into_iter().chain(self.refused.iter().cloned()).collect();
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        report::delivered(name, self.accepted.size(), &self.from, note.as_deref())
    }
}

/// What a delivery came to.
#[derive(Debug)]
pub enum Delivery {
    /// The file.
    File(Obtained),
    /// What the caller has is current.
    Unchanged(String),
    /// The source has an older one than the caller takes, of this date.
    Older(String, SystemTime),
}

/// How to ask.
#[derive(Clone, Copy, Default, Debug)]
pub struct Manner {
    /// Only when newer than this.
    pub newer_than: Option<SystemTime>,
    /// Not when it is older than this: a source that is behind is not asked for its bytes.
    pub not_older_than: Option<SystemTime>,
    /// Longest silence of the last source, when not `download.patience`.
    pub wait: Option<Duration>,
    /// Do not take it from the store or a package cache.
    pub elsewhere: bool,
}

/// Gets the file, or says from where it could not be had.
pub fn deliver(
    session: &mut Session,
    name: &FileName,
    plan: &Plan,
    places: &[Place],
    manner: Manner,
) -> Result<Delivery, Error> {
    match with_store(session, name, plan, places, manner) {
        // curl needs no store, so a full or broken one is no reason to fail.
        Err(e) if e.kind == ErrorKind::Local && session.without_store() => {
            report::say(&format!("warning: {e}; going on without a lasting store"));
            with_store(session, name, plan, places, manner)
        }
        other => other,
    }
}

fn with_store(
    session: &mut Session,
    name: &FileName,
    plan: &Plan,
    places: &[Place],
    manner: Manner,
) -> Result<Delivery, Error> {
    let Expect::Exact { sha256, size } = plan.expect else {
        let scratch = session.store.scratch().map_err(|e| store_failed(session, &e))?;
        return race(session, name, plan, places, manner, &scratch, 0)?.finish(scratch);
    };
    if let (false, Some(found)) = (manner.elsewhere, here(session, name, plan)) {
        return Ok(Delivery::File(found));
    }
    let patience = session.settings.stall * 3;
    let store = Rc::clone(&session.store);
    let turn = store.lock(&sha256.to_string(), patience, || {});
    match turn.map_err(|e| store_failed(session, &e))? {
        Turn::Ours(slot) => {
            if let (false, Some(found)) = (manner.elsewhere, here(session, name, plan)) {
                return Ok(Delivery::File(found));
            }
            let partial = slot.partial().map_err(|e| store_failed(session, &e))?;
            let have = partial.metadata().map_or(0, |meta| meta.len());
            let raced = race(session, name, plan, places, manner, &partial, have);
            if raced.is_err() && partial.metadata().is_ok_and(|meta| meta.len() == 0) {
                slot.discard();
            }
            let raced = raced?;
            let is_near = raced.is_near;
            let mut delivery = raced.finish(partial)?;
            if let Delivery::File(obtained) = &mut delivery
                && let Accepted::Proven(proof) = obtained.accepted
            {
                debug_assert_eq!(proof.size(), size);
                // What this machine has anyway is not stored a second time.
                let stored = match is_near {
                    true => slot.release().map(|path| obtained.released = Some(path)),
                    false => slot.keep(name, &proof),
                };
                // It is proven and open: that the store cannot keep it is no reason to fetch it again.
                if let Err(e) = stored {
                    report::say(&format!("warning: {}", store_failed(session, &e)));
                }
            }
            Ok(delivery)
        }
        Turn::Stuck => {
            let scratch = session.store.scratch().map_err(|e| store_failed(session, &e))?;
            race(session, name, plan, places, manner, &scratch, 0)?.finish(scratch)
        }
    }
}

/// The file, when the store or a package cache has it.
fn here(session: &Session, name: &FileName, plan: &Plan) -> Option<Obtained> {
    let Expect::Exact { sha256, size } = plan.expect else { return None };
    let obtained = |file, proof, from: &str| Obtained {
        file,
        accepted: Accepted::Proven(proof),
        modified: None,
        from: from.to_owned(),
        url: None,
        refused: Vec::new(),
        released: None,
    };
    if let Some((file, proof)) = session.store.find(sha256, size) {
        return Some(obtained(file, proof, "store"));
    }
    for dir in session.cache_dirs() {
        let Ok(cached) = fsx::open_read(&dir.join(name.as_str())) else { continue };
        if fsx::regular(&cached).is_ok_and(|stat| stat.st_size.unsigned_abs() != size) {
            continue;
        }
        // Somebody else may be able to write to a cache's file: what is proven is our own copy of it.
        let Ok(copy) = session.store.scratch() else { continue };
        if fsx::copy(&cached, &copy, size).is_ok()
            && let Ok(proof) = verify::prove(&copy, sha256, size)
        {
            return Some(obtained(copy, proof, "package cache"));
        }
    }
    None
}

/// A race that was not lost.
struct Raced {
    outcome: Outcome,
    from: String,
    url: Option<Url>,
    refused: Vec<String>,
    /// All of it came from this machine, where it stays.
    is_near: bool,
}

impl Raced {
    fn finish(self, file: File) -> Result<Delivery, Error> {
        match self.outcome {
            Outcome::Won(Won { accepted, modified, .. }) => {
                let Self { from, url, refused, .. } = self;
                Ok(Delivery::File(Obtained { file, accepted, modified, from, url, refused, released: None }))
            }
            Outcome::Unchanged(_) => Ok(Delivery::Unchanged(self.from)),
            Outcome::Older(_, date) => Ok(Delivery::Older(self.from, date)),
            Outcome::Lost => unreachable!("a lost race is an error before this"),
        }
    }
}

fn race(
    session: &mut Session,
    name: &FileName,
    plan: &Plan,
    places: &[Place],
    manner: Manner,
    partial: &File,
    have: u64,
) -> Result<Raced, Error> {
    let places = in_order(session, places);
    let settings = &session.settings;
    let gateway = settings.gateway_url();
    let (size, most) = (plan.expect.size(), plan.expect.most());
    let mut had_it: Option<Rc<Cell<Option<bool>>>> = None;
    let http = Rc::clone(&session.http);
    let sources: Vec<Box<dyn Source + '_>> = places
        .iter()
        .map(|place| -> Box<dyn Source + '_> {
            match place {
                Place::File(path) => Box::new(LocalFile::new(path.clone(), most)),
                Place::Mirror(url) => Box::new(Mirror::new(&http, url.clone(), size, most)),
                Place::Gateway(url, cid) => Box::new(GatewayFile::new(&http, url, *cid, most)),
                Place::Kubo(cid) => {
                    let source = KuboFile::new(&http, &gateway, *cid, size, most);
                    had_it = Some(source.had_it());
                    Box::new(source)
                }
            }
        })
        .collect();
    let progress = Progress::new(settings.progress, name.as_str(), size);
    let leaves = match (plan.cid, size) {
        (Some(cid), Some(size)) if places.iter().any(|place| place.kind() == Kind::Kubo) => {
            let gateways = std::iter::once((gateway.clone(), true));
            let others = settings.gateway_urls().filter(|_| session.asks_gateways()).map(|url| (url, false));
            Some(LeafTable::new(&http, gateways.chain(others).collect(), cid, size))
        }
        _ => None,
    };
    let race = Race {
        sources,
        name,
        expect: plan.expect,
        pace: Pace {
            head_start: session.health.head_start(settings.head_start),
            // A database is wanted from the user's own mirror: another one is asked only when that one is really slow.
            overlap: if size.is_some() { settings.connect / 5 } else { settings.connect },
            stall: settings.stall,
            patience: manner.wait.unwrap_or(settings.patience),
            floor: settings.floor,
        },
        leaves,
        newer_than: manner.newer_than,
        not_older_than: manner.not_older_than,
        progress: &progress,
    };
    let mut log = Log::default();
    let outcome = block_on(race.run(partial, have, &mut log));
    progress.clear();
    let had_it = had_it.and_then(|cell| cell.get());
    let shares = match &outcome {
        Some(Outcome::Won(won)) => won.shares.clone(),
        Some(Outcome::Unchanged(index) | Outcome::Older(index, _)) => vec![(*index, 0)],
        _ => Vec::new(),
    };
    drop(race);
    learn(session, &places, &log, &shares, had_it);
    session.noted_misses(log.misses.iter().map(|(_, miss)| miss.clone()).collect());
    let Some(outcome) = outcome else {
        session.health.interrupt();
        session.health.save();
        return Err(Error::new(ErrorKind::Interrupted, name, "interrupted; what has arrived is kept"));
    };
    if matches!(outcome, Outcome::Lost) {
        return Err(lost(session, name, plan, &places, &log));
    }
    if let (Some(false), Some(cid), Some(size)) = (had_it, plan.cid, size)
        && shares.iter().any(|(index, _)| places[*index].kind() == Kind::Kubo)
    {
        session.kubo_cached(cid, size);
    }
    if session.env.var(VERBOSE).is_some() {
        for (index, miss) in &log.misses {
            report::say(&line(&places[*index], miss));
        }
    }
    let from = shares.iter().map(|(index, _)| label(&places[*index])).collect::<Vec<_>>().join(" + ");
    let from = if from.is_empty() { "an earlier run".to_owned() } else { from };
    let url = match shares.as_slice() {
        [(index, _)] => match &places[*index] {
            Place::Mirror(url) => Some(url.clone()),
            _ => None,
        },
        _ => None,
    };
    let is_near = match shares.as_slice() {
        [(index, _)] => match &places[*index] {
            Place::File(_) => true,
            Place::Kubo(_) => had_it == Some(true),
            Place::Gateway(..) | Place::Mirror(_) => false,
        },
        _ => false,
    };
    Ok(Raced { outcome, from, url, is_near, refused: refused(&places, &log) })
}

/// Who sent something else than expected: worth knowing even when somebody else then sent the right file.
fn refused(places: &[Place], log: &Log) -> Vec<String> {
    let lines = log.misses.iter().filter_map(|(index, miss)| match (miss, &places[*index]) {
        (Miss::Corrupt(why), place @ Place::Mirror(_)) => Some(format!("refused from mirror {}: {why}", label(place))),
        (Miss::Corrupt(why), place) => Some(format!("refused from {}: {why}", label(place))),
        _ => None,
    });
    lines.collect()
}

/// Who did not answer lately is asked last. The order within each group stays.
fn in_order(session: &Session, places: &[Place]) -> Vec<Place> {
    let is_down = |place: &Place| place.host().is_some_and(|host| session.health.is_down(&host));
    let (mut order, last): (Vec<Place>, Vec<Place>) = places.iter().cloned().partition(|place| !is_down(place));
    order.extend(last);
    order
}

thread_local! {
    /// One for all races of a thread: connections belong to it, and the next question goes over the same one.
    ///
    /// Never dropped: that would wait for a name look-up that nobody needs any more, up to half a minute.
    static RUNTIME: ManuallyDrop<tokio::runtime::Runtime> = ManuallyDrop::new(
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made"),
    );
}

/// Runs the race on this thread, or returns `None` when the user interrupts it.
pub fn block_on<T>(race: impl Future<Output = T>) -> Option<T> {
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            tokio::select! {
                biased;
                outcome = race => Some(outcome),
                _ = tokio::signal::ctrl_c() => None,
            }
        })
    })
}

fn learn(session: &mut Session, places: &[Place], log: &Log, shares: &[(usize, u64)], had_it: Option<bool>) {
    let health = &mut session.health;
    health.spend(log.head_start_spent);
    for (index, miss) in &log.misses {
        let Some(host) = places[*index].host() else { continue };
        match miss {
            // A daemon that searches is not down; one that does not even say whether it has the file is.
            Miss::Stalled(_) if places[*index].kind() == Kind::Kubo && had_it.is_some() => {}
            Miss::Unreachable(_) | Miss::Stalled(_) => health.down(&host, None),
            Miss::Busy(_, rest) => health.down(&host, Some(*rest)),
            Miss::Corrupt(_) => health.lied(&host),
            _ => {}
        }
    }
    for (index, _) in shares {
        if let Some(host) = places[*index].host() {
            health.up(&host);
        }
    }
    health.save();
}

/// The error of a lost race: every source with what it did, the most telling kind, and what to do.
fn lost(session: &Session, name: &FileName, plan: &Plan, places: &[Place], log: &Log) -> Error {
    if let Some((_, Miss::Local(why))) = log.misses.iter().find(|(_, miss)| matches!(miss, Miss::Local(_))) {
        return Error::local(session.store.dir().display(), why)
            .hint("free some space there, or set store.dir to another place");
    }
    let corrupt = log.misses.iter().any(|(_, miss)| matches!(miss, Miss::Corrupt(_)));
    let kind = if corrupt { ErrorKind::Corrupt } else { ErrorKind::NoSource };
    let message = match plan.expect.size() {
        Some(size) => format!("no source delivered the expected {size} bytes"),
        None => "no source delivered it".to_owned(),
    };
    let mut error = Error::new(kind, name, message);
    for (index, miss) in &log.misses {
        error = error.tried(line(&places[*index], miss));
    }
    if places.is_empty() {
        error = error.tried("there was no source to ask");
    }
    match kind {
        ErrorKind::Corrupt => error.hint("run `pacman -Sy` if your databases are old; else tell the mirror's operator"),
        _ => error,
    }
}

fn line(place: &Place, miss: &Miss) -> String {
    let at = match place {
        Place::File(path) => path.display().to_string(),
        Place::Kubo(_) => String::new(),
        Place::Gateway(url, _) | Place::Mirror(url) => http::host(url),
    };
    let at = if at.is_empty() { at } else { format!("  {at}") };
    format!("{}{at}  {miss}", place.kind().word())
}

fn label(place: &Place) -> String {
    match place {
        Place::File(_) => "a local directory".to_owned(),
        Place::Kubo(_) => "kubo".to_owned(),
        Place::Gateway(url, _) => format!("gateway {}", http::host(url)),
        Place::Mirror(url) => http::host(url),
    }
}

fn store_failed(session: &Session, e: &std::io::Error) -> Error {
    Error::local(session.store.dir().display(), format!("the store cannot be used: {e}"))
        .hint("pkgswarm config shows where store.dir comes from")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_name_look_up_that_hangs_is_not_waited_for_at_the_end() {
        let begun = Instant::now();
        let race = async {
            // As the HTTP client looks up names: in a thread, by a call that nobody can interrupt.
            let _look_up = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(20)));
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        // At the end of a thread its runtime would be dropped, as at the end of the program.
        assert_eq!(std::thread::spawn(|| block_on(race)).join().unwrap(), Some(()));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
