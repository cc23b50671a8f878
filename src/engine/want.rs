//! From the URL that pacman passed to the wanted file: the repository, the expectation, and the sources to ask.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use reqwest::Url;

use crate::base::error::Error;
use crate::base::name::{FileName, RepoName};
use crate::config::SearchPolicy;
use crate::engine::deliver::{Candidate, Order};
use crate::engine::source::kubo::KuboReach;
use crate::lists::system::{NameKind, Repository};
use crate::machine::Machine;
use crate::machine::lists::{Lists, NameReading};
use crate::net::http;
use crate::trust::look::FileShape;
use crate::trust::plan::{Expect, Knowledge, Plan, UnreadList, plan};
use crate::trust::verify::Waiver;

/// A file that pacman wants.
#[derive(Clone, Debug)]
pub struct Want {
    /// Its name.
    pub name: FileName,
    /// What its system takes a file of this name for.
    pub shape: FileShape,
    /// The repository whose servers the URL matches.
    pub repo: Option<Repository>,
    /// Its expected content.
    pub plan: Plan,
    /// The sources to ask, in order.
    pub candidates: Vec<Candidate>,
    /// Set where the expectation may be about another file of this name: a repository that shares the server, and
    /// that pacman prefers, has a list that could not be read.
    pub doubt: Option<UnreadList>,
}

/// Returns the file name at the end of a URL, as pacman sees it: nothing is decoded, a query stays in the name.
pub fn name_of(url: &str) -> Result<FileName, Error> {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let last = after_scheme.rsplit_once('/').map_or("", |(_, last)| last);
    FileName::new(last).map_err(|e| Error::usage(shown(url), e).hint("give the URL of a file, as in pacman's %u"))
}

/// Reads the URL.
pub fn parse(url: &str) -> Result<Url, Error> {
    Url::parse(url).map_err(|e| Error::usage(shown(url), format!("not a URL: {e}")))
}

impl Want {
    /// Looks up the entries for the file at `url`.
    pub fn of(lists: &Lists, url: &str) -> Result<Self, Error> {
        let name = name_of(url)?;
        let first = Candidate::of_url(&parse(url)?)?;
        let reading = lists.read(&name);
        let UrlKnowledge { repo, knowledge, doubt } = match lists.repos() {
            Ok(repos) => listed(lists, &repos, url, &name, &reading)?,
            Err(_) => UrlKnowledge::nowhere(lists.without_repos()),
        };
        let NameReading { shape, path, .. } = reading;
        let plan = plan(&name, shape.kind, &knowledge)?;
        let mut candidates = Vec::new();
        if let Some(repo) = &repo
            && lists.may_share(&repo.name)
        {
            candidates.extend(by_content(lists.machine(), &plan));
        }
        candidates.push(first);
        if let Some(repo) = &repo {
            candidates.extend(servers(repo, &path).filter(|(other, _)| other != url).map(|(_, candidate)| candidate));
        }
        Ok(Self { name, shape, repo, plan, candidates, doubt })
    }

    /// Returns the same file without an expectation, because its list could not be read; `None` without a doubt.
    pub(crate) fn doubted(&self) -> Option<Self> {
        let knowledge = Knowledge { in_repo: true, unread: Some(self.doubt?), ..Knowledge::default() };
        let plan = plan(&self.name, self.shape.kind, &knowledge).ok()?;
        Some(Self { plan, doubt: None, ..self.clone() })
    }

    /// Returns the order to fetch it.
    pub fn order(&self) -> Order<'_> {
        Order { name: &self.name, shape: self.shape, plan: &self.plan, candidates: &self.candidates }
    }

    /// Returns the kind of the file: its name tells it only where the system or a repository gave the name.
    pub(crate) fn kind(&self) -> NameKind {
        match self.plan.expect {
            Expect::Waived(Waiver::NotPacmans) => NameKind::Other,
            _ => self.shape.kind,
        }
    }

    /// Looks up the entries for a file of a repository, and all sources of it.
    pub(crate) fn in_repo(lists: &Lists, repo: &RepoName, name: FileName) -> Result<Self, Error> {
        let plan = plan(&name, lists.read(&name).shape.kind, &lists.knowledge(repo, &name)?)?;
        Ok(Self::planned(lists, repo, name, plan))
    }

    /// Makes the want of the file in `plan`, with all sources of it; `repo` has it under the name `name`.
    pub(crate) fn planned(lists: &Lists, repo: &RepoName, name: FileName, plan: Plan) -> Self {
        let configured = lists.repo(repo).cloned();
        let NameReading { shape, path, .. } = lists.read(&name);
        let mut candidates = if lists.may_share(repo) { by_content(lists.machine(), &plan) } else { Vec::new() };
        if let Some(repo) = &configured {
            candidates.extend(servers(repo, &path).map(|(_, candidate)| candidate));
        }
        Self { name, shape, repo: configured, plan, candidates, doubt: None }
    }
}

