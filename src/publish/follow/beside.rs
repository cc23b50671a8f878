//! The files beside a database: its signature; where they are wanted, the lists of files, `REPO.files`; and their
//! signature.
//!
//! They count as their database does, and belong to it: a list of files names the same packages, and with a keyring a
//! signature is one of that database (`signatures_of_databases_are_followed_and_checked_by_the_keyring`,
//! `lists_of_files_are_followed_where_they_are_wanted`). Arch signs no database: that a mirror has no signature counts as
//! the database does.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::super::collect::ListedPackage;
use super::ask::{MirrorAnswer, MirrorNotes};
use super::memory::{FollowPlace, FollowedDatabase, FollowedPart};
use super::{FollowError, FollowOptions, keyring};
use crate::base::digest::{Hasher, Sha256};
use crate::base::fsx;
use crate::base::name::{FileName, RepoName};
use crate::base::size::SIGNATURE_MOST;
use crate::config::template::MirrorTemplate;
use crate::engine::source::Miss;
use crate::lists::pacman::syncdb::{self, DatabaseError, Limits};
use crate::machine::lists::Lists;
use crate::trust::verify::{self, Waiver};

/// A database, whose neighbours are asked for.
pub(super) struct BesideReader<'a> {
    pub(super) options: &'a FollowOptions,
    pub(super) place: &'a FollowPlace,
    pub(super) notes: &'a MirrorNotes,
    pub(super) mirror: &'a MirrorTemplate,
    pub(super) repo: &'a RepoName,
    pub(super) arch: &'a str,
    /// True when another keyring than the present one has checked what was read last, or none.
    pub(super) is_rekeyed: bool,
}

/// What is wrong with a mirror, for people, beside the failures of this machine.
type Found<T> = Result<Result<T, String>, FollowError>;

