//! Many changes at once. What comes out is what would come out of one after the other; what is told to other nodes is told
//! in batches, with one entry of the change log each.
//!
//! A change is acknowledged after the entry of its batch. If the process ends before that, its names and keys are in the
//! bucket all the same: this node finds them when it starts, the others when they look at everything, or when the same is
//! asked again, because what is found unchanged is told of too.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt, stream};
use tokio::sync::mpsc;

use super::Keystore;
use super::adopt::Pending;
use super::change::{Change, Done, Effect};
use super::keys::{Broken, Brought, generate, patched, revoked};
use super::lanes::{Lane, waves};
use super::outcomes::{Gate, Outcomes, is_unanswered};
use super::rotation::rotated;
use crate::documents::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, KeyId, NewKey, TenantId};
use crate::sync::Touched;
use crate::sync::log::LogEntry;

/// How many changes are written at once. More would make each wait longer for a store that is slow already.
const WIDTH: usize = 32;
/// The same for a local directory: the more, the more of them share what the disk does for each sync.
const LOCAL_WIDTH: usize = 64;
/// How often a change is tried again that the store did not answer, if that does no harm.
const SECOND_TRIES: usize = 1;
/// How often a name is asked for again that another request of this node is about to give.
const TRIES: usize = 40;
/// The pause before that.
const PAUSE: Duration = Duration::from_millis(25);

impl Keystore {
    /// Makes many changes in a tenant, many at a time, and gives an outcome for each, in their order. Changes of one key or
    /// one name are made one after the other. Each outcome stands for itself: an error is that of one change.
    ///
    /// The errors are those of [`Keystore::adopt`], [`Keystore::update`], [`Keystore::rotate_to`] and
    /// [`Keystore::revoke`]; and [`ErrorKind::NotBegun`] for every change after the store has stopped answering.
    pub fn change_many(&self, context: &RequestContext, tenant: &TenantId, changes: Vec<Change>) -> Outcomes {
        let (sender, receiver) = mpsc::channel(LogEntry::MAX_CHANGES);
        let gate = Arc::new(Gate::default());
        let (keystore, context, tenant) = (self.clone(), context.clone(), tenant.clone());
        let work = Work { keystore, context, tenant, gate: gate.clone() };
        // Whoever asked may hang up: what is in the bucket must be told of all the same.
        drop(self.running.spawn_change(work.run(changes, sender)));
        Outcomes { receiver, gate }
    }
}

/// The changes of one caller.
struct Work {
    keystore: Keystore,
    context: RequestContext,
    tenant: TenantId,
    gate: Arc<Gate>,
}

