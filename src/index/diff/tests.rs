//! Diffs between tables of a distribution, and between any two.

use proptest::prelude::*;

use super::super::accept::tests::Publisher;
use super::super::manifest::tests::sample;
use super::super::manifest::{Diff, Manifest, Packed};
use super::super::table::Entry;
use super::super::table::tests::{entry, plain};
use super::*;
use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::size::OWN_BLOCK_MOST;

fn between(old: &[u8], new: &[u8]) -> Changes {
    Changes::between(old, new).unwrap()
}

fn applied(changes: &Changes, old: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    changes.apply(old, &mut out).unwrap();
    out
}

fn packed(text: &str) -> Vec<u8> {
    pack(text.as_bytes())
}

#[test]
fn a_diff_leads_from_the_old_table_to_exactly_the_new_one() {
    let old = plain(&[entry("a", 1), entry("b", 2), entry("d", 4)]);
    let new = plain(&[entry("a", 1), entry("b", 3), entry("c", 3), entry("e", 2 << 20)]);
    let changes = between(&old, &new);
    assert_eq!(changes.len(), 4, "b changed, c and e came, d went");
    let mut read = Changes::default();
    read.add(&changes.pack().unwrap()).unwrap();
    assert_eq!(applied(&read, &old), new);
    assert!(between(&new, &new).is_empty());
}

#[test]
fn the_last_diff_of_a_chain_wins() {
    let states = [vec![entry("a", 1), entry("b", 2)], vec![entry("a", 9)], vec![entry("a", 1), entry("b", 7)]];
    let states = states.map(|entries| plain(&entries));
    let mut chain = Changes::default();
    for two in states.windows(2) {
        chain.add(&between(&two[0], &two[1]).pack().unwrap()).unwrap();
    }
    assert_eq!(applied(&chain, &states[0]), states[2]);
}

#[test]
fn fields_that_this_version_does_not_know_are_carried_over() {
    let old = b"{\"name\":\"a\",\"new\":[1]}\n{\"name\":\"b\"}\n";
    let new = b"{\"name\":\"a\",\"new\":[1]}\n{\"name\":\"b\",\"new\":{\"x\":2}}\n";
    assert_eq!(applied(&between(old, new), old), new);
}

#[test]
fn lines_that_are_no_changes_are_refused_with_their_number() {
    let good = "{\"gone\":\"a\"}\n";
    for bad in [
        "{}\n".to_owned(),
        "{\"name\":\"b\",\"gone\":\"b\"}\n".to_owned(),
        "{\"gone\":\"../b\"}\n".to_owned(),
        "{\"gone\":\"b\"}".to_owned(),
        format!("{{\"name\":\"b\",\"pad\":\"{}\"}}\n", "x".repeat(LINE_MOST)),
    ] {
        let refused = Changes::default().add(&packed(&format!("{good}{bad}")));
        assert!(matches!(refused, Err(DiffError::Line { line: 2, .. })), "{bad}: {refused:?}");
    }
    for text in [format!("{good}{good}"), "{\"gone\":\"b\"}\n{\"name\":\"a\"}\n".to_owned()] {
        assert!(matches!(Changes::default().add(&packed(&text)), Err(DiffError::Order(2))));
    }
    assert!(matches!(Changes::default().add(b"not zstd"), Err(DiffError::Read(_))));
    for none in ["no table", "{\"name\":\"b\"}\n{\"name\":\"b\"}\n"] {
        assert!(matches!(Changes::default().apply(none.as_bytes(), io::sink()), Err(DiffError::Table)));
    }
}

#[test]
fn a_bomb_is_cut_off() {
    let bomb = zstd::encode_all(io::repeat(b' ').take(1 << 30), 1).unwrap();
    assert!(matches!(Changes::default().add(&bomb), Err(DiffError::Line { line: 1, .. })));
    // Many good lines are too much as well, in one diff or in several.
    let lines: String = (0..4).map(|n| format!("{{\"name\":\"{n}\",\"pad\":\"{}\"}}\n", "x".repeat(4000))).collect();
    let mut changes = Changes { bytes: DIFFS_PLAIN_MOST - 9000, ..Changes::default() };
    assert!(matches!(changes.add(&packed(&lines)), Err(DiffError::TooLong)));
}

