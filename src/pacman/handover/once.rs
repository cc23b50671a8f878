//! Messages that appear once in a run of pacman, where no store can record them.
//!
//! A file would be left behind, in an image for ever. So the record is the name of an unconnected socket (an
//! abstract one, unix(7)): it exists as long as a process holds it, which ends with pacman.

use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::base::digest::Sha256;
use crate::base::env::{Env, HANDOVER};
use crate::base::program;
use crate::lists::pacman::caller::{self, ProcessKey};
use crate::report;

/// Prints `text`, unless an earlier call of the same run of pacman has. Where `/proc` does not tell runs apart it
/// is printed each time.
pub fn say_once(env: &Env, text: &str) {
    let pacman = || caller::is_parent_pacman().then(ProcessKey::parent)?.ok();
    let key = &Sha256::of(text.as_bytes()).to_string()[..12];
    match pacman().map(|pacman| (pacman, name(&format!("{}-{}-{key}", pacman.pid, pacman.start_time)))) {
        Some((_, Err(Errno::ADDRINUSE))) => {}
        Some((pacman, Ok(held))) => {
            report::say(text);
            hold(env, pacman, held);
        }
        _ => report::say(text),
    }
}

/// Binds the name of a run.
fn name(run: &str) -> Result<OwnedFd, Errno> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(format!("pkgswarm-said-{run}").as_bytes())?)?;
    Ok(socket)
}

/// Starts a process that keeps `held` open until this run of pacman ends; without it the next call prints the text
/// again.
fn hold(env: &Env, pacman: ProcessKey, held: OwnedFd) {
    let child = Command::new(crate::base::env::itself())
        .args(["ahead", &format!("{}-{}", pacman.pid, pacman.start_time)])
        .args(env.settings())
        .env(HANDOVER, pacman.pid.to_string())
        .current_dir("/")
        .stdin(Stdio::from(held))
        .stdout(program::nowhere())
        .stderr(program::nowhere())
        .spawn();
    // Not waited for: this process ends first, and init inherits it.
    drop(child);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_once_and_leaves_nothing_behind() {
        let run = format!("test-{}", std::process::id());
        let held = name(&run).unwrap();
        assert_eq!(name(&run).unwrap_err(), Errno::ADDRINUSE);
        drop(held);
        assert!(name(&run).is_ok());
    }
}
