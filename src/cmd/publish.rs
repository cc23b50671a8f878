//! `pkgswarm publish REPO_DIR…` and `pkgswarm publish NAME`: a signed index and a plain tree under one IPNS name, as the
//! words say, or a file.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::base::clock;
use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind};
use crate::base::runtime::block_on;
use crate::cmd::cli::{PublishArgs, PublishCommand};
use crate::config::publication::{self, PublicationFile, list_key};
use crate::config::{ContentRule, ProgressMode, Settings, own_state_dir, value};
use crate::net::http::Http;
use crate::net::kubo::{Kubo, KuboErrorKind};
use crate::publish::{self, Did, FollowError, PublishError, PublishOptions, PublishReport, RunOutcome, RunWord};
use crate::report::{self, counted};
use progress::Shown;

mod described;
mod followers;
mod holders;
mod places;
mod progress;
mod status;
mod voice;

/// The unit of room in hints, bytes.
const GB: u64 = 1_000_000_000;
/// Lifetime of the name's answer in caches; Kubo's default.
const TTL: Duration = Duration::from_secs(300);

/// Name of the Kubo key, and of the publisher, where the words tell none.
const NAME: &str = "pkgswarm";
/// Validity where the words tell none.
const LIFETIME: &str = "48 h";

/// A publication that failed: the error for the user, and how its run ended; `None` where there was no run, because the
/// user interrupted it or another one is on.
struct Unpublished {
    error: Error,
    word: Option<RunWord>,
}

impl From<Error> for Unpublished {
    fn from(error: Error) -> Self {
        Self { error, word: Some(RunWord::Failed) }
    }
}

/// Runs the command.
pub(crate) fn run(env: &Env, settings: &Settings, args: &PublishArgs) -> anyhow::Result<u8> {
    if let Some(PublishCommand::Status(asked)) = &args.command {
        return status::run(env, settings, asked);
    }
    let Some((name, file)) = described::described(env, args)? else { return by_command(env, settings, args) };
    match PublicationFile::read(&file, &name) {
        Ok(publication) => by_description(env, settings, args, &publication),
        Err(mistake) => {
            let publication = PublicationFile::in_spite_of_mistakes(&file, &name);
            let at = clock::now();
            let place = place(env, settings, &publication).ok();
            let why = Some(mistake.to_string());
            let run = RunOutcome { at, took_ms: 0, word: RunWord::Failed, why, report: None };
            voice::remember(env, settings, &publication, place.as_deref(), run, Some(&mistake));
            Err(mistake.into())
        }
    }
}

/// Publishes what the words say.
fn by_command(env: &Env, settings: &Settings, args: &PublishArgs) -> anyhow::Result<u8> {
    let options = by_words(env, settings, args)?;
    let begun = Instant::now();
    let report = publish(settings, &options, !args.offline, true).map_err(|failure| failure.error)?;
    warn(&report);
    match args.json {
        true => print_json(&report)?,
        false => print(&options, &report, begun.elapsed())?,
    }
    unfinished(settings, &report).map_or(Ok(0), |error| Err(error.into()))
}

/// Publishes what a file says: one line tells of it, and its record is kept.
fn by_description(
    env: &Env,
    settings: &Settings,
    args: &PublishArgs,
    publication: &PublicationFile,
) -> anyhow::Result<u8> {
    let (at, begun) = (clock::now(), Instant::now());
    let place = place(env, settings, publication);
    let is_watched = settings.progress == ProgressMode::Bar;
    let done = place.clone().map_err(Unpublished::from).and_then(|dir| {
        let options = by_file(env, settings, args, publication, dir)?;
        places::expect(env, publication, &options);
        let report = publish(settings, &options, publication.uses_kubo, is_watched)?;
        Ok((options, report))
    });
    let (word, error, report) = match &done {
        Err(Unpublished { word: None, error }) => return Err(error.clone().into()),
        Err(Unpublished { word: Some(word), error }) => (*word, Some(error.clone()), None),
        Ok((_, report)) => {
            let word = match (report.failed.is_empty(), &report.late, holders::failure(report)) {
                (false, ..) => RunWord::Partly,
                (true, Some(_), _) => RunWord::Late,
                (true, None, Some(_)) => RunWord::Unheld,
                (true, None, None) => RunWord::from(report.did),
            };
            (word, unfinished(settings, report), Some(report))
        }
    };
    let took = begun.elapsed();
    if let Ok((options, report)) = &done {
        warn(report);
        places::settle(env, settings, publication, options, report);
        report::say(&voice::line(&publication.name, report, options.now, took));
        if args.json {
            print_json(report)?;
        } else if is_watched {
            tell_users(options, report);
        }
    }
    let why = error.as_ref().map(ToString::to_string);
    let took_ms = took.as_millis().try_into().unwrap_or(u64::MAX);
    let run = RunOutcome { at, took_ms, word, why, report };
    voice::remember(env, settings, publication, place.as_deref().ok(), run, error.as_ref());
    error.map_or(Ok(0), |error| Err(error.into()))
}

