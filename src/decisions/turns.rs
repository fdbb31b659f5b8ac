//! One backtest of a tenant at a time: each may take much of the tenant's memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::key::TenantId;

/// The tenants that have a backtest running on this node.
#[derive(Debug)]
pub struct Turns {
    running: Arc<Mutex<BTreeSet<TenantId>>>,
    windows_bytes: usize,
}

/// The turn of a tenant, which ends when it is dropped.
#[derive(Debug)]
pub struct Turn {
    running: Arc<Mutex<BTreeSet<TenantId>>>,
    tenant: TenantId,
    /// How much memory the windows of a set take at most.
    pub windows_bytes: usize,
}

impl Turns {
    /// No tenant has one yet. The windows of a set take so many bytes at most, as those of the node do.
    pub fn new(windows_bytes: usize) -> Self {
        Self { running: Arc::default(), windows_bytes }
    }

    /// The turn of a tenant; `None` while it has one.
    pub fn take(&self, tenant: &TenantId) -> Option<Turn> {
        let (running, windows_bytes) = (self.running.clone(), self.windows_bytes);
        let is_new = running.lock().insert(tenant.clone());
        is_new.then(|| Turn { running, tenant: tenant.clone(), windows_bytes })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.running.lock().remove(&self.tenant);
    }
}
