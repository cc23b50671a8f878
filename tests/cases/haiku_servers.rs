//! Servers of Haiku's repositories that are slow, hang, hold something back or break off, and a client that has an older
//! list: pkgman always ends, with the right bytes or a definite failure.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::endpoint::Endpoint;
use crate::support::haiku::{
    HaikuRepository, PATH, Pkgman, PkgmanError, SIGNED, file_of, hpkg, listed, logged, mirror, scene,
};
use crate::support::*;

/// Time between two bytes of a server that is slow on purpose.
const DRIP: Duration = Duration::from_millis(50);

/// A way to misbehave, with its name.
type Fault = (&'static str, fn(FakeMirror) -> FakeMirror);

/// Has sources be given up soon.
fn impatient(world: World) -> World {
    world.set("PKGSWARM_DOWNLOAD_STALL", "3 s").set("PKGSWARM_DOWNLOAD_PATIENCE", "3 s")
}

/// Makes a directory for what the user of the world fetches.
fn open_dir(world: &World) -> PathBuf {
    let dir = world.path("fetched");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    dir
}

#[test]
fn a_server_that_sends_its_list_a_byte_at_a_time_is_left_for_the_next() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let slow = mirror(&repository, &listed, SIGNED).on("repo").dripping(DRIP);
    let sound = mirror(&repository, &listed, SIGNED);
    let (_world, endpoint) = Endpoint::of(scene(&repository, &[&slow, &sound], ""));
    Pkgman::at(endpoint.address(), PATH).add_repo().unwrap();
    logged(&endpoint, &format!("haiku Demo: {}: it was so slow that another server was asked", slow.address()));
}

#[test]
fn a_server_that_sends_its_list_a_byte_at_a_time_for_ever_is_given_up() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let slow = mirror(&repository, &listed, SIGNED).on("repo").dripping(DRIP);
    let (world, endpoint) = Endpoint::of(impatient(scene(&repository, &[&slow], "")));
    assert_eq!(Pkgman::at(endpoint.address(), PATH).add_repo(), Err(PkgmanError::Status(403)));
    logged(&endpoint, "bytes in 3 s, which is too slow");
    logged(&endpoint, "no server sends a list that is proven; there is none to serve: pkgman gets error 403");
    // It is not asked again at once: that would take as long.
    assert_eq!(Pkgman::at(endpoint.address(), PATH).add_repo(), Err(PkgmanError::Status(403)));
    assert_eq!(slow.hits("repo.sha256"), 1);
    drop(endpoint);
    let run = world.run(&["haiku", "refresh"]);
    assert!(run.stderr.contains("bytes in 3 s, which is too slow"), "{}", run.stderr);
}

#[test]
fn while_all_servers_hang_the_last_list_is_served_and_each_is_asked_once() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let servers = [mirror(&repository, &listed, SIGNED), mirror(&repository, &listed, SIGNED)];
    let world = scene(&repository, &[&servers[0], &servers[1]], "");
    world.run(&["haiku", "refresh"]).succeeds();
    let before = servers.each_ref().map(|server| server.hits("repo.sha256"));
    let servers = servers.map(|server| server.on("repo.sha256").hanging());
    // The second one is asked as well before the last list is served.
    let (_world, endpoint) = Endpoint::of(world.set("PKGSWARM_DOWNLOAD_CONNECT", "1 s"));
    for _ in 0..3 {
        Pkgman::at(endpoint.address(), PATH).add_repo().unwrap();
    }
    for (server, before) in servers.iter().zip(before) {
        assert_eq!(server.hits("repo.sha256"), before + 1, "one look for all who ask meanwhile");
    }
}

