//! The databases of one moment, of several repositories and architectures.
//!
//! The publisher does not trust a database because a mirror has it: none of Arch's is signed. One counts when it came
//! over https, or when two hosts have the same one (`a_database_counts_by_https_or_by_two_hosts_that_agree`). All belong
//! to one moment: `lastupdate` is the same before and after; where there is none, no database has changed meanwhile.
//!
//! Mirrors that differ may lie, which is an alarm, or one is in the middle of its synchronisation, which brings databases
//! before `lastupdate`. So they are asked for `lastupdate` once more before one is accused; and a database that is dated
//! later than the `lastupdate` of its mirror is left out, for an hour at most
//! (`a_mirror_amid_its_synchronisation_is_waited_for_and_after_an_hour_it_is_an_alarm`), also where all agree on it: the
//! next database may be of the state before (`databases_of_two_moments_are_not_published_as_one_snapshot`). A mirror may
//! also bring its `lastupdate` first: for an hour, databases are asked for again, and may be followed by later ones
//! (`databases_that_come_after_their_lastupdate_are_published_within_the_hour`).

use std::collections::BTreeMap;
use std::io::Write as _;

use super::super::collect::ListedPackage;
use super::ask::MirrorAnswer;
use super::beside::BesideReader;
use super::memory::{FollowPlace, FollowedDatabase, FollowedSnapshot, MirrorRecord, SETTLING};
use super::pulse::{MirrorPulse, MirrorPulses, again, counting, host};
use super::{FollowError, FollowOptions};
use crate::base::digest::Sha256;
use crate::base::fsx;
use crate::base::name::RepoName;
use crate::config::template::MirrorTemplate;
use crate::lists::pacman::syncdb::{self, DatabaseError, Limits, Package};

/// Times that databases are read before mirrors that change all the time are left to the next run.
const TRIES: usize = 3;

/// The packages of one repository for one architecture.
#[derive(Debug)]
pub(super) struct ListedRepo {
    pub(super) repo: RepoName,
    pub(super) arch: String,
    pub(super) packages: Vec<ListedPackage>,
}

/// A snapshot with what its databases list.
#[derive(Debug)]
pub(super) struct ReadSnapshot {
    pub(super) snapshot: FollowedSnapshot,
    pub(super) repos: Vec<ListedRepo>,
}

/// Reads the packages of a database.
fn packages_of(database: &[u8]) -> Result<Vec<ListedPackage>, DatabaseError> {
    let mut packages = Vec::new();
    syncdb::read::<DatabaseError>(database, &Limits::default(), |package| {
        let Package { file, size, sha256, signature, build_date, .. } = package;
        packages.push(ListedPackage { file, size, sha256, signature, build_date });
        Ok(())
    })?;
    Ok(packages)
}

/// Returns the key of a repository in a snapshot, and its path in a tree: `core/os/x86_64`.
pub(super) fn key(repo: &RepoName, arch: &str) -> String {
    format!("{repo}/os/{arch}")
}

/// Reads the databases of `snapshot` from this disk; `None` when one is missing or damaged, or a repository is new.
pub(super) fn kept(options: &FollowOptions, place: &FollowPlace, snapshot: &FollowedSnapshot) -> Option<ReadSnapshot> {
    let mut repos = Vec::new();
    let mut databases = BTreeMap::new();
    for wanted in options.wanted() {
        let (listed, repo) = kept_repo(place, snapshot, wanted)?;
        if listed.beside.values().any(|part| !place.database(part.sha256).exists()) {
            return None;
        }
        databases.insert(key(wanted.0, wanted.1), listed.clone());
        repos.push(repo);
    }
    Some(ReadSnapshot { snapshot: FollowedSnapshot { lastupdate: snapshot.lastupdate, databases }, repos })
}

/// Reads those of the wanted databases that `snapshot` has and that are here.
pub(super) fn kept_repos(options: &FollowOptions, place: &FollowPlace, snapshot: &FollowedSnapshot) -> Vec<ListedRepo> {
    options.wanted().filter_map(|wanted| Some(kept_repo(place, snapshot, wanted)?.1)).collect()
}

