//! Create, change and delete tenants.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use futures::{FutureExt, StreamExt, stream};

use super::keys::{Broken, revoked};
use super::{Changed, Keystore};
use crate::documents::{Edit, Found, RequestContext, TenantDocument};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, KeyType, Label, Limits, Tenant, TenantId};
use crate::store::Written;
use crate::sync::Touched;
use crate::sync::log::LogEntry;

/// How many keys of a deleted tenant are revoked at once.
const REVOCATIONS: usize = 32;

/// What an operator changes of a tenant; `None` leaves a field as it is, `Some(None)` clears it.
#[derive(Debug, Clone, Default)]
pub struct TenantPatch {
    /// What people call it.
    pub name: Option<Option<Label>>,
    /// The kinds of use that are refused for now, replaced whole.
    pub suspended: Option<BTreeSet<KeyType>>,
    /// How much all its keys together may be used, replaced whole.
    pub limits: Option<Limits>,
    /// How long a key lasts of which nothing is said, in seconds.
    pub default_key_lifetime_seconds: Option<Option<NonZeroU32>>,
    /// How long a key may last at most, in seconds.
    pub max_key_lifetime_seconds: Option<Option<NonZeroU32>>,
}

impl TenantPatch {
    fn apply(&self, document: &mut TenantDocument) -> Result<()> {
        if let Some(name) = self.name.clone() {
            document.name = name;
        }
        if let Some(suspended) = self.suspended.clone() {
            document.suspended = suspended;
        }
        if let Some(limits) = self.limits {
            document.limits = limits;
        }
        if let Some(seconds) = self.default_key_lifetime_seconds {
            document.default_key_lifetime_seconds = seconds;
        }
        if let Some(seconds) = self.max_key_lifetime_seconds {
            document.max_key_lifetime_seconds = seconds;
        }
        document.lifetimes().check().map_err(|error| Error::invalid(error.to_string()))
    }
}

impl Keystore {
    /// Creates a tenant.
    ///
    /// # Errors
    /// [`ErrorKind::DuplicateTenant`] or [`ErrorKind::TenantDeleted`] when the id is taken, [`ErrorKind::Unavailable`]
    /// when the store does not answer.
    pub async fn create_tenant(
        &self,
        context: &RequestContext,
        id: TenantId,
        name: Option<Label>,
    ) -> Result<Changed<Tenant>> {
        self.create_tenant_with(context, id, TenantPatch { name: Some(name), ..TenantPatch::default() }).await
    }

    /// Creates a tenant of which more is said than its name.
    ///
    /// # Errors
    /// As for [`Keystore::create_tenant`]; [`ErrorKind::Invalid`] when what is said does not fit together.
    pub async fn create_tenant_with(
        &self,
        context: &RequestContext,
        id: TenantId,
        said: TenantPatch,
    ) -> Result<Changed<Tenant>> {
        let (this, context) = (self.clone(), context.clone());
        self.to_the_end(async move { this.create_tenant_now(&context, id, said).await }).await
    }

    async fn create_tenant_now(
        &self,
        context: &RequestContext,
        id: TenantId,
        said: TenantPatch,
    ) -> Result<Changed<Tenant>> {
        match self.tenant(&id) {
            Ok(_) => return Err(taken()),
            Err(error) if error.kind() == ErrorKind::TenantDeleted => return Err(error),
            Err(_) => {}
        }
        let mut document = TenantDocument::new(None, Some(self.clock.now()));
        said.apply(&mut document)?;
        document.attribute(context, self.clock.now());
        match self.tenants.create(&id, &document).await? {
            Written::Done => self.remember(context, document.tenant(id)).await,
            Written::Conflict => Err(taken()),
        }
    }

    /// Changes a tenant. A suspension holds on this node from the next request on and ends its running queries.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::TenantDeleted`], [`ErrorKind::Invalid`] when what is said does not fit
    /// together, [`ErrorKind::Corrupt`] when its record cannot be read, [`ErrorKind::Unavailable`] when the store does not
    /// answer.
    pub async fn update_tenant(
        &self,
        context: &RequestContext,
        id: &TenantId,
        patch: TenantPatch,
    ) -> Result<Changed<Tenant>> {
        let (this, context, id) = (self.clone(), context.clone(), id.clone());
        let change = async move { this.change_tenant(&context, id, move |document| patch.apply(document)).await };
        self.to_the_end(change).await
    }

