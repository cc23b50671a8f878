//! A publication that a file describes: which words mean one, and what its file says of keys and mirrors.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind};
use crate::base::name::RepoName;
use crate::base::public::is_public_url;
use crate::base::users;
use crate::cmd::cli::PublishArgs;
use crate::config::Settings;
use crate::config::pin_place::{PinLogin, PinPlace, PinPlaceAddress};
use crate::config::publication::{PublicationFile, is_publication_name, publication_file};
use crate::config::retention::{RetentionRule, RetentionWords};
use crate::config::template::MirrorTemplate;
use crate::index::minisign::SecretKey;
use crate::net::http::Http;
use crate::net::pinning::{ApiSecret, ClusterApi, Copies, RemoteApi, ServiceApi};
use crate::publish;
use crate::publish::{FindHints, FollowOptions, Holder, HolderApi, HolderReach};

/// Returns the publication that the words name, and the file that describes it: one NAME without a slash. `None` for
/// directories.
///
/// # Errors
/// Usage errors: a name that is both, or neither; an option that is the file's to decide.
pub(super) fn described(env: &Env, args: &PublishArgs) -> Result<Option<(String, PathBuf)>, Error> {
    let [word] = &args.directories[..] else { return Ok(None) };
    let Some(name) = word.to_str().filter(|name| is_publication_name(name)) else { return Ok(None) };
    let file = publication_file(env, name);
    let is_described = file.try_exists().map_err(|e| Error::local(file.display(), e))?;
    match (is_described, word.exists()) {
        (false, true) => return Ok(None),
        (true, true) => {
            return Err(Error::usage(name, format!("is a directory here and a publication, in {}", file.display()))
                .hint(format!(
                    "`pkgswarm publish ./{name}` publishes the directory; for the publication, run it elsewhere"
                )));
        }
        (false, false) => {
            return Err(Error::usage(
                name,
                format!("neither a directory here nor a publication in {}", file.display()),
            )
            .hint("pkgswarm-publish(1) lists the keys of such a file"));
        }
        (true, false) => {}
    }
    let options = [
        ("--key", args.key.is_some()),
        ("--publisher", args.publisher.is_some()),
        ("--minisign-key", args.minisign_key.is_some()),
        ("--haiku-key", args.haiku_key.is_some()),
        ("--content", args.content.is_some()),
        ("--retain", args.retain.is_some()),
        ("--retain-versions", args.retain_versions.is_some()),
        ("--retain-size", args.retain_size.is_some()),
        ("--lifetime", args.lifetime.is_some()),
        ("--offline", args.offline),
        ("--out", args.out.is_some()),
    ];
    if let Some((option, _)) = options.iter().find(|(_, is_given)| *is_given) {
        return Err(Error::usage(option, format!("is not for a publication: {} decides", file.display()))
            .hint("change the file, or name directories instead of a publication"));
    }
    Ok(Some((name.to_owned(), file)))
}

/// Refuses to run as root in a directory of another user, who could not write there afterwards. Where `dir` is not there
/// yet, the owner of the directory in which it would be made counts.
///
/// # Errors
/// A usage error, with the commands to run instead.
pub(super) fn refuse_for_root(env: &Env, publication: &PublicationFile, dir: &Path) -> Result<(), Error> {
    let owner = dir.ancestors().find_map(|dir| std::fs::metadata(dir).ok()).map_or(0, |found| found.uid());
    if !env.is_root() || owner == 0 {
        return Ok(());
    }
    let (name, user) = (&publication.name, users::name_of(owner));
    Err(Error::usage(name, format!("its state in {} belongs to {user}", dir.display())).hint(format!(
        "sudo systemctl start pkgswarm-publish@{name}; or as that user: sudo -u {user} pkgswarm publish {name}"
    )))
}

