//! The search for the sender of wrong bytes: leaf by leaf, when the root is known.
//!
//! A root is only as right as the index that names it. So a source whose leaf does not match is accused and set
//! aside; it is convicted once the whole file is proven and the leaf is still wrong. If no other source can
//! deliver, the claim of the root is dropped, all sources are acquitted, and whole files decide.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::dag::proof::Leaves;
use crate::engine::race::sheet::{EARLIER, Sheet};

/// The knowledge about the leaves of a file.
#[derive(Default)]
pub(super) struct Trial {
    leaves: Option<Arc<Leaves>>,
    /// Leaves that are here and right.
    proven: Vec<bool>,
    /// The sources of wrong leaves, with the leaves.
    accused: Vec<(usize, Range<u64>)>,
}

/// A leaf that does not match the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wrong {
    /// Its range in the file.
    pub(crate) range: Range<u64>,
    /// The sender of all of it, if that was one source in this run.
    pub(crate) sender: Option<usize>,
}

impl Trial {
    /// Takes the leaves of the file's root.
    pub(super) fn begin(&mut self, leaves: Arc<Leaves>) {
        self.proven = vec![false; leaves.count()];
        self.leaves = Some(leaves);
    }

    /// True if single leaves can be proven.
    pub(super) fn has_leaves(&self) -> bool {
        self.leaves.is_some()
    }

    /// Checks like [`Trial::look`], and accuses the sender of each whole wrong leaf.
    pub(super) fn check(&mut self, sheet: &Sheet<'_>, range: Range<u64>) -> io::Result<Vec<Wrong>> {
        let wrong = self.look(sheet, range)?;
        for Wrong { range, sender } in &wrong {
            self.accused.extend(sender.map(|sender| (sender, range.clone())));
        }
        Ok(wrong)
    }

    /// Proves the leaves that lie in `range`, at least in part, are complete and not proven yet; returns the wrong
    /// ones.
    pub(super) fn look(&mut self, sheet: &Sheet<'_>, range: Range<u64>) -> io::Result<Vec<Wrong>> {
        let Some(leaves) = &self.leaves else { return Ok(Vec::new()) };
        let mut wrong = Vec::new();
        let first = leaves.leaf_at(range.start).unwrap_or(leaves.count());
        for leaf in (first..leaves.count()).take_while(|leaf| leaves.range(*leaf).start < range.end) {
            let range = leaves.range(leaf);
            if self.proven[leaf] || !sheet.has(&range) {
                continue;
            }
            if leaves.proves(leaf, &sheet.read(&range)?) {
                self.proven[leaf] = true;
                continue;
            }
            let senders = sheet.senders(&range);
            let sender = Some(senders[0]).filter(|sender| senders.len() == 1 && *sender != EARLIER);
            wrong.push(Wrong { range, sender });
        }
        Ok(wrong)
    }

    /// Lists the parts of `range` in incomplete and in unproven leaves; all of `range` if there are no leaves.
    pub(super) fn doubtful(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let Some(leaves) = &self.leaves else { return vec![range] };
        let first = leaves.leaf_at(range.start).unwrap_or(leaves.count());
        let touched = (first..leaves.count()).take_while(|leaf| leaves.range(*leaf).start < range.end);
        touched.filter(|leaf| !self.proven[*leaf]).map(|leaf| leaves.range(leaf)).collect()
    }

    /// Returns the end of the leaves that are proven from the beginning on without a gap.
    pub(super) fn front(&self) -> u64 {
        let Some(leaves) = &self.leaves else { return 0 };
        let count = self.proven.iter().take_while(|is_proven| **is_proven).count();
        count.checked_sub(1).map_or(0, |last| leaves.range(last).end)
    }

    /// Forgets the proofs in `range`.
    pub(super) fn forget(&mut self, range: &Range<u64>) {
        let Some(leaves) = &self.leaves else { return };
        let first = leaves.leaf_at(range.start).unwrap_or(leaves.count());
        for leaf in (first..leaves.count()).take_while(|leaf| leaves.range(*leaf).start < range.end) {
            self.proven[leaf] = false;
        }
    }

