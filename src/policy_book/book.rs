//! Deploying versions of a policy set, listing them and bringing one back.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use uuid::Uuid;

use super::document::VersionId;
use super::versions::{Listing, Version, Versions, changed};
use crate::clock::Clock as _;
use crate::documents::{Document as _, Found, RequestContext};
use crate::error::{Error, ErrorKind, Result};
use crate::jitter;
use crate::key::TenantId;
use crate::keystore::Keystore;
use crate::policy::Fault;
use crate::policy::set::limits::{MAX_COMMENT_CHARS, MAX_DOCUMENT_BYTES};
use crate::policy::set::{CompiledSet, PolicySet, PolicySetDocument, compile};
use crate::store::Written;
use crate::sync::AuditAction;

/// How many versions of a set are kept.
pub const KEPT_VERSIONS: u64 = 200;
/// A version stays at least so long, however many come after it: a writer that is slow must still find it.
const KEPT_FOR: TimeDelta = TimeDelta::hours(1);
/// How often a deployment begins anew because another one was faster.
const ATTEMPTS: u32 = 30;
/// How many versions are read, or removed, at once.
const AT_ONCE: usize = 16;

/// The policy sets of all tenants: changed in the store, decided from in memory.
#[derive(Debug, Clone)]
pub struct PolicyBook {
    keystore: Keystore,
    versions: Arc<Versions>,
}

/// What a deployment says beside the set.
#[derive(Debug, Clone, Default)]
pub struct NewVersion {
    /// What its author says about it.
    pub comment: Option<String>,
    /// The versions one of which it must follow; otherwise it is refused.
    pub follows: Option<Vec<u64>>,
    /// The version that it brings back.
    pub restores: Option<u64>,
    /// Whether it is only checked.
    pub dry_run: bool,
}

/// A set that was deployed, or would have been.
#[derive(Debug)]
pub struct Deployed {
    /// The version in force; 0 before the first one.
    pub number: u64,
    /// The set as it is now, or would be.
    pub set: PolicySet,
    /// The number of the change in the log, for [`crate::sync::Replica::receipt`].
    pub change_seq: u64,
    /// Whether it is a new version. One that changes nothing makes none.
    pub is_new: bool,
}

/// Why a set was not deployed.
#[derive(Debug)]
pub enum Refusal {
    /// It is wrong, and where: all of it.
    Faults(Vec<Fault>),
    /// Anything else.
    Error(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Vec<Fault>> for Refusal {
    fn from(faults: Vec<Fault>) -> Self {
        Self::Faults(faults)
    }
}

/// A version, without its set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// Its number.
    pub number: u64,
    /// How it came to be; `None` when it cannot be read.
    pub made: Option<Making>,
}

/// How a version came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Making {
    /// When.
    pub at: DateTime<Utc>,
    /// By whom.
    pub by: String,
    /// What they said about it.
    pub comment: Option<String>,
    /// Which version it brought back.
    pub restores: Option<u64>,
}

impl PolicyBook {
    /// The sets that `versions` has, changed through `keystore`, which must hold the same.
    pub fn new(keystore: Keystore, versions: Arc<Versions>) -> Self {
        Self { keystore, versions }
    }

    /// The version in force; `None` while the tenant has no set. From memory.
    pub fn in_force(&self, tenant: &TenantId) -> Option<Arc<Version>> {
        self.versions.get(tenant)
    }

    /// The version in force of every tenant. From memory.
    pub fn all_in_force(&self) -> Vec<(TenantId, Arc<Version>)> {
        self.versions.all()
    }

    /// Whether some tenant has a set. From memory.
    pub fn is_in_use(&self) -> bool {
        self.versions.is_in_use()
    }

    /// Deploys the set that `edit` makes out of the one in force. It is called again when another writer was faster, so
    /// no change is lost.
    ///
    /// # Errors
    /// [`Refusal::Faults`] names everything that is wrong with the set. [`ErrorKind::PreconditionFailed`] when another
    /// version is in force than the one it must follow; [`ErrorKind::TooLarge`]; [`ErrorKind::Unavailable`] when the
    /// store does not answer; and those of `edit`.
    pub async fn deploy<E>(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        new: NewVersion,
        edit: E,
    ) -> Result<Deployed, Refusal>
    where
        E: Fn(&PolicySet) -> Result<PolicySet, Refusal> + Send + Sync + 'static,
    {
        if new.comment.as_ref().is_some_and(|comment| comment.chars().count() > MAX_COMMENT_CHARS) {
            return Err(Error::invalid(format!("a comment has at most {MAX_COMMENT_CHARS} characters")).into());
        }
        let (this, context, tenant) = (self.clone(), context.clone(), tenant.clone());
        let deploying = async move { Ok(this.deploy_now(&context, &tenant, new, edit).await) };
        self.keystore.run_to_completion(deploying).await?
    }

