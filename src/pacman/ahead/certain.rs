//! The packages of a transaction that pacman fetches whatever its user answers.
//!
//! Run with `-p`, pacman gives itself the answers that `--noconfirm` would give. A user may have chosen another
//! provider, a part of a group, not to replace a package, or not to install an ignored one. Packages that depend
//! on such an answer are left to pacman's own calls: an unneeded download is worse than a slow one. Certain are
//! the packages that were named, those that are upgraded, and those that these need by their very name.

use std::collections::{HashMap, HashSet};

use glob::Pattern;

use crate::lists::pacman::arguments::Arguments;
use crate::lists::pacman::pacman_conf::PacmanConf;
use crate::lists::pacman::queries::{About, TransactionPackage, bare};

/// The facts to judge by.
pub(super) struct ListFacts<'a> {
    /// The command line.
    pub(crate) arguments: &'a Arguments,
    /// The configuration.
    pub(crate) conf: &'a PacmanConf,
    /// The metadata of each package.
    pub(crate) about: &'a HashMap<String, About>,
    /// Names and versions of the installed packages.
    pub(crate) installed: &'a HashMap<String, String>,
}

/// Returns the packages of `coming` that will be fetched in any case, in the same order.
pub(super) fn certain(coming: Vec<TransactionPackage>, facts: &ListFacts<'_>) -> Vec<TransactionPackage> {
    let mut kept = if facts.arguments.no_confirm { coming } else { whatever_was_answered(coming, facts) };
    // With -p, pacman looks for no conflicts; a real run drops one of two that conflict. With -w it drops none.
    if !facts.arguments.download_only {
        let dropped = in_conflict(&kept, facts.about);
        kept.retain(|package| !dropped.contains(&package.name));
    }
    kept
}

fn whatever_was_answered(coming: Vec<TransactionPackage>, facts: &ListFacts<'_>) -> Vec<TransactionPackage> {
    let named: HashSet<&str> = facts
        .arguments
        .targets
        .iter()
        .filter_map(|target| target.to_str())
        .map(|target| bare(target.split_once('/').map_or(target, |(_, name)| name)))
        .collect();
    let is_upgraded = |package: &TransactionPackage| {
        facts.arguments.upgrade && facts.installed.get(&package.name).is_some_and(|version| *version != package.version)
    };
    let may_be = |package: &TransactionPackage| !is_ignored(package, facts);
    let mut certain: HashSet<&str> = HashSet::new();
    let mut next: Vec<&TransactionPackage> =
        coming.iter().filter(|package| named.contains(&*package.name) || is_upgraded(package)).collect();
    let by_name: HashMap<&str, &TransactionPackage> = coming.iter().map(|package| (&*package.name, package)).collect();
    while let Some(package) = next.pop() {
        if !may_be(package) || !certain.insert(&package.name) {
            continue;
        }
        // pacman takes a package of the very name before it asks about providers (`resolvedep`, libalpm/deps.c).
        let needed = facts.about.get(&package.name).map_or(&[][..], |about| &about.depends);
        next.extend(needed.iter().filter_map(|name| by_name.get(&**name)));
    }
    let certain: HashSet<String> = certain.into_iter().map(str::to_owned).collect();
    coming.into_iter().filter(|package| certain.contains(&package.name)).collect()
}

/// Returns true when pacman has asked whether to install this package although it is ignored.
fn is_ignored(package: &TransactionPackage, facts: &ListFacts<'_>) -> bool {
    let matches = |pattern: &String, name: &str| Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(name));
    let names = facts.conf.ignored.iter().chain(&facts.arguments.ignored);
    let groups = facts.conf.ignored_groups.iter().chain(&facts.arguments.ignored_groups);
    let own = facts.about.get(&package.name).map_or(&[][..], |about| &about.groups);
    names.clone().any(|pattern| matches(pattern, &package.name))
        || groups.clone().any(|pattern| own.iter().any(|group| matches(pattern, group)))
}

