//! The wrapper and the kept answer, on the real `pacman-conf` where there is one.

use super::*;
use crate::base::fsx::FileKey;
use crate::lists::pacman::arguments::Arguments;
use crate::lists::pacman::caller::ProcessKey;

/// A configuration directory; `None` on machines without pacman, where the tests that need it prove nothing.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn with(config: &str) -> Option<Self> {
        program::found(Path::new("pacman-conf"))?;
        let dir = tempfile::tempdir().unwrap();
        for name in ["db", "cache", "gpg", "hooks", "mirrors", "staging"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let at = dir.path().display().to_string();
        let options =
            format!("[options]\nDBPath = AT/db\nCacheDir = AT/cache\nGPGDir = AT/gpg\nHookDir = AT/hooks\n{config}");
        std::fs::write(dir.path().join("pacman.conf"), options.replace("AT", &at)).unwrap();
        Some(Self { dir })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn question(&self) -> ConfQuestion {
        ConfQuestion { config: self.path("pacman.conf"), ..ConfQuestion::default() }
    }

    fn servers(&self) -> Vec<String> {
        let conf = self.question().ask_or_recall(&self.path("staging")).unwrap();
        conf.repos.into_iter().flat_map(|repo| repo.common.servers).collect()
    }
}

#[test]
fn a_program_that_is_not_there_is_no_answer() {
    let missing = ConfQuestion { program: "/nonexistent/pacman-conf".into(), ..ConfQuestion::default() };
    assert!(matches!(missing.ask(), Err(ConfError::Silent(SilentError::Program { .. }))));
}

#[test]
fn the_command_line_wins_over_the_configuration_as_in_pacman() {
    let Some(machine) = Machine::with("Architecture = i686\n[core]\nServer = http://m.example/$repo/$arch\n") else {
        return;
    };
    for name in ["db2", "cache2", "cache 3"] {
        std::fs::create_dir(machine.path(name)).unwrap();
    }
    let question = ConfQuestion {
        db_path: Some(machine.path("db2")),
        cache_dirs: vec![machine.path("cache2"), machine.path("cache 3")],
        architectures: vec!["riscv64".into()],
        ..machine.question()
    };
    let conf = question.ask().unwrap();
    let bare = |path: &Path| path.components().collect::<PathBuf>();
    assert_eq!(bare(&conf.db_path), machine.path("db2"));
    let dirs: Vec<_> = conf.cache_dirs.iter().map(|path| bare(path)).collect();
    for name in ["cache2", "cache 3", "cache"] {
        assert!(dirs.contains(&machine.path(name)), "{name} in {dirs:?}");
    }
    assert_eq!(conf.repos[0].servers, ["http://m.example/core/riscv64"]);
    assert_eq!(machine.question().ask().unwrap().repos[0].servers, ["http://m.example/core/i686"]);
}

#[test]
fn an_answer_is_kept_until_any_of_its_files_changes() {
    let Some(machine) = Machine::with("[core]\nInclude = AT/mirrors/*.list\n[extra]\nInclude = AT/one\n") else {
        return;
    };
    let write = |name: &str, text: &str| std::fs::write(machine.path(name), text).unwrap();
    write("mirrors/a.list", "Server = http://a\n");
    write("one", "Server = http://one\n");
    assert_eq!(machine.servers(), ["http://a", "http://one"]);
    let kept =
        || std::fs::read_dir(machine.path("staging")).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
    let state = states(&kept());
    assert_eq!(machine.servers(), ["http://a", "http://one"]);
    assert_eq!((state.len(), states(&kept())), (1, state), "nothing was asked or written again");

    write("one", "Server = http://another\n");
    assert_eq!(machine.servers(), ["http://a", "http://another"]);
    write("mirrors/b.list", "Server = http://b\n");
    assert_eq!(machine.servers(), ["http://a", "http://b", "http://another"]);
    std::fs::remove_file(machine.path("mirrors/a.list")).unwrap();
    assert_eq!(machine.servers(), ["http://b", "http://another"]);
    std::fs::write(&kept()[0], b"\xff").unwrap();
    assert_eq!(machine.servers(), ["http://b", "http://another"]);
}

#[test]
fn an_answer_is_given_where_nothing_can_be_kept() {
    let Some(machine) = Machine::with("[core]\nServer = http://a\n") else { return };
    assert_eq!(machine.question().ask_or_recall(&machine.path("none")).unwrap().repos.len(), 1);
}

#[test]
fn a_syntax_error_is_reported() {
    let Some(machine) = Machine::with("[core]\nInclude = AT/nothing\n") else { return };
    std::fs::write(machine.path("pacman.conf"), "outside = section\n").unwrap();
    assert!(matches!(machine.question().ask(), Err(ConfError::Silent(SilentError::Refused { .. }))));
}

#[test]
fn control_characters_are_never_written_into_a_configuration() {
    let question = ConfQuestion { architectures: vec!["x\n[evil]".into()], ..ConfQuestion::default() };
    assert!(matches!(question.ask(), Err(ConfError::Unwritable(_))));
}

#[test]
fn a_question_takes_its_paths_from_the_caller() {
    let key = ProcessKey { pid: std::process::id() as i32, start_time: 0 };
    let caller = |line: &str| {
        let words: Vec<_> = line.split(' ').map(OsString::from).collect();
        Caller { key, program: "pacman".into(), arguments: Arguments::parse(&words), otherwise: None }
    };
    let question = ConfQuestion::of(&caller("-Sy --config /c -b /d -r /r --cachedir /e")).unwrap();
    let want = ["/c", "/d", "/r", "/e"].map(PathBuf::from);
    let got = [question.config, question.db_path.unwrap(), question.root.unwrap(), question.cache_dirs[0].clone()];
    assert_eq!(got, want);
    assert_eq!(ConfQuestion::of(&caller("-Syu")).unwrap(), ConfQuestion::default());
    assert!(matches!(ConfQuestion::of(&caller("-Sy -b no/such/place")), Err(ConfError::Relative(_))));
}

fn states(paths: &[PathBuf]) -> Vec<FileKey> {
    paths.iter().map(|path| FileKey::at(path).unwrap()).collect()
}
