//! Who counts as a witness for a publication that follows mirrors: https, two hosts, and none amid its synchronisation.

use std::fs;
use std::net::Ipv4Addr;

use crate::support::follow::{following, following_at, listed, publish, published, remembering, upstream, wanted};
use crate::support::mirror::FakeMirror;
use crate::support::repo::{Package, database, signature};
use crate::support::run::Run;
use crate::support::tls::{Certificate, FakeTls, bundle};
use crate::support::{Compression, Misbehaves as _, World};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn template(mirror: &FakeMirror) -> String {
    format!("http://{}/$repo/os/$arch", mirror.address())
}

#[track_caller]
fn is_unproven(world: &World, run: &Run) {
    assert!(run.code() == 3 && run.stderr.contains(" alone, over http, which proves nothing"), "{}", run.stderr);
    assert!(!world.path("plain/pkgswarm.json").exists());
}

#[test]
fn two_ports_of_one_host_and_two_names_of_one_address_are_one_witness() {
    let upstream = upstream();
    let (a, b) = (upstream.mirror_on(HERE), upstream.mirror_on(HERE));
    let world = following(&[&a, &b], "");
    is_unproven(&world, &publish(&world));
    let named = template(&b).replace("127.0.0.1", "localhost");
    let world = following_at(&[template(&a), named], "");
    is_unproven(&world, &publish(&world));
    let other = upstream.mirror_on(Ipv4Addr::new(127, 0, 0, 9));
    let world = following(&[&a, &b, &other], "");
    published(&world);
    assert_eq!(listed(&world.path("plain")), wanted(&upstream));
}

