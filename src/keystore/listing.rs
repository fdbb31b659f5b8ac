//! Pages of keys.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};

use super::Keystore;
use crate::error::{Error, Result};
use crate::key::{ApiKey, KeyId, KeyName, KeyState, KeyType, TenantId};

/// Which keys a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only keys of this type.
    pub key_type: Option<KeyType>,
    /// Only keys in this state; without it all but the revoked ones.
    pub state: Option<KeyState>,
    /// Only keys with exactly this name.
    pub name: Option<String>,
    /// Only keys that expire before this, or have.
    pub expires_before: Option<DateTime<Utc>>,
}

impl Filter {
    /// The name, where the filter asks for live keys of one name, which need no scan; `Some(None)` for a text that is
    /// no name, which no key has.
    fn live_name(&self) -> Option<Option<KeyName>> {
        let name = self.name.as_ref().filter(|_| self.state != Some(KeyState::Revoked))?;
        Some(KeyName::parse(name).ok())
    }

    fn accepts(&self, key: &ApiKey) -> bool {
        self.key_type.is_none_or(|wanted| wanted == key.key_type)
            && self.state.map_or_else(|| key.is_live(), |wanted| wanted == key.state)
            && self.name.as_ref().is_none_or(|wanted| wanted == key.name.as_str())
            && self.expires_before.is_none_or(|bound| key.expires_at.is_some_and(|end| end < bound))
    }
}

/// Some keys, in order of id, and where the next ones start.
#[derive(Debug, Clone)]
pub struct Page {
    /// The keys.
    pub keys: Vec<Arc<ApiKey>>,
    /// Where the next page starts; `None` after the last one.
    pub next: Option<Cursor>,
}

/// Where a page starts: after a key of a tenant. Opaque to clients; one that was not issued is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(KeyId);

impl Cursor {
    /// The text given to clients.
    pub fn encode(self, tenant: &TenantId) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}{:08x}", self.0, Self::check(self.0, tenant)))
    }

    /// Reads what [`Cursor::encode`] gave for the same tenant.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for anything else.
    pub fn decode(text: &str, tenant: &TenantId) -> Result<Self> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let (id, check) = std::str::from_utf8(&bytes).ok()?.split_at_checked(36)?;
            let id = KeyId::parse(id).ok()?;
            (format!("{:08x}", Self::check(id, tenant)) == check).then_some(Self(id))
        };
        read().ok_or_else(|| Error::invalid("the cursor was not issued for this list"))
    }

    fn check(id: KeyId, tenant: &TenantId) -> u32 {
        crc32fast::hash(format!("{tenant}/{id}").as_bytes())
    }
}

impl Keystore {
    /// The largest page.
    pub const MAX_PAGE: usize = 1000;

    /// A page of the keys of a tenant, from memory.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for a `limit` outside 1 to [`Keystore::MAX_PAGE`]; as for
    /// [`Keystore::tenant_read_through`] otherwise.
    pub async fn list(&self, tenant: &TenantId, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.list_where(tenant, filter, |_| true, after, limit).await
    }

    /// The same, of those keys only that `wanted` accepts too.
    ///
    /// # Errors
    /// As for [`Keystore::list`].
    pub async fn list_where(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        wanted: impl Fn(&ApiKey) -> bool,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page> {
        if !(1..=Self::MAX_PAGE).contains(&limit) {
            return Err(Error::invalid("limit must be from 1 to 1000"));
        }
        self.tenant_read_through(tenant).await?;
        let after = after.map(|cursor| cursor.0);
        let accepted = |key: &ApiKey| filter.accepts(key) && wanted(key);
        let mut keys = match filter.live_name() {
            Some(name) => {
                let named = name.map(|name| self.cache.all_named(tenant, &name)).unwrap_or_default();
                named.into_iter().filter(|key| Some(key.key_id) > after && accepted(key)).take(limit + 1).collect()
            }
            None => self.cache.scan_in_turns(tenant, after, limit + 1, accepted).await,
        };
        let more = keys.len() > limit;
        keys.truncate(limit);
        let next = keys.last().filter(|_| more).map(|key| Cursor(key.key_id));
        Ok(Page { keys, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_for_its_own_tenant_only() {
        let (acme, other) = (TenantId::parse("acme").unwrap(), TenantId::default());
        let cursor = Cursor(KeyId::random());
        let text = cursor.encode(&acme);
        assert_eq!(Cursor::decode(&text, &acme).unwrap(), cursor);
        assert!(Cursor::decode(&text, &other).is_err());
        for bad in ["", "x", "AAAA", &text[1..]] {
            assert!(Cursor::decode(bad, &acme).is_err());
        }
    }
}
