//! Root keeps its hands clean: a child that has dropped to an unprivileged user does everything with foreign bytes and
//! with the store, and hands over an open file; root copies it, proves the copy and places it.
//!
//! Root never opens anything in the store, parses nothing that came from outside, and runs no network code. The child
//! gets no file of root's to write to. Tests: `tests/cases/xfer_root.rs`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use rustix::process::{Pid, Signal};

use crate::config::Settings;
use crate::deliver::Obtained;
use crate::digest::Sha256;
use crate::env::{Env, HANDOVER};
use crate::error::{Error, ErrorKind};
use crate::fsx;
use crate::interrupt;
use crate::name::FileName;
use crate::output::Output;
use crate::program;
use crate::report;
use crate::users::{self, User};
use crate::verify::{self, Accepted, Waiver};

/// Longest message: one line of JSON.
const MOST: usize = 16 * 1024;

/// What the child says about a file that it hands over.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct HandoverMessage {
    /// Its name, for a target that is a directory.
    name: String,
    sha256: Sha256,
    size: u64,
    waiver: Option<Waiver>,
    /// Unix seconds.
    modified: Option<u64>,
    /// What to say once it is in its place.
    said: DeliveryNote,
}

impl HandoverMessage {
    /// Reads a message as it came; `None` when it makes no sense.
    pub fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// The message as it is sent.
    pub fn to_line(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("the message is plain data")
    }

    /// The name below a directory of root's; `None` for anything that could leave it.
    pub fn name(&self) -> Option<FileName> {
        FileName::new(&*self.name).ok()
    }

    /// The date that the file shall have; none where no clock shows it.
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified.and_then(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at)))
    }
}

/// What is said about a delivered file.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum DeliveryNote {
    /// A line for people, on stderr.
    Line(String),
    /// A line of JSON, on stdout.
    Json(String),
}

impl DeliveryNote {
    /// Says it.
    pub fn say(&self) {
        match self {
            DeliveryNote::Line(line) => report::say(line),
            // A closed pipe is the reader's choice.
            DeliveryNote::Json(line) => drop(writeln!(report::out(), "{line}")),
        }
    }
}

/// Where root puts what is handed over.
pub enum Target {
    /// One file.
    At(Output),
    /// Files in a directory, under their own names.
    In(PathBuf),
    /// Nothing comes: the child works for itself, in the store and the state.
    Nowhere,
    /// Nothing comes, and nothing is made: the child only looks.
    Looking,
}

/// The child's end: hands files over instead of placing them.
pub struct Giver(OwnedFd);

impl Giver {
    /// The channel of a child of root, if this process is one: its standard input is then a socket.
    pub fn of(env: &Env) -> Option<Self> {
        if env.is_root() || env.var(HANDOVER).is_none() {
            return None;
        }
        // Killed with kill -9, root cannot take its child along; the kernel does. (Set here, because the change of user
        // clears it: prctl(2), PR_SET_PDEATHSIG.)
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        // From here on no set-uid program can give anything back.
        let _ = rustix::thread::set_no_new_privs(true);
        std::io::stdin().as_fd().try_clone_to_owned().ok().map(Self)
    }

    /// Hands one file over.
    pub fn give(&self, name: &str, obtained: &Obtained, said: DeliveryNote) -> Result<(), Error> {
        let failed = |e: &dyn std::fmt::Display| Error::local("handover", format!("cannot hand the file to root: {e}"));
        let (sha256, size, waiver) = match obtained.accepted {
            Accepted::Proven(proof) => (proof.sha256(), proof.size(), None),
            Accepted::Waived(waived) => {
                let sha256 = verify::digest(&obtained.file, obtained.accepted.size()).map_err(|e| failed(&e))?;
                (sha256, obtained.accepted.size(), Some(waived.why()))
            }
        };
        let modified = obtained.modified.and_then(|at| Some(at.duration_since(UNIX_EPOCH).ok()?.as_secs()));
        let message = HandoverMessage { name: name.to_owned(), sha256, size, waiver, modified, said };
        let line = message.to_line();
        let files = [obtained.file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&files));
        rustix::net::sendmsg(&self.0, &[IoSlice::new(&line)], &mut control, SendFlags::NOSIGNAL)
            .map_err(|e| failed(&e))?;
        Ok(())
    }
}

