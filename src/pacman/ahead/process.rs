//! The process that reads ahead: its files, their order, and its end.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags};

use crate::base::error::{Error, ErrorKind};
use crate::base::fsx;
use crate::config::Settings;
use crate::engine::deliver::{self, Delivery, Obtained, Purpose, Receipt, turn};
use crate::engine::want::Want;
use crate::lists::pacman::caller::ProcessKey;
use crate::lists::system::NameKind;
use crate::machine::call::Call;
use crate::pacman::gather::{AtOnce, Gathered, gather, into_store};
use crate::store::coming::ComingFile;
use crate::store::journal::By;
use crate::store::{SetAside, Turn};
use crate::trust::plan::Expect;

use super::end::{Cleanup, LAST_LOOK, LOOK};
use super::{is_read_ahead, is_set_aside, key, list, lock};

/// Nice value of the clean-up while pacman runs: the lowest priority.
const NICE: i32 = 19;

/// Reads ahead for the run `pacman_run` until that pacman ends.
///
/// Then, and while pacman installs, files in its cache are removed from the store. When pacman ends or the user
/// presses ^C in it, this ends the process and everything that it has started: it must be alone in its process
/// group, as after `background::detach`.
pub(crate) fn run(call: &mut Call, pacman_run: &str) {
    let begun = Instant::now();
    call.machine.store.clear_aside(|other| other != pacman_run && process_of(other).is_none_or(|it| !it.is_alive()));
    // It is another pacman if ours ended before this process began.
    let pacman = call.pacman_run.caller.clone().filter(|_| call.pacman_run.name == pacman_run);
    // Opened before the second look at the start time, so that a later process of this id is not taken for pacman.
    let watched = pacman.and_then(|pacman| {
        let pidfd = rustix::process::pidfd_open(Pid::from_raw(pacman.key.pid)?, PidfdFlags::empty()).ok()?;
        let end = Cleanup::of(call)?;
        pacman.key.is_alive().then_some((pacman, pidfd, end))
    });
    let Some((pacman, pidfd, end)) = watched else { return call.machine.store.aside(pacman_run).remove() };
    let watching = end.clone();
    thread::spawn(move || watching.watch(&pidfd));
    if is_read_ahead(call) {
        let wants = list::wants(&call.lists, &pacman);
        end.expect(&wants);
        let exact = |want: &Want| match want.plan.expect {
            Expect::Exact { sha256, size } => Some((sha256, size)),
            Expect::Waived(_) => None,
        };
        let coming = |want: &Want| ComingFile { name: want.name.clone(), exact: exact(want) };
        call.coming().announce(&wants.iter().map(coming).collect::<Vec<_>>());
        end.cached_in(call.lists.cache_dirs());
        fetch_all(call, wants, begun);
        while !end.is_all_handed_out() {
            thread::sleep(LOOK);
        }
        end.tidy();
    }
    // pacman is installing by now, or has yet to move the files into its cache.
    // For this thread alone (setpriority(2)): pacman's installation comes first.
    let _ = rustix::process::nice(NICE);
    let mut look = LOOK;
    loop {
        let dirs = call.lists.kept_cache_dirs();
        end.cached_in(&dirs);
        end.clear_up();
        thread::sleep(look);
        // The call that has started this process may still be asking where they are.
        look = if dirs.is_empty() { LOOK } else { (look * 2).min(LAST_LOOK) };
    }
}

/// Waits for the end of the run of pacman that is called `pacman_run`; not longer than `most`, where that is given.
pub(crate) fn outlive(pacman_run: &str, most: Option<Duration>) {
    let Some(pacman) = process_of(pacman_run) else { return };
    let pidfd = Pid::from_raw(pacman.pid).and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
    // Opened before the look at the start time, so that a later process of this id is not waited for.
    if let Some(pidfd) = pidfd.filter(|_| pacman.is_alive()) {
        // An interrupted wait ends it before its time, which does no harm.
        let most = most.and_then(|most| Timespec::try_from(most).ok());
        let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], most.as_ref());
    }
}

fn process_of(pacman_run: &str) -> Option<ProcessKey> {
    let (pid, start_time) = pacman_run.split_once('-')?;
    Some(ProcessKey { pid: pid.parse().ok()?, start_time: start_time.parse().ok()? })
}

fn fetch_all(call: &mut Call, wants: Vec<Want>, begun: Instant) {
    let head_start = head_start(call.machine.settings.head_start, begun.elapsed());
    let settings = Settings { head_start, ..call.machine.settings.clone() };
    let as_pacman = || call.lists.conf().map_or(1, |conf| conf.parallel_downloads);
    let at_once = match call.machine.settings.ahead_parallel {
        Some(files) => AtOnce::exactly(files as usize),
        None => AtOnce::over(as_pacman() as usize),
    };
    let mut gathering = gather(&call.machine.env, &settings, By::Ahead, wants, at_once, fetch);
    while let Some(Gathered { want, result, .. }) = gathering.next() {
        let Err(error) = result else { continue };
        if matches!(error.kind, ErrorKind::NoSource | ErrorKind::Corrupt) {
            // The first call does not need to try every mirror again.
            call.learn_from_others();
            call.health.lost(want.name.as_str());
            call.health.save();
        }
        // Without this package the transaction fails, and pacman asks for nothing more.
        if want.shape.kind == NameKind::Package {
            gathering.stop();
        }
    }
}

/// Fetches one file into the store, or sets it aside.
async fn fetch(call: &mut Call, want: &Want) -> Delivery<Option<Obtained>> {
    if is_set_aside(want) {
        Delivery::of(async |receipt: &mut Receipt| set_aside(call, want, receipt).await).await
    } else {
        into_store(call, want).await
    }
}

async fn set_aside(call: &mut Call, want: &Want, receipt: &mut Receipt) -> Result<Option<Obtained>, Error> {
    let store = Arc::clone(&call.machine.store);
    let (aside, key) = (store.aside(&call.pacman_run.name), key(want));
    let Turn::Ours(_slot) = turn(call, &store, &lock(&key, call), &want.name, None).await? else { return Ok(None) };
    if aside.has(&key) || aside.was_handed_out(&key) {
        return Ok(None);
    }
    let obtained = deliver::fetch(call, want.order(), Purpose::ReadAhead).await.noted_in(receipt)?;
    let failed = |e| Error::local(aside.dir().display(), e);
    let bytes = fsx::read_part(&obtained.file, 0, obtained.accepted.size()).map_err(failed)?;
    let file = SetAside { bytes, from: obtained.from.source.clone(), modified: obtained.modified };
    aside.put(&key, &file).map_err(failed)?;
    Ok(Some(obtained))
}

/// Returns the head start that is left for peers, `since` the call that started this process began its own, so
/// that both waits end at about the same time. If pacman took long to answer, that call has ended and noted the
/// time that it spent waiting; then at most the remainder is left.
fn head_start(whole: Duration, since: Duration) -> Duration {
    whole - since.min(whole / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pacman_that_is_slow_to_answer_leaves_neighbours_most_of_the_head_start() {
        let left = |since| head_start(Duration::from_millis(200), Duration::from_millis(since)).as_millis();
        assert_eq!([0, 40, 900].map(left), [200, 160, 150]);
        assert_eq!(head_start(Duration::ZERO, Duration::from_secs(1)), Duration::ZERO);
    }
}
