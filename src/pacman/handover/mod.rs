//! Root handles no foreign bytes: a child that has dropped to an unprivileged user does everything with them and
//! with the store, and hands over an open file; root copies it, proves the copy and places it.
//!
//! Root never opens a file of the store, parses no input from outside, and runs no network code. The child gets no
//! file of root's to write to, and no file that it could write to gets a name of root's. Root prints its messages
//! for people under a name that root knows. Tests: `tests/cases/root.rs`.
//!
//! Where the kernel lets root become no other user (`EPERM`, `EINVAL`: containers, user namespaces), this process
//! does the work itself and says so once; `hands` decides.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::base::cid::Cid;
use crate::base::clock;
use crate::base::env::{BESIDE, Env, HANDOVER};
use crate::base::error::{Error, ErrorKind};
use crate::base::fsx::{self, LITTLE_ROOM};
use crate::base::interrupt;
use crate::base::program;
use crate::base::users::{self, User};
use crate::config::Settings;
use crate::engine::deliver::Obtained;
use crate::net::socket;
use crate::trust::output::Output;
use crate::trust::verify::{self, Accepted};

mod hands;
mod message;
mod once;
mod receive;

pub(crate) use hands::{Hands, going_on, hands};
pub use message::Message;
pub use once::say_once;

/// The place where root puts the files.
pub enum HandoverTarget<'a> {
    /// One file; the function reports its arrival.
    At(Output, &'a Tell<'a>),
    /// Files in a directory, of which these names were asked for, in this order; the function reports each
    /// arrival.
    In(PathBuf, Vec<String>, &'a Tell<'a>),
    /// No file comes: the child works for itself, in the store and the state.
    Nowhere,
    /// No file comes, and none is made: the child only reads.
    Looking,
}

/// A function that reports a placed file.
pub(crate) type Tell<'a> = dyn Fn(&Arrival<'_>) -> Result<(), Error> + 'a;

/// A file that root has placed.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// The child's message about it.
    pub(crate) message: &'a Message,
    /// Its name: the one that it has in a directory, else the one in the message.
    pub(crate) name: &'a str,
    /// Its bytes, proven.
    pub(crate) file: &'a File,
}

/// The child's end: it hands files over instead of placing them.
pub(crate) struct Giver(OwnedFd);

impl Giver {
    /// Returns the channel of a child of root, if this process is one: its standard input is then a socket.
    pub(crate) fn of(env: &Env) -> Option<Self> {
        if env.is_root() || env.var(HANDOVER).is_none() {
            return None;
        }
        // After kill -9 root cannot end its child; the kernel does. (Set here, because the change of user clears
        // it: prctl(2), PR_SET_PDEATHSIG.)
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        // From here on no set-uid program can restore privileges.
        let _ = rustix::thread::set_no_new_privs(true);
        std::io::stdin().as_fd().try_clone_to_owned().ok().map(Self)
    }

    /// Hands over the file that was asked for as number `asked`, from 0, and by this CID; `closing` is the sentence
    /// that closes the run.
    ///
    /// # Errors
    /// `Local` when it cannot be read, or root has stopped listening.
    pub(crate) fn give(
        &self,
        asked: usize,
        name: &str,
        obtained: &Obtained,
        cid: Option<Cid>,
        closing: Option<String>,
    ) -> Result<(), Error> {
        let failed = |e: &dyn std::fmt::Display| Error::local("handover", format!("cannot hand the file to root: {e}"));
        let (sha256, size, waiver) = match obtained.accepted {
            Accepted::Proven(proof) => (proof.sha256(), proof.size(), None),
            Accepted::Waived(waived) => {
                let sha256 = verify::digest(&obtained.file, obtained.accepted.size()).map_err(|e| failed(&e))?;
                (sha256, obtained.accepted.size(), Some(waived.why()))
            }
        };
        let modified = obtained.modified.and_then(clock::checked_unix);
        let (name, from, stored) = (name.to_owned(), obtained.from.to_lines(), obtained.from.is_stored);
        let cid = cid.map(|cid| cid.to_string());
        let spent = obtained.loose.is_some();
        let message = Message { asked, name, sha256, size, waiver, modified, from, stored, closing, cid, spent };
        let line = message.cut().to_line();
        socket::send(&self.0, &line, Some(&obtained.file)).map_err(|e| failed(&e))
    }
}

