//! The package from a user's view: built by makepkg, installed by pacman into a system of its own, used there, and
//! removed without a trace.

#[path = "support/real/mod.rs"]
mod real;

use real::{Live, Mirror, Parts, Pkgbuild, Process, Repo, command, run, scratch};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The files of the package, directories left out.
const FILES: &[&str] = &[
    "etc/pkgswarm/config.toml",
    "usr/bin/pkgswarm",
    "usr/lib/pkgswarm/pkgswarm-daemon",
    "usr/lib/pkgswarm/pkgswarm-full",
    "usr/lib/systemd/system/pkgswarm-daemon.service",
    "usr/lib/systemd/system/pkgswarm-daemon.socket",
    "usr/lib/systemd/system/pkgswarm-endpoint.service",
    "usr/lib/systemd/system/pkgswarm-endpoint.socket",
    "usr/lib/systemd/system/pkgswarm-follow@.service",
    "usr/lib/systemd/system/pkgswarm-group-kubo@.service",
    "usr/lib/systemd/system/pkgswarm-group@.service",
    "usr/lib/systemd/system/pkgswarm-index.service",
    "usr/lib/systemd/system/pkgswarm-index.timer",
    "usr/lib/systemd/system/pkgswarm-keep.service",
    "usr/lib/systemd/system/pkgswarm-keep.timer",
    "usr/lib/systemd/system/pkgswarm-prefetch.service",
    "usr/lib/systemd/system/pkgswarm-prefetch.timer",
    "usr/lib/systemd/system/pkgswarm-publish@.service",
    "usr/lib/systemd/system/pkgswarm-publish@.timer",
    "usr/lib/systemd/user/pkgswarm-notify.path",
    "usr/lib/systemd/user/pkgswarm-notify.service",
    "usr/lib/sysusers.d/pkgswarm.conf",
    "usr/lib/tmpfiles.d/pkgswarm.conf",
    "usr/share/bash-completion/completions/pkgswarm",
    "usr/share/doc/pkgswarm/CHANGELOG.md",
    "usr/share/doc/pkgswarm/README.md",
    "usr/share/doc/pkgswarm/doc/guide.md",
    "usr/share/fish/vendor_completions.d/pkgswarm.fish",
    "usr/share/licenses/pkgswarm/LICENSE-APACHE",
    "usr/share/licenses/pkgswarm/LICENSE-MIT",
    "usr/share/man/man1/pkgswarm-doctor.1.gz",
    "usr/share/man/man1/pkgswarm-setup.1.gz",
    "usr/share/man/man1/pkgswarm-xfer.1.gz",
    "usr/share/man/man1/pkgswarm.1.gz",
    "usr/share/man/man5/pkgswarm.toml.5.gz",
    "usr/share/man/man7/pkgswarm-protocol.7.gz",
    "usr/share/zsh/site-functions/_pkgswarm",
];

/// Copies this tree to `into`, as a clone would have it, and returns its `dist`.
fn checkout(into: &Path) -> PathBuf {
    let parts =
        ["Cargo.toml", "Cargo.lock", "build.rs", "src", "benches", "tests", "completions", "man", "dist", "doc"];
    let parts = parts.iter().chain(&["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"]);
    run(command("cp").arg("-r").args(parts).arg(into)).ok();
    into.join("dist")
}

/// Runs `makepkg` as a user does, and returns the package `name` that lies in `dist` afterwards.
fn makepkg(dist: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    // makepkg refuses root. In a user namespace no process is root, and cargo still finds root's files.
    let mut unshare = command("unshare");
    unshare.args(["--user", "--map-user=1000", "--map-group=1000", "makepkg"]);
    unshare.args(["--nodeps", "--nocheck", "--noconfirm"]).args(arguments).current_dir(dist);
    unshare.env("PKGEXT", ".pkg.tar.zst").env("PACKAGER", "Tests <tests@example.invalid>");
    // A release build takes minutes; this one is kept for the next run, and no test here measures its speed.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("makepkg");
    unshare.env("CARGO_TARGET_DIR", target).env("CARGO_NET_OFFLINE", "true").env("CARGO_INCREMENTAL", "1");
    unshare.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
    let said = Process::start(&mut unshare).wait_within(Duration::from_secs(45 * 60)).ok();
    let files = || fs::read_dir(dist).expect("a directory").flatten().map(|entry| entry.path());
    let is_it = |path: &PathBuf| {
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        file.strip_prefix(name).is_some_and(|rest| rest.starts_with("-0")) && file.ends_with("-x86_64.pkg.tar.zst")
    };
    files().find(is_it).unwrap_or_else(|| panic!("makepkg made no {name}: {:?}\n{said}", files().collect::<Vec<_>>()))
}

