//! Which keys nobody uses.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::Minute;
use crate::key::{ApiKey, KeyId};

/// When the keys of a tenant were used last, on any node.
#[derive(Debug, Clone)]
pub struct LastUses {
    last: HashMap<KeyId, Minute>,
    recorded_since: Option<DateTime<Utc>>,
}

impl LastUses {
    pub(super) fn new(last: HashMap<KeyId, Minute>, recorded_since: Option<DateTime<Utc>>) -> Self {
        Self { last, recorded_since }
    }

    /// The minute in which a key was used last; `None` when it never was since this is recorded.
    pub fn of(&self, key_id: KeyId) -> Option<DateTime<Utc>> {
        self.last.get(&key_id).map(|minute| minute.start())
    }

    /// Whether a key was surely not used since an instant. One that was issued later was not given the chance; and of what
    /// happened before anything was recorded, nobody can say.
    pub fn is_unused_since(&self, key: &ApiKey, since: DateTime<Utc>) -> bool {
        self.recorded_since.is_some_and(|began| began <= since)
            && key.created_at.is_none_or(|issued| issued <= since)
            && self.last.get(&key.key_id).is_none_or(|minute| minute.end() <= since)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::key::{Digest, Hint, KeyName, KeyType, NewKey, TenantId};

    #[test]
    fn a_key_is_unused_only_when_nothing_speaks_against_it() {
        let day = |days: i64| DateTime::UNIX_EPOCH + TimeDelta::days(20_000 + days);
        let new = NewKey::new(KeyName::parse("web").unwrap(), KeyType::Query);
        let key = new.into_key(TenantId::default(), Digest::of("x"), Hint::default());
        let key = ApiKey { created_at: Some(day(2)), ..key };
        let uses = |last: Option<i64>, began| {
            let last = last.map(|last| (key.key_id, Minute::of(day(last)))).into_iter().collect();
            LastUses::new(last, began)
        };
        let never = uses(None, Some(day(0)));
        assert!(never.is_unused_since(&key, day(3)) && never.is_unused_since(&key, day(2)));
        assert!(!never.is_unused_since(&key, day(1)), "it was issued later");
        assert!(!uses(None, Some(day(4))).is_unused_since(&key, day(3)), "nothing was recorded then");
        assert!(!uses(None, None).is_unused_since(&key, day(3)));
        let used = uses(Some(5), Some(day(0)));
        assert!(!used.is_unused_since(&key, day(4)) && !used.is_unused_since(&key, day(5) + TimeDelta::seconds(59)));
        assert!(used.is_unused_since(&key, day(5) + TimeDelta::seconds(60)));
        assert_eq!(used.of(key.key_id), Some(day(5)));
    }
}
