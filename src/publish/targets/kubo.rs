//! A Kubo daemon: it gets the blocks, holds the root by a pin, and signs and spreads the name.
//!
//! The order makes an interruption harmless: send the blocks with the root pinned, read them back, publish the name,
//! read the record back, and only then unpin what is older than the former publication. That one stays until the next
//! run, for clients that are still reading it
//! (`trap_a_pinned_root_is_not_pinned_again_and_the_former_one_stays_until_the_next_run`).

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use super::super::follow::ArrivedPins;
use super::super::last::{PublishedIndex, PublisherMemory};
use super::super::seal::Sealed;
use super::super::tree::{Tree, TreeFile};
use super::super::{FollowError, Phase, PublishError, PublishOptions};
use super::check;
use super::upload::UploadState;
use super::{Placement, PublishTarget, SignedRecord, TargetOffer, TargetView};
use crate::base::budget::Budget;
use crate::base::cid::{BlockCid, Cid};
use crate::index::ipns::Name;
use crate::net::kubo::{Kubo, KuboError, KuboErrorKind, Publication};
use crate::pins::{self, KuboPins, PinError, PinMark, ReconcileLimits, WantedPin};

/// Putting a record to the DHT takes a minute at times.
const ANNOUNCE: Duration = Duration::from_secs(300);
/// Bounds of the changes to pins: as many as there are, each with a limit of its own.
const LIMITS: ReconcileLimits = ReconcileLimits { changes: usize::MAX, time: Duration::from_secs(7 * 24 * 3600) };

/// The daemon, and what was seen of it.
pub(in super::super) struct KuboTarget<'a> {
    options: &'a PublishOptions,
    kubo: &'a Kubo,
    /// The name of the key, once it was looked up.
    name: Option<Name>,
    /// The last publication, if the daemon still has its blocks.
    before: Option<PublishedIndex>,
    /// The packages that it was given as they came.
    arrived: Option<&'a ArrivedPins<'a>>,
    /// Files that it was given before.
    taken: Vec<TreeFile>,
    /// Files that it has not got yet.
    new: Vec<TreeFile>,
    /// Bytes of the blocks that it will be sent.
    cost: u64,
}

impl<'a> KuboTarget<'a> {
    pub(in super::super) fn new(
        options: &'a PublishOptions,
        kubo: &'a Kubo,
        arrived: Option<&'a ArrivedPins<'a>>,
    ) -> Self {
        Self { options, kubo, name: None, before: None, arrived, taken: Vec::new(), new: Vec::new(), cost: 0 }
    }

    async fn key(&self) -> Result<Name, PublishError> {
        let key = &self.options.key;
        let found = self.kubo.keys().await?.into_iter().find(|(name, _)| name == key);
        let name = match found {
            Some((_, name)) => name,
            None => self.kubo.generate_key(key).await?,
        };
        name.parse().map_err(|_| PublishError::Key(key.clone()))
    }

    async fn seen(&mut self, tree: &Tree, memory: &PublisherMemory) -> Result<TargetView, PublishError> {
        let name = self.key().await?;
        // The blocks of the last publication that the daemon still has; its pin may have been removed by hand.
        self.before = match &memory.online {
            Some(index) if self.kubo.is_pinned(index.root).await? => Some(index.clone()),
            _ => None,
        };
        let published = self.kubo.record(&name.to_string(), Duration::from_secs(30)).await.ok();
        let published = published.and_then(|bytes| name.verify(&bytes, 0).ok());
        let floor = published.as_ref().map_or(0, |record| record.sequence);
        let same = self.before.as_ref().filter(|index| index.content == tree.fingerprint);
        let same = same.filter(|index| index.name.as_deref() == Some(&*name.to_string())).cloned();
        let is_current = same.as_ref().is_some_and(|index| {
            // A daemon that forgot the name gets it again.
            let is_known = published.is_some_and(|record| record.root() == Ok(index.root));
            // Former roots that are still pinned are let go by a run that publishes.
            let is_settled = memory.pending.is_empty();
            is_settled && index.is_fresh(self.options.now) && (is_known || !index.record)
        });
        if is_current && let Some(index) = &same {
            // What the last run kept for clients in the middle of it. A failure is the next run's to mend.
            let _ = self.keep_only(&[index.root], &self.mark(memory)).await;
        }
        self.name = Some(name);
        Ok(TargetView { same, is_current, floor, name: Some(name) })
    }

