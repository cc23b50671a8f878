//! Whether the servers of a repository are public where they lead, and not by their names alone: a name with dots may be
//! one of a company's own, with an address of its network. What goes into Kubo is given to the whole world.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Url;

use crate::base::public::is_public_address;
use crate::lists::system::Repository;

/// Longest wait for the addresses of all servers of a repository.
const PATIENCE: Duration = Duration::from_secs(10);

/// Returns true when each server that has an address now has public ones alone, and at least one has.
pub(super) async fn is_public(repository: &Repository) -> bool {
    let hosts: HashSet<String> = repository
        .servers
        .iter()
        .filter_map(|server| Some(Url::parse(server).ok()?.host_str()?.trim_matches(['[', ']']).to_owned()))
        .collect();
    let asked = hosts.into_iter().map(|host| async move {
        let found = tokio::net::lookup_host((host, 443)).await.ok()?;
        Some(found.map(|address| address.ip()).collect::<Vec<_>>())
    });
    let answers = tokio::time::timeout(PATIENCE, join_all(asked)).await;
    answers.is_ok_and(|answers: Vec<_>| are_public(&answers))
}

/// Judges what each host was found to be; `None` where it has no address now.
fn are_public(answers: &[Option<Vec<IpAddr>>]) -> bool {
    let mut all = answers.iter().flatten().flatten().peekable();
    all.peek().is_some() && all.all(|address| is_public_address(*address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::RepoName;

    #[test]
    fn one_server_with_a_private_address_makes_a_repository_private() {
        let of = |hosts: &[&[&str]]| {
            let host =
                |texts: &&[&str]| (!texts.is_empty()).then(|| texts.iter().map(|text| text.parse().unwrap()).collect());
            are_public(&hosts.iter().map(host).collect::<Vec<_>>())
        };
        assert!(of(&[&["209.126.35.78"], &["2a01:4f8:1::1", "95.216.144.15"]]));
        assert!(of(&[&["209.126.35.78"], &[]]), "a server that is down says nothing");
        assert!(!of(&[&["209.126.35.78"], &["10.1.2.3"]]));
        assert!(!of(&[&["209.126.35.78", "fd00::3"]]));
        assert!(!of(&[&[]]) && !of(&[]), "without a name service nothing is known");
    }

    #[tokio::test]
    async fn a_repository_of_a_private_address_is_not_public_whatever_it_is_called() {
        let repository = Repository {
            name: RepoName::new("work").unwrap(),
            servers: vec!["https://10.1.2.3/$repo".to_owned()],
            cache_servers: Vec::new(),
            signatures_required: true,
        };
        assert!(!is_public(&repository).await);
    }
}
