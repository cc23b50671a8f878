//! Databases, which have no signature: the user's mirror decides what is current, and time does not run backwards.
//!
//! pacman runs an XferCommand for every database on every `-Sy` and cannot be told "not modified"; asking the
//! mirror with `If-Modified-Since` and handing out the file that is in use saves the bytes. Where an index
//! describes exactly the mirror's database, peers save them too. A newer one of an index is used where the user
//! asked for it (`database.from_index`), and the newest of all when no mirror answers.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::Url;

use crate::base::clock;
use crate::base::error::{Error, ErrorKind};
use crate::base::fsx;
use crate::engine::deliver::{self, Candidate, Delivery, Obtained, Order, Purpose, Receipt, Since, Updated};
use crate::engine::source::kubo::KuboReach;
use crate::engine::want::Want;
use crate::lists::pacman::pacman_conf::SignatureCheck;
use crate::lists::system::NameKind;
use crate::machine::call::Call;
use crate::net::http;
use crate::trust::plan::Expect;
use crate::trust::plan::Plan;
use crate::trust::verify::Waiver;

mod batch;
mod in_use;
mod lag;
mod listed;
mod question;
mod signature;

use in_use::DatabaseInUse;
use listed::Snapshot;
use question::DatabaseAnswer;

pub(crate) use signature::signature;

/// Smallest database for which a peer is asked instead of the mirror: below this its body comes with the first few
/// round trips, and asking first would only cost one.
const WORTH_ASKING: u64 = 32 << 10;

/// Returns true when pacman asks for the mirror's database whatever that is: with `-yy` the user goes back on purpose, or
/// replaces a damaged one. The option may be out of sight of this process.
pub(crate) fn is_forced(call: &Call) -> bool {
    call.pacman_run.is_hidden
        || call.pacman_run.caller.as_ref().is_some_and(|caller| caller.arguments.is_refresh_forced())
}

/// Fetches a database, or hands out the one in use when the mirror has nothing newer; the mirror's in any case where the
/// request is `forced`.
pub(crate) async fn database(call: &mut Call, want: &Want, url: &str, forced: bool) -> Delivery<Obtained> {
    Delivery::of(async |receipt: &mut Receipt| {
        let obtained = updated(call, want, url, forced, receipt).await?;
        receipt.warnings.extend(lag::noted(call, want, &obtained));
        Ok(obtained)
    })
    .await
}

async fn updated(
    call: &mut Call,
    want: &Want,
    url: &str,
    forced: bool,
    receipt: &mut Receipt,
) -> Result<Obtained, Error> {
    let found = DatabaseInUse::found(&call.lists, &want.name, want.repo.as_ref());
    if !forced
        && let Some(found) = found.as_ref().filter(|found| found.strong_date().is_some())
        && let Some(host) = batch::unchanged(call, want, &found.state()).await?
    {
        return found.obtained(format!("{host}, unchanged"));
    }
    let in_use = found.map(DatabaseInUse::proven);
    let known = in_use.as_ref().filter(|_| !forced);
    let since = Since {
        newer_than: known.and_then(DatabaseInUse::strong_date),
        not_older_than: known.and_then(DatabaseInUse::floor),
    };
    let mut update = DatabaseUpdate { call, receipt, want, url, in_use: in_use.as_ref(), since };
    if !forced && let Some(obtained) = update.with_index().await? {
        return Ok(obtained);
    }
    match update.fetch().await {
        Ok(updated) => update.delivered(updated),
        Err(error) => update.without_mirrors(error).await,
    }
}

/// One database on its way.
struct DatabaseUpdate<'a> {
    call: &'a mut Call,
    receipt: &'a mut Receipt,
    want: &'a Want,
    url: &'a str,
    in_use: Option<&'a DatabaseInUse>,
    /// Only a newer one than that in use is worth its bytes, and an older one is not taken.
    since: Since,
}