#[test]
fn https_counts_alone_and_no_redirect_makes_a_witness() {
    let upstream = upstream();
    let by = Certificate::new().called("an authority").authority().make();
    let made = Certificate::new().signed_by(&by).make();
    let honest = upstream.mirror();
    let tls = FakeTls::before(&honest, &made);
    let over = |url: String, trusts: bool| {
        let world = following_at(&[url], "");
        let other = Certificate::new().called("another").authority().make();
        let pem = bundle(&world, "bundle.pem", &[if trusts { &by } else { &other }]);
        world.set("SSL_CERT_FILE", pem.to_str().unwrap()).set("PKGSWARM_DOWNLOAD_CONNECT", "60 s")
    };
    let world = over(tls.repo("$repo"), true);
    published(&world);
    assert_eq!(listed(&world.path("plain")), wanted(&upstream));

    // One that this machine does not trust has nothing to say.
    let world = over(tls.repo("$repo"), false);
    let run = publish(&world);
    assert!(run.code() == 1 && run.stderr.contains("untrusted: "), "{}", run.stderr);
    assert!(!world.path("plain/pkgswarm.json").exists());

    // https that leads to http is refused, whatever the file.
    let led = upstream.mirror();
    let plain = format!("http://{}", honest.address());
    let led = ["lastupdate", "core.db", "extra.db"]
        .iter()
        .fold(led, |led, name| led.on(name).redirecting_to(&format!("{plain}/core/os/x86_64/{name}")));
    let behind = FakeTls::before(&led, &made);
    let world = over(behind.repo("$repo"), true);
    let run = publish(&world);
    assert_eq!(run.code(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("a redirect from https to http"), "{}", run.stderr);

    // Two http hosts that lead to a third one are that one's voice.
    let leading = |name: &str| {
        let mirror = upstream.mirror();
        mirror.on(name).redirecting_to(&format!("{plain}/core/os/x86_64/{name}"))
    };
    for name in ["lastupdate", "core.db"] {
        let (a, b) = (leading(name), leading(name));
        let world = following(&[&a, &b], "");
        let run = publish(&world);
        assert!(run.code() == 1 && run.stderr.contains("which is another host"), "{name}: {}", run.stderr);
        assert!(!world.path("plain/pkgswarm.json").exists());
    }
}

#[test]
fn a_mirror_amid_its_synchronisation_is_waited_for_and_after_an_hour_it_is_an_alarm() {
    let mut upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "");
    published(&world);
    let before = wanted(&upstream);
    upstream.change("core", &Package::new("bash", 100).version("2.0-1"), |_| {});
    let database = "core/os/x86_64/core.db";
    upstream.sync(&a);
    upstream.sync(&b);
    // The next change has reached the database of one, and not yet its lastupdate.
    let (time, at) = (b.file("lastupdate"), upstream.lastupdate);
    upstream.change("core", &Package::new("bash", 200).version("3.0-1"), |_| {});
    upstream.sync(&b);
    b.publish_dated("lastupdate", &time, at);
    let run = publish(&world);
    assert_eq!(run.code(), 1, "{}", run.stderr);
    assert!(run.said.contains("it may be in the middle of its synchronisation"), "{}", run.said);
    assert!(run.stdout.contains("\"did\":\"unchanged\""), "the former one is looked after: {}", run.stdout);
    assert_eq!(listed(&world.path("plain")), before);

    // It has not moved for an hour: another content at the same time.
    let memory = world.path("state-publish/arch/follow/followed.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&fs::read(&memory).unwrap()).unwrap();
    for record in kept["mirrors"].as_object_mut().unwrap().values_mut().filter(|record| record["unsettled"].is_array())
    {
        record["unsettled"][1] = (record["unsettled"][1].as_u64().unwrap() - 3600).into();
    }
    fs::write(&memory, kept.to_string()).unwrap();
    let run = publish(&world);
    assert!(run.code() == 3 && run.said.contains("differ at the same lastupdate: sha256 "), "{}", run.said);

    for mirror in [&a, &b] {
        upstream.sync(mirror);
    }
    assert_ne!(a.file(database), b"");
    published(&world);
    assert_eq!(listed(&world.path("plain")), wanted(&upstream));
}

#[test]
fn databases_of_two_moments_are_not_published_as_one_snapshot() {
    let mut upstream = upstream();
    let by = Certificate::new().called("an authority").authority().make();
    let made = Certificate::new().signed_by(&by).make();
    let (a, b, c) = (upstream.mirror(), upstream.mirror(), upstream.mirror());
    let tls = FakeTls::before(&c, &made);
    let agreeing = following(&[&a, &b], "");
    let over = following_at(&[tls.repo("$repo")], "");
    let pem = bundle(&over, "bundle.pem", &[&by]);
    let over = over.set("SSL_CERT_FILE", pem.to_str().unwrap()).set("PKGSWARM_DOWNLOAD_CONNECT", "60 s");
    let worlds = [&agreeing, &over];
    worlds.iter().for_each(|world| drop(published(world)));
    let before = wanted(&upstream);
    upstream.change("core", &Package::new("bash", 100).version("2.0-1"), |_| {});
    // The next change has reached the first database of every mirror, and neither the second one nor lastupdate.
    let (bash, vim) = (Package::new("bash", 200).version("3.0-1"), Package::new("vim", 300).version("3.0-1"));
    let mut steps = 0;
    upstream.change_together(&[("core", &bash), ("extra", &vim)], |half| {
        steps += 1;
        if steps != 2 {
            return;
        }
        for mirror in [&a, &b, &c] {
            half.sync(mirror);
        }
        for world in worlds {
            let run = publish(world);
            assert_eq!(run.code(), 1, "{}", run.stderr);
            assert!(run.said.contains("it may be in the middle of its synchronisation"), "{}", run.said);
            assert_eq!(listed(&world.path("plain")), before);
        }
    });
    for mirror in [&a, &b, &c] {
        upstream.sync(mirror);
    }
    for world in worlds {
        published(world);
        assert_eq!(listed(&world.path("plain")), wanted(&upstream));
    }
    // A mirror whose dates are its own is late for an hour, and believed from then on.
    for version in ["4.0-1", "5.0-1"] {
        upstream.change("core", &Package::new("bash", 400).version(version), |_| {});
        upstream.sync(&c);
        let database = c.file("core/os/x86_64/core.db");
        c.publish_dated("core/os/x86_64/core.db", &database, upstream.lastupdate + 5);
        if version == "4.0-1" {
            let run = publish(&over);
            assert_eq!(run.code(), 1, "{}", run.stderr);
            let memory = over.path("state-publish/arch/follow/followed.json");
            let mut kept: serde_json::Value = serde_json::from_slice(&fs::read(&memory).unwrap()).unwrap();
            for record in kept["mirrors"].as_object_mut().unwrap().values_mut() {
                record["newer"] = (record["newer"].as_u64().unwrap() - 3600).into();
            }
            fs::write(&memory, kept.to_string()).unwrap();
        }
        published(&over);
        assert_eq!(listed(&over.path("plain")), wanted(&upstream));
    }
}

#[test]
fn a_mirror_that_brings_its_lastupdate_first_is_waited_for() {
    let mut upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    for order in [[&a, &b], [&b, &a]] {
        for mirror in order {
            upstream.sync(mirror);
        }
        let world = following(&order, "");
        published(&world);
        let before = wanted(&upstream);
        upstream.change("core", &Package::new("bash", before.len() * 50 + upstream.lastupdate as usize % 97), |_| {});
        upstream.sync(&a);
        b.publish_dated("lastupdate", &a.file("lastupdate"), upstream.lastupdate);
        let run = publish(&world);
        assert_eq!(run.code(), 1, "{}", run.stderr);
        assert!(run.said.contains("it may be in the middle of its synchronisation"), "{}", run.said);
        assert_eq!(listed(&world.path("plain")), before);
        upstream.sync(&b);
        published(&world);
        assert_eq!(listed(&world.path("plain")), wanted(&upstream));
    }
}

#[test]
fn a_liar_about_a_signature_costs_nothing_where_two_others_agree() {
    let upstream = upstream();
    let (liar, a, b) = (upstream.mirror(), upstream.mirror(), upstream.mirror());
    let path = format!("core/os/x86_64/{}", Package::new("bash", 1).signature().0);
    liar.publish_dated(&path, &signature("a lie"), upstream.lastupdate);
    let world = following(&[&liar, &a], "");
    let run = publish(&world);
    assert!(run.code() == 3 && run.said.contains("127.0.0.1:A and 127.0.0.1:B differ"), "{}", run.said);
    let world = following(&[&liar, &a, &b], "");
    published(&world);
    let here = world.path("state-publish/arch/follow/signatures");
    let here = here.join(Package::new("bash", 20_000).sha256().to_string());
    assert_eq!(fs::read(here).unwrap(), a.file(&path));
}

#[test]
fn mirrors_are_asked_once_more_before_one_is_accused() {
    let mut upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "");
    published(&world);
    upstream.change("core", &Package::new("bash", 100).version("2.0-1"), |_| {});
    upstream.sync(&a);
    let (time, at) = (a.file("lastupdate"), upstream.lastupdate);
    upstream.change("core", &Package::new("bash", 200).version("3.0-1"), |_| {});
    upstream.sync(&b);
    // It had the older state when it was asked first, and has the newer one by now; its files have no dates that tell.
    b.publish_dated("core/os/x86_64/core.db", &b.file("core/os/x86_64/core.db"), at);
    let url = format!("http://{}/former/time", b.address());
    b.publish_dated("former/time", &time, at);
    let b = b.on("lastupdate").redirecting_to(&url).times(1);
    let run = publish(&world);
    assert!(run.code() == 1 && run.stderr.contains("the mirrors changed while they were read"), "{}", run.stderr);
    upstream.sync(&a);
    published(&world);
    assert_eq!(listed(&world.path("plain")), wanted(&upstream));
    drop(b);
}

