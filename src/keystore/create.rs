//! Writing a key that is not there yet: its name, its document, and whether it may stay.

use std::sync::Arc;

use super::Keystore;
use super::claim::{Claim, ClaimAttempt, duplicate_name, name_is_pending};
use super::secret::SuppliedSecret;
use crate::cache::NameReservation;
use crate::documents::{RequestContext, StoredKey};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, KeyId, KeyLimits, KeyName, KeyState, KeyType, Metadata, NewKey, TenantId};
use crate::layout::ObjectName;
use crate::store::Written;

/// What to do about a name that is claimed for a key that is not written yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnPendingClaim {
    /// That key may still come.
    Refuse,
    /// Write the very key that was announced: only for a secret that is not lost with its claimant.
    Finish,
}

/// Refuses limits on what keys of this type do not do.
pub(super) fn check_limits(limits: &KeyLimits, key_type: KeyType) -> Result<()> {
    limits.check(key_type).map_err(|error| Error::invalid(error.to_string()))
}

/// Refuses metadata that is nested too deeply.
pub(super) fn check_metadata(metadata: &Metadata) -> Result<()> {
    metadata.check().map_err(|error| Error::invalid(error.to_string()))
}

impl Keystore {
    /// The part of an issue before the log: the key is durable, and works on this node.
    pub(super) async fn write_new_key(
        &self,
        context: &RequestContext,
        tenant: TenantId,
        new: NewKey,
        secret: SuppliedSecret,
        active: bool,
        on_pending: OnPendingClaim,
    ) -> Result<Arc<ApiKey>> {
        let lifetimes = self.tenant_read_through(&tenant).await?.lifetimes;
        check_limits(&new.settings.limits, new.key_type)?;
        check_metadata(&new.settings.metadata)?;
        let now = self.clock.now();
        let expires_at = lifetimes.first_end(new.expires_at, now).map_err(|error| Error::invalid(error.to_string()))?;
        // The name first: of two equal requests the second is refused for its name.
        let _name = self.reserve_name(&tenant, &new.name).await?;
        let _secret = self.reserve_secret(&secret, None)?;
        let key = new.into_key(tenant, secret.digest, secret.hint);
        let (created_by, created_at) = (Some(context.actor.clone()), Some(now));
        let state = if active { KeyState::Active } else { KeyState::Disabled };
        let key = ApiKey { own_secret: secret.own, state, created_by, created_at, expires_at, ..key };
        let (claim, key_id) = self.claim_name(&key, on_pending).await?;
        let mut stored = StoredKey::new(ApiKey { key_id, ..key.clone() });
        stored.attribute(context, now);
        let object = ObjectName::Key { tenant: key.tenant.clone(), key_id };
        let written = self.keys.create(&(key.tenant.clone(), key_id), &stored).await?;
        let key = Arc::new(stored.key);
        match written {
            Written::Done => {}
            Written::Conflict => {
                // The writer of the key of this claim has the name; its document says which key that is.
                self.replica.refresh(&key.tenant, key_id).await?;
                return Err(duplicate_name());
            }
        }
        if !self.still_holds(&claim).await? {
            self.bucket.remove(&object).await?; // Its secret was never shown.
            return Err(duplicate_name());
        }
        self.cache.put_key(key.clone());
        if let Err(error) = self.remove_older(&claim).await {
            tracing::debug!("claims that are no longer needed stay: {error:?}");
        }
        Ok(key)
    }

    /// Claims the name of a key that is about to be written. Gives the claim, and the id that the key gets by it.
    ///
    /// # Errors
    /// [`ErrorKind::DuplicateKeyName`] when a live key has the name, or may be about to: then with the time after which
    /// to try again. [`ErrorKind::Unavailable`] when the store does not answer.
    async fn claim_name<'a>(&self, key: &'a ApiKey, on_pending: OnPendingClaim) -> Result<(Claim<'a>, KeyId)> {
        match self.attempt_claim(&key.tenant, &key.name, key.key_id).await? {
            ClaimAttempt::Won(claim) => Ok((claim, key.key_id)),
            ClaimAttempt::Pending { claim, key_id: Some(key_id), wait } if on_pending == OnPendingClaim::Finish => {
                match self.lower_holder(&claim).await? {
                    Some(_) => Err(name_is_pending(wait)),
                    None => Ok((claim, key_id)),
                }
            }
            ClaimAttempt::Pending { wait, .. } => Err(name_is_pending(wait)),
            ClaimAttempt::Held(holder) => {
                if let Some(holder) = holder {
                    // Its writer may have crashed before it was logged.
                    self.replica.refresh(&key.tenant, holder).await?;
                }
                Err(duplicate_name())
            }
        }
    }

    /// Reserves a name on this node. A recent change by another node may not be here yet, so a key that is in the way
    /// is read once more before the request is refused.
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
