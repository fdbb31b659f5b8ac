//! What the change log has to do with active mitigations: a release is in it, as somebody asked for it. A node that
//! reads that reads the chain, so the receipt of the change says on which nodes the release holds.

use async_trait::async_trait;

use super::active::Mitigations;
use crate::cache::UnreadableDocuments;
use crate::error::Result;
use crate::key::TenantId;
use crate::sync::held::{DocumentLine, Watcher};
use crate::sync::{HeldDocuments, LoggedChange};

/// What the change log calls them.
pub(super) const KIND: &str = "mitigation";

/// There are no documents: the chain is followed beside the log, and read from a list at the start.
#[async_trait]
impl HeldDocuments for Mitigations {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn apply(&self, _: &str) -> Result<()> {
        self.catch_up().await
    }

    async fn reconcile(&self, _: &[TenantId], _: bool) -> Result<Vec<LoggedChange>> {
        Ok(Vec::new())
    }

    fn lines(&self) -> Vec<DocumentLine> {
        Vec::new()
    }

    fn take_in(&self, _: Vec<DocumentLine>) {}

    fn unreadable(&self) -> UnreadableDocuments {
        Self::unreadable(self)
    }

    fn watch(&self, _: Watcher) {}
}
