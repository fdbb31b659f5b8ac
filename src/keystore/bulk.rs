//! The engine for many changes. Results equal sequential execution; log entries are written per batch.
//!
//! A change is acknowledged after the log entry of its batch. If the process ends before that, its names and keys are
//! in the bucket all the same: this node finds them when it starts; the others find them at their next full reconcile,
//! or when the same request is repeated, because unchanged keys are logged too.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt, stream};
use tokio::sync::mpsc;

use super::Keystore;
use super::change::{Change, Done, Effect, Rotation};
use super::create::OnPendingClaim;
use super::keys::{OnUnreadable, patched, revoked};
use super::outcomes::{Gate, Outcomes, is_unanswered};
use super::rotation::rotated;
use super::schedule::{ConflictGroup, schedule};
use super::secret::{SuppliedSecret, generate};
use crate::documents::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, KeyId, KeyPatch, NewKey, TenantId};
use crate::sync::log::LogEntry;

/// How many changes are written at once. More would make each wait longer for a store that is slow already.
const WIDTH: usize = 32;
/// The same for a local directory: the more, the more of them share what the disk does for each sync.
const LOCAL_WIDTH: usize = 64;
/// After this many changes in a row without an answer of the store, no other change is started.
const PATIENCE: usize = 32;
/// How often a change without an answer of the store is tried again, if that does no harm.
const SECOND_TRIES: usize = 1;
/// How often a name is tried again that another request of this node is about to take.
const TRIES: usize = 40;
/// The pause before that.
const PAUSE: Duration = Duration::from_millis(25);

impl Keystore {
    /// Makes many changes in a tenant, many at a time, and gives an outcome for each, in their order. Changes of one
    /// key or one name are made one after the other. An error concerns one change only.
    ///
    /// The errors are those of [`Keystore::issue_with_secret`], [`Keystore::update`], [`Keystore::rotate_to`] and
    /// [`Keystore::revoke`]; and [`ErrorKind::NotBegun`] for every change after the store has stopped answering.
    pub fn change_many(&self, context: &RequestContext, tenant: &TenantId, changes: Vec<Change>) -> Outcomes {
        self.change_while_answered(context, tenant, changes, PATIENCE)
    }

    /// The same, until the store has not answered `patience` changes in a row.
    pub(super) fn change_while_answered(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        changes: Vec<Change>,
        patience: usize,
    ) -> Outcomes {
        let (sender, receiver) = mpsc::channel(LogEntry::MAX_CHANGES);
        let gate = Arc::new(Gate::new(patience));
        let (keystore, context, tenant) = (self.clone(), context.clone(), tenant.clone());
        let work = Work { keystore, context, tenant, gate: gate.clone() };
        // Continues when the caller stops waiting: changes in the bucket must be logged.
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
        // Applies the latest changes of other nodes first. If the store does not answer, each change finds that out
        // itself.
        if let Err(error) = self.keystore.catch_up().await {
            tracing::debug!("bulk changes start without the latest changes of other nodes: {error:?}");
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

    /// Writes the documents of a batch, then logs all of them at once.
    async fn batch(&self, changes: Vec<Change>) -> Vec<Result<Done>> {
        let mut outcomes: Vec<(usize, Result<Done>)> = Vec::with_capacity(changes.len());
        let name_of = |id| self.keystore.cache.key(&self.tenant, id).map(|key| key.name.clone());
        let width = if self.keystore.bucket.is_directory() { LOCAL_WIDTH } else { WIDTH };
        for groups in schedule(changes, name_of) {
            let groups = stream::iter(groups).map(|group| self.group(group).boxed()).buffer_unordered(width);
            outcomes.extend(groups.collect::<Vec<_>>().await.into_iter().flatten());
        }
        outcomes.sort_unstable_by_key(|(at, _)| *at);
        let mut outcomes: Vec<Result<Done>> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        if outcomes.iter().all(Result::is_err) {
            return outcomes;
        }
        let keys = outcomes.iter().flatten().map(Done::logged);
        let logged = self.keystore.log_keys(&self.context, &self.tenant, keys).await;
        if let Ok(change_seq) = logged
            && outcomes.iter().flatten().any(|done| done.effect != Effect::Revoked)
        {
            self.keystore.replica.introduce(change_seq).await;
        }
        self.gate.note(&logged);
        for outcome in &mut outcomes {
            if let Ok(done) = outcome {
                match &logged {
                    Ok(change_seq) => done.change_seq = *change_seq,
                    Err(error) => *outcome = Err(Error::new(error.kind(), error.message())),
                }
            }
        }
        outcomes
    }

    async fn group(&self, group: ConflictGroup) -> Vec<(usize, Result<Done>)> {
        let mut outcomes = Vec::with_capacity(group.len());
        for (at, change) in group {
            let outcome = if self.gate.is_closed() { Err(not_begun()) } else { self.patiently(change).await };
            self.gate.note(&outcome);
            outcomes.push((at, outcome));
        }
        outcomes
    }

    /// Makes a change, and once more if the store did not answer. Not if its secret is made here: it would be another
    /// one.
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
            Change::Issue { new, secret: Some(secret), active } => self.issue_with_secret(*new, secret, active).await,
            Change::Issue { new, secret: None, active } => {
                let secret = generate(new.key_type)?;
                let supplied = SuppliedSecret::of(&secret);
                let issue = keystore.write_new_key(
                    &self.context,
                    tenant.clone(),
                    *new,
                    supplied,
                    active,
                    OnPendingClaim::Refuse,
                );
                let key = issue.await?;
                Ok(Done { secret: Some(secret), ..Done::new(key, Effect::Issued) })
            }
            Change::Update { id, patch, rotation: None, expected_rev } => {
                keystore.check_end(tenant, &patch).await?;
                self.swap(id, expected_rev, OnUnreadable::Refuse, Effect::Updated, patched(*patch)).await
            }
            Change::Update { id, patch, rotation: Some(Rotation { secret, overlap }), expected_rev } => {
                keystore.check_end(tenant, &patch).await?;
                let _reserved = keystore.reserve_secret(&secret, Some((tenant, id)))?;
                let (patch, rotate) = (patched(*patch), rotated(secret, keystore.clock.now(), overlap)?);
                let change = |key: &mut ApiKey| patch(key).and_then(|()| rotate(key));
                self.swap(id, expected_rev, OnUnreadable::Refuse, Effect::Rotated, change).await
            }
            Change::Revoke { id } => {
                let revocation = self.swap(id, None, OnUnreadable::Overwrite, Effect::Revoked, revoked);
                keystore.refusing(&self.context, tenant, id, None, revocation).await
            }
        }
    }

