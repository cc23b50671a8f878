//! `pkgswarm why NAME`: what is expected of a file and by which list, which sources have it now, in which order
//! they would be asked, and where the last copy came from. Asks for no bytes of it.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::base::cid::Codec;
use crate::base::env::Env;
use crate::base::error::Error;
use crate::base::runtime::block_on;
use crate::cmd::cli::WhyArgs;
use crate::cmd::hpkg::FoundHpkg;
use crate::cmd::screen::Screen;
use crate::config::Settings;
use crate::engine::find;
use crate::haiku::listed::may_share;
use crate::host::inspect::file::{LeftOutWhy, ListedFile, PATIENCE, ProbeAnswer, SourcePosition, SourceSays};
use crate::host::inspect::kubo::KuboUnasked;
use crate::index::time;
use crate::machine::call::Call;
use crate::pacman::handover::{self, HandoverTarget};
use crate::store::journal::JournalRecord;
use crate::trust::plan::Expect;

/// Runs the command.
pub(crate) fn run(env: &Env, settings: &Settings, args: &WhyArgs) -> anyhow::Result<u8> {
    handover::through(env, settings, &HandoverTarget::Nowhere, |settings| run_here(env, settings, args))
}

fn run_here(env: &Env, settings: &Settings, args: &WhyArgs) -> anyhow::Result<u8> {
    let call = Call::open(env, settings, Path::new("/var/tmp"))?;
    let file = match FoundHpkg::of(&call, &args.name)? {
        Some(hpkg) => haikus(&call, &hpkg)?,
        None => {
            let found = find::find(&call.lists, &args.name);
            super::say_warnings(&call.lists);
            ListedFile::of(&call, found?)?
        }
    };
    let answers = block_on(file.probe(&call)).unwrap_or_default();
    let why = Why { call: &call, file, answers };
    match args.json {
        true => writeln!(crate::report::out(), "{}", why.as_json())?,
        false => why.page(Screen::new(env), args.long).show()?,
    }
    Ok(0)
}

/// Explains a package of Haiku's.
fn haikus(call: &Call, hpkg: &FoundHpkg) -> Result<ListedFile, Error> {
    crate::report::warn(hpkg.warning().as_slice());
    let size = block_on(hpkg.size(&call.machine)).flatten().ok_or_else(|| hpkg.unsized_error())?;
    let (listed, urls) = (&hpkg.listed, hpkg.listed.urls());
    let want = hpkg.want(&call.machine, size, &urls);
    Ok(ListedFile::of_other(listed.repo(), want, hpkg.list(), may_share(&call.machine, &listed.config)))
}

mod page;

struct Why<'a> {
    call: &'a Call,
    file: ListedFile,
    answers: Vec<ProbeAnswer>,
}

