//! A new secret for a key, and secrets that people bring along: no two keys may have one.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::claim::twin;
use super::keys::{Broken, generate, refuse_revoked};
use super::{Brought, Changed, Issued, Keystore};
use crate::documents::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, Digest, KeyId, TenantId};

impl Keystore {
    /// The longest overlap.
    pub const MAX_OVERLAP: TimeDelta = TimeDelta::days(365);

    /// Gives a key a new secret. The old one works until `overlap` has passed, and then stops by itself on every node;
    /// those before it stop no later.
    ///
    /// # Errors
    /// As for [`Keystore::update`]; [`ErrorKind::TooManySecrets`]; [`ErrorKind::Invalid`] for an overlap that is negative
    /// or above [`Keystore::MAX_OVERLAP`].
    pub async fn rotate(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        id: KeyId,
        overlap: TimeDelta,
        expected_rev: Option<u64>,
    ) -> Result<Issued> {
        let secret = generate(self.find_anywhere(tenant, id).await?.key_type)?;
        let rotated = self.rotate_to(context, tenant, id, Brought::of(&secret), overlap, expected_rev).await?;
        Ok(Issued { key: rotated.value, secret, change_seq: rotated.change_seq })
    }

    /// Gives a key a secret that somebody has already. One that the key had before is taken back, and the one that it has
    /// stays: whoever gets no answer may ask again.
    ///
    /// # Errors
    /// As for [`Keystore::rotate`]; [`ErrorKind::DuplicateApiKey`] when the secret is another key's.
    pub async fn rotate_to(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        id: KeyId,
        secret: Brought,
        overlap: TimeDelta,
        expected_rev: Option<u64>,
    ) -> Result<Changed<ApiKey>> {
        if secret.own {
            self.catch_up().await?; // It may have been given to another key elsewhere a moment ago.
        }
        let held = self.hold(&secret, Some((tenant, id)))?;
        let rotated = rotated(secret, self.clock.now(), overlap)?;
        self.change(context, tenant, id, expected_rev, Broken::Refuse, move |key| {
            let _until_written = &held;
            rotated(key)
        })
        .await
    }

    /// Makes sure that no other key than `owner` has the secret, or had it, as far as this node knows, and that none gets
    /// it on this node until what is returned is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::DuplicateApiKey`].
    pub(super) fn hold(&self, secret: &Brought, owner: Option<(&TenantId, KeyId)>) -> Result<HeldSecret> {
        let held = HeldSecret::new(&self.arriving, secret.digest)?;
        match self.cache.owner(&secret.digest) {
            Some(key) if owner != Some((&key.tenant, key.key_id)) => Err(twin()),
            _ => Ok(held),
        }
    }
}

/// Gives a key a secret that somebody has.
///
/// # Errors
/// [`ErrorKind::Invalid`] for an overlap that nobody may ask for.
pub(super) fn rotated(
    secret: Brought,
    now: DateTime<Utc>,
    overlap: TimeDelta,
) -> Result<impl Fn(&mut ApiKey) -> Result<()> + Send + Sync + 'static> {
    if !(TimeDelta::zero()..=Keystore::MAX_OVERLAP).contains(&overlap) {
        return Err(Error::invalid("overlapSeconds must be from 0 to 31536000"));
    }
    Ok(move |key: &mut ApiKey| {
        refuse_revoked(key)?;
        key.own_secret = secret.own;
        key.rotate(secret.digest, secret.hint, now, now + overlap)
            .map_err(|error| Error::new(ErrorKind::TooManySecrets, error.to_string()))
    })
}

/// Secrets that are being given on this node.
pub(super) type Arriving = Arc<Mutex<Vec<Digest>>>;

/// A secret that no other key gets on this node until this is dropped.
#[derive(Debug)]
pub(super) struct HeldSecret {
    arriving: Arriving,
    digest: Digest,
}

impl HeldSecret {
    fn new(arriving: &Arriving, digest: Digest) -> Result<Self> {
        let mut digests = arriving.lock().unwrap_or_else(PoisonError::into_inner);
        if digests.iter().any(|other| other.verify(&digest)) {
            return Err(twin());
        }
        digests.push(digest);
        drop(digests);
        Ok(Self { arriving: arriving.clone(), digest })
    }
}

impl Drop for HeldSecret {
    fn drop(&mut self) {
        let mut digests = self.arriving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = digests.iter().position(|other| other.verify(&self.digest)) {
            digests.swap_remove(at);
        }
    }
}
