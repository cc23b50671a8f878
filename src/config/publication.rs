//! A publication as a file describes it: `/etc/pkgswarm/publish.d/NAME.toml`, run by `pkgswarm publish NAME`.
//!
//! The file of a publication is no layer of the settings: it belongs to one publisher, and what it says holds for
//! `publish` alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::base::env::Env;
use crate::base::error::Error;
use crate::base::name::RepoName;
use crate::config::content::{ContentRule, ContentWords, bytes};
use crate::config::followers::{FollowerWords, FollowersRule};
use crate::config::haiku::HAIKU_KEY;
use crate::config::key::nearest;
use crate::config::layers;
use crate::config::peer_address::PeerAddress;
use crate::config::pin_place::{PinPlace, PinPlaceWords};
use crate::config::publication_keys::PUBLICATION_KEYS;
use crate::config::publisher::PublicKey;
use crate::config::retention::{RetentionRule, RetentionWords};
use crate::config::secret::{Secret, Webhook};
use crate::config::template::MirrorTemplate;
use crate::config::value;

mod mistaken;
mod values;

use values::{absolute, arch, each, gateway, number, peer, repo, text, writer, yes_or_no};

/// A publication. Nothing in it was opened but the file itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PublicationFile {
    /// The file that describes it.
    pub(crate) file: PathBuf,
    /// The name of the file.
    pub(crate) name: String,
    /// See [`PUBLICATION_KEYS`], as for all below.
    pub(crate) publisher: String,
    pub(crate) lifetime: Duration,
    pub(crate) content: ContentRule,
    pub(crate) backfill: Option<u64>,
    pub(crate) retention: Option<RetentionRule>,
    pub(crate) kubo_key: String,
    pub(crate) minisign: Option<Secret>,
    pub(crate) password: Option<Secret>,
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) list_key: Option<PublicKey>,
    pub(crate) mirrors: Vec<MirrorTemplate>,
    pub(crate) repos: Vec<RepoName>,
    pub(crate) archs: Vec<String>,
    pub(crate) keyring: Option<PathBuf>,
    pub(crate) files: bool,
    pub(crate) uses_kubo: bool,
    pub(crate) out: Option<PathBuf>,
    pub(crate) peers: Vec<PeerAddress>,
    pub(crate) gateways: Vec<String>,
    pub(crate) pins: Vec<PinPlace>,
    pub(crate) followers: Option<FollowersRule>,
    pub(crate) alarm: Option<String>,
    pub(crate) webhook: Option<Webhook>,
}

/// The keys that make one rule together.
#[derive(Default)]
struct RuleWords {
    content: ContentWords,
    retention: RetentionWords,
    followers: FollowerWords,
}

/// Returns true for the name of a publication: 1 to 64 letters, digits, dots, `-` and `_`, no dot first.
pub(crate) fn is_publication_name(name: &str) -> bool {
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && is_plain
}

/// Lists the directories of such files, the user's own first; they need not exist.
pub(crate) fn publication_dirs(env: &Env) -> Vec<PathBuf> {
    let own = layers::user_dir(env);
    own.into_iter().chain([layers::system_dir(env)]).map(|dir| dir.join("publish.d")).collect()
}

/// Returns the file that describes the publication `name`: the user's own, if there is one, else the system's, which
/// need not exist.
pub(crate) fn publication_file(env: &Env, name: &str) -> PathBuf {
    let files: Vec<PathBuf> = publication_dirs(env).iter().map(|dir| dir.join(format!("{name}.toml"))).collect();
    let found = files.iter().find(|file| file.exists()).or(files.last());
    found.expect("there is always the system's").clone()
}

