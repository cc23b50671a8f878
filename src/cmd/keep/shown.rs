//! `pkgswarm keep ls` and `pkgswarm keep status`.

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::owner::RootsShares;
use crate::base::clock;
use crate::base::env::Env;
use crate::base::runtime::block_on;
use crate::cmd::cli::KeepStatusArgs;
use crate::cmd::screen::{Column, Grid, Screen};
use crate::config::value::show_size;
use crate::config::{KeepConfig, Settings};
use crate::index::time;
use crate::net::http::Http;
use crate::net::kubo::Kubo;
use crate::pins::keeper::bytes_of;
use crate::pins::keeper::own::serves::{ShareServing, Unserved};
use crate::pins::keeper::own::share_seen;
use crate::pins::keeper::state::{KeeperPlace, KeeperState, KnownRepo};
use crate::report::cell::Cell;
use crate::report::columns::Tone;
use crate::report::{self, counted};
use crate::store::kept::StoreShare;

/// Longest wait for what Kubo says of itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// A share and its state.
struct ShownShare<'s> {
    keep: &'s KeepConfig,
    state: Option<KeeperState>,
    /// Where Kubo's repository is, as the last round found it.
    repo: Option<KnownRepo>,
    /// True where root keeps it, and this user looks.
    is_roots: bool,
    /// Where it is, when not in Kubo.
    in_store: Option<StoreShare>,
}

/// What there is to say of the giving.
#[derive(Default)]
struct ShareGiving {
    /// Bytes that Kubo has sent.
    kubo: Option<u64>,
    /// What the daemon says, where a share is in the store.
    daemon: Option<Result<ShareServing, Unserved>>,
    /// Files of shares in the store that it offers, in the order of the shares.
    offered: Vec<Option<usize>>,
}

impl<'s> ShownShare<'s> {
    fn of(settings: &Settings, roots: &RootsShares, keep: &'s KeepConfig) -> Self {
        let place = KeeperPlace::of(roots.state_dir(settings, &keep.name), &keep.name);
        let repo = place.repo().filter(|repo| repo.kubo == settings.kubo_api.to_string());
        let is_roots = roots.has(&keep.name);
        let in_store = share_seen(settings, &keep.name, is_roots);
        Self { keep, state: place.read(), repo, is_roots, in_store }
    }

    fn bytes(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| bytes_of(&state.files))
    }

    fn files(&self) -> usize {
        self.state.as_ref().map_or(0, |state| state.files.len())
    }

    /// Counts the files of which no other holder was seen, one, two, and more.
    fn coverage(&self) -> [u64; 4] {
        self.state.as_ref().map(|state| state.last.coverage).unwrap_or_default()
    }

    /// Tells when the last round ended, and how.
    fn last(&self) -> Cell {
        let Some(state) = self.state.as_ref().filter(|state| state.round > 0 || state.last.failed.is_some()) else {
            return Cell::of("no round yet", Tone::Poor);
        };
        let ago = match state.last.at {
            0 => "never".to_owned(),
            at => format!("{} ago", time::span(clock::now().saturating_sub(at))),
        };
        match &state.last.failed {
            Some(why) => Cell::of(format!("failed: {why}"), Tone::Bad).then(format!("; the last good one: {ago}")),
            None => ago.into(),
        }
    }

    /// Returns the word for where it is.
    fn kept_in(&self) -> &'static str {
        if self.in_store.is_some() { "store" } else { "kubo" }
    }

    fn as_json(&self, giving: &ShareGiving, offered: Option<usize>) -> Value {
        let serving = self.in_store.as_ref().and(giving.daemon.as_ref());
        let sent = giving.kubo.filter(|_| self.in_store.is_none());
        let state = self.state.as_ref();
        let [none, one, two, more] = self.coverage();
        let looked = none + one + two + more;
        let last = state.map(|state| &state.last);
        let at = last.map(|last| last.at).filter(|at| *at > 0);
        json!({
            "name": self.keep.name, "system": self.is_roots, "quota": self.keep.quota, "repos": self.keep.repos,
            "min_free": self.keep.min_free.to_string(), "mirrors": self.keep.mirrors,
            "repo": self.repo.as_ref().map(|repo| &repo.repo),
            "measured": self.repo.as_ref().and_then(|repo| repo.measured.as_ref()),
            "files": self.files(), "bytes": self.bytes(), "root": state.and_then(|state| state.root),
            "round": state.map(|state| state.round), "last": at,
            "failed": last.and_then(|last| last.failed.clone()), "failures": last.map(|last| last.failures),
            "notes": last.map(|last| last.notes.clone()).unwrap_or_default(),
            "index_files": at.and(last).map(|last| last.index_files),
            "index_bytes": at.and(last).map(|last| last.index_bytes),
            "missing": state.map(|state| state.missing.len()), "came": last.map(|last| last.came), "kubo_sent": sent,
            "coverage": { "looked": looked, "none": none, "one": one, "two": two, "more": more },
            "kept_in": self.kept_in(), "dir": self.in_store.as_ref().map(|share| share.dir().display().to_string()),
            "networks": serving.and_then(|serving| serving.as_ref().ok()).map(|serving| serving.networks.clone()),
            "unserved": serving.and_then(|serving| serving.as_ref().err()).map(Unserved::words),
            "offered": offered,
        })
    }
}

