//! From the entries for a file to its expected content. No input, no output, no clock.
//!
//! Order of trust: the sync database of the repository; else a signed index that may speak for it; else a named
//! waiver.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind};
use crate::base::name::FileName;
use crate::base::size;
use crate::lists::system::NameKind;
use crate::trust::verify::Waiver;

/// The content of one file as a sync database or an index lists it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Root of its DAG, where that does not follow from the sha256.
    pub root: Option<Cid>,
}

/// The entry of an index, with the index's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct IndexEntry {
    /// The index's name.
    pub(crate) index: String,
    /// The listed content.
    pub(crate) known: Known,
}

/// Everything that is known about one wanted file.
#[derive(Clone, Default, Debug)]
pub struct Knowledge {
    /// True when the URL belongs to a configured repository.
    pub(crate) in_repo: bool,
    /// True when another program than pacman wants it: makepkg, or a user by hand.
    pub(crate) for_others: bool,
    /// The entry in the repository's sync database.
    pub(crate) database: Option<Known>,
    /// Entries of unexpired, proven indexes that may speak for the repository.
    pub(crate) indexes: Vec<IndexEntry>,
    /// True when the package manager itself demands package signatures for the repository.
    pub(crate) signatures_required: bool,
    /// A list that could not be read, and so may have more entries.
    pub(crate) unread: Option<UnreadList>,
    /// True when that is the sync database.
    pub(crate) is_database_unread: bool,
}

/// A file of pacman's that exists and could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnreadList {
    /// Its configuration: every file may belong to a repository.
    Configuration,
    /// A sync database or an index of the repository.
    List,
    /// A sync database with a compression that libalpm alone reads.
    Packed,
    /// A sync database with more in it than is read here.
    TooLarge,
}

/// The expected content of a file.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// Exactly these bytes.
    Exact {
        /// SHA-256 of the whole file.
        sha256: Sha256,
        /// Its size in bytes.
        size: u64,
    },
    /// Unknown; accepted for a stated reason after a check.
    Waived(Waiver),
}

impl Expect {
    /// Returns the size, when it is known.
    pub fn size(&self) -> Option<u64> {
        match self {
            Expect::Exact { size, .. } => Some(*size),
            Expect::Waived(_) => None,
        }
    }

    /// Returns the most bytes that may come.
    pub(crate) fn most(&self) -> u64 {
        match self {
            Expect::Exact { size, .. } => *size,
            Expect::Waived(why) => why.limit(),
        }
    }
}

/// The expected content of a file, and the content id under which it can be asked for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The expected bytes.
    pub expect: Expect,
    /// Its CID, when it has one that can be known.
    pub cid: Option<Cid>,
    /// The indexes that name this CID; empty where it follows from the sha256.
    pub named_by: Vec<String>,
    /// The lists that disagree, about what, and the consequence, for the log: it does not show which one is wrong.
    pub disagreement: Option<String>,
}

impl Known {
    /// Returns its CID: up to one chunk it follows from the sha256.
    pub(crate) fn cid(&self) -> Option<Cid> {
        size::own_block(self.size, self.sha256).or(self.root)
    }

    /// Plans exactly this content, whatever its name.
    pub fn plan(&self) -> Plan {
        let expect = Expect::Exact { sha256: self.sha256, size: self.size };
        Plan { cid: self.cid(), ..Plan::without_cid(expect) }
    }
}

impl Plan {
    /// Makes the plan of a file that cannot be asked for by its content, and about which no lists disagree.
    pub fn without_cid(expect: Expect) -> Self {
        Self { expect, cid: None, named_by: Vec::new(), disagreement: None }
    }
}

/// Decides what is expected of the file `name`, which is of this `kind` in its system.
///
/// Without a contradiction, all lists that have it agree. With one, and if pacman checks signatures itself, the
/// database decides as it would with curl, else the first index; the plan records the entry of each. Indexes that
/// agree about a file and not about its root cost only the CID: the file is proven all the same.
///
/// # Errors
/// Refuses a file about which database and index, or two indexes, disagree when they are its only proof
/// (`doc/design.md`, promise 2).
pub fn plan(name: &FileName, kind: NameKind, knowledge: &Knowledge) -> Result<Plan, Error> {
    let camps = camps(knowledge, |known| Some((known.sha256, known.size)));
    let Some((_, followed)) = camps.first() else {
        return Ok(Plan::without_cid(Expect::Waived(waiver(kind, knowledge))));
    };
    let known = followed[0].1;
    let mut disagreement = None;
    if camps.len() > 1 {
        let sizes_differ = camps.iter().any(|((_, size), _)| *size != known.size);
        let text = said(&camps, |(sha256, size)| {
            let size = if sizes_differ { format!(" and {size} bytes") } else { String::new() };
            format!("sha256 {}{size}", sha256.short())
        });
        if !knowledge.signatures_required {
            return Err(Error::new(ErrorKind::Corrupt, name, text).hint(
                "run `pacman -Sy` and `pkgswarm index refresh`; where they still differ, one of them is wrong, and \
                 `pkgswarm index show` tells who publishes an index",
            ));
        }
        let verdict = match knowledge.database {
            Some(_) => "the database decides, as it would with curl",
            None => "the first of them is followed, and pacman checks the signature",
        };
        disagreement = Some(format!("{name}: {text}; {verdict}"));
    }
    if size::is_own_block(known.size) {
        return Ok(Plan { disagreement, ..known.plan() });
    }
    let same = |known: &Known| (known.sha256, known.size) == (followed[0].1.sha256, followed[0].1.size);
    let roots = self::camps(knowledge, |known| known.root.filter(|_| same(known)));
    if roots.len() > 1 {
        let text = said(&roots, |root| format!("CID {root}"));
        let also = disagreement.map(|text| format!("{text}; ")).unwrap_or_else(|| format!("{name}: "));
        disagreement = Some(format!("{also}{text}; it is not asked for by CID"));
    }
    let expect = Expect::Exact { sha256: known.sha256, size: known.size };
    let (cid, named_by) = match roots.as_slice() {
        [(root, voices)] => (Some(*root), voices.iter().map(|(index, _)| (*index).to_owned()).collect()),
        _ => (None, Vec::new()),
    };
    Ok(Plan { expect, cid, named_by, disagreement })
}