impl Why<'_> {
    /// Returns the lists that name the file, and their statements: (list, sha256, size).
    fn listed(&self) -> Vec<(String, String, u64)> {
        let knowledge = &self.file.knowledge;
        if let (Some((list, _)), Expect::Exact { sha256, size }) = (&self.file.other_list, self.file.want.plan.expect) {
            return vec![(list.clone(), sha256.to_string(), size)];
        }
        let database = knowledge.database.map(|known| (self.database(), known));
        let indexes = knowledge.indexes.iter().map(|listed| (format!("index {}", listed.index), listed.known));
        database.into_iter().chain(indexes).map(|(list, known)| (list, known.sha256.to_string(), known.size)).collect()
    }

    /// Describes the sync database and its age.
    fn database(&self) -> String {
        let (path, age) = self.file.database(self.call);
        let age = age.map(|age| format!(", {} old", time::span(age.as_secs()))).unwrap_or_default();
        format!("sync database {}{age}", path.display())
    }

    /// Returns the CID, and its origin; else the reason why there is none.
    fn cid(&self) -> (Option<String>, String) {
        match self.file.want.plan.cid {
            Some(cid) if cid.codec() == Codec::Raw => {
                (Some(cid.to_string()), "follows from the sha256, as of every file up to 1 MiB".to_owned())
            }
            Some(cid) => {
                let by = self.file.index_of(cid);
                let by = by.map_or("the index of the snapshot in use".to_owned(), |by| format!("index {by}"));
                (Some(cid.to_string()), format!("named by {by}"))
            }
            None => (
                None,
                "larger than 1 MiB, and no index in use names its CID: neither Kubo nor a gateway can be asked"
                    .to_owned(),
            ),
        }
    }

    /// Describes the reasons why Kubo and gateways are not asked for it.
    fn left_out(&self) -> impl Iterator<Item = (&'static str, LeftOutWhy, String)> {
        let words = |why| match why {
            LeftOutWhy::Kubo(why @ KuboUnasked::Off) => why.words().to_owned(),
            LeftOutWhy::Kubo(why @ KuboUnasked::BehindProxy) => format!("{} (kubo.enabled)", why.words()),
            LeftOutWhy::NoGateway => "none is configured (gateways.urls)".to_owned(),
            LeftOutWhy::GatewaysBehindProxy => "the environment sets a proxy (gateways.behind_proxy)".to_owned(),
            LeftOutWhy::NotShared => {
                format!("[{}] is not to be shared: not all its servers are public (share.repos)", self.file.repo)
            }
            LeftOutWhy::NoCid => "no CID is known".to_owned(),
        };
        self.file.left_out(self.call).into_iter().map(move |(source, why)| (source, why, words(why)))
    }

    /// Describes its places on this machine.
    fn here(&self) -> Vec<String> {
        let (stores, caches) = self.file.here(self.call);
        let stores = stores.iter().map(|dir| format!("store {}", dir.display()));
        stores.chain(caches.iter().map(|path| format!("package cache {}", path.display()))).collect()
    }

    /// Returns the last delivery, and the last time that a source sent bytes of it.
    fn last(&self) -> (Option<JournalRecord>, Option<JournalRecord>) {
        self.file.last(&self.call.machine.settings)
    }

    fn as_json(&self) -> Value {
        let (sha256, size) = match self.file.want.plan.expect {
            Expect::Exact { sha256, size } => (Some(sha256), Some(size)),
            Expect::Waived(_) => (None, None),
        };
        let (cid, cid_from) = self.cid();
        let (delivered, received) = self.last();
        let record = |record: JournalRecord| {
            let shares: Vec<_> =
                record.shares.iter().map(|share| json!({"source": share.source, "bytes": share.bytes})).collect();
            json!({"at": record.at, "took_ms": record.took, "by": record.by.word(), "delivered": record.delivered, "shares": shares})
        };
        let listed =
            self.listed().into_iter().map(|(list, sha256, size)| json!({"by": list, "sha256": sha256, "size": size}));
        let order = self.answers.iter().map(
            |answer| json!({"source": answer.source, "has": answer.says.has(), "says": says(&answer.says), "place": position(answer.position)}),
        );
        let left_out = self.left_out().map(|(source, _, why)| json!({"source": source, "why": why}));
        json!({
            "name": self.file.name.as_str(), "repo": self.file.repo.as_str(), "sha256": sha256, "size": size,
            "listed": listed.collect::<Vec<_>>(), "refused": self.file.refusal, "disagreement": self.file.want.plan.disagreement,
            "cid": cid, "cid_from": cid_from, "here": self.here(), "order": order.collect::<Vec<_>>(),
            "not_asked": left_out.collect::<Vec<_>>(),
            "last_delivered": delivered.map(record), "last_received": received.map(record),
        })
    }
}

/// Describes a source's answer.
fn says(says: &SourceSays) -> String {
    match says {
        SourceSays::Has => "has it".to_owned(),
        SourceSays::HasAnother(size) => format!("has another one, of {size} bytes"),
        SourceSays::Lacks => "does not have it".to_owned(),
        SourceSays::LacksAndAsks => "does not have it, and would ask its peers for it".to_owned(),
        SourceSays::NotAskedYet => "asks the neighbours when it comes to it".to_owned(),
        SourceSays::Unreachable(why) => format!("unreachable: {why}"),
        SourceSays::Silent => format!("no answer within {} s", PATIENCE.as_secs()),
        SourceSays::Status(status) => format!("HTTP {status}"),
        SourceSays::Other(text) => text.clone(),
    }
}

/// Describes a source's position in the order.
fn position(position: SourcePosition) -> &'static str {
    match position {
        SourcePosition::LastAsSilent => "last, because it did not answer lately",
        SourcePosition::LastAsWrong => "last, because it sent wrong bytes lately",
        SourcePosition::Lan => "the daemon, before Kubo and the mirrors",
        SourcePosition::KuboAnywhere => "when it has to search the whole network for it",
        SourcePosition::Kubo { is_first: true } => "first, as the nearest; mirrors join after kubo.head_start",
        SourcePosition::Kubo { is_first: false } => {
            "next, as the nearest after the neighbours; mirrors join after kubo.head_start"
        }
        SourcePosition::Gateway => "after Kubo, before the mirrors",
        SourcePosition::FirstServer => "the repository's first server",
        SourcePosition::NextServer => "the next server",
    }
}