/// Makes the repo `extra`: 15,000 packages with signatures, a quarter of them above 1 MiB, on day `day`.
///
/// Every day another fiftieth of the packages gets a new release: its name changes, and every digest with it.
fn extra(day: u64) -> Vec<Entry> {
    let mut entries: Vec<Entry> = (0..15_000u64)
        .map(|n| {
            // Cheap noise in place of the words in packages' names.
            let word = Sha256::of(&n.to_le_bytes()).to_string();
            let release = 1 + (0..day).filter(|day| (n + day) % 50 == 0).count();
            let (name, major) = (&word[..6 + n as usize % 9], n % 40);
            let name = format!("{name}-{major}.{}.{}-{release}-x86_64.pkg.tar.zst", n % 17, n % 7);
            let size = if n % 4 == 0 { OWN_BLOCK_MOST + 1 + n * 7919 } else { 9000 + n * 61 };
            let digest = Sha256::of(name.as_bytes());
            let cid = if size > OWN_BLOCK_MOST { Cid::dag_pb(Sha256::of(&digest.0)) } else { Cid::raw(digest) };
            let signature = Some((310 + n % 4, Sha256::of(&[&digest.0[..], b"sig"].concat())));
            Entry { cid, sha256: digest, size, signature, ..entry(&name, size) }
        })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

#[test]
fn a_refresh_after_a_days_change_moves_at_most_3_percent_of_the_table_plus_4_kb() {
    let days: Vec<Vec<u8>> = (0..3).map(|day| plain(&extra(day))).collect();
    let whole = pack(&days[2]);
    let mut manifest = sample();
    let table = &mut manifest.tables[0];
    let (sha256, size) = (Sha256::of(&whole), whole.len() as u64);
    table.packed = Packed { cid: Cid::dag_pb(Sha256::of(b"root")), sha256, size };
    (table.sha256, table.size, table.entries) = (Sha256::of(&days[2]), days[2].len() as u64, 15_000);
    let last = between(&days[1], &days[2]).pack().unwrap();
    // As many diffs are listed as a publisher keeps.
    let listed = (0..DIFFS_KEPT as u64).map(|n| table.changed - 86_400 * n - 1);
    let mut diffs: Vec<_> =
        listed.map(|from| Diff { from, size: last.len() as u64, sha256: Sha256::of(&last) }).collect();
    diffs.reverse();
    table.diffs = diffs;
    let mut read = Changes::default();
    read.add(&last).unwrap();
    assert_eq!(Sha256::of(&applied(&read, &days[1])), manifest.tables[0].sha256);

    let offer = Publisher::new().offer(&manifest);
    let parts = [offer.record.unwrap(), offer.root.unwrap(), offer.manifest, offer.minisig.unwrap(), last];
    let sizes = parts.iter().map(Vec::len).collect::<Vec<_>>();
    let (moved, bar) = (sizes.iter().sum::<usize>(), whole.len() * 3 / 100 + 4096);
    println!("table {}; record, root, manifest, signature, diff {sizes:?}: {moved} of at most {bar}", whole.len());
    assert!(moved <= bar, "{moved} bytes moved, at most {bar} allowed: {sizes:?} for a table of {}", whole.len());
    assert!(Manifest::decode(&manifest.encode()).is_ok());
}

#[test]
fn names_that_would_fill_the_memory_are_too_many() {
    let lines: String = (0..=CHANGES_MOST).map(|i| format!("{{\"gone\":\"{i:06}\"}}\n")).collect();
    let small = zstd::bulk::compress(lines.as_bytes(), 1).unwrap();
    let mut changes = Changes::default();
    assert!(matches!(changes.add(&small), Err(DiffError::TooLong)));
    assert!(changes.pack().is_none(), "nor is it published");
}

fn any_table() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::btree_map("[a-e]{1,2}", 0u64..3, 0..12).prop_map(|entries| {
        let entries: Vec<_> = entries.into_iter().map(|(name, size)| entry(&name, size)).collect();
        plain(&entries)
    })
}

proptest! {
    #[test]
    fn any_chain_of_diffs_leads_to_the_last_table(states in proptest::collection::vec(any_table(), 1..5)) {
        let mut chain = Changes::default();
        for two in states.windows(2) {
            chain.add(&between(&two[0], &two[1]).pack().unwrap()).unwrap();
        }
        prop_assert_eq!(&applied(&chain, &states[0]), states.last().unwrap());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,99}\n") {
        let _ = Changes::default().add(&bytes);
        let _ = Changes::default().add(&packed(&text));
        let _ = Changes::default().apply(text.as_bytes(), io::sink());
    }
}