#[test]
fn a_server_that_holds_a_newer_list_back_is_found_out_by_the_others() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let frozen = mirror(&repository, &listed[..1], SIGNED - 5000);
    let newer = mirror(&repository, &listed, SIGNED);
    let world = scene(&repository, &[&frozen, &newer], "");
    // Also where the old one was in use already.
    let run = world.run(&["haiku", "refresh"]);
    assert!(run.stderr.contains("Demo: proven, 2 packages"), "{}", run.stderr);
    let (_world, endpoint) = Endpoint::of(world);
    let mut pkgman = Pkgman::at(endpoint.address(), PATH);
    pkgman.add_repo().unwrap();
    assert_eq!(pkgman.install(&file_of(&listed[1].0)).unwrap(), listed[1].1);
    assert_eq!(newer.hits("repo"), 1, "a list that is here is not fetched again");
}

#[test]
fn a_newer_list_is_fetched_however_slow_its_server_is_and_a_silent_server_is_remembered() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let frozen = mirror(&repository, &listed[..1], SIGNED - 5000);
    let newer = mirror(&repository, &listed, SIGNED).on("repo").answering_after(Duration::from_secs(2));
    let silent = mirror(&repository, &listed, SIGNED).on("repo.minisig").hanging();
    let world = scene(&repository, &[&frozen, &newer, &silent], "");
    let run = world.run(&["haiku", "refresh"]);
    assert!(run.stderr.contains("Demo: proven, 2 packages"), "{}", run.stderr);
    assert!(run.stderr.contains("repo.minisig: no answer within 1 s"), "{}", run.stderr);
}

#[test]
fn a_list_that_was_refused_is_not_fetched_again() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let server = mirror(&repository, &listed, SIGNED);
    repository.replace_on(&server, b"another list");
    let (_world, endpoint) = Endpoint::of(scene(&repository, &[&server], ""));
    for _ in 0..20 {
        assert_eq!(endpoint.get(&format!("/{PATH}/repo.sha256")).status, 403);
    }
    assert_eq!(server.hits("repo"), 1);
    let looks = server.hits("repo.sha256");
    assert!(looks < 20, "{looks} looks at a server that has nothing");
}

#[test]
fn a_size_that_one_server_makes_up_denies_no_package() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let (file, bytes) = (file_of(&listed[1].0), &listed[1].1);
    for size in [2_000_000, 20] {
        let made_up: Vec<u8> = bytes.iter().cycle().take(size).copied().collect();
        let liar = mirror(&repository, &listed, SIGNED);
        liar.publish(&file, &made_up);
        let liar = liar.on(&file).dripping(DRIP);
        // The liar is the first to tell a size.
        let sound = mirror(&repository, &listed, SIGNED).on(&file).answering_after(Duration::from_millis(100));
        let (_world, endpoint) = Endpoint::of(impatient(scene(&repository, &[&liar, &sound], "")));
        let mut pkgman = Pkgman::at(endpoint.address(), PATH);
        pkgman.add_repo().unwrap();
        assert_eq!(pkgman.install(&file).as_ref(), Ok(bytes), "{size}");
    }
}

#[test]
fn another_endpoint_hears_of_a_package_once_it_is_here_or_on_its_way() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let file = file_of(&listed[1].0);
    let server = mirror(&repository, &listed, SIGNED).on(&file).slow(600_000);
    let (_world, endpoint) = Endpoint::of(scene(&repository, &[&server], ""));
    let mut pkgman = Pkgman::at(endpoint.address(), PATH);
    pkgman.add_repo().unwrap();
    let path = format!("/{PATH}/packages/{}", file.replace('+', "%2B"));
    let asked = || endpoint.client().ask("HEAD", &path, &[("Via", "1.1 pkgswarm")]).unwrap().status;
    assert_eq!(asked(), 404);
    assert_eq!(server.hits(&file), 0, "no server was asked for its size");
    std::thread::scope(|scope| {
        let coming = scope.spawn(|| pkgman.install(&file));
        eventually("it is on its way", || asked() == 200);
        assert_eq!(coming.join().unwrap().as_ref(), Ok(&listed[1].1));
    });
    assert_eq!(asked(), 200);
}

