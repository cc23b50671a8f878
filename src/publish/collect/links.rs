//! Links in a tree that is published. What the tree's own lists prove may be anywhere; what nothing proves, signatures and
//! lists of files, is published as it is, so a link of a mirrored tree must not name a file of this machine
//! (`a_link_that_leads_out_of_the_tree_publishes_no_file_of_this_machine`).

use std::fs;
use std::path::{Path, PathBuf};

use crate::publish::PublishError;

/// The directories that were given, where they really are.
pub(super) struct TreeBounds(Vec<PathBuf>);

impl TreeBounds {
    /// Resolves the directories.
    pub(super) fn of(dirs: &[PathBuf]) -> Self {
        Self(dirs.iter().filter_map(|dir| fs::canonicalize(dir).ok()).collect())
    }

    /// Checks a file that nothing proves, in a directory that was found in the tree.
    ///
    /// # Errors
    /// `Package` for a link that leads out of all given directories.
    pub(super) fn check(&self, path: &Path) -> Result<(), PublishError> {
        self.look(path, |_| false)
    }

    /// Checks the signature of the file at `of` in the same way. Where that is a link, its signature may stand beside what
    /// it leads to, as in the `pool/` of Arch's mirrors.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(super) fn check_signature(&self, path: &Path, of: &Path) -> Result<(), PublishError> {
        self.look(path, |real| {
            let beside = fs::canonicalize(of).map(|real| {
                let mut signature = real.into_os_string();
                signature.push(".sig");
                PathBuf::from(signature)
            });
            beside.is_ok_and(|beside| beside == real)
        })
    }

    fn look(&self, path: &Path, may_be: impl Fn(&Path) -> bool) -> Result<(), PublishError> {
        if !path.is_symlink() {
            return Ok(());
        }
        let real = fs::canonicalize(path).map_err(|error| PublishError::Io { path: path.to_owned(), error })?;
        let parent = path.parent().and_then(|dir| fs::canonicalize(dir).ok());
        let is_inside = self.0.iter().chain(&parent).any(|dir| real.starts_with(dir));
        if is_inside || may_be(&real) {
            return Ok(());
        }
        let why = format!("it is a link to {}, outside of what is published", real.display());
        Err(PublishError::Package { path: path.to_owned(), why })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::super::tests::{RepoFixture, package};
    use super::super::collect;
    use super::*;

    #[test]
    fn a_link_that_leads_out_of_the_tree_publishes_no_file_of_this_machine() {
        for name in ["core.files", "core.db.sig", "core.files.sig", "a-1-1-any.pkg.tar.zst.sig"] {
            let made = RepoFixture::at("mirror/core/os/x86_64", "core", &[package("a-1-1-any", 10)]);
            fs::write(made.root().join("secret"), "of this machine").unwrap();
            symlink("../../../../secret", made.path().join(name)).unwrap();
            let mirror = [made.root().join("mirror")];
            let error = collect(&mirror, None).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("outside of what is published"), "{error}");
            // A part of the tree, and no directory above what was given, is a place of it.
            let also = [mirror[0].join("core"), made.root().join("other")];
            assert!(collect(&also[..1], None).is_err());
            fs::rename(made.root().join("secret"), made.root().join("mirror/secret")).unwrap();
            fs::remove_file(made.path().join(name)).unwrap();
            symlink("../../../secret", made.path().join(name)).unwrap();
            assert_eq!(collect(&mirror, None).unwrap().repos.len(), 1, "{name}: within it, links are as good as files");
        }
    }

    #[test]
    fn links_into_a_pool_are_followed_wherever_it_is_and_a_signature_beside_its_package() {
        let made = RepoFixture::at("mirror/core/os/x86_64", "core", &[package("a-1-1-any", 10)]);
        let (pool, a) = (made.root().join("pool"), "a-1-1-any.pkg.tar.zst");
        fs::create_dir(&pool).unwrap();
        fs::rename(made.path().join(a), pool.join(a)).unwrap();
        fs::write(pool.join(format!("{a}.sig")), "its signature").unwrap();
        fs::write(pool.join("secret"), "of this machine").unwrap();
        symlink(pool.join(a), made.path().join(a)).unwrap();
        let signature = made.path().join(format!("{a}.sig"));
        symlink(pool.join(format!("{a}.sig")), &signature).unwrap();
        assert_eq!(collect(&[made.path()], None).unwrap().repos[0].files.len(), 3);
        fs::remove_file(&signature).unwrap();
        symlink(pool.join("secret"), &signature).unwrap();
        assert!(collect(&[made.path()], None).is_err(), "another file beside it is none");
    }
}
