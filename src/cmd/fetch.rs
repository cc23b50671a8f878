//! `pkgswarm fetch WHAT…`: files by name, package, digest, CID or URL, into a directory, a file or standard output.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use crate::base::cid::Cid;
use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind};
use crate::base::fsx::FromStart;
use crate::base::name::FileName;
use crate::base::runtime;
use crate::cmd::cli::{FetchArgs, SourceArg};
use crate::cmd::hpkg::FoundHpkg;
use crate::config::Settings;
use crate::dag::build::build;
use crate::engine::address::Address;
use crate::engine::asked::{AskedFile, Meaning, OnlyFrom};
use crate::engine::deliver::{Delivery, Obtained, Receipt};
use crate::engine::hub::Hub;
use crate::engine::source::SourceKind;
use crate::engine::want;
use crate::lists::haiku;
use crate::machine::call::Call;
use crate::machine::lists;
use crate::pacman::background;
use crate::pacman::handover::{self, Arrival, Giver, HandoverTarget, Tell};
use crate::report::columns::Paper;
use crate::report::{self, ProgressBars};
use crate::store::journal::By;
use crate::store::journal::FileOrigin;
use crate::trust::output::Output;

mod archived;

use archived::SoughtFile;

/// The words for a file that the store had.
const STORED: &str = "fetched earlier";

/// Runs the command. Every WHAT is tried; the first failure decides the exit status.
pub(crate) fn run(env: &Env, settings: &Settings, args: &FetchArgs) -> anyhow::Result<u8> {
    if args.output.is_some() && args.what.len() > 1 {
        return Err(Error::usage("--output", "takes one file").hint("use --directory for several").into());
    }
    let tell = |arrival: &Arrival<'_>| told(env, args, arrival);
    handover::through(env, settings, &target(args, &tell)?, |settings| run_here(env, settings, args))
}

/// Fetches as the user that this process is.
fn run_here(env: &Env, settings: &Settings, args: &FetchArgs) -> anyhow::Result<u8> {
    let giver = Giver::of(env);
    let bars = Rc::new(ProgressBars::new(settings.progress));
    let mut call = Call::open(env, settings, beside(args))?.telling(Rc::<ProgressBars>::clone(&bars));
    if !is_to_stdout(args) {
        call = call.placing();
    }
    let (mut first_failure, mut all) = (None, Receipt::default());
    for asked in 0..args.what.len() {
        match one(&bars, &mut call, args, asked, giver.as_ref(), &mut all) {
            Ok(()) => {}
            Err(e) if args.what.len() == 1 => return Err(e),
            Err(e) => {
                report::complain(&super::report(&e));
                first_failure.get_or_insert(super::status(&e));
            }
        }
        // The user has stopped the command, not one file of it.
        if call.cancel.is_cancelled() {
            break;
        }
    }
    background::after(&call, &all, false);
    Ok(first_failure.unwrap_or(0))
}

fn is_to_stdout(args: &FetchArgs) -> bool {
    args.output.as_deref() == Some(Path::new("-"))
}

/// Returns the directory that files will be in.
fn beside(args: &FetchArgs) -> &Path {
    let parent = args.output.as_deref().filter(|_| !is_to_stdout(args)).and_then(Path::parent);
    match parent {
        Some(dir) if dir.as_os_str().is_empty() => Path::new("."),
        Some(dir) => dir,
        None => &args.directory,
    }
}

/// Returns the place where root puts its child's files. The child resolves names, so root opens the directory and
/// not the files.
fn target<'a>(args: &FetchArgs, tell: &'a Tell<'a>) -> Result<HandoverTarget<'a>, Error> {
    match args.output.as_deref() {
        // The child writes to standard output itself.
        Some(path) if path == Path::new("-") => Ok(HandoverTarget::Nowhere),
        Some(path) => Ok(HandoverTarget::At(Output::at(path)?, tell)),
        None => {
            let dir = &args.directory;
            std::fs::metadata(dir)
                .ok()
                .filter(std::fs::Metadata::is_dir)
                .ok_or_else(|| Error::local(dir.display(), "is not a directory").hint("mkdir it first"))?;
            Ok(HandoverTarget::In(dir.clone(), args.what.iter().map(|what| name_in(what)).collect(), tell))
        }
    }
}

/// Returns the file name that stands in a WHAT: the last part of a URL or a path, else all of it.
fn name_in(what: &str) -> String {
    match Address::parse(what) {
        Some(Ok(address)) => address.name(),
        _ => want::name_of(what).map_or_else(|_| what.to_owned(), |name| name.as_str().to_owned()),
    }
}

/// Reports a file that root has placed, in root's own words: from the child's message it uses only the source.
fn told(env: &Env, args: &FetchArgs, arrival: &Arrival<'_>) -> Result<(), Error> {
    let (message, what) = (arrival.message, args.what[arrival.message.asked()].as_str());
    // For an output under another name, the child alone knows the file's own name.
    let is_of_package = |name: &FileName| lists::read(name).package.is_some() || haiku::is_file(name);
    let is_package = message.name().is_some_and(|name| is_of_package(&name));
    let name = if is_package { arrival.name.to_owned() } else { name_in(what) };
    let origin = message.origin();
    if !args.json {
        let delivered = message.delivered(&name, &origin, STORED);
        report::say_lines(&delivered.on(Paper::of(io::stderr(), env)));
        return Ok(());
    }
    let path = output_path(args, &name);
    // Below a CID, only the child knows the CID of the file.
    let cid = match Address::parse(what) {
        Some(Ok(address)) if address.path.is_empty() => Some(address.cid),
        _ => message.cid(),
    };
    let line = json(what, &name, arrival.file, cid, &origin, message.waiver(), path.as_deref());
    say_json(&line.map_err(|e| Error::local(&name, e))?);
    Ok(())
}

