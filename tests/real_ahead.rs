//! Real pacman with and without read-ahead: the mirror's log shows the same files, each once, as with curl, and
//! one second after pacman has ended no process of ours runs and no file is set aside.

#[path = "support/real/mod.rs"]
mod real;

use real::{CURL, Mirror, PacmanRoot, Parts, Pkgbuild, Process, Release, Repo, Signer, Swarm, running, scratch, until};
use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tempfile::TempDir;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Most time that a process of ours may outlive pacman.
const SOON: Duration = Duration::from_secs(1);

/// Repositories, and a pacman to run on them.
struct Scene {
    parts: Parts,
    tree: TempDir,
    repos: Vec<Repo>,
    signer: Option<Rc<Signer>>,
}

impl Scene {
    fn new(names: &[&str]) -> Scene {
        let (parts, tree) = (Parts::demand(), scratch("tree"));
        let repos = names.iter().map(|name| Repo::new(&parts, tree.path(), name)).collect();
        Scene { parts, tree, repos, signer: None }
    }

    fn signed() -> Scene {
        let (parts, tree, signer) = (Parts::demand(), scratch("tree"), Rc::new(Signer::new()));
        let repos = vec![Repo::new(&parts, tree.path(), "core").signed(&signer)];
        Scene { parts, tree, repos, signer: Some(signer) }
    }

    fn core(&self) -> &Repo {
        &self.repos[0]
    }

    fn pacman(&self, release: Release, xfer: &str, mirror: &Mirror) -> PacmanRoot {
        let pacman = PacmanRoot::new(&self.parts, release, xfer).parallel(5);
        let pacman = match &self.signer {
            Some(signer) => pacman.sig_level("Required DatabaseNever").trusting(signer),
            None => pacman,
        };
        self.repos
            .iter()
            .fold(pacman, |pacman, repo| pacman.repo(repo, &[&format!("{}/{}", mirror.url(), repo.name())]))
    }

    /// Does the same with curl and with ours, and compares the requests at the mirrors and the installed packages.
    /// Returns our journal: the purpose and sources of each file.
    fn alike(
        &self,
        release: Release,
        setup: impl Fn(PacmanRoot) -> PacmanRoot,
        steps: impl Fn(&mut PacmanRoot),
    ) -> String {
        let (theirs, ours) = (Mirror::serve(self.tree.path()), Mirror::serve(self.tree.path()));
        let swarm = Swarm::install();
        let mut curl = setup(self.pacman(release, CURL, &theirs));
        let mut pacman = swarm.around(setup(self.pacman(release, &swarm.xfer_command(), &ours)));
        steps(&mut curl);
        steps(&mut pacman);
        assert_nothing_left(&swarm, &pacman);
        assert_eq!(fetched(&ours), fetched(&theirs), "files fetched with {release:?}, ours and with curl");
        assert_eq!(pacman.installed(), curl.installed(), "installed with {release:?}");
        assert_eq!(pacman.cache_files(), curl.cache_files(), "cached with {release:?}");
        journal(&swarm)
    }
}

/// Lists the packages and signatures that were found, once for each request, in order of names.
fn fetched(mirror: &Mirror) -> Vec<String> {
    let found = mirror.requests().into_iter().filter(|request| request.status == 200 && request.method == "GET");
    let mut names: Vec<String> = found.map(|request| request.path).filter(|path| path.contains(".pkg.tar")).collect();
    names.sort();
    names
}

/// Asserts that a second after pacman, no process of ours runs, and no file waits for a pacman that is gone.
#[track_caller]
fn assert_nothing_left(swarm: &Swarm, pacman: &PacmanRoot) {
    let is_over = || running(&swarm.program()).is_empty() && running(&pacman.program()).is_empty();
    until("everything of ours has ended", SOON, || is_over().then_some(()));
    let aside = fs::read_dir(swarm.store().join("aside")).into_iter().flatten().flatten();
    assert_eq!(aside.map(|entry| entry.path()).collect::<Vec<_>>(), [""; 0].map(std::path::PathBuf::from), "aside");
}

fn journal(swarm: &Swarm) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(swarm.store()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("journal") {
            text += &fs::read_to_string(entry.path()).unwrap_or_default();
        }
    }
    text
}

