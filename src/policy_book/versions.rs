//! The version in force of every tenant, in memory: what is decided from is never read from the store.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use parking_lot::{Mutex, RwLock};

use super::document::{VersionId, last_write};
use crate::cache::UnreadableDocuments;
use crate::documents::{Document, Documents, Found, Read};
use crate::error::Result;
use crate::key::{StreamName, StreamPattern, Streams, TenantId};
use crate::layout::{self, ObjectName};
use crate::operators::Scope;
use crate::policy::set::{CompiledSet, PolicySetDocument, SetMode, compile};
use crate::store::{Bucket, Tag};
use crate::sync::found::attributed;
use crate::sync::held::{DocumentLine, Watcher, Watchers};
use crate::sync::{AuditAction, ChangedObject, HeldDocuments, LoggedChange};

/// How many folders or documents are read at once.
const READS: usize = 32;
/// The highest number of a version: one that was written by hand leaves room for others.
const MAX_NUMBER: u64 = 1_000_000_000_000;
/// Why a file is no version.
const NO_VERSION: &str = "its name is not <number:020>.json, with a number from 1 to a million million";

/// A version that is in force.
#[derive(Debug)]
pub struct Version {
    /// As it is stored.
    pub document: PolicySetDocument,
    /// Ready to decide.
    pub compiled: CompiledSet,
    /// The streams whose events it judges.
    traffic: Streams,
    tag: Option<Tag>,
}

/// The versions in force. One that cannot be used leaves the last good one in force, and is reported.
#[derive(Debug)]
pub struct Versions {
    bucket: Bucket,
    documents: Documents<PolicySetDocument>,
    memory: RwLock<BTreeMap<TenantId, Arc<Version>>>,
    /// Of each tenant, those above the one in force that cannot be used, and why.
    unreadable: Mutex<BTreeMap<VersionId, String>>,
    foreign: Mutex<UnreadableDocuments>,
    /// One look at the versions of a tenant at a time: an older one must not come after a newer one.
    looking: Mutex<BTreeMap<TenantId, Arc<tokio::sync::Mutex<()>>>>,
    watchers: Watchers,
}

/// What is in the folder of a tenant.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The numbers of the versions, the highest first, with the state of each where the store tells.
    pub(super) versions: Vec<(u64, Option<Tag>)>,
    foreign: Vec<String>,
}

impl Listing {
    /// The highest number, usable or not; 0 when there is none.
    pub(super) fn highest(&self) -> u64 {
        self.versions.first().map_or(0, |(number, _)| *number)
    }
}

impl Versions {
    /// What the change log and snapshots call the kind.
    pub const KIND: &'static str = "policy_set";

    /// Nothing yet of the sets in `bucket`.
    pub fn new(bucket: Bucket) -> Self {
        let (memory, unreadable, foreign, watchers) = Default::default();
        let (documents, looking) = (Documents::new(bucket.clone()), Mutex::default());
        Self { bucket, documents, memory, unreadable, foreign, looking, watchers }
    }

    /// The version in force; `None` while a tenant has no set. From memory.
    pub fn get(&self, tenant: &TenantId) -> Option<Arc<Version>> {
        self.memory.read().get(tenant).cloned()
    }

    fn turn(&self, tenant: &TenantId) -> Arc<tokio::sync::Mutex<()>> {
        self.looking.lock().entry(tenant.clone()).or_default().clone()
    }

    /// The version in force of every tenant. From memory.
    pub(super) fn all(&self) -> Vec<(TenantId, Arc<Version>)> {
        self.memory.read().iter().map(|(tenant, version)| (tenant.clone(), version.clone())).collect()
    }

    /// Whether some tenant has a set. From memory.
    pub(super) fn is_in_use(&self) -> bool {
        !self.memory.read().is_empty()
    }

    /// Whether the version in force of some tenant is so. From memory.
    pub fn any(&self, is_so: impl Fn(&Version) -> bool) -> bool {
        self.memory.read().values().any(|version| is_so(version))
    }