/// The entries for the file at a URL.
struct UrlKnowledge {
    repo: Option<Repository>,
    knowledge: Knowledge,
    doubt: Option<UnreadList>,
}

impl UrlKnowledge {
    fn nowhere(knowledge: Knowledge) -> Self {
        Self { repo: None, knowledge, doubt: None }
    }

    fn in_repo(repo: &Repository, knowledge: Knowledge) -> Self {
        Self { repo: Some(repo.clone()), knowledge, doubt: None }
    }
}

/// Returns the repository that `url` belongs to, and its entries. Of several that share a server, the first one
/// whose own list has the file, as pacman decides it; else the first one of which an index does. A malformed
/// database, which pacman passes over as well, does not end the search.
fn listed(
    lists: &Lists,
    repos: &[&Repository],
    url: &str,
    name: &FileName,
    reading: &NameReading<'_>,
) -> Result<UrlKnowledge, Error> {
    let repos = repos_at(repos, url, reading);
    let Some(first) = repos.first() else {
        let of_another = if lists.may_be_others() { lists.without_repos() } else { unlisted(lists) };
        return Ok(UrlKnowledge::nowhere(of_another));
    };
    if reading.shape.kind.is_of_database() {
        // Databases have no expectation: the user's mirror decides their content.
        return Ok(UrlKnowledge::in_repo(first, Knowledge { in_repo: true, ..Knowledge::default() }));
    }
    let (mut unread, mut doubt, mut indexed, mut refused) = (None, None, None, None);
    for repo in &repos {
        let knowledge = match lists.knowledge(&repo.name, name) {
            Ok(knowledge) => knowledge,
            Err(error) => {
                refused = refused.or(Some(error));
                continue;
            }
        };
        if knowledge.database.is_some() {
            return Ok(UrlKnowledge { doubt, ..UrlKnowledge::in_repo(repo, knowledge) });
        }
        unread = unread.or(knowledge.unread);
        let doubt_of_later = doubt.or(knowledge.unread.filter(|_| knowledge.is_database_unread));
        if indexed.is_none() && !knowledge.indexes.is_empty() {
            indexed = Some(UrlKnowledge { doubt, ..UrlKnowledge::in_repo(repo, knowledge) });
        }
        doubt = doubt_of_later;
    }
    match (indexed, refused) {
        (Some(indexed), _) => Ok(indexed),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(UrlKnowledge::in_repo(first, Knowledge { in_repo: true, unread, ..unlisted(lists) })),
    }
}

/// Returns the knowledge of a file that no list has: only the kind of caller.
fn unlisted(lists: &Lists) -> Knowledge {
    Knowledge { for_others: !lists.is_for_system(), ..Knowledge::default() }
}

/// Returns the candidates that have files by their content: neighbours, Kubo and gateways, where they may be asked.
pub(crate) fn by_content(machine: &Machine, plan: &Plan) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    // The daemon also finds files without a CID that is known here: a neighbour names it.
    if machine.asks_lan()
        && let Expect::Exact { sha256, .. } = plan.expect
    {
        candidates.push(Candidate::Lan(sha256));
    }
    let Some(cid) = plan.cid else { return candidates };
    if machine.asks_kubo() {
        let reach =
            if machine.settings.kubo_search == SearchPolicy::Always { KuboReach::Anywhere } else { KuboReach::Near };
        candidates.push(Candidate::Kubo(cid, reach));
    }
    if machine.asks_gateways() {
        candidates.extend(machine.settings.gateway_urls().map(|url| Candidate::Gateway(url, cid)));
    }
    if machine.asks_kubo() && machine.settings.kubo_search == SearchPolicy::Last {
        // Besides the near one, it is the last resort of a race, whatever its position.
        candidates.push(Candidate::Kubo(cid, KuboReach::Anywhere));
    }
    candidates
}