/// Makes the directory of a publication's state, unless it belongs to another user than this one, who is root.
fn place(env: &Env, settings: &Settings, publication: &PublicationFile) -> Result<PathBuf, Error> {
    described::refuse_for_root(env, publication, &beside(&settings.state_dir, &publication.publisher))?;
    state_dir(env, settings, &publication.publisher)
}

/// Reads the parameters from the words.
fn by_words(env: &Env, settings: &Settings, args: &PublishArgs) -> Result<PublishOptions, Error> {
    let lifetime = publication::lifetime(args.lifetime.as_deref().unwrap_or(LIFETIME));
    let name = |given: &Option<String>| given.clone().unwrap_or_else(|| NAME.to_owned());
    let publisher = name(&args.publisher);
    if !publication::is_publication_name(&publisher) {
        return Err(Error::usage("--publisher", "expected 1 to 64 letters, digits, dots, - and _"));
    }
    Ok(PublishOptions {
        lifetime: lifetime.map_err(|why| Error::usage("--lifetime", why))?,
        content: content(args.content.as_deref())?,
        retention: described::retention(args)?,
        dirs: args.directories.clone(),
        list_key: list_key(args.haiku_key.as_deref()).map_err(|why| Error::usage("--haiku-key", why))?,
        follow: None,
        drop: args.drop.clone(),
        state_dir: state_dir(env, settings, &publisher)?,
        publisher,
        key: name(&args.key),
        minisign: args.minisign_key.as_ref().map(|path| described::key_in(env, path)).transpose()?,
        ttl: TTL,
        upstream: Default::default(),
        find: Default::default(),
        out: args.out.clone(),
        holders: Vec::new(),
        followers: None,
        now: clock::now(),
    })
}

/// Reads what is kept.
fn content(word: Option<&str>) -> Result<ContentRule, Error> {
    match word {
        None | Some("all") => Ok(ContentRule::All),
        Some("none") => Ok(ContentRule::None),
        Some(other) => Err(Error::usage("--content", format!("expected all or none, found {other:?}"))
            .hint("\"recent\" needs a bound, and so a file that describes the publication: pkgswarm-publish(1)")),
    }
}

/// Reads them from the file of a publication.
fn by_file(
    env: &Env,
    settings: &Settings,
    args: &PublishArgs,
    publication: &PublicationFile,
    state_dir: PathBuf,
) -> Result<PublishOptions, Error> {
    let followers = followers::told(env, settings, publication, &state_dir)?;
    Ok(PublishOptions {
        lifetime: publication.lifetime,
        content: publication.content,
        retention: publication.retention,
        follow: described::mirrors(env, settings, publication, &state_dir)?,
        dirs: publication.directories.clone(),
        list_key: publication.list_key.clone(),
        drop: args.drop.clone(),
        state_dir,
        publisher: publication.publisher.clone(),
        key: publication.kubo_key.clone(),
        minisign: described::signing_key(env, publication)?,
        ttl: TTL,
        upstream: described::upstream(publication),
        find: described::find(publication),
        out: publication.out.clone(),
        holders: described::holders(env, settings, publication)?,
        followers,
        now: clock::now(),
    })
}

/// Publishes; a cost that is `told` is one more line.
fn publish(
    settings: &Settings,
    options: &PublishOptions,
    with_kubo: bool,
    is_cost_told: bool,
) -> Result<PublishReport, Unpublished> {
    let http = Http::new(settings.connect);
    let kubo = Kubo::configured(settings, &http);
    let bars = settings.progress == ProgressMode::Bar;
    let shown = Shown::new(bars, is_cost_told);
    let mut progress = |phase, done, total| shown.at(phase, done, total);
    let report = block_on(publish::run(options, with_kubo.then_some(&kubo), &mut progress));
    shown.clear();
    match report {
        Some(Ok(report)) => Ok(report),
        Some(Err(e)) => {
            let word = match &e {
                PublishError::Busy => None,
                PublishError::Follow(follow) if follow.is_alarm() => Some(RunWord::Alarm),
                _ => Some(RunWord::Failed),
            };
            Err(Unpublished { error: explained(settings, &e), word })
        }
        None => {
            let error = Error::new(ErrorKind::Interrupted, "publish", "interrupted; run it again");
            Err(Unpublished { error, word: None })
        }
    }
}