impl DatabaseUpdate<'_> {
    /// Fetches it from the mirrors, whatever its date.
    async fn fetch(&mut self) -> Result<Updated, Error> {
        let unproven = Plan::without_cid(Expect::Waived(Waiver::MirrorDatabase));
        let in_repo = self.want.shape.kind == NameKind::Database && self.want.repo.is_some();
        let plan = if in_repo { &unproven } else { &self.want.plan };
        let order = Order { plan, ..self.want.order() };
        deliver::update(self.call, order, self.since).await.noted_in(self.receipt)
    }

    fn delivered(&mut self, updated: Updated) -> Result<Obtained, Error> {
        match updated {
            Updated::File(obtained) => self.remembered(obtained),
            Updated::Unchanged(from) => self.kept(format!("{from}, unchanged")),
            Updated::Older(from, offered) => self.kept_for(&from, offered),
        }
    }

    /// Returns the one in use, for this reason.
    fn kept(&self, why: String) -> Result<Obtained, Error> {
        match self.in_use {
            Some(in_use) => in_use.obtained(why),
            None => Err(Error::new(ErrorKind::NoSource, &self.want.name, format!("{why}: but none is in use"))),
        }
    }

    /// Returns the one in use, because the mirror is behind.
    fn kept_for(&self, from: &str, offered: SystemTime) -> Result<Obtained, Error> {
        let behind = self.since.not_older_than.and_then(|floor| floor.duration_since(offered).ok()).unwrap_or_default();
        let behind = behind.as_secs().div_ceil(60);
        self.kept(format!("the one in use, because {from} offers one that is {behind} min older"))
    }

    /// Notes what a mirror delivered, for the next time and for the signature.
    fn remembered(&mut self, obtained: Obtained) -> Result<Obtained, Error> {
        let from = obtained.url.as_ref().map_or(self.url, |url| url.as_str()).to_owned();
        self.call.health.delivered(self.want.name.as_str(), &from);
        self.call.health.save();
        in_use::remember(&self.call.lists, self.want, &obtained);
        if let Some(table) = self.table() {
            // It belonged to the snapshot that is replaced now.
            let _ = std::fs::remove_file(table);
        }
        Ok(obtained)
    }

    /// Returns the path for the table of a snapshot; packages follow the database alone, not `REPO.files`.
    fn table(&self) -> Option<PathBuf> {
        let repo = self.want.repo.as_ref().filter(|repo| self.want.name.as_str() == format!("{}.db", repo.name))?;
        self.call.lists.snapshot_table(&repo.name)
    }

    /// Uses an index: the mirror's own bytes from peers, or a newer snapshot where the user asked for it. `None`
    /// when the mirror should be asked for all of it.
    async fn with_index(&mut self) -> Result<Option<Obtained>, Error> {
        let Some(Candidate::Mirror(mirror)) = self.want.candidates.first() else { return Ok(None) };
        let Some(snapshot) = listed::newest(&self.call.lists, self.want) else { return Ok(None) };
        if snapshot.by_content(self.call).is_empty() || self.call.health.is_down(&http::host(mirror)) {
            return Ok(None);
        }
        let size = snapshot.database.size;
        if let Some(asked) = self.asked_for() {
            return self.newer_snapshot(mirror, &asked).await;
        }
        // Size, date and last bytes tell which database it is, and prove nothing: a publisher could make another
        // one that agrees in all three. Where pacman checks every package's signature, such a database does no
        // harm; elsewhere only the mirror's own bytes are used, which stay a check on the index.
        if self.want.repo.as_ref().is_none_or(|repo| !repo.signatures_required) {
            return Ok(None);
        }
        // One of the same size as the one in use is the one in use.
        if size < WORTH_ASKING || self.in_use.is_some_and(|in_use| in_use.size == size) {
            return Ok(None);
        }
        match question::does_it_have(self.call, mirror, size, self.since.newer_than).await? {
            DatabaseAnswer::Unchanged => self.kept(format!("{}, unchanged", http::host(mirror))).map(Some),
            DatabaseAnswer::Has { size: its, modified, tail } if its == size => {
                if let Some(older) = self.older(modified) {
                    return self.kept_for(&http::host(mirror), older).map(Some);
                }
                self.exactly(mirror, &snapshot, modified, &tail).await
            }
            _ => Ok(None),
        }
    }

    /// Returns the mirror's date, when it is behind.
    fn older(&self, modified: Option<SystemTime>) -> Option<SystemTime> {
        modified.filter(|date| self.since.not_older_than.is_some_and(|floor| *date < floor))
    }

    /// Fetches the mirror's database from any source, proven by the index; `tail` is the end of the mirror's file.
    async fn exactly(
        &mut self,
        mirror: &Url,
        snapshot: &Snapshot,
        modified: Option<SystemTime>,
        tail: &[u8],
    ) -> Result<Option<Obtained>, Error> {
        let mut candidates = snapshot.by_content(self.call);
        candidates.push(Candidate::Mirror(mirror.clone()));
        let Some(mut obtained) = self.proven(snapshot, &candidates, Purpose::Caller).await? else { return Ok(None) };
        let same_date =
            modified.and_then(clock::checked_unix).is_some_and(|date| snapshot.database.modified == Some(date));
        let read = |at: u64, len: u64| fsx::read_part(&obtained.file, at, len).unwrap_or_default();
        let size = snapshot.database.size;
        let ends_alike = tail.is_empty() || read(size - tail.len() as u64, tail.len() as u64) == tail;
        let tells = !tail.is_empty() && question::end_tells_all(&read(0, 16));
        if !ends_alike || !(tells || same_date) {
            // The mirror has another one of the same length.
            return Ok(None);
        }
        (obtained.modified, obtained.url) = (modified, Some(mirror.clone()));
        self.remembered(obtained).map(Some)
    }

    /// Returns the newest snapshot where the user wants newer ones of this repository, and it is newer than the one in
    /// use. One whose publisher has no bytes would name packages that neither peers nor the mirror have yet
    /// (`an_index_without_the_bytes_of_what_is_new_is_no_reason_to_leave_the_mirrors_database`).
    fn asked_for(&self) -> Option<Snapshot> {
        let repo = self.want.repo.as_ref()?;
        let is_wanted = self.call.machine.settings.from_index.contains(&repo.name);
        let newest = listed::newest_with_packages(&self.call.lists, self.want).filter(|_| is_wanted)?;
        let is_there = !newest.by_content(self.call).is_empty();
        (is_there && self.is_newer(&newest) && self.is_signed_enough(&newest)).then_some(newest)
    }

    fn is_newer(&self, snapshot: &Snapshot) -> bool {
        match (self.in_use.map(DatabaseInUse::date), snapshot.database.modified) {
            (None, _) => true,
            (Some(in_use), Some(modified)) => in_use.is_none_or(|date| modified > date),
            (Some(_), None) => false,
        }
    }

    /// Returns true when pacman would accept it: where it demands a signature, the publisher must have that too.
    fn is_signed_enough(&self, snapshot: &Snapshot) -> bool {
        let repo = self.want.repo.as_ref().and_then(|repo| self.call.lists.pacman_repo(&repo.name));
        let required = repo.is_some_and(|repo| repo.sig_level.database == SignatureCheck::Required);
        !required || snapshot.signature.is_some()
    }

    /// Fetches the snapshot, when the mirror is behind it and peers have it at once: then they have its packages
    /// as well.
    async fn newer_snapshot(&mut self, mirror: &Url, snapshot: &Snapshot) -> Result<Option<Obtained>, Error> {
        let said = question::what_it_has(self.call, mirror, self.since.newer_than).await?;
        let host = http::host(mirror);
        let date = snapshot.database.modified;
        let behind = match &said {
            DatabaseAnswer::Unchanged => true,
            DatabaseAnswer::Has { size, modified: Some(modified), .. } => {
                match (clock::checked_unix(*modified), date) {
                    (its, Some(_)) if its == date && *size == snapshot.database.size => {
                        return self.exactly(mirror, snapshot, Some(*modified), &[]).await;
                    }
                    (Some(its), Some(date)) => its < date,
                    _ => false,
                }
            }
            _ => false,
        };
        if behind {
            // Peers get the rest of the head start, so that a miss costs no more than usual.
            let wait = self.call.health.head_start(self.call.machine.settings.head_start);
            let begun = Instant::now();
            if let Some(mut obtained) = self.whole_snapshot(snapshot, Some(wait)).await? {
                obtained.from.remark(&format!("{}, newer than {host}'s", snapshot.described()));
                return Ok(Some(obtained));
            }
            self.call.health.spend(begun.elapsed().min(wait));
            self.call.health.save();
        }
        match said {
            DatabaseAnswer::Unchanged => self.kept(format!("{host}, unchanged")).map(Some),
            _ => Ok(None),
        }
    }

    /// Fetches the snapshot from peers, and keeps its table for the packages; `wait` is the longest silence.
    async fn whole_snapshot(&mut self, snapshot: &Snapshot, wait: Option<Duration>) -> Result<Option<Obtained>, Error> {
        let mut candidates = snapshot.by_content(self.call);
        if wait.is_some() {
            // A search of the whole network takes seconds, and the mirror would have to wait for it.
            candidates.retain(|candidate| !matches!(candidate, Candidate::Kubo(_, KuboReach::Anywhere)));
        }
        // While a mirror is available, a copy of our own does not show that peers have the packages.
        let purpose = if wait.is_some() { Purpose::Elsewhere { patience: wait } } else { Purpose::Caller };
        let Some(mut obtained) = self.proven(snapshot, &candidates, purpose).await? else { return Ok(None) };
        if self.table().is_some_and(|table| snapshot.keep_table(&table).is_err()) {
            return Ok(None);
        }
        obtained.modified = snapshot.database.modified.map(|at| UNIX_EPOCH + Duration::from_secs(at));
        self.call.health.delivered(self.want.name.as_str(), &snapshot.origin());
        self.call.health.save();
        in_use::remember(&self.call.lists, self.want, &obtained);
        Ok(Some(obtained))
    }

    /// Fetches the newest snapshot when no mirror answered at all; `error` is the mirrors' failure.
    async fn without_mirrors(&mut self, error: Error) -> Result<Obtained, Error> {
        let misses = &self.receipt.misses;
        if error.kind != ErrorKind::NoSource || misses.is_empty() || !misses.iter().all(|(_, miss)| miss.is_no_answer())
        {
            return Err(error);
        }
        let Some(snapshot) = listed::newest(&self.call.lists, self.want) else { return Err(error) };
        let why = format!("{}; no mirror answers", snapshot.described());
        if self.in_use.is_some_and(|in_use| in_use.is(&snapshot.database)) {
            return self.kept(format!("what is in use ({why})"));
        }
        if !self.is_newer(&snapshot) || !self.is_signed_enough(&snapshot) {
            return Err(error);
        }
        match self.whole_snapshot(&snapshot, None).await? {
            Some(mut obtained) => {
                obtained.from.remark(&why);
                Ok(obtained)
            }
            None => Err(error),
        }
    }

    /// Fetches the database of a snapshot; `None` for failures after which another way is tried.
    async fn proven(
        &mut self,
        snapshot: &Snapshot,
        candidates: &[Candidate],
        purpose: Purpose,
    ) -> Result<Option<Obtained>, Error> {
        let order = Order { plan: &snapshot.plan(), candidates, ..self.want.order() };
        match deliver::fetch(self.call, order, purpose).await.noted_in(self.receipt) {
            Ok(obtained) => Ok(Some(obtained)),
            Err(error) if matches!(error.kind, ErrorKind::Interrupted | ErrorKind::Local) => Err(error),
            Err(_) => Ok(None),
        }
    }
}
