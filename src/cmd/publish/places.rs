//! Places that were taken out of a publication's file: what they still pin of it goes, as long as their address is
//! remembered.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::base::digest::Sha256;
use crate::base::env::Env;
use crate::base::fsx;
use crate::base::runtime::block_on;
use crate::cmd::publish::described;
use crate::config::Settings;
use crate::config::pin_place::{PinPlace, PinPlaceAddress};
use crate::config::publication::{PublicationFile, places_of};
use crate::index::ipns::Name;
use crate::publish::{self, PublishOptions, PublishReport};
use crate::report;

/// Where the places are remembered, in the publisher's state. It says where secrets are, and has none.
const REMEMBERED: &str = "places.toml";
/// Most bytes of it.
const MOST: u64 = 1 << 20;
/// Seconds for which a place that does not answer is asked again.
const PATIENCE: u64 = 7 * 86_400;

/// The places of the last run.
#[derive(Default)]
struct Remembered {
    /// The publication's IPNS name, under which they have pinned it.
    name: Option<Name>,
    places: Vec<PinPlace>,
    /// Unix seconds since which a place is in the file no more, by its name.
    gone: BTreeMap<String, u64>,
}

/// Has the places that left the file let go of the publication, and remembers the others. What could not be done is a
/// warning.
pub(super) fn settle(
    env: &Env,
    settings: &Settings,
    publication: &PublicationFile,
    options: &PublishOptions,
    report: &PublishReport,
) {
    let before = Remembered::read(env, &options.state_dir);
    // A run without Kubo does not know the name.
    let name = report.name.or(before.name);
    let mut next = Remembered { name, places: publication.pins.clone(), gone: BTreeMap::new() };
    let former = before.name.as_ref().or(next.name.as_ref()).cloned();
    for place in before.left(&publication.pins) {
        let since = before.gone.get(&place.name).copied().unwrap_or(options.now);
        let why = match release(env, settings, &place, options, former.as_ref()) {
            Ok(true) => continue,
            Ok(false) => "some are left".to_owned(),
            Err(why) => why,
        };
        let is_over = options.now.saturating_sub(since) > PATIENCE;
        let then = if is_over { "end them there by hand" } else { "the next run tries again" };
        report::say(&format!("warning: pins.{} has left the file and keeps its pins: {why}; {then}", place.name));
        if !is_over {
            next.gone.insert(place.name.clone(), since);
            next.places.push(place);
        }
    }
    if let Err(e) = next.write(&options.state_dir) {
        report::say(&format!("warning: {}: {e}", options.state_dir.join(REMEMBERED).display()));
    }
}

/// Asks one place to let go of what it has pinned under this name; false where something is left.
fn release(
    env: &Env,
    settings: &Settings,
    place: &PinPlace,
    options: &PublishOptions,
    name: Option<&Name>,
) -> Result<bool, String> {
    if name.is_none() {
        return Err("Kubo has not told the publication's name, which is in that of its pins".to_owned());
    }
    let holder = described::holder(env, settings, place).map_err(|e| e.to_string())?;
    let whose = (&*options.publisher, name, &*options.state_dir);
    match block_on(publish::release(&holder, whose)) {
        Some(done) => done.map_err(|e| e.to_string()),
        None => Err("interrupted".to_owned()),
    }
}

/// Remembers the places to which a run is about to give pins, beside those of former runs: it may be killed
/// before it is done.
pub(super) fn expect(env: &Env, publication: &PublicationFile, options: &PublishOptions) {
    let mut next = Remembered::read(env, &options.state_dir);
    next.places = next.left(&publication.pins).into_iter().chain(publication.pins.iter().cloned()).collect();
    // The end of the run says it again, and tells if this cannot be written.
    let _told_later = next.write(&options.state_dir);
}

impl Remembered {
    /// Returns the places whose address is not in `now`; one whose name has got another address gets another name.
    fn left(&self, now: &[PinPlace]) -> Vec<PinPlace> {
        let gone = self.places.iter().filter(|place| !now.iter().any(|other| other.at == place.at));
        let renamed = |place: &PinPlace| {
            let mut place = place.clone();
            if now.iter().any(|other| other.name == place.name) {
                let (PinPlaceAddress::Cluster(url) | PinPlaceAddress::Service(url)) = &place.at;
                let address = &Sha256::of(url.as_str().as_bytes()).to_string()[..8];
                let name = &place.name[..place.name.len().min(50)];
                place.name = format!("{name}.{address}");
            }
            place
        };
        gone.map(renamed).collect()
    }

