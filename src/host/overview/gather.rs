//! Gathers an overview. What changes by the second is looked at anew; the doctor's programs run at most once a minute,
//! and a journal is read again after it has grown.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{DAYS, EndpointFigures, Examined, Overview, RunningFile, TrafficSums, sums};
use crate::base::clock;
use crate::base::env::Env;
use crate::base::fsx::FileKey;
use crate::config::Settings;
use crate::host::doctor;
use crate::host::inspect::Inspection;
use crate::pacman::prefetch::state::PrefetchState;
use crate::store::contents::{self, ArrivingFile};
use crate::store::journal::Journal;
use crate::store::stats;

/// Age at which the doctor's findings are gathered anew.
const EXAMINATION: Duration = Duration::from_secs(60);

/// Age at which a partial file that no process writes to is no file on its way.
const STILL: Duration = Duration::from_secs(10);

/// Looks at this machine whenever it is asked, and keeps what costs more than a glance.
pub(crate) struct Lookout {
    env: Env,
    flags: Vec<String>,
    started: u64,
    kept: Mutex<KeptParts>,
}

#[derive(Default)]
struct KeptParts {
    examined: Option<(Instant, Arc<Examined>)>,
    traffic: Option<(JournalsKey, Arc<TrafficSums>)>,
}

/// The journals as they were when they were read, and the day.
type JournalsKey = (Vec<(PathBuf, Option<FileKey>)>, u64);

impl Lookout {
    /// Makes one with the environment and the `--set` texts of this process.
    pub(crate) fn new(env: &Env, flags: &[String]) -> Self {
        Self { env: env.clone(), flags: flags.to_vec(), started: clock::now(), kept: Mutex::default() }
    }

    /// Looks at this machine. Blocks for three seconds at most, most times for some milliseconds.
    pub(crate) fn look(&self, endpoint: EndpointFigures) -> Overview {
        let now = SystemTime::now();
        // Like the doctor: a mistake in the configuration is a finding.
        let (settings, _) = Settings::read_leniently(&self.env, &self.flags);
        let zone = TimeZone::system();
        let (found, examined, traffic) = std::thread::scope(|scope| {
            let found = started(scope, || Inspection::glance(&self.env, &settings, now));
            let examined = started(scope, || self.examined(&settings, now));
            let traffic = self.traffic(&settings, &zone);
            let found = found.join().expect("looking does not panic");
            (found, examined.join().expect("looking does not panic"), traffic)
        });
        let mut running = endpoint.running.clone();
        let arriving = settings.stores.iter().flat_map(|dir| contents::arriving(dir, now, STILL));
        for file in arriving.filter_map(|file| named(&file, &found.updates)) {
            if running.iter().all(|known| known.name != file.name) {
                running.push(file);
            }
        }
        Overview { machine: machine(), zone, settings, found, examined, traffic, running, endpoint }
    }

    fn examined(&self, settings: &Settings, now: SystemTime) -> Arc<Examined> {
        let kept = self.kept.lock().expect("nothing panics while it is held").examined.clone();
        if let Some((_, examined)) = kept.filter(|(at, _)| at.elapsed() < EXAMINATION) {
            return examined;
        }
        let facts = Inspection::examine(&self.env, settings, now);
        let found = doctor::checks().map(|check| (check, (check.look)(&facts))).collect();
        let examined = Arc::new(Examined { at: clock::unix(now), found });
        let kept = Some((Instant::now(), Arc::clone(&examined)));
        self.kept.lock().expect("nothing panics while it is held").examined = kept;
        examined
    }

    fn traffic(&self, settings: &Settings, zone: &TimeZone) -> Arc<TrafficSums> {
        let since = stats::since(zone, DAYS);
        let files = settings.stores.iter().flat_map(|dir| Journal::at(dir).files());
        let key = (files.map(|path| (path.clone(), FileKey::at(&path).ok())).collect::<Vec<_>>(), since);
        let before = self.kept.lock().expect("nothing panics while it is held").traffic.clone();
        let before = match before {
            Some((known, traffic)) if known == key => return traffic,
            before => before.map(|(_, traffic)| traffic).unwrap_or_default(),
        };
        let lately = sums::read(settings, zone, since).map_err(|e| e.to_string());
        let own = sums::read(settings, zone, self.started).unwrap_or_default();
        let mut received = BTreeMap::new();
        for day in own.days.values() {
            for (kind, bytes) in &day.received {
                *received.entry(kind.clone()).or_insert(0) += bytes;
            }
        }
        // A journal forgets its oldest lines; a counter that fell would be taken for a new start.
        for (kind, bytes) in &before.received {
            let now: &mut u64 = received.entry(kind.clone()).or_default();
            *now = (*now).max(*bytes);
        }
        let delivered = (own.delivered.max(before.delivered.0), own.files.max(before.delivered.1));
        let traffic = Arc::new(TrafficSums { lately, received, delivered });
        let kept = Some((key, Arc::clone(&traffic)));
        self.kept.lock().expect("nothing panics while it is held").traffic = kept;
        traffic
    }
}

/// Starts a look on a thread with a main thread's room: a thread's usual 2 MiB are too few for the futures of an HTTP
/// client in a program that is not optimised.
fn started<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    look: impl FnOnce() -> T + Send + 'scope,
) -> ScopedJoinHandle<'scope, T> {
    let thread = Builder::new().name("look".to_owned()).stack_size(8 << 20);
    thread.spawn_scoped(scope, look).expect("a thread can be started")
}

/// Returns a partial file with the name that pending updates have for it; other files have none that is known here.
fn named(file: &ArrivingFile, updates: &PrefetchState) -> Option<RunningFile> {
    let update = updates.updates.iter().find(|update| update.sha256 == Some(file.sha256))?;
    let (name, size) = (update.file.clone(), Some(update.size));
    Some(RunningFile { name, size, arrived: file.bytes.min(update.size), what: "into the store".to_owned() })
}

/// Returns the name of this machine.
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Names a day of the calendar in `zone`, so many days before today.
pub(super) fn day_before_today(zone: &TimeZone, now: u64, days: i64) -> Option<jiff::civil::Date> {
    let now = Timestamp::from_second(i64::try_from(now).ok()?).ok()?;
    now.to_zoned(zone.clone()).date().checked_sub(jiff::Span::new().days(days)).ok()
}
