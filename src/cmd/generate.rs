//! `pkgswarm generate DIRECTORY` (hidden): man pages, completions and the example configuration, from the tables
//! that the program itself uses. `tests/generated.rs` keeps the files of the repository equal to this.

use std::io;
use std::path::Path;

use clap::CommandFactory as _;
use clap_mangen::roff::{Roff, bold, italic, roman};

use crate::base::error::Error;
use crate::cmd::cli::{Cli, GenerateArgs};
use crate::config::haiku::HAIKU_FIELDS;
use crate::config::keep::KEEP_FIELDS;
use crate::config::key::{SettingKey, Shape};
use crate::config::keys::{INDEX_FIELDS, KEYS};

mod completions;
mod manual;

use completions::completions;
use manual::{emphasised, item, manual, paragraphs, see_also};

/// The name and version that the pages give as their source.
const SOURCE: &str = concat!("pkgswarm ", env!("CARGO_PKG_VERSION"));
const MANUAL: &str = "pkgswarm manual";

/// Files that the program reads or keeps, and their content.
const FILES: &[(&str, &str)] = &[
    ("/etc/pkgswarm/config.toml, /etc/pkgswarm/config.d/*.toml", "The system's configuration, see pkgswarm.toml(5)."),
    (
        "~/.config/pkgswarm/config.toml, ~/.config/pkgswarm/config.d/*.toml",
        "A user's own configuration. Not read for root, nor for pacman's DownloadUser.",
    ),
    (
        "/var/cache/pkgswarm",
        "The store: partial and proven files until pacman has them. Belongs to the user that downloads. Ordinary users \
         have one of their own in ~/.cache/pkgswarm, users without a home in /var/tmp.",
    ),
    (
        "/var/lib/pkgswarm",
        "The indexes in use, and the highest sequence seen of each key. Ordinary users who add indexes have their own \
         in ~/.local/share/pkgswarm.",
    ),
    (
        "/etc/pkgswarm/setup",
        "The record of setup's changes, and pacman.conf as it was before; changes in Kubo are in /var/lib/pkgswarm/setup.",
    ),
    (
        "/usr/lib/pkgswarm/pkgswarm-full",
        "The full program, which pkgswarm starts for everything but files that this machine has already.",
    ),
    ("/usr/lib/pkgswarm/pkgswarm-daemon", "The daemon, which `pkgswarm daemon` becomes."),
    ("/etc/pkgswarm/publish.d/*.toml", "Publications, see pkgswarm-publish(1)."),
    ("/var/lib/pkgswarm-publish", "The record of publish's runs, one directory a publisher."),
    ("/var/lib/pkgswarm-group", "Closed groups, one directory a group: its Kubo, its cluster peer, its keys."),
    ("/var/lib/pkgswarm-follow", "What pkgswarm-follow@NAME.service keeps of the clusters that it follows."),
    ("/etc/pacman.conf", "Asked through pacman-conf for repositories, servers and caches."),
];

/// Paths relative to the target directory, and their content.
type Pages = Vec<(String, Vec<u8>)>;

/// Runs the command.
pub(crate) fn run(args: &GenerateArgs) -> anyhow::Result<u8> {
    let mut pages = Pages::new();
    let mut command = visible();
    command.build();
    manual(&command, &mut pages)?;
    pages.push(("man/pkgswarm.toml.5".to_owned(), emphasised(&settings_page().render()).into_bytes()));
    completions(&mut pages);
    pages.push(("dist/config.toml.example".to_owned(), example().into_bytes()));
    for (name, text) in &pages {
        write(&args.directory.join(name), text)?;
    }
    Ok(0)
}

fn write(path: &Path, text: &[u8]) -> Result<(), Error> {
    let failed = |e: io::Error| Error::local(path.display(), format!("cannot be written: {e}"));
    std::fs::create_dir_all(path.parent().expect("a file in a directory")).map_err(failed)?;
    std::fs::write(path, text).map_err(failed)
}