/// Lists the shares.
pub(super) fn ls(env: &Env, settings: &Settings, as_json: bool) -> anyhow::Result<u8> {
    let roots = RootsShares::of(env, settings);
    let shares: Vec<ShownShare<'_>> =
        settings.keeps.iter().map(|keep| ShownShare::of(settings, &roots, keep)).collect();
    if as_json {
        for share in &shares {
            let last = share.state.as_ref().map(|state| &state.last);
            let line = json!({
                "name": share.keep.name, "quota": share.keep.quota, "files": share.files(), "bytes": share.bytes(),
                "last": last.map(|last| last.at).filter(|at| *at > 0), "failed": last.and_then(|last| last.failed.clone()),
                "system": share.is_roots,
                "kept_in": share.kept_in(),
            });
            writeln!(report::out(), "{line}")?;
        }
        return Ok(0);
    }
    if shares.is_empty() {
        report::say("no share is kept; pkgswarm keep NAME --quota 40G begins");
        return Ok(0);
    }
    let columns = [
        Column::name("NAME"),
        Column::figure("FILES"),
        Column::figure("KEPT"),
        Column::figure("QUOTA"),
        Column::text("LAST ROUND"),
    ];
    let mut grid = Grid::of(&columns).bare_on_pipes();
    for share in &shares {
        grid.row([
            Cell::of(&share.keep.name, Tone::Plain),
            share.files().to_string().into(),
            show_size(share.bytes()).into(),
            show_size(share.keep.quota).into(),
            share.last(),
        ]);
    }
    let mut screen = Screen::new(env);
    screen.grid(&grid);
    screen.show()?;
    for share in shares.iter().filter(|share| share.is_roots) {
        report::say(&format!("{0}: root keeps it; sudo pkgswarm keep status {0}", share.keep.name));
    }
    Ok(0)
}

/// Shows one share, or all.
pub(super) fn status(env: &Env, settings: &Settings, args: &KeepStatusArgs) -> anyhow::Result<u8> {
    let wanted = |keep: &&KeepConfig| args.name.as_ref().is_none_or(|name| *name == keep.name);
    let roots = RootsShares::of(env, settings);
    let shares: Vec<_> =
        settings.keeps.iter().filter(wanted).map(|keep| ShownShare::of(settings, &roots, keep)).collect();
    if shares.is_empty() && !args.json {
        report::say("no share is kept; pkgswarm keep NAME --quota 40G begins");
        return Ok(0);
    }
    let giving = block_on(giving(settings, &shares)).unwrap_or_default();
    let offered = |at: usize| giving.offered.get(at).copied().flatten();
    if args.json {
        for (at, share) in shares.iter().enumerate() {
            writeln!(report::out(), "{}", share.as_json(&giving, offered(at)))?;
        }
        return Ok(0);
    }
    let mut screen = Screen::new(env);
    for (at, share) in shares.iter().enumerate() {
        if at > 0 {
            screen.gap();
        }
        page(&mut screen, share, &giving, offered(at));
    }
    screen.show()?;
    Ok(0)
}

