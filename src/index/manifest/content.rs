//! What a publisher says that it has of the bytes of its packages.

use serde::{Deserialize, Deserializer, Serialize};

/// The packages of a table whose bytes its publisher has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TableContent {
    /// All.
    All,
    /// Those that were built lately.
    Recent,
    /// None, or no promise.
    None,
}

impl TableContent {
    /// Returns true when a package that is newer than those of a mirror can be had of the publisher.
    pub(crate) fn has_new(self) -> bool {
        self != Self::None
    }
}

/// What a later version may write here promises nothing to this one, whatever its kind
/// (`content_that_is_not_known_promises_nothing`).
impl<'de> Deserialize<'de> for TableContent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(from)?;
        Ok(match value.as_str() {
            Some("all") => Self::All,
            Some("recent") => Self::Recent,
            _ => Self::None,
        })
    }
}
