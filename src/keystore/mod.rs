//! The keystore: the library's front door for everything that changes keys and tenants.
//!
//! 1. `keys`: issue, update, revoke.  `secret`: what keys are given, each once.  `rotation`: a new secret for a key.
//! 2. `create`: writing a key that is not there yet.  `claim`: why no name is given twice.
//! 3. [`bulk`]: the engine for many changes.  [`change`], [`outcomes`]: what goes in, what comes back.  `schedule`:
//!    which of them must wait for each other.
//! 4. [`selection`]: the keys that a filter selects.  [`dry_run`]: what changes would do.
//! 5. [`plan`]: from declared keys to the changes that make them so.  `apply`: doing those changes.
//! 6. `tenants`: create and change.  `deletion`: a tombstone, and then the keys.
//! 7. [`listing`]: pages of keys.  `expiring`: how many expire soon.
//! 8. `follow`: polling and maintenance for as long as the node runs. `purge`: a part of that. `pending`: revocations
//!    that are not durable yet. `running`: work that continues when its caller stops waiting. `streams`: logging
//!    changes of streams. `held`: documents of other kinds.
//!
//! Every change is durable in the bucket before it is acknowledged, its document and its entry in the change log, and
//! in this node's memory before that too, so the next request already sees it. A caller that stops waiting does not
//! stop a change half-way.

mod apply;
pub(crate) mod bulk;
pub(crate) mod change;
mod claim;
mod create;
mod deletion;
pub(crate) mod dry_run;
mod erasure;
mod expiring;
mod follow;
mod held;
mod keys;
pub(crate) mod listing;
pub(crate) mod outcomes;
mod pending;
pub(crate) mod plan;
mod purge;
mod rotation;
mod running;
mod schedule;
mod secret;
pub(crate) mod selection;
mod streams;
mod tenants;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "server")]
pub(crate) use apply::{Desired, StepOutcome};
pub use change::{Change, Done, Effect, Rotation};
pub use deletion::TenantDeletion;
pub use dry_run::DryRun;
pub use keys::{Changed, Issued};
pub use listing::{Cursor, Filter, Page};
pub use outcomes::Outcomes;
pub use secret::SuppliedSecret;
pub use selection::{Selection, Unused};
pub use tenants::TenantPatch;

use crate::cache::KeyCache;
use crate::clock::Clock;
use crate::documents::{Documents, RequestContext, StoredKey, TenantDocument};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Actor, ApiKey, Digest, KeyId, Tenant, TenantId};
use crate::store::Bucket;
use crate::sync::{ChangedObject, HeldDocuments, Replica, log};
pub use crate::sync::{Counts, Lookup, SyncSettings};

use change::LoggedKey;

/// How long a request waits for the lookup of its key.
const LOOK_PATIENCE: Duration = Duration::from_secs(4);

/// Keys and tenants in a bucket, with all of them in memory. Cheap to clone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> keyloft::Result<()> {
/// use std::sync::Arc;
/// use keyloft::access::{Action, Attempt, authenticate};
/// use keyloft::key::{Actor, KeyName, KeyType, NewKey, TenantId};
/// use keyloft::{Bucket, Keystore, RequestContext, SystemClock};
///
/// let keystore = Keystore::new(Bucket::in_memory(), Arc::default(), Arc::new(SystemClock));
/// keystore.sync().await?;
/// let name = KeyName::parse("dashboards").map_err(|error| keyloft::Error::invalid(error.to_string()))?;
/// let context = RequestContext::new(Actor::System, keystore.now());
/// let issued = keystore.issue(&context, &TenantId::default(), NewKey::new(name, KeyType::Query)).await?;
/// let attempt = Attempt::new(Action::Query, keystore.now());
/// let permit = authenticate(keystore.cache(), issued.secret.expose(), &attempt);
/// assert_eq!(permit.unwrap().key().name.as_str(), "dashboards");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Keystore {
    bucket: Bucket,
    keys: Documents<StoredKey>,
    tenants: Documents<TenantDocument>,
    cache: Arc<KeyCache>,
    clock: Arc<dyn Clock>,
    replica: Arc<Replica>,
    pending: pending::PendingRevocations,
    deletions: deletion::UnfinishedDeletions,
    erasures: erasure::UnfinishedErasures,
    running: running::Running,
    announcements: streams::Announcements,
    reserved_secrets: secret::ReservedSecrets,
    expiring: Arc<expiring::Expiring>,
}