    async fn deploy_now<E>(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        new: NewVersion,
        edit: E,
    ) -> Result<Deployed, Refusal>
    where
        E: Fn(&PolicySet) -> Result<PolicySet, Refusal> + Send + Sync,
    {
        for _ in 0..ATTEMPTS {
            let listing = self.versions.refresh(tenant).await?;
            let before = self.versions.get(tenant);
            let number = before.as_ref().map_or(0, |before| before.document.policy_set_version);
            if new.follows.as_ref().is_some_and(|follows| !follows.contains(&number)) {
                let message = format!("version {number} is in force by now");
                return Err(Error::new(ErrorKind::PreconditionFailed, message).into());
            }
            let old = before.as_ref().map_or_else(PolicySet::default, |before| before.document.clone().into_set());
            let set = edit(&old)?;
            document(set.clone(), 0, context, &new)?; // Too large before anything else that is wrong with it.
            let compiled = compile(&set)?;
            let is_same = set == old && new.restores.is_none();
            if is_same || new.dry_run {
                let change_seq = self.keystore.replica().applied_seq();
                return Ok(Deployed { number, set, change_seq, is_new: false });
            }
            let next = listing.highest().saturating_add(1);
            let document = document(set.clone(), next, context, &new)?;
            let id = VersionId { tenant: tenant.clone(), number: next };
            if self.versions.documents().create(&id, &document).await? != Written::Done {
                tokio::time::sleep(jitter::up_to(std::time::Duration::from_millis(20))).await;
                continue;
            }
            let change_seq = self.announce(context, tenant, before.as_deref(), document, compiled).await?;
            self.prune(tenant, &listing).await;
            return Ok(Deployed { number: next, set, change_seq, is_new: true });
        }
        Err(Error::new(ErrorKind::Unavailable, "too many others are changing the policy set").into())
    }

    /// Puts a version in force that is durable, and logs it.
    async fn announce(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        before: Option<&Version>,
        document: PolicySetDocument,
        compiled: CompiledSet,
    ) -> Result<u64> {
        let action = match document.restores {
            Some(_) => AuditAction::PolicySetRollback,
            None => AuditAction::PolicySetDeploy,
        };
        let logged = changed(tenant).by(context).doing(action).named(document.policy_set_version.to_string());
        let logged = logged.between(before.map(|before| &before.document), Some(&document));
        self.versions.put_written(tenant, document, compiled).await;
        self.keystore.replica().append(vec![logged]).await
    }

    /// Deploys the set of an earlier version once more.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such version, [`ErrorKind::Corrupt`] when it cannot be read, else as
    /// for [`PolicyBook::deploy`].
    pub async fn roll_back(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        to: u64,
        new: NewVersion,
    ) -> Result<Deployed, Refusal> {
        let set = self.version(tenant, to).await?.into_set();
        let new = NewVersion { restores: Some(to), ..new };
        self.deploy(context, tenant, new, move |_| Ok(set.clone())).await
    }

    /// One version, from the store.
    ///
    /// # Errors
    /// As for [`PolicyBook::roll_back`].
    pub async fn version(&self, tenant: &TenantId, number: u64) -> Result<PolicySetDocument> {
        let id = VersionId { tenant: tenant.clone(), number };
        let found = self.versions.documents().read(&id).await?.found.usable()?;
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such version of the policy set"))
    }

    /// The versions that are kept, the newest first: `limit` of them at most, below `before`.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn versions(&self, tenant: &TenantId, before: Option<u64>, limit: usize) -> Result<Vec<VersionInfo>> {
        let listing = self.versions.list(tenant).await?;
        let numbers = listing.versions.iter().map(|(number, _)| *number);
        let numbers = numbers.filter(|number| before.is_none_or(|before| *number < before)).take(limit);
        let read = |number: u64| {
            async move {
                let id = VersionId { tenant: tenant.clone(), number };
                let made = match self.versions.documents().read(&id).await?.found {
                    Found::Usable(PolicySetDocument { created_at: at, created_by: by, comment, restores, .. }) => {
                        Some(Making { at, by, comment, restores })
                    }
                    Found::Absent | Found::Unusable(_) => None,
                };
                Ok(VersionInfo { number, made })
            }
            .boxed()
        };
        stream::iter(numbers.map(read).collect::<Vec<_>>()).buffered(AT_ONCE).try_collect().await
    }

    /// Removes the versions that are no longer kept. What cannot be removed now goes after a later change.
    async fn prune(&self, tenant: &TenantId, listing: &Listing) {
        let clock = self.keystore.replica().store_clock();
        if !clock.is_known() {
            return;
        }
        let now = clock.now();
        let last = listing.highest().saturating_add(1).saturating_sub(KEPT_VERSIONS);
        let old = listing.versions.iter().filter(|(number, _)| *number <= last).map(|(number, _)| *number);
        let remove = |number: u64| {
            async move {
                let made = self.version(tenant, number).await.map(|document| document.created_at);
                match made {
                    Ok(made) if made < now - KEPT_FOR => {
                        self.versions.remove(&VersionId { tenant: tenant.clone(), number }).await
                    }
                    _ => Ok(()), // One that cannot be read is left to the operator, to whom it is reported.
                }
            }
            .boxed()
        };
        let removed = stream::iter(old.map(remove).collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
        if let Err(error) = removed.try_collect::<Vec<()>>().await {
            tracing::debug!(%tenant, "old versions of the policy set are removed later: {error:?}");
        }
    }
}

/// The document of a new version, if it is not too large.
fn document(set: PolicySet, number: u64, context: &RequestContext, new: &NewVersion) -> Result<PolicySetDocument> {
    let mut document = PolicySetDocument::new(set, number, context.at, context.actor.to_string());
    document.write_id = Some(new_id());
    document.request_id = context.request_id.map(|id| id.to_string());
    (document.comment, document.restores) = (new.comment.clone(), new.restores);
    if document.to_bytes().len() > MAX_DOCUMENT_BYTES {
        let message = format!("the policy set has more than {MAX_DOCUMENT_BYTES} bytes");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    Ok(document)
}

#[allow(clippy::disallowed_methods)] // Nothing depends on which id it is.
fn new_id() -> Uuid {
    Uuid::new_v4()
}
