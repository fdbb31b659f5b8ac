//! Create and change tenants.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::{Changed, Keystore};
use crate::documents::{Edit, Found, RequestContext, TenantDocument};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyType, Label, Limits, RetentionDays, Tenant, TenantId};
use crate::store::Written;
use crate::sync::{AuditAction, ChangedObject};

/// What an operator changes of a tenant; `None` leaves a field as it is, `Some(None)` clears it.
#[derive(Debug, Clone, Default)]
pub struct TenantPatch {
    /// What people call it.
    pub name: Option<Option<Label>>,
    /// The kinds of use that are refused for now, replaced whole.
    pub suspended: Option<BTreeSet<KeyType>>,
    /// How much all its keys together may be used, replaced whole.
    pub limits: Option<Limits>,
    /// How long a key lasts whose request sets no expiry, in seconds.
    pub default_key_lifetime_seconds: Option<Option<NonZeroU32>>,
    /// How long a key may last at most, in seconds.
    pub max_key_lifetime_seconds: Option<Option<NonZeroU32>>,
    /// How long events are kept in streams that do not say.
    pub retention_days: Option<Option<RetentionDays>>,
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
        if let Some(days) = self.retention_days {
            document.retention_days = days;
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

    /// Creates a tenant with more than a name.
    ///
    /// # Errors
    /// As for [`Keystore::create_tenant`]; [`ErrorKind::Invalid`] when the lifetimes contradict each other.
    pub async fn create_tenant_with(
        &self,
        context: &RequestContext,
        id: TenantId,
        patch: TenantPatch,
    ) -> Result<Changed<Tenant>> {
        let (this, context) = (self.clone(), context.clone());
        self.run_to_completion(async move { this.create_tenant_now(&context, id, patch).await }).await
    }

    async fn create_tenant_now(
        &self,
        context: &RequestContext,
        id: TenantId,
        patch: TenantPatch,
    ) -> Result<Changed<Tenant>> {
        match self.tenant(&id) {
            Ok(_) => return Err(taken()),
            Err(error) if error.kind() == ErrorKind::TenantDeleted => return Err(error),
            Err(_) => {}
        }
        let mut document = TenantDocument::new(None, Some(self.clock.now()));
        patch.apply(&mut document)?;
        document.attribute(context, self.clock.now());
        match self.tenants.create(&id, &document).await? {
            Written::Done => self.remember(context, None, document.tenant(id), AuditAction::TenantCreate).await,
            Written::Conflict => Err(taken()),
        }
    }

    /// Changes a tenant. A suspension holds on this node from the next request on and ends its running queries.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::TenantDeleted`], [`ErrorKind::Invalid`] when the lifetimes contradict each
    /// other, [`ErrorKind::Corrupt`] when its record cannot be read, [`ErrorKind::Unavailable`] when the store does not
    /// answer.
    pub async fn update_tenant(
        &self,
        context: &RequestContext,
        id: &TenantId,
        patch: TenantPatch,
    ) -> Result<Changed<Tenant>> {
        let (this, context, id) = (self.clone(), context.clone(), id.clone());
        let change = async move { this.change_tenant(&context, id, move |document| patch.apply(document)).await };
        self.run_to_completion(change).await
    }

    pub(super) async fn change_tenant(
        &self,
        context: &RequestContext,
        id: TenantId,
        change: impl Fn(&mut TenantDocument) -> Result<()> + Send + Sync,
    ) -> Result<Changed<Tenant>> {
        self.tenant_read_through(&id).await?;
        let edit = |found: Found<TenantDocument>| {
            let mut document = match found.usable()? {
                Some(document) => document,
                None if id.is_default() => TenantDocument::new(None, None),
                None => return Err(Error::new(ErrorKind::NotFound, "there is no such tenant")),
            };
            if document.deleted_at.is_some() {
                return Err(Error::new(ErrorKind::TenantDeleted, "the tenant was deleted"));
            }
            let before = document.tenant(id.clone());
            change(&mut document)?;
            document.attribute(context, self.clock.now());
            let tenant = document.tenant(id.clone());
            Ok(Edit::Write(document, (before, tenant)))
        };
        let (before, tenant) = self.tenants.update(&id, edit).await?;
        let action = if tenant.deleted { AuditAction::TenantDelete } else { AuditAction::TenantUpdate };
        self.remember(context, Some(before), tenant, action).await
    }

    /// Takes the record into memory, then logs the change.
    pub(super) async fn remember(
        &self,
        context: &RequestContext,
        before: Option<Tenant>,
        tenant: Tenant,
        action: AuditAction,
    ) -> Result<Changed<Tenant>> {
        let value = Arc::new(tenant.clone());
        // Our answer may come after that to a later change, and records have no revision: what is stored counts.
        if self.replica.refresh_tenant(&value.id).await.is_err() {
            self.cache.put_tenant(tenant);
        }
        let change = ChangedObject::Tenant { tenant: value.id.clone() }.by(context).doing(action);
        let change = change.named(value.name.as_ref().map(ToString::to_string)).between(before.as_ref(), Some(&*value));
        let change_seq = self.replica.append(vec![change]).await?;
        Ok(Changed { value, change_seq })
    }
}

fn taken() -> Error {
    Error::new(ErrorKind::DuplicateTenant, "a tenant with that id exists")
}
