//! Machines without things that programs rely on: no /proc, an empty /dev, processes of others hidden. The program
//! works there like curl; it warns once about unknown facts.

use crate::support::world::can_be_two_users;
use crate::support::*;

const AGENT: &str = "pacman/7.1.0 (Linux x86_64) libalpm/16.0.0";

/// The setup of each machine, and the number of warnings on it.
const MACHINES: [(&str, usize); 4] = [
    ("mount -t tmpfs none /proc", 1),
    ("mount -t tmpfs none /dev", 0),
    ("mount -t tmpfs none /proc && mount -t tmpfs none /dev", 1),
    ("mount -t proc -o hidepid=2 proc /proc", 1),
];

#[test]
fn without_proc_or_dev_or_with_hidden_processes_packages_and_databases_arrive() {
    if !can_be_two_users("machines without /proc and /dev") {
        return;
    }
    for (script, warnings) in MACHINES {
        let zlib = Package::new("zlib", 3 << 20);
        let core = database(&[&zlib], Compression::Gzip);
        let mirror = FakeMirror::serving(&[zlib.file(), ("core.db".to_owned(), core.clone())]);
        let world = World::new().repo("core", &[&zlib], &[&mirror]).set("HTTP_USER_AGENT", AGENT);
        for (name, bytes) in [(zlib.file_name(), &zlib.bytes), ("core.db".to_owned(), &core)] {
            let (url, out) = (mirror.url("core", &name), world.out(&name));
            let Some(run) = world.run_elsewhere(false, script, &["xfer", &url, out.to_str().unwrap()]) else {
                continue;
            };
            run.succeeds();
            assert!(std::fs::read(&out).unwrap() == *bytes, "{script}: {name}");
            let said: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
            assert_eq!(said.len(), warnings, "{script}: {}", run.stderr);
            assert!(said.iter().all(|line| line.contains("/proc")), "{script}: {}", run.stderr);
        }
    }
}

#[test]
fn a_file_of_no_usual_list_is_not_said_to_be_listed_nowhere_when_the_callers_options_are_hidden() {
    if !can_be_two_users("a machine without /proc") {
        return;
    }
    let zlib = Package::new("zlib", 40_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let elsewhere = format!("http://{}/elsewhere/{}", mirror.address(), zlib.file_name());
    for (url, waiver) in [(mirror.url("core", &zlib.file_name()), "its list"), (elsewhere, "pacman's configuration")] {
        let world = World::new().repo("core", &[], &[&mirror]).set("HTTP_USER_AGENT", AGENT);
        let out = world.out("zlib");
        let words = ["xfer", &url, out.to_str().unwrap()];
        let Some(run) = world.run_elsewhere(false, MACHINES[0].0, &words) else { return };
        run.succeeds();
        assert!(run.stderr.contains(&format!("unproven: {waiver} was not read")), "{}", run.stderr);
    }
}
