//! `lastupdate` of every mirror: the smallest question that tells whether there is anything new, and which mirrors are
//! behind.
//!
//! Upstream writes it at the end of a script that changed a repository: Unix seconds, 11 bytes. A mirror that is asked by
//! strangers is asked at most once a minute, and not before the time that it named in `Retry-After`.

use futures_util::future::join_all;

use super::ask::{MirrorAnswer, ask};
use super::memory::{FollowMemory, MirrorRecord};
use super::{FollowError, FollowOptions};
use crate::base::public::is_public_url;
use crate::config::template::MirrorTemplate;
use crate::engine::source::Miss;
use crate::index::manifest::FUTURE_MOST;
use crate::machine::Machine;
use crate::net::http;

/// Least seconds between two questions to one mirror.
const FLOOR: u64 = 60;
/// Most bytes of `lastupdate`.
const MOST: u64 = 64;

/// What one mirror said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MirrorPulse {
    /// Unix seconds of its last change.
    At(u64),
    /// It has no such file: a repository of its own.
    Without,
}

/// What all mirrors said.
#[derive(Debug, Default)]
pub(super) struct MirrorPulses<'m> {
    /// Those that have the newest state, https first.
    pub(super) current: Vec<&'m MirrorTemplate>,
    /// All that answered, the current ones first: for files with an expectation.
    pub(super) usable: Vec<&'m MirrorTemplate>,
    /// The newest `lastupdate`; `None` where no mirror has that file.
    pub(super) lastupdate: Option<u64>,
    /// True when no mirror was to be asked yet.
    pub(super) is_early: bool,
    /// For the user.
    pub(super) warnings: Vec<String>,
}

/// Asks every mirror that may be asked at `now`, and records what it said.
///
/// # Errors
/// [`FollowError::Nowhere`] when none answered, [`FollowError::SetBack`] when all are older than what is published.
pub(super) async fn pulses<'m>(
    options: &'m FollowOptions,
    memory: &mut FollowMemory,
    now: u64,
) -> Result<MirrorPulses<'m>, FollowError> {
    let record = |mirror: &MirrorTemplate| memory.mirrors.get(&mirror.to_string()).cloned().unwrap_or_default();
    let (mut asked, mut waiting) = (Vec::new(), Vec::new());
    for mirror in &options.mirrors {
        let record = record(mirror);
        match wait(mirror, &record, now) {
            Some(seconds) => waiting.push(format!("{}: not to be asked for another {seconds} s", host(mirror))),
            None => asked.push((mirror, record)),
        }
    }
    let mut pulses = MirrorPulses::default();
    if asked.is_empty() && memory.snapshot.is_some() {
        pulses.is_early = true;
        pulses.lastupdate = memory.snapshot.as_ref().and_then(|snapshot| snapshot.lastupdate);
        return Ok(pulses);
    }
    let answers = join_all(asked.iter().map(|(mirror, record)| pulse(&options.machine, mirror, record, now))).await;
    let mut said = Vec::new();
    let mut failed = waiting;
    for ((mirror, _), (record, answer)) in asked.iter().zip(answers) {
        memory.mirrors.insert(mirror.to_string(), record);
        match answer {
            Ok(pulse) => said.push((*mirror, pulse)),
            Err(miss) => failed.push(format!("{}: {miss}", host(mirror))),
        }
    }
    if said.is_empty() {
        return Err(FollowError::Nowhere { what: "its lastupdate".to_owned(), tried: failed });
    }
    pulses.warnings = failed;
    let published = memory.snapshot.as_ref().and_then(|snapshot| snapshot.lastupdate);
    judge(&mut pulses, &said, published)?;
    Ok(pulses)
}