fn packages(version: &str) -> Vec<Pkgbuild> {
    (0..12).map(|i| Pkgbuild::new(&format!("p{i:02}"), version).size(40 * KIB)).collect()
}

fn names() -> Vec<String> {
    (0..12).map(|i| format!("p{i:02}")).collect()
}

fn install(pacman: &PacmanRoot, words: &[&str]) {
    let names = names();
    let words: Vec<&str> = words.iter().copied().chain(names.iter().map(String::as_str)).collect();
    pacman.run(&words).ok();
}

#[test]
fn a_system_upgrade_over_two_repositories_fetches_what_curl_fetches() {
    let scene = Scene::new(&["core", "extra"]);
    scene.repos[0].add(&packages("1-1"));
    scene.repos[1].add(&[Pkgbuild::new("big", "1-1").size(3 * MIB)]);
    let before = scratch("before");
    for release in Release::ALL {
        let (old_core, old_extra) = (scene.repos[0].copy_to(before.path()), scene.repos[1].copy_to(before.path()));
        let old = Mirror::serve(before.path());
        let of = |repo: &Repo| format!("{}/{}", old.url(), repo.name());
        scene.repos[0].add(&packages("2-1"));
        scene.repos[1].add(&[Pkgbuild::new("big", "1:1-1").size(3 * MIB)]);
        scene.alike(
            release,
            |pacman| pacman,
            |pacman| {
                let new = pacman.servers();
                pacman.set_servers(&old_core, &[&of(&old_core)]);
                pacman.set_servers(&old_extra, &[&of(&old_extra)]);
                install(pacman, &["-Sy", "big"]);
                pacman.clear_cache();
                for (repo, server) in scene.repos.iter().zip(&new) {
                    pacman.set_servers(repo, &[server]);
                }
                // Forced: the databases may have the same second as date.
                pacman.run(&["-Syyu"]).ok();
                assert_eq!(pacman.installed().iter().filter(|(_, version)| version == "2-1").count(), 12);
            },
        );
    }
}

#[test]
fn packages_with_dependencies_and_signatures_are_each_fetched_once() {
    let scene = Scene::signed();
    let mut all = packages("1-1");
    all.push(Pkgbuild::new("app", "1-1").size(2 * MIB).depends("p03").depends("p07").depends("p11"));
    scene.core().add(&all);
    for _ in 0..3 {
        scene.alike(
            Release::New,
            |pacman| pacman,
            |pacman| {
                pacman.run(&["-Sy", "app"]).ok();
                install(pacman, &["-S", "--needed"]);
            },
        );
    }
}

#[test]
fn most_of_a_transaction_is_fetched_ahead_where_the_mirror_is_slow() {
    let scene = Scene::signed();
    scene.core().add(&packages("1-1"));
    let slow = Mirror::serve_slowly(scene.tree.path(), 300 * KIB);
    let swarm = Swarm::install();
    let pacman = swarm.around(scene.pacman(Release::New, &swarm.xfer_command(), &slow));
    pacman.run(&["-Sy"]).ok();
    install(&pacman, &["-S"]);
    assert_nothing_left(&swarm, &pacman);
    assert_eq!(fetched(&slow).len(), 24);
    let ahead = journal(&swarm).lines().filter(|line| line.split_whitespace().any(|word| word == "ahead")).count();
    assert!(ahead >= 18, "{ahead} of 24 files were fetched ahead:\n{}", journal(&swarm));
}

#[test]
fn downloading_only_and_upgrading_after_a_refresh_fetch_what_curl_fetches() {
    let scene = Scene::new(&["core"]);
    scene.core().add(&packages("1-1"));
    for release in Release::ALL {
        scene.alike(
            release,
            |pacman| pacman,
            |pacman| {
                pacman.run(&["-Sy"]).ok();
                install(pacman, &["-Sw"]);
                install(pacman, &["-S"]);
            },
        );
    }
}