/// Makes the package of what is committed, with the programs that [`makepkg`] has built, and checks what it is called
/// and holds.
fn assert_that_a_commit_makes_the_same_package(dist: &Path, package: &Path) {
    let git = |arguments: &[&str]| {
        let mut git = command("git");
        git.args(["-c", "user.name=Tests", "-c", "user.email=tests@example.invalid"]).args(arguments);
        run(git.current_dir(dist.parent().expect("the tree"))).ok().stdout
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "as it is"]);
    let version = format!("{}.r1.g{}", env!("CARGO_PKG_VERSION"), git(&["rev-parse", "--short", "HEAD"]).trim());
    let mut prepare = command("unshare");
    prepare.args(["--user", "--map-user=1000", "--map-group=1000", "makepkg", "-p", "PKGBUILD-git"]);
    run(prepare.args(["--nodeps", "--nobuild"]).env("CARGO_NET_OFFLINE", "true").current_dir(dist)).ok();
    let of_commit = makepkg(dist, "pkgswarm-git", &["-p", "PKGBUILD-git", "--repackage"]);
    assert!(of_commit.to_string_lossy().contains(&format!("pkgswarm-git-{version}-1-")), "{}", of_commit.display());
    let listed = |package: &Path, what: &str| {
        let mut tar = command("tar");
        run(tar.args(["--zstd", what]).arg(package).args(["--exclude=.BUILDINFO", "--exclude=.MTREE"])).ok().stdout
    };
    assert_eq!(listed(&of_commit, "-tf"), listed(package, "-tf"));
    let mut info = command("tar");
    let info = run(info.args(["--zstd", "-xOf"]).arg(&of_commit).arg(".PKGINFO")).ok().stdout;
    for line in [format!("provides = pkgswarm={version}"), "conflict = pkgswarm".to_owned()] {
        assert!(info.lines().any(|other| other == line), "{line}\n{info}");
    }
}

/// Lists the versions of a system's packages.
fn installed(live: &Live) -> Vec<String> {
    let listing = live.run(&["pacman", "-Q"]).ok().stdout;
    listing.lines().filter(|line| line.starts_with("alpha ")).map(str::to_owned).collect()
}

/// Asserts that `pacman -Ql` lists the package's files, at Arch Linux's places.
fn assert_its_files_are_in_place(live: &Live) {
    let listing = live.run(&["pacman", "-Ql", "pkgswarm"]).ok().stdout;
    let names: BTreeSet<&str> = listing.lines().filter_map(|line| line.strip_prefix("pkgswarm /")).collect();
    let missing: Vec<_> = FILES.iter().filter(|file| !names.contains(**file)).collect();
    assert!(missing.is_empty(), "not in the package: {missing:?}\n{listing}");
    let is_odd = |name: &&&str| !name.ends_with('/') && !name.starts_with("usr/") && !name.starts_with("etc/pkgswarm/");
    assert_eq!(names.iter().filter(is_odd).collect::<Vec<_>>(), [&""; 0]);
    let every_page = fs::read_dir("man").expect("man").count();
    assert_eq!(names.iter().filter(|name| name.contains("/man/") && name.ends_with(".gz")).count(), every_page);
    assert_eq!(live.run(&["pacman", "-Qkk", "pkgswarm"]).ok().stderr, "", "nothing is missing or altered");
    let version = live.run(&["pkgswarm", "--version"]).ok().stdout;
    assert_eq!(version, format!("pkgswarm {}\n", env!("CARGO_PKG_VERSION")));
}

