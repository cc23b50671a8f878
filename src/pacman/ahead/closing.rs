//! A run of pacman as a whole, for people: what it has still to fetch, beside a bar; and who sent what, by the call that
//! hands out the last file of the read-ahead's list.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use crate::base::clock;
use crate::base::name::FileName;
use crate::engine::deliver::Obtained;
use crate::lists::pacman::names;
use crate::lists::system::NameKind;
use crate::machine::call::Call;
use crate::report::{Rest, RestOf, RunTotal};
use crate::store::coming::ComingFile;
use crate::store::journal::{By, Contribution, JournalRecord};

/// Fewest packages of a run that is summed up: one has said all in its own line.
const LEAST: usize = 2;

/// Returns what the run of pacman has still to fetch beside one file; `None` where pacman is not the caller.
pub(crate) fn rest(call: &Call) -> Option<RestOf> {
    call.pacman_run.caller.as_ref()?;
    let (coming, machine) = (call.coming(), Rc::clone(&call.machine));
    Some(Rc::new(move |this: &str| {
        let list = coming.list()?;
        let handed_out: HashSet<FileName> = coming.handed_out().into_iter().map(|record| record.name).collect();
        let mut rest = Rest { packages: 0, bytes: 0 };
        for file in list.iter().filter(|file| names::kind(&file.name) == NameKind::Package) {
            let Some((sha256, size)) = file.exact else { continue };
            let missing = size - machine.store.arrived(sha256, size);
            if missing > 0 && file.name.as_str() != this && !handed_out.contains(&file.name) {
                rest.packages += 1;
                rest.bytes += missing;
            }
        }
        Some(rest)
    }))
}

/// Records that pacman is given this file, and returns the sentence that closes the run if it is the last one of the
/// read-ahead's list. `None` without a list.
pub(crate) fn handed_out(call: &Call, name: &FileName, obtained: &Obtained) -> Option<String> {
    let is_read_ahead = call.machine.settings.ahead && call.pacman_run.caller.is_some();
    if !is_read_ahead || !names::kind(name).is_of_package() || call.machine.store.is_passing() {
        return None;
    }
    let coming = call.coming();
    coming.hand_out(&JournalRecord {
        at: clock::now(),
        took: 0,
        by: By::Xfer,
        repo: None,
        name: name.clone(),
        delivered: obtained.accepted.size(),
        shares: obtained.from.shares.clone(),
    });
    if !coming.may_be_whole() {
        return None;
    }
    last(name, &coming.list()?, &coming.handed_out()).map(|total| total.sentence())
}

/// Sums up the run if `name` was the last of the `list` that was missing, and was handed out for the first time.
fn last(name: &FileName, list: &[ComingFile], done: &[JournalRecord]) -> Option<RunTotal> {
    let is_done = |file: &ComingFile| done.iter().any(|record| record.name == file.name);
    let is_first_time = done.iter().filter(|record| record.name == *name).count() == 1;
    let is_listed = list.iter().any(|file| file.name == *name);
    if !is_first_time || !is_listed || !list.iter().all(is_done) {
        return None;
    }
    let mut total = RunTotal::default();
    let mut by_kind: BTreeMap<String, u64> = BTreeMap::new();
    for file in list.iter().filter(|file| names::kind(&file.name) == NameKind::Package) {
        let record = done.iter().find(|record| record.name == file.name)?;
        total.packages += 1;
        total.bytes += record.delivered;
        let sent: u64 = record.received();
        record.shares.iter().for_each(|share| *by_kind.entry(in_words(share)).or_default() += share.bytes);
        // Kept from an interrupted run, or stored before there were notes of this.
        let earlier = record.delivered.saturating_sub(sent);
        if earlier > 0 {
            *by_kind.entry("earlier runs".to_owned()).or_default() += earlier;
        }
        let by_mirrors = record.shares.iter().filter(|share| share.kind() == "mirror").map(|share| share.bytes);
        total.saved += record.delivered.saturating_sub(by_mirrors.sum::<u64>() + earlier);
    }
    total.by_kind = by_kind.into_iter().collect();
    total.by_kind.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    (total.packages >= LEAST).then_some(total)
}

fn in_words(share: &Contribution) -> String {
    match share.kind() {
        "lan" => "neighbours",
        "kubo" => "Kubo",
        "gateway" => "gateways",
        "mirror" => "mirrors",
        "file" => "local files",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Sha256;

    fn name(name: &str) -> FileName {
        FileName::new(name).unwrap()
    }

    fn listed(file: &str) -> ComingFile {
        let exact = (!file.ends_with(".sig")).then(|| (Sha256::of(file.as_bytes()), 100));
        ComingFile { name: name(file), exact }
    }

    fn done(file: &str, bytes: u64, shares: &[(&str, u64)]) -> JournalRecord {
        let shares = shares.iter().map(|(source, bytes)| Contribution { source: (*source).to_owned(), bytes: *bytes });
        let (repo, shares) = (None, shares.collect());
        JournalRecord { at: 1, took: 0, by: By::Xfer, repo, name: name(file), delivered: bytes, shares }
    }

    #[test]
    fn the_call_that_hands_out_the_last_file_closes_the_run() {
        let [a, b, sig] = ["a-1-1-any.pkg.tar.zst", "b-1-1-any.pkg.tar.zst", "b-1-1-any.pkg.tar.zst.sig"];
        let list = [a, b, sig].map(listed);
        let all = [
            done(a, 300, &[("lan", 300)]),
            done(b, 100, &[("mirror m.example", 60), ("mirror n.example", 20)]),
            done(sig, 5, &[("mirror m.example", 5)]),
        ];
        assert_eq!(last(&name(b), &list, &all[..2]), None, "the signature is to come");
        let total = last(&name(sig), &list, &all).unwrap();
        assert_eq!(
            total.sentence(),
            "2 packages, 400 B: neighbours 300 B, mirrors 80 B, earlier runs 20 B (75 % saved)"
        );
        let again = [&all[..], &[all[2].clone()]].concat();
        assert_eq!(last(&name(sig), &list, &again), None, "it was closed before");
        assert_eq!(last(&name("c-1-1-any.pkg.tar.zst"), &list, &all), None, "it is not of the list");
        assert_eq!(last(&name(a), &list[..1], &all[..1]), None, "one package has said all in its line");
    }
}