fn kept_repo<'s>(
    place: &FollowPlace,
    snapshot: &'s FollowedSnapshot,
    (repo, arch): (&RepoName, &str),
) -> Option<(&'s FollowedDatabase, ListedRepo)> {
    let listed = snapshot.databases.get(&key(repo, arch))?;
    let bytes = fsx::read_followed(&place.database(listed.sha256), Limits::default().packed).ok()??;
    if Sha256::of(&bytes) != listed.sha256 {
        return None;
    }
    let packages = packages_of(&bytes).ok()?;
    Some((listed, ListedRepo { repo: repo.clone(), arch: arch.to_owned(), packages }))
}

/// What is asked of the mirrors.
pub(super) struct SnapshotReader<'a> {
    pub(super) options: &'a FollowOptions,
    pub(super) place: &'a FollowPlace,
    /// The last snapshot, whose databases need not come again.
    pub(super) former: Option<&'a FollowedSnapshot>,
    /// True for a comparison: databases are to come whole.
    pub(super) is_whole: bool,
    /// True when the former snapshot is of this `lastupdate`, and not older than an hour: its databases may have been those
    /// before.
    pub(super) is_settling: bool,
    /// True when another keyring than the present one has checked what was read last, or none.
    pub(super) is_rekeyed: bool,
    /// What was known of the mirrors before, and the date of `lastupdate` at each.
    pub(super) records: BTreeMap<String, MirrorRecord>,
    /// Unix seconds.
    pub(super) now: u64,
}

/// Says that a mirror is waited for.
fn unsettled(mirror: &MirrorTemplate) -> String {
    format!("{}: its database is not of its lastupdate: it may be in the middle of its synchronisation", host(mirror))
}

