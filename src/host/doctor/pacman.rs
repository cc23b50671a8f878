//! pacman's own traps: releases and settings that fail with any XferCommand, and leftover files.
//!
//! Facts: `doc/facts/pacman.md`, seen with pacman 6.0.2, 6.1.0, 7.0.0 and 7.1.0.

use std::path::{Path, PathBuf};

use super::{Check, Finding};
use crate::base::env::full_program_of;
use crate::base::users::{self, Access};
use crate::host::inspect::Inspection;
use crate::host::inspect::pacman::{Downloader, runner, words};
use crate::lists::pacman::pacman_conf::{PacmanConf, Repo, SignatureCheck as Signed};
use crate::lists::pacman::version::Version;

/// Returns the command that opens a file or directory.
fn opened(closed: &Path) -> String {
    format!("sudo chmod a+rX {}", closed.display())
}

const BY_HAND: &str = "correct it in /etc/pacman.conf: XferCommand = /usr/bin/pkgswarm xfer %u %o";

/// In the order in which they are reported.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "pacman-conf",
        about: "pacman-conf understands pacman.conf. pacman 7.1 also insists that its directories exist.",
        look: understood,
    },
    Check {
        name: "xfer-command",
        about: "pacman.conf names pkgswarm as XferCommand, or its endpoint as CacheServer.",
        look: xfer_command,
    },
    Check {
        name: "xfer-words",
        about: "The XferCommand calls xfer, with %u and %o as words of their own: pacman replaces nothing else.",
        look: xfer_words,
    },
    Check {
        name: "xfer-program",
        about: "The program of the XferCommand is installed with pkgswarm-full, and the user that runs them for pacman may.",
        look: xfer_program,
    },
    Check {
        name: "download-user",
        about: "The DownloadUser exists; pacman fails without.",
        look: |facts| {
            let name = facts.pacman.conf.as_ref().ok().and_then(|conf| conf.download_user.clone());
            let missing = name.filter(|name| users::named(name).is_none());
            let found = missing.map(|name| {
                let says = format!("DownloadUser = {name}: there is no such user, and pacman downloads nothing");
                Finding::error(says, format!("sudo useradd --system --no-create-home --shell /usr/bin/nologin {name}"))
            });
            found.into_iter().collect()
        },
    },
    Check {
        name: "sandbox",
        about: "pacman 7.1.0 with DownloadUser and DisableSandbox: every XferCommand fails with \"Permission denied\".",
        look: sandbox,
    },
    Check {
        name: "pacman-6.1",
        about: "pacman 6.1 crashes with any XferCommand, one Server and signatures; 7.0 fixes it.",
        look: |facts| {
            let Some((conf, version)) = facts.pacman.known() else { return vec![] };
            let is_it = version >= Version(6, 1, 0) && version < Version(7, 0, 0);
            let signed = |repo: &&Repo| {
                repo.servers.len() == 1
                    && (repo.sig_level.package, repo.sig_level.database) != (Signed::Never, Signed::Never)
            };
            let Some(repo) = conf.repos.iter().find(signed).filter(|_| is_it) else { return vec![] };
            let says = format!(
                "pacman {version} crashes when an XferCommand fetches signatures from the only Server of a repository, as \
                 of [{}]",
                repo.name
            );
            vec![Finding::error(says, "update pacman to 7.0 or later, or name a second Server")]
        },
    },
    Check {
        name: "pacman-6.0",
        about: "pacman 6.0 never fetches signatures with an XferCommand, so packages that need one are refused.",
        look: |facts| {
            let Some((conf, version)) = facts.pacman.known() else { return vec![] };
            let required = conf.repos.iter().find(|repo| repo.sig_level.package == Signed::Required);
            let Some(repo) = required.filter(|_| version < Version(6, 1, 0)) else { return vec![] };
            let says = format!(
                "pacman {version} fetches no signature files with an XferCommand: packages of [{}] whose signature is not \
                 in the database are refused",
                repo.name
            );
            vec![Finding::warning(says, "update pacman to 7.0 or later")]
        },
    },
    Check {
        name: "database-optional",
        about: "DatabaseOptional without a DownloadUser: pacman asks for database signatures that few repositories have, \
                and sleeps 2 s for each that does not exist.",
        look: database_optional,
    },
    Check {
        name: "servers",
        about: "Servers are http, https or file; pkgswarm knows no other.",
        look: |facts| {
            let repos = facts.pacman.conf.iter().flat_map(|conf| &conf.repos);
            let known = |url: &str| ["http://", "https://", "file://"].iter().any(|scheme| url.starts_with(scheme));
            let odd =
                repos.flat_map(|repo| repo.servers.iter().map(move |url| (repo, url))).filter(|(_, url)| !known(url));
            let say = |(repo, url): (&Repo, &String)| {
                let scheme = url.split("://").next().unwrap_or_default();
                let says = format!("[{}] has a Server that is not http, https or file: {scheme}://…", repo.name);
                Finding::warning(says, "remove it, or choose another mirror")
            };
            odd.map(say).collect()
        },
    },
    Check {
        name: "cache-dirs",
        about: "Every CacheDir exists.",
        look: |facts| {
            let dirs = facts.pacman.conf.iter().flat_map(|conf| &conf.cache_dirs).filter(|dir| !dir.is_dir());
            let say = |dir: &PathBuf| {
                let says = format!("CacheDir {} does not exist; from 7.1 on pacman fails without it", dir.display());
                Finding::warning(says, format!("sudo mkdir -p {}", dir.display()))
            };
            dirs.map(say).collect()
        },
    },
    Check {
        name: "databases-closed",
        about: "The user that downloads can read the sync databases; one that it cannot read proves nothing.",
        look: |facts| {
            let closed = &facts.pacman.leftovers.closed_databases;
            let Some((first, obstacle)) = closed.first() else { return vec![] };
            let says = format!(
                "{} of the sync databases cannot be read by the user that downloads ({} is one): their packages cannot be \
                 proven",
                closed.len(),
                first.display()
            );
            let mend = if first == obstacle {
                let dir = first.parent().unwrap_or(first).display();
                format!("sudo chmod a+rX {dir} && sudo chmod a+r {dir}/*.db")
            } else {
                opened(obstacle)
            };
            vec![Finding::warning(says, mend)]
        },
    },
    Check {
        name: "leftover-downloads",
        about: "There are no left-over download-XXXXXX directories: pacman 7.1.0 leaves them, and `pacman -Sc` fails on them.",
        look: |facts| {
            let left = &facts.pacman.leftovers.downloads;
            let Some(first) = left.first() else { return vec![] };
            let all: Vec<_> = left.iter().map(|path| path.display().to_string()).collect();
            let says = format!("pacman left {} download directories behind, such as {}", left.len(), first.display());
            vec![Finding::note(says, format!("sudo rm -r {}", all.join(" ")))]
        },
    },
    Check {
        name: "complete-parts",
        about: "There is no partial file as long as the whole one: pacman then neither downloads the package nor finds it.",
        look: |facts| {
            let left = &facts.pacman.leftovers.complete_parts;
            let Some(first) = left.first() else { return vec![] };
            let all: Vec<_> = left.iter().map(|path| path.display().to_string()).collect();
            let says = format!(
                "{} was left behind complete: pacman fails on it with \"could not find package in cache\"",
                first.display()
            );
            vec![Finding::warning(says, format!("sudo rm {}", all.join(" ")))]
        },
    },
];

