//! `pkgswarm publish REPO_DIR…` and `pkgswarm publish NAME`: a signed index and a plain tree under one IPNS name, as the
//! words say, or a file.

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::base::clock;
use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind};
use crate::base::runtime::block_on;
use crate::cmd::cli::PublishArgs;
use crate::config::publication::{self, PublicationFile};
use crate::config::{ContentRule, ProgressMode, Settings, own_state_dir, value};
use crate::index::minisign::{PublicKey, SecretKey};
use crate::net::http::Http;
use crate::net::kubo::Kubo;
use crate::publish::{self, Did, FollowError, Phase, PublishError, PublishOptions, PublishReport};
use crate::report::{self, counted};

mod described;

/// Lifetime of the name's answer in caches; Kubo's default.
const TTL: Duration = Duration::from_secs(300);

/// Name of the Kubo key, and of the publisher, where the words tell none.
const NAME: &str = "pkgswarm";
/// Validity where the words tell none.
const LIFETIME: &str = "48 h";

/// Runs the command.
pub(crate) fn run(env: &Env, settings: &Settings, args: &PublishArgs) -> anyhow::Result<u8> {
    let Some(publication) = described::described(env, args)? else {
        let options = by_words(env, settings, args)?;
        return publish(settings, args, &options, !args.offline);
    };
    let options = by_file(env, settings, args, &publication);
    let done = options.and_then(|options| publish(settings, args, &options, publication.uses_kubo));
    done.inspect_err(|error| described::alarm(&publication, error))
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
        dirs: args.directories.clone(),
        follow: None,
        drop: args.drop.clone(),
        state_dir: state_dir(env, settings, &publisher)?,
        publisher,
        key: name(&args.key),
        minisign: args.minisign_key.as_ref().map(|path| secret_key(env, path)).transpose()?,
        ttl: TTL,
        upstream: Default::default(),
        out: args.out.clone(),
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
) -> anyhow::Result<PublishOptions> {
    described::refuse_for_root(env, publication, &beside(&settings.state_dir, &publication.publisher))?;
    let state_dir = state_dir(env, settings, &publication.publisher)?;
    Ok(PublishOptions {
        lifetime: publication.lifetime,
        content: publication.content,
        follow: described::mirrors(env, settings, publication, &state_dir)?,
        dirs: publication.directories.clone(),
        drop: args.drop.clone(),
        state_dir,
        publisher: publication.publisher.clone(),
        key: publication.kubo_key.clone(),
        minisign: described::signing_key(env, publication)?,
        ttl: TTL,
        upstream: described::upstream(publication),
        out: publication.out.clone(),
        now: clock::now(),
    })
}