/// Returns the grammar without its hidden commands, which clap_complete would offer, and without `help`, which has
/// no page.
fn visible() -> clap::Command {
    let whole = Cli::command();
    let shown: Vec<_> = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let mut command = clap::Command::new("pkgswarm")
        .version(env!("CARGO_PKG_VERSION"))
        .args(whole.get_arguments().cloned())
        .subcommands(shown)
        .disable_help_flag(true)
        .subcommand_required(true)
        .disable_help_subcommand(true);
    command = command.about(whole.get_about().cloned().unwrap_or_default());
    command.long_about(whole.get_long_about().cloned().unwrap_or_default())
}

/// Writes pkgswarm.toml(5).
fn settings_page() -> Roff {
    let mut page = Roff::new();
    page.control("TH", ["PKGSWARM.TOML", "5", "", SOURCE, MANUAL]);
    page.control("SH", ["NAME"]).text([roman("pkgswarm.toml - settings of pkgswarm")]);
    page.control("SH", ["DESCRIPTION"]);
    paragraphs(
        &mut page,
        &[
            "pkgswarm needs no configuration. Every setting has a default, and every layer may set any of them. The later \
             layer wins:",
        ],
    );
    for layer in [
        "the defaults below",
        "/etc/pkgswarm/config.toml",
        "/etc/pkgswarm/config.d/*.toml, in the order of their names",
        "~/.config/pkgswarm/config.toml and ~/.config/pkgswarm/config.d/*.toml (XDG_CONFIG_HOME is honoured), unless root \
         or a user without a home runs it",
        "environment variables",
        "--set KEY=VALUE on the command line",
    ] {
        page.control("IP", ["\\(bu", "2"]).text([roman(layer)]);
    }
    page.control("PP", []);
    paragraphs(
        &mut page,
        &[
            "The files are TOML. A key like store.max stands in table [store] as max. An unknown key is an error that \
             names file, line and the nearest known key. For pacman's downloads a mistake is a warning, \
             once a run: they then come from mirrors alone, and nothing is shared. `pkgswarm config` prints every \
             setting, its value, and the layer that it comes from.",
            "Sizes are whole numbers with a unit: B, KiB, MiB, GiB, TiB, or kB, MB, GB, TB; without one they are bytes. \
             Spans are whole numbers with one of ms, s, min, h, d. Lists are TOML lists; in variables and with --set \
             their items are separated by commas or spaces.",
        ],
    );
    page.control("SH", ["SETTINGS"]);
    for key in KEYS {
        page.control("TP", []).text([bold(key.name), roman(" = "), italic(shape(key))]);
        page.text([roman(key.doc)]);
        page.control("br", []).text([
            roman("Default: "),
            bold(if key.default.is_empty() { "none" } else { key.default }),
            roman(". Variable: "),
            bold(key.variable()),
            roman("."),
        ]);
    }
    page.control("SH", ["INDEXES"]);
    paragraphs(
        &mut page,
        &["A table [index.NAME] puts an index into use. `pkgswarm index add` writes one into config.d, and \
           `pkgswarm index rm` removes it. NAME has 1 to 64 letters, digits, - and _."],
    );
    for (field, text) in INDEX_FIELDS {
        item(&mut page, field, text);
    }
    page.control("SH", ["HAIKU"]);
    paragraphs(
        &mut page,
        &[
            "A table [haiku.NAME] has the endpoint serve a repository of Haiku's pkgman; see \\fBpkgswarm\\-haiku\\fR(7). `pkgswarm haiku add` \
           writes one into config.d, and `pkgswarm haiku rm` removes it. NAME has 1 to 64 letters, digits, - and _.",
        ],
    );
    for (field, text) in HAIKU_FIELDS {
        item(&mut page, field, text);
    }
    page.control("SH", ["SHARES"]);
    paragraphs(
        &mut page,
        &[
            "A table [keep.NAME] keeps a share of the index NAME alive in Kubo; see \\fBpkgswarm\\-keep\\fR(1). `pkgswarm keep NAME` \
           writes one into config.d, and `pkgswarm keep stop NAME` removes it.",
        ],
    );
    for (field, text) in KEEP_FIELDS {
        item(&mut page, field, text);
    }
    page.control("SH", ["EXAMPLES"]);
    page.control("nf", []);
    for line in [
        "[kubo]",
        "keep = \"10 GiB\"",
        "",
        "[gateways]",
        "urls = [\"https://gateway.example\"]",
        "",
        "[index.custom]",
        "key = \"k51…\"",
        "repos = [\"custom\"]",
    ] {
        page.text([roman(line)]);
    }
    page.control("fi", []);
    see_also(&mut page, "pkgswarm(1), pkgswarm-config(1), pkgswarm-index(1)");
    page
}