impl Keystore {
    /// A keystore over a bucket. It knows no key before the first [`Keystore::sync`]. Its work runs in the runtime in
    /// which this is called, if there is one.
    pub fn new(bucket: Bucket, cache: Arc<KeyCache>, clock: Arc<dyn Clock>) -> Self {
        Self::with_settings(bucket, cache, clock, SyncSettings::default())
    }

    /// The same, with other settings for [`Keystore::follow`].
    pub fn with_settings(bucket: Bucket, cache: Arc<KeyCache>, clock: Arc<dyn Clock>, settings: SyncSettings) -> Self {
        Self::holding(bucket, cache, clock, settings, Vec::new())
    }

    /// The same, which also keeps documents of other kinds than keys and tenants in memory.
    #[doc(hidden)]
    pub fn holding(
        bucket: Bucket,
        cache: Arc<KeyCache>,
        clock: Arc<dyn Clock>,
        settings: SyncSettings,
        held: Vec<Arc<dyn HeldDocuments>>,
    ) -> Self {
        let replica = Arc::new(Replica::new(bucket.clone(), cache.clone(), clock.clone(), settings, held));
        let (pending, deletions, running, announcements, reserved_secrets, expiring) = Default::default();
        let (keys, tenants) = (Documents::new(bucket.clone()), Documents::new(bucket.clone()));
        Self {
            bucket,
            keys,
            tenants,
            cache,
            clock,
            replica,
            pending,
            deletions,
            erasures: Default::default(),
            running,
            announcements,
            reserved_secrets,
            expiring,
        }
    }

    /// The keys in memory, for [`crate::access::authenticate`].
    pub fn cache(&self) -> &Arc<KeyCache> {
        &self.cache
    }

