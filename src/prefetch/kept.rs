//! Signatures of pending updates, which nobody can prove: kept until their package is installed or superseded.
//!
//! The store proper is keyed by sha256, which a signature has only where an index lists it. Others wait here under the
//! sha256 of the package that they came with, and are handed out under the same waiver, after the same look, as if the
//! mirror had sent them now. pacman checks them.
//!
//! A wrong one must not be handed out for ever: the first call gets it at once; whoever asks again in another run of
//! pacman is sent to the mirrors first and gets it only when none of them answers
//! (`tests/cases/prefetch.rs`, `a_bad_signature_that_was_kept_is_not_handed_out_twice`).

use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::deliver::Obtained;
use crate::digest::Sha256;
use crate::error::{Error, ErrorKind};
use crate::fsx;
use crate::name::FileName;
use crate::plan::Expect;
use crate::session::Session;
use crate::verify::{self, Accepted, Waiver};
use crate::want::Want;

/// Most bytes of a signature (`Waiver::limit`).
const MOST: u64 = 16 << 10;

/// The signatures of one store.
#[derive(Debug)]
pub struct KeptSignatures {
    dir: PathBuf,
}

impl KeptSignatures {
    /// Those of the store in `store`.
    pub fn of(store: &Path) -> Self {
        Self { dir: store.join("prefetch").join("signatures") }
    }

    /// Keeps the signature of the package with this sha256. A fresh one counts as never handed out.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, package: Sha256, uid: u32, obtained: &Obtained) -> io::Result<()> {
        fsx::own_dir(&self.dir, uid)?;
        let bytes = fsx::read_part(&obtained.file, 0, obtained.accepted.size().min(MOST))?;
        fsx::replace(&self.fresh(package), &bytes, 0o644)?;
        let _ = fs::remove_file(self.used(package));
        Ok(())
    }

    /// Whether there is one.
    pub fn has(&self, package: Sha256) -> bool {
        self.fresh(package).exists() || self.used(package).exists()
    }

    /// Throws away all but those of `packages`.
    pub fn retain(&self, packages: &[Sha256]) {
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

/// The kept signature for `want`, not handed out before. It counts as handed out then.
pub fn first_time(session: &Session, want: &Want) -> Option<Obtained> {
    let (kept, package) = signed(session, want)?;
    let found = open(session, want, &kept.fresh(package))?;
    // Before it is used: whatever happens next, it is not the first time any more.
    fs::rename(kept.fresh(package), kept.used(package)).ok()?;
    Some(found)
}

/// Whether [`first_time`] would find one: then nobody needs to fetch it.
pub fn is_at_hand(session: &Session, want: &Want) -> bool {
    signed(session, want).is_some_and(|(kept, package)| kept.fresh(package).exists())
}

/// The kept signature for `want`, handed out before or not, where `error` is that no mirror has delivered it.
pub fn at_last(session: &Session, want: &Want, error: &Error) -> Option<Obtained> {
    if error.kind != ErrorKind::NoSource {
        return None;
    }
    let (kept, package) = signed(session, want)?;
    open(session, want, &kept.fresh(package)).or_else(|| open(session, want, &kept.used(package)))
}

/// The package that `want` signs, by what pacman's database says about it.
fn signed(session: &Session, want: &Want) -> Option<(KeptSignatures, Sha256)> {
    let kept = KeptSignatures::of(session.store.dir());
    // Nothing more is looked up where nothing was ever kept.
    if !matches!(want.plan.expect, Expect::Waived(Waiver::Signature)) || !kept.dir.exists() {
        return None;
    }
    let package = session.knowledge(&want.repo.as_ref()?.name, &want.name.signed()?).ok()?.database?;
    Some((kept, package.sha256))
}

fn open(session: &Session, want: &Want, path: &Path) -> Option<Obtained> {
    let bytes = fsx::read_small(path, session.env.uid, MOST).ok()?;
    let file = session.scratch().ok()?;
    file.write_all_at(&bytes, 0).ok()?;
    let waived = verify::waive(Waiver::Signature, &FileName::new(want.name.as_str()).ok()?, &file).ok()?;
    Some(Obtained::new(file, Accepted::Waived(waived), "store").loose())
}
