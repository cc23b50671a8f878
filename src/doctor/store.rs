//! The store and the state: their owners, their free space, and the user that works for root.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Check, Facts, Finding, units};
use crate::config::Settings;
use crate::config::value::show_size;
use crate::distro::pacman_conf::PacmanConf;
use crate::env::Env;
use crate::users::{self, User};

/// Free space below which a large package does not fit.
const ROOM: u64 = 1 << 30;

/// The directories of the system, and the user that downloads.
#[derive(Debug)]
pub struct StoreFacts {
    /// The user that downloads: pacman's DownloadUser, else the one that works for root. `None` when there is
    /// neither.
    pub user: Option<User>,
    /// True when that is `nobody`, for lack of a user of our own.
    pub is_nobody: bool,
    /// The store and the state.
    pub directories: Vec<Directory>,
    /// Units of ours that failed when they last ran.
    pub failed_units: Vec<String>,
    /// Services of ours whose timers are enabled, and the users they run as.
    pub services: Vec<(String, String)>,
}

/// One of our directories.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Its path.
    pub path: PathBuf,
    /// Its purpose.
    pub what: &'static str,
    /// Its owner and mode; `None` when it does not exist.
    pub found: Option<(u32, u32)>,
    /// Free bytes and files; `None` when that cannot be told.
    pub room: Option<(u64, u64)>,
}

impl StoreFacts {
    /// Makes empty facts, for checks of pacman alone.
    pub fn unseen() -> Self {
        let (directories, failed_units, services) = (Vec::new(), Vec::new(), Vec::new());
        Self { user: None, is_nobody: false, directories, failed_units, services }
    }

    /// Inspects the directories and asks systemd.
    pub fn look(env: &Env, settings: &Settings, conf: Option<&PacmanConf>) -> Self {
        let named = settings.download_user.as_deref().and_then(users::named);
        let downloader = conf.and_then(|conf| users::named(conf.download_user.as_deref()?));
        let store = settings.store_dir.as_deref();
        let owner = store.and_then(|dir| std::fs::symlink_metadata(dir).ok()).map(|found| found.uid());
        let owner = owner.and_then(users::with_id);
        // The same choice of the user that works for root as in handover.rs.
        let usual = users::USUAL.iter().find_map(|name| Some((*name, users::named(name)?)));
        let real = |user: Option<User>| user.filter(|user| user.uid != 0);
        // Root only where the setting says so.
        let chosen = real(downloader).or(named).or(real(owner));
        let directories = store.map(|dir| look_at(dir, "the store")).into_iter();
        Self {
            user: chosen.or(usual.map(|(_, user)| user)),
            is_nobody: chosen.is_none() && usual.is_some_and(|(name, _)| name == "nobody"),
            directories: directories.chain([look_at(&settings.state_dir, "the state of indexes")]).collect(),
            failed_units: failed_units(env),
            services: services(env),
        }
    }
}

fn look_at(path: &Path, what: &'static str) -> Directory {
    let found = std::fs::symlink_metadata(path).ok().map(|found| (found.uid(), found.mode()));
    let room = rustix::fs::statvfs(path).ok().map(|fs| {
        // Some file systems count no files.
        let files = if fs.f_files == 0 { u64::MAX } else { fs.f_favail };
        (fs.f_bavail.saturating_mul(fs.f_frsize), files)
    });
    Directory { path: path.to_owned(), what, found, room }
}

/// Returns the units that `systemctl` lists as failed; none without systemd.
fn failed_units(env: &Env) -> Vec<String> {
    let said = ask(env, &["list-units", "--state=failed", "--plain", "--no-legend", "--no-pager", "pkgswarm-*"]);
    said.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Returns the services that enabled timers start, and their users.
fn services(env: &Env) -> Vec<(String, String)> {
    let timers = ["pkgswarm-index", "pkgswarm-prefetch"];
    let names: Vec<String> =
        timers.iter().flat_map(|unit| ["timer", "service"].map(|end| format!("{unit}.{end}"))).collect();
    let mut words = vec!["show", "--no-pager", "--property=Id,User,UnitFileState"];
    words.extend(names.iter().map(String::as_str));
    let said = ask(env, &words);
    if said.trim().is_empty() {
        // No systemd runs here, as in a container; its files are there.
        let found =
            timers.into_iter().filter(|name| ask(env, &["is-enabled", &format!("{name}.timer")]).trim() == "enabled");
        let service = |name| format!("{name}.service");
        return found
            .filter_map(|name| Some((service(name), units::user_of(Path::new("/"), &service(name))?)))
            .collect();
    }
    // A paragraph for each unit, its properties in any order.
    let says = |unit: &str, what: &str| {
        let of_unit =
            said.split("\n\n").find(|text| text.lines().any(|line| line.strip_prefix("Id=") == Some(unit)))?;
        of_unit.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix('=')).map(str::to_owned)
    };
    let enabled =
        timers.iter().filter(|unit| says(&format!("{unit}.timer"), "UnitFileState").as_deref() == Some("enabled"));
    enabled.filter_map(|unit| Some((format!("{unit}.service"), says(&format!("{unit}.service"), "User")?))).collect()
}

fn ask(env: &Env, words: &[&str]) -> String {
    units::systemctl(env.var("PATH").unwrap_or("/usr/bin"), words)
}

/// In the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check {
        name: "user",
        about: "There is an unprivileged user that downloads for root, and it is not `nobody`, which other services share.",
        look: |facts| match (&facts.store.user, facts.store.is_nobody) {
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
            let low = facts.store.directories.iter().filter_map(|dir| {
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
            facts.store.failed_units.iter().map(say).collect()
        },
    },
    Check {
        name: "unit-users",
        about: "The timers' services run as the user that downloads; files of another user are out of pacman's reach.",
        look: |facts| {
            let Some(user) = facts.store.user else { return vec![] };
            let name = users::name_of(user.uid);
            let others = facts.store.services.iter().filter(|(_, runs_as)| users::named(runs_as) != Some(user));
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
pub fn no_user(named: Option<&str>) -> Finding {
    let mend = "sudo systemd-sysusers, or set download.user in /etc/pkgswarm/config.toml";
    match named {
        None => Finding::error("there is no unprivileged user to download for root", mend),
        Some(name) => Finding::error(format!("download.user is {name:?}, and there is no such user"), mend),
    }
}

fn directories(facts: &Facts) -> Vec<Finding> {
    let Some(user) = facts.store.user else { return vec![] };
    let name = users::name_of(user.uid);
    let judge = |dir: &Directory| {
        let path = dir.path.display();
        let no_user = facts.store.services.iter().find(|(_, user)| users::named(user).is_none());
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
    facts.store.directories.iter().filter_map(judge).collect()
}