    /// The current instant of the keystore's clock.
    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.clock.now()
    }

    /// Loads all keys at the start, from a snapshot and the change log where they are whole. Changes made by hand may
    /// not be known then: [`KeyCache::is_verified`] says so, and [`Keystore::follow`] takes them in. Without a snapshot
    /// this is [`Keystore::sync`].
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer: call it again.
    pub async fn load(&self) -> Result<Counts> {
        let replica = self.replica.clone();
        running::outcome(self.running.spawn(async move { replica.load().await })).await
    }

    /// Makes memory equal to the bucket: loads everything at start, and takes in changes made by hand later.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer; what was known before stays.
    pub async fn sync(&self) -> Result<Counts> {
        let replica = self.replica.clone();
        running::outcome(self.running.spawn(async move { replica.reconcile().await })).await
    }

    /// Takes in what other nodes have changed since the last time.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, or before the first [`Keystore::sync`].
    pub async fn catch_up(&self) -> Result<()> {
        let replica = self.replica.clone();
        running::outcome(self.running.spawn(async move { replica.catch_up().await })).await
    }

    /// What to do about a key that is not in memory and was presented from `client`: another node may have issued it a
    /// moment ago. From memory.
    pub fn decide_lookup(&self, digest: &Digest, client: Option<IpAddr>) -> Lookup {
        self.replica.decide_lookup(digest, client)
    }

    /// Reads the log for a key that is not in memory, after [`Keystore::decide_lookup`]. Many callers share one read.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer: then whether the key exists is not known.
    pub async fn look_up(&self, digest: &Digest, client: Option<IpAddr>) -> Result<()> {
        let (replica, digest) = (self.replica.clone(), *digest);
        let look = running::outcome(self.running.spawn(async move { replica.look_up(&digest, client).await }));
        let late = |_| Error::new(ErrorKind::Unavailable, "the store did not answer in time");
        tokio::time::timeout(LOOK_PATIENCE, look).await.map_err(late)?
    }

    /// The same in one, for callers that have no budget. Says what was decided.
    ///
    /// # Errors
    /// As for [`Keystore::look_up`].
    pub async fn look_up_if_needed(&self, digest: &Digest) -> Result<Lookup> {
        match self.decide_lookup(digest, None) {
            needless @ (Lookup::Recent | Lookup::Alone) => Ok(needless),
            _ => self.look_up(digest, None).await.map(|()| Lookup::Needed),
        }
    }

    /// Logs changes of keys that are durable, and gives the number of the last entry. What cannot be logged now is
    /// logged as soon as the store answers: the caller learns of the failure, and may never repeat the request.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    async fn log_keys(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        keys: impl IntoIterator<Item = LoggedKey<'_>>,
    ) -> Result<u64> {
        let keys: Vec<LoggedKey<'_>> = keys.into_iter().collect();
        let is_detailed = keys.len() <= log::MAX_DETAILED;
        let change = |LoggedKey { before, after, action }: LoggedKey<'_>| {
            let key = after.or(before)?;
            let object = ChangedObject::Key { tenant: tenant.clone(), key_id: key.key_id };
            let change = object.by(context).doing(action).named(key.name.to_string());
            Some(if is_detailed { change.between(before, after) } else { change })
        };
        self.replica.append(keys.into_iter().filter_map(change).collect()).await
    }

    /// The context of maintenance.
    fn maintenance(&self) -> RequestContext {
        RequestContext::new(Actor::System, self.clock.now())
    }

    /// This node's copy of the bucket: its nodes, and the last change that each has applied.
    #[doc(hidden)]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// A key by its id.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such tenant or key.
    pub fn find(&self, tenant: &TenantId, id: KeyId) -> Result<Arc<ApiKey>> {
        self.tenant(tenant)?;
        self.cache.key(tenant, id).ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such key"))
    }

    /// A tenant by its id.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when it was never created, [`ErrorKind::TenantDeleted`] when only its tombstone is left.
    pub fn tenant(&self, id: &TenantId) -> Result<Arc<Tenant>> {
        match self.cache.tenant(id) {
            None => Err(Error::new(ErrorKind::NotFound, "there is no such tenant")),
            Some(tenant) if tenant.deleted => Err(Error::new(ErrorKind::TenantDeleted, "the tenant was deleted")),
            Some(tenant) => Ok(tenant),
        }
    }

    /// A tenant by its id, also one that another node created a moment ago.
    ///
    /// # Errors
    /// As for [`Keystore::tenant`]; [`ErrorKind::Unavailable`] when it is not known here and the store does not answer.
    pub async fn tenant_read_through(&self, id: &TenantId) -> Result<Arc<Tenant>> {
        self.read_through(|| self.tenant(id)).await
    }

    /// A key by its id, also one that another node issued a moment ago.
    ///
    /// # Errors
    /// As for [`Keystore::find`]; [`ErrorKind::Unavailable`] when it is not known here and the store does not answer.
    pub async fn find_read_through(&self, tenant: &TenantId, id: KeyId) -> Result<Arc<ApiKey>> {
        self.read_through(|| self.find(tenant, id)).await
    }

    async fn read_through<T>(&self, find: impl Fn() -> Result<T>) -> Result<T> {
        match find() {
            // Before the keys are loaded this fails: what is not in memory may exist.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.catch_up().await?;
                find()
            }
            found => found,
        }
    }

    /// The tenants that are not deleted, sorted by id.
    pub fn tenants(&self) -> Vec<Arc<Tenant>> {
        self.cache.tenants().into_iter().filter(|tenant| !tenant.deleted).collect()
    }

    /// Runs a change to completion even if its caller stops waiting: a key must not be revoked in the bucket and go on
    /// working in memory. A node that shuts down in order waits for it.
    pub(crate) async fn run_to_completion<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        running::outcome(self.running.spawn_change(change)).await
    }
}
