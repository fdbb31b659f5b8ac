//! Issue, update and revoke.

use std::sync::Arc;

use super::{ATTEMPTS, Keystore, too_busy};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, KeyId, KeyPatch, KeyState, Label, NewKey, PlainSecret, TenantId};
use crate::layout::ObjectName;
use crate::store::document::Unreadable;
use crate::store::{KeyDocument, Written};

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

fn parse(body: &[u8], tenant: &TenantId, id: KeyId) -> Result<(KeyDocument, ApiKey), Unreadable> {
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
}

impl Keystore {
    /// Issues a key. It works once this returns, and not before it is durable.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] or [`ErrorKind::TenantDeleted`] without such a tenant, [`ErrorKind::DuplicateKeyName`] when
    /// a live key has the name, [`ErrorKind::Unavailable`] when the store does not answer: the key may then exist, but
    /// nobody knows its secret.
    pub async fn issue(&self, tenant: &TenantId, new: NewKey, by: Option<Label>) -> Result<Issued> {
        let (this, tenant) = (self.clone(), tenant.clone());
        Self::to_the_end(async move { this.issue_now(tenant, new, by).await }).await
    }

    async fn issue_now(&self, tenant: TenantId, new: NewKey, by: Option<Label>) -> Result<Issued> {
        self.tenant(&tenant)?;
        let _claim = self.cache.claim_name(&tenant, &new.name)?;
        let secret = PlainSecret::generate(new.key_type)
            .map_err(|error| Error::new(ErrorKind::Internal, "no randomness").caused_by(error))?;
        let now = self.clock.now();
        let key = ApiKey {
            tenant,
            key_id: KeyId::random(),
            name: new.name,
            key_type: new.key_type,
            state: KeyState::Active,
            digest: secret.digest(),
            hint: secret.hint(),
            streams: new.streams,
            source_id: new.source_id,
            trust_level: new.trust_level,
            created_by: by,
            created_at: Some(now),
            modified_at: Some(now),
            expires_at: new.expires_at,
            metadata: new.metadata,
            rev: 1,
        };
        let object = ObjectName::Key { tenant: key.tenant.clone(), key_id: key.key_id };
        match self.bucket.create(&object, KeyDocument::new(&key).to_bytes()).await? {
            Written::Done => {}
            Written::Conflict => return Err(Error::new(ErrorKind::Internal, "a fresh key id was taken")),
        }
        let key = Arc::new(key);
        self.cache.put_key(key.clone());
        Ok(Issued { key, secret })
    }

    /// Changes a key; with `expected_rev` only if nobody changed it since that revision was read.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::KeyRevoked`], [`ErrorKind::PreconditionFailed`],
    /// [`ErrorKind::Corrupt`] when its document cannot be read, [`ErrorKind::Unavailable`] when the store does not
    /// answer.
    pub async fn update(
        &self,
        tenant: &TenantId,
        id: KeyId,
        patch: KeyPatch,
        expected_rev: Option<u64>,
    ) -> Result<Arc<ApiKey>> {
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
    /// request on. Repeating it changes nothing.
    ///
    /// # Errors
    /// As for [`Keystore::update`], but a revoked key is no error.
    pub async fn revoke(&self, tenant: &TenantId, id: KeyId, expected_rev: Option<u64>) -> Result<Arc<ApiKey>> {
        self.change(tenant, id, expected_rev, Broken::Overwrite, revoked).await
    }

    async fn change(
        &self,
        tenant: &TenantId,
        id: KeyId,
        expected_rev: Option<u64>,
        broken: Broken,
        change: impl Fn(&mut ApiKey) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Arc<ApiKey>> {
        self.tenant(tenant)?;
        let (this, tenant) = (self.clone(), tenant.clone());
        Self::to_the_end(async move { this.change_now(tenant, id, expected_rev, broken, change).await }).await
    }

    /// Reads, changes and swaps until no other writer came between. What is stored counts, not what is in memory.
    pub(super) async fn change_now(
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
            let (document, before) = match (parse(&stored.body, &tenant, id), self.cache.key(&tenant, id)) {
                (Ok(read), _) => read,
                (Err(_), Some(held)) if broken == Broken::Overwrite => (KeyDocument::new(&held), (*held).clone()),
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
            if after == before && held_rev <= before.rev {
                let key = Arc::new(after);
                self.cache.put_key(key.clone());
                return Ok(key);
            }
            after.rev = before.rev.max(held_rev).saturating_add(1);
            after.modified_at = Some(self.clock.now());
            let body = document.rewritten(&after).to_bytes();
            if self.bucket.replace(&object, body, &stored.version).await? == Written::Done {
                let key = Arc::new(after);
                self.cache.put_key(key.clone());
                return Ok(key);
            }
        }
        Err(too_busy())
    }
}
