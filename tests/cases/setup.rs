//! `pkgswarm setup` on pacman.conf files as found in practice: changed as shown, understood by pacman-conf, and
//! restored by --undo byte for byte.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;

use serde_json::json;

use crate::support::run::{Run, Running};
use crate::support::shapes::{INCLUDED, shapes};
use crate::support::world::{binary, listing};
use crate::support::{FakeKubo, World};

const MARK: &str = "# Written by `pkgswarm setup`; `pkgswarm setup --undo` takes it back.";

/// Makes a machine with this pacman.conf and pacman 7.1.0.
pub(super) fn machine(text: &[u8]) -> World {
    let world = World::new();
    for (name, included) in INCLUDED {
        fs::write(world.path(name), included).unwrap();
    }
    // Only texts that are not Latin-1 include files.
    let text = String::from_utf8(text.to_vec())
        .map_or(text.to_vec(), |text| text.replace("AT/", &format!("{}/", world.base())).into_bytes());
    world.pacman_conf(&text).script("pacman", "echo ' .--.  Pacman v7.1.0 - libalpm v16.0.0'")
}

fn setup(world: &World, more: &[&str]) -> Run {
    world.run(&[&["setup", "--only", "pacman"], more].concat())
}

pub(super) fn conf(world: &World) -> Vec<u8> {
    fs::read(world.path("pacman.conf")).unwrap()
}

pub(super) fn understood(world: &World) -> String {
    let mut command = Command::new(world.path("bin/pacman-conf"));
    let run = command.arg("--config").arg(world.path("pacman.conf")).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    String::from_utf8(run.stdout).unwrap()
}

/// Returns the XferCommand that setup writes.
pub(super) fn ours() -> String {
    format!("XferCommand = {} xfer %u %o", binary().display())
}

#[test]
fn setup_is_understood_by_pacman_conf_and_undone_byte_for_byte_in_every_shape() {
    for (shape, text) in shapes() {
        let world = machine(&text);
        let before = conf(&world);
        let plain = understood(&world);
        let run = setup(&world, &["--yes"]);
        assert_eq!(run.code(), 0, "{shape}: {}", run.stderr);
        let after = conf(&world);
        assert!(understood(&world).lines().any(|line| line == ours()), "{shape}: {}", understood(&world));
        let rest =
            |dump: &str| dump.lines().filter(|line| !line.starts_with("XferCommand")).collect::<Vec<_>>().join("\n");
        assert_eq!(rest(&understood(&world)), rest(&plain), "{shape}: nothing else changes its meaning");
        assert_eq!(fs::read(world.path("config/setup/pacman.conf.before")).unwrap(), before, "{shape}: the backup");
        let again = setup(&world, &["--yes"]);
        assert_eq!((again.code(), conf(&world) == after), (0, true), "{shape}: a second time is one time too many");
        let undo = setup(&world, &["--undo", "--yes"]);
        assert_eq!(undo.code(), 0, "{shape}: {}", undo.stderr);
        assert!(conf(&world) == before, "{shape}: {}", String::from_utf8_lossy(&conf(&world)));
        assert_eq!(listing(&world.path("config")), [""; 0], "{shape}: nothing of setup is left");
    }
}

#[test]
fn setup_shows_the_change_as_diff_does_and_says_where_the_backup_is() {
    let world = machine(b"[options]\nXferCommand = /usr/bin/curl -o %o %u\nColor\n");
    let run = setup(&world, &["--yes"]);
    let path = world.path("pacman.conf").display().to_string();
    let want = format!(
        "--- {path}\n+++ {path}\n@@ -1,3 +1,5 @@\n [options]\n-XferCommand = /usr/bin/curl -o %o %u\n\
         +#XferCommand = /usr/bin/curl -o %o %u\n+{MARK}\n+{}\n Color\n",
        ours()
    );
    assert_eq!(run.stdout, want);
    assert_eq!(
        run.said,
        "pacman: $WORLD/pacman.conf: pacman downloads with pkgswarm; as it was: $WORLD/config/setup/pacman.conf.before\n"
    );
}

