//! `pkgswarm doctor` and `pkgswarm status` about the endpoint for pacman's own downloader: each trap is found, and
//! nothing else, when it is set up on purpose.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use serde_json::Value;

use super::doctor::{findings, finds, found, machine};
use crate::support::endpoint::Endpoint;
use crate::support::{Compression, Package, World, database, dead_address};

/// Listens at an address of its own, and answers every connection with these bytes.
fn answering(said: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 2000]);
            let _ = stream.write_all(said.as_bytes());
        }
    });
    at
}

const OURS: &str = "HTTP/1.1 404 Not Found\r\nServer: pkgswarm/0.1.0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Makes a machine whose pacman asks an endpoint at `at`, with a systemctl that says this of its socket.
fn asking(at: SocketAddr, version: &str, socket: &str) -> World {
    let line = format!("[core]\nCacheServer = http://{at}/$repo/os/$arch");
    let world = machine(version, |conf, _| {
        conf.replace("XferCommand", "#XferCommand")
            .replace("[core]", &line)
            .replace("DatabaseOptional", "DatabaseNever")
    });
    world
        .set("PKGSWARM_ENDPOINT_LISTEN", &at.to_string())
        .set("PKGSWARM_ENDPOINT_ENABLED", "true")
        .script("systemctl", &format!("case $* in 'is-enabled pkgswarm-endpoint.socket') echo {socket} ;; esac"))
}

fn nothing(world: &World) {
    let run = world.run(&["doctor", "--json"]);
    assert_eq!((run.code(), found(&run)), (0, vec![]), "{}", run.stdout);
}

#[test]
fn an_endpoint_that_answers_where_pacman_asks_is_well() {
    let world = asking(answering(OURS), "7.1.0", "enabled");
    nothing(&world);
    assert!(world.run(&["doctor"]).stdout.contains("endpoint 10 ok"), "{}", world.run(&["doctor"]).stdout);
    let unused = machine("7.1.0", |conf, _| conf);
    assert!(unused.run(&["doctor"]).stdout.contains("endpoint not used"), "{}", unused.run(&["doctor"]).stdout);
}

#[test]
fn the_endpoint_itself_is_known_by_its_answer() {
    let (world, endpoint) = Endpoint::of(World::new().run_by_user());
    for path in ["/", "/core/os/x86_64/unknown-1-1-any.pkg.tar.zst"] {
        let answer = endpoint.get(path);
        assert!(answer.header("server").is_some_and(|name| name.starts_with("pkgswarm/")), "{answer:?}");
    }
    let world = world.set("PKGSWARM_ENDPOINT_LISTEN", &endpoint.address().to_string());
    let document: Value = serde_json::from_str(&world.run(&["status", "--json"]).stdout).unwrap();
    assert_eq!(document["endpoint"]["answers"], true, "{document}");
}

