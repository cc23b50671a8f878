//! The endpoint's page, figures and document: their headers, their agreement, their readers.

use std::fs;

use serde_json::Value;

use crate::support::endpoint::Endpoint;
use crate::support::*;

fn endpoint(set: &[(&str, &str)]) -> (World, Endpoint) {
    let dead = format!("http://{}/core/os/x86_64", dead_address());
    let package = Package::new("zlib", 70_000);
    let world = World::new().run_by_user().sync_database("core", &database(&[&package], Compression::Gzip)).servers(
        "core",
        &[dead],
        &[],
    );
    fs::write(world.path("cache").join(package.file_name()), &package.bytes).unwrap();
    Endpoint::of(set.iter().fold(world, |world, (name, value)| world.set(name, value)))
}

#[test]
fn each_view_is_what_it_says_and_for_this_moment_and_browser_alone() {
    let (_world, endpoint) = endpoint(&[]);
    for (path, kind, policy) in [
        ("/", "text/html; charset=utf-8", "default-src 'none'; style-src 'sha256-"),
        ("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8", "default-src 'none'; frame-anc"),
        ("/status.json", "application/json", "default-src 'none'; frame-anc"),
    ] {
        let answer = endpoint.get(path);
        assert_eq!((answer.status, answer.is_whole, answer.header("content-type")), (200, true, Some(kind)), "{path}");
        let said = |name| answer.header(name).unwrap_or_default();
        assert!(said("content-security-policy").starts_with(policy), "{path}: {answer:?}");
        assert!(!said("content-security-policy").contains("script"), "{path}: {answer:?}");
        assert_eq!((said("cache-control"), said("x-content-type-options")), ("no-store", "nosniff"), "{path}");
        let head = endpoint.client().ask("HEAD", path, &[]).unwrap();
        assert_eq!((head.status, head.body.len(), head.header("content-type")), (200, 0, Some(kind)), "{path}");
        // Nothing can be changed there, and no other site's name leads there.
        assert_eq!(endpoint.client().ask("POST", path, &[]).unwrap().status, 405, "{path}");
        let mut client = endpoint.client();
        assert!(client.send(format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n").as_bytes()));
        assert_eq!(client.answer(false).unwrap().status, 421, "{path}");
    }
}

#[test]
fn the_figures_count_what_was_sent_and_the_document_has_those_of_the_commands() {
    let (world, endpoint) = endpoint(&[]);
    assert_eq!(endpoint.core("zlib-1.0-1-any.pkg.tar.zst").status, 404, "no such version");
    let name = fs::read_dir(world.path("cache")).unwrap().flatten().next().unwrap().file_name();
    assert_eq!(endpoint.core(name.to_str().unwrap()).status, 200);
    let figures = String::from_utf8(endpoint.get("/metrics").body).unwrap();
    for line in ["pkgswarm_endpoint_files_total 1", "pkgswarm_endpoint_sent_bytes_total 70000", "# EOF"] {
        assert!(figures.lines().any(|known| known == line), "{line}: {figures}");
    }
    let document: Value = serde_json::from_slice(&endpoint.get("/status.json").body).unwrap();
    for (command, member) in [("status", None), ("stats", Some("stats")), ("doctor", Some("doctor"))] {
        let own: Value = serde_json::from_str(&world.run(&[command, "--json"]).stdout).unwrap();
        let whole = member.map_or(&document, |member| &document[member]);
        for field in own.as_object().unwrap().keys() {
            assert!(whole.get(field).is_some(), "{command}: {field}: {whole}");
        }
    }
    assert_eq!(document["endpoint"]["sent"], 70_000);
}

#[test]
fn a_mistake_in_the_configuration_is_on_the_page_while_the_endpoint_goes_on() {
    let (world, endpoint) = endpoint(&[]);
    let world = world.config("[store]\nmx = \"<b>\"\n");
    let page = String::from_utf8(endpoint.get("/").body).unwrap();
    assert!(page.contains("unknown setting") && page.contains("sudoedit"), "{page}");
    assert!(!page.contains("<b>"), "{page}");
    drop(world);
}
