//! Files by CID, made by other programs: foreign neighbours, inlined content, odd spellings, URLs of gateways.

use pkgswarm::base::cid::Cid;
use pkgswarm::base::digest::Sha256;
use pkgswarm::base::protobuf::ProtobufWriter;
use pkgswarm::dag::unixfs::{self, DagLink, LinkTarget};

use crate::support::repo::noise;
use crate::support::*;

const NO_SUCH_PACKAGE: &str = "no sync database";

/// Makes the CID that contains these bytes itself.
fn inlined(bytes: &[u8]) -> Vec<u8> {
    [&[1, 0x55, 0, bytes.len() as u8], bytes].concat()
}

fn dag_cbor() -> Vec<u8> {
    [&[1, 0x71, 0x12, 32][..], &[7; 32]].concat()
}

/// Fetches `what`, and asserts the printed lines.
#[track_caller]
fn fetched(world: &World, what: &str, name: &str, bytes: &[u8]) -> String {
    let run = world.run(&["fetch", "--json", what]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let out = world.path("out").join(name);
    world.has(&out, bytes);
    std::fs::remove_file(out).unwrap();
    run.stdout
}

#[track_caller]
fn refuses(world: &World, what: &str, code: i32, reason: &str) -> String {
    let run = world.run(&["fetch", what]);
    assert!(run.code() == code && run.stderr.contains(reason), "{what}: {run:?}");
    run.stderr
}

#[test]
fn foreign_entries_make_no_directory_unreadable() {
    let plain = noise("plain", 5000);
    let (cbor, sha512) = (dag_cbor(), [&[1, 0x55, 0x13, 64][..], &[7; 64]].concat());
    let small = inlined(b"a small file");
    let link = |name: &'static str, cid| DagLink { cid: LinkTarget::Foreign(cid), name: name.as_bytes(), tsize: 1 };
    let raw = Cid::raw(Sha256::of(&plain)).to_bytes();
    let block =
        unixfs::directory([link("cbor", &cbor), link("plain", &raw), link("sha512", &sha512), link("small", &small)]);
    let root = Cid::dag_pb(Sha256::of(&block)).to_string();
    let kubo = FakeKubo::empty().holding(&plain).holding_block(&root, &block);
    let world = World::new().kubo(&kubo);
    for (name, bytes) in [("plain", &plain[..]), ("small", b"a small file")] {
        fetched(&world, &format!("ipfs://{root}/{name}"), name, bytes);
    }
    for (name, reason) in [("cbor", "dag-cbor (0x71)"), ("sha512", "sha2-512 (0x13)")] {
        refuses(&world, &format!("{root}/{name}"), 2, reason);
    }
    refuses(&world, &format!("{root}/absent"), 1, "no such entry");
}

#[test]
fn an_inlined_file_needs_no_source() {
    let cid = Cid::of_link(&inlined(b"hello")).unwrap().to_string();
    let world = World::new().set("PKGSWARM_KUBO_ENABLED", "false");
    let said = fetched(&world, &cid, &cid, b"hello");
    assert!(said.contains(&format!(r#""cid":"{cid}""#)), "{said}");
}

#[test]
fn what_is_an_address_and_no_file_of_ours_gets_a_reason_of_its_own() {
    let kubo = FakeKubo::empty();
    let world = World::new().repo("core", &[&Package::new("zlib", 100)], &[]).kubo(&kubo);
    let cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
    let cbor = "bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae";
    for (what, reason) in [
        (cbor.to_owned(), "dag-cbor"),
        (format!("IPFS://{cbor}"), "dag-cbor"),
        (format!("ipfs://{cid}?format=car"), "?format=car"),
        ("ipns://example.org/a".to_owned(), "IPNS"),
        ("k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8".to_owned(), "IPNS"),
        ("ipfs://nonsense/a".to_owned(), "not a CID"),
        (format!("ipfs://{cid}/..%2F..%2Fetc"), "cannot be the name"),
    ] {
        let said = refuses(&world, &what, 2, reason);
        assert!(!said.contains(NO_SUCH_PACKAGE), "{said}");
    }
    refuses(&world, "zlibb", 1, NO_SUCH_PACKAGE);
}

#[test]
fn the_json_about_a_cid_names_that_cid() {
    let content = noise("old", 3000);
    let data = ProtobufWriter::default().varint(1, 2).bytes(2, &content).varint(3, 3000).finish();
    let block = ProtobufWriter::default().bytes(1, &data).finish();
    let cid = Cid::from_bytes(&[&[0x12, 0x20], &Sha256::of(&block).0[..]].concat()).unwrap().to_string();
    assert!(cid.starts_with("Qm"), "{cid}");
    let kubo = FakeKubo::empty().holding_block(&cid, &block);
    let said = fetched(&World::new().kubo(&kubo), &cid, &cid, &content);
    assert!(said.contains(&format!(r#""cid":"{cid}""#)), "{said}");
}

#[test]
fn a_url_of_the_local_gateway_is_proven_by_the_cid_in_it() {
    let content = noise("file", 5000);
    let cid = Cid::raw(Sha256::of(&content)).to_string();
    // The gateway's claim about the file has nothing to do with its block.
    let kubo = FakeKubo::empty().holding(&content).holding_as(&cid, b"a lie");
    let world = World::new().kubo(&kubo);
    let said = fetched(&world, &format!("{}/ipfs/{cid}", kubo.gateway_url()), &cid, &content);
    assert!(said.contains(r#""waiver":null"#), "{said}");
}

#[test]
fn the_path_of_a_gateway_is_part_of_its_address() {
    let (gateway, cid) = (FakeKubo::empty(), Cid::raw(Sha256::of(b"x")));
    let world = World::new().set("PKGSWARM_GATEWAYS_URLS", &format!("{}/sub/", gateway.gateway_url()));
    refuses(&world, &cid.to_string(), 1, "no source delivered it");
    let asked: Vec<String> = gateway.requests().iter().map(|request| request.path()).collect();
    assert_eq!(asked, [format!("sub/ipfs/{cid}")]);
}