impl PublicationFile {
    /// Reads the publication `name` from `file`.
    ///
    /// # Errors
    /// Usage errors that name file and line, and for unknown keys the nearest known one.
    pub(crate) fn read(file: &Path, name: &str) -> Result<Self, Error> {
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|e| Error::usage(file.display(), format!("cannot be read: {e}")))?;
        Self::parse(file, name, &text)
    }

    fn parse(file: &Path, name: &str, text: &str) -> Result<Self, Error> {
        let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
        let wrong = |at: usize, why: String| Error::usage(format!("{}:{}", file.display(), line_of(at)), why);
        let table =
            DeTable::parse(text).map_err(|e| wrong(e.span().map_or(0, |span| span.start), e.message().to_owned()))?;
        let mut publication = Self::blank(file, name);
        // In the order of the file, so that the first mistake is the one that is said.
        let mut found = keys_in(&table);
        found.sort_by_key(|(at, ..)| *at);
        let mut rules = RuleWords::default();
        for (at, key, value) in &found {
            publication.set(key, value, &mut rules).map_err(|why| wrong(*at, why))?;
        }
        if let Some(DeValue::Table(places)) = table.get_ref().get("pins").map(Spanned::get_ref) {
            publication.pins = places_of(places).map_err(|(at, why)| wrong(at, why))?;
        }
        let told = |why: String| Error::usage(file.display(), why);
        publication.content = rules.content.rule().map_err(told)?;
        publication.retention = rules.retention.rule().map_err(told)?;
        publication.followers = rules.followers.rule(&publication.pins).map_err(told)?;
        if publication.kubo_key.is_empty() {
            publication.kubo_key.clone_from(&publication.publisher);
        }
        publication.check().map_err(|why| Error::usage(file.display(), why))?;
        Ok(publication)
    }

    /// Makes a publication with the defaults and nothing else.
    fn blank(file: &Path, name: &str) -> Self {
        Self {
            file: file.to_owned(),
            name: name.to_owned(),
            publisher: name.to_owned(),
            lifetime: Duration::from_secs(48 * 3600),
            content: ContentRule::All,
            backfill: None,
            retention: None,
            kubo_key: String::new(),
            minisign: None,
            password: None,
            directories: Vec::new(),
            list_key: list_key(None).expect("it is a key"),
            mirrors: Vec::new(),
            repos: Vec::new(),
            archs: vec![std::env::consts::ARCH.to_owned()],
            keyring: None,
            files: false,
            uses_kubo: true,
            out: None,
            peers: Vec::new(),
            gateways: Vec::new(),
            pins: Vec::new(),
            followers: None,
            alarm: None,
            webhook: None,
        }
    }

    fn set(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        RuleWords { content, retention, followers }: &mut RuleWords,
    ) -> Result<(), String> {
        let told = |why: String| format!("{key}: {why}");
        match key {
            "publisher" => self.publisher = text(value).map_err(told)?,
            "lifetime" => self.lifetime = lifetime(&text(value).map_err(told)?).map_err(told)?,
            "content" => content.content(&text(value).map_err(told)?).map_err(told)?,
            "recent.age" => content.age(&text(value).map_err(told)?).map_err(told)?,
            "recent.size" => content.bytes(&text(value).map_err(told)?).map_err(told)?,
            "backfill" => self.backfill = Some(bytes(&text(value).map_err(told)?).map_err(told)?),
            "retention.age" => retention.age(&text(value).map_err(told)?).map_err(told)?,
            "retention.versions" => number(value).and_then(|number| retention.versions(number)).map_err(told)?,
            "retention.size" => retention.bytes(&text(value).map_err(told)?).map_err(told)?,
            "keys.kubo" => self.kubo_key = text(value).map_err(told)?,
            "keys.minisign" => self.minisign = Some(Secret::parse(&text(value).map_err(told)?).map_err(told)?),
            "keys.password" => self.password = Some(Secret::parse(&text(value).map_err(told)?).map_err(told)?),
            "sources.directories" => self.directories = each(value, absolute).map_err(told)?,
            "sources.haiku_key" => self.list_key = list_key(Some(&text(value).map_err(told)?)).map_err(told)?,
            "sources.mirrors" => self.mirrors = each(value, MirrorTemplate::parse).map_err(told)?,
            "sources.repos" => self.repos = each(value, repo).map_err(told)?,
            "sources.architectures" => self.archs = each(value, arch).map_err(told)?,
            "sources.keyring" => self.keyring = Some(absolute(&text(value).map_err(told)?).map_err(told)?),
            "sources.files" => self.files = yes_or_no(value).map_err(told)?,
            "targets.kubo" => self.uses_kubo = yes_or_no(value).map_err(told)?,
            "targets.out" => self.out = Some(absolute(&text(value).map_err(told)?).map_err(told)?),
            "find.peers" => self.peers = each(value, peer).map_err(told)?,
            "find.gateways" => self.gateways = each(value, gateway).map_err(told)?,
            "followers.secret" => {
                followers.secret = Some(Secret::parse(&text(value).map_err(told)?).map_err(told)?);
            }
            "followers.pins" => followers.pins = Some(text(value).map_err(told)?),
            "followers.cluster_name" => followers.cluster_name = Some(text(value).map_err(told)?),
            "followers.writers" => followers.writers = each(value, writer).map_err(told)?,
            "alarm.command" => self.alarm = Some(text(value).map_err(told)?),
            "alarm.webhook" => self.webhook = Some(Webhook::parse(&text(value).map_err(told)?).map_err(told)?),
            _ => return Err(unknown(key)),
        }
        Ok(())
    }

    /// Checks what no key alone can tell.
    fn check(&self) -> Result<(), String> {
        if !is_publication_name(&self.publisher) {
            return Err("publisher: expected 1 to 64 letters, digits, dots, - and _".to_owned());
        }
        if self.directories.is_empty() && self.mirrors.is_empty() {
            return Err("there is nothing to publish: sources.directories and sources.mirrors are missing".to_owned());
        }
        if self.mirrors.is_empty() != self.repos.is_empty() {
            return Err("sources.mirrors and sources.repos need each other".to_owned());
        }
        if self.backfill.is_some() && self.mirrors.is_empty() {
            return Err("backfill is for sources.mirrors: files of this disk need no budget".to_owned());
        }
        let is_one = (self.repos.len() < 2, self.archs.len() < 2);
        for mirror in &self.mirrors {
            let (has_repo, has_arch) = mirror.tells_apart();
            if !(has_repo || is_one.0) || !(has_arch || is_one.1) {
                return Err(format!(
                    "sources.mirrors: {mirror} has the same URL for several repositories; write $repo and $arch"
                ));
            }
        }
        if !self.uses_kubo && self.out.is_none() {
            return Err("there is no target: targets.kubo is false and targets.out is missing".to_owned());
        }
        if let (false, Some(place)) = (self.uses_kubo, self.pins.first()) {
            return Err(format!("pins.{}: it takes its blocks from Kubo, and targets.kubo is false", place.name));
        }
        Ok(())
    }
}