#[test]
fn an_upgrade_after_a_refresh_leaves_out_what_is_ignored() {
    let scene = Scene::new(&["core"]);
    let before = scratch("before");
    scene.core().add(&packages("1-1"));
    let old = scene.core().copy_to(before.path());
    scene.core().add(&packages("2-1"));
    let mirror = Mirror::serve(before.path());
    for release in Release::ALL {
        scene.alike(
            release,
            |pacman| pacman.option("IgnorePkg = p0[12] p05"),
            |pacman| {
                let new = pacman.servers();
                pacman.set_servers(&old, &[&format!("{}/core", mirror.url())]);
                install(pacman, &["-Sy"]);
                pacman.set_servers(scene.core(), &[&new[0]]);
                pacman.run(&["-Syy"]).ok();
                pacman.run(&["-Su", "--ignore", "p07,p08"]).ok();
                assert_eq!(pacman.installed().iter().filter(|(_, version)| version == "2-1").count(), 7);
            },
        );
    }
}

#[test]
fn the_provider_that_the_user_chooses_is_the_only_one_fetched() {
    let scene = Scene::new(&["core"]);
    let provider = |name: &str, lib: &str| Pkgbuild::new(name, "1-1").says("provides", "virtual").depends(lib);
    scene.core().add(&[
        Pkgbuild::new("app", "1-1").depends("virtual").depends("p00"),
        provider("first", "first-lib"),
        provider("second", "second-lib"),
        Pkgbuild::new("first-lib", "1-1"),
        Pkgbuild::new("second-lib", "1-1"),
        Pkgbuild::new("p00", "1-1"),
    ]);
    for release in Release::ALL {
        scene.alike(
            release,
            |pacman| pacman,
            |pacman| {
                pacman.run(&["-Sy"]).ok();
                pacman.run_answering(&["-S", "app"], "2\ny\n").ok();
                let installed: Vec<String> = pacman.installed().into_iter().map(|(name, _)| name).collect();
                assert_eq!(installed, ["app", "p00", "second", "second-lib"]);
            },
        );
    }
}

#[test]
fn a_replacement_that_the_user_declines_is_not_fetched() {
    let scene = Scene::new(&["core"]);
    let before = scratch("before");
    scene.core().add(&[Pkgbuild::new("old", "1-1"), Pkgbuild::new("other", "1-1")]);
    let earlier = scene.core().copy_to(before.path());
    scene.core().add(&[Pkgbuild::new("new", "1-1").says("replaces", "old"), Pkgbuild::new("other", "2-1")]);
    let mirror = Mirror::serve(before.path());
    for (release, answer) in Release::ALL.into_iter().flat_map(|release| [(release, "n"), (release, "y")]) {
        scene.alike(
            release,
            |pacman| pacman,
            |pacman| {
                let new = pacman.servers();
                pacman.set_servers(&earlier, &[&format!("{}/core", mirror.url())]);
                pacman.run(&["-Sy", "old", "other"]).ok();
                pacman.set_servers(scene.core(), &[&new[0]]);
                pacman.run_answering(&["-Syyu"], &format!("{answer}\ny\n")).ok();
                assert_eq!(pacman.installed().iter().any(|(name, _)| name == "new"), answer == "y");
            },
        );
    }
}

#[test]
fn only_the_chosen_members_of_a_group_are_fetched() {
    let scene = Scene::new(&["core"]);
    let member = |name: &str| Pkgbuild::new(name, "1-1").says("group", "tools");
    scene.core().add(&[member("a"), member("b").depends("b-lib"), member("c"), Pkgbuild::new("b-lib", "1-1")]);
    for release in Release::ALL {
        scene.alike(
            release,
            |pacman| pacman,
            |pacman| {
                pacman.run(&["-Sy"]).ok();
                pacman.run_answering(&["-S", "tools"], "1 3\ny\n").ok();
                assert_eq!(pacman.installed().len(), 2);
                pacman.run(&["-S", "--needed", "tools"]).ok();
                assert_eq!(pacman.installed().len(), 4);
            },
        );
    }
}

#[test]
fn an_ignored_package_that_was_named_and_declined_is_not_fetched() {
    let scene = Scene::new(&["core"]);
    scene.core().add(&packages("1-1"));
    for release in Release::ALL {
        scene.alike(
            release,
            |pacman| pacman.option("IgnorePkg = p02"),
            |pacman| {
                pacman.run(&["-Sy"]).ok();
                pacman.run_answering(&["-S", "p01", "p02", "p03"], "n\ny\n").ok();
                assert_eq!(pacman.installed().len(), 2);
            },
        );
    }
}

