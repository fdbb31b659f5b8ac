//! The keystore: the library's front door for everything that changes keys and tenants.
//!
//! 1. `keys`: issue, update, revoke.
//! 2. `tenants`: create, change, delete.
//! 3. [`listing`]: pages of keys.
//! 4. [`verdict`]: what an API key is worth, with the real reason, for admins.
//!
//! Every change is durable in the bucket before it is acknowledged, and in this node's memory before that too, so the
//! next request already sees it. A caller that stops waiting does not stop a change half-way.

mod keys;
pub mod listing;
mod tenants;
pub mod verdict;

use std::sync::Arc;

pub use keys::Issued;
pub use listing::{Cursor, Filter, Page};
pub use tenants::TenantPatch;
pub use verdict::{Verdict, VerdictCode};

use crate::cache::KeyCache;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, KeyId, Tenant, TenantId};
use crate::store::Bucket;
use crate::sync::{self, Counts};

/// How often a compare-and-swap is tried before we say that too many are writing: each round one of them gets through.
const ATTEMPTS: usize = 100;

/// Keys and tenants in a bucket, with all of them in memory. Cheap to clone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> keyloft::Result<()> {
/// use std::sync::Arc;
/// use keyloft::auth::{self, Query};
/// use keyloft::key::{KeyName, KeyType, NewKey, TenantId};
/// use keyloft::{Bucket, Keystore, SystemClock};
///
/// let keystore = Keystore::new(Bucket::in_memory(), Arc::default(), Arc::new(SystemClock));
/// keystore.sync().await?;
/// let name = KeyName::parse("dashboards").map_err(|error| keyloft::Error::invalid(error.to_string()))?;
/// let issued = keystore.issue(&TenantId::default(), NewKey::new(name, KeyType::Query), None).await?;
/// let permit = auth::authenticate::<Query>(keystore.cache(), issued.secret.expose(), None, keystore.now());
/// assert_eq!(permit.unwrap().key().name.as_str(), "dashboards");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Keystore {
    bucket: Bucket,
    cache: Arc<KeyCache>,
    clock: Arc<dyn Clock>,
}

impl Keystore {
    /// A keystore over a bucket. It knows no key before the first [`Keystore::sync`].
    pub fn new(bucket: Bucket, cache: Arc<KeyCache>, clock: Arc<dyn Clock>) -> Self {
        Self { bucket, cache, clock }
    }

    /// The keys in memory, for [`crate::auth::authenticate`].
    pub fn cache(&self) -> &Arc<KeyCache> {
        &self.cache
    }

    /// The current instant of the keystore's clock.
    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.clock.now()
    }

    /// Makes memory equal to the bucket: loads everything at start, and takes in changes made by hand later.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer; what was known before stays.
    pub async fn sync(&self) -> Result<Counts> {
        sync::reconcile(&self.bucket, &self.cache).await
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

    /// The tenants that are not deleted, sorted by id.
    pub fn tenants(&self) -> Vec<Arc<Tenant>> {
        self.cache.tenants().into_iter().filter(|tenant| !tenant.deleted).collect()
    }

    /// Lets a change run to its end even if its caller stops waiting: a key must not be revoked in the bucket and go on
    /// working in memory.
    async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        tokio::spawn(work)
            .await
            .map_err(|error| Error::new(ErrorKind::Internal, "the change failed").caused_by(error))?
    }
}

fn too_busy() -> Error {
    Error::new(ErrorKind::Unavailable, "too many writers are changing this at once")
}
