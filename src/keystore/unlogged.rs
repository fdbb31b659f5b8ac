//! Changes that are durable and not in the change log yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Keystore;
use super::running::outcome;
use crate::documents::RequestContext;
use crate::error::Result;
use crate::key::{KeyId, TenantId};
use crate::sync::log::LogEntry;
use crate::sync::{ChangedObject, LoggedChange};

/// The changes of keys that could not be logged, because the store did not answer then.
pub(super) type UnloggedChanges = Arc<Mutex<BTreeMap<(TenantId, KeyId), LoggedChange>>>;

impl Keystore {
    /// Logs changes of keys that are durable, and gives the number of the last entry. What cannot be logged now is logged as
    /// soon as the store answers: the caller learns of the failure, and may never repeat the request.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    pub(super) async fn log_keys(&self, context: &RequestContext, tenant: &TenantId, keys: &[KeyId]) -> Result<u64> {
        let by = context.attribution();
        let change = |key_id: &KeyId| ChangedObject::Key { tenant: tenant.clone(), key_id: *key_id }.by(&by);
        let logged = self.replica.append(keys.iter().map(change).collect()).await;
        if logged.is_err() {
            let mut unlogged = self.unlogged.lock();
            unlogged.extend(keys.iter().map(|key_id| ((tenant.clone(), *key_id), change(key_id))));
        }
        logged
    }

    /// Logs what could not be logged before.
    pub(super) async fn log_remaining(&self) -> Result<()> {
        loop {
            let portion: BTreeMap<_, _> = {
                let mut unlogged = self.unlogged.lock();
                let rest = unlogged.keys().nth(LogEntry::MAX_CHANGES).cloned();
                let rest = rest.map(|first| unlogged.split_off(&first)).unwrap_or_default();
                std::mem::replace(&mut unlogged, rest)
            };
            if portion.is_empty() {
                return Ok(());
            }
            let this = self.clone();
            let log = async move {
                let logged = this.replica.append(portion.values().cloned().collect()).await;
                if logged.is_err() {
                    this.unlogged.lock().extend(portion);
                }
                logged
            };
            outcome(self.running.spawn_change(log)).await?;
        }
    }
}
