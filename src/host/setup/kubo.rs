//! Settings of the local Kubo daemon that suit a machine which downloads: few connections, nothing announced.
//!
//! Where a share is kept, its files are announced: setup takes its own silence back, too. Only values that the user has not set are offered: a chosen value
//! stays. Origin: `doc/facts/kubo.md`. Root has its unprivileged child talk to Kubo; the child keeps the record of this
//! part.

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::record::{KuboValue, SetupRecord};
use super::{Change, Context, SetupOffer};
use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind};
use crate::base::runtime::block_on;
use crate::config::{AskPolicy, Settings};
use crate::host::inspect::kubo::{KuboGift, client};
use crate::net::kubo::{self, Kubo, KuboError};
use crate::pacman::handover;

/// Longest wait for a connection.
const PATIENCE: Duration = Duration::from_secs(3);

/// One value that is offered.
struct OfferedValue {
    key: &'static str,
    /// The value, in JSON.
    value: &'static str,
    /// The value, in JSON, that Kubo itself writes when the user has chosen none.
    usual: &'static str,
    /// A value with which it is not offered either.
    beside: &'static str,
    why: &'static str,
}

const WISHES: &[OfferedValue] = &[
    OfferedValue {
        key: "Provide.Enabled",
        value: "false",
        usual: "null",
        beside: "Provide.Strategy",
        why: "announce nothing to the whole network; machines of the local network still find it",
    },
    OfferedValue {
        key: "Provide.Strategy",
        value: "\"pinned+entities\"",
        usual: "\"\"",
        beside: "",
        why: "announce the files of the share, and not each of their pieces",
    },
    OfferedValue {
        key: "Routing.Type",
        value: "\"autoclient\"",
        usual: "\"auto\"",
        beside: "",
        why: "ask the DHT and do not serve it",
    },
    OfferedValue {
        key: "Swarm.ConnMgr.LowWater",
        value: "20",
        usual: "null",
        beside: "Swarm.ConnMgr.HighWater",
        why: "keep about 20 connections",
    },
    OfferedValue {
        key: "Swarm.ConnMgr.HighWater",
        value: "40",
        usual: "null",
        beside: "Swarm.ConnMgr.LowWater",
        why: "and at most 40, which home routers bear",
    },
    OfferedValue {
        key: "Swarm.DisableNatPortMap",
        value: "true",
        usual: "false",
        beside: "",
        why: "open no port in the router",
    },
    OfferedValue {
        key: "Swarm.ResourceMgr.MaxMemory",
        value: "\"1GB\"",
        usual: "\"\"",
        beside: "",
        why: "take at most this for its network part, not half of the memory",
    },
];

/// The reason why setup's own silence ends.
const ANNOUNCES: &str = "as setup had it not: others find and reach what is given here";

/// Values to set.
struct Values {
    kubo: Kubo,
    /// Its address as in the settings.
    at: String,
    values: Vec<ChangedValue>,
}

/// One of them.
struct ChangedValue {
    value: KuboValue,
    /// True if setup's own value is taken back.
    back: bool,
    why: &'static str,
}

impl Change for Values {
    fn shown(&self) -> String {
        let mut out = format!("Kubo at {}\n", self.at);
        for ChangedValue { value, back, why } in &self.values {
            let (from, to) = if *back { (&value.after, &value.before) } else { (&value.before, &value.after) };
            let shown = |value: &Value| if value.is_null() { "not set".to_owned() } else { value.to_string() };
            let why = if why.is_empty() { String::new() } else { format!("  ({why})") };
            out += &format!("  {}: {} -> {}{why}\n", value.key, shown(from), shown(to));
        }
        out
    }

