//! The marks by which pins are known as ours. All others belong to the user, or to another publisher.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use crate::base::cid::Cid;

/// Which pins of a target are ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinMark {
    names: MarkedNames,
    roots: Vec<Cid>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum MarkedNames {
    /// This name alone.
    Exactly(String),
    /// Every name with this beginning.
    Beginning(String),
    /// The target holds nothing but ours.
    All,
}

impl PinMark {
    /// Marks the pins with exactly this name, all in turn the same thing: a new one replaces the former.
    pub fn exactly(name: impl Into<String>) -> Self {
        Self { names: MarkedNames::Exactly(name.into()), roots: Vec::new() }
    }

    /// Marks the pins whose names begin so; the label follows.
    pub fn beginning(start: impl Into<String>) -> Self {
        Self { names: MarkedNames::Beginning(start.into()), roots: Vec::new() }
    }

    /// Marks all pins, for a target that lists only ours.
    pub(crate) fn all() -> Self {
        Self { names: MarkedNames::All, roots: Vec::new() }
    }

    /// Marks these roots as well, as long as they have no name: what an interrupted run may have left
    /// ([`PinContent::is_claimed`](super::PinContent::is_claimed)).
    pub(crate) fn with_roots(mut self, roots: &[Cid]) -> Self {
        self.roots.extend(roots);
        self
    }

    /// Returns the name of a pin with this label.
    pub(crate) fn name(&self, label: &str) -> String {
        match &self.names {
            MarkedNames::Exactly(name) => name.clone(),
            MarkedNames::Beginning(start) => format!("{start}{label}"),
            MarkedNames::All => label.to_owned(),
        }
    }

    /// Returns the beginning of all names of ours.
    pub(crate) fn start(&self) -> &str {
        match &self.names {
            MarkedNames::Exactly(name) | MarkedNames::Beginning(name) => name,
            MarkedNames::All => "",
        }
    }

    /// Returns true where there is only one name.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self.names, MarkedNames::Exactly(_))
    }

    /// Returns the roots that are ours as long as they have no name.
    pub(crate) fn roots(&self) -> &[Cid] {
        &self.roots
    }

    /// True if a pin of this root and name is ours.
    pub(crate) fn owns(&self, cid: Cid, name: &str) -> bool {
        let by_name = match &self.names {
            MarkedNames::Exactly(ours) => name == ours,
            MarkedNames::Beginning(start) => name.starts_with(start),
            MarkedNames::All => true,
        };
        by_name || (name.is_empty() && self.roots.contains(&cid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Sha256;

    #[test]
    fn a_publisher_does_not_own_the_pins_of_one_whose_name_begins_alike() {
        let (ours, other) = (Cid::raw(Sha256::of(b"1")), Cid::raw(Sha256::of(b"2")));
        let mark = PinMark::exactly("pkgswarm:arch").with_roots(&[ours]);
        let owned = [(other, "pkgswarm:arch"), (other, "pkgswarm:arch2"), (other, ""), (ours, ""), (ours, "mine")];
        assert_eq!(owned.map(|(cid, name)| mark.owns(cid, name)), [true, false, false, true, false]);
        let mark = PinMark::beginning("pkgswarm-prefetch ");
        let owned = ["pkgswarm-prefetch a", "pkgswarm-prefetch ", "pkgswarm:a", ""];
        assert_eq!(owned.map(|name| mark.owns(ours, name)), [true, true, false, false]);
        assert_eq!(mark.name("a"), "pkgswarm-prefetch a");
    }
}