    /// Reads what the last run wrote, be it one of root or of the publisher's own user; what cannot be read is forgotten.
    fn read(env: &Env, state_dir: &Path) -> Self {
        let path = state_dir.join(REMEMBERED);
        let bytes = fsx::read_small(&path, described::owner(env, &path), MOST).unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap_or_default();
        let Ok(table) = DeTable::parse(&text) else { return Self::default() };
        let section = |name: &str| match table.get_ref().get(name).map(Spanned::get_ref) {
            Some(DeValue::Table(section)) => Some(section.clone()),
            _ => None,
        };
        let time = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => None,
        };
        let gone = section("gone").into_iter().flatten();
        let name = match table.get_ref().get("name").map(Spanned::get_ref) {
            Some(DeValue::String(text)) => text.parse().ok(),
            _ => None,
        };
        Self {
            name,
            places: section("pins").and_then(|places| places_of(&places).ok()).unwrap_or_default(),
            gone: gone.filter_map(|(name, value)| Some((name.get_ref().to_string(), time(&value)?))).collect(),
        }
    }

    fn write(&self, state_dir: &Path) -> std::io::Result<()> {
        let path = state_dir.join(REMEMBERED);
        if self.places.is_empty() && !path.exists() {
            return Ok(());
        }
        let gone: String = self.gone.iter().map(|(name, since)| format!("\"{name}\" = {since}\n")).collect();
        let places: String = self.places.iter().map(PinPlace::text).collect();
        let name = self.name.as_ref().map(|name| format!("name = \"{name}\"\n")).unwrap_or_default();
        fsx::replace(&path, format!("{name}[gone]\n{gone}{places}").as_bytes(), 0o644)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::pin_place::PinLogin;
    use crate::config::secret::Secret;

    #[test]
    fn a_place_whose_address_changed_is_one_that_left_and_is_remembered_beside_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let place = |url: &str| {
            let at = PinPlaceAddress::Cluster(url.parse().unwrap());
            PinPlace { name: "home".to_owned(), at, login: PinLogin::None, copies: None }
        };
        let (old, new, newest) = (place("http://10.0.0.1/"), place("http://10.0.0.2/"), place("http://10.0.0.3/"));
        let mut known = Remembered { name: None, places: vec![old.clone()], gone: BTreeMap::new() };
        for now in [&new, &newest] {
            let now = [now.clone()];
            known.places = known.left(&now).into_iter().chain(now).collect();
            known.write(dir.path()).unwrap();
            known = Remembered::read(&Env::from_process(), dir.path());
        }
        let left = known.left(std::slice::from_ref(&newest));
        let addresses: Vec<_> = left.iter().map(|place| &place.at).collect();
        assert!(addresses.len() == 2 && addresses.contains(&&old.at) && addresses.contains(&&new.at), "{left:?}");
        assert_ne!(left[0].name, left[1].name);
        assert_eq!(known.left(&[old, new, newest]), [], "one that came back is none that left");
    }

    #[test]
    fn places_are_remembered_as_they_were_with_the_time_at_which_they_left() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str, at, login, copies| PinPlace { name: name.to_owned(), at, login, copies };
        let url = |text: &str| text.parse().unwrap();
        let password = PinLogin::Password("a \"user\"".to_owned(), Secret::File("/etc/pw".into()));
        let token = PinLogin::Token(Secret::Credential("far.token".to_owned()));
        let places = vec![
            place("home.1", PinPlaceAddress::Cluster(url("http://10.0.0.1:9094/")), password, Some((2, 3))),
            place("far", PinPlaceAddress::Service(url("https://api.example.org/psa")), token, None),
        ];
        let gone = BTreeMap::from([("far".to_owned(), 1_790_000_000)]);
        let name: Name = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8".parse().unwrap();
        let written = Remembered { name: Some(name), places: places.clone(), gone: gone.clone() };
        written.write(dir.path()).unwrap();
        let read = Remembered::read(&Env::from_process(), dir.path());
        assert_eq!((read.name, read.places, read.gone), (Some(name), places, gone));
        std::fs::write(dir.path().join(REMEMBERED), "[pins.far]\nservice = 7\n").unwrap();
        assert!(Remembered::read(&Env::from_process(), dir.path()).places.is_empty(), "a damaged one is forgotten");
    }
}