#[test]
fn a_mirror_that_asks_to_wait_in_the_middle_of_a_run_is_left_alone_by_the_next_ones() {
    let mut upstream = upstream();
    let (a, b) = (upstream.mirror(), upstream.mirror());
    let world = following(&[&a, &b], "");
    published(&world);
    upstream.change("core", &Package::new("bash", 100).version("2.0-1"), |_| {});
    for mirror in [&a, &b] {
        upstream.sync(mirror);
    }
    let b = b.on("core.db").status(429).retry_after(1800).times(1);
    let asked = b.requests().len();
    let run = publish(&world);
    assert_ne!(run.code(), 0, "{}", run.stderr);
    assert_eq!(b.requests().len() - asked, 2, "lastupdate and that database, then nothing: {:?}", b.requests());
    let run = publish(&world);
    assert!(run.said.contains("not to be asked for another"), "{}", run.said);
    assert_eq!(b.requests().len() - asked, 2, "the next run does not ask it either");
}

#[test]
fn databases_that_come_after_their_lastupdate_are_published_within_the_hour() {
    let mut upstream = upstream();
    let by = Certificate::new().called("an authority").authority().make();
    let made = Certificate::new().signed_by(&by).make();
    let c = upstream.mirror();
    let tls = FakeTls::before(&c, &made);
    let world = following_at(&[tls.repo("$repo")], "");
    let pem = bundle(&world, "bundle.pem", &[&by]);
    let world = world.set("SSL_CERT_FILE", pem.to_str().unwrap()).set("PKGSWARM_DOWNLOAD_CONNECT", "60 s");
    published(&world);
    let before = wanted(&upstream);
    upstream.change("core", &Package::new("bash", 100).version("2.0-1"), |_| {});
    c.publish_dated("lastupdate", format!("{}\n", upstream.lastupdate).as_bytes(), upstream.lastupdate);
    published(&world);
    assert_eq!(listed(&world.path("plain")), before, "no database tells that it is not the one of this time");
    upstream.sync(&c);
    published(&world);
    assert_eq!(listed(&world.path("plain")), wanted(&upstream));

    // A mirror that is away meanwhile is no failure: nothing is known to be missing.
    let c = c.on("core.db").status(404).times(1);
    assert_eq!(&published(&world)["did"], "unchanged");

    // After an hour, another content at the same time is waited for where it is later, and then an alarm.
    let settled = |kept: &mut serde_json::Value| {
        kept["began"][1] = (kept["began"][1].as_u64().unwrap() - 3600).into();
        kept["compared"] = 0.into();
    };
    remembering(&world, settled);
    let asked = c.hits("core.db");
    remembering(&world, |kept| kept["compared"] = kept["heard"].clone());
    published(&world);
    assert_eq!(c.hits("core.db"), asked, "no database is asked for any more");
    let extra = "extra/os/x86_64/extra.db";
    c.publish_dated(extra, &database(&[], Compression::Gzip), upstream.lastupdate - 7);
    remembering(&world, |kept| kept["compared"] = 0.into());
    let run = publish(&world);
    let other = "has another content at the lastupdate";
    assert!(run.code() == 3 && run.said.contains("extra.db: ") && run.said.contains(other), "{}", run.said);
    c.publish_dated(extra, &c.file(extra), upstream.lastupdate - 1);
    let run = publish(&world);
    assert!(run.code() == 1 && run.said.contains("in the middle of its synchronisation"), "{}", run.said);
    remembering(&world, |kept| {
        for record in kept["mirrors"].as_object_mut().unwrap().values_mut() {
            record["unsettled"][1] = (record["unsettled"][1].as_u64().unwrap() - 3600).into();
        }
    });
    let run = publish(&world);
    assert!(run.code() == 3 && run.said.contains(other), "{}", run.said);
}
