//! Databases, which nobody signs: the user's mirror decides what is current, and time does not run backwards.
//!
//! pacman runs an XferCommand for every database on every `-Sy` and cannot be told "not modified"; asking the mirror
//! with `If-Modified-Since` and handing out the file that is in use saves the bytes.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::deliver::{Delivery, Manner, Obtained, Place, deliver};
use crate::digest::Sha256;
use crate::distro::pacman_conf::Check;
use crate::error::{Error, Kind};
use crate::fsx;
use crate::name::{FileName, NameKind};
use crate::plan::{Expect, Plan};
use crate::session::Session;
use crate::source::Miss;
use crate::verify::{self, Accepted, Waiver};
use crate::want::Want;

/// What was delivered last for one database, kept beside the health of sources.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
struct Last {
    /// Digest of the repository's `Server` lines.
    servers: String,
    /// The mirror's date, Unix seconds.
    modified: u64,
    /// When it was fetched, Unix seconds.
    fetched: u64,
}

/// A date of the same second cannot tell two files apart (RFC 9110, section 8.8.2.2), so a file that was changed this
/// shortly before it was fetched is fetched whole the next time.
const DATE_IS_STRONG_AFTER: u64 = 5;

/// Gets a database, or hands out the one in use when the mirror has nothing newer.
pub fn database(session: &mut Session, want: &Want, url: &str) -> Result<Obtained, Error> {
    let Some(in_use) = InUse::of(session, want) else {
        let obtained = fetch(session, want, None)?;
        return match obtained {
            Delivery::File(obtained) => remembered(session, want, url, obtained),
            Delivery::Unchanged(from) => Err(Error::new(Kind::NoSource, &want.name, format!("{from} sent nothing"))),
        };
    };
    let last = in_use.last().filter(|last| last.modified == in_use.modified);
    // -yy is how a user goes back on purpose, or mends a database.
    let forced = session.caller.as_ref().is_some_and(|caller| caller.arguments.is_refresh_forced());
    let is_strong = |last: &&Last| last.fetched >= last.modified + DATE_IS_STRONG_AFTER;
    let date = UNIX_EPOCH + Duration::from_secs(in_use.modified);
    let newer_than = last.as_ref().filter(is_strong).filter(|_| !forced).map(|_| date);
    let obtained = match fetch(session, want, newer_than)? {
        Delivery::Unchanged(from) => return in_use.obtained(session, &want.name, format!("{from}, unchanged")),
        Delivery::File(obtained) => obtained,
    };
    let offered = obtained.modified.and_then(unix);
    if let (false, Some(last), Some(offered)) = (forced, last, offered)
        && offered < last.modified
        && last.servers == in_use.servers
    {
        let behind = (last.modified - offered).div_ceil(60);
        let kept = format!("the one in use, because {} offers one that is {behind} min older", obtained.from);
        return in_use.obtained(session, &want.name, kept);
    }
    remembered(session, want, url, obtained)
}

/// Gets the signature of a database, from where the database itself came.
///
/// An optional one that the mirror definitely lacks is answered with an empty file where pacman 7 drops that: failing
/// costs two seconds a repository on every `-Sy` (pacman 7.1, src/pacman/conf.c: sleep after a failed XferCommand).
pub fn signature(session: &mut Session, want: &mut Want, into: Option<&std::path::Path>) -> Result<Obtained, Error> {
    let signed = want.name.signed().map(|name| name.as_str().to_owned()).unwrap_or_default();
    let origin = session.health.origin(&signed).and_then(|url| reqwest::Url::parse(&format!("{url}.sig")).ok());
    match origin {
        Some(origin) => want.places = vec![Place::Mirror(origin)],
        None => want.places.truncate(1),
    }
    match deliver(session, &want.name, &want.plan, &want.places, Manner::default()) {
        Ok(Delivery::File(obtained)) => Ok(obtained),
        Ok(Delivery::Unchanged(_)) => unreachable!("no date was given"),
        Err(error) => {
            let definite = session.last_misses().iter().all(|miss| matches!(miss, Miss::Absent(_)));
            if definite && is_dropped_when_empty(session, want, into) {
                return nothing(session, &want.name);
            }
            Err(error)
        }
    }
}

