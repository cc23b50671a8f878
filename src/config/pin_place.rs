//! A place that pins what a publication publishes, besides the daemon that has it: a cluster, or a pinning service.

use reqwest::Url;
use toml::Spanned;
use toml::de::DeValue;

use crate::base::public::is_public_host;
use crate::config::key::nearest;
use crate::config::secret::Secret;
use crate::config::url::BaseUrl;

/// The keys of such a place and their meaning, for the manual. `NAME` is the user's.
pub(crate) const PIN_PLACE_KEYS: &[(&str, &str)] = &[
    (
        "pins.NAME.cluster",
        "URL of the REST API of an ipfs-cluster, http://127.0.0.1:9094 for example: it pins each publication, and lets go of the \
         former one once its peers hold the new one. A public host needs https. Clusters take blocks from Kubo, so \
         targets.kubo must not be false.",
    ),
    (
        "pins.NAME.service",
        "URL of a pinning service that speaks the Pinning Service API 1.0.0, instead of cluster, in the same way.",
    ),
    (
        "pins.NAME.token",
        "The token that it knows its user by: a credential or a file, as for keys.minisign. ipfs-cluster gives one at /token.",
    ),
    ("pins.NAME.user", "The user's name at a cluster that asks for one, instead of a token."),
    ("pins.NAME.password", "The password that belongs to it: a credential or a file in the same way."),
    (
        "pins.NAME.copies",
        "How many peers of a cluster shall hold it, like 3; or \"2-3\" for at least two, and three where there is room. Default: \
         as the cluster is configured, which is all of them unless it says otherwise.",
    ),
];

/// Such a place. Nothing in it was asked or opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PinPlace {
    /// The user's name for it.
    pub(crate) name: String,
    /// Its address and kind.
    pub(crate) at: PinPlaceAddress,
    /// How it knows its user.
    pub(crate) login: PinLogin,
    /// Least and most copies in a cluster.
    pub(crate) copies: Option<(u32, u32)>,
}

impl PinPlace {
    /// Writes it as the file of a publication has it, so that [`places_of`](crate::config::publication::places_of) reads the
    /// same.
    pub(crate) fn text(&self) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let (kind, url) = match &self.at {
            PinPlaceAddress::Cluster(url) => ("cluster", url),
            PinPlaceAddress::Service(url) => ("service", url),
        };
        let login = match &self.login {
            PinLogin::None => String::new(),
            PinLogin::Token(token) => format!("token = {}\n", quoted(&token.place())),
            PinLogin::Password(user, password) => {
                format!("user = {}\npassword = {}\n", quoted(user), quoted(&password.place()))
            }
        };
        let copies = self.copies.map(|(least, most)| format!("copies = \"{least}-{most}\"\n")).unwrap_or_default();
        format!("[pins.{}]\n{kind} = {}\n{login}{copies}", quoted(&self.name), quoted(url.as_str()))
    }
}

/// The address of such a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PinPlaceAddress {
    Cluster(Url),
    Service(Url),
}

/// How it knows its user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PinLogin {
    None,
    Token(Secret),
    Password(String, Secret),
}

/// Such a place as it is read, key by key.
#[derive(Default)]
pub(crate) struct PinPlaceWords {
    name: String,
    cluster: Option<Url>,
    service: Option<Url>,
    token: Option<Secret>,
    user: Option<String>,
    password: Option<Secret>,
    copies: Option<(u32, u32)>,
}

impl PinPlaceWords {
    pub(crate) fn of(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Takes one key, the part after the name.
    ///
    /// # Errors
    /// The reason why it cannot be used.
    pub(crate) fn set(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<(), String> {
        match key {
            "cluster" => self.cluster = Some(address(&text(value)?)?),
            "service" => self.service = Some(address(&text(value)?)?),
            "token" => self.token = Some(Secret::parse(&text(value)?)?),
            "user" => self.user = Some(text(value)?),
            "password" => self.password = Some(Secret::parse(&text(value)?)?),
            "copies" => self.copies = Some(copies(value)?),
            _ => {
                let known = PIN_PLACE_KEYS.iter().filter_map(|(known, _)| known.rsplit_once('.'));
                return Err(match nearest(key, known.map(|(_, key)| key)) {
                    Some(near) => format!("unknown key; did you mean {near:?}?"),
                    None => "unknown key; pkgswarm-publish(1) lists all of them".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Puts the keys together.
    ///
    /// # Errors
    /// The reason why they make no place.
    pub(crate) fn place(self) -> Result<PinPlace, String> {
        let Self { name, cluster, service, token, user, password, copies } = self;
        let told = |why: &str| format!("pins.{name}: {why}");
        let at = match (cluster, service) {
            (Some(url), None) => PinPlaceAddress::Cluster(url),
            (None, Some(url)) => PinPlaceAddress::Service(url),
            _ => return Err(told("expected the URL of a cluster or of a service, and not both")),
        };
        let login = match (token, user, password) {
            (None, None, None) => PinLogin::None,
            (Some(token), None, None) => PinLogin::Token(token),
            (None, Some(user), Some(password)) => PinLogin::Password(user, password),
            _ => return Err(told("expected a token, or user and password")),
        };
        if matches!(at, PinPlaceAddress::Service(_)) && !matches!(login, PinLogin::Token(_)) {
            return Err(told("a pinning service knows its users by a token, which is missing"));
        }
        if matches!(at, PinPlaceAddress::Service(_)) && copies.is_some() {
            return Err(told("a pinning service decides by itself how many copies it keeps"));
        }
        Ok(PinPlace { name, at, login, copies })
    }
}

fn text(value: &Spanned<DeValue<'_>>) -> Result<String, String> {
    match value.get_ref() {
        DeValue::String(text) if !text.is_empty() => Ok(text.to_string()),
        _ => Err("expected a text".to_owned()),
    }
}

/// Reads an address; over plain http, a secret would be seen on its way to a public host.
fn address(text: &str) -> Result<Url, String> {
    let url = BaseUrl::parse(text).map(|base| base.url().clone());
    let url = url
        .ok_or_else(|| "expected an http or https URL without credentials, which have keys of their own".to_owned())?;
    let is_public = is_public_host(&url.host_str().unwrap_or_default().to_ascii_lowercase());
    match url.scheme() == "http" && is_public {
        true => Err("expected an https URL, because the host is a public one".to_owned()),
        false => Ok(url),
    }
}

fn copies(value: &Spanned<DeValue<'_>>) -> Result<(u32, u32), String> {
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|count| (1..=1000).contains(count));
    let read = match value.get_ref() {
        DeValue::Integer(count) => number(count.as_str()).map(|count| (count, count)),
        DeValue::String(text) => match text.split_once('-') {
            Some((least, most)) => number(least).zip(number(most)),
            None => number(text).map(|count| (count, count)),
        },
        _ => None,
    };
    read.filter(|(least, most)| least <= most).ok_or_else(|| "expected a number like 3, or \"2-3\"".to_owned())
}
