//! Signatures of pending updates, which have no proof: kept until their package is installed or superseded.
//!
//! The store proper is keyed by sha256, which is known for a signature only if an index lists it. Others wait here
//! under the sha256 of their package, and are handed out under the same waiver, after the same sniffing, as if the
//! mirror had sent them now. pacman checks them.
//!
//! A wrong one must not be handed out for ever: the first call gets it at once; a further call in another run of
//! pacman goes to the mirrors first and gets it only when none of them answers (`tests/cases/prefetch.rs`,
//! `a_bad_signature_that_was_kept_is_not_handed_out_twice`).

use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind};
use crate::base::fsx;
use crate::base::size::SIGNATURE_MOST;
use crate::engine::deliver::Obtained;
use crate::engine::want::Want;
use crate::lists::pacman::names;
use crate::machine::call::Call;
use crate::machine::lists::Lists;
use crate::store::journal::FileOrigin;
use crate::store::take_once;
use crate::trust::plan::Expect;
use crate::trust::verify::{self, Accepted, Waiver};

/// Most bytes of a signature.
const MOST: u64 = SIGNATURE_MOST as u64;

/// The signatures of one store.
#[derive(Debug)]
pub(crate) struct KeptSignatures {
    dir: PathBuf,
}

impl KeptSignatures {
    /// Opens those of the store in `store`.
    pub(crate) fn of(store: &Path) -> Self {
        Self { dir: store.join("prefetch").join("signatures") }
    }

    /// Keeps the signature of the package with this sha256. A fresh one counts as never handed out.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn put(&self, package: Sha256, uid: u32, obtained: &Obtained) -> io::Result<()> {
        fsx::own_dir(&self.dir, uid)?;
        let bytes = fsx::read_part(&obtained.file, 0, obtained.accepted.size().min(MOST))?;
        fsx::replace(&self.fresh(package), &bytes, 0o644)?;
        let _ = fs::remove_file(self.used(package));
        Ok(())
    }

    /// True if there is one.
    pub(crate) fn has(&self, package: Sha256) -> bool {
        self.fresh(package).exists() || self.used(package).exists()
    }

    /// Removes all but those of `packages`.
    pub(crate) fn retain(&self, packages: &[Sha256]) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let package = path.file_stem().and_then(|stem| stem.to_str()?.parse::<Sha256>().ok());
            if package.is_none_or(|package| !packages.contains(&package)) {
                let _ = fs::remove_file(path);
            }
        }
    }

    fn fresh(&self, package: Sha256) -> PathBuf {
        self.dir.join(format!("{package}.sig"))
    }

    fn used(&self, package: Sha256) -> PathBuf {
        self.dir.join(format!("{package}.used"))
    }
}

/// Returns the kept signature for `want` if it was never handed out, and marks it as handed out.
pub(crate) fn first_time(call: &Call, want: &Want) -> Option<Obtained> {
    let (kept, package) = signed(&call.lists, want)?;
    // Before it is used: after any outcome, the next call is not the first.
    take_once(&kept.fresh(package), &kept.used(package), call.machine.env.uid, MOST, |bytes| accept(call, want, &bytes))
}

/// True if [`first_time`] would find one: then it need not be fetched.
pub(crate) fn is_at_hand(lists: &Lists, want: &Want) -> bool {
    signed(lists, want).is_some_and(|(kept, package)| kept.fresh(package).exists())
}

/// Returns the kept signature for `want`, handed out before or not, if `error` is that no mirror delivered it.
pub(crate) fn at_last(call: &Call, want: &Want, error: &Error) -> Option<Obtained> {
    if error.kind != ErrorKind::NoSource {
        return None;
    }
    let (kept, package) = signed(&call.lists, want)?;
    open(call, want, &kept.fresh(package)).or_else(|| open(call, want, &kept.used(package)))
}

/// Returns the bytes of the signature that the store in `store` keeps for the package with this sha256, not looked at
/// yet. It stays, and counts as not handed out: the caller is another user.
pub(crate) fn peek(store: &Path, package: Sha256) -> Option<Vec<u8>> {
    fsx::read_followed(&KeptSignatures::of(store).fresh(package), MOST).ok().flatten()
}

/// Returns the package that `want` signs, according to pacman's database.
fn signed(lists: &Lists, want: &Want) -> Option<(KeptSignatures, Sha256)> {
    let kept = KeptSignatures::of(lists.machine().store.dir());
    // If no signature was ever kept, nothing more is looked up.
    if !matches!(want.plan.expect, Expect::Waived(Waiver::Signature)) || !kept.dir.exists() {
        return None;
    }
    let package = lists.knowledge(&want.repo.as_ref()?.name, &names::signed(&want.name)?).ok()?.database?;
    Some((kept, package.sha256))
}

fn open(call: &Call, want: &Want, path: &Path) -> Option<Obtained> {
    accept(call, want, &fsx::read_small(path, call.machine.env.uid, MOST).ok()?)
}

fn accept(call: &Call, want: &Want, bytes: &[u8]) -> Option<Obtained> {
    let file = call.scratch().ok()?;
    file.write_all_at(bytes, 0).ok()?;
    let waived = verify::waive(Waiver::Signature, want.shape, &file).ok()?;
    Some(Obtained::new(file, Accepted::Waived(waived), FileOrigin { is_stored: true, ..FileOrigin::default() }).loose())
}
