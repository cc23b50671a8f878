//! `dist/install` as it is run by hand: refusals that leave nothing, an installation, and its removal.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::world::listing;

struct Installer {
    dir: tempfile::TempDir,
}

impl Installer {
    /// A build of empty programs.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("build/release")).unwrap();
        for program in ["pkgswarm", "pkgswarm-full", "pkgswarm-daemon"] {
            fs::write(dir.path().join("build/release").join(program), "").unwrap();
        }
        Self { dir }
    }

    fn run(&self, words: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/dist/install"));
        command.args(words).current_dir(self.dir.path()).env("CARGO_TARGET_DIR", self.dir.path().join("build"));
        let run = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (run.status.code().unwrap(), text(&run.stdout), text(&run.stderr))
    }
}

fn files(below: &Path) -> Vec<String> {
    let mut open = vec![below.to_owned()];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        match fs::read_dir(&path) {
            Ok(entries) => open.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) => found.push(path.strip_prefix(below).unwrap().display().to_string()),
        }
    }
    found
}

#[test]
fn an_option_is_never_taken_for_a_directory_and_without_a_build_nothing_is_installed() {
    let installer = Installer::new();
    let (code, help, _) = installer.run(&["--help"]);
    assert!(code == 0 && help.starts_with("Usage: dist/install"), "{help}");
    for wrong in [&["--hlep"][..], &["-x"], &["a", "b"], &["--user"], &["--user", "a b", "root"]] {
        assert_eq!(installer.run(wrong).0, 2, "{wrong:?}");
    }
    fs::remove_file(installer.dir.path().join("build/release/pkgswarm-full")).unwrap();
    let (code, _, said) = installer.run(&["root"]);
    assert!(code == 1 && said.contains("cargo build --release --locked"), "{said}");
    assert_eq!(listing(installer.dir.path()), ["build"]);
}

#[test]
fn what_is_installed_is_counted_runs_as_a_user_that_exists_and_is_removed_again() {
    let installer = Installer::new();
    let root = installer.dir.path().join("root");
    let (code, said, _) = installer.run(&["--user", "keeper", "root"]);
    assert_eq!((code, &*said), (0, &*format!("installed {} files below {}\n", files(&root).len(), root.display())));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert!(read("usr/lib/systemd/system/pkgswarm-prefetch.service").contains("\nUser=keeper\n"));
    assert!(read("usr/lib/systemd/system/pkgswarm-keep.service").contains("\nUser=keeper\n"));
    assert!(read("usr/lib/systemd/system/pkgswarm-index.service").contains("\nUser=keeper\n"));
    assert!(read("usr/lib/systemd/system/pkgswarm-daemon.service").contains("\nUser=pkgswarm\n"));
    let store = read("usr/lib/tmpfiles.d/pkgswarm.conf");
    assert!(
        store.lines().filter(|line| line.starts_with('d')).all(|line| line.matches("keeper").count() == 2),
        "{store}"
    );
    // A package is for a system with pacman's own user.
    installer.run(&["package"]);
    let package = installer.dir.path().join("package/usr/lib/systemd/system/pkgswarm-prefetch.service");
    assert!(fs::read_to_string(package).unwrap().contains("\nUser=alpm\n"));
    fs::write(root.join("etc/pkgswarm/config.toml"), "[store]\nmax = \"1 GiB\"\n").unwrap();
    let (code, said, _) = installer.run(&["--uninstall", "root"]);
    assert!(code == 0 && said.contains("config.toml was changed and stays"), "{said}");
    assert_eq!(files(&root), ["etc/pkgswarm/config.toml"]);
}
