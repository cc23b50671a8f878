//! The layers of the configuration: defaults, files, environment, flags. The later one wins; its origin is kept.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::base::env::{Env, OWN_VARIABLES};
use crate::base::error::Error;
use crate::base::fsx::FileKey;
use crate::base::name::RepoName;
use crate::config::haiku::HaikuConfig;
use crate::config::keep::KeepConfig;
use crate::config::key::{PREFIX, SettingKey, nearest};
use crate::config::keys::{INDEX_FIELDS, KEYS, find};
use crate::config::peer_address::PeerAddress;
use crate::config::publisher::{Name, PublicKey};
use crate::config::typed::SettingValues;
use crate::config::url::{BaseUrl, without_secret};
use crate::config::value;
use crate::config::written::Written;

/// The origin of a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The table in this program.
    Default,
    /// A configuration file and the line in it.
    File(PathBuf, usize),
    /// An environment variable.
    Variable(String),
    /// `--set`.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Variable(name) => write!(f, "${name}"),
            Origin::Flag => f.write_str("--set"),
        }
    }
}

/// An index in use, as `[index.NAME]` declares it.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct IndexConfig {
    /// The user's name for it.
    pub name: String,
    /// IPNS name (`k51…`), when the index is found through IPNS.
    pub key: Option<Written<Name>>,
    /// minisign public key; required on every manifest when given.
    pub minisign: Option<Written<PublicKey>>,
    /// Plain HTTP copy of the index.
    pub url: Option<BaseUrl>,
    /// Further ones.
    pub more_urls: Vec<BaseUrl>,
    /// Peers that have it.
    pub peers: Vec<PeerAddress>,
    /// Repositories that it may speak for.
    pub repos: Vec<Written<RepoName>>,
}

impl IndexConfig {
    /// Returns true when the index may speak for `repo`.
    pub(crate) fn may_describe(&self, repo: &str) -> bool {
        self.repos.iter().any(|granted| granted.text() == repo)
    }

    /// Lists the URLs of its plain copies.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &BaseUrl> {
        self.url.iter().chain(&self.more_urls)
    }

    /// Lists its repositories for people.
    pub(crate) fn repos_shown(&self) -> String {
        self.repos.iter().map(Written::text).collect::<Vec<_>>().join(", ")
    }
}

/// The value in force of a setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Chosen {
    /// The text, as `pkgswarm config` prints it. The defaults are not copied: every call of pacman reads them.
    pub(crate) text: Cow<'static, str>,
    /// The layer that it comes from.
    pub(crate) origin: Origin,
}

/// All layers merged: each key's value, and the indexes.
#[derive(Debug)]
pub struct Layers {
    /// The values of every key of [`KEYS`].
    pub(crate) values: BTreeMap<&'static str, Chosen>,
    /// What they mean.
    pub(crate) typed: SettingValues,
    /// The indexes, in the order of their names.
    pub(crate) indexes: BTreeMap<String, (IndexConfig, Origin)>,
    /// Haiku's repositories, in the order of their names.
    pub(crate) haiku: BTreeMap<String, (HaikuConfig, Origin)>,
    /// Shares that are kept, in the order of their names.
    pub(crate) keeps: BTreeMap<String, (KeepConfig, Origin)>,
}

/// Returns the directory of the system's configuration.
pub(crate) fn system_dir(env: &Env) -> PathBuf {
    env.var("PKGSWARM_CONFIG_DIR").map_or_else(|| PathBuf::from("/etc/pkgswarm"), PathBuf::from)
}

/// Returns the user's own configuration file; none for root and for users without a home of their own.
pub(crate) fn user_file(env: &Env) -> Option<PathBuf> {
    if env.is_root() || env.var("PKGSWARM_CONFIG_DIR").is_some() {
        return None;
    }
    env.home()?;
    directories::ProjectDirs::from("", "", "pkgswarm").map(|dirs| dirs.config_dir().join("config.toml"))
}

