//! The manual pages of the commands: NAME, SYNOPSIS, DESCRIPTION, OPTIONS, EXAMPLES, EXIT STATUS, SEE ALSO.

use std::io;

use clap::builder::Resettable;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::{FILES, MANUAL, Pages, SOURCE};
use crate::base::env::VARIABLES;
use crate::base::error::ErrorKind;
use crate::cmd::cli::{GROUPS, examples};
use crate::cmd::json::{COMMON, OUTPUTS};
use crate::config::pin_place::PIN_PLACE_KEYS;
use crate::config::publication_keys::PUBLICATION_KEYS;
use crate::host::doctor;

/// The words that the pages use without saying each time what they mean.
const WORDS: &[(&str, &str)] = &[
    ("proven", "Compared, byte for byte, with the sha256 or CID that a sync database or a signed index names."),
    ("waiver", "The named reason why a file is accepted without a proof, as databases from a mirror are with curl."),
    ("store", "The directory of files that are kept until pacman has them; not a second package cache."),
    ("index", "A publisher's signed list of packages with their content ids."),
    ("CID", "Content id: the address of a file in IPFS, which follows from its bytes."),
    ("neighbour", "Another machine of a trusted network that runs `pkgswarm daemon` or Kubo."),
];

/// The options of ipfsSync (vocdoni/ipfssync, main.go, 2022), a program for the same purpose, and what became of each.
const IPFSSYNC: &[(&str, &str)] = &[
    ("--key", "The group's file, with two random keys; a word has no place in it, because it could be guessed."),
    ("--private", "Always: each group is a private network, by the key in its file."),
    ("--nodeKey", "Made by `init` and `join`, and kept below the group's directory: a member stays who it is."),
    ("--dataDir", "/var/lib/pkgswarm-group, or state.dir of an ordinary user; one directory a group."),
    ("--port", "--port of `init` and `join`: the first of four."),
    ("--bootnode", "Every member is one."),
    ("--bootnodes, --peers", "kubo and cluster in the group's file; --at of `init`."),
    (
        "--helloInterval, --updateInterval",
        "ipfs-cluster's own: changes are told at once, and every ten seconds to those who have missed them.",
    ),
    ("--logLevel", "The journal of pkgswarm-group@NAME.service and pkgswarm-group-kubo@NAME.service."),
    ("(the API on port 5001)", "The cluster's proxy, a socket in the group's directory, for `ipfs --api`."),
    ("(no way to delete)", "`ipfs --api … pin rm CID` on any member, and all let go of it."),
];

/// Writes a page for the command, and one for each command below it.
pub(super) fn manual(command: &clap::Command, pages: &mut Pages) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    // One section for all options: a heading would be a section of its own.
    let plain = command.clone().mut_args(|arg| arg.help_heading(Resettable::Reset));
    let man = Man::new(plain).title(name.to_uppercase()).source(SOURCE).manual(MANUAL);
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    let mut page = Roff::new();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    page.control("SH", ["NAME"]).text([roman(format!("{name} - {about}"))]);
    page.control("SH", ["SYNOPSIS"]).text(synopsis(command));
    page.control("SH", ["DESCRIPTION"]);
    description(&mut page, command, &about);
    page.to_writer(&mut text)?;
    man.render_options_section(&mut text)?;
    let mut end = Roff::new();
    commands(&mut end, command, &name);
    if let Some(output) = OUTPUTS.iter().find(|output| output.page == name) {
        end.control("SH", ["JSON OUTPUT"]);
        paragraphs(&mut end, &[output.form, COMMON]);
        output.fields.iter().for_each(|(path, text)| item(&mut end, path, text));
    }
    if name == "pkgswarm-doctor" {
        let rows: Vec<_> = doctor::checks().map(|check| (check.name, check.about)).collect();
        list(&mut end, "CHECKS", &rows);
    }
    if name == "pkgswarm-publish" {
        publications(&mut end);
    }
    if name == "pkgswarm-group" {
        list(&mut end, "FROM IPFSSYNC", IPFSSYNC);
    }
    list(&mut end, "EXAMPLES", examples::of(&name));
    statuses(&mut end, &name);
    if name == "pkgswarm" {
        list(&mut end, "WORDS", WORDS);
        list(&mut end, "FILES", FILES);
        list(&mut end, "ENVIRONMENT", VARIABLES);
    }
    see_also(&mut end, &related(&name));
    end.to_writer(&mut text)?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    pages.push((format!("man/{name}.1"), emphasised(&text).into_bytes()));
    command.get_subcommands().try_for_each(|below| manual(below, pages))
}

