//! Writing a key that is not there yet: its name, its document, and whether it may stay.

use std::sync::Arc;

use super::Keystore;
use super::claim::{Claim, Stake, duplicate, pending};
use super::keys::Brought;
use crate::cache::NameReservation;
use crate::documents::{RequestContext, StoredKey};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, KeyId, KeyName, NewKey, TenantId};
use crate::layout::ObjectName;
use crate::store::Written;

/// What to do about a name that somebody has claimed for a key that is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pending {
    /// That key may still come.
    Refuse,
    /// Write the very key that was announced: only for a secret that is not lost with its claimant.
    Finish,
}

impl Keystore {
    /// The part of an issue before anybody else is told: the key is durable, and works here.
    pub(super) async fn adopt_document(
        &self,
        context: &RequestContext,
        tenant: TenantId,
        new: NewKey,
        secret: Brought,
        others: Pending,
    ) -> Result<Arc<ApiKey>> {
        let lifetimes = self.tenant_anywhere(&tenant).await?.lifetimes;
        let now = self.clock.now();
        let expires_at = lifetimes.first_end(new.expires_at, now).map_err(|error| Error::invalid(error.to_string()))?;
        // The name first: whoever asks twice at once for the same is told of the name.
        let _reserved = self.reserve_name(&tenant, &new.name).await?;
        let _held = self.hold(&secret, None)?;
        let key = new.into_key(tenant, secret.digest, secret.hint);
        let (created_by, created_at) = (Some(context.actor.clone()), Some(now));
        let key = ApiKey { own_secret: secret.own, created_by, created_at, expires_at, ..key };
        let (claim, key_id) = self.claim_for(&key, others).await?;
        let mut stored = StoredKey::new(ApiKey { key_id, ..key.clone() });
        stored.attribute(context, now);
        let object = ObjectName::Key { tenant: key.tenant.clone(), key_id };
        let written = self.keys.create(&(key.tenant.clone(), key_id), &stored).await?;
        let key = Arc::new(stored.key);
        match written {
            Written::Done => {}
            Written::Conflict => {
                // Whoever wrote the key of this claim has the name; what it is stands there.
                self.replica.refresh(&key.tenant, key_id).await?;
                return Err(duplicate());
            }
        }
        if !self.still_holds(&claim).await? {
            self.bucket.remove(&object).await?; // Nobody has seen its secret.
            return Err(duplicate());
        }
        self.cache.put_key(key.clone());
        if let Err(error) = self.remove_older(&claim).await {
            tracing::debug!("claims that are no longer needed stay: {error:?}");
        }
        Ok(key)
    }

    /// A claim on the name of a key that is about to be written, and the id that the key gets by it.
    async fn claim_for<'a>(&self, key: &'a ApiKey, others: Pending) -> Result<(Claim<'a>, KeyId)> {
        let (tenant, name) = (&key.tenant, &key.name);
        if others == Pending::Refuse {
            return Ok((self.claim(tenant, name, key.key_id).await?, key.key_id));
        }
        match self.stake(tenant, name, key.key_id).await? {
            Stake::Mine(claim) => Ok((claim, key.key_id)),
            Stake::Pending(claim, Some(key_id), rest) => match self.lower(&claim).await? {
                Some(_) => Err(pending(rest)),
                None => Ok((claim, key_id)),
            },
            Stake::Pending(_, None, rest) => Err(pending(rest)),
            Stake::Held(holder) => {
                if let Some(holder) = holder {
                    self.replica.refresh(tenant, holder).await?; // Its writer may have ended before it could tell.
                }
                Err(duplicate())
            }
        }
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
}