/// Returns the files that are read with the state of each, so that a change of one is seen. A file that is edited in place
/// leaves its directory as it was.
pub(crate) fn states(env: &Env) -> Vec<(Option<FileKey>, PathBuf)> {
    files(env).into_iter().map(|path| (FileKey::at(&path).ok(), path)).collect()
}

/// Lists the files that are read, in their order; not all of them need exist.
pub(crate) fn files(env: &Env) -> Vec<PathBuf> {
    let dirs = std::iter::once(system_dir(env)).chain(user_dir(env));
    dirs.flat_map(|dir| std::iter::once(dir.join("config.toml")).chain(parts(&dir)).collect::<Vec<_>>()).collect()
}

/// Returns the directory of the user's own configuration, see [`user_file`].
pub(crate) fn user_dir(env: &Env) -> Option<PathBuf> {
    user_file(env)?.parent().map(Path::to_owned)
}

/// True if this user's commands change the system's configuration: root's, and those of the owner of the directory that
/// PKGSWARM_CONFIG_DIR names.
pub(crate) fn may_change_system(env: &Env) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let is_own = || system_dir(env).metadata().is_ok_and(|found| found.uid() == env.uid);
    env.is_root() || env.var("PKGSWARM_CONFIG_DIR").is_some() && is_own()
}

impl Layers {
    /// Reads and merges every layer. `flags` are `key=value` texts.
    ///
    /// # Errors
    /// Usage errors that name file, line and, for unknown keys, the nearest known one.
    pub(crate) fn read(env: &Env, flags: &[String]) -> Result<Self, Error> {
        let (layers, mistakes) = Self::read_leniently(env, flags);
        mistakes.into_iter().next().map_or(Ok(layers), Err)
    }

    /// Reads and merges what is understood of every layer, and returns the mistakes: the errors of [`Layers::read`]. A
    /// setting with a wrong value keeps that of an earlier layer.
    pub(crate) fn read_leniently(env: &Env, flags: &[String]) -> (Self, Vec<Error>) {
        let (mut layers, mut mistakes) = (Self::defaults(), Vec::new());
        for path in files(env) {
            layers.add_file(&path, &mut mistakes);
        }
        let variables: Vec<&String> = env.vars.keys().filter(|name| name.starts_with(PREFIX)).collect();
        for key in KEYS {
            let set_by = variables.iter().find(|name| key.is_set_by(name));
            if let Some((variable, text)) = set_by.and_then(|name| Some((*name, env.var(name)?))) {
                let set = layers.set(key, text.to_owned(), Origin::Variable(variable.clone()));
                mistakes.extend(set.err().map(|why| Error::usage(format!("${variable}"), why)));
            }
        }
        mistakes.extend(flags.iter().filter_map(|flag| layers.add_flag(flag).err()));
        (layers, mistakes)
    }

    /// Returns the built-in defaults alone.
    pub fn defaults() -> Self {
        let (mut values, mut typed) = (BTreeMap::new(), SettingValues::default());
        for key in KEYS {
            key.shape.read(key.default, &mut typed).expect("a test reads every default");
            values.insert(key.name, Chosen { text: Cow::Borrowed(key.default), origin: Origin::Default });
        }
        Self { values, typed, indexes: BTreeMap::new(), haiku: BTreeMap::new(), keeps: BTreeMap::new() }
    }

    /// Adds one `key=value` of the command line.
    ///
    /// # Errors
    /// As [`Layers::read`].
    pub fn add_flag(&mut self, flag: &str) -> Result<(), Error> {
        let wrong = |why: String| Error::usage(format!("--set {flag}"), why);
        let (name, text) = flag.split_once('=').ok_or_else(|| wrong("expected KEY=VALUE".to_owned()))?;
        let key = find(name).ok_or_else(|| wrong(unknown(name)))?;
        self.set(key, text.to_owned(), Origin::Flag).map_err(wrong)
    }

