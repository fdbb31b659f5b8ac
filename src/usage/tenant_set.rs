//! Which tenants an object holds counts of, in a fixed kilobyte.

use crate::key::TenantId;

const BITS: usize = 8192;

/// A set of tenants with false positives and no false negatives: with a hundred tenants about one in a hundred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TenantSet(Box<[u64; BITS / 64]>);

impl Default for TenantSet {
    fn default() -> Self {
        Self(Box::new([0; BITS / 64]))
    }
}

impl TenantSet {
    pub(super) fn insert(&mut self, tenant: &str) {
        let (word, bit) = place(tenant);
        self.0[word] |= bit;
    }

    /// `false` only when the tenant was never inserted.
    pub(super) fn may_hold(&self, tenant: &TenantId) -> bool {
        let (word, bit) = place(tenant.as_str());
        self.0[word] & bit != 0
    }
}

fn place(tenant: &str) -> (usize, u64) {
    let hash = crc32fast::hash(tenant.as_bytes()) as usize % BITS;
    (hash / 64, 1 << (hash % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_that_was_inserted_is_found_and_few_others_are() {
        let tenant = |number: usize| TenantId::parse(&format!("t{number}")).unwrap();
        let mut set = TenantSet::default();
        assert!(!set.may_hold(&tenant(0)));
        (0..100).for_each(|number| set.insert(tenant(number).as_str()));
        assert!((0..100).all(|number| set.may_hold(&tenant(number))));
        let false_positives = (100..10_100).filter(|number| set.may_hold(&tenant(*number))).count();
        assert!(false_positives < 300, "{false_positives} of 10,000");
    }
}
