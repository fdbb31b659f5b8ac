//! List, compare, read: one routine for the start, for repair and for changes made by hand.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use relative_path::RelativePath;

use super::apply;
use super::changed_object::{ChangedObject, LoggedChange};
use super::read::{self, KeyRead, TenantRead, in_place_of_unusable, report};
use super::snapshot::Contents;
use super::tags::{TaggedKey, Tags};
use super::tenant_listing::{TenantListing, list_tenant};
use super::{found, log};
use crate::cache::{KeyCache, UnreadableDocuments};
use crate::documents::{KeyDocument, LastWrite, Unreadable};
use crate::error::Result;
use crate::key::{ApiKey, KeyId, Tenant, TenantId};
use crate::layout::ObjectName;
use crate::store::{Bucket, Listed, Tag};

/// How many documents are read at once.
const READS: usize = 64;
/// How many tenants are listed at once.
const TENANTS: usize = 8;
/// How many keys are compared or taken in between two chances for others to run.
const STEP: usize = 512;

/// How many differences are named.
pub(super) const MOST_FOUND: usize = 10_000;

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
    /// Documents of other kinds than keys and tenants that were new, different or gone.
    pub others: usize,
    /// Documents that cannot be used.
    pub unreadable: usize,
}

/// What a pass found, and what it did not have to read.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) counts: Counts,
    /// Keys that were taken from a snapshot.
    pub(super) spared: usize,
    /// What memory held in another state, or not at all, or not any more: one more than [`MOST_FOUND`] at most.
    pub(super) found: Vec<LoggedChange>,
}

/// Makes `cache` equal to `bucket`: reads what the listing shows in another state than `tags`, unless it is among the
/// `snapshot` in that very state, and drops what is gone. A document that cannot be used is reported, and never takes a
/// key out of memory that was compared with the bucket before. With `telling`, it says who has changed what it found.
///
/// # Errors
/// [`crate::ErrorKind::Unavailable`] when the store does not answer; no key is changed then.
pub(super) async fn run(
    bucket: &Bucket,
    cache: &KeyCache,
    tags: &Tags,
    telling: bool,
    snapshot: impl Future<Output = Option<Contents>>,
) -> Result<Outcome> {
    for key in cache.duplicate_secrets() {
        tags.forget(&key.tenant, key.key_id); // Each is read again, since none of them counts as it is.
    }
    // Tenants in memory too: the folder of one may have been removed.
    let mut tenants: BTreeSet<TenantId> = cache.tenants().iter().map(|tenant| tenant.id.clone()).collect();
    let folders = bucket.folders(RelativePath::new("")).await?;
    tenants.extend(folders.iter().filter_map(|folder| TenantId::parse(folder).ok()));
    tenants.insert(TenantId::default());
    let listings = stream::iter(tenants).map(|id| list_tenant(bucket, cache, id).boxed()).buffered(TENANTS);
    let (listings, snapshot) = futures::join!(listings.try_collect::<Vec<_>>(), snapshot);
    let mut pass = Pass::new(bucket, cache, tags, telling, snapshot.unwrap_or_default());
    for listing in listings? {
        pass.compare(listing).await;
    }
    pass.snapshot = Contents::default();
    pass.read_all().await?;
    pass.finish().await
}

/// One pass over the bucket. Everything is read before any key is changed, so that keys which share a digest are
/// recognised before either of them is let in.
struct Pass<'a> {
    bucket: &'a Bucket,
    cache: &'a KeyCache,
    tags: &'a Tags,
    /// Keys that need not be read if the listing shows their documents in the same state.
    snapshot: Contents,
    unreadable: UnreadableDocuments,
    /// Documents in another state than memory.
    to_read: Vec<(TenantId, KeyId)>,
    /// Keys in memory that were not listed. A weak listing may miss an object: only a read that finds nothing takes a
    /// key out of memory.
    missed: Vec<(TenantId, KeyId)>,
    read: Vec<(Arc<ApiKey>, Option<Tag>)>,
    gone: Vec<(TenantId, KeyId)>,
    /// Whether memory came from a snapshot and was never compared with the bucket. Then a key whose document cannot be
    /// used is removed, as a start without a snapshot would not take it in.
    verifying: bool,
    /// Whether it matters who has changed what is found.
    telling: bool,
    /// The last writes of keys that were read, of as many as are named.
    written: HashMap<(TenantId, KeyId), LastWrite>,
    found: Vec<LoggedChange>,
    unchanged: usize,
    spared: usize,
    removed: usize,
}