    async fn has_room(
        &mut self,
        sealed: &Sealed<'_>,
        progress: &mut dyn FnMut(Phase, u64, u64),
    ) -> Result<(), PublishError> {
        if let Some(arrived) = self.arrived {
            arrived.look().await?;
        }
        let had = self.before.as_ref().map(|index| &index.files);
        let mut seen = HashSet::new();
        // A root block that is there by itself may have come with all of its file.
        let is_whole = |had: &HashSet<BlockCid>, cid: BlockCid| {
            BlockCid::of(Cid::dag_pb(cid.digest())).is_some_and(|whole| had.contains(&whole))
        };
        let is_had = |had: &HashSet<BlockCid>, cid: BlockCid| had.contains(&cid) || is_whole(had, cid);
        let is_new =
            |file: &&TreeFile| had.is_none_or(|had| !is_had(had, file.hashed.cid)) && seen.insert(file.hashed.cid);
        let new = sealed.tree.files.iter().filter(is_new).cloned();
        let has_come = |file: &TreeFile| self.arrived.is_some_and(|arrived| arrived.has(file.hashed.cid));
        (self.taken, self.new) = new.partition(has_come);
        // Packages of mirrors that are not here have been given to it. What the root of another publication holds is
        // there, and yet not pinned by itself.
        let is_mirrors = |source: &Path| source.as_os_str().is_empty() || source.starts_with(&self.options.state_dir);
        let is_given = |file: &TreeFile| is_mirrors(&file.source) && !file.source.exists();
        let (given, new) = self.new.drain(..).partition::<Vec<_>, _>(is_given);
        self.new = new;
        for file in given {
            if self.kubo.local_block(file.hashed.cid.into()).await?.is_none() {
                let why = "Kubo has let go of its bytes before they were published".to_owned();
                return Err(FollowError::Damaged { path: file.path.into(), why }.into());
            }
            self.taken.push(file);
        }
        self.cost = self.new.iter().map(|file| file.hashed.dag_size).sum::<u64>()
            + sealed.blocks.iter().map(|block| block.bytes.len() as u64).sum::<u64>();
        let size = self.kubo.repo_size().await?;
        let free = Budget::of(size.most).room(size.used, u64::MAX);
        progress(Phase::Cost, self.cost, free);
        if self.cost > free { Err(PublishError::Space { need: self.cost, free }) } else { Ok(()) }
    }

    async fn publish(&self, offer: TargetOffer<'_>) -> Result<Placement, PublishError> {
        let TargetOffer { sealed, memory, progress, .. } = offer;
        let Some(name) = self.name else { return Err(PublishError::Key(self.options.key.clone())) };
        // Written down before it is pinned: an interrupted import leaves a pin without our name.
        memory.pending.push(sealed.root);
        memory.save(&self.options.state_dir)?;
        let mark = self.mark(memory);
        self.upload(sealed, &mark, progress).await?;
        let files = [&self.taken[..], &self.new].concat();
        check::read_back(self.kubo, sealed, &files, progress).await?;
        let (key, root, sequence) = (&*self.options.key, sealed.root, sealed.manifest.sequence);
        let what = Publication { key, root, sequence, lifetime: self.options.lifetime, ttl: self.options.ttl };
        self.kubo.publish(&what, ANNOUNCE).await?;
        // Until it was read back it counts as one that gives out its record, so that the next run looks for it.
        let mut index = PublishedIndex { record: true, ..PublishedIndex::of(sealed, Some(&name)) };
        memory.online = Some(index.clone());
        memory.save(&self.options.state_dir)?;

        let record = check::record(self.kubo, &name, sealed, self.options.now).await?;
        index.record = record.is_some();
        memory.online = Some(index);
        let mut warnings = Vec::new();
        if record.is_none() {
            let text = "the daemon does not give out the name's record (Routing.Type none?): others cannot find it";
            warnings.push(text.to_owned());
        }
        let kept: Vec<Cid> = [Some(root), self.before.as_ref().map(|index| index.root)].into_iter().flatten().collect();
        match self.keep_only(&kept, &mark).await {
            Ok(()) => memory.pending.clear(),
            Err(e) => warnings.push(format!("a former publication stays pinned until the next run: {e}")),
        }
        memory.save(&self.options.state_dir)?;
        let signed = Some(SignedRecord { bytes: record });
        let sent = self.cost + self.arrived.map_or(0, |arrived| arrived.sent.get());
        Ok(Placement { new_files: files.len(), sent, signed, warnings })
    }

