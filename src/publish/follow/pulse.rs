//! `lastupdate` of every mirror: the smallest question that tells whether there is anything new, and which mirrors are
//! behind.
//!
//! Upstream writes it at the end of a script that changed a repository: Unix seconds, 11 bytes. A mirror that is asked by
//! strangers is asked at most once a minute, and not before the time that it named in `Retry-After`.
//!
//! A time counts when an https mirror says it, or two hosts do, as a database does; [`voice`](super::voice) tells hosts
//! apart. A mirror that is ahead of all others is waited for: it was synchronised first, or it lies
//! (`a_mirror_that_is_ahead_alone_is_waited_for_and_one_from_the_future_decides_nothing`).

use std::rc::Rc;

use futures_util::future::join_all;

use super::ask::{MirrorAnswer, MirrorNotes};
use super::memory::{FollowMemory, MirrorRecord};
use super::voice::MirrorVoices;
use super::{FollowError, FollowOptions};
use crate::base::public::is_public_url;
use crate::config::template::MirrorTemplate;
use crate::engine::source::Miss;
use crate::machine::Machine;
use crate::net::http;

/// Least seconds between two questions to one mirror.
const FLOOR: u64 = 60;
/// Most seconds that `lastupdate` may be ahead of this clock.
const FUTURE_MOST: u64 = 600;
/// Most bytes of `lastupdate`.
const MOST: u64 = 64;
/// Most seconds for which a mirror is left alone: as long as a `Retry-After` counts. What is later is of another clock.
const REST_MOST: u64 = 3600;
/// Most seconds without a word of any mirror, after which it is no good run in which none was to be asked.
const UNHEARD_MOST: u64 = 7200;

/// What one mirror said.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum MirrorPulse {
    /// It has no such file: a repository of its own.
    Without,
    /// Unix seconds of its last change.
    At(u64),
}

/// What all mirrors said.
#[derive(Debug, Default)]
pub(super) struct MirrorPulses<'m> {
    /// Those that have the newest state, https first.
    pub(super) current: Vec<&'m MirrorTemplate>,
    /// All that answered, the current ones first: for files with an expectation.
    pub(super) usable: Vec<&'m MirrorTemplate>,
    /// The newest `lastupdate` that counts; `None` where no mirror has that file.
    pub(super) lastupdate: Option<u64>,
    /// Hosts that say a newer one, which does not count.
    pub(super) ahead: Vec<String>,
    /// True when no mirror was to be asked yet.
    pub(super) is_early: bool,
    /// Tells which of them are of one host.
    pub(super) voices: MirrorVoices,
    /// What is learnt of them meanwhile.
    pub(super) notes: Rc<MirrorNotes>,
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
    let mut pulses = MirrorPulses { notes: Rc::clone(&memory.notes), ..MirrorPulses::default() };
    let is_heard = (now.saturating_sub(UNHEARD_MOST)..=now).contains(&memory.heard);
    if asked.is_empty() && memory.snapshot.is_some() && is_heard {
        // Where something is missing all the same, they say why it does not come.
        pulses.is_early = true;
        pulses.warnings = waiting;
        pulses.lastupdate = memory.snapshot.as_ref().and_then(|snapshot| snapshot.lastupdate);
        return Ok(pulses);
    }
    let answers =
        join_all(asked.iter().map(|(mirror, record)| pulse(&options.machine, &pulses.notes, mirror, record, now)));
    let named: Vec<&MirrorTemplate> = asked.iter().map(|(mirror, _)| *mirror).collect();
    let (answers, voices) = tokio::join!(answers, MirrorVoices::of(&named));
    pulses.voices = voices;
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
    memory.heard = now;
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
    let newest = counting(said, published, &pulses.voices);
    pulses.lastupdate = match newest {
        MirrorPulse::At(time) => Some(time),
        MirrorPulse::Without => None,
    };
    let (mut current, mut others): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
    let mut behind = Vec::new();
    let is_set_back = pulses.lastupdate < published;
    for (mirror, pulse) in said {
        if *pulse == newest {
            current.push(*mirror);
        } else {
            others.push(*mirror);
        }
        match (pulse, pulses.lastupdate.max(published)) {
            (MirrorPulse::At(time), Some(newest)) if *time < newest => {
                behind.push(format!("{}: it is behind: lastupdate {time}, not {newest}", host(mirror)));
            }
            (MirrorPulse::Without, _) if is_set_back => {
                behind.push(format!("{}: it has no lastupdate any more", host(mirror)));
            }
            _ => {}
        }
        if let MirrorPulse::At(time) = pulse
            && *pulse > newest
        {
            pulses.ahead.push(host(mirror));
            let why = "which no other host says, and http proves nothing";
            pulses.warnings.push(format!("{}: it is ahead: lastupdate {time}, {why}", host(mirror)));
        }
    }
    if is_set_back {
        return Err(FollowError::SetBack(behind));
    }
    pulses.warnings.extend(behind);
    current.sort_by_key(|mirror| !mirror.is_https());
    pulses.usable = current.iter().copied().chain(others).collect();
    pulses.current = current;
    Ok(())
}

