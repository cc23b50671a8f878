//! Manifests that are accepted, and those that are refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::base::size::OWN_BLOCK_MOST;
use crate::index::minisign::PublicKey;

/// Makes an index of the repo `core` with sequence 1_790_000_000 that is valid for two days.
pub(crate) fn sample() -> Manifest {
    let sha256 = Sha256::of(b"table");
    let name = FileName::new("core.db").unwrap();
    let database = Database { name, size: 7, sha256: Sha256::of(b"db"), cid: None, modified: Some(1_789_999_000) };
    let sequence = 1_790_000_000;
    let table = Table {
        repo: RepoName::new("core").unwrap(),
        arch: "x86_64".to_owned(),
        changed: sequence,
        entries: 1,
        sha256: Sha256::of(b"plain"),
        size: 5,
        packed: Packed { cid: Cid::raw(sha256), sha256, size: 5 },
        diffs: Vec::new(),
        databases: vec![database],
        upstream: vec!["https://mirror.example/core/os/x86_64".to_owned()],
        lastupdate: Some(1_789_999_100),
        system: None,
        content: None,
        archive: None,
    };
    let publisher = "example".to_owned();
    Manifest {
        publisher,
        sequence,
        created: sequence,
        expires: sequence + 172_800,
        tables: vec![table],
        peers: Vec::new(),
        gateways: Vec::new(),
    }
}

fn changed(change: impl FnOnce(&mut Value)) -> Result<Manifest, ManifestError> {
    let mut json: Value = serde_json::from_slice(&sample().encode()).unwrap();
    change(&mut json);
    Manifest::decode(&serde_json::to_vec(&json).unwrap())
}

#[test]
fn what_is_written_is_read_back() {
    assert_eq!(Manifest::decode(&sample().encode()), Ok(sample()));
    assert_eq!(sample().tables[0].path(), "tables/core-x86_64.ndjson.zst");
}

#[test]
fn a_table_of_another_system_says_where_its_files_are() {
    let path = "haikuports/master/x86_64/current";
    let of = |table: &mut Value| (table["system"], table["path"]) = (json!("haiku"), json!(path));
    let read = changed(|m| of(&mut m["tables"][0])).unwrap();
    assert_eq!(read.tables[0].system, Some(TableSystem::haiku(path.to_owned())));
    assert_eq!((read.tables[0].place().as_str(), sample().tables[0].place().as_str()), (path, "core/os/x86_64"));
    assert_eq!(Manifest::decode(&read.encode()), Ok(read));
    let later = changed(|m| (m["tables"][0]["system"], m["tables"][0]["path"]) = (json!("apk"), json!("alpine")));
    assert_eq!(later.unwrap().tables[0].system.as_ref().map(|system| system.name.as_str()), Some("apk"));
    let refused = Err(ManifestError::Limit("system of a table"));
    for bad in ["", "/a", "a/", "a//b", "../a", "a/..", "a/\u{1b}[2J", "1/2/3/4/5/6/7/8/9", &"x".repeat(300)] {
        assert_eq!(
            changed(|m| (m["tables"][0]["system"], m["tables"][0]["path"]) = (json!("haiku"), json!(bad))),
            refused
        );
    }
    for bad in ["", "Haiku", "a/b"] {
        assert_eq!(changed(|m| (m["tables"][0]["system"], m["tables"][0]["path"]) = (json!(bad), json!("a"))), refused);
    }
    assert_eq!(changed(|m| m["tables"][0]["system"] = json!("haiku")), refused, "one without the other");
}

#[test]
fn content_that_is_not_known_promises_nothing() {
    let read = |value: Value| changed(|m| m["tables"][0]["content"] = value).unwrap().tables[0].content;
    for (text, content) in [("all", TableContent::All), ("recent", TableContent::Recent), ("none", TableContent::None)]
    {
        assert_eq!(read(json!(text)), Some(content));
        let said =
            Manifest { tables: vec![Table { content: Some(content), ..sample().tables[0].clone() }], ..sample() };
        assert_eq!(Manifest::decode(&said.encode()), Ok(said), "{text}");
    }
    for later in [json!("half"), json!("All"), json!({"all": true}), json!(7), json!(["all"])] {
        assert_eq!(read(later.clone()), Some(TableContent::None), "{later}");
    }
    assert!(changed(|m| m["critical"] = json!(["tables.content"])).is_ok());
}