/// Sorts the mirrors by what they said.
fn judge<'m>(
    pulses: &mut MirrorPulses<'m>,
    said: &[(&'m MirrorTemplate, MirrorPulse)],
    published: Option<u64>,
) -> Result<(), FollowError> {
    let times = said.iter().filter_map(|(_, pulse)| match pulse {
        MirrorPulse::At(time) => Some(*time),
        MirrorPulse::Without => None,
    });
    pulses.lastupdate = times.max();
    let newest = pulses.lastupdate.map_or(MirrorPulse::Without, MirrorPulse::At);
    let (mut current, mut others): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
    let mut behind = Vec::new();
    for (mirror, pulse) in said {
        if *pulse == newest {
            current.push(*mirror);
        } else {
            others.push(*mirror);
        }
        if let (MirrorPulse::At(time), Some(newest)) = (pulse, pulses.lastupdate.max(published))
            && *time < newest
        {
            behind.push(format!("{}: it is behind: lastupdate {time}, not {newest}", host(mirror)));
        }
    }
    if pulses.lastupdate < published {
        return Err(FollowError::SetBack(behind));
    }
    pulses.warnings.extend(behind);
    current.sort_by_key(|mirror| !mirror.is_https());
    pulses.usable = current.iter().copied().chain(others).collect();
    pulses.current = current;
    Ok(())
}

/// Asks one mirror, and returns its record with the answer.
async fn pulse(
    machine: &Machine,
    mirror: &MirrorTemplate,
    former: &MirrorRecord,
    now: u64,
) -> (MirrorRecord, Result<MirrorPulse, Miss>) {
    let mut record = MirrorRecord { asked: now, ..former.clone() };
    let Some(url) = mirror.lastupdate() else { return (record, Ok(MirrorPulse::Without)) };
    let answer = match ask(machine, &url, former.modified.filter(|_| former.lastupdate.is_some()), MOST).await {
        Ok(MirrorAnswer::Unchanged) => Ok(former.lastupdate),
        Ok(MirrorAnswer::File(bytes, modified)) => {
            record.modified = modified;
            read(&bytes, now).map(|time| {
                record.lastupdate = Some(time);
                record.lastupdate
            })
        }
        Err(Miss::Absent(_)) => Ok(None),
        Err(Miss::Busy(why, after)) => {
            record.not_before = now + after.as_secs();
            Err(Miss::Busy(why, after))
        }
        Err(miss) => Err(miss),
    };
    (record, answer.map(|time| time.map_or(MirrorPulse::Without, MirrorPulse::At)))
}

/// Returns what `mirror` says now, whatever it said before.
pub(super) async fn again(machine: &Machine, mirror: &MirrorTemplate, now: u64) -> Result<MirrorPulse, Miss> {
    pulse(machine, mirror, &MirrorRecord::default(), now).await.1
}

fn read(bytes: &[u8], now: u64) -> Result<u64, Miss> {
    let time = std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let time = time.ok_or_else(|| Miss::Broken("its lastupdate is no number".to_owned()))?;
    match time > now + FUTURE_MOST {
        true => Err(Miss::Broken(format!("its lastupdate, {time}, is more than a day ahead of this clock"))),
        false => Ok(time),
    }
}

/// Returns the seconds for which `mirror` is not to be asked.
fn wait(mirror: &MirrorTemplate, record: &MirrorRecord, now: u64) -> Option<u64> {
    let floor = if is_public_url(&mirror.to_string()) { record.asked.saturating_add(FLOOR) } else { 0 };
    // A clock that was set back must not silence a mirror for long.
    let until = record.not_before.max(floor).min(now + 3600);
    until.checked_sub(now).filter(|seconds| *seconds > 0)
}

/// Returns the host of a mirror, for people.
pub(super) fn host(mirror: &MirrorTemplate) -> String {
    mirror.file("", "", "").map_or_else(|| mirror.to_string(), |url| http::host(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(urls: &[&str]) -> Vec<MirrorTemplate> {
        urls.iter().map(|url| MirrorTemplate::parse(url).unwrap()).collect()
    }

    #[test]
    fn the_newest_is_current_https_first_and_who_is_behind_is_said() {
        let all = mirrors(&["http://a/$repo", "https://b/$repo", "https://c/$repo", "http://d/$repo"]);
        let at = [MirrorPulse::At(7), MirrorPulse::At(7), MirrorPulse::At(5), MirrorPulse::Without];
        let said: Vec<_> = all.iter().zip(at).collect();
        let mut pulses = MirrorPulses::default();
        judge(&mut pulses, &said, Some(6)).unwrap();
        let hosts = |list: &[&MirrorTemplate]| list.iter().map(|mirror| host(mirror)).collect::<Vec<_>>().join(" ");
        assert_eq!((pulses.lastupdate, hosts(&pulses.current)), (Some(7), "b a".to_owned()));
        assert_eq!(hosts(&pulses.usable), "b a c d");
        assert_eq!(pulses.warnings, ["c: it is behind: lastupdate 5, not 7"]);
    }

    #[test]
    fn mirrors_that_were_all_set_back_are_refused() {
        let all = mirrors(&["https://a/$repo"]);
        let error = judge(&mut MirrorPulses::default(), &[(&all[0], MirrorPulse::At(5))], Some(6)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "every mirror is older than what is published: a: it is behind: lastupdate 5, not 6"
        );
        let lost = judge(&mut MirrorPulses::default(), &[(&all[0], MirrorPulse::Without)], Some(6));
        assert!(lost.is_err(), "a mirror that lost its lastupdate tells nothing newer");
    }

    #[test]
    fn a_public_mirror_is_asked_once_a_minute_and_after_the_time_that_it_named() {
        let [public, own] = &mirrors(&["https://mirror.example.org/$repo", "http://127.0.0.1:8/$repo"])[..] else {
            unreachable!("two were made")
        };
        let asked = MirrorRecord { asked: 1000, ..MirrorRecord::default() };
        assert_eq!(
            (wait(public, &asked, 1010), wait(public, &asked, 1060), wait(own, &asked, 1001)),
            (Some(50), None, None)
        );
        let busy = MirrorRecord { not_before: 1500, ..asked };
        assert_eq!((wait(own, &busy, 1010), wait(own, &busy, 1500)), (Some(490), None));
        let absurd = MirrorRecord { not_before: u64::MAX, ..busy };
        assert_eq!(wait(own, &absurd, 1010), Some(3600));
    }

    #[test]
    fn a_lastupdate_from_the_future_or_without_a_number_is_refused() {
        assert_eq!(read(b"1790000000\n", 1_790_000_000).unwrap(), 1_790_000_000);
        assert!(read(b"<html>", 5).is_err() && read(b"", 5).is_err() && read(b"90000000", 5).is_err());
    }
}