/// Returns both of any two packages that conflict, by name or by a name that the other provides, whatever the
/// versions.
fn in_conflict(packages: &[TransactionPackage], about: &HashMap<String, About>) -> HashSet<String> {
    let mut known: HashMap<&str, Vec<&str>> = HashMap::new();
    for package in packages {
        let provided = about.get(&package.name).map_or(&[][..], |about| &about.provides);
        for name in provided.iter().chain([&package.name]) {
            known.entry(name).or_default().push(&package.name);
        }
    }
    let mut found = HashSet::new();
    for package in packages {
        let Some(about) = about.get(&package.name) else { continue };
        for other in about.conflicts.iter().filter_map(|name| known.get(&**name)).flatten() {
            if *other != package.name {
                found.extend([(*other).to_owned(), package.name.clone()]);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::{FileName, RepoName};
    use std::ffi::OsString;

    /// Reads the packages from lines of `NAME: DEPENDS | PROVIDES | CONFLICTS | GROUPS`.
    fn judged(line: &str, installed: &[&str], ignored: &[&str], packages: &[&str]) -> Vec<String> {
        let names = |text: Option<&str>| text.unwrap_or("").split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (mut coming, mut about) = (Vec::new(), HashMap::new());
        for package in packages {
            let (name, rest) = package.split_once(':').unwrap();
            let mut parts = rest.split('|');
            let [depends, provides, conflicts, groups] = std::array::from_fn(|_| names(parts.next()));
            about.insert(name.to_owned(), About { depends, provides, conflicts, groups });
            coming.push(TransactionPackage {
                repo: RepoName::new("core").unwrap(),
                name: name.to_owned(),
                version: "2-1".to_owned(),
                file: FileName::new(format!("{name}-2-1-any.pkg.tar.zst")).unwrap(),
                about: None,
            });
        }
        let arguments = Arguments::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        let mut conf = PacmanConf::parse("[options]\nRootDir = /\nDBPath = /db\nIgnoreGroup = kde*\n").unwrap();
        conf.ignored = ignored.iter().map(|name| (*name).to_owned()).collect();
        let installed = installed.iter().map(|name| ((*name).to_owned(), "1-1".to_owned())).collect();
        let facts = ListFacts { arguments: &arguments, conf: &conf, about: &about, installed: &installed };
        certain(coming, &facts).into_iter().map(|package| package.name).collect()
    }

    #[test]
    fn what_was_named_and_what_it_needs_by_name_is_certain() {
        let packages = ["lib:", "deep:lib", "app:deep other=1"];
        assert_eq!(judged("-S core/app", &[], &[], &packages), ["lib", "deep", "app"]);
        assert_eq!(judged("-S app>=2", &[], &[], &packages), ["lib", "deep", "app"]);
    }

    #[test]
    fn a_provider_and_what_only_it_needs_is_the_users_choice() {
        let packages = ["choice-lib:", "choice:choice-lib|virtual", "app:virtual"];
        assert_eq!(judged("-S app", &[], &[], &packages), ["app"]);
        assert_eq!(judged("-S app --noconfirm", &[], &[], &packages), ["choice-lib", "choice", "app"]);
    }

    #[test]
    fn an_upgrade_is_certain_and_a_replacement_is_not() {
        let packages = ["old:new-lib", "new-lib:", "replacement:"];
        assert_eq!(judged("-Su", &["old", "replaced"], &[], &packages), ["old", "new-lib"]);
        assert_eq!(judged("-S old", &["old", "replaced"], &[], &packages), ["old", "new-lib"]);
    }

    #[test]
    fn members_of_a_group_are_the_users_choice_unless_they_are_upgraded() {
        let packages = ["a:|||tools", "b:|||tools"];
        assert!(judged("-S tools", &["a"], &[], &packages).is_empty());
        assert_eq!(judged("-Su tools", &["a"], &[], &packages), ["a"]);
    }

    #[test]
    fn an_ignored_package_is_the_users_choice() {
        let packages = ["linux-lts:", "app:linux-lts", "plasma:|||kde-apps"];
        assert_eq!(judged("-S app plasma", &[], &["linux*"], &packages), ["app"]);
        assert_eq!(judged("-S app plasma --ignore app", &[], &[], &packages), [""; 0]);
    }

    #[test]
    fn of_two_in_conflict_neither_is_certain() {
        let packages = ["a:||virtual", "b:|virtual", "c:||c d"];
        assert_eq!(judged("-S a b c --noconfirm", &[], &[], &packages), ["c"]);
        assert_eq!(judged("-Sw a b c --noconfirm", &[], &[], &packages), ["a", "b", "c"]);
    }
}
