//! List, compare, read: one routine for the start, for repair and for changes made by hand.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::StreamExt;
use relative_path::RelativePath;

use super::read::{self, KeyRead, TenantRead, report};
use super::tags::Tags;
use crate::cache::{KeyCache, UnreadableDocuments};
use crate::error::Result;
use crate::key::{ApiKey, KeyId, TenantId};
use crate::layout::{self, ObjectName};
use crate::store::document::Unreadable;
use crate::store::{Bucket, KeyDocument, Listed, Tag};

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

/// Makes `cache` equal to `bucket`: reads what the listing shows in another state than `tags`, drops what is gone. A
/// document that cannot be used is reported and never takes a good key out of memory.
///
/// # Errors
/// [`crate::ErrorKind::Unavailable`] when the store does not answer; nothing is removed then.
pub(super) async fn run(bucket: &Bucket, cache: &KeyCache, tags: &Tags) -> Result<Counts> {
    let mut pass = Pass {
        bucket,
        cache,
        tags,
        unreadable: UnreadableDocuments::new(),
        read: Vec::new(),
        gone: Vec::new(),
        unchanged: 0,
        removed: 0,
    };
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
    tags: &'a Tags,
    unreadable: UnreadableDocuments,
    read: Vec<(Arc<ApiKey>, Option<Tag>)>,
    gone: Vec<(TenantId, KeyId)>,
    unchanged: usize,
    removed: usize,
}

impl Pass<'_> {
    async fn tenant(&mut self, id: TenantId) -> Result<()> {
        // What is in memory now and not in the list later was removed; what is issued in between is not in question.
        let known: HashMap<KeyId, Arc<ApiKey>> =
            self.cache.scan(&id, None, usize::MAX, |_| true).into_iter().map(|key| (key.key_id, key)).collect();
        let tags = self.tags.of(&id);
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
                self.tags.remove_tenant(&id);
                return Ok(());
            }
            None => return Ok(()),
        }
        let mut present = HashSet::with_capacity(listed.len());
        let mut to_read = Vec::new();
        for listed in listed {
            let Some(key_id) = key_id(&listed) else {
                let reason = foreign(self.bucket, &listed).await;
                report(&mut self.unreadable, &id, &listed.path, reason);
                continue;
            };
            present.insert(key_id);
            let in_memory = listed.tag.is_some() && listed.tag == tags.get(&key_id).copied();
            if in_memory && known.contains_key(&key_id) {
                self.unchanged += 1;
            } else {
                to_read.push(key_id);
            }
        }
        self.gone.extend(known.keys().filter(|key_id| !present.contains(key_id)).map(|key_id| (id.clone(), *key_id)));
        let bucket = self.bucket;
        let mut documents = futures::stream::iter(to_read)
            .map(|key_id| {
                let id = &id;
                async move { (key_id, read::key(bucket, id, key_id).await) }
            })
            .buffer_unordered(READS);
        while let Some((key_id, document)) = documents.next().await {
            match document? {
                KeyRead::Key(key, tag) => self.read.push((key, tag)),
                KeyRead::Gone => {} // Removed since it was listed.
                KeyRead::Unusable(reason) => {
                    let object = ObjectName::Key { tenant: id.clone(), key_id }.path();
                    report(&mut self.unreadable, &id, &object, reason);
                }
            }
        }
        Ok(())
    }

    /// The tenant's own record; `None` when this is no tenant.
    async fn record(&mut self, id: &TenantId, listed: &[Listed]) -> Result<Option<crate::key::Tenant>> {
        match read::tenant(self.bucket, id).await? {
            TenantRead::Tenant(tenant) => Ok(Some(tenant)),
            TenantRead::Gone => {
                for listed in listed {
                    report(&mut self.unreadable, id, &listed.path, "its tenant was never created".to_owned());
                }
                Ok(None)
            }
            TenantRead::Unusable(reason) => {
                let object = ObjectName::Tenant { tenant: id.clone() }.path();
                report(&mut self.unreadable, id, &object, reason);
                Ok(Some(read::in_place_of_unusable(self.cache, id)))
            }
        }
    }

    async fn finish(mut self) -> Result<Counts> {
        // What is gone first: a file that was renamed is the same digest under another id.
        for (tenant, key_id) in std::mem::take(&mut self.gone) {
            // A weak listing may miss an object: only a read that finds nothing takes a key out of memory.
            let object = ObjectName::Key { tenant: tenant.clone(), key_id };
            if matches!(self.bucket.read(&object).await, Ok(None)) {
                self.cache.remove_key(&tenant, key_id);
                self.tags.set(&tenant, key_id, None);
                self.removed += 1;
            }
        }
        let mut counts = Counts { removed: self.removed, keys: self.unchanged, ..Counts::default() };
        let mut owners: HashMap<u64, u32> = HashMap::with_capacity(self.read.len());
        for (key, _) in &self.read {
            *owners.entry(key.digest.table_hash()).or_default() += 1;
        }
        let twin = |(key, _): &(Arc<ApiKey>, Option<Tag>)| owners[&key.digest.table_hash()] > 1;
        let (twins, keys): (Vec<_>, Vec<_>) = std::mem::take(&mut self.read).into_iter().partition(twin);
        for (key, _) in twins {
            let object = ObjectName::Key { tenant: key.tenant.clone(), key_id: key.key_id };
            report(&mut self.unreadable, &key.tenant, &object.path(), SHARED_DIGEST.to_owned());
            self.cache.remove_key(&key.tenant, key.key_id);
        }
        // Before the keys: one that shares its digest with a key whose file is broken is reported when it is put.
        self.cache.set_unreadable(std::mem::take(&mut self.unreadable));
        for (key, tag) in keys {
            counts.keys += 1;
            counts.changed += usize::from(self.put(key, tag).await?);
        }
        counts.tenants = self.cache.tenants().iter().filter(|tenant| !tenant.deleted).count();
        counts.unreadable = self.cache.unreadable().len();
        self.cache.set_hydrated();
        Ok(counts)
    }

    /// A lower revision than the one in memory was read before this node made a change, or was written by hand. What is
    /// in memory was in the bucket first, so a second read tells: if that is still lower, it counts.
    async fn put(&self, key: Arc<ApiKey>, tag: Option<Tag>) -> Result<bool> {
        let (tenant, id) = (key.tenant.clone(), key.key_id);
        let changed = match self.cache.key(&tenant, id).filter(|known| known.rev > key.rev) {
            None => self.cache.put_key(key.clone()),
            Some(known) => match read::key(self.bucket, &tenant, id).await? {
                KeyRead::Key(again, _) if again == key => self.cache.restore_key(&known, key.clone()),
                _ => false, // It is changing right now: the next pass will see.
            },
        };
        // Only the tag of what is in memory: this node may have written a newer revision since.
        self.tags.set(&tenant, id, tag.filter(|_| self.cache.key(&tenant, id).is_some_and(|held| *held == *key)));
        Ok(changed)
    }
}

/// Parseable names its files by ULID; anything else is not ours at all.
async fn foreign(bucket: &Bucket, listed: &Listed) -> String {
    let body = bucket.peek(&listed.path).await.ok().flatten().unwrap_or_default();
    match KeyDocument::parse(&body) {
        Err(Unreadable::Legacy) => Unreadable::Legacy.to_string(),
        _ => "its name is not <key id>.json".to_owned(),
    }
}

fn key_id(listed: &Listed) -> Option<KeyId> {
    match ObjectName::parse(&listed.path)? {
        ObjectName::Key { key_id, .. } => Some(key_id),
        _ => None,
    }
}