    /// Deletes a tenant: leaves a tombstone, so that none of its keys works and its id is never given again, and revokes
    /// all its keys. Its events are left to the operator. Repeating it finishes what an interrupted call began. Gives the
    /// number of the last change in the log.
    ///
    /// # Errors
    /// [`ErrorKind::TenantProtected`] for the default tenant, else as for [`Keystore::update_tenant`].
    pub async fn delete_tenant(&self, context: &RequestContext, id: &TenantId) -> Result<u64> {
        if id.is_default() {
            return Err(Error::new(ErrorKind::TenantProtected, "the default tenant cannot be deleted"));
        }
        // A tombstone is no error here: an interrupted deletion is finished.
        let no_tenant = || Error::new(ErrorKind::NotFound, "there is no such tenant");
        self.anywhere(|| self.cache.tenant(id).ok_or_else(no_tenant)).await?;
        let (this, context, id) = (self.clone(), context.clone(), id.clone());
        self.to_the_end(async move { this.delete_tenant_now(&context, id).await }).await
    }

    async fn delete_tenant_now(&self, context: &RequestContext, id: TenantId) -> Result<u64> {
        if !self.cache.tenant(&id).is_some_and(|tenant| tenant.deleted) {
            let now = self.clock.now();
            // The tombstone first: from here on no key of the tenant works, whatever happens to the rest.
            let bury = move |document: &mut TenantDocument| {
                document.deleted_at = Some(now);
                Ok(())
            };
            self.change_tenant(context, id.clone(), bury).await?;
        }
        let by = context.attribution();
        let (mut touched, mut after) = (vec![Touched::Tenant { tenant: id.clone() }.by(&by)], None);
        loop {
            let keys = self.cache.scan(&id, after, LogEntry::MAX_CHANGES - 1, ApiKey::is_live);
            after = keys.last().map(|key| key.key_id);
            let revocations = keys.into_iter().map(|key| {
                let (tenant, key_id) = (id.clone(), key.key_id);
                async move {
                    let swapped = self.swap(context, tenant, key_id, None, Broken::Overwrite, revoked).await;
                    (key_id, swapped.map(drop))
                }
                .boxed()
            });
            let mut failure = Ok(());
            for (key_id, outcome) in stream::iter(revocations).buffer_unordered(REVOCATIONS).collect::<Vec<_>>().await {
                match outcome {
                    Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                        failure = Err(error);
                    }
                    _ => touched.push(Touched::Key { tenant: id.clone(), key_id }.by(&by)),
                }
            }
            // Those that are revoked are logged even if others failed.
            let change_seq = self.replica.append(std::mem::take(&mut touched)).await?;
            failure?;
            let more = after.map(|last| self.cache.scan(&id, Some(last), 1, ApiKey::is_live));
            if more.is_none_or(|more| more.is_empty()) {
                return Ok(change_seq);
            }
        }
    }

    async fn change_tenant(
        &self,
        context: &RequestContext,
        id: TenantId,
        change: impl Fn(&mut TenantDocument) -> Result<()> + Send + Sync,
    ) -> Result<Changed<Tenant>> {
        self.tenant_anywhere(&id).await?;
        let edit = |found: Found<TenantDocument>| {
            let mut document = match found.usable()? {
                Some(document) => document,
                None if id.is_default() => TenantDocument::new(None, None),
                None => return Err(Error::new(ErrorKind::NotFound, "there is no such tenant")),
            };
            if document.deleted_at.is_some() {
                return Err(Error::new(ErrorKind::TenantDeleted, "the tenant was deleted"));
            }
            change(&mut document)?;
            document.attribute(context, self.clock.now());
            let tenant = document.tenant(id.clone());
            Ok(Edit::Write(document, tenant))
        };
        let tenant = self.tenants.update(&id, edit).await?;
        self.remember(context, tenant).await
    }

    /// Takes the record into memory, then tells the other nodes.
    async fn remember(&self, context: &RequestContext, tenant: Tenant) -> Result<Changed<Tenant>> {
        let value = Arc::new(tenant.clone());
        // Our answer may come after that to a later change, and records have no revision: what is stored counts.
        if self.replica.refresh_tenant(&value.id).await.is_err() {
            self.cache.put_tenant(tenant);
        }
        let touched = Touched::Tenant { tenant: value.id.clone() }.by(&context.attribution());
        let change_seq = self.replica.append(vec![touched]).await?;
        Ok(Changed { value, change_seq })
    }
}

fn taken() -> Error {
    Error::new(ErrorKind::DuplicateTenant, "a tenant with that id exists")
}
