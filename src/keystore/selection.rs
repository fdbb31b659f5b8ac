//! The keys that a filter means, for those who change many at once.

use chrono::{DateTime, Utc};

use super::Keystore;
use crate::error::{Error, Result};
use crate::key::{Actor, ApiKey, KeyId, KeyType, Label, NamePattern, TenantId};

/// Whether a key was surely not used since an instant.
pub type Unused<'a> = &'a (dyn Fn(&ApiKey, DateTime<Utc>) -> bool + Send + Sync);

/// Which live keys are meant: those of which all that is said is true.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The sending system.
    pub source_id: Option<Label>,
    /// Their names.
    pub name: Option<NamePattern>,
    /// Who issued them.
    pub created_by: Option<Actor>,
    /// Not used at or after this instant, and issued before it.
    pub unused_since: Option<DateTime<Utc>>,
    /// What they are for.
    pub key_type: Option<KeyType>,
}

impl Selection {
    /// Whether nothing is said, so that every key would be meant.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a key is meant.
    pub fn means(&self, key: &ApiKey, unused: Option<Unused<'_>>) -> bool {
        key.is_live()
            && self.key_type.is_none_or(|wanted| wanted == key.key_type)
            && self.source_id.as_ref().is_none_or(|wanted| Some(wanted) == key.settings.source_id.as_ref())
            && self.created_by.as_ref().is_none_or(|wanted| Some(wanted) == key.created_by.as_ref())
            && self.name.as_ref().is_none_or(|wanted| wanted.matches(&key.name))
            && self.unused_since.is_none_or(|since| unused.is_some_and(|unused| unused(key, since)))
    }

    /// Refuses what cannot be answered.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when nothing is said, or when it is asked for use that nobody knows of.
    pub fn check(&self, knows_use: bool) -> Result<()> {
        if self.is_empty() {
            return Err(Error::invalid("an empty filter would mean every key: say at least one thing"));
        }
        if self.unused_since.is_some() && !knows_use {
            return Err(Error::invalid("unusedSince cannot be answered: this node does not know when keys were used"));
        }
        Ok(())
    }
}

impl Keystore {
    /// The live keys of a tenant that are meant, in order of id, from memory.
    ///
    /// # Errors
    /// As for [`Selection::check`] and [`Keystore::tenant_anywhere`].
    pub async fn select(
        &self,
        tenant: &TenantId,
        selection: &Selection,
        unused: Option<Unused<'_>>,
    ) -> Result<Vec<KeyId>> {
        selection.check(unused.is_some())?;
        self.tenant_anywhere(tenant).await?;
        let keys = self.cache.scan(tenant, None, usize::MAX, |key| selection.means(key, unused));
        Ok(keys.iter().map(|key| key.key_id).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Digest, Hint, KeyName, KeyState, NewKey};

    fn key() -> ApiKey {
        let mut new = NewKey::new(KeyName::parse("web-1").unwrap(), KeyType::Query);
        new.settings.source_id = Label::parse("s").ok();
        new.into_key(TenantId::default(), Digest::of("x"), Hint::default())
    }

    #[test]
    fn all_that_is_said_must_be_true() {
        let selection = |source: &str, name: &str| Selection {
            source_id: Label::parse(source).ok(),
            name: NamePattern::parse(name).ok(),
            ..Selection::default()
        };
        let means = |selection: Selection| selection.means(&key(), None);
        assert!(means(selection("s", "web-*")) && means(selection("s", "*")));
        assert!(!means(selection("s", "app-*")) && !means(selection("t", "web-*")));
        let by = Selection { created_by: Actor::parse("me").ok(), ..Selection::default() };
        assert!(!means(by));
        let revoked = ApiKey { state: KeyState::Revoked, ..key() };
        assert!(!selection("s", "*").means(&revoked, Some(&|_, _| true)));
    }

    #[test]
    fn use_decides_only_when_it_is_asked_for_and_known() {
        let selection = Selection { unused_since: Some(DateTime::UNIX_EPOCH), ..Selection::default() };
        for unused in [true, false] {
            assert_eq!(selection.means(&key(), Some(&|_, _| unused)), unused);
        }
        assert!(!selection.means(&key(), None));
        assert!(selection.check(false).is_err() && selection.check(true).is_ok());
        assert!(Selection::default().check(true).is_err());
    }
}