/// The lists that agree: `(what, [(list, all of its entry)])`.
type Camp<'k, T> = (T, Vec<(&'k str, Known)>);

/// Groups all lists that have the file by the value that `of` finds in it; the database's group first, then in the
/// order of indexes.
fn camps<T: PartialEq>(knowledge: &Knowledge, of: impl Fn(&Known) -> Option<T>) -> Vec<Camp<'_, T>> {
    let database = knowledge.database.map(|known| (None, known));
    let indexes = knowledge.indexes.iter().map(|listed| (Some(&*listed.index), listed.known));
    let mut camps: Vec<Camp<'_, T>> = Vec::new();
    for (index, known) in database.into_iter().chain(indexes) {
        let Some(what) = of(&known) else { continue };
        let voice = (index.unwrap_or_default(), known);
        match camps.iter_mut().find(|(other, _)| *other == what) {
            Some((_, voices)) => voices.push(voice),
            None => camps.push((what, vec![voice])),
        }
    }
    camps
}

/// Describes the camps: `the sync database says A, index x and index y say B`.
fn said<T>(camps: &[Camp<'_, T>], what: impl Fn(&T) -> String) -> String {
    let sides = camps.iter().map(|(said, voices)| {
        let listed_by = voices.iter().map(|(index, _)| match *index {
            "" => "the sync database".to_owned(),
            index => format!("index {index}"),
        });
        let verb = if voices.len() == 1 { "says" } else { "say" };
        format!("{} {verb} {}", listed_by.collect::<Vec<_>>().join(" and "), what(said))
    });
    sides.collect::<Vec<_>>().join(", ")
}

fn waiver(kind: NameKind, knowledge: &Knowledge) -> Waiver {
    let others = knowledge.for_others;
    match (kind, knowledge.unread) {
        // pacman asks a repository for packages, databases and their signatures alone.
        (kind, None) if others && (!knowledge.in_repo || kind == NameKind::Other) => Waiver::NotPacmans,
        (NameKind::PackageSignature | NameKind::DatabaseSignature, _) => Waiver::Signature,
        (NameKind::Database, _) if knowledge.in_repo => Waiver::MirrorDatabase,
        (_, Some(UnreadList::Configuration)) => Waiver::NoConfiguration,
        (_, Some(UnreadList::List)) => Waiver::ListUnread,
        (_, Some(UnreadList::Packed)) => Waiver::ListPacked,
        (_, Some(UnreadList::TooLarge)) => Waiver::ListTooLarge,
        _ if knowledge.in_repo => Waiver::NotListed,
        _ => Waiver::NotARepoUrl,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::pacman::names;

    fn known(bytes: &[u8], size: u64) -> Known {
        Known { size, sha256: Sha256::of(bytes), root: None }
    }

    fn listed(known: Known) -> Vec<IndexEntry> {
        vec![IndexEntry { index: "arch".to_owned(), known }]
    }

    fn plan_of(name: &str, knowledge: &Knowledge) -> Result<Plan, Error> {
        let name = FileName::new(name).unwrap();
        plan(&name, names::kind(&name), knowledge)
    }

    fn package() -> FileName {
        FileName::new("a-1-1-any.pkg.tar.zst").unwrap()
    }

    #[test]
    fn the_database_outranks_the_index() {
        let knowledge = Knowledge {
            in_repo: true,
            for_others: false,
            database: Some(known(b"db", 9)),
            indexes: listed(known(b"index", 9)),
            signatures_required: true,
            ..Knowledge::default()
        };
        let plan = plan(&package(), NameKind::Package, &knowledge).unwrap();
        assert!(matches!(plan.expect, Expect::Exact { sha256, .. } if sha256 == Sha256::of(b"db")));
        assert!(plan.disagreement.unwrap().contains("index arch says"));
    }

    #[test]
    fn each_list_that_says_something_is_named_once() {
        let voice = |index: &str, known| IndexEntry { index: index.to_owned(), known };
        let (one, two) = (known(b"one", 9), known(b"two", 10));
        let indexes = vec![voice("a", two), voice("b", one), voice("c", two)];
        let knowledge = Knowledge {
            in_repo: true,
            for_others: false,
            database: Some(one),
            indexes: indexes.clone(),
            signatures_required: true,
            unread: None,
            is_database_unread: false,
        };
        let (first, second) = (one.sha256.short(), two.sha256.short());
        assert_eq!(
            plan(&package(), NameKind::Package, &knowledge).unwrap().disagreement.unwrap(),
            format!(
                "a-1-1-any.pkg.tar.zst: the sync database and index b say sha256 {first} and 9 bytes, \
                 index a and index c say sha256 {second} and 10 bytes; the database decides, as it would with curl"
            )
        );
        let indexes_alone = Knowledge { database: None, ..knowledge };
        let followed = plan(&package(), NameKind::Package, &indexes_alone).unwrap();
        assert_eq!(followed.expect.size(), Some(10));
        assert!(
            followed.disagreement.unwrap().ends_with("the first of them is followed, and pacman checks the signature")
        );
        let unsigned = Knowledge { signatures_required: false, ..indexes_alone };
        let error = plan(&package(), NameKind::Package, &unsigned).unwrap_err();
        assert!(error.message.starts_with("index a and index c say sha256"), "{}", error.message);
    }

    #[test]
    fn a_disputed_root_costs_the_cid_and_nothing_else() {
        let big = known(b"x", 5 << 20);
        let with = |index: &str, root: &[u8]| IndexEntry {
            index: index.to_owned(),
            known: Known { root: Some(Cid::dag_pb(Sha256::of(root))), ..big },
        };
        let indexes = vec![with("a", b"1"), with("b", b"2")];
        let knowledge = Knowledge { in_repo: true, database: Some(big), indexes, ..Knowledge::default() };
        let disputed = plan(&package(), NameKind::Package, &knowledge).unwrap();
        assert_eq!((disputed.cid, disputed.expect.size()), (None, Some(5 << 20)));
        let text = disputed.disagreement.unwrap();
        assert!(text.contains("index a says CID bafy") && text.ends_with("; it is not asked for by CID"), "{text}");
    }

    #[test]
    fn a_disagreement_without_signatures_is_refused() {
        let knowledge = Knowledge {
            in_repo: true,
            for_others: false,
            database: Some(known(b"db", 9)),
            indexes: listed(known(b"index", 9)),
            signatures_required: false,
            ..Knowledge::default()
        };
        let error = plan(&package(), NameKind::Package, &knowledge).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(error.message.starts_with("the sync database says sha256"), "{}", error.message);
    }

    #[test]
    fn the_root_of_an_index_that_agrees_is_used() {
        let root = Cid::dag_pb(Sha256::of(b"root"));
        let big = Known { root: Some(root), ..known(b"x", 5 << 20) };
        let database = Some(Known { root: None, ..big });
        let knowledge = Knowledge { in_repo: true, database, indexes: listed(big), ..Knowledge::default() };
        assert_eq!(plan(&package(), NameKind::Package, &knowledge).unwrap().cid, Some(root));
        let alone = Knowledge { indexes: Vec::new(), ..knowledge };
        assert_eq!(plan(&package(), NameKind::Package, &alone).unwrap().cid, None);
    }

    #[test]
    fn up_to_one_mebibyte_the_cid_follows_from_the_sha256() {
        let knowledge = Knowledge { in_repo: true, database: Some(known(b"x", 1 << 20)), ..Knowledge::default() };
        assert_eq!(plan(&package(), NameKind::Package, &knowledge).unwrap().cid, Some(Cid::raw(Sha256::of(b"x"))));
        let knowledge = Knowledge { database: Some(known(b"x", (1 << 20) + 1)), ..knowledge };
        assert_eq!(plan(&package(), NameKind::Package, &knowledge).unwrap().cid, None);
    }

    #[test]
    fn an_unlisted_file_has_a_named_waiver() {
        let waived = |name: &str, in_repo| {
            let knowledge = Knowledge { in_repo, ..Knowledge::default() };
            match plan_of(name, &knowledge).unwrap().expect {
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

    #[test]
    fn what_is_neither_pacmans_nor_of_a_repository_is_waived_whatever_its_name() {
        for (in_repo, name, expected) in [
            (false, "cities.db", Waiver::NotPacmans),
            (false, "a-1-1-any.pkg.tar.zst.sig", Waiver::NotPacmans),
            (true, "LICENSE.html", Waiver::NotPacmans),
            (true, "core.db", Waiver::MirrorDatabase),
            (true, "a-1-1-any.pkg.tar.zst.sig", Waiver::Signature),
            (true, "a-1-1-any.pkg.tar.zst", Waiver::NotListed),
        ] {
            let knowledge = Knowledge { in_repo, for_others: true, ..Knowledge::default() };
            let plan = plan_of(name, &knowledge).unwrap();
            assert!(matches!(plan.expect, Expect::Waived(why) if why == expected), "{name}: {plan:?}");
        }
    }
}
