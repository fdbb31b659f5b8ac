//! Issue, update and revoke.

use std::sync::Arc;

use super::Keystore;
use super::change::LoggedKey;
use super::create::{OnPendingClaim, check_limits, check_metadata};
use super::secret::{SuppliedSecret, generate};
use crate::documents::{Edit, Found, RequestContext, StoredKey};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, KeyId, KeyPatch, KeyState, NewKey, PlainSecret, TenantId};
use crate::sync::AuditAction;

/// What to do about a document that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnUnreadable {
    /// An operator must look at it.
    Refuse,
    /// Write the key as this node holds it: a key that still works must never be beyond revocation.
    Overwrite,
}

/// Makes a key a revoked one.
pub(super) fn revoked(key: &mut ApiKey) -> Result<()> {
    key.state = KeyState::Revoked;
    Ok(())
}

/// Makes the changes of a patch.
pub(super) fn patched(patch: KeyPatch) -> impl Fn(&mut ApiKey) -> Result<()> + Send + Sync + 'static {
    move |key| {
        refuse_revoked(key)?;
        // An older document may hold limits that are refused now, and its key can still be changed.
        if let Some(limits) = patch.settings.limits.as_ref().filter(|limits| **limits != key.settings.limits) {
            check_limits(limits, key.key_type)?;
        }
        if let Some(metadata) = patch.settings.metadata.as_ref().filter(|metadata| **metadata != key.settings.metadata)
        {
            check_metadata(metadata)?;
        }
        patch.clone().apply(key);
        Ok(())
    }
}

pub(super) fn refuse_revoked(key: &ApiKey) -> Result<()> {
    match key.state {
        KeyState::Revoked => Err(Error::new(ErrorKind::KeyRevoked, "the key is revoked, which is final")),
        KeyState::Active | KeyState::Disabled => Ok(()),
    }
}

/// Refuses a change of another revision than the one that the key has.
pub(super) fn check_rev(key: &ApiKey, expected_rev: Option<u64>) -> Result<()> {
    if expected_rev.is_some_and(|rev| rev != key.rev) {
        return Err(Error::new(ErrorKind::PreconditionFailed, "the key was changed since that revision"));
    }
    Ok(())
}

/// A key that was just issued, and the only sight of its secret.
#[derive(Debug)]
pub struct Issued {
    /// The key.
    pub key: Arc<ApiKey>,
    /// The API key in clear text.
    pub secret: PlainSecret,
    /// The number of the change in the log, for [`crate::sync::Replica::receipt`].
    pub change_seq: u64,
}

/// A key or tenant that was just changed.
#[derive(Debug, Clone)]
pub struct Changed<T> {
    /// What it is now.
    pub value: Arc<T>,
    /// The number of the change in the log, for [`crate::sync::Replica::receipt`].
    pub change_seq: u64,
}

impl Keystore {
    /// Issues a key. It works once this returns, and not before it is durable.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] or [`ErrorKind::TenantDeleted`] without such a tenant, [`ErrorKind::DuplicateKeyName`]
    /// when a live key has the name, here or on any other node, [`ErrorKind::Invalid`] when it would expire in the
    /// past, or later than the tenant's keys may, or has limits on what its type does not do,
    /// [`ErrorKind::Unavailable`] when the store does not answer: the key may then exist, but its secret is lost.
    pub async fn issue(&self, context: &RequestContext, tenant: &TenantId, new: NewKey) -> Result<Issued> {
        let secret = generate(new.key_type)?;
        let issued = self.create_key(context, tenant, new, SuppliedSecret::of(&secret)).await?;
        Ok(Issued { key: issued.value, secret, change_seq: issued.change_seq })
    }

    /// Issues a key for a secret that exists.
    ///
    /// # Errors
    /// As for [`Keystore::issue`]; [`ErrorKind::DuplicateApiKey`] when the secret is another key's, or was.
    pub async fn issue_with_secret(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        new: NewKey,
        secret: SuppliedSecret,
    ) -> Result<Changed<ApiKey>> {
        // It may have been given to another key elsewhere a moment ago.
        self.catch_up().await?;
        self.create_key(context, tenant, new, secret).await
    }