#[test]
fn setup_changes_nothing_when_it_only_shows_or_cannot_ask_or_is_told_no() {
    let world = machine(b"[options]\nColor\n");
    let before = conf(&world);
    let dry = setup(&world, &["--dry-run"]);
    assert_eq!((dry.code(), dry.stderr.as_str()), (0, "Nothing was changed. `sudo pkgswarm setup` does it.\n"));
    assert!(dry.stdout.contains("+XferCommand"), "{}", dry.stdout);
    let mute = setup(&world, &[]);
    assert_eq!(mute.code(), 2);
    assert_eq!(
        mute.said,
        "error: setup: needs confirmation, but standard input is not a terminal\nhint: give --yes to confirm\n"
    );
    let no = Running::asked("n\n", world.command(&["setup", "--only", "pacman"]), world.base()).finish();
    assert_eq!((no.code(), no.said.as_str()), (0, "     Do it? [Y/n] "));
    assert!(no.stdout.contains("1/1  Have pacman download with pkgswarm\n") && no.stdout.contains("left as it is\n"));
    let quit = Running::asked("perhaps\nq\n", world.command(&["setup", "--only", "pacman"]), world.base()).finish();
    assert_eq!((quit.code(), quit.said.matches("Do it? [Y/n]").count()), (0, 2), "asked again: {}", quit.said);
    assert!(quit.stdout.contains("quit; what was not answered is left as it is\n"), "{}", quit.stdout);
    assert_eq!(conf(&world), before);
    assert_eq!(listing(&world.path("config")), [""; 0]);
    let yes = Running::asked("y\n", world.command(&["setup", "--only", "pacman"]), world.base()).finish();
    assert_eq!(yes.code(), 0, "{}", yes.stderr);
    assert_ne!(conf(&world), before);
}

#[test]
fn setup_keeps_mode_and_link_and_can_change_a_read_only_file() {
    let world = machine(b"[options]\nColor\n");
    let (link, real) = (world.path("pacman.conf"), world.path("dotfiles/pacman.conf"));
    fs::create_dir(world.path("dotfiles")).unwrap();
    fs::rename(&link, &real).unwrap();
    symlink("dotfiles/pacman.conf", &link).unwrap();
    fs::set_permissions(&real, Permissions::from_mode(0o444)).unwrap();
    for (more, has) in [(&["--yes"][..], true), (&["--undo", "--yes"], false)] {
        let run = setup(&world, more);
        assert_eq!(run.code(), 0, "{}", run.stderr);
        assert_eq!(fs::read_link(&link).unwrap().to_str(), Some("dotfiles/pacman.conf"));
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o7777, 0o444);
        assert_eq!(String::from_utf8(conf(&world)).unwrap().contains(&ours()), has);
        assert_eq!(listing(&world.path("dotfiles")), ["pacman.conf"], "nothing is left beside it");
    }
}

#[test]
fn undo_keeps_what_was_edited_since_and_removes_only_our_lines() {
    let world =
        machine(b"[options]\nXferCommand = /usr/bin/curl -o %o %u\nColor\n[core]\nServer = https://m.example/c\n");
    assert_eq!(setup(&world, &["--yes"]).code(), 0);
    let edited = String::from_utf8(conf(&world)).unwrap().replace("Color\n", "#Color\nVerbosePkgLists\n")
        + "[extra]\nServer = https://m.example/e\n";
    fs::write(world.path("pacman.conf"), edited).unwrap();
    let undo = setup(&world, &["--undo", "--yes"]);
    assert_eq!(undo.code(), 0, "{}", undo.stderr);
    let want = "[options]\nXferCommand = /usr/bin/curl -o %o %u\n#Color\nVerbosePkgLists\n[core]\nServer = https://m.example/c\n[extra]\nServer = https://m.example/e\n";
    assert_eq!(String::from_utf8(conf(&world)).unwrap(), want);
}