/// Returns the newest of what the mirrors said that counts: an https mirror says it, or two hosts do, or it is what is
/// published. Where none does, what is published stays, if a mirror claims to be newer; else it is the newest of all, whose
/// databases will show whether they count.
pub(super) fn counting(
    said: &[(&MirrorTemplate, MirrorPulse)],
    published: Option<u64>,
    voices: &MirrorVoices,
) -> MirrorPulse {
    let published = published.map(MirrorPulse::At);
    let newest = said.iter().map(|(_, pulse)| *pulse).max().unwrap_or(MirrorPulse::Without);
    let counts = |pulse: MirrorPulse| {
        let mut by = said.iter().filter(|(_, its)| *its == pulse).map(|(mirror, _)| mirror);
        let Some(first) = by.next() else { return false };
        published == Some(pulse)
            || first.is_https()
            || by.any(|mirror| mirror.is_https() || voices.differ(mirror, first))
    };
    let counted = said.iter().map(|(_, pulse)| *pulse).filter(|pulse| counts(*pulse)).max();
    match published {
        Some(published) if newest > published => counted.unwrap_or(published).max(published),
        _ => counted.unwrap_or(newest),
    }
}

/// Asks one mirror, and returns its record with the answer.
async fn pulse(
    machine: &Machine,
    notes: &MirrorNotes,
    mirror: &MirrorTemplate,
    former: &MirrorRecord,
    now: u64,
) -> (MirrorRecord, Result<MirrorPulse, Miss>) {
    let mut record = MirrorRecord { asked: now, ..former.clone() };
    let Some(url) = mirror.lastupdate() else { return (record, Ok(MirrorPulse::Without)) };
    let newer_than = former.modified.filter(|_| former.lastupdate.is_some());
    let answer = match notes.ask(machine, (mirror, &url), newer_than, MOST).await {
        Ok(MirrorAnswer::Unchanged) => Ok(former.lastupdate),
        Ok(MirrorAnswer::File(bytes, modified)) => {
            record.modified = modified;
            read(&bytes, now).map(|time| {
                record.lastupdate = Some(time);
                record.lastupdate
            })
        }
        Err(Miss::Absent(_)) => Ok(None),
        Err(miss) => Err(miss),
    };
    (record, answer.map(|time| time.map_or(MirrorPulse::Without, MirrorPulse::At)))
}

/// Returns what `mirror` says now, whatever it said before.
pub(super) async fn again(
    machine: &Machine,
    notes: &MirrorNotes,
    mirror: &MirrorTemplate,
    now: u64,
) -> Result<MirrorPulse, Miss> {
    pulse(machine, notes, mirror, &MirrorRecord::default(), now).await.1
}

