//! The output of `pkgswarm generate` matches the repository, and is consistent.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

const AGAIN: &str = "run `cargo run -- generate .` and commit what it writes";

fn pkgswarm() -> Command {
    Command::new(env!("CARGO_BIN_EXE_pkgswarm"))
}

/// Returns name and text of every file below `top`.
fn files(top: &Path, below: &str) -> BTreeMap<String, String> {
    let entries = fs::read_dir(top.join(below)).unwrap_or_else(|e| panic!("{below}: {e}; {AGAIN}"));
    let files = entries.map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_file());
    let names = files.map(|file| format!("{below}/{}", file.file_name().to_str().unwrap()));
    names.map(|name| (name.clone(), fs::read_to_string(top.join(&name)).unwrap())).collect()
}

#[test]
fn manual_completions_and_example_are_what_generate_writes() {
    let made = tempfile::tempdir().unwrap();
    // Configuration is not read: a broken one does no harm.
    fs::write(made.path().join("config.toml"), "broken").unwrap();
    let run = pkgswarm().arg("generate").arg(made.path()).env("PKGSWARM_CONFIG_DIR", made.path()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    for below in ["man", "completions", "dist"] {
        let (made, held) = (files(made.path(), below), files(Path::new("."), below));
        for (name, text) in &made {
            assert!(held.get(name) == Some(text), "{name} is out of date: {AGAIN}");
        }
        // The format of the index is documented by hand and checked by `src/index/manual.rs`.
        let by_hand =
            |name: &str| below == "dist" || ["man/pkgswarm-index.5", "man/pkgswarm-protocol.7"].contains(&name);
        let left = held.keys().find(|name| !by_hand(name) && !made.contains_key(*name));
        assert_eq!(left, None, "no command is called so any more: remove the file");
    }
}

#[test]
fn every_page_is_roff_with_its_sections_and_a_line_in_the_page_above() {
    let pages = files(Path::new("."), "man");
    for (name, text) in &pages {
        assert!(text.lines().any(|line| line.starts_with(".TH PKGSWARM")), "{name}");
        for section in [".SH NAME", ".SH DESCRIPTION", ".SH \"SEE ALSO\""] {
            assert_eq!(text.lines().filter(|line| *line == section).count(), 1, "{name}: {section}");
        }
        // A line that begins with a dot or a quote is a request, so only known ones may.
        for line in text.lines().filter(|line| line.starts_with(['.', '\''])) {
            let request = line.split_whitespace().next().unwrap();
            let known = [".TH", ".SH", ".TP", ".PP", ".IP", ".RS", ".RE", ".br", ".nf", ".fi", ".ie", ".el"];
            assert!(known.contains(&request), "{name}: {line}");
        }
        let count = |request: &str| text.lines().filter(|line| line.starts_with(request)).count();
        assert_eq!((count(".RS"), count(".nf")), (count(".RE"), count(".fi")), "{name}");
        let stem = name.trim_start_matches("man/").trim_end_matches(".1");
        if let Some((above, _)) = stem.rsplit_once('-').filter(|_| name.ends_with(".1")) {
            let mention = format!("{}(1)", stem.replace('-', "\\-"));
            assert!(pages[&format!("man/{above}.1")].contains(&mention), "{above}.1 does not name {stem}");
        }
        assert!(!text.contains("upkeep") && !text.contains("generate"), "{name} names a hidden command");
    }
}

#[test]
fn completions_offer_no_hidden_command() {
    for (name, text) in files(Path::new("."), "completions") {
        assert!(text.contains("refresh") && !text.contains("upkeep") && !text.contains("generate"), "{name}");
    }
}

#[test]
fn the_example_taken_at_its_word_is_the_default_configuration() {
    let example = fs::read_to_string("dist/config.toml.example").unwrap();
    let settings = example.split("# An index in use").next().unwrap();
    let is_setting = |line: &&str| line.starts_with('[') || line.starts_with('#') && !line.starts_with("# ");
    let uncommented: Vec<&str> = settings.lines().filter(is_setting).map(|line| line.trim_start_matches('#')).collect();
    let values = |config: &str| {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.toml"), config).unwrap();
        let run = pkgswarm().args(["config", "--json"]).env_clear().env("PKGSWARM_CONFIG_DIR", dir.path()).output();
        let run = run.unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let json: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        let rows = json["settings"].as_array().unwrap().clone();
        let from_file = rows.iter().filter(|row| row["origin"] != "default").count();
        (rows.iter().map(|row| (row["key"].clone(), row["value"].clone())).collect::<Vec<_>>(), from_file)
    };
    let (defaults, none) = values(&example);
    let (spelt_out, all) = values(&uncommented.join("\n"));
    assert_eq!((&spelt_out, none, all), (&defaults, 0, defaults.len()));
}
