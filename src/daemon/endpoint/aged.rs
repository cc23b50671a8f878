//! Databases that other machines got although no mirror delivered them, like on a day without an uplink: which ones, and
//! of when. The client's pacman cannot show it, so this machine does: in its log, to the doctor, to the status and on the
//! page.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::base::fsx;
use crate::base::name::RepoName;

/// The databases that are older than a mirror's could be.
#[derive(Default)]
pub(super) struct AgedDatabases(RefCell<BTreeMap<RepoName, (PathBuf, SystemTime)>>);

impl AgedDatabases {
    /// Records that the one at `path`, of this date, was handed out for want of the mirrors'. Returns true where that is
    /// new.
    pub(super) fn note(&self, repo: &RepoName, path: PathBuf, modified: SystemTime) -> bool {
        self.0.borrow_mut().insert(repo.clone(), (path, modified)).is_none_or(|(_, before)| before != modified)
    }

    /// Records that a mirror delivered the database of this repository.
    pub(super) fn clear(&self, repo: &RepoName) {
        self.0.borrow_mut().remove(repo);
    }

    /// Lists the repositories with the dates of their databases; without those that this machine's pacman has renewed.
    pub(super) async fn list(&self) -> Vec<(RepoName, SystemTime)> {
        let all = self.0.borrow().clone();
        if all.is_empty() {
            return Vec::new();
        }
        let date = |path: &PathBuf| fsx::open_followed(path).ok()?.metadata().ok()?.modified().ok();
        let look = move || {
            all.into_iter()
                .filter(|(_, (path, at))| date(path) == Some(*at))
                .map(|(repo, (_, at))| (repo, at))
                .collect()
        };
        // Connections do not wait for a disk.
        let left: Vec<(RepoName, SystemTime)> = tokio::task::spawn_blocking(look).await.unwrap_or_default();
        self.0.borrow_mut().retain(|repo, (_, at)| left.iter().any(|(one, of)| one == repo && of == at));
        left
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_database_is_old_until_a_mirror_or_pacman_has_a_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let (aged, core) = (AgedDatabases::default(), RepoName::new("core").unwrap());
        let path = dir.path().join("core.db");
        let file = File::create(&path).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        file.set_modified(then).unwrap();
        assert!(aged.note(&core, path.clone(), then) && !aged.note(&core, path.clone(), then), "told once");
        assert_eq!(aged.list().await, [(core.clone(), then)]);
        aged.clear(&core);
        assert_eq!(aged.list().await, []);
        assert!(aged.note(&core, path, then));
        file.set_modified(then + Duration::from_secs(1)).unwrap();
        assert_eq!(aged.list().await, []);
    }
}
