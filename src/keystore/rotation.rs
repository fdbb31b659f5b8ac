//! A new secret for a key.

use chrono::{DateTime, TimeDelta, Utc};

use super::keys::{OnUnreadable, refuse_revoked};
use super::secret::generate;
use super::{Changed, Issued, Keystore, SuppliedSecret};
use crate::documents::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, KeyId, TenantId};

impl Keystore {
    /// The longest overlap.
    pub const MAX_OVERLAP: TimeDelta = TimeDelta::days(365);

    /// Gives a key a new secret. The old one works until `overlap` has passed, and then stops by itself on every node;
    /// those before it stop no later.
    ///
    /// # Errors
    /// As for [`Keystore::update`]; [`ErrorKind::TooManySecrets`]; [`ErrorKind::Invalid`] for an overlap that is
    /// negative or above [`Keystore::MAX_OVERLAP`].
    pub async fn rotate(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        id: KeyId,
        overlap: TimeDelta,
        expected_rev: Option<u64>,
    ) -> Result<Issued> {
        let secret = generate(self.find_read_through(tenant, id).await?.key_type)?;
        let rotated = self.rotate_to(context, tenant, id, SuppliedSecret::of(&secret), overlap, expected_rev).await?;
        Ok(Issued { key: rotated.value, secret, change_seq: rotated.change_seq })
    }

    /// Gives a key a secret that exists. One that the key had before is restored, and the current one stays, so that a
    /// request without an answer may be repeated.
    ///
    /// # Errors
    /// As for [`Keystore::rotate`]; [`ErrorKind::DuplicateApiKey`] when the secret is another key's.
    pub async fn rotate_to(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        id: KeyId,
        secret: SuppliedSecret,
        overlap: TimeDelta,
        expected_rev: Option<u64>,
    ) -> Result<Changed<ApiKey>> {
        if secret.own {
            self.catch_up().await?; // It may have been given to another key elsewhere a moment ago.
        }
        let reservation = self.reserve_secret(&secret, Some((tenant, id)))?;
        let rotated = rotated(secret, self.clock.now(), overlap)?;
        self.change(context, tenant, id, expected_rev, OnUnreadable::Refuse, move |key| {
            let _until_written = &reservation;
            rotated(key)
        })
        .await
    }
}

/// Gives a key a secret that exists.
///
/// # Errors
/// [`ErrorKind::Invalid`] for an overlap out of range.
pub(super) fn rotated(
    secret: SuppliedSecret,
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
