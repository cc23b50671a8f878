//! The store and the state: their owners, their free space, and the user that works for root.

use super::{Check, Finding};
use crate::base::users;
use crate::config::value::show_size;
use crate::host::inspect::Inspection;
use crate::host::inspect::store::Directory;

/// Free space below which a large package does not fit.
const ROOM: u64 = 1 << 30;

/// In the order in which they are reported.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "user",
        about: "There is an unprivileged user that downloads for root, and it is not `nobody`, which other services share.",
        look: |facts| match (&facts.system.user, facts.system.is_nobody) {
            (None, _) => vec![no_user(None)],
            (Some(_), true) => vec![Finding::note(
                "user `nobody` downloads for root, and other services that run as `nobody` share its files",
                "sudo systemd-sysusers",
            )],
            (Some(_), false) => vec![],
        },
    },
    Check {
        name: "directories",
        about: "The store and the state of indexes exist, belong to the user that downloads, and are closed to others.",
        look: directories,
    },
    Check {
        name: "room",
        about: "The disk of the store has room.",
        look: |facts| {
            let low = facts.system.directories.iter().filter_map(|dir| {
                let (bytes, files) = dir.room?;
                let what = match (bytes, files) {
                    (..ROOM, _) => format!("{} left", show_size(bytes)),
                    (_, ..1000) => format!("room for {files} more files (inodes)"),
                    _ => return None,
                };
                let says = format!("{} in {} has {what}: large packages do not fit", dir.what, dir.path.display());
                Some(Finding::warning(says, "sudo pacman -Sc makes room; store.max limits the store of pkgswarm"))
            });
            // Both are mostly on one disk.
            low.take(1).collect()
        },
    },
    Check {
        name: "units",
        about: "No unit of pkgswarm failed when it last ran.",
        look: |facts| {
            let say = |unit: &String| {
                Finding::warning(format!("{unit} failed when it last ran"), format!("systemctl status {unit}"))
            };
            facts.system.failed_units.iter().map(say).collect()
        },
    },
    Check {
        name: "unit-users",
        about: "The timers' services run as the user that downloads; files of another user are out of pacman's reach.",
        look: |facts| {
            let Some(user) = facts.system.user else { return vec![] };
            let name = users::name_of(user.uid);
            let others = facts.system.services.iter().filter(|(_, runs_as)| users::named(runs_as) != Some(user));
            let say = |(unit, runs_as): &(String, String)| {
                let is = if users::named(runs_as).is_some() { "" } else { ", which does not exist" };
                let says = format!("{unit} runs as {runs_as}{is}, and {name} downloads");
                Finding::warning(says, format!("sudo systemctl edit {unit}, and write [Service] and User={name}"))
            };
            others.map(say).collect()
        },
    },
];

/// Makes the finding that only the number 65534, which keeps no files, could download for root; or that the user
/// in `download.user` does not exist.
pub(crate) fn no_user(named: Option<&str>) -> Finding {
    let mend = "sudo systemd-sysusers, or set download.user in /etc/pkgswarm/config.toml";
    match named {
        None => Finding::error("there is no unprivileged user to download for root", mend),
        Some(name) => Finding::error(format!("download.user is {name:?}, and there is no such user"), mend),
    }
}

fn directories(facts: &Inspection) -> Vec<Finding> {
    let Some(user) = facts.system.user else { return vec![] };
    let name = users::name_of(user.uid);
    let judge = |dir: &Directory| {
        let path = dir.path.display();
        let no_user = facts.system.services.iter().find(|(_, user)| users::named(user).is_none());
        let Some((owner, mode)) = dir.found else {
            if let Some((unit, runs_as)) = no_user {
                let says = format!(
                    "{path}, {}, is not there, and {unit} cannot make it: it runs as {runs_as}, which does not exist",
                    dir.what
                );
                return Some(Finding::warning(says, format!("sudo install -d -o {name} -g {name} {path}")));
            }
            let says = format!("{path}, {}, is not there yet", dir.what);
            return Some(Finding::note(says, format!("sudo install -d -o {name} -g {name} {path}")));
        };
        if owner != user.uid {
            let owner = users::name_of(owner);
            let says = format!("{path} belongs to {owner}, and {name} downloads: {} is not used", dir.what);
            return Some(Finding::warning(says, format!("sudo chown -R {name}: {path}")));
        }
        (mode & 0o022 != 0).then(|| {
            let says = format!("{path} can be written to by others than {name}: {} is not used", dir.what);
            Finding::warning(says, format!("sudo chmod go-w {path}"))
        })
    };
    facts.system.directories.iter().filter_map(judge).collect()
}
