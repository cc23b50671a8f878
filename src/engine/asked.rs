//! What a user asks for in words (a file name, a package, a digest, a CID, a URL), and how that is got.

use crate::base::cid::Cid;
use crate::base::error::{Error, ErrorKind};
use crate::base::fsx::FromStart;
use crate::dag::build::build;
use crate::engine::address::{Address, AddressError};
use crate::engine::content::content;
use crate::engine::deliver::{Candidate, Obtained, Purpose, Receipt};
use crate::engine::find::{self, FoundFile};
use crate::engine::hub::{self, Hub};
use crate::engine::source::SourceKind;
use crate::engine::want::{self, Want};
use crate::machine::Machine;
use crate::machine::call::Call;

/// The only place that a user allows a file to come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OnlyFrom {
    /// The store, and the caches of this machine.
    Here,
    /// Sources of this kind. `Mirror` includes directories of this machine.
    Source(SourceKind),
}

/// A file that was asked for.
pub(crate) struct AskedFile {
    /// Its name.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) obtained: Obtained,
    /// The CID that was asked for.
    pub(crate) cid: Option<Cid>,
}

/// The meaning of what a user asks for.
pub(crate) enum Meaning {
    /// An address, and the file that a list has under its CID.
    Address(Address, Option<Want>),
    /// A file of a repository, or at a URL.
    File(Want),
}

impl Meaning {
    /// Looks in the lists for the meaning of `what`. Asks pacman-conf at most, so a ^C simply ends the program (test
    /// `between_two_files_of_a_fetch_it_ends_the_command`).
    ///
    /// # Errors
    /// `Usage` for what is neither; `NoSource` for what no list has.
    pub(crate) fn of(call: &Call, what: &str) -> Result<Self, Error> {
        let unfit = |e: AddressError| Error::usage(what, &e).hint(e.hint());
        let address = Address::parse(what).transpose().map_err(unfit)?;
        if let Some(address) = address.or_else(|| of_gateway(&call.machine, what)) {
            // A CID needs no list: a sync database that does not parse is no reason to fail here.
            let is_plain = address.path.is_empty();
            let found = if is_plain { find::by_cid(&call.lists, address.cid).unwrap_or(None) } else { None };
            let listed = found.and_then(|FoundFile { repo, name, exact }| {
                exact.map(|known| Want::planned(&call.lists, &repo, name, known.plan()))
            });
            return Ok(Meaning::Address(address, listed));
        }
        let want = if what.contains("://") {
            Want::of(&call.lists, what)?
        } else {
            let FoundFile { repo, name, exact } = find::find(&call.lists, what)?;
            match exact {
                Some(known) => Want::planned(&call.lists, &repo, name, known.plan()),
                None => Want::in_repo(&call.lists, &repo, name)?,
            }
        };
        Ok(Meaning::File(want))
    }

    /// Returns the words about a sync database and an index that differ about the file.
    pub(crate) fn disagreement(&self) -> Option<&str> {
        match self {
            Self::File(want) => want.plan.disagreement.as_deref(),
            Self::Address(..) => None,
        }
    }

    /// Gets the file, from anywhere or only from there. The bytes of each source are added to `receipt`.
    ///
    /// # Errors
    /// As [`deliver`](hub::deliver) and [`content`]; `Usage` where a CID alone cannot come from there.
    pub(crate) async fn obtain(
        self,
        hub: &Hub,
        call: &mut Call,
        only: Option<OnlyFrom>,
        receipt: &mut Receipt,
    ) -> Result<AskedFile, Error> {
        match self {
            Meaning::Address(address, listed) => by_address(hub, call, only, (&address, listed), receipt).await,
            Meaning::File(want) => {
                let (name, obtained) = wanted(hub, call, only, want, receipt).await?;
                Ok(AskedFile { name, obtained, cid: None })
            }
        }
    }
}

/// Returns the address in the URL of the local gateway, or of another one in use, so that its bytes are proven.
fn of_gateway(machine: &Machine, url: &str) -> Option<Address> {
    let url = reqwest::Url::parse(url).ok()?;
    let local = machine.asks_kubo().then(|| machine.settings.gateway_url());
    let others = machine.settings.gateway_urls().filter(|_| machine.asks_gateways());
    local.into_iter().chain(others).find_map(|gateway| Address::at_gateway(&url, &gateway))
}

