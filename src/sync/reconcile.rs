//! List, read, compare: one routine for the start, for repair and for changes made by hand.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::StreamExt;
use relative_path::{RelativePath, RelativePathBuf};

use crate::cache::{KeyCache, UnreadableDocuments};
use crate::error::{ErrorKind, Result};
use crate::key::{ApiKey, KeyId, Tenant, TenantId};
use crate::layout::{self, ObjectName};
use crate::store::document::Unreadable;
use crate::store::{Bucket, KeyDocument, Listed, TenantDocument};

/// How many documents are read at once.
const READS: usize = 64;
const SHARED_DIGEST: &str = "its digest is also that of another key";

/// What a pass found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tenants, without tombstones.
    pub tenants: usize,
    /// Usable key documents, revoked ones included.
    pub keys: usize,
    /// Keys that were new or different.
    pub changed: usize,
    /// Keys whose document was gone.
    pub removed: usize,
    /// Documents that cannot be used.
    pub unreadable: usize,
}

/// Makes `cache` equal to `bucket`. A document that cannot be used is reported and never takes a good key out of memory.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer; nothing is removed then.
pub async fn reconcile(bucket: &Bucket, cache: &KeyCache) -> Result<Counts> {
    let mut pass =
        Pass { bucket, cache, unreadable: UnreadableDocuments::new(), keys: Vec::new(), gone: Vec::new(), removed: 0 };
    pass.tenant(TenantId::default()).await?;
    // Tenants in memory too: the folder of one may have been removed.
    let mut tenants: BTreeSet<TenantId> = cache.tenants().iter().map(|tenant| tenant.id.clone()).collect();
    let folders = bucket.folders(RelativePath::new("")).await?;
    tenants.extend(folders.iter().filter_map(|folder| TenantId::parse(folder).ok()));
    for tenant in tenants.into_iter().filter(|tenant| !tenant.is_default()) {
        pass.tenant(tenant).await?;
    }
    pass.finish().await
}

/// One pass over the bucket. Everything is read before anything is changed, so that keys which share a digest are
/// recognised before either of them is let in.
struct Pass<'a> {
    bucket: &'a Bucket,
    cache: &'a KeyCache,
    unreadable: UnreadableDocuments,
    keys: Vec<Arc<ApiKey>>,
    gone: Vec<(TenantId, KeyId)>,
    removed: usize,
}