/// Returns the error of a run that has published, and has left something to be done.
fn unfinished(settings: &Settings, report: &PublishReport) -> Option<Error> {
    let failed = report.failed.first().map(|failure| &failure.error);
    let error = failed.or(report.late.as_ref()).map(|error| explained(settings, error));
    error.or_else(|| holders::failure(report))
}

/// Says what does not count as a failure, and all failures but the first, which is the last thing that is said.
fn warn(report: &PublishReport) {
    for warning in &report.warnings {
        report::say(&format!("warning: {warning}"));
    }
    report.failed.iter().skip(1).for_each(|failure| {
        report::say(&format!("warning: {}: {}", failure.target, failure.error));
    });
    holders::tell(report);
}

/// Returns the place of this publisher's state: beside the state of downloads, which belongs to another user.
fn beside(state: &Path, publisher: &str) -> PathBuf {
    let mut dir = state.to_owned().into_os_string();
    dir.push("-publish");
    PathBuf::from(dir).join(publisher)
}

/// Makes the directory of this publisher's state.
fn state_dir(env: &Env, settings: &Settings, publisher: &str) -> Result<PathBuf, Error> {
    let dir = beside(&settings.state_dir, publisher);
    match (std::fs::create_dir_all(&dir), own_state_dir(env)) {
        (Ok(()), _) => Ok(dir),
        // An ordinary user beside the system's own publisher.
        (Err(e), Some(own)) if e.kind() == io::ErrorKind::PermissionDenied => {
            let dir = beside(&own, publisher);
            std::fs::create_dir_all(&dir).map_err(|e| Error::local(dir.display(), e))?;
            Ok(dir)
        }
        (Err(e), _) => Err(Error::local(dir.display(), e).hint("state.dir says where it is")),
    }
}

fn explained(settings: &Settings, e: &PublishError) -> Error {
    let kind = match e {
        PublishError::Package { .. }
        | PublishError::Haiku { .. }
        | PublishError::Database { .. }
        | PublishError::ReadBack { .. } => ErrorKind::Corrupt,
        PublishError::NoRepo(_)
        | PublishError::Reserved(_)
        | PublishError::Twice(_)
        | PublishError::LeftOut(_)
        | PublishError::Arch { .. } => ErrorKind::Usage,
        PublishError::Follow(error) => followed(error),
        PublishError::Io { .. } => ErrorKind::Local,
        _ => ErrorKind::NoSource,
    };
    let error = match e {
        PublishError::Kubo(fault) | PublishError::Follow(FollowError::Kubo(fault)) => {
            Error::new(kind, "publish", fault.told(&settings.kubo_api))
        }
        PublishError::Follow(FollowError::Delivery(error)) => (**error).clone(),
        PublishError::Space { .. } | PublishError::Follow(FollowError::Space { .. }) => {
            Error::new(kind, "publish", format!("{e}, at {}", settings.kubo_api))
        }
        PublishError::Follow(FollowError::Nowhere { tried, .. }) => {
            tried.iter().fold(Error::new(kind, "publish", e), |error, line| error.tried(format!("mirror  {line}")))
        }
        _ => Error::new(kind, "publish", e),
    };
    match e {
        PublishError::Kubo(fault) | PublishError::Follow(FollowError::Kubo(fault))
            if fault.kind == KuboErrorKind::NoSpace =>
        {
            error.hint("make room on the disk of Kubo, or `ipfs repo gc`; the next run goes on where this one stopped")
        }
        PublishError::Kubo(_) | PublishError::Follow(FollowError::Kubo(_)) => {
            error.hint("sudo systemctl start ipfs; or `--offline --out DIR`, which builds and signs without Kubo")
        }
        PublishError::Space { need, free } | PublishError::Follow(FollowError::Space { need, free }) => {
            let more = need.saturating_sub(*free).div_ceil(GB);
            error.hint(format!(
                "`ipfs config Datastore.StorageMax …`, {more} GB more than now, and restart it; or remove pins, then `ipfs repo gc`"
            ))
        }
        PublishError::LeftOut(tables) => {
            let drop: Vec<String> = tables.iter().map(|table| format!("--drop {table}")).collect();
            error.hint(format!("name their directories as well, or give {} to remove them", drop.join(" ")))
        }
        PublishError::Follow(FollowError::Unproven { .. }) => {
            error.hint("name an https mirror in sources.mirrors, or a second one that agrees")
        }
        PublishError::Follow(FollowError::Damaged { .. }) => {
            error.hint("it was removed; run publish again, which fetches it")
        }
        PublishError::Follow(FollowError::Memory { path, .. }) => error.hint(format!(
            "restore it; or `rm {}` forgets what was published: look first that no mirror was set back",
            path.display()
        )),
        PublishError::Follow(follow) if follow.is_alarm() => {
            error.hint("nothing was published; find out which mirror is wrong, and take it out of sources.mirrors")
        }
        PublishError::Haiku { why, .. } if why.contains("signed") => {
            error.hint("fetch it again; if another key is right, --haiku-key names it; nothing was published")
        }
        PublishError::Haiku { .. } => error.hint("fetch it again, or wait until it is whole; nothing was published"),
        PublishError::Package { .. } => error.hint("run repo-add again, or restore the file; nothing was published"),
        _ => error,
    }
}