/// Returns the repositories that `url`, whose file name reads like this, could be a file of, in their order; the one that
/// the file is named after is the first.
///
/// A package manager joins server and file name with `/` and encodes nothing, so the text has to match; only slashes
/// between the two are ignored. Where several repositories share a server, a database belongs to the one that it is named
/// after and any other file to the first that lists it.
pub fn repos_at<'r>(repos: &[&'r Repository], url: &str, reading: &NameReading<'_>) -> Vec<&'r Repository> {
    let mut found: Vec<_> = repos.iter().copied().filter(|repo| repo.has(url, &reading.path)).collect();
    found.sort_by_key(|repo| reading.repo.as_ref() != Some(&repo.name));
    found
}

/// Returns the file at each of the repository's servers, in the order in which pacman would try them.
fn servers(repo: &Repository, path: &str) -> impl Iterator<Item = (String, Candidate)> {
    repo.urls(path).filter_map(|url| {
        let candidate = Candidate::of_url(&Url::parse(&url).ok()?).ok()?;
        Some((url, candidate))
    })
}

/// Prints a text that may be a URL, without secrets: one that does not parse may hold a password all the same.
fn shown(url: &str) -> String {
    if let Ok(url) = Url::parse(url) {
        return http::shown(&url);
    }
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, rest)| rest)),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::lists::read;

    fn repo(name: &str, servers: &[&str], caches: &[&str]) -> Repository {
        let texts = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect();
        let name = RepoName::new(name).unwrap();
        Repository { name, servers: texts(servers), cache_servers: texts(caches), signatures_required: false }
    }

    #[test]
    fn the_name_is_what_pacman_calls_the_file() {
        let name = |url| name_of(url).map(|name| name.as_str().to_owned()).map_err(|e| e.message);
        assert_eq!(name("http://m/core/os/g++x-1:2.0-1-any.pkg.tar.zst").unwrap(), "g++x-1:2.0-1-any.pkg.tar.zst");
        assert_eq!(name("http://m/a?token=1").unwrap(), "a?token=1");
        assert_eq!(name("http://m/core/").unwrap_err(), "the file name is empty");
        assert_eq!(name("http://m").unwrap_err(), "the file name is empty");
        assert!(name("http://m/..").unwrap_err().contains("plain"));
    }

    #[test]
    fn a_url_that_does_not_parse_is_shown_without_its_password() {
        assert_eq!(parse("http://user:secret@/x").unwrap_err().subject, "http:///x");
        assert_eq!(parse("no url").unwrap_err().subject, "no url");
    }

    #[test]
    fn a_url_belongs_to_the_repository_whose_server_it_begins_with() {
        let repos = [
            repo("core", &["https://m.example/core/os/x86_64", "http://n.example/arch/core/os/x86_64/"], &[]),
            repo("extra", &["https://m.example/extra/os/x86_64"], &["http://127.0.0.1:7077"]),
            repo("x", &["file:///srv/repo"], &[]),
            repo("y", &["file:///srv/repo"], &[]),
        ];
        let repos: Vec<&Repository> = repos.iter().collect();
        let at = |url: &str| name_of(url).map(|name| repos_at(&repos, url, &read(&name))).unwrap_or_default();
        let of = |url: &str| at(url).first().map(|repo| format!("{} {}", repo.name, name_of(url).unwrap()));
        for (url, want) in [
            ("https://m.example/core/os/x86_64/a-1:2+b-1-any.pkg.tar.zst", "core a-1:2+b-1-any.pkg.tar.zst"),
            ("https://m.example/core/os/x86_64/core.db", "core core.db"),
            ("http://n.example/arch/core/os/x86_64/core.db.sig", "core core.db.sig"),
            ("http://n.example/arch/core/os/x86_64//core.db", "core core.db"),
            ("http://127.0.0.1:7077/a-1-1-any.pkg.tar.zst", "extra a-1-1-any.pkg.tar.zst"),
            ("file:///srv/repo/y.db", "y y.db"),
            ("file:///srv/repo/a-1-1-any.pkg.tar.zst", "x a-1-1-any.pkg.tar.zst"),
        ] {
            assert_eq!(of(url).as_deref(), Some(want), "{url}");
        }
        for other in [
            "https://m.example/core/os/x86_64/",
            "https://m.example/core/os/x86_64",
            "https://m.example/core/os/x86_64/../x",
            "https://m.example/core/os/x86_64/..",
            "https://m.example/core/os/x86_64x/core.db",
            "http://m.example/core/os/x86_64/core.db",
            "core.db",
            "",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(at("file:///srv/repo/z-1-1-any.pkg.tar.zst").len(), 2);
    }
}