/// Leaves the work of `here` to a child where root runs this, and places the files that it hands over. Does it
/// here for any other user, where `download.user` is root, and where the kernel lets root become no other user.
/// Returns the exit status.
///
/// `here` gets the settings to use.
///
/// # Errors
/// Those of [`run`] and of `here`.
pub(crate) fn through<E: From<Error>>(
    env: &Env,
    settings: &Settings,
    target: &HandoverTarget<'_>,
    here: impl FnOnce(&Settings) -> Result<u8, E>,
) -> Result<u8, E> {
    if !env.is_root() {
        return here(settings);
    }
    match run(env, settings, env.words(), target)? {
        Handed::Done(status) => Ok(status),
        Handed::Back(settings) => here(&settings),
    }
}

/// The result of handing the work over.
#[derive(Debug)]
pub(crate) enum Handed {
    /// A child did it, and ended with this status. It has printed all messages on stderr.
    Done(u8),
    /// Root has to do it itself, with these settings.
    Back(Box<Settings>),
}

/// Runs this program again as an unprivileged user with the arguments `words`, and places the files that it hands
/// over.
///
/// # Errors
/// `Usage` when `download.user` does not exist; `Local` when the child cannot be run, or a file cannot be placed.
/// Trying again does not help.
pub(crate) fn run(
    env: &Env,
    settings: &Settings,
    words: &[OsString],
    target: &HandoverTarget<'_>,
) -> Result<Handed, Error> {
    let Hands::Of(user) = hands(settings)? else { return Ok(Handed::Back(Box::new(settings.clone()))) };
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|e| Error::local("handover", e))?;
    let mut command = child_command(env, words);
    command.stdin(Stdio::from(theirs));
    let beside = beside(target, settings, user);
    if let Some(dir) = &beside {
        command.env(BESIDE, dir.path());
    }
    // A ^C, which the terminal sends to both, waits until the child can record it and keep the partial file; its
    // status shows it. Root dying at once would take the child along before that.
    interrupt::hold();
    let child = start_as(user, settings, matches!(target, HandoverTarget::Looking), command);
    let _heeding = interrupt::listen();
    let Some(mut child) = child? else {
        say_once(env, &as_is_line(user));
        return Ok(Handed::Back(Box::new(hands::as_is(settings))));
    };
    if interrupt::came() {
        // It came before there was a child: a pending signal is not inherited (fork(2)).
        let _ = rustix::process::kill_process(Pid::from_child(&child), Signal::INT);
    }
    let placed = receive::all(&ours, target);
    // A child that has more to send than was read must not wait for a reader.
    drop(ours);
    let failed = |what: String| Error::local("handover", format!("the unprivileged child {what}"));
    let status = child.wait().map_err(|e| failed(format!("cannot be waited for: {e}")))?;
    let placed = placed?;
    match (status.code(), status.signal()) {
        (Some(0), _) if placed == 0 && matches!(target, HandoverTarget::At(..)) => {
            Err(failed("handed nothing over".to_owned()))
        }
        (Some(code), _) => Ok(Handed::Done(u8::try_from(code).unwrap_or(ErrorKind::Local.status()))),
        (None, Some(signal)) if signal == Signal::INT.as_raw() => Ok(Handed::Done(ErrorKind::Interrupted.status())),
        (None, signal) => Err(failed(format!("was killed by signal {}", signal.unwrap_or(0)))),
    }
}

