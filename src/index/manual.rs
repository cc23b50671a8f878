//! The facts for other implementers in `man/pkgswarm-index.5`, checked against this implementation.

use cid::multibase::Base;

use super::accept::{Grant, IndexOffer, accept};
use super::archive::{self, ArchiveReader};
use super::diff::{Changes, DIFFS_PLAIN_MOST};
use super::manifest::*;
use super::table::{ENTRIES_MOST, FILE_MOST, LINE_MOST, PLAIN_MOST, Reader, WINDOW_LOG_MOST, pack};
use super::{ipns, minisign};
use crate::base::digest::Sha256;
use crate::base::name::RepoName;
use crate::base::size::{BLOCK_MOST, RECORD_MOST};
use crate::config::peer_address::PEER_ADDRESS_MOST;

const PAGE: &str = include_str!("../../man/pkgswarm-index.5");

/// Returns the example that follows this text, as rendered.
fn example(after: &str) -> String {
    let (_, rest) = PAGE.split_once(after).unwrap_or_else(|| panic!("no {after:?} in the page"));
    let (_, rest) = rest.split_once(".nf\n").expect("an example");
    let (text, _) = rest.split_once(".fi\n").expect("its end");
    text.replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")
}

fn base64(after: &str) -> Vec<u8> {
    let text: String = example(after).split_whitespace().collect();
    Base::Base64Pad.decode(text).expect("base64")
}

#[test]
fn the_example_is_an_index_that_is_accepted() {
    let name: ipns::Name = example("published under the name").trim().parse().expect("a name");
    let key: minisign::PublicKey = example("signed by the minisign key").trim().parse().expect("a key");
    let grant = Grant { ipns: Some(name), minisign: Some(key), repos: vec![RepoName::new("core").unwrap()] };
    let offer = IndexOffer {
        manifest: example("The manifest. It ends").into_bytes(),
        minisig: Some(example("Its signature:").into_bytes()),
        root: Some(base64("The block of the directory, in base64:")),
        record: Some(base64("The record that points at it")),
    };
    let accepted = accept(&grant, None, &offer, 1_790_000_001).expect("an index that counts");
    let table = &accepted.manifest.tables[0];
    let new = example("The table:\n");
    assert_eq!((Sha256::of(new.as_bytes()), new.len() as u64), (table.sha256, table.size));
    assert_eq!(Reader::plain(new.as_bytes(), table.entries).map(Result::unwrap).count(), 3);

    let (diff, old) = (example("The diff 1789913600"), example("The table of 1789913600"));
    let mut changes = Changes::default();
    changes.add(&pack(diff.as_bytes())).expect("a diff");
    let mut result = Vec::new();
    changes.apply(old.as_bytes(), &mut result).expect("a table");
    assert_eq!(String::from_utf8(result).unwrap(), new);
    let archive = example("An archive of this table");
    let gone = ArchiveReader::plain(archive.as_bytes(), 1).collect::<Result<Vec<_>, _>>().expect("an archive");
    assert_eq!((gone[0].from, gone[0].until), (Some(1_789_920_000), 1_790_000_000));
    assert_eq!(archive::write(&gone).unwrap(), archive.as_bytes(), "in its one form");
    assert_eq!(table.diff_path(0), "diffs/core-x86_64/1789913600-1790000000.ndjson.zst");
}

#[test]
fn the_limits_are_those_of_the_program() {
    for line in limits() {
        assert!(PAGE.contains(&format!(".br\n{line}\n")), "the page lacks {line:?}");
    }
    assert_eq!(PAGE.split(".SH ").find(|part| part.starts_with("LIMITS")).unwrap().matches(".br\n").count(), 22);
}

/// Returns the lines of the section on limits.
fn limits() -> Vec<String> {
    let window = 1u64 << WINDOW_LOG_MOST;
    vec![
        format!("record: {} bytes", RECORD_MOST),
        format!("manifest: {MANIFEST_MOST} bytes"),
        format!("minisign signature: {} bytes", minisign::SIGNATURE_MOST),
        format!("block of the directory: {} bytes", BLOCK_MOST),
        format!("tables: {TABLES_MOST}"),
        format!("compressed table: {TABLE_MOST} bytes"),
        format!("uncompressed table: {PLAIN_MOST} bytes"),
        format!("entries of a table: {ENTRIES_MOST}"),
        format!("line of a table or diff, without its line feed: {LINE_MOST} bytes"),
        format!("diffs of a table: {DIFFS_MOST}"),
        format!("compressed diff: {DIFF_MOST} bytes"),
        format!("all diffs that are applied together, uncompressed: {DIFFS_PLAIN_MOST} bytes"),
        format!("window that zstd needs: {window} bytes"),
        format!("listed file: {FILE_MOST} bytes"),
        format!("name of the publisher: {PUBLISHER_MOST} bytes"),
        format!("databases of a table: {DATABASES_MOST}"),
        format!("upstream servers of a table: {UPSTREAM_MOST}, of {URL_MOST} bytes each"),
        format!("system of a table: {SYSTEM_MOST} bytes"),
        format!("path of a table: {PATH_MOST} bytes, {DEPTH_MOST} names"),
        format!("peers: {PEERS_MOST}, of {PEER_ADDRESS_MOST} bytes each"),
        format!("gateways: {GATEWAYS_MOST}, of {URL_MOST} bytes each"),
        format!("sequence and created: {FUTURE_MOST} seconds ahead of the clock"),
    ]
}