/// Reads the key that signs the manifest, if the file names one.
///
/// # Errors
/// Usage errors, as of [`Secret::read`](crate::config::secret::Secret::read); and where it is no key, or its
/// password is missing.
pub(super) fn signing_key(env: &Env, publication: &PublicationFile) -> Result<Option<SecretKey>, Error> {
    let Some(secret) = &publication.minisign else { return Ok(None) };
    let text = secret.read(env)?;
    let password = publication.password.as_ref().map(|password| password.read(env)).transpose()?;
    let password = password.as_deref().map(|text| text.trim_end_matches('\n'));
    SecretKey::read(&text, password).map(Some).map_err(|e| {
        Error::usage(format!("{}: keys.minisign", publication.file.display()), e).hint("minisign -G makes a key pair")
    })
}

/// Reads the key that signs the manifest from a file that the words name.
///
/// # Errors
/// A usage error where it is none.
pub(super) fn key_in(env: &Env, path: &Path) -> Result<SecretKey, Error> {
    let wrong = |e: &dyn std::fmt::Display| Error::usage(path.display(), e).hint("minisign -G makes a key pair");
    let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
    SecretKey::read(&text, env.var("PKGSWARM_MINISIGN_PASSWORD")).map_err(|e| wrong(&e))
}

/// Returns the mirrors of a publication, with a store of its own beside its state.
///
/// # Errors
/// `Local` when there is no place for that store.
pub(super) fn mirrors(
    env: &Env,
    settings: &Settings,
    publication: &PublicationFile,
    state_dir: &Path,
) -> Result<Option<FollowOptions>, Error> {
    let PublicationFile { mirrors, repos, archs, keyring, files, backfill, .. } = publication.clone();
    if mirrors.is_empty() {
        return Ok(None);
    }
    let machine = publish::machine_in(env, settings, state_dir)?;
    Ok(Some(FollowOptions { machine, mirrors, repos, archs, keyring, files, backfill }))
}

/// Lists the mirrors that the index may name: public ones, where a repository has one architecture.
pub(super) fn upstream(publication: &PublicationFile) -> BTreeMap<RepoName, Vec<String>> {
    let [arch] = &publication.archs[..] else { return BTreeMap::new() };
    let public = |mirror: &&MirrorTemplate| is_public_url(&mirror.to_string());
    let of = |repo: &RepoName| {
        publication.mirrors.iter().filter(public).map(|mirror| mirror.server(repo.as_str(), arch)).collect()
    };
    publication.repos.iter().map(|repo| (repo.clone(), of(repo))).collect()
}

/// Returns the addresses at which its users may begin to look.
pub(super) fn find(publication: &PublicationFile) -> FindHints {
    FindHints { peers: publication.peers.clone(), gateways: publication.gateways.clone() }
}

/// Returns what shall pin the publication besides Kubo; one whose secret cannot be read says so when it is asked.
///
/// # Errors
/// `Local` where no client of https can be made.
pub(super) fn holders(env: &Env, settings: &Settings, publication: &PublicationFile) -> Result<Vec<Holder>, Error> {
    let of = |place: &PinPlace| {
        let holder = match holder(env, settings, place) {
            // A secret that is gone, or is open to others: the publication itself does without the place.
            Err(error) if error.kind == ErrorKind::Usage => {
                let api = HolderApi::Unread(error.to_string());
                Holder { name: place.name.clone(), api, reach: HolderReach::Public }
            }
            made => made?,
        };
        let is_followed = publication.followers.as_ref().is_some_and(|rule| rule.cluster.name == place.name);
        Ok(match holder.api {
            // Who follows a cluster is to hold all of it, however the cluster deals its pins out by default; and what
            // strangers claim to hold counts for nothing.
            HolderApi::Cluster(api, _) if is_followed => {
                Holder { api: HolderApi::Cluster(api.alone(), Some(Copies::EACH)), ..holder }
            }
            _ => holder,
        })
    };
    publication.pins.iter().map(of).collect()
}