fn understood(facts: &Inspection) -> Vec<Finding> {
    let closed = facts.pacman.closed_conf.as_deref();
    match (&facts.pacman.conf, closed) {
        (Err(why), closed) => {
            let by_hand = || "`pacman-conf` prints the same error; correct the line that it names".to_owned();
            let says =
                format!("pacman's configuration is not known, and nothing that is downloaded can be proven: {why}");
            vec![Finding::error(says, closed.map_or_else(by_hand, opened))]
        }
        (Ok(_), Some(closed)) => {
            let says = format!(
                "pacman's configuration cannot be read by the user that downloads ({} is closed): nothing can be proven",
                closed.display()
            );
            vec![Finding::warning(says, opened(closed))]
        }
        (Ok(_), None) => vec![],
    }
}

fn xfer_command(facts: &Inspection) -> Vec<Finding> {
    let Ok(conf) = &facts.pacman.conf else { return vec![] };
    let instead = match Downloader::of(conf) {
        Downloader::Ours(_) => return vec![],
        // One that knows no CacheServer has a finding of its own.
        Downloader::BuiltIn if facts.endpoint.lines > 0 => return vec![],
        Downloader::BuiltIn => "by itself".to_owned(),
        Downloader::Other(command) => format!("with {}", words(&command).into_iter().next().unwrap_or_default()),
    };
    let says = format!("pacman downloads {instead} and does not use pkgswarm");
    vec![Finding::warning(says, "sudo pkgswarm setup")]
}

