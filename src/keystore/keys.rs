//! Issue, update and revoke.

use std::sync::Arc;

use super::claim::duplicate;
use super::{ATTEMPTS, Keystore, too_busy};
use crate::cache::NameReservation;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{
    ApiKey, Digest, Hint, KeyId, KeyName, KeyPatch, KeyState, KeyType, Label, NewKey, PlainSecret, TenantId,
};
use crate::layout::ObjectName;
use crate::store::document::Unreadable;
use crate::store::{KeyDocument, Written};
use crate::sync::Touched;

/// What to do about a document that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
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

pub(super) fn parse(body: &[u8], tenant: &TenantId, id: KeyId) -> Result<(KeyDocument, ApiKey), Unreadable> {
    let document = KeyDocument::parse(body)?;
    let key = document.key(tenant, id)?;
    Ok((document, key))
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

/// What a keystore needs to know of a secret.
#[derive(Debug, Clone, Copy)]
pub struct Brought {
    /// Its digest.
    pub digest: Digest,
    /// Its last characters.
    pub hint: Hint,
    /// Whether somebody brought it along.
    pub own: bool,
}

impl Brought {
    pub(super) fn of(secret: &PlainSecret) -> Self {
        Self { digest: secret.digest(), hint: secret.hint(), own: false }
    }
}

pub(super) fn generate(key_type: KeyType) -> Result<PlainSecret> {
    PlainSecret::generate(key_type).map_err(|error| Error::new(ErrorKind::Internal, "no randomness").caused_by(error))
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
    /// [`ErrorKind::NotFound`] or [`ErrorKind::TenantDeleted`] without such a tenant, [`ErrorKind::DuplicateKeyName`] when
    /// a live key has the name, here or on any other node, [`ErrorKind::Invalid`] when it would expire in the past, or
    /// later than the tenant's keys may, [`ErrorKind::Unavailable`] when the store does not answer: the key may then exist,
    /// but nobody knows its secret.
    pub async fn issue(&self, tenant: &TenantId, new: NewKey, by: Option<Label>) -> Result<Issued> {
        let (this, tenant) = (self.clone(), tenant.clone());
        Self::to_the_end(async move { this.issue_now(tenant, new, by).await }).await
    }

    async fn issue_now(&self, tenant: TenantId, new: NewKey, by: Option<Label>) -> Result<Issued> {
        let secret = generate(new.key_type)?;
        let issued = self.adopt_now(tenant, new, Brought::of(&secret), by).await?;
        Ok(Issued { key: issued.value, secret, change_seq: issued.change_seq })
    }

    /// Issues a key for a secret that somebody has already.
    ///
    /// # Errors
    /// As for [`Keystore::issue`]; [`ErrorKind::DuplicateApiKey`] when the secret is another key's, or was.
    pub async fn adopt(
        &self,
        tenant: &TenantId,
        new: NewKey,
        secret: Brought,
        by: Option<Label>,
    ) -> Result<Changed<ApiKey>> {
        let (this, tenant) = (self.clone(), tenant.clone());
        Self::to_the_end(async move { this.adopt_now(tenant, new, secret, by).await }).await
    }

    async fn adopt_now(
        &self,
        tenant: TenantId,
        new: NewKey,
        secret: Brought,
        by: Option<Label>,
    ) -> Result<Changed<ApiKey>> {
        let lifetimes = self.tenant_anywhere(&tenant).await?.lifetimes;
        let now = self.clock.now();
        let expires_at = lifetimes.first_end(new.expires_at, now).map_err(|error| Error::invalid(error.to_string()))?;
        let _held = self.hold(&secret, None).await?;
        let _reserved = self.reserve_name(&tenant, &new.name).await?;
        let key = new.into_key(tenant, secret.digest, secret.hint);
        let (created_at, own_secret) = (Some(now), secret.own);
        let key = ApiKey { own_secret, created_by: by, created_at, modified_at: created_at, expires_at, ..key };
        let key = Arc::new(key);
        let (tenant, name, key_id) = (&key.tenant, &key.name, key.key_id);
        let claim = self.claim(tenant, name, key_id).await?;
        let object = ObjectName::Key { tenant: tenant.clone(), key_id };
        match self.bucket.create(&object, KeyDocument::new(&key).to_bytes()).await? {
            Written::Done => {}
            Written::Conflict => return Err(Error::new(ErrorKind::Internal, "a fresh key id was taken")),
        }
        if !self.still_holds(&claim).await? {
            self.bucket.remove(&object).await?; // Nobody has seen its secret.
            return Err(duplicate());
        }
        self.cache.put_key(key.clone());
        let change_seq = self.replica.append(vec![Touched::Key { tenant: tenant.clone(), key_id }]).await?;
        if let Err(error) = self.remove_older(&claim).await {
            tracing::debug!("claims that are no longer needed stay: {error:?}");
        }
        Ok(Changed { value: key, change_seq })
    }

    /// Reserves a name on this node. What another node did a moment ago may not be here yet, so a key that is in the way
    /// is read once more before anybody is refused.
    async fn reserve_name(&self, tenant: &TenantId, name: &KeyName) -> Result<NameReservation> {
        match self.cache.reserve_name(tenant, name) {
            Err(error) if error.kind() == ErrorKind::DuplicateKeyName => {
                let Some(key) = self.cache.named(tenant, name) else { return Err(error) };
                self.replica.refresh(tenant, key.key_id).await?;
                self.cache.reserve_name(tenant, name)
            }
            reserved => reserved,
        }
    }

    /// Changes a key; with `expected_rev` only if nobody changed it since that revision was read.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::KeyRevoked`], [`ErrorKind::PreconditionFailed`],
    /// [`ErrorKind::Invalid`] when it would expire in the past, or later than the tenant's keys may,
    /// [`ErrorKind::Corrupt`] when its document cannot be read, [`ErrorKind::Unavailable`] when the store does not
    /// answer.
    pub async fn update(
        &self,
        tenant: &TenantId,
        id: KeyId,
        patch: KeyPatch,
        expected_rev: Option<u64>,
    ) -> Result<Changed<ApiKey>> {
        if let Some(end) = patch.expires_at {
            let lifetimes = self.tenant_anywhere(tenant).await?.lifetimes;
            lifetimes.check_end(end, self.clock.now()).map_err(|error| Error::invalid(error.to_string()))?;
        }
        self.change(tenant, id, expected_rev, Broken::Refuse, move |key| {
            if key.state == KeyState::Revoked {
                return Err(Error::new(ErrorKind::KeyRevoked, "the key is revoked, which is final"));
            }
            patch.clone().apply(key);
            Ok(())
        })
        .await
    }

    /// Revokes a key for ever, even one whose document was broken since it was loaded. This node refuses it from the next
    /// request on, also while the store cannot be reached. Repeating it changes nothing.
    ///
    /// # Errors
    /// As for [`Keystore::update`], but a revoked key is no error, and a store that does not answer is
    /// [`ErrorKind::RevokedHere`] when this node holds the key.
    pub async fn revoke(&self, tenant: &TenantId, id: KeyId, expected_rev: Option<u64>) -> Result<Changed<ApiKey>> {
        let (this, tenant) = (self.clone(), tenant.clone());
        // Whoever asked may hang up: a key that is refused here must then still be revoked everywhere, or let in again.
        Self::to_the_end(async move { this.revoke_now(&tenant, id, expected_rev).await }).await
    }

    async fn revoke_now(&self, tenant: &TenantId, id: KeyId, expected_rev: Option<u64>) -> Result<Changed<ApiKey>> {
        let held = self.cache.key(tenant, id).is_some_and(|key| expected_rev.is_none_or(|rev| rev == key.rev));
        if held && expected_rev.is_none() {
            self.cache.deny(tenant, id); // Before the store is asked: it may take seconds to fail.
        }
        match self.change(tenant, id, expected_rev, Broken::Overwrite, revoked).await {
            Err(error) if error.kind() == ErrorKind::Unavailable && held => {
                self.cache.deny(tenant, id);
                self.owe(tenant, id);
                let message = "the store cannot be reached: the key is refused here, and the revocation is tried again";
                Err(Error::new(ErrorKind::RevokedHere, message).caused_by(error))
            }
            Err(error) if error.kind() != ErrorKind::NotFound => {
                self.undo_denial(tenant, id).await;
                Err(error)
            }
            outcome => {
                self.settled(tenant, id);
                outcome
            }
        }
    }

    pub(super) async fn change(
        &self,
        tenant: &TenantId,
        id: KeyId,
        expected_rev: Option<u64>,
        broken: Broken,
        change: impl Fn(&mut ApiKey) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Changed<ApiKey>> {
        self.tenant_anywhere(tenant).await?;
        let (this, tenant) = (self.clone(), tenant.clone());
        Self::to_the_end(async move { this.change_now(tenant, id, expected_rev, broken, change).await }).await
    }

    /// Changes the document, then tells the other nodes. An unchanged document is told of too: whoever changed it may have
    /// ended before it could.
    pub(super) async fn change_now(
        &self,
        tenant: TenantId,
        id: KeyId,
        expected_rev: Option<u64>,
        broken: Broken,
        change: impl Fn(&mut ApiKey) -> Result<()> + Send + Sync,
    ) -> Result<Changed<ApiKey>> {
        let value = self.swap(tenant.clone(), id, expected_rev, broken, change).await?;
        let change_seq = self.replica.append(vec![Touched::Key { tenant, key_id: id }]).await?;
        Ok(Changed { value, change_seq })
    }

    /// Reads, changes and swaps until no other writer came between. What is stored counts, not what is in memory.
    pub(super) async fn swap(
        &self,
        tenant: TenantId,
        id: KeyId,
        expected_rev: Option<u64>,
        broken: Broken,
        change: impl Fn(&mut ApiKey) -> Result<()> + Send + Sync,
    ) -> Result<Arc<ApiKey>> {
        let object = ObjectName::Key { tenant: tenant.clone(), key_id: id };
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.bucket.read(&object).await? else {
                if self.cache.key(&tenant, id).is_some() {
                    self.cache.remove_key(&tenant, id); // Removed by hand: never written back.
                }
                return Err(Error::new(ErrorKind::NotFound, "there is no such key"));
            };
            let (document, before, repairs) = match (parse(&stored.body, &tenant, id), self.cache.key(&tenant, id)) {
                (Ok((document, key)), _) => (document, key, false),
                (Err(_), Some(held)) if broken == Broken::Overwrite => (KeyDocument::new(&held), (*held).clone(), true),
                (Err(error), _) => {
                    let corrupt = Error::new(ErrorKind::Corrupt, "the document of the key cannot be read");
                    return Err(corrupt.caused_by(error));
                }
            };
            if expected_rev.is_some_and(|rev| rev != before.rev) {
                return Err(Error::new(ErrorKind::PreconditionFailed, "the key was changed since that revision"));
            }
            // A file rewritten by hand may have lost its revision: what we write must be newer than what we hold.
            let held_rev = self.cache.key(&tenant, id).map_or(0, |held| held.rev);
            let mut after = before.clone();
            change(&mut after)?;
            if after == before && held_rev <= before.rev && !repairs {
                let key = Arc::new(after);
                self.cache.put_key(key.clone());
                return Ok(key);
            }
            after.rev = before.rev.max(held_rev).saturating_add(1);
            after.modified_at = Some(self.clock.now());
            let body = document.rewritten(&after).to_bytes();
            self.replica.about_to_write(&tenant, id);
            if self.bucket.replace(&object, body, &stored.version).await? == Written::Done {
                let key = Arc::new(after);
                self.cache.put_key(key.clone());
                return Ok(key);
            }
        }
        Err(too_busy())
    }
}
