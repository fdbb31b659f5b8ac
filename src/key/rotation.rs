//! Rotation: a key gets a new secret, and its old one keeps working until the overlap ends.

use chrono::{DateTime, Utc};

use super::{ApiKey, Digest, Hint, OlderSecret};

/// Four secrets overlap the current one already: wait until the first of them ends, or end them with an overlap of 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "four older secrets of the key still work: rotate without an overlap, end the overlap, or wait until one of them ends"
)]
pub struct TooManySecrets;

impl ApiKey {
    /// Gives the key a new secret. The current one works until `until`, and older ones no longer than that; secrets
    /// that no longer work at `now` are removed.
    ///
    /// # Errors
    /// [`TooManySecrets`] when more than [`super::OlderSecrets::MAX`] would overlap.
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

    /// The digests of all its secrets: the one it has, then those it had.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.digest).chain(self.older.iter().map(|older| &older.digest))
    }

    /// When `digest` stops being accepted, unless the key is changed; `None` is never. A digest of another secret is
    /// already expired.
    pub fn secret_until(&self, digest: &Digest) -> Option<DateTime<Utc>> {
        let of_secret = match self.older_until(digest) {
            None if self.digest.verify(digest) => None,
            until => Some(until.unwrap_or(DateTime::<Utc>::MIN_UTC)),
        };
        [self.expires_at, of_secret].into_iter().flatten().min()
    }

    /// Until when an older secret of this key works; `None` for its current secret and for others.
    pub fn older_until(&self, digest: &Digest) -> Option<DateTime<Utc>> {
        self.older_secret(digest).map(|older| older.until)
    }

    /// The older secret with this digest; `None` for the current secret and for others.
    pub fn older_secret(&self, digest: &Digest) -> Option<&OlderSecret> {
        if self.older.is_empty() || self.digest.verify(digest) {
            return None;
        }
        self.older.iter().find(|older| older.digest.verify(digest))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::key::{KeyName, KeyType, NewKey, TenantId};

    fn key() -> ApiKey {
        let new = NewKey::new(KeyName::parse("k").unwrap(), KeyType::Query);
        new.into_key(TenantId::default(), Digest::of("0"), Hint::default())
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn rotate(key: &mut ApiKey, secret: &str, now: i64, until: i64) -> Result<(), TooManySecrets> {
        key.rotate(Digest::of(secret), Hint::default(), at(now), at(until))
    }

    fn until(key: &ApiKey, secret: &str) -> Option<DateTime<Utc>> {
        key.older_until(&Digest::of(secret))
    }

    #[test]
    fn no_older_secret_outlives_the_overlap_of_a_younger_one() {
        let mut key = key();
        rotate(&mut key, "1", 0, 100).unwrap();
        rotate(&mut key, "2", 10, 50).unwrap();
        assert_eq!((until(&key, "0"), until(&key, "1"), until(&key, "2")), (Some(at(50)), Some(at(50)), None));
        rotate(&mut key, "3", 20, 90).unwrap();
        assert_eq!((until(&key, "1"), until(&key, "2")), (Some(at(50)), Some(at(90))));
        rotate(&mut key, "4", 30, 30).unwrap();
        assert!(key.older.is_empty() && key.digest == Digest::of("4"));
    }

    #[test]
    fn so_many_secrets_overlap_and_no_more() {
        let mut key = key();
        for (now, secret) in ["1", "2", "3", "4"].into_iter().enumerate() {
            rotate(&mut key, secret, now as i64, 100).unwrap();
        }
        let before = key.clone();
        assert_eq!(rotate(&mut key, "5", 10, 100), Err(TooManySecrets));
        assert_eq!(key, before);
        assert!(rotate(&mut key.clone(), "5", 10, 10).is_ok(), "without an overlap");
        assert!(rotate(&mut key.clone(), "5", 100, 200).is_ok(), "once they have ended");
    }

    #[test]
    fn a_secret_that_comes_back_is_the_current_one_and_no_older_one() {
        let mut key = key();
        rotate(&mut key, "1", 0, 100).unwrap();
        rotate(&mut key, "0", 10, 100).unwrap();
        assert_eq!((until(&key, "0"), until(&key, "1")), (None, Some(at(100))));
        let again = key.clone();
        rotate(&mut key, "0", 10, 100).unwrap();
        assert_eq!(key, again, "asked twice");
    }

    #[test]
    fn a_secret_lasts_as_long_as_its_key_and_its_overlap() {
        let mut key = ApiKey { expires_at: Some(at(70)), ..key() };
        rotate(&mut key, "1", 0, 50).unwrap();
        let end = |key: &ApiKey, secret: &str| key.secret_until(&Digest::of(secret));
        assert_eq!((end(&key, "0"), end(&key, "1")), (Some(at(50)), Some(at(70))));
        assert!(end(&key, "2").unwrap() < at(0));
        key.expires_at = None;
        assert_eq!(end(&key, "1"), None);
    }
}
