//! Kubo whose RPC demands a secret, or listens on a Unix socket.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use crate::support::world::{UNPRIVILEGED, give, is_root};
use crate::support::*;

const TOKEN: &str = "hush-hush-do-not-tell";

/// Writes the secret so that only the user who runs pkgswarm can read it.
fn token_file(world: &World, text: &str) -> String {
    let path = world.path("token");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    if is_root() {
        give(&path, UNPRIVILEGED);
    }
    path.display().to_string()
}

fn kubo_of(world: &World) -> String {
    let run = world.run(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run:?}"));
    assert!(!format!("{run:?}").contains(TOKEN), "the token is shown");
    status["kubo"].to_string()
}

fn advice(world: &World) -> String {
    let run = world.run(&["doctor"]);
    assert!(!format!("{run:?}").contains(TOKEN), "the token is shown");
    run.stdout + &run.stderr
}

#[test]
fn an_rpc_that_asks_for_a_secret_is_used_with_the_one_in_a_file() {
    for (line, header) in [
        (format!("bearer:{TOKEN}\n"), "Bearer hush-hush-do-not-tell"),
        (TOKEN.to_owned(), "Bearer hush-hush-do-not-tell"),
        (format!("basic:me:{TOKEN}"), "Basic bWU6aHVzaC1odXNoLWRvLW5vdC10ZWxs"),
    ] {
        let kubo = FakeKubo::empty().guarded(header);
        let world = World::new().kubo(&kubo);
        assert!(advice(&world).contains("set kubo.token_file"), "doctor names the setting");
        let path = token_file(&world, &line);
        let world = world.set("PKGSWARM_KUBO_TOKEN_FILE", &path);
        assert!(kubo_of(&world).contains("0.43.1"), "{}", kubo_of(&world));
        assert!(!advice(&world).contains("Kubo's RPC"), "{}", advice(&world));
        for command in [&["config"][..], &["config", "--json"], &["config", "kubo.token_file"]] {
            let run = world.run(command);
            assert!(run.stdout.contains(&path) && !run.stdout.contains(TOKEN), "{run:?}");
        }
        let sent = kubo.gateway().requests().iter().filter(|request| request.header("authorization").is_some()).count();
        assert_eq!(sent, 0, "the gateway asks for none");
    }
}

#[test]
fn a_secret_that_is_wrong_or_cannot_be_read_is_said_with_its_file() {
    let kubo = FakeKubo::empty().guarded("Bearer another");
    let world = World::new().kubo(&kubo);
    let path = token_file(&world, TOKEN);
    let world = world.set("PKGSWARM_KUBO_TOKEN_FILE", &path);
    let said = advice(&world);
    assert!(said.contains(&format!("it refuses the secret in {path}")) && said.contains("AllowedPaths"), "{said}");
    for broken in ["", "digest:x", "two words"] {
        token_file(&world, broken);
        let said = advice(&world);
        assert!(said.contains("write one line like bearer:TOKEN into"), "{said}");
    }
    fs::remove_file(&path).unwrap();
    assert!(advice(&world).contains("No such file"), "{}", advice(&world));
}

#[test]
fn an_rpc_on_a_unix_socket_is_reached_as_kubo_writes_its_address() {
    let kubo = FakeKubo::empty();
    let world = World::new().kubo(&kubo);
    let path = world.path("api.sock");
    kubo.on_socket(&path);
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let tcp = kubo.api().address();
    for address in [
        format!("unix:{}", path.display()),
        format!("/unix{}", path.display()),
        format!("/ip4/127.0.0.1/tcp/{}", tcp.port()),
    ] {
        let world = World::new().kubo(&kubo).set("PKGSWARM_KUBO_API", &address);
        assert!(kubo_of(&world).contains("0.43.1"), "{address}: {}", kubo_of(&world));
        assert!(!advice(&world).contains("Kubo's RPC"), "{address}: {}", advice(&world));
    }
}

#[test]
fn a_password_in_an_address_is_refused_and_not_repeated() {
    for name in ["PKGSWARM_KUBO_API", "PKGSWARM_KUBO_GATEWAY", "PKGSWARM_GATEWAYS_URLS"] {
        let world = World::new().set(name, "http://me:hush@127.0.0.1:5001");
        let run = world.run(&["status"]);
        assert!(run.code() == 2 && run.stderr.contains("without user name and password"), "{run:?}");
        assert!(!run.stderr.contains("hush"), "{}", run.stderr);
    }
}