impl BesideReader<'_> {
    /// Reads what stands beside `database`, which lists `packages`, into the place. `former` is the one before, whose
    /// neighbours need not come again when it is the same.
    pub(super) async fn read(
        &self,
        database: Sha256,
        packages: &[ListedPackage],
        former: Option<&FollowedDatabase>,
    ) -> Found<BTreeMap<String, FollowedPart>> {
        let former = former.filter(|former| former.sha256 == database).map(|former| &former.beside);
        if let Some(former) = former.filter(|former| !self.options.files || former.contains_key("files"))
            && (!self.is_rekeyed || self.is_still_signed(database, former).await)
        {
            let mut former = former.clone();
            former.retain(|suffix, _| self.options.files || !suffix.starts_with("files"));
            return Ok(Ok(former));
        }
        let mut beside = BTreeMap::new();
        let signed = match self.signature("db.sig", database).await? {
            Ok(signature) => signature,
            Err(why) => return Ok(Err(why)),
        };
        beside.extend(signed.map(|part| ("db.sig".to_owned(), part)));
        if self.options.files {
            let files = match self.files(packages).await? {
                Ok(files) => files,
                Err(why) => return Ok(Err(why)),
            };
            let signed = match self.signature("files.sig", files.sha256).await? {
                Ok(signature) => signature,
                Err(why) => return Ok(Err(why)),
            };
            beside.extend(signed.map(|part| ("files.sig".to_owned(), part)));
            beside.insert("files".to_owned(), files);
        }
        Ok(Ok(beside))
    }

    /// Returns true when the keyring has the keys of all signatures among the neighbours of `database` that are here.
    async fn is_still_signed(&self, database: Sha256, former: &BTreeMap<String, FollowedPart>) -> bool {
        let Some(keyring) = &self.options.keyring else { return true };
        let files = former.get("files").map(|files| files.sha256);
        for (suffix, of) in [("db.sig", Some(database)), ("files.sig", files)] {
            let Some((part, of)) = former.get(suffix).zip(of) else { continue };
            let signature = fsx::read_followed(&self.place.database(part.sha256), SIGNATURE_MOST as u64);
            let Ok(Some(signature)) = signature else { return false };
            if keyring::check(keyring, &signature, self.place.database(of)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Reads a signature, if the mirror has one, of the file with this digest in the place.
    async fn signature(&self, suffix: &str, of: Sha256) -> Found<Option<FollowedPart>> {
        let name = format!("{}.{suffix}", self.repo);
        let Some(url) = self.mirror.file(self.repo.as_str(), self.arch, &name) else { return Ok(Ok(None)) };
        let (machine, most) = (&self.options.machine, SIGNATURE_MOST as u64);
        let (bytes, modified) = match self.notes.ask(machine, (self.mirror, &url), None, most).await {
            Ok(MirrorAnswer::File(bytes, modified)) => (bytes, modified),
            Ok(MirrorAnswer::Unchanged) => return Ok(Err(format!("{name}: said that it is unchanged, unasked"))),
            Err(Miss::Absent(_)) => return Ok(Ok(None)),
            Err(miss) => return Ok(Err(format!("{name}: {miss}"))),
        };
        if let Err(why) = self.look(&name, &bytes) {
            return Ok(Err(format!("{name}: {why}")));
        }
        if let Some(keyring) = &self.options.keyring
            && let Err(why) = keyring::check(keyring, &bytes, self.place.database(of)).await
        {
            return Ok(Err(format!("{name}: its signature does not count: {why}")));
        }
        let sha256 = Sha256::of(&bytes);
        self.place.keep_database(sha256, modified, |to| to.write_all(&bytes))?;
        Ok(Ok(Some(FollowedPart { sha256, modified })))
    }

    /// Reads the lists of files, which may be many times larger than the database, without holding them in memory.
    async fn files(&self, packages: &[ListedPackage]) -> Found<FollowedPart> {
        let name = format!("{}.files", self.repo);
        let Some(url) = self.mirror.file(self.repo.as_str(), self.arch, &name) else {
            return Ok(Err("no URL".to_owned()));
        };
        let path = self.place.coming();
        let mut file = std::fs::File::create(&path).map_err(FollowError::local(&path))?;
        let mut hasher = Hasher::default();
        let (machine, most) = (&self.options.machine, Limits::default().packed);
        let mut take = |piece: &[u8]| {
            hasher.update(piece);
            file.write_all(piece)
        };
        let modified = match self.notes.ask_into(machine, (self.mirror, &url), most, &mut take).await {
            Ok(modified) => modified,
            Err(miss) => return Ok(Err(format!("{name}: {miss}"))),
        };
        let sha256 = hasher.finish();
        if let Err(why) = names_the_same(&path, packages).map_err(FollowError::local(&path))? {
            return Ok(Err(format!("{name}: {why}")));
        }
        let mut from = fsx::open_read(&path).map_err(FollowError::local(&path))?;
        self.place.keep_database(sha256, modified, |to| std::io::copy(&mut from, to).map(drop))?;
        std::fs::remove_file(&path).map_err(FollowError::local(&path))?;
        Ok(Ok(FollowedPart { sha256, modified }))
    }

    fn look(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        let name = FileName::new(name).map_err(|e| e.to_string())?;
        let shape = Lists::of(&self.options.machine).read(&name).shape;
        let file = fsx::in_memory(bytes).map_err(|e| e.to_string())?;
        verify::waive(Waiver::Signature, shape, &file).map(drop).map_err(|e| e.to_string())
    }
}

/// Compares the packages in a list of files with those of its database: each must be there, once, and no other
/// (`a_list_of_files_with_a_stranger_or_a_double_is_refused`).
fn names_the_same(path: &std::path::Path, packages: &[ListedPackage]) -> std::io::Result<Result<(), String>> {
    let file = fsx::open_read(path)?;
    let mut left: std::collections::HashMap<&FileName, Option<Sha256>> =
        packages.iter().map(|package| (&package.file, package.sha256)).collect();
    let (all, mut same, mut strange) = (left.len(), 0, None);
    let read = syncdb::read::<DatabaseError>(&file, &Limits::default(), |package| {
        match left.remove(&package.file) {
            Some(sha256) if sha256 == package.sha256 => same += 1,
            Some(_) => {}
            None => strange = Some(package.file),
        }
        Ok(())
    });
    Ok(match (read, strange) {
        (Err(e), _) => Err(e.to_string()),
        (Ok(_), _) if same < all => Err(format!("{same} of the {all} packages in the database are in it as there")),
        (Ok(_), Some(strange)) => Err(format!("it names {strange}, which is not in the database")),
        (Ok(_), None) => Ok(()),
    })
}