    fn apply(&self, record: &mut SetupRecord) -> Result<Vec<String>, Error> {
        for ChangedValue { value, back, .. } in &self.values {
            let to = if *back { &value.before } else { &value.after };
            if !back {
                record.done.kubo.retain(|known| known.key != value.key);
                record.done.kubo.push(value.clone());
                record.write()?;
            }
            asked(&self.at, self.kubo.set_config(&value.key, to))?;
            if *back {
                record.done.kubo.retain(|known| known.key != value.key);
                record.write()?;
            }
        }
        Ok(vec!["Kubo reads this when it starts the next time: sudo systemctl restart ipfs".to_owned()])
    }
}

/// Offers the values that the user has not chosen.
///
/// Setup's own `Provide.Enabled`, as `record` has it, is taken back where a share is kept by now, or a key of a publisher is
/// there: both announce. One that the user set stays; `doctor` tells of it.
pub(crate) fn offer(context: &Context<'_>, record: &SetupRecord) -> Result<SetupOffer, Error> {
    if context.settings.kubo == AskPolicy::No {
        return Ok(SetupOffer::Nothing("kubo.enabled is false".to_owned()));
    }
    if context.env.is_root() {
        return by_child(context, &[]);
    }
    let kubo = client(context.settings, PATIENCE);
    let config = match asked(&context.settings.kubo_api, kubo.config()) {
        Ok(config) => config,
        Err(e) if e.kind == ErrorKind::NoSource => return Ok(SetupOffer::Nothing(e.message)),
        Err(e) => return Err(e),
    };
    let is_publisher = asked(&context.settings.kubo_api, kubo.keys())?.iter().any(|(name, _)| name != "self");
    let gives = KuboGift::of(context.settings);
    let announces = is_publisher || gives != KuboGift::Nothing;
    let values = WISHES.iter().filter(|wish| {
        let is_free = |key: &str, usual: &str| {
            let now = at(&config, key);
            now.is_null() || serde_json::from_str::<Value>(usual).is_ok_and(|usual| usual == now)
        };
        is_free(wish.key, wish.usual)
            && (wish.beside.is_empty() || is_free(wish.beside, "\"\""))
            // A publisher must announce, and so must one that gives: what no pin holds, by Kubo's own strategy.
            && match wish.key {
                "Provide.Enabled" => !announces,
                "Provide.Strategy" => gives == KuboGift::Shares,
                // Others have to reach it.
                "Swarm.DisableNatPortMap" => gives == KuboGift::Nothing,
                _ => true,
            }
    });
    let values = values.map(|wish| {
        let after = serde_json::from_str(wish.value).expect("the table holds JSON");
        let value = KuboValue { key: wish.key.to_owned(), before: at(&config, wish.key), after };
        ChangedValue { value, back: false, why: wish.why }
    });
    let is_in_the_way = |value: &&KuboValue| match &*value.key {
        "Provide.Enabled" => announces,
        "Provide.Strategy" => gives == KuboGift::Installed,
        "Swarm.DisableNatPortMap" => gives != KuboGift::Nothing,
        _ => false,
    };
    let is_ours = |value: &&KuboValue| is_in_the_way(value) && at(&config, &value.key) == value.after;
    let silenced = record.done.kubo.iter().filter(is_ours);
    let silenced = silenced.map(|value| ChangedValue { value: value.clone(), back: true, why: ANNOUNCES });
    let values: Vec<_> = silenced.into_iter().chain(values).collect();
    if values.is_empty() {
        return Ok(SetupOffer::Nothing("Kubo is configured; settings that you changed were left alone".to_owned()));
    }
    Ok(SetupOffer::Change(Box::new(Values { kubo, at: context.settings.kubo_api.to_string(), values })))
}

/// Offers to restore the values that setup wrote and that have not changed since.
pub(crate) fn offer_undo(context: &Context<'_>, record: &SetupRecord) -> Result<SetupOffer, Error> {
    if context.env.is_root() {
        return by_child(context, &["--undo"]);
    }
    if record.done.kubo.is_empty() {
        return Ok(SetupOffer::Nothing("setup has not changed Kubo".to_owned()));
    }
    let kubo = client(context.settings, PATIENCE);
    let config = asked(&context.settings.kubo_api, kubo.config())?;
    let still = record.done.kubo.iter().filter(|value| at(&config, &value.key) == value.after);
    let values = still.map(|value| ChangedValue { value: value.clone(), back: true, why: "" }).collect();
    let at = context.settings.kubo_api.to_string();
    Ok(SetupOffer::Change(Box::new(Forgetting { values: Values { kubo, at, values } })))
}