#[test]
fn undo_changes_nothing_where_our_lines_were_edited_and_says_how_to_go_on() {
    let world = machine(b"[options]\nColor\n");
    assert_eq!(setup(&world, &["--yes"]).code(), 0);
    let edited = String::from_utf8(conf(&world)).unwrap().replace(" xfer ", " --set kubo.enabled=false xfer ");
    fs::write(world.path("pacman.conf"), &edited).unwrap();
    let undo = setup(&world, &["--undo", "--yes"]);
    undo.fails(
        2,
        "error: $WORLD/pacman.conf: what setup wrote was edited since and cannot be told apart; nothing is changed\n\
         hint: edit it by hand; `diff $WORLD/config/setup/pacman.conf.before $WORLD/pacman.conf` shows what is different\n",
    );
    assert_eq!(String::from_utf8(conf(&world)).unwrap(), edited);
    assert!(world.path("config/setup/pacman.conf.before").exists(), "the backup stays");
}

#[test]
fn undo_after_our_lines_were_removed_by_hand_forgets_them() {
    let world = machine(b"[options]\nColor\n");
    assert_eq!(setup(&world, &["--yes"]).code(), 0);
    fs::write(world.path("pacman.conf"), "[options]\nXferCommand = /usr/bin/curl -o %o %u\n").unwrap();
    let undo = setup(&world, &["--undo", "--yes"]);
    assert_eq!(undo.code(), 0, "{}", undo.stderr);
    assert_eq!(conf(&world), b"[options]\nXferCommand = /usr/bin/curl -o %o %u\n");
    assert_eq!(listing(&world.path("config")), [""; 0]);
}

#[test]
fn setup_refuses_what_pacman_does_not_understand_or_would_not_obey() {
    let refused = |text: &[u8], included: &str, said: &str| {
        let world = machine(text);
        fs::write(world.path("options.conf"), included).unwrap();
        let before = conf(&world);
        setup(&world, &["--yes"]).fails(2, &said.replace("OURS", &ours()));
        assert_eq!(conf(&world), before);
        assert_eq!(listing(&world.path("config")), [""; 0]);
    };
    refused(
        b"\xef\xbb\xbf[options]\nColor\n",
        "",
        "error: $WORLD/pacman.conf: is not understood: pacman-conf failed (exit status: 1): error: config file /dev/stdin, \
         line 1: All directives must belong to a section.\nhint: correct it, and run pkgswarm setup again\n",
    );
    refused(
        b"[options]\nColor\nInclude = AT/options.conf\n",
        "XferCommand = /usr/bin/curl -o %o %u\n",
        "error: $WORLD/pacman.conf: a file that it includes sets XferCommand = /usr/bin/curl -o %o %u, and would win\n\
         hint: write there: OURS\n",
    );
    refused(
        b"[options]\nDownloadUser = nobody\nDisableSandboxFilesystem\nDisableSandboxSyscalls\n",
        "",
        "error: $WORLD/pacman.conf: DisableSandbox with DownloadUser: in pacman 7.1.0 every XferCommand fails with \
         \"Permission denied\"\nhint: replace DisableSandbox by DisableSandboxFilesystem or DisableSandboxSyscalls in \
         /etc/pacman.conf, or remove it\n",
    );
    refused(
        b"[options]\nDownloadUser = no-such-user\n",
        "",
        "error: $WORLD/pacman.conf: DownloadUser = no-such-user: there is no such user, and pacman downloads nothing\n\
         hint: sudo useradd --system --no-create-home --shell /usr/bin/nologin no-such-user\n",
    );
}

#[test]
fn setup_without_pacman_says_so() {
    let world = machine(b"");
    fs::remove_file(world.path("pacman.conf")).unwrap();
    setup(&world, &["--yes"]).fails(
        4,
        "error: $WORLD/pacman.conf: cannot be read: No such file or directory (os error 2)\n\
         hint: is pacman installed? pacman.conf says where its file is\n",
    );
}