/// Makes a system with pacman's own downloader, and with the dependencies.
fn system(parts: &Parts, release: &str, mirror: &Mirror) -> Option<Live> {
    let live = Live::start(parts, release)?;
    let user = if release == "6.0.2" { "" } else { "DownloadUser = alpm\n" };
    let text = format!(
        "[options]\nHoldPkg = pacman glibc\nArchitecture = auto\nDBPath = /var/lib/pacman/\nCacheDir = \
         /var/cache/pacman/pkg/\nHookDir = /etc/pacman.d/hooks/\nGPGDir = /etc/pacman.d/gnupg/\nLogFile = \
         /var/log/pacman.log\n#XferCommand = /usr/bin/curl -L -C - -f -o %o %u\n{user}ParallelDownloads = 5\nSigLevel = \
         Never\nLocalFileSigLevel = Never\n\n[core]\nServer = {}/core\n",
        mirror.url()
    );
    live.write("etc/pacman.conf", &text);
    // pacman's own package brings this user on Arch Linux.
    live.write("usr/lib/sysusers.d/alpm.conf", "u alpm - \"Arch Linux Package Management\" /\n");
    live.run(&["systemd-sysusers"]).ok();
    live.run(&["pacman", "-Syu", "--noconfirm", "glibc", "gcc-libs", "pacman", "alpha"]).ok();
    Some(live)
}

/// Does what the first block of commands in README.md says, word for word, on a system where pacman 7.1.0 downloads by
/// itself; the build is done already. Answers yes to the first question of setup, and nothing to the others.
fn the_first_page_ends_with_an_update(parts: &Parts, package: &Path) {
    let readme = fs::read_to_string("README.md").expect("README.md");
    let commands = readme.lines().filter_map(|line| line.strip_prefix("$ "));
    let commands: Vec<&str> = commands.map(|line| line.split("  #").next().expect("a command").trim()).collect();
    let tree = scratch("tree");
    let repo = Repo::new(parts, tree.path(), "core");
    repo.add(&["glibc", "gcc-libs", "pacman", "alpha"].map(|name| Pkgbuild::new(name, "1-1")));
    let mirror = Mirror::serve(tree.path());
    let Some(live) = system(parts, "7.1.0", &mirror) else { return };
    repo.add(&[Pkgbuild::new("alpha", "2-1")]);
    fs::copy(package, live.path("tmp/pkgswarm.pkg.tar.zst")).expect("the package");
    let mut done = 0;
    for command in &commands {
        match *command {
            "(cd dist && makepkg -si)" => {
                drop(live.at_terminal(&["pacman", "-U", "/tmp/pkgswarm.pkg.tar.zst"], &["y"]))
            }
            "sudo pkgswarm setup" => {
                let said = live.at_terminal(&["pkgswarm", "setup"], &["y", ""]);
                let conf = fs::read_to_string(live.path("etc/pacman.conf")).expect("pacman.conf");
                assert!(conf.contains("\nXferCommand = /usr/bin/pkgswarm xfer %u %o\n"), "{said}\n{conf}");
            }
            "sudo pacman -Syu" => {
                let said = live.at_terminal(&["pacman", "-Syu"], &["y"]);
                assert_eq!(installed(&live), ["alpha 2-1"], "{said}");
                let why = live.run(&["pkgswarm", "why", "alpha", "--json"]).ok().stdout;
                let why: serde_json::Value = serde_json::from_str(&why).expect("JSON");
                assert_eq!(why["last_delivered"]["by"], "xfer", "it came through pkgswarm: {why}");
            }
            other => panic!("README.md's first page has another command: {other}"),
        }
        done += 1;
    }
    assert_eq!(done, 3, "README.md's first page: {commands:?}");
}

