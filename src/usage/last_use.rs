//! Which keys are unused.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::UsageMinute;
use super::reader::{LastUsed, Reading};
use crate::key::{ApiKey, KeyId};

/// When the keys of a tenant were used last, on any node.
#[derive(Debug, Clone)]
pub struct LastUses {
    own: LastUsed,
    others: Arc<Reading<LastUsed>>,
}

impl LastUses {
    pub(super) fn new(own: LastUsed, others: Arc<Reading<LastUsed>>) -> Self {
        Self { own, others }
    }

    fn last(&self, key_id: KeyId) -> Option<UsageMinute> {
        self.own.get(&key_id).max(self.others.read.get(&key_id)).copied()
    }

    /// Whether a key is known not to have been used since an instant. `false` for a key that was issued later, and for
    /// an instant before recording began.
    pub fn is_unused_since(&self, key: &ApiKey, since: DateTime<Utc>) -> bool {
        self.others.scanned.recorded_since.is_some_and(|began| began <= since)
            && key.created_at.is_none_or(|issued| issued <= since)
            && self.last(key.key_id).is_none_or(|minute| minute.end() <= since)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

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
            let last = last.map(|last| (key.key_id, UsageMinute::of(day(last)))).into_iter().collect();
            LastUses::new(last, Arc::new(Reading::of(HashMap::new(), began)))
        };
        let never = uses(None, Some(day(0)));
        assert!(never.is_unused_since(&key, day(3)) && never.is_unused_since(&key, day(2)));
        assert!(!never.is_unused_since(&key, day(1)), "it was issued later");
        assert!(!uses(None, Some(day(4))).is_unused_since(&key, day(3)), "nothing was recorded then");
        assert!(!uses(None, None).is_unused_since(&key, day(3)));
        let used = uses(Some(5), Some(day(0)));
        assert!(!used.is_unused_since(&key, day(4)) && !used.is_unused_since(&key, day(5) + TimeDelta::seconds(59)));
        assert!(used.is_unused_since(&key, day(5) + TimeDelta::seconds(60)));
        let elsewhere = LastUses::new(HashMap::new(), Arc::new(Reading::of(used.own, Some(day(0)))));
        assert!(!elsewhere.is_unused_since(&key, day(4)) && elsewhere.is_unused_since(&key, day(6)));
    }
}