    fn set(&mut self, key: &'static SettingKey, text: String, origin: Origin) -> Result<(), String> {
        key.shape.read(&text, &mut self.typed)?;
        self.values.insert(key.name, Chosen { text: Cow::Owned(text), origin });
        Ok(())
    }

    fn add_file(&mut self, path: &Path, mistakes: &mut Vec<Error>) {
        match std::fs::read_to_string(path) {
            Ok(text) => self.add_understood(path, &text, mistakes),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => mistakes.push(Error::usage(path.display(), format!("cannot be read: {e}"))),
        }
    }

    /// Adds the content `text` of the file at `path`.
    ///
    /// # Errors
    /// As [`Layers::read`].
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "named by tests alone"))]
    pub fn add_text(&mut self, path: &Path, text: &str) -> Result<(), Error> {
        let mut mistakes = Vec::new();
        self.add_understood(path, text, &mut mistakes);
        mistakes.into_iter().next().map_or(Ok(()), Err)
    }

    /// Adds what is understood of `text`, and the rest to `mistakes`.
    fn add_understood(&mut self, path: &Path, text: &str, mistakes: &mut Vec<Error>) {
        let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
        let location = |at: usize| format!("{}:{}", path.display(), line_of(at));
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(e) => {
                mistakes.push(Error::usage(location(e.span().map_or(0, |span| span.start)), e.message()));
                return;
            }
        };
        let mut found = Vec::new();
        for (section, body) in table.get_ref() {
            let at = section.span().start;
            let DeValue::Table(body) = body.get_ref() else {
                found.push((at, unknown(section.get_ref())));
                continue;
            };
            for (name, value) in body {
                let at = name.span().start;
                let origin = Origin::File(path.to_owned(), line_of(at));
                let full = format!("{}.{}", section.get_ref(), name.get_ref());
                let added = if let Some(key) = find(&full) {
                    let set = scalar(value).and_then(|text| self.set(key, text, origin));
                    set.map_err(|why| format!("{full}: {why}"))
                } else if let ("index", DeValue::Table(index)) = (section.get_ref().as_ref(), value.get_ref()) {
                    let index = index_config(name.get_ref(), index);
                    index.map(|index| drop(self.indexes.insert(index.name.clone(), (index, origin))))
                } else if let ("haiku", DeValue::Table(repo)) = (section.get_ref().as_ref(), value.get_ref()) {
                    let repo = fields_of(repo).and_then(|fields| HaikuConfig::of_fields(name.get_ref(), &fields));
                    repo.map(|repo| drop(self.haiku.insert(repo.name.clone(), (repo, origin))))
                } else if let ("keep", DeValue::Table(keep)) = (section.get_ref().as_ref(), value.get_ref()) {
                    let keep = fields_of(keep).and_then(|fields| KeepConfig::of_fields(name.get_ref(), &fields));
                    keep.map(|keep| drop(self.keeps.insert(keep.name.clone(), (keep, origin))))
                } else {
                    Err(unknown(&full))
                };
                found.extend(added.err().map(|why| (at, why)));
            }
        }
        found.sort(); // The table is in the order of its names.
        mistakes.extend(found.into_iter().map(|(at, why)| Error::usage(location(at), why)));
    }
}

/// Lists the variables that begin as ours do and mean nothing, each with the nearest one that does.
pub(crate) fn unknown_variables(env: &Env) -> Vec<String> {
    let is_known = |name: &str| OWN_VARIABLES.contains(&name) || KEYS.iter().any(|key| key.is_set_by(name));
    let is_unknown = |name: &&String| name.starts_with(PREFIX) && !is_known(name) && env.var(name).is_some();
    let say = |name: &String| {
        let settings: Vec<String> = KEYS.iter().map(SettingKey::variable).collect();
        let all = settings.iter().map(String::as_str).chain(OWN_VARIABLES);
        match nearest(&name[PREFIX.len()..], all.map(|known| &known[PREFIX.len()..])) {
            Some(near) => format!("${name}: there is no such setting; did you mean {PREFIX}{near}?"),
            None => format!("${name}: there is no such setting; `pkgswarm config --json` lists the variables of all"),
        }
    };
    env.vars.keys().filter(is_unknown).map(say).collect()
}

