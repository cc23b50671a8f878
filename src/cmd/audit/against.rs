//! `pkgswarm index audit --against NAME`: two publishers of the same repositories, compared.

use std::io::{self, Write as _};
use std::path::PathBuf;

use serde_json::json;

use crate::base::clock;
use crate::base::error::{Error, ErrorKind};
use crate::config::{IndexConfig, Settings};
use crate::host::inspect::compare::{ComparedEntry, ComparedIndex, Comparison, SaidEntry};
use crate::index::time::span;
use crate::report::{self, counted};

/// Runs it for the named indexes, or all others.
///
/// # Errors
/// `Usage` where a word is no index in use, where there is nothing to compare, and where one was never fetched.
pub(super) fn run(settings: &Settings, against: &str, names: &[PathBuf], json: bool) -> Result<u8, Error> {
    let other = named(settings, against)?;
    let ones: Vec<&IndexConfig> = match names {
        [] => settings.indexes.iter().filter(|index| index.name != against).collect(),
        names => names.iter().map(|name| named(settings, &name.to_string_lossy())).collect::<Result<_, _>>()?,
    };
    if ones.is_empty() {
        return Err(Error::usage("--against", "there is no other index to compare it with").hint("pkgswarm index add"));
    }
    let theirs = opened(settings, other)?;
    let mut status = 0;
    for index in ones {
        let ours = opened(settings, index)?;
        let found = Comparison::of(&ours, &theirs)?;
        if found.tables.is_empty() {
            let why = format!("has no repository in common with {}", other.name);
            return Err(Error::usage(&index.name, why).hint("pkgswarm index show lists the repositories of an index"));
        }
        let names = [index.name.as_str(), other.name.as_str()];
        let printed: io::Result<()> = found.entries.iter().try_for_each(|entry| print(entry, names, json));
        printed.map_err(|e| Error::local("standard output", e))?;
        report::say(&summary(&found, names, [&ours, &theirs]));
        if found.differing() > 0 {
            status = ErrorKind::Corrupt.status();
        }
    }
    Ok(status)
}

fn named<'s>(settings: &'s Settings, name: &str) -> Result<&'s IndexConfig, Error> {
    let found = settings.indexes.iter().find(|index| index.name == name);
    found.ok_or_else(|| Error::usage(name, "no index of that name is in use").hint("pkgswarm index ls"))
}

fn opened<'s>(settings: &'s Settings, index: &'s IndexConfig) -> Result<ComparedIndex<'s>, Error> {
    let refresh = || format!("pkgswarm index refresh {}", index.name);
    let found = ComparedIndex::open(settings, index)?;
    found.ok_or_else(|| Error::usage(&index.name, "was never fetched").hint(refresh()))
}

/// Prints a line, or an object.
fn print(entry: &ComparedEntry, names: [&str; 2], json: bool) -> io::Result<()> {
    let ComparedEntry { table, name, sides } = entry;
    if json {
        let side = |at: usize| {
            sides[at].map(|said| {
                json!({
                    "size": said.size, "sha256": said.sha256, "cid": said.cid.map(|cid| cid.to_string()),
                    "sig_sha256": said.signature,
                })
            })
        };
        let line = json!({
            "table": table, "name": name.as_str(), "differs": sides.iter().all(Option::is_some),
            "one": {"index": names[0], "entry": side(0)}, "other": {"index": names[1], "entry": side(1)},
        });
        return writeln!(report::out(), "{line}");
    }
    match sides {
        [Some(one), Some(other)] => {
            let [ours, theirs] = difference(one, other);
            report::tell(&format!("{table}: {name}: {} says {ours}, {} says {theirs}", names[0], names[1]))
        }
        [Some(_), None] => report::tell(&format!("{table}: {name}: only in {}", names[0])),
        _ => report::tell(&format!("{table}: {name}: only in {}", names[1])),
    }
}

/// Describes the first thing in which two entries differ.
fn difference(one: &SaidEntry, other: &SaidEntry) -> [String; 2] {
    let both = [one, other];
    if one.sha256 != other.sha256 {
        return both.map(|said| format!("sha256 {}", said.sha256));
    }
    if one.size != other.size {
        return both.map(|said| format!("{} bytes", said.size));
    }
    if one.cid != other.cid {
        return both.map(|said| format!("CID {}", said.cid.map(|cid| cid.to_string()).unwrap_or_default()));
    }
    both.map(|said| said.signature.map_or_else(|| "no signature".to_owned(), |sha256| format!("signature {sha256}")))
}

fn summary(found: &Comparison, names: [&str; 2], sides: [&ComparedIndex<'_>; 2]) -> String {
    let now = clock::now();
    let age = |at: usize| {
        let manifest = &sides[at].manifest;
        let state = manifest.tables.iter().filter_map(|table| table.lastupdate).max();
        let state = state.map(|at| format!(", upstream {} old", span(now.saturating_sub(at)))).unwrap_or_default();
        format!("{} ({} old{state})", names[at], span(now.saturating_sub(manifest.created)))
    };
    format!(
        "{} and {}: {} alike, {} differ, {} only in {}, {} only in {}",
        age(0),
        age(1),
        counted(found.alike, "file"),
        found.differing(),
        found.alone(0),
        names[0],
        found.alone(1),
        names[1]
    )
}
