//! The roots that the daemon keeps pinned, and their names.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;

use crate::base::cid::Cid;
use crate::net::kubo::{ANSWER_MOST, Kubo, KuboError, KuboErrorKind, QUICK, WALK, cut};

/// Most bytes of a list of all pins: half a million of them.
const PINS_MOST: usize = 64 << 20;

/// The answer of `pin/ls`, by CID.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WirePins {
    #[serde(default)]
    keys: HashMap<String, WirePin>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WirePin {
    #[serde(default)]
    name: String,
}

impl Kubo {
    /// Pins the whole DAG of `root` under `name`; missing blocks are fetched from the network.
    ///
    /// A pin that exists already gets the new name. What the daemon's strategy announces of it is announced at once.
    pub(crate) async fn pin(&self, root: Cid, name: &str, deadline: Duration) -> Result<(), KuboError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Wire {
            pins: Vec<String>,
        }
        let root = root.to_string();
        // Else the files below are announced with the next turn, up to 22 hours later (`doc/facts/kubo.md`).
        let args = [("arg", &*root), ("name", name), ("fast-provide-dag", "true")];
        let wire: Wire = self.json("pin/add", &args, deadline).await?;
        if wire.pins.contains(&root) { Ok(()) } else { Err(cut("pin/add")) }
    }

    /// True if `root` has a recursive pin of its own; pins of directories above it do not count.
    pub(crate) async fn is_pinned(&self, root: Cid) -> Result<bool, KuboError> {
        let root = root.to_string();
        let args = [("arg", &*root), ("type", "recursive")];
        match self.call("pin/ls", &args, None, QUICK, ANSWER_MOST).await {
            Ok(_) => Ok(true),
            Err(fault) if fault.kind == KuboErrorKind::Absent => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Returns the name of the recursive pin that `root` has of its own, empty if it has no name; `None` without a
    /// pin.
    pub(crate) async fn pin_name(&self, root: Cid) -> Result<Option<String>, KuboError> {
        let root = root.to_string();
        let args = [("arg", &*root), ("type", "recursive"), ("names", "true")];
        match self.json::<WirePins>("pin/ls", &args, QUICK).await {
            Ok(wire) => Ok(Some(wire.keys.into_values().map(|pin| pin.name).next().unwrap_or_default())),
            Err(fault) if fault.kind == KuboErrorKind::Absent => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Lists the roots pinned under exactly `name`.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "named by tests alone"))]
    pub async fn pinned_as(&self, name: &str) -> Result<Vec<Cid>, KuboError> {
        let pins = self.pins_named(name).await?.into_iter().filter(|(_, found)| found == name);
        Ok(pins.map(|(cid, _)| cid).collect())
    }

    /// Lists the roots pinned under names that begin with `start`, with those names.
    pub(crate) async fn pins_named(&self, start: &str) -> Result<Vec<(Cid, String)>, KuboError> {
        // The daemon's filter finds parts of names as well.
        let wire: WirePins =
            self.json("pin/ls", &[("type", "recursive"), ("name", start), ("names", "true")], WALK).await?;
        let pins = wire.keys.into_iter().filter(|(_, pin)| pin.name.starts_with(start));
        Ok(pins.filter_map(|(cid, pin)| Some((cid.parse().ok()?, pin.name))).collect())
    }

    /// Lists all roots that are pinned, with their names; empty for one without.
    pub(crate) async fn pins(&self) -> Result<Vec<(Cid, String)>, KuboError> {
        const CALL: &str = "pin/ls";
        let args = [("type", "recursive"), ("names", "true")];
        let answer = self.call(CALL, &args, None, WALK, PINS_MOST).await?;
        let wire: WirePins = serde_json::from_slice(&answer)
            .map_err(|e| KuboError::new(CALL, KuboErrorKind::Malformed, e.to_string()))?;
        Ok(wire.keys.into_iter().filter_map(|(cid, pin)| Some((cid.parse().ok()?, pin.name))).collect())
    }

    /// Removes these pins, at most a few hundred, which are in the URL; missing ones are no error.
    pub(crate) async fn unpin_all(&self, roots: &[Cid]) -> Result<(), KuboError> {
        let texts: Vec<String> = roots.iter().map(Cid::to_string).collect();
        let args: Vec<(&str, &str)> = texts.iter().map(|text| ("arg", &**text)).collect();
        if args.is_empty() {
            return Ok(());
        }
        match self.call("pin/rm", &args, None, WALK, ANSWER_MOST).await {
            // One that is missing ends the call amid the others.
            Err(fault) if fault.kind == KuboErrorKind::Absent => {
                for root in roots {
                    self.unpin(*root).await?;
                }
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Removes a pin; a missing pin is no error.
    pub(crate) async fn unpin(&self, root: Cid) -> Result<(), KuboError> {
        match self.call("pin/rm", &[("arg", &root.to_string())], None, WALK, ANSWER_MOST).await {
            Err(fault) if fault.kind != KuboErrorKind::Absent => Err(fault),
            _ => Ok(()),
        }
    }
}
