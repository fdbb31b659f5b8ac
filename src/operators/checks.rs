//! What is checked before a change: that the tenant exists, and the revision.

use super::Scope;
use crate::error::{Error, ErrorKind, Result};
use crate::keystore::Keystore;

/// The revisions that a change is for; `None` for any.
pub type Revisions = Option<Vec<u64>>;

/// Whether the tenant of a scope exists, also if another node created it a moment ago.
///
/// # Errors
/// As for [`Keystore::tenant_read_through`].
pub(super) async fn tenant(keystore: &Keystore, scope: &Scope) -> Result<()> {
    if let Some(tenant) = scope.tenant() {
        keystore.tenant_read_through(tenant).await?;
    }
    Ok(())
}

/// Whether a change that is for some revisions is for this one of `what`.
///
/// # Errors
/// [`ErrorKind::PreconditionFailed`] when it is not.
pub(super) fn revision(rev: u64, revisions: Option<&[u64]>, what: &str) -> Result<()> {
    if revisions.is_some_and(|revisions| !revisions.contains(&rev)) {
        return Err(Error::new(ErrorKind::PreconditionFailed, format!("If-Match names no revision of {what}")));
    }
    Ok(())
}