#[test]
fn of_two_packages_in_conflict_only_the_one_that_stays_is_fetched() {
    let scene = Scene::new(&["core"]);
    scene.core().add(&[
        Pkgbuild::new("a", "1-1").says("conflict", "b").says("provides", "b"),
        Pkgbuild::new("b", "1-1"),
        Pkgbuild::new("c", "1-1"),
    ]);
    for release in Release::ALL {
        scene.alike(
            release,
            |pacman| pacman,
            |pacman| {
                pacman.run(&["-Sy"]).ok();
                pacman.run(&["-S", "a", "b", "c"]).ok();
                assert_eq!(pacman.installed().len(), 2);
            },
        );
    }
}

#[test]
fn what_lies_in_the_cache_is_not_fetched_again() {
    let scene = Scene::signed();
    scene.core().add(&packages("1-1"));
    scene.alike(
        Release::New,
        |pacman| pacman,
        |pacman| {
            pacman.run(&["-Sy"]).ok();
            for name in names().iter().take(7) {
                for file in [format!("{name}-1-1-any.pkg.tar.zst"), format!("{name}-1-1-any.pkg.tar.zst.sig")] {
                    fs::copy(scene.core().dir().join(&file), pacman.cache().join(&file)).unwrap();
                }
            }
            install(pacman, &["-S"]);
        },
    );
}

#[test]
fn optional_signatures_are_fetched_and_unwanted_ones_are_not() {
    for (level, signatures) in [("Optional TrustAll DatabaseNever", 12), ("Never", 0)] {
        let scene = Scene::signed();
        scene.core().add(&packages("1-1"));
        let names = |pacman: &PacmanRoot| pacman.cache_files().iter().filter(|name| name.ends_with(".sig")).count();
        scene.alike(
            Release::New,
            |pacman| pacman.sig_level(level),
            |pacman| {
                install(pacman, &["-Sy"]);
                assert_eq!(names(pacman), signatures);
            },
        );
    }
}

#[test]
fn switched_off_nothing_is_read_ahead() {
    let scene = Scene::new(&["core"]);
    scene.core().add(&packages("1-1"));
    for release in Release::ALL {
        let journal = scene.alike(
            release,
            |pacman| pacman.env("PKGSWARM_AHEAD_ENABLED", "false"),
            |pacman| {
                install(pacman, &["-Sy"]);
            },
        );
        assert!(!journal.contains("ahead"), "{journal}");
    }
}

#[test]
fn targets_from_standard_input_are_left_to_pacman() {
    let scene = Scene::new(&["core"]);
    scene.core().add(&packages("1-1"));
    let journal = scene.alike(
        Release::New,
        |pacman| pacman,
        |pacman| {
            pacman.run(&["-Sy"]).ok();
            pacman.run_piping(&["-S", "p01", "-"], "p02\np03\n").ok();
            assert_eq!(pacman.installed().len(), 3);
        },
    );
    assert!(!journal.contains("ahead"), "{journal}");
}

#[test]
fn a_local_repository_is_not_copied_into_the_store() {
    let scene = Scene::new(&["core"]);
    scene.core().add(&packages("1-1"));
    for release in Release::ALL {
        let swarm = Swarm::install();
        let pacman = PacmanRoot::new(&scene.parts, release, &swarm.xfer_command()).parallel(5);
        let url = format!("file://{}", scene.core().dir().display());
        let pacman = swarm.around(pacman.repo(scene.core(), &[&url]));
        install(&pacman, &["-Sy"]);
        assert_nothing_left(&swarm, &pacman);
        assert_eq!(fs::read_dir(swarm.store().join("files")).unwrap().count(), 0);
        assert!(!journal(&swarm).contains("ahead"), "{}", journal(&swarm));
    }
}