fn publish(settings: &Settings, args: &PublishArgs, options: &PublishOptions, with_kubo: bool) -> anyhow::Result<u8> {
    let begun = Instant::now();
    let minisign = options.minisign.as_ref().map(SecretKey::public);
    let http = Http::new(settings.connect);
    let kubo = Kubo::configured(settings, &http);
    let shown = Shown { bars: settings.progress == ProgressMode::Bar, now: RefCell::new(None) };
    let mut progress = |phase, done, total| shown.at(phase, done, total);
    let work = publish::run(options, with_kubo.then_some(&kubo), &mut progress);
    let report =
        block_on(work).ok_or_else(|| Error::new(ErrorKind::Interrupted, "publish", "interrupted; run it again"))?;
    shown.clear();
    let report = report.map_err(|e| explained(settings, e))?;
    print(args, options, &report, minisign.as_ref(), begun.elapsed())?;
    // The last thing said is the first failure.
    report.failed.iter().skip(1).for_each(|failure| {
        report::say(&format!("warning: {}: {}", failure.target, failure.error));
    });
    let failed = report.failed.into_iter().next().map(|failure| failure.error);
    match failed.or(report.late.map(PublishError::Follow)) {
        Some(error) => Err(explained(settings, error).into()),
        None => Ok(0),
    }
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

fn secret_key(env: &Env, path: &PathBuf) -> Result<SecretKey, Error> {
    let wrong = |e: &dyn std::fmt::Display| Error::usage(path.display(), e).hint("minisign -G makes a key pair");
    let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
    SecretKey::read(&text, env.var("PKGSWARM_MINISIGN_PASSWORD")).map_err(|e| wrong(&e))
}

fn explained(settings: &Settings, e: PublishError) -> Error {
    let kind = match &e {
        PublishError::Package { .. } | PublishError::Database { .. } | PublishError::ReadBack { .. } => {
            ErrorKind::Corrupt
        }
        PublishError::NoRepo(_)
        | PublishError::Reserved(_)
        | PublishError::Twice(_)
        | PublishError::LeftOut(_)
        | PublishError::Arch { .. } => ErrorKind::Usage,
        PublishError::Follow(error) => followed(error),
        PublishError::Io { .. } => ErrorKind::Local,
        _ => ErrorKind::NoSource,
    };
    let error = match &e {
        PublishError::Kubo(fault) => Error::new(kind, "publish", fault.told(&settings.kubo_api)),
        PublishError::Follow(FollowError::Delivery(error)) => (**error).clone(),
        PublishError::Follow(FollowError::Nowhere { tried, .. }) => {
            tried.iter().fold(Error::new(kind, "publish", &e), |error, line| error.tried(format!("mirror  {line}")))
        }
        _ => Error::new(kind, "publish", &e),
    };
    match &e {
        PublishError::Kubo(_) => {
            error.hint("sudo systemctl start ipfs; or `--offline --out DIR`, which builds and signs without Kubo")
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
        PublishError::Package { .. } => error.hint("run repo-add again, or restore the file; nothing was published"),
        _ => error,
    }
}

/// Returns the kind of a failure to follow mirrors.
fn followed(error: &FollowError) -> ErrorKind {
    match error {
        FollowError::Delivery(error) => error.kind,
        FollowError::Local { .. } | FollowError::Memory { .. } => ErrorKind::Local,
        FollowError::Nowhere { .. } | FollowError::SetBack(_) | FollowError::Moving(_) => ErrorKind::NoSource,
        FollowError::Disagreement { .. }
        | FollowError::Changed { .. }
        | FollowError::Unproven { .. }
        | FollowError::Damaged { .. }
        | FollowError::Database { .. }
        | FollowError::Signature { .. } => ErrorKind::Corrupt,
    }
}

fn print(
    args: &PublishArgs,
    options: &PublishOptions,
    report: &PublishReport,
    minisign: Option<&PublicKey>,
    took: Duration,
) -> io::Result<()> {
    for warning in &report.warnings {
        report::say(&format!("warning: {warning}"));
    }
    let did = match report.did {
        Did::Published => "published",
        Did::Renewed => "renewed",
        Did::Unchanged => "unchanged",
    };
    let name = report.name.as_ref().map(ToString::to_string);
    let mut out = report::out();
    if args.json {
        let line = serde_json::json!({
            "did": did, "root": report.root.to_string(), "name": name, "sequence": report.sequence,
            "expires": report.expires, "files": report.files,
            "without_bytes": report.bare, "new_files": report.new_files, "sent": report.sent,
        });
        return writeln!(out, "{line}");
    }
    let files = format!("{}, {} new", counted(report.files, "file"), report.new_files);
    if report.bare > 0 {
        let packages = counted(report.bare, "package");
        report::say(&format!("{packages} without their bytes: the index has entries and root blocks"));
    }
    let sent = value::show_size(report.sent);
    let signer = minisign.map(|key| key.to_string());
    match (&name, &options.out) {
        (Some(name), _) => {
            report::say(&format!("{did}: {files}, {sent} sent to Kubo, in {} s", took.as_secs()));
            let also = signer.map(|key| format!(" --minisign {key}")).unwrap_or_default();
            report::say(&format!("users run: sudo pkgswarm index add NAME {name}{also}"));
        }
        (None, out) => {
            let out = out.as_deref().unwrap_or(Path::new(".")).display();
            let word = if report.did == Did::Unchanged { "unchanged" } else { "wrote" };
            report::say(&format!("{word}: {files}, in {out}; Kubo was not asked"));
            report::say(&match signer {
                Some(key) => {
                    format!(
                        "serve {out} over HTTP; users run: sudo pkgswarm index add NAME {key} --url https://HOST/PATH"
                    )
                }
                None => "without --minisign-key no user can prove a copy that comes over HTTP".to_owned(),
            });
        }
    }
    writeln!(out, "{}", name.unwrap_or_else(|| report.root.to_string()))
}

/// Progress bars, on a terminal, and the line about the disk cost, which is always printed.
struct Shown {
    bars: bool,
    now: RefCell<Option<(Phase, ProgressBar)>>,
}

impl Shown {
    fn at(&self, phase: Phase, done: u64, total: u64) {
        if phase == Phase::Cost {
            let (cost, free) = (value::show_size(done), value::show_size(total));
            report::say(&format!("Kubo will use {cost} more of the disk; {free} are free there"));
            return;
        }
        if !self.bars || total == 0 {
            return;
        }
        let mut now = self.now.borrow_mut();
        if now.as_ref().is_none_or(|(shown, _)| *shown != phase) {
            if let Some((_, old)) = now.take() {
                old.finish_and_clear();
            }
            let what = match phase {
                Phase::Fetch => "fetching packages",
                Phase::Scan => "reading databases",
                Phase::Hash => "computing CIDs",
                Phase::Cost | Phase::Upload => "handing blocks to Kubo",
                Phase::Check => "reading back",
            };
            let style = ProgressStyle::with_template("{msg} [{wide_bar}] {bytes}/{total_bytes} {eta}");
            let style = style.expect("the template is fixed and valid").progress_chars("#>-");
            *now = Some((phase, ProgressBar::new(total).with_style(style).with_message(what)));
        }
        if let Some((_, bar)) = &*now {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    fn clear(&self) {
        if let Some((_, bar)) = self.now.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}