impl<'a> Pass<'a> {
    fn new(bucket: &'a Bucket, cache: &'a KeyCache, tags: &'a Tags, telling: bool, snapshot: Contents) -> Self {
        Self {
            bucket,
            cache,
            tags,
            snapshot,
            unreadable: UnreadableDocuments::new(),
            to_read: Vec::new(),
            missed: Vec::new(),
            read: Vec::new(),
            gone: Vec::new(),
            verifying: !cache.is_verified(),
            telling,
            written: HashMap::new(),
            found: Vec::new(),
            unchanged: 0,
            spared: 0,
            removed: 0,
        }
    }

    /// Takes in the record of a tenant, and finds out which of its documents must be read.
    async fn compare(&mut self, tenant: TenantListing) {
        let TenantListing { id, held, known, listing, record } = tenant;
        let tenant = match record {
            TenantRead::Tenant(tenant, last) => {
                if held.as_deref() != Some(&tenant) {
                    self.note_found(|| found::tenant(held.as_deref(), &tenant, *last));
                }
                tenant
            }
            TenantRead::Unusable(reason) => {
                let object = ObjectName::Tenant { tenant: id.clone() }.path();
                report(&mut self.unreadable, &id, &object, reason);
                if self.verifying { Tenant::unreadable(id.clone()) } else { in_place_of_unusable(self.cache, &id) }
            }
            TenantRead::Gone if held.is_some() => {
                self.removed += known.len();
                self.cache.remove_tenant(&id);
                self.tags.remove_tenant(&id);
                let name = held.as_ref().and_then(|held| held.name.as_ref()).map(ToString::to_string);
                self.note_found(|| found::gone(ChangedObject::Tenant { tenant: id }, name, held.as_deref()));
                return;
            }
            TenantRead::Gone => {
                let keys =
                    listing.keys.iter().map(|(key_id, _)| ObjectName::Key { tenant: id.clone(), key_id: *key_id });
                let others = listing.foreign.into_iter().map(|listed| listed.path);
                for path in keys.map(|key| key.path()).chain(others) {
                    report(&mut self.unreadable, &id, &path, "its tenant was never created".to_owned());
                }
                return;
            }
        };
        if held.as_deref() != Some(&tenant) {
            self.cache.restore_tenant(held.as_ref(), tenant);
        }
        for listed in listing.foreign {
            let reason = foreign(self.bucket, &listed).await;
            report(&mut self.unreadable, &id, &listed.path, reason);
        }
        self.cache.make_room(&id, listing.keys.len());
        self.tags.make_room(listing.keys.len().saturating_sub(known.len()));
        // All three are in order of id.
        let mut known = known.into_iter().peekable();
        let mut spare = self.snapshot.take(&id).into_iter().peekable();
        for (at, (key_id, tag)) in listing.keys.into_iter().enumerate() {
            if at % STEP == STEP - 1 {
                tokio::task::yield_now().await;
            }
            while let Some(missed) = known.next_if(|key| key.key_id < key_id) {
                self.missed.push((id.clone(), missed.key_id));
            }
            while spare.next_if(|spare| spare.key.key_id < key_id).is_some() {}
            let in_memory = known.next_if(|key| key.key_id == key_id);
            if tag.is_some() && in_memory.is_some_and(|key| self.tags.of(&key) == tag) {
                self.unchanged += 1;
            } else if let Some(TaggedKey { key, .. }) =
                spare.next_if(|spare| tag.is_some() && spare.key.key_id == key_id && spare.tag == tag)
            {
                self.spared += 1;
                self.read.push((key, tag));
            } else {
                self.to_read.push((id.clone(), key_id));
            }
        }
        self.missed.extend(known.map(|key| (id.clone(), key.key_id)));
    }

    fn note_found(&mut self, change: impl FnOnce() -> LoggedChange) {
        if self.telling && self.found.len() <= MOST_FOUND {
            self.found.push(log::compact_after(self.found.len(), change()));
        }
    }