#[test]
fn an_address_that_is_taken_and_one_that_is_silent_are_found() {
    let at = answering("HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let world = asking(at, "7.1.0", "enabled");
    finds(&world, "endpoint-address", "error");
    let said = findings(&world.run(&["doctor"]));
    assert!(
        said.contains(&format!("{at}, the address of the endpoint, is taken by another program (nginx)")),
        "{said}"
    );
    assert!(said.contains(&format!("ss -tlnp 'sport = :{}'", at.port())), "{said}");
    // The kernel accepts connections, and no process answers.
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let world = asking(hung.local_addr().unwrap(), "7.1.0", "enabled");
    finds(&world, "endpoint-address", "warning");
    let said = findings(&world.run(&["doctor"]));
    assert!(said.contains("pacman waits 10 s for each file") && said.contains("systemctl restart"), "{said}");
}

#[test]
fn lines_without_a_socket_and_a_socket_without_lines_are_found() {
    let gone = dead_address();
    for (socket, says) in [
        ("disabled", "pkgswarm-endpoint.socket is disabled: pacman asks its mirrors"),
        ("enabled", "pkgswarm-endpoint.socket is enabled and closed"),
        ("not-found", "and nothing listens there"),
    ] {
        let world = asking(gone, "7.1.0", socket);
        finds(&world, "endpoint-socket", "warning");
        let said = findings(&world.run(&["doctor"]));
        assert!(said.contains(says), "{socket}: {said}");
    }
    finds(&asking(answering(OURS), "7.1.0", "disabled"), "endpoint-socket", "note");
    nothing(&asking(answering(OURS), "7.1.0", "not-found"));
    let at = answering(OURS);
    let unasked = |listen: &str| {
        let enabled = "case $* in 'is-enabled pkgswarm-endpoint.socket') echo enabled ;; esac";
        machine("7.1.0", |conf, _| conf).script("systemctl", enabled).set("PKGSWARM_ENDPOINT_LISTEN", listen)
    };
    finds(&unasked(&at.to_string()), "endpoint-socket", "note");
    nothing(&unasked(&format!("{at},10.0.0.1:{}", at.port())));
}

#[test]
fn a_socket_that_listens_elsewhere_than_pacman_is_told_is_found() {
    let at = answering(OURS);
    let says = |listens: &str| {
        asking(at, "7.1.0", "enabled").script(
            "systemctl",
            &format!(
                "case $* in 'is-enabled pkgswarm-endpoint.socket') echo enabled ;; *Listen*) echo '{listens}' ;; esac"
            ),
        )
    };
    let elsewhere = says("127.0.0.1:4999 (Stream)");
    finds(&elsewhere, "endpoint-socket", "warning");
    let said = findings(&elsewhere.run(&["doctor"]));
    assert!(
        said.contains(&format!("listens at 127.0.0.1:4999, and endpoint.listen, which pacman is told, is {at}")),
        "{said}"
    );
    nothing(&says(&format!("{at} (Stream)")));
    nothing(&says(&format!("0.0.0.0:{} (Stream)", at.port())));
}

#[test]
fn an_endpoint_that_is_not_enabled_and_a_pacman_that_does_not_know_it_are_found() {
    let world = asking(answering(OURS), "7.1.0", "enabled").set("PKGSWARM_ENDPOINT_ENABLED", "false");
    finds(&world, "endpoint-enabled", "warning");
    // pacman-conf before 6.1 does not print the lines.
    let world = asking(answering(OURS), "6.0.2", "enabled");
    let world = world.script("pacman-conf", "sh \"$0.all\" \"$@\" | grep -v ^CacheServer");
    let reading = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/pacman-conf-reading.sh");
    fs::copy(reading, world.path("bin/pacman-conf.all")).unwrap();
    let run = world.run(&["doctor", "--json"]);
    assert!(found(&run).contains(&("endpoint-pacman".to_owned(), "warning".to_owned())), "{}", run.stdout);
    let said = findings(&world.run(&["doctor"]));
    assert!(said.contains("pacman 6.0.2 knows no CacheServer, so it never asks the endpoint"), "{said}");
}

#[test]
fn a_proxy_between_pacman_and_the_endpoint_is_found() {
    let world = asking(answering(OURS), "7.1.0", "enabled").set("http_proxy", "http://127.0.0.1:9");
    let run = world.run(&["doctor", "--json"]);
    let level = if crate::support::world::is_root() { "warning" } else { "note" };
    assert_eq!(found(&run), [("endpoint-proxy".to_owned(), level.to_owned())], "{}", run.stdout);
    assert!(run.stdout.contains("http_proxy in this environment has no exception for 127.0.0.1"), "{}", run.stdout);
    nothing(&world.set("no_proxy", "localhost,127.0.0.1"));
}

#[test]
fn both_doors_are_told_apart_and_an_xfer_command_that_shuts_the_other_is_found() {
    let at = answering(OURS);
    let uncommented = |world: World, from: &str, to: &str| {
        let text = fs::read_to_string(world.path("pacman.conf")).unwrap().replace(from, to);
        fs::write(world.path("pacman.conf"), text).unwrap();
        world
    };
    let world = uncommented(asking(at, "7.1.0", "enabled"), "#XferCommand", "XferCommand");
    finds(&world, "endpoint-doors", "note");
    let world = uncommented(asking(at, "7.1.0", "enabled"), "#XferCommand", "XferCommand = /usr/bin/curl -o %o %u\n#");
    let run = world.run(&["doctor", "--json"]);
    let want = [("xfer-command".to_owned(), "warning".to_owned()), ("endpoint-doors".to_owned(), "warning".to_owned())];
    assert_eq!(found(&run), want, "{}", run.stdout);
    assert!(run.stdout.contains("XferCommand is /usr/bin/curl") && run.stdout.contains("2 s"), "{}", run.stdout);
}

#[test]
fn an_xfer_command_of_another_program_without_the_url_is_found() {
    let world = machine("7.1.0", |conf, _| {
        let at = conf.find("XferCommand").unwrap();
        let end = at + conf[at..].find('\n').unwrap();
        conf.replace(&conf[at..end], "XferCommand = /usr/bin/curl -o %o --url=%u")
    });
    let run = world.run(&["doctor", "--json"]);
    assert!(found(&run).contains(&("xfer-words".to_owned(), "error".to_owned())), "{}", run.stdout);
}

#[test]
fn a_partial_file_that_is_complete_is_found_and_one_that_is_not_is_left_alone() {
    let (zlib, big) = (Package::new("zlib", 1000), Package::new("big", 2000));
    let world = machine("7.1.0", |conf, _| conf);
    let world = world.sync_database("core", &database(&[&zlib, &big], Compression::Gzip));
    let part = |package: &Package, bytes: usize| {
        let path = world.path(&format!("cache/{}.part", package.file().0));
        fs::write(&path, vec![0; bytes]).unwrap();
        path
    };
    part(&big, 1999);
    fs::write(world.path("cache/unknown-1-1-any.pkg.tar.zst.part"), "x").unwrap();
    nothing(&world);
    let complete = part(&zlib, 1000);
    finds(&world, "complete-parts", "warning");
    let said = findings(&world.run(&["doctor"]));
    assert!(
        said.contains("could not find package in cache") && said.contains(&format!("sudo rm {}", complete.display())),
        "{said}"
    );
    // With the whole file beside it, pacman takes that.
    fs::write(world.path(&format!("cache/{}", zlib.file().0)), vec![0; 1000]).unwrap();
    nothing(&world);
}

#[test]
fn status_tells_whether_the_endpoint_answers_and_for_which_repositories() {
    let at = answering(OURS);
    let world = asking(at, "7.1.0", "enabled");
    let page = world.run(&["status"]).stdout;
    assert!(page.contains("asks the endpoint") && page.contains(&format!("on at {at}: for core")), "{page}");
    let document: Value = serde_json::from_str(&world.run(&["status", "--json"]).stdout).unwrap();
    let endpoint = &document["endpoint"];
    assert_eq!(
        (&endpoint["answers"], &endpoint["repos"][0], &endpoint["enabled"]),
        (&true.into(), &"core".into(), &true.into())
    );
    assert_eq!(document["pacman"]["uses"], true, "{document}");
    let gone = dead_address();
    let world = asking(gone, "7.1.0", "enabled");
    let page = world.run(&["status"]).stdout;
    assert!(page.contains(&format!("off: nothing listens at {gone}; for core")), "{page}");
    let page = machine("7.1.0", |conf, _| conf).run(&["status"]).stdout;
    assert!(page.lines().any(|line| line.split_whitespace().collect::<Vec<_>>() == ["endpoint", "off"]), "{page}");
}