/// Returns the files of `dir`/config.d in the order of their names.
fn parts(dir: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<PathBuf> = match std::fs::read_dir(dir.join("config.d")) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(_) => Vec::new(),
    };
    parts.retain(|path| path.extension().is_some_and(|ext| ext == "toml"));
    parts.sort();
    parts
}

/// Checks the name of an index, which becomes a file name and a TOML key.
pub(crate) fn check_index_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > 64 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    {
        return Err(format!("index name {name:?}: 1 to 64 letters, digits, - and _ are allowed"));
    }
    // [index.refresh] and refresh = "6 h" below [index] cannot both be.
    if find(&format!("index.{name}")).is_some() {
        return Err(format!("index name {name:?}: a setting is called so"));
    }
    Ok(())
}

fn unknown(name: &str) -> String {
    let known = KEYS.iter().map(|key| key.name);
    match nearest(name, known) {
        Some(near) => format!("unknown setting {name:?}; did you mean {near:?}?"),
        None => format!("unknown setting {name:?}; `pkgswarm config` lists all of them"),
    }
}

/// Returns the fields of a table as texts.
fn fields_of(table: &DeTable<'_>) -> Result<Vec<(String, String)>, String> {
    table.iter().map(|(field, value)| Ok((field.get_ref().to_string(), scalar(value)?))).collect()
}

/// Converts one value to text; the items of a list are joined with commas.
fn scalar(value: &Spanned<DeValue<'_>>) -> Result<String, String> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Ok(yes.to_string()),
        DeValue::Array(items) => {
            let items: Result<Vec<String>, String> = items.iter().map(scalar).collect();
            Ok(items?.join(","))
        }
        _ => Err("expected a text, a whole number, true or false, or a list".to_owned()),
    }
}