/// Returns the kind of a failure to follow mirrors.
fn followed(error: &FollowError) -> ErrorKind {
    match error {
        FollowError::Delivery(error) => error.kind,
        FollowError::Local { .. } | FollowError::Memory { .. } => ErrorKind::Local,
        FollowError::Nowhere { .. }
        | FollowError::SetBack(_)
        | FollowError::Moving(_)
        | FollowError::Kubo(_)
        | FollowError::Space { .. } => ErrorKind::NoSource,
        FollowError::Disagreement { .. }
        | FollowError::Changed { .. }
        | FollowError::Unproven { .. }
        | FollowError::Damaged { .. }
        | FollowError::Database { .. }
        | FollowError::Signature { .. } => ErrorKind::Corrupt,
    }
}

fn print_json(report: &PublishReport) -> io::Result<()> {
    let line = serde_json::json!({
        "did": RunWord::from(report.did).word(), "root": report.root.to_string(),
        "name": report.name.as_ref().map(ToString::to_string), "sequence": report.sequence, "expires": report.expires,
        "files": report.files, "without_bytes": report.bare, "unlisted": report.backlog.packages,
        "unlisted_bytes": report.backlog.bytes, "new_files": report.new_files, "sent": report.sent,
        "archive": report.archive(),
    });
    writeln!(report::out(), "{line}")
}

fn print(options: &PublishOptions, report: &PublishReport, took: Duration) -> io::Result<()> {
    let files = format!("{}, {} new", counted(report.files, "file"), report.new_files);
    let sent = value::show_size(report.sent);
    match &report.name {
        Some(_) => {
            let did = RunWord::from(report.did).word();
            report::say(&format!("{did}: {files}, {sent} sent to Kubo, in {} s", took.as_secs()));
        }
        None => {
            let out = options.out.as_deref().unwrap_or(Path::new(".")).display();
            let word = if report.did == Did::Unchanged { "unchanged" } else { "wrote" };
            report::say(&format!("{word}: {files}, in {out}; Kubo was not asked"));
        }
    }
    if report.bare > 0 {
        let packages = counted(report.bare, "package");
        report::say(&format!("{packages} without their bytes: the index has entries and root blocks"));
    }
    if let Some(archive) = report.archive() {
        report::say(&format!(
            "{} in the archive, {} of them with their bytes",
            counted(archive.files, "superseded file"),
            archive.with_bytes
        ));
    }
    tell_users(options, report);
    writeln!(report::out(), "{}", report.name.as_ref().map_or_else(|| report.root.to_string(), ToString::to_string))
}

/// Says the line with which users add the index.
fn tell_users(options: &PublishOptions, report: &PublishReport) {
    let signer = options.minisign.as_ref().map(|key| key.public().to_string());
    let out = options.out.as_deref().unwrap_or(Path::new(".")).display();
    report::say(&match (&report.name, signer) {
        (Some(name), signer) => {
            let also = signer.map(|key| format!(" --minisign {key}")).unwrap_or_default();
            format!("users run: sudo pkgswarm index add NAME {name}{also}")
        }
        (None, Some(key)) => {
            format!("serve {out} over HTTP; users run: sudo pkgswarm index add NAME {key} --url https://HOST/PATH")
        }
        (None, None) => "without --minisign-key no user can prove a copy that comes over HTTP".to_owned(),
    });
}
