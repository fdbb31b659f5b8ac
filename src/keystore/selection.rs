//! The keys that a filter of a bulk change selects.

use chrono::{DateTime, Utc};

use super::Keystore;
use crate::error::{Error, Result};
use crate::key::{Actor, ApiKey, KeyId, KeyType, Label, NamePattern, TenantId};

/// Whether a key has no recorded use since an instant.
pub type Unused<'a> = &'a (dyn Fn(&ApiKey, DateTime<Utc>) -> bool + Send + Sync);

/// A filter: selects the live keys that meet all of its conditions.
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
    /// Whether it has no condition but the type, so that it would select every key, or every one of a type.
    pub fn is_empty(&self) -> bool {
        *self == Self { key_type: self.key_type, ..Self::default() }
    }

    /// Whether it selects a key.
    pub fn selects(&self, key: &ApiKey, unused: Option<Unused<'_>>) -> bool {
        key.is_live()
            && self.key_type.is_none_or(|wanted| wanted == key.key_type)
            && self.source_id.as_ref().is_none_or(|wanted| Some(wanted) == key.settings.source_id.as_ref())
            && self.created_by.as_ref().is_none_or(|wanted| Some(wanted) == key.created_by.as_ref())
            && self.name.as_ref().is_none_or(|wanted| wanted.matches(&key.name))
            && self.unused_since.is_none_or(|since| unused.is_some_and(|unused| unused(key, since)))
    }

    /// Refuses a filter that cannot be evaluated.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] without any condition but the type, and for `unused_since` without usage data.
    pub fn check(&self, knows_use: bool) -> Result<()> {
        if self.is_empty() {
            return Err(Error::invalid("the filter selects too much: set sourceId, name, createdBy or unusedSince"));
        }
        if self.unused_since.is_some() && !knows_use {
            return Err(Error::invalid("unusedSince cannot be answered: this node does not know when keys were used"));
        }
        Ok(())
    }
}

impl Keystore {
    /// The live keys of a tenant that a filter selects, in order of id, from memory.
    ///
    /// # Errors
    /// As for [`Selection::check`] and [`Keystore::tenant_read_through`].
    pub async fn select(
        &self,
        tenant: &TenantId,
        selection: &Selection,
        unused: Option<Unused<'_>>,
    ) -> Result<Vec<KeyId>> {
        selection.check(unused.is_some())?;
        self.tenant_read_through(tenant).await?;
        let keys = self.cache.scan_in_turns(tenant, None, usize::MAX, |key| selection.selects(key, unused)).await;
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
    fn a_key_has_to_meet_all_conditions() {
        let selection = |source: &str, name: &str| Selection {
            source_id: Label::parse(source).ok(),
            name: NamePattern::parse(name).ok(),
            ..Selection::default()
        };
        let selects = |selection: Selection| selection.selects(&key(), None);
        assert!(selects(selection("s", "web-*")) && selects(selection("s", "*")));
        assert!(!selects(selection("s", "app-*")) && !selects(selection("t", "web-*")));
        let by = Selection { created_by: Actor::parse("me").ok(), ..Selection::default() };
        assert!(!selects(by));
        let revoked = ApiKey { state: KeyState::Revoked, ..key() };
        assert!(!selection("s", "*").selects(&revoked, Some(&|_, _| true)));
    }

    #[test]
    fn use_decides_only_when_it_is_asked_for_and_known() {
        let selection = Selection { unused_since: Some(DateTime::UNIX_EPOCH), ..Selection::default() };
        for unused in [true, false] {
            assert_eq!(selection.selects(&key(), Some(&|_, _| unused)), unused);
        }
        assert!(!selection.selects(&key(), None));
        assert!(selection.check(false).is_err() && selection.check(true).is_ok());
        for key_type in [None, Some(KeyType::Query)] {
            assert!(Selection { key_type, ..Selection::default() }.check(true).is_err());
        }
    }
}