/// Returns the client of such a place; nothing is asked yet.
///
/// # Errors
/// Usage errors, as of [`Secret::read`](crate::config::secret::Secret::read). `Local` where no client of https can be made.
pub(super) fn api(env: &Env, settings: &Settings, place: &PinPlace) -> Result<RemoteApi, Error> {
    let (PinPlaceAddress::Cluster(url) | PinPlaceAddress::Service(url)) = &place.at;
    // One that is asked over plain http is in a private network: its secret is for no proxy.
    let http = Http::new(settings.connect);
    let http = if url.scheme() == "https" { http.in_environment(env) } else { http };
    let client = http.sending().map_err(|miss| Error::local(format!("pins.{}", place.name), miss))?;
    let secret = match &place.login {
        PinLogin::None => ApiSecret::None,
        PinLogin::Token(token) => ApiSecret::Bearer(token.read(env)?.trim().to_owned()),
        PinLogin::Password(user, password) => {
            ApiSecret::Basic(user.clone(), password.read(env)?.trim_end_matches('\n').to_owned())
        }
    };
    Ok(RemoteApi::new(url.clone(), secret, client))
}

/// Returns the user whose file `path` may be, besides root: that of the publisher's state, whose runs root may repeat by hand.
pub(super) fn owner(env: &Env, path: &Path) -> u32 {
    match path.parent().map(std::fs::metadata) {
        Some(Ok(dir)) if env.is_root() => dir.uid(),
        _ => env.uid,
    }
}

/// Returns what asks such a place.
///
/// # Errors
/// As of [`api`].
pub(super) fn holder(env: &Env, settings: &Settings, place: &PinPlace) -> Result<Holder, Error> {
    let (PinPlaceAddress::Cluster(url) | PinPlaceAddress::Service(url)) = &place.at;
    let api = api(env, settings, place)?;
    let host = url.host_str().unwrap_or_default();
    let is_loopback = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let reach = match (&place.at, is_public_url(url.as_str()), is_loopback) {
        (PinPlaceAddress::Cluster(_), ..) | (_, true, _) => HolderReach::Public,
        (_, false, true) => HolderReach::Loopback,
        (_, false, false) => HolderReach::Private,
    };
    let api = match &place.at {
        PinPlaceAddress::Cluster(_) => {
            let number = |copies: u32| i32::try_from(copies).unwrap_or(i32::MAX);
            let copies = place.copies.map(|(least, most)| Copies { least: number(least), most: number(most) });
            HolderApi::Cluster(ClusterApi::new(api), copies)
        }
        PinPlaceAddress::Service(_) => HolderApi::Service(ServiceApi::new(api)),
    };
    Ok(Holder { name: place.name.clone(), api, reach })
}

/// Reads from the words how long superseded files are remembered.
///
/// # Errors
/// Usage errors, by the option.
pub(super) fn retention(args: &PublishArgs) -> Result<Option<RetentionRule>, Error> {
    let mut words = RetentionWords::default();
    let told = |option: &'static str| move |why| Error::usage(option, why);
    args.retain.as_ref().map(|text| words.age(text)).transpose().map_err(told("--retain"))?;
    args.retain_versions.map(|number| words.versions(number)).transpose().map_err(told("--retain-versions"))?;
    args.retain_size.as_ref().map(|text| words.bytes(text)).transpose().map_err(told("--retain-size"))?;
    words.rule().map_err(|_| Error::usage("--retain-size", "needs --retain or --retain-versions"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_whose_secret_cannot_be_read_keeps_no_other_from_being_asked() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("arch.toml");
        let at = dir.path().display();
        let text = format!(
            "[sources]\ndirectories = \"{at}\"\n[pins.far]\nservice = \"https://service.example\"\ntoken = \
             \"{at}/token\"\n[pins.home]\ncluster = \"http://127.0.0.1:9094\"\n"
        );
        std::fs::write(&file, text).unwrap();
        let env = Env { vars: [("HOME".to_owned(), at.to_string())].into(), ..Env::from_process() };
        let settings = Settings::read(&env, &[]).unwrap();
        let made = holders(&env, &settings, &PublicationFile::read(&file, "arch").unwrap()).unwrap();
        let [far, home] = &made[..] else { panic!("{} places", made.len()) };
        let HolderApi::Unread(why) = &far.api else { panic!("a secret that is not there") };
        assert!(why.contains("/token: the secret cannot be read"), "{why}");
        assert!(far.name == "far" && matches!(home.api, HolderApi::Cluster(..)));
    }
}
