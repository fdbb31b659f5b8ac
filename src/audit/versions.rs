//! Versions of policy sets whose node ended before it could log them: a full look finds them among the recent ones, and
//! enters each once.

use chrono::TimeDelta;

use super::read::AuditLog;
use super::{AuditFilter, AuditScope, PATIENCE};
use crate::error::{ErrorKind, Result};
use crate::key::TenantId;
use crate::keystore::Keystore;
use crate::policy::set::PolicySetDocument;
use crate::policy_book::{PolicyBook, entered};
use crate::sync::{LoggedChange, Replica};

/// Versions that are older were looked for before.
const RECENT: TimeDelta = TimeDelta::hours(24);
/// The clocks of nodes differ.
const EARLIER: TimeDelta = TimeDelta::minutes(1);

impl AuditLog {
    /// Enters the recent versions of policy sets that the log does not have.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer: the next look enters them.
    pub async fn enter_versions(&self, policies: &PolicyBook, keystore: &Keystore) -> Result<()> {
        let now = keystore.now();
        for (tenant, version) in policies.all_in_force() {
            let number = version.document.policy_set_version;
            let seen = self.versions.lock().get(&tenant).copied().unwrap_or_default();
            let made = version.document.created_at;
            if seen >= number || made < now - RECENT || made > now - PATIENCE {
                continue;
            }
            let replica = keystore.replica();
            let recent = recent(policies, &tenant, &version.document, seen, keystore).await?;
            let find = async || {
                let mut found = Vec::new();
                for (before, after) in &recent {
                    if !self.has_version(replica, &tenant, after).await? {
                        found.push(entered(&tenant, before.as_ref(), after));
                    }
                }
                Ok::<Vec<LoggedChange>, crate::error::Error>(found)
            };
            replica.enter_found(find).await?;
            if self.has_version(replica, &tenant, &version.document).await? {
                self.versions.lock().insert(tenant, number);
            }
        }
        Ok(())
    }

    /// Whether the log has a version already.
    async fn has_version(&self, replica: &Replica, tenant: &TenantId, version: &PolicySetDocument) -> Result<bool> {
        let scope = AuditScope::Tenant(tenant.clone());
        let from = Some(version.created_at - EARLIER);
        let filter = AuditFilter { from, action: Some("policyset".to_owned()), ..AuditFilter::default() };
        let name = version.policy_set_version.to_string();
        self.has(&scope, &filter, replica.log_end(), |record| record.target.name.as_ref() == Some(&name)).await
    }
}

type Made = (Option<PolicySetDocument>, PolicySetDocument);

/// The recent versions of a tenant above `seen` that their nodes have written, each with the one before it.
async fn recent(
    policies: &PolicyBook,
    tenant: &TenantId,
    newest: &PolicySetDocument,
    seen: u64,
    keystore: &Keystore,
) -> Result<Vec<Made>> {
    let (mut after, mut found) = (newest.clone(), Vec::new());
    while after.policy_set_version > seen && after.created_at >= keystore.now() - RECENT {
        let before = match after.policy_set_version {
            0 | 1 => None,
            number => match policies.version(tenant, number - 1).await {
                Ok(before) => Some(before),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => None,
                Err(error) => return Err(error),
            },
        };
        let next = before.clone();
        if after.write_id.is_some() {
            found.push((before, after));
        }
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    found.reverse();
    Ok(found)
}