fn index_config(name: &str, table: &DeTable<'_>) -> Result<IndexConfig, String> {
    check_index_name(name)?;
    let mut index = IndexConfig { name: name.to_owned(), ..IndexConfig::default() };
    for (field, value) in table {
        let text = scalar(value)?;
        match field.get_ref().as_ref() {
            "key" => index.key = Some(Written::read(text)),
            "minisign" => index.minisign = Some(Written::read(text)),
            "url" => {
                let read = |text: &str| {
                    let wrong = || format!("url: expected an http URL, found {:?}", without_secret(text));
                    BaseUrl::parse(text).ok_or_else(wrong)
                };
                let mut urls = value::list(&text).map(read).collect::<Result<Vec<_>, _>>()?.into_iter();
                index.url = urls.next();
                index.more_urls = urls.collect();
            }
            "peers" => {
                let read = |text: &str| text.parse::<PeerAddress>().map_err(|why| format!("peers: {why}"));
                index.peers = value::list(&text).map(read).collect::<Result<_, _>>()?;
            }
            "repos" => index.repos = value::list(&text).map(value::repo).collect(),
            other => {
                let near = nearest(other, INDEX_FIELDS.iter().map(|(field, _)| *field))
                    .unwrap_or("key, minisign, url, peers or repos");
                return Err(format!("unknown setting \"index.{name}.{other}\"; did you mean {near:?}?"));
            }
        }
    }
    if index.key.is_none() && index.minisign.is_none() {
        return Err(format!("index {name}: a key or a minisign key is required"));
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> Layers {
        let mut env = Env::from_process();
        env.vars = BTreeMap::from([("PKGSWARM_CONFIG_DIR".to_owned(), "/nonexistent".to_owned())]);
        Layers::read(&env, &[]).unwrap()
    }

    #[test]
    fn defaults_are_valid_and_complete() {
        let layers = layers();
        assert_eq!(layers.values.len(), KEYS.len());
        for key in KEYS {
            assert_eq!(key.shape.read(key.default, &mut SettingValues::default()), Ok(()), "{}", key.name);
        }
    }

    #[test]
    fn later_layers_win_and_are_remembered() {
        let mut layers = layers();
        let file = Path::new("/etc/pkgswarm/config.toml");
        layers
            .add_text(file, "[store]\n# ours\nmax = \"1 GiB\"\n[gateways]\nurls = [\"https://a\", \"https://b\"]\n")
            .unwrap();
        let max = &layers.values["store.max"];
        assert_eq!((&*max.text, &max.origin), ("1 GiB", &Origin::File(file.to_owned(), 3)));
        assert_eq!(layers.typed.store_max, 1 << 30);
        assert_eq!(layers.values["gateways.urls"].text, "https://a,https://b");
        assert_eq!(layers.values["store.dir"].origin, Origin::Default);
    }

    #[test]
    fn an_unknown_key_names_file_line_and_the_nearest_known_key() {
        let error = layers().add_text(Path::new("/c.toml"), "[kubo]\n\ngatway = \"x\"").unwrap_err();
        assert_eq!(error.to_string(), "/c.toml:3: unknown setting \"kubo.gatway\"; did you mean \"kubo.gateway\"?");
        let error = layers().add_text(Path::new("/c.toml"), "[store]\nmax = \"lots\"").unwrap_err();
        assert_eq!(error.to_string(), "/c.toml:2: store.max: expected a size like \"2 GiB\", found \"lots\"");
        assert!(layers().add_text(Path::new("/c.toml"), "\n[store").unwrap_err().subject.starts_with("/c.toml:2"));
    }

    #[test]
    fn what_is_understood_of_a_broken_file_is_kept_and_each_mistake_has_its_line() {
        let (mut layers, mut mistakes) = (layers(), Vec::new());
        let text =
            "[store]\nmx = 1\nmax = \"1 GiB\"\n[kubo]\nenabled = \"perhaps\"\nkeep = \"1 GiB\"\n[gateway]\nurls = []\n";
        layers.add_understood(Path::new("/c"), text, &mut mistakes);
        let lines: Vec<&str> = mistakes.iter().map(|e| e.subject.as_str()).collect();
        assert_eq!(lines, ["/c:2", "/c:5", "/c:8"]);
        assert_eq!((&*layers.values["store.max"].text, &*layers.values["kubo.keep"].text), ("1 GiB", "1 GiB"));
        assert_eq!(layers.values["kubo.enabled"].text, "auto");
    }

    #[test]
    fn a_variable_that_means_nothing_is_named_with_the_nearest_one() {
        let mut env = Env::from_process();
        let set = ["PKGSWARM_STORE_MX", "PKGSWARM_STORE_MAX", "PKGSWARM_VERBOSE", "PKGSWARM_HANDOVER", "HOME"];
        env.vars = set.map(|name| (name.to_owned(), "1".to_owned())).into();
        env.vars.insert("PKGSWARM_STORE_MIN".to_owned(), String::new());
        let said = unknown_variables(&env);
        assert_eq!(said, ["$PKGSWARM_STORE_MX: there is no such setting; did you mean PKGSWARM_STORE_MAX?"]);
    }

    #[test]
    fn an_index_needs_a_key_to_be_proven_by() {
        let mut layers = layers();
        layers.add_text(Path::new("/c"), "[index.arch]\nkey = \"k51\"\nrepos = [\"core\", \"extra\"]").unwrap();
        assert_eq!(layers.indexes["arch"].0.repos, ["core", "extra"]);
        let error = layers.add_text(Path::new("/c"), "[index.x]\nurl = \"https://x\"").unwrap_err();
        assert_eq!(error.message, "index x: a key or a minisign key is required");
    }

    #[test]
    fn an_index_cannot_be_called_like_a_setting() {
        assert_eq!(check_index_name("arch"), Ok(()));
        assert_eq!(check_index_name("refresh").unwrap_err(), "index name \"refresh\": a setting is called so");
    }
}