/// Undoing without any value left to restore: values that the user changed since stay.
struct Forgetting {
    values: Values,
}

impl Change for Forgetting {
    fn shown(&self) -> String {
        self.values.shown()
    }

    fn apply(&self, record: &mut SetupRecord) -> Result<Vec<String>, Error> {
        let mut said = self.values.apply(record)?;
        let theirs = std::mem::take(&mut record.done.kubo);
        record.write()?;
        said.extend(theirs.iter().map(|value| format!("{} was changed since, and stays as it is", value.key)));
        Ok(said)
    }
}

/// Returns the value at `A.B.C`; `null` when there is none.
fn at(config: &Value, key: &str) -> Value {
    config.pointer(&format!("/{}", key.replace('.', "/"))).cloned().unwrap_or_default()
}

fn asked<T>(at: &dyn fmt::Display, answer: impl Future<Output = Result<T, KuboError>>) -> Result<T, Error> {
    let answer = block_on(answer).ok_or_else(|| Error::new(ErrorKind::Interrupted, "kubo", "interrupted"))?;
    answer.map_err(|fault| match fault.kind {
        kubo::KuboErrorKind::Unreachable => Error::new(ErrorKind::NoSource, "kubo", fault.told(&at)),
        _ => Error::local("kubo", fault).hint("`pkgswarm doctor` says more about Kubo"),
    })
}

/// An unprivileged child's offer, which the child makes when told to.
struct Child {
    shown: String,
    apply: Box<dyn Fn() -> Result<Vec<String>, Error>>,
}

impl Change for Child {
    fn shown(&self) -> String {
        self.shown.clone()
    }

    fn apply(&self, _record: &mut SetupRecord) -> Result<Vec<String>, Error> {
        (self.apply)()
    }
}

/// The child's report about the part, as `pkgswarm setup --json` prints it.
#[derive(serde::Deserialize)]
struct ChildReport {
    state: String,
    #[serde(default)]
    change: String,
    #[serde(default)]
    said: Vec<String>,
}

fn by_child(context: &Context<'_>, more: &[&str]) -> Result<SetupOffer, Error> {
    let words = |last: &str| -> Vec<OsString> {
        let own = ["setup", "--only", "kubo", "--json", last].into_iter().chain(more.iter().copied());
        context.flags.iter().cloned().chain(own.map(OsString::from)).collect()
    };
    let said = hear((context.env, context.settings), &words("--dry-run"))?;
    if said.state == "refused" {
        return Err(Error::local("kubo", said.said.join("; ")).hint("`pkgswarm doctor` says more about Kubo"));
    }
    if said.state != "proposed" {
        return Ok(SetupOffer::Nothing(said.said.join("; ")));
    }
    let (env, settings, words) = (context.env.clone(), context.settings.clone(), words("--yes"));
    let apply = move || {
        let said = hear((&env, &settings), &words)?;
        if said.state == "changed" { Ok(said.said) } else { Err(Error::local("kubo", said.said.join("; "))) }
    };
    Ok(SetupOffer::Change(Box::new(Child { shown: said.change, apply: Box::new(apply) })))
}

fn hear((env, settings): (&Env, &Settings), words: &[OsString]) -> Result<ChildReport, Error> {
    let only_looks = words.iter().any(|word| word == "--dry-run");
    let text = handover::hear(env, settings, words, only_looks)?;
    serde_json::from_str(text.trim())
        .map_err(|e| Error::local("kubo", format!("malformed reply of the unprivileged child: {e}")))
}
