//! Counting: one short lock among many, so that one busy key slows no other, and nothing is allocated for a key that
//! was used since the last flush.

use parking_lot::{Mutex, MutexGuard};

use super::{Tally, UsageTable, Use};
use crate::key::{ApiKey, KeyId, TenantId};

/// A power of two, so that part of an id chooses one.
const SHARDS: usize = 64;

/// What was counted since it was drained last.
#[derive(Debug)]
pub(super) struct Counters(Box<[Mutex<UsageTable>]>);

impl Default for Counters {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }
}

impl Counters {
    pub(super) fn count(&self, key: &ApiKey, used: &Use) {
        self.shard(key.key_id).change(&key.tenant, key.key_id, |tally| tally.count(key.hint, used));
    }

    /// All of it; counting begins anew.
    pub(super) fn drain(&self) -> UsageTable {
        let mut all = UsageTable::default();
        for shard in &self.0 {
            let drained = std::mem::take(&mut *shard.lock());
            all.add(&drained);
        }
        all
    }

    /// Adds what is not drained yet to the tally of a key.
    pub(super) fn add_to(&self, sum: &mut Tally, tenant: &TenantId, key_id: KeyId) {
        if let Some(tally) = self.shard(key_id).get(tenant, key_id) {
            sum.add(tally);
        }
    }

    /// Calls `show` with each tally of a tenant that is not drained yet.
    pub(super) fn each_of(&self, tenant: &TenantId, mut show: impl FnMut(KeyId, &Tally)) {
        for shard in &self.0 {
            shard.lock().of_tenant(tenant).for_each(|(key_id, tally)| show(key_id, tally));
        }
    }

    fn shard(&self, key_id: KeyId) -> MutexGuard<'_, UsageTable> {
        self.0[key_id.table_hash() as usize % SHARDS].lock()
    }
}