/// A systemctl that keeps the states of units in files and records its arguments.
pub(super) const SYSTEMCTL: &str = r#"
units=${0%/*}/../units
all=
[ "$1" != --global ] || { all='--global '; shift; }
case $1 in
is-enabled) cat "$units/$2" 2>/dev/null || { echo not-found; exit 4; }; grep -q enabled "$units/$2" ;;
is-system-running) echo running ;;
enable) echo enabled >"$units/$2"; echo "$all$*" >>"$units.log" ;;
disable) echo disabled >"$units/$2"; echo "$all$*" >>"$units.log" ;;
start | stop) echo "$@" >>"$units.log" ;;
*) exit 0 ;;
esac"#;

#[test]
fn timers_are_enabled_as_shown_and_only_those_are_disabled_again() {
    let world = machine(b"[options]\n").script("systemctl", SYSTEMCTL);
    let world = world.config("[index.a]\nminisign = \"RWQ\"\nurl = \"http://127.0.0.1:9\"\nrepos = [\"core\"]\n");
    fs::create_dir(world.path("units")).unwrap();
    fs::write(world.path("units/pkgswarm-index.timer"), "enabled\n").unwrap();
    fs::write(world.path("units/pkgswarm-prefetch.timer"), "disabled\n").unwrap();
    let timers = |more: &[&str]| world.run(&[&["setup", "--only", "index,prefetch"], more].concat());
    let run = timers(&["--yes"]);
    assert_eq!(
        run.stdout,
        "systemctl enable --now pkgswarm-prefetch.timer\n  fetches pending updates ahead, every four hours\n"
    );
    assert_eq!(run.said, "index: pkgswarm-index.timer is enabled\nprefetch: pkgswarm-prefetch.timer is enabled\n");
    let undo = timers(&["--undo", "--yes"]);
    assert_eq!(undo.stdout, "systemctl disable --now pkgswarm-prefetch.timer\n");
    let log = fs::read_to_string(world.path("units.log")).unwrap();
    let want = "enable pkgswarm-prefetch.timer\nstart pkgswarm-prefetch.timer\ndisable pkgswarm-prefetch.timer\nstop pkgswarm-prefetch.timer\n";
    assert_eq!(log, want);
    assert!(!world.path("config/setup").exists());
}

#[test]
fn the_notification_is_enabled_for_all_users_and_taken_back() {
    let world = machine(b"[options]\n").script("systemctl", SYSTEMCTL);
    fs::create_dir(world.path("units")).unwrap();
    fs::write(world.path("units/pkgswarm-notify.path"), "disabled\n").unwrap();
    let notify = |more: &[&str]| world.run(&[&["setup", "--only", "notify"], more].concat());
    let run = notify(&["--yes"]);
    assert_eq!(
        (run.code(), run.stdout.as_str(), run.said.as_str()),
        (
            0,
            "systemctl enable --global pkgswarm-notify.path\n  \
             tells desktop users once when the updates that were fetched are here\n",
            "notify: pkgswarm-notify.path is enabled for all users, from their next login on; at once: systemctl --user \
             start pkgswarm-notify.path\n"
        )
    );
    let undo = notify(&["--undo", "--yes"]);
    assert_eq!(undo.stdout, "systemctl disable --global pkgswarm-notify.path\n");
    let log = fs::read_to_string(world.path("units.log")).unwrap();
    assert_eq!(log, "--global enable pkgswarm-notify.path\n--global disable pkgswarm-notify.path\n");
    assert!(!world.path("config/setup").exists());
}

#[test]
fn what_follows_a_failure_in_its_question_is_said_not_to_be_done() {
    let fails = "case \"$*\" in 'enable pkgswarm-prefetch.timer') echo refused >&2; exit 1 ;; esac";
    let world = machine(b"[options]\n").script("systemctl", &format!("{fails}\n{SYSTEMCTL}"));
    fs::create_dir(world.path("units")).unwrap();
    for unit in ["pkgswarm-prefetch.timer", "pkgswarm-notify.path"] {
        fs::write(world.path("units").join(unit), "disabled\n").unwrap();
    }
    let words = ["setup", "--only", "prefetch,notify"];
    let run = Running::asked("y\n", world.command(&words), world.base()).finish();
    assert!(run.code() != 0 && run.said.contains("refused"), "{}", run.said);
    assert!(run.stdout.contains("     notify: not done, because prefetch failed\n"), "{}", run.stdout);
    assert_eq!(fs::read_to_string(world.path("units/pkgswarm-notify.path")).unwrap(), "disabled\n");
}

#[test]
fn fetching_ahead_and_telling_about_it_are_one_question() {
    let world = machine(b"[options]\n").script("systemctl", SYSTEMCTL);
    fs::create_dir(world.path("units")).unwrap();
    for unit in ["pkgswarm-prefetch.timer", "pkgswarm-notify.path"] {
        fs::write(world.path("units").join(unit), "disabled\n").unwrap();
    }
    let asked = |typed: &str, more: &[&str]| {
        let words = [&["setup", "--only", "prefetch,notify"], more].concat();
        Running::asked(typed, world.command(&words), world.base()).finish()
    };
    let no = asked("\n", &[]);
    assert_eq!((no.code(), no.said.as_str()), (0, "     Do it? [y/N] "));
    assert!(!world.path("units.log").exists(), "Enter agrees to nothing that was not asked for");
    let yes = asked("y\n", &[]);
    assert_eq!((yes.code(), yes.said.as_str()), (0, "     Do it? [y/N] "));
    let title = "1/1  Fetch updates ahead, every four hours, and tell desktop users once they are here\n";
    assert!(yes.stdout.contains(title) && yes.stdout.matches("done: ").count() == 2, "{}", yes.stdout);
    let back = asked("\n", &["--undo"]);
    assert_eq!((back.code(), back.said.as_str()), (0, "     Take it back? [Y/n] "));
    let log = fs::read_to_string(world.path("units.log")).unwrap();
    let want = "enable pkgswarm-prefetch.timer\nstart pkgswarm-prefetch.timer\n--global enable pkgswarm-notify.path\n\
                --global disable pkgswarm-notify.path\ndisable pkgswarm-prefetch.timer\nstop pkgswarm-prefetch.timer\n";
    assert_eq!(log, want);
    assert!(!world.path("config/setup").exists());
}

#[test]
fn timers_that_are_not_installed_or_not_needed_are_not_offered() {
    let world = machine(b"[options]\n").script("systemctl", SYSTEMCTL);
    let run = world.run(&["setup", "--only", "index,prefetch", "--yes"]);
    assert_eq!((run.code(), run.stdout.as_str()), (0, ""));
    assert_eq!(
        run.said,
        "index: no index is in use; `pkgswarm index add` adds one\nprefetch: pkgswarm-prefetch.timer is not installed\n"
    );
}

#[test]
fn without_systemctl_setup_tells_the_line_of_crontab_and_one_that_cannot_answer_is_not_a_missing_unit() {
    let world =
        machine(b"[options]\n").script("systemctl", "echo 'Failed to connect to bus: No medium found' >&2; exit 1");
    let run = world.run(&["setup", "--only", "prefetch", "--yes"]);
    assert_eq!(run.code(), 4, "{}", run.stderr);
    assert!(run.said.contains("does not tell whether it is enabled: Failed to connect to bus"), "{}", run.said);
    let world = machine(b"[options]\n").set("PATH", "/nonexistent");
    let run = world.run(&["setup", "--only", "prefetch", "--yes"]);
    assert_eq!(
        (run.code(), &*run.said),
        (0, "prefetch: there is no systemctl here; a line for /etc/crontab: 7 */4 * * * root pkgswarm prefetch\n")
    );
}