/// Whether pacman takes an empty signature as none: pacman 7 in sandbox mode or any 7.0, where it is optional.
fn is_dropped_when_empty(session: &Session, want: &Want, into: Option<&std::path::Path>) -> bool {
    let optional = want.repo.as_ref().is_some_and(|repo| repo.sig_level.database == Check::Optional);
    let pacman_7 = session.env.pacman_version().is_some_and(|version| version >= (7, 0));
    let sandbox = into
        .and_then(|path| path.parent()?.file_name()?.to_str())
        .is_some_and(|dir| dir.strip_prefix("download-").is_some_and(|rest| rest.len() == 6));
    optional && pacman_7 && sandbox
}

fn nothing(session: &Session, name: &FileName) -> Result<Obtained, Error> {
    let failed = |e: &dyn std::fmt::Display| Error::local(session.store.dir().display(), e);
    let file = session.store.scratch().map_err(|e| failed(&e))?;
    let accepted = Accepted::Waived(verify::waive(Waiver::NoSignature, name, &file).map_err(|e| failed(&e))?);
    let from = "nowhere: the mirror has none, and none is required".to_owned();
    Ok(Obtained { file, accepted, modified: None, from, url: None })
}

fn fetch(session: &mut Session, want: &Want, newer_than: Option<SystemTime>) -> Result<Delivery, Error> {
    let plan = Plan { expect: Expect::Waived(Waiver::MirrorDatabase), cid: None, disagreement: None };
    let plan = if want.name.kind() == NameKind::Database && want.repo.is_some() { plan } else { want.plan.clone() };
    deliver(session, &want.name, &plan, &want.places, Manner { newer_than, ..Manner::default() })
}

/// Notes what is delivered, for the next time and for the signature.
fn remembered(session: &mut Session, want: &Want, url: &str, obtained: Obtained) -> Result<Obtained, Error> {
    let from = obtained.url.as_ref().map_or(url, |url| url.as_str()).to_owned();
    session.health.delivered(want.name.as_str(), &from);
    session.health.save();
    if let (Some(record), Some(servers)) = (record_path(session, want), servers(want)) {
        let modified = obtained.modified.and_then(unix);
        match modified {
            Some(modified) => {
                let last =
                    serde_json::to_vec(&Last { servers, modified, fetched: unix(SystemTime::now()).unwrap_or(0) })
                        .expect("plain data");
                // Without it the next refresh asks without a date, which is only slower.
                let _ = fsx::replace(&record, &last, 0o600);
            }
            None => drop(std::fs::remove_file(&record)),
        }
    }
    Ok(obtained)
}

/// The database that pacman uses now.
struct InUse {
    path: PathBuf,
    record: PathBuf,
    uid: u32,
    modified: u64,
    servers: String,
}

impl InUse {
    fn of(session: &Session, want: &Want) -> Option<Self> {
        let conf = session.conf()?;
        want.repo.as_ref()?;
        let path = conf.db_path.join("sync").join(want.name.as_str());
        let stat = rustix::fs::stat(&path).ok()?;
        let modified = u64::try_from(stat.st_mtime).ok()?;
        let record = record_path(session, want)?;
        Some(Self { path, record, uid: session.env.uid, modified, servers: servers(want)? })
    }

    /// What was delivered last. Only a file that we delivered has a date that is the mirror's.
    fn last(&self) -> Option<Last> {
        let bytes = fsx::read_small(&self.record, self.uid, 4096).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn obtained(&self, session: &Session, name: &FileName, from: String) -> Result<Obtained, Error> {
        let failed = |e: &dyn std::fmt::Display| Error::local(self.path.display(), e);
        let source: File = fsx::open_read(&self.path).map_err(|e| failed(&e))?;
        let size = fsx::regular(&source).map_err(|e| failed(&e))?.st_size.unsigned_abs();
        let file = session.store.scratch().map_err(|e| failed(&e))?;
        fsx::copy(&source, &file, size).map_err(|e| failed(&e))?;
        let waived = verify::waive(Waiver::DatabaseInUse, name, &file).map_err(|e| failed(&e))?;
        let modified = Some(UNIX_EPOCH + Duration::from_secs(self.modified));
        Ok(Obtained { file, accepted: Accepted::Waived(waived), modified, from, url: None })
    }
}

fn record_path(session: &Session, want: &Want) -> Option<PathBuf> {
    let path = session.conf()?.db_path.join("sync").join(want.name.as_str());
    let key = &Sha256::of(path.as_os_str().as_encoded_bytes()).to_string()[..12];
    Some(session.store.cache_dir().join(format!("{}-{key}.last", want.name)))
}

fn servers(want: &Want) -> Option<String> {
    Some(Sha256::of(want.repo.as_ref()?.servers.join("\n").as_bytes()).to_string())
}

fn unix(time: SystemTime) -> Option<u64> {
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}