    /// Sends the blocks and pins the root, beside the former one.
    async fn upload(
        &self,
        sealed: &Sealed<'_>,
        mark: &PinMark,
        progress: &mut dyn FnMut(Phase, u64, u64),
    ) -> Result<(), PublishError> {
        let upload = UploadState::default();
        let content = upload.content(self.cost, sealed.blocks.clone(), self.new.clone());
        let wanted = [WantedPin { cid: sealed.root, label: String::new(), content: Some(content) }];
        let target = self.pins();
        let work = pins::extend(&wanted, &target, mark, &LIMITS);
        tokio::pin!(work);
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                _ = tick.tick() => progress(Phase::Upload, upload.sent.load(Ordering::Relaxed), self.cost),
            }
        };
        progress(Phase::Upload, upload.sent.load(Ordering::Relaxed), self.cost);
        let failure = match done {
            Ok(done) => done.failed.into_iter().next().map(|failure| failure.error),
            Err(error) => Some(error),
        };
        match (failure, upload.failure()) {
            (_, Some(ours)) => Err(ours),
            (Some(PinError::Kubo(fault)), None) if fault.kind == KuboErrorKind::NoSpace => {
                Err(KuboError::new(fault.call, fault.kind, format!("{}; nothing was switched", fault.text)).into())
            }
            (Some(error), None) => Err(error.into()),
            (None, None) => Ok(()),
        }
    }

    fn mark(&self, memory: &PublisherMemory) -> PinMark {
        PinMark::exactly(format!("pkgswarm:{}", self.options.publisher)).with_roots(&memory.pending)
    }

    /// Unpins all publications of this publisher but these, which are pinned.
    async fn keep_only(&self, roots: &[Cid], mark: &PinMark) -> Result<(), PinError> {
        let pin = |root: &Cid| WantedPin { cid: *root, label: String::new(), content: None };
        let wanted: Vec<WantedPin> = roots.iter().map(pin).collect();
        let done = pins::reconcile(&wanted, &self.pins(), mark, &LIMITS).await?;
        done.failed.into_iter().next().map_or(Ok(()), |failure| Err(failure.error))
    }

    fn pins(&self) -> KuboPins<'a> {
        KuboPins { kubo: self.kubo, ledger: None, patience: ANNOUNCE }
    }
}

impl PublishTarget for KuboTarget<'_> {
    fn label(&self) -> String {
        "Kubo".to_owned()
    }

    fn look<'a>(
        &'a mut self,
        tree: &'a Tree,
        memory: &'a PublisherMemory,
    ) -> LocalBoxFuture<'a, Result<TargetView, PublishError>> {
        Box::pin(self.seen(tree, memory))
    }

    fn check<'a>(
        &'a mut self,
        sealed: &'a Sealed<'a>,
        _is_signed: bool,
        progress: &'a mut dyn FnMut(Phase, u64, u64),
    ) -> LocalBoxFuture<'a, Result<(), PublishError>> {
        Box::pin(self.has_room(sealed, progress))
    }

    fn place<'a>(&'a mut self, offer: TargetOffer<'a>) -> LocalBoxFuture<'a, Result<Placement, PublishError>> {
        Box::pin(self.publish(offer))
    }
}