    /// Removes a version.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub(super) async fn remove(&self, id: &VersionId) -> Result<()> {
        self.bucket.remove(&PolicySetDocument::object(id)).await
    }

    /// The versions in the bucket.
    pub(super) fn documents(&self) -> &Documents<PolicySetDocument> {
        &self.documents
    }

    /// Lists the versions of a tenant.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub(super) async fn list(&self, tenant: &TenantId) -> Result<Listing> {
        let mut listing = Listing::default();
        for object in self.bucket.list(&layout::policy_sets(tenant)).await? {
            match ObjectName::parse(&object.path) {
                Some(ObjectName::PolicySet { version, .. }) if (1..=MAX_NUMBER).contains(&version) => {
                    listing.versions.push((version, object.tag))
                }
                _ => listing.foreign.push(object.path.into_string()),
            }
        }
        listing.versions.sort_unstable_by_key(|(number, _)| Reverse(*number));
        Ok(listing)
    }

    /// Makes memory equal to the bucket for one tenant: the highest version that can be used is in force. Gives what
    /// was listed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub(super) async fn refresh(&self, tenant: &TenantId) -> Result<Listing> {
        let turn = self.turn(tenant);
        let _turn = turn.lock().await;
        let listing = self.list(tenant).await?;
        let held = self.get(tenant);
        let mut unreadable = Vec::new();
        let mut chosen = None;
        for (number, tag) in &listing.versions {
            if let Some(held) = held.as_ref().filter(|held| held.is(*number, *tag)) {
                chosen = Some(held.clone());
                break;
            }
            let id = VersionId { tenant: tenant.clone(), number: *number };
            match usable(self.documents.read(&id).await?) {
                Ok(Some(version)) => {
                    chosen = Some(Arc::new(version));
                    break;
                }
                Ok(None) => {} // It was removed since.
                Err(reason) => unreadable.push((id, reason)),
            }
        }
        self.put(tenant, chosen);
        self.note_unreadable(tenant, unreadable);
        let mut foreign = self.foreign.lock();
        foreign.retain(|(of, _), _| of != tenant);
        let named = |path: &String| ((tenant.clone(), path.clone()), NO_VERSION.to_owned());
        foreign.extend(listing.foreign.iter().map(named));
        Ok(listing)
    }

    /// Puts a version in force that was just written and is the highest.
    pub(super) async fn put_written(&self, tenant: &TenantId, document: PolicySetDocument, compiled: CompiledSet) {
        let turn = self.turn(tenant);
        let _turn = turn.lock().await;
        let is_newer = |held: Arc<Version>| held.document.policy_set_version < document.policy_set_version;
        if self.get(tenant).is_none_or(is_newer) {
            let traffic = traffic(&document);
            self.put(tenant, Some(Arc::new(Version { document, compiled, traffic, tag: None })));
            self.note_unreadable(tenant, Vec::new()); // What cannot be used is below it now.
        }
    }

    fn put(&self, tenant: &TenantId, version: Option<Arc<Version>>) {
        let mut memory = self.memory.write();
        let before = match &version {
            Some(version) => memory.insert(tenant.clone(), version.clone()),
            None => memory.remove(tenant),
        };
        drop(memory);
        if before.as_ref().map(Arc::as_ptr) != version.as_ref().map(Arc::as_ptr) {
            self.watchers.notify();
        }
    }

    fn note_unreadable(&self, tenant: &TenantId, now: Vec<(VersionId, String)>) {
        let mut unreadable = self.unreadable.lock();
        for (id, reason) in &now {
            if unreadable.get(id) != Some(reason) {
                tracing::warn!(%tenant, version = id.number, %reason, "a version of a policy set cannot be used");
            }
        }
        unreadable.retain(|id, _| id.tenant != *tenant);
        unreadable.extend(now);
    }
}

impl Version {
    /// Whether it judges the events of a stream.
    pub fn judges(&self, stream: &StreamName) -> bool {
        self.document.mode != SetMode::Off && self.traffic.allow(stream)
    }

    /// Whether it was read from this state of that version.
    fn is(&self, number: u64, tag: Option<Tag>) -> bool {
        self.document.policy_set_version == number && tag.is_some() && self.tag == tag
    }

    /// The same version, compiled.
    fn new(document: PolicySetDocument, tag: Option<Tag>) -> Result<Self, String> {
        match compile(&document.clone().into_set()) {
            Ok(compiled) => Ok(Self { traffic: traffic(&document), document, compiled, tag }),
            Err(faults) => Err(faults.first().map_or_else(String::new, ToString::to_string)),
        }
    }
}

/// The streams of the traffic of a set. What is no pattern covers none: a set with one has a fault.
fn traffic(document: &PolicySetDocument) -> Streams {
    let patterns = document.traffic.streams.iter().filter_map(|pattern| StreamPattern::parse(pattern).ok());
    Streams::Matching(patterns.collect())
}

