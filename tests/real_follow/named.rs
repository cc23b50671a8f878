//! A client on another node, which has the name of a publication and neither a copy of it nor a mirror.

use super::real::{Kubo, Parts, Swarm, Whole, digest_of_lines, scratch};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use tempfile::TempDir;

/// The client, and how often it looked.
pub struct NamedReader {
    // Dropped last: the programs talk to it.
    swarm: Swarm,
    into: TempDir,
    looked: usize,
    _kubo: Kubo,
}

impl NamedReader {
    /// Adds the index that is published under `name` by the node `theirs`.
    pub fn of(parts: &Parts, theirs: &Kubo, name: &str) -> Self {
        let kubo = Kubo::naming(parts, |_| {});
        kubo.connect(theirs);
        let mut swarm = Swarm::install().with_kubo(&kubo);
        swarm.set("PKGSWARM_KUBO_HEAD_START", "20 s");
        swarm.run(&["index", "add", "arch", name, "--yes", "--repo", "core", "--repo", "extra"]).ok();
        Self { swarm, into: scratch("fetched"), looked: 0, _kubo: kubo }
    }

    /// Looks the name up, and compares what the client holds then with what was whole upstream: its manifest is one of
    /// those states, its tables list all of that, and a package can be had, each time another one. `None` where the name did
    /// not answer; else the place of the state among those of upstream.
    pub fn resolved(&mut self, whole: &Mutex<Whole>) -> Option<usize> {
        if !self.swarm.run(&["index", "refresh"]).status.success() {
            return None;
        }
        let shown = self.swarm.run(&["index", "show", "arch", "--json", "--entries"]).ok().stdout;
        let mut lines = shown
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let manifest = lines.next().expect("a manifest");
        let databases: BTreeMap<String, String> =
            manifest["tables"].as_array().expect("tables").iter().map(of_table).collect();
        let mut listed: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for entry in lines {
            let text = |key: &str| entry[key].as_str().expect("a text").to_owned();
            let arch =
                text("name").split(".pkg").next().and_then(|name| name.rsplit('-').next()).expect("one").to_owned();
            listed.entry(format!("{}-{arch}", text("repo"))).or_default().push((text("name"), text("sha256")));
        }
        let state = {
            let whole = whole.lock().unwrap();
            for (table, entries) in &listed {
                let entries = entries.iter().map(|(file, sha256)| (file.as_str(), sha256.as_str()));
                assert_eq!(
                    digest_of_lines(entries),
                    whole.contents[&databases[table]],
                    "{table}: not what its database names"
                );
            }
            let state = whole.states.iter().position(|state| *state == databases);
            state.unwrap_or_else(|| panic!("a mixture of databases: {databases:?}"))
        };
        let is_own = |table: &str| table.ends_with(std::env::consts::ARCH);
        let own = listed.iter().filter(|(table, _)| is_own(table));
        let all: Vec<&(String, String)> = own.flat_map(|(_, entries)| entries).collect();
        assert!(listed.len() >= 2, "tables of this architecture");
        self.looked += 1;
        let (file, sha256) = all[self.looked * 7919 % all.len()];
        self.swarm.forget();
        self.swarm.run(&["fetch", file, "-d", &self.into.path().display().to_string()]).ok();
        let came = self.into.path().join(file);
        let bytes = fs::read(&came).expect("the package");
        assert_eq!(pkgswarm::base::digest::Sha256::of(&bytes).to_string(), *sha256, "{file}");
        fs::remove_file(came).expect("a file of ours");
        Some(state)
    }
}

fn of_table(table: &Value) -> (String, String) {
    let text = |key: &str| table[key].as_str().expect("a text");
    let database = table["databases"][0]["sha256"].as_str().expect("a database");
    (format!("{}-{}", text("repo"), text("arch")), database.to_owned())
}