    async fn read_all(&mut self) -> Result<()> {
        let missed = std::mem::take(&mut self.missed).into_iter().map(|key| (key, true));
        let listed = std::mem::take(&mut self.to_read).into_iter().map(|key| (key, false));
        let bucket = self.bucket;
        let mut documents = stream::iter(listed.chain(missed))
            .map(|((tenant, key_id), missed)| {
                async move {
                    let document = read::key(bucket, &tenant, key_id).await;
                    (tenant, key_id, missed, document)
                }
                .boxed()
            })
            .buffer_unordered(READS);
        while let Some((tenant, key_id, missed, document)) = documents.next().await {
            match document? {
                KeyRead::Key(key, tag, last) => {
                    if self.telling && self.written.len() <= MOST_FOUND {
                        self.written.insert((tenant, key_id), last);
                    }
                    self.read.push((key, tag));
                }
                KeyRead::Gone if missed => self.gone.push((tenant, key_id)),
                KeyRead::Gone => {} // Removed since it was listed.
                KeyRead::Unusable(reason) => {
                    let object = ObjectName::Key { tenant: tenant.clone(), key_id }.path();
                    report(&mut self.unreadable, &tenant, &object, reason);
                    if self.verifying && self.cache.key(&tenant, key_id).is_some() {
                        self.gone.push((tenant, key_id));
                    }
                }
            }
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Outcome> {
        // Removals first: a renamed file has the same digest under another id.
        self.removed += self.gone.len();
        for (tenant, key_id) in std::mem::take(&mut self.gone) {
            let before = self.cache.key(&tenant, key_id);
            self.cache.remove_key(&tenant, key_id);
            self.tags.forget(&tenant, key_id);
            let name = before.as_ref().map(|key| key.name.to_string());
            self.note_found(|| found::gone(ChangedObject::Key { tenant, key_id }, name, before.as_deref()));
        }
        let shared = shared(&self.read);
        let is_duplicate = |(key, _): &(Arc<ApiKey>, Option<Tag>)| {
            // The digests of older secrets count too.
            key.digests().any(|digest| shared.contains(&digest.table_hash()))
        };
        let keys = std::mem::take(&mut self.read);
        let found = self.unchanged + keys.len();
        let (duplicates, keys): (Vec<_>, _) =
            if shared.is_empty() { (Vec::new(), keys) } else { keys.into_iter().partition(is_duplicate) };
        // Before the keys: one that shares its digest with a key whose file is broken is reported when it is put.
        self.cache.set_unreadable(std::mem::take(&mut self.unreadable));
        for (key, _) in duplicates {
            let (tenant, key_id) = (&key.tenant, key.key_id);
            tracing::warn!(%tenant, %key_id, "a key is refused: another key has the same digest");
            self.tags.forget(&key.tenant, key.key_id);
            self.cache.refuse(key);
        }
        let mut counts = Counts { removed: self.removed, ..Counts::default() };
        for (at, (key, tag)) in keys.into_iter().enumerate() {
            if at % STEP == STEP - 1 {
                tokio::task::yield_now().await;
            }
            let before = if self.telling { self.cache.key(&key.tenant, key.key_id) } else { None };
            if apply::take_in(self.bucket, self.cache, self.tags, &key, tag).await? {
                counts.changed += 1;
                let last = self.written.remove(&(key.tenant.clone(), key.key_id));
                self.note_found(|| found::key(before.as_deref(), &key, last));
            }
        }
        counts.keys = found.saturating_sub(self.cache.duplicate_secrets().len());
        counts.tenants = self.cache.tenants().iter().filter(|tenant| !tenant.deleted).count();
        counts.unreadable = self.cache.unreadable().len();
        Ok(Outcome { counts, spared: self.spared, found: self.found })
    }
}

/// The digests that more than one of these keys has, or had.
fn shared(keys: &[(Arc<ApiKey>, Option<Tag>)]) -> HashSet<u64> {
    let of = |(at, (key, _)): (usize, &'_ (Arc<ApiKey>, Option<Tag>))| -> Vec<(u64, usize)> {
        key.digests().map(|digest| (digest.table_hash(), at)).collect()
    };
    let mut digests: Vec<(u64, usize)> = keys.iter().enumerate().flat_map(of).collect();
    digests.sort_unstable();
    digests.dedup(); // A key may name one twice.
    digests.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].0).collect()
}

/// Parseable names its files by ULID; anything else is not ours at all.
async fn foreign(bucket: &Bucket, listed: &Listed) -> String {
    let body = bucket.peek(&listed.path).await.ok().flatten().unwrap_or_default();
    match KeyDocument::parse(&body) {
        Err(Unreadable::Legacy) => Unreadable::Legacy.to_string(),
        _ => "its name is not <key id>.json".to_owned(),
    }
}
