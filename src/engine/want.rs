//! From the URL that pacman passed to the wanted file: the repository, the expectation, and the sources to ask.

use reqwest::Url;

use crate::base::error::Error;
use crate::base::name::{FileName, NameKind, RepoName};
use crate::config::SearchPolicy;
use crate::engine::deliver::{Candidate, Order};
use crate::engine::source::kubo::KuboReach;
use crate::lists::pacman::pacman_conf::{PacmanConf, Repo};
use crate::machine::Machine;
use crate::machine::lists::Lists;
use crate::net::http;
use crate::trust::plan::{Expect, Knowledge, Plan, UnreadList, plan};
use crate::trust::verify::Waiver;

/// A file that pacman wants.
#[derive(Clone, Debug)]
pub struct Want {
    /// Its name.
    pub name: FileName,
    /// The repository whose servers the URL matches.
    pub repo: Option<Repo>,
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
        let UrlKnowledge { repo, knowledge, doubt } = match lists.conf() {
            Some(conf) => listed(lists, conf, url, &name)?,
            None => UrlKnowledge::nowhere(lists.without_conf()),
        };
        let plan = plan(&name, &knowledge)?;
        let mut candidates = Vec::new();
        if let Some(repo) = &repo
            && lists.may_share(&repo.name)
        {
            candidates.extend(by_content(lists.machine(), &plan));
        }
        candidates.push(first);
        if let Some(repo) = &repo {
            candidates.extend(servers(repo, &name).filter(|(other, _)| other != url).map(|(_, candidate)| candidate));
        }
        Ok(Self { name, repo, plan, candidates, doubt })
    }

    /// Returns the same file without an expectation, because its list could not be read; `None` without a doubt.
    pub fn doubted(&self) -> Option<Self> {
        let knowledge = Knowledge { in_repo: true, unread: Some(self.doubt?), ..Knowledge::default() };
        let plan = plan(&self.name, &knowledge).ok()?;
        Some(Self { plan, doubt: None, ..self.clone() })
    }

    /// Returns the order to fetch it.
    pub fn order(&self) -> Order<'_> {
        Order { name: &self.name, plan: &self.plan, candidates: &self.candidates }
    }

    /// Returns the kind of the file for pacman: its name tells it only where pacman or a repository gave the name.
    pub fn kind(&self) -> NameKind {
        match self.plan.expect {
            Expect::Waived(Waiver::NotPacmans) => NameKind::Other,
            _ => self.name.kind(),
        }
    }

    /// Looks up the entries for a file of a repository, and all sources of it.
    pub fn in_repo(lists: &Lists, repo: &RepoName, name: FileName) -> Result<Self, Error> {
        let plan = plan(&name, &lists.knowledge(repo, &name)?)?;
        Ok(Self::planned(lists, repo, name, plan))
    }

    /// Makes the want of the file in `plan`, with all sources of it; `repo` has it under the name `name`.
    pub fn planned(lists: &Lists, repo: &RepoName, name: FileName, plan: Plan) -> Self {
        let configured = lists.repo(repo).cloned();
        let mut candidates = if lists.may_share(repo) { by_content(lists.machine(), &plan) } else { Vec::new() };
        if let Some(repo) = &configured {
            candidates.extend(servers(repo, &name).map(|(_, candidate)| candidate));
        }
        Self { name, repo: configured, plan, candidates, doubt: None }
    }
}

/// The entries for the file at a URL.
struct UrlKnowledge {
    repo: Option<Repo>,
    knowledge: Knowledge,
    doubt: Option<UnreadList>,
}

impl UrlKnowledge {
    fn nowhere(knowledge: Knowledge) -> Self {
        Self { repo: None, knowledge, doubt: None }
    }

    fn in_repo(repo: &Repo, knowledge: Knowledge) -> Self {
        Self { repo: Some(repo.clone()), knowledge, doubt: None }
    }
}

/// Returns the repository that `url` belongs to, and its entries. Of several that share a server, the first one
/// whose database lists the file, as pacman decides it; else the first one of which an index does. A malformed
/// database, which pacman passes over as well, does not end the search.
fn listed(lists: &Lists, conf: &PacmanConf, url: &str, name: &FileName) -> Result<UrlKnowledge, Error> {
    let Some((first, _)) = conf.repo_of(url) else {
        let of_another = if lists.pacman_run().is_hidden { lists.without_conf() } else { unlisted(lists) };
        return Ok(UrlKnowledge::nowhere(of_another));
    };
    if is_database(name) {
        // Databases have no expectation: the user's mirror decides their content.
        return Ok(UrlKnowledge::in_repo(first, Knowledge { in_repo: true, ..Knowledge::default() }));
    }
    let (mut unread, mut doubt, mut indexed, mut refused) = (None, None, None, None);
    for (repo, _) in conf.repos_of(url) {
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
    Knowledge { for_others: !lists.is_for_pacman(), ..Knowledge::default() }
}

/// Returns the candidates that have files by their content: neighbours, Kubo and gateways, where they may be asked.
pub fn by_content(machine: &Machine, plan: &Plan) -> Vec<Candidate> {
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

/// Returns the file at each of the repository's servers, in the order in which pacman would try them.
fn servers(repo: &Repo, name: &FileName) -> impl Iterator<Item = (String, Candidate)> {
    repo.servers.iter().filter_map(move |server| {
        let url = format!("{}/{name}", server.trim_end_matches('/'));
        let candidate = Candidate::of_url(&Url::parse(&url).ok()?).ok()?;
        Some((url, candidate))
    })
}

/// Returns true for the name of a database or its signature.
pub fn is_database(name: &FileName) -> bool {
    matches!(name.kind(), NameKind::Database | NameKind::DatabaseSignature)
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
}
