//! Mirrors with the usual faults: the next one is asked, and without a next one the user learns the reason.

use std::time::Duration;

use crate::support::*;

/// A fault of a mirror with a package of [`SIZE`] bytes, and, when it is the only one, the exit status and the
/// message of each time that the mirror was asked. Equal ones are told once.
struct Misdeed {
    what: &'static str,
    bend: Bend,
    code: i32,
    lines: &'static [&'static str],
}

const SIZE: usize = 40_000;

const fn misdeed(what: &'static str, bend: Bend, code: i32, lines: &'static [&'static str]) -> Misdeed {
    Misdeed { what, bend, code, lines }
}

/// How often a source that delivers bytes and breaks off is asked in all.
const TRIES: usize = 6;

const MISDEEDS: &[Misdeed] = &[
    misdeed("lies", |m| m.lying(), 3, &["corrupt: sha256 is 0f56…312e, expected 3478…fb39"]),
    misdeed("cuts at once", |m| m.cut_after(0), 1, &["broken: end of file before message length reached"]),
    misdeed("cuts", |m| m.cut_after(1000), 1, &["broken: end of file before message length reached"; TRIES]),
    misdeed("resets", |m| m.reset_after(1000), 1, &["broken: Connection reset by peer (os error 104)"; TRIES]),
    misdeed(
        "ends chunks early",
        |m| m.chunked_ending_early(1000),
        1,
        &[
            "broken: ended at 1000 of 40000 bytes",
            "broken: ended at 2000 of 40000 bytes",
            "broken: ended at 3000 of 40000 bytes",
            "broken: ended at 4000 of 40000 bytes",
            "broken: ended at 5000 of 40000 bytes",
            "broken: ended at 6000 of 40000 bytes",
        ],
    ),
    misdeed("stalls", |m| m.stall_after(1000), 1, &["stalled: nothing for N s"; TRIES]),
    misdeed("hangs", |m| m.hanging(), 1, &["stalled: nothing for N s"]),
    misdeed("sends more", |m| m.oversized(5), 3, &["corrupt: has 40005 bytes, expected 40000"]),
    misdeed(
        "sends more, untold",
        |m| m.oversized(500_000).without_content_length(),
        3,
        &["corrupt: sends more than 40000 bytes"],
    ),
    misdeed("redirects in circles", |m| m.redirecting_in_circles(), 1, &["broken: redirected more than 10 times"]),
    misdeed(
        "redirects to a file",
        |m| m.redirecting_to("file:///etc/passwd"),
        1,
        &["broken: redirected to a file address"],
    ),
    misdeed("lacks it", |m| m.status(404), 1, &["absent: HTTP 404"]),
    misdeed("forbids it", |m| m.status(403), 1, &["broken: HTTP 403"]),
    misdeed("fails", |m| m.status(500), 1, &["broken: HTTP 500"]),
    misdeed("is busy", |m| m.status(503).retry_after(60), 1, &["busy: HTTP 503, asks to wait N s"]),
    misdeed("is overrun", |m| m.status(429).retry_after(60), 1, &["busy: HTTP 429, asks to wait N s"]),
    misdeed("is a captive portal", |m| m.captive_portal(), 3, &["corrupt: has 106 bytes, expected 40000"]),
];

#[test]
fn the_next_server_delivers_what_the_first_does_not() {
    for Misdeed { what, bend, code, .. } in MISDEEDS {
        let zlib = Package::new("zlib", SIZE);
        let (bad, good) = (bend(FakeMirror::serving(&[zlib.file()])), FakeMirror::serving(&[zlib.file()]));
        let world = World::new().repo("core", &[&zlib], &[&bad, &good]).set("PKGSWARM_OUTPUT_PROGRESS", "never");
        let out = world.out(&zlib.file_name());
        let run = world.xfer(&bad.url("core", &zlib.file_name()), &out);
        assert_eq!(run.code(), 0, "first server {what}: {}", run.stderr);
        // Only a server that sends other bytes is named; one line all the same.
        let refused = run.said.contains("  from 127.0.0.1:A (refused from mirror 127.0.0.1:B: ");
        assert_eq!((refused, run.said.lines().count()), (*code == 3, 1), "first server {what}: {}", run.said);
        run.succeeds();
        world.has(&out, &zlib.bytes);
        world.store_is_settled();
        assert!(bad.hits(&zlib.file_name()) >= 1, "{what}: the URL that pacman passed is tried");
        assert!(good.hits(&zlib.file_name()) <= 2, "{what}: {:?}", good.requests());
    }
}

#[test]
fn without_a_next_server_the_user_learns_what_the_last_one_did() {
    for Misdeed { what, bend, code, lines } in MISDEEDS {
        let zlib = Package::new("zlib", SIZE);
        let bad = bend(FakeMirror::serving(&[zlib.file()]));
        let world = World::new().repo("core", &[&zlib], &[&bad]).set("PKGSWARM_OUTPUT_PROGRESS", "never");
        let run = world.xfer(&bad.url("core", &zlib.file_name()), &world.out(&zlib.file_name()));
        if lines.len() > 1 {
            assert_eq!(bad.hits(&zlib.file_name()), lines.len(), "only server {what}");
        }
        let mut told = lines.to_vec();
        told.dedup();
        let lines: String = told.iter().map(|line| format!("  mirror  127.0.0.1:A  {line}\n")).collect();
        let hint = match code {
            3 => "hint: run `pacman -Sy` if your databases are old; else tell the mirror's operator\n",
            _ => "",
        };
        let name = "zlib-1.0-1-x86_64.pkg.tar.zst";
        let said = format!("error: {name}: no source delivered the expected 40000 bytes\n{lines}{hint}");
        assert_eq!(
            (run.code(), run.said.as_str(), run.stdout.as_str()),
            (*code, said.as_str(), ""),
            "only server {what}"
        );
        world.has_no_output();
    }
}

#[test]
fn a_dead_mirror_costs_no_more_than_the_next_one() {
    let zlib = Package::new("zlib", SIZE);
    let good = FakeMirror::serving(&[zlib.file()]);
    let dead = format!("http://{}/core/os/x86_64", dead_address());
    let world = World::new().sync_database("core", &database(&[&zlib], Compression::Gzip)).servers(
        "core",
        &[dead.clone(), good.repo("core")],
        &[],
    );
    let out = world.out(&zlib.file_name());
    world.xfer(&format!("{dead}/{}", zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_daemon_that_listens_nowhere_is_told_with_each_address() {
    let zlib = Package::new("zlib", SIZE);
    let dead = [(); 2].map(|()| format!("http://{}/core/os/x86_64", dead_address()));
    let world = World::new().sync_database("core", &database(&[&zlib], Compression::Gzip)).servers("core", &dead, &[]);
    let run = world.xfer(&format!("{}/{}", dead[0], zlib.file_name()), &world.out(&zlib.file_name()));
    run.fails(
        1,
        "error: zlib-1.0-1-x86_64.pkg.tar.zst: no source delivered the expected 40000 bytes\n  \
         mirror  127.0.0.1:A  unreachable: Connection refused (os error 111)\n  \
         mirror  127.0.0.1:B  unreachable: Connection refused (os error 111)\n",
    );
    world.has_no_output();
}

#[test]
fn one_that_lacks_it_and_one_that_lies_make_corrupt_everywhere() {
    let zlib = Package::new("zlib", SIZE);
    let (lacks, lies) = (FakeMirror::serving(&[zlib.file()]).status(404), FakeMirror::serving(&[zlib.file()]).lying());
    let world = World::new().repo("core", &[&zlib], &[&lacks, &lies]);
    let run = world.xfer(&lacks.url("core", &zlib.file_name()), &world.out(&zlib.file_name()));
    assert_eq!(run.code(), 3, "{}", run.stderr);
    assert!(run.said.contains("absent: HTTP 404") && run.said.contains("corrupt: sha256 is"), "{}", run.said);
    world.has_no_output();
}

#[test]
fn a_mirror_that_breaks_off_once_is_resumed_where_it_stopped() {
    let breaks: [Bend; 3] = [|m| m.cut_after(25_000), |m| m.reset_after(25_000), |m| m.stall_after(25_000)];
    for bend in breaks {
        let zlib = Package::new("zlib", SIZE);
        let mirror = bend(FakeMirror::serving(&[zlib.file()])).times(1);
        let world = World::new().repo("core", &[&zlib], &[&mirror]);
        let out = world.out(&zlib.file_name());
        world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
        world.has(&out, &zlib.bytes);
        assert_eq!(mirror.bytes(), SIZE as u64, "no byte twice");
    }
}

#[test]
fn a_second_mirror_goes_on_where_the_first_stopped() {
    let zlib = Package::new("zlib", 400_000);
    let first = FakeMirror::serving(&[zlib.file()]).cut_after(300_000);
    let second = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&first, &second]);
    let out = world.out(&zlib.file_name());
    world.xfer(&first.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert_eq!(first.bytes() + second.bytes(), 400_000, "no byte twice");
}

#[test]
fn bytes_mixed_from_a_liar_are_thrown_away_and_the_honest_mirror_wins() {
    let zlib = Package::new("zlib", SIZE);
    let mut forged = zlib.bytes.clone();
    forged[100] ^= 1;
    let liar = FakeMirror::serving(&[(zlib.file_name(), forged)]).cut_after(20_000);
    let honest = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().repo("core", &[&zlib], &[&liar, &honest]);
    let out = world.out(&zlib.file_name());
    world.xfer(&liar.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_redirect_to_another_host_is_followed() {
    let zlib = Package::new("zlib", SIZE);
    let real = FakeMirror::serving(&[zlib.file()]);
    let name = zlib.file_name();
    let director = FakeMirror::serving(&[zlib.file()]).redirecting_to(&real.url("core", &name));
    let world = World::new().repo("core", &[&zlib], &[&director]);
    let out = world.out(&name);
    world.xfer(&director.url("core", &name), &out).succeeds();
    world.has(&out, &zlib.bytes);
}

#[test]
fn a_mirror_that_thinks_before_it_answers_is_still_used() {
    let zlib = Package::new("zlib", SIZE);
    let mirror = FakeMirror::serving(&[zlib.file()]).answering_after(Duration::from_millis(900));
    let world = World::new().repo("core", &[&zlib], &[&mirror]);
    let out = world.out(&zlib.file_name());
    world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
    world.has(&out, &zlib.bytes);
    assert_eq!(mirror.requests().len(), 1);
}

#[test]
fn answers_without_a_length_are_taken_when_they_prove() {
    let framings: [Bend; 2] = [|m| m.without_content_length(), |m| m.chunked()];
    for bend in framings {
        let zlib = Package::new("zlib", SIZE);
        let mirror = bend(FakeMirror::serving(&[zlib.file()]));
        let world = World::new().repo("core", &[&zlib], &[&mirror]);
        let out = world.out(&zlib.file_name());
        world.xfer(&mirror.url("core", &zlib.file_name()), &out).succeeds();
        world.has(&out, &zlib.bytes);
    }
}

#[test]
fn a_signature_that_is_none_is_refused_and_asked_of_the_next_server() {
    let zlib = Package::new("zlib", 4000);
    let (name, signature) = zlib.signature();
    let too_big = [signature.as_slice(), &[0; 20_000]].concat();
    let bad: [FakeMirror; 4] = [
        FakeMirror::serving(&[zlib.signature()]).captive_portal(),
        FakeMirror::serving(&[(&name, too_big)]),
        FakeMirror::serving(&[(&name, b"Not Found".to_vec())]),
        FakeMirror::serving(&[(&name, Vec::new())]),
    ];
    for bad in bad {
        let good = FakeMirror::serving(&[zlib.signature()]);
        let world = World::new().repo("core", &[&zlib], &[&bad, &good]);
        let out = world.out(&name);
        world.xfer(&bad.url("core", &name), &out).succeeds();
        world.has(&out, &signature);

        let world = World::new().repo("core", &[&zlib], &[&bad]);
        let run = world.xfer(&bad.url("core", &name), &world.out(&name));
        assert_eq!(run.code(), 3, "{}", run.stderr);
        world.has_no_output();
    }
}

#[test]
fn retry_after_is_obeyed_by_the_next_file() {
    let (zlib, xz) = (Package::new("zlib", SIZE), Package::new("xz", SIZE));
    let busy = FakeMirror::serving(&[zlib.file(), xz.file()]).status(503).retry_after(600);
    let good = FakeMirror::serving(&[zlib.file(), xz.file()]);
    let world = World::new().repo("core", &[&zlib, &xz], &[&good, &busy]);
    let out = world.out(&zlib.file_name());
    // pacman passes the busy one's URL: it is tried at least once.
    world.xfer(&busy.url("core", &zlib.file_name()), &out).succeeds();
    assert_eq!(busy.hits(&zlib.file_name()), 1);
    std::fs::remove_file(out).unwrap();
    let good = good.status(404);
    let run = world.xfer(&good.url("core", &xz.file_name()), &world.out(&xz.file_name()));
    assert_eq!(run.code(), 1, "{}", run.stderr);
    assert!(busy.hits(&xz.file_name()) <= 1, "asked at most once, and last");
}

#[test]
fn an_empty_file_is_said_to_come_from_its_sender() {
    let mirror = FakeMirror::serving(&[("empty.txt", b"")]);
    let world = World::new().repo("core", &[], &[&mirror]);
    let out = world.out("empty.txt");
    let run = world.xfer(&mirror.url("core", "empty.txt"), &out);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    world.has(&out, b"");
    assert!(run.stderr.contains("from 127.0.0.1") && !run.stderr.contains("earlier run"), "{}", run.stderr);
}