impl SnapshotReader<'_> {
    /// Reads the databases of the mirrors that are current.
    ///
    /// # Errors
    /// [`FollowError`]; nothing but files in the place was changed.
    pub(super) async fn read(&self, pulses: &MirrorPulses<'_>) -> Result<ReadSnapshot, FollowError> {
        let mut lastupdate = pulses.lastupdate;
        for _ in 0..TRIES {
            let came = self.once(pulses, lastupdate).await;
            let (used, snapshot, repos) = match came {
                Ok(came) => came,
                Err(error) if !error.is_alarm() => return Err(error),
                // Before a mirror is accused: it may have gone on since it said its `lastupdate`.
                Err(alarm) => {
                    let nothing = FollowedSnapshot { lastupdate, databases: BTreeMap::new() };
                    match self.moved(pulses, &pulses.current, &nothing).await {
                        None => return Err(alarm),
                        Some(now) if now == lastupdate => break,
                        Some(now) => lastupdate = now,
                    }
                    continue;
                }
            };
            match self.moved(pulses, &used, &snapshot).await {
                None => return Ok(ReadSnapshot { snapshot, repos }),
                // One host alone has gone on: the others will, too.
                Some(now) if now.is_some() && now == lastupdate => break,
                Some(now) => lastupdate = now,
            }
        }
        Err(FollowError::Moving(TRIES))
    }

    /// Reads all databases at `lastupdate`, with the mirrors that they are from.
    async fn once<'m>(
        &self,
        pulses: &MirrorPulses<'m>,
        lastupdate: Option<u64>,
    ) -> Result<(Vec<&'m MirrorTemplate>, FollowedSnapshot, Vec<ListedRepo>), FollowError> {
        let (mut databases, mut repos) = (BTreeMap::new(), Vec::new());
        let mut used: Vec<&MirrorTemplate> = Vec::new();
        for (repo, arch) in self.options.wanted() {
            let (database, packages, from) = self.database(pulses, (repo, arch), lastupdate).await?;
            databases.insert(key(repo, arch), database);
            repos.push(ListedRepo { repo: repo.clone(), arch: arch.to_owned(), packages });
            used.extend(from);
        }
        used.sort_by_key(ToString::to_string);
        used.dedup();
        Ok((used, FollowedSnapshot { lastupdate, databases }, repos))
    }

    /// Returns the newer `lastupdate` when the mirrors have changed since `snapshot` was begun.
    async fn moved(
        &self,
        pulses: &MirrorPulses<'_>,
        used: &[&MirrorTemplate],
        snapshot: &FollowedSnapshot,
    ) -> Option<Option<u64>> {
        let machine = &self.options.machine;
        let mut said = Vec::new();
        let mut is_same = true;
        for mirror in used {
            match again(machine, &pulses.notes, mirror, self.now).await {
                Ok(MirrorPulse::At(time)) => {
                    is_same &= snapshot.lastupdate == Some(time);
                    said.push((*mirror, MirrorPulse::At(time)));
                }
                Ok(MirrorPulse::Without) if snapshot.lastupdate.is_none() => {
                    for (repo, arch) in self.options.wanted() {
                        let former = snapshot.databases.get(&key(repo, arch));
                        is_same &= self.is_unchanged(pulses, mirror, (repo, arch), former).await;
                    }
                }
                // What it had is what the snapshot has; a mirror that goes away does not change it.
                _ => {}
            }
        }
        let newest = match counting(&said, snapshot.lastupdate, &pulses.voices) {
            MirrorPulse::At(time) => Some(time),
            MirrorPulse::Without => None,
        };
        (!is_same).then_some(newest.max(snapshot.lastupdate))
    }

    async fn is_unchanged(
        &self,
        pulses: &MirrorPulses<'_>,
        mirror: &MirrorTemplate,
        (repo, arch): (&RepoName, &str),
        former: Option<&FollowedDatabase>,
    ) -> bool {
        let Some(modified) = former.and_then(|former| former.modified) else { return true };
        let Some(url) = mirror.file(repo.as_str(), arch, &format!("{repo}.db")) else { return true };
        let (machine, most) = (&self.options.machine, Limits::default().packed);
        match pulses.notes.ask(machine, (mirror, &url), Some(modified), most).await {
            Ok(MirrorAnswer::File(bytes, _)) => former.is_some_and(|former| Sha256::of(&bytes) == former.sha256),
            _ => true,
        }
    }

    /// Reads one database, from so many mirrors that it counts.
    async fn database<'m>(
        &self,
        pulses: &MirrorPulses<'m>,
        (repo, arch): (&RepoName, &str),
        lastupdate: Option<u64>,
    ) -> Result<(FollowedDatabase, Vec<ListedPackage>, Vec<&'m MirrorTemplate>), FollowError> {
        let name = format!("{}/{repo}.db", key(repo, arch));
        let former = self.former.and_then(|former| former.databases.get(&key(repo, arch)));
        let of_this_time = former.filter(|_| self.former.is_some_and(|snapshot| snapshot.lastupdate == lastupdate));
        let of_this_time = of_this_time.filter(|_| lastupdate.is_some());
        let mut tried = Vec::new();
        let mut is_waiting = false;
        let mut first: Option<(FollowedDatabase, Vec<ListedPackage>, &MirrorTemplate)> = None;
        for mirror in &pulses.current {
            let (database, packages) = match self.one(pulses, mirror, (repo, arch), former).await? {
                Ok(came) => came,
                Err(why) => {
                    tried.push(format!("{}: {why}", host(mirror)));
                    continue;
                }
            };
            let is_other = |published: &&FollowedDatabase| {
                published.sha256 != database.sha256 && !self.is_rest(&database, published, lastupdate)
            };
            if let Some(published) = of_this_time.filter(is_other) {
                let is_later = published.modified < database.modified;
                let is_explained = is_later || self.is_explained((&database, published), lastupdate);
                if self.waits(pulses, mirror, lastupdate.unwrap_or(0), is_explained) {
                    is_waiting = true;
                    tried.push(unsettled(mirror));
                    continue;
                }
                let digests = format!("{} instead of {}", database.sha256.short(), published.sha256.short());
                return Err(FollowError::Changed { database: name, host: host(mirror), digests });
            }
            match &first {
                _ if mirror.is_https() => {
                    if !self.is_too_new(pulses, mirror, (&database, former), lastupdate) {
                        return Ok((database, packages, vec![mirror]));
                    }
                    is_waiting = true;
                    tried.push(unsettled(mirror));
                }
                None => first = Some((database, packages, mirror)),
                Some((other, _, its)) if other.is_same(&database) => {
                    let too_new = [(*its, other), (mirror, &database)].into_iter().filter(|(mirror, database)| {
                        // Each is looked at, since each is remembered.
                        self.is_too_new(pulses, mirror, (database, former), lastupdate)
                    });
                    let too_new: Vec<String> = too_new.map(|(mirror, _)| unsettled(mirror)).collect();
                    if pulses.voices.differ(its, mirror) && too_new.is_empty() {
                        return Ok((database, packages, vec![its, mirror]));
                    }
                    is_waiting |= !too_new.is_empty();
                    tried.extend(too_new);
                }
                Some((other, _, its)) if other.sha256 == database.sha256 => {
                    let why = format!("signature or list of files differs from that of {}", host(its));
                    is_waiting = true;
                    tried.push(format!("{}: its {why}", host(mirror)));
                }
                Some((other, _, _)) if self.may_wait(pulses, mirror, (&database, other), lastupdate) => {
                    is_waiting = true;
                    tried.push(unsettled(mirror));
                }
                Some((other, _, its)) if self.may_wait(pulses, its, (other, &database), lastupdate) => {
                    is_waiting = true;
                    tried.push(unsettled(its));
                    first = Some((database, packages, mirror));
                }
                Some((other, _, its)) => {
                    let hosts = format!("{} and {}", host(its), host(mirror));
                    let digests = format!("{} and {}", other.sha256.short(), database.sha256.short());
                    return Err(FollowError::Disagreement { database: name, hosts, digests });
                }
            }
        }
        Err(match first {
            Some((_, _, mirror)) if !is_waiting => FollowError::Unproven { database: name, host: host(mirror) },
            _ => FollowError::Nowhere { what: name, tried },
        })
    }

    /// Returns true when `mirror` may be in the middle of its synchronisation, as its database, which is not the `former`
    /// one, is dated later than `lastupdate` and that file: the other databases may be of the state before. For an hour at
    /// most, whatever `lastupdate` says meanwhile: a mirror whose dates are its own is late for so long, and then believed
    /// until its dates tell again.
    fn is_too_new(
        &self,
        pulses: &MirrorPulses<'_>,
        mirror: &MirrorTemplate,
        (its, former): (&FollowedDatabase, Option<&FollowedDatabase>),
        lastupdate: Option<u64>,
    ) -> bool {
        let (Some(modified), Some(lastupdate)) = (its.modified, lastupdate) else { return false };
        if former.is_some_and(|former| former.sha256 == its.sha256) {
            return false;
        }
        let record = self.records.get(&mirror.to_string());
        let written = record.and_then(|record| record.modified).unwrap_or(0);
        let since = record.and_then(|record| record.newer).filter(|since| *since <= self.now).unwrap_or(self.now);
        let is_newer = modified > lastupdate.max(written);
        let mut newer = pulses.notes.newer.borrow_mut();
        let noted = newer.entry(mirror.to_string()).or_default();
        *noted = is_newer.then_some(since).or(*noted);
        is_newer && self.now - since < SETTLING
    }

    /// Returns true when `mirror` may be in the middle of its synchronisation, as its database (the first) differs from
    /// another and is dated later, and later than `lastupdate`, which upstream writes last. Where there is no
    /// `lastupdate`, or a new one, which some programs bring first, the one with the earlier date is behind.
    fn may_wait(
        &self,
        pulses: &MirrorPulses<'_>,
        mirror: &MirrorTemplate,
        (its, other): (&FollowedDatabase, &FollowedDatabase),
        lastupdate: Option<u64>,
    ) -> bool {
        let is_explained = self.is_explained((its, other), lastupdate);
        match lastupdate {
            Some(lastupdate) => self.waits(pulses, mirror, lastupdate, is_explained),
            None => is_explained,
        }
    }

    /// Returns true when the dates of two databases tell why the first differs.
    fn is_explained(&self, (its, other): (&FollowedDatabase, &FollowedDatabase), lastupdate: Option<u64>) -> bool {
        let Some(its) = its.modified else { return false };
        let Some(lastupdate) = lastupdate else { return other.modified.is_some_and(|other| its < other) };
        let is_ahead = its > lastupdate && other.modified.is_none_or(|other| its > other);
        let is_new = self.is_settling || self.former.is_some_and(|former| former.lastupdate != Some(lastupdate));
        is_ahead || (is_new && other.modified.is_some_and(|other| its < other && other <= lastupdate))
    }

    /// Returns true when a database may be the one that belongs to `lastupdate`, where the published one was of the state
    /// before: a mirror that brings its `lastupdate` first has the rest within an hour.
    fn is_rest(&self, its: &FollowedDatabase, published: &FollowedDatabase, lastupdate: Option<u64>) -> bool {
        self.is_settling && published.modified < its.modified && its.modified <= lastupdate
    }

    /// Returns true as long as a mirror is waited for, an hour at most, and remembers since when.
    fn waits(&self, pulses: &MirrorPulses<'_>, mirror: &MirrorTemplate, lastupdate: u64, is_explained: bool) -> bool {
        let before = self.records.get(&mirror.to_string()).and_then(|record| record.unsettled);
        let before = before.filter(|(then, _)| *then == lastupdate);
        let since = before.map_or(self.now, |(_, since)| since);
        if is_explained {
            pulses.notes.unsettled.borrow_mut().insert(mirror.to_string(), (lastupdate, since));
        }
        is_explained && self.now.saturating_sub(since) < SETTLING
    }

    /// Reads the database of one mirror, or the reason why it has none that could count.
    async fn one(
        &self,
        pulses: &MirrorPulses<'_>,
        mirror: &MirrorTemplate,
        (repo, arch): (&RepoName, &str),
        former: Option<&FollowedDatabase>,
    ) -> Result<Result<(FollowedDatabase, Vec<ListedPackage>), String>, FollowError> {
        let Some(url) = mirror.file(repo.as_str(), arch, &format!("{repo}.db")) else {
            return Ok(Err("no URL".to_owned()));
        };
        // Asked for only if newer, as long as the former one is here.
        let here = former.filter(|_| !self.is_whole).and_then(|former| {
            let bytes = fsx::read_followed(&self.place.database(former.sha256), Limits::default().packed).ok()??;
            (Sha256::of(&bytes) == former.sha256).then_some((former, bytes))
        });
        let newer_than = here.as_ref().and_then(|(former, _)| former.modified);
        let (machine, most) = (&self.options.machine, Limits::default().packed);
        let (bytes, modified) = match pulses.notes.ask(machine, (mirror, &url), newer_than, most).await {
            Ok(MirrorAnswer::File(bytes, modified)) => (bytes, modified),
            Ok(MirrorAnswer::Unchanged) => match here {
                Some((former, bytes)) => (bytes, former.modified),
                None => return Ok(Err("said that it is unchanged, unasked".to_owned())),
            },
            Err(miss) => return Ok(Err(miss.to_string())),
        };
        let packages = match packages_of(&bytes) {
            Ok(packages) => packages,
            Err(e) => return Ok(Err(e.to_string())),
        };
        let sha256 = Sha256::of(&bytes);
        if let Some(former) = former
            && former.sha256 != sha256
            && let (Some(now), Some(then)) = (modified, former.modified)
            && now < then
        {
            return Ok(Err("its database is older than the published one: it was set back".to_owned()));
        }
        self.place.keep_database(sha256, modified, |to| to.write_all(&bytes))?;
        drop(bytes);
        let (options, place, notes) = (self.options, self.place, &*pulses.notes);
        let reader = BesideReader { options, place, notes, mirror, repo, arch, is_rekeyed: self.is_rekeyed };
        let beside = match reader.read(sha256, &packages, former).await? {
            Ok(beside) => beside,
            Err(why) => return Ok(Err(why)),
        };
        let database = FollowedDatabase { sha256, modified, beside };
        Ok(Ok((database, packages)))
    }
}
