//! Changes of the settings of streams whose node ended before it could log them: a full look finds them in the
//! documents, and enters each once.

use super::read::AuditLog;
use super::{AuditFilter, AuditScope, PATIENCE, Record};
use crate::error::Result;
use crate::key::{StreamName, TenantId};
use crate::keystore::Keystore;
use crate::stream::{StreamCatalog, UnloggedChange};
use crate::sync::{AuditAction, ChangedObject, LoggedChange, Replica};

type Unlogged = (TenantId, StreamName, UnloggedChange);

impl AuditLog {
    /// Enters the changes of settings that the catalog has found in documents and the log does not have.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer: the next look enters them.
    pub async fn enter_settings(&self, catalog: &StreamCatalog, keystore: &Keystore) -> Result<()> {
        let unlogged = catalog.unlogged(keystore.now() - PATIENCE);
        if unlogged.is_empty() {
            return Ok(());
        }
        let replica = keystore.replica();
        let find = async || {
            let mut found = Vec::new();
            for change in &unlogged {
                if !self.is_logged(replica, change).await? {
                    found.push(entry(change));
                }
            }
            Ok(found)
        };
        replica.enter_found(find).await?;
        for change in &unlogged {
            if self.is_logged(replica, change).await? {
                catalog.note_logged(&change.0, &change.1, change.2.revision).await?;
            }
        }
        Ok(())
    }

    /// Whether the log has a change already.
    async fn is_logged(&self, replica: &Replica, (tenant, stream, change): &Unlogged) -> Result<bool> {
        let scope = AuditScope::Tenant(tenant.clone());
        let action = Some(AuditAction::StreamUpdate.as_str().to_owned());
        let target = Some(stream.to_string());
        let filter = AuditFilter { from: Some(change.at), action, target, ..AuditFilter::default() };
        let is_it = |record: &Record| {
            record.request.id == change.by.request_id
                && (&record.before, &record.after) == (&change.difference.before, &change.difference.after)
        };
        self.has(&scope, &filter, replica.log_end(), is_it).await
    }
}

/// The change as the log has it.
fn entry((tenant, stream, change): &Unlogged) -> LoggedChange {
    let object = ChangedObject::Stream { tenant: tenant.clone(), stream: stream.clone() };
    LoggedChange {
        by: change.by.clone(),
        action: Some(AuditAction::StreamUpdate),
        changed_at: Some(change.at),
        difference: change.difference.clone(),
        ..object.by_unknown()
    }
}