fn read(bytes: &[u8], now: u64) -> Result<u64, Miss> {
    let time = std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let time = time.ok_or_else(|| Miss::Broken("its lastupdate is no number".to_owned()))?;
    match time > now + FUTURE_MOST {
        true => Err(Miss::Broken(format!("its lastupdate, {time}, is more than ten minutes ahead of this clock"))),
        false => Ok(time),
    }
}

/// Returns the seconds for which `mirror` is not to be asked. What a clock has written that was ahead of this one does not
/// count: else one that was wrong once would silence a mirror for years.
fn wait(mirror: &MirrorTemplate, record: &MirrorRecord, now: u64) -> Option<u64> {
    let is_asked_rarely = is_public_url(&mirror.to_string()) && record.asked <= now;
    let floor = if is_asked_rarely { record.asked.saturating_add(FLOOR) } else { 0 };
    let rest = Some(record.not_before).filter(|until| *until <= now.saturating_add(REST_MOST)).unwrap_or(0);
    rest.max(floor).checked_sub(now).filter(|seconds| *seconds > 0)
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
        assert_eq!(
            lost.unwrap_err().to_string(),
            "every mirror is older than what is published: a: it has no lastupdate any more"
        );
    }

    #[test]
    fn a_time_counts_by_https_or_by_two_hosts_and_the_next_lower_one_where_it_does_not() {
        let all = mirrors(&["http://a/$repo", "http://b/$repo", "http://b/x/$repo", "https://c/$repo"]);
        let of = |times: &[(usize, u64)], published| {
            let said: Vec<_> = times.iter().map(|(mirror, time)| (&all[*mirror], MirrorPulse::At(*time))).collect();
            let mut pulses = MirrorPulses::default();
            judge(&mut pulses, &said, published).unwrap();
            (pulses.lastupdate.unwrap(), pulses.current.len(), pulses.ahead.join(" "))
        };
        let ahead = |host: &str| host.to_owned();
        assert_eq!(of(&[(0, 7), (1, 7)], Some(6)), (7, 2, ahead("")));
        assert_eq!(of(&[(0, 7), (1, 6)], Some(6)), (6, 1, ahead("a")), "the other one is not there yet");
        assert_eq!(of(&[(1, 7), (2, 7), (0, 6)], Some(6)), (6, 1, ahead("b b")), "one host is one voice");
        assert_eq!(of(&[(0, 999), (3, 7)], Some(6)), (7, 1, ahead("a")), "https, whatever the liar says");
        assert_eq!(of(&[(0, 999), (1, 7)], Some(6)), (6, 0, ahead("a b")), "what is published stays");
        assert_eq!(of(&[(0, 7), (3, 5)], Some(6)), (6, 0, ahead("a")), "never older than what is published");
        assert_eq!(of(&[(0, 7), (1, 6)], None), (7, 1, ahead("")), "databases will show it");
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
        let longest = MirrorRecord { not_before: 1010 + 3600, ..busy.clone() };
        assert_eq!(wait(own, &longest, 1010), Some(3600));
    }

    #[test]
    fn a_clock_that_was_wrong_once_silences_no_mirror() {
        let all = mirrors(&["https://mirror.example.org/$repo", "http://127.0.0.1:8/$repo"]);
        for ahead in [1010 + 3601, 1 << 40, u64::MAX] {
            let record = MirrorRecord { asked: ahead, not_before: ahead, ..MirrorRecord::default() };
            let waits: Vec<_> = all.iter().map(|mirror| wait(mirror, &record, 1010)).collect();
            assert_eq!(waits, [None, None], "{ahead}");
        }
    }

    #[test]
    fn a_lastupdate_from_the_future_or_without_a_number_is_refused() {
        assert_eq!(read(b"1790000000\n", 1_790_000_000).unwrap(), 1_790_000_000);
        assert!(read(b"<html>", 5).is_err() && read(b"", 5).is_err() && read(b"90000000", 5).is_err());
        assert!(read(b"605", 5).is_ok() && read(b"606", 5).is_err());
    }
}
