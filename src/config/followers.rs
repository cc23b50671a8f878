//! Whether strangers may follow the cluster that pins a publication, and what they are told for it.

use crate::config::peer_address::PeerAddress;
use crate::config::pin_place::{PinPlace, PinPlaceAddress};
use crate::config::secret::Secret;

/// The name of a cluster that was given none.
const CLUSTER_NAME: &str = "ipfs-cluster";

/// What followers of a cluster are told. Nothing in it was asked or opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FollowersRule {
    /// The cluster's secret, which becomes public.
    pub(crate) secret: Secret,
    /// The cluster.
    pub(crate) cluster: PinPlace,
    /// Its name, by which its peers hear of each other's pins.
    pub(crate) cluster_name: String,
    /// Peers that followers connect to and accept pins of; none: the peer that answers for the cluster.
    pub(crate) writers: Vec<PeerAddress>,
}

/// Such a rule as it is read, key by key.
#[derive(Default)]
pub(crate) struct FollowerWords {
    pub(crate) secret: Option<Secret>,
    pub(crate) pins: Option<String>,
    pub(crate) cluster_name: Option<String>,
    pub(crate) writers: Vec<PeerAddress>,
}

impl FollowerWords {
    /// Puts the keys together; `places` are the pins of the same file. `None` where there is no key.
    ///
    /// # Errors
    /// The reason why they make no rule.
    pub(crate) fn rule(self, places: &[PinPlace]) -> Result<Option<FollowersRule>, String> {
        let Self { secret, pins, cluster_name, writers } = self;
        let Some(secret) = secret else {
            return match pins.is_some() || cluster_name.is_some() || !writers.is_empty() {
                true => Err("followers.secret is missing: without the cluster's secret no peer can follow".to_owned()),
                false => Ok(None),
            };
        };
        let mut clusters = places.iter().filter(|place| matches!(place.at, PinPlaceAddress::Cluster(_)));
        let found = match &pins {
            Some(name) => clusters.find(|place| place.name == *name),
            None => clusters.next().filter(|_| clusters.next().is_none()),
        };
        match (found, pins) {
            (Some(place), _) if place.copies.is_some() => Err(format!(
                "pins.{}.copies gives each publication to a few peers, and followers are to hold all of it: take it out",
                place.name
            )),
            (Some(place), _) => {
                let cluster_name = cluster_name.unwrap_or_else(|| CLUSTER_NAME.to_owned());
                Ok(Some(FollowersRule { secret, cluster: place.clone(), cluster_name, writers }))
            }
            (None, Some(name)) => Err(format!("followers.pins: there is no [pins.{name}] with a cluster")),
            (None, None) => {
                Err("followers.pins: expected the NAME of the [pins.NAME] that is followed, which has a cluster"
                    .to_owned())
            }
        }
    }
}