#[test]
fn an_archive_is_named_within_its_limits_and_a_reader_may_be_required_to_know_it() {
    let sha256 = Sha256::of(b"lines");
    let packed = Packed { cid: Cid::raw(sha256), sha256, size: 9 };
    let mut with = sample();
    with.tables[0].archive = Some(ArchiveTable { since: 5, entries: 2, sha256: Sha256::of(b"plain"), size: 7, packed });
    assert_eq!(Manifest::decode(&with.encode()), Ok(with.clone()));
    assert_eq!(with.tables[0].archive_path(), "archive/core-x86_64.ndjson.zst");
    let mut json: Value = serde_json::from_slice(&with.encode()).unwrap();
    json["critical"] = json!(["tables.archive"]);
    assert_eq!(Manifest::decode(&serde_json::to_vec(&json).unwrap()), Ok(with));
    for (field, value) in [
        ("since", json!(LAST + 1)),
        ("entries", json!(ENTRIES_MOST + 1)),
        ("size", json!(PLAIN_MOST + 1)),
        ("packed", json!({"sha256": sha256, "size": TABLE_MOST + 1})),
        ("packed", json!({"sha256": sha256, "size": 2 << 20})),
    ] {
        let mut wrong = json.clone();
        wrong["tables"][0]["archive"][field] = value;
        let refused = Manifest::decode(&serde_json::to_vec(&wrong).unwrap());
        assert!(matches!(refused, Err(ManifestError::Limit(_))), "{field}: {refused:?}");
    }
}

#[test]
fn an_unknown_field_is_skipped_unless_it_is_critical() {
    assert_eq!(changed(|m| m["archive"] = json!({"years": 3})), Ok(sample()));
    assert_eq!(changed(|m| m["tables"][0]["deltas"] = json!([1])), Ok(sample()));
    assert_eq!(changed(|m| m["critical"] = json!(["sequence", "tables.arch"])), Ok(sample()));
    for field in ["archive", "tables.deltas", "sequence.era"] {
        let refused = changed(|m| m["critical"] = json!([field]));
        assert_eq!(refused, Err(ManifestError::Critical(field.to_owned())));
    }
}

#[test]
fn another_format_is_refused_before_its_fields_are_read() {
    let bytes = br#"{"pkgswarm": 2, "tables": "elsewhere"}"#;
    assert_eq!(Manifest::decode(bytes), Err(ManifestError::Format(2)));
    assert!(Manifest::decode(bytes).unwrap_err().to_string().contains("newer pkgswarm"));
}

#[test]
fn values_outside_their_limits_are_refused() {
    let long = "x".repeat(65);
    for (path, value) in [
        ("/publisher", json!("")),
        ("/publisher", json!(long)),
        ("/publisher", json!("a\u{1b}b")),
        ("/created", json!(1_790_172_801)),
        ("/tables/0/repo", json!("..")),
        ("/tables/0/arch", json!("../x")),
        ("/tables/0/size", json!(PLAIN_MOST + 1)),
        ("/tables/0/packed/size", json!(TABLE_MOST + 1)),
        ("/tables/0/packed/size", json!(OWN_BLOCK_MOST + 1)),
        ("/tables/0/entries", json!(ENTRIES_MOST + 1)),
        ("/tables/0/databases/0/name", json!("extra.db")),
        ("/tables/0/upstream", json!(vec!["x"; 65])),
        ("/tables/0/upstream", json!(["x".repeat(2049)])),
        ("/tables/0/lastupdate", json!(LAST + 1)),
    ] {
        let refused = changed(|m| *m.pointer_mut(path).unwrap() = value.clone());
        assert!(matches!(refused, Err(ManifestError::Limit(_))), "{path} {value}: {refused:?}");
    }
    let twice = changed(|m| m["tables"] = json!([m["tables"][0], m["tables"][0]]));
    assert!(matches!(twice, Err(ManifestError::Limit(_))));
    let profile = changed(|m| m["profile"] = json!("unixfs-v0-2015"));
    assert_eq!(profile, Err(ManifestError::Profile("unixfs-v0-2015".to_owned())));
    let wrong = changed(|m| m["tables"][0]["packed"]["cid"] = json!("bafk"));
    assert!(matches!(wrong, Err(ManifestError::Malformed(_))));
    assert_eq!(Manifest::decode(&vec![b' '; MANIFEST_MOST + 1]), Err(ManifestError::TooBig(MANIFEST_MOST + 1)));
}