impl Work {
    async fn run(self, changes: Vec<Change>, sender: mpsc::Sender<Result<Done>>) {
        if changes.is_empty() {
            return;
        }
        // What other nodes did a moment ago counts too; without an answer each change learns that for itself.
        if let Err(error) = self.keystore.catch_up().await {
            tracing::debug!("many changes begin without the latest of other nodes: {error:?}");
        }
        let mut changes = changes.into_iter();
        loop {
            let batch: Vec<Change> = changes.by_ref().take(LogEntry::MAX_CHANGES).collect();
            if batch.is_empty() || sender.is_closed() {
                return;
            }
            for outcome in self.batch(batch).await {
                if sender.send(outcome).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Writes the documents of a batch, then tells of all of them at once.
    async fn batch(&self, changes: Vec<Change>) -> Vec<Result<Done>> {
        let mut outcomes: Vec<(usize, Result<Done>)> = Vec::with_capacity(changes.len());
        let name_of = |id| self.keystore.cache.key(&self.tenant, id).map(|key| key.name.clone());
        let width = if self.keystore.bucket.is_directory() { LOCAL_WIDTH } else { WIDTH };
        for lanes in waves(changes, name_of) {
            let lanes = stream::iter(lanes).map(|lane| self.lane(lane).boxed()).buffer_unordered(width);
            outcomes.extend(lanes.collect::<Vec<_>>().await.into_iter().flatten());
        }
        outcomes.sort_unstable_by_key(|(at, _)| *at);
        let mut outcomes: Vec<Result<Done>> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        let by = self.context.attribution();
        let touched = |done: &Done| Touched::Key { tenant: self.tenant.clone(), key_id: done.key.key_id }.by(&by);
        let touched: Vec<_> = outcomes.iter().flatten().map(touched).collect();
        if touched.is_empty() {
            return outcomes;
        }
        let told = self.keystore.replica.append(touched).await;
        if let Ok(change_seq) = told
            && outcomes.iter().flatten().any(|done| done.effect != Effect::Revoked)
        {
            self.keystore.replica.introduce(change_seq).await;
        }
        self.gate.note(&told);
        for outcome in &mut outcomes {
            if let Ok(done) = outcome {
                match &told {
                    Ok(change_seq) => done.change_seq = *change_seq,
                    Err(error) => *outcome = Err(Error::new(error.kind(), error.message())),
                }
            }
        }
        outcomes
    }

    async fn lane(&self, lane: Lane) -> Vec<(usize, Result<Done>)> {
        let mut outcomes = Vec::with_capacity(lane.len());
        for (at, change) in lane {
            let outcome = if self.gate.is_closed() { Err(not_begun()) } else { self.patiently(change).await };
            self.gate.note(&outcome);
            outcomes.push((at, outcome));
        }
        outcomes
    }

    /// Makes a change, and once more if the store did not answer. Not if its secret is made here: it would be another one.
    async fn patiently(&self, change: Change) -> Result<Done> {
        let repeatable = !matches!(change, Change::Issue { secret: None, .. });
        for _ in 0..SECOND_TRIES {
            match self.change(change.clone()).await {
                Err(error) if repeatable && is_unanswered(&error) && !self.gate.is_closed() => {}
                outcome => return outcome,
            }
        }
        self.change(change).await
    }

    async fn change(&self, change: Change) -> Result<Done> {
        let (keystore, tenant) = (&self.keystore, &self.tenant);
        match change {
            Change::Issue { new, secret: Some(secret) } => self.adopt(*new, secret).await,
            Change::Issue { new, secret: None } => {
                let secret = generate(new.key_type)?;
                let brought = Brought::of(&secret);
                let issue = keystore.adopt_document(&self.context, tenant.clone(), *new, brought, Pending::Refuse);
                let key = issue.await?;
                Ok(Done { secret: Some(secret), ..Done::new(key, Effect::Issued) })
            }
            Change::Update { id, patch } => {
                keystore.check_end(tenant, &patch).await?;
                self.swap(id, Broken::Refuse, Effect::Updated, patched(*patch)).await
            }
            Change::Rotate { id, secret, overlap } => {
                let _held = keystore.hold(&secret, Some((tenant, id)))?;
                let change = rotated(secret, keystore.clock.now(), overlap)?;
                self.swap(id, Broken::Refuse, Effect::Rotated, change).await
            }
            Change::Revoke { id } => {
                let revocation = self.swap(id, Broken::Overwrite, Effect::Revoked, revoked);
                keystore.refusing(&self.context, tenant, id, None, revocation).await
            }
        }
    }

    async fn swap(
        &self,
        id: KeyId,
        broken: Broken,
        effect: Effect,
        change: impl Fn(&mut ApiKey) -> Result<()> + Send + Sync,
    ) -> Result<Done> {
        self.keystore.tenant_anywhere(&self.tenant).await?;
        let swapped = self.keystore.swap(&self.context, self.tenant.clone(), id, None, broken, change).await?;
        Ok(Done::new(swapped.key, if swapped.is_changed { effect } else { Effect::Unchanged }))
    }

    /// Issues a key for a secret that its owner keeps: whoever asks again, after whatever interruption, gets the same key.
    async fn adopt(&self, new: NewKey, secret: Brought) -> Result<Done> {
        let keystore = &self.keystore;
        for _ in 0..TRIES {
            if let Some(key) = keystore.same(&self.tenant, &new, &secret) {
                return Ok(Done::new(key, Effect::Unchanged));
            }
            let (tenant, new) = (self.tenant.clone(), new.clone());
            let issue = keystore.adopt_document(&self.context, tenant, new.clone(), secret, Pending::Finish);
            match issue.await {
                Ok(key) => return Ok(Done::new(key, Effect::Issued)),
                Err(error) if is_taken(&error) => {
                    if let Some(key) = keystore.same(&self.tenant, &new, &secret) {
                        return Ok(Done::new(key, Effect::Unchanged));
                    }
                    match keystore.cache.named(&self.tenant, &new.name) {
                        Some(key) if key.digest.verify(&secret.digest) => return Err(differs()),
                        None if error.kind() == ErrorKind::DuplicateKeyName => {}
                        _ => return Err(error),
                    }
                    tokio::time::sleep(PAUSE).await; // Another request is giving the name, maybe to this very key.
                }
                Err(error) => return Err(error),
            }
        }
        Err(super::claim::duplicate())
    }
}

fn is_taken(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::DuplicateKeyName | ErrorKind::DuplicateApiKey) && error.wait().is_none()
}

fn differs() -> Error {
    Error::new(ErrorKind::DuplicateKeyName, "a live key has that name and that secret, but other settings: update it")
}

fn not_begun() -> Error {
    Error::new(ErrorKind::NotBegun, "it was not begun: ask again")
}
