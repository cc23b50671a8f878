//! One small file of a mirror, whole: `lastupdate`, a database, a signature. It comes without an expectation, so a
//! redirect from https to http is not followed; nor is one from http to another host, which would speak for the mirror
//! that was named (`https_counts_alone_and_no_redirect_makes_a_witness`).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use futures_util::StreamExt as _;
use reqwest::Url;

use crate::base::clock;
use crate::base::size::SIGNATURE_MOST;
use crate::config::template::MirrorTemplate;
use crate::engine::source::mirror::Mirror;
use crate::engine::source::{FetchRequest, Miss, Source as _, SourceAnswer};
use crate::machine::Machine;
use crate::net::http;

/// An answer that counts.
pub(super) enum MirrorAnswer {
    /// The file, and its date in Unix seconds, where the mirror told one.
    File(Vec<u8>, Option<u64>),
    /// It is not newer than the date in the question.
    Unchanged,
}

/// What was learnt of mirrors in this run beside their answers, by their address; [`FollowMemory`](super::memory) takes it
/// over at the end.
#[derive(Debug, Default)]
pub(super) struct MirrorNotes {
    /// Until when each wants no questions.
    rests: RefCell<BTreeMap<String, Instant>>,
    /// Each that had another database than the others, as in the middle of its synchronisation: at which `lastupdate`,
    /// and since when, in Unix seconds.
    pub(super) unsettled: RefCell<BTreeMap<String, (u64, u64)>>,
    /// Each that has given a new database, and since when these are dated later than its `lastupdate`, in Unix seconds;
    /// `None` for one whose databases are not.
    pub(super) newer: RefCell<BTreeMap<String, Option<u64>>>,
}

impl MirrorNotes {
    /// Lists the mirrors that have asked for a rest, with the seconds that are left of it.
    pub(super) fn rests(&self) -> Vec<(String, u64)> {
        let left = |until: &Instant| until.saturating_duration_since(Instant::now()).as_secs();
        self.rests.borrow().iter().map(|(mirror, until)| (mirror.clone(), left(until))).collect()
    }

    /// Asks `mirror` for the file at `url`, as [`ask`] does, unless it has asked for a rest that is not over.
    ///
    /// # Errors
    /// As of [`ask`].
    pub(super) async fn ask(
        &self,
        machine: &Machine,
        (mirror, url): (&MirrorTemplate, &Url),
        newer_than: Option<u64>,
        most: u64,
    ) -> Result<MirrorAnswer, Miss> {
        self.may_ask(mirror)?;
        self.noted(mirror, ask(machine, url, newer_than, most).await)
    }

    /// The same for a large file, which goes piece by piece to `take`. Returns its date, where the mirror told one.
    ///
    /// # Errors
    /// As of [`ask`]; [`Miss::Local`] for a failure of `take`.
    pub(super) async fn ask_into(
        &self,
        machine: &Machine,
        (mirror, url): (&MirrorTemplate, &Url),
        most: u64,
        take: &mut ByteTaker<'_>,
    ) -> Result<Option<u64>, Miss> {
        self.may_ask(mirror)?;
        let came = self.noted(mirror, stream(machine, url, None, most, take).await)?;
        came.ok_or_else(|| Miss::Broken("said that it is unchanged, unasked".to_owned()))
    }

    fn may_ask(&self, mirror: &MirrorTemplate) -> Result<(), Miss> {
        let left = |until: &Instant| until.saturating_duration_since(Instant::now());
        match self.rests.borrow().get(&mirror.to_string()).map(left).filter(|rest| !rest.is_zero()) {
            Some(rest) => Err(Miss::Busy("not asked, as it wants".to_owned(), rest)),
            None => Ok(()),
        }
    }

    /// Remembers that `mirror` wants a rest, if its answer says so.
    fn noted<T>(&self, mirror: &MirrorTemplate, answer: Result<T, Miss>) -> Result<T, Miss> {
        if let Err(Miss::Busy(_, rest)) = &answer {
            self.rests.borrow_mut().insert(mirror.to_string(), Instant::now() + *rest);
        }
        answer
    }
}

/// What takes the bytes of a file as they come.
type ByteTaker<'t> = dyn FnMut(&[u8]) -> io::Result<()> + 't;

/// Asks for the file at `url`, of `most` bytes at most, only if it is newer than `newer_than` (Unix seconds).
///
/// # Errors
/// The reason why the mirror did not deliver it.
async fn ask(machine: &Machine, url: &Url, newer_than: Option<u64>, most: u64) -> Result<MirrorAnswer, Miss> {
    let mut bytes = Vec::new();
    let take = &mut |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    Ok(match stream(machine, url, newer_than, most, take).await? {
        Some(modified) => MirrorAnswer::File(bytes, modified),
        None => MirrorAnswer::Unchanged,
    })
}

/// The same, piece by piece to `take`. A mirror that sends less than `download.floor` over `download.patience` is given up,
/// and so is one that takes longer than that for a small file: all mirrors are waited for
/// (`a_mirror_that_drips_is_given_up_like_one_that_is_away`). Returns the date that the mirror told, if any; `None` for what is not newer.
async fn stream(
    machine: &Machine,
    url: &Url,
    newer_than: Option<u64>,
    most: u64,
    take: &mut ByteTaker<'_>,
) -> Result<Option<Option<u64>>, Miss> {
    let led_to = Rc::default();
    let mirror = Mirror::new(&machine.http, url.clone(), None, most).unproven(&led_to);
    let patience = machine.settings.patience;
    let silent = |_| Miss::Stalled(patience);
    let newer_than = newer_than.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
    let question = FetchRequest { newer_than, ..FetchRequest::default() };
    let answer = tokio::time::timeout(patience, mirror.open(question)).await.map_err(silent)??;
    let elsewhere =
        led_to.borrow().clone().filter(|host| url.scheme() == "http" && bare(host) != bare(&http::host(url)));
    if let Some(host) = elsewhere {
        return Err(Miss::Broken(format!(
            "redirected to {host}, which is another host: name that one, if it is meant"
        )));
    }
    let (size, modified, mut body) = match answer {
        SourceAnswer::Unchanged => return Ok(None),
        SourceAnswer::Promised { .. } => return Err(Miss::Broken("no mirror promises a file".to_owned())),
        SourceAnswer::Bytes { size, modified, body, .. } => (size, modified, body),
    };
    let floor = machine.settings.floor.max(1);
    let mut came = 0;
    let mut window = (Instant::now(), 0);
    while let Some(piece) = tokio::time::timeout(patience, body.next()).await.map_err(silent)? {
        let piece = piece?;
        came += piece.len() as u64;
        if came > most {
            return Err(Miss::Corrupt(format!("more than {most} bytes")));
        }
        let took = window.0.elapsed();
        if took >= patience && size != Some(came) {
            let rate = ((came - window.1) as f64 / took.as_secs_f64()) as u64;
            if rate < floor || most <= SIGNATURE_MOST as u64 {
                return Err(Miss::Slow(rate));
            }
            window = (Instant::now(), came);
        }
        take(&piece).map_err(|e| Miss::Local(e.to_string()))?;
    }
    if size.is_some_and(|size| size != came) {
        return Err(Miss::Broken("ended too early".to_owned()));
    }
    Ok(Some(modified.and_then(clock::checked_unix)))
}

/// Returns a host without its port.
fn bare(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    }
}
