//! The files that pacman is about to ask for: those of its transaction that are in no cache, in its order.

use std::collections::HashMap;
use std::path::PathBuf;
use std::thread;

use crate::base::env::AHEAD;
use crate::base::name::FileName;
use crate::engine::deliver::Candidate;
use crate::engine::want::Want;
use crate::lists::pacman::arguments::Arguments;
use crate::lists::pacman::caller::Caller;
use crate::lists::pacman::pacman_conf::{PacmanConf, Repo, SignatureCheck};
use crate::lists::pacman::queries::{About, Pacman, TransactionPackage};
use crate::lists::pacman::version::{self, Version};
use crate::machine::lists::Lists;
use crate::pacman::prefetch::kept;
use crate::trust::plan::Expect;
use crate::trust::verify::Waiver;

use super::certain::{ListFacts, certain};

/// The first release that has its downloader fetch signatures of packages (pacman 6.0.2, dload.c:947, does not).
const FETCHES_SIGNATURES: Version = Version(6, 1, 0);

/// Returns every file that is certain to be fetched; empty when pacman gives no list.
pub(super) fn wants(lists: &Lists, caller: &Caller) -> Vec<Want> {
    // Started first: meanwhile the call that started this process finds out what `conf` tells, and keeps it.
    let answers = ListAnswer::of(caller, &caller.arguments);
    let others = caller.otherwise.as_ref().map(|arguments| ListAnswer::of(caller, arguments));
    let listed = lists.conf().and_then(|conf| Some((conf, packages(answers, others, conf)?)));
    let Some((conf, packages)) = listed else { return Vec::new() };
    let version = version::of_caller(&lists.machine().env);
    let mut wants = Vec::new();
    for package in packages {
        let Some(repo) = conf.repo(&package.repo) else { continue };
        // Without a known release, assume that it fetches no signatures and knows no cache servers.
        let knows = |release| version.is_some_and(|version| version >= release);
        let signed = knows(FETCHES_SIGNATURES) && repo.sig_level.package != SignatureCheck::Never;
        let Some(server) = first_server(repo, knows(Version(6, 1, 0))) else { continue };
        for name in missing(&package.file, signed, &conf.cache_dirs) {
            wants.extend(Want::of(lists, &format!("{server}/{name}")).ok().filter(is_worth_it));
        }
    }
    wants.retain(|want| !kept::is_at_hand(lists, want));
    wants
}

/// pacman's answers about one meaning of its command line.
struct ListAnswer<'a> {
    arguments: &'a Arguments,
    coming: Vec<TransactionPackage>,
    about: HashMap<String, About>,
    installed: HashMap<String, String>,
}

impl<'a> ListAnswer<'a> {
    /// Asks pacman. Independent questions are asked at the same time: with large databases each takes a while.
    fn of(caller: &Caller, arguments: &'a Arguments) -> Option<Self> {
        let pacman = Pacman::of(caller, arguments, AHEAD)?;
        let (coming, installed) = thread::scope(|scope| {
            let asked = (!arguments.no_confirm).then(|| scope.spawn(|| pacman.installed()));
            let coming = pacman.transaction();
            // Nothing is installed on an empty system, where `pacman -Q` fails.
            (coming, asked.and_then(|asked| asked.join().ok().flatten()).unwrap_or_default())
        });
        let coming = coming?;
        let told = coming.iter().map(|package| Some((package.name.clone(), package.about.clone()?)));
        let about = told.collect::<Option<_>>().or_else(|| pacman.about(&coming))?;
        Some(Self { arguments, coming, about, installed })
    }

    fn certain(self, conf: &PacmanConf) -> Vec<TransactionPackage> {
        let Self { arguments, coming, about, installed } = self;
        certain(coming, &ListFacts { arguments, conf, about: &about, installed: &installed })
    }
}

/// Returns the packages that are fetched under both meanings, where the command line may mean two things.
fn packages(
    first: Option<ListAnswer>,
    other: Option<Option<ListAnswer>>,
    conf: &PacmanConf,
) -> Option<Vec<TransactionPackage>> {
    let first = first.map(|answer| answer.certain(conf));
    let Some(other) = other else { return first };
    let other = other.map(|answer| answer.certain(conf));
    // A meaning that pacman refuses is not the one under which it is running.
    let (Some(mut both), Some(other)) = (first.clone(), &other) else { return first.or(other) };
    both.retain(|package| other.contains(package));
    Some(both)
}

/// Returns the server that pacman asks first.
fn first_server(repo: &Repo, asks_caches: bool) -> Option<&str> {
    let caches = repo.cache_servers.iter().filter(|_| asks_caches);
    caches.chain(&repo.servers).next().map(|server| server.trim_end_matches('/'))
}

/// Returns those of a package and its signature that pacman fetches, decided by name alone as pacman does it
/// (`find_dl_candidates`, libalpm/sync.c). pacman asks again for a package whose signature is missing; that call
/// copies it from the cache.
fn missing(package: &FileName, signed: bool, caches: &[PathBuf]) -> Vec<FileName> {
    let is_cached = |name: &FileName| caches.iter().any(|dir| dir.join(name.as_str()).is_file());
    let signature = signed.then(|| FileName::new(format!("{package}.sig")).ok()).flatten();
    match (is_cached(package), signature) {
        (true, signature) => signature.filter(|name| !is_cached(name)).into_iter().collect(),
        (false, signature) => std::iter::once(package.clone()).chain(signature).collect(),
    }
}

/// Refuses files that would only be copied from one place of this machine to another, and unproven files other
/// than signatures, which are small.
fn is_worth_it(want: &Want) -> bool {
    let is_local = want.candidates.iter().any(|candidate| matches!(candidate, Candidate::File(_)));
    let is_bounded = matches!(want.plan.expect, Expect::Exact { .. } | Expect::Waived(Waiver::Signature));
    !is_local && is_bounded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pacman_finds_in_a_cache_is_not_fetched() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let caches = [one.path().to_owned(), two.path().to_owned()];
        let package = FileName::new("a-1-1-any.pkg.tar.zst").unwrap();
        let names = |signed| -> Vec<String> {
            missing(&package, signed, &caches).iter().map(|name| name.as_str().to_owned()).collect()
        };
        assert_eq!(names(true), ["a-1-1-any.pkg.tar.zst", "a-1-1-any.pkg.tar.zst.sig"]);
        assert_eq!(names(false), ["a-1-1-any.pkg.tar.zst"]);
        std::fs::write(two.path().join(package.as_str()), "x").unwrap();
        assert_eq!(names(true), ["a-1-1-any.pkg.tar.zst.sig"]);
        std::fs::write(one.path().join("a-1-1-any.pkg.tar.zst.sig"), "x").unwrap();
        assert_eq!((names(true), names(false)), (vec![], vec![]));
    }
}