/// Lists the keys of a file with their place, each with the table that it stands in.
fn keys_in<'t, 'v>(table: &'t Spanned<DeTable<'v>>) -> Vec<(usize, String, &'t Spanned<DeValue<'v>>)> {
    let mut found = Vec::new();
    for (section, value) in table.get_ref() {
        match value.get_ref() {
            // They are read by themselves.
            DeValue::Table(_) if section.get_ref() == "pins" => {}
            DeValue::Table(keys) => found.extend(
                keys.iter()
                    .map(|(key, value)| (key.span().start, format!("{}.{}", section.get_ref(), key.get_ref()), value)),
            ),
            _ => found.push((section.span().start, section.get_ref().to_string(), value)),
        }
    }
    found
}

/// Reads `[pins.NAME]`, in the order of the file; an error has its place there.
pub(crate) fn places_of(places: &DeTable<'_>) -> Result<Vec<PinPlace>, (usize, String)> {
    let mut read = Vec::new();
    for (name, keys) in places {
        let (at, name) = (name.span().start, name.get_ref());
        let DeValue::Table(keys) = keys.get_ref() else {
            return Err((at, format!("pins.{name}: expected a table [pins.NAME]")));
        };
        if !is_publication_name(name) {
            return Err((at, format!("pins.{name}: expected 1 to 64 letters, digits, dots, - and _")));
        }
        let mut words = PinPlaceWords::of(name);
        for (key, value) in keys {
            let set = words.set(key.get_ref(), value);
            set.map_err(|why| (key.span().start, format!("pins.{name}.{}: {why}", key.get_ref())))?;
        }
        read.push((at, words.place().map_err(|why| (at, why))?));
    }
    read.sort_by_key(|(at, _)| *at);
    Ok(read.into_iter().map(|(_, place)| place).collect())
}

