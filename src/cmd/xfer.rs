//! `pkgswarm xfer URL OUTPUT`: pacman's XferCommand.
//!
//! The contract (pacman 7.1.0, src/pacman/conf.c): one process a file, in series; exit 0 means that OUTPUT is
//! complete; anything else makes pacman sleep two seconds and go to the next server.
//!
//! [`hit::serve`] is asked here again, although the small program has asked it: that one leaves to this one all
//! calls of root and of root's child, and the first call of a run, which has to start the read-ahead. Their file
//! may be here all the same.
//!
//! Run by root, [`run`] is entered twice: root's process hands the work over ([`handover::through`]), and its
//! child, which has a [`Giver`], does it.

use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use crate::base::env::{AHEAD, Env, HANDOVER};
use crate::base::error::{Error, ErrorKind};
use crate::base::interrupt;
use crate::base::runtime;
use crate::cmd::cli::XferArgs;
use crate::config::Settings;
use crate::engine::deliver::{Candidate, Obtained, Purpose, Receipt};
use crate::engine::hub::{self, Hub};
use crate::engine::want::{self, Want};
use crate::lists::pacman::caller;
use crate::lists::system::NameKind;
use crate::machine::call::Call;
use crate::machine::lists::Lists;
use crate::pacman::ahead;
use crate::pacman::background;
use crate::pacman::database::{database, is_forced, signature};
use crate::pacman::handover::{self, Arrival, Giver, HandoverTarget};
use crate::pacman::hit;
use crate::pacman::prefetch::kept;
use crate::report::columns::Paper;
use crate::report::{self, Delivered, ProgressBars};
use crate::store::journal::By;
use crate::trust::output::Output;

/// Runs the command.
pub(crate) fn run(env: &Env, settings: &Settings, args: &XferArgs) -> anyhow::Result<u8> {
    let name = want::name_of(&args.url)?;
    if env.var(AHEAD).is_some() {
        return Err(Error::usage(name, "pacman was only asked for its list, and fetches nothing then").into());
    }
    if caller::is_parent_pacman() && !caller::end_with(env.parent) {
        return Ok(ErrorKind::Interrupted.status());
    }
    if let Some(giver) = Giver::of(env) {
        return run_here(env, settings, args, |obtained, name, closing| giver.give(0, name, &obtained, None, closing));
    }
    let paper = Paper::of(std::io::stderr(), env);
    let say = |delivered: Delivered<'_>, closing: Option<&str>| {
        let lines = std::iter::once(delivered.on(paper)).chain(closing.map(|it| report::closing(it, paper)));
        report::say_lines(&lines.collect::<Vec<_>>().join("\n"));
    };
    // Root's own line: under the name in the URL, whatever its child calls the file.
    let tell = |arrival: &Arrival<'_>| {
        let origin = arrival.message.origin();
        say(arrival.message.delivered(name.as_str(), &origin, ahead::STORED), arrival.message.closing());
        Ok(())
    };
    let settings = if env.is_root() { &*handover::going_on(settings) } else { settings };
    if env.is_root() {
        settings.mistakes.iter().for_each(|it| handover::say_once(env, &format!("warning: {it}")));
    }
    let target = HandoverTarget::At(Output::at(&args.output)?, &tell);
    handover::through(env, settings, &target, |settings| {
        run_here(env, settings, args, |obtained, name, closing| {
            obtained.place(&Output::at(&args.output)?)?;
            say(obtained.delivered(name, ahead::STORED), closing.as_deref());
            Ok(())
        })
    })
}