fn shape(key: &SettingKey) -> String {
    match key.shape {
        Shape::Name(_) | Shape::Share(_) => "text".to_owned(),
        Shape::Path(_) => "absolute path".to_owned(),
        Shape::PathOr(word, _) => format!("absolute path, or {word}"),
        Shape::Url(_) => "URL".to_owned(),
        Shape::Api(_) => "URL, or unix:PATH".to_owned(),
        Shape::Urls(_) => "list of URLs".to_owned(),
        Shape::Repos(_) => "list of repositories".to_owned(),
        Shape::Window(_) => "any | HH:MM-HH:MM".to_owned(),
        Shape::Networks(_) | Shape::Addresses(_) | Shape::Interfaces(_) | Shape::Words(_) => "list of words".to_owned(),
        Shape::Number(_, u32::MAX, _) => "whole number".to_owned(),
        Shape::Number(..) => "number".to_owned(),
        Shape::Size(_) => "size".to_owned(),
        Shape::Span(_) => "time span".to_owned(),
        Shape::NumberOrAuto(least, most, _) => format!("{least} to {most}, or auto"),
        Shape::YesNo(_) => "true | false".to_owned(),
        Shape::Choice(words, _) => words.join(" | "),
    }
}

/// Returns every setting, commented out, with its default.
fn example() -> String {
    let mut out = String::from(
        "# Settings of pkgswarm: /etc/pkgswarm/config.toml. None is needed; each line below shows a default.\n\
         # pkgswarm.toml(5) is the reference, `pkgswarm config` prints what is in force and where it comes from.\n",
    );
    let mut section = "";
    for key in KEYS {
        let (own, name) = key.name.split_once('.').expect("a key has a section");
        if own != section {
            section = own;
            out += &format!("\n[{section}]\n");
        } else {
            out.push('\n');
        }
        for line in wrapped(key.doc, 98) {
            out += &format!("# {line}\n");
        }
        out += &format!("#{name} = {}\n", toml_value(key));
    }
    out += "\n# An index in use, as `pkgswarm index add` writes it into config.d/.\n#[index.NAME]\n";
    for (field, text) in INDEX_FIELDS {
        for line in wrapped(text, 98) {
            out += &format!("# {line}\n");
        }
        out += &format!("#{field} = {}\n", if *field == "repos" { "[]" } else { "\"\"" });
    }
    out += "\n# A repository of Haiku's pkgman, as `pkgswarm haiku add` writes it into config.d/.\n#[haiku.NAME]\n";
    for (field, text) in HAIKU_FIELDS {
        for line in wrapped(text, 98) {
            out += &format!("# {line}\n");
        }
        out += &format!("#{field} = {}\n", if *field == "urls" { "[]" } else { "\"\"" });
    }
    out += "\n# A share of an index in use, as `pkgswarm keep` writes it into config.d/.\n#[keep.NAME]\n";
    for (field, text) in KEEP_FIELDS {
        for line in wrapped(text, 98) {
            out += &format!("# {line}\n");
        }
        let value = match *field {
            "repos" => "[]",
            "newest" | "mirrors" => "false",
            _ => "\"\"",
        };
        out += &format!("#{field} = {value}\n");
    }
    out
}

fn toml_value(key: &SettingKey) -> String {
    match (key.shape, key.default) {
        (Shape::Urls(_), "") => "[]".to_owned(),
        (Shape::YesNo(_), _) => key.default.to_owned(),
        _ => toml::Value::from(key.default).to_string(),
    }
}

/// Breaks a text between words into lines of at most `width` characters; a longer word stands alone.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
