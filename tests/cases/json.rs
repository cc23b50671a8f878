//! Every field that `--json` prints is documented in the manual page of its command.

use std::collections::BTreeSet;

use pkgswarm::cmd::json::OUTPUTS;
use serde_json::Value;

use super::prefetch::{mirror_of, world_of};
use crate::support::*;

/// Collects the paths of all fields, `[]` for the elements of lists.
fn paths(value: &Value, above: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| {
            let dot = if above.is_empty() { "" } else { "." };
            paths(value, &format!("{above}{dot}{name}"), found);
        }),
        Value::Array(all) if all.iter().any(Value::is_object) => {
            all.iter().for_each(|one| paths(one, &format!("{above}[]"), found));
        }
        // An empty list shows none of its elements.
        Value::Array(all) if all.is_empty() => {}
        _ => drop(found.insert(above.to_owned())),
    }
}

/// Runs it and asserts that the output is documented; returns the fields.
pub(super) fn documented(world: &World, page: &str, words: &[&str]) -> BTreeSet<String> {
    let output = OUTPUTS.iter().find(|output| output.page == page).expect("a page");
    let run = world.run(&[words, &["--json"]].concat());
    let mut found = BTreeSet::new();
    let objects = serde_json::Deserializer::from_str(&run.stdout).into_iter::<Value>();
    objects.for_each(|object| paths(&object.unwrap_or_else(|e| panic!("{e}: {run:?}")), "", &mut found));
    assert!(!found.is_empty(), "{words:?}: {run:?}");
    for path in &found {
        let known = |field: &&(&str, &str)| {
            let rest = path.strip_prefix(field.0);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        assert!(output.fields.iter().find(known).is_some(), "{page}: {path} is not in its manual");
    }
    found
}

#[test]
fn every_field_that_is_printed_is_in_the_manual_of_its_command() {
    let (zlib, gone) = (Package::new("zlib", 300_000), Package::new("gone", 200_000));
    let mirror = mirror_of(&[&zlib, &gone]).on(&gone.file_name()).status(404);
    let world = world_of(&mirror, &[&zlib, &gone]).kubo(&FakeKubo::empty());
    let world = FakeIndex::called("a").listing(&zlib).in_use(world);
    // The program's user must be able to refresh what the tests made.
    if world::is_root() {
        let owner = format!("{0}:{0}", world::UNPRIVILEGED);
        let chown = std::process::Command::new("chown").args(["-R", &owner]).arg(world.path("state")).status();
        assert!(chown.expect("chown is everywhere").success());
    }
    std::fs::write(world.path("out/zlib"), "bytes").expect("a file");
    let rest = [
        ("pkgswarm-prefetch", &["prefetch", "--now"][..]),
        ("pkgswarm-fetch", &["fetch", "zlib"]),
        ("pkgswarm-cid", &["cid", "zlib"]),
        ("pkgswarm-config", &["config"]),
        ("pkgswarm-index-ls", &["index", "ls"]),
        ("pkgswarm-index-refresh", &["index", "refresh"]),
        ("pkgswarm-index-audit", &["index", "audit", "zlib"]),
        ("pkgswarm-setup", &["setup", "--dry-run"]),
        ("pkgswarm-doctor", &["doctor"]),
        ("pkgswarm-lan-ls", &["lan", "ls"]),
        ("pkgswarm-status", &["status"]),
        ("pkgswarm-why", &["why", "zlib"]),
        ("pkgswarm-stats", &["stats"]),
    ];
    let seen: Vec<_> = rest.iter().map(|(page, words)| documented(&world, page, words)).collect();
    // Nor does the manual list fields that no command prints: this mix of good and bad has nearly all of them.
    let prefetch: Vec<&str> = OUTPUTS
        .iter()
        .find(|output| output.page == "pkgswarm-prefetch")
        .expect("a page")
        .fields
        .iter()
        .map(|field| field.0)
        .collect();
    let missing: Vec<_> = prefetch.iter().filter(|field| !seen[0].contains(**field)).collect();
    assert_eq!(missing, [&"warnings"]);
}
