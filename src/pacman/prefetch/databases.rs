//! A private copy of the sync databases, as `checkupdates` has one: the system's own are never touched, so no package
//! can be installed against newer ones than the rest of the system (a "partial upgrade").

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::base::error::{Error, ErrorKind};
use crate::base::fsx;
use crate::base::name::FileName;
use crate::engine::deliver::{Delivery, Obtained, Receipt};
use crate::engine::want::Want;
use crate::lists::pacman::pacman_conf::{PacmanConf, Repo, SignatureCheck};
use crate::machine::call::Call;
use crate::pacman::background;
use crate::pacman::database::{database, is_forced, signature};
use crate::store::journal::By;
use crate::trust::output::Output;

/// The directory that serves pacman as DBPath.
#[derive(Debug)]
pub(crate) struct Databases {
    dir: PathBuf,
    /// The system's DBPath.
    system: PathBuf,
}

impl Databases {
    /// Makes the directory in `below`, with the installed packages of the system.
    ///
    /// # Errors
    /// `Local` when the store cannot be written to.
    pub(crate) fn open(below: &Path, uid: u32, conf: &PacmanConf) -> Result<Self, Error> {
        let dir = below.join("db");
        let failed = |e: std::io::Error| Error::local(dir.display(), e);
        for own in [below, &dir, &dir.join("sync")] {
            fsx::own_dir(own, uid).map_err(failed)?;
        }
        let (local, installed) = (dir.join("local"), conf.db_path.join("local"));
        if fs::read_link(&local).ok().as_ref() != Some(&installed) {
            let _ = fs::remove_file(&local);
            symlink(&installed, &local).map_err(failed)?;
        }
        Ok(Self { dir, system: conf.db_path.clone() })
    }

    /// Returns the directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Updates every repository, as `pacman -Sy` would; `call` must take these for pacman's databases.
    ///
    /// A repository that is unreachable keeps the newest database that is here, its own or the system's. Returns
    /// the failures, repository by repository. The receipts are added to `all`.
    ///
    /// # Errors
    /// `Interrupted`.
    pub(crate) async fn refresh(
        &self,
        call: &mut Call,
        conf: &PacmanConf,
        all: &mut Receipt,
    ) -> Result<Vec<Error>, Error> {
        let mut failures = Vec::new();
        for repo in conf.repos.iter().filter(|repo| repo.usage.sync) {
            let begun = Instant::now();
            let one = async |receipt: &mut Receipt| self.one(call, repo, receipt).await;
            let Delivery { result: done, receipt } = Delivery::of(one).await;
            if let Ok(name) = FileName::new(format!("{}.db", repo.name)) {
                background::note(&call.machine, By::Prefetch, (Some(&repo.name), &name), None, begun, &receipt);
            }
            all.add(receipt);
            match done {
                Ok(()) => {}
                Err(e) if e.kind == ErrorKind::Interrupted => return Err(e),
                Err(e) => {
                    self.take_the_systems(repo);
                    failures.push(e);
                }
            }
        }
        Ok(failures)
    }

    /// Updates one database and its signature; both or none is put in place.
    async fn one(&self, call: &mut Call, repo: &Repo, receipt: &mut Receipt) -> Result<(), Error> {
        let name = FileName::new(format!("{}.db", repo.name)).map_err(|e| Error::usage(&repo.name, e))?;
        let Some(server) = repo.servers.first() else {
            return Err(Error::usage(format!("[{}]", repo.name), "has no server"));
        };
        let url = format!("{}/{name}", server.trim_end_matches('/'));
        let forced = is_forced(call);
        let got = database(call, &Want::of(&call.lists, &url)?, &url, forced).await.noted_in(receipt)?;
        let signed = format!("{name}.sig");
        let sig = if repo.sig_level.database == SignatureCheck::Never {
            None
        } else {
            let mut want = Want::of(&call.lists, &format!("{url}.sig"))?;
            match signature(call, &mut want, None).await.noted_in(receipt) {
                Ok(sig) => Some(sig),
                Err(e) if e.kind == ErrorKind::Interrupted || repo.sig_level.database == SignatureCheck::Required => {
                    return Err(e);
                }
                Err(_) => None,
            }
        };
        self.put(name.as_str(), &got)?;
        match sig {
            Some(sig) => self.put(&signed, &sig),
            None => {
                // The signature of an older database would not fit.
                let _ = fs::remove_file(self.sync(&signed));
                Ok(())
            }
        }
    }

    fn put(&self, name: &str, obtained: &Obtained) -> Result<(), Error> {
        let output = Output::at(&self.sync(name))?;
        obtained.place(&output)
    }

    /// Copies the system's database where it is newer than ours.
    fn take_the_systems(&self, repo: &Repo) {
        let date = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
        let name = format!("{}.db", repo.name);
        let (ours, theirs) = (self.sync(&name), self.system.join("sync").join(&name));
        if date(&theirs) <= date(&ours) {
            return;
        }
        for suffix in ["", ".sig"] {
            let (from, to) = (theirs.with_extension(format!("db{suffix}")), ours.with_extension(format!("db{suffix}")));
            let copied = fs::copy(&from, &to).is_ok();
            if let (true, Some(date), Ok(file)) = (copied, date(&from), fs::File::options().write(true).open(&to)) {
                // The date identifies a newer one.
                let _ = file.set_modified(date);
            } else {
                let _ = fs::remove_file(&to);
            }
        }
    }

    fn sync(&self, name: &str) -> PathBuf {
        self.dir.join("sync").join(name)
    }
}
