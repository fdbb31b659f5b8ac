//! A key and the secrets it had before: after a rotation the old one works on until its overlap ends.

use chrono::{DateTime, Utc};

use super::{ApiKey, Digest, Hint, InvalidId};

/// A secret that was rotated away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OlderSecret {
    /// The digest of the secret.
    pub digest: Digest,
    /// Its last characters.
    pub hint: Hint,
    /// The first instant at which it no longer works.
    pub until: DateTime<Utc>,
}

/// The secrets that were rotated away and may still work, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OlderSecrets(Box<[OlderSecret]>);

impl OlderSecrets {
    /// How many secrets of one key may overlap its current one.
    pub const MAX: usize = 4;

    /// The secrets.
    pub fn iter(&self) -> impl Iterator<Item = &OlderSecret> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Vec<OlderSecret>> for OlderSecrets {
    type Error = InvalidId;

    /// # Errors
    /// [`InvalidId`] when there are more than [`OlderSecrets::MAX`].
    fn try_from(older: Vec<OlderSecret>) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new("olderSecrets", "at most 4 secrets");
        if older.len() <= Self::MAX { Ok(Self(older.into())) } else { Err(RULE) }
    }
}

/// Four secrets overlap the current one already: wait until the first of them ends, or end them with an overlap of 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("four older secrets of the key still work: rotate with a shorter overlap, or wait until one of them has ended")]
pub struct TooManySecrets;

impl ApiKey {
    /// Gives the key a new secret. The one it had works until `until`, and those before it no longer than that; what no
    /// longer works at `now` is forgotten.
    ///
    /// # Errors
    /// [`TooManySecrets`] when more than [`OlderSecrets::MAX`] would overlap.
    pub fn rotate(
        &mut self,
        digest: Digest,
        hint: Hint,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<(), TooManySecrets> {
        let current = OlderSecret { digest: self.digest, hint: self.hint, until };
        let before = self.older.iter().map(|older| OlderSecret { until: older.until.min(until), ..*older });
        let older: Vec<_> = std::iter::once(current)
            .chain(before)
            .filter(|older| older.until > now && older.digest != digest)
            .collect();
        self.older = older.try_into().map_err(|_| TooManySecrets)?;
        (self.digest, self.hint) = (digest, hint);
        Ok(())
    }

    /// Until when an older secret of this key works; `None` for what is none of them.
    pub fn older_until(&self, digest: &Digest) -> Option<DateTime<Utc>> {
        self.older_secret(digest).map(|older| older.until)
    }

    /// The older secret of this digest.
    pub fn older_secret(&self, digest: &Digest) -> Option<&OlderSecret> {
        self.older.iter().find(|older| older.digest.verify(digest))
    }
}
