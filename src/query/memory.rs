//! Memory for the state of running queries: one pool, of which no tenant ever gets the last quarter.
//!
//! A quarter of it may hold columns that were read before, until a query needs it.
//!
//! Nothing is spilled, so what a heavy query has taken comes back only when it ends. Without a bound by tenant it would
//! make the small queries of all others fail until then.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use datafusion::common::{Result, resources_datafusion_err};
use datafusion::execution::memory_pool::{
    GreedyMemoryPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use parking_lot::Mutex;

use super::kept::KeptColumns;
use crate::key::TenantId;

/// The pool of an engine, and the shares of the tenants that have queries running.
#[derive(Debug)]
pub(super) struct SharedMemory {
    whole: Arc<GreedyMemoryPool>,
    share_bytes: usize,
    tenants: Mutex<HashMap<TenantId, Weak<TenantMemory>>>,
    columns: Arc<KeptColumns>,
}

impl SharedMemory {
    pub(super) fn new(bytes: usize) -> Self {
        let whole = Arc::new(GreedyMemoryPool::new(bytes));
        let pool: Arc<dyn MemoryPool> = whole.clone();
        let columns = Arc::new(KeptColumns::new(bytes / 4, &pool));
        Self { whole, share_bytes: bytes - bytes / 4, tenants: Mutex::default(), columns }
    }

    /// The columns that are kept in this memory as long as no query needs it.
    pub(super) fn columns(&self) -> &Arc<KeptColumns> {
        &self.columns
    }

    /// The pool for a query of this tenant.
    pub(super) fn of(&self, tenant: &TenantId) -> Arc<dyn MemoryPool> {
        let mut tenants = self.tenants.lock();
        if let Some(running) = tenants.get(tenant).and_then(Weak::upgrade) {
            return running;
        }
        tenants.retain(|_, memory| memory.strong_count() > 0);
        let memory = Arc::new(TenantMemory {
            whole: self.whole.clone(),
            share_bytes: self.share_bytes,
            used_bytes: AtomicUsize::new(0),
            columns: self.columns.clone(),
        });
        tenants.insert(tenant.clone(), Arc::downgrade(&memory));
        memory
    }
}

/// What one tenant may take of the pool.
#[derive(Debug)]
struct TenantMemory {
    whole: Arc<GreedyMemoryPool>,
    share_bytes: usize,
    used_bytes: AtomicUsize,
    columns: Arc<KeptColumns>,
}

impl fmt::Display for TenantMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant memory (used: {}, share: {})", self.reserved(), self.share_bytes)
    }
}

impl MemoryPool for TenantMemory {
    fn name(&self) -> &'static str {
        "tenant"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.whole.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.whole.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.used_bytes.fetch_add(additional, Ordering::Relaxed);
        self.whole.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.used_bytes.fetch_sub(shrink, Ordering::Relaxed);
        self.whole.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let within = |used: usize| used.checked_add(additional).filter(|used| *used <= self.share_bytes);
        self.used_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, within)
            .map_err(|used| resources_datafusion_err!("the tenant uses {used} of {} bytes", self.share_bytes))?;
        let mut grown = self.whole.try_grow(reservation, additional);
        while grown.is_err() && self.columns.give_back(additional) > 0 {
            grown = self.whole.try_grow(reservation, additional);
        }
        grown.inspect_err(|_| {
            self.used_bytes.fetch_sub(additional, Ordering::Relaxed);
        })
    }

    fn reserved(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.share_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tenant_gets_the_last_quarter_and_all_is_given_back() {
        let shared = SharedMemory::new(1000);
        let (acme, other) = (TenantId::parse("acme").unwrap(), TenantId::default());
        let first = shared.of(&acme);
        let heavy = MemoryConsumer::new("heavy").register(&first);
        heavy.try_grow(700).unwrap();
        // Another query of the same tenant shares what is left to it.
        let second = MemoryConsumer::new("second").register(&shared.of(&acme));
        assert!(second.try_grow(100).is_err());
        second.try_grow(50).unwrap();
        let small = MemoryConsumer::new("small").register(&shared.of(&other));
        small.try_grow(250).unwrap();
        assert!(small.try_grow(1).is_err(), "the pool is empty");
        drop((heavy, second, small, first));
        let again = MemoryConsumer::new("again").register(&shared.of(&acme));
        again.try_grow(750).unwrap();
    }
}