#[test]
fn a_package_that_no_server_has_fails_the_transaction_as_with_curl_and_costs_nothing_twice() {
    let scene = Scene::new(&["core"]);
    scene.core().add(&packages("1-1"));
    let missing = scene.core().dir().join("p04-1-1-any.pkg.tar.zst");
    let aside = scene.tree.path().join("aside");
    for release in Release::ALL {
        fs::rename(&missing, &aside).unwrap();
        let (theirs, ours) = (Mirror::serve(scene.tree.path()), Mirror::serve(scene.tree.path()));
        let swarm = Swarm::install();
        let curl = scene.pacman(release, CURL, &theirs);
        let pacman = swarm.around(scene.pacman(release, &swarm.xfer_command(), &ours));
        for pacman in [&curl, &pacman] {
            pacman.run(&["-Sy"]).ok();
            let names = names();
            let words: Vec<&str> = ["-S"].into_iter().chain(names.iter().map(String::as_str)).collect();
            pacman.run(&words).failed();
            assert_eq!(pacman.installed(), []);
        }
        assert_nothing_left(&swarm, &pacman);
        fs::rename(&aside, &missing).unwrap();
        install(&pacman, &["-S"]);
        assert_nothing_left(&swarm, &pacman);
        let mut once = fetched(&ours);
        once.dedup();
        assert_eq!((fetched(&ours).len(), once.len()), (12, 12), "{:?}", fetched(&ours));
        assert_eq!(ours.requests_for("p04-1-1-any.pkg.tar.zst").iter().filter(|it| it.status == 404).count(), 2);
    }
}

/// Starts a transaction over a slow line, with read-ahead and big files.
fn under_way(scene: &Scene, release: Release, mirror: &Mirror, swarm: &Swarm) -> (PacmanRoot, Process) {
    let pacman = swarm.around(scene.pacman(release, &swarm.xfer_command(), mirror));
    pacman.run(&["-Sy"]).ok();
    let names = names();
    let words: Vec<&str> = ["-S"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let running = pacman.start(&words);
    until("several files are on their way", Duration::from_secs(20), || (partials(&swarm.store()) >= 3).then_some(()));
    (pacman, running)
}

fn partials(store: &Path) -> usize {
    fs::read_dir(store.join("partial")).into_iter().flatten().flatten().count()
}

fn big(scene: &Scene) {
    let all: Vec<Pkgbuild> = (0..12).map(|i| Pkgbuild::new(&format!("p{i:02}"), "1-1").size(600 * KIB)).collect();
    scene.core().add(&all);
}

#[test]
fn nothing_outlives_a_pacman_that_is_killed() {
    let scene = Scene::new(&["core"]);
    big(&scene);
    for release in Release::ALL {
        let (mirror, swarm) = (Mirror::serve_slowly(scene.tree.path(), 100 * KIB), Swarm::install());
        let (pacman, process) = under_way(&scene, release, &mirror, &swarm);
        process.signal(Signal::KILL);
        process.wait();
        assert_nothing_left(&swarm, &pacman);
        fs::remove_file(pacman.db().join("db.lck")).unwrap();
        let quick = Mirror::serve(scene.tree.path());
        let mut pacman = pacman;
        pacman.set_servers(scene.core(), &[&format!("{}/core", quick.url())]);
        install(&pacman, &["-S"]);
        let whole = 12 * 600 * KIB;
        assert!(quick.bytes_served() < whole, "what had arrived is kept: {} bytes", quick.bytes_served());
    }
}

#[test]
fn after_one_interrupt_nothing_more_is_fetched() {
    let scene = Scene::new(&["core"]);
    big(&scene);
    for release in Release::ALL {
        let (mirror, swarm) = (Mirror::serve_slowly(scene.tree.path(), 100 * KIB), Swarm::install());
        let (pacman, process) = under_way(&scene, release, &mirror, &swarm);
        process.interrupt();
        let ours = || running(&swarm.program());
        until("nothing of ours runs", SOON * 2, || ours().is_empty().then_some(()));
        process.wait().failed();
        assert_nothing_left(&swarm, &pacman);
        assert!(fetched(&mirror).len() < 12, "{:?}", fetched(&mirror));
    }
}

#[test]
fn two_interrupts_end_pacman_and_everything_of_ours() {
    let scene = Scene::new(&["core"]);
    big(&scene);
    for release in Release::ALL {
        let (mirror, swarm) = (Mirror::serve_slowly(scene.tree.path(), 100 * KIB), Swarm::install());
        let (pacman, process) = under_way(&scene, release, &mirror, &swarm);
        process.interrupt();
        until("the downloader has ended", SOON * 2, || {
            let calls = running(&swarm.program()).into_iter().filter(|pid| is_call(*pid)).count();
            (calls == 0).then_some(())
        });
        process.interrupt();
        process.wait();
        assert_nothing_left(&swarm, &pacman);
        assert_eq!(pacman.installed(), []);
    }
}

fn is_call(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == b"xfer"))
}
