//! The conditions under which prefetch does nothing, with the line that the user sees.

use jiff::{ToSpan, Zoned};

use crate::support::*;

/// Makes a machine with one pending update, not fetched yet.
fn scene() -> (Package, FakeMirror, World) {
    let (zlib, mirror, world) = plain_scene();
    (zlib, mirror, world.script("busctl", "exit 1").script("ip", "exit 1"))
}

/// Makes the same with the machine's own `busctl` and `ip`.
fn plain_scene() -> (Package, FakeMirror, World) {
    let zlib = Package::new("zlib", 30_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    mirror.publish("core.db", &database(&[&zlib], Compression::Gzip));
    let world = World::new().sync_database("core", &database(&[], Compression::Gzip));
    let world = world.servers("core", &[&mirror.repo("core")], &["PackageNever", "DatabaseNever"]);
    let world = world.pending(&[&zlib], &mirror);
    (zlib, mirror, world)
}

#[test]
fn a_metered_connection_postpones_it_unless_allowed() {
    for (says, postponed) in
        [("u 1", true), ("u 3", true), ("u 2", false), ("u 4", false), ("u 0", false), ("x", false)]
    {
        let (_, mirror, world) = scene();
        let world = world.script("busctl", &format!("echo '{says}'"));
        let run = world.run(&["prefetch"]);
        if postponed {
            run.fails(2, "not now: the connection is metered (prefetch.metered); --now does it anyway\n");
            assert_eq!(mirror.requests().len(), 0, "not even the databases are looked at");
            assert_eq!(world.run(&["prefetch", "--now"]).code(), 0);
        } else {
            assert_eq!(run.code(), 0, "{says}: {}", run.stderr);
        }
    }
    let (_, _mirror, world) = scene();
    let world = world.script("busctl", "echo u 1").set("PKGSWARM_PREFETCH_METERED", "true");
    assert_eq!(world.run(&["prefetch"]).code(), 0);
}

#[test]
fn outside_its_window_it_is_postponed() {
    let (_, mirror, world) = scene();
    let at = |hours: i64| Zoned::now().checked_add(hours.hours()).unwrap().strftime("%H:%M").to_string();
    let later = format!("{}-{}", at(2), at(3));
    let world = world.set("PKGSWARM_PREFETCH_WINDOW", &later);
    world.run(&["prefetch"]).fails(2, &format!("not now: outside {later} (prefetch.window); --now does it anyway\n"));
    assert_eq!(mirror.requests().len(), 0);
    let world = world.set("PKGSWARM_PREFETCH_WINDOW", &format!("{}-{}", at(-1), at(1)));
    assert_eq!(world.run(&["prefetch"]).code(), 0);
}

#[test]
fn without_a_program_that_knows_it_goes_on() {
    let (zlib, mirror, world) = scene();
    let run = world.script("busctl", "sleep 0; exit 127").run(&["prefetch"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert_eq!(mirror.hits(&zlib.file_name()), 1);
}

/// Makes a machine with a battery of its own, that of a mouse, and mains that are connected or not.
fn powered(mains: u8) -> String {
    format!(
        "mount -t tmpfs none /sys/class/power_supply && cd /sys/class/power_supply && mkdir BAT0 mouse AC
        echo Battery | tee BAT0/type >mouse/type; echo Device >mouse/scope; echo Mains >AC/type; echo {mains} >AC/online"
    )
}

#[test]
fn on_battery_it_is_postponed_unless_allowed() {
    if !world::can_be_two_users("on_battery_it_is_postponed_unless_allowed") {
        return;
    }
    let (_, mirror, world) = scene();
    let on_battery = |world: &World, words: &[&str]| world.run_elsewhere(false, &powered(0), words);
    let Some(run) = on_battery(&world, &["prefetch"]) else { return };
    run.fails(2, "not now: on battery (prefetch.battery); --now does it anyway\n");
    assert_eq!(mirror.requests().len(), 0);
    let run = on_battery(&world, &["prefetch", "--now"]).unwrap();
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let run = on_battery(&world.set("PKGSWARM_PREFETCH_BATTERY", "true"), &["prefetch"]).unwrap();
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let run = scene().2.run_elsewhere(false, &powered(1), &["prefetch"]).unwrap();
    assert_eq!(run.code(), 0, "with mains: {}", run.stderr);
}

/// Makes a machine with a cable and a tunnel; packets that are not for a neighbour take the named way.
fn reached_by(way: &str) -> String {
    format!(
        "set -e; mount -t sysfs none /sys; ip link set lo up
        ip link add eth0 type veth peer name far; ip addr add 10.1.1.2/24 dev eth0; ip link set far up; ip link set eth0 up
        ip tuntap add dev tun0 mode tun; ip addr add 10.8.0.2/24 dev tun0; ip link set tun0 up; ip route add default {way}"
    )
}

#[test]
fn behind_a_vpn_it_is_postponed_unless_allowed() {
    if !world::can_be_two_users("behind_a_vpn_it_is_postponed_unless_allowed") {
        return;
    }
    // The mirror is on another machine: a run that goes on finds it down.
    let goes_on = |run: &run::Run| {
        assert_eq!(run.code(), 1, "{}", run.stderr);
        assert!(run.said.starts_with("error: core.db: no source delivered it\n"), "{}", run.said);
    };
    let (_, _mirror, world) = plain_scene();
    let by_vpn = |world: &World, words: &[&str]| world.run_elsewhere(true, &reached_by("dev tun0"), words);
    let Some(run) = by_vpn(&world, &["prefetch"]) else { return };
    run.fails(2, "not now: the Internet is reached through tun0, a VPN (prefetch.vpn); --now does it anyway\n");
    goes_on(&by_vpn(&world, &["prefetch", "--now"]).unwrap());
    let run = world.run_elsewhere(true, &reached_by("via 10.1.1.1 dev eth0"), &["prefetch"]).unwrap();
    goes_on(&run);
    goes_on(&by_vpn(&world.set("PKGSWARM_PREFETCH_VPN", "true"), &["prefetch"]).unwrap());
}