    /// Writes a key and logs it.
    async fn create_key(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        new: NewKey,
        secret: SuppliedSecret,
    ) -> Result<Changed<ApiKey>> {
        let (this, context, tenant) = (self.clone(), context.clone(), tenant.clone());
        self.run_to_completion(async move {
            let key = this.write_new_key(&context, tenant, new, secret, true, OnPendingClaim::Refuse).await?;
            let change_seq = this.log_keys(&context, &key.tenant, [LoggedKey::new(&key)]).await?;
            this.replica.introduce(change_seq).await;
            Ok(Changed { value: key, change_seq })
        })
        .await
    }

    /// Changes a key; with `expected_rev` only if it still has that revision.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::KeyRevoked`], [`ErrorKind::PreconditionFailed`],
    /// [`ErrorKind::Invalid`] when it would expire in the past, or later than the tenant's keys may,
    /// [`ErrorKind::Corrupt`] when its document cannot be read, [`ErrorKind::Unavailable`] when the store does not
    /// answer.
    pub async fn update(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        id: KeyId,
        patch: KeyPatch,
        expected_rev: Option<u64>,
    ) -> Result<Changed<ApiKey>> {
        self.check_end(tenant, &patch).await?;
        self.change(context, tenant, id, expected_rev, OnUnreadable::Refuse, patched(patch)).await
    }

    /// Refuses a patch by which a key would end in the past, or later than the keys of its tenant may.
    pub(super) async fn check_end(&self, tenant: &TenantId, patch: &KeyPatch) -> Result<()> {
        let Some(end) = patch.expires_at else { return Ok(()) };
        let lifetimes = self.tenant_read_through(tenant).await?.lifetimes;
        lifetimes.check_end(end, self.clock.now()).map_err(|error| Error::invalid(error.to_string()))
    }

    /// Revokes a key for ever, even one whose document was broken since it was loaded. This node refuses it from the
    /// next request on, also while the store cannot be reached. Repeating it changes nothing.
    ///
    /// # Errors
    /// As for [`Keystore::update`], but a revoked key is no error, and a store that does not answer is
    /// [`ErrorKind::RevokedHere`] when this node holds the key.
    pub async fn revoke(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        id: KeyId,
        expected_rev: Option<u64>,
    ) -> Result<Changed<ApiKey>> {
        let (this, context, tenant) = (self.clone(), context.clone(), tenant.clone());
        // The caller may hang up: a key that is refused here must still be revoked everywhere, or be admitted again.
        self.run_to_completion(async move { this.revoke_now(&context, &tenant, id, expected_rev).await }).await
    }

    async fn revoke_now(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        id: KeyId,
        expected_rev: Option<u64>,
    ) -> Result<Changed<ApiKey>> {
        let revocation = self.change(context, tenant, id, expected_rev, OnUnreadable::Overwrite, revoked);
        self.refusing(context, tenant, id, expected_rev, revocation).await
    }