/// Returns the path of a file; none for standard output.
fn output_path(args: &FetchArgs, name: &str) -> Option<PathBuf> {
    match (&args.output, is_to_stdout(args)) {
        (_, true) => None,
        (Some(path), _) => Some(path.clone()),
        (None, _) => Some(args.directory.join(name)),
    }
}

/// Fetches the WHAT of this number, from 0, and puts it where it belongs. Its receipt is added to `all`.
fn one(
    bars: &ProgressBars,
    call: &mut Call,
    args: &FetchArgs,
    asked: usize,
    giver: Option<&Giver>,
    all: &mut Receipt,
) -> anyhow::Result<()> {
    let (begun, what) = (Instant::now(), args.what[asked].as_str());
    // What was current on a day is a question about indexes alone.
    let hpkg = if args.as_of.is_some() { None } else { FoundHpkg::of(call, what)? };
    let cancel = call.cancel.clone();
    let sought = if hpkg.is_some() { None } else { Some(SoughtFile::of(call, args, what)) };
    let hint = sought.iter().flatten().find_map(SoughtFile::hint);
    let meaning = sought.map(|sought| sought.map(|sought| sought.meaning));
    let disagreement = meaning.iter().flatten().find_map(Meaning::disagreement).map(str::to_owned);
    report::warn(&disagreement.into_iter().chain(hpkg.as_ref().and_then(FoundHpkg::warning)).collect::<Vec<_>>());
    super::say_warnings(&call.lists);
    let hub = Hub::new(1, cancel.clone());
    let obtaining = Delivery::of(async |receipt: &mut Receipt| match (hpkg, meaning) {
        (Some(hpkg), _) => hpkg.obtain(&hub, call, args.source.map(only), receipt).await,
        (None, meaning) => meaning.expect("one of them")?.obtain(&hub, call, args.source.map(only), receipt).await,
    });
    let Delivery { result: got, receipt } = runtime::run(&cancel, bars.while_shown(obtaining));
    super::say_warnings(&call.lists);
    super::say_receipt(&call.machine.env, &receipt);
    let name = got.as_ref().map_or(what, |got| &got.name);
    if let Ok(name) = FileName::new(name) {
        let delivered = got.as_ref().ok().map(|got| got.obtained.accepted.size());
        background::note(&call.machine, By::Fetch, (None, &name), delivered, begun, &receipt);
    }
    all.add(receipt);
    let AskedFile { name, obtained, cid } = got.map_err(|error| match hint {
        Some(hint) if error.kind == ErrorKind::NoSource => error.hint(hint),
        _ => error,
    })?;
    let path = output_path(args, &name);
    match (&path, giver) {
        (None, _) => to_standard_output(&obtained)?,
        (Some(_), Some(giver)) => return Ok(giver.give(asked, &name, &obtained, cid, None)?),
        (Some(path), None) => obtained.place(&Output::at(path)?)?,
    }
    if args.json {
        say_json(&json(what, &name, &obtained.file, cid, &obtained.from, obtained.waiver(), path.as_deref())?);
    } else {
        report::say_lines(&obtained.delivered(&name, STORED).on(Paper::of(io::stderr(), &call.machine.env)));
    }
    Ok(())
}

fn only(source: SourceArg) -> OnlyFrom {
    match source {
        SourceArg::Here => OnlyFrom::Here,
        SourceArg::Lan => OnlyFrom::Source(SourceKind::Lan),
        SourceArg::Kubo => OnlyFrom::Source(SourceKind::Kubo),
        SourceArg::Gateway => OnlyFrom::Source(SourceKind::Gateway),
        SourceArg::Mirror => OnlyFrom::Source(SourceKind::Mirror),
    }
}

fn say_json(line: &str) {
    // A closed pipe is the reader's choice.
    drop(writeln!(report::out(), "{line}"));
}

fn to_standard_output(obtained: &Obtained) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut buffer = vec![0; 256 * 1024];
    let mut at = 0;
    while at < obtained.accepted.size() {
        let got = obtained.file.read_at(&mut buffer, at)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.write_all(&buffer[..got])?;
        at += got as u64;
    }
    out.flush()
}

/// Prints one object about a file. Its CID is the one that was asked for: other shapes of the same bytes have
/// others.
fn json(
    what: &str,
    name: &str,
    file: &File,
    cid: Option<Cid>,
    from: &FileOrigin,
    waiver: Option<&str>,
    path: Option<&Path>,
) -> io::Result<String> {
    let built = build(FromStart::of(file))?;
    let line = serde_json::json!({
        "what": what,
        "name": name,
        "size": built.size,
        "sha256": built.sha256,
        "cid": cid.unwrap_or(built.root).to_string(),
        "from": from.to_string(),
        "waiver": waiver,
        "path": path.map(|path| path.to_string_lossy()),
    });
    Ok(line.to_string())
}