/// Fetches the file and hands it over with its name, and with the sentence that closes the run; records a ^C,
/// whenever it came.
fn run_here(
    env: &Env,
    settings: &Settings,
    args: &XferArgs,
    hand_over: impl FnOnce(Obtained, &str, Option<String>) -> Result<(), Error>,
) -> anyhow::Result<u8> {
    let begun = Instant::now();
    let name = want::name_of(&args.url)?;
    let beside = args.output.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let call = Call::open(env, settings, beside)?.placing();
    let bars = ProgressBars::new(settings.progress);
    let bars = Rc::new(match ahead::rest(&call) {
        Some(rest) => bars.with_rest(rest),
        None => bars,
    });
    let mut call = call.telling(Rc::<ProgressBars>::clone(&bars));
    if interrupt::came() {
        call.cancel.cancel();
    }
    // Root's own process has said it.
    if !env.is_root() && env.var(HANDOVER).is_none() {
        call.warn_of_mistakes();
    }
    super::say_warnings(&call.lists);
    let done = if call.is_interrupted() {
        // Valid while pacman runs; for a shell the record would never expire.
        if call.pacman_run.caller.is_some() {
            call.interrupted();
        }
        let why = "you interrupted this pacman run; nothing more is fetched in it";
        Err(Error::new(ErrorKind::Interrupted, &name, why))
    } else {
        // Before any look-up here: reading ahead begins by asking pacman, which takes as long.
        ahead::start(&call, &name);
        match hit::serve(&call, &args.url) {
            Some(served) => {
                served.note(&call.machine, begun);
                Ok(served.obtained)
            }
            None => {
                let cancel = call.cancel.clone();
                runtime::run(&cancel, bars.while_shown(fetch(&mut call, &args.url, &args.output, begun)))
            }
        }
        .and_then(|obtained| {
            super::say_warnings(&call.lists);
            let closing = ahead::handed_out(&call, &name, &obtained);
            hand_over(obtained, name.as_str(), closing)
        })
    };
    super::say_warnings(&call.lists);
    if interrupt::came() {
        call.interrupted();
    }
    done?;
    Ok(0)
}

/// Fetches a file that [`hit::serve`] did not find, writes down the receipt, and starts what is due after it.
async fn fetch(call: &mut Call, url: &str, into: &Path, begun: Instant) -> Result<Obtained, Error> {
    let mut want = Want::of(&call.lists, url)?;
    super::say_warnings(&call.lists);
    // It may have come while pacman was asked about its lists.
    if interrupt::came() {
        call.cancel.cancel();
    }
    if let Some(text) = &want.plan.disagreement {
        report::warn(std::slice::from_ref(text));
    }
    if call.health.is_lost(want.name.as_str()) {
        // pacman goes from server to server, and all of them were asked the first time.
        want.candidates = vec![Candidate::of_url(&want::parse(url)?)?];
    }
    let is_refresh = want.kind() == NameKind::Database;
    // One file, and one listener.
    let hub = Hub::new(1, call.cancel.clone());
    let mut receipt = Receipt::default();
    let obtained = match want.kind() {
        NameKind::Database => {
            let forced = is_forced(call);
            database(call, &want, url, forced).await.noted_in(&mut receipt)
        }
        NameKind::DatabaseSignature => signature(call, &mut want, Some(into)).await.noted_in(&mut receipt),
        _ => match ahead::deliver_or_take(&hub, call, &want).await.noted_in(&mut receipt) {
            Ok(obtained) => Ok(obtained),
            Err(error) if error.kind == ErrorKind::Corrupt && want.doubt.is_some() => {
                doubted(&hub, call, &want, error, &mut receipt).await
            }
            Err(error) => kept::at_last(call, &want, &error).ok_or_else(|| hinted(&call.lists, &want, error)),
        },
    };
    if obtained.as_ref().is_err_and(|error| matches!(error.kind, ErrorKind::NoSource | ErrorKind::Corrupt)) {
        call.health.lost(want.name.as_str());
        call.health.save();
    }
    super::say_receipt(&call.machine.env, &receipt);
    let delivered = obtained.as_ref().ok().map(|obtained| obtained.accepted.size());
    let repo = want.repo.as_ref().map(|repo| &repo.name);
    background::note(&call.machine, By::Xfer, (repo, &want.name), delivered, begun, &receipt);
    let obtained = obtained?;
    background::after(call, &receipt, is_refresh);
    Ok(obtained)
}

/// Fetches the file without an expectation, after it did not fit the list of another repository: its own list could
/// not be read.
async fn doubted(
    hub: &Hub,
    call: &mut Call,
    want: &Want,
    error: Error,
    receipt: &mut Receipt,
) -> Result<Obtained, Error> {
    let Some(doubted) = want.doubted() else { return Err(error) };
    hub::deliver(hub, call, doubted.order(), Purpose::Caller).await.noted_in(receipt).map_err(|_| error)
}

/// Adds the command that goes back to the mirrors' databases, when the database in use is a snapshot ahead of
/// them.
fn hinted(lists: &Lists, want: &Want, error: Error) -> Error {
    let table = want.repo.as_ref().and_then(|repo| lists.snapshot_table(&repo.name));
    if error.kind != ErrorKind::NoSource || !table.is_some_and(|table| table.exists()) {
        return error;
    }
    error.hint("its database is an index's, newer than the mirrors'; `pacman -Syy` goes back to theirs")
}