#[test]
fn a_timer_whose_user_does_not_exist_is_not_enabled() {
    let show = SYSTEMCTL.replace("*) exit 0", "show) echo no-such-user ;;\n*) exit 0");
    let world = machine(b"[options]\n").script("systemctl", &show);
    fs::create_dir(world.path("units")).unwrap();
    fs::write(world.path("units/pkgswarm-prefetch.timer"), "disabled\n").unwrap();
    let run = world.run(&["setup", "--only", "prefetch", "--yes"]);
    assert_eq!((run.code(), &*run.stdout), (4, ""), "{}", run.stderr);
    assert!(run.said.contains("runs as no-such-user, a user that does not exist"), "{}", run.said);
    assert!(run.said.contains("hint: sudo systemctl edit pkgswarm-prefetch.service"), "{}", run.said);
    assert_eq!(fs::read_to_string(world.path("units/pkgswarm-prefetch.timer")).unwrap(), "disabled\n");
}

#[test]
fn an_xfer_command_without_the_word_xfer_is_fixed_and_taken_back() {
    let program = binary().display().to_string();
    let world = machine(format!("[options]\nXferCommand = {program} %u %o\nColor\n").as_bytes());
    let before = conf(&world);
    let run = setup(&world, &["--yes"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(understood(&world).lines().any(|line| line == ours()), "{}", understood(&world));
    assert_eq!(setup(&world, &["--undo", "--yes"]).code(), 0);
    assert_eq!(conf(&world), before);
    // The line of setup, edited by hand: undoing still leads to the file before setup.
    let world = machine(b"[options]\nXferCommand = /usr/bin/curl -o %o %u\n");
    let before = conf(&world);
    assert_eq!(setup(&world, &["--yes"]).code(), 0);
    let edited = String::from_utf8(conf(&world)).unwrap().replace(" xfer ", " ");
    fs::write(world.path("pacman.conf"), edited).unwrap();
    let run = setup(&world, &["--yes"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(understood(&world).lines().any(|line| line == ours()), "{}", understood(&world));
    let undo = setup(&world, &["--undo", "--yes"]);
    assert_eq!(undo.code(), 0, "{}", undo.stderr);
    assert_eq!(conf(&world), before);
}

#[test]
fn kubo_gets_the_values_that_were_not_chosen_and_gets_them_taken_back() {
    let kubo = FakeKubo::empty()
        .configured("/Swarm/DisableNatPortMap", false.into())
        .configured("/Swarm/ConnMgr/HighWater", 300.into())
        .configured("/Routing/Type", "auto".into());
    let before = kubo.config();
    let world = World::new().kubo(&kubo);
    let run = world.run(&["setup", "--only", "kubo", "--yes"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let shown: Vec<_> = run.stdout.lines().skip(1).map(|line| line.split("  (").next().unwrap().trim()).collect();
    let want = [
        "Provide.Enabled: not set -> false",
        "Routing.Type: \"auto\" -> \"autoclient\"",
        "Swarm.DisableNatPortMap: false -> true",
        "Swarm.ResourceMgr.MaxMemory: not set -> \"1GB\"",
    ];
    assert_eq!(shown, want);
    let config = kubo.config();
    assert_eq!((&config["Provide"]["Enabled"], &config["Swarm"]["ConnMgr"]["HighWater"]), (&false.into(), &300.into()));
    let again = world.run(&["setup", "--only", "kubo", "--yes"]);
    assert_eq!(
        (again.stdout.as_str(), again.said.as_str()),
        ("", "kubo: Kubo is configured; settings that you changed were left alone\n")
    );
    let undo = world.run(&["setup", "--only", "kubo", "--undo", "--yes"]);
    assert_eq!(undo.code(), 0, "{}", undo.stderr);
    let config = kubo.config();
    assert!(
        config["Provide"]["Enabled"].is_null() && config["Swarm"]["ResourceMgr"]["MaxMemory"].is_null(),
        "{config}"
    );
    assert_eq!((&config["Routing"], &config["Swarm"]["ConnMgr"]), (&before["Routing"], &before["Swarm"]["ConnMgr"]));
    let third = world.run(&["setup", "--only", "kubo", "--undo", "--yes"]);
    assert_eq!(third.said, "kubo: setup has not changed Kubo\n");
}

#[test]
fn a_kubo_that_keeps_a_share_announces_its_files_and_not_their_pieces() {
    let kubo = FakeKubo::empty();
    let world = World::new().kubo(&kubo).config("[keep.arch]\nquota = \"1 GB\"\n");
    let run = world.run(&["setup", "--only", "kubo", "--yes"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(run.stdout.contains("Provide.Strategy: not set -> \"pinned+entities\""), "{}", run.stdout);
    assert_eq!(kubo.config()["Provide"], json!({"Strategy": "pinned+entities"}));
    assert_eq!(world.run(&["setup", "--only", "kubo", "--undo", "--yes"]).code(), 0);
    assert!(kubo.config()["Provide"]["Strategy"].is_null(), "{}", kubo.config());

    let kubo = FakeKubo::empty().configured("/Provide/Strategy", "all".into());
    let world = World::new().kubo(&kubo).config("[keep.arch]\nquota = \"1 GB\"\n");
    assert_eq!(world.run(&["setup", "--only", "kubo", "--yes"]).code(), 0);
    assert_eq!(kubo.config()["Provide"], json!({"Strategy": "all"}), "the user chose it");
}

#[test]
fn a_kubo_that_gives_what_is_installed_announces_all_and_can_be_reached() {
    let kubo = FakeKubo::empty();
    let world = World::new().kubo(&kubo);
    assert_eq!(world.run(&["setup", "--only", "kubo", "--yes"]).code(), 0);
    assert_eq!(kubo.config()["Swarm"]["DisableNatPortMap"], true);
    let giving = "[kubo]\nshare = \"installed\"\n";
    let world = world.config(giving);
    let run = world.run(&["setup", "--only", "kubo", "--yes"]);
    assert!(run.code() == 0 && run.stdout.contains("Provide.Enabled: false -> not set"), "{run:?}");
    let config = kubo.config();
    assert!(config["Provide"]["Enabled"].is_null() && config["Provide"]["Strategy"].is_null(), "{config}");
    assert_ne!(config["Swarm"]["DisableNatPortMap"], true, "{config}");
    let found = world.run(&["doctor"]);
    let said = format!("{}{}", found.stdout, found.stderr);
    assert!(!said.contains("[kubo-announce]") && !said.contains("[kubo-keeps]"), "{said}");

    // Setup's own strategy of a share leaves out what no pin holds.
    let kubo = FakeKubo::empty();
    let world = World::new().kubo(&kubo).config("[keep.arch]\nquota = \"1 GB\"\n");
    assert_eq!(world.run(&["setup", "--only", "kubo", "--yes"]).code(), 0);
    assert_eq!(kubo.config()["Provide"], json!({"Strategy": "pinned+entities"}));
    let world = world.config(&format!("{giving}[keep.arch]\nquota = \"1 GB\"\n"));
    let found = world.run(&["doctor"]);
    assert!(format!("{}{}", found.stdout, found.stderr).contains("[kubo-keeps]"), "{found:?}");
    assert_eq!(world.run(&["setup", "--only", "kubo", "--yes"]).code(), 0);
    assert!(kubo.config()["Provide"]["Strategy"].is_null(), "{}", kubo.config());
}

#[test]
fn setups_own_silence_ends_when_a_share_is_kept_and_the_users_own_stays() {
    let kubo = FakeKubo::empty();
    let world = World::new().kubo(&kubo);
    assert_eq!(world.run(&["setup", "--only", "kubo", "--yes"]).code(), 0);
    assert_eq!(kubo.config()["Provide"]["Enabled"], false);
    let world = world.config("[keep.arch]\nquota = \"1 GB\"\n");
    let run = world.run(&["setup", "--only", "kubo", "--yes"]);
    assert!(run.code() == 0 && run.stdout.contains("Provide.Enabled: false -> not set"), "{run:?}");
    assert!(kubo.config()["Provide"]["Enabled"].is_null(), "{}", kubo.config());
    assert_eq!(world.run(&["setup", "--only", "kubo", "--undo", "--yes"]).code(), 0);
    assert!(kubo.config()["Provide"]["Enabled"].is_null(), "it is not turned off again: {}", kubo.config());

    let kubo = FakeKubo::empty().configured("/Provide/Enabled", false.into());
    let world = World::new().kubo(&kubo).config("[keep.arch]\nquota = \"1 GB\"\n");
    let run = world.run(&["setup", "--only", "kubo", "--yes"]);
    assert!(run.code() == 0 && !run.stdout.contains("Provide.Enabled"), "{run:?}");
    assert_eq!(kubo.config()["Provide"]["Enabled"], false, "the user's own");
    let found = world.run(&["doctor"]);
    assert!(format!("{}{}", found.stdout, found.stderr).contains("[kubo-keeps]"), "{found:?}");
}

#[test]
fn kubo_keeps_what_was_changed_after_setup() {
    let kubo = FakeKubo::empty();
    let world = World::new().kubo(&kubo);
    assert_eq!(world.run(&["setup", "--only", "kubo", "--yes"]).code(), 0);
    let kubo = kubo.configured("/Swarm/ConnMgr/HighWater", 77.into());
    let undo = world.run(&["setup", "--only", "kubo", "--undo", "--yes"]);
    assert_eq!(undo.code(), 0, "{}", undo.stderr);
    assert!(undo.said.contains("Swarm.ConnMgr.HighWater was changed since, and stays as it is"), "{}", undo.said);
    assert_eq!(kubo.config()["Swarm"]["ConnMgr"], serde_json::json!({"LowWater": null, "HighWater": 77}));
}

#[test]
fn without_kubo_there_is_nothing_to_set_up_in_it() {
    let world = World::new().set("PKGSWARM_KUBO_ENABLED", "auto");
    let world = world.set("PKGSWARM_KUBO_API", &format!("http://{}", crate::support::dead_address()));
    let run = world.run(&["setup", "--only", "kubo", "--yes"]);
    assert_eq!((run.code(), run.stdout.as_str()), (0, ""));
    assert_eq!(run.said, "kubo: Kubo is not running (nothing listens on 127.0.0.1:A)\n");
}

#[test]
fn setup_speaks_json_one_line_a_part() {
    let world = machine(b"[options]\nColor\n").script("systemctl", SYSTEMCTL);
    let run = world.run(&["setup", "--dry-run", "--json"]);
    assert_eq!((run.code(), run.stderr.as_str()), (0, ""));
    let lines: Vec<serde_json::Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let states: Vec<_> =
        lines.iter().map(|line| (line["part"].as_str().unwrap(), line["state"].as_str().unwrap())).collect();
    let unchanged = ["index", "prefetch", "notify", "kubo", "daemon", "lan"].map(|part| (part, "unchanged"));
    assert_eq!((states[0], &states[1..]), (("pacman", "proposed"), &unchanged[..]));
    assert!(lines[0]["change"].as_str().unwrap().contains(&ours()));
}

#[test]
fn the_present_network_is_trusted_only_where_the_daemon_is_enabled_and_the_user_says_so() {
    let world = machine(b"[options]\nColor\n").script("systemctl", SYSTEMCTL);
    fs::create_dir(world.path("units")).unwrap();
    fs::write(world.path("units/pkgswarm-daemon.service"), "disabled\n").unwrap();
    let lan = |more: &[&str]| world.run(&[&["setup", "--only", "lan"], more].concat());
    assert_eq!(lan(&["--yes"]).said, "lan: the daemon is not enabled, so no network needs to be trusted\n");
    assert_eq!(world.run(&["setup", "--yes"]).code(), 0);
    assert_eq!(
        fs::read_to_string(world.path("units/pkgswarm-daemon.service")).unwrap(),
        "disabled\n",
        "--yes shares nothing"
    );
    assert_eq!(world.run(&["setup", "--only", "daemon", "--yes"]).code(), 0);
    assert_eq!(fs::read_to_string(world.path("units/pkgswarm-daemon.service")).unwrap(), "enabled\n");
    let trusted = || {
        let listed: serde_json::Value = serde_json::from_str(&world.run(&["lan", "ls", "--json"]).stdout).unwrap();
        (listed["here"].as_array().unwrap().len(), listed["trusted"].as_array().unwrap().len())
    };
    let (here, none) = trusted();
    assert_eq!(none, 0, "nothing is trusted by the way");
    let run = lan(&["--yes"]);
    assert_eq!((run.code(), trusted().1), (0, here), "{}", run.stderr);
    if here > 0 {
        assert!(run.stdout.starts_with("pkgswarm lan trust "), "{}", run.stdout);
        assert_eq!(lan(&["--undo", "--yes"]).code(), 0);
        assert_eq!(trusted().1, 0);
    }
}
