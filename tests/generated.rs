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
        let by_hand = |name: &str| {
            below == "dist"
                || ["man/pkgswarm-index.5", "man/pkgswarm-protocol.7", "man/pkgswarm-haiku.7"].contains(&name)
        };
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
            let known = [".TH", ".SH", ".SS", ".TP", ".PP", ".IP", ".RS", ".RE", ".br", ".nf", ".fi", ".ie", ".el"];
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
fn every_page_of_a_command_has_the_sections_that_readers_look_for() {
    for (name, text) in files(Path::new("."), "man") {
        let sections: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        let wanted: &[&str] = match name.ends_with(".1") {
            true => &["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "\"EXIT STATUS\"", "\"SEE ALSO\""],
            false => &["NAME", "DESCRIPTION", "\"SEE ALSO\""],
        };
        for section in wanted {
            assert!(sections.contains(section), "{name}: {section} is missing: {sections:?}");
        }
        if name.ends_with(".1") {
            let about = text.lines().skip_while(|line| *line != ".SH NAME").nth(1).unwrap_or_default();
            let about = about.split_once(" \\- ").map_or(about, |(_, about)| about);
            let first = text.lines().skip_while(|line| *line != ".SH DESCRIPTION").nth(1).unwrap_or_default();
            assert_ne!(first, about, "{name}: DESCRIPTION repeats NAME");
            assert!(!text.contains('`'), "{name}: backticks are for help on a terminal");
        }
    }
}

#[test]
fn man_shows_every_page_without_a_warning() {
    if Command::new("man").arg("--version").output().is_err() {
        return eprintln!("SKIPPED: man is not installed");
    }
    for (name, _) in files(Path::new("."), "man") {
        // As the wiki of Debian's lintian has it: groff's own warnings, at a width of 80 columns.
        let run = Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", &name])
            .env("LC_ALL", "C.UTF-8")
            .env("MANROFFSEQ", "")
            .env("MANWIDTH", "80")
            .output()
            .expect("man can be run");
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success() && said.trim().is_empty(), "{name}: {said}");
    }
}

#[test]
fn completions_know_settings_indexes_packages_and_help() {
    for (name, text) in files(Path::new("."), "completions") {
        for known in
            ["kubo.api", "lan.upload=", "pacman -Slq", "pkgswarm index ls --json", "pacman-conf CacheDir", "help"]
        {
            assert!(text.contains(known) || known == "lan.upload=" && name.ends_with("_pkgswarm"), "{name}: {known}");
        }
    }
}

/// Returns the words that bash would offer in an empty directory `dir/in`, on a machine whose programs print these lines.
fn offered_by_bash(dir: &Path, programs: [(&str, &str); 3], words: &[&str]) -> String {
    for (program, says) in programs {
        let path = dir.join(program);
        fs::write(&path, format!("#!/bin/sh\ncat <<'END'\n{says}\nEND\n")).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    fs::create_dir_all(dir.join("in")).unwrap();
    let script = format!(
        "source {}; COMP_WORDS=({}); COMP_CWORD={}; \
         _pkgswarm_more pkgswarm \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo \"${{COMPREPLY[*]}}\"",
        fs::canonicalize("completions/pkgswarm.bash").unwrap().display(),
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words.len() - 1
    );
    let path = format!("{}:/usr/bin:/bin", dir.display());
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", &script]).env("PATH", path).current_dir(dir.join("in"));
    String::from_utf8_lossy(&bash.output().unwrap().stdout).trim().to_owned()
}

/// A line of `index ls --json`.
const INDEX: &str = r#"{"age":1,"key":"k51","name":"arch","transports":[]}"#;

#[test]
fn bash_runs_nothing_that_a_name_holds() {
    let names = ["$(touch${IFS}ran)", "`touch${IFS}ran`", "${x:=$(touch${IFS}ran)}", "a;touch", "*", "~", "zlib"];
    let index = INDEX.replace("arch", "$(touch${IFS}ran)");
    for words in [
        vec!["why"],
        vec!["fetch"],
        vec!["fetch", "a"],
        vec!["prefetch", "--only"],
        vec!["index", "rm"],
        vec!["index", "show"],
        vec!["index", "refresh"],
        vec!["index", "audit"],
    ] {
        let dir = tempfile::tempdir().unwrap();
        let all = names.join("\n");
        let programs = [("pkgswarm", &*index), ("pacman", &*all), ("pacman-conf", &*all)];
        let words = [vec!["pkgswarm"], words, vec![""]].concat();
        let offered = offered_by_bash(dir.path(), programs, &words);
        let left: Vec<_> = fs::read_dir(dir.path().join("in")).unwrap().map(|one| one.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{words:?}: {left:?}");
        let is_index = words[1] == "index" && words[2] != "audit";
        assert_eq!(offered, if is_index { "" } else { "zlib" }, "{words:?}");
    }
}

#[test]
fn bash_completes_settings_and_indexes() {
    let dir = tempfile::tempdir().unwrap();
    let programs = [("pkgswarm", INDEX), ("pacman", "firefox\nzlib"), ("pacman-conf", "/var/cache/pacman/pkg/")];
    let completed = |words: &[&str]| offered_by_bash(dir.path(), programs, words);
    assert_eq!(completed(&["pkgswarm", "config", "kubo.a"]), "kubo.api");
    assert_eq!(completed(&["pkgswarm", "--set", "prefetch.w"]), "prefetch.window=");
    assert_eq!(completed(&["pkgswarm", "index", "rm", ""]), "arch");
    assert_eq!(completed(&["pkgswarm", "why", "fire"]), "firefox");
    assert!(completed(&["pkgswarm", "index", "audit", "/var/c"]).starts_with("/var/cache"), "CacheDirs");
    assert!(completed(&["pkgswarm", "st"]).contains("status") && completed(&["pkgswarm", "he"]) == "help");
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