/// Returns clap's own usage, with the command in bold and what stands for a value in italics.
fn synopsis(command: &clap::Command) -> Vec<Inline> {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let bin = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let mut line = vec![bold(bin)];
    for word in usage.strip_prefix(bin).unwrap_or(usage).split_whitespace() {
        line.push(roman(" "));
        line.push(if word.contains('<') { italic(word) } else { roman(word) });
    }
    line
}

/// Writes the long help without its first line, which is in NAME.
fn description(page: &mut Roff, command: &clap::Command, about: &str) {
    let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    let text = long.strip_prefix(about).unwrap_or(&long).trim();
    let text = if text.is_empty() { about } else { text };
    for line in text.lines() {
        match line.strip_prefix("    ") {
            _ if line.trim().is_empty() => drop(page.control("PP", [])),
            Some(literal) => {
                page.control("RS", []).text([bold(literal)]).control("RE", []);
            }
            None => drop(page.text([roman(line)])),
        }
    }
}

/// Lists the commands below this one, those of the program in their groups.
fn commands(page: &mut Roff, command: &clap::Command, name: &str) {
    if !command.has_subcommands() {
        return;
    }
    page.control("SH", ["COMMANDS"]);
    let row = |page: &mut Roff, below: &clap::Command| {
        let about = below.get_about().map(ToString::to_string).unwrap_or_default();
        item(page, &format!("{name}-{}(1)", below.get_name()), &format!("{about}."));
    };
    if name != "pkgswarm" {
        command.get_subcommands().for_each(|below| row(page, below));
        return;
    }
    for (group, names) in GROUPS {
        page.control("SS", [group]);
        names.iter().filter_map(|name| command.find_subcommand(name)).for_each(|below| row(page, below));
    }
}

/// Writes what the file of a publication may say, with a specimen of the shortest one.
fn publications(page: &mut Roff) {
    list(page, "PUBLICATION FILES", PUBLICATION_KEYS);
    PIN_PLACE_KEYS.iter().for_each(|(name, text)| item(page, name, text));
    page.control("PP", []).text([roman(
        "The file is TOML: a key with a dot stands in the table before the dot, and an unknown key is an error. A \
         publication of one repository, signed, in Kubo and as a plain copy:",
    )]);
    page.control("PP", []).control("RS", []).control("nf", []);
    page.text([roman(
        "[keys]\nminisign = \"/etc/pkgswarm/custom.key\"\n[sources]\ndirectories = [\"/srv/repo/custom\"]\n[targets]\nout = \
         \"/var/lib/pkgswarm-publish/www/custom\"",
    )]);
    page.control("fi", []).control("RE", []).control("PP", []).text([roman(
        "`systemctl enable --now pkgswarm-publish@NAME.timer` runs it every ten minutes, as the user pkgswarm-publish. \
         Runs with nothing new cost little, and renew the index in time.",
    )]);
}