    /// Refuses a key on this node while its revocation is written, and for as long as it cannot be.
    pub(super) async fn refusing<T>(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        id: KeyId,
        expected_rev: Option<u64>,
        revocation: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let held = self.cache.key(tenant, id).is_some_and(|key| expected_rev.is_none_or(|rev| rev == key.rev));
        if held && expected_rev.is_none() {
            self.cache.deny(tenant, id); // Before the store is asked: it may take seconds to fail.
        }
        match revocation.await {
            Err(error) if error.kind() == ErrorKind::Unavailable && held => {
                self.cache.deny(tenant, id);
                self.add_pending(context, tenant, id);
                let message = "the store cannot be reached: the key is refused here, and the revocation is tried again";
                Err(Error::new(ErrorKind::RevokedHere, message).caused_by(error))
            }
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::RevokedHere) => {
                self.undo_denial(tenant, id).await;
                Err(error)
            }
            outcome => {
                self.resolve_pending(tenant, id);
                outcome
            }
        }
    }

    pub(super) async fn change(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        id: KeyId,
        expected_rev: Option<u64>,
        on_unreadable: OnUnreadable,
        change: impl Fn(&mut ApiKey) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Changed<ApiKey>> {
        self.tenant_read_through(tenant).await?;
        let (this, context, tenant) = (self.clone(), context.clone(), tenant.clone());
        self.run_to_completion(async move {
            this.change_now(&context, tenant, id, expected_rev, on_unreadable, change).await
        })
        .await
    }

    /// Changes the document, then logs it. An unchanged document is logged too: the node that changed it may have
    /// crashed before it could.
    pub(super) async fn change_now(
        &self,
        context: &RequestContext,
        tenant: TenantId,
        id: KeyId,
        expected_rev: Option<u64>,
        on_unreadable: OnUnreadable,
        change: impl Fn(&mut ApiKey) -> Result<()> + Send + Sync,
    ) -> Result<Changed<ApiKey>> {
        let swapped = self.swap(context, tenant.clone(), id, expected_rev, on_unreadable, change).await?;
        let is_revocation = on_unreadable == OnUnreadable::Overwrite;
        let change_seq = match self.log_keys(context, &tenant, [swapped.logged()]).await {
            Err(error) if is_revocation && error.kind() == ErrorKind::Unavailable => {
                let message = "the key is revoked here; other nodes learn of it once the store can be reached";
                return Err(Error::new(ErrorKind::RevokedHere, message).caused_by(error));
            }
            logged => logged?,
        };
        if !is_revocation {
            self.replica.introduce(change_seq).await; // A revocation makes no secret work.
        }
        Ok(Changed { value: swapped.key, change_seq })
    }

    /// Changes the document of a key, and takes it into memory. What is stored counts, not what is in memory.
    pub(super) async fn swap(
        &self,
        context: &RequestContext,
        tenant: TenantId,
        id: KeyId,
        expected_rev: Option<u64>,
        on_unreadable: OnUnreadable,
        change: impl Fn(&mut ApiKey) -> Result<()> + Send + Sync,
    ) -> Result<Swapped> {
        let place = (tenant, id);
        let edit = |found| self.edit(context, &place, expected_rev, on_unreadable, &change, found);
        let swapped = self.keys.update(&place, edit).await?;
        self.cache.put_key(swapped.key.clone());
        Ok(swapped)
    }

    /// What becomes of the document that was found of a key.
    fn edit(
        &self,
        context: &RequestContext,
        (tenant, id): &(TenantId, KeyId),
        expected_rev: Option<u64>,
        on_unreadable: OnUnreadable,
        change: impl Fn(&mut ApiKey) -> Result<()>,
        found: Found<StoredKey>,
    ) -> Result<Edit<StoredKey, Swapped>> {
        let held = self.cache.key(tenant, *id);
        let (mut stored, repairs) = match (found, &held) {
            (Found::Unusable(_), Some(held)) if on_unreadable == OnUnreadable::Overwrite => {
                (StoredKey::new(ApiKey::clone(held)), true)
            }
            (found, _) => match found.usable()? {
                Some(stored) => (stored, false),
                None => {
                    if held.is_some() {
                        self.cache.remove_key(tenant, *id); // Removed by hand: never written back.
                    }
                    return Err(Error::new(ErrorKind::NotFound, "there is no such key"));
                }
            },
        };
        check_rev(&stored.key, expected_rev)?;
        let before = stored.key.clone();
        change(&mut stored.key)?;
        // A file rewritten by hand may have lost its revision: what we write must be newer than what we hold.
        let held_rev = held.map_or(0, |held| held.rev);
        let action = AuditAction::of_key(Some(&before), &stored.key);
        if action.is_none() && held_rev <= before.rev && !repairs {
            let key = Arc::new(before);
            return Ok(Edit::Keep(Swapped { before: key.clone(), key, action }));
        }
        stored.key.rev = before.rev.max(held_rev).saturating_add(1);
        stored.attribute(context, self.clock.now());
        self.replica.about_to_write(tenant, *id);
        let (before, key) = (Arc::new(before), Arc::new(stored.key.clone()));
        Ok(Edit::Write(stored, Swapped { before, key, action }))
    }
}

/// A key whose document is durable.
#[derive(Debug)]
pub(super) struct Swapped {
    /// The key as it was.
    pub(super) before: Arc<ApiKey>,
    /// The key as it is now.
    pub(super) key: Arc<ApiKey>,
    /// What was done to it; nothing if it is as it was.
    pub(super) action: Option<AuditAction>,
}

impl Swapped {
    pub(super) fn logged(&self) -> LoggedKey<'_> {
        LoggedKey { before: Some(&self.before), after: Some(&self.key), action: self.action }
    }
}
