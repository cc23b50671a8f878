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
use crate::config::Settings;
use crate::dag::build::build;
use crate::engine::address::{Address, AddressError};
use crate::engine::content::content;
use crate::engine::deliver::{Candidate, Delivery, Obtained, Purpose, Receipt};
use crate::engine::find::{self, FoundFile};
use crate::engine::hub::{self, Hub};
use crate::engine::source;
use crate::engine::want::{self, Want};
use crate::machine::Machine;
use crate::machine::call::Call;
use crate::machine::lists;
use crate::pacman::background;
use crate::pacman::handover::{self, Arrival, Giver, HandoverTarget, Tell};
use crate::report::columns::Paper;
use crate::report::{self, ProgressBars};
use crate::store::journal::By;
use crate::store::journal::FileOrigin;
use crate::trust::output::Output;

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

/// The result for one WHAT: its name, its bytes, and the CID that was asked for.
struct Got {
    name: String,
    obtained: Obtained,
    cid: Option<Cid>,
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
    let is_package = message.name().is_some_and(|name| lists::read(&name).package.is_some());
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
    let (meaning, cancel) = (meaning(call, what), call.cancel.clone());
    super::say_warnings(&call.lists);
    let hub = Hub::new(1, cancel.clone());
    let obtaining = Delivery::of(async |receipt: &mut Receipt| obtain(&hub, call, args, meaning?, receipt).await);
    let Delivery { result: got, receipt } = runtime::run(&cancel, bars.while_shown(obtaining));
    super::say_warnings(&call.lists);
    super::say_receipt(&call.machine.env, &receipt);
    let name = got.as_ref().map_or(what, |got| &got.name);
    if let Ok(name) = FileName::new(name) {
        let delivered = got.as_ref().ok().map(|got| got.obtained.accepted.size());
        background::note(&call.machine, By::Fetch, (None, &name), delivered, begun, &receipt);
    }
    all.add(receipt);
    let Got { name, obtained, cid } = got?;
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

fn say_json(line: &str) {
    // A closed pipe is the reader's choice.
    drop(writeln!(report::out(), "{line}"));
}

/// The meaning of a WHAT.
enum Meaning {
    /// An address, and the file that a list has under its CID.
    Address(Address, Option<Want>),
    /// A file of a repository, or at a URL.
    File(Want),
}

/// Looks in the lists for the meaning of `what`. Asks pacman-conf at most, so a ^C simply ends the program (test
/// `between_two_files_of_a_fetch_it_ends_the_command`).
fn meaning(call: &Call, what: &str) -> Result<Meaning, Error> {
    let unfit = |e: AddressError| Error::usage(what, &e).hint(e.hint());
    let address = Address::parse(what).transpose().map_err(unfit)?;
    if let Some(address) = address.or_else(|| of_gateway(&call.machine, what)) {
        // A CID needs no list: a sync database that does not parse is no reason to fail here.
        let is_plain = address.path.is_empty();
        let found = if is_plain { find::by_cid(&call.lists, address.cid).unwrap_or(None) } else { None };
        let listed = found.and_then(|FoundFile { repo, name, exact }| {
            exact.map(|known| Want::planned(&call.lists, &repo, name, known.plan()))
        });
        return Ok(Meaning::Address(address, listed));
    }
    let want = if what.contains("://") {
        Want::of(&call.lists, what)?
    } else {
        let FoundFile { repo, name, exact } = find::find(&call.lists, what)?;
        match exact {
            Some(known) => Want::planned(&call.lists, &repo, name, known.plan()),
            None => Want::in_repo(&call.lists, &repo, name)?,
        }
    };
    if let Some(text) = &want.plan.disagreement {
        report::warn(std::slice::from_ref(text));
    }
    Ok(Meaning::File(want))
}

async fn obtain(
    hub: &Hub,
    call: &mut Call,
    args: &FetchArgs,
    meaning: Meaning,
    receipt: &mut Receipt,
) -> Result<Got, Error> {
    match meaning {
        Meaning::Address(address, listed) => by_address(hub, call, args, (&address, listed), receipt).await,
        Meaning::File(want) => {
            let (name, obtained) = wanted(hub, call, args, want, receipt).await?;
            Ok(Got { name, obtained, cid: None })
        }
    }
}

/// Returns the address in the URL of the local gateway, or of another one in use, so that its bytes are proven.
fn of_gateway(machine: &Machine, url: &str) -> Option<Address> {
    let url = reqwest::Url::parse(url).ok()?;
    let local = machine.asks_kubo().then(|| machine.settings.gateway_url());
    let others = machine.settings.gateway_urls().filter(|_| machine.asks_gateways());
    local.into_iter().chain(others).find_map(|gateway| Address::at_gateway(&url, &gateway))
}

/// Fetches the file with this CID: a file that a list names comes from its mirrors as well, any other from IPFS
/// alone.
async fn by_address(
    hub: &Hub,
    call: &mut Call,
    args: &FetchArgs,
    (address, listed): (&Address, Option<Want>),
    receipt: &mut Receipt,
) -> Result<Got, Error> {
    if let Some(want) = listed {
        match wanted(hub, call, args, want, receipt).await {
            Ok((name, obtained)) if has_cid(&obtained, address)? => {
                return Ok(Got { name, obtained, cid: Some(address.cid) });
            }
            Ok((name, _)) => {
                let cid = address.cid;
                let why = format!("{name}: an index lists it as {cid}, which is the CID of something else");
                receipt.warnings.push(why);
            }
            Err(e) if matches!(e.kind, ErrorKind::Interrupted | ErrorKind::Local) => return Err(e),
            Err(e) if !matches!(args.source, None | Some(SourceArg::Lan | SourceArg::Kubo | SourceArg::Gateway)) => {
                return Err(e);
            }
            // It may be on IPFS all the same, in blocks of another shape.
            Err(e) => return by_cid_alone(call, args, address, receipt).await.map_err(|_| e),
        }
    }
    by_cid_alone(call, args, address, receipt).await
}

async fn by_cid_alone(
    call: &mut Call,
    args: &FetchArgs,
    address: &Address,
    receipt: &mut Receipt,
) -> Result<Got, Error> {
    let forced = match args.source {
        None => None,
        Some(SourceArg::Kubo) => Some(source::SourceKind::Kubo),
        Some(SourceArg::Gateway) => Some(source::SourceKind::Gateway),
        Some(SourceArg::Lan) => Some(source::SourceKind::Lan),
        Some(_) => {
            let why = "a CID that no sync database and no index lists can come from lan, kubo or a gateway only";
            return Err(Error::usage("--source", why));
        }
    };
    let (cid, obtained) = content(call, address, forced).await.noted_in(receipt)?;
    Ok(Got { name: address.name(), obtained, cid: Some(cid) })
}

/// Returns true when the proven bytes have the requested CID: only an index states that a CID belongs to a sha256.
fn has_cid(obtained: &Obtained, address: &Address) -> Result<bool, Error> {
    let read = build(FromStart::of(&obtained.file)).map_err(|e| Error::local(address.name(), e))?;
    Ok((read.root.codec(), read.root.digest()) == (address.cid.codec(), address.cid.digest()))
}

async fn wanted(
    hub: &Hub,
    call: &mut Call,
    args: &FetchArgs,
    mut want: Want,
    receipt: &mut Receipt,
) -> Result<(String, Obtained), Error> {
    if let Some(source) = args.source {
        want.candidates.retain(|candidate| is_of(candidate, source));
        // For a file that the user names, peers may be asked even where the repository is not shared.
        if want.candidates.is_empty() {
            want.candidates = want::by_content(&call.machine, &want.plan);
            want.candidates.retain(|candidate| is_of(candidate, source));
        }
    }
    let purpose = match args.source {
        None | Some(SourceArg::Here) => Purpose::Caller,
        Some(_) => Purpose::Elsewhere { patience: None },
    };
    let obtained = hub::deliver(hub, call, want.order(), purpose).await.noted_in(receipt)?;
    Ok((want.name.as_str().to_owned(), obtained))
}

fn is_of(candidate: &Candidate, source: SourceArg) -> bool {
    match source {
        SourceArg::Here => false,
        SourceArg::Lan => matches!(candidate, Candidate::Lan(_)),
        SourceArg::Kubo => matches!(candidate, Candidate::Kubo(..)),
        SourceArg::Gateway => matches!(candidate, Candidate::Gateway(..)),
        SourceArg::Mirror => matches!(candidate, Candidate::Mirror(_) | Candidate::File(_)),
    }
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