    async fn swap(
        &self,
        id: KeyId,
        expected_rev: Option<u64>,
        on_unreadable: OnUnreadable,
        effect: Effect,
        change: impl Fn(&mut ApiKey) -> Result<()> + Send + Sync,
    ) -> Result<Done> {
        let (keystore, tenant) = (&self.keystore, &self.tenant);
        keystore.tenant_read_through(tenant).await?;
        match keystore.swap(&self.context, tenant.clone(), id, expected_rev, on_unreadable, &change).await {
            Ok(swapped) => {
                let effect = if swapped.action.is_some() { effect } else { Effect::Unchanged };
                let (action, before) = (swapped.action, Some(swapped.before));
                Ok(Done { action, before, ..Done::new(swapped.key, effect) })
            }
            Err(error) if error.kind() == ErrorKind::PreconditionFailed => {
                // The first try may have been carried out without an answer: then the key has the requested state.
                keystore.replica.refresh(tenant, id).await?;
                let key = keystore.find(tenant, id)?;
                let mut again = ApiKey::clone(&key);
                change(&mut again)?;
                if again == *key { Ok(Done::new(key, Effect::Unchanged)) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    /// Issues a key for a secret that its owner keeps: the same request again, after any interruption, gets the same
    /// key.
    async fn issue_with_secret(&self, new: NewKey, secret: SuppliedSecret, active: bool) -> Result<Done> {
        let keystore = &self.keystore;
        for _ in 0..TRIES {
            if let Some(key) = keystore.same(&self.tenant, &new, &secret) {
                return self.found(key, active).await;
            }
            let (tenant, new) = (self.tenant.clone(), new.clone());
            let issue =
                keystore.write_new_key(&self.context, tenant, new.clone(), secret, active, OnPendingClaim::Finish);
            match issue.await {
                Ok(key) => return Ok(Done::new(key, Effect::Issued)),
                Err(error) if is_taken(&error) => {
                    if let Some(key) = keystore.same(&self.tenant, &new, &secret) {
                        return self.found(key, active).await;
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
        Err(super::claim::duplicate_name())
    }

    /// The outcome of an issue whose key exists already. It is disabled if the issue asks for that; any other state
    /// stays.
    async fn found(&self, key: Arc<ApiKey>, active: bool) -> Result<Done> {
        if active {
            return Ok(Done::new(key, Effect::Unchanged));
        }
        let disable = patched(KeyPatch { active: Some(false), ..KeyPatch::default() });
        self.swap(key.key_id, None, OnUnreadable::Refuse, Effect::Updated, disable).await
    }
}

fn is_taken(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::DuplicateKeyName | ErrorKind::DuplicateApiKey) && error.wait().is_none()
}

fn differs() -> Error {
    Error::new(ErrorKind::DuplicateKeyName, "a live key has that name and that secret, but other settings: update it")
}

fn not_begun() -> Error {
    Error::new(ErrorKind::NotBegun, "not started: send the change again")
}