#[test]
fn of_several_versions_the_newest_is_fetched() {
    let repository = HaikuRepository::new();
    let listed: Vec<_> = ["9", "10"]
        .map(|minor| {
            let (mut package, bytes) = hpkg("vision", 4000 + minor.len());
            package.version[1] = Some(minor.to_owned());
            package.version[3] = None;
            (package, bytes)
        })
        .into();
    let server = mirror(&repository, &listed, SIGNED);
    let world = scene(&repository, &[&server], "");
    world.run(&["haiku", "refresh"]).succeeds();
    let dir = open_dir(&world);
    let run = world.run(&["fetch", "vision", "-d", &dir.display().to_string()]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(dir.join(file_of(&listed[1].0)).exists() && !dir.join(file_of(&listed[0].0)).exists());
}

#[test]
fn a_client_with_the_former_list_still_gets_its_packages() {
    let (repository, old) = (HaikuRepository::new(), listed());
    let server = mirror(&repository, &old, SIGNED);
    let (world, endpoint) = Endpoint::of(scene(&repository, &[&server], ""));
    let mut late = Pkgman::at(endpoint.address(), PATH);
    late.add_repo().unwrap();
    drop(endpoint);
    // The second list has another package instead, and other bytes of the first under the same name.
    let new = vec![hpkg("Haze++", 4000), hpkg("walter", 10_000)];
    repository.publish_on(&server, &new, SIGNED + 10);
    let (_world, endpoint) = Endpoint::of(world);
    let mut early = Pkgman::at(endpoint.address(), PATH);
    early.add_repo().unwrap();
    assert_eq!(early.install(&file_of(&new[0].0)).unwrap(), new[0].1);
    let mut late = late.moved_to(endpoint.address());
    assert_eq!(late.install(&file_of(&old[1].0)).unwrap(), old[1].1);
    // What only the former list has is never what a server has put in its place.
    let (_world, endpoint) = Endpoint::of(_world.unset("PKGSWARM_STORE_DIR"));
    server.publish(&file_of(&old[1].0), b"hpkg and something else");
    let late = late.moved_to(endpoint.address()).install(&file_of(&old[1].0));
    assert!(late == Ok(old[1].1.clone()) || late == Err(PkgmanError::Status(404)), "other bytes of the name");
}

#[test]
fn a_package_that_trickles_is_an_end_for_pkgman() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let file = file_of(&listed[1].0);
    let slow = mirror(&repository, &listed, SIGNED).on(&file).dripping(DRIP);
    let (_world, endpoint) = Endpoint::of(impatient(scene(&repository, &[&slow], "")));
    let mut pkgman = Pkgman::at(endpoint.address(), PATH);
    pkgman.add_repo().unwrap();
    assert_eq!(pkgman.install(&file), Err(PkgmanError::Status(404)));
    // A server that has it at last is asked the next time.
    let _honest = slow.honest();
    assert_eq!(pkgman.install(&file).unwrap(), listed[1].1);
}

#[test]
fn every_status_of_a_server_instead_of_a_file_of_the_list_ends_pkgman() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    for file in ["repo.sha256", "repo", "repo.minisig", "repo.info"] {
        for status in [204, 400, 403, 404, 405, 408, 409, 413, 416, 421, 429, 500, 501, 502, 503, 504] {
            let server = mirror(&repository, &listed, SIGNED).on(file).status(status);
            let world = scene(&repository, &[&server], "");
            let run = world.run(&["haiku", "refresh"]);
            assert!(run.code() != 0 && run.stderr.contains(&format!("{file}: HTTP {status}")), "{}", run.stderr);
        }
    }
    // One of them is enough to see what pkgman gets for it.
    let server = mirror(&repository, &listed, SIGNED).on("repo").status(503);
    let (_world, endpoint) = Endpoint::of(scene(&repository, &[&server], ""));
    for path in ["repo.info", "repo.sha256", "repo", "repo.minisig", "packages/a-1-any.hpkg"] {
        let answer = endpoint.get(&format!("/{PATH}/{path}"));
        assert!(matches!(answer.status, 403 | 404) && answer.body.is_empty(), "{path}: {}", answer.status);
    }
}