fn unknown(key: &str) -> String {
    match nearest(key, PUBLICATION_KEYS.iter().map(|(known, _)| *known)) {
        Some(near) => format!("unknown key {key:?}; did you mean {near:?}?"),
        None => format!("unknown key {key:?}; pkgswarm-publish(1) lists all of them"),
    }
}

/// Reads the key of lists and images of Haiku's: its own without a text, none for "none".
///
/// # Errors
/// The sentence that says what is wrong with it.
pub(crate) fn list_key(text: Option<&str>) -> Result<Option<PublicKey>, String> {
    match text.unwrap_or(HAIKU_KEY) {
        "none" => Ok(None),
        key => key.parse().map(Some).map_err(|why| format!("expected a minisign public key or \"none\": {why}")),
    }
}

/// Reads the validity of an index.
///
/// # Errors
/// For what is no span, and for less than 10 minutes.
pub(crate) fn lifetime(text: &str) -> Result<Duration, String> {
    let span = value::span(text).filter(|span| *span >= Duration::from_secs(600));
    span.ok_or_else(|| "expected a time span like \"48 h\", at least 10 min".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PublicationFile, String> {
        PublicationFile::parse(Path::new("/p/arch.toml"), "arch", text).map_err(|e| e.to_string())
    }

    #[test]
    fn a_short_file_has_the_defaults_and_a_long_one_says_all() {
        let short = parse("[sources]\ndirectories = \"/srv/core\"\n").unwrap();
        assert_eq!((&*short.publisher, &*short.kubo_key, short.uses_kubo), ("arch", "arch", true));
        assert_eq!(
            (short.lifetime, short.directories),
            (Duration::from_secs(172_800), vec![PathBuf::from("/srv/core")])
        );
        let long = parse(
            "publisher = \"p\"\nlifetime = \"24 h\"\n[keys]\nkubo = \"k\"\nminisign = \"arch.key\"\n\
             password = \"/etc/pw\"\n[sources]\ndirectories = [\"/a\", \"/b\"]\nhaiku_key = \"none\"\n\
             [targets]\nkubo = false\nout = \"/o\"\n\
             [alarm]\ncommand = \"mail root\"\nwebhook = \"hook\"\n",
        )
        .unwrap();
        assert_eq!((short.list_key.map(|key| key.to_string()).as_deref(), long.list_key), (Some(HAIKU_KEY), None));
        assert_eq!(long.minisign, Some(Secret::Credential("arch.key".to_owned())));
        assert_eq!(long.password, Some(Secret::File("/etc/pw".into())));
        assert_eq!((&*long.kubo_key, long.directories.len(), long.uses_kubo), ("k", 2, false));
        assert_eq!(long.webhook, Some(Webhook::Secret(Secret::Credential("hook".to_owned()))));
    }

    #[test]
    fn every_key_of_the_manual_is_read_and_no_other() {
        for (key, _) in PUBLICATION_KEYS {
            let wrong = match key.split_once('.') {
                Some((section, key)) => format!("[{section}]\n{key} = {{}}\n"),
                None => format!("{key} = 1979-05-27\n"),
            };
            let error = parse(&wrong).unwrap_err();
            assert!(error.contains(&format!("{key}: expected ")), "{key}: {error}");
        }
    }

    #[test]
    fn an_unknown_key_names_file_line_and_the_nearest_known_key() {
        let error = parse("publisher = \"a\"\n[sources]\ndirectorys = []\n").unwrap_err();
        assert_eq!(error, "/p/arch.toml:3: unknown key \"sources.directorys\"; did you mean \"sources.directories\"?");
        let error = parse("[zzzzzzzz]\nqqqqqqqqqqqq = 1\n").unwrap_err();
        assert!(error.contains("pkgswarm-publish(1) lists all"), "{error}");
        assert!(parse("\n\nbroken").unwrap_err().starts_with("/p/arch.toml:3: "));
    }

    #[test]
    fn what_no_publication_can_be_is_refused() {
        for (text, why) in [
            ("", "there is nothing to publish: sources.directories and sources.mirrors are missing"),
            ("[sources]\nmirrors = [\"https://m/$repo\"]\n", "sources.mirrors and sources.repos need each other"),
            (
                "[sources]\nmirrors = [\"https://m/x\"]\nrepos = [\"a\", \"b\"]\n",
                "the same URL for several repositories",
            ),
            ("[sources]\ndirectories = [\"a\"]\n", "expected an absolute path, found \"a\""),
            ("lifetime = \"5 s\"\n", "at least 10 min"),
            ("[sources]\nhaiku_key = \"x\"\n", "sources.haiku_key: expected a minisign public key or \"none\""),
            (
                "[find]\npeers = \"/ip4/10.0.0.1/tcp/4001/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5\"\n",
                "a public address",
            ),
            ("[retention]\nversions = 0\n", "retention.versions: expected a number of versions, at least 1"),
            ("[retention]\nsize = \"5 GB\"\n", "retention.size needs retention.age or retention.versions"),
            ("[find]\ngateways = \"http://a.example.org\"\n", "a public https URL"),
            ("[alarm]\nwebhook = \"ftp://host\"\n", "alarm.webhook: expected an http or https URL"),
            ("backfill = \"5 GB\"\n[sources]\ndirectories = [\"/a\"]\n", "backfill is for sources.mirrors"),
            (
                "[sources]\ndirectories = [\"/a\"]\n[pins.c]\ncluster = \"http://c.example.org:9094\"\n",
                "/p/arch.toml:4: pins.c.cluster: expected an https URL, because the host is a public one",
            ),
            (
                "[sources]\ndirectories = [\"/a\"]\n[pins.c]\nservice = \"https://s.example.org/psa\"\n",
                "/p/arch.toml:3: pins.c: a pinning service knows its users by a token",
            ),
            ("[pins.c]\ncluster = \"http://10.0.0.1:9094\"\nuser = \"u\"\n", "expected a token, or user and password"),
            ("[pins.c]\nclustre = \"x\"\n", "pins.c.clustre: unknown key; did you mean \"cluster\"?"),
            ("[pins.c]\ncluster = \"http://10.0.0.1\"\ncopies = 0\n", "expected a number like 3, or \"2-3\""),
            (
                "[sources]\ndirectories = [\"/a\"]\n[targets]\nkubo = false\nout = \"/o\"\n[pins.c]\ncluster = \"http://h:9094\"\n",
                "it takes its blocks from Kubo, and targets.kubo is false",
            ),
            (
                "[sources]\ndirectories = [\"/a\"]\n[followers]\nsecret = \"s\"\n",
                "followers.pins: expected the NAME of the [pins.NAME]",
            ),
            (
                "[sources]\ndirectories = [\"/a\"]\n[followers]\npins = \"c\"\n",
                "followers.secret is missing: without the cluster's secret no peer can follow",
            ),
            (
                "[sources]\ndirectories = [\"/a\"]\n[followers]\nsecret = \"s\"\npins = \"d\"\n\
                 [pins.c]\ncluster = \"http://10.0.0.1:9094\"\n",
                "followers.pins: there is no [pins.d] with a cluster",
            ),
            (
                "[sources]\ndirectories = [\"/a\"]\n[followers]\nsecret = \"s\"\n[pins.c]\n\
                 cluster = \"http://10.0.0.1:9094\"\ncopies = 2\n",
                "pins.c.copies gives each publication to a few peers",
            ),
            ("publisher = \"a b\"\n[sources]\ndirectories = [\"/a\"]\n", "1 to 64 letters"),
            ("[sources]\ndirectories = [\"/a\"]\n[targets]\nkubo = false\n", "there is no target"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
