//! Files that repositories have no more: what the archives of the indexes in use prove.

use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind};
use crate::base::runtime::block_on;
use crate::cmd::cli::FetchArgs;
use crate::config::template::MirrorTemplate;
use crate::engine::asked::Meaning;
use crate::engine::deliver::Candidate;
use crate::engine::want::Want;
use crate::index::time;
use crate::machine::call::Call;
use crate::refresh::archive::{ArchivedFile, Archives};
use crate::report;
use crate::trust::plan::Expect;

/// Seconds of a day.
const DAY: u64 = 86_400;

/// What a WHAT means, and since when its repository has it no more.
pub(super) struct SoughtFile {
    pub(super) meaning: Meaning,
    /// Set for a file of an archive.
    archived: Option<ArchivedFile>,
}

impl SoughtFile {
    /// Looks in the lists, and where none has the file, in the archives; with `--as-of` in these first.
    ///
    /// # Errors
    /// As [`Meaning::of`]; `NoSource` as well for what no archive has, and `Interrupted`.
    pub(super) fn of(call: &Call, args: &FetchArgs, what: &str) -> Result<Self, Error> {
        let mirrors = mirrors(args)?;
        let mut sought = match &args.as_of {
            Some(date) => Self::as_of(call, what, date)?,
            None => match Meaning::of(call, what) {
                Ok(meaning) => Self { meaning, archived: None },
                Err(error) => Self::archived(call, what, error)?,
            },
        };
        // What no list expects would be taken from it unproven.
        if let Meaning::File(want) = &mut sought.meaning
            && matches!(want.plan.expect, Expect::Exact { .. })
        {
            let repo = sought.archived.as_ref().map(|file| file.repo.clone());
            let repo = repo.or_else(|| want.repo.as_ref().map(|repo| repo.name.clone()));
            let repo = repo.as_ref().map_or("", |repo| repo.as_str());
            let (arch, path) = (call.lists.arch(), call.lists.read(&want.name).path);
            let fits = |mirror: &&MirrorTemplate| !repo.is_empty() || !mirror.tells_apart().0;
            let urls = mirrors.iter().filter(fits).filter_map(|mirror| mirror.file(repo, &arch, &path));
            // Before those of the repository, which may have it no more.
            let first = want.candidates.iter().position(|one| matches!(one, Candidate::Mirror(_) | Candidate::File(_)));
            let at = first.unwrap_or(want.candidates.len());
            want.candidates.splice(at..at, urls.map(Candidate::Mirror));
        }
        Ok(sought)
    }

    /// Looks in the archives for what no list has.
    fn archived(call: &Call, what: &str, error: Error) -> Result<Self, Error> {
        if error.kind != ErrorKind::NoSource || what.contains("://") {
            return Err(error);
        }
        let archives = Archives::of(&call.lists);
        if archives.is_empty() {
            return Err(error);
        }
        // A name with a typing error waits for no archive.
        if !has_version(what) {
            return Err(error.hint(format!(
                "`pacman -Sy` and `pkgswarm index refresh` bring newer lists; what a repository had before is found by \
                 `{what}-VERSION`, or with `--as-of DATE`"
            )));
        }
        let file = block_on(archives.find(what)).unwrap_or_else(|| Err(interrupted(what)))?;
        Ok(Self::of_archive(call, file))
    }

    fn as_of(call: &Call, what: &str, date: &str) -> Result<Self, Error> {
        let now = clock::now();
        let at = moment(date, now).ok_or_else(|| {
            Error::usage(
                "--as-of",
                format!(
                    "expected a day or a moment that has been, like 2026-11-20 or 2026-11-20T12:00:00Z, found {date:?}"
                ),
            )
        })?;
        let archives = Archives::of(&call.lists);
        if archives.is_empty() {
            return Err(Error::new(ErrorKind::NoSource, what, "no index in use keeps an archive").hint(
                "`pkgswarm index show NAME` tells what an index has; how long it remembers is its publisher's choice",
            ));
        }
        let file = block_on(archives.current_at(what, at)).unwrap_or_else(|| Err(interrupted(what)))?;
        if file.until.is_some() {
            return Ok(Self::of_archive(call, file));
        }
        told(&file);
        let want = Want::in_repo(&call.lists, &file.repo, file.name)?;
        Ok(Self { meaning: Meaning::File(want), archived: None })
    }

    fn of_archive(call: &Call, file: ArchivedFile) -> Self {
        told(&file);
        let want = Want::planned(&call.lists, &file.repo, file.name.clone(), file.known.plan());
        Self { meaning: Meaning::File(want), archived: Some(file) }
    }

    /// Returns what to say when no source has delivered it.
    pub(super) fn hint(&self) -> Option<String> {
        let file = self.archived.as_ref()?;
        let (repo, until) = (&file.repo, time::to_rfc3339(file.until?));
        Some(format!(
            "name a mirror that keeps old packages: `--mirror URL`; {repo} does not have it any more, since {until}"
        ))
    }
}

/// Says which file it is, and in which time its repository had it.
fn told(file: &ArchivedFile) {
    let ArchivedFile { index, repo, name, from, until, .. } = file;
    let (verb, begin) = if until.is_some() { ("had", "from") } else { ("has", "since") };
    let from = from.map(|from| format!(" {begin} {}", time::to_rfc3339(from))).unwrap_or_default();
    let until = until.map(|until| format!(" until {}", time::to_rfc3339(until))).unwrap_or_default();
    report::say(&format!("{name}: {repo} {verb} it{from}{until} (index {index})"));
}

/// True for what can be a sha256, a file name or name-version.
fn has_version(what: &str) -> bool {
    let is_version = |part: &str| part.contains(|c: char| c.is_ascii_digit());
    what.parse::<Sha256>().is_ok() || what.split('-').skip(1).any(is_version)
}

fn interrupted(what: &str) -> Error {
    Error::new(ErrorKind::Interrupted, what, "interrupted")
}

fn mirrors(args: &FetchArgs) -> Result<Vec<MirrorTemplate>, Error> {
    let read = |text: &String| MirrorTemplate::parse(text).map_err(|why| Error::usage("--mirror", why));
    args.mirror.iter().map(read).collect()
}

/// Reads a moment that is not after `now`, or a day, which means its last second: Unix seconds.
fn moment(text: &str, now: u64) -> Option<u64> {
    let begin = time::from_rfc3339(&format!("{text}T00:00:00Z"));
    let at = begin.map(|begin| (begin + DAY - 1).min(now.max(begin))).or_else(|| time::from_rfc3339(text))?;
    (at <= now).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_asked_for_what_has_a_version() {
        for what in ["a-1.0-1", "a-1", "a-b-r12", "a-1-1-any.pkg.tar.zst", "a-1-1-any.pkg.tar.zst.sig", &"0".repeat(64)]
        {
            assert!(has_version(what), "{what}");
        }
        for what in ["fierfox", "gtk3", "python-foo", "-", ""] {
            assert!(!has_version(what), "{what}");
        }
    }

    #[test]
    fn a_day_is_its_last_second_and_no_time_to_come_is_taken() {
        let noon = 1_784_894_400;
        assert_eq!(moment("2026-07-23", noon), Some(noon - 43_200 - 1));
        assert_eq!(moment("2026-07-24", noon), Some(noon), "today is until now");
        assert_eq!(moment("2026-07-24T11:00:00Z", noon), Some(noon - 3600));
        for wrong in ["2026-07-25", "2026-07-24T13:00:00Z", "2026-7-1", "yesterday", "", "2026-13-01"] {
            assert_eq!(moment(wrong, noon), None, "{wrong}");
        }
    }
}