impl Pass<'_> {
    async fn tenant(&mut self, id: TenantId) -> Result<()> {
        // What is in memory now and not in the list later was removed; what is issued in between is not in question.
        let known = self.cache.scan(&id, None, usize::MAX, |_| true);
        let held = self.cache.tenant(&id);
        let listed = self.bucket.list(&layout::keys(&id)).await?;
        match self.record(&id, &listed).await? {
            Some(tenant) => {
                if held.as_deref() != Some(&tenant) {
                    self.cache.restore_tenant(held.as_ref(), tenant);
                }
            }
            None if held.is_some() => {
                self.removed += known.len();
                self.cache.remove_tenant(&id);
                return Ok(());
            }
            None => return Ok(()),
        }
        let present: HashSet<KeyId> = listed.iter().filter_map(|listed| key_id(&listed.path)).collect();
        self.gone.extend(known.iter().filter(|key| !present.contains(&key.key_id)).map(|key| (id.clone(), key.key_id)));
        let bucket = self.bucket;
        let mut documents = futures::stream::iter(listed)
            .map(|listed| async { (read_key(bucket, &id, &listed).await, listed.path) })
            .buffer_unordered(READS);
        while let Some((document, path)) = documents.next().await {
            match document? {
                Document::Key(key) => self.keys.push(key),
                Document::Gone => {}
                Document::Unusable(reason) => report(&mut self.unreadable, &id, &path, reason),
            }
        }
        Ok(())
    }

    /// The tenant's own record; `None` when this is no tenant.
    async fn record(&mut self, id: &TenantId, listed: &[Listed]) -> Result<Option<Tenant>> {
        let object = ObjectName::Tenant { tenant: id.clone() };
        let reason = match self.bucket.read(&object).await {
            Ok(Some(stored)) => match TenantDocument::parse(&stored.body) {
                Some(document) => return Ok(Some(document.tenant(id.clone()))),
                None => "not a tenant record".to_owned(),
            },
            Ok(None) if id.is_default() => return Ok(Some(Tenant::new(id.clone()))),
            Ok(None) => {
                for listed in listed {
                    report(&mut self.unreadable, id, &listed.path, "its tenant was never created".to_owned());
                }
                return Ok(None);
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => error.message().to_owned(),
            Err(error) => return Err(error),
        };
        report(&mut self.unreadable, id, &object.path(), reason);
        let known = self.cache.tenant(id).map(|tenant| (*tenant).clone());
        Ok(Some(known.unwrap_or_else(|| Tenant::unreadable(id.clone()))))
    }

    async fn finish(mut self) -> Result<Counts> {
        // What is gone first: a file that was renamed is the same digest under another id.
        for (tenant, key_id) in std::mem::take(&mut self.gone) {
            // A weak listing may miss an object: only a read that finds nothing takes a key out of memory.
            let object = ObjectName::Key { tenant: tenant.clone(), key_id };
            if matches!(self.bucket.read(&object).await, Ok(None)) {
                self.cache.remove_key(&tenant, key_id);
                self.removed += 1;
            }
        }
        let mut counts = Counts { removed: self.removed, ..Counts::default() };
        let mut owners: HashMap<u64, u32> = HashMap::with_capacity(self.keys.len());
        for key in &self.keys {
            *owners.entry(key.digest.table_hash()).or_default() += 1;
        }
        let twin = |key: &Arc<ApiKey>| owners[&key.digest.table_hash()] > 1;
        let (twins, keys): (Vec<_>, Vec<_>) = std::mem::take(&mut self.keys).into_iter().partition(twin);
        for key in twins {
            let object = ObjectName::Key { tenant: key.tenant.clone(), key_id: key.key_id };
            report(&mut self.unreadable, &key.tenant, &object.path(), SHARED_DIGEST.to_owned());
            self.cache.remove_key(&key.tenant, key.key_id);
        }
        // Before the keys: one that shares its digest with a key whose file is broken is reported when it is put.
        self.cache.set_unreadable(std::mem::take(&mut self.unreadable));
        for key in keys {
            counts.keys += 1;
            counts.changed += usize::from(self.put(key).await?);
        }
        counts.tenants = self.cache.tenants().iter().filter(|tenant| !tenant.deleted).count();
        counts.unreadable = self.cache.unreadable().len();
        self.cache.set_hydrated();
        Ok(counts)
    }

    /// A lower revision than the one in memory was read before this node made a change, or was written by hand. What is
    /// in memory was in the bucket first, so a second read tells: if that is still lower, it counts.
    async fn put(&self, key: Arc<ApiKey>) -> Result<bool> {
        let Some(known) = self.cache.key(&key.tenant, key.key_id).filter(|known| known.rev > key.rev) else {
            return Ok(self.cache.put_key(key));
        };
        let object = ObjectName::Key { tenant: key.tenant.clone(), key_id: key.key_id };
        let Some(stored) = self.bucket.read(&object).await? else { return Ok(false) };
        let again = KeyDocument::parse(&stored.body).and_then(|document| document.key(&key.tenant, key.key_id));
        match again {
            Ok(again) if again == *key => Ok(self.cache.restore_key(&known, key)),
            _ => Ok(false), // It is changing right now: the next pass will see.
        }
    }
}

enum Document {
    Key(Arc<ApiKey>),
    Unusable(String),
    /// Removed since it was listed.
    Gone,
}

async fn read_key(bucket: &Bucket, tenant: &TenantId, listed: &Listed) -> Result<Document> {
    let Some(id) = key_id(&listed.path) else {
        return Ok(Document::Unusable(foreign(bucket, listed).await));
    };
    let stored = match bucket.read(&ObjectName::Key { tenant: tenant.clone(), key_id: id }).await {
        Ok(Some(stored)) => stored,
        Ok(None) => return Ok(Document::Gone),
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(Document::Unusable(error.message().to_owned())),
        Err(error) => return Err(error),
    };
    let key = KeyDocument::parse(&stored.body).and_then(|document| document.key(tenant, id));
    Ok(match key {
        Ok(key) => Document::Key(Arc::new(key)),
        Err(reason) => Document::Unusable(reason.to_string()),
    })
}

/// Parseable names its files by ULID; anything else is not ours at all.
async fn foreign(bucket: &Bucket, listed: &Listed) -> String {
    let body = bucket.peek(&listed.path).await.ok().flatten().unwrap_or_default();
    match KeyDocument::parse(&body) {
        Err(Unreadable::Legacy) => Unreadable::Legacy.to_string(),
        _ => "its name is not <key id>.json".to_owned(),
    }
}

fn key_id(path: &RelativePathBuf) -> Option<KeyId> {
    match ObjectName::parse(path)? {
        ObjectName::Key { key_id, .. } => Some(key_id),
        _ => None,
    }
}

fn report(unreadable: &mut UnreadableDocuments, tenant: &TenantId, object: &RelativePath, reason: String) {
    tracing::warn!(%tenant, %object, %reason, "a document cannot be used");
    unreadable.insert((tenant.clone(), object.to_string()), reason);
}