/// Returns the XferCommand, when it is ours.
fn ours(facts: &Inspection) -> Option<(&PacmanConf, Vec<String>)> {
    let conf = facts.pacman.conf.as_ref().ok()?;
    match Downloader::of(conf) {
        Downloader::Ours(words) => Some((conf, words)),
        _ => None,
    }
}

fn xfer_words(facts: &Inspection) -> Vec<Finding> {
    let Some((_, words)) = ours(facts) else { return urlless(facts).into_iter().collect() };
    let mut found = Vec::new();
    for variable in ["%u", "%o"] {
        if words.iter().any(|word| word == variable) {
            continue;
        }
        let stuck = words.iter().find(|word| word.contains(variable));
        let why = stuck.map_or_else(|| "is missing".to_owned(), |word| format!("is a part of {word}"));
        found.push(Finding::error(
            format!("{variable} {why} in XferCommand; pacman replaces it only as a word"),
            BY_HAND,
        ));
    }
    if !words.iter().any(|word| word == "xfer") {
        found.push(Finding::error("XferCommand does not call `pkgswarm xfer`", BY_HAND));
    }
    found
}

/// Finds an XferCommand of another program that gets no URL.
fn urlless(facts: &Inspection) -> Option<Finding> {
    let command = facts.pacman.conf.as_ref().ok()?.xfer_command.as_ref()?;
    let words = words(command);
    let says = "the XferCommand has no word %u, so its program is not told what to download";
    (!words.iter().any(|word| word == "%u")).then(|| Finding::error(says, "sudo pkgswarm setup"))
}

fn xfer_program(facts: &Inspection) -> Vec<Finding> {
    let Some((conf, words)) = ours(facts) else { return vec![] };
    let program = Path::new(&words[0]);
    if program.is_absolute() && !program.exists() {
        let says = format!("XferCommand runs {}, which does not exist: pacman downloads nothing", program.display());
        return vec![Finding::error(says, "install pkgswarm again, or sudo pkgswarm setup --undo")];
    }
    let full = full_program_of(program);
    if program.is_absolute() && !full.exists() {
        let says = format!(
            "{} is installed without the full program, pkgswarm-full: pacman gets only files that are here already",
            program.display()
        );
        return vec![Finding::error(says, "install pkgswarm again, or sudo pkgswarm setup --undo")];
    }
    let Some(user) = runner(conf) else { return vec![] };
    let closed = [program, &full].into_iter().find_map(|program| users::obstacle(program, user, Access::Execute));
    let say = |closed: PathBuf| {
        let says = format!(
            "{} cannot be run by {}, the user that pacman runs it as: {} is closed to that user",
            program.display(),
            users::name_of(user.uid),
            closed.display()
        );
        Finding::error(says, format!("sudo chmod a+rx {}", closed.display()))
    };
    closed.map(say).into_iter().collect()
}

fn sandbox(facts: &Inspection) -> Vec<Finding> {
    let Some((conf, version)) = facts.pacman.known() else { return vec![] };
    let has = |flag: &str| conf.has_flag(flag);
    // pacman-conf prints DisableSandbox as these two.
    let off = has("DisableSandbox") || has("DisableSandboxFilesystem") && has("DisableSandboxSyscalls");
    if version < Version(7, 1, 0) || conf.download_user.is_none() || !off {
        return vec![];
    }
    vec![Finding::error(
        format!(
            "DisableSandbox with DownloadUser: in pacman {version} every XferCommand fails with \"Permission denied\""
        ),
        "replace DisableSandbox by DisableSandboxFilesystem or DisableSandboxSyscalls in /etc/pacman.conf, or remove it",
    )]
}

fn database_optional(facts: &Inspection) -> Vec<Finding> {
    let Some((conf, version)) = facts.pacman.known() else { return vec![] };
    // pacman 7.0 always, and later releases with DownloadUser, accept the empty file that means "there is none".
    let asks = version >= Version(6, 1, 0);
    let spared = version.0 == 7 && version.1 == 0 || version.0 >= 7 && conf.download_user.is_some();
    let optional = conf.repos.iter().filter(|repo| repo.sig_level.database == Signed::Optional).count();
    if !asks || spared || optional == 0 {
        return vec![];
    }
    vec![Finding::warning(
        format!(
            "databases may be signed (DatabaseOptional): pacman asks for {optional} signatures at each -Sy and sleeps 2 s \
             for each that does not exist"
        ),
        "write SigLevel = Required DatabaseNever in /etc/pacman.conf, or set DownloadUser",
    )]
}