#[test]
fn every_fault_of_a_mirror_ends_in_the_right_bytes_or_a_definite_failure() {
    let faults: [Fault; 14] = [
        ("cut", |mirror| mirror.cut_after(700_000)),
        ("cut once", |mirror| mirror.cut_after(700_000).times(2)),
        ("reset", |mirror| mirror.reset_after(700_000)),
        ("stall", |mirror| mirror.stall_after(700_000)),
        ("hang", |mirror| mirror.hanging()),
        ("too many", |mirror| mirror.oversized(100)),
        ("200 to a Range", |mirror| mirror.ignoring_range().cut_after(700_000)),
        ("206 of elsewhere", |mirror| mirror.with_wrong_content_range().cut_after(700_000)),
        ("other bytes", |mirror| mirror.lying()),
        ("no length", |mirror| mirror.without_content_length()),
        ("chunks", |mirror| mirror.chunked()),
        ("chunks that end early", |mirror| mirror.chunked_ending_early(700_000)),
        ("a portal", |mirror| mirror.captive_portal()),
        ("circles", |mirror| mirror.redirecting_in_circles()),
    ];
    let (repository, listed) = (HaikuRepository::new(), listed());
    let (file, bytes) = (file_of(&listed[1].0), &listed[1].1);
    for (name, fault) in faults {
        let bent = fault(mirror(&repository, &listed, SIGNED).on(&file));
        let (_world, endpoint) = Endpoint::of(impatient(scene(&repository, &[&bent], "")));
        let mut pkgman = Pkgman::at(endpoint.address(), PATH);
        pkgman.add_repo().unwrap();
        // With a part of its own as well: what comes is appended once.
        for have in [0, 400_000] {
            pkgman.parts.insert(file.clone(), bytes[..have].to_vec());
            match pkgman.install(&file) {
                Ok(got) => assert_eq!(&got, bytes, "{name}, {have}"),
                Err(error) => assert_eq!(error, PkgmanError::Status(404), "{name}, {have}"),
            }
        }
        // A sound server beside it is enough for the right bytes.
        let bent = fault(mirror(&repository, &listed, SIGNED).on(&file));
        let sound = mirror(&repository, &listed, SIGNED);
        let (_world, endpoint) = Endpoint::of(impatient(scene(&repository, &[&bent, &sound], "")));
        let mut pkgman = Pkgman::at(endpoint.address(), PATH);
        pkgman.add_repo().unwrap();
        assert_eq!(pkgman.install(&file).as_ref(), Ok(bytes), "{name}");
    }
}

#[test]
fn without_mirrors_packages_come_from_the_house_and_from_this_machine() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let server = mirror(&repository, &listed, SIGNED);
    let shared = |world: World| world.set("PKGSWARM_SHARE_REPOS", "Demo").set("PKGSWARM_KUBO_HEAD_START", "10 s");
    let (_first, first) = Endpoint::of(shared(scene(&repository, &[&server], "")));
    let mut pkgman = Pkgman::at(first.address(), PATH);
    pkgman.add_repo().unwrap();
    for (package, bytes) in &listed {
        assert_eq!(&pkgman.install(&file_of(package)).unwrap(), bytes);
    }
    let files = |server: &FakeMirror| server.requests().iter().filter(|r| r.path().contains(".hpkg")).count();
    let before = files(&server);
    let second = shared(scene(&repository, &[&server], ""))
        .set("PKGSWARM_ENDPOINT_MIRRORS", "false")
        .set("PKGSWARM_ENDPOINT_PEERS", &first.address().to_string());
    let (_second, second) = Endpoint::of(second);
    logged(&second, "packages are asked of");
    let mut pkgman = Pkgman::at(second.address(), PATH);
    pkgman.add_repo().unwrap();
    for (package, bytes) in &listed {
        assert_eq!(&pkgman.install(&file_of(package)).unwrap(), bytes);
    }
    drop(first);
    // Now they are here.
    assert_eq!(pkgman.install(&file_of(&listed[1].0)).unwrap(), listed[1].1);
    assert_eq!(files(&server), before, "no server was asked for a package");
}