#[test]
fn the_package_is_built_installed_used_and_removed_as_a_user_would() {
    let parts = Parts::demand();
    let work = scratch("pkgbuild");
    let dist = checkout(work.path());
    let package = makepkg(&dist, "pkgswarm", &[]);
    assert_that_a_commit_makes_the_same_package(&dist, &package);
    the_first_page_ends_with_an_update(&parts, &package);
    let tree = scratch("tree");
    for release in ["6.0.2", "7.1.0"] {
        let _ = fs::remove_dir_all(tree.path().join("core"));
        let repo = Repo::new(&parts, tree.path(), "core");
        let names = ["glibc", "gcc-libs", "pacman", "alpha"];
        repo.add(&names.map(|name| Pkgbuild::new(name, "1-1")));
        let mirror = Mirror::serve(tree.path());
        let Some(live) = system(&parts, release, &mirror) else { return };
        let before = fs::read(live.path("etc/pacman.conf")).expect("pacman.conf");
        fs::copy(&package, live.path("tmp/pkgswarm.pkg.tar.zst")).expect("the package");
        let ran = live.run(&["pacman", "-U", "--noconfirm", "/tmp/pkgswarm.pkg.tar.zst"]).ok();
        assert!(ran.stdout.contains("`sudo pkgswarm setup` shows what it would change"), "{ran}");
        assert_its_files_are_in_place(&live);
        assert_eq!(fs::read(live.path("etc/pacman.conf")).expect("pacman.conf"), before, "it was not asked for");

        let ran = live.run(&["pkgswarm", "setup", "--yes"]).ok();
        assert!(ran.stdout.contains("+XferCommand = /usr/bin/pkgswarm xfer %u %o"), "{ran}");
        let wanted = [
            "etc/systemd/system/timers.target.wants/pkgswarm-prefetch.timer",
            "etc/systemd/user/default.target.wants/pkgswarm-notify.path",
        ];
        assert!(wanted.iter().all(|unit| live.path(unit).is_symlink()), "{ran}");
        // pacman 7.1.0 itself leaves directories behind; doctor finds that, and its hint fixes it.
        let said = live.run(&["pkgswarm", "doctor", "--notes"]).ok().stdout;
        if let Some(fix) = said.lines().find_map(|line| line.strip_prefix("  fix: sudo ")) {
            assert!(release == "7.1.0" && said.contains("[leftover-downloads]"), "{said}");
            live.run(&fix.split(' ').collect::<Vec<_>>()).ok();
        }
        let ran = live.run(&["pkgswarm", "doctor", "--notes"]).ok();
        // One line says what was looked at.
        assert!(ran.stdout.lines().count() == 1 && ran.stdout.contains("pacman 14 ok; endpoint not used; "), "{ran}");

        repo.add(&[Pkgbuild::new("alpha", "2-1").size(300_000)]);
        let ran = live.run(&["pacman", "-Syu", "--noconfirm"]).ok();
        assert_eq!(installed(&live), ["alpha 2-1"], "{ran}");
        assert!(ran.stderr.contains("alpha-2-1-any.pkg.tar.zst  2") && ran.stderr.contains("from 127.0.0.1"), "{ran}");
        // As called by the timer's unit, after which the network is cut.
        repo.add(&[Pkgbuild::new("alpha", "3-1").size(400_000)]);
        let user = fs::metadata(live.path("var/cache/pkgswarm")).expect("the store");
        let user = std::os::unix::fs::MetadataExt::uid(&user).to_string();
        let ran = live.run_as(&user, &["pkgswarm", "prefetch", "--now"]).ok();
        assert_eq!(ran.stdout, "alpha 2-1 -> 3-1\n", "{ran}");
        live.run(&["pacman", "-Sy"]).ok();
        drop(mirror);
        live.run(&["pacman", "-Su", "--noconfirm"]).ok();
        assert_eq!(installed(&live), ["alpha 3-1"]);

        live.run(&["pkgswarm", "setup", "--undo", "--yes"]).ok();
        assert_eq!(fs::read(live.path("etc/pacman.conf")).expect("pacman.conf"), before);
        assert!(!wanted.iter().any(|unit| live.path(unit).is_symlink()));
        // If the user forgets that, the package undoes it.
        live.run(&["pkgswarm", "setup", "--yes"]).ok();
        assert_ne!(fs::read(live.path("etc/pacman.conf")).expect("pacman.conf"), before);
        let ran = live.run(&["pacman", "-R", "--noconfirm", "pkgswarm"]).ok();
        assert_eq!(fs::read(live.path("etc/pacman.conf")).expect("pacman.conf"), before, "{ran}");
        let left = ["usr/bin/pkgswarm", "etc/pkgswarm", "usr/share/man/man1/pkgswarm.1.gz", wanted[0], wanted[1]];
        let left: Vec<_> = left.into_iter().filter(|path| live.path(path).symlink_metadata().is_ok()).collect();
        assert_eq!(left, [""; 0], "{ran}");
    }
}