/// Asks those who give: Kubo, and our daemon for what is in the store.
async fn giving(settings: &Settings, shares: &[ShownShare<'_>]) -> ShareGiving {
    let mut giving = ShareGiving::default();
    if shares.iter().any(|share| share.in_store.is_none()) {
        let kubo = Kubo::configured(settings, &Http::new(settings.connect));
        giving.kubo = in_time(kubo.bytes_sent()).await;
    }
    // All shares of a user are in one store.
    let in_store = shares.iter().find_map(|share| share.in_store.as_ref());
    if let Some(store) = in_store.and_then(|share| share.dir().ancestors().nth(2)) {
        giving.daemon = Some(ShareServing::ask(settings, store).await);
    }
    for share in shares {
        giving.offered.push(match (&share.in_store, &giving.daemon) {
            (Some(share), Some(Ok(_))) => ShareServing::count(settings, share.dir()).await,
            _ => None,
        });
    }
    giving
}

async fn in_time<E>(work: impl Future<Output = Result<u64, E>>) -> Option<u64> {
    tokio::time::timeout(PATIENCE, work).await.ok()?.ok()
}

fn page(screen: &mut Screen, share: &ShownShare<'_>, giving: &ShareGiving, offered: Option<usize>) {
    let keep = share.keep;
    let (files, bytes) = (counted(share.files(), "file"), show_size(share.bytes()));
    screen.line(Cell::strong(format!("{}: {files}, {bytes} of {}", keep.name, show_size(keep.quota))));
    let mut grid = Grid::of(&[Column::of(""), Column::text("")]).indented(2);
    if share.is_roots {
        grid.row(["kept by".into(), format!("root: sudo pkgswarm keep status {}", keep.name).into()]);
    }
    grid.row(["last round".into(), share.last()]);
    if let Some(store) = &share.in_store {
        grid.row(["kept in".into(), store.dir().display().to_string().into()]);
        grid.row(["served".into(), served(giving, offered)]);
    }
    if let Some(state) = &share.state {
        if let Some(part) = (share.files() as u64 * 100).checked_div(state.last.index_files) {
            let (files, bytes) = (counted(state.last.index_files, "file"), show_size(state.last.index_bytes));
            grid.row(["index".into(), format!("{files}, {bytes}; {part} % of the files are here").into()]);
        }
        let [none, one, two, more] = share.coverage();
        let looked = none + one + two + more;
        let says = match looked {
            0 => "not known yet".to_owned(),
            _ => format!(
                "other holders of {}: none {none}, one {one}, two {two}, three and more {more}",
                counted(looked, "file")
            ),
        };
        grid.row(["coverage".into(), says.into()]);
        grid.row(["came".into(), format!("{} in all rounds", show_size(state.last.came)).into()]);
        grid.row(["given".into(), given(share, giving).into()]);
        if let Some(KnownRepo { repo, measured, .. }) = &share.repo {
            let repo = repo.display().to_string();
            let says = match measured.as_ref().map(|at| at.display().to_string()) {
                None => format!("that of {repo}, at which this user cannot look"),
                Some(at) if at == repo => format!("that of {repo}; {} of it stay free", keep.min_free),
                Some(at) => format!("that of {repo}, measured at {at}; {} of it stay free", keep.min_free),
            };
            grid.row(["disk".into(), says.into()]);
        }
        for note in &state.last.notes {
            grid.row(["note".into(), note.as_str().into()]);
        }
    }
    screen.grid(&grid);
}

/// Tells which networks the daemon serves, or why it serves none.
fn served(giving: &ShareGiving, offered: Option<usize>) -> Cell {
    let files =
        offered.map_or(String::new(), |files| format!("{} offered by pkgswarm daemon, ", counted(files, "file")));
    match &giving.daemon {
        Some(Ok(serving)) if serving.networks.is_empty() => {
            Cell::from(files).then("").and("this machine is in no trusted network now", Tone::Poor)
        }
        Some(Ok(serving)) => format!("{files}to {}", serving.networks.join(", ")).into(),
        Some(Err(why)) => Cell::of(why.words(), Tone::Bad).next(why.remedy()),
        None => Cell::of("not known", Tone::Poor),
    }
}

/// Tells what others got.
fn given(share: &ShownShare<'_>, giving: &ShareGiving) -> String {
    let of_daemon = giving.daemon.as_ref().and_then(|serving| serving.as_ref().ok()?.given);
    match (&share.in_store, giving.kubo, of_daemon) {
        (None, Some(sent), _) => format!("{} by Kubo since it started, of all that it has", show_size(sent)),
        (None, None, _) => "not known: Kubo does not answer".to_owned(),
        (Some(_), _, Some(sent)) => {
            format!("{} by pkgswarm daemon since it started, of all that it offers", show_size(sent))
        }
        (Some(_), _, None) => "not known: pkgswarm daemon does not tell".to_owned(),
    }
}