/// Runs this program again as an unprivileged user with the arguments `words`, and places what it hands over.
///
/// Returns the child's exit status; the child has said on stderr what there was to say.
pub fn run(env: &Env, settings: &Settings, words: &[OsString], target: &Target) -> Result<u8, Error> {
    let user = unprivileged_user(settings)?;
    if !matches!(target, Target::Looking) {
        make_store(settings, user);
    }
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|e| Error::local("handover", e))?;
    // A ^C, which the terminal sends to both, waits until the child is there to take note of it and to keep what has
    // arrived; its status says so. Root dying at once would take the child along before that.
    interrupt::hold();
    let child = Command::new(crate::env::itself())
        .args(words)
        .env(HANDOVER, env.parent.to_string())
        .env_remove("HOME")
        .stdin(Stdio::from(theirs))
        .gid(user.gid)
        .uid(user.uid)
        .spawn();
    interrupt::listen();
    let mut child = child.map_err(|e| {
        Error::local("download.user", format!("cannot run as user {}: {e}", user.uid))
            .hint("the program must be executable for that user")
    })?;
    if interrupt::came() {
        // Before there was a child: a signal that waits is not inherited (fork(2)).
        let _ = rustix::process::kill_process(Pid::from_child(&child), Signal::INT);
    }
    let placed = receive(&ours, target);
    // A child that has more to say than was taken must not wait for a reader.
    drop(ours);
    let failed = |what: String| Error::local("handover", format!("the unprivileged child {what}"));
    let status = child.wait().map_err(|e| failed(format!("cannot be waited for: {e}")))?;
    let placed = placed?;
    match (status.code(), status.signal()) {
        (Some(0), _) if placed == 0 && matches!(target, Target::At(_)) => Err(failed("handed nothing over".to_owned())),
        (Some(code), _) => Ok(u8::try_from(code).unwrap_or(ErrorKind::Local.status())),
        (None, Some(signal)) if signal == Signal::INT.as_raw() => Ok(ErrorKind::Interrupted.status()),
        (None, signal) => Err(failed(format!("was killed by signal {}", signal.unwrap_or(0)))),
    }
}

/// Runs this program again as an unprivileged user with the arguments `words`, and returns what it printed. The store and
/// the state are made where they are missing, unless it only looks.
///
/// # Errors
/// `Local` when the child cannot be run, or printed more than a line of a MiB. Its exit status says nothing more.
pub fn hear(env: &Env, settings: &Settings, words: &[OsString], only_looks: bool) -> Result<String, Error> {
    let user = unprivileged_user(settings)?;
    if !only_looks {
        make_store(settings, user);
    }
    let failed = |e: &dyn std::fmt::Display| Error::local("handover", format!("the unprivileged child: {e}"));
    let mut child = Command::new(crate::env::itself())
        .args(words)
        .env(HANDOVER, env.parent.to_string())
        .env_remove("HOME")
        .stdin(program::nowhere())
        .stdout(Stdio::piped())
        .gid(user.gid)
        .uid(user.uid)
        .spawn()
        .map_err(|e| failed(&e))?;
    let mut text = String::new();
    let mut stdout = child.stdout.take().expect("piped").take(1 << 20);
    let read = stdout.read_to_string(&mut text);
    drop(stdout);
    child.wait().map_err(|e| failed(&e))?;
    read.map_err(|e| failed(&e))?;
    Ok(text)
}

