//! From what is known about a file to what is expected of it. No input, no output, no clock.
//!
//! Order of trust: the sync database of the repository; else a signed index that speaks for it; else a named waiver.

use crate::cid::Cid;
use crate::dag::CHUNK;
use crate::digest::Sha256;
use crate::error::{Error, Kind};
use crate::name::{FileName, NameKind};
use crate::verify::Waiver;

/// What a sync database or an index says about one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Root of its DAG, where that does not follow from the sha256.
    pub root: Option<Cid>,
}

/// What an index says, and which one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The index's name.
    pub index: String,
    /// What it says.
    pub known: Known,
}

/// Everything that is known about one wanted file.
#[derive(Clone, Default, Debug)]
pub struct Knowledge {
    /// Whether the URL belongs to a configured repository.
    pub in_repo: bool,
    /// What the repository's sync database says.
    pub database: Option<Known>,
    /// What unexpired, proven indexes say that may speak for the repository.
    pub indexes: Vec<Listed>,
    /// Whether the package manager itself demands package signatures for the repository.
    pub signatures_required: bool,
}

/// What the bytes must be.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// Exactly this.
    Exact {
        /// SHA-256 of the whole file.
        sha256: Sha256,
        /// Its size in bytes.
        size: u64,
    },
    /// Nobody says; accepted for a stated reason after a look.
    Waived(Waiver),
}

impl Expect {
    /// The size, when it is known.
    pub fn size(&self) -> Option<u64> {
        match self {
            Expect::Exact { size, .. } => Some(*size),
            Expect::Waived(_) => None,
        }
    }

    /// Most bytes that may come.
    pub fn most(&self) -> u64 {
        match self {
            Expect::Exact { size, .. } => *size,
            Expect::Waived(why) => why.limit(),
        }
    }
}

/// What is expected of a file, and under which content id it can be asked for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the bytes must be.
    pub expect: Expect,
    /// Its CID, when it has one that can be known.
    pub cid: Option<Cid>,
    /// A disagreement between database and index, for the log: it proves nobody's guilt.
    pub disagreement: Option<String>,
}

/// Decides what is expected of `name`.
///
/// # Errors
/// Refuses a file about which database and index disagree where nothing but them vouches for it (promise 2).
pub fn plan(name: &FileName, knowledge: &Knowledge) -> Result<Plan, Error> {
    let chosen = knowledge.database.or_else(|| knowledge.indexes.first().map(|listed| listed.known));
    let Some(known) = chosen else {
        return Ok(Plan { expect: Expect::Waived(waiver(name, knowledge.in_repo)), cid: None, disagreement: None });
    };
    let differs = |listed: &&Listed| (listed.known.sha256, listed.known.size) != (known.sha256, known.size);
    let disagreement = knowledge.indexes.iter().find(differs).map(|listed| {
        let (who, what) = match knowledge.database {
            Some(_) => ("the sync database", known.sha256.short()),
            None => ("another index", known.sha256.short()),
        };
        format!("{name}: {who} says sha256 {what}, index {} says {}", listed.index, listed.known.sha256.short())
    });
    if let Some(text) = &disagreement
        && !knowledge.signatures_required
    {
        let (_, message) = text.split_once(": ").unwrap_or(("", text));
        return Err(Error::new(Kind::Corrupt, name, message).hint(
            "run `pacman -Sy` and `pkgswarm index refresh`; where they still differ, one of repository and index is wrong, \
             and `pkgswarm index show` tells who publishes the index",
        ));
    }
    let root = known.root.or_else(|| {
        let same = knowledge.indexes.iter().find(|listed| !differs(listed));
        same.and_then(|listed| listed.known.root)
    });
    let cid = if known.size <= CHUNK as u64 { Some(Cid::raw(known.sha256)) } else { root };
    Ok(Plan { expect: Expect::Exact { sha256: known.sha256, size: known.size }, cid, disagreement })
}

fn waiver(name: &FileName, in_repo: bool) -> Waiver {
    match name.kind() {
        NameKind::PackageSignature | NameKind::DatabaseSignature => Waiver::Signature,
        NameKind::Database if in_repo => Waiver::MirrorDatabase,
        _ if in_repo => Waiver::NotListed,
        _ => Waiver::NotARepoUrl,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(bytes: &[u8], size: u64) -> Known {
        Known { size, sha256: Sha256::of(bytes), root: None }
    }

    fn listed(known: Known) -> Vec<Listed> {
        vec![Listed { index: "arch".to_owned(), known }]
    }

    fn package() -> FileName {
        FileName::new("a-1-1-any.pkg.tar.zst").unwrap()
    }

    #[test]
    fn the_database_outranks_the_index() {
        let knowledge = Knowledge {
            in_repo: true,
            database: Some(known(b"db", 9)),
            indexes: listed(known(b"index", 9)),
            signatures_required: true,
        };
        let plan = plan(&package(), &knowledge).unwrap();
        assert!(matches!(plan.expect, Expect::Exact { sha256, .. } if sha256 == Sha256::of(b"db")));
        assert!(plan.disagreement.unwrap().contains("index arch says"));
    }

    #[test]
    fn a_disagreement_without_signatures_is_refused() {
        let knowledge = Knowledge {
            in_repo: true,
            database: Some(known(b"db", 9)),
            indexes: listed(known(b"index", 9)),
            signatures_required: false,
        };
        let error = plan(&package(), &knowledge).unwrap_err();
        assert_eq!(error.kind, Kind::Corrupt);
        assert!(error.message.starts_with("the sync database says sha256"), "{}", error.message);
    }

    #[test]
    fn the_root_of_an_index_that_agrees_is_used() {
        let root = Cid::dag_pb(Sha256::of(b"root"));
        let big = Known { root: Some(root), ..known(b"x", 5 << 20) };
        let database = Some(Known { root: None, ..big });
        let knowledge = Knowledge { in_repo: true, database, indexes: listed(big), signatures_required: false };
        assert_eq!(plan(&package(), &knowledge).unwrap().cid, Some(root));
        let alone = Knowledge { indexes: Vec::new(), ..knowledge };
        assert_eq!(plan(&package(), &alone).unwrap().cid, None);
    }

    #[test]
    fn up_to_one_mebibyte_the_cid_follows_from_the_sha256() {
        let knowledge = Knowledge { in_repo: true, database: Some(known(b"x", 1 << 20)), ..Knowledge::default() };
        assert_eq!(plan(&package(), &knowledge).unwrap().cid, Some(Cid::raw(Sha256::of(b"x"))));
        let knowledge = Knowledge { database: Some(known(b"x", (1 << 20) + 1)), ..knowledge };
        assert_eq!(plan(&package(), &knowledge).unwrap().cid, None);
    }

    #[test]
    fn what_nobody_lists_has_a_named_waiver() {
        let waived = |name: &str, in_repo| {
            let knowledge = Knowledge { in_repo, ..Knowledge::default() };
            match plan(&FileName::new(name).unwrap(), &knowledge).unwrap().expect {
                Expect::Waived(why) => why,
                Expect::Exact { .. } => panic!("nothing is known"),
            }
        };
        assert_eq!(waived("core.db", true), Waiver::MirrorDatabase);
        assert_eq!(waived("core.db.sig", true), Waiver::Signature);
        assert_eq!(waived("a-1-1-any.pkg.tar.zst.sig", false), Waiver::Signature);
        assert_eq!(waived("a-1-1-any.pkg.tar.zst", true), Waiver::NotListed);
        assert_eq!(waived("a-1-1-any.pkg.tar.zst", false), Waiver::NotARepoUrl);
    }
}