#[test]
fn fetch_and_why_prove_a_package_by_its_list_and_look_in_the_store_first() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let server = mirror(&repository, &listed, SIGNED);
    let world = scene(&repository, &[&server], "");
    world.run(&["haiku", "refresh"]).succeeds();
    let (file, bytes) = (file_of(&listed[0].0), &listed[0].1);
    let dir = open_dir(&world);
    let into = dir.display().to_string();
    let url = format!("http://{}/{PATH}/packages/{file}", server.address());
    let sum = pkgswarm::base::digest::Sha256::of(bytes).to_string();
    for what in [file.as_str(), "haze++", "Haze++", "haze++-1.2~beta+2", &url, &sum] {
        let run = world.run(&["fetch", what, "-d", &into, "--json"]);
        assert_eq!(run.code(), 0, "{what}: {}", run.stderr);
        let line: serde_json::Value = serde_json::from_str(run.stdout.trim()).unwrap();
        assert_eq!((line["name"].as_str(), line["sha256"].as_str()), (Some(file.as_str()), Some(sum.as_str())));
        assert_eq!(line["waiver"], serde_json::Value::Null, "{what} is proven");
        assert_eq!(&std::fs::read(dir.join(&file)).unwrap(), bytes);
        std::fs::remove_file(dir.join(&file)).unwrap();
    }
    assert_eq!(server.requests_of(&file).iter().filter(|request| request.method == "GET").count(), 1);
    let why = world.run(&["why", &file, "--json"]);
    let why: serde_json::Value = serde_json::from_str(&why.stdout).unwrap();
    assert!(why["listed"][0]["by"].as_str().unwrap().starts_with("the list of Demo, signed "), "{why}");
    assert_eq!((why["repo"].as_str(), why["sha256"].as_str()), (Some("Demo"), Some(sum.as_str())));
    assert_eq!(why["here"].as_array().unwrap().len(), 1);
    // Other bytes are refused.
    let large = file_of(&listed[1].0);
    let mut other = listed[1].1.clone();
    other[9] ^= 1;
    server.publish(&large, &other);
    let run = world.run(&["fetch", &large, "-d", &into]);
    assert!(run.code() == 3 && !dir.join(&large).exists(), "{}", run.stderr);
}

#[test]
fn status_and_doctor_ask_the_endpoint_how_old_each_list_is_and_which_servers_fail() {
    let (repository, listed) = (HaikuRepository::new(), listed());
    let (gone, sound) = (mirror(&repository, &listed, SIGNED).status(503), mirror(&repository, &listed, SIGNED));
    let (world, endpoint) = Endpoint::of(scene(&repository, &[&gone, &sound], ""));
    Pkgman::at(endpoint.address(), PATH).add_repo().unwrap();
    let world = world.set("PKGSWARM_ENDPOINT_LISTEN", &endpoint.address().to_string());
    super::json::documented(&world, "pkgswarm-status", &["status"]);
    let status = world.run(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    let demo = &status["haiku"][0];
    assert_eq!((demo["name"].as_str(), demo["packages"].as_u64()), (Some("Demo"), Some(2)), "{status}");
    assert_eq!((demo["signed"].as_u64(), demo["served"].as_bool()), (Some(SIGNED), Some(true)));
    assert!(demo["checked"].is_u64() && demo["proven"].is_u64());
    assert_eq!(demo["max_age"].as_u64(), Some(14 * 24 * 3600));
    let why = |number: usize| demo["servers"][number]["why"].as_str();
    assert!(why(0).or(why(1)).unwrap().contains("HTTP 503"), "{demo}");
    let doctor = world.run(&["doctor"]).stdout;
    let said = format!("http://{}/{PATH}, a server of Haiku's repository Demo, sent no list", gone.address());
    assert!(doctor.replace("\n ", "").contains(&said), "{doctor}");
}