/// Places what comes until the child has closed its end; returns how many files that were.
fn receive(channel: &OwnedFd, target: &Target) -> Result<usize, Error> {
    let wrong = |what: &str| Error::local("handover", format!("the unprivileged child {what}"));
    let mut placed = 0;
    loop {
        let mut line = vec![0; MOST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut line)];
        let got = match rustix::net::recvmsg(channel, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(rustix::io::Errno::CONNRESET) => return Ok(placed),
            got => got.map_err(|e| wrong(&format!("cannot be heard: {e}")))?.bytes,
        };
        if got == 0 {
            return Ok(placed);
        }
        let files = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        let file = files.flatten().next().map(File::from).ok_or_else(|| wrong("sent no file"))?;
        let message = HandoverMessage::read(&line[..got]).ok_or_else(|| wrong("sent no sense"))?;
        match target {
            Target::At(output) => place(&file, &message, output)?,
            Target::In(dir) => {
                let name = message.name().ok_or_else(|| wrong("sent a bad name"))?;
                place(&file, &message, &Output::at(&dir.join(name.as_str()))?)?;
            }
            Target::Nowhere | Target::Looking => return Err(wrong("sent a file that nobody asked for")),
        }
        placed += 1;
    }
}

/// Copies, proves the copy, and gives it its name.
fn place(file: &File, message: &HandoverMessage, output: &Output) -> Result<(), Error> {
    let failed = |e: &dyn std::fmt::Display| Error::local(output.path().display(), format!("was not placed: {e}"));
    fsx::regular(file).map_err(|e| failed(&e))?;
    let (staged, proof) = output.stage_and_prove(file, message.sha256, message.size)?;
    let proof = proof.map_err(|e| failed(&e))?;
    let accepted = match message.waiver {
        None => Accepted::Proven(proof),
        Some(why) => Accepted::Waived(verify::relay(why, proof)),
    };
    staged.commit(&accepted, message.modified())?;
    message.said.say();
    Ok(())
}

/// Who does the work for root.
///
/// # Errors
/// `Usage` when there is nobody.
pub fn unprivileged_user(settings: &Settings) -> Result<User, Error> {
    let unknown = |name: &str| {
        Error::usage("download.user", format!("there is no user {name:?} other than root"))
            .hint("create it with systemd-sysusers, or set download.user")
    };
    let not_root = |user: &User| user.uid != 0;
    if let Some(name) = &settings.download_user {
        return users::named(name).filter(not_root).ok_or_else(|| unknown(name));
    }
    let owner = settings.store_dir.as_ref().and_then(|dir| rustix::fs::lstat(dir).ok());
    let owner = owner.and_then(|stat| users::with_id(stat.st_uid)).filter(not_root);
    let usual = ["pkgswarm", "alpm", "nobody"];
    let first = || usual.iter().find_map(|name| users::named(name).filter(not_root));
    owner.or_else(first).ok_or_else(|| unknown("pkgswarm"))
}

/// Makes the store's and the state's directory for `user` where tmpfiles.d did not: all that root ever does there.
fn make_store(settings: &Settings, user: User) {
    for dir in settings.store_dir.iter().chain([&settings.state_dir]) {
        if rustix::fs::mkdir(dir, rustix::fs::Mode::from(0o755)).is_ok() {
            let (uid, gid) = (rustix::fs::Uid::from_raw(user.uid), rustix::fs::Gid::from_raw(user.gid));
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            let _ = rustix::fs::chownat(rustix::fs::CWD, dir, Some(uid), Some(gid), flags);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_places_nothing_but_what_its_child_named() {
        let dir = tempfile::tempdir().unwrap();
        let from = tempfile::tempfile().unwrap();
        (&from).write_all(b"bytes").unwrap();
        let output = Output::at(&dir.path().join("to")).unwrap();
        for waiver in [None, Some(Waiver::NotListed)] {
            for (named, size) in [(&b"other"[..], 5), (b"bytes", 4), (b"bytes", 6)] {
                let (name, said) = ("to".to_owned(), DeliveryNote::Line(String::new()));
                let message = HandoverMessage { name, sha256: Sha256::of(named), size, waiver, modified: None, said };
                assert!(place(&from, &message, &output).is_err(), "{named:?} of {size} bytes, {waiver:?}");
                assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
            }
        }
    }

    #[test]
    fn a_date_that_no_clock_shows_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, b"x").unwrap();
        let (name, sha256) = ("to".to_owned(), Sha256::of(b"x"));
        let said = DeliveryNote::Line(String::new());
        let message = HandoverMessage { name, sha256, size: 1, waiver: None, modified: Some(u64::MAX), said };
        place(&File::open(&from).unwrap(), &message, &Output::at(&to).unwrap()).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"x");
    }
}