    /// Forgets the leaves and the accusations because of them.
    pub(super) fn drop_the_claim(&mut self) {
        *self = Self::default();
    }

    /// Returns the sources that sent wrong bytes, and how, now that the whole file is proven: their leaf is here
    /// from another source, and it matches the root. If it does not, the root is wrong.
    pub(super) fn convicted(mut self, sheet: &Sheet<'_>) -> io::Result<Vec<(usize, String)>> {
        let mut convicted: Vec<(usize, String)> = Vec::new();
        for (source, range) in std::mem::take(&mut self.accused) {
            let is_known = convicted.iter().any(|(other, _)| *other == source);
            if !is_known && self.look(sheet, range.clone())?.is_empty() {
                let text = format!("sends another leaf than its CID says (bytes {} to {})", range.start, range.end);
                convicted.push((source, text));
            }
        }
        Ok(convicted)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use bytes::Bytes;

    use super::*;
    use crate::base::cid::Cid;
    use crate::base::digest::Sha256;
    use crate::dag::unixfs::{self, Piece};

    /// Makes leaves of 100 bytes.
    fn leaves(bytes: &[u8]) -> Arc<Leaves> {
        let piece = |leaf: &[u8]| Piece { cid: Cid::raw(Sha256::of(leaf)), size: leaf.len() as u64, tsize: 0 };
        let root = unixfs::file(&bytes.chunks(100).map(piece).collect::<Vec<_>>());
        Arc::new(Leaves::from_root(Cid::dag_pb(Sha256::of(&root)), &root, None).unwrap())
    }

    #[test]
    fn a_wrong_leaf_is_laid_to_its_only_sender() {
        let bytes: Vec<u8> = (0..350).map(|i| i as u8).collect();
        let file: File = tempfile::tempfile().unwrap();
        let mut sheet = Sheet::start(&file, 0, None).unwrap();
        let mut trial = Trial::default();
        trial.begin(leaves(&bytes));
        sheet.add(0, 0, Bytes::copy_from_slice(&bytes[..150])).unwrap();
        sheet.add(1, 150, Bytes::copy_from_slice(&[0; 150])).unwrap();
        let wrong = trial.check(&sheet, 0..350).unwrap();
        let expected = [Wrong { range: 100..200, sender: None }, Wrong { range: 200..300, sender: Some(1) }];
        assert_eq!(wrong, expected, "the last leaf is not complete, the second one has two senders");
        assert_eq!(trial.doubtful(50..350), [100..200, 200..300, 300..350]);
        for leaf in wrong {
            sheet.erase(&leaf.range);
            sheet
                .add(
                    2,
                    leaf.range.start,
                    Bytes::copy_from_slice(&bytes[leaf.range.start as usize..leaf.range.end as usize]),
                )
                .unwrap();
        }
        let convicted = trial.convicted(&sheet).unwrap();
        assert_eq!(convicted.iter().map(|(sender, _)| *sender).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn an_accused_source_is_acquitted_with_the_claim() {
        let file = tempfile::tempfile().unwrap();
        let mut sheet = Sheet::start(&file, 0, None).unwrap();
        sheet.add(0, 0, Bytes::copy_from_slice(&[7; 100])).unwrap();
        let mut trial = Trial::default();
        trial.begin(leaves(&[8; 200]));
        assert_eq!(trial.check(&sheet, 0..100).unwrap().len(), 1);
        trial.drop_the_claim();
        assert!(!trial.has_leaves() && trial.convicted(&sheet).unwrap().is_empty());
    }

    #[test]
    fn no_source_is_convicted_by_a_leaf_that_the_proven_file_does_not_have() {
        let file = tempfile::tempfile().unwrap();
        let mut sheet = Sheet::start(&file, 0, None).unwrap();
        let mut trial = Trial::default();
        trial.begin(leaves(&[8; 200]));
        sheet.add(0, 0, Bytes::copy_from_slice(&[7; 200])).unwrap();
        assert_eq!(trial.check(&sheet, 0..200).unwrap().len(), 2);
        // The file is as the accused source sent it, and as all other sources sent it.
        assert!(trial.convicted(&sheet).unwrap().is_empty());
    }
}