/// A version that was read, ready to decide; `None` when there is none, and why it cannot be used.
fn usable(read: Read<PolicySetDocument>) -> Result<Option<Version>, String> {
    match read.found {
        Found::Absent => Ok(None),
        Found::Unusable(reason) => Err(reason.to_string()),
        Found::Usable(document) => Version::new(document, read.tag).map(Some),
    }
}

/// The change that an entry of the log names.
pub(super) fn changed(tenant: &TenantId) -> ChangedObject {
    ChangedObject::Held { kind: Versions::KIND.to_owned(), id: Scope::Tenant(tenant.clone()).to_string() }
}

/// The change of a set that a full reconcile has found and the log does not say.
fn found(tenant: &TenantId, before: Option<&Version>, after: Option<&Version>) -> LoggedChange {
    let (before, after) = (before.map(|version| &version.document), after.map(|version| &version.document));
    let is_written = |after: &&PolicySetDocument| {
        after.write_id.is_some() && before.is_none_or(|before| before.write_id != after.write_id)
    };
    match after.filter(is_written) {
        Some(after) => entered(tenant, before, after),
        None => {
            let name = after.or(before).map(|document| document.policy_set_version.to_string());
            attributed(changed(tenant), None).named(name).between(before, after)
        }
    }
}

/// The change that made a version, as its document says, which its node has not logged.
pub fn entered(tenant: &TenantId, before: Option<&PolicySetDocument>, after: &PolicySetDocument) -> LoggedChange {
    let action = match after.restores {
        Some(_) => AuditAction::PolicySetRollback,
        None => AuditAction::PolicySetDeploy,
    };
    let change = attributed(changed(tenant), Some((last_write(after), Some(action))));
    change.named(after.policy_set_version.to_string()).between(before, Some(after))
}

#[async_trait]
impl HeldDocuments for Versions {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    async fn apply(&self, id: &str) -> Result<()> {
        let Ok(Scope::Tenant(tenant)) = id.parse() else {
            tracing::warn!(kind = Self::KIND, "an entry of the change log names no tenant: it is passed over");
            return Ok(());
        };
        self.refresh(&tenant).await.map(drop)
    }

    async fn reconcile(&self, tenants: &[TenantId], _verifying: bool) -> Result<Vec<LoggedChange>> {
        let gone: Vec<TenantId> = {
            let live: BTreeSet<&TenantId> = tenants.iter().collect();
            self.memory.read().keys().filter(|tenant| !live.contains(tenant)).cloned().collect()
        };
        for tenant in &gone {
            self.put(tenant, None); // It is deleted: nobody asks any more, and its files say nothing new.
            self.note_unreadable(tenant, Vec::new());
        }
        let look = |tenant: &TenantId| {
            let tenant = tenant.clone();
            async move {
                let before = self.get(&tenant);
                self.refresh(&tenant).await?;
                let after = self.get(&tenant);
                let is_same = match (&before, &after) {
                    (Some(before), Some(after)) => before.document == after.document,
                    (before, after) => before.is_none() && after.is_none(),
                };
                Ok((!is_same).then(|| found(&tenant, before.as_deref(), after.as_deref())))
            }
            .boxed()
        };
        let looks = stream::iter(tenants.iter().map(look)).buffer_unordered(READS);
        let looks: Vec<Option<LoggedChange>> = looks.try_collect().await?;
        Ok(looks.into_iter().flatten().collect())
    }

    fn lines(&self) -> Vec<DocumentLine> {
        let memory = self.memory.read();
        memory.iter().map(|(tenant, held)| DocumentLine::of(tenant, &held.document, held.tag)).collect()
    }

    fn take_in(&self, lines: Vec<DocumentLine>) {
        for line in lines {
            let (id, body, tag) = line.parts();
            let Ok(tenant) = TenantId::parse(&id) else { continue };
            // The number inside is checked against the name of the file when that is read.
            let document = serde_json::from_slice::<PolicySetDocument>(&body).ok();
            if let Some(Ok(version)) = document.map(|document| Version::new(document, tag)) {
                self.put(&tenant, Some(Arc::new(version)));
            }
        }
    }

    fn unreadable(&self) -> UnreadableDocuments {
        let unreadable = self.unreadable.lock();
        let object = |id: &VersionId| (id.tenant.clone(), PolicySetDocument::object(id).path().into_string());
        let versions = unreadable.iter().map(|(id, reason)| (object(id), reason.clone()));
        versions.chain(self.foreign.lock().clone()).collect()
    }

    fn watch(&self, watcher: Watcher) {
        self.watchers.add(watcher);
    }
}