/// Fetches the file with this CID: a file that a list names comes from its mirrors as well, any other from IPFS
/// alone.
async fn by_address(
    hub: &Hub,
    call: &mut Call,
    only: Option<OnlyFrom>,
    (address, listed): (&Address, Option<Want>),
    receipt: &mut Receipt,
) -> Result<AskedFile, Error> {
    if let Some(want) = listed {
        match wanted(hub, call, only, want, receipt).await {
            Ok((name, obtained)) if has_cid(&obtained, address)? => {
                return Ok(AskedFile { name, obtained, cid: Some(address.cid) });
            }
            Ok((name, _)) => {
                let cid = address.cid;
                let why = format!("{name}: an index lists it as {cid}, which is the CID of something else");
                receipt.warnings.push(why);
            }
            Err(e) if matches!(e.kind, ErrorKind::Interrupted | ErrorKind::Local) => return Err(e),
            Err(e) if only.is_some_and(|only| by_cid_only(only).is_none()) => {
                return Err(e);
            }
            // It may be on IPFS all the same, in blocks of another shape.
            Err(e) => return by_cid_alone(call, only, address, receipt).await.map_err(|_| e),
        }
    }
    by_cid_alone(call, only, address, receipt).await
}

async fn by_cid_alone(
    call: &mut Call,
    only: Option<OnlyFrom>,
    address: &Address,
    receipt: &mut Receipt,
) -> Result<AskedFile, Error> {
    let forced = match only.map(by_cid_only) {
        None => None,
        Some(Some(kind)) => Some(kind),
        Some(None) => {
            let why = "a CID that no sync database and no index lists can come from lan, kubo or a gateway only";
            return Err(Error::usage("--source", why));
        }
    };
    let (cid, obtained) = content(call, address, forced).await.noted_in(receipt)?;
    Ok(AskedFile { name: address.name(), obtained, cid: Some(cid) })
}

/// Returns true when the proven bytes have the requested CID: only an index states that a CID belongs to a sha256.
fn has_cid(obtained: &Obtained, address: &Address) -> Result<bool, Error> {
    let read = build(FromStart::of(&obtained.file)).map_err(|e| Error::local(address.name(), e))?;
    Ok((read.root.codec(), read.root.digest()) == (address.cid.codec(), address.cid.digest()))
}

async fn wanted(
    hub: &Hub,
    call: &mut Call,
    only: Option<OnlyFrom>,
    mut want: Want,
    receipt: &mut Receipt,
) -> Result<(String, Obtained), Error> {
    if let Some(only) = only {
        want.candidates.retain(|candidate| is_of(candidate, only));
        // For a file that the user names, peers may be asked even where the repository is not shared.
        if want.candidates.is_empty() {
            want.candidates = want::by_content(&call.machine, &want.plan);
            want.candidates.retain(|candidate| is_of(candidate, only));
        }
    }
    let purpose = match only {
        None | Some(OnlyFrom::Here) => Purpose::Caller,
        Some(_) => Purpose::Elsewhere { patience: None },
    };
    let obtained = hub::deliver(hub, call, want.order(), purpose).await.noted_in(receipt)?;
    Ok((want.name.as_str().to_owned(), obtained))
}

/// Returns the kind of source, where that finds a file by its CID alone.
fn by_cid_only(only: OnlyFrom) -> Option<SourceKind> {
    match only {
        OnlyFrom::Source(kind @ (SourceKind::Lan | SourceKind::Kubo | SourceKind::Gateway)) => Some(kind),
        OnlyFrom::Source(SourceKind::File | SourceKind::Mirror) | OnlyFrom::Here => None,
    }
}

fn is_of(candidate: &Candidate, only: OnlyFrom) -> bool {
    let OnlyFrom::Source(kind) = only else { return false };
    match candidate {
        Candidate::Lan(_) | Candidate::House(_) => kind == SourceKind::Lan,
        Candidate::Kubo(..) => kind == SourceKind::Kubo,
        Candidate::Gateway(..) => kind == SourceKind::Gateway,
        Candidate::Mirror(_) | Candidate::File(_) => kind == SourceKind::Mirror,
    }
}