#[test]
fn peers_and_gateways_are_public_few_and_read_back() {
    let peer = "/ip4/81.2.69.160/tcp/4001/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";
    let gateway = "https://gateway.example.org/";
    let m = changed(|m| (m["peers"], m["gateways"]) = (json!([peer]), json!([gateway]))).unwrap();
    assert_eq!(Manifest::decode(&m.encode()), Ok(m.clone()));
    assert_eq!((m.peers[0].to_string(), &*m.gateways[0]), (peer.to_owned(), gateway));
    for private in ["127.0.0.1", "10.0.0.1", "192.168.7.7", "169.254.0.1", "100.64.0.1"] {
        let refused = changed(|m| m["peers"] = json!([peer.replace("81.2.69.160", private)]));
        assert_eq!(refused, Err(ManifestError::Limit("peer's address")), "{private}");
    }
    for (field, value) in [
        ("peers", json!([peer.replace("/ip4/81.2.69.160", "/ip6/fd00::1")])),
        ("peers", json!(["/ip4/81.2.69.160/tcp/4001"])),
        ("peers", json!(vec![peer; 17])),
        ("gateways", json!(["http://gateway.example.org/"])),
        ("gateways", json!(["https://192.168.1.1/"])),
        ("gateways", json!(["https://user:secret@gateway.example.org/"])),
        ("gateways", json!(vec![gateway; 9])),
    ] {
        let refused = changed(|m| m[field] = value.clone());
        assert!(matches!(refused, Err(ManifestError::Limit(_))), "{field} {value}: {refused:?}");
    }
}

#[test]
fn the_frozen_index_with_upstreams_time_peers_and_gateways_is_read_and_written_alike() {
    let bytes: &[u8] = include_bytes!("../../../tests/data/index-of-0.2/pkgswarm.json");
    let m = Manifest::decode(bytes).unwrap();
    assert_eq!(m.encode(), bytes);
    assert_eq!((m.tables[0].lastupdate, m.peers.len(), m.gateways.len()), (Some(1_796_053_562), 1, 1));
    let key: PublicKey = include_str!("../../../tests/data/index-of-0.2/key").parse().unwrap();
    let text = include_bytes!("../../../tests/data/index-of-0.2/pkgswarm.json.minisig");
    key.verify(bytes, text).unwrap();
}

#[test]
fn diffs_lead_from_one_to_the_next_and_to_the_table() {
    let sha256 = Sha256::of(b"diff");
    let mut m = sample();
    m.tables[0].packed.size = 100;
    m.tables[0].diffs = [1, 5, 7].map(|from| Diff { from, size: 40, sha256 }).to_vec();
    assert_eq!(Manifest::decode(&m.encode()), Ok(m.clone()));
    let table = &m.tables[0];
    let paths = |from| Some(table.diffs_from(from)?.into_iter().map(|(path, _)| path).collect::<Vec<_>>());
    let last = "diffs/core-x86_64/7-1790000000.ndjson.zst".to_owned();
    assert_eq!(paths(5), Some(vec!["diffs/core-x86_64/5-7.ndjson.zst".to_owned(), last]));
    assert_eq!(paths(6), None, "no machine had sequence 6");
    assert_eq!(paths(1), None, "three of 40 bytes are more than the table's 100");
    for (diffs, why) in [
        (vec![Diff { from: 5, size: 1, sha256 }, Diff { from: 5, size: 1, sha256 }], "order of diffs"),
        (vec![Diff { from: 1_790_000_000, size: 1, sha256 }], "order of diffs"),
        (vec![Diff { from: 5, size: DIFF_MOST + 1, sha256 }], "size of a diff"),
        ((0..65).map(|from| Diff { from, size: 1, sha256 }).collect(), "number of diffs"),
    ] {
        m.tables[0].diffs = diffs;
        assert_eq!(Manifest::decode(&m.encode()), Err(ManifestError::Limit(why)));
    }
}

#[test]
fn an_index_counts_from_a_day_before_its_date_until_it_expires() {
    let (m, at) = (sample(), sample().sequence);
    assert_eq!(m.check_time(at - FUTURE_MOST), Ok(()));
    assert_eq!(m.check_time(m.expires), Ok(()));
    assert!(matches!(m.check_time(at - FUTURE_MOST - 1), Err(ManifestError::Future { .. })));
    let late = m.check_time(m.expires + 7200).unwrap_err();
    assert_eq!(late.to_string(), "the index expired 2 h ago");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Manifest::decode(&bytes);
    }

    #[test]
    fn one_changed_byte_does_not_make_the_reader_panic(at in 0usize..900, byte: u8) {
        let mut bytes = sample().encode();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = Manifest::decode(&bytes);
    }
}