/// Runs this program again as an unprivileged user with the arguments `words`, and returns its output. The store
/// and the state are made where they are missing, unless it only reads. Where root does the work itself, it runs
/// as root.
///
/// # Errors
/// `Local` when the child cannot be run, or printed more than a line of a MiB. Its exit status adds nothing.
pub(crate) fn hear(env: &Env, settings: &Settings, words: &[OsString], only_looks: bool) -> Result<String, Error> {
    let failed = |e: &dyn std::fmt::Display| Error::local("handover", format!("the unprivileged child: {e}"));
    let command = || {
        let mut command = child_command(env, words);
        command.stdin(program::nowhere()).stdout(Stdio::piped());
        command
    };
    let child = match hands(settings)? {
        Hands::Of(user) => start_as(user, settings, only_looks, command())?,
        Hands::Own => None,
    };
    let mut child = child.map_or_else(|| command().spawn().map_err(|e| failed(&e)), Ok)?;
    let mut text = String::new();
    let mut stdout = child.stdout.take().expect("piped").take(1 << 20);
    let read = stdout.read_to_string(&mut text);
    drop(stdout);
    child.wait().map_err(|e| failed(&e))?;
    read.map_err(|e| failed(&e))?;
    Ok(text)
}

/// Makes the command that runs this program with other arguments, for the same pacman.
fn child_command(env: &Env, words: &[OsString]) -> Command {
    let mut command = Command::new(crate::base::env::itself());
    command.args(words).env(HANDOVER, env.parent.to_string()).env_remove("HOME");
    command
}

/// Starts `command` as `user`. `None` when the kernel lets this process become no such user.
fn start_as(user: User, settings: &Settings, only_looks: bool, mut command: Command) -> Result<Option<Child>, Error> {
    // Files are kept only for a user with a name.
    let made = if only_looks || users::is_stray(user.uid) { Vec::new() } else { make_store(settings, user) };
    command.gid(user.gid).uid(user.uid);
    command.spawn().map(Some).or_else(|e| {
        let errno = Errno::from_io_error(&e);
        if matches!(errno, Some(Errno::PERM | Errno::INVAL)) && hands::refusal(user).is_some() {
            made.iter().for_each(|dir| drop(std::fs::remove_dir(dir)));
            return Ok(None);
        }
        let error = Error::local("download.user", format!("cannot run as user {}: {e}", user.uid));
        Err(if errno == Some(Errno::ACCESS) {
            error.hint("the program must be executable for that user")
        } else {
            error
        })
    })
}

/// Makes a directory of the child's own beside the target of its files, where it has no store, or one on another
/// disk that is full. It is removed on drop.
fn beside(target: &HandoverTarget<'_>, settings: &Settings, user: User) -> Option<TempDir> {
    let dir = match target {
        HandoverTarget::At(output, _) => output.dir(),
        HandoverTarget::In(dir, ..) => dir,
        HandoverTarget::Nowhere | HandoverTarget::Looking => return None,
    };
    let store = settings.store_dir.as_ref().filter(|_| !users::is_stray(user.uid));
    let has_room = store.is_some_and(|store| {
        let disk = |path: &Path| rustix::fs::stat(path).map(|stat| stat.st_dev).ok();
        disk(store).is_none_or(|of_store| disk(dir) == Some(of_store)) || fsx::room(store) >= LITTLE_ROOM
    });
    let made = (!has_room).then(|| tempfile::Builder::new().prefix(fsx::TEMPORARY).tempdir_in(dir).ok()).flatten()?;
    std::os::unix::fs::lchown(made.path(), Some(user.uid), Some(user.gid)).ok()?;
    Some(made)
}

/// Returns the warning that root does the work itself.
fn as_is_line(user: User) -> String {
    format!(
        "warning: root cannot become user {} here, so root itself processes what is downloaded; set download.user = \
         \"root\" where that is intended",
        user.uid
    )
}

/// Makes the store's and the state's directory for `user` where tmpfiles.d did not: root does nothing else there.
/// Returns those that it made.
fn make_store(settings: &Settings, user: User) -> Vec<PathBuf> {
    let mut made = Vec::new();
    for dir in settings.store_dir.iter().chain([&settings.state_dir]) {
        if rustix::fs::mkdir(dir, rustix::fs::Mode::from(0o755)).is_ok() {
            let (uid, gid) = (rustix::fs::Uid::from_raw(user.uid), rustix::fs::Gid::from_raw(user.gid));
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            match rustix::fs::chownat(rustix::fs::CWD, dir, Some(uid), Some(gid), flags) {
                Ok(()) => made.push(dir.clone()),
                // A directory of root's would be in the way of the user that it should belong to.
                Err(_) => drop(std::fs::remove_dir(dir)),
            }
        }
    }
    made
}