/// Writes the exit statuses: those of the command where it has its own, else the common ones.
fn statuses(page: &mut Roff, name: &str) {
    page.control("SH", ["EXIT STATUS"]);
    let own: &[(&str, &str)] = match name {
        "pkgswarm-doctor" => &[("0", "There is nothing to fix."), ("1", "Warnings or errors were found.")],
        "pkgswarm-prefetch" => &[
            ("0", "Updates are pending."),
            ("1", "An error."),
            ("2", "No updates are pending, or it is not the time to look."),
            ("130", "Interrupted; the next run goes on."),
        ],
        "pkgswarm-publish" => &[
            ("0", "Published, renewed, or nothing was to be done."),
            (
                "1",
                "No mirror delivered, or a target could not be reached, or not in whole: what was published before stands, or \
                 is renewed. Trying again later may help.",
            ),
            (
                "2",
                "Wrong arguments, a mistake in the file of the publication, a key or secret that is missing or cannot be read, \
                 or a repository that would be dropped. Nothing was published; trying again does not help.",
            ),
            ("3", "Files are not as their database says, or mirrors contradict each other: nothing new was published."),
            ("4", "This machine failed: disk full, no permission, no such directory."),
            ("130", "Interrupted; the next run goes on."),
        ],
        "pkgswarm-publish-status" => &[("0", "All is well."), ("1", "Something is not well, or an error.")],
        "pkgswarm-index-audit" => {
            &[("0", "No disagreement."), ("3", "A disagreement."), ("4", "A file could not be read.")]
        }
        "pkgswarm" | "pkgswarm-xfer" | "pkgswarm-fetch" => {
            &[("0", "All was done; a file is complete and proven, or accepted under a waiver that was named.")]
        }
        _ => &[("0", "All was done.")],
    };
    own.iter().for_each(|(status, text)| item(page, status, text));
    if own.len() > 2 {
        return;
    }
    for kind in [ErrorKind::NoSource, ErrorKind::Usage, ErrorKind::Corrupt, ErrorKind::Local, ErrorKind::Interrupted] {
        let text = match kind {
            ErrorKind::NoSource => "No source delivered. Trying again later may help.",
            ErrorKind::Usage => "Wrong arguments or configuration. Trying again does not help.",
            ErrorKind::Corrupt => {
                "Sources delivered something else than expected; or a database and an index contradict each \
                 other."
            }
            ErrorKind::Local => "This machine failed: disk full, no permission, no such directory.",
            ErrorKind::Interrupted => "Interrupted. Partial files are kept for the next run.",
        };
        let status = kind.status().to_string();
        if own.iter().all(|(own, _)| *own != status) {
            item(page, &status, text);
        }
    }
    if matches!(name, "pkgswarm" | "pkgswarm-xfer") {
        page.control("PP", []).text([roman("With any status but 0, xfer leaves nothing at its output path.")]);
    }
}

/// Lists the pages that belong to one.
fn related(name: &str) -> String {
    let own = match name {
        "pkgswarm" => return "pkgswarm.toml(5), pacman.conf(5), makepkg.conf(5), ipfs(1), minisign(1)".to_owned(),
        "pkgswarm-doctor" => "pkgswarm-setup(1), ",
        "pkgswarm-setup" => "pkgswarm-doctor(1), pacman.conf(5), ",
        "pkgswarm-xfer" => "pacman.conf(5), makepkg.conf(5), ",
        "pkgswarm-publish" | "pkgswarm-index-show" => "pkgswarm-index(5), ",
        "pkgswarm-haiku" => "pkgswarm-haiku(7), pkgswarm-endpoint(1), ",
        "pkgswarm-shared" => "pkgswarm-lan(1), pkgswarm-daemon(1), ",
        "pkgswarm-daemon" => "pkgswarm-lan(1), pkgswarm-shared(1), pkgswarm-protocol(7), ",
        "pkgswarm-lan" => "pkgswarm-shared(1), pkgswarm-daemon(1), ",
        _ => "",
    };
    let above = match name.rsplit_once('-') {
        Some((above, _)) if above != "pkgswarm" => format!("{above}(1), "),
        _ => String::new(),
    };
    format!("{above}{own}pkgswarm(1), pkgswarm.toml(5)")
}

pub(super) fn list(page: &mut Roff, title: &str, rows: &[(&str, &str)]) {
    page.control("SH", [title]);
    for (name, text) in rows {
        item(page, name, text);
    }
}

pub(super) fn item(page: &mut Roff, name: &str, text: &str) {
    page.control("TP", []).text([bold(name)]).text([roman(text)]);
}

pub(super) fn paragraphs(page: &mut Roff, texts: &[&str]) {
    for (i, text) in texts.iter().enumerate() {
        if i > 0 {
            page.control("PP", []);
        }
        page.text([roman(*text)]);
    }
}

pub(super) fn see_also(page: &mut Roff, pages: &str) {
    page.control("SH", ["SEE ALSO"]).text([roman(pages)]);
}

/// Sets in bold what the help has between backticks. No text of a page has a backtick of its own.
pub(super) fn emphasised(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    for line in page.split_inclusive('\n') {
        let pieces: Vec<&str> = line.split('`').collect();
        for (at, piece) in pieces.iter().enumerate() {
            match at % 2 {
                1 if at + 1 < pieces.len() => out += &format!("\\fB{piece}\\fR"),
                1 => out += &format!("`{piece}"),
                _ => out += piece,
            }
        }
    }
    out
}
